"""`python -m models train|join|evaluate|compare|report|classify|audit|...`: the command line of training and measuring.

Reads flags and prints; everything else is left to `models.train` and `models.evaluate`, which are imported only
when they are needed, after the threads are set up.
"""

import os

# Spinning OpenMP workers starve each other where cores are shared; read by the runtime when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from models.capture.cli import capture
from models.category.cli import audit, classify
from models.flags import CATALOGUE, one_line_on_failure
from models.linking_cli import linking
from models.study.cli import reproduce

if TYPE_CHECKING:
    from models.product import TextField


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Train and measure the encoders of Catalens."""


@main.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="TOML file.")
@CATALOGUE
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
    from models.capture.provenance import source_commit
    from models.train.config import load_config
    from models.train.distributed import is_main
    from models.train.feed import Feed
    from models.train.loop import Provenance, fit

    with one_line_on_failure("stopped; --resume goes on from the last save"):
        config = load_config(config_path, overrides)
        feed = Feed.open(catalogue)
        sets = "".join(f" --set {shlex.quote(override)}" for override in overrides)
        command = f"python -m models train --config {config_path.name} --catalogue {feed.name}{sets}"
        provenance = Provenance(command=command, commit=source_commit())
        card = fit(config, feed, out, resume=resume, provenance=provenance, report=_report)
    if is_main():  # the others of torchrun's processes are silent
        click.echo(card.model_dump_json(indent=2) if as_json else f"{out}: {card.name}, fingerprint {card.fingerprint}")


@main.command()
@click.argument(
    "members", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CHECKPOINT CHECKPOINT ..."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the joined model.")
@click.option("--name", help="For reports and answers.  [default: the first one's, and how many]")
@click.option("--json", "as_json", is_flag=True, help="Print the card as JSON.")
def join(
    members: tuple[Path, ...],
    out: Path,
    name: str | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Join trained models, of different seeds say, into one whose score is the mean of theirs."""
    from models.joining import join as joined

    with one_line_on_failure():
        card = joined(members, out, name)
    click.echo(card.model_dump_json(indent=2) if as_json else f"{out}: {card.name}, fingerprint {card.fingerprint}")


def _text_fields(
    _context: click.Context, _option: click.Parameter, stated: str | None
) -> tuple["TextField", ...] | None:
    """Read `title,description`."""
    if stated is None:
        return None
    named: dict[str, TextField] = {"title": "title", "description": "description"}
    fields = [field.strip() for field in stated.split(",")]
    if unknown := [field for field in fields if field not in named]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(named)}")
    return tuple(named[field] for field in fields)


class _ManyAgainst(click.Command):
    """Reads `--against B.npz B2.npz` as `--against B.npz --against B2.npz`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each further value."""
        repeated: list[str] = []
        open_ended = False
        for arg in args:
            if open_ended and not arg.startswith("-") and repeated[-1] != "--against":
                repeated.append("--against")
            open_ended = arg == "--against" or (open_ended and not arg.startswith("-"))
            repeated.append(arg)
        return super().parse_args(ctx, repeated)


@main.command()
@click.option("--encoder", default="mini", show_default=True, help="mini, a checkpoint folder, ARCH/tag, or hf-hub:id.")
@CATALOGUE
@click.option("--split", default="test", show_default=True, help="Value of the split column.")
@click.option(
    "--candidates", type=click.Choice(["full", "100"]), default="full", show_default=True,
    help="All products, or 100 of the query's category with the category entity withheld.",
)  # fmt: skip
@click.option("--pictures", default=1, show_default=True, type=click.IntRange(min=1), help="Of each product, at most.")
@click.option("--limit", type=click.IntRange(min=2), help="Products, at most.")
@click.option(
    "--entities", type=click.Choice(["given", "none", "linked"]), default="given", show_default=True,
    help="Those the catalogue states, none, or those linked from each product's own words.",
)  # fmt: skip
@click.option("--without-entities", "entities", flag_value="none", help="The same as --entities none.")
@click.option("--withhold", "withheld", multiple=True, metavar="GROUP", help="Do not give this group; repeatable.")
@click.option(
    "--text-fields", callback=_text_fields, metavar="FIELD[,FIELD]",
    help="What a text is made of: title, description.  [default: what the encoder was trained on]",
)  # fmt: skip
@click.option(
    "--category-group", default="category", show_default=True, help="Group or attribute that 100 samples within."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, ...")
@click.option(
    "--save", type=click.Path(path_type=Path), metavar="FOLDER/STEM",
    help="Write STEM.json and the ranks, STEM.npz, for compare.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON; recalls are shares in 0..1.")
def evaluate(
    encoder: str,
    catalogue: Path,
    split: str,
    candidates: Literal["full", "100"],
    pictures: int,
    limit: int | None,
    entities: Literal["given", "none", "linked"],
    withheld: tuple[str, ...],
    text_fields: tuple["TextField", ...] | None,
    category_group: str,
    device: str,
    save: Path | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Measure how well pictures and texts of a catalogue find each other: R@1, 5, 10 both ways."""
    from models.checkpoint import load_encoder
    from models.evaluate import Protocol, measure
    from models.tables import evaluation_table
    from models.train.feed import Feed

    with one_line_on_failure():
        protocol = Protocol(
            split=split,
            candidates=candidates,
            pictures=pictures,
            limit=limit,
            entities=entities,
            withheld=withheld,
            text_fields=text_fields,
            category_group=category_group,
        )
        measured = measure(load_encoder(encoder, device), Feed.open(catalogue), protocol)
        if save is not None:
            measured.save(save.parent, save.name)
    figures = measured.evaluation
    click.echo(figures.model_dump_json(indent=2) if as_json else evaluation_table(figures))


@main.command(cls=_ManyAgainst)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="A.npz [A2.npz ...]")
@click.option(
    "--against", multiple=True, required=True, type=click.Path(path_type=Path), metavar="B.npz [B2.npz ...]",
    help="The other side.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON; recalls are shares in 0..1.")
def compare(
    runs: tuple[Path, ...],
    against: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Compare two systems, each one or more seeds, by what evaluate --save wrote: paired, query by query."""
    from models.compare import compare_files
    from models.tables import comparison_json, comparison_table

    with one_line_on_failure():
        found = compare_files(runs, against)
    click.echo(comparison_json(found) if as_json else comparison_table(found))


@main.command()
@click.option("--encoder", default="mini", show_default=True, help="mini, a checkpoint folder, ARCH/tag, or hf-hub:id.")
@CATALOGUE
@click.option("--split", default="val", show_default=True, help="Value of the split column.")
@click.option("--limit", type=click.IntRange(min=2), help="Products, at most.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="HTML file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, ...")
@click.option("--json", "as_json", is_flag=True, help="Print all figures of the page as JSON too.")
def report(
    encoder: str,
    catalogue: Path,
    split: str,
    limit: int | None,
    out: Path,
    device: str,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Write what the entities of a model are worth on a catalogue as one HTML page: gates, shares, examples."""
    from models.checkpoint import load_encoder
    from models.report.collect import collect, training_counts
    from models.report.page import page
    from models.train.feed import Feed

    with one_line_on_failure():
        counts = training_counts(encoder)
        found = collect(load_encoder(encoder, device), Feed.open(catalogue), split=split, limit=limit, counts=counts)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(page(found), encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"cannot write {out}: {error.strerror}") from error
    lines = [f"{out}: {found.given.encoder} on {found.given.catalogue}/{found.given.split}"]
    lines += [found.note] if found.note else []
    lines += [group.advice for group in found.groups]
    click.echo(found.model_dump_json(indent=2) if as_json else "\n".join(lines))


def _report(line: str) -> None:
    click.echo(line, err=True)


main.add_command(audit)
main.add_command(capture)
main.add_command(classify)
main.add_command(linking)
main.add_command(reproduce)

if __name__ == "__main__":
    main(prog_name="python -m models")
