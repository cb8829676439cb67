"""`python -m indexer inspect`: what a feed holds, how its columns are read, and what is wrong with it.

Reads flags and prints; looking is left to `indexer.feed_inspect`, guessing to `indexer.feed_guess`.
"""

from pathlib import Path

import click

from indexer.cli import JSON, PATH, one_line_on_failure, print_result

MAPPING = click.option(
    "--mapping",
    "mapping_file",
    type=PATH,
    metavar="FILE",
    help="Mapping file, as `inspect --write` makes it; flags win.",
)
MAP = click.option(
    "--map",
    "mapping",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Column that holds a product field, where the names differ.",
)
IGNORE = click.option("--ignore-column", "ignore", multiple=True, metavar="COLUMN", help="Column to leave out.")
VARIANTS = click.option(
    "--variants", is_flag=True, help="Take each variant for a product of its own, where the format tells them apart."
)


@click.command()
@click.argument("feed", type=PATH)
@MAPPING
@MAP
@IGNORE
@VARIANTS
@click.option("--rows", default=1000, show_default=True, type=click.IntRange(1, 1_000_000), help="Records to look at.")
@click.option("--show", "shown", default=5, show_default=True, type=click.IntRange(0, 100), help="Products to show.")
@click.option("--write", type=PATH, metavar="FILE", help="Mapping file to write, with what was found.")
@click.option("--force", is_flag=True, help="Write it over one that is there.")
@JSON
def inspect(
    *,
    feed: Path,
    mapping_file: Path | None,
    mapping: tuple[str, ...],
    ignore: tuple[str, ...],
    variants: bool,
    rows: int,
    shown: int,
    write: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Look at the first records of FEED: its format, which column is what, how products come out, and problems.

    Columns that no file or flag maps are guessed by their names and values. The exit status is 1 if no product
    could be read.
    """
    from indexer import feed_show
    from indexer.feed_inspect import inspect as look
    from indexer.feed_mapping import FeedMapping, mapping_text, pairs, read_mapping

    with one_line_on_failure():
        stated = read_mapping(mapping_file) if mapping_file is not None else FeedMapping()
        stated = stated.with_flags(pairs("--map", mapping), ignore, variants=variants)
        found = look(feed, stated, rows=rows, shown=shown)
        if write is not None:
            _write(
                write,
                mapping_text(found.mapping, f"{feed.name}: {found.format}, by python -m indexer inspect"),
                force=force,
            )
    print_result(as_json, found.as_json(), feed_show.words(found, feed, write))
    if not found.products:
        raise click.exceptions.Exit(1)


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write a mapping file; one that is there stays unless it may be written over."""
    if path.exists() and not force:
        msg = f"{path}: is there already: --force writes over it"
        raise click.ClickException(msg)
    path.write_text(text, encoding="utf-8")
