"""`python -m indexer verify|diff|export`: what is in a bundle, and whether it is right.

Reads flags and prints; looking is left to `indexer.verify`, `indexer.diff` and `indexer.export`.
"""

from pathlib import Path

import click

from indexer.cli import (
    DATA_DIR,
    DEVICE,
    ENCODER,
    JSON,
    PATH,
    check_encoder,
    load,
    one_line_on_failure,
    opened_bundle,
    print_result,
)

_NO_ENCODER = "none"


@click.command()
@click.argument("bundle", required=False)
@DATA_DIR
@click.option(
    "--deep", is_flag=True, help="Also look whether ids, vectors, rows, words, indexes and the encoder agree."
)
@ENCODER
@DEVICE
@click.option(
    "--sample", default=512, show_default=True, type=click.IntRange(1, 100_000), help="Of what is encoded or searched."
)
@click.option("--seed", default=0, show_default=True, help="Of samples.")
@JSON
def verify(
    *,
    bundle: str | None,
    data_dir: Path,
    deep: bool,
    encoder: str,
    device: str,
    sample: int,
    seed: int,
    as_json: bool,
) -> None:
    """Check every file of a bundle (id or folder; the current one by default), and with --deep what they hold.

    With --deep, --encoder none encodes nothing anew. Each finding is a line; with any, the exit status is 1.
    """
    from indexer.bars import Bars
    from indexer.soundness import Sample, problems_of
    from indexer.verify import look_deep

    with one_line_on_failure(), opened_bundle(data_dir, bundle) as opened:
        manifest = opened.manifest
        checks = []
        if deep:
            loaded = None if encoder == _NO_ENCODER else load(encoder, device)
            if loaded is not None:
                check_encoder(opened, loaded)
            checks = look_deep(opened, loaded, Bars.read(data_dir), Sample(sample, seed))
    result = {"id": manifest.id, "files": len(manifest.files), "digest": manifest.digest}
    lines = [f"{manifest.id}: {len(manifest.files)} files are as they were written"]
    lines += [f"  {'WRONG: ' if check.failed else ''}{check.says}" for check in checks]
    found = {"checks": [check.model_dump(mode="json") for check in checks]} if deep else {}
    print_result(as_json, {**result, **found}, "\n".join(lines))
    if problems_of(checks):
        raise SystemExit(1)


@click.command()
@click.argument("before")
@click.argument("after")
@DATA_DIR
@click.option("--ids", is_flag=True, help="Also tell which products: + added, - removed, ~ changed.")
@click.option(
    "--sample",
    default=100,
    show_default=True,
    type=click.IntRange(0, 100_000),
    help="Products whose neighbours are compared.",
)
@click.option("--seed", default=0, show_default=True, help="Of the sample.")
@JSON
def diff(*, before: str, after: str, data_dir: Path, ids: bool, sample: int, seed: int, as_json: bool) -> None:
    """Tell what changed from one bundle (id or folder) to another: settings, products, categories, neighbours."""
    from indexer.diff import compare, words

    with one_line_on_failure(), opened_bundle(data_dir, before) as one, opened_bundle(data_dir, after) as other:
        found = compare(one, other, with_ids=ids, sample=sample, seed=seed)
    print_result(as_json, found.model_dump(mode="json"), words(found))


@click.command()
@click.argument("bundle", required=False)
@DATA_DIR
@click.option("--out", type=PATH, required=True, help="Folder to write, which must not be there.")
@click.option("--float32", is_flag=True, help="Vectors as float32.  [default: float16, as they are stored]")
@click.option("--pictures", is_flag=True, help="Thumbnails with the products, in the column image_bytes.")
@JSON
def export(*, bundle: str | None, data_dir: Path, out: Path, float32: bool, pictures: bool, as_json: bool) -> None:
    """Write a bundle (id or folder; the current one by default) as Parquet and .npy."""
    from indexer.export import export as run

    with one_line_on_failure(), opened_bundle(data_dir, bundle) as opened:
        done = run(opened, out, float32=float32, pictures=pictures)
    words = f"{out}: {done.products:,} products and {done.images:,} pictures of {done.bundle}, vectors {done.vectors}"
    print_result(as_json, {"path": str(out), **done.model_dump(mode="json")}, words)
