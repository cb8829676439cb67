"""`python -m models classify` and `audit` end to end on a small shop, and one clear line for what goes wrong."""

import base64
import csv
import json
import re
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from models.__main__ import main
from models.category.audit_catalogue import _variants
from models.picture import decode_picture
from models.product import Product

EVIL = '<img src=x onerror="alert(1)"> & more'


@pytest.fixture
def tiny(support):
    return support("tiny")


@pytest.fixture
def shop(tiny, tmp_path):
    return tiny.write_shop(tmp_path / "shop", train=96, val=48, test=36)


@pytest.fixture
def call(weightless, monkeypatch):
    """Call a command with an encoder that reads colours, shapes and words without having learnt any."""
    encoder = weightless(dim=48, vocabularies={"brand": ["Nike", "Diesel"], "category": ["circle", "square", "bar"]})
    monkeypatch.setattr("models.checkpoint.load_encoder", lambda *_: encoder)

    def calling(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args])

    return calling


@pytest.fixture
def write(tmp_path):
    def writing(rows, name="odd"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name / "catalogue.parquet")
        return tmp_path / name

    return writing


class TestClassify:
    def test_prints_every_way(self, call, shop):
        done = call("classify", "--catalogue", shop, "--margin", 0)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert lines[0] == "3 classes; 96 items to fit on and calibrate with, 48 judged"
        assert len(lines) == 5 + 16
        assert any(line.startswith("| with labels | logistic regression | 1.000") for line in lines)

    def test_prints_json_of_the_largest_classes_of_any_group(self, call, shop):
        done = call("classify", "--catalogue", shop, "--margin", 0, "--split", "test", "--json", "--limit", 30)
        found = json.loads(done.stdout)
        assert (found["classes"], found["train"], found["evaluated"]) == (
            3, {"text": 30, "image": 30}, {"text": 30, "image": 30},
        )  # fmt: skip
        assert len(found["figures"]) == 32
        two = call("classify", "--catalogue", shop, "--margin", 0, "--json", "--group", "brand", "--largest", 2)
        assert json.loads(two.stdout)["classes"] == 2

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (("--split", "dev"), "split 'dev'"),
            (("--group", "smell"), "fewer than two values of 'smell'"),
            (("--catalogue", "nowhere"), "cannot read nowhere"),
        ],
    )
    def test_fails_with_one_line(self, call, shop, flags, message):
        done = call("classify", "--catalogue", shop, *flags)
        assert (done.exit_code, done.stderr.strip().count("\n")) == (1, 0)
        assert message in done.stderr


class TestAudit:
    def test_writes_table_and_page_of_all_splits(self, call, shop, tmp_path):
        out = tmp_path / "new" / "audit"
        done = call("audit", "--catalogue", shop, "--out", out, "--corrupt", 0.05, "--top", 4)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert lines[0] == str(out / "audit.html")
        assert lines[1].startswith("180 products of 3 classes, ")
        assert lines[2] == "9 listings were corrupted on purpose (seed 0); precision@9 1.000."
        assert re.fullmatch(r" {3}1  [01]\.\d{3}  p\d+: \w+ -> \w+", lines[3])
        assert len(lines) == 3 + 4
        with (out / "audit.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["rank"]) for row in rows] == list(range(1, 181))
        assert len({row["id"] for row in rows}) == 180
        for row in rows[:9]:
            shape = row["title"].split()[-1]
            assert row["listed"] != shape == row["suggested"] == row["text_class"]
        assert all(row["listed"] == row["title"].split()[-1] for row in rows[9:])
        text = (out / "audit.html").read_text(encoding="utf-8")
        assert text.count("data:image/jpeg;base64,") == 4
        assert all(row["title"] in text for row in rows[:4])

    def test_pictures_belong_to_their_products(self, call, shop, tmp_path, tiny):
        call("audit", "--catalogue", shop, "--out", tmp_path / "out", "--corrupt", 0.05)
        text = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
        found = re.findall(r'base64,([^"]+)" alt="Picture of [\w ]*?(\w+) (circle|square|bar)"', text)
        assert len(found) >= 9
        for data, colour, _ in found:
            centre = decode_picture(base64.b64decode(data)).getpixel((32, 32))
            assert sum(abs(a - b) for a, b in zip(centre, tiny.COLOURS[colour], strict=True)) < 60

    def test_one_split_prints_json_and_writes_nothing(self, call, shop, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        done = call("audit", "--catalogue", shop, "--split", "val", "--json", "--corrupt", 0.1, "--seed", 3, "--top", 5)
        found = json.loads(done.stdout)
        assert (found["split"], found["products"], found["corrupted"], found["seed"]) == ("val", 48, 5, 3)
        assert found["precision"] >= 0.8
        assert len(found["top"]) == 5
        other = call(
            "audit", "--catalogue", shop, "--split", "val", "--json", "--corrupt", 0.1, "--seed", 4, "--top", 5
        )
        assert {top["id"] for top in json.loads(other.stdout)["top"]} != {top["id"] for top in found["top"]}
        assert sorted(tmp_path.rglob("*")) == before
        few = json.loads(call("audit", "--catalogue", shop, "--json", "--limit", 30).stdout)
        assert (few["products"], few["corrupted"], few["precision"]) == (30, None, None)

    def test_needs_no_split_column_and_says_what_it_leaves_out(self, call, tiny, write):
        rows = [{key: value for key, value in row.items() if key != "split"} for row in tiny.shop_rows(48, "")]
        rows[0]["category"], rows[1]["category"], rows[2]["image_bytes"] = None, "only one", []
        folder = write(rows)
        done = call("audit", "--catalogue", folder)
        assert done.exit_code == 0, done.output
        assert "under them: only one." in done.stdout
        assert "1 products state no category" in done.stdout
        assert "1 products without a picture" in done.stdout
        assert done.stdout.startswith("45 products of 3 classes")
        refused = call("audit", "--catalogue", folder, "--split", "train")
        assert (refused.exit_code, "no column 'split'" in refused.stderr) == (1, True)

    def test_the_page_escapes_what_a_catalogue_says(self, call, tiny, write, tmp_path):
        rows = tiny.shop_rows(48, "train")
        for row in rows:
            row["title"] += f" {EVIL}"
            row["category"] += f" {EVIL}"
        rows[3]["category"] = rows[8]["category"]
        done = call("audit", "--catalogue", write(rows), "--out", tmp_path / "out")
        assert done.exit_code == 0, done.output
        text = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
        assert "<img src=x" not in text
        assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt; &amp; more" in text
        assert (
            rows[3]["id"] == json.loads(call("audit", "--catalogue", tmp_path / "odd", "--json").stdout)["top"][0]["id"]
        )

    def test_variants_are_of_one_group_and_no_product_is_of_anothers(self):
        products = [
            Product(id=name, title="x", group=group)
            for name, group in (("a", "g"), ("b", None), ("c", "g"), ("d", "b"), ("e", None))
        ]
        assert _variants(SimpleNamespace(products=products)).tolist() == [0, 1, 0, 2, 3]

    def test_another_group(self, call, shop):
        found = json.loads(call("audit", "--catalogue", shop, "--group", "brand", "--json").stdout)
        assert (found["group"], found["classes"]) == ("brand", 3)

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (("--split", "dev"), "split 'dev'"),
            (("--group", "smell"), "fewer than two values of 'smell'"),
            (("--group", "id"), "fewer than two"),
            (("--catalogue", "nowhere"), "cannot read nowhere"),
        ],
    )
    def test_fails_with_one_line(self, call, shop, flags, message):
        done = call("audit", "--catalogue", shop, *flags)
        assert (done.exit_code, done.stderr.strip().count("\n")) == (1, 0)
        assert message in done.stderr

    def test_a_folder_that_cannot_be_is_found_out_first(self, call, shop, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")

        def never(*_args):
            raise AssertionError

        monkeypatch.setattr("models.category.audit_catalogue.audit_catalogue", never)
        done = call("audit", "--catalogue", shop, "--out", tmp_path / "file" / "out")
        assert (done.exit_code, done.stderr.strip().count("\n")) == (1, 0)
        assert "cannot write" in done.stderr

    @pytest.mark.parametrize("flags", [("--corrupt", 0), ("--corrupt", 1.5), ("--top", 0), ("--limit", 1)])
    def test_flags_have_bounds(self, call, shop, flags):
        assert call("audit", "--catalogue", shop, *flags).exit_code == 2
