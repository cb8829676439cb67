"""Bundles in Milvus Lite: how rows to search among are said to it, and pushing, publishing and going back."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

pytest.importorskip("pymilvus", reason="the extra `milvus` is not installed")

from indexer import milvus as searching
from indexer.__main__ import main
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.milvus_client import Kind, Milvus, MilvusError, Stated
from indexer.milvus_fields import empty_fields, product_fields
from indexer.pushdown import Pushed

N, D = 300, 8


@pytest.fixture(scope="module")
def xb():
    rows = np.random.default_rng(0).standard_normal((N, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def index(support, tmp_path_factory, xb):
    return support("milvus").maker(tmp_path_factory.mktemp("milvus") / "lite.db")(xb, "exact")


@pytest.fixture
def told(monkeypatch):
    """The expressions that Milvus was told, in order."""
    said, real = [], Milvus.search

    def search(self, name, xq, limit, expression, width):
        said.append(expression)
        return real(self, name, xq, limit, expression, width)

    monkeypatch.setattr(Milvus, "search", search)
    return said


@pytest.fixture
def few_listed(monkeypatch):
    monkeypatch.setattr(searching, "MOST_LISTED", 40)


def best(xb, xq, k, among):
    scores = np.where(among, xq @ xb.T, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def masked(share, seed=1):
    return np.random.default_rng(seed).random(N) < share


class TestSaying:
    @pytest.mark.parametrize(("share", "said"), [(0.1, "row in ["), (0.95, "row not in [")])
    def test_the_shorter_list_is_said(self, index, xb, few_listed, told, share, said):
        index.search(xb[:2], 5, among=masked(share))
        assert [expression.startswith(said) for expression in told] == [True]

    def test_all_rows_need_no_words(self, index, xb, told):
        index.search(xb[:2], 5, among=np.ones(N, np.bool_))
        index.search(xb[:2], 5, among=np.zeros(N, np.bool_))
        assert told == [""]

    def test_a_filter_is_said_with_the_rows_that_differ_from_it(self, index, xb, few_listed, told):
        admitted = np.arange(N) % 2 == 0
        among = admitted.copy()
        among[[1, 4]] = True, False
        below = index.under(Pushed("product >= 0", admitted))
        found = below.search(xb[:3], 5, among=among)[1]
        assert told == ["((product >= 0) and row not in [4]) or row in [1]"]
        assert among[found[found >= 0]].all()  # whatever Milvus holds to be admitted
        below.search(xb[:3], 5, among=admitted)
        assert told[1:] == ["(product >= 0)"]

    def test_what_cannot_be_said_is_refused_here(self, index, xb, few_listed, told):
        among = masked(0.5)
        np.testing.assert_array_equal(index.search(xb[:9], 10, among=among)[1], best(xb, xb[:9], 10, among))
        assert told == [""]

    def test_where_all_near_ones_are_refused_it_is_asked_part_by_part(self, index, xb, few_listed, told):
        near = best(xb, xb[:1], 150, np.ones(N, np.bool_))[0]
        among = np.ones(N, np.bool_)
        among[near] = False
        np.testing.assert_array_equal(index.search(xb[:1], 10, among=among)[1], best(xb, xb[:1], 10, among))
        assert [expression[:8] for expression in told] == ["", *["row in ["] * 4]

    def test_more_than_milvus_returns_is_asked_part_by_part(self, index, xb, few_listed, monkeypatch):
        monkeypatch.setattr(searching, "MOST_FOUND", 50)
        for among in (np.ones(N, np.bool_), masked(0.5)):
            k = int(among.sum())
            np.testing.assert_array_equal(index.search(xb[:2], k, among=among)[1], best(xb, xb[:2], k, among))

    def test_few_queries_at_a_time_where_many_rows_are_wanted(self, index, xb, told, monkeypatch):
        monkeypatch.setattr(searching, "MOST_AT_ONCE", 20)
        np.testing.assert_array_equal(index.search(xb[:5], 10)[1], best(xb, xb[:5], 10, np.ones(N, np.bool_)))
        assert len(told) == 3


class TestRows:
    def test_are_deleted_and_written_anew(self, support, tmp_path, xb):
        index = support("milvus").maker(tmp_path / "lite.db")(xb[:50], "hnsw")
        assert index.search(xb[:3], 1)[1].tolist() == [[0], [1], [2]]
        index.delete([1, 2])
        assert not {1, 2} & set(index.search(xb[:3], 50, width=50)[1].ravel().tolist())
        index.upsert([1, 0], xb[[2, 1]], [1, 0], [empty_fields()] * 2)
        assert index.search(xb[1:3], 1)[1].tolist() == [[0], [1]]
        with pytest.raises(ValueError, match="finite"):
            index.upsert([1], np.full((1, D), np.nan), [1], [empty_fields()])

    def test_a_collection_of_something_else_is_never_searched(self, index, xb):
        client, name, stated = index._milvus, index.name, index.stated
        for other in (
            Stated("other", "text", N, D, Kind.EXACT, "none"),
            Stated("test", "text", N, D, Kind.EXACT, "another encoder"),
        ):
            with pytest.raises(MilvusError, match="where Stated"):
                searching.MilvusIndex(client, name, other).search(xb[:1], 1)
        with pytest.raises(MilvusError, match="does not hold bundle test: push it there first"):
            searching.MilvusIndex(client, "catalens_none", stated).search(xb[:1], 1)
        client._call("create_collection", "foreign", dimension=4)
        with pytest.raises(MilvusError, match="was not made by this program"):
            client.stated("foreign")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory, support, weightless, quick_builds):
    """A data folder with two bundles, of 9 products and of 10; the ids, the first one published."""
    folder, feeds = tmp_path_factory.mktemp("shops"), support("feeds")
    encoder, ids = weightless(dim=16), []
    for n in (9, 10):
        rows = feeds.products(n, pictures=1)
        rows[0]["images"] = []
        feeds.write_pictures(folder / f"feed{n}", rows)
        pq.write_table(pa.Table.from_pylist(rows), folder / f"feed{n}" / "catalogue.parquet")
        ids.append(build(encoder, BuildOptions(catalogue=folder / f"feed{n}", data_dir=folder)).path.name)
    (folder / "current").symlink_to(folder / "bundles" / ids[0])
    return folder, ids


def test_pushed_published_and_back(bundles, tmp_path):
    folder, (first, second) = bundles
    uri = str(tmp_path / "lite.db")

    def run(command, *words, expect=0):
        given = ["milvus", command, *words, "--uri", uri, "--json"]
        if command in {"push", "publish"}:
            given += ["--data-dir", str(folder)]
        answer = CliRunner().invoke(main, given)
        assert answer.exit_code == expect, answer.output
        return answer.stderr.strip() if expect else json.loads(answer.stdout)

    def led_to():
        led = {}
        for one in run("status")["collections"]:
            assert one["rows_found"] == one["rows"]
            led |= dict.fromkeys(one["aliases"], one["bundle"])
        return led

    assert run("status") == {"collections": []}
    assert run("publish", expect=1).endswith(f"does not hold bundle {first}: push it there first")
    pushed = run("push")
    assert (pushed["bundle"], pushed["rows"], pushed["published"]) == (first, 17, False)
    assert led_to() == {}
    run("publish")
    assert run("rollback", expect=1).endswith("nothing was published before")
    run("push", "--bundle", second, "--recipe", "hnsw", "--publish")
    now = {"catalens_text": second, "catalens_image": second}
    before = {"catalens_text_before": first, "catalens_image_before": first}
    assert led_to() == now | before
    run("publish", "--bundle", second)
    assert led_to() == now | before
    assert run("drop", second, expect=1).endswith(f"{second} is published")
    assert run("rollback").keys() == {"catalens_text", "catalens_image"}
    assert led_to()["catalens_text"] == first
    assert len(run("drop", second)["dropped"]) == 2
    assert led_to() == {"catalens_text": first, "catalens_image": first}
    assert run("push", "--recipe", "hnsw", expect=1).endswith("drop it first")
    assert run("push", "--again")["rows"] == 17
    assert run("drop", "none", expect=1).endswith("none is not there")


def test_what_is_kept_of_products_is_what_their_columns_hold(bundles):
    folder, (_, second) = bundles
    with Bundle.open(folder / "bundles" / second) as bundle:
        whole = product_fields(bundle.fields, 0, 10)
        assert whole == product_fields(bundle.fields, 0, 4) + product_fields(bundle.fields, 4, 10)
        for fields, product in zip(whole, bundle.products, strict=True):
            assert fields["brand"] == product.brand.casefold()
            assert (fields["price"], fields["in_stock"]) == (product.price, product.in_stock)
            assert fields["attributes"]["colour"] == [product.attributes["colour"]]
            assert "attributes.colour" in fields["stated"]
            assert "group" not in fields["stated"]
