"""`python -m indexer build|evaluate|publish|rollback|status|verify`: the command line of the indexer.

Reads flags and prints; all else is left to the modules of this package, which are imported only when they
are needed, after the threads are set up.
"""

import os

# Spinning OpenMP workers starve each other where cores are shared; read by the runtime when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

if TYPE_CHECKING:
    from indexer.bundle import Bundle
    from indexer.encode import Fetch
    from indexer.manifest import FusionWeights, QueryKind
    from models.encoder import Encoder

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_DATA_DIR = click.option(
    "--data-dir", type=_PATH, default="data", show_default=True, envvar="CATALENS_DATA_DIR", show_envvar=True,
    help="Folder that holds bundles/ and current.",
)  # fmt: skip
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON; shares are in 0..1, times in ms or s as named.")
_ENCODER = click.option(
    "--encoder", default="mini", show_default=True, envvar="CATALENS_ENCODER", show_envvar=True,
    help="mini, a checkpoint folder, ARCH/tag, or hf-hub:id.",
)  # fmt: skip
_DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, ...")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Turn catalogues into bundles, check them, and choose the one that is served."""


@contextmanager
def _one_line_on_failure() -> Iterator[None]:
    """Turn what callers can mend into one line and exit code 1."""
    try:
        yield
    except (ValueError, RuntimeError, OSError) as error:  # every domain exception of ours is one of these
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise click.ClickException(lines[0]) from error
    except KeyboardInterrupt as error:
        raise click.ClickException("stopped; nothing was published") from error


@main.command()
@click.option("--catalogue", type=_PATH, required=True, help="Feed (Parquet, JSONL, CSV, TSV, Merchant XML; .gz), or a folder with catalogue.*.")
@_DATA_DIR
@_ENCODER
@_DEVICE
@click.option("--recipe", default="auto", show_default=True, help="auto, exact, hnsw, ivf, or any FAISS factory string.")
@click.option("--max-bad-rows", default="0", show_default=True, metavar="N|N%|-1", help="Rows that may be rejected; -1: any number. With more, nothing is built.")
@click.option("--map", "mapping", multiple=True, metavar="FIELD=COLUMN", help="Column that holds a product field, where the names differ.")
@click.option("--ignore-column", "ignore", multiple=True, metavar="COLUMN", help="Column to leave out.")
@click.option("--image-root", type=_PATH, help="Folder that picture paths are relative to.  [default: the feed's]")
@click.option("--allow-outside", is_flag=True, help="Let picture paths lead out of that folder.")
@click.option("--keep-without-images", is_flag=True, help="Keep products whose pictures cannot be used, without those.")
@click.option("--fetch-images/--no-fetch-images", default=True, show_default=True, help="Fetch pictures from public http(s) URLs.")
@click.option("--image-weight", "weights", multiple=True, metavar="KIND=SHARE", help="Share of the picture in scores for text, image or mixed queries, 0..1.")
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1, 4096), help="Pictures encoded at a time.")
@click.option("--decode-threads", default=2, show_default=True, type=click.IntRange(1, 256), help="Threads that read and decode pictures.")
@click.option("--seed", default=0, show_default=True, help="Of index training and of samples.")
@click.option("--publish", "publish_it", is_flag=True, help="Publish the bundle if it passes the gate.")
@_JSON
def build(catalogue: Path, data_dir: Path, encoder: str, device: str, as_json: bool, publish_it: bool, **flags: Any) -> None:  # noqa: ANN401, FBT001, PLR0913 - click passes flags by name
    """Encode a catalogue and build a bundle of it."""
    from indexer import show  # noqa: PLC0415
    from indexer.build import build as run  # noqa: PLC0415
    from indexer.catalogue_formats import feed_length  # noqa: PLC0415
    from indexer.publish import publish as make_current  # noqa: PLC0415

    with _one_line_on_failure():
        options = _build_options(catalogue, data_dir, flags)
