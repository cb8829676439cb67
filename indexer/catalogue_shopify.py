"""Shopify's product CSV: several lines a product, one for each variant and each further picture.

The lines of one handle are one product: its texts from the first, the lowest price, in stock if any variant is, the
pictures in the order of their positions. Products that are not published are left out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from indexer.catalogue_formats import FeedFormat, RawFeed, RawRow, RejectedRow
from indexer.catalogue_values import category_leaf, parse_price
from indexer.catalogue_variants import OPTION_FIELDS, UNPUBLISHED, VARIANT_FIELDS, Variant, apart, merged

MAX_LINES_PER_PRODUCT = 10_000  # far more than Shopify has; bounds what is held of a product
# What the two kinds of export call the columns that are looked at.
_ROLES = {
    "handle": ("handle", "url handle"),
    "title": ("title",),
    "body": ("body (html)", "body html", "description"),
    "vendor": ("vendor",),
    "type": ("type", "product type", "custom product type"),
    "category": ("product category", "standardized product type", "standard product type"),
    "tags": ("tags",),
    "published": ("published", "published on online store"),
    "status": ("status",),
    "sku": ("variant sku", "sku"),
    "price": ("variant price", "price"),
    "compare": ("variant compare at price", "compare-at price"),
    "barcode": ("variant barcode", "barcode"),
    "tracker": ("variant inventory tracker", "inventory tracker"),
    "quantity": ("variant inventory qty", "inventory quantity"),
    "policy": ("variant inventory policy", "continue selling when out of stock"),
    "image": ("image src", "product image url"),
    "position": ("image position",),
    "variant image": ("variant image", "variant image url"),
}
_TELLING = frozenset(
    {"body (html)", "variant price", "variant sku", "image src", "option1 name", "product image url", "url handle"}
)
_OF_VARIANTS = ("sku", "price", "compare", "barcode", "tracker", "quantity", "policy", "variant image")
_NAMES = {
    "handle": "id",
    "title": "title",
    "body": "description",
    "vendor": "brand",
    "sku": "sku",
    "barcode": "barcode",
    "compare": "compare_at_price",
}
# Columns for packing, taxes and search engines, which nobody searches by; `--map` takes any of them all the same.
_OFFICE = (
    *("variant ", "seo ", "option1 ", "option2 ", "option3 ", "google shopping / "),
    *("included / ", "price / ", "compare at price / ", "compare-at price / "),
)
_OFFICE_COLUMNS = frozenset(
    {"image alt text", "gift card", "cost per item", "charge tax", "tax code", "weight value (grams)"}
    | {"weight unit for display", "requires shipping", "fulfillment service"}
    | {"unit price total measure", "unit price total measure unit", "unit price base measure"}
    | {"unit price base measure unit"}
)
_FACTS = {"google shopping / gender": "gender", "google shopping / age group": "age_group"}
_METAFIELD = re.compile(r"(.+) \(product\.metafields\..+\)")


def is_shopify(columns: Iterable[str]) -> bool:
    """Return whether these are columns of a Shopify product CSV, of the older or the newer kind."""
    names = {column.casefold() for column in columns}
    return not names.isdisjoint(_ROLES["handle"]) and "title" in names and not names.isdisjoint(_TELLING)


def shopify_feed(feed: RawFeed, *, variants: bool) -> RawFeed:
    """Return the products of a table whose columns are Shopify's; `variants`: each variant is one."""
    layout = _Layout.of(feed.columns or ())
    left_out: Counter[str] = Counter()
    return RawFeed(
        _products(feed.rows, layout, left_out, variants=variants),
        feed.columns,
        FeedFormat.SHOPIFY,
        layout.named,
        more_columns=True,
        html=frozenset({"description"}),
        left_out=left_out,
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which column plays which role."""

    roles: Mapping[str, str]
    of_variants: frozenset[str]

    @classmethod
    def of(cls, columns: Sequence[str]) -> "_Layout":
        folded = {column.casefold(): column for column in reversed(columns)}
        roles: dict[str, str] = {}
        for role, names in _ROLES.items():
            found = next((folded[name] for name in names if name in folded), None)
            if found is not None:
                roles[role] = found
        own = {roles[role] for role in _OF_VARIANTS if role in roles}
        own |= {column for name, column in folded.items() if name.startswith("variant ")}
        own |= {column for name, column in folded.items() if name.startswith("option") and name.endswith(" value")}
        return cls(roles, frozenset(own))

    def get(self, values: Mapping[str, object], role: str) -> str:
        """Return the text of the cell that plays `role`; empty where there is none."""
        return str(values.get(self.roles[role]) or "").strip() if role in self.roles else ""

    def option(self, values: Mapping[str, object], number: int, part: str) -> str:
        """Return the name or value of an option, as either kind of export has it."""
        for column in (f"Option{number} {part.title()}", f"Option{number} {part}"):
            if values.get(column):
                return str(values[column]).strip()
        return ""

    def named(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return a row under our names, without what only Shopify's own books need."""
        told = {column: role for role, column in self.roles.items()}
        row: dict[str, object] = {name: values[name] for name in VARIANT_FIELDS if name in values}
        for column, value in values.items():
            role = told.get(column)
            if column in VARIANT_FIELDS:
                continue
            if role in _NAMES:
                row.setdefault(_NAMES[role], value)  # a variant has its own
            elif role in {"type", "category"}:
                row["product_category" if role == "category" else "product_type"] = value
            elif role == "tags":
                row["tags"] = [tag.strip() for tag in str(value or "").split(",") if tag.strip()]
            elif role is None and (name := _fact(column)):
                row.setdefault(name, value)
        kind = self.get(values, "type")
        row["category"] = category_leaf(kind) or category_leaf(self.get(values, "category"))
        return row


def _fact(column: str) -> str | None:
    """Return the name of the attribute that a column is; None for one of the office's."""
    name = column.casefold()
    metafield = _METAFIELD.fullmatch(column)
    if metafield is not None:
        return OPTION_FIELDS.get(metafield[1].casefold(), metafield[1])
    if name in _FACTS:
        return _FACTS[name]
    return None if name in _OFFICE_COLUMNS or name.startswith(_OFFICE) else column


def _products(
    rows: Iterator[RawRow | RejectedRow], layout: _Layout, left_out: Counter[str], *, variants: bool
) -> Iterator[RawRow | RejectedRow]:
    for lines, refused in _groups(rows, layout):
        if lines:
            if _is_published(lines[0], layout):
                yield from _product(lines, layout, variants=variants)
            else:
                left_out[UNPUBLISHED] += 1
        yield from refused


def _groups(rows: Iterator[RawRow | RejectedRow], layout: _Layout) -> Iterator[tuple[list[RawRow], list[RejectedRow]]]:
    """Yield the lines of each product, and what among them could not be read."""
    lines: list[RawRow] = []
    refused: list[RejectedRow] = []
    handle = ""
    for row in rows:
        if isinstance(row, RejectedRow):
            refused.append(row)
        elif not (stated := layout.get(row.values, "handle")):
            refused.append(RejectedRow(row.row, layout.roles["handle"], "missing", None, row.line))
        else:
            if stated != handle and (lines or refused):
                yield lines, refused
                lines, refused = [], []
            handle = stated
            lines.append(row)
        if len(lines) + len(refused) >= MAX_LINES_PER_PRODUCT:
            yield lines, refused
            lines, refused = [], []
    if lines or refused:
        yield lines, refused


def _is_published(line: RawRow, layout: _Layout) -> bool:
    hidden = layout.get(line.values, "status").casefold() in {"draft", "archived", "unlisted"}
    return not hidden and layout.get(line.values, "published").casefold() not in {"false", "no", "0"}


def _product(lines: list[RawRow], layout: _Layout, *, variants: bool) -> Iterator[RawRow | RejectedRow]:
    first = lines[0]
    handle = layout.get(first.values, "handle")
    shared: dict[str, object] = {}
    for line in lines:
        for column, value in line.values.items():
            if column not in layout.of_variants and value and not shared.get(column):
                shared[column] = value
    names = [layout.option(shared, number, "name") for number in (1, 2, 3)]
    found: list[tuple[RawRow, Variant]] = []
    refused: list[RejectedRow] = []
    for line in lines:
        try:
            variant = _variant(line, layout, names)
        except ValueError as error:
            refused.append(RejectedRow(line.row, layout.roles["price"], str(error), handle, line.line))
            continue
        if variant is not None:
            found.append((line, variant))
    images = _images(lines, layout)
    if variants and found:
        title = layout.get(shared, "title")
        for line, variant in found:
            yield RawRow(line.row, apart(shared, variant, images, group=handle, title=title), line.line)
    elif not refused:
        yield RawRow(first.row, merged(shared, [variant for _, variant in found], images), first.line)
    yield from refused


def _variant(line: RawRow, layout: _Layout, names: Sequence[str]) -> Variant | None:
    """Return the variant that a line describes, None for one that only has a picture.

    Raises:
        ValueError: its price is none.
    """
    values = line.values
    price, sku = layout.get(values, "price"), layout.get(values, "sku")
    stated = [layout.option(values, number, "value") for number in (1, 2, 3)]
    if not price and not sku and not any(stated):
        return None
    options = {name: value for name, value in zip(names, stated, strict=True) if name and value}
    if options == {"Title": "Default Title"}:  # what Shopify writes for a product without options
        options = {}
    image = layout.get(values, "variant image")
    return Variant(
        key=sku,
        price=parse_price(price)[0] if price else None,
        in_stock=_in_stock(values, layout),
        options=options,
        images=(image,) if image else (),
        columns={column: values.get(column) for column in layout.of_variants if values.get(column)},
    )


def _in_stock(values: Mapping[str, object], layout: _Layout) -> bool | None:
    """Return whether a variant can be had; None where its line does not tell."""
    if layout.get(values, "policy").casefold() in {"continue", "true"}:
        return True
    if "tracker" in layout.roles and not layout.get(values, "tracker"):
        return True  # nobody counts it
    try:
        return float(layout.get(values, "quantity")) > 0
    except ValueError:
        return None


def _images(lines: Sequence[RawRow], layout: _Layout) -> list[str]:
    """Return a product's own pictures in the order of their positions; those without one come last."""
    found: list[tuple[float, str]] = []
    for line in lines:
        image = layout.get(line.values, "image")
        if image:
            try:
                place = float(layout.get(line.values, "position"))
            except ValueError:
                place = float("inf")
            found.append((place, image))
    return [image for _, image in sorted(found, key=lambda pair: pair[0])]
