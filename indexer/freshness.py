"""Whether a bundle knows what the update log and the bundle before it know.

A bundle need not be newer than the current one: whoever serves it applies what the log holds after its place. It is
stale if the log holds some of that no more, if its products are not as the changes that it says it holds left them, or
if its feed is the older one. Prices that went back are told by `indexer.against`.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Final

import orjson

from indexer.bundle import Bundle
from indexer.checks import Check, none_of, skipped
from indexer.updates import Kind, LogUnavailableError, Position, UpdateLog

_PRICED: Final = ("price", "in_stock")
_READ_AT_ONCE: Final = 100  # entries of the update log: pictures come with them
_TOLERATED: Final = 0.02  # of the products that the log changed


def fresh(bundle: Bundle, current: Bundle | None, log: UpdateLog | None) -> Iterator[Check]:
    """Yield what speaks for a bundle being up to date, and what against it."""
    mine = _position(bundle)
    if log is not None:
        yield from _against_log(bundle, log, mine)
    elif current is not None:
        theirs = _position(current)
        behind = mine is not None and theirs is not None and mine.epoch == theirs.epoch and mine.seq < theirs.seq
        says = f"stale: it stands at {mine} of the update log, the current bundle at {theirs}"
        yield none_of("log-position", "not behind the current bundle in the update log", [says] if behind else [])
    if current is not None:
        yield _feed_checked(bundle, current)


def _against_log(bundle: Bundle, log: UpdateLog, mine: Position | None) -> Iterator[Check]:
    try:
        yield _held(log, mine)
        yield log_prices(bundle, log)
    except LogUnavailableError as error:
        yield skipped("log", f"the update log cannot be reached: {error}")


def _position(bundle: Bundle) -> Position | None:
    text = bundle.manifest.log_position
    return None if text is None else Position.parse(text)


def _feed_checked(bundle: Bundle, current: Bundle) -> Check:
    """Check that the feed is not older than that of the current bundle, where both say when theirs was made."""
    mine, theirs = bundle.manifest.feed_as_of, current.manifest.feed_as_of
    if mine is None or theirs is None:
        return skipped("feed", "not both bundles say when their feed was made (--feed-as-of)")
    says = f"stale: its feed is of {_utc(mine)}, that of the current bundle of {_utc(theirs)}"
    return none_of("feed", f"its feed is of {_utc(mine)}", [says] if mine < theirs else [])


def _utc(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="seconds")


def _held(log: UpdateLog, mine: Position | None) -> Check:
    """Check that the log still holds all that comes after the bundle."""
    tail = log.tail()
    seen = mine.seq if mine is not None and mine.epoch == tail.epoch else 0
    gone = log.trimmed()
    says = f"stale: it stands at {seen} of the update log, whose changes up to {gone} are held no more"
    return none_of(
        "log-position", f"all changes after {seen} of the update log are held", [says] if gone > seen else []
    )


def log_prices(bundle: Bundle, log: UpdateLog) -> Check:
    """Check that prices and stock are those of the changes that the bundle says it holds."""
    mine, since = _position(bundle), bundle.manifest.feed_as_of
    if mine is None or mine.epoch != log.tail().epoch:
        return skipped("log-prices", "no change of the update log is folded in")
    stated: dict[str, dict[str, object]] = {}
    for product_id, values in _priced(log, mine.seq, since):
        stated.setdefault(product_id, {}).update(values)
    differ: list[str] = []
    known = 0
    for product_id, values in stated.items():
        row = bundle.products.row_of(product_id)
        if row is not None:
            known += 1
            product = bundle.products[row]
            if any(getattr(product, name) != value for name, value in values.items()):
                differ.append(product_id)
    if len(differ) <= _TOLERATED * known:
        return none_of("log-prices", f"{known:,} products have the prices and stock of the update log", [])
    says = f"stale prices: {len(differ):,} of {known:,} products that the update log changed have other prices or stock"
    return none_of("log-prices", "", [says])


def _priced(log: UpdateLog, last: int, since: float | None) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield what the changes up to `last`, stored after `since`, state of prices and stock, in order."""
    after = 0
    while entries := log.read(after, _READ_AT_ONCE):
        for entry in entries:
            folded = entry.seq <= last and (since is None or entry.at > since)
            if folded and entry.kind in {Kind.PUT, Kind.PATCH}:
                values = orjson.loads(entry.payload)
                values = values["product"] if entry.kind == Kind.PUT else values
                yield entry.product_id, {name: values[name] for name in _PRICED if name in values}
        after = entries[-1].seq
        if after >= last:
            return
