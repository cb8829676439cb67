"""A bundle against the one that is current: what it lacks, what went back, what it finds worse, what is slower.

Two catalogues are read column by column, never product by product. Whether a bundle is sound in itself is left to
`indexer.soundness`, what changed product by product to `indexer.diff`.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from indexer.bars import Bars
from indexer.bundle import Bundle
from indexer.checks import Check, at_most, listed, none_of, skipped
from indexer.evaluate import sample_queries
from indexer.judged import ALL_KINDS, JudgedQuery, judge
from indexer.made_queries import make_queries
from indexer.manifest import QueryKind
from indexer.products import ProductTable
from indexer.ranking import rank
from indexer.soundness import Sample
from models.encoder import Encoder

# The replacement character, and UTF-8 read as Latin-1 or Windows-1252: what no title means to say.
_DAMAGED: Final = "\ufffd|[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac|\u00ef\u00bb\u00bf"
_TIMED: Final = 24  # queries
_ROUNDS: Final = 2  # of them: the fastest counts, for a machine is busy with other things now and then
_PLACES: Final = 10

Rows = NDArray[np.int64]


def coverage(bundle: Bundle, current: Bundle, bars: Bars) -> list[Check]:
    """Check that the products, their categories and their pictures are about those of `current`."""
    old, new = current.products, bundle.products
    lost = max(0, len(old) - len(new))
    kept = pc.is_in(old.column("id"), value_set=new.column("id"))
    gone = len(old) - int(pc.sum(kept).as_py() or 0)
    seen = f"{len(new):,} products, where {current.manifest.id} has {len(old):,}"
    loss = "the share of products by which the catalogue shrinks"
    return [
        _share("products", loss, lost, len(old), bars.product_loss, bars.slack, seen),
        _share("growth", "the growth of the catalogue", len(new) - len(old), len(old), bars.growth, bars.slack, seen),
        _share("kept", "the share of products whose ids are gone", gone, len(old), bars.id_loss, bars.slack, seen),
        *_categories(new, old, bars),
        _pictures(bundle, current, bars),
    ]


def _share(name: str, what: str, number: int, of: int, bar: float, slack: int, seen: str) -> Check:
    """Return whether `number` of so many stays within a share; `slack` of them always do."""
    return at_most(name, what, 0.0 if number <= slack else number / max(of, 1), bar, seen)


def _categories(new: ProductTable, old: ProductTable, bars: Bars) -> list[Check]:
    now, before = category_counts(new), category_counts(old)
    gone = [f"{name} ({n})" for name, n in before.items() if n > bars.slack and name not in now]
    fell = {
        name: 1 - now[name] / n
        for name, n in before.items()
        if name in now and n - now[name] > bars.slack and 1 - now[name] / n > bars.category_loss
    }
    fallen = [f"{name} ({before[name]} to {now[name]}, {share:.0%} fewer)" for name, share in fell.items()]
    faults = [f"categories lost: {len(gone)} ({listed(gone)})"] if gone else []
    most = f"where at most {bars.category_loss:.0%} of one may go"
    thin = [f"categories shrunk: {len(fallen)} ({listed(fallen)}), {most}"] if fallen else []
    return [
        none_of("categories", f"{len(now)} categories, none lost", faults),
        none_of("category-counts", f"no category lost over {bars.category_loss:.0%}", thin),
    ]


def category_counts(table: ProductTable) -> dict[str, int]:
    """Return how many products each category has, the largest first."""
    counted = pc.value_counts(table.column("category").cast(pa.large_string()))
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    return dict(sorted(((name, n) for name, n in pairs if name is not None), key=lambda pair: -pair[1]))


def _pictures(bundle: Bundle, current: Bundle, bars: Bars) -> Check:
    now, before = (len(b.image_rows) / len(b.products) for b in (bundle, current))
    if not before:
        return skipped("pictures", "the current bundle has no pictures")
    seen = f"{now:.2f} pictures for each product, where there were {before:.2f}"
    return at_most("pictures", "the share of pictures lost", max(0.0, 1 - now / before), bars.picture_loss, seen)


def texts(bundle: Bundle, current: Bundle | None, bars: Bars) -> list[Check]:
    """Check that titles and descriptions are not damaged, nor all others than before."""
    damaged = _damaged(bundle.products)
    before = _damaged(current.products) if current is not None else 0.0
    bar = before + bars.damaged_texts
    said = "mangled text: characters that come of reading one encoding as another"
    checks = [at_most("texts", "the share of products with damaged characters", damaged, bar, said)]
    if current is None:
        return checks
    new, old = common_rows(bundle.products, current.products)
    if len(new) < bars.enough:
        return [*checks, skipped("titles", f"{len(new)} products in common are too few to compare titles")]
    changed = differing(bundle.products, current.products, "title", new, old)
    what = "the share of products whose title is another one"
    said = "mangled text, or another field was taken for the title"
    return [*checks, at_most("titles", what, float(changed.mean()), bars.title_change, said)]


def _damaged(table: ProductTable) -> float:
    """Return the share of products whose title or description has damaged characters."""
    found = [pc.match_substring_regex(table.column(name), pattern=_DAMAGED) for name in ("title", "description")]
    return float(pc.mean(pc.or_(*found).cast(pa.float64())).as_py() or 0.0)


def prices(bundle: Bundle, current: Bundle, earlier: ProductTable | None, bars: Bars) -> list[Check]:
    """Check that prices are stated, and not those from before the current bundle.

    `earlier` are the products of what was current before `current`. A price that differs between those two and is
    again the earlier one went back; when most do, an old feed was read.
    """
    new, old = bundle.products, current.products
    stated, before = (_stated(table) for table in (new, old))
    seen = f"{stated:.1%} of products state a price, where {before:.1%} did"
    checks = [at_most("prices", "the share of prices lost", max(0.0, before - stated), bars.price_loss, seen)]
    if earlier is None:
        return [*checks, skipped("prices-back", "nothing was current before the current bundle")]
    rows, current_rows = common_rows(new, old)
    earlier_rows = pc.index_in(pc.take(new.column("id"), pa.array(rows)), value_set=earlier.column("id"))
    held = pc.is_valid(earlier_rows).to_numpy(zero_copy_only=False)
    rows, current_rows = rows[held], current_rows[held]
    then = _prices(earlier)[earlier_rows.drop_null().to_numpy()]
    now, last = _prices(new)[rows], _prices(old)[current_rows]
    moved = then != last
    if int(moved.sum()) < bars.enough:
        why = f"{int(moved.sum())} prices changed with the current bundle: too few to tell whether they went back"
        return [*checks, skipped("prices-back", why)]
    back = float((now[moved] == then[moved]).mean())
    said = f"stale prices: {int(moved.sum()):,} prices changed with {current.manifest.id}; to go back, roll back"
    what = "the share of changed prices that are again what they were before"
    return [*checks, at_most("prices-back", what, back, bars.prices_back, said)]


def _prices(table: ProductTable) -> NDArray[np.float64]:
    """Return the prices, -1 where none is stated."""
    return np.asarray(pc.fill_null(table.column("price"), -1.0).to_numpy(zero_copy_only=False), np.float64)


def _stated(table: ProductTable) -> float:
    return 1.0 - float(table.column("price").null_count) / len(table)


def common_rows(new: ProductTable, old: ProductTable) -> tuple[Rows, Rows]:
    """Return the rows, in each of two tables, of the products that both have, in the order of `new`."""
    places = pc.index_in(new.column("id"), value_set=old.column("id"))
    held = pc.is_valid(places).to_numpy(zero_copy_only=False)
    return np.flatnonzero(held), places.drop_null().to_numpy().astype(np.int64)


def differing(new: ProductTable, old: ProductTable, name: str, rows: Rows, old_rows: Rows) -> NDArray[np.bool_]:
    """Return where a column of `new` at `rows` differs from that of `old` at `old_rows`, `(len(rows),) bool`."""
    left, right = _comparable(new.column(name), rows), _comparable(old.column(name), old_rows)
    equal = pc.fill_null(pc.equal(left, right), fill_value=False)
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    return ~np.asarray(pc.or_(equal, both_null).to_numpy(zero_copy_only=False), np.bool_)


def _comparable(column: pa.Array, rows: Rows) -> pa.Array:
    """Return rows of a column as values that Arrow compares."""
    taken = column.take(pa.array(rows))
    if pa.types.is_dictionary(taken.type):
        return taken.cast(pa.string())
    if pa.types.is_large_list(taken.type):
        return pc.binary_join(taken, pa.scalar("\x1f", pa.large_string()))
    return taken


def golden(
    bundle: Bundle, current: Bundle | None, encoder: Encoder, queries: Sequence[JudgedQuery], bars: Bars
) -> Check:
    """Check that judged queries find as much as in `current`; None: there is nothing to compare with.

    What one of the bundles does not hold is not asked of it: coverage is a matter of its own.
    """
    held = [_held(bundle, query) for query in queries]
    if current is None:
        return _ndcg("golden", judged_ndcg(bundle, encoder, [q for q in held if q.relevant]), None, bars.golden_loss)
    before = [_held(current, query) for query in queries]
    both = [(new, old) for new, old in zip(held, before, strict=True) if new.relevant and old.relevant]
    now = judged_ndcg(bundle, encoder, [new for new, _ in both])
    return _ndcg("golden", now, judged_ndcg(current, encoder, [old for _, old in both]), bars.golden_loss)


def made(bundle: Bundle, current: Bundle, encoder: Encoder, bars: Bars, sample: Sample) -> Check:
    """Check that queries made of the current catalogue's own entities find as much as in it.

    An answer is whatever states all that a query names, in each bundle by itself.
    """
    queries = make_queries(current, sample.size, sample.seed)
    both = [(query, old) for query in queries if (old := _stating(bundle, query)).relevant]
    if len(both) < bars.enough:
        return skipped("made-queries", f"{len(both)} queries could be made: too few to tell")
    now = judged_ndcg(bundle, encoder, [asked for _, asked in both])
    before = judged_ndcg(current, encoder, [query for query, _ in both])
    return _ndcg("made-queries", now, before, bars.made_loss)


def judged_ndcg(bundle: Bundle, encoder: Encoder, queries: Sequence[JudgedQuery]) -> float | None:
    """Return the mean nDCG@10 of judged queries; None without any."""
    if not queries:
        return None
    [judgement] = judge(bundle, encoder, queries)
    return judgement.kinds[ALL_KINDS].ndcg_at_10


def compared(name: str, now: float, before: float, most: float) -> Check:
    """Return whether an nDCG fell by no more than `most`."""
    if before - now <= most:
        says = f"nDCG@10 of {name} is {now:.3f}, {before:.3f} in the current bundle"
        return Check(name=name, outcome="passed", says=says, measured=now, bar=round(before - most, 6))
    says = (
        f"nDCG@10 of {name} is {now:.3f}, {before - now:.3f} below the current bundle's {before:.3f}, "
        f"where at most {most:.3f} may be lost"
    )
    return Check(name=name, outcome="failed", says=says, measured=now, bar=round(before - most, 6))


def _ndcg(name: str, now: float | None, before: float | None, most: float) -> Check:
    if now is None:
        return skipped(name, "no query has an answer in this catalogue")
    if before is None:
        says = f"nDCG@10 of {name} is {now:.3f}; there is nothing to compare it with"
        return Check(name=name, outcome="passed", says=says, measured=now)
    return compared(name, now, before, most)


def _held(bundle: Bundle, query: JudgedQuery) -> JudgedQuery:
    """Return a query with those of its answers that a bundle holds."""
    relevant = tuple(i for i in query.relevant if bundle.products.row_of(i) is not None)
    gains: Mapping[str, float] = {i: g for i, g in query.gains.items() if bundle.products.row_of(i) is not None}
    return query.model_copy(update={"relevant": relevant, "gains": gains})


def _stating(bundle: Bundle, query: JudgedQuery) -> JudgedQuery:
    """Return a made query with the products of a bundle that state all it names."""
    columns = bundle.fields.keywords(entity.group for entity in query.entities)
    having = [columns[e.group].having([e.value]) for e in query.entities if e.group in columns]
    every = np.logical_and.reduce(having) if len(having) == len(query.entities) else np.zeros(0, np.bool_)
    rows = np.flatnonzero(every)
    return query.model_copy(update={"relevant": tuple(bundle.products.id_of(int(row)) for row in rows)})


def latency(bundle: Bundle, current: Bundle | None, bars: Bars, sample: Sample) -> list[Check]:
    """Check how long ranking takes, by itself and against `current`, on this machine now."""
    now = _median_ms(bundle, sample)
    checks = [at_most("latency", "the median time of a ranking in ms", now, bars.latency_ms)]
    if current is None:
        return checks
    before = _median_ms(current, sample)
    bar = max(bars.slowdown * before, bars.latency_floor_ms)
    return [*checks, at_most("slowdown", "the median time of a ranking in ms", now, bar, f"{before:.3f} ms before")]


def _median_ms(bundle: Bundle, sample: Sample) -> float:
    queries = sample_queries(bundle, _TIMED, sample.seed)
    weights = bundle.manifest.fusion[QueryKind.TEXT]
    medians = []
    for _ in range(_ROUNDS):
        times = []
        for q in queries:
            start = time.perf_counter()
            rank(bundle, q, weights, _PLACES)
            times.append((time.perf_counter() - start) * 1e3)
        medians.append(float(np.median(times)))
    return round(min(medians), 4)
