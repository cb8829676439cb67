"""`python -m models classify|audit`: categories compared, and a catalogue's own judged."""

from pathlib import Path

import click
import orjson

from models.flags import CATALOGUE, one_line_on_failure

ENCODER = click.option(
    "--encoder", default="mini", show_default=True, help="mini, a checkpoint folder, ARCH/tag, or hf-hub:id."
)
GROUP = click.option("--group", default="category", show_default=True, help="Field or attribute that is the category.")
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, ...")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON; shares are in 0..1.")


@click.command()
@CATALOGUE
@ENCODER
@GROUP
@click.option("--train", "train_split", default="train", show_default=True, help="Split that is fitted on.")
@click.option("--split", default="val", show_default=True, help="Split that is judged.")
@click.option("--largest", type=click.IntRange(min=2), help="Only the classes with most products, so many.")
@click.option("--limit", type=click.IntRange(min=2), help="Products of each split, at most.")
@click.option("--margin", default=0.02, show_default=True, type=click.FloatRange(0, 2), help="Of a pseudo-label.")
@click.option("--seed", default=0, show_default=True, help="Of the calibration split.")
@DEVICE
@JSON
def classify(
    *,
    catalogue: Path,
    encoder: str,
    group: str,
    train_split: str,
    split: str,
    largest: int | None,
    limit: int | None,
    margin: float,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Compare every way to decide the category of texts and pictures, zero-shot and with labels."""
    from models.category.study import Items, study
    from models.category.tables import study_table
    from models.category.vectors import classes_of, encode_prompts, gather, labels_of
    from models.checkpoint import load_encoder
    from models.prototypes import Sure
    from models.train.feed import Feed

    with one_line_on_failure():
        loaded, feed = load_encoder(encoder, device), Feed.open(catalogue)
        gathered = [gather(loaded, feed, name, group, limit) for name in (train_split, split)]
        names = classes_of(gathered[0].products, group, largest=largest)
        parts = []
        for one in gathered:
            labels = labels_of(one.products, group, names)
            known = labels >= 0
            kinds = {"text": one.texts, "image": one.images}
            parts.append({kind: Items(vectors[known], labels[known]) for kind, vectors in kinds.items()})
        prompts = encode_prompts(loaded, names)
        found = study(parts[0], parts[1], prompts, names, sure=Sure(margin=margin), seed=seed)
    click.echo(orjson.dumps(found.to_json(), option=orjson.OPT_INDENT_2).decode() if as_json else study_table(found))


@click.command()
@CATALOGUE
@ENCODER
@GROUP
@click.option("--split", help="Only products of this split.  [default: all products]")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Write audit.csv and audit.html here.")
@click.option("--limit", type=click.IntRange(min=2), help="Products, at most.")
@click.option("--top", default=50, show_default=True, type=click.IntRange(min=1), help="Products shown, at most.")
@click.option(
    "--corrupt", type=click.FloatRange(0, 1, min_open=True), metavar="SHARE",
    help="First change this share of the categories, in 0..1, and say how many are found: for measuring.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the folds and of what is changed.")
@DEVICE
@JSON
def audit(
    *,
    catalogue: Path,
    encoder: str,
    group: str,
    split: str | None,
    out: Path | None,
    limit: int | None,
    top: int,
    corrupt: float | None,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Rank the products of a catalogue by how likely the category they are listed under is wrong."""
    from models.category.audit_catalogue import Wanted, audit_catalogue, files_of
    from models.category.audit_report import PAGE_FILE, as_json_value, as_lines, doubted, write
    from models.category.whole_feed import WholeFeed
    from models.checkpoint import load_encoder
    from models.train.feed import Feed

    wanted = Wanted(group, split, limit, corrupt, seed)
    with one_line_on_failure():
        feed = WholeFeed.open(catalogue) if split is None else Feed.open(catalogue)
        if out is not None:
            write(out, {})  # a folder that cannot be is found out before minutes of work
        found = audit_catalogue(load_encoder(encoder, device), feed, wanted)
        if out is not None:
            write(out, files_of(found, feed, wanted, top))
    shown = doubted(found.ranked, top)
    if as_json:
        click.echo(orjson.dumps(as_json_value(found.summary, shown), option=orjson.OPT_INDENT_2).decode())
        return
    click.echo("\n".join([*([str(out / PAGE_FILE)] if out else []), *as_lines(found.summary, shown)]))
