"""A look at a feed in words: the columns, a table of its first products, what is covered, and what is wrong."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from indexer.feed_inspect import FIELDS, Inspection
from models.product import Product

_WIDTHS = {"id": 18, "title": 40, "brand": 16, "category": 18, "price": 12, "in_stock": 8, "images": 6}
_MOST_ATTRIBUTES = 12
_MOST_VALUES = 6
_MOST_PROBLEMS = 20


def words(found: Inspection, feed: Path, written: Path | None) -> str:
    """Return what was found in words, for a terminal."""
    rest = ", and there are more" if found.more else ""
    blocks = [
        f"{feed}: {found.format}; {found.products:,} products in {found.records:,} records{rest}",
        _fields(found),
        _preview(found.preview),
        _attributes(found),
        _groups(found),
        _problems(found),
        *(f"mind: {note}" for note in found.notes),
    ]
    if written is not None:
        blocks.append(f"wrote {written}: python -m indexer build --catalogue {feed} --mapping {written}")
    return "\n\n".join(block for block in blocks if block)


def table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    """Return rows as columns, each at most so wide, the first row underlined."""
    cut = [[_cut(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    wide = [max(_width(row[at]) for row in cut) for at in range(len(widths))]
    lines = ["  ".join(cell + " " * (w - _width(cell)) for cell, w in zip(row, wide, strict=True)) for row in cut]
    return "\n".join([lines[0].rstrip(), "  ".join("-" * w for w in wide), *(line.rstrip() for line in lines[1:])])


def _fields(found: Inspection) -> str:
    rows = [("field", "from", "told by", "products")]
    sources = {guess.field: guess for guess in found.guesses}
    for name in FIELDS:
        guess, share = sources.get(name), found.coverage.get(name, 0.0)
        if guess is None and not share:
            continue
        default = "default" if name in found.mapping.defaults else "values"
        why = guess.why if guess is not None else default
        rows.append((name, guess.column if guess is not None else "", why, f"{share:.0%}"))
    return table(rows, (12, 40, 10, 8)) if len(rows) > 1 else ""


def _preview(products: Sequence[Product]) -> str:
    if not products:
        return ""
    rows = [tuple(_WIDTHS), *(tuple(_cell(product, name) for name in _WIDTHS) for product in products)]
    return table(rows, tuple(_WIDTHS.values()))


def _cell(product: Product, name: str) -> str:
    value = getattr(product, name)
    if name == "images":
        return str(len(product.images))
    if name == "in_stock":
        return "" if value is None else "yes" if value else "no"
    if name == "price":
        return "" if value is None else f"{value:.2f} {product.currency or ''}".strip()
    return "" if value is None else str(value)


def _attributes(found: Inspection) -> str:
    if not found.attributes:
        return ""
    shown = [f"{_cut(name, 30)} {share:.0%}" for name, share in list(found.attributes.items())[:_MOST_ATTRIBUTES]]
    more = len(found.attributes) - len(shown)
    return "attributes: " + ", ".join(shown) + (f", and {more} more" if more else "")


def _groups(found: Inspection) -> str:
    lines = []
    for group, counts in found.groups.items():
        common = ", ".join(f"{_cut(value, 30)} {count:,}" for value, count in counts.most_common(_MOST_VALUES))
        more = ", …" if len(counts) > _MOST_VALUES else ""
        lines.append(f"{group}: {len(counts):,} different: {common}{more}")
    return "\n".join(lines)


def _problems(found: Inspection) -> str:
    left_out = [f"left out: {count:,} records: {reason}" for reason, count in found.left_out.items() if count]
    refused = found.records - found.products
    if not refused:
        return "\n".join(["no record was refused", *left_out] if found.products else left_out)
    shown = [(f"{p.records:,}", p.field, p.reason, p.example) for p in found.problems[:_MOST_PROBLEMS]]
    rows = [("records", "field", "reason", "the first"), *shown]
    head = f"{refused:,} of {found.records:,} records are refused (--max-bad-rows says how many are acceptable)"
    return "\n".join([head, table(rows, (8, 16, 40, 90)), *left_out])


def _cut(text: str, width: int) -> str:
    """Return a text on one line that is at most so many columns wide, without control characters."""
    clean = " ".join("".join(" " if unicodedata.category(c) in {"Cc", "Cf"} else c for c in text).split())
    if _width(clean) <= width:
        return clean
    kept = ""
    for character in clean:
        if _width(kept) + _width(character) >= width:
            break
        kept += character
    return kept + "…"


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)
