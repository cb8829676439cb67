"""`python -m indexer estimate`: what a catalogue of some size will take.

Reads flags and prints; the model is left to `indexer.estimate`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.amounts import Count, Size, size
from indexer.cli import DATA_DIR, JSON, one_line_on_failure, opened_bundle, print_result
from indexer.tune_cli import MEMORY, RECALL

if TYPE_CHECKING:
    from indexer.estimate import Estimate, Line

POSITIVE = click.FloatRange(0, min_open=True)


@click.command()
@click.option("--products", type=Count(), required=True, metavar="N", help="Products, e.g. 100M.")
@click.option("--images-per-product", default=1.5, show_default=True, type=click.FloatRange(0), help="On average.")
@click.option("--dim", default=512, show_default=True, type=click.IntRange(1), help="Dimensions of a vector.")
@click.option("--recipe", default="auto", show_default=True, help="Of both indexes: a name, or a FAISS factory string.")
@RECALL
@MEMORY
@click.option("--rate", default=100.0, show_default=True, type=POSITIVE, help="Searches a second, at the busiest.")
@click.option(
    "--memory-per-machine", default="64GiB", show_default=True, type=Size(), metavar="SIZE", help="Of a machine."
)
@click.option("--cores", default=2, show_default=True, type=click.IntRange(1), help="Of a machine.")
@click.option("--spares", default=1, show_default=True, type=click.IntRange(0), help="Machines more than needed.")
@click.option("--encoders", default=1, show_default=True, type=click.IntRange(1), help="Machines that encode at once.")
@click.option(
    "--pictures-per-second", default=130.0, show_default=True, type=POSITIVE, help="That one of them encodes."
)
@click.option("--texts-per-second", default=860.0, show_default=True, type=POSITIVE, help="That one of them encodes.")
@click.option("--like", metavar="BUNDLE", help="Bundle whose products yours are like.  [default: the demo shop's]")
@DATA_DIR
@JSON
def estimate(
    *,
    products: int,
    images_per_product: float,
    dim: int,
    recipe: str,
    recall: float,
    memory: int | None,
    rate: float,
    memory_per_machine: int,
    cores: int,
    spares: int,
    encoders: int,
    pictures_per_second: float,
    texts_per_second: float,
    like: str | None,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Tell what a catalogue will take: memory, disk, hours of building, machines, and what each comes of.

    Speeds are those of two cores with the encoder mini unless they are stated.
    """
    from indexer import estimate as model
    from indexer.recipes import Goal

    asked = model.Size(
        products=products,
        pictures=images_per_product,
        dim=dim,
        recipe=recipe,
        goal=Goal(recall, memory),
        rate=rate,
        memory_bytes=memory_per_machine,
        spares=spares,
        encoders=encoders,
    )
    speed = model.Speed(pictures_per_s=pictures_per_second, texts_per_s=texts_per_second, cores=cores)
    with one_line_on_failure():
        profile = model.Profile()
        if like is not None:
            with opened_bundle(data_dir, like) as bundle:
                profile = model.Profile.of(bundle)
        found = model.estimate(asked, profile, speed)
    print_result(as_json, found.model_dump(mode="json"), table(found))


def table(found: "Estimate") -> str:
    """Return all amounts in one table, and the notes."""
    groups = {"memory": found.memory, "disk": found.disk, "build": found.build, "serving": found.serving}
    rows = [
        (group if at == 0 else "", line.what, _amount(line), line.comes_of)
        for group, lines in groups.items()
        for at, line in enumerate(lines)
    ]
    first, second, third = (max(len(row[column]) for row in rows) for column in range(3))
    lines = [f"{a:<{first}}  {b:<{second}}  {c:>{third}}  {d}".rstrip() for a, b, c, d in rows]
    return "\n".join([*lines, *(f"mind: {note}" for note in found.notes)])


def _amount(line: "Line") -> str:
    if line.unit == "bytes":
        return size(line.amount)
    if line.unit == "machines":
        return f"{line.amount:,.0f}"
    return f"{line.amount:,.2f} {line.unit}"
