"""What the commands of `python -m models` have in common: a flag, and how they fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

CATALOGUE = click.option(
    "--catalogue",
    type=click.Path(path_type=Path),
    required=True,
    help="Parquet feed, or a folder with catalogue.parquet.",
)


@contextmanager
def one_line_on_failure(stopped: str = "stopped") -> Iterator[None]:
    """Turn what callers can mend into one line and exit code 1; `stopped` is that of an interrupt."""
    try:
        yield
    except ValueError as error:  # every domain exception of `models` is one
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt as error:
        raise click.ClickException(stopped) from error
