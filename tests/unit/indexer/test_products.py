import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.manifest import BundleError
from indexer.products import SCHEMA, ProductTable, ProductWriter
from models.product import Product

FULL = Product(
    id="p\u00e91",
    title="Red dress",
    description="A dress.",
    brand="Ruby",
    category="dress",
    season="summer",
    composition="silk",
    price=12.5,
    currency="EUR",
    in_stock=True,
    url="https://shop.example/1",
    group="g1",
    images=("a.jpg", "b.jpg"),
    attributes={"colour": "red", "sizes": ("S", "M"), "new": True, "width": 2.5},
)
BARE = Product(id="p2", title="Mug")


def table(tmp_path, products):
    with ProductWriter(tmp_path / "products.parquet") as writer:
        writer.write(products)
    return ProductTable.open(tmp_path / "products.parquet")


def test_products_come_back_as_they_were(tmp_path):
    rows = table(tmp_path, [FULL, BARE])
    assert list(rows) == [FULL, BARE]
    assert rows[0].attributes == FULL.attributes
    assert isinstance(rows[0].images, tuple)
    assert rows[-1] == BARE
    assert rows[0:1] == [FULL]
    assert len(rows) == 2
    for row in (2, -3):
        with pytest.raises(IndexError, match="of 2 products"):
            rows[row]


def test_ids(tmp_path):
    rows = table(tmp_path, [FULL, BARE, Product(id="A", title="t"), Product(id="\U0001f600", title="t")])
    for row, product in enumerate(rows):
        assert rows.row_of(product.id) == row
        assert rows.id_of(row) == product.id
    for unknown in ("", "p", "p3", "\U0001f601"):
        assert rows.row_of(unknown) is None


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(
    ids=st.sets(
        st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8), min_size=1
    )
)
def test_every_id_is_found_whatever_its_letters(tmp_path, ids):
    stripped = sorted({i.strip() for i in ids} - {""})
    rows = table(tmp_path, [Product(id=i, title="t") for i in stripped])
    assert [rows.row_of(i) for i in stripped] == list(range(len(stripped)))


def test_several_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("indexer.products.ROW_GROUP", 100)
    products = [Product(id=f"p{i}", title=f"t{i}", brand=f"b{i}", images=(f"{i}.jpg",)) for i in range(257)]
    rows = table(tmp_path, products)
    assert pq.ParquetFile(tmp_path / "products.parquet").num_row_groups == 3
    assert list(rows) == products
    assert rows.row_of("p256") == 256


def test_none_at_all(tmp_path):
    rows = table(tmp_path, [])
    assert (len(rows), list(rows), rows.row_of("p")) == (0, [], None)


def test_damaged_and_other_tables(tmp_path):
    path = tmp_path / "products.parquet"
    with pytest.raises(BundleError, match=r"products\.parquet: not a readable"):
        ProductTable.open(path)
    path.write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(BundleError, match=r"products\.parquet: not a readable"):
        ProductTable.open(path)
    pq.write_table(pa.table({"id": ["p1"]}), path)
    with pytest.raises(BundleError, match="columns"):
        ProductTable.open(path)


def test_the_same_products_give_the_same_bytes(tmp_path):
    table(tmp_path, [FULL, BARE])
    first = (tmp_path / "products.parquet").read_bytes()
    table(tmp_path, [FULL, BARE])
    assert (tmp_path / "products.parquet").read_bytes() == first


def test_a_row_is_read_in_microseconds(tmp_path):
    rows = table(tmp_path, [FULL.model_copy(update={"id": f"p{i}"}) for i in range(2000)])
    times = []
    for row in np.random.default_rng(0).integers(0, 2000, 300).tolist():
        start = time.perf_counter()
        rows[row]
        times.append(time.perf_counter() - start)
    assert np.median(times) < 500e-6  # 30 us on a quiet core


def test_schema_names_every_field_of_a_product():
    assert set(SCHEMA.names) == set(Product.model_fields)
