"""The votes of the best hits on a query's category, counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from indexer.categories import Categories
from indexer.ranking import FilterStrategy, Scored
from service.categorise import VOTERS, Guess, voted


def view_of(*categories, judged=None):
    """A catalogue whose products state these categories; `judged` are the judges' (name, probability) of each row."""
    products = [SimpleNamespace(category=category) for category in categories]
    if judged is None:
        return SimpleNamespace(products=products, categories=None)
    names = tuple(sorted({name for name, _ in judged}))
    both = SimpleNamespace(
        classes=np.array([names.index(name) for name, _ in judged]),
        probability=np.array([chance for _, chance in judged]),
    )
    of_bundle = SimpleNamespace(names=names, listed=np.zeros(len(judged)), both=both, spec=Categories)
    return SimpleNamespace(products=products, categories=of_bundle)


def hits(*scores):
    """Hits of rows 0, 1, ... with these scores."""
    n = len(scores)
    nothing = np.zeros((n, 0), np.float32)
    return Scored(np.arange(n), np.array(scores, np.float32), np.zeros(n, np.int32), nothing, FilterStrategy.NONE, n)


def test_a_vote_weighs_less_the_farther_below_the_best():
    found = voted(view_of("mug", "lamp"), hits(1.0, 0.95), None)
    assert (found.name, found.source) == ("mug", "hits")
    assert found.probability == pytest.approx(1 / (1 + np.exp(-1)))
    assert found.alternatives == (("lamp", pytest.approx(1 - found.probability)),)


def test_many_of_one_outvote_the_best_of_another():
    found = voted(view_of("mug", "lamp", "lamp", "lamp"), hits(1.0, 0.99, 0.99, 0.99), None)
    assert found.name == "lamp"
    assert found.probability == pytest.approx(3 * np.exp(-0.2) / (1 + 3 * np.exp(-0.2)))


def test_only_the_first_hits_vote():
    names = ["mug"] * VOTERS + ["lamp"] * 100
    assert voted(view_of(*names), hits(*[1.0] * len(names)), None).alternatives == ()


def test_scores_below_nothing_are_told_apart_too():
    found = voted(view_of("mug", "lamp"), hits(-0.5, -1.0), None)
    assert found.name == "mug"
    assert found.probability == pytest.approx(1 / (1 + np.exp(-20)))  # the span is from the best to the worst


def test_spellings_are_one_category_for_the_judges():
    guess = Guess("MUG", 0.9, "words", (("lamp", 0.1),))
    found = voted(view_of("mug", "lamp"), hits(1.0, 1.0), guess)
    assert found.name == "mug"
    weights = 0.9**0.3, 0.1**0.3
    assert found.probability == pytest.approx(weights[0] / sum(weights))


def test_the_judges_do_not_bring_in_what_is_not_found():
    found = voted(view_of("mug", "lamp"), hits(1.0, 0.9), Guess("tent", 0.99, "words"))
    assert {found.name, *(name for name, _ in found.alternatives)} == {"mug", "lamp"}
    assert found.probability == pytest.approx(1 / (1 + np.exp(-2)))  # for neither of them have they a word


def test_products_that_state_none_vote_as_their_judges_say():
    view = view_of("mug", None, judged=[("mug", 1.0), ("lamp", 0.6)])
    found = voted(view, hits(1.0, 1.0), None)
    assert (found.name, found.probability) == ("mug", pytest.approx(0.5))
    assert found.alternatives == (("lamp", pytest.approx(0.3)),)  # what the judge is not sure of is nobody's


def test_without_anything_that_states_a_category_the_query_alone_tells():
    guess = Guess("mug", 0.7, "words")
    assert voted(view_of(None, None), hits(1.0, 0.5), guess) is guess
    assert voted(view_of(), hits(), guess) is guess
    assert voted(view_of(), hits(), None) is None


def test_a_name_that_hits_bear_out_is_as_sure_as_either():
    agreed = voted(view_of("Mug", "lamp"), hits(1.0, 0.5), Guess("mug", 0.6, "linked"))
    assert (agreed.name, agreed.source) == ("mug", "linked")
    assert agreed.probability > 0.99
    surer = voted(view_of("mug", "lamp"), hits(1.0, 0.99), Guess("mug", 0.97, "linked"))
    assert surer.probability == 0.97
    assert surer.alternatives == (("lamp", pytest.approx(0.03)),)  # what is left


def test_a_name_that_hits_contradict_leaves_nothing_sure():
    found = voted(view_of("lamp", "mug"), hits(1.0, 0.2), Guess("mug", 0.9, "linked"))
    assert (found.name, found.source, found.probability) == ("lamp", "hits", pytest.approx(0.1))
    assert all(chance <= found.probability for _, chance in found.alternatives)
