import numpy as np
import pytest

from indexer.writing import ThumbnailWriter, VectorWriter


def unit(n, d, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("blocks", [[], [0], [1], [3, 0, 5], [1000, 1]])
@pytest.mark.parametrize("dim", [1, 8, 2048])
def test_numpy_reads_and_maps_what_was_written(tmp_path, blocks, dim):
    parts = [unit(n, dim, seed) for seed, n in enumerate(blocks)]
    with VectorWriter(tmp_path / "v.npy", dim) as writer:
        for part in parts:
            writer.write(part)
    expected = np.concatenate([np.zeros((0, dim)), *parts]).astype(np.float16)
    for mode in (None, "r"):
        read = np.load(tmp_path / "v.npy", mmap_mode=mode)
        assert read.dtype == np.float16
        np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 8), np.float32), unit(1, 8) * 1.01, np.full((1, 8), np.nan, np.float32)]
)
def test_rows_that_are_not_unit_are_refused_by_number(tmp_path, wrong):
    with VectorWriter(tmp_path / "v.npy", 8) as writer:
        writer.write(unit(3, 8))
        with pytest.raises(ValueError, match=r"vector 4 has length .*, not 1"):
            writer.write(np.concatenate((unit(1, 8), wrong)))


@pytest.mark.parametrize("shape", [(2, 7), (8,)])
def test_rows_of_another_shape_are_refused(tmp_path, shape):
    with VectorWriter(tmp_path / "v.npy", 8) as writer, pytest.raises(ValueError, match=r"\(n, 8\) is expected"):
        writer.write(np.zeros(shape, np.float32))


def test_thumbnails_lie_end_to_end(tmp_path):
    with ThumbnailWriter(tmp_path / "t.bin", tmp_path / "t.npy") as writer:
        writer.write([b"one", b"three"])
        writer.write([])
        writer.write([b"", b"x"])
    assert (tmp_path / "t.bin").read_bytes() == b"onethreex"
    assert np.load(tmp_path / "t.npy").tolist() == [0, 3, 8, 8, 9]


def test_no_thumbnails(tmp_path):
    with ThumbnailWriter(tmp_path / "t.bin", tmp_path / "t.npy"):
        pass
    assert np.load(tmp_path / "t.npy").tolist() == [0]


def test_a_header_of_another_length_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("indexer.writing._HEADER_BYTES", 64)
    writer = VectorWriter(tmp_path / "v.npy", 8)
    with pytest.raises(ValueError, match="a header of 128 bytes, not 64"):
        writer.close()
