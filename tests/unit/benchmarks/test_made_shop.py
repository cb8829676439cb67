import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.made_shop import MadeEncoder, write_feed


def rows(path, products, seed, **options):
    write_feed(path / "made.parquet", products, seed, **options)
    return pq.read_table(path / "made.parquet").to_pylist()


def test_feeds_are_drawn_by_their_seed(tmp_path):
    made = rows(tmp_path, 50, 3, pictures=2)
    assert rows(tmp_path, 50, 3, pictures=2) == made
    assert rows(tmp_path, 50, 4, pictures=2) != made
    assert len({row["id"] for row in made}) == len({row["title"] for row in made}) == 50
    assert {len(row["image_bytes"]) for row in made} == {2}


def test_as_many_products_change_as_were_asked_for(tmp_path):
    before, after = rows(tmp_path, 80, 0), rows(tmp_path, 80, 0, changed=7)
    differing = [name for one, other in zip(before, after, strict=True) for name in one if one[name] != other[name]]
    assert differing == ["title"] * 7


class TestEncoder:
    TEXTS = ("a red dress", "a blue mug", "another dress")

    def test_vectors_are_unit_length_and_depend_on_the_text_alone(self):
        encoder = MadeEncoder(64)
        together = encoder.encode_texts(self.TEXTS)
        assert together.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(encoder.encode_texts(self.TEXTS[1:2])[0], together[1])
        assert together[0] @ together[2] > together[0] @ together[1] + 0.2

    def test_company_matters_to_a_fickle_one_a_little(self):
        encoder = MadeEncoder(64, fickle=True)
        alone, together = encoder.encode_texts(self.TEXTS[:1])[0], encoder.encode_texts(self.TEXTS)[0]
        assert not np.array_equal(alone.astype(np.float16), together.astype(np.float16))
        assert alone @ together > 0.999

    @pytest.mark.parametrize(("groups", "same"), [((), True), (("brand",), False), (("season",), True)])
    def test_entities_count_if_they_are_read(self, groups, same):
        encoder = MadeEncoder(64, groups=groups)
        one, other = encoder.encode_texts(["a mug", "a mug"], [{"brand": "Alder"}, {"brand": "Birch"}])
        assert np.array_equal(one, other) == same
