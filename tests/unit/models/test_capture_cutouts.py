"""The file of cut-outs, and the commands that make it and show what is made of it."""

import io
import json
import pickle
import sys
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from models.__main__ import main
from models.capture.cutouts import CutoutRow, Cutouts, CutoutsError, encode_cutout, write_cutouts
from models.capture.harvest import Harvest, harvest
from models.train.feed import Feed


def image(seed, mode="RGBA", size=(23, 31)):
    rng = np.random.default_rng(seed)
    smooth = Image.fromarray(rng.integers(0, 256, (4, 3, 4), dtype=np.uint8), "RGBA").resize(size)
    return smooth.convert(mode)


@cache
def encoded(number):
    return encode_cutout(image(number))


def row(number, split="train", **other):
    usual = {"group": f"g{number // 2}", "title": f"Product {number}", "picture": encoded(number % 5)}
    return CutoutRow(f"p{number}", split, **{**usual, **other})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "cutouts.arrow"


def test_what_is_written_is_read(path):
    assert write_cutouts(path, (row(number) for number in range(300))) == 300
    cutouts = Cutouts.open(path)
    assert len(cutouts) == 300
    assert [path] == list(path.parent.iterdir())
    for number in (0, 127, 128, 299):
        found = cutouts[number]
        assert (found.id, found.group, found.title) == (f"p{number}", f"g{number // 2}", f"Product {number}")
        truth = np.asarray(image(number % 5)).astype(int)
        seen = np.asarray(found.image).astype(int)
        np.testing.assert_array_equal(seen[:, :, 3], truth[:, :, 3])
        opaque = truth[:, :, 3] > 200
        assert np.abs(seen - truth)[opaque].mean() < 12
    assert (cutouts.groups[:6] == cutouts.groups[[0, 0, 2, 2, 4, 4]]).all()
    assert len(set(cutouts.groups)) == 150


def test_splits_and_backdrops_are_kept_apart(path):
    rows = [row(0), row(1, "val"), row(2, backdrop=True, picture=encode_cutout(image(9, "RGB"))), row(3)]
    write_cutouts(path, rows)
    cutouts = Cutouts.open(path)
    assert [cutouts[number].id for number in range(len(cutouts))] == ["p0", "p1", "p3"]
    train = cutouts.of_split("train")
    assert [train[number].id for number in range(len(train))] == ["p0", "p3"]
    assert (train.backdrops, cutouts.of_split("val").backdrops) == (1, 0)
    assert train.backdrop(0).size == (23, 31)
    with pytest.raises(CutoutsError, match="no cut-out of the split 'test'"):
        cutouts.of_split("test")


def test_only_rows_that_are_asked_for_are_read(path):
    rows = [row(number, picture=b"\0" * 20_000) for number in range(400)]
    rows[250] = row(250)
    write_cutouts(path, rows)
    before = pa.total_allocated_bytes()
    cutouts = Cutouts.open(path)
    assert cutouts[250].id == "p250"  # every other picture is damaged
    assert pa.total_allocated_bytes() - before < 1_000_000 < path.stat().st_size / 7
    with pytest.raises(CutoutsError, match="row 251: damaged picture"):
        cutouts[251]


def test_other_processes_open_the_file_themselves(path):
    write_cutouts(path, [row(0, "val"), row(1), *(row(n, picture=b"\0" * 9_000) for n in range(2, 200))])
    sent = pickle.dumps(Cutouts.open(path).of_split("train"))
    assert len(sent) < 1_000
    received = pickle.loads(sent)
    assert (len(received), received[0].id) == (199, "p1")


def other_arrow(path):
    table = pa.table({"id": ["a"]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def other_version(path):
    write_cutouts(path, [row(0)])
    table = pa.ipc.open_file(str(path)).read_all()
    table = table.replace_schema_metadata({b"catalens": b"cutouts", b"version": b"7"})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def cut_short(path):
    write_cutouts(path, [row(0)])
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "cannot read .*cutouts.arrow"),
        (lambda path: path.write_bytes(b"PK\x03\x04" * 99), "cannot read .*cutouts.arrow"),
        (other_arrow, "is not a file of cut-outs"),
        (other_version, "has version 7, not 1"),
        (cut_short, "cannot read .*cutouts.arrow"),
    ],
)
def test_other_files_are_refused(path, make, message):
    path.parent.mkdir()
    make(path)
    with pytest.raises(CutoutsError, match=message):
        Cutouts.open(path)


def test_nothing_appears_when_there_is_nothing_or_it_fails(path):
    with pytest.raises(CutoutsError, match="nothing to write"):
        write_cutouts(path, [])

    def failing():
        yield row(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_cutouts(path, failing())
    assert not list(path.parent.iterdir())


@pytest.fixture(scope="module")
def feed(tmp_path_factory, support):
    """Twelve products of the split train, of two pictures each; one is damaged, one is all noise."""
    folder = tmp_path_factory.mktemp("feed")
    rows = support("feeds").products(36)
    support("feeds").write_pictures(folder, rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "catalogue.parquet")
    (folder / "images/p0-0.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (160, 120, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG", quality=90)
    (folder / "images/p3-1.jpg").write_bytes(buffer.getvalue())
    return folder


def test_a_catalogue_is_cut_the_same_by_any_number_of_processes(feed):
    alone, several = Harvest(), Harvest()
    rows = list(harvest(Feed.open(feed), "train", alone))
    assert (
        list(harvest(Feed.open(feed), "train", several, limit=3, workers=2)) == rows[: several.cut + several.backdrops]
    )
    assert several.photos == 6
    assert alone.photos == 24
    assert alone.refused["unreadable"] == 1
    assert alone.refused["busy"] >= 1
    assert alone.cut + alone.refused.total() == 24
    assert alone.cut > 12
    assert len(rows) == alone.cut + alone.backdrops
    assert {row.split for row in rows} == {"train"}
    assert {row.id for row in rows} <= {f"p{number}" for number in range(0, 36, 3)}
    assert all(row.group == row.id for row in rows)  # the feed states none


@pytest.fixture(scope="module")
def cut(feed, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "cutouts.arrow"
    done = CliRunner().invoke(main, ["capture", "cut", "--catalogue", str(feed), "--out", str(path), "--json"])
    assert done.exit_code == 0, done.output
    return path, json.loads(done.stdout)


def test_the_command_says_what_was_cut_and_what_refused(cut):
    path, counts = cut
    assert len(Cutouts.open(path)) == counts["cut"]
    assert counts["photos"] == 24 == counts["cut"] + sum(counts["refused"].values())


def size_of(path):
    with Image.open(path) as opened:
        return opened.size


def test_composites_are_shown_with_their_labels(cut, tmp_path):
    design = tmp_path / "design.toml"
    design.write_text("width = 96\nheight = 64\nleast = 2\nmost = 3\n[backgrounds]\nwood = 5.0\n")
    args = ["capture", "compose", "--cutouts", cut[0], "--design", design, "--count", 3, "--out", tmp_path / "made"]
    done = CliRunner().invoke(main, [str(arg) for arg in args])
    assert done.exit_code == 0, done.output
    labels = [json.loads(line) for line in (tmp_path / "made/labels.jsonl").read_text().splitlines()]
    assert [label["scene_id"] for label in labels] == ["c000000", "c000001", "c000002"]
    for label in labels:
        assert size_of(tmp_path / "made" / label["image"]) == (96, 64) == (label["width"], label["height"])
        assert 2 <= len(label["objects"]) <= 3
        for thing in label["objects"]:
            left, top, right, bottom = thing["box"]
            assert 0 <= left < right <= 96
            assert 0 <= top < bottom <= 64
    assert size_of(tmp_path / "made/contact.png")[0] > 96


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["cut", "--catalogue", "nowhere", "--out", "x.arrow"], "cannot read nowhere"),
        (["compose", "--cutouts", "nowhere", "--out", "x"], "cannot read nowhere"),
        (["compose", "--cutouts", "CUT", "--split", "val", "--out", "x"], "no cut-out of the split 'val'"),
        (["compose", "--cutouts", "CUT", "--design", "nowhere", "--out", "x"], "cannot read nowhere"),
        (["compose", "--cutouts", "CUT", "--design", "DESIGN", "--out", "x"], "backgrounds.stnoe: Extra inputs"),
    ],
)
def test_what_goes_wrong_is_one_line(cut, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "design.toml").write_text("[backgrounds]\nstnoe = 5.0\n")
    known = {"CUT": str(cut[0]), "DESIGN": "design.toml"}
    done = CliRunner().invoke(main, ["capture", *(known.get(arg, arg) for arg in args)])
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1


def test_without_opencv_the_command_says_what_to_install(feed, tmp_path, monkeypatch):
    for name in ("models.capture.harvest", "models.capture.cutting"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "cv2", None)
    done = CliRunner().invoke(main, ["capture", "cut", "--catalogue", str(feed), "--out", str(tmp_path / "x.arrow")])
    assert done.exit_code == 1
    assert 'cutting needs OpenCV: pip install -e ".[train]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1
