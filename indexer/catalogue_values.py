"""What feeds write in their cells: prices with currencies, yes and no, lists of pictures, Merchant columns.

Pure functions from a raw row to the flat row that `models.product.product_from_row` reads. Reading files is
left to `indexer.catalogue_formats`, validation of the finished product to `models.product`.
"""

import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

import orjson

Parsed = TypeVar("Parsed")

# Columns that only the Google Merchant format has: any of them makes a row a Merchant row.
MERCHANT_COLUMNS = frozenset({"image_link", "additional_image_link", "item_group_id", "google_product_category"})
_MERCHANT_NAMES = {"link": "url", "item_group_id": "group", "material": "composition"}
_IN_STOCK = frozenset({"in_stock", "limited_availability", "available"})
_OUT_OF_STOCK = frozenset({"out_of_stock", "preorder", "backorder", "discontinued", "sold_out", "unavailable"})
_YES = frozenset({"true", "t", "yes", "y", "1", "on", "ja", "wahr", "oui", "vrai", "si", "sí", "sì", "sim", "tak"})
_NO = frozenset({"false", "f", "no", "n", "0", "off", "nein", "falsch", "non", "faux", "nee", "não", "nie"})

_PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_PRICE = re.compile(r"(?P<minus>-?)\s*(?P<before>[^\d\s.,'-]*)\s*(?P<number>\d[\d.,'\s]*)(?P<after>[^\d\s.,'-]*)")
_THOUSANDS = re.compile(r"[.,'\s]")
_CURRENCY_SIGNS = {
    "": None,
    "$": None,
    "¥": None,
    "kr": None,
    "US$": "USD",
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "zł": "PLN",
}
_PICTURE_SEPARATOR = re.compile(r"\s*\|\s*|\s*,\s*(?=https?://)|\s+(?=https?://)")


class CellError(ValueError):
    """A cell that does not hold what its field needs; `field` names it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def parse_price(value: object) -> tuple[float, str | None]:
    """Return amount and ISO 4217 currency (None: not stated) of a price such as `12.90`, `12,90 EUR`, `€ 1.299,00`.

    With both `.` and `,` the last one is the decimal sign; a single `,` is one too unless exactly three
    digits follow it; a single `.` always is.

    Raises:
        ValueError: it is no number, not finite, or negative.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        msg = f"not a price: {_shown(value)}"
        raise ValueError(msg)
    amount, currency = _price_text(value) if isinstance(value, str) else (float(value), None)
    if not math.isfinite(amount):
        msg = f"not a finite number: {_shown(value)}"
        raise ValueError(msg)
    if amount < 0:
        msg = f"negative: {_shown(value)}"
        raise ValueError(msg)
    return amount, currency


def parse_stock(value: object) -> bool:
    """Return whether `value` says that a product can be had: yes and no, 1 and 0, `in stock`, `out_of_stock`, ...

    Raises:
        ValueError: it says neither.
    """
    word = re.sub(r"[\s_-]+", "_", str(value).strip().casefold())
    if word in _YES | _IN_STOCK or word == "1.0":
        return True
    if word in _NO | _OUT_OF_STOCK or word == "0.0":
        return False
    msg = f"neither in stock nor out of stock: {_shown(value)}"
    raise ValueError(msg)


def parse_pictures(value: object) -> list[str]:
    """Return the picture references in a cell: a list, a JSON list, or text separated by `|`.

    Before a URL, a comma or white space separates too. A `data:` URI is one reference.

    Raises:
        ValueError: the cell is something else.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            value = _json_list(text)
        else:
            return [text] if text.startswith("data:") else [p for p in _PICTURE_SEPARATOR.split(text) if p]
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return [part.strip() for part in value if part.strip()]
    msg = f"not a list of pictures: {_shown(value)}"
    raise ValueError(msg)


def is_merchant(columns: Iterable[str]) -> bool:
    """Return whether one of `columns` is one that only the Google Merchant format has."""
    names = {c.strip().casefold().removeprefix("g:").replace(" ", "_") for c in columns}
    return not names.isdisjoint(MERCHANT_COLUMNS)


def apart_pictures(row: dict[str, object]) -> dict[str, object]:
    """Return `row` with pictures that came as `{bytes, path}`, one or a list, under `image_bytes` or `images`.

    That is how Hugging Face data sets hold them, in a column that is mostly called `image`.

    Raises:
        CellError: some of a product's pictures came as bytes, and some as paths.
    """
    column = "images" if _as_structs(row.get("images")) else "image"
    structs = _as_structs(row.get(column))
    if not structs:
        return row
    kept = {name: value for name, value in row.items() if name != column}
    contents = [struct["bytes"] for struct in structs if struct.get("bytes")]
    paths = [struct["path"] for struct in structs if not struct.get("bytes") and struct.get("path")]
    if contents and paths:
        raise CellError("images", "some came as bytes, and some as paths")
    if contents:
        return {**kept, "image_bytes": contents}
    return {**kept, "images": paths} if paths else kept


def _as_structs(cell: object) -> list[Mapping[str, object]]:
    parts: Iterable[object] = cell if isinstance(cell, list | tuple) else (cell,)
    structs: list[Mapping[str, object]] = [
        part for part in parts if isinstance(part, dict) and part and part.keys() <= {"bytes", "path"}
    ]
    return structs if len(structs) == sum(part is not None for part in parts) else []


def category_leaf(path: str) -> str:
    """Return the last step of a category such as `Clothing > Women > Dresses`."""
    return path.rpartition(">")[2].strip()


def merchant_row(values: Mapping[str, object]) -> dict[str, object]:
    """Return a Google Merchant row under our names: url, group, composition, images, category, in_stock.

    The category is the last step of `product_type`, else of `google_product_category` unless that is a
    number; the paths themselves stay as attributes.
    """
    row: dict[str, object] = {}
    pictures: list[str] = []
    for column, value in values.items():
        name = re.sub(r"[\s-]+", "_", column.strip().casefold().removeprefix("g:"))
        if name in {"image_link", "additional_image_link"}:
            place = 0 if name == "image_link" else len(pictures)
            pictures[place:place] = parse_pictures(value) if value else []
        elif name == "availability":
            row["in_stock"] = value
        else:
            row[_MERCHANT_NAMES.get(name, name)] = value
    if pictures:
        row["images"] = list(dict.fromkeys(pictures))
    leaf = _category_leaf(row)
    if leaf and not row.get("category"):
        row["category"] = leaf
    return row


def plain_row(values: Mapping[str, object]) -> dict[str, object]:
    """Return the row with prices, stock and text fields in the types a product has.

    Raises:
        CellError: naming the field whose value cannot be read.
    """
    row = {name: _plain(name, value) for name, value in values.items()}
    row = {name: value for name, value in row.items() if value is not None and value not in ("", [], ())}
    if "price" in row:
        row.update(_priced(row))
    if isinstance(row.get("currency"), str):
        row["currency"] = str(row["currency"]).upper()
    if "in_stock" in row:
        row["in_stock"] = _field("in_stock", parse_stock, row["in_stock"])
    return row


_TEXT_FIELDS = frozenset(
    {"id", "title", "description", "brand", "category", "season", "composition", "currency", "url", "group"}
)


def _plain(name: str, value: object) -> object:
    """Return a cell as text, number, boolean or list of texts; None where it states nothing."""
    match value:
        case str():
            return _text(name, value)
        case list() | tuple() if name != "images":
            return tuple(_text(name, str(part)) for part in value if part is not None)
        case int() | float() | Decimal() if not isinstance(value, bool):
            return _number(name, value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case _:
            return value


def _number(name: str, value: float | Decimal) -> object:
    """Return a number as such, as text in a text field, and as nothing where it is not a number at all."""
    if not math.isfinite(value):
        return value if name == "price" else None
    if name in _TEXT_FIELDS:
        return str(int(value)) if value == int(value) else str(value)
    return float(value) if isinstance(value, Decimal) else value


def _text(name: str, value: str) -> str:
    if "\0" in value:
        raise CellError(name, "holds a NUL byte")
    return value.strip()


def _priced(row: Mapping[str, object]) -> dict[str, object]:
    amount, currency = _field("price", parse_price, row["price"])
    stated = row.get("currency")
    if currency and isinstance(stated, str) and stated.upper() != currency:
        raise CellError("currency", f"{stated} here, {currency} beside the price")
    return {"price": amount, **({"currency": currency} if currency else {})}


def _field(name: str, parse: Callable[[object], Parsed], value: object) -> Parsed:
    try:
        return parse(value)
    except ValueError as error:
        raise CellError(name, str(error)) from error


def _price_text(text: str) -> tuple[float, str | None]:
    stripped = text.strip()
    if _PLAIN_NUMBER.fullmatch(stripped):
        return float(stripped), None
    match = _PRICE.fullmatch(stripped)
    if match is None or (match["before"] and match["after"]):
        msg = f"not a price: {_shown(text)}"
        raise ValueError(msg)
    amount = _grouped(match["number"].strip())
    return -amount if match["minus"] else amount, _currency(match["before"] or match["after"])


def _currency(sign: str) -> str | None:
    """Return the ISO code of a currency sign; None for a sign that several currencies share."""
    if sign in _CURRENCY_SIGNS:
        return _CURRENCY_SIGNS[sign]
    if len(sign) == 3 and sign.isascii() and sign.isalpha():
        return sign.upper()
    msg = f"unknown currency: {_shown(sign)}"
    raise ValueError(msg)


def _grouped(number: str) -> float:
    """Return the value of digits with thousands separators and a decimal sign of either kind."""
    dot, comma = number.rfind("."), number.rfind(",")
    at = max(dot, comma)
    single = number.count(number[at]) == 1 if at >= 0 else False
    is_thousands = at == comma and dot < 0 and len(number) - at == 4
    whole, fraction = (number[:at], number[at + 1 :]) if single and not is_thousands else (number, "")
    groups = _THOUSANDS.split(whole)
    signs = set(_THOUSANDS.findall(whole))
    well_formed = len(groups) == 1 or (
        len(signs) == 1
        and 1 <= len(groups[0]) <= 3
        and len(groups[-1]) == 3
        and all(2 <= len(group) <= 3 for group in groups[1:-1])
    )
    if not well_formed or not all(map(str.isdecimal, groups)) or not (fraction or "0").isdecimal():
        msg = f"not a price: {_shown(number)}"
        raise ValueError(msg)
    return float("".join(groups) + "." + (fraction or "0"))


def _category_leaf(row: Mapping[str, object]) -> str | None:
    for column in ("product_type", "google_product_category"):
        stated = row.get(column)
        first = stated[0] if isinstance(stated, list | tuple) and stated else stated
        if isinstance(first, str) and first.strip() and not first.strip().isdecimal():
            return category_leaf(first)
    return None


def _json_list(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        msg = f"not a JSON list: {_shown(text)}"
        raise ValueError(msg) from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
