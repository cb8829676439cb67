"""schema.org offers: the lowest price, its currency, and whether any of them can be had."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from indexer.catalogue_values import parse_price

Node = Mapping[str, object]

_AVAILABLE = frozenset({"instock", "limitedavailability", "onlineonly", "instoreonly", "madetoorder"})
_UNAVAILABLE = frozenset({"outofstock", "soldout", "discontinued", "preorder", "presale", "backorder", "reserved"})


@dataclass(frozen=True, slots=True)
class Offer:
    """What the offers of one product come to; `unread` is a price that none of them should state."""

    price: float | None = None
    currency: str | None = None
    in_stock: bool | None = None
    unread: object = None


def offer_of(offers: Sequence[Node], full: Callable[[object], Node]) -> Offer:
    """Return what `offers` come to; `full` returns the node that a value is or refers to."""
    prices: list[tuple[float, str | None]] = []
    stocks: list[bool | None] = []
    unread: object = None
    for offer in _single(offers, full):
        stocks.append(_available(offer.get("availability")))
        for stated, currency in _prices(offer, full):
            try:
                amount, beside = parse_price(stated)
            except ValueError:
                unread = stated
                continue
            prices.append((amount, beside or currency))
    in_stock = True if True in stocks else False if stocks and None not in stocks else None
    if not prices:
        return Offer(None, None, in_stock, unread)
    amount, currency = min(prices, key=lambda price: price[0])
    return Offer(amount, currency, in_stock, unread)


def _single(offers: Sequence[Node], full: Callable[[object], Node]) -> Iterator[Node]:
    """Yield offers, and those inside aggregate ones where these are spelt out."""
    for offer in offers:
        inner = offer.get("offers")
        parts = [full(part) for part in (inner if isinstance(inner, list) else [inner]) if isinstance(part, dict)]
        if not parts:
            yield offer
        for part in parts:
            yield {"priceCurrency": offer.get("priceCurrency"), **part}


def _prices(offer: Node, full: Callable[[object], Node]) -> Iterator[tuple[object, str | None]]:
    """Yield the prices of one offer with their currencies: its own, its lowest, or those it specifies."""
    currency = _word(offer.get("priceCurrency"))
    for name in ("price", "lowPrice"):
        if offer.get(name) not in (None, ""):
            yield offer[name], currency
            return
    specified = offer.get("priceSpecification")
    for part in specified if isinstance(specified, list) else [specified]:
        node = full(part)
        is_former = str(node.get("priceType", "")).endswith(("ListPrice", "StrikethroughPrice", "MSRP", "SRP"))
        if node.get("price") not in (None, "") and not is_former:
            yield node["price"], _word(node.get("priceCurrency")) or currency


def _available(stated: object) -> bool | None:
    """Return whether `https://schema.org/InStock` and its like say that something can be had."""
    word = str(stated or "").strip().rpartition("/")[2].rpartition(":")[2].replace(" ", "").replace("_", "").casefold()
    return True if word in _AVAILABLE else False if word in _UNAVAILABLE else None


def _word(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
