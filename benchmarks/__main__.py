"""`python -m benchmarks`: run every benchmark on a published bundle, or one of them."""

import asyncio
import io
from pathlib import Path

import click
import numpy as np
import orjson
from PIL import Image

from benchmarks import ann, encode, filters, load, pairwise, record, rerank, updates
from indexer.bundle import Bundle, current_bundle
from models.checkpoint import load_encoder

KINDS = ("encode", "ann", "filters", "load", "updates", "pairwise", "rerank")
RECIPES = ("exact", "hnsw", "ivf")


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--encoder", default="mini", show_default=True)
@click.option("--only", type=click.Choice(KINDS), multiple=True, help="Run only these; all when not given.")
@click.option("--clients", default=60, show_default=True, type=click.IntRange(1, 1000), help="Callers at once (load).")
@click.option(
    "--seconds",
    default=15.0,
    show_default=True,
    type=click.FloatRange(1, 600),
    help="Length of the load run, and of the updates run without and with updates.",
)
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port of the service under load.",
)
@click.option(
    "--repeats",
    default=10,
    show_default=True,
    type=click.IntRange(3, 1000),
    help="Timed calls of each encode row.",
)
@click.option("--queries", type=click.Path(path_type=Path), help="Judged queries (rerank).  [default: made]")
@click.option(
    "--most-queries", default=200, show_default=True, type=click.IntRange(1), help="Of each kind, at most (rerank)."
)
@click.option(
    "--min-confidence", default=0.7, show_default=True, type=click.FloatRange(0, 1), help="Of a category (rerank)."
)
@click.option(
    "--search-rate", default=20.0, show_default=True, type=click.FloatRange(1), help="Searches per second (updates)."
)
@click.option(
    "--update-rate", default=200.0, show_default=True, type=click.FloatRange(1), help="Updates per second (updates)."
)
@click.option(
    "--update-batch", default=10, show_default=True, type=click.IntRange(1, 1000), help="Updates in one request."
)
@click.option(
    "--whole", default=0.0, show_default=True, type=click.FloatRange(0, 1), help="Share of updates that are products."
)
@click.option(
    "--rows",
    default=100_000,
    show_default=True,
    type=click.IntRange(1_000),
    help="Products searched (filters), items classified (pairwise).",
)
@click.option("--seed", default=0, show_default=True)
def main(
    data_dir: Path,
    encoder: str,
    only: tuple[str, ...],
    clients: int,
    seconds: float,
    port: int,
    repeats: int,
    queries: Path | None,
    most_queries: int,
    min_confidence: float,
    search_rate: float,
    update_rate: float,
    update_batch: int,
    whole: float,
    rows: int,
    seed: int,
) -> None:
    """Measure encoding, ANN search and the service under load; raw figures go to out/bench-*.json."""
    current = current_bundle(data_dir)
    if current is None:
        msg = f"{data_dir} has no published bundle"
        raise click.ClickException(msg)
    with Bundle.open(current) as bundle:
        texts = [bundle.products[row].title for row in range(min(256, len(bundle.products)))]
        found = (bundle.thumbnail(row, 0) for row in range(len(texts)))
        pictures = [picture for picture in found if picture is not None]
        vectors = np.asarray(bundle.vectors["image"], dtype=np.float32)
    for kind in only or KINDS:
        if kind == "encode":
            images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures[:32]]
            measured = encode.figures(load_encoder(encoder), texts, images, repeats)
        elif kind == "ann":
            measured = ann.figures(vectors, RECIPES, nq=200, seed=seed)
        elif kind == "filters":
            with Bundle.open(current) as bundle:
                measured = filters.figures(bundle, rows, "hnsw", nq=50, seed=seed)
        elif kind == "pairwise":
            measured = pairwise.figures(rows, seed=seed)
        elif kind == "rerank":
            measured = rerank.figures(data_dir, encoder, queries, most_queries, seed, min_confidence)
        elif kind == "updates":
            streams = updates.Streams(search_rate, update_rate, update_batch, whole)
            with Bundle.open(current) as bundle:
                products = list(bundle.products)
            measured = updates.figures(data_dir, encoder, port, streams, seconds, seed, products)
        else:
            with load.running_service(data_dir, encoder, port) as server:
                mix = load.requests_of(texts, pictures, seed)
                tally = asyncio.run(load.drive(port, server.pid, clients, seconds, mix))
            measured = load.figures(tally, clients, seconds)
        path = record.write(kind, seed, measured)
        click.echo(f"{kind} -> {path}\n{orjson.dumps(measured, option=orjson.OPT_INDENT_2).decode()}")


if __name__ == "__main__":
    main()
