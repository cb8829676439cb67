"""`python -m models train|evaluate`: the command line of training and measuring.

Reads flags and prints; everything else is left to `models.train` and `models.evaluate`, which are imported only
when they are needed, after the threads are set up.
"""

import os

# Spinning OpenMP workers starve each other where cores are shared; read by the runtime when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from models.evaluate import Direction, Evaluation

_DIRECTORY = Path(__file__).parent


_CATALOGUE = click.option(
    "--catalogue",
    type=click.Path(path_type=Path),
    required=True,
    help="Parquet feed, or a folder with catalogue.parquet.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Train and measure the encoders of Catalens."""


@contextmanager
def _one_line_on_failure() -> Iterator[None]:
    """Turn what callers can mend into one line and exit code 1."""
    try:
        yield
    except ValueError as error:  # every domain exception of `models` is one
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt as error:
        raise click.ClickException("stopped; --resume goes on from the last save") from error


@main.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="TOML file.")
@_CATALOGUE
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the checkpoint.")
@click.option("--resume", is_flag=True, help="Go on from the state in --out, if there is one.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one setting.")
@click.option("--json", "as_json", is_flag=True, help="Print the finished card as JSON.")
def train(
    config_path: Path,
    catalogue: Path,
    out: Path,
    resume: bool,  # noqa: FBT001 - click passes flags by name
    overrides: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Train an EI-CLIP model, or a baseline of it, on a catalogue with the splits train and val."""
    from models.train.config import load_config
    from models.train.feed import Feed
    from models.train.loop import Provenance, fit

    with _one_line_on_failure():
        config = load_config(config_path, overrides)
        feed = Feed.open(catalogue)
        sets = "".join(f" --set {override}" for override in overrides)
        command = f"python -m models train --config {config_path.name} --catalogue {feed.name}{sets}"
        provenance = Provenance(command=command, commit=_commit())
        card = fit(config, feed, out, resume=resume, provenance=provenance, report=_report)
    click.echo(card.model_dump_json(indent=2) if as_json else f"{out}: {card.name}, fingerprint {card.fingerprint}")


@main.command()
@click.option("--encoder", default="mini", show_default=True, help="mini, a checkpoint folder, ARCH/tag, or hf-hub:id.")
@_CATALOGUE
@click.option("--split", default="test", show_default=True, help="Value of the split column.")
@click.option(
    "--candidates", type=click.Choice(["full", "100"]), default="full", show_default=True,
    help="All products, or 100 of the query's category with the category entity withheld.",
)  # fmt: skip
@click.option("--pictures", default=1, show_default=True, type=click.IntRange(min=1), help="Of each product, at most.")
@click.option("--limit", type=click.IntRange(min=2), help="Products, at most.")
@click.option("--without-entities", is_flag=True, help="Give texts alone.")
@click.option("--category-group", default="category", show_default=True, help="Entity group that 100 samples within.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, ...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; recalls are shares in 0..1.")
def evaluate(
    encoder: str,
    catalogue: Path,
    split: str,
    candidates: Literal["full", "100"],
    pictures: int,
    limit: int | None,
    without_entities: bool,  # noqa: FBT001 - click passes flags by name
    category_group: str,
    device: str,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Measure how well pictures and texts of a catalogue find each other: R@1, 5, 10 both ways."""
    from models.checkpoint import load_encoder
    from models.evaluate import Protocol
    from models.evaluate import evaluate as measure
    from models.train.feed import Feed

    with _one_line_on_failure():
        protocol = Protocol(
            split=split,
            candidates=candidates,
            pictures=pictures,
            limit=limit,
            with_entities=not without_entities,
            category_group=category_group,
        )
        figures = measure(load_encoder(encoder, device), Feed.open(catalogue), protocol)
    click.echo(figures.model_dump_json(indent=2) if as_json else _table(figures))


def _report(line: str) -> None:
    click.echo(line, err=True)


def _table(figures: "Evaluation") -> str:
    head = (
        f"{figures.encoder} on {figures.catalogue}/{figures.split}: {figures.products} products, "
        f"{figures.pictures} pictures, {figures.candidates_mean:.0f} candidates, "
        f"entities {', '.join(figures.entities) or 'none'}"
    )
    levels = [("pair", figures.pair)] + ([("product", figures.product)] if figures.pictures > figures.products else [])
    lines = [head]
    for name, level in levels:
        lines.append(f"per {name}, sum of recalls {level.sum_r:.1f}, with 95% intervals")
        lines.append(f"  text to image  {_line(level.text_to_image)}")
        lines.append(f"  image to text  {_line(level.image_to_text)}")
    return "\n".join(lines)


def _line(way: "Direction") -> str:
    cells = (("R@1", way.r1), ("R@5", way.r5), ("R@10", way.r10))
    figures = (f"{k} {e.mean:.3f} [{e.low:.3f}, {e.high:.3f}]" for k, e in cells)
    return "  ".join((*figures, f"median rank {way.median_rank:g}"))


def _commit() -> str | None:
    """Return the commit of the source tree, marked when it has changes; None outside one."""
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [git, "-C", str(_DIRECTORY), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None


if __name__ == "__main__":
    main(prog_name="python -m models")
