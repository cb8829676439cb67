"""Products of pictures in a cache: what is read is what was written, or nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.capture.finder import Instance
from models.capture.regions import Detection
from service.errors import StartupError
from service.instances import finder_of, pack_instances, unpack_instances
from service.settings import Settings


def found(count, seed=0, dim=6):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    corners = rng.random((count, 4)) / 2
    return tuple(
        Instance(Detection((c[0], c[1], c[2] + 0.5, c[3] + 0.5), float(rng.random())), vector)
        for c, vector in zip(corners.tolist(), vectors, strict=True)
    )


@pytest.mark.parametrize("count", [0, 1, 5, 32])
def test_what_is_packed_comes_back(count):
    before = found(count)
    after = unpack_instances(pack_instances(before))
    assert [one.detection for one in after] == [one.detection for one in before]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.vector, other.vector)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_whatever_is_damaged_is_nothing(data):
    packed = pack_instances(found(2))
    kind = data.draw(st.sampled_from(["cut", "flip", "more", "noise"]))
    if kind == "cut":
        damaged = packed[: data.draw(st.integers(0, len(packed) - 1))]
    elif kind == "flip":
        place = data.draw(st.integers(0, len(packed) - 1))
        damaged = packed[:place] + bytes([packed[place] ^ data.draw(st.integers(1, 255))]) + packed[place + 1 :]
    elif kind == "more":
        damaged = packed + data.draw(st.binary(min_size=1, max_size=8))
    else:
        damaged = data.draw(st.binary(max_size=200))
    assert unpack_instances(damaged) is None


def test_a_vector_of_another_length_is_not_believed():
    [one] = found(1)
    assert unpack_instances(pack_instances((Instance(one.detection, one.vector * 2),))) is None


def test_nothing_finds_instances_where_the_settings_say_so(weightless):
    assert finder_of(Settings(instances="off"), weightless(16)) is None


def test_a_folder_that_is_not_there_ends_the_start_with_one_line(weightless, tmp_path):
    with pytest.raises(StartupError) as refused:
        finder_of(Settings(instances=str(tmp_path / "none")), weightless(16))
    assert str(refused.value) == f"CATALENS_INSTANCES or --instances: {tmp_path / 'none'}: holds no detector/"
