import json

import ir_measures
import pytest
from ir_measures import RR, R, Success, nDCG

from indexer.judged import EntitySource, QueriesError, judge, read_queries, read_trec
from indexer.manifest import FusionWeights


def write(path, *queries):
    path.write_text("".join(json.dumps(q) + "\n" for q in queries))
    return path


@pytest.fixture
def queries(tmp_path, bundle):
    """A query for each of six products in its own words, three that nothing answers, and one that names a brand."""
    own = [
        {"qid": f"own-{r}", "kind": "title", "split": "test", "text": bundle.products[r].title, "relevant": [f"p{r}"]}
        for r in range(0, 12, 2)
    ]
    lost = [
        {"qid": f"lost-{r}", "kind": "lost", "split": "val", "text": "nothing of the kind", "relevant": ["gone"]}
        for r in range(3)
    ]
    ruby = {
        "qid": "ruby",
        "kind": "brand",
        "split": "test",
        "text": "Ruby bag",
        "entities": [{"group": "brand", "value": "Ruby", "surface": "Ruby", "start": 0, "end": 4}],
        "relevant": [p.id for p in bundle.products if p.brand == "Ruby"],
    }
    return write(tmp_path / "queries.jsonl", *own, *lost, ruby)


def test_measures_by_kind(bundle, encoder, queries):
    [judged] = judge(bundle, encoder, read_queries(queries), weights=FusionWeights(image=0, text=1))
    assert set(judged.kinds) == {"title", "lost", "brand", "all"}
    assert judged.kinds["title"].queries == 6
    assert judged.kinds["title"].success_at_1 == 1.0
    assert judged.kinds["title"].mrr == 1.0
    assert judged.kinds["title"].entities_at_5 is None
    assert judged.kinds["lost"].mrr == 0.0
    assert judged.missing == 3
    assert judged.kinds["all"].queries == 10
    assert judged.kinds["all"].mrr == pytest.approx((6 + judged.kinds["brand"].mrr) / 10, abs=1e-6)
    assert judged.fusion == FusionWeights(image=0, text=1)


def test_linked_brands_count_where_queries_name_one(bundle, encoder, queries):
    brand = judge(bundle, encoder, read_queries(queries))[0].kinds["brand"]
    assert (brand.linking_precision, brand.linking_recall, brand.linking_f1) == (1.0, 1.0, 1.0)
    assert brand.entities_at_5 == 1.0


def test_sources_of_entities(bundle, encoder, queries):
    asked = [q for q in read_queries(queries) if q.kind == "brand"]
    by_source = {s: judge(bundle, encoder, asked, source=s)[0].kinds["brand"] for s in EntitySource}
    assert by_source[EntitySource.GOLD].ndcg_at_10 >= by_source[EntitySource.NONE].ndcg_at_10
    assert by_source[EntitySource.NONE].linking_f1 == 1.0  # reported whatever the encoder was given


def test_splits(queries):
    assert len(read_queries(queries, "val")) == 3
    with pytest.raises(QueriesError, match="no queries of split 'train'"):
        read_queries(queries, "train")


@pytest.mark.parametrize(
    ("line", "said"),
    [("{}", "line 1: qid: Field required"), ("nonsense", "line 1: content: Invalid JSON"), ("", "no queries")],
)
def test_files_that_are_none(tmp_path, line, said):
    path = tmp_path / "q.jsonl"
    path.write_text(line)
    with pytest.raises(QueriesError, match=said):
        read_queries(path)


def test_missing_file(tmp_path):
    with pytest.raises(QueriesError, match="cannot be read: No such file"):
        read_queries(tmp_path / "q.jsonl")


@pytest.fixture
def trec(tmp_path, bundle):
    """Topics in products' own words, each judged with grades; one that nobody judged."""
    topics = [f"{r}\t{bundle.products[r].title}" for r in range(0, 40, 3)] + ["99\tunjudged"]
    qrels = [
        f"{r} 0 p{(r + step) % 40} {grade}"
        for r in range(0, 40, 3)
        for step, grade in ((0, 3), (6, 2), (12, 1), (5, 0))
    ]
    (tmp_path / "topics.tsv").write_text("\n".join(topics) + "\n\n")
    (tmp_path / "qrels").write_text("\n".join([*qrels, "0 0 p7 -1", "0 0 gone 2"]) + "\n")
    return tmp_path / "topics.tsv", tmp_path / "qrels"


def test_graded_topics_are_measured_as_ir_measures_does(bundle, encoder, trec, tmp_path):
    topics = read_trec(*trec)
    assert len(topics) == 14
    [judged] = judge(bundle, encoder, topics)
    run = tmp_path / "run"
    run.write_text(judged.run)
    theirs = ir_measures.calc_aggregate(
        [nDCG @ 10, RR, R @ 10, Success @ 1, Success @ 5],
        list(ir_measures.read_trec_qrels(str(trec[1]))),
        list(ir_measures.read_trec_run(str(run))),
    )
    ours = judged.kinds["topic"]
    assert ours.ndcg_at_10 == pytest.approx(theirs[nDCG @ 10], abs=1e-6)
    assert ours.mrr == pytest.approx(theirs[RR], abs=1e-6)
    assert ours.recall_at_10 == pytest.approx(theirs[R @ 10], abs=1e-6)
    assert ours.success_at_1 == pytest.approx(theirs[Success @ 1], abs=1e-6)
    assert ours.success_at_5 == pytest.approx(theirs[Success @ 5], abs=1e-6)
    assert 0.2 < ours.ndcg_at_10 < 0.95


@pytest.mark.parametrize(
    ("topics", "qrels", "said"),
    [
        ("1 no tab", "1 0 p1 1", "topics.tsv: line 1: not `qid TAB text`"),
        ("1\t ", "1 0 p1 1", "topics.tsv: line 1"),
        ("1\tred", "1 0 p1", "qrels: line 1: not `qid 0 docid grade`"),
        ("1\tred", "1 0 p1 high", "qrels: line 1"),
        ("1\tred", "1 0 p1 --1", "qrels: line 1"),
        ("1\tred", "2 0 p1 1", "no topic is judged"),
        ("", "", "no topic is judged"),
    ],
)
def test_trec_files_that_are_none(tmp_path, topics, qrels, said):
    (tmp_path / "topics.tsv").write_text(topics)
    (tmp_path / "qrels").write_text(qrels)
    with pytest.raises(QueriesError, match=said):
        read_trec(tmp_path / "topics.tsv", tmp_path / "qrels")


def test_trec_files_that_cannot_be_read(tmp_path):
    (tmp_path / "qrels").write_bytes(b"\xff\xfe")
    with pytest.raises(QueriesError, match="not UTF-8"):
        read_trec(tmp_path / "topics.tsv", tmp_path / "qrels")
    with pytest.raises(QueriesError, match="cannot be read"):
        read_trec(tmp_path / "topics.tsv", tmp_path / "nowhere")
