"""`python -m models capture cut|compose|...`: every product in a photo, from cut-outs to figures.

Reads flags and prints; heavy imports wait until the threads are set up.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from models.capture.detector_cli import train_detector
from models.capture.instances_cli import evaluate, train, train_head
from models.flags import CATALOGUE, one_line_on_failure

if TYPE_CHECKING:
    from models.capture.harvest import Harvest


@click.group()
def capture() -> None:
    """Find every product in a photo: cut-outs, composites, the detector, CAPTURE."""


@capture.command()
@CATALOGUE
@click.option("--split", default="train", show_default=True, help="Value of the split column.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Arrow file.")
@click.option("--pictures", type=click.IntRange(min=1), help="Of each product, at most.  [default: all]")
@click.option("--limit", type=click.IntRange(min=1), help="Products, at most.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def cut(
    catalogue: Path,
    split: str,
    out: Path,
    pictures: int | None,
    limit: int | None,
    workers: int,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Cut the products out of a catalogue's photos; photos whose mask cannot be right are refused and counted."""
    with one_line_on_failure():
        try:
            from models.capture.harvest import Harvest, harvest
        except ImportError as error:
            raise click.ClickException(f'cutting needs OpenCV: pip install -e ".[train]" ({error})') from error
        from models.capture.cutouts import write_cutouts
        from models.train.feed import Feed

        counts, feed = Harvest(), Feed.open(catalogue)
        rows = harvest(feed, split, counts, pictures=pictures, limit=limit, workers=workers)
        write_cutouts(out, rows)
    click.echo(json.dumps(counts.figures(), indent=2) if as_json else f"{out}: {_told(counts)}")


def _told(counts: "Harvest") -> str:
    refused = ", ".join(f"{reason} {count:,}" for reason, count in counts.refused.most_common())
    left = f"; refused {counts.refused.total():,}: {refused}" if refused else ""
    return f"{counts.cut:,} products of {counts.photos:,} photos, {counts.backdrops:,} backdrops{left}"


@capture.command()
@click.option("--cutouts", type=click.Path(path_type=Path), required=True, help="What `capture cut` wrote.")
@click.option("--split", help="Of the products.  [default: all]")
@click.option("--design", type=click.Path(path_type=Path), help="TOML file of how composites are made.")
@click.option("--count", default=24, show_default=True, type=click.IntRange(min=1), help="Composites.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the composites.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def compose(
    cutouts: Path,
    split: str | None,
    design: Path | None,
    count: int,
    seed: int,
    out: Path,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Write composites to look at: pictures, labels.jsonl with their boxes, and contact.png with boxes drawn."""
    from models.capture.composites import Composer
    from models.capture.cutouts import Cutouts
    from models.capture.showing import read_design, write_composites

    with one_line_on_failure():
        opened = Cutouts.open(cutouts)
        composer = Composer(opened.of_split(split) if split else opened, read_design(design), seed)
        numbers = tqdm(range(count), desc="composing", unit="picture", disable=None, leave=False)
        try:
            written = write_composites(composer, numbers, out)
        except OSError as error:
            raise click.ClickException(f"cannot write {out}: {error.strerror}") from error
    told = f"{out}: {written['pictures']:,} pictures, {written['products']:,} products"
    click.echo(json.dumps(written, indent=2) if as_json else told)


capture.add_command(evaluate)
capture.add_command(train)
capture.add_command(train_detector)
capture.add_command(train_head)
