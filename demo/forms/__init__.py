"""The drawn form of each category, by the category's name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from demo.forms import bags, bottoms, home, jewels, kitchen, outer, shoes, soft, tops
from demo.items import Item
from demo.pen import Pen

_DRAW: dict[str, Callable[[Pen], None]] = {
    "T-shirt": tops.t_shirt,
    "Top": tops.top,
    "Shirt": tops.shirt,
    "Sweater": tops.sweater,
    "Hoodie": tops.hoodie,
    "Jacket": outer.jacket,
    "Coat": outer.coat,
    "Dress": bottoms.dress,
    "Skirt": bottoms.skirt,
    "Trousers": bottoms.trousers,
    "Shorts": bottoms.shorts,
    "Scarf": soft.scarf,
    "Hat": soft.hat,
    "Gloves": soft.gloves,
    "Socks": soft.socks,
    "Tie": soft.tie,
    "Belt": soft.belt,
    "Umbrella": soft.umbrella,
    "Sneakers": shoes.sneakers,
    "Boots": shoes.boots,
    "Pumps": shoes.pumps,
    "Sandals": shoes.sandals,
    "Backpack": bags.backpack,
    "Handbag": bags.handbag,
    "Clutch": bags.clutch,
    "Suitcase": bags.suitcase,
    "Watch": jewels.watch,
    "Sunglasses": jewels.sunglasses,
    "Ring": jewels.ring,
    "Necklace": jewels.necklace,
    "Earrings": jewels.earrings,
    "Mug": kitchen.mug,
    "Pot": kitchen.pot,
    "Kettle": kitchen.kettle,
    "Bowl": kitchen.bowl,
    "Bottle": kitchen.bottle,
    "Lamp": home.lamp,
    "Cushion": home.cushion,
    "Vase": home.vase,
    "Clock": home.clock,
}
FORMS: Mapping[str, Callable[[Pen], None]] = MappingProxyType(_DRAW)

_SPLIT_Y = {
    "T-shirt": 124, "Dress": 120, "Skirt": 96, "Shorts": 92, "Hat": 108, "Sneakers": 140, "Boots": 128, "Pumps": 158,
    "Sandals": 138, "Belt": 132, "Umbrella": 78, "Handbag": 146, "Clutch": 128, "Sunglasses": 112, "Lamp": 70,
    "Mug": 126, "Pot": 138, "Kettle": 136, "Bowl": 134, "Bottle": 128, "Suitcase": 130, "Clock": 100,
}  # fmt: skip
"""Where a colour-block product changes colour, in sheet units from the top."""


def drawing(item: Item, *, back: bool = False) -> str:
    """Return the SVG of `item` on a transparent sheet of 224 by 224, seen from the front or the back."""
    pen = Pen(item, back=back, split_y=_SPLIT_Y.get(item.category, 118))
    FORMS[item.category](pen)
    return pen.svg()
