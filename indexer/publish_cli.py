"""`python -m indexer publish|rollback|status`: which bundle is served, and what stands in the way of another.

Reads flags and prints; judging and moving are left to `indexer.gate` and `indexer.publish`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.cli import DATA_DIR, DEVICE, ENCODER, JSON, PATH, load, one_line_on_failure, print_result
from indexer.updates_cli import REDIS_URL, UPDATE_LOG, UPDATE_LOG_NAME, opened_log

if TYPE_CHECKING:
    from indexer.gate import Gate
    from indexer.updates import UpdateLog
    from models.encoder import Encoder

GOLDEN = click.option(
    "--golden",
    type=PATH,
    help="Judged queries (JSON lines, as evaluate reads them) that may not lose.  [default: golden.jsonl, if there]",
)
BAR = click.option(
    "--bar",
    "bars",
    multiple=True,
    metavar="NAME=VALUE",
    help="A bar of the gate, before gate.toml in the data folder: product_loss=0.5, ann_recall=0.9, ...",
)
NEW_MODEL = click.option(
    "--new-model", is_flag=True, help="Another encoder than the current bundle's is what is meant."
)


def gate_of(
    encoder: "Encoder",
    log: "UpdateLog | None",
    data_dir: Path,
    golden: Path | None = None,
    bars: tuple[str, ...] = (),
    *,
    new_model: bool = False,
) -> "Gate":
    """Return the gate that flags name."""
    from indexer.bars import Bars
    from indexer.gate import Gate

    return Gate(encoder, Bars.read(data_dir, bars), golden, log, new_model)


@click.command()
@click.argument("bundle_id")
@DATA_DIR
@ENCODER
@DEVICE
@GOLDEN
@BAR
@NEW_MODEL
@UPDATE_LOG
@UPDATE_LOG_NAME
@REDIS_URL
@click.option("--force", is_flag=True, help="Publish although the gate refuses it; recorded in history.jsonl.")
@click.option("--dry-run", is_flag=True, help="Only say what the gate says; exit status 1 if it refuses.")
@JSON
def publish(
    *,
    bundle_id: str,
    data_dir: Path,
    encoder: str,
    device: str,
    golden: Path | None,
    bars: tuple[str, ...],
    new_model: bool,
    update_log: str,
    update_log_name: str,
    redis_url: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Verify a bundle, judge it, and make it the current one."""
    from indexer import show
    from indexer.gate import verdicts
    from indexer.publish import bundle_folder, judge
    from indexer.publish import publish as run

    with one_line_on_failure():
        bundle_folder(data_dir, bundle_id)
        log = opened_log(update_log, redis_url, update_log_name, data_dir)
        try:
            gate = gate_of(load(encoder, device), log, data_dir, golden, bars, new_model=new_model)
            if dry_run:
                verdict = judge(data_dir, bundle_id, gate)
                print_result(as_json, verdict.model_dump(mode="json"), show.verdict(verdict))
                raise SystemExit(1 if verdict.problems else 0)
            entry = run(data_dir, bundle_id, force=force, gate=gate)
        finally:
            if log is not None:
                log.close()
        verdict = verdicts(data_dir)[-1]
    result = {**entry.model_dump(mode="json"), "gate": verdict.model_dump(mode="json")}
    print_result(as_json, result, f"{show.verdict(verdict)}\n{show.moved(entry)}")


@click.command()
@DATA_DIR
@JSON
def rollback(*, data_dir: Path, as_json: bool) -> None:
    """Make the bundle current that was so before the present one."""
    from indexer import show
    from indexer.publish import rollback as run

    with one_line_on_failure():
        entry = run(data_dir)
    print_result(as_json, entry.model_dump(mode="json"), show.moved(entry))


@click.command()
@DATA_DIR
@click.option("--verify", is_flag=True, help="Check the digests of all files too.")
@JSON
def status(*, data_dir: Path, verify: bool, as_json: bool) -> None:
    """List the bundles, which one is current (*), broken ones, and what the gate said of each."""
    from indexer import show
    from indexer.gate import verdicts
    from indexer.publish import status as run

    with one_line_on_failure():
        state = run(data_dir, verify=verify)
        judged = {verdict.bundle: verdict for verdict in verdicts(data_dir)}
    print_result(as_json, show.status_json(state, judged), show.status(state, judged))
