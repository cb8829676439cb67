"""The command line from a feed to a published bundle and back, on real files."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from indexer.__main__ import main
from indexer.bundle import current_bundle
from models.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def feeds(support):
    return support("feeds")


@pytest.fixture
def encoder(weightless, feeds, monkeypatch):
    """What `--encoder weightless` names: the command line reaches encoders by name only."""
    made = weightless(dim=32, vocabularies={"brand": feeds.BRANDS})
    others = {"weightless": made, "other": weightless(dim=32, salt="other")}

    def load(source, device="auto"):
        if source not in others:
            raise CheckpointError(f"no encoder {source!r}")
        return others[source]

    monkeypatch.setattr("models.checkpoint.load_encoder", load)
    return made


@pytest.fixture
def feed(feeds, tmp_path):
    return feeds.write_feed(tmp_path / "feed", 30)


@pytest.fixture
def run(tmp_path, encoder):
    """Run the command line in a data folder; the exit status, what it printed, and what it said on failure."""

    def call(*words, data=tmp_path / "data"):
        answer = CliRunner().invoke(main, [*map(str, words), "--data-dir", str(data)])
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer

    return call


def build(run, feed, *words):
    return run("build", "--catalogue", feed, "--encoder", "weightless", *words)


def test_from_feed_to_published_and_back(run, feed, tmp_path):
    first = json.loads(build(run, feed, "--publish", "--json").stdout)
    assert first["published"] is True
    assert first["manifest"]["counts"] == {"products": 30, "images": 60, "rejected": 0}
    assert first["report"]["ann"]["text"]["recall_at_10"] == 1.0
    second = json.loads(build(run, feed, "--recipe", "hnsw", "--json").stdout)
    assert second["published"] is False
    assert current_bundle(tmp_path / "data").name == first["manifest"]["id"]

    moved = json.loads(run("publish", second["manifest"]["id"], "--encoder", "weightless", "--json").stdout)
    assert (moved["bundle"], moved["previous"]) == (second["manifest"]["id"], first["manifest"]["id"])
    listed = json.loads(run("status", "--json").stdout)
    assert listed["current"] == second["manifest"]["id"]
    assert [b["is_current"] for b in listed["bundles"]] == [False, True]
    assert all(b["problem"] is None for b in listed["bundles"])
    assert json.loads(run("rollback", "--json").stdout)["bundle"] == first["manifest"]["id"]
    verified = json.loads(run("verify", "--json").stdout)
    assert verified["id"] == first["manifest"]["id"]
    assert verified["files"] == 17


def test_words_for_people(run, feed):
    said = build(run, feed, "--publish").stdout
    assert "30 products, 60 pictures, 0 bad rows" in said
    assert "text index: SQfp16" in said
    assert "ANN recall@10 1.000" in said
    assert "current is 20" in said
    assert "publish it with: python -m indexer publish" in build(run, feed).stdout
    assert "* 20" in run("status").stdout
    assert "17 files are as they were written" in run("verify").stdout
    assert "find their own product: " in run("evaluate", "--encoder", "weightless").stdout


def test_status_of_nothing(run):
    assert run("status").stdout == "no bundles\nnothing is published\n"


def test_a_damaged_bundle_shows(run, feed, tmp_path):
    build(run, feed, "--publish")
    (current_bundle(tmp_path / "data") / "text.faiss").write_bytes(b"short")
    assert "BROKEN" in run("status").stdout
    answer = run("verify")
    assert answer.exit_code == 1
    assert "text.faiss: 5 bytes" in answer.stderr
    (tmp_path / "data" / "current").unlink()
    (tmp_path / "data" / "current").symlink_to("bundles/gone")
    assert "current is broken" in run("status").stdout
    (current := tmp_path / "data" / "bundles" / "20260101T000000Z-aaaaaaaa").mkdir()
    assert f"{current.name}  0.0 MiB  BROKEN" in run("status").stdout


def test_evaluate_judged_queries(run, feed, tmp_path):
    built = json.loads(build(run, feed, "--json").stdout)
    queries = tmp_path / "queries.jsonl"
    lines = [
        {"qid": "1", "kind": "title", "split": "test", "text": "Ruby blue dress no 3", "relevant": ["p3"]},
        {"qid": "2", "kind": "brand", "split": "test", "text": "Ruby", "relevant": ["gone"],
         "entities": [{"group": "brand", "value": "Ruby"}]},
    ]  # fmt: skip
    queries.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["evaluate", built["manifest"]["id"], "--queries", queries, "--encoder", "weightless"]
    judged = json.loads(run(*words, "--split", "test", "--json").stdout)
    assert judged["kinds"]["title"]["success_at_1"] == 1.0
    assert judged["kinds"]["brand"]["linking_f1"] == 1.0
    table = run(*words, "--image-weight", "0.2", "--entities", "gold").stdout
    assert "image weight 0.2" in table
    assert "1 relevant ids are not in this bundle" in table
    side_by_side = json.loads(run(*words, "--mode", "all", "--json").stdout)
    assert {mode: found["fusion"]["lexical"] for mode, found in side_by_side.items()}["vector"] == 0.0
    assert side_by_side["lexical"]["kinds"]["title"]["success_at_1"] == 1.0
    made = run("evaluate", built["path"], "--encoder", "weightless", "--made", "20", "--mode", "all").stdout
    assert all(f"{mode} nDCG@10" in made for mode in ("hybrid", "vector", "lexical"))
    (tmp_path / "topics").write_text("7\tRuby blue dress no 3\n")
    (tmp_path / "qrels").write_text("7 0 p3 2\n7 0 p9 1\n")
    topics = ["evaluate", built["path"], "--encoder", "weightless", "--queries", tmp_path / "topics"]
    graded = json.loads(run(*topics, "--qrels", tmp_path / "qrels", "--run", tmp_path / "run", "--json").stdout)
    assert graded["kinds"]["topic"]["queries"] == 1
    assert (tmp_path / "run").read_text().startswith("7 Q0 p3 1 1.000000 catalens-hybrid\n")
    assert run("evaluate", "--encoder", "weightless", "--qrels", tmp_path / "qrels").exit_code == 2
    both = run(*words, "--made", "20")
    assert both.exit_code == 2
    assert "--queries and --made" in both.stderr
    by_folder = run("evaluate", built["path"], "--encoder", "weightless", "--json")
    assert json.loads(by_folder.stdout)["ann"]["image"]["recall_at_10"] == 1.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build", "--catalogue", "nowhere.csv", "--encoder", "weightless"], "nowhere.csv: cannot be read"),
        (["build", "--catalogue", "FEED", "--encoder", "nobody"], "no encoder 'nobody'"),
        (["build", "--catalogue", "FEED", "--encoder", "weightless", "--recipe", "hsnw"], "unknown index recipe"),
        (["build", "--catalogue", "FEED", "--encoder", "weightless", "--max-bad-rows", "some"], "--max-bad-rows"),
        (["build", "--catalogue", "FEED", "--encoder", "weightless", "--map", "title"], "--map 'title'"),
        (["build", "--catalogue", "FEED", "--encoder", "weightless", "--map", "title=nowhere"], "no column 'nowhere'"),
        (["build", "--catalogue", "FEED", "--encoder", "weightless", "--image-weight", "text=2"], "expected a share"),
        (["publish", "nowhere"], "no bundle is called 'nowhere'"),
        (["rollback"], "nothing is published"),
        (["verify"], "nothing is published"),
        (["verify", "nowhere"], "no bundle is called 'nowhere'"),
        (["evaluate", "--encoder", "weightless"], "nothing is published"),
        (["evaluate", "--queries", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
    ],
)  # fmt: skip
def test_failure_is_one_line_and_an_exit_status(run, feed, words, said):
    answer = run(*[feed if word == "FEED" else word for word in words])
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert said in answer.stderr
    assert answer.stderr.startswith("Error: ")
    assert len(answer.stderr.splitlines()) == 1


def test_too_many_bad_rows(run, feeds, tmp_path):
    path = tmp_path / "feed.csv"
    path.write_text("id,title,price\np1,t,5\np2,t,broken\n")
    answer = build(run, path)
    assert answer.exit_code == 1
    assert "1 bad row, 0 allowed; the last: row 2 (line 3) [p2]: price: not a price: 'broken'" in answer.stderr
    assert json.loads(build(run, path, "--max-bad-rows", "50%", "--json").stdout)["manifest"]["counts"]["rejected"] == 1


@pytest.mark.parametrize(
    ("flags", "said"), [((), "address"), (("--no-fetch-images",), "pictures are not fetched from URLs")]
)
def test_urls_that_lead_inside_are_refused_by_row(run, tmp_path, flags, said):
    path = tmp_path / "feed.csv"
    path.write_text("id,title,images\np1,t,http://127.0.0.1/a.jpg\n")
    answer = build(run, path, *flags)
    assert answer.exit_code == 1
    assert "row 1 [p1]: images: http://127.0.0.1/a.jpg: " in answer.stderr
    assert said in answer.stderr


def test_a_bundle_of_another_encoder_is_not_measured(run, feed):
    build(run, feed, "--publish")
    answer = run("evaluate", "--encoder", "other")
    assert answer.exit_code == 1
    assert "was made by weightless-32" in answer.stderr


def test_refused_by_the_gate_but_built(run, feeds, tmp_path):
    """Two dimensions of 64 find few of the true neighbours."""
    feed = feeds.write_feed(tmp_path / "many", 120, pictures=1)
    answer = build(run, feed, "--recipe", "PCA2,Flat", "--publish")
    assert answer.exit_code == 1
    assert "is refused: ANN recall@10 of the image index" in answer.stderr
    assert current_bundle(tmp_path / "data") is None
    listed = json.loads(run("status", "--json").stdout)
    assert [b["problem"] for b in listed["bundles"]] == [None]
    forced = run("publish", listed["bundles"][0]["id"], "--force", "--encoder", "weightless")
    assert "forced in spite of" in forced.stdout
    assert current_bundle(tmp_path / "data").name == listed["bundles"][0]["id"]


def test_interrupted(run, feed, monkeypatch, tmp_path):
    def stop(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("indexer.build.measure", stop)
    answer = build(run, feed)
    assert answer.exit_code == 1
    assert answer.stderr == "Error: stopped\n"
    assert list((tmp_path / "data" / "bundles").iterdir()) == []


def test_as_a_program():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "indexer"]
    shown = subprocess.run([*words, "--help"], capture_output=True, text=True, env=environment, check=True)
    for command in ("build", "diff", "evaluate", "export", "publish", "rollback", "status", "verify"):
        assert command in shown.stdout
    failed = subprocess.run(
        [*words, "status", "--nonsense"], capture_output=True, text=True, env=environment, check=False
    )
    assert failed.returncode == 2
