"""Entities that a query names: what they add to the score, and that products with them are found at all."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from indexer import ranking
from indexer.manifest import FusionWeights
from indexer.products import ProductTable, ProductWriter
from indexer.ranking import NamedEntity, Words, part_of_text, rank
from models.product import Product

BRANDS = ["Ember", "EMBER", "Ruby", None]
COLOURS = ["red", None, "blue"]
N = 600


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "products.parquet"
    with ProductWriter(path) as writer:
        for i in range(N):
            attributes = {"colour": COLOURS[i % 3]} if COLOURS[i % 3] else {"size": 38.0}
            writer.write([Product(id=str(i), title="t", brand=BRANDS[i % 4], attributes=attributes)])
    return ProductTable.open(path)


@pytest.fixture(scope="module")
def bundle(table):
    spec = importlib.util.spec_from_file_location("rows", Path(__file__).with_name("test_ranking.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = module.Rows([1] * N)
    rows.products = table
    return rows


@pytest.fixture
def q(bundle):
    return bundle.vectors["text"][3].astype(np.float32)


def test_codes_fold_spellings_and_read_attributes(table):
    brands, known = table.entity_codes("brand")
    assert brands[:4].tolist() == [known["ember"], known["ember"], known["ruby"], -1]
    colours, known = table.entity_codes("colour")
    assert colours[:3].tolist() == [known["red"], -1, known["blue"]]
    assert table.entity_codes("size")[1] == {}  # a number is no entity


WEIGHTS = FusionWeights(image=0.5, text=0.5, entities=0.25)


def test_scores_are_the_vectors_and_what_each_entity_adds(bundle, q):
    named = [NamedEntity("brand", "ember", 0.5), NamedEntity("colour", "Blue", 0.4)]
    plain = {int(r): float(s) for r, s in zip(*_all(rank(bundle, q, WEIGHTS, N)), strict=True)}
    ranked = rank(bundle, q, WEIGHTS, N, Words(named))
    for row, score, added in zip(ranked.rows, ranked.scores, ranked.added, strict=True):
        expected = [0.25 * 0.5 * (BRANDS[row % 4] in {"Ember", "EMBER"}), 0.25 * 0.4 * (COLOURS[row % 3] == "blue")]
        np.testing.assert_allclose(added, expected, atol=1e-7)
        assert score == pytest.approx(plain[int(row)] + sum(expected), abs=1e-6)
    assert np.all(np.diff(ranked.scores) <= 0)


def _all(ranked):
    return ranked.rows, ranked.scores


def test_products_with_the_entities_are_candidates_wherever_they_lie(bundle, q, monkeypatch):
    monkeypatch.setattr(ranking, "MIN_CANDIDATES", 4)
    named = [NamedEntity("brand", "Ruby", 1.0)]
    heavy = FusionWeights(image=0.5, text=0.5, entities=1.0)
    ranked = rank(bundle, q, heavy, 5, Words(named))
    exact = rank(bundle, q, heavy, N, Words(named))
    scores = np.sort(exact.scores)[::-1]
    assert all(row % 4 == 2 for row in ranked.rows)
    np.testing.assert_allclose(ranked.scores, scores[:5], atol=1e-6)


def test_too_many_products_with_the_entities_are_left_to_the_indexes(bundle, q, monkeypatch):
    monkeypatch.setattr(ranking, "MIN_CANDIDATES", 4)
    monkeypatch.setattr(ranking, "MOST_NAMED", 10)
    named = [NamedEntity("brand", "Ruby", 1.0)]
    assert rank(bundle, q, WEIGHTS, 5, Words(named)).candidates == rank(bundle, q, WEIGHTS, 5).candidates


def test_an_unknown_value_changes_nothing(bundle, q):
    named = [NamedEntity("brand", "Nobody", 1.0), NamedEntity("no such group", "x", 1.0)]
    with_named, without = rank(bundle, q, WEIGHTS, 20, Words(named)), rank(bundle, q, WEIGHTS, 20)
    assert with_named.rows.tolist() == without.rows.tolist()
    np.testing.assert_array_equal(with_named.scores, without.scores)
    assert with_named.added.shape == (20, 2)
    assert without.added.shape == (20, 0)


@pytest.mark.parametrize(("words", "part"), [(0, 1.0), (1, 1.0), (12, 1.0), (24, 0.5), (120, 0.1)])
def test_a_name_is_a_smaller_part_of_a_longer_text(words, part):
    assert part_of_text(" ".join(["word"] * words)) == pytest.approx(part)


def test_named_products_that_a_filter_refuses_are_no_candidates(bundle, q, monkeypatch):
    monkeypatch.setattr(ranking, "MIN_CANDIDATES", 4)
    among = np.arange(N) % 4 != 2
    named = [NamedEntity("brand", "Ruby", 1.0)]
    scored = ranking.score(bundle, q, WEIGHTS, 5, Words(named), among=among)
    assert 0 < len(scored.rows) < among.sum()
    assert among[scored.rows].all()
