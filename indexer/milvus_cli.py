"""`python -m indexer milvus push|publish|rollback|status|drop`: bundles in Milvus.

Reads flags and prints; all else is left to `indexer.milvus_bundles`.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from indexer.cli import DATA_DIR, JSON, one_line_on_failure, opened_bundle, print_result

if TYPE_CHECKING:
    from indexer.milvus_bundles import Collection
    from indexer.milvus_client import Milvus

URI = click.option(
    "--uri",
    required=True,
    envvar="CATALENS_MILVUS_URI",
    show_envvar=True,
    help="http://HOST:PORT, or a file that ends in .db for Milvus Lite.",
)
TIMEOUT = click.option(
    "--timeout", "timeout_s", default=10.0, show_default=True, type=click.FloatRange(0.001), help="Seconds of a call."
)
BUNDLE = click.option("--bundle", help="Id or folder of a bundle.  [default: the published one]")


@click.group()
def milvus() -> None:
    """Copy bundles to Milvus, and choose which of them others find there.

    A token, USER:PASSWORD or a key, is read from CATALENS_MILVUS_TOKEN.
    """


def _opened(uri: str, timeout_s: float) -> "Milvus":
    import os

    if find_spec("pymilvus") is None:
        msg = "pymilvus is not installed: install catalens with the extra `milvus`"
        raise click.ClickException(msg)
    from indexer.milvus_client import Milvus

    return Milvus(uri, os.environ.get("CATALENS_MILVUS_TOKEN", ""), timeout_s)


@milvus.command()
@DATA_DIR
@BUNDLE
@URI
@TIMEOUT
@click.option(
    "--recipe",
    type=click.Choice(["exact", "hnsw"]),
    help="How vectors are searched there.  [default: exact where the bundle's own index is, else hnsw]",
)
@click.option("--again", is_flag=True, help="Write rows anew though all of them are there.")
@click.option("--publish", "and_publish", is_flag=True, help="Then have the aliases lead to it.")
@JSON
def push(
    *,
    data_dir: Path,
    bundle: str | None,
    uri: str,
    timeout_s: float,
    recipe: str | None,
    again: bool,
    and_publish: bool,
    as_json: bool,
) -> None:
    """Copy a bundle's vectors, and what products are filtered by, to Milvus; begun again, it goes on."""
    with one_line_on_failure():
        there = _opened(uri, timeout_s)
        from indexer.milvus_bundles import publish as point
        from indexer.milvus_bundles import push as run
        from indexer.milvus_client import Kind

        with opened_bundle(data_dir, bundle) as opened:
            total = opened.manifest.counts.products + opened.manifest.counts.images
            with tqdm(desc="push", total=total, unit=" rows", leave=False, disable=not sys.stderr.isatty()) as bar:
                names = run(there, opened, bar.update, None if recipe is None else Kind(recipe), again=again)
            if and_publish:
                point(there, opened)
            result = {"bundle": opened.manifest.id, "collections": names, "rows": total, "published": and_publish}
    print_result(as_json, result, f"{result['bundle']}: {total:,} rows in {', '.join(names)}")


@milvus.command()
@DATA_DIR
@BUNDLE
@URI
@TIMEOUT
@JSON
def publish(*, data_dir: Path, bundle: str | None, uri: str, timeout_s: float, as_json: bool) -> None:
    """Have the aliases catalens_text and catalens_image lead to a bundle that was pushed."""
    with one_line_on_failure():
        there = _opened(uri, timeout_s)
        from indexer.milvus_bundles import publish as run

        with opened_bundle(data_dir, bundle) as opened:
            run(there, opened)
            bundle_id = opened.manifest.id
    print_result(as_json, {"bundle": bundle_id}, f"{bundle_id} is what the aliases lead to")


@milvus.command()
@URI
@TIMEOUT
@JSON
def rollback(*, uri: str, timeout_s: float, as_json: bool) -> None:
    """Have the aliases lead to what they led to before."""
    with one_line_on_failure():
        there = _opened(uri, timeout_s)
        from indexer.milvus_bundles import rollback as run

        led = run(there)
    print_result(as_json, led, "\n".join(f"{alias} -> {name}" for alias, name in led.items()))


@milvus.command()
@URI
@TIMEOUT
@JSON
def status(*, uri: str, timeout_s: float, as_json: bool) -> None:
    """Say which bundles are in Milvus, whether all of each is there, and which is published."""
    with one_line_on_failure():
        there = _opened(uri, timeout_s)
        from indexer.milvus_bundles import collections

        found = collections(there)
    words = "\n".join(_line(one) for one in found) or "no bundle is there"
    print_result(as_json, {"collections": [one.as_json() for one in found]}, words)


def _line(one: "Collection") -> str:
    leading = f", {', '.join(one.aliases)}" if one.aliases else ""
    return f"{one.name}: {one.rows:,} of {one.stated.rows:,} rows, {one.stated.kind}{leading}"


@milvus.command()
@click.argument("bundle_id")
@URI
@TIMEOUT
@JSON
def drop(*, bundle_id: str, uri: str, timeout_s: float, as_json: bool) -> None:
    """Remove a bundle from Milvus that is not the published one."""
    with one_line_on_failure():
        there = _opened(uri, timeout_s)
        from indexer.milvus_bundles import drop as run

        names = run(there, bundle_id)
    print_result(as_json, {"dropped": names}, f"dropped {', '.join(names)}")
