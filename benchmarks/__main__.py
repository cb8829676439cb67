"""`python -m benchmarks COMMAND`: measure one thing; raw figures go to out/bench-*.json."""

import asyncio
import os
from pathlib import Path

import click

from benchmarks import cli
from benchmarks.effort import Effort

PROPORTION = click.FloatRange(0, 1)


# Before anything that uses threads of its own is imported, as in the service.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Measure encoding, ANN search and the service; each writes raw figures to out/bench-*.json."""


@main.command()
@cli.subject_options
@click.option("--repeats", default=10, show_default=True, type=click.IntRange(3, 1000), help="Timed calls of each row.")
@cli.seed_option
def encode(data_dir: Path, encoder: str, repeats: int, seed: int) -> None:
    """Encoding alone: milliseconds by batch size."""
    from benchmarks import bare
    from benchmarks import encode as measured

    with cli.subject_of(data_dir, encoder) as subject:
        images = bare.decoded(subject.pictures[:32])
        cli.keep("encode", seed, measured.figures(subject.encoder, subject.titles[:256], images, repeats))


@main.command()
@cli.subject_options
@cli.seed_option
def ann(data_dir: Path, encoder: str, seed: int) -> None:
    """Index recipes on the bundle's own pictures: recall, time, memory."""
    from benchmarks import ann as measured

    with cli.subject_of(data_dir, encoder) as subject:
        figures = measured.figures(subject.picture_vectors, ("exact", "hnsw", "ivf"), nq=200, seed=seed)
    cli.keep("ann", seed, figures)


@main.command()
@cli.subject_options
@click.option("--rows", default=100_000, show_default=True, type=click.IntRange(1_000), help="Products searched.")
@cli.seed_option
def filters(data_dir: Path, encoder: str, rows: int, seed: int) -> None:
    """Filtered search by admitted share: recall, full pages, time."""
    from benchmarks import filters as measured

    with cli.subject_of(data_dir, encoder) as subject:
        cli.keep("filters", seed, measured.figures(subject.bundle, rows, "hnsw", nq=50, seed=seed))


@main.command()
@click.option("--rows", default=100_000, show_default=True, type=click.IntRange(1_000), help="Items classified.")
@cli.seed_option
def pairwise(rows: int, seed: int) -> None:
    """Classifying by pairwise sub-dimensions: time and memory."""
    from benchmarks import pairwise as measured

    cli.keep("pairwise", seed, measured.figures(rows, seed=seed))


@main.command()
@cli.subject_options
@click.option("--queries", type=click.Path(path_type=Path), help="Judged queries.  [default: made]")
@click.option("--most-queries", default=200, show_default=True, type=click.IntRange(1), help="Of each kind, at most.")
@click.option("--min-confidence", default=None, type=PROPORTION, help="Of a category; as the service does if absent.")
@cli.seed_option
def rerank(
    data_dir: Path, encoder: str, queries: Path | None, most_queries: int, min_confidence: float | None, seed: int
) -> None:
    """What ranking by the query's category is worth."""
    from benchmarks import rerank as measured

    cli.keep("rerank", seed, measured.figures(data_dir, encoder, queries, most_queries, seed, min_confidence))


@main.command()
@cli.subject_options
@click.option("--clients", default=60, show_default=True, type=click.IntRange(1, 1000), help="Callers at once.")
@cli.port_option
@cli.seconds_option(15.0)
@cli.seed_option
def load(data_dir: Path, encoder: str, clients: int, port: int, seconds: float, seed: int) -> None:
    """Many callers at once: errors and growth of memory."""
    from benchmarks import load as measured
    from benchmarks.server import running_service

    with cli.subject_of(data_dir, encoder) as subject:
        mix = measured.requests_of(subject.titles, subject.pictures, seed)
        with running_service(data_dir, encoder, port) as server:
            tally = asyncio.run(measured.drive(server, clients, seconds, mix))
    cli.keep("load", seed, measured.figures(tally, clients, seconds))


@main.command()
@cli.subject_options
@click.option("--search-rate", default=20.0, show_default=True, type=click.FloatRange(1), help="Searches per second.")
@click.option("--update-rate", default=200.0, show_default=True, type=click.FloatRange(1), help="Updates per second.")
@click.option("--update-batch", default=10, show_default=True, type=click.IntRange(1, 1000), help="In one request.")
@click.option("--whole", default=0.0, show_default=True, type=PROPORTION, help="Share of updates that are products.")
@cli.port_option
@cli.seconds_option(15.0)
@cli.seed_option
def updates(
    data_dir: Path,
    encoder: str,
    search_rate: float,
    update_rate: float,
    update_batch: int,
    whole: float,
    port: int,
    seconds: float,
    seed: int,
) -> None:
    """Searches with and without a stream of updates beside them."""
    from benchmarks import updates as measured

    streams = measured.Streams(search_rate, update_rate, update_batch, whole)
    with cli.subject_of(data_dir, encoder) as subject:
        products = list(subject.bundle.products)
    cli.keep("updates", seed, measured.figures(data_dir, encoder, port, streams, seconds, seed, products))


@main.command()
@cli.subject_options
@click.option("--runtime", default="auto", show_default=True, help="Of the encoder, as the service takes it.")
@cli.effort_options(seconds=6.0)
def throughput(data_dir: Path, encoder: str, runtime: str, port: int, turns: int, seconds: float, seed: int) -> None:
    """The service over the same work in a bare loop; cached answers over an app that does nothing."""
    from benchmarks import throughput as measured

    with cli.subject_of(data_dir, encoder) as subject:
        cli.keep("throughput", seed, measured.figures(subject, Effort(port, turns, seconds, seed), runtime))


@main.command()
@cli.subject_options
@click.option("--kind", default="text", show_default=True, type=click.Choice(["text", "image"]), help="Of queries.")
@cli.effort_options(seconds=5.0)
def overload(data_dir: Path, encoder: str, kind: str, port: int, turns: int, seconds: float, seed: int) -> None:
    """Latency below saturation and goodput beyond it, at fixed rates."""
    from benchmarks import overload as measured

    with cli.subject_of(data_dir, encoder) as subject:
        cli.keep("overload", seed, measured.figures(subject, Effort(port, turns, seconds, seed), kind))


@main.command()
@cli.catalogue_option(required=True)
@click.option("--encoder", default="mini", show_default=True, help="Encodes it.")
@cli.effort_options(seconds=8.0)
def swap(catalogue: Path, encoder: str, port: int, turns: int, seconds: float, seed: int) -> None:
    """Bundles swapped under load: errors, mixed answers, the tail meanwhile."""
    from benchmarks import swap as measured

    cli.keep("swap", seed, measured.figures(catalogue, encoder, Effort(port, turns, seconds, seed)))


@main.command()
@cli.vectors_options(rows=1_000_000, dimensions=512)
@cli.seed_option
def memory(rows: int, dimensions: int, seed: int) -> None:
    """Resident memory by the vector, over what it must be."""
    from benchmarks import memory as measured

    cli.keep("memory", seed, measured.figures(rows, dimensions, seed))


@main.command()
@cli.vectors_options(rows=1_000_000, dimensions=512)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option("--encoder", default="mini", show_default=True, help="That encodes pictures.")
@click.option("--repeats", default=20, show_default=True, type=click.IntRange(3, 1000), help="Timed calls of each row.")
@cli.seed_option
def gpu(rows: int, dimensions: int, device: str, encoder: str, repeats: int, seed: int) -> None:
    """Exact search and encoding on a GPU, over its bandwidth."""
    import torch

    from benchmarks import gpu as measured
    from models.checkpoint import load_encoder

    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    cli.keep("gpu", seed, measured.figures(rows, dimensions, chosen, load_encoder(encoder, chosen), repeats, seed))


@main.command()
@cli.vectors_options(rows=1_000_000, dimensions=128)
@cli.turns_option
@cli.seed_option
def scaling(rows: int, dimensions: int, turns: int, seed: int) -> None:
    """How search time grows with rows, at one recall."""
    from benchmarks import scaling as measured

    sizes = [size for size in measured.SIZES if size <= rows]
    cli.keep("scaling", seed, measured.figures(sizes, dimensions, turns, seed))


@main.command()
@cli.vectors_options(rows=1_000_000, dimensions=128)
@click.option(
    "--vectors", type=click.Path(path_type=Path), help="Rows of unit length, (n, d) in a .npy, not made ones."
)
@cli.turns_option
@cli.seed_option
def recipes(rows: int, dimensions: int, vectors: Path | None, turns: int, seed: int) -> None:
    """What `auto` chooses, over the fastest recipe at equal recall, by size and memory."""
    from benchmarks import recipes as measured

    if vectors is not None:
        cli.keep("recipes-of", seed, measured.figures_of(vectors, turns, seed))
        return
    sizes = [size for size in measured.SIZES if size <= rows]
    cli.keep("recipes", seed, measured.figures(sizes, dimensions, turns, seed))


@main.command()
@cli.vectors_options(rows=100_000, dimensions=128)
@cli.turns_option
@cli.seed_option
def peers(rows: int, dimensions: int, turns: int, seed: int) -> None:
    """Other libraries in one process, at equal recall."""
    from benchmarks import peers as measured

    cli.keep("peers", seed, measured.figures(rows, dimensions, turns, seed))


@main.command()
@cli.subject_options
@cli.effort_options(seconds=5.0)
def chroma(data_dir: Path, encoder: str, port: int, turns: int, seconds: float, seed: int) -> None:
    """A vector database over HTTP, on the same data; `make peers` installs it."""
    from benchmarks import http_peer as measured

    if not measured.installed():
        click.echo(f"skipped: {measured.CHROMA} is missing; `make peers` installs it")
        return
    with cli.subject_of(data_dir, encoder) as subject:
        cli.keep("chroma", seed, measured.figures(subject, Effort(port, turns, seconds, seed)))


@main.command()
@click.option("--products", default=3_000, show_default=True, type=click.IntRange(400), help="Of the made shop.")
@click.option("--pictures", default=1, show_default=True, type=click.IntRange(0, 10), help="Of each product.")
@click.option("--side", default=640, show_default=True, type=click.IntRange(16, 4096), help="Pixels of a picture.")
@click.option("--encoder", default="sleeping", show_default=True, help="sleeping: as long as a GPU works; or a model.")
@click.option(
    "--pace-ms", default=4.0, show_default=True, type=click.FloatRange(0), help="Sleep for a picture or text."
)
@cli.turns_option
@cli.seed_option
def build(products: int, pictures: int, side: int, encoder: str, pace_ms: float, turns: int, seed: int) -> None:
    """A build's pipeline over its slower half; what a second build costs."""
    from benchmarks import building as measured

    shop = measured.Shop(products, pictures, side, seed)
    cli.keep("build", seed, measured.figures(shop, encoder, pace_ms / 1000, turns))


@main.command()
@click.option("--kills", "times", default=100, show_default=True, type=click.IntRange(1), help="Builds killed.")
@click.option("--products", default=60, show_default=True, type=click.IntRange(16), help="Of the made shop.")
@cli.seed_option
def kills(times: int, products: int, seed: int) -> None:
    """Builds killed at random moments: what comes of them in the end."""
    from benchmarks import kills as measured

    cli.keep("kills", seed, measured.figures(times, products, seed))


@main.command()
@click.option("--products", default=1_000_000, show_default=True, type=click.IntRange(1_000), help="Generated.")
@click.option("--pictures", default=0, show_default=True, type=click.IntRange(0, 10), help="Of each product.")
@click.option("--recipe", default="ivf", show_default=True, help="Of the indexes.")
@cli.seed_option
def size(products: int, pictures: int, recipe: str, seed: int) -> None:
    """A whole build of any size: time and memory by stage."""
    from benchmarks import size as measured

    cli.keep("size", seed, measured.figures(products, pictures, recipe, seed))


@main.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder of SVGs.")
def plots(out: Path) -> None:
    """Plot what has been measured."""
    from benchmarks import plots as drawn

    for path in drawn.draw(out):
        click.echo(path)


@main.command(name="all")
@cli.subject_options
@cli.catalogue_option(required=False)
@cli.seed_option
@click.pass_context
def everything(context: click.Context, data_dir: Path, encoder: str, catalogue: Path | None, seed: int) -> None:
    """All that takes minutes, one after the other, then plots and bars; `memory`, `scaling` and `size` take longer."""
    for command in (encode, ann, filters, rerank, load, updates, throughput, overload, chroma):
        context.invoke(command, data_dir=data_dir, encoder=encoder, seed=seed)
    if catalogue is not None:
        context.invoke(swap, catalogue=catalogue, encoder=encoder, seed=seed)
    for command in (pairwise, peers):
        context.invoke(command, seed=seed)
    context.invoke(plots)
    context.invoke(bars)


@main.command()
def bars() -> None:
    """Judge what has been measured, bar by bar."""
    from benchmarks import bars as judged

    click.echo(judged.table())


if __name__ == "__main__":
    main()
