"""Comparisons of systems: hand-worked averages over seeds, signs, and what must not be compared."""

import numpy as np
import pytest

from models.compare import ComparisonError, compare, compare_files
from models.evaluate import Protocol, measure
from models.metrics import paired_bootstrap
from models.train.feed import Feed


def run(*ranks, key="pair/text_to_image"):
    return {key: np.array(ranks, dtype=float)}


def test_hits_are_averaged_over_the_seeds_of_a_side_and_compared_query_by_query():
    a = [run(1, 1, 7, 30), run(1, 6, 1, 30)]
    b = [run(2, 2, 2, 2), run(1, 9, 9, 9), run(2, 2, 30, 30)]
    found = {c.k: c for c in compare(a, b)}
    assert list(found) == [1, 5, 10]
    assert (found[1].mean_a, found[1].mean_b) == pytest.approx((0.5, 1 / 12))
    assert (found[5].mean_a, found[5].mean_b) == pytest.approx((0.5, 7 / 12))
    assert found[1].difference == pytest.approx(5 / 12)
    assert found[1].relative == pytest.approx(5)
    want = paired_bootstrap([1, 0.5, 0.5, 0], [1 / 3, 0, 0, 0], 2022)
    assert (found[1].low, found[1].high, found[1].p_value) == (want.low, want.high, want.p_value)


def test_every_level_and_direction_in_the_order_of_the_first_run():
    keys = ["pair/text_to_image", "text/image_to_text"]
    sides = [[{key: np.array([1.0, 4.0, 20.0]) for key in keys}]] * 2
    found = compare(*sides)
    assert [(c.key, c.k) for c in found] == [(key, k) for key in keys for k in (1, 5, 10)]
    assert {(c.difference, c.low, c.high, c.p_value) for c in found} == {(0, 0, 0, 1)}


def test_a_side_that_finds_nothing_has_no_relative_difference():
    better = compare([run(1, 1)], [run(2, 2)])[0]
    assert (better.difference, better.relative) == (1.0, None)


def test_a_real_difference_is_told_from_chance_and_changes_sign_with_the_sides():
    rng = np.random.default_rng(0)
    b = rng.integers(1, 21, 2000)
    a = np.maximum(1, b - (rng.random(2000) < 0.2) * 12)
    ahead = compare([run(*a)], [run(*b)])[0]
    behind = compare([run(*b)], [run(*a)])[0]
    assert 0 < ahead.low < ahead.difference < ahead.high
    assert ahead.p_value < 0.01
    assert (behind.difference, behind.low, behind.high) == pytest.approx((-ahead.difference, -ahead.high, -ahead.low))


def test_depths_may_be_chosen():
    assert [c.k for c in compare([run(1, 2)], [run(2, 1)], depths=(2,))] == [2]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([], [run(1)], "at least one run"),
        ([run(1)], [], "at least one run"),
        ([run(1, 2)], [run(1)], "numbers of queries"),
        ([run(1), run(1, 2)], [run(1)], "numbers of queries"),
        ([run(1)], [run(1, key="text/text_to_image")], "levels"),
    ],
)
def test_sides_that_do_not_fit_are_refused(a, b, message):
    with pytest.raises(ComparisonError, match=message):
        compare(a, b)


class TestFiles:
    @pytest.fixture
    def feed(self, support, tmp_path):
        return Feed.open(support("tiny").write_shop(tmp_path / "shop", test=40))

    @pytest.fixture
    def save(self, weightless, feed, tmp_path):
        def saving(stem, protocol, salt=""):
            measured = measure(weightless(salt=salt), feed, protocol)
            measured.save(tmp_path, stem)
            return tmp_path / f"{stem}.npz", measured

        return saving

    def test_are_compared_like_the_ranks_in_them(self, save, tmp_path):
        one, a = save("one", Protocol())
        two, b = save("two", Protocol(text_fields=("title",)))
        three, c = save("three.seed1", Protocol(entities="none"), salt="other")
        assert compare_files([one, three], [two]) == compare([a.ranks, c.ranks], [b.ranks])
        assert compare_files([tmp_path / "one"], [two.with_suffix(".json")]) == compare([a.ranks], [b.ranks])

    @pytest.mark.parametrize("other", [{"limit": 39}, {"split": "val"}, {"candidates": "100"}, {"pictures": 2}])
    def test_of_other_products_pictures_or_candidates_are_refused(self, save, other):
        one, _ = save("one", Protocol())
        two, _ = save("two", Protocol(**other))
        with pytest.raises(ComparisonError, match="not of the same products"):
            compare_files([one], [two])

    def test_of_other_groups_to_sample_within_are_refused(self, save):
        one, _ = save("one", Protocol(candidates="100"))
        two, _ = save("two", Protocol(candidates="100", category_group="brand"))
        with pytest.raises(ComparisonError, match="not of the same products"):
            compare_files([one], [two])
