"""`python -m indexer build|convert|evaluate|publish|rollback|status|verify`: the command line of the indexer.

Reads flags and prints; all else is left to the modules of this package, which are imported only when they
are needed, after the threads are set up.
"""

import os

# Spinning OpenMP workers starve each other where cores are shared; read by the runtime when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import click
import orjson

if TYPE_CHECKING:
    from indexer.bundle import Bundle
    from indexer.flags import BuildFlags
    from models.encoder import Encoder

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_DATA_DIR = click.option(
    "--data-dir",
    type=_PATH,
    default="data",
    show_default=True,
    envvar="CATALENS_DATA_DIR",
    show_envvar=True,
    help="Folder that holds bundles/ and current.",
)
_ENCODER = click.option(
    "--encoder",
    default="mini",
    show_default=True,
    envvar="CATALENS_ENCODER",
    show_envvar=True,
    help="mini, a checkpoint folder, ARCH/tag, or hf-hub:id.",
)
_DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, ...")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON: shares in 0..1, times in the unit named.")
_MAX_BAD_ROWS = click.option(
    "--max-bad-rows",
    default="0",
    show_default=True,
    metavar="N|N%|-1",
    help="Rows that may be rejected; -1: any number. With one more, nothing is written.",
)
_MAP = click.option(
    "--map",
    "mapping",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Column that holds a product field, where the names differ.",
)
_IGNORE = click.option("--ignore-column", "ignore", multiple=True, metavar="COLUMN", help="Column to leave out.")
_BUILD_FLAGS = (
    click.option(
        "--catalogue",
        type=_PATH,
        required=True,
        help="Feed (Parquet, JSONL, CSV, TSV, Merchant XML; text may be gzipped), or a folder with catalogue.*.",
    ),
    _DATA_DIR,
    _ENCODER,
    _DEVICE,
    click.option(
        "--recipe", default="auto", show_default=True, help="auto, exact, hnsw, ivf, or any FAISS factory string."
    ),
    _MAX_BAD_ROWS,
    _MAP,
    _IGNORE,
    click.option("--image-root", type=_PATH, help="Folder that picture paths start from.  [default: the feed's]"),
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
    click.option("--publish", "publish_it", is_flag=True, help="Publish the bundle if it passes the gate."),
    _JSON,
)


def _flags(options: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@contextmanager
def _one_line_on_failure() -> Iterator[None]:
    """Turn what callers can mend into one line and exit code 1; tidy up when told to end."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except (ValueError, RuntimeError, OSError) as error:  # every domain exception of ours is one of these
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise click.ClickException(lines[0]) from error
    except KeyboardInterrupt as error:
        raise click.ClickException("stopped") from error
    finally:
        signal.signal(signal.SIGTERM, before)


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
    as_json: bool,
    **flags: "Unpack[BuildFlags]",
) -> None:
    """Encode a catalogue and build a bundle of it."""
    from indexer import show
    from indexer.build import build as run
    from indexer.catalogue import find_feed
    from indexer.catalogue_formats import feed_length
    from indexer.flags import build_options
    from indexer.publish import publish as make_current

    with _one_line_on_failure():
        options = build_options(catalogue, data_dir, **flags)
        bar = show.ProgressBar(feed_length(find_feed(catalogue)) if sys.stderr.isatty() else None)
        try:
            built = run(_load(encoder, device), options, bar)
        finally:
            bar.close()
        entry = None
        if not as_json:
            click.echo(show.built(built))
        if publish_it:
            entry = make_current(data_dir, built.manifest.id)
    manifest = built.manifest.model_dump(mode="json", exclude={"files", "checksum"})
    result = {"path": str(built.path), "published": entry is not None, "manifest": manifest}
    _print(
        as_json,
        {**result, "report": built.report.model_dump(mode="json")},
        show.moved(entry) if entry else f"publish it with: python -m indexer publish {built.manifest.id}",
    )


@main.command()
@click.argument("bundle", required=False)
@click.option(
    "--queries", type=_PATH, help="Judged queries, JSON lines of qid, kind, text, relevant; else vectors only."
)
@click.option("--qrels", type=_PATH, help="TREC qrels; --queries is then a file of topics, qid TAB text.")
@click.option("--run", "run_to", type=_PATH, help="Write what was ranked as a TREC run file (with --mode all: not).")
@click.option("--made", type=click.IntRange(1), metavar="N", help="Judge N queries made of the bundle's own entities.")
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "vector", "lexical", "all"]),
    default="hybrid",
    show_default=True,
    help="How words are matched; all: one after the other, side by side.",
)
@click.option("--split", help="Only queries of this split.")
@click.option(
    "--entities",
    type=click.Choice(["linked", "gold", "none"]),
    default="linked",
    show_default=True,
    help="Entities that queries are encoded with.",
)
@click.option("--image-weight", metavar="SHARE", help="Share of pictures in scores, 0..1.  [default: the bundle's]")
@_DATA_DIR
@_ENCODER
@_DEVICE
@click.option("--seed", default=0, show_default=True, help="Of samples.")
@_JSON
def evaluate(
    *,
    bundle: str | None,
    queries: Path | None,
    qrels: Path | None,
    run_to: Path | None,
    made: int | None,
    mode: str,
    split: str | None,
    entities: str,
    image_weight: str | None,
    data_dir: Path,
    encoder: str,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Measure a bundle (id or folder; the current one by default): ANN recall, self-retrieval, judged queries."""
    from indexer import show
    from indexer.evaluate import measure
    from indexer.flags import weights
    from indexer.judged import EntitySource, Mode, judge, read_queries, read_trec
    from indexer.made_queries import make_queries

    if queries and made:
        msg = "--queries and --made are two ways to say which queries: give one"
        raise click.UsageError(msg)
    if (qrels and not queries) or (run_to and (mode == "all" or not (queries or made))):
        msg = "--qrels goes with --queries, and --run with queries in one mode"
        raise click.UsageError(msg)
    with _one_line_on_failure():
        asked = None
        if queries:
            asked = read_trec(queries, qrels) if qrels else read_queries(queries, split)
        with _opened(data_dir, bundle) as opened:
            loaded = _load(encoder, device)
            _check_encoder(opened, loaded)
            if made:
                asked = make_queries(opened, made, seed)
            if asked is None:
                measured = measure(opened, loaded, seed=seed)
                _print(as_json, measured.model_dump(mode="json"), show.report(measured))
                return
            share = weights(image_weight) if image_weight else None
            modes = list(Mode) if mode == "all" else [Mode(mode)]
            judged = judge(opened, loaded, asked, source=EntitySource(entities), weights=share, modes=modes)
            if run_to:
                run_to.write_text(judged[0].run, encoding="utf-8")
            results = {each.mode.value: each.model_dump(mode="json") for each in judged}
            words = show.modes(judged) if len(judged) > 1 else show.judgement(judged[0])
            _print(as_json, results if len(judged) > 1 else results[mode], words)


@main.command()
@click.argument("bundle_id")
@_DATA_DIR
@click.option("--force", is_flag=True, help="Publish although the report misses the gate; recorded in history.jsonl.")
@_JSON
def publish(*, bundle_id: str, data_dir: Path, force: bool, as_json: bool) -> None:
    """Verify a bundle, judge its report, and make it the current one."""
    from indexer import show
    from indexer.publish import publish as run

    with _one_line_on_failure():
        entry = run(data_dir, bundle_id, force=force)
    _print(as_json, entry.model_dump(mode="json"), show.moved(entry))


@main.command()
@_DATA_DIR
@_JSON
def rollback(*, data_dir: Path, as_json: bool) -> None:
    """Make the bundle current that was so before the present one."""
    from indexer import show
    from indexer.publish import rollback as run

    with _one_line_on_failure():
        entry = run(data_dir)
    _print(as_json, entry.model_dump(mode="json"), show.moved(entry))


@main.command()
@_DATA_DIR
@click.option("--verify", is_flag=True, help="Check the digests of all files too.")
@_JSON
def status(*, data_dir: Path, verify: bool, as_json: bool) -> None:
    """List the bundles, which one is current (*), and broken ones."""
    from indexer import show
    from indexer.publish import status as run

    with _one_line_on_failure():
        state = run(data_dir, verify=verify)
    _print(as_json, show.status_json(state), show.status(state))


@main.command()
@click.argument("bundle", required=False)
@_DATA_DIR
@_JSON
def verify(*, bundle: str | None, data_dir: Path, as_json: bool) -> None:
    """Check every file of a bundle (id or folder; the current one by default)."""
    with _one_line_on_failure(), _opened(data_dir, bundle) as opened:
        manifest = opened.manifest
    result = {"id": manifest.id, "files": len(manifest.files), "digest": manifest.digest}
    _print(as_json, result, f"{manifest.id}: {len(manifest.files)} files are as they were written")


@main.command()
@click.option("--catalogue", type=_PATH, required=True, help="Feed in any format that `build` reads.")
@click.option("--out", type=_PATH, required=True, help="Parquet file to write, e.g. data/mine/catalogue.parquet.")
@_MAP
@_IGNORE
@click.option("--pictures", type=_PATH, help="Parquet table with the pictures of the feed's products.")
@click.option("--pictures-column", default="image_bytes", show_default=True, help="Its column of file bytes.")
@click.option("--pictures-id", default="id", show_default=True, help="Its column of product ids.")
@click.option("--only-with-pictures", is_flag=True, help="Leave products without a picture out.")
@_MAX_BAD_ROWS
@_JSON
def convert(
    *,
    catalogue: Path,
    out: Path,
    mapping: tuple[str, ...],
    ignore: tuple[str, ...],
    pictures: Path | None,
    pictures_column: str,
    pictures_id: str,
    only_with_pictures: bool,
    max_bad_rows: str,
    as_json: bool,
) -> None:
    """Write any feed as one self-contained Parquet feed, pictures included: what training reads."""
    from indexer.catalogue import CatalogueOptions
    from indexer.convert import PictureTable
    from indexer.convert import convert as run
    from indexer.flags import pairs
    from indexer.rejects import BadRowLimit

    with _one_line_on_failure():
        options = CatalogueOptions(mapping=pairs("--map", mapping), ignore=frozenset(ignore))
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
    _print(as_json, {"path": str(out), **asdict(done)}, words)


def _opened(data_dir: Path, bundle: str | None) -> "Bundle":
    from indexer.bundle import Bundle, BundleError, current_bundle
    from indexer.publish import bundle_folder

    if bundle is not None:
        return Bundle.open(Path(bundle) if Path(bundle).is_dir() else bundle_folder(data_dir, bundle))
    current = current_bundle(data_dir)
    if current is None:
        msg = f"nothing is published in {data_dir}: name a bundle"
        raise BundleError(msg)
    return Bundle.open(current)


def _load(encoder: str, device: str) -> "Encoder":
    from models.checkpoint import load_encoder

    return load_encoder(encoder, device)


def _check_encoder(bundle: "Bundle", encoder: "Encoder") -> None:
    made_by = bundle.manifest.encoder
    if made_by.fingerprint != encoder.fingerprint:
        msg = (
            f"bundle {bundle.manifest.id} was made by {made_by.name} ({made_by.fingerprint[:12]}), "
            f"not by {encoder.name} ({encoder.fingerprint[:12]}): name its encoder with --encoder"
        )
        raise click.ClickException(msg)


def _print(as_json: bool, result: Mapping[str, object], words: str) -> None:  # noqa: FBT001 - a flag handed on
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode() if as_json else words)


if __name__ == "__main__":
    main()
