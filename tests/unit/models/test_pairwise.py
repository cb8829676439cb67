"""Pairwise sub-dimensions: formulas against sums over all pairs of samples, duels and tournaments against loops."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models import duels as duels_module
from models import subdimensions, tournaments
from models.baselines import CosineScorer
from models.class_statistics import ClassStatistics, class_statistics
from models.duels import Duels
from models.pairwise import PairwiseClassifier, Tournament
from models.prototypes import prompt_prototypes
from models.subdimensions import (
    CutOff,
    SubDimensions,
    cross_score,
    cross_variance,
    one_vs_rest_subdimensions,
    pair_count,
    pair_index,
    pair_scores,
    pairs_of,
    pairwise_subdimensions,
    scoring_variances,
)
from models.tournaments import brackets, decide, margin_sum, voting_brackets
from models.vector_blocks import modality_centre, unit_rows

SEEDS = st.integers(0, 2**32 - 1)


def labelled(seed, n=60, d=7, classes=4):
    """Rows around class means, with a spread of their own in every dimension."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    means, spreads = rng.normal(size=(classes, d)), np.exp(rng.normal(size=(classes, d)))
    return means[labels] + spreads[labels] * rng.normal(size=(n, d)), labels


def random_duels(seed, classes=6, d=12):
    rng = np.random.default_rng(seed)
    masks = rng.random((pair_count(classes), d)) < 0.5
    bits = np.packbits(masks, axis=1)
    return Duels(rng.normal(size=(classes, d)).astype(np.float32), SubDimensions(classes, d, bits)), masks


def items(seed, n=20, d=12):
    return unit_rows(np.random.default_rng(seed).normal(size=(n, d)))


def naive_cosine(x, p, mask):
    dot = sum(float(a) * float(b) for a, b, m in zip(x, p, mask, strict=True) if m)
    lengths = [math.sqrt(sum(float(a) ** 2 for a, m in zip(v, mask, strict=True) if m)) for v in (x, p)]
    return dot / (lengths[0] * lengths[1]) if all(lengths) else 0.0


def naive_margins(duels, masks, xs):
    """The margin of every item and ordered pair, by its definition, in Python floats."""
    found = np.zeros((len(xs), len(duels), len(duels)))
    for (i, x), (pair, (a, b)) in itertools.product(
        enumerate(xs), enumerate(itertools.combinations(range(len(duels)), 2))
    ):
        cosines = [naive_cosine(x, duels.prototypes[c], masks[pair]) for c in (a, b)]
        found[i, a, b] = cosines[0] - cosines[1]
        found[i, b, a] = -found[i, a, b]
    return found


def naive_bracket(margins, order):
    """One item's winner of single elimination: neighbours meet, and who is left over plays first in the next round."""
    standing = list(order)
    while len(standing) > 1:
        met = [(standing[i], standing[i + 1]) for i in range(0, len(standing) - 1, 2)]
        left_over = standing[2 * len(met) :]
        standing = left_over + [a if (margins[a, b], -a) > (0, -b) else b for a, b in met]
    return standing[0]


def draw(seed, number, classes):
    return np.random.default_rng([seed, number]).permutation(classes)


class TestStatistics:
    @settings(deadline=None, max_examples=30)
    @given(SEEDS, st.integers(1, 70))
    def test_are_numpys_whatever_the_blocks(self, seed, rows):
        x, labels = labelled(seed)
        found = class_statistics(x, labels, 5, rows=rows)
        for c in range(4):
            own = x[labels == c]
            np.testing.assert_allclose(found.means[c], own.mean(axis=0), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(found.variances[c], own.var(axis=0), rtol=1e-12, atol=1e-12)
        assert found.counts.tolist() == [*np.bincount(labels, minlength=4), 0]
        assert not found.means[4].any()
        assert not found.variances[4].any()

    def test_of_parts_add_up_to_those_of_the_whole(self):
        x, labels = labelled(1)
        parts = [class_statistics(x[at], labels[at], 4) for at in (slice(0, 7), slice(7, 8), slice(8, None))]
        whole, found = class_statistics(x, labels, 4), parts[2] + parts[0] + parts[1]
        assert found.counts.tolist() == whole.counts.tolist()
        np.testing.assert_allclose(found.means, whole.means, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.variances, whole.variances, rtol=1e-12, atol=1e-12)

    def test_rows_of_no_class_are_left_out(self):
        x, labels = labelled(2)
        some = np.where(np.arange(60) % 3 == 0, -1, labels)
        found, want = class_statistics(x, some, 4), class_statistics(x[some >= 0], labels[some >= 0], 4)
        np.testing.assert_allclose(found.variances, want.variances, rtol=1e-12)
        assert class_statistics(x, np.full(60, -1), 4).counts.tolist() == [0] * 4
        assert class_statistics(x[:0], labels[:0], 4).counts.tolist() == [0] * 4

    def test_small_spreads_of_large_float16_values_survive(self):
        x = np.repeat(np.array([[2046.0], [2048.0]], np.float16), 50_000, axis=0)
        found = class_statistics(x, np.zeros(100_000, int), 1)
        assert (found.means.item(), found.variances.item()) == pytest.approx((2047, 1), rel=1e-12)

    def test_the_rest_is_everyone_else(self):
        x, labels = labelled(3)
        found = class_statistics(x + 100, labels, 5).rest()
        for c in range(5):
            others = x[labels != c] + 100
            assert found.counts[c] == len(others)
            np.testing.assert_allclose(found.means[c], others.mean(axis=0), rtol=1e-12)
            np.testing.assert_allclose(found.variances[c], others.var(axis=0), rtol=1e-9)

    def test_a_class_that_has_everything_has_no_rest(self):
        found = class_statistics(*labelled(3, classes=1), 2).rest()
        assert found.counts.tolist() == [0, 60]
        assert not found.means[0].any()

    @pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.int64])
    def test_hold_1200_classes(self, dtype):
        labels = np.arange(1_200, dtype=dtype)
        x = np.arange(2_400, dtype=np.float64).reshape(-1, 2)
        found = class_statistics(x, labels, 1_200)
        assert found.means.tolist() == x.tolist()

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([0, 1, 4], "row 2 holds 4, not a class in 0..3"),
            ([0, -2, 1], "row 1 holds -2"),
            ([0, 1], r"labels must be \(3,\)"),
            ([0.0, 1.0, 2.0], "integers"),
        ],
    )
    def test_labels_that_are_no_classes_are_refused(self, labels, message):
        with pytest.raises(ValueError, match=message):
            class_statistics(np.zeros((3, 2)), np.array(labels), 4)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_values_that_are_not_finite_are_refused_where_they_lie(self, value, dtype):
        x = np.zeros((10, 3), dtype)
        x[7, 1] = value
        with pytest.raises(ValueError, match="vectors: row 7 holds NaN"):
            class_statistics(x, np.zeros(10, int), 1, rows=3)

    def test_what_is_no_statistics_is_refused(self):
        x, labels = labelled(0)
        with pytest.raises(ValueError, match="do not add up"):
            class_statistics(x, labels, 4) + class_statistics(x, labels, 5)
        with pytest.raises(ValueError, match="must be"):
            ClassStatistics(np.zeros(2, int), np.zeros((3, 2)), np.zeros((3, 2)))
        with pytest.raises(ValueError, match="not be negative"):
            ClassStatistics(np.ones(1, int), np.zeros((1, 2)), np.full((1, 2), -1.0))
        with pytest.raises(ValueError, match="floats"):
            class_statistics(np.zeros((3, 2), int), np.zeros(3, int), 1)


class TestCrossVariance:
    # Over all pairs, mean (a - b)^2 / 2 = (E[a^2] + E[b^2]) / 2 - E[a] E[b], because a and b are drawn apart. With
    # E[a^2] = var_a + E[a]^2 (population variance) the squares complete to (var_a + var_b + (E[a] - E[b])^2) / 2.
    @settings(deadline=None, max_examples=40)
    @given(SEEDS, st.integers(1, 30), st.integers(1, 30), st.floats(-3, 3))
    def test_is_the_mean_over_all_pairs_of_samples(self, seed, na, nb, shift):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=(na, 3)), 2 * rng.normal(size=(nb, 3)) + shift
        double_sum = sum((x - y) ** 2 / 2 for x in a for y in b) / (na * nb)
        found = cross_variance(a.mean(axis=0), a.var(axis=0), b.mean(axis=0), b.var(axis=0))
        np.testing.assert_allclose(found, double_sum, rtol=1e-12, atol=1e-12)
        other_form = ((a**2).mean(axis=0) + (b**2).mean(axis=0)) / 2 - a.mean(axis=0) * b.mean(axis=0)
        np.testing.assert_allclose(found, other_form, rtol=1e-12, atol=1e-12)

    def test_by_hand(self):
        # {0, 2} has mean 1 and variance 1, {3, 7} mean 5 and variance 4; (3-0)^2 + (7-0)^2 + (3-2)^2 + (7-2)^2 = 84.
        assert cross_variance(1, 1, 5, 4) == pytest.approx(84 / 2 / 4)
        assert cross_score(1, 1, 5, 4) == pytest.approx(math.sqrt(10.5 / 2))

    @settings(deadline=None)
    @given(*(hnp.arrays(np.float64, 5, elements=st.floats(-2, 2)) for _ in range(4)))
    def test_scores_are_at_least_1_symmetric_and_finite(self, mean_a, mean_b, a, b):
        found = cross_score(mean_a, a**2, mean_b, b**2)
        assert (found >= 1 - 1e-15).all()
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, cross_score(mean_b, b**2, mean_a, a**2))

    def test_equal_classes_score_1_and_unequal_spreads_alone_score_more(self):
        assert cross_score(0.3, 0.2, 0.3, 0.2) == pytest.approx(1)
        assert cross_score(0.3, 0.0, 0.3, 0.0) == 1
        assert cross_score(0, 1, 0, 4) == pytest.approx(math.sqrt(2.5 / 2))

    def test_no_variance_counts_as_the_floor(self):
        floor = subdimensions.VARIANCE_FLOOR
        assert cross_score(0, 0, 1, 0) == pytest.approx(math.sqrt((2 * floor + 1) / 2 / floor))
        assert cross_score(0, 0, 1, 1) == pytest.approx(math.sqrt((floor + 2) / 2 / math.sqrt(floor)))

    def test_one_sample_takes_the_spread_of_the_others(self):
        x = np.array([[0.0], [2.0], [3.0], [7.0], [7.0], [9.0]])
        statistics = class_statistics(x, np.array([0, 0, 1, 1, 1, 2]), 4)
        pooled = (2 * 1 + 3 * (32 / 9)) / 5
        assert scoring_variances(statistics).ravel() == pytest.approx([1, 32 / 9, pooled, 0])
        alone = class_statistics(x[[0, 5]], np.array([0, 1]), 2)
        assert scoring_variances(alone).tolist() == [[0], [0]]


class TestCutOff:
    @settings(deadline=None)
    @given(
        hnp.arrays(np.float64, (4, 9), elements=st.sampled_from([1.0, 1.05, 1.1, 1.2, 3.0])),
        st.integers(1, 12),
        st.none() | st.integers(0, 12),
    )
    def test_keeps_what_sorting_by_score_and_index_keeps(self, scores, floor, more):
        ceiling = None if more is None else floor + more
        found = CutOff(1.1, floor, ceiling).keep(scores)
        for row, kept in zip(scores, found, strict=True):
            best = sorted(range(9), key=lambda i: (-row[i], i))
            passing = sum(s > 1.1 for s in row)
            wanted = min(max(passing, floor), 9 if ceiling is None else ceiling)
            assert np.flatnonzero(kept).tolist() == sorted(best[:wanted])

    @pytest.mark.parametrize("bad", [{"score": 0.9}, {"score": math.nan}, {"floor": 0}, {"floor": 9, "ceiling": 8}])
    def test_what_cannot_be_is_refused(self, bad):
        with pytest.raises(ValueError, match="must be"):
            CutOff(**bad)


class TestSubDimensions:
    @pytest.mark.parametrize("classes", [1, 2, 3, 13, 300, 1_200])
    def test_pairs_are_numbered_in_order(self, classes):
        a, b = pairs_of(classes)
        assert len(a) == pair_count(classes)
        assert (a < b).all()
        order = np.arange(pair_count(classes))
        np.testing.assert_array_equal(pair_index(a.astype(np.int16), b.astype(np.int16), classes), order)
        np.testing.assert_array_equal(pair_index(b, a, classes), order)

    @pytest.mark.parametrize("values", [1, 30, 1_000_000])
    def test_are_those_of_each_pair_alone_whatever_the_blocks(self, values, monkeypatch):
        monkeypatch.setattr(subdimensions, "_BLOCK_VALUES", values)
        x, labels = labelled(4, n=200, d=11, classes=6)
        statistics, rule = class_statistics(x, labels, 6), CutOff(1.3, 3, 6)
        found = pairwise_subdimensions(statistics, rule)
        assert sum(len(scores) for _, scores in pair_scores(statistics)) == 15
        for a, b in itertools.combinations(range(6), 2):
            of_a, of_b = x[labels == a], x[labels == b]
            cv = np.mean([(s - t) ** 2 / 2 for s in of_a for t in of_b], axis=0)
            scores = np.sqrt(cv / (of_a.std(axis=0) * of_b.std(axis=0)))
            want = rule.keep(scores[np.newaxis])[0]
            np.testing.assert_array_equal(found.between(a, b), want)
            np.testing.assert_array_equal(found.between(b, a), want)

    def test_an_empty_class_has_none(self):
        found = pairwise_subdimensions(class_statistics(*labelled(4), 5))
        assert not any(found.between(a, 4).any() for a in range(4))
        assert found.between(0, 1).sum() >= 7

    def test_among_some_classes(self):
        found = pairwise_subdimensions(class_statistics(*labelled(5, d=9), 4), CutOff(1.5, 2))
        some = found.among(np.array([3, 0, 2]))
        for (i, a), (j, b) in itertools.combinations(enumerate([3, 0, 2]), 2):
            np.testing.assert_array_equal(some.between(i, j), found.between(a, b))

    def test_one_against_the_rest(self):
        x, labels = labelled(6, n=200)
        rule = CutOff(1.3, 2, 5)
        found = one_vs_rest_subdimensions(class_statistics(x, labels, 5), rule)
        for c in range(4):
            own, rest = x[labels == c], x[labels != c]
            scores = cross_score(own.mean(axis=0), own.var(axis=0), rest.mean(axis=0), rest.var(axis=0))
            np.testing.assert_array_equal(found[c], rule.keep(scores[np.newaxis])[0])
        assert not found[4].any()
        assert one_vs_rest_subdimensions(class_statistics(x, labels * 0, 2), rule)[0].all()

    def test_what_does_not_fit_is_refused(self):
        with pytest.raises(ValueError, match=r"masks must be \(3, 2\) uint8"):
            SubDimensions(3, 9, np.zeros((3, 1), np.uint8))
        masks = SubDimensions(3, 9, np.zeros((3, 2), np.uint8))
        for pair in ((1, 1), (-1, 0), (0, 3)):
            with pytest.raises(ValueError, match="two of the classes"):
                masks.between(*pair)


class TestDuels:
    @pytest.mark.parametrize("seed", range(4))
    def test_are_those_of_a_loop_over_items_pairs_and_dimensions(self, seed):
        duels, masks = random_duels(seed)
        x = items(seed)
        want = naive_margins(duels, masks, x)
        a, b = pairs_of(len(duels))
        np.testing.assert_allclose(duels.table(x), want[:, a, b], atol=2e-6)
        every = np.array([(i, j) for i, j in itertools.permutations(range(6), 2)], np.int32).T
        left, right = (np.tile(side, (len(x), 1)) for side in every)
        np.testing.assert_allclose(duels.between(x, left, right), want[:, every[0], every[1]], atol=2e-6)

    def test_are_antisymmetric_to_the_bit(self):
        duels, _ = random_duels(1)
        rng = np.random.default_rng(0)
        a = rng.integers(6, size=(20, 5)).astype(np.int32)
        b = ((a + rng.integers(1, 6, size=a.shape)) % 6).astype(np.int32)
        np.testing.assert_array_equal(duels.between(items(1), a, b), -duels.between(items(1), b, a))

    def test_do_not_depend_on_the_length_of_item_or_prototype(self):
        duels, _ = random_duels(2)
        longer = replace(duels, prototypes=duels.prototypes * np.float32(8))
        np.testing.assert_allclose(longer.table(4 * items(2)), duels.table(items(2)), atol=2e-6)

    @pytest.mark.parametrize(("pairs", "held", "gathered"), [(1, 0, 1), (4, 0, 100), (7, 10**9, 10**9)])
    def test_do_not_depend_on_blocks(self, pairs, held, gathered, monkeypatch):
        x, (duels, _) = items(3), random_duels(3)
        left, right = np.tile(np.array([[0, 3], [5, 1]], np.int32), (10, 1)), np.full((20, 2), 2, np.int32)
        table, some = duels.table(x), duels.between(x, left, right)
        monkeypatch.setattr(duels_module, "_BLOCK_PAIRS", pairs)
        monkeypatch.setattr(duels_module, "_HELD_VALUES", held)
        monkeypatch.setattr(duels_module, "_GATHERED_VALUES", gathered)
        again, _ = random_duels(3)
        np.testing.assert_allclose(again.table(x), table, atol=1e-6)
        np.testing.assert_allclose(again.between(x, left, right), some, atol=1e-6)

    def test_nothing_on_the_dimensions_is_a_draw(self):
        duels = Duels(np.eye(2, 4, dtype=np.float32), SubDimensions(2, 4, np.packbits([[1, 1, 0, 0]], axis=1)))
        x = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 5, 0]], np.float32)
        assert duels.table(x).ravel().tolist() == [0, 0, 1]
        blank = replace(duels, prototypes=np.array([[0, 0, 1, 1], [0, 1, 0, 0]], np.float32))
        assert blank.table(np.array([[3, 4, 0, 0]], np.float32)) == pytest.approx(-0.8)

    def test_prototypes_that_do_not_fit_are_refused(self):
        masks = SubDimensions(2, 4, np.zeros((1, 1), np.uint8))
        for shape in ((3, 4), (2, 5)):
            with pytest.raises(ValueError, match="fit masks"):
                Duels(np.ones(shape, np.float32), masks)


class TestDecide:
    def test_by_hand(self):
        found = decide(np.array([[1.0, 3.0, 2.5], [2.0, 2.0, -np.inf], [-np.inf, -np.inf, 7.0]]))
        assert found.classes.tolist() == [1, 0, 2]
        assert found.margins.tolist() == [0.5, 0, 0]
        assert (found.classes.dtype, found.scores.dtype, found.margins.dtype) == (np.int32, np.float32, np.float32)

    def test_a_single_class_wins_without_a_margin(self):
        found = decide(np.array([[3.0], [-1.0]]))
        assert (found.classes.tolist(), found.margins.tolist()) == ([0, 0], [0, 0])

    @pytest.mark.parametrize("bad", [[[0.0, math.nan]], [[-math.inf, -math.inf]], [[]], [1.0]])
    def test_what_cannot_be_decided_is_refused(self, bad):
        with pytest.raises(ValueError, match="scores"):
            decide(np.array(bad))


class TestTournaments:
    @pytest.mark.parametrize("classes", [2, 3, 6, 9])
    @pytest.mark.parametrize("block", [1, 5, 2_048])
    def test_margin_sum_is_the_sum_over_all_opponents(self, classes, block, monkeypatch):
        monkeypatch.setattr(duels_module, "_BLOCK_PAIRS", block)
        duels, masks = random_duels(classes, classes)
        want = naive_margins(duels, masks, items(0)).sum(axis=2)
        found = margin_sum(duels, items(0))
        np.testing.assert_allclose(found.scores, want, atol=1e-5)
        np.testing.assert_array_equal(found.classes, want.argmax(axis=1))
        first, second = np.sort(want, axis=1)[:, :-3:-1].T
        np.testing.assert_allclose(found.margins, first - second, atol=1e-5)
        np.testing.assert_allclose(found.scores.sum(axis=1), 0, atol=1e-5)

    @settings(deadline=None, max_examples=40)
    @given(st.permutations(range(7)), SEEDS)
    def test_margin_sum_does_not_depend_on_the_order_of_classes(self, order, seed):
        (duels, _), x, order = random_duels(seed, 7), items(seed), np.array(order)
        found = margin_sum(duels, x)
        moved = margin_sum(Duels(duels.prototypes[order], duels.masks.among(order)), x)
        np.testing.assert_allclose(moved.scores, found.scores[:, order], atol=1e-5)
        clear = found.margins > 1e-4
        np.testing.assert_array_equal(order[moved.classes][clear], found.classes[clear])

    @pytest.mark.parametrize("classes", [1, 2, 3, 5, 8, 13])
    @pytest.mark.parametrize("table", [0, 3, 10**6])
    def test_brackets_are_those_of_a_loop(self, classes, table, monkeypatch):
        monkeypatch.setattr(tournaments, "_rows_of_a_table", lambda *_: table)
        duels, masks = random_duels(classes, classes)
        margins = naive_margins(duels, masks, items(1))
        for seed in range(3):
            found = brackets(duels, items(1), seed)
            assert found.classes.tolist() == [naive_bracket(m, draw(seed, 0, classes)) for m in margins]
            np.testing.assert_array_equal(found.scores, np.eye(classes)[found.classes])

    def test_brackets_are_reproducible_and_differ_by_seed(self):
        (duels, _), x = random_duels(3, 9), items(2, 200)
        won = [brackets(duels, x, seed).classes for seed in (0, 0, 1)]
        np.testing.assert_array_equal(won[0], won[1])
        assert (won[0] != won[2]).any()

    def test_who_beats_everyone_wins_every_bracket(self):
        duels, masks = random_duels(4, 5)
        margins = naive_margins(duels, masks, items(3, 300))
        unbeaten = (margins + np.eye(5) > 1e-6).all(axis=2)
        rows, champions = np.nonzero(unbeaten)
        assert 100 < len(rows) < 300
        for seed in range(5):
            np.testing.assert_array_equal(brackets(duels, items(3, 300), seed).classes[rows], champions)

    def test_nobody_has_two_byes_running(self):
        duels = Duels(np.ones((5, 3), np.float32), SubDimensions(5, 3, np.full((10, 1), 224, np.uint8)))
        met = []

        def margin(a, b):
            met.append(list(zip(a[0].tolist(), b[0].tolist(), strict=True)))
            return np.ones(a.shape, np.float32)

        assert len(duels) == 5
        tournaments._winners(margin, np.arange(5, dtype=np.int32)[np.newaxis])
        assert met == [[(0, 1), (2, 3)], [(4, 0)], [(2, 4)]]

    @pytest.mark.parametrize("table", [0, 3, 10**6])
    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_votes_are_counted_and_ties_go_to_the_margin_sum(self, count, table, monkeypatch):
        monkeypatch.setattr(tournaments, "_rows_of_a_table", lambda *_: table)
        (duels, masks), x = random_duels(5, 7), items(4, 100)
        margins, tied = naive_margins(duels, masks, x), 0
        found = voting_brackets(duels, x, 3, count=count)
        for i, m in enumerate(margins):
            won = [naive_bracket(m, draw(3, number, 7)) for number in range(count)]
            votes = np.bincount(won, minlength=7)
            leading = np.flatnonzero(votes == votes.max())
            tied += len(leading) > 1
            assert found.classes[i] == max(leading, key=lambda c: m[c].sum())
            np.testing.assert_allclose(found.scores[i], votes / count, atol=1e-7)
            assert found.margins[i] == pytest.approx(np.diff(np.sort(votes)[-2:]).item() / count, abs=1e-6)
        assert tied or count == 1

    def test_without_margins_the_first_class_wins(self):
        duels = Duels(np.ones((5, 3), np.float32), SubDimensions(5, 3, np.full((10, 1), 224, np.uint8)))
        for play in (margin_sum, brackets, voting_brackets):
            assert play(duels, items(0, 4, 3)).classes.tolist() == [0] * 4

    @pytest.mark.parametrize("play", [margin_sum, brackets, voting_brackets])
    def test_one_class_wins_and_no_items_are_no_trouble(self, play):
        alone = Duels(np.ones((1, 3), np.float32), SubDimensions(1, 3, np.zeros((0, 1), np.uint8)))
        found = play(alone, items(0, 4, 3))
        assert (found.classes.tolist(), found.margins.tolist(), found.scores.shape) == ([0] * 4, [0] * 4, (4, 1))
        assert play(random_duels(0)[0], items(0, 0)).scores.shape == (0, 6)

    def test_margins_are_all_worked_out_where_that_is_less_work(self, monkeypatch):
        def rows(classes, n, count):
            bits = np.zeros((pair_count(classes), 1), np.uint8)
            return tournaments._rows_of_a_table(
                Duels(np.ones((classes, 8), np.float32), SubDimensions(classes, 8, bits)), n, count
            )

        assert [rows(c, n, k) > 0 for c, n, k in ((64, 1, 1), (64, 2_048, 15), (1_200, 2_048, 1))] == [
            True,
            True,
            False,
        ]
        monkeypatch.setattr(duels_module, "_HELD_VALUES", 0)
        assert [rows(c, n, k) > 0 for c, n, k in ((64, 1, 1), (64, 2_048, 1), (512, 2_048, 15))] == [False, True, True]

    def test_no_brackets_are_refused(self):
        with pytest.raises(ValueError, match="at least 1 bracket"):
            voting_brackets(random_duels(0)[0], items(0), count=0)


def names(classes):
    return [f"class {c}" for c in range(classes)]


def separable(classes=5, d=24, n=400, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    return (rng.normal(size=(classes, d))[labels] + noise * rng.normal(size=(n, d))).astype(np.float32), labels


class TestClassifier:
    @pytest.mark.parametrize("tournament", Tournament)
    def test_near_perfect_on_separable_classes(self, tournament):
        x, y = separable(n=800)
        found = PairwiseClassifier.fit(x[:400], y[:400], names(5)).classify(x[400:], tournament)
        assert (found.classes == y[400:]).mean() > 0.99

    @pytest.mark.parametrize("tournament", Tournament)
    def test_each_item_is_decided_alone_whatever_the_blocks(self, tournament):
        x, y = separable(noise=1.5)
        classifier = PairwiseClassifier.fit(x, y, names(5), centre=modality_centre(x))
        whole = classifier.classify(x, tournament)
        shuffled = np.random.default_rng(0).permutation(len(x))
        for rows in (1, 7, 400):
            found = classifier.classify(x[shuffled], tournament, rows=rows)
            np.testing.assert_array_equal(found.classes, whole.classes[shuffled])
            np.testing.assert_allclose(found.scores, whole.scores[shuffled], atol=1e-5)
            np.testing.assert_allclose(found.margins, whole.margins[shuffled], atol=1e-5)

    def test_where_the_origin_lies_does_not_matter_once_centred(self):
        x, y = separable(noise=1.5)
        here = PairwiseClassifier.fit(x, y, names(5), centre=modality_centre(x))
        there = PairwiseClassifier.fit(x + 3, y, names(5), centre=modality_centre(x + 3))
        np.testing.assert_array_equal(there.masks.bits, here.masks.bits)
        np.testing.assert_array_equal(there.classify(x + 3).classes, here.classify(x).classes)
        moved = replace(here, centre=here.centre + np.float32(3))
        np.testing.assert_allclose(moved.classify(x + 3).scores, here.classify(x).scores, atol=1e-4)

    def test_given_prototypes_are_kept_as_unit_rows(self):
        x, y = separable()
        given = np.random.default_rng(1).normal(size=(5, 24)).astype(np.float32)
        found = PairwiseClassifier.fit(x, y, names(5), prototypes=given, centre=modality_centre(x))
        np.testing.assert_allclose(found.prototypes, given / np.linalg.norm(given, axis=1, keepdims=True), atol=1e-6)
        means = PairwiseClassifier.fit(x, y, names(5), centre=modality_centre(x)).prototypes
        want = np.stack([x[y == c].mean(axis=0) for c in range(5)]) - x.mean(axis=0)
        np.testing.assert_allclose(means, want / np.linalg.norm(want, axis=1, keepdims=True), atol=1e-5)

    @pytest.mark.parametrize("tournament", Tournament)
    def test_a_class_without_samples_never_wins(self, tournament):
        x, y = separable(classes=3)
        given = np.vstack([x.mean(axis=0), np.stack([x[y == c].mean(axis=0) for c in range(3)]), x[0]])
        found = PairwiseClassifier.fit(x, y + 1, names(5), prototypes=given).classify(x, tournament)
        assert set(found.classes.tolist()) == {1, 2, 3}
        assert np.isneginf(found.scores[:, [0, 4]]).all()
        assert np.isfinite(found.scores[:, 1:4]).all()
        assert np.isfinite(found.margins).all()
        assert (found.classes == y + 1).mean() > 0.99

    @pytest.mark.parametrize("tournament", Tournament)
    def test_one_class_wins_everything(self, tournament):
        x, _ = separable(n=10)
        found = PairwiseClassifier.fit(x, np.full(10, 1), names(3)).classify(x, tournament)
        assert (found.classes.tolist(), found.margins.tolist()) == ([1] * 10, [0] * 10)

    def test_no_class_at_all_is_an_error(self):
        x, _ = separable(n=10)
        for labels, count in ((np.full(10, -1), 3), (np.full(10, -1), 0)):
            with pytest.raises(ValueError, match="no class has a prototype"):
                PairwiseClassifier.fit(x, labels, names(count))

    def test_one_sample_each_and_no_spread_at_all(self):
        x = np.eye(4, 6, dtype=np.float32)
        classifier = PairwiseClassifier.fit(np.repeat(x, 3, axis=0), np.repeat(np.arange(4), 3), names(4))
        assert classifier.classify(x).classes.tolist() == [0, 1, 2, 3]
        assert PairwiseClassifier.fit(x, np.arange(4), names(4)).classify(x).classes.tolist() == [0, 1, 2, 3]

    @pytest.mark.parametrize("tournament", [Tournament.MARGIN_SUM, Tournament.BRACKET])
    def test_1200_classes(self, tournament):
        rng = np.random.default_rng(0)
        means, y = rng.normal(size=(1_200, 16)), np.repeat(np.arange(1_200), 2).astype(np.int16)
        x = (means[y] + 0.01 * rng.normal(size=(2_400, 16))).astype(np.float32)
        found = PairwiseClassifier.fit(x, y, names(1_200)).classify(x[::40], tournament)
        assert (found.classes == y[::40]).mean() > 0.9
        assert found.classes.max() > 1_100

    def test_float16_is_as_good(self):
        x, y = separable(noise=0.5)
        half = x.astype(np.float16)
        found = PairwiseClassifier.fit(half, y, names(5)).classify(half)
        assert (found.classes == PairwiseClassifier.fit(x, y, names(5)).classify(x).classes).mean() > 0.99

    def test_nan_is_refused_where_it_lies(self):
        x, y = separable()
        classifier = PairwiseClassifier.fit(x, y, names(5))
        bad = x.copy()
        bad[301, 3] = math.nan
        with pytest.raises(ValueError, match="vectors: row 301 holds NaN"):
            classifier.classify(bad, rows=100)
        with pytest.raises(ValueError, match="vectors: row 301 holds NaN"):
            PairwiseClassifier.fit(bad, y, names(5))
        with pytest.raises(ValueError, match="centre"):
            PairwiseClassifier.fit(x, y, names(5), centre=bad[301])
        with pytest.raises(ValueError, match="prototypes"):
            PairwiseClassifier.fit(x, y, names(5), prototypes=bad[300:305])

    def test_what_does_not_fit_is_refused(self):
        x, y = separable()
        classifier = PairwiseClassifier.fit(x, y, names(5))
        with pytest.raises(ValueError, match=r"\(n, 24\)"):
            classifier.classify(x[:, :20])
        with pytest.raises(ValueError, match="at least 1 row"):
            classifier.classify(x, rows=0)
        with pytest.raises(ValueError, match="names must be different"):
            PairwiseClassifier.fit(x, y, [*names(4), "class 0"])
        with pytest.raises(ValueError, match="prototypes must be 5"):
            PairwiseClassifier.fit(x, y, names(5), prototypes=x[:4])
        with pytest.raises(ValueError, match="masks of 4"):
            replace(classifier, masks=classifier.masks.among(np.arange(4)))

    def test_comes_back_from_a_file_without_pickle(self, tmp_path):
        x, y = separable()
        classifier = PairwiseClassifier.fit(x, y, ["T-shirt", "Größe", "靴", "a, b", "x" * 80], centre=x.mean(axis=0))
        np.savez(tmp_path / "c.npz", **classifier.to_arrays())
        with np.load(tmp_path / "c.npz", allow_pickle=False) as arrays:
            found = PairwiseClassifier.from_arrays(arrays)
        assert found.names == classifier.names
        np.testing.assert_array_equal(found.classify(x).scores, classifier.classify(x).scores)

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("names", None, "names must be there"),
            ("names", np.array(["a"] * 5, dtype=object), "names must be there, as str"),
            ("prototypes", np.ones((5, 24)), "prototypes must be there, as float32"),
            ("prototypes", np.ones((4, 24), np.float32), "prototypes must be 5"),
            ("centre", np.ones(23, np.float32), "centre must be"),
            ("centre", np.full(24, np.nan, np.float32), "centre must be"),
            ("masks", np.zeros((9, 3), np.uint8), r"masks must be \(10, 3\)"),
        ],
    )
    def test_arrays_that_are_not_a_classifier_are_refused(self, key, value, message):
        x, y = separable()
        arrays = PairwiseClassifier.fit(x, y, names(5)).to_arrays() | {key: value}
        with pytest.raises(ValueError, match=message):
            PairwiseClassifier.from_arrays({k: v for k, v in arrays.items() if v is not None})


@pytest.mark.parametrize("seed", range(3))
def test_thirteen_classes_that_full_cosine_tells_badly(seed):
    # As in the measurements before we began: each class differs in few dimensions, all others are noise that also got
    # into its prompt. Fit on one half, judged on the other.
    rng = np.random.default_rng(seed)
    means = np.zeros((13, 128))
    for row in means:
        row[rng.choice(128, 10, replace=False)] = 2 * rng.choice([-1, 1], 10)
    prompts = (means + 1.5 * rng.normal(size=means.shape)).astype(np.float32)
    y = rng.integers(13, size=6_000)
    spread = 2 * np.exp(0.7 * rng.normal(size=128))
    x = unit_rows(means[y] + spread * rng.normal(size=(6_000, 128)))
    x, y, test, truth = x[:3_000], y[:3_000], x[3_000:], y[3_000:]

    def accuracy(decisions):
        return float((decisions.classes == truth).mean())

    plain = accuracy(decide(CosineScorer(prompt_prototypes(prompts)).scores(test)))
    classifier = PairwiseClassifier.fit(x, y, names(13), prototypes=prompts)
    single = [classifier.classify(test, Tournament.BRACKET, seed=s) for s in (0, 1)]
    one = max(map(accuracy, single))
    voting = accuracy(classifier.classify(test, Tournament.VOTING))
    every = accuracy(classifier.classify(test))
    assert plain + 0.03 < one <= every
    assert one - 0.01 <= voting <= every
    assert 0.5 < (single[0].classes == single[1].classes).mean() < 0.95
