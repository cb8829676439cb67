import json

import pytest

from indexer.judged import EntitySource, QueriesError, judge, read_queries
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
