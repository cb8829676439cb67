"""Queries made of a catalogue's entities, and the lexical weight chosen on them."""

import numpy as np
import pytest

from indexer import made_queries, tuning
from indexer.judged import Mode, QueriesError, Retrieval, judge, linked_entities
from indexer.made_queries import make_queries
from indexer.manifest import FusionWeights, QueryKind
from models.metrics import Rankings, ndcg_at_k


def test_every_answer_states_all_that_the_query_names_and_nothing_else_does(bundle):
    made = make_queries(bundle, 40, seed=1)
    assert len(made) >= 10
    for query in made:
        wanted = {e.group: e.value for e in query.entities}
        expected = {p.id for p in bundle.products if p.entities(wanted) == wanted}
        assert set(query.relevant) == expected
        assert 1 <= len(expected) <= made_queries.MOST_RELEVANT
        if query.kind != "misspelt":
            assert sorted(query.text.split()) == sorted(" ".join(wanted.values()).lower().split())
            assert query.kind == ("one", "two", "three", "four")[len(wanted) - 1]
    assert len({q.text for q in made}) == len({q.qid for q in made}) == len(made)
    assert {q.kind for q in made} >= {"misspelt", "one"}


def test_a_seed_decides(bundle):
    assert make_queries(bundle, 20, seed=3) == make_queries(bundle, 20, seed=3)
    assert make_queries(bundle, 20, seed=3) != make_queries(bundle, 20, seed=4)


def test_few_answers_take_more_entities(bundle, monkeypatch):
    monkeypatch.setattr(made_queries, "MOST_RELEVANT", 2)
    made = make_queries(bundle, 20)
    assert made
    assert max(len(q.relevant) for q in made) <= 2
    assert max(len(q.entities) for q in made) > 1


def test_the_lexical_weight_is_the_one_that_ranks_best(bundle, encoder, monkeypatch):
    monkeypatch.setattr(tuning, "MIN_LEXICAL_QUERIES", 5)
    weights = bundle.manifest.fusion[QueryKind.TEXT]
    chosen = tuning.calibrate_lexical_weight(bundle, encoder, weights, queries=30)
    made = make_queries(bundle, 30)
    retrieval = Retrieval(bundle, encoder, made, linked_entities(bundle, made))

    def gain(lexical):
        rows = retrieval.ranked(weights.model_copy(update={"lexical": lexical}))
        ids = [[bundle.products.id_of(row) for row in of_query] for of_query in rows]
        return np.mean(ndcg_at_k(Rankings.from_lists(ids, [q.relevant for q in made]), 10))

    gains = {lexical: gain(lexical) for lexical in tuning.LEXICAL_WEIGHTS}
    assert gains[chosen.lexical] == max(gains.values())
    assert chosen.model_copy(update={"lexical": weights.lexical}) == weights


def test_scoring_once_ranks_like_scoring_for_each_weight(bundle, encoder):
    made = make_queries(bundle, 15)
    weights = bundle.manifest.fusion[QueryKind.TEXT]
    retrieval = Retrieval(bundle, encoder, made, linked_entities(bundle, made))
    shares = (0.0, 0.3, 0.9)
    for share, found in zip(shares, retrieval.ranked_by_each(weights, shares), strict=True):
        each = retrieval.ranked(weights.model_copy(update={"lexical": share}))
        assert [rows[:10] for rows in found] == [rows[:10] for rows in each]


def test_too_few_queries_leave_the_default(bundle, encoder):
    weights = FusionWeights(image=0.5, text=0.5)
    chosen = tuning.calibrate_lexical_weight(bundle, encoder, weights, queries=3)
    assert chosen.lexical == tuning.DEFAULT_LEXICAL


def test_modes_rank_by_their_own_weights(bundle, encoder):
    made = make_queries(bundle, 20)
    weights = FusionWeights(image=0.5, text=0.5, lexical=0.4, entities=0.2)
    judged = judge(bundle, encoder, made, weights=weights, modes=list(Mode))
    assert [each.fusion.lexical for each in judged] == [0.4, 0.0, 1.0]
    assert [each.fusion.entities for each in judged] == [0.2, 0.2, 0.0]
    assert judged[0] == judge(bundle, encoder, made, weights=weights)[0]
    lexical = judged[2].kinds["all"]
    assert lexical.ndcg_at_10 > 0.8  # what the words say is what they are


def test_no_queries_is_said(bundle, encoder):
    with pytest.raises(QueriesError, match="no queries"):
        judge(bundle, encoder, [])
