"""Writes what a study found: `tables.md`, `plots/*.svg`, and both in one page, `report.html`."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from pydantic import TypeAdapter

from models.checkpoint import ENTITIES_FILE, load_encoder
from models.eiclip import EntityMode, Weighting
from models.gates import Counts, GroupGates, group_gates, value_gates
from models.study.plots import Plot, study_plots
from models.study.spec import Study, SystemsTable
from models.study.store import LOG_FILE, Record, Store
from models.study.tables import Table, markdown, study_tables

_COUNTS: TypeAdapter[dict[str, list[tuple[str, int]]]] = TypeAdapter(dict[str, list[tuple[str, int]]])
_EPOCH = re.compile(r"^epoch (\d+)/\d+ .*?text_to_image_r1 ([\d.]+) .*?image_to_text_r1 ([\d.]+)", re.MULTILINE)

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>
:root {{ --ink: #1f2328; --page: #ffffff; --soft: #656d76; --line: #d7dce2; --shade: #f5f7f9 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #d7dde4; --page: #14181d; --soft: #919aa5; --line: #333b44; --shade: #1b2027 }}
}}
body {{ max-width: 68rem; margin: 3rem auto; padding: 0 1.25rem; color: var(--ink); background: var(--page);
  font: 16px/1.55 system-ui, sans-serif }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem }}
h2 {{ font-size: 1.2rem; margin: 3rem 0 .4rem }}
p {{ max-width: 46rem; margin: .3rem 0 .8rem }}
small {{ display: block; margin-top: .5rem; color: var(--soft); font-size: .78rem; overflow-wrap: anywhere }}
div {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; white-space: nowrap }}
th, td {{ padding: .38rem .7rem; border-bottom: 1px solid var(--line); text-align: right }}
th {{ font-weight: 600; background: var(--shade); white-space: normal; vertical-align: bottom }}
figure {{ margin: .5rem 0 0 }}
th:first-child, td:first-child {{ text-align: left; position: sticky; left: 0; background: var(--page) }}
.words {{ text-align: left }}
tbody tr:hover td {{ background: var(--shade) }}
svg {{ max-width: 100%; height: auto }}
</style>
<h1>{title}</h1>
<p>{intro}</p>
{body}
"""


def write_report(study: Study, store: Store, records: Sequence[Record], command: str) -> list[Table]:
    """Write tables, plots and page into the store's folder and return the tables."""
    tables = study_tables(study, records, command)
    plots = study_plots(study, records, learning_curves(study, store, records), gates(study, store, records), command)
    folder = store.out / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        (folder / f"{plot.name}.svg").write_text(plot.svg + "\n", encoding="utf-8")
    parts = [f"# {study.title}", study.intro.strip(), *map(markdown, tables)]
    (store.out / "tables.md").write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    body = "\n".join([*map(_plot_section, plots), *map(_table_section, tables)])
    page = _PAGE.format(title=escape(study.title), intro=escape(study.intro.strip()), body=body)
    (store.out / "report.html").write_text(page, encoding="utf-8")
    return tables


def _plot_section(plot: Plot) -> str:
    return f"<h2>{escape(plot.title)}</h2>\n<figure>{plot.svg}<small>{escape(plot.made)}</small></figure>"


def _table_section(table: Table) -> str:
    words = [' class="words"' if name in {"", "command"} else "" for name in table.header]  # the rest are figures

    def line(tag: str, row: Sequence[str]) -> str:
        cells = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(words, row, strict=True))
        return f"<tr>{''.join(cells)}</tr>\n"

    head, rows = line("th", table.header), "".join(line("td", row) for row in table.rows)
    note = f"<p>{escape(table.note)}</p>\n" if table.note else ""
    grid = f"<div><table><thead>{head}</thead><tbody>\n{rows}</tbody></table></div>"
    return f"<h2>{escape(table.title)}</h2>\n{note}{grid}\n<small>{escape(table.made)}</small>"


def _shown(study: Study, records: Sequence[Record]) -> list[Record]:
    """Return the trained runs of the systems that stand in a table of systems."""
    names = {name for table in study.tables if isinstance(table, SystemsTable) for name in table.systems}
    return [record for record in records if record.card is not None and record.run.system.name in names]


def learning_curves(study: Study, store: Store, records: Sequence[Record]) -> dict[str, list[list[float]]]:
    """Return system -> for each seed R@1 after each epoch, the mean of both ways, as its log tells it."""
    curves: dict[str, list[list[float]]] = {}
    for record in _shown(study, records):
        log = store.folder(record.run) / LOG_FILE
        found = _EPOCH.findall(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
        values = {int(epoch): (float(there) + float(back)) / 2 for epoch, there, back in found}
        if values and sorted(values) == list(range(1, len(values) + 1)):
            curves.setdefault(record.run.system.name, []).append([values[epoch] for epoch in sorted(values)])
    return curves


def gates(study: Study, store: Store, records: Sequence[Record]) -> dict[str, list[GroupGates]]:
    """Return gated system -> the gates of its first seed, by group."""
    found: dict[str, list[GroupGates]] = {}
    for record in _shown(study, records):
        design, system = record.card and record.card.entities, record.run.system.name
        gated = design and (design.mode, design.weighting) == (EntityMode.ENCODED, Weighting.GATES)
        if gated and system not in found:
            folder = store.folder(record.run)
            found[system] = group_gates(value_gates(load_encoder(str(folder)), _counts(folder)))
    return found


def _counts(folder: Path) -> Counts:
    stored = _COUNTS.validate_json((folder / ENTITIES_FILE).read_bytes())
    return {group: dict(values) for group, values in stored.items()}
