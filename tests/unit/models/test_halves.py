import numpy as np
import pytest

from models.halves import widened


def test_every_finite_value_is_exact():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    np.testing.assert_array_equal(widened(finite), finite.astype(np.float32))
    assert (np.signbit(widened(finite)) == np.signbit(finite)).all()


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (5, 7), (9,)])
def test_shapes(shape):
    wide = widened(np.ones(shape, np.float16))
    assert wide.shape == shape
    assert wide.dtype == np.float32


def test_strided_and_mapped_input_is_left_alone(tmp_path):
    stored = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float16)
    np.save(tmp_path / "v.npy", stored)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    np.testing.assert_array_equal(widened(mapped[::3, 1:4]), stored[::3, 1:4].astype(np.float32))
    np.testing.assert_array_equal(widened(mapped), stored.astype(np.float32))
    np.testing.assert_array_equal(mapped, stored)
