"""`python -m indexer tune`: measures recipes on a bundle's own vectors, and makes a bundle with the best of them.

Reads flags and prints; measuring is left to `indexer.tune`, the new bundle to `indexer.retune`.
"""

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.amounts import Size
from indexer.cli import (
    DATA_DIR,
    DEVICE,
    ENCODER,
    JSON,
    check_encoder,
    load,
    one_line_on_failure,
    opened_bundle,
    print_result,
)

if TYPE_CHECKING:
    from indexer.manifest import Space
    from indexer.tune import Measured

RECALL = click.option(
    "--recall",
    default=0.99,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the true ten nearest rows that a search is to find, 0..1.",
)
MEMORY = click.option(
    "--memory",
    type=Size(),
    metavar="SIZE",
    help="Memory that both indexes may take together, e.g. 8GiB; the stored vectors are mapped, and not counted.",
)
_SHOWN_FROM = 0.05  # of recall below the target
_HEAD = ("recipe", "width", "recall@10", "p50 ms", "bytes a row", "build s")


@click.command()
@click.argument("bundle", required=False)
@RECALL
@MEMORY
@click.option(
    "--recipe", "recipes", multiple=True, help="Measure these names or factory strings.  [default: all names]"
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Time that measuring may take.")
@click.option("--dry-run", is_flag=True, help="Only measure; write nothing.")
@DATA_DIR
@ENCODER
@DEVICE
@click.option("--seed", default=0, show_default=True, help="Of training and of the sample of queries.")
@JSON
def tune(
    *,
    bundle: str | None,
    recall: float,
    memory: int | None,
    recipes: tuple[str, ...],
    seconds: float | None,
    dry_run: bool,
    data_dir: Path,
    encoder: str,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Measure index recipes on a bundle's own vectors (id or folder; the current one by default).

    Writes a bundle beside it that has the fastest recipe of those that reach the recall and fit into the memory, with
    all that was measured as tuning.json and tuning.svg. Nothing is published.
    """
    from indexer.indexing import Indexing, measure_spaces
    from indexer.recipes import Goal
    from indexer.retune import retune
    from indexer.tune import RECIPES

    asked = Indexing(goal=Goal(recall, memory), seed=seed, tuned=True, recipes=recipes or RECIPES, seconds=seconds)
    with one_line_on_failure(), closing(_Steps()) as steps, opened_bundle(data_dir, bundle) as opened:
        if dry_run:
            measured: Mapping[Space, Measured] = measure_spaces(opened.vectors, asked, steps.told)
            result: dict[str, object] = {"path": None}
            where = "nothing is written"
        else:
            loaded = load(encoder, device)
            check_encoder(opened, loaded)
            made = retune(data_dir, opened.path, loaded, asked, steps.told)
            measured = made.measured
            result = {"path": str(made.path), "report": made.report.model_dump(mode="json")}
            where = f"{made.path}{_without_plot()}; publish it with: python -m indexer publish {made.manifest.id}"
    spaces = {space: of_space.model_dump(mode="json") for space, of_space in measured.items()}
    print_result(as_json, {**result, "spaces": spaces}, f"{table(measured)}\n{where}")


def table(measured: "Mapping[Space, Measured]") -> str:
    """Return the Pareto front of each space near the target and beyond, the choice marked by a star."""
    lines: list[str] = []
    for space, of_space in measured.items():
        target = of_space.target_recall_at_10
        lines.append(
            f"{space}: {of_space.rows:,} rows of {of_space.dimensions}, {of_space.queries} queries, "
            f"recall@10 of {target:g} " + ("reached" if of_space.reached else "NOT REACHED")
        )
        shown = [
            point
            for point in of_space.points
            if point == of_space.chosen or (point.on_front and point.recall_at_10 >= target - _SHOWN_FROM)
        ]
        rows = [
            (
                ("* " if point == of_space.chosen else "  ") + point.recipe,
                str(point.width or "-"),
                f"{point.recall_at_10:.4f}",
                f"{point.p50_ms:.3f}",
                f"{point.memory_bytes / of_space.rows:,.0f}",
                f"{point.build_s:,.1f}",
            )
            for point in sorted(shown, key=lambda point: (point.recall_at_10, -point.p50_ms))
        ]
        lines += _aligned([(f"  {_HEAD[0]}", *_HEAD[1:]), *rows])
        lines += [f"  {recipe} was left out: {why}" for recipe, why in of_space.left_out.items()]
    return "\n".join(lines)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _without_plot() -> str:
    from indexer.tune_plot import can_draw

    return "" if can_draw() else ", without a plot: matplotlib is not installed (extra: bench)"


class _Steps:
    """The step that is being taken, on one line of a terminal."""

    def told(self, step: str) -> None:
        """Show a step in place of the last one."""
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{step}", err=True, nl=False)

    def close(self) -> None:
        """Take the line away."""
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)
