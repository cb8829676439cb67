"""Audits: what is planted must be found, by those who have not seen it; counts by hand."""

from functools import cache

import numpy as np
import pytest

from models.category.audit import Listed, audit, corrupted, without_rare
from models.class_statistics import class_statistics
from models.subdimensions import pair_index, pair_scores


@pytest.fixture
def listed(support):
    return support("listed")


@cache
def planted(listed, seed):
    """Return a catalogue, which of its products are then listed wrongly, and the audit of that."""
    clean = listed.catalogue(seed)
    labels = corrupted(clean.labels, 0.03, seed)
    return clean, labels != clean.labels, audit(listed.listed_as(clean, labels))


class TestCorrupted:
    def test_changes_the_share_to_other_classes_that_occur(self):
        labels = np.array([0, 1, 3, 3] * 250 + [-1] * 100, np.int32)
        found = corrupted(labels, 0.05, seed=3)
        changed = found != labels
        assert (changed.sum(), found.dtype) == (50, np.int32)
        assert set(found[changed]) == {0, 1, 3}
        assert (found[labels == -1] == -1).all()
        assert (corrupted(labels, 0.05, seed=3) == found).all()
        assert (corrupted(labels, 0.05, seed=4) != found).any()

    def test_every_other_class_is_as_likely(self):
        labels = np.repeat(np.array([0, 1, 2, 3], np.int32), [7_000, 1_000, 1_000, 1_000])
        found = corrupted(labels, 1.0)
        counts = np.bincount(found[labels == 0], minlength=4)
        assert counts[0] == 0
        assert (abs(counts[1:] - 7_000 / 3) < 4 * np.sqrt(7_000 * 2 / 9)).all()

    def test_of_nothing_changes_nothing(self):
        labels = np.array([0, 1, 1], np.int32)
        assert corrupted(labels, 0).tolist() == [0, 1, 1]
        found = corrupted(labels, 1)
        assert (found.tolist(), labels.tolist()) == ([1, 0, 0], [0, 1, 1])

    @pytest.mark.parametrize(("labels", "share"), [([0, 1], 1.1), ([0, 1], -0.1), ([0, 0], 0.5), ([-1, -1], 0.5)])
    def test_refuses_what_cannot_be(self, labels, share):
        with pytest.raises(ValueError, match="share must lie"):
            corrupted(np.array(labels, np.int32), share)


class TestRare:
    def test_variants_count_once(self):
        #  class 0: two products. 1: a product and its variant. 2: one. 3: nobody. 4: two, one with a variant.
        labels = np.array([0, 1, 1, 0, 2, 4, 4, 4, -1], np.int32)
        groups = np.array([0, 1, 1, 2, 3, 4, 4, 5, 6])
        vectors = {"text": np.arange(18, dtype=np.float32).reshape(9, 2)}
        kept, rows, rare = without_rare(Listed(vectors, labels, ("a", "b", "c", "d", "e"), groups))
        assert (kept.names, rare, rows.tolist()) == (("a", "e"), ("b", "c"), [0, 3, 5, 6, 7])
        assert kept.labels.tolist() == [0, 0, 1, 1, 1]
        assert kept.groups.tolist() == [0, 2, 4, 4, 5]
        assert (kept.vectors["text"] == vectors["text"][rows]).all()

    @pytest.mark.parametrize("labels", [[0, 0, 1], [-1, -1, -1], [0, 1, 2]])
    def test_fewer_than_two_classes_left_are_an_error(self, labels):
        with pytest.raises(ValueError, match="fewer than two classes"):
            without_rare(Listed({}, np.array(labels, np.int32), ("a", "b", "c"), np.arange(3)))


class TestAudit:
    @pytest.fixture(params=[0, 1])
    def spoilt(self, request, listed):
        return planted(listed, request.param)

    def test_finds_what_was_planted(self, spoilt):
        clean, wrong, found = spoilt
        precision, count = found.precision(wrong)
        assert count == 30
        assert precision >= 0.9
        assert found.model.share == pytest.approx(0.03, abs=0.006)
        assert found.wrong[wrong].mean() > 0.85
        assert found.wrong[~wrong].mean() < 0.02
        assert (found.both.classes[wrong] == clean.labels[wrong]).mean() > 0.85

    def test_precision_is_counted_from_the_top(self, spoilt):
        _, wrong, found = spoilt
        hits = [bool(wrong[found.rows[row]]) for row in found.order[:30]]
        assert found.precision(wrong) == (sum(hits) / 30, 30)
        assert found.precision(np.zeros(1_000, bool)) == (0.0, 0)

    def test_precision_is_of_the_products_that_were_audited(self, listed):
        assert listed.small().precision(np.array([False, True, True, False, False])) == (1.0, 1)
        assert listed.small().precision(np.array([False, True, True, True, False])) == (0.5, 2)

    def test_ranks_by_how_likely_listings_are_wrong(self, spoilt):
        found = spoilt[2]
        assert sorted(found.order.tolist()) == list(range(1_000))
        assert (np.diff(found.wrong[found.order]) <= 0).all()

    def test_two_kinds_find_more_than_either(self, spoilt):
        clean, _, found = spoilt
        right = [(part.classes == clean.labels).mean() for part in (found.text, found.image, found.both)]
        assert right[2] > max(right[:2])

    def test_confusion_and_pairs_by_hand(self, spoilt):
        found = spoilt[2]
        want = np.zeros((6, 6), int)
        for stated, judged in zip(found.listed.labels, found.both.classes, strict=True):
            want[stated, judged] += 1
        assert found.confusion.tolist() == want.tolist()
        either = {(a, b): want[a, b] + want[b, a] for a in range(6) for b in range(a + 1, 6)}
        pairs = found.confused(3)
        assert [either[pair] for pair in pairs] == sorted(either.values(), reverse=True)[:3]
        assert len(found.confused(1_000)) == sum(count > 0 for count in either.values())

    def test_dimensions_are_those_the_judge_compares_by(self, spoilt):
        found = spoilt[2]
        for kind in ("text", "image"):
            judge = found.judges[kind]
            evened = judge.whitening.apply(found.listed.vectors[kind])
            ((_, scores),) = pair_scores(class_statistics(evened, found.listed.labels, 6))
            for a, b in ((0, 1), (2, 5)):
                of_pair = found.dimensions(kind, a, b)
                np.testing.assert_allclose(of_pair.scores, scores[pair_index(np.array(a), np.array(b), 6)], rtol=1e-5)
                # All that pass the cut-off, or the best eight.
                passing = of_pair.scores > 1.10
                assert of_pair.kept.sum() == max(8, passing.sum())
                assert of_pair.scores[of_pair.kept].min() >= of_pair.scores[~of_pair.kept].max(initial=0)

    def test_a_variant_listed_alike_does_not_vouch_for_a_product(self):
        """Every product has a twin with its vectors and class, right or wrong."""
        rng = np.random.default_rng(0)
        groups = np.repeat(np.arange(200), 2)
        true = rng.integers(8, size=200)[groups]
        vectors = {
            kind: (0.5 * rng.normal(size=(8, 120))[true] + rng.normal(size=(200, 120))[groups]).astype(np.float32)
            for kind in ("text", "image")
        }
        wrong = np.isin(groups, rng.choice(200, 15, replace=False))
        labels, names = np.where(wrong, (true + 3) % 8, true).astype(np.int32), tuple("abcdefgh")
        precision, count = audit(Listed(vectors, labels, names, groups)).precision(wrong)
        assert (precision >= 0.95, count) == (True, 30)
        assert audit(Listed(vectors, labels, names, np.arange(400))).precision(wrong)[0] < 0.85

    def test_products_without_a_class_and_rare_ones_are_left_out(self, listed):
        clean = listed.catalogue(4, 300)
        labels = clean.labels.copy()
        labels[:10] = -1
        labels[10] = 6
        found = audit(Listed(clean.vectors, labels, (*clean.names, "single"), clean.groups))
        assert found.rows.tolist() == list(range(11, 300))
        assert found.rare == ("single",)
        assert found.both.chances.shape == (289, 6)

    def test_nan_is_refused(self, listed):
        clean = listed.catalogue(5, 100)
        clean.vectors["image"][17, 0] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            audit(clean)
