"""`python -m models linking`: measures the linking of queries to entities on any catalogue.

Reads flags and the catalogue, prints figures; queries are left to `models.linking_queries`, measuring to
`models.linking_report`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from models.flags import CATALOGUE, one_line_on_failure

if TYPE_CHECKING:
    from models.entity_statistics import EntityStatistics
    from models.linking_queries import Half
    from models.train.feed import Feed


@click.command()
@CATALOGUE
@click.option("--split", default="val", show_default=True, help="Whose products the queries are worded after.")
@click.option("--train-split", default="train", show_default=True, help="Whose products the linker has counted.")
@click.option(
    "--statistics", type=click.Path(path_type=Path), metavar="FILE",
    help="Read the counts of --train-split from this file; where there is none, count and write it.",
)  # fmt: skip
@click.option("--queries", "count", default=400, show_default=True, type=click.IntRange(min=1), help="Of each kind.")
@click.option(
    "--brands", type=click.Choice(["all", "tune", "report"]), default="all", show_default=True,
    help="Brands asked for: all, the half the linker was tuned on, or the other half.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the queries.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; shares are in 0..1.")
def linking(
    catalogue: Path,
    split: str,
    train_split: str,
    statistics: Path | None,
    count: int,
    brands: "Half",
    seed: int,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Measure how well words are linked to entities: queries with known answers, made from the catalogue."""
    from models.linking import EntityLinker
    from models.linking_queries import linking_queries
    from models.linking_report import LinkingFigures, calibration, linking_table, measure_linking
    from models.train.feed import Feed

    with one_line_on_failure():
        feed = Feed.open(catalogue)
        counted = _counted(feed, train_split, statistics)
        queries = linking_queries(counted, list(feed.products(split)), seed=seed, count=count, half=brands)
    kinds, words, judged, link_ms = measure_linking(EntityLinker(counted, threshold=0.0), queries)
    ece, reliability = calibration(judged)
    figures = LinkingFigures(
        catalogue=feed.name,
        train_split=train_split,
        split=split,
        seed=seed,
        brands=brands,
        kinds=kinds,
        words=words,
        ece=ece,
        reliability=reliability,
        link_ms=link_ms,
    )
    click.echo(figures.model_dump_json(indent=2) if as_json else linking_table(figures))


def _counted(feed: "Feed", split: str, stored: Path | None) -> "EntityStatistics":
    from models.entity_statistics import EntityStatistics

    if stored is not None and stored.is_file():
        return EntityStatistics.from_json(stored.read_bytes())
    counted = EntityStatistics.collect(list(feed.products(split)))
    if stored is not None:
        stored.write_text(counted.to_json())
    return counted
