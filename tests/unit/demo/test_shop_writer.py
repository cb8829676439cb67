"""The written shop: complete, the same bytes every time, nothing of others touched."""

import hashlib
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from demo.__main__ import main
from demo.scenes import HEIGHT, WIDTH, scene
from demo.writer import Plan, ShopError, generate
from models.product import product_from_row


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_row_is_a_product_with_its_pictures(shop: Path) -> None:
    rows = pq.read_table(shop / "catalogue.parquet").to_pylist()
    assert len(rows) == 90
    listed = set()
    for row in rows:
        product = product_from_row(row)
        assert product.id == row["id"]
        assert set(product.entities()) == {"brand", "category", "season", "composition"}
        assert {"split", "colour", "second_colour", "pattern"} <= set(product.attributes)
        assert product.attributes["split"] in {"train", "val", "test"}
        for name in product.images:
            listed.add(name)
            with Image.open(shop / name) as picture:
                assert (picture.format, picture.size) == ("JPEG", (224, 224))
    assert listed == {f"images/{path.name}" for path in (shop / "images").iterdir()}


def test_shop_json_tells_the_counts(shop: Path) -> None:
    about = json.loads((shop / "shop.json").read_text())
    assert about["seed"] == 5
    assert about["products"] == 90
    assert about["images"] == len(list((shop / "images").iterdir()))
    assert about["queries"] == len((shop / "queries.jsonl").read_text().splitlines())
    assert (
        about["scenes"]
        == len((shop / "scenes.jsonl").read_text().splitlines())
        == len(list((shop / "scenes").iterdir()))
        == 9
    )
    assert not list(shop.glob("*.tmp"))
    assert not (shop / ".unfinished").exists()


def test_two_workers_write_the_same_bytes_as_none(shop: Path, tmp_path: Path) -> None:
    generate(Plan(90, 5, tmp_path / "again", workers=2))
    assert digest(tmp_path / "again") == digest(shop)


def test_a_product_is_the_same_in_a_shop_of_another_size(shop: Path, tmp_path: Path) -> None:
    generate(Plan(13, 5, tmp_path, workers=1))
    small, large = digest(tmp_path), digest(shop)
    images = [name for name in small if name.startswith("images/")]
    assert len(images) >= 13
    assert all(small[name] == large[name] for name in images)
    rows = pq.read_table(tmp_path / "catalogue.parquet").to_pylist()
    assert rows == pq.read_table(shop / "catalogue.parquet").to_pylist()[:13]


def test_a_new_shop_replaces_an_earlier_one_completely(tmp_path: Path) -> None:
    generate(Plan(25, 1, tmp_path, workers=1))
    generate(Plan(3, 2, tmp_path, workers=1))
    assert all(name.name.startswith("s2-") for name in (tmp_path / "images").iterdir())
    assert json.loads((tmp_path / "shop.json").read_text())["products"] == 3
    assert list((tmp_path / "scenes").iterdir()) == []


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(ShopError, match="holds no generated shop"):
        generate(Plan(3, 1, tmp_path, workers=1))
    assert (tmp_path / "images" / "holiday.jpg").read_bytes() == b"mine"


def test_an_interrupted_shop_is_not_complete_and_can_be_made_again(tmp_path: Path) -> None:
    (tmp_path / ".unfinished").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "s1-000000-0.jpg").write_bytes(b"half")
    generate(Plan(2, 1, tmp_path, workers=1))
    assert (tmp_path / "shop.json").is_file()
    with Image.open(tmp_path / "images" / "s1-000000-0.jpg") as picture:
        picture.load()


def test_a_disk_error_is_a_shop_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ShopError, match="cannot write"):
        generate(Plan(1, 1, tmp_path / "file" / "shop", workers=1))


def iou(a: list[int], b: list[int]) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_scenes_hold_products_of_one_split_in_tight_boxes(shop: Path) -> None:
    rows = {row["id"]: row for row in pq.read_table(shop / "catalogue.parquet").to_pylist()}
    for line in (shop / "scenes.jsonl").read_text().splitlines():
        photo = json.loads(line)
        with Image.open(shop / photo["image"]) as picture:
            assert picture.size == (photo["width"], photo["height"]) == (WIDTH, HEIGHT)
        assert 2 <= len(photo["objects"]) <= 5
        ids = [one["id"] for one in photo["objects"]]
        assert len({rows[name]["group"] or name for name in ids}) == len(ids)
        assert {rows[name]["split"] for name in ids} == {photo["split"]}
        assert [rows[name]["category"] for name in ids] == [one["category"] for one in photo["objects"]]
        assert photo["caption"].split("; ") == [rows[name]["title"] for name in ids]
        for one in photo["objects"]:
            left, top, right, bottom = one["box"]
            assert 0 <= left < right <= WIDTH
            assert 0 <= top < bottom <= HEIGHT
            assert (right - left) * (bottom - top) > 2_000
        for first, second in itertools.combinations(photo["objects"], 2):
            assert iou(first["box"], second["box"]) <= 0.3


def test_a_scene_is_the_same_every_time() -> None:
    first, second = scene(1, 4, 500), scene(1, 4, 500)
    assert np.array_equal(np.asarray(first.picture), np.asarray(second.picture))
    assert first.boxes == second.boxes
    assert scene(1, 5, 500).items != first.items


def test_the_command_reports_and_refuses(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(main, ["generate", "--products", "2", "--seed", "3", "--out", str(tmp_path / "a"), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["products"] == 2
    assert report["scenes"] == 0
    told = runner.invoke(main, ["generate", "--products", "2", "--out", str(tmp_path / "a"), "--workers", "1"])
    assert told.exit_code == 0
    assert re.match(r"2 products, \d+ pictures, \d+ queries and 0 photos in ", told.stdout)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").touch()
    refused = runner.invoke(main, ["generate", "--products", "2", "--out", str(tmp_path / "b")])
    assert refused.exit_code == 1
    assert "holds no generated shop" in refused.stderr
    assert runner.invoke(main, ["generate", "--products", "0", "--out", str(tmp_path / "c")]).exit_code == 2


def test_the_feed_is_written_in_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.writer._ROW_GROUP", 20)
    generate(Plan(30, 7, tmp_path, workers=1))
    feed = pq.ParquetFile(tmp_path / "catalogue.parquet")
    assert [feed.metadata.row_group(number).num_rows for number in range(feed.num_row_groups)] == [20, 10]
    assert [row["id"] for row in feed.read().to_pylist()] == [f"s7-{number:06d}" for number in range(30)]
