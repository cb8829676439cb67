"""The wording of test queries: templates, ordinary words and names of other shops. General English, no catalogue's.

Which values and words fill the templates is left to `models.linking_queries`. The linker never reads this module.
"""

BRAND_FORMS = (
    "{brand}",
    "{brand} {category}",
    "{brand} {category}",
    "{brand} {colour} {category}",
    "{colour} {brand} {category}",
    "{category} by {brand}",
    "{colour} {category} by {brand}",
    "{category} from {brand}",
    "new {brand} {category}",
    "{brand} {category} online",
    "buy {brand} {category}",
    "{brand} {category} under 1000",
    "{category} {brand}",
)
"""Of names that mean nothing else, and of ambiguous ones where a person would take the name for a brand."""

CUED_FORMS = (
    "{category} by {brand}",
    "{colour} {category} by {brand}",
    "{category} from {brand}",
    "something by {brand}",
    "{brand} brand {category}",
    "the brand {brand}, {category}",
    "{category} of brand {brand}",
)
"""Of names that alone would be read as something else: a colour, a material, a function word, a number."""

CATEGORY_FORMS = (
    "{category}",
    "{colour} {category}",
    "{category} for women",
    "{category} for men",
    "cheap {category}",
    "{category} under 500",
    "new {category}",
    "{category} in {colour}",
    "best {category} online",
)

SEASON_FORMS = ("{value} {category}", "{category} for {value}", "clothes for {value}", "{value} collection")
COMPOSITION_FORMS = ("{value} {category}", "{colour} {value} {category}", "{category} made of {value}")

PLACEHOLDERS = frozenset(["other", "others", "none", "na", "nil", "misc", "unknown", "mixed", "various", "test"])
"""Values that say nothing; nobody searches for them."""

_COMMON_WORDS = (
    "ant apple arrow avengers basics boss bear bench black blue buckle camel cat citizen coach comet"
    " comfort compass coolers copper coral crew crown denim diesel diva dove eagle element ember express"
    " factory fast fisher flight folklore force forever fortune fossil fox free french fruit fusion gap"
    " gas genesis ghost global gold guess happy harbour heart highlander hurricane image jaguar joker"
    " jungle king lee legend liberty life lime lion little local locomotive lotus love lovable mango"
    " marvel mayhem mineral miss monsoon moon mother music native next new noble north ocean old olive"
    " only opium orange palm park pepper pieces pilot pink playboy police pure queen rare rebel red ring"
    " river rock rose royal ruby sage salt shelter silver sky smart solid span spice spring star status"
    " stone storm style sun swan tape target terra theory tiger timber titan top tortoise trend turtle"
    " union united valley vans vital vogue west white wild wilson wind wolf wood woman york young"
)
COMMON_WORDS = frozenset(_COMMON_WORDS.split())
"""Ordinary words that labels are often named after."""

OTHER_NAMES = (
    "Zara", "Uniqlo", "Gucci", "Prada", "Hermes", "Moncler", "Patagonia", "Marks & Spencer", "Topshop",
    "River Island", "Lacoste", "Superdry", "Under Armour", "Massimo Dutti", "Bershka", "Pull & Bear",
    "Stradivarius", "Forever 21", "Old Navy", "Columbia", "Fjallraven", "Carhartt", "Birkenstock", "Ecco", "Geox",
    "Hummel", "Kappa", "Mizuno", "Napapijri", "Canada Goose", "Tory Burch", "Kate Spade", "Michael Kors",
    "Longchamp", "Furla", "Samsonite", "Swatch", "Seiko", "Rolex", "Tissot", "Tommy Bahama", "Brooks Brothers",
    "Ted Baker", "Paul Smith", "Fred Perry", "Ben Sherman", "Diesel", "Nine West", "Steve Madden", "Jimmy Choo",
    "Aldo", "Charles & Keith", "Desigual", "Mango", "Monsoon", "Accessorize", "Peacocks", "Oasis", "Warehouse",
    "Reiss", "Hobbs", "Jigsaw", "Joules", "Barbour", "Belstaff", "Saucony", "Brooks", "Merrell", "Keen", "Teva",
    "Veltrano", "Corvelli", "Maison Ardent", "Northgale", "Halvorsen", "Lindqvist", "Okavari", "Tresselo",
)  # fmt: skip
"""Names a shop may not carry; those it does carry are left out."""

PLAIN_PHRASES: dict[str, tuple[str, ...]] = {
    "top": (
        "top quality {category}", "top rated {category}", "top 10 {category}", "top selling {category}",
        "top brands for men", "top deals on {category}", "{category} with zip at the top", "top of the line {category}",
        "the top gifts this year", "top picks for summer", "our top ten", "top notch {category}",
    ),
    "guess": (
        "guess the price", "guess who is back", "i guess a {category} will do", "can you guess my size",
        "{category} so soft you would never guess", "no need to guess", "guess what is new", "guess how much it costs",
        "take a guess", "{category} for a guess the song party", "anyone's guess", "let me guess your size",
    ),
    "diesel": (
        "diesel engine oil", "diesel car key ring", "diesel smell remover", "{category} for a diesel mechanic",
        "diesel fuel", "print of a diesel train", "diesel locomotive print {category}", "petrol or diesel",
        "diesel generator", "{category} that survives diesel stains", "diesel pump gloves", "runs on diesel",
    ),
    "lee": (
        "lee side jacket", "lee side of the boat", "in the lee of the hill", "on the lee shore",
        "{category} for the lee of the island", "lee shore sailing {category}", "stay in the lee of the wind",
        "the lee of the wall", "to the lee side", "sailing under the lee", "a lee shore", "lee of the mountain",
    ),
    "free": (
        "buy one get one free", "free shipping {category}", "free delivery", "{category} with free shipping",
        "free returns", "wrinkle free {category}", "sugar free", "free size {category}", "toxin free",
        "get a free gift with {category}", "hands free", "{category} free of charge",
    ),
}  # fmt: skip
"""Five words in their everyday sense, each in several phrases; the linker was tuned with these in view."""

MORE_PHRASES: dict[str, tuple[str, ...]] = {
    "top": (
        "top trends of the season", "top seller", "at the top of the stairs", "{category} for the top management",
        "top to bottom", "on top of the world", "top gear", "top speed", "the top drawer", "top gifts under 500",
        "top {category} brands", "top of the class",
    ),
    "guess": (
        "guess my age", "hard to guess", "your guess is as good as mine", "second guess", "lucky guess",
        "best guess", "guess and win", "they guess wrong", "guess which {category} is cheaper", "guess the song",
        "just guess", "{category} for people who guess",
    ),
    "diesel": (
        "diesel prices today", "diesel truck print {category}", "smells of diesel", "diesel powered boat",
        "diesel or electric", "old diesel bus", "diesel can", "diesel resistant {category}", "a litre of diesel",
        "diesel heater", "diesel filter", "the diesel engine",
    ),
    "lee": (
        "lee side", "lee of the ship", "the lee side of the tent", "in the lee of a rock", "lee wave", "lee shore",
        "lee tide", "find shelter in the lee", "on the lee slope", "under the lee of a cliff", "lee rail",
        "{category} for a walk in the lee of the dunes",
    ),
    "free": (
        "free gift with every {category}", "feel free", "free trial", "free from chemicals", "free parking",
        "duty free {category}", "gluten free", "free {category}", "free samples", "free exchange", "set me free",
        "free spirit {category}",
    ),
}  # fmt: skip
"""The same, written afterwards; open words (`models.plain_words`) were weighed with these in view too."""
