"""The forty categories: compositions, patterns, visible details, accents and price range of each.

`demo.slots` holds the details' values and words, `demo.forms` the drawings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from demo.materials import Composition as Of
from demo.patterns import Pattern
from demo.slots import Slot, goods, worn

SEASONS = ("All year", "Spring", "Summer", "Autumn", "Winter")

_EVERY = tuple(Pattern)
_SMALL = (Pattern.PLAIN, Pattern.STRIPED, Pattern.DOTTED, Pattern.CHECKED, Pattern.COLOUR_BLOCK, Pattern.LEOPARD)
_BARE = (Pattern.PLAIN,)


@dataclass(frozen=True, slots=True)
class Category:
    """One kind of product.

    Attributes:
        name: the catalogue's value.
        family: groups categories for scenes and chatter.
        compositions: what it can be made of.
        slots: visible details in the order a text names them.
        accents: where the second colour shows when the pattern does not carry it.
        nouns: neutral names for the thing which do not give the category away.
        price: lowest and highest price of a middle brand, EUR.
        patterns: what its main surface can carry.
        back: whether a picture from behind exists.
        stands: whether it stands on a surface (else it hangs or lies).
    """

    name: str
    family: str
    compositions: tuple[Of, ...]
    slots: Mapping[str, Slot]
    accents: tuple[str, ...]
    nouns: tuple[str, ...]
    price: tuple[float, float]
    patterns: tuple[Pattern, ...] = field(default=_EVERY)
    back: bool = False
    stands: bool = False


_WEAR = ("piece", "style", "design", "favourite")
_SHOE = ("pair", "style", "design")
_BAG = ("piece", "carry-all", "design", "companion")
_THING = ("piece", "design", "object", "classic")
_JEWEL = ("piece", "design", "treasure", "gift")

_CATEGORIES = (
    Category("T-shirt", "clothes", (Of.COTTON, Of.LINEN, Of.POLYESTER, Of.SILK),
        {"neckline": {k: worn.NECKLINE[k] for k in ("round", "v")},
        "sleeves": worn.SLEEVES, "pockets": worn.CHEST_POCKET},
        ("neckband and sleeve edges", "collar rib and sleeve bands"), _WEAR, (12, 45), back=True),
    Category("Top", "clothes", (Of.COTTON, Of.SILK, Of.LINEN, Of.VELVET, Of.POLYESTER),
        {"strap": worn.STRAPS, "hem": worn.TOP_HEM}, ("straps and edging", "straps and bound edges"), _WEAR, (15, 60),
        back=True),
    Category("Shirt", "clothes", (Of.COTTON, Of.LINEN, Of.DENIM, Of.SILK),
        {"collar": worn.SHIRT_COLLAR, "sleeves": worn.SLEEVES, "pockets": worn.SHIRT_POCKETS},
        ("collar and cuffs", "collar, cuffs and buttons"), _WEAR, (25, 90), back=True),
    Category("Sweater", "clothes", (Of.WOOL, Of.COTTON, Of.FLEECE, Of.SILK),
        {"neckline": {k: worn.NECKLINE[k] for k in ("round", "v", "high")}, "front": worn.KNIT_FRONT},
        ("neck, cuffs and hem", "ribbed trims at neck and wrists"), _WEAR, (35, 140), back=True),
    Category("Hoodie", "clothes", (Of.COTTON, Of.FLEECE, Of.POLYESTER, Of.WOOL),
        {"front": worn.HOODIE_FRONT, "pockets": worn.HOODIE_POCKET},
        ("hood lining and cuffs", "inner hood, cords and cuffs"),
        _WEAR, (30, 110), back=True),
    Category("Jacket", "clothes", (Of.DENIM, Of.LEATHER, Of.NYLON, Of.SUEDE, Of.POLYESTER),
        {"collar": worn.JACKET_COLLAR, "closure": worn.JACKET_CLOSURE, "pockets": worn.JACKET_POCKETS},
        ("collar and cuffs", "collar and wrist bands"), _WEAR, (60, 260), back=True),
    Category("Coat", "clothes", (Of.WOOL, Of.NYLON, Of.LEATHER, Of.VELVET, Of.FLEECE),
        {"closure": worn.COAT_CLOSURE, "collar": worn.COAT_COLLAR, "length": worn.COAT_LENGTH},
        ("collar and buttons", "collar and fastenings"), _WEAR, (90, 380), back=True),
    Category("Dress", "clothes", (Of.COTTON, Of.SILK, Of.LINEN, Of.VELVET, Of.DENIM),
        {"neckline": worn.DRESS_NECK, "sleeves": worn.DRESS_SLEEVES, "shape": worn.DRESS_SHAPE},
        ("waistband", "waist sash"), _WEAR, (35, 190), back=True),
    Category("Skirt", "clothes", (Of.COTTON, Of.DENIM, Of.LEATHER, Of.SILK, Of.WOOL),
        {"shape": worn.SKIRT_SHAPE, "length": worn.SKIRT_LENGTH, "front": worn.SKIRT_FRONT},
        ("waistband", "waistband and hem band"), _WEAR, (22, 95), back=True),
    Category("Trousers", "clothes", (Of.COTTON, Of.DENIM, Of.WOOL, Of.LINEN, Of.LEATHER),
        {"leg": worn.LEG, "waist": worn.TROUSER_WAIST, "pockets": worn.TROUSER_POCKETS},
        ("side stripes", "waistband and side stripes"), _WEAR, (28, 130), back=True),
    Category("Shorts", "clothes", (Of.COTTON, Of.DENIM, Of.LINEN, Of.NYLON),
        {"length": worn.SHORTS_LENGTH, "hem": worn.SHORTS_HEM, "waist": worn.TROUSER_WAIST},
        ("waistband", "waistband and leg edges"), _WEAR, (18, 60), back=True),
    Category("Scarf", "accessories", (Of.WOOL, Of.SILK, Of.COTTON, Of.FLEECE),
        {"shape": worn.SCARF_SHAPE, "ends": worn.SCARF_ENDS}, ("end bands", "bands near the ends"), _WEAR, (15, 80)),
    Category("Hat", "accessories", (Of.WOOL, Of.COTTON, Of.LEATHER, Of.FLEECE, Of.SUEDE),
        {"shape": worn.HAT_SHAPE, "topper": worn.HAT_TOPPER}, ("band", "contrast band"), _WEAR, (15, 70)),
    Category("Gloves", "accessories", (Of.LEATHER, Of.WOOL, Of.SUEDE, Of.FLEECE),
        {"fingers": worn.GLOVE_FINGERS, "cuff": worn.GLOVE_CUFF}, ("cuffs", "cuffs and fingertips"), _SHOE, (14, 75)),
    Category("Socks", "accessories", (Of.COTTON, Of.WOOL, Of.POLYESTER),
        {"height": worn.SOCK_HEIGHT, "cuff": worn.SOCK_TOP}, ("heels and toes", "toes, heels and cuffs"),
        _SHOE, (5, 22)),
    Category("Tie", "accessories", (Of.SILK, Of.WOOL, Of.LINEN, Of.VELVET),
        {"shape": worn.TIE_SHAPE}, ("knot", "centre knot"), _WEAR, (15, 70)),
    Category("Belt", "accessories", (Of.LEATHER, Of.SUEDE, Of.CANVAS),
        {"buckle": worn.BUCKLE, "studs": worn.BELT_STUDS}, ("edges and keeper loop", "stitched edges"),
        _THING, (15, 80), _SMALL),
    Category("Umbrella", "accessories", (Of.NYLON, Of.POLYESTER, Of.COTTON),
        {"edge": worn.UMBRELLA_EDGE, "handle": worn.UMBRELLA_HANDLE}, ("handle and trim", "handle and canopy border"),
        _THING, (12, 60)),
    Category("Sneakers", "shoes", (Of.CANVAS, Of.LEATHER, Of.SUEDE, Of.POLYESTER),
        {"height": worn.SNEAKER_HEIGHT, "closure": worn.SNEAKER_CLOSURE, "sole": worn.SNEAKER_SOLE},
        ("heel tab and toe cap", "toe cap and heel panel"), _SHOE, (40, 160)),
    Category("Boots", "shoes", (Of.LEATHER, Of.SUEDE, Of.RUBBER, Of.CANVAS),
        {"height": worn.BOOT_HEIGHT, "closure": worn.BOOT_CLOSURE, "heel": worn.BOOT_HEEL},
        ("shaft edge and welt", "upper rim and welt"), _SHOE, (60, 240)),
    Category("Pumps", "shoes", (Of.LEATHER, Of.SUEDE, Of.VELVET, Of.SILK),
        {"heel": worn.HEEL, "toe": worn.TOE, "strap": worn.ANKLE_STRAP}, ("heel", "heel and lining"), _SHOE, (45, 220)),
    Category("Sandals", "shoes", (Of.LEATHER, Of.RUBBER, Of.SUEDE, Of.CANVAS),
        {"strap": worn.SANDAL_STRAPS, "sole": worn.SANDAL_SOLE}, ("sole", "footbed and sole"), _SHOE, (25, 110)),
    Category("Backpack", "bags", (Of.CANVAS, Of.NYLON, Of.LEATHER, Of.POLYESTER),
        {"closure": goods.BACKPACK_CLOSURE, "pockets": goods.BACKPACK_POCKETS}, ("pockets and loop", "outer pockets"),
        _BAG, (35, 150)),
    Category("Handbag", "bags", (Of.LEATHER, Of.SUEDE, Of.VELVET, Of.CANVAS),
        {"shape": goods.HANDBAG_SHAPE, "handle": goods.HANDBAG_HANDLE}, ("base and straps", "base panel"),
        _BAG, (45, 320)),
    Category("Clutch", "bags", (Of.SILK, Of.VELVET, Of.LEATHER, Of.SUEDE),
        {"shape": goods.CLUTCH_SHAPE, "clasp": goods.CLASP}, ("frame and trim", "trim"), _BAG, (25, 160)),
    Category("Suitcase", "bags", (Of.ACETATE, Of.STEEL, Of.LEATHER, Of.CANVAS),
        {"shell": goods.CASE_SHELL, "handle": goods.CASE_HANDLE}, ("corners and wheels", "trim and wheels"),
        _BAG, (70, 340), stands=True),
    Category("Watch", "jewellery", (Of.STEEL, Of.GOLD, Of.CERAMIC, Of.WOOD, Of.COPPER),
        {"dial": goods.DIAL, "strap": goods.WATCH_STRAP, "markers": goods.MARKERS}, ("dial", "face"),
        _JEWEL, (60, 480), _SMALL),
    Category("Sunglasses", "jewellery", (Of.ACETATE, Of.STEEL, Of.WOOD, Of.GOLD),
        {"shape": goods.FRAME, "lens": goods.LENS}, ("lenses", "tinted lenses"), _SHOE, (30, 210), _SMALL),
    Category("Ring", "jewellery", (Of.GOLD, Of.SILVER, Of.COPPER, Of.STEEL),
        {"stone": goods.STONE, "band": goods.BAND}, ("inlay", "enamel inlay along the band"), _JEWEL, (40, 600), _BARE),
    Category("Necklace", "jewellery", (Of.GOLD, Of.SILVER, Of.COPPER, Of.STEEL),
        {"pendant": goods.PENDANT, "chain": goods.CHAIN}, ("small beads", "accent beads"), _JEWEL, (30, 420), _BARE),
    Category("Earrings", "jewellery", (Of.GOLD, Of.SILVER, Of.COPPER, Of.STEEL),
        {"shape": goods.EARRING}, ("small beads", "accent beads"), _SHOE, (18, 260), _BARE),
    Category("Mug", "kitchen", (Of.CERAMIC, Of.GLASS, Of.STEEL, Of.WOOD),
        {"shape": goods.MUG_SHAPE, "handle": goods.MUG_HANDLE}, ("handle and inside", "handle"), _THING, (8, 35),
        stands=True),
    Category("Pot", "kitchen", (Of.IRON, Of.STEEL, Of.COPPER, Of.CERAMIC),
        {"handle": goods.POT_HANDLE, "lid": goods.POT_LID}, ("knob and handles", "handles and lid knob"),
        _THING, (30, 220), stands=True),
    Category("Kettle", "kitchen", (Of.STEEL, Of.COPPER, Of.CERAMIC, Of.IRON),
        {"spout": goods.KETTLE_SPOUT, "handle": goods.KETTLE_HANDLE}, ("handle and knob", "grip and lid knob"),
        _THING, (25, 140), stands=True),
    Category("Bowl", "kitchen", (Of.CERAMIC, Of.GLASS, Of.WOOD, Of.BAMBOO),
        {"shape": goods.BOWL_SHAPE, "rim": goods.BOWL_RIM}, ("inside", "inside and rim"), _THING, (9, 60), stands=True),
    Category("Bottle", "kitchen", (Of.STEEL, Of.GLASS, Of.BAMBOO, Of.COPPER),
        {"shape": goods.BOTTLE_SHAPE, "lid": goods.BOTTLE_CAP}, ("cap and base band", "cap"), _THING, (10, 55),
        stands=True),
    Category("Lamp", "home", (Of.LINEN, Of.GLASS, Of.BAMBOO, Of.STEEL),
        {"shade": goods.LAMP_SHADE, "base": goods.LAMP_BASE}, ("base", "stand"), _THING, (30, 240), stands=True),
    Category("Cushion", "home", (Of.VELVET, Of.LINEN, Of.WOOL, Of.COTTON),
        {"shape": goods.CUSHION_SHAPE, "edge": goods.CUSHION_EDGE}, ("edging", "border"), _THING, (12, 70)),
    Category("Vase", "home", (Of.CERAMIC, Of.GLASS, Of.COPPER, Of.WOOD),
        {"shape": goods.VASE_SHAPE, "handles": goods.VASE_HANDLES}, ("neck and foot", "lip and foot"),
        _THING, (14, 120),
        stands=True),
    Category("Clock", "home", (Of.WOOD, Of.STEEL, Of.BAMBOO, Of.COPPER),
        {"shape": goods.CLOCK_SHAPE, "markers": goods.CLOCK_MARKERS, "extra": goods.CLOCK_EXTRA},
        ("face", "clock face"),
        _THING, (20, 130), _SMALL),
)  # fmt: skip

CATEGORIES: dict[str, Category] = {category.name: category for category in _CATEGORIES}
CATEGORY_NAMES = tuple(CATEGORIES)
SLOT_NAMES = tuple(sorted({name for category in _CATEGORIES for name in category.slots}))
