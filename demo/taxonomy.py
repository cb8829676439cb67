"""The forty categories: compositions, patterns, visible details, accents and price range of each.

`demo.slots` holds the details' values and words, `demo.forms` the drawings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from demo import slots as s
from demo.materials import Composition as C
from demo.patterns import Pattern
from demo.slots import Slot

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
    compositions: tuple[C, ...]
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
    Category("T-shirt", "clothes", (C.COTTON, C.LINEN, C.POLYESTER, C.SILK),
        {"neckline": {k: s.NECKLINE[k] for k in ("round", "v")}, "sleeves": s.SLEEVES, "pockets": s.CHEST_POCKET},
        ("neckband and sleeve edges", "collar rib and sleeve bands"), _WEAR, (12, 45), back=True),
    Category("Top", "clothes", (C.COTTON, C.SILK, C.LINEN, C.VELVET, C.POLYESTER),
        {"strap": s.STRAPS, "hem": s.TOP_HEM}, ("straps and edging", "straps and bound edges"), _WEAR, (15, 60), back=True),
    Category("Shirt", "clothes", (C.COTTON, C.LINEN, C.DENIM, C.SILK),
        {"collar": s.SHIRT_COLLAR, "sleeves": s.SLEEVES, "pockets": s.SHIRT_POCKETS},
        ("collar and cuffs", "collar, cuffs and buttons"), _WEAR, (25, 90), back=True),
    Category("Sweater", "clothes", (C.WOOL, C.COTTON, C.FLEECE, C.SILK),
        {"neckline": {k: s.NECKLINE[k] for k in ("round", "v", "high")}, "front": s.KNIT_FRONT},
        ("neck, cuffs and hem", "ribbed trims at neck and wrists"), _WEAR, (35, 140), back=True),
    Category("Hoodie", "clothes", (C.COTTON, C.FLEECE, C.POLYESTER, C.WOOL),
        {"front": s.HOODIE_FRONT, "pockets": s.HOODIE_POCKET}, ("hood lining and cuffs", "inner hood, cords and cuffs"),
        _WEAR, (30, 110), back=True),
    Category("Jacket", "clothes", (C.DENIM, C.LEATHER, C.NYLON, C.SUEDE, C.POLYESTER),
        {"collar": s.JACKET_COLLAR, "closure": s.JACKET_CLOSURE, "pockets": s.JACKET_POCKETS},
        ("collar and cuffs", "collar and wrist bands"), _WEAR, (60, 260), back=True),
    Category("Coat", "clothes", (C.WOOL, C.NYLON, C.LEATHER, C.VELVET, C.FLEECE),
        {"closure": s.COAT_CLOSURE, "collar": s.COAT_COLLAR, "length": s.COAT_LENGTH},
        ("collar and buttons", "collar and fastenings"), _WEAR, (90, 380), back=True),
    Category("Dress", "clothes", (C.COTTON, C.SILK, C.LINEN, C.VELVET, C.DENIM),
        {"neckline": s.DRESS_NECK, "sleeves": s.DRESS_SLEEVES, "shape": s.DRESS_SHAPE},
        ("waistband", "waist sash"), _WEAR, (35, 190), back=True),
    Category("Skirt", "clothes", (C.COTTON, C.DENIM, C.LEATHER, C.SILK, C.WOOL),
        {"shape": s.SKIRT_SHAPE, "length": s.SKIRT_LENGTH, "front": s.SKIRT_FRONT},
        ("waistband", "waistband and hem band"), _WEAR, (22, 95), back=True),
    Category("Trousers", "clothes", (C.COTTON, C.DENIM, C.WOOL, C.LINEN, C.LEATHER),
        {"leg": s.LEG, "waist": s.TROUSER_WAIST, "pockets": s.TROUSER_POCKETS},
        ("side stripes", "waistband and side stripes"), _WEAR, (28, 130), back=True),
    Category("Shorts", "clothes", (C.COTTON, C.DENIM, C.LINEN, C.NYLON),
        {"length": s.SHORTS_LENGTH, "hem": s.SHORTS_HEM, "waist": s.TROUSER_WAIST},
        ("waistband", "waistband and leg edges"), _WEAR, (18, 60), back=True),
    Category("Scarf", "accessories", (C.WOOL, C.SILK, C.COTTON, C.FLEECE),
        {"shape": s.SCARF_SHAPE, "ends": s.SCARF_ENDS}, ("end bands", "bands near the ends"), _WEAR, (15, 80)),
    Category("Hat", "accessories", (C.WOOL, C.COTTON, C.LEATHER, C.FLEECE, C.SUEDE),
        {"shape": s.HAT_SHAPE, "topper": s.HAT_TOPPER}, ("band", "contrast band"), _WEAR, (15, 70)),
    Category("Gloves", "accessories", (C.LEATHER, C.WOOL, C.SUEDE, C.FLEECE),
        {"fingers": s.GLOVE_FINGERS, "cuff": s.GLOVE_CUFF}, ("cuffs", "cuffs and fingertips"), _SHOE, (14, 75)),
    Category("Socks", "accessories", (C.COTTON, C.WOOL, C.POLYESTER),
        {"height": s.SOCK_HEIGHT, "cuff": s.SOCK_TOP}, ("heels and toes", "toes, heels and cuffs"), _SHOE, (5, 22)),
    Category("Tie", "accessories", (C.SILK, C.WOOL, C.LINEN, C.VELVET),
        {"shape": s.TIE_SHAPE}, ("knot", "centre knot"), _WEAR, (15, 70)),
    Category("Belt", "accessories", (C.LEATHER, C.SUEDE, C.CANVAS),
        {"buckle": s.BUCKLE, "studs": s.BELT_STUDS}, ("edges and keeper loop", "stitched edges"), _THING, (15, 80), _SMALL),
    Category("Umbrella", "accessories", (C.NYLON, C.POLYESTER, C.COTTON),
        {"edge": s.UMBRELLA_EDGE, "handle": s.UMBRELLA_HANDLE}, ("handle and trim", "handle and canopy border"),
        _THING, (12, 60)),
    Category("Sneakers", "shoes", (C.CANVAS, C.LEATHER, C.SUEDE, C.POLYESTER),
        {"height": s.SNEAKER_HEIGHT, "closure": s.SNEAKER_CLOSURE, "sole": s.SNEAKER_SOLE},
        ("heel tab and toe cap", "toe cap and heel panel"), _SHOE, (40, 160)),
    Category("Boots", "shoes", (C.LEATHER, C.SUEDE, C.RUBBER, C.CANVAS),
        {"height": s.BOOT_HEIGHT, "closure": s.BOOT_CLOSURE, "heel": s.BOOT_HEEL},
        ("shaft edge and welt", "upper rim and welt"), _SHOE, (60, 240)),
    Category("Pumps", "shoes", (C.LEATHER, C.SUEDE, C.VELVET, C.SILK),
        {"heel": s.HEEL, "toe": s.TOE, "strap": s.ANKLE_STRAP}, ("heel", "heel and lining"), _SHOE, (45, 220)),
    Category("Sandals", "shoes", (C.LEATHER, C.RUBBER, C.SUEDE, C.CANVAS),
        {"strap": s.SANDAL_STRAPS, "sole": s.SANDAL_SOLE}, ("sole", "footbed and sole"), _SHOE, (25, 110)),
    Category("Backpack", "bags", (C.CANVAS, C.NYLON, C.LEATHER, C.POLYESTER),
        {"closure": s.BACKPACK_CLOSURE, "pockets": s.BACKPACK_POCKETS}, ("pockets and loop", "outer pockets"), _BAG, (35, 150)),
    Category("Handbag", "bags", (C.LEATHER, C.SUEDE, C.VELVET, C.CANVAS),
        {"shape": s.HANDBAG_SHAPE, "handle": s.HANDBAG_HANDLE}, ("base and straps", "base panel"), _BAG, (45, 320)),
    Category("Clutch", "bags", (C.SILK, C.VELVET, C.LEATHER, C.SUEDE),
        {"shape": s.CLUTCH_SHAPE, "clasp": s.CLASP}, ("frame and trim", "trim"), _BAG, (25, 160)),
    Category("Suitcase", "bags", (C.ACETATE, C.STEEL, C.LEATHER, C.CANVAS),
        {"shell": s.CASE_SHELL, "handle": s.CASE_HANDLE}, ("corners and wheels", "trim and wheels"), _BAG, (70, 340), stands=True),
    Category("Watch", "jewellery", (C.STEEL, C.GOLD, C.CERAMIC, C.WOOD, C.COPPER),
        {"dial": s.DIAL, "strap": s.WATCH_STRAP, "markers": s.MARKERS}, ("dial", "face"), _JEWEL, (60, 480), _SMALL),
    Category("Sunglasses", "jewellery", (C.ACETATE, C.STEEL, C.WOOD, C.GOLD),
        {"shape": s.FRAME, "lens": s.LENS}, ("lenses", "tinted lenses"), _SHOE, (30, 210), _SMALL),
    Category("Ring", "jewellery", (C.GOLD, C.SILVER, C.COPPER, C.STEEL),
        {"stone": s.STONE, "band": s.BAND}, ("inlay", "enamel inlay along the band"), _JEWEL, (40, 600), _BARE),
    Category("Necklace", "jewellery", (C.GOLD, C.SILVER, C.COPPER, C.STEEL),
        {"pendant": s.PENDANT, "chain": s.CHAIN}, ("small beads", "accent beads"), _JEWEL, (30, 420), _BARE),
    Category("Earrings", "jewellery", (C.GOLD, C.SILVER, C.COPPER, C.STEEL),
        {"shape": s.EARRING}, ("small beads", "accent beads"), _SHOE, (18, 260), _BARE),
    Category("Mug", "kitchen", (C.CERAMIC, C.GLASS, C.STEEL, C.WOOD),
        {"shape": s.MUG_SHAPE, "handle": s.MUG_HANDLE}, ("handle and inside", "handle"), _THING, (8, 35), stands=True),
    Category("Pot", "kitchen", (C.IRON, C.STEEL, C.COPPER, C.CERAMIC),
        {"handle": s.POT_HANDLE, "lid": s.POT_LID}, ("knob and handles", "handles and lid knob"), _THING, (30, 220), stands=True),
    Category("Kettle", "kitchen", (C.STEEL, C.COPPER, C.CERAMIC, C.IRON),
        {"spout": s.KETTLE_SPOUT, "handle": s.KETTLE_HANDLE}, ("handle and knob", "grip and lid knob"), _THING, (25, 140), stands=True),
    Category("Bowl", "kitchen", (C.CERAMIC, C.GLASS, C.WOOD, C.BAMBOO),
        {"shape": s.BOWL_SHAPE, "rim": s.BOWL_RIM}, ("inside", "inside and rim"), _THING, (9, 60), stands=True),
    Category("Bottle", "kitchen", (C.STEEL, C.GLASS, C.BAMBOO, C.COPPER),
        {"shape": s.BOTTLE_SHAPE, "lid": s.BOTTLE_CAP}, ("cap and base band", "cap"), _THING, (10, 55), stands=True),
    Category("Lamp", "home", (C.LINEN, C.GLASS, C.BAMBOO, C.STEEL),
        {"shade": s.LAMP_SHADE, "base": s.LAMP_BASE}, ("base", "stand"), _THING, (30, 240), stands=True),
    Category("Cushion", "home", (C.VELVET, C.LINEN, C.WOOL, C.COTTON),
        {"shape": s.CUSHION_SHAPE, "edge": s.CUSHION_EDGE}, ("edging", "border"), _THING, (12, 70)),
    Category("Vase", "home", (C.CERAMIC, C.GLASS, C.COPPER, C.WOOD),
        {"shape": s.VASE_SHAPE, "handles": s.VASE_HANDLES}, ("neck and foot", "lip and foot"), _THING, (14, 120), stands=True),
    Category("Clock", "home", (C.WOOD, C.STEEL, C.BAMBOO, C.COPPER),
        {"shape": s.CLOCK_SHAPE, "markers": s.CLOCK_MARKERS, "extra": s.CLOCK_EXTRA}, ("face", "clock face"), _THING, (20, 130), _SMALL),
)  # fmt: skip

CATEGORIES: dict[str, Category] = {category.name: category for category in _CATEGORIES}
CATEGORY_NAMES = tuple(CATEGORIES)
SLOT_NAMES = tuple(sorted({name for category in _CATEGORIES for name in category.slots}))
