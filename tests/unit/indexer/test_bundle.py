import shutil

import numpy as np
import pytest
from PIL import Image

from indexer.bundle import FILES, Bundle, BundleError, current_bundle
from indexer.index import VectorIndex
from indexer.manifest import read_manifest, record_file, write_durably
from indexer.products import ProductWriter


@pytest.fixture
def copy(built, tmp_path):
    """A bundle of one's own, to be damaged."""
    return shutil.copytree(built.path, tmp_path / built.path.name)


def signed(folder, **changes):
    """Write the manifest anew, as if what the folder holds now had been written so."""
    manifest = read_manifest(folder)
    files = {name: record_file(folder / name) for name in manifest.files}
    write_durably(folder / "manifest.json", manifest.model_copy(update={"files": files, **changes}).to_bytes())


def test_everything_is_there(bundle, built):
    assert len(bundle.products) == 40
    assert bundle.manifest == built.manifest
    assert bundle.path == built.path
    assert {s: (v.shape, v.dtype) for s, v in bundle.vectors.items()} == {
        "image": ((80, 48), np.float16),
        "text": ((40, 48), np.float16),
    }
    assert all(isinstance(v.base, np.memmap) for v in bundle.vectors.values())  # plain views of what is mapped
    assert all(isinstance(i, VectorIndex) for i in bundle.indexes.values())
    assert bundle.image_rows.tolist() == [row for row in range(40) for _ in range(2)]
    assert bundle.image_rows.dtype == np.int32
    assert bundle.picture_count(7) == 2
    assert bundle.report["products"] == 40
    assert "brand" in bundle.statistics.groups
    assert set(FILES) <= set(bundle.manifest.files)


def test_vectors_are_those_of_the_products(bundle, encoder, feed):
    product = bundle.products[13]
    text = f"{product.title}. {product.description}"
    own = encoder.encode_texts([text], [{"brand": product.brand, "category": product.category}])[0]
    np.testing.assert_allclose(bundle.vectors["text"][13], own, atol=2e-3)
    with Image.open(feed.parent / product.images[1]) as picture:
        own = encoder.encode_images([picture.convert("RGB")])[0]
    np.testing.assert_allclose(bundle.vectors["image"][27], own, atol=2e-3)


def test_thumbnails(bundle, encoder):
    for row in (0, 39):
        for n in range(2):
            content = bundle.thumbnail(row, n)
            assert content.startswith(b"\xff\xd8\xff")
            assert content.endswith(b"\xff\xd9")
    assert bundle.thumbnail(0, 2) is None
    assert bundle.thumbnail(0, -1) is None
    for row in (-1, 40):
        with pytest.raises(IndexError, match="of 40 products"):
            bundle.thumbnail(row, 0)


def test_a_flipped_byte_in_any_file_is_noticed(copy):
    for name in [*read_manifest(copy).files, "manifest.json"]:
        path = copy / name
        content = path.read_bytes()
        if not content:  # rejects.jsonl of a catalogue without bad rows
            continue
        for place in {0, len(content) // 3, len(content) - 1}:
            damaged = bytearray(content)
            damaged[place] ^= 4
            path.write_bytes(bytes(damaged))
            with pytest.raises(BundleError) as caught:
                Bundle.open(copy)
            assert name in str(caught.value)
        path.write_bytes(content)
    Bundle.open(copy).close()


def test_a_missing_or_shortened_file_is_noticed_even_without_digests(copy):
    for name in [*read_manifest(copy).files, "manifest.json"]:
        path = copy / name
        content = path.read_bytes()
        if content:
            path.write_bytes(content[:-1])
            with pytest.raises(BundleError, match=path.name):
                Bundle.open(copy, verify=False)
        path.unlink()
        with pytest.raises(BundleError, match=path.name):
            Bundle.open(copy, verify=False)
        path.write_bytes(content)


def test_links_within_a_bundle_are_refused(copy, tmp_path):
    (copy / "text.faiss").rename(tmp_path / "text.faiss")
    (copy / "text.faiss").symlink_to(tmp_path / "text.faiss")
    with pytest.raises(BundleError, match=r"text\.faiss: a symbolic link"):
        Bundle.open(copy)


def test_a_manifest_that_leads_out_is_refused(copy):
    manifest = read_manifest(copy)
    files = {**manifest.files, "../../secret": manifest.files["text.faiss"]}
    write_durably(copy / "manifest.json", manifest.model_copy(update={"files": files}).to_bytes())
    with pytest.raises(BundleError, match="leads out"):
        Bundle.open(copy)


def test_a_manifest_must_name_every_file(copy):
    manifest = read_manifest(copy)
    files = {n: f for n, f in manifest.files.items() if n != "entities.json"}
    write_durably(copy / "manifest.json", manifest.model_copy(update={"files": files}).to_bytes())
    with pytest.raises(BundleError, match=r"does not name entities\.json"):
        Bundle.open(copy)


class TestPartsThatDoNotFit:
    """Undamaged files, rightly signed, that are not of one bundle."""

    def test_fewer_products(self, copy, bundle):
        with ProductWriter(copy / "products.parquet") as writer:
            writer.write(bundle.products[:39])
        signed(copy)
        with pytest.raises(BundleError, match=r"products\.parquet: holds 39, where the manifest states 40"):
            Bundle.open(copy)

    def test_vectors_of_another_dimension(self, copy):
        np.save(copy / "vectors" / "text.npy", np.zeros((40, 47), np.float16))
        signed(copy)
        with pytest.raises(BundleError, match=r"text\.npy: holds \(40, 47\)"):
            Bundle.open(copy)

    def test_vectors_of_another_type(self, copy):
        np.save(copy / "vectors" / "text.npy", np.zeros((40, 48), np.float32))
        signed(copy)
        with pytest.raises(BundleError, match="float32, where a bundle has float16"):
            Bundle.open(copy)

    def test_no_array(self, copy):
        (copy / "thumbnails.npy").write_bytes(b"nonsense")
        signed(copy)
        with pytest.raises(BundleError, match=r"thumbnails\.npy: not a readable array"):
            Bundle.open(copy)

    def test_pickled_array(self, copy):
        np.save(copy / "thumbnails.npy", np.array([{}], object), allow_pickle=True)
        signed(copy)
        with pytest.raises(BundleError, match=r"thumbnails\.npy: not a readable array"):
            Bundle.open(copy)

    @pytest.mark.parametrize("rows", [[0, 0, 41], [-1, 0, 0], [0, 1, 0]])
    def test_pictures_of_no_product(self, copy, rows):
        np.save(
            copy / "vectors" / "image_rows.npy",
            np.sort(np.resize(np.array(rows, np.int32), 80))[:: 1 if rows != [0, 1, 0] else -1],
        )
        signed(copy)
        with pytest.raises(BundleError, match="rows out of order or out of range"):
            Bundle.open(copy)

    def test_index_of_the_other_vectors(self, copy):
        shutil.copy(copy / "image.faiss", copy / "text.faiss")
        signed(copy)
        with pytest.raises(BundleError, match=r"text\.faiss: \(80, 48\) vectors, where there are \(40, 48\)"):
            Bundle.open(copy)

    def test_no_index(self, copy):
        (copy / "text.faiss").write_bytes(b"nonsense")
        signed(copy)
        with pytest.raises(BundleError, match=r"text\.faiss: not a readable index"):
            Bundle.open(copy)

    def test_no_statistics(self, copy):
        (copy / "entities.json").write_text("{}")
        signed(copy)
        with pytest.raises(BundleError, match=r"entities\.json: not readable entity statistics"):
            Bundle.open(copy)

    def test_thumbnails_cut_short(self, copy):
        content = (copy / "thumbnails.bin").read_bytes()
        (copy / "thumbnails.bin").write_bytes(content[:-10])
        signed(copy)
        with pytest.raises(BundleError, match=r"thumbnails\.npy"):
            Bundle.open(copy)


class TestCurrent:
    def test_none(self, tmp_path):
        assert current_bundle(tmp_path) is None

    def test_a_link_to_a_bundle(self, tmp_path):
        (tmp_path / "bundles" / "b1").mkdir(parents=True)
        (tmp_path / "current").symlink_to("bundles/b1")
        assert current_bundle(tmp_path) == (tmp_path / "bundles" / "b1").resolve()

    def test_a_link_that_leads_out_or_nowhere(self, tmp_path):
        (tmp_path / "bundles").mkdir()
        (tmp_path / "elsewhere").mkdir()
        for target in ("elsewhere", "bundles/gone", "/etc"):
            (tmp_path / "current").unlink(missing_ok=True)
            (tmp_path / "current").symlink_to(target)
            with pytest.raises(BundleError, match="is no bundle of"):
                current_bundle(tmp_path)

    def test_no_link(self, tmp_path):
        (tmp_path / "current").mkdir()
        with pytest.raises(BundleError, match="not a symbolic link"):
            current_bundle(tmp_path)
