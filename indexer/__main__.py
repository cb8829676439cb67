"""`python -m indexer COMMAND`: the command line of the indexer; `--help` lists the commands.

Reads flags and prints; all else is left to the modules of this package, which are imported only when they
are needed, after the threads are set up.
"""

import os

# Spinning OpenMP workers starve each other where cores are shared; read by the runtime when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import click

from indexer.cli import DATA_DIR, DEVICE, ENCODER, JSON, PATH, load, one_line_on_failure, print_result
from indexer.estimate_cli import estimate
from indexer.evaluate_cli import evaluate
from indexer.feed_cli import IGNORE, MAP, MAPPING, VARIANTS, inspect
from indexer.inspect_cli import diff, export, verify
from indexer.milvus_cli import milvus
from indexer.publish_cli import BAR, GOLDEN, NEW_MODEL, gate_of, publish, rollback, status
from indexer.tune_cli import MEMORY, RECALL, tune
from indexer.updates_cli import FEED_AS_OF, REDIS_URL, UPDATE_LOG, UPDATE_LOG_NAME, fold_of, opened_log, updates

if TYPE_CHECKING:
    from indexer.flags import BuildFlags

Command = TypeVar("Command", bound=Callable[..., Any])

_MAX_BAD_ROWS = click.option(
    "--max-bad-rows",
    default="0",
    show_default=True,
    metavar="N|N%|-1",
    help="Rows that may be rejected; -1: any number. With one more, nothing is written.",
)
_BUILD_FLAGS = (
    click.option(
        "--catalogue",
        type=PATH,
        required=True,
        help="Feed, or a folder with catalogue.*, a data set or HTML pages; docs/catalogue.md lists the formats.",
    ),
    DATA_DIR,
    ENCODER,
    DEVICE,
    click.option(
        "--recipe",
        default="auto",
        show_default=True,
        help="auto, exact, hnsw, ivf, ivfpq, sq8, rabitq, or any FAISS factory string.",
    ),
    RECALL,
    MEMORY,
    click.option("--tune", is_flag=True, help="Measure all recipes on the new vectors, and take the best."),
    click.option("--tune-seconds", type=click.FloatRange(0, min_open=True), help="Time that measuring may take."),
    click.option(
        "--index-device",
        default="auto",
        show_default=True,
        envvar="CATALENS_INDEX_DEVICE",
        show_envvar=True,
        help="What helps to build indexes: auto (a GPU if FAISS has one), cpu, or cuda.",
    ),
    _MAX_BAD_ROWS,
    MAPPING,
    MAP,
    IGNORE,
    VARIANTS,
    click.option("--image-root", type=PATH, help="Folder that picture paths start from.  [default: the feed's]"),
    click.option("--allow-outside", is_flag=True, help="Let picture paths lead out of that folder."),
    click.option(
        "--keep-without-images", is_flag=True, help="Keep products whose pictures cannot be used, without those."
    ),
    click.option(
        "--fetch-images/--no-fetch-images",
        default=True,
        show_default=True,
        help="Fetch pictures from URLs on public addresses.",
    ),
    click.option(
        "--image-weight",
        multiple=True,
        metavar="KIND=SHARE",
        help="Share of pictures in the score of text, image or mixed queries, 0..1.  [default: measured]",
    ),
    click.option(
        "--batch", default=32, show_default=True, type=click.IntRange(1, 4096), help="Pictures encoded at a time."
    ),
    click.option(
        "--decode-threads",
        default=2,
        show_default=True,
        type=click.IntRange(1, 256),
        help="Threads that fetch and decode pictures.",
    ),
    click.option("--seed", default=0, show_default=True, help="Of index training and samples."),
    UPDATE_LOG,
    UPDATE_LOG_NAME,
    REDIS_URL,
    FEED_AS_OF,
    click.option("--fresh", is_flag=True, help="Encode every product anew, although it is kept encoded."),
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Where products are encoded: in this process, or on a Ray cluster.",
    ),
    click.option(
        "--ray-address",
        metavar="HOST:PORT",
        envvar="RAY_ADDRESS",
        show_envvar=True,
        help="Of the cluster; auto: one that runs on this machine.  [default: one of its own, here]",
    ),
    click.option("--publish", "publish_it", is_flag=True, help="Publish the bundle if it passes the gate."),
    GOLDEN,
    BAR,
    NEW_MODEL,
    JSON,
)


def _flags(options: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Turn catalogues into bundles, check them, and choose the one that is served."""


@main.command()
@_flags(_BUILD_FLAGS)
def build(
    *,
    catalogue: Path,
    data_dir: Path,
    encoder: str,
    device: str,
    publish_it: bool,
    update_log: str,
    update_log_name: str,
    redis_url: str | None,
    feed_as_of: str | None,
    engine: str,
    ray_address: str | None,
    golden: Path | None,
    bars: tuple[str, ...],
    new_model: bool,
    as_json: bool,
    **flags: "Unpack[BuildFlags]",
) -> None:
    """Encode a catalogue and build a bundle of it."""
    from indexer import show
    from indexer.build import build as run
    from indexer.catalogue import find_feed
    from indexer.catalogue_formats import feed_length
    from indexer.flags import build_options, check_ray, on_ray
    from indexer.publish import publish as make_current

    with one_line_on_failure():
        if engine == "ray":
            check_ray()
        log = opened_log(update_log, redis_url, update_log_name, data_dir)
        encoding = load(encoder, device)
        made_by = on_ray(encoding, partial(load, encoder, device), ray_address) if engine == "ray" else None
        options = build_options(catalogue, data_dir, fold_of(log, feed_as_of), made_by, **flags)
        bar = show.ProgressBar(feed_length(find_feed(catalogue)) if sys.stderr.isatty() else None)
        try:
            built = run(encoding, options, bar)
        finally:
            bar.close()
            if log is not None:
                log.close()
        entry = None
        if not as_json:
            click.echo(show.built(built))
            if options.updates is not None:
                click.echo(show.folded(options.updates))
        if publish_it:
            log = opened_log(update_log, redis_url, update_log_name, data_dir)  # the first is closed by now
            try:
                gate = gate_of(encoding, log, data_dir, golden, bars, new_model=new_model)
                entry = make_current(data_dir, built.manifest.id, gate=gate)
            finally:
                if log is not None:
                    log.close()
    manifest = built.manifest.model_dump(mode="json", exclude={"files", "checksum"})
    counted = {"encoded": built.encoded, "reused": built.reused}
    result = {"path": str(built.path), "published": entry is not None, **counted, "manifest": manifest}
    print_result(
        as_json,
        {**result, "report": built.report.model_dump(mode="json")},
        show.moved(entry) if entry else f"publish it with: python -m indexer publish {built.manifest.id}",
    )


@main.command()
@click.option("--catalogue", type=PATH, required=True, help="Feed in any format that `build` reads.")
@click.option("--out", type=PATH, required=True, help="Parquet file to write, e.g. data/mine/catalogue.parquet.")
@MAPPING
@MAP
@IGNORE
@VARIANTS
@click.option("--pictures", type=PATH, help="Parquet table with the pictures of the feed's products.")
@click.option("--pictures-column", default="image_bytes", show_default=True, help="Its column of file bytes.")
@click.option("--pictures-id", default="id", show_default=True, help="Its column of product ids.")
@click.option("--only-with-pictures", is_flag=True, help="Leave products without a picture out.")
@_MAX_BAD_ROWS
@JSON
def convert(
    *,
    catalogue: Path,
    out: Path,
    mapping_file: Path | None,
    mapping: tuple[str, ...],
    ignore: tuple[str, ...],
    variants: bool,
    pictures: Path | None,
    pictures_column: str,
    pictures_id: str,
    only_with_pictures: bool,
    max_bad_rows: str,
    as_json: bool,
) -> None:
    """Write any feed as one self-contained Parquet feed, pictures included: what training reads."""
    from indexer.convert import PictureTable
    from indexer.convert import convert as run
    from indexer.feed_mapping import reading
    from indexer.rejects import BadRowLimit

    with one_line_on_failure():
        options = reading(mapping_file, mapping, ignore, variants=variants)
        done = run(
            catalogue,
            out,
            options,
            pictures=PictureTable(pictures, pictures_column, pictures_id) if pictures else None,
            only_with_pictures=only_with_pictures,
            limit=BadRowLimit.parse(max_bad_rows),
            on_reject=lambda row: click.echo(f"rejected {row}", err=True),
        )
    words = f"{out}: {done.products} products, {done.with_pictures} with pictures; {done.rejected} rows rejected"
    print_result(as_json, {"path": str(out), **asdict(done)}, words)


main.add_command(diff)
main.add_command(evaluate)
main.add_command(export)
main.add_command(inspect)
main.add_command(milvus)
main.add_command(publish)
main.add_command(rollback)
main.add_command(status)
main.add_command(updates)
main.add_command(tune)
main.add_command(estimate)
main.add_command(verify)


if __name__ == "__main__":
    main()
