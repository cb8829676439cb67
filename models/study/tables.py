"""From measurements to tables: values in, text out.

Every figure is a mean over the seeds of a system, in percent, with a 95% bootstrap interval over the queries. What
was not measured is a dash, and every table says what it was made of.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from models.compare import Comparison, check_comparable, compare, hits
from models.measured import DEPTHS, Level, LevelName, Measurement
from models.metrics import Interval, Values, bootstrap_interval
from models.protocols import SAMPLE_SEED
from models.study.spec import Cell, ComparisonTable, GridTable, Study, SystemsTable
from models.study.store import Record

WAYS = {"text_to_image": "text→image", "image_to_text": "image→text"}
MISSING = "–"

Cells = Mapping[Cell, Sequence[Measurement]]
"""The measurements of each cell, one for each seed there is."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as a reader sees it; `made` says what of."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    made: str


def cells_of(records: Iterable[Record]) -> dict[Cell, list[Measurement]]:
    """Return the measurements of each cell."""
    found: dict[Cell, list[Measurement]] = {}
    for record in records:
        for protocol, measurement in record.measurements.items():
            found.setdefault(Cell(record.run.system.name, protocol), []).append(measurement)
    return found


def recall(measurements: Sequence[Measurement], level: LevelName, way: str, k: int) -> Interval:
    """Return R@k, the mean over the seeds, in 0..1, with its interval over the queries.

    Raises:
        ComparisonError: the seeds were not measured on the same queries.
    """
    check_comparable(measurements)
    return bootstrap_interval(hits([m.ranks for m in measurements], f"{level}/{way}", k), seed=SAMPLE_SEED)


def sum_of_recalls(measurements: Sequence[Measurement], level: LevelName) -> float:
    """Return SumR, the mean over the seeds, at most 600."""
    levels: list[Level] = [getattr(m.evaluation, level) for m in measurements]
    return sum(each.sum_r for each in levels) / len(levels)


def study_tables(study: Study, records: Sequence[Record], command: str) -> list[Table]:
    """Return every table of `study`, and last the one of its runs."""
    cells = cells_of(records)
    tables: list[Table] = []
    for table in study.tables:
        made = provenance(among(records, table.cells()), command)
        if isinstance(table, SystemsTable):
            tables += _systems(study, table, cells, made)
        elif isinstance(table, ComparisonTable):
            tables.append(_comparison(table, cells, made))
        else:
            tables.append(_grid(table, cells, made))
    return [*tables, _runs(records, command)]


def among(records: Iterable[Record], cells: Iterable[Cell]) -> list[Record]:
    """Return the records that hold a measurement of one of `cells`."""
    asked = set(cells)
    return [r for r in records if any(Cell(r.run.system.name, protocol) in asked for protocol in r.measurements)]


def provenance(records: Sequence[Record], command: str) -> str:
    """Return what figures taken from `records` were made of, in one line."""
    measured = [m.evaluation for record in records for m in record.measurements.values()]
    if not measured:
        return f"nothing measured yet; {command}"
    full = [e for e in measured if e.candidates == "full"] or measured
    trained = [record for record in records if record.card is not None]
    products = f"{_some(f'{e.catalogue}/{e.split}' for e in full)}, {_some(f'{e.products:,}' for e in full)} products"
    parts = [
        f"{products}, data {_some(e.data[:12] for e in full)}",
        f"seeds {_some(str(record.run.seed) for record in trained)}",
        f"commit {_some(_commit(record) for record in trained)}",
        f"training {_spread([record for record in trained if record.times.complete])} a run",
        command,
    ]
    return " · ".join(parts)


def _some(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values)) or MISSING


def _commit(record: Record) -> str:
    commit = record.card.training.commit if record.card and record.card.training else None
    return "unknown" if commit is None else commit[:10] + ("-dirty" if commit.endswith("-dirty") else "")


def _spread(records: Sequence[Record]) -> str:
    if not records:
        return MISSING
    seconds = [record.times.wall_s for record in records]
    return f"{min(seconds):,.0f}–{max(seconds):,.0f} s" if len(seconds) > 1 else f"{seconds[0]:,.0f} s"


def _systems(study: Study, table: SystemsTable, cells: Cells, made: str) -> Iterator[Table]:
    titles = {system.name: system.title for system in study.systems}
    header = ("system", "seeds", *(f"{way} R@{k}" for way in WAYS.values() for k in DEPTHS), "SumR")
    for protocol in table.protocols:
        for level in table.levels:
            rows = []
            for system in table.systems:
                found = cells.get(Cell(system, protocol), ())
                shown = [interval(found, level, way, k) for way in WAYS for k in DEPTHS]
                total = f"{sum_of_recalls(found, level):.1f}" if found else MISSING
                rows.append((titles[system], str(len(found)), *shown, total))
            some = next((m for s in table.systems for m in cells.get(Cell(s, protocol), ())), None)
            title = f"{table.title}: {protocol if some is None else described(some)}, per {level}"
            yield Table(title, table.note, header, tuple(rows), made)


def described(measurement: Measurement) -> str:
    """Return what the candidates of a measurement were."""
    figures = measurement.evaluation
    if figures.candidates == "full":
        return f"all {figures.products:,} candidates"
    return f"{figures.candidates_mean:.0f} candidates of the same {figures.protocol.category_group.replace('_', '-')}"


def interval(measurements: Sequence[Measurement], level: LevelName, way: str, k: int) -> str:
    """Return R@k in percent with its interval."""
    if not measurements:
        return MISSING
    found = recall(measurements, level, way, k)
    return f"{100 * found.mean:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def comparisons(table: ComparisonTable, cells: Cells) -> Iterator[tuple[tuple[str, str], list[Comparison]]]:
    """Yield each pair of `table` with its comparisons, none where a side was not measured.

    Raises:
        ComparisonError: the sides were not measured on the same queries.
    """
    for pair in table.pairs:
        sides = [cells.get(table.cell(text), ()) for text in pair]
        if not all(sides):
            yield pair, []
            continue
        check_comparable([m for side in sides for m in side])
        a, b = ([_level_ranks(m, table.level) for m in side] for side in sides)
        yield pair, compare(a, b, depths=table.depths)


def _level_ranks(measurement: Measurement, level: str) -> dict[str, Values]:
    return {key: ranks for key, ranks in measurement.ranks.items() if key.startswith(f"{level}/")}


def _comparison(table: ComparisonTable, cells: Cells, made: str) -> Table:
    header = ("A against B", "", "A", "B", "A − B", "95% interval", "p", "relative")
    rows: list[tuple[str, ...]] = []
    for (a, b), found in comparisons(table, cells):
        name = f"{a} against {b}"
        rows += [(name, *_compared(c)) for c in found] or [(name, *[MISSING] * (len(header) - 1))]
    return Table(table.title, table.note, header, tuple(rows), made)


def _compared(c: Comparison) -> tuple[str, ...]:
    points = (f"{100 * value:+.1f}" for value in (c.low, c.high))
    return (
        f"{WAYS[c.key.partition('/')[2]]} R@{c.k}",
        f"{100 * c.mean_a:.1f}",
        f"{100 * c.mean_b:.1f}",
        f"{100 * c.difference:+.1f}",
        f"[{', '.join(points)}]",
        f"{c.p_value:.3f}",
        MISSING if c.relative is None else f"{100 * c.relative:+.1f}%",
    )


def _grid(table: GridTable, cells: Cells, made: str) -> Table:
    kinds = [(way, k) for k in table.depths for way in WAYS]
    header = (table.row, *(f"{column} {WAYS[way]} R@{k}" for way, k in kinds for column in table.columns))
    rows = []
    for label, row in table.rows.items():
        found = [cells.get(table.cell(text), ()) if text else () for text in row]
        rows.append((label, *(interval(each, table.level, way, k) for way, k in kinds for each in found)))
    return Table(table.title, table.note, header, tuple(rows), made)


def _runs(records: Sequence[Record], command: str) -> Table:
    header = ("run", "seed", "epochs", "best", "seconds", "CPU seconds", "commit", "data", "weights", "command")
    return Table(
        "Runs",
        "Times are of all starts of a training together; ≥ where one was not seen to its end.",
        header,
        tuple(_run_row(record) for record in records),
        command,
    )


def _run_row(record: Record) -> tuple[str, ...]:
    card, name = record.card, record.run.name
    if card is None or card.training is None:
        measured = [m.evaluation for m in record.measurements.values()]
        weights = measured[0].fingerprint[:12] if measured else MISSING
        return (
            name,
            *[MISSING] * 7,
            weights,
            f"--encoder {Path(record.run.system.encoder or '').name}" if measured else MISSING,
        )
    training, times = card.training, record.times
    seconds = [("" if times.complete else "≥ ") + f"{value:,.0f}" for value in (times.wall_s, times.cpu_s)]
    return (
        name,
        str(record.run.seed),
        str(training.epochs),
        str(training.best_epoch),
        *seconds,
        _commit(record),
        training.data.fingerprint[:12],
        card.fingerprint[:12],
        training.command,
    )


def figures(study: Study, records: Sequence[Record]) -> dict[str, list[dict[str, object]]]:
    """Return every recall and comparison of `study` for machines, in 0..1."""
    cells = cells_of(records)
    recalls = [
        {
            "system": cell.system,
            "protocol": cell.protocol,
            "level": level,
            "direction": way,
            "k": k,
            "seeds": len(found),
        }
        | asdict(recall(found, level, way, k))
        for cell, found in cells.items()
        for level in get_args(LevelName)
        for way in WAYS
        for k in DEPTHS
    ]
    compared = [
        {"a": a, "b": b, "protocol": table.protocol, **comparison.model_dump()}
        for table in study.tables
        if isinstance(table, ComparisonTable)
        for (a, b), found in comparisons(table, cells)
        for comparison in found
    ]
    return {"recalls": recalls, "comparisons": compared}


def markdown(table: Table) -> str:
    """Return `table` in Markdown, with what it was made of below."""
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    body = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
    parts = (f"## {table.title}", table.note, body, f"<sub>{table.made}</sub>")
    return "\n\n".join(part for part in parts if part)
