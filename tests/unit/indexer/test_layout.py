"""Maps of a bundle: against singular values, against scikit-learn's judge of neighbours, and by hand."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer import bundle as bundles
from indexer import layout
from indexer.layout import embedding, lay_out, principal, scaled
from indexer.manifest import BundleError

manifold = pytest.importorskip("sklearn.manifold", reason="the extra ops is not installed")
COLUMNS = ("id", "title", "category", "price")


def points(made):
    return np.stack([made.columns["x"], made.columns["y"]], axis=1)


@pytest.fixture(scope="module")
def neighbourly():
    """Forty products are enough for t-SNE."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "_FEWEST", 16)
        yield


@pytest.fixture(scope="module")
def mapped(built, neighbourly):
    return lay_out(built.path, 40, "t-SNE")


def test_files_are_called_as_the_bundle_calls_them():
    named = (layout.PRODUCTS, layout.TEXTS, layout.IMAGES, layout.IMAGE_ROWS)
    spaces = (bundles.vectors_file("text"), bundles.vectors_file("image"))
    assert named == (bundles.PRODUCTS, *spaces, bundles.IMAGE_ROWS)
    assert set(named) <= set(bundles.FILES)


class TestPrincipal:
    def test_is_what_the_singular_value_decomposition_says(self):
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((300, 12)) * np.linspace(3, 0.2, 12)
        centred = vectors - vectors.mean(axis=0)
        _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
        found = principal(vectors)
        np.testing.assert_allclose(np.abs(found), np.abs(centred @ axes[:2].T), atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(found, axis=0), sizes[:2])

    def test_of_one_dimension_or_one_product_is_flat(self):
        line = np.array([[0.0], [1.0], [3.0]])
        np.testing.assert_allclose(principal(line), [[-4 / 3, 0], [-1 / 3, 0], [5 / 3, 0]])
        np.testing.assert_array_equal(principal(np.ones((1, 5))), [[0, 0]])


def test_points_are_fitted_in_without_being_distorted():
    found = scaled(np.array([[10.0, 5.0], [30.0, 5.0], [20.0, 15.0]]))
    np.testing.assert_allclose(found, [[0, 0.25], [1, 0.25], [0.5, 0.75]])
    np.testing.assert_array_equal(scaled(np.array([[7.0, 7.0], [7.0, 7.0]])), [[0.5, 0.5], [0.5, 0.5]])


class TestEmbedding:
    def test_is_text_and_pictures_each_from_the_mean_of_its_kind(self, bundle, built):
        rows = np.array([3, 0, 39, 17])
        texts = np.asarray(bundle.vectors["text"], np.float64)[rows]
        images = np.asarray(bundle.vectors["image"], np.float64)
        means = np.stack([images[bundle.image_rows == row].mean(axis=0) for row in rows])
        sums = texts - texts.mean(axis=0) + means - means.mean(axis=0)
        np.testing.assert_allclose(
            embedding(built.path, rows), sums / np.linalg.norm(sums, axis=1, keepdims=True), atol=1e-6
        )

    def test_of_a_product_without_pictures_is_its_text(self, bundle, built, tmp_path):
        folder = shutil.copytree(built.path, tmp_path / "bundle")
        owners = np.load(folder / layout.IMAGE_ROWS)
        np.save(folder / layout.IMAGE_ROWS, owners[owners != 5])
        np.save(folder / layout.IMAGES, np.load(folder / layout.IMAGES)[owners != 5])
        texts = np.asarray(bundle.vectors["text"], np.float64)
        alone = texts[5] - texts.mean(axis=0)
        np.testing.assert_allclose(embedding(folder, np.arange(40))[5], alone / np.linalg.norm(alone), atol=1e-6)


class TestLayOut:
    def test_tells_of_every_product_what_the_bundle_says(self, mapped, bundle):
        assert (mapped.method, mapped.of) == ("t-SNE", 40)
        assert sorted(mapped.columns["id"]) == sorted(product.id for product in bundle.products)
        for told in zip(*(mapped.columns[name] for name in COLUMNS), strict=True):
            product = bundle.products[bundle.products.row_of(told[0])]
            assert told == tuple(getattr(product, name) for name in COLUMNS)
        assert points(mapped).min() == 0
        assert points(mapped).max() == 1

    def test_keeps_neighbours_better_than_principal_components(self, built, neighbourly):
        rows = np.random.default_rng(0).permutation(40)
        vectors = embedding(built.path, rows)
        kept = {
            method: manifold.trustworthiness(vectors, points(lay_out(built.path, 40, method)), n_neighbors=5)
            for method in ("t-SNE", "PCA")
        }
        assert kept["t-SNE"] > max(0.85, kept["PCA"])

    def test_is_the_same_again_and_a_smaller_one_has_the_first_of_the_larger(self, built, mapped):
        assert lay_out(built.path, 40, "t-SNE") == mapped
        smaller = lay_out(built.path, 25, "PCA")
        assert (smaller.of, len(smaller.columns["x"])) == (40, 25)
        assert smaller.columns["id"] == mapped.columns["id"][:25]
        assert smaller.columns["price"] == mapped.columns["price"][:25]
        assert lay_out(built.path, 25, "PCA", seed=1).columns["id"] != smaller.columns["id"]

    def test_of_few_products_is_principal_components(self, built, neighbourly):
        assert lay_out(built.path, 15, "t-SNE") == lay_out(built.path, 15, "PCA")
        one = lay_out(built.path, 1, "t-SNE")
        assert (one.columns["x"], one.columns["y"]) == ([0.5], [0.5])

    def test_reads_row_groups_apart(self, built, mapped, tmp_path):
        folder = shutil.copytree(built.path, tmp_path / "bundle")
        table = pq.read_table(folder / layout.PRODUCTS)
        pq.write_table(table, folder / layout.PRODUCTS, row_group_size=7)
        assert lay_out(folder, 40, "PCA").columns["title"] == mapped.columns["title"]
        at = table.schema.get_field_index("price")
        pq.write_table(table.set_column(at, "price", pa.nulls(40, pa.float64())), folder / layout.PRODUCTS)
        assert lay_out(folder, 40, "PCA").columns["price"] == [None] * 40
        pq.write_table(table.drop_columns(["title"]), folder / layout.PRODUCTS)
        with pytest.raises(BundleError, match="title"):
            lay_out(folder, 40, "PCA")
        pq.write_table(pa.concat_tables([table, table]), folder / layout.PRODUCTS)
        with pytest.raises(BundleError, match="out of bounds"):
            lay_out(folder, 80, "PCA")

    @pytest.mark.parametrize("name", [layout.PRODUCTS, layout.TEXTS, layout.IMAGES, layout.IMAGE_ROWS])
    @pytest.mark.parametrize("harm", ["missing", "noise", "short"])
    def test_says_what_is_wrong_with_a_damaged_bundle(self, built, tmp_path, name, harm):
        folder = shutil.copytree(built.path, tmp_path / "bundle")
        content = (folder / name).read_bytes()
        if harm == "missing":
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(b"noise" * 40 if harm == "noise" else content[: len(content) // 2])
        with pytest.raises(BundleError, match="bundle"):
            lay_out(folder, 40, "PCA")


def test_the_command_prints_a_map_without_loading_a_model(built):
    asked = "import sys, indexer.layout_cli as cli; cli.main(standalone_mode=False); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", asked, str(built.path), "--most", "30", "--method", "PCA"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["columns"] == lay_out(built.path, 30, "PCA").columns
