"""Folders of Hugging Face data sets: Parquet shards with pictures in them, and pictures beside a metadata file."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.catalogue import BytesImage, CatalogueError, CatalogueOptions, PathImage, RejectedRow, read_catalogue
from indexer.catalogue_formats import FeedFormat
from indexer.catalogue_open import find_feed, open_feed

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {
    "articleType": {"names": ["dress", "mug"], "_type": "ClassLabel"},
    "image": {"_type": "Image"},
    "name": {"dtype": "string", "_type": "Value"},
}
MAPPING = {"title": "name", "category": "articleType"}


def shard(path, first, n, *, label=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {
        "id": pa.array(range(first, first + n), pa.int64()),
        "name": [f"Product {i}" for i in range(first, first + n)],
        "articleType": pa.array([label] * n, pa.int64()),
        "image": pa.array([{"bytes": b"jpeg %d" % i, "path": f"{i}.jpg"} for i in range(first, first + n)], IMAGE),
    }
    table = pa.table(rows)
    note = json.dumps({"info": {"features": FEATURES}})
    pq.write_table(table.replace_schema_metadata({"huggingface": note}), path)


def read(path, **options):
    return list(read_catalogue(path, CatalogueOptions(**options)))


def test_shards_in_order_with_their_splits(tmp_path):
    shard(tmp_path / "data" / "train-00001-of-00002.parquet", 2, 2, label=1)
    shard(tmp_path / "data" / "train-00000-of-00002.parquet", 0, 2)
    shard(tmp_path / "data" / "validation-00000-of-00001.parquet", 4, 1, label=-1)
    shard(tmp_path / ".cache" / "train-00000-of-00001.parquet", 9, 1)
    (tmp_path / "README.md").write_text("# a data set")
    assert find_feed(tmp_path) == tmp_path
    assert open_feed(tmp_path).format is FeedFormat.DATASETS
    rows = read(tmp_path, mapping=MAPPING)
    assert [(r.row, r.product.id, r.product.category, r.product.attributes["split"]) for r in rows] == [
        (1, "0", "dress", "train"),
        (2, "1", "dress", "train"),
        (3, "2", "mug", "train"),
        (4, "3", "mug", "train"),
        (5, "4", None, "val"),
    ]
    assert [[image.content for image in r.images] for r in rows] == [[b"jpeg %d" % i] for i in range(5)]
    assert isinstance(rows[0].images[0], BytesImage)
    assert rows[0].product.images[0].startswith("sha256:")


def test_one_file_reads_alike_and_any_column_may_hold_the_pictures(tmp_path):
    path = tmp_path / "some.parquet"
    shard(path, 0, 1)
    (row,) = read(path, mapping=MAPPING)
    assert (row.product.category, row.images[0].content) == ("dress", b"jpeg 0")
    photos = pa.array([[{"bytes": b"one", "path": None}, {"bytes": b"two", "path": None}]], pa.list_(IMAGE))
    pq.write_table(pa.table({"id": ["a"], "title": ["A"], "photos": photos}), path)
    (row,) = read(path, mapping={"images": "photos"})
    assert [image.content for image in row.images] == [b"one", b"two"]


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_pictures_beside_their_metadata(tmp_path, name):
    for split, names in (("train", ("a.jpg", "sub/b.jpg")), ("test", ("c.jpg",))):
        folder = tmp_path / split
        for picture in names:
            (folder / picture).parent.mkdir(parents=True, exist_ok=True)
            (folder / picture).write_bytes(b"jpeg")
        rows = [{"file_name": picture, "title": f"Picture {picture}"} for picture in (*names, "gone.jpg")]
        lines = (
            [json.dumps(row) for row in rows]
            if name.endswith("jsonl")
            else ["file_name,title", *(",".join(row.values()) for row in rows)]
        )
        (folder / name).write_text("\n".join(lines))
    rows = read(tmp_path)
    good = [r for r in rows if not isinstance(r, RejectedRow)]
    assert [(r.row, r.product.id, r.product.title, r.product.attributes["split"]) for r in good] == [
        (1, "test/c.jpg", "Picture c.jpg", "test"),
        (3, "train/a.jpg", "Picture a.jpg", "train"),
        (4, "train/sub/b.jpg", "Picture sub/b.jpg", "train"),
    ]
    assert good[0].images == (PathImage("test/c.jpg", tmp_path.resolve() / "test" / "c.jpg"),)
    assert [(r.row, r.field, r.reason) for r in rows if isinstance(r, RejectedRow)] == [
        (2, "images", "no such file: test/gone.jpg"),
        (5, "images", "no such file: train/gone.jpg"),
    ]


def test_a_shard_that_breaks_off(tmp_path):
    shard(tmp_path / "train-00000-of-00002.parquet", 0, 2)
    (tmp_path / "train-00001-of-00002.parquet").write_bytes(b"PAR1 and no more")
    reading = read_catalogue(tmp_path, CatalogueOptions(mapping=MAPPING))
    assert [next(reading).row, next(reading).row] == [1, 2]
    with pytest.raises(CatalogueError, match=r"train-00001-of-00002\.parquet: not a readable Parquet file"):
        next(reading)


def test_columns_are_checked_at_once(tmp_path):
    shard(tmp_path / "train.parquet", 0, 1)
    with pytest.raises(CatalogueError, match="no column 'nome'; its columns: 'id', 'name'"):
        read_catalogue(tmp_path, CatalogueOptions(mapping={"title": "nome"}))
