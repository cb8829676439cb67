"""What the commands of `python -m indexer` have in common: flags, how they open things, how they fail and print."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
import orjson

if TYPE_CHECKING:
    from indexer.bundle import Bundle
    from models.encoder import Encoder

PATH = click.Path(path_type=Path)
DATA_DIR = click.option(
    "--data-dir",
    type=PATH,
    default="data",
    show_default=True,
    envvar="CATALENS_DATA_DIR",
    show_envvar=True,
    help="Folder that holds bundles/ and current.",
)
ENCODER = click.option(
    "--encoder",
    default="mini",
    show_default=True,
    envvar="CATALENS_ENCODER",
    show_envvar=True,
    help="mini, a checkpoint folder, ARCH/tag, or hf-hub:id.",
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, ...")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON: shares in 0..1, times in the unit named.")


@contextmanager
def one_line_on_failure() -> Iterator[None]:
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


def opened_bundle(data_dir: Path, bundle: str | None) -> "Bundle":
    """Open the named bundle, an id or a folder; the current one for None."""
    from indexer.bundle import Bundle, BundleError, current_bundle
    from indexer.publish import bundle_folder

    if bundle is not None:
        return Bundle.open(Path(bundle) if Path(bundle).is_dir() else bundle_folder(data_dir, bundle))
    current = current_bundle(data_dir)
    if current is None:
        msg = f"nothing is published in {data_dir}: name a bundle"
        raise BundleError(msg)
    return Bundle.open(current)


def load(encoder: str, device: str) -> "Encoder":
    """Load the encoder that a flag names."""
    from models.checkpoint import load_encoder

    return load_encoder(encoder, device)


def check_encoder(bundle: "Bundle", encoder: "Encoder") -> None:
    """Refuse a bundle that another encoder made."""
    made_by = bundle.manifest.encoder
    if made_by.fingerprint != encoder.fingerprint:
        msg = (
            f"bundle {bundle.manifest.id} was made by {made_by.name} ({made_by.fingerprint[:12]}), "
            f"not by {encoder.name} ({encoder.fingerprint[:12]}): name its encoder with --encoder"
        )
        raise click.ClickException(msg)


def print_result(as_json: bool, result: Mapping[str, object], words: str) -> None:  # noqa: FBT001 - a flag handed on
    """Print a result as JSON, or the words for it."""
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode() if as_json else words)
