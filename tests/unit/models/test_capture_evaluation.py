"""Instance search measured: ranks against brute force, lists by hand, and a shop of coloured cards from end to end."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from models.capture.cutouts import CutoutRow, encode_cutout, write_cutouts
from models.capture.evaluation import Systems, detection_figures, evaluate_scenes
from models.capture.evaluation_tables import as_json_value, as_table
from models.capture.head import HeadCard, InstanceHead
from models.capture.head_training import HeadNet
from models.capture.instance_ranks import (
    Gallery,
    instance_figures,
    interleaved,
    picture_figures,
    reciprocal_at_10,
    search,
)
from models.capture.instances_cli import evaluate, train, train_head
from models.capture.region_data import catalogue_vectors, jittered, region_table
from models.capture.regions import Detection
from models.capture.scenes import Scene, SceneComposer, digest_of, read_scenes
from models.train.feed import DataError, Feed

COLOURS = {
    "red": (220, 30, 40),
    "green": (40, 160, 60),
    "blue": (40, 70, 200),
    "black": (10, 10, 10),
    "purple": (130, 50, 160),
    "brown": (110, 70, 40),
}


def brute(queries, wanted, gallery):
    ranks = []
    for query, own in zip(queries, wanted, strict=True):
        best = {}
        for vector, owner in zip(gallery.vectors, gallery.owners, strict=True):
            best[owner] = max(best.get(owner, -9.0), float(query @ vector))
        ranks.append(float("inf") if own < 0 else 1.0 + sum(best[o] >= best[own] for o in best if o != own))
    return ranks


def test_ranks_are_brute_force_in_whatever_order_pictures_stand():
    rng = np.random.default_rng(0)
    owners = rng.permutation(np.repeat(np.arange(12), 3))
    gallery = Gallery(rng.standard_normal((36, 5)).astype(np.float32), owners, tuple(map(str, range(12))))
    queries, wanted = rng.standard_normal((40, 5)).astype(np.float32), rng.integers(-1, 12, 40)
    found = search(queries, wanted, gallery)
    assert found.ranks.tolist() == brute(queries, wanted, gallery)
    assert found.pictures[7].tolist() == np.argsort(-(gallery.vectors @ queries[7])).tolist()


def test_what_is_equally_near_stands_ahead():
    gallery = Gallery(np.ones((3, 1), np.float32), np.arange(3), ("a", "b", "c"))
    assert search(np.ones((1, 1), np.float32), np.array([1]), gallery).ranks == [3.0]


def test_lists_are_interleaved_and_everything_stands_once():
    assert interleaved([[1, 2, 3], [2, 4], [], [5, 1]]) == [1, 2, 5, 4, 3]
    assert interleaved([]) == []


def test_instances_that_are_missed_count():
    ranks = np.array([1.0, 4.0, 10.0, 11.0, np.inf])
    assert reciprocal_at_10(ranks).tolist() == [1.0, 0.25, 0.1, 0.0, 0.0]
    figures = instance_figures(ranks)
    assert {name: figures[name].mean for name in ("r1", "r5", "r10")} == pytest.approx(
        {"r1": 0.2, "r5": 0.4, "r10": 0.6}
    )
    assert figures["map10"].mean == pytest.approx(1.35 / 5)


def test_a_photo_is_judged_by_both_scorers():
    gallery = Gallery(np.eye(4, dtype=np.float32), np.array([0, 0, 1, 2]), ("a", "b", "c"))
    figures = picture_figures([[0, 3, 2]], [("a", "b")], gallery)
    assert figures["product1m_map10"].mean == pytest.approx((1 + 2 / 3) / 2)  # over the hits
    assert figures["standard_map10"].mean == pytest.approx((1 + 2 / 3) / 3)  # over all three pictures of a and b
    assert figures["product1m_prec10"].mean == pytest.approx(2 / 3)
    assert figures["product1m_mar10"].mean == pytest.approx((1 / 2 + 1 / 1) / 2)


def card(colour):
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).rectangle((8, 8, 56, 56), fill=COLOURS[colour])
    return image


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A catalogue of cards and photos of two of them on white, on the left and on the right."""
    folder = tmp_path_factory.mktemp("cards")
    rows = []
    for colour in COLOURS:
        card(colour).save(folder / f"{colour}.png")
        rows.append({"id": colour, "title": f"{colour} card", "split": "train", "images": [f"{colour}.png"]})
    pq.write_table(pa.Table.from_pylist(rows), folder / "catalogue.parquet")
    lines = []
    names = list(COLOURS)
    for n, (a, b) in enumerate([*itertools.pairwise(names), (names[0], names[-1])]):
        photo = Image.new("RGB", (200, 100), "white")
        pen = ImageDraw.Draw(photo)
        pen.rectangle((15, 20, 74, 79), fill=COLOURS[a])
        pen.rectangle((125, 20, 184, 79), fill=COLOURS[b])
        photo.save(folder / f"s{n}.png")
        objects = [{"id": a, "box": [15, 20, 75, 80]}, {"id": b, "box": [125, 20, 185, 80]}]
        lines.append({"image": f"s{n}.png", "objects": objects, "caption": f"{a} card; {b} card", "split": "train"})
    (folder / "scenes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def systems(support, weightless):
    identity = HeadCard(name="n", licence="l", encoder=weightless().fingerprint, dim=64, hidden=2)
    head = InstanceHead(identity, HeadNet(64, 2).weights())
    return Systems(weightless(), support("blobs").BlobDetector(), head)


@pytest.fixture(scope="module")
def catalogue(shop, weightless, tmp_path_factory):
    return catalogue_vectors(Feed.open(shop), "train", weightless(), cache_dir=tmp_path_factory.mktemp("cache"))


def test_every_product_of_a_photo_is_found(shop, systems, catalogue):
    scenes = list(read_scenes(shop / "scenes.jsonl", "train"))
    result, ranks = evaluate_scenes(scenes, catalogue, systems)
    assert (result.pictures, result.instances, result.products) == (6, 12, 6)
    assert list(ranks) == ["whole", "true", "true+head", "found", "found+head"]
    detection = {name: result.detection[name].mean for name in ("ap50", "served_recall", "served_precision")}
    assert detection == {"ap50": 1.0, "served_recall": 1.0, "served_precision": 1.0}
    for name in ("true", "true+head", "found", "found+head"):
        assert result.instance[name]["r1"].mean == 1.0
        assert result.picture[name]["product1m_map10"].mean == 1.0
    assert (ranks["whole"] > 1).sum() >= 6  # one list cannot have two products first
    gain = result.differences["found - whole"]
    assert gain.mean == pytest.approx(1 - reciprocal_at_10(ranks["whole"]).mean())
    assert gain.low > 0
    text, values = as_table(result), json.dumps(as_json_value(result))
    assert "found+head" in text
    assert "product1m_mar100" in values


def test_products_that_no_box_overlaps_are_missed_and_wrong_boxes_are_in_the_lists(shop, systems, catalogue):
    class OneWrong:
        fingerprint = "one wrong"

        def detect(self, pictures):
            right = Detection((15 / 200, 0.2, 75 / 200, 0.8), 0.9)
            return [
                [Detection((0.6, 0.0, 0.62, 1.0), 0.95), right, Detection((0.625, 0.2, 0.9, 0.8), 0.4)]
                for _ in pictures
            ]

    scenes = list(read_scenes(shop / "scenes.jsonl"))
    result, ranks = evaluate_scenes(scenes, catalogue, Systems(systems.encoder, OneWrong()))
    assert ranks["found"].tolist() == [1.0, np.inf] * 6  # the second was found with too little confidence to be served
    assert result.instance["found"]["r1"].mean == 0.5
    assert result.detection["served_recall"].mean == 0.5
    assert result.detection["served_precision"].mean == 0.5
    assert result.detection["ap50"].mean == pytest.approx(2 / 3, abs=0.01)  # but counts for average precision


def test_cells_may_be_found_as_well(systems, catalogue):
    photo = Image.new("RGB", (100, 100), "white")
    small, cell = np.array([[0.4, 0.4, 0.6, 0.6]]), np.array([[0.0, 0.0, 1.0, 1.0]])
    scene = Scene("s", photo, small, ("red",), larger=cell)
    found = [[Detection((0, 0, 1, 1), 0.9)]]
    figures = detection_figures([scene], found)
    assert figures["ap50"].mean == 0.0
    assert figures["ap50_cells"].mean == 1.0


def test_photos_without_boxes_are_cut_by_the_surest_detection(shop, systems, catalogue):
    scenes = [Scene("s", card(colour), None, (colour,)) for colour in COLOURS]
    result, ranks = evaluate_scenes(scenes, catalogue, systems)
    assert list(ranks) == ["whole", "whole+head", "found", "found+head"]
    assert not result.detection
    assert result.instance["found"]["r1"].mean == 1.0
    empty = [Scene("s", Image.new("RGB", (64, 64), "white"), None, ("red",))]
    assert np.isfinite(evaluate_scenes(empty, catalogue, systems)[1]["found"]).all()  # nothing found: the whole photo


def test_a_product_that_is_not_in_the_catalogue_is_refused(systems, catalogue):
    with pytest.raises(DataError, match="'grey'"):
        evaluate_scenes([Scene("s", card("red"), None, ("grey",))], catalogue, systems)


def test_regions_are_kept_and_named_by_what_decides_them(shop, weightless, tmp_path):
    composer = SceneComposer(shop / "scenes.jsonl")
    said = digest_of(shop / "scenes.jsonl")

    def table(count=6, jitter=0.0):
        return region_table(composer, count, weightless(), jitter, said=said, cache_dir=tmp_path)

    first = table()
    assert first.products[:2] == ("red", "green")
    assert first.starts.tolist() == [0, 2, 4, 6, 8, 10, 12]
    np.testing.assert_allclose(first.boxes[0], [15 / 200, 0.2, 75 / 200, 0.8], atol=1e-6)
    again = table()
    np.testing.assert_array_equal(again.vectors, first.vectors)
    assert len(list(tmp_path.glob("*.npz"))) == 1
    moved = table(jitter=0.1)
    assert moved.digest != first.digest
    assert not np.allclose(moved.boxes, first.boxes)
    assert len(list(tmp_path.glob("*.npz"))) == 2


def test_jitter_is_of_the_box_and_stays_in_the_picture():
    rng = np.random.default_rng(0)
    drawn = np.array([jittered((0.2, 0.4, 0.6, 0.6), rng, 0.05) for _ in range(2000)])
    np.testing.assert_allclose(drawn.std(axis=0), [0.02, 0.01, 0.02, 0.01], rtol=0.1)
    np.testing.assert_allclose(drawn.mean(axis=0), [0.2, 0.4, 0.6, 0.6], atol=0.002)
    wild = np.array([jittered((0.0, 0.9, 0.1, 1.0), rng, 3.0) for _ in range(200)])
    assert ((wild >= 0) & (wild <= 1)).all()
    assert (wild[:, :2] < wild[:, 2:]).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"objects": []}', "line 1: "),
        ('{"image": "gone.png", "objects": [{"id": "red", "box": [0, 0, 1, 1]}]}', "line 1: gone.png"),
        ('{"image": "red.png", "objects": [{"id": "red", "box": [0, 0, 99, 1]}]}', "reaches out"),
        ('{"image": "red.png", "objects": [{"id": "red", "box": [5, 0, 5, 1]}]}', "is empty"),
        ('{"image": "red.png", "objects": [{"id": "a", "box": [5, 0, 9, 1]}, {"id": "b"}]}', "either all boxes"),
        ("", "has no scene"),
    ],
)
def test_scenes_that_cannot_be_used_are_refused(shop, line, message):
    path = shop / "bad.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=message):
        list(read_scenes(path))
    with pytest.raises(DataError, match="cannot read"):
        list(read_scenes(shop / "none.jsonl"))


CAPTURE = """
name = "cards"
[composites]
width = 64
height = 64
most = 3
[regions]
composites = 24
held_back = 0.3
[shape]
width = 8
heads = 2
[optim]
epochs = 1
batch_size = 4
[run]
threads = 1
tensorboard = false
"""


def test_the_commands_train_and_measure(shop, support, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encoder = str(support("tiny").backbone_folder(tmp_path))
    (tmp_path / "head.toml").write_text(
        'name = "cards"\nhidden = 4\n[regions]\nheld_back = 0.3\n[run]\nthreads = 1\ntensorboard = false\n'
    )
    common = ["--catalogue", str(shop), "--scenes", str(shop / "scenes.jsonl"), "--encoder", encoder]
    out = tmp_path / "head"
    arguments = ["--config", str(tmp_path / "head.toml"), "--out", str(out), "--set", "optim.epochs=1", *common]
    done = CliRunner().invoke(train_head, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    stated = json.loads((out / "card.json").read_text())
    assert stated["training"]["command"].startswith("python -m models capture train-head --config head.toml")
    assert str(tmp_path) not in (out / "card.json").read_text()
    assert str(shop.parent) not in (out / "card.json").read_text()
    again = CliRunner().invoke(train_head, arguments)
    assert again.exit_code == 1
    assert "already holds" in again.output

    done = CliRunner().invoke(evaluate, [*common, "--head", str(out), "--json", "--save", str(tmp_path / "ranks.npz")])
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.output)["instance"]) == {"whole", "true", "true+head"}
    assert set(np.load(tmp_path / "ranks.npz")) == {"whole", "true", "true+head"}
    cards = [
        CutoutRow(c, "train", c, f"{c} card", encode_cutout(card(c).convert("RGBA").crop((8, 8, 57, 57))))
        for c in COLOURS
    ]
    write_cutouts(tmp_path / "cards.arrow", cards)
    (tmp_path / "capture.toml").write_text(CAPTURE)
    trained = [
        *common[:2],
        "--cutouts",
        str(tmp_path / "cards.arrow"),
        "--encoder",
        encoder,
        "--out",
        str(tmp_path / "c"),
    ]
    done = CliRunner().invoke(train, ["--config", str(tmp_path / "capture.toml"), *trained])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(evaluate, [*common, "--capture", str(tmp_path / "c")])
    assert done.exit_code == 0, done.output
    assert "true+capture - true" in done.output

    both = CliRunner().invoke(evaluate, [*common, "--collages", str(shop / "scenes.jsonl")])
    assert both.exit_code == 2
    assert "either --scenes or --collages" in both.output
