"""`python -m models linking`: measures the linking of queries to entities on any catalogue.

Reads flags and the catalogue, prints figures; queries are left to `models.linking_queries`, measuring to
`models.linking_report`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from models.entity_statistics import EntityStatistics
    from models.linking_queries import Half
    from models.product import Product


def split_products(path: Path, split: str) -> "list[Product]":
    """Return the products of one split of a feed, without their pictures, in the order of the file.

    Raises:
        DataError: the file cannot be read, a row is no product, or the split is empty.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pydantic import ValidationError

    from models.product import product_from_row
    from models.train.feed import BYTES_COLUMN, DataError

    products: list[Product] = []
    try:
        with pq.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name not in (BYTES_COLUMN, "images")]
            for batch in file.iter_batches(columns=columns):
                products += [product_from_row(row) for row in batch.to_pylist() if row["split"] == split]
    except (OSError, pa.ArrowException, ValidationError) as error:
        raise DataError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    if not products:
        raise DataError(f"{path} has no product in the split {split!r}")
    return products


@click.command()
@click.option(
    "--catalogue", type=click.Path(path_type=Path), required=True,
    help="Parquet feed, or a folder with catalogue.parquet.",
)  # fmt: skip
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

    try:
        feed = Feed.open(catalogue)
        counted = _counted(feed.path, train_split, statistics)
        queries = linking_queries(counted, split_products(feed.path, split), seed=seed, count=count, half=brands)
    except ValueError as error:  # every domain exception of `models` is one
        raise click.ClickException(str(error)) from error
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


def _counted(path: Path, split: str, stored: Path | None) -> "EntityStatistics":
    from models.entity_statistics import EntityStatistics

    if stored is not None and stored.is_file():
        return EntityStatistics.from_json(stored.read_bytes())
    counted = EntityStatistics.collect(split_products(path, split))
    if stored is not None:
        stored.write_text(counted.to_json())
    return counted
