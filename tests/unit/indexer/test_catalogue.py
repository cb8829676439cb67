import base64
import csv
import gzip
import hashlib
import io
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.catalogue import (
    BytesImage,
    CatalogueError,
    CatalogueOptions,
    CatalogueRow,
    PathImage,
    RejectedRow,
    UrlImage,
    find_feed,
    read_catalogue,
)
from indexer.catalogue_formats import feed_length

GOOD = {"id": "p1", "title": "Red dress", "price": 12.9}


def read(path: Path, **options) -> list[CatalogueRow | RejectedRow]:
    return list(read_catalogue(path, CatalogueOptions(**options)))


def jsonl(folder: Path, *rows: object) -> Path:
    path = folder / "feed.jsonl"
    path.write_bytes(b"".join(r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in rows))
    return path


def text(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet(folder: Path, rows: list[dict[str, object]], schema: pa.Schema | None = None) -> Path:
    path = folder / "feed.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def shape(rows) -> list[tuple[object, ...]]:
    return [(r.row, r.field, r.reason) if isinstance(r, RejectedRow) else (r.row, r.product.id) for r in rows]


class TestRowsThatAreRefused:
    """Each with its number, its field and a reason; the good rows around it are read."""

    @pytest.mark.parametrize(
        ("bad", "field", "reason"),
        [
            ({"id": "x", "title": "t", "price": "free"}, "price", "not a price: 'free'"),
            ({"id": "x", "title": "t", "price": -3}, "price", "negative: -3"),
            ({"id": "x", "title": "t", "price": True}, "price", "not a price: True"),
            ({"id": "x"}, "title", "missing"),
            ({"id": "x", "title": "  "}, "title", "missing"),
            ({"title": "t"}, "id", "missing"),
            ({"id": "p1", "title": "again"}, "id", "used by an earlier row"),
            ({"id": "x" * 257, "title": "t"}, "id", "string should have at most 256 characters"),
            ({"id": "x", "title": "a\0b"}, "title", "holds a NUL byte"),
            (
                {"id": "x", "title": "t", "in_stock": "perhaps"},
                "in_stock",
                "neither in stock nor out of stock: 'perhaps'",
            ),
            ({"id": "x", "title": "t", "images": ["nowhere.jpg"]}, "images", "no such file: nowhere.jpg"),
            ({"id": "x", "title": "t", "images": ["a\0b"]}, "images", "holds a NUL byte"),
            (
                {"id": "x", "title": "t", "images": ["../secret.jpg"]},
                "images",
                "leads out of the feed's folder: ../secret.jpg",
            ),
            (
                {"id": "x", "title": "t", "images": ["/etc/passwd"]},
                "images",
                "leads out of the feed's folder: /etc/passwd",
            ),
            (
                {"id": "x", "title": "t", "images": ["ftp://x/a.jpg"]},
                "images",
                "only http and https URLs are fetched: ftp://x/a.jpg",
            ),
            ({"id": "x", "title": "t", "images": 5}, "images", "not a list of pictures: 5"),
            (
                {"id": "x", "title": "t", "images": ["data:image/png,abc"]},
                "images",
                "a data URI must be base64: data:image/png,abc",
            ),
            ({"id": "x", "title": "t", "image_bytes": "%%%"}, "image_bytes", "not valid base64"),
            ({"id": "x", "title": "t", "image_bytes": 5}, "image_bytes", "neither bytes nor base64 text: int"),
            ({"id": "x", "title": "t", "specs": {"a": {"b": 1}}}, "attributes.specs", None),
            ({"id": "x", "title": "t", "currency": "EURO"}, "currency", None),
            (["a list"], "", "not a JSON object"),
            (b'{"id": "x", "title": \n', "", None),
            (b'{"id": "x", "title": NaN}\n', "", None),
            (b'{"id": "x", "title": "\xff\xfe"}\n', "", None),
            (b"\0\0\0\n", "", None),
        ],
    )
    def test_in_json_lines(self, tmp_path, bad, field, reason):
        rows = read(jsonl(tmp_path, GOOD, bad, {"id": "p2", "title": "Blue dress"}))
        assert [type(r) for r in rows] == [CatalogueRow, RejectedRow, CatalogueRow]
        rejected = rows[1]
        assert (rejected.row, rejected.line, rejected.field) == (2, 2, field)
        assert rejected.reason == reason or (reason is None and rejected.reason)
        assert "\n" not in str(rejected)

    @pytest.mark.parametrize(
        ("line", "field", "reason"),
        [
            ("x,t\n", "", "2 columns, where the first line names 3"),
            ("x,t,5,6\n", "", "4 columns, where the first line names 3"),
            (b"x,caf\xe9,5\n", "title", "not valid UTF-8"),
            ("x,a\0b,5\n", "title", "holds a NUL byte"),
            ('x,"never closed,5\n', "", "quotation mark not closed"),
            ('x,"closed" too early,5\n', "", "',' expected after '\"'"),
            ("x,t,nan\n", "price", "not a price: 'nan'"),
            (",t,5\n", "id", "missing"),
        ],
    )
    def test_in_csv(self, tmp_path, line, field, reason):
        content = b"id,title,price\np1,Red dress,1\n" + (line if isinstance(line, bytes) else line.encode())
        rows = read(text(tmp_path, "feed.csv", content + b"p2,Blue dress,2\np3,Green dress,3\n"))
        assert shape(rows) == [(1, "p1"), (2, field, reason), (3, "p2"), (4, "p3")]
        assert rows[1].line == 3

    def test_in_parquet(self, tmp_path):
        broken = pa.array([b"Red", b"caf\xe9", b"Blue"], pa.binary()).view(pa.string())
        table = pa.table({"id": ["p1", "p2", "p3"], "title": broken, "price": [1.0, 2.0, float("nan")]})
        pq.write_table(table, tmp_path / "feed.parquet")
        rows = read(tmp_path / "feed.parquet")
        assert shape(rows) == [
            (1, "p1"),
            (2, "title", "not valid UTF-8"),
            (3, "price", "not a finite number: nan"),
        ]
        assert rows[1].id == "p2"

    def test_parquet_dates_that_python_cannot_hold(self, tmp_path):
        moment = pa.array([2**55], pa.timestamp("ms"))
        pq.write_table(pa.table({"id": ["p1"], "title": ["t"], "since": moment}), tmp_path / "f.parquet")
        (row,) = read(tmp_path / "f.parquet")
        assert (row.row, row.field) == (1, "since")

    def test_the_message_names_row_line_id_and_field(self):
        assert str(RejectedRow(7, "price", "negative", "p9", 12)) == "row 7 (line 12) [p9]: price: negative"
        assert str(RejectedRow(7, "", "not a JSON object")) == "row 7: not a JSON object"


class TestFilesThatAreNoCatalogue:
    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("feed.csv", b"", "is empty"),
            ("feed.csv", b"name,cost\nA,1\n", "no column 'id', 'title'; its columns: 'name', 'cost'"),
            ("feed.csv", b"\xff\xd8\xff\xe0 jpeg", "not UTF-8"),
            ("feed.csv", b"id,title,id\n", "repeats 'id'"),
            ("feed.csv", b"id,title,\0\n", "NUL"),
            ("feed.csv", b'id,"title\n', "no list of column names"),
            ("feed.csv", "id,title\n".encode("utf-16"), "UTF-16"),
            ("feed.parquet", b"id,title\n", "not a readable Parquet"),
            ("feed.bin", b"PAR1 but no more", "not a readable Parquet"),
            ("feed.json", b"17", "is no catalogue"),
            ("feed", b"\x89PNG\r\n\x1a\n\0\0", "is no catalogue"),
            ("feed", b"just words", "is no catalogue"),
            ("feed.csv.gz", b"\x1f\x8b\x08\0broken", "breaks off"),
        ],
    )
    def test_is_said_at_once(self, tmp_path, name, content, said):
        path = text(tmp_path, name, content)
        with pytest.raises(CatalogueError, match=said) as caught:
            read_catalogue(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_missing_file(self, tmp_path):
        with pytest.raises(CatalogueError, match="cannot be read: No such file"):
            read_catalogue(tmp_path / "nowhere.csv")

    def test_xml_without_products(self, tmp_path):
        with pytest.raises(CatalogueError, match="without <item>"):
            read(text(tmp_path, "feed.xml", "<html><body>shop</body></html>"))

    def test_a_folder_holds_exactly_one(self, tmp_path):
        with pytest.raises(CatalogueError, match="holds none"):
            find_feed(tmp_path)
        first = text(tmp_path, "catalogue.csv", "id,title\np1,t\n")
        assert find_feed(tmp_path) == first
        assert shape(read(tmp_path)) == [(1, "p1")]
        text(tmp_path, "catalogue.jsonl", "{}")
        with pytest.raises(CatalogueError, match=r"catalogue.jsonl, catalogue.csv"):
            find_feed(tmp_path)

    def test_mapping_to_unknown_fields_and_columns(self, tmp_path):
        path = text(tmp_path, "feed.csv", "id,title\np1,t\n")
        with pytest.raises(CatalogueError, match="no product field is called colour"):
            read(path, mapping={"colour": "c"})
        with pytest.raises(CatalogueError, match="no column 'name'"):
            read(path, mapping={"title": "name"})


class TestFilesThatBreakOff:
    def test_gzip(self, tmp_path):
        rows = "".join(f"p{i},title {i * 7919 % 1013}\n" for i in range(5000))
        packed = gzip.compress(("id,title\n" + rows).encode())
        path = text(tmp_path, "feed.csv.gz", packed[: len(packed) // 2])
        with pytest.raises(CatalogueError, match="breaks off"):
            read(path)

    def test_parquet_page(self, tmp_path):
        rows = [{"id": f"p{i}", "title": f"title {i}"} for i in range(2000)]
        path = tmp_path / "feed.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1000, compression="zstd")
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
        path.write_bytes(bytes(content))
        with pytest.raises(CatalogueError, match=r"breaks off behind row \d+"):
            read(path)

    def test_xml(self, tmp_path):
        item = "<item><id>p1</id><title>t</title></item>"
        path = text(tmp_path, "feed.xml", f"<rss><channel>{item}<item><id>p2</id>")
        rows = read_catalogue(path)
        assert next(rows).product.id == "p1"
        with pytest.raises(CatalogueError, match="behind product 1"):
            next(rows)

    @pytest.mark.parametrize(
        "bomb",
        [
            '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><rss><item><id>&b;</id></item></rss>',
            '<!DOCTYPE r SYSTEM "file:///etc/passwd"><rss><item><id>1</id></item></rss>',
        ],
    )
    def test_xml_with_entities_is_refused(self, tmp_path, bomb):
        with pytest.raises(CatalogueError, match="not well-formed"):
            read(text(tmp_path, "feed.xml", bomb))


class TestFormats:
    def test_csv_dialects(self, tmp_path):
        for delimiter in ",;\t|":
            lines = [["id", "title", "images"], ["p1", f"A {delimiter} B\nC", ""]]
            buffer = io.StringIO()
            csv.writer(buffer, delimiter=delimiter).writerows(lines)
            (row,) = read(text(tmp_path, "feed.csv", "\ufeff" + buffer.getvalue()))
            shown = " ".join(f"A {delimiter} B C".split())
            assert (row.product.id, row.product.title) == ("p1", shown)

    def test_tsv_written_without_quoting(self, tmp_path):
        (row,) = read(text(tmp_path, "feed.tsv", 'id\ttitle\np1\t"Relaxed" tee\n'))
        assert row.product.title == '"Relaxed" tee'

    def test_inches_in_an_unquoted_field(self, tmp_path):
        (row,) = read(text(tmp_path, "feed.csv", 'id,title\np1,12" pan\n'))
        assert row.product.title == '12" pan'

    def test_quotation_mark_never_closed_costs_one_row(self, tmp_path):
        lines = "".join(f"p{i},title {i}\n" for i in range(3000))
        rows = read(text(tmp_path, "feed.csv", 'id,title\n"bad,row\n' + lines))
        assert [r.row for r in rows if isinstance(r, RejectedRow)] == [1]
        assert len(rows) == 3001

    def test_blank_lines_count_as_lines_but_not_as_rows(self, tmp_path):
        rows = read(text(tmp_path, "feed.csv", "id,title\np1,t\n\n\np2,\n"))
        assert shape(rows) == [(1, "p1"), (2, "title", "missing")]
        assert rows[1].line == 5
        rows = read(jsonl(tmp_path, GOOD, b"\n", b"  \n", {"id": "p2"}))
        assert (rows[1].row, rows[1].line) == (2, 4)

    def test_line_longer_than_allowed(self, tmp_path, monkeypatch):
        monkeypatch.setattr("indexer.catalogue_formats.MAX_LINE_BYTES", 64)
        long = json.dumps({"id": "x", "title": "a" * 300}).encode() + b"\n"
        rows = read(jsonl(tmp_path, GOOD, long, {"id": "p2", "title": "t"}))
        assert shape(rows) == [(1, "p1"), (2, "", "longer than 64 bytes"), (3, "p2")]
        rows = read(text(tmp_path, "feed.csv", b"id,title\np1,t\nx," + b"a" * 300 + b"\np2,t\n"))
        assert shape(rows) == [(1, "p1"), (2, "", "longer than 64 bytes"), (3, "p2")]

    @pytest.mark.parametrize("name", ["feed.jsonl.gz", "feed.gz"])
    def test_gzip(self, tmp_path, name):
        path = text(tmp_path, name, gzip.compress(json.dumps(GOOD).encode()))
        assert shape(read(path)) == [(1, "p1")]

    def test_formats_are_told_from_content_where_the_name_says_nothing(self, tmp_path):
        assert shape(read(text(tmp_path, "a", json.dumps(GOOD)))) == [(1, "p1")]
        assert shape(read(text(tmp_path, "b", "id\ttitle\np1\tt\n"))) == [(1, "p1")]
        assert shape(read(text(tmp_path, "c", "<rss><item><id>p1</id><title>t</title></item></rss>"))) == [(1, "p1")]
        path = parquet(tmp_path, [GOOD])
        assert shape(read(path.rename(tmp_path / "d"))) == [(1, "p1")]

    def test_parquet_types_and_attributes(self, tmp_path):
        schema = pa.schema(
            [
                ("id", pa.int64()),
                ("title", pa.string()),
                ("price", pa.decimal128(8, 2)),
                ("sizes", pa.list_(pa.string())),
                ("waterproof", pa.bool_()),
                ("since", pa.date32()),
                ("split", pa.dictionary(pa.int8(), pa.string())),
            ]
        )
        rows = [
            {
                "id": 7,
                "title": "t",
                "price": Decimal("12.90"),
                "sizes": ["S", "M"],
                "waterproof": True,
                "since": 0,
                "split": "test",
            }
        ]
        (row,) = read(parquet(tmp_path, rows, schema))
        assert row.product.id == "7"
        assert row.product.price == 12.9
        assert dict(row.product.attributes) == {
            "sizes": ("S", "M"),
            "waterproof": True,
            "since": "1970-01-01",
            "split": "test",
        }
        assert feed_length(tmp_path / "feed.parquet") == 1
        assert feed_length(jsonl(tmp_path, GOOD)) is None

    def test_mapping_and_ignored_columns(self, tmp_path):
        path = text(tmp_path, "feed.csv", "sku,name,title,junk\n1,Red dress,Fr\u00e4ulein,x\n")
        (row,) = read(path, mapping={"id": "sku", "title": "name"}, ignore=frozenset({"junk"}))
        assert (row.product.id, row.product.title, dict(row.product.attributes)) == ("1", "Red dress", {})

    def test_merchant_tsv(self, tmp_path):
        header = "id\ttitle\timage link\tadditional image link\tprice\tavailability\titem group id\tcolor\tproduct type"
        pictures = "https://x/1.jpg\thttps://x/2.jpg,https://x/3.jpg"
        line = f"1\tTee\t{pictures}\t12.90 EUR\tin stock\tg1\tred\tClothes > Tops > Tee"
        (row,) = read(text(tmp_path, "feed.txt", f"{header}\n{line}\n"))
        product = row.product
        assert product.images == ("https://x/1.jpg", "https://x/2.jpg", "https://x/3.jpg")
        assert (product.price, product.currency, product.in_stock, product.group) == (12.9, "EUR", True, "g1")
        assert product.category == "Tee"
        assert product.attributes["color"] == "red"
        assert row.images == tuple(UrlImage(url) for url in product.images)

    def test_merchant_json_lines(self, tmp_path):
        (row,) = read(jsonl(tmp_path, {"id": 1, "title": "t", "image_link": "https://x/1.jpg", "material": "wool"}))
        assert (row.product.id, row.product.composition) == ("1", "wool")

    @pytest.mark.parametrize("style", ["rss", "atom"])
    def test_merchant_xml(self, tmp_path, style):
        fields = """<g:id>p1</g:id><title>plain</title><g:title>Caf\u00e9 &amp; Tee</g:title>
            <g:image_link>https://x/1.jpg</g:image_link>
            <g:additional_image_link>https://x/2.jpg</g:additional_image_link>
            <g:additional_image_link>https://x/3.jpg</g:additional_image_link>
            <g:price>1.299,00 EUR</g:price><g:availability>out_of_stock</g:availability>
            <g:shipping><g:country>DE</g:country></g:shipping><g:size>S</g:size><g:size>M</g:size>"""
        ns = 'xmlns:g="http://base.google.com/ns/1.0"'
        if style == "rss":
            body = (
                f"<rss {ns}><channel><title>Shop</title><item>{fields}<link>https://s/1</link></item></channel></rss>"
            )
        else:
            body = f'<feed xmlns="http://www.w3.org/2005/Atom" {ns}><entry>{fields}<link href="https://s/1"/></entry></feed>'
        (row,) = read(text(tmp_path, "feed.xml", body))
        product = row.product
        assert (product.id, product.title, product.url) == ("p1", "Caf\u00e9 & Tee", "https://s/1")
        assert (product.price, product.currency, product.in_stock) == (1299.0, "EUR", False)
        assert product.images == ("https://x/1.jpg", "https://x/2.jpg", "https://x/3.jpg")
        assert dict(product.attributes) == {"size": ("S", "M")}


class TestPictures:
    def test_paths_are_relative_to_the_feed(self, tmp_path):
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "a.jpg").write_bytes(b"x")
        (row,) = read(jsonl(tmp_path, {**GOOD, "images": ["images/a.jpg"]}))
        assert row.images == (PathImage("images/a.jpg", tmp_path / "images" / "a.jpg"),)

    def test_symlink_out_of_the_folder(self, tmp_path):
        (tmp_path / "secret.jpg").write_bytes(b"x")
        feed = tmp_path / "feed"
        feed.mkdir()
        (feed / "a.jpg").symlink_to(tmp_path / "secret.jpg")
        path = jsonl(feed, {**GOOD, "images": ["a.jpg"]})
        assert read(path)[0].reason == "leads out of the feed's folder: a.jpg"
        assert isinstance(read(path, allow_outside=True)[0], CatalogueRow)

    def test_another_root(self, tmp_path):
        pictures = tmp_path / "pictures"
        pictures.mkdir()
        (pictures / "a.jpg").write_bytes(b"x")
        feed = tmp_path / "feed"
        feed.mkdir()
        (row,) = read(jsonl(feed, {**GOOD, "images": ["a.jpg"]}), image_root=pictures)
        assert row.images[0].path == pictures / "a.jpg"

    def test_names_too_long_are_missing_files(self, tmp_path):
        (row,) = read(jsonl(tmp_path, {**GOOD, "images": ["a" * 5000]}))
        assert row.reason.startswith("no such file")

    def test_keep_without_images_drops_the_missing_one(self, tmp_path):
        (tmp_path / "a.jpg").write_bytes(b"x")
        path = jsonl(tmp_path, {**GOOD, "images": ["gone.jpg", "a.jpg"]})
        (row,) = read(path, keep_without_images=True)
        assert row.product.images == ("a.jpg",)

    def test_bytes(self, tmp_path):
        content = b"\xff\xd8 some bytes"
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        schema = pa.schema([("id", pa.string()), ("title", pa.string()), ("image_bytes", pa.list_(pa.binary()))])
        (row,) = read(parquet(tmp_path, [{"id": "p1", "title": "t", "image_bytes": [content]}], schema))
        assert row.images == (BytesImage(digest, content),)
        assert row.product.images == (digest,)
        encoded = base64.b64encode(content).decode()
        for cell in (encoded, f"data:image/jpeg;base64,{encoded}"):
            (row,) = read(jsonl(tmp_path, {**GOOD, "image_bytes": cell}))
            assert row.images == (BytesImage(digest, content),)
        (row,) = read(jsonl(tmp_path, {**GOOD, "images": f"data:image/jpeg;base64,{encoded}"}))
        assert row.images == (BytesImage(digest, content),)
        (row,) = read(text(tmp_path, "feed.csv", f"id,title,image_bytes\np1,t,{encoded}\n"))
        assert row.images == (BytesImage(digest, content),)

    def test_bytes_under_names_of_the_feed(self, tmp_path):
        cells = [base64.b64encode(c).decode() for c in (b"one", b"two")]
        (row,) = read(jsonl(tmp_path, {**GOOD, "images": ["a.jpg", "b.jpg"], "image_bytes": cells}))
        assert row.images == (BytesImage("a.jpg", b"one"), BytesImage("b.jpg", b"two"))
        (row,) = read(jsonl(tmp_path, {**GOOD, "images": ["a.jpg"], "image_bytes": cells}))
        assert row.reason == "2 pictures in image_bytes, 1 in images"


def test_reading_takes_bounded_memory(tmp_path):
    path = tmp_path / "feed.jsonl"
    with path.open("wb") as file:
        for i in range(4000):
            file.write(json.dumps({"id": f"p{i}", "title": "t", "note": f"{i} " + "x" * 5000}).encode() + b"\n")
    assert path.stat().st_size > 20_000_000
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_catalogue(path)) == 4000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(rows=st.lists(st.lists(VALUES, min_size=2, max_size=2), max_size=6), delimiter=st.sampled_from(",;|"))
def test_csv_written_by_python_is_read_back(tmp_path, rows, delimiter):
    """Every record is a product or one rejected row, numbered in order, whatever is in its cells."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "title", "note"], *[[f"p{i}", *row] for i, row in enumerate(rows)]])
    found = read(text(tmp_path, "feed.csv", buffer.getvalue()))
    assert [r.row for r in found] == list(range(1, len(rows) + 1))
    for i, (row, stated) in enumerate(zip(found, rows, strict=True)):
        if isinstance(row, CatalogueRow):
            assert row.product.id == f"p{i}"
            assert row.product.attributes.get("note", "") == stated[1].strip()
        else:
            assert row.field == "title"


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=200
)
@given(content=st.binary(max_size=200), name=st.sampled_from(["f.csv", "f.tsv", "f.jsonl", "f.xml", "f"]))
def test_any_bytes_give_rows_or_one_clear_error(tmp_path, content, name):
    for head in (b"", b"id,title\n", b"id\ttitle\n"):
        try:
            rows = read(text(tmp_path, name, head + content))
        except CatalogueError as error:
            said = str(error)
            assert "\n" not in said
            continue
        assert [r.row for r in rows] == list(range(1, len(rows) + 1))
