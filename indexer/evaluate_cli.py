"""`python -m indexer evaluate`: measures a bundle, by its own vectors or by judged queries.

Reads flags and prints; measuring is left to `indexer.evaluate` and `indexer.judged`.
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


@click.command()
@click.argument("bundle", required=False)
@click.option(
    "--queries", type=PATH, help="Judged queries, JSON lines of qid, kind, text, relevant; else vectors only."
)
@click.option("--qrels", type=PATH, help="TREC qrels; --queries is then a file of topics, qid TAB text.")
@click.option("--run", "run_to", type=PATH, help="Write what was ranked as a TREC run file (with --mode all: not).")
@click.option("--made", type=click.IntRange(1), metavar="N", help="Judge N queries made of the bundle's own entities.")
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "vector", "lexical", "all"]),
    default="hybrid",
    show_default=True,
    help="How words are matched; all: one after the other, side by side.",
)
@click.option("--split", help="Only queries of this split.")
@click.option(
    "--entities",
    type=click.Choice(["linked", "gold", "none"]),
    default="linked",
    show_default=True,
    help="Entities that queries are encoded with.",
)
@click.option("--image-weight", metavar="SHARE", help="Share of pictures in scores, 0..1.  [default: the bundle's]")
@DATA_DIR
@ENCODER
@DEVICE
@click.option("--seed", default=0, show_default=True, help="Of samples.")
@JSON
def evaluate(
    *,
    bundle: str | None,
    queries: Path | None,
    qrels: Path | None,
    run_to: Path | None,
    made: int | None,
    mode: str,
    split: str | None,
    entities: str,
    image_weight: str | None,
    data_dir: Path,
    encoder: str,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Measure a bundle (id or folder; the current one by default): ANN recall, self-retrieval, judged queries."""
    from indexer import show
    from indexer.evaluate import measure
    from indexer.flags import weights
    from indexer.judged import EntitySource, Mode, judge, read_queries, read_trec
    from indexer.made_queries import make_queries

    if queries and made:
        msg = "--queries and --made are two ways to say which queries: give one"
        raise click.UsageError(msg)
    if (qrels and not queries) or (run_to and (mode == "all" or not (queries or made))):
        msg = "--qrels goes with --queries, and --run with queries in one mode"
        raise click.UsageError(msg)
    with one_line_on_failure():
        asked = None
        if queries:
            asked = read_trec(queries, qrels) if qrels else read_queries(queries, split)
        with opened_bundle(data_dir, bundle) as opened:
            loaded = load(encoder, device)
            check_encoder(opened, loaded)
            if made:
                asked = make_queries(opened, made, seed)
            if asked is None:
                measured = measure(opened, loaded, seed=seed)
                print_result(as_json, measured.model_dump(mode="json"), show.report(measured))
                return
            share = weights(image_weight) if image_weight else None
            modes = list(Mode) if mode == "all" else [Mode(mode)]
            judged = judge(opened, loaded, asked, source=EntitySource(entities), weights=share, modes=modes)
            if run_to:
                run_to.write_text(judged[0].run, encoding="utf-8")
            results = {each.mode.value: each.model_dump(mode="json") for each in judged}
            words = show.modes(judged) if len(judged) > 1 else show.judgement(judged[0])
            print_result(as_json, results if len(judged) > 1 else results[mode], words)
