"""Command line of the generated shop: `python -m demo generate|up`."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from demo.up import up
from demo.writer import Plan, ShopError, generate


@click.group(help="The generated shop: products, pictures, queries with known answers.")
def main() -> None:
    """Group the subcommands."""


@main.command("generate")
@click.option(
    "--products", type=click.IntRange(1, 10_000_000), default=2_000, show_default=True, help="Number of products."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same shop, byte for byte."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder that receives the shop."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Processes that draw.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as one line of JSON on standard output.")
def generate_command(*, products: int, seed: int, out: Path, workers: int, as_json: bool) -> None:
    """Write a shop: catalogue.parquet, images/, queries.jsonl, scenes.jsonl, scenes/ and, last, shop.json."""
    started = time.perf_counter()
    try:
        counts = generate(Plan(products, seed, out, workers), progress=sys.stderr.isatty())
    except ShopError as error:
        raise click.ClickException(str(error)) from error
    seconds = round(time.perf_counter() - started, 1)
    if as_json:
        click.echo(json.dumps({**asdict(counts), "out": str(out), "seconds": seconds}))
    else:
        click.echo(
            f"{counts.products} products, {counts.images} pictures, {counts.queries} queries and "
            f"{counts.scenes} photos in {out} ({seconds} s)"
        )


main.add_command(up)

if __name__ == "__main__":
    main()
