"""Options that several benchmarks share, and where their figures go.

Light to import: processes that only send requests import it too.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import orjson

from benchmarks import record

if TYPE_CHECKING:
    from benchmarks.subject import Subject

Command = TypeVar("Command", bound=Callable[..., None])

seed_option = click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")
port_option = click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(1, 65_500),
    help="Port of the service; peers take those behind it.",
)
turns_option = click.option(
    "--turns", default=5, show_default=True, type=click.IntRange(1, 50), help="Repetitions; medians are judged."
)


def seconds_option(default: float) -> Callable[[Command], Command]:
    """Return the option for how long one measurement lasts."""
    return click.option(
        "--seconds", default=default, show_default=True, type=click.FloatRange(0.5, 600), help="Of one measurement."
    )


def subject_options(command: Command) -> Command:
    """Give a command the bundle it measures, and its encoder."""
    encoder = click.option("--encoder", default="mini", show_default=True, help="Of the bundle.")
    folder = click.option(
        "--data-dir",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        required=True,
        help="Holds the published bundle.",
    )
    return folder(encoder(command))


def catalogue_option(*, required: bool) -> Callable[[Command], Command]:
    """Return the option for the catalogue that two bundles are built of."""
    folder = click.Path(path_type=Path, exists=True, file_okay=False)
    return click.option("--catalogue", type=folder, required=required, help="Folder of a Parquet feed (swap).")


def effort_options(seconds: float) -> Callable[[Command], Command]:
    """Give a command that starts the service a port, turns, their length and a seed."""

    def give(command: Command) -> Command:
        return port_option(turns_option(seconds_option(seconds)(seed_option(command))))

    return give


def vectors_options(rows: int, dimensions: int) -> Callable[[Command], Command]:
    """Give a command so many made vectors."""

    def give(command: Command) -> Command:
        chosen = click.option("--dimensions", default=dimensions, show_default=True, type=click.IntRange(8, 4_096))
        return click.option("--rows", default=rows, show_default=True, type=click.IntRange(1_000))(chosen(command))

    return give


@contextmanager
def subject_of(data_dir: Path, encoder: str) -> Iterator["Subject"]:
    """Open what is measured.

    Raises:
        ClickException: it cannot be opened.
    """
    from benchmarks.subject import opened
    from indexer.manifest import BundleError
    from models.checkpoint import CheckpointError

    try:
        with opened(data_dir, encoder) as subject:
            yield subject
    except (BundleError, CheckpointError) as error:
        raise click.ClickException(str(error)) from error


def keep(name: str, seed: int, figures: Mapping[str, object]) -> None:
    """Write figures to `out/` and show them."""
    path = record.write(name, seed, figures)
    shown = orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    click.echo(f"{name} -> {path}\n{shown.decode()}")
