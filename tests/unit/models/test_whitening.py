"""Whitening: the spread within classes against its closed form, and what cannot be whitened."""

import numpy as np
import pytest

from models import whitening as whitening_module
from models.whitening import Whitening


def labelled(seed=0, n=400, d=6, classes=4):
    """Rows about class means whose spread is the same in no two directions."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    skew = rng.normal(size=(d, d)) * np.exp(rng.normal(size=d))
    return (3 * rng.normal(size=(classes, d))[labels] + rng.normal(size=(n, d)) @ skew).astype(np.float32), labels


def scatter(x, labels):
    """Sum over all items of the outer product of what lies between them and their class's mean, item by item."""
    x, total = x.astype(np.float64), np.zeros((x.shape[1],) * 2)
    for c in np.unique(labels[labels >= 0]):
        own = x[labels == c]
        for row in own - own.mean(axis=0):
            total += np.outer(row, row)
    return total


class TestFit:
    @pytest.mark.parametrize("shrinkage", [0.02, 0.1, 0.5])
    def test_the_shrunk_spread_becomes_the_identity(self, shrinkage):
        x, labels = labelled()
        found, spread = Whitening.fit(x, labels, 4, shrinkage=shrinkage), scatter(x, labels)
        shrunk = (1 - shrinkage) * spread * 6 / np.trace(spread) + shrinkage * np.eye(6)
        np.testing.assert_allclose(found.matrix @ shrunk @ found.matrix, np.eye(6), atol=2e-4)
        np.testing.assert_allclose(found.matrix, found.matrix.T, atol=1e-6)

    def test_with_next_to_no_shrinkage_the_spread_is_the_same_in_every_direction(self):
        x, labels = labelled()
        before, after = scatter(x, labels), scatter(Whitening.fit(x, labels, 4, shrinkage=1e-6).apply(x), labels)
        assert np.linalg.cond(before) > 20
        np.testing.assert_allclose(after / (np.trace(after) / 6), np.eye(6), atol=1e-2)  # the matrix is float32

    def test_all_shrinkage_evens_nothing_out(self):
        x, labels = labelled()
        np.testing.assert_allclose(Whitening.fit(x, labels, 4, shrinkage=1).matrix, np.eye(6), atol=1e-6)

    def test_without_any_spread_nothing_is_turned_or_stretched_unevenly(self):
        x = np.eye(3, dtype=np.float32)
        found = Whitening.fit(x, np.arange(3), 3, shrinkage=0.25)
        np.testing.assert_allclose(found.matrix, 2 * np.eye(3), atol=1e-6)  # 1 / sqrt(0.25)

    def test_a_dimension_without_spread_stays_finite(self):
        x, labels = labelled()
        x[:, 2] = labels
        assert np.isfinite(Whitening.fit(x, labels, 4).apply(x)).all()

    def test_unlabelled_rows_move_the_centre_only(self):
        x, labels = labelled()
        some = np.where(np.arange(400) % 3 == 0, -1, labels)
        found, of_known = Whitening.fit(x, some, 4), Whitening.fit(x[some >= 0], some[some >= 0], 4)
        np.testing.assert_allclose(found.matrix, of_known.matrix, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.centre, x.mean(axis=0), atol=1e-5)
        assert np.abs(found.centre - of_known.centre).max() > 1e-3

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_does_not_depend_on_the_blocks_or_the_type(self, dtype, monkeypatch):
        x, labels = labelled()
        want = Whitening.fit(x, labels, 4)
        rows = want.apply(x)
        monkeypatch.setattr(whitening_module, "_ROWS", 7)
        found = Whitening.fit(x.astype(dtype), labels, 4)
        close = {"rtol": 0.02, "atol": 0.02} if dtype is np.float16 else {"rtol": 1e-3, "atol": 1e-4}
        np.testing.assert_allclose(found.matrix, want.matrix, **close)
        np.testing.assert_allclose(want.apply(x), rows, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("shrinkage", [0.0, -0.1, 1.01, np.nan])
    def test_shrinkage_has_bounds(self, shrinkage):
        with pytest.raises(ValueError, match="shrinkage must lie"):
            Whitening.fit(*labelled(), 4, shrinkage=shrinkage)

    def test_what_cannot_be_fitted_is_refused(self):
        x, labels = labelled()
        with pytest.raises(ValueError, match=r"not a class in 0\.\.2"):
            Whitening.fit(x, labels, 3)
        x[5, 1] = np.nan
        with pytest.raises(ValueError, match="row 5"):
            Whitening.fit(x, labels, 4)
        with pytest.raises(ValueError, match="at least one row"):
            Whitening.fit(x[:0], labels[:0], 4)


class TestApply:
    def test_is_about_the_centre(self):
        x, labels = labelled()
        found = Whitening.fit(x, labels, 4)
        applied = found.apply(x)
        assert applied.dtype == np.float32
        np.testing.assert_allclose(applied.mean(axis=0), np.zeros(6), atol=1e-4)
        np.testing.assert_allclose(applied[3], found.matrix @ (x[3] - found.centre), rtol=1e-4, atol=1e-5)

    def test_refuses_what_it_was_not_fitted_for(self):
        x, labels = labelled()
        found = Whitening.fit(x, labels, 4)
        with pytest.raises(ValueError, match=r"\(n, 6\)"):
            found.apply(x[:, :5])
        x[9] = np.inf
        with pytest.raises(ValueError, match="row 9"):
            found.apply(x)


class TestArrays:
    def test_round_trip(self):
        x, labels = labelled()
        found = Whitening.fit(x, labels, 4)
        again = Whitening.from_arrays({**found.to_arrays(), "another": np.zeros(3)})
        assert again.apply(x).tobytes() == found.apply(x).tobytes()

    @pytest.mark.parametrize("key", ["whitening", "whitening-centre"])
    def test_each_must_be_there_and_fit(self, key):
        arrays = Whitening.fit(*labelled(), 4).to_arrays()
        for bad in (arrays[key].astype(np.float64), arrays[key][:-1], arrays[key] * np.float32(np.nan)):
            with pytest.raises(ValueError, match="must be"):
                Whitening.from_arrays({**arrays, key: bad})
        del arrays[key]
        with pytest.raises(ValueError, match=f"{key} must be there"):
            Whitening.from_arrays(arrays)
