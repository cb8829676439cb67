"""Prototypes and pseudo-labels: means by hand, cosines by a loop, and the rules for what is sure enough."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.class_statistics import class_statistics
from models.prototypes import Sure, label_prototypes, mean_prototypes, prompt_prototypes, pseudo_labels
from models.vector_blocks import blocks, modality_centre, unit_blocks, unit_rows


def at(*degrees):
    """Unit rows in the plane at these angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class TestRows:
    @pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e30])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_have_unit_length_whatever_their_size(self, size, dtype):
        rows = (np.array([[3.0, 4.0], [0.0, 0.0]]) * size).astype(dtype)
        np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8], [0, 0]], atol=1e-6)
        assert unit_rows(rows).dtype == np.float32

    @pytest.mark.parametrize("rows", [1, 3, 100])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_come_in_blocks_about_the_centre(self, rows, dtype):
        x, centre = np.random.default_rng(0).normal(size=(10, 4)).astype(dtype), np.ones(4, np.float32)
        found = list(unit_blocks(x, centre, rows))
        assert [len(block) for _, block in found] == [min(rows, 10 - i) for i in range(0, 10, rows)]
        want = x.astype(np.float64) - 1
        np.testing.assert_allclose(
            np.concatenate([block for _, block in found]), want / np.linalg.norm(want, axis=1)[:, None], atol=1e-6
        )

    def test_are_checked(self):
        for bad in (np.zeros(3), np.zeros((3, 0)), np.zeros((3, 2), int)):
            with pytest.raises(ValueError, match="floats"):
                list(blocks(bad))
        with pytest.raises(ValueError, match="row 1 holds NaN"):
            modality_centre(np.array([[0.0], [math.inf]]))
        with pytest.raises(ValueError, match=r"centre must be \(2,\)"):
            list(unit_blocks(at(0), np.zeros(3, np.float32)))

    def test_centre_is_the_mean(self):
        x = np.random.default_rng(1).normal(3, 1, size=(5_000, 3)).astype(np.float16)
        np.testing.assert_allclose(modality_centre(x), x.astype(np.float64).mean(axis=0), rtol=1e-6)
        with pytest.raises(ValueError, match="at least one row"):
            modality_centre(x[:0])


class TestPrototypes:
    def test_of_prompts_are_unit_rows_about_their_centre(self):
        found = prompt_prototypes(np.array([[3.0, 4.0], [0.0, 0.0], [5.0, 1.0]]), np.array([2.0, 1.0], np.float32))
        np.testing.assert_allclose(found, [[1 / math.sqrt(10), 3 / math.sqrt(10)], [0, 0], [1, 0]], atol=1e-6)
        np.testing.assert_allclose(prompt_prototypes(np.array([[3.0, 4.0]])), [[0.6, 0.8]], atol=1e-6)
        assert prompt_prototypes(np.zeros((0, 2))).shape == (0, 2)

    def test_of_prompts_refuse_nan(self):
        with pytest.raises(ValueError, match="row 1 holds NaN"):
            prompt_prototypes(np.array([[0.0], [math.nan]]))

    def test_of_labels_are_the_means(self):
        x = np.array([[1.0, 0.0], [0.0, 1.0], [4.0, 0.0], [9.0, 9.0]])
        found = label_prototypes(x, np.array([0, 0, 2, -1]), 4, np.array([0.5, 0.0], np.float32))
        np.testing.assert_allclose(found, [[0, 1], [0, 0], [1, 0], [0, 0]], atol=1e-7)
        np.testing.assert_array_equal(
            mean_prototypes(class_statistics(x, np.array([0, 0, 2, -1]), 4))[0], unit_rows(np.array([[0.5, 0.5]]))[0]
        )


class TestPseudoLabels:
    def test_by_hand(self):
        # Prototypes at 0 and 90 degrees: 10 is sure, 44 is undecided, 100 is sure, 200 is too far from both.
        found = pseudo_labels(at(10, 44, 100, 200), at(0, 90), sure=Sure(cosine=0.5, margin=0.1))
        assert found.labels.tolist() == [0, -1, 1, -1]
        cosines = [math.cos(math.radians(angle)) for angle in (10, 44, 10, 110)]
        others = [math.cos(math.radians(angle)) for angle in (80, 46, 100, 160)]
        np.testing.assert_allclose(found.cosines, cosines, atol=1e-6)
        np.testing.assert_allclose(found.margins, np.subtract(cosines, others), atol=1e-6)
        assert found.labels.dtype == np.int32

    @settings(deadline=None, max_examples=40)
    @given(
        st.integers(0, 2**32 - 1), st.floats(-1, 1), st.floats(0, 0.5), st.integers(1, 12), st.booleans(), st.booleans()
    )
    def test_are_those_of_a_loop(self, seed, cosine, margin, most, centred, missing):
        rng = np.random.default_rng(seed)
        x, prototypes = rng.normal(size=(40, 5)), rng.normal(size=(4, 5)).astype(np.float32)
        prototypes[2] *= not missing
        centre = rng.normal(size=5).astype(np.float32) if centred else None
        found = pseudo_labels(x, prototypes, centre, Sure(cosine, margin, most))
        guesses = []
        for i, row in enumerate(x if centre is None else x - centre):
            cosines = [
                (p @ row / np.linalg.norm(p) / np.linalg.norm(row), c) for c, p in enumerate(prototypes) if p.any()
            ]
            (second, _), (best, c) = sorted(cosines)[-2:]
            assert (found.cosines[i], found.margins[i]) == pytest.approx((best, best - second), abs=1e-5)
            if best >= cosine and best - second >= margin:
                guesses.append((c, second - best, i))
        want = np.full(40, -1)
        for c in range(4):
            for _, _, i in sorted(g for g in guesses if g[0] == c)[:most]:
                want[i] = c
        assert found.labels.tolist() == want.tolist()

    def test_the_surest_of_each_class_are_kept_and_the_earliest_of_equals(self):
        found = pseudo_labels(at(20, 0, 10, 0, 80, 0), at(0, 90), sure=Sure(most=2))
        assert found.labels.tolist() == [-1, 0, -1, 0, 1, -1]

    def test_a_single_class_is_never_undecided(self):
        for prototypes in (at(0), np.array([[0, 0], [1, 0]], np.float32)):
            found = pseudo_labels(at(10, 50, 100), prototypes, sure=Sure(cosine=0.1, margin=0.5, most=1))
            assert found.labels.tolist() == [len(prototypes) - 1, -1, -1]

    def test_no_items(self):
        assert pseudo_labels(at(), at(0, 90)).labels.shape == (0,)

    def test_1200_classes(self):
        angles = np.linspace(0, 359, 1_200)
        assert pseudo_labels(at(*angles), at(*angles), sure=Sure(margin=0)).labels.tolist() == list(range(1_200))

    def test_what_does_not_fit_is_refused(self):
        with pytest.raises(ValueError, match=r"prototypes must be \(C, 2\)"):
            pseudo_labels(at(0), np.ones((2, 3), np.float32))
        with pytest.raises(ValueError, match="prototypes must be"):
            pseudo_labels(at(0), np.full((1, 2), math.nan, np.float32))
        with pytest.raises(ValueError, match="no class has a prototype"):
            pseudo_labels(at(0), np.zeros((3, 2), np.float32))
        with pytest.raises(ValueError, match="row 0 holds NaN"):
            pseudo_labels(np.full((1, 2), math.nan), at(0))
        for bad in ({"cosine": 1.1}, {"margin": -0.1}, {"most": 0}):
            with pytest.raises(ValueError, match="must lie"):
                Sure(**bad)
