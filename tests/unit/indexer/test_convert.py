import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from indexer.catalogue import CatalogueError, CatalogueOptions, read_catalogue
from indexer.convert import Converted, PictureTable, convert
from indexer.rejects import BadRowLimit, BuildError


def jpeg(colour):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "JPEG")
    return out.getvalue()


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def feed(tmp_path):
    rows = [
        {"sku": "1", "title": "Ember shirt", "kind": "Shirt", "price": "12.5", "fit": "slim"},
        {"sku": "2", "title": "Ember coat", "kind": "Coat", "price": "99", "fit": "wide"},
        {"sku": "3", "title": "Ember hat", "kind": "Hat", "price": "cheap", "fit": ""},
    ]
    return write_csv(tmp_path / "feed.csv", rows)


OPTIONS = CatalogueOptions(mapping={"id": "sku", "category": "kind"})
ANY = BadRowLimit(rows=None)


@pytest.fixture
def pictures(tmp_path):
    path = tmp_path / "pictures.parquet"
    pq.write_table(pa.table({"id": ["2", "9"], "jpg": [jpeg("red"), jpeg("blue")]}), path)
    return PictureTable(path, "jpg")


def test_the_converted_feed_reads_back_as_the_same_products(feed, tmp_path):
    out = tmp_path / "made" / "catalogue.parquet"
    assert convert(feed, out, OPTIONS, limit=ANY) == Converted(products=2, with_pictures=0, rejected=1)
    before = [row.product for row in read_catalogue(feed, OPTIONS) if hasattr(row, "product")]
    after = [row.product for row in read_catalogue(out)]
    assert after == before
    assert [p.category for p in after] == ["Shirt", "Coat"]


def test_pictures_of_a_table_are_joined_by_id(feed, pictures, tmp_path):
    out = tmp_path / "catalogue.parquet"
    counts = convert(feed, out, OPTIONS, pictures=pictures, limit=ANY)
    assert (counts.products, counts.with_pictures) == (2, 1)
    bare, pictured = read_catalogue(out)
    assert bare.images == ()
    assert pictured.images[0].content == jpeg("red")


def test_only_with_pictures_leaves_the_others_out(feed, pictures, tmp_path):
    out = tmp_path / "catalogue.parquet"
    assert convert(feed, out, OPTIONS, pictures=pictures, only_with_pictures=True, limit=ANY).products == 1
    assert [row.product.id for row in read_catalogue(out)] == ["2"]


def test_pictures_by_path_become_bytes_and_urls_stay(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg("green"))
    rows = [
        {"id": "1", "title": "by path", "images": "a.jpg"},
        {"id": "2", "title": "by url", "images": "https://shop.example/b.jpg"},
    ]
    out = tmp_path / "elsewhere" / "catalogue.parquet"
    convert(write_csv(tmp_path / "feed.csv", rows), out, CatalogueOptions())
    by_path, by_url = read_catalogue(out)
    assert by_path.images[0].content == jpeg("green")
    assert by_url.images[0].reference == "https://shop.example/b.jpg"


def test_a_column_of_several_types_becomes_text(tmp_path):
    feed = tmp_path / "feed.jsonl"
    feed.write_text(
        '{"id": "1", "title": "a", "size": 38.5}\n{"id": "2", "title": "b", "size": "XL"}\n'
        '{"id": "3", "title": "c", "size": true}\n{"id": "4", "title": "d", "size": ["S", "M"]}\n'
    )
    out = tmp_path / "catalogue.parquet"
    convert(feed, out, CatalogueOptions())
    assert [row.product.attributes["size"] for row in read_catalogue(out)] == ["38.5", "XL", "True", "S, M"]


def test_too_many_bad_rows_write_nothing_and_name_the_row(feed, tmp_path):
    out = tmp_path / "out" / "catalogue.parquet"
    seen = []
    with pytest.raises(BuildError, match=r"1 bad row, 0 allowed.*price"):
        convert(feed, out, OPTIONS, on_reject=seen.append)
    assert [row.field for row in seen] == ["price"]
    assert list(out.parent.iterdir()) == []


def test_too_large_a_share_of_bad_rows_is_refused_at_the_end(feed, tmp_path):
    with pytest.raises(BuildError, match="1 of 3 rows are bad"):
        convert(feed, tmp_path / "catalogue.parquet", OPTIONS, limit=BadRowLimit.parse("10%"))


@pytest.mark.parametrize("column", ["png", "id2"])
def test_a_missing_picture_column_is_named(feed, pictures, tmp_path, column):
    with pytest.raises(CatalogueError, match=column):
        convert(feed, tmp_path / "out.parquet", OPTIONS, pictures=PictureTable(pictures.path, column), limit=ANY)


def test_a_picture_table_that_is_none_is_one_clear_line(feed, tmp_path):
    with pytest.raises(CatalogueError, match=r"feed\.csv"):
        convert(feed, tmp_path / "out.parquet", OPTIONS, pictures=PictureTable(feed, "jpg"), limit=ANY)


def test_a_product_mixing_urls_and_files_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg("green"))
    feed = tmp_path / "feed.jsonl"
    feed.write_text('{"id": "1", "title": "a", "images": ["a.jpg", "https://shop.example/b.jpg"]}\n')
    with pytest.raises(CatalogueError, match="row 1"):
        convert(feed, tmp_path / "out.parquet", CatalogueOptions())
