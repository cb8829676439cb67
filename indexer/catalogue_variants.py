"""Variants of one product, in sizes and colours: merged into one product, or each a product of its own.

What shops export has them in ways of their own; the readers of those make `Variant`s, the rules are here. A row
names in our words what comes of several variants (`price`, `in_stock`, `images`), and the options as attributes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from models.product import Product

UNPUBLISHED = "not published"  # why a product is left out
# What `merged` and `apart` say in our words.
VARIANT_FIELDS = ("id", "title", "group", "price", "currency", "in_stock", "images")
# Options and attributes that are fields of ours, by their names in small letters.
OPTION_FIELDS = {"brand": "brand", "season": "season", "material": "composition", "composition": "composition"}


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that can be bought.

    Attributes:
        key: what names it in the feed, empty if nothing does.
        price: in `currency`; None: not stated.
        options: such as `{"Colour": "red", "Size": "M"}`.
        images: its own pictures.
        columns: what else its line says, under the feed's own names.
    """

    key: str = ""
    price: float | None = None
    currency: str | None = None
    in_stock: bool | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    columns: Mapping[str, object] = field(default_factory=dict)


def merged(shared: Mapping[str, object], variants: Sequence[Variant], images: Iterable[str]) -> dict[str, object]:
    """Return one row for a product and its variants: the lowest price, in stock if any is, all pictures once.

    An option becomes an attribute, a list where the variants differ in it.
    """
    row = dict(shared)
    for column in dict.fromkeys(name for variant in variants for name in variant.columns):
        put(row, column, _distinct(variant.columns.get(column) for variant in variants))
    for name in dict.fromkeys(name for variant in variants for name in variant.options):
        _put_option(row, name, _distinct(variant.options.get(name) for variant in variants))
    priced = min((v for v in variants if v.price is not None), key=lambda v: v.price or 0.0, default=None)
    stocks = [variant.in_stock for variant in variants]
    put(row, "price", [] if priced is None else [priced.price])
    put(row, "currency", [] if priced is None or priced.currency is None else [priced.currency])
    put(row, "in_stock", [True] if True in stocks else [False] if stocks and None not in stocks else [])
    row["images"] = list(dict.fromkeys([*images, *(image for variant in variants for image in variant.images)]))
    return row


def apart(
    shared: Mapping[str, object], variant: Variant, images: Iterable[str], *, group: str, title: str
) -> dict[str, object]:
    """Return the row of one variant: its options behind the title, its pictures first, `group` the product's id.

    Its id is its key, else the group and its options.
    """
    row = merged(shared, [variant], [*variant.images, *images] if not variant.images else variant.images)
    options = list(variant.options.values())
    row["id"] = variant.key or ":".join([group, *options])
    row["group"] = group
    row["title"] = ", ".join([title, *options]) if title else ""
    return row


def put(row: dict[str, object], name: str, values: Sequence[object]) -> None:
    """Set `name` to the one value there is, or to a list of several; leave it alone for none."""
    if values:
        row[name] = values[0] if len(values) == 1 else list(values)


def _put_option(row: dict[str, object], name: str, values: Sequence[object]) -> None:
    """Set an option as an attribute, or as the field of ours that it is; names that fields have are set apart."""
    known = OPTION_FIELDS.get(name.strip().casefold())
    if known is not None:
        if values and not row.get(known):
            row[known] = ", ".join(map(str, values))
        return
    put(row, f"option {name}" if name in Product.model_fields else name, values)


def _distinct(values: Iterable[object]) -> list[object]:
    """Return the values that state something, each once, in order."""
    found: list[object] = []
    for value in values:
        if value not in (None, "") and value not in found:
            found.append(value)
    return found
