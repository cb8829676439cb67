"""`python -m indexer.layout_cli FOLDER`: prints the map of a bundle as JSON. The service runs it, apart from itself."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from dataclasses import asdict
from pathlib import Path

import click

from indexer.cli import one_line_on_failure


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--most", default=2_000, show_default=True, type=click.IntRange(1), help="Products on the map.")
@click.option("--method", type=click.Choice(["t-SNE", "PCA"]), help="[default: t-SNE where scikit-learn is installed]")
def main(*, folder: Path, most: int, method: str | None) -> None:
    """Lay products of a bundle out in two dimensions."""
    import orjson

    from indexer.layout import lay_out, method_here

    with one_line_on_failure():
        layout = lay_out(folder, most, "PCA" if method == "PCA" else "t-SNE" if method else method_here())
    click.echo(orjson.dumps(asdict(layout)), nl=False)


if __name__ == "__main__":
    main()
