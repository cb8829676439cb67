"""Composites: the same for the same numbers, labels true to the pixels, and every rule kept."""

import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pydantic import ValidationError

from models.capture.backgrounds import BackgroundMix, Backgrounds
from models.capture.composites import Composer, CompositeDesign
from models.capture.cutouts import CutoutRow, Cutouts, encode_cutout, write_cutouts
from models.capture.pasting import piece
from models.capture.placing import VISIBLE, Ground, Rules, ious
from models.capture.textures import PAINTERS

SMALL = CompositeDesign(width=120, height=90)


def drawn(number):
    """A dark product, the shape of which differs by number; the edge is smooth."""
    size = (40 + number % 5 * 8, 70 - number % 7 * 6)
    mask = Image.new("L", (size[0] * 3, size[1] * 3))
    draw = ImageDraw.Draw(mask)
    (draw.ellipse if number % 2 else draw.rectangle)((0, 0, size[0] * 3 - 1, size[1] * 3 - 1), fill=255)
    image = Image.new("RGBA", size, (number * 7 % 60, number * 11 % 60, number * 13 % 60, 255))
    image.putalpha(mask.resize(size, Image.Resampling.BOX))
    return image


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng = np.random.default_rng(0)
    around = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((80, 60))
    rows = [
        CutoutRow(f"p{number}", "train", f"g{number // 2}", f"Product {number}", encode_cutout(drawn(number)))
        for number in range(24)
    ]
    rows.append(CutoutRow("p1", "train", "g0", "Product 1", encode_cutout(around), backdrop=True))
    path = tmp_path_factory.mktemp("cutouts") / "cutouts.arrow"
    write_cutouts(path, rows)
    return path


@pytest.fixture(scope="module")
def cutouts(path):
    return Cutouts.open(path)


@pytest.fixture(scope="module")
def many(cutouts):
    return [Composer(cutouts, SMALL, 5).composite(number) for number in range(80)]


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, width) * max(0, height)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_there_are_one_to_seven_products_of_different_groups(many):
    counts = {len(made.products) for made in many}
    assert counts == set(range(1, 8))
    for made in many:
        assert made.picture.mode == "RGB"
        assert made.picture.size == (120, 90)
        assert made.boxes.dtype == np.float32
        assert made.boxes.shape == (len(made.products), 4)
        groups = [int(product[1:]) // 2 for product in made.products]
        assert len(set(groups)) == len(groups)


def test_boxes_lie_in_the_picture_and_overlap_by_no_more_than_allowed(many):
    found = [iou(a, b) for made in many for a, b in itertools.combinations(made.boxes.tolist(), 2)]
    assert max(found) <= 0.3
    assert sum(value > 0.02 for value in found) > 10, "products overlap, too"
    for left, top, right, bottom in (box for made in many for box in made.boxes.tolist()):
        assert 0 <= left < right <= 120
        assert 0 <= top < bottom <= 90


DIGEST = """
import hashlib, sys
from pathlib import Path
from models.capture.composites import Composer, CompositeDesign
from models.capture.cutouts import Cutouts
composer = Composer(Cutouts.open(Path(sys.argv[1])), CompositeDesign(width=120, height=90), 5)
for number in (7, 3, 0, 11):
    made = composer.composite(number)
    print(hashlib.sha256(made.picture.tobytes() + made.boxes.tobytes() + repr(made.products).encode()).hexdigest())
"""


def digest(made):
    return hashlib.sha256(made.picture.tobytes() + made.boxes.tobytes() + repr(made.products).encode()).hexdigest()


def test_any_process_makes_the_same_in_any_order(path, many):
    done = subprocess.run([sys.executable, "-c", DIGEST, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest(many[number]) for number in (7, 3, 0, 11)]


def test_another_seed_or_number_makes_others(cutouts, many):
    assert len({digest(made) for made in many}) == len(many)
    assert digest(Composer(cutouts, SMALL, 6).composite(0)) != digest(many[0])


def test_boxes_are_those_of_the_pixels_one_sees(cutouts):
    design = CompositeDesign(width=160, height=120, collages=1, feather=0, light=0, jpeg=0, rotation=0)
    for number in range(30):
        made = Composer(cutouts, design, 2).composite(number)
        pixels = np.asarray(made.picture).astype(int).max(axis=2)
        white = pixels.max()
        for (left, top, right, bottom), product in zip(made.boxes.astype(int).tolist(), made.products, strict=True):
            colour = max(np.asarray(drawn(int(product[1:])).convert("RGB"))[30, 20])
            seen = white - pixels >= (white - colour) * VISIBLE / 255 + 1  # one level of rounding
            assert seen[top:bottom, left:right].any(axis=1).all(), "a row without the product"
            assert seen[top:bottom, left:right].any(axis=0).all(), "a column without the product"
        outside = np.ones_like(pixels, dtype=bool)
        for left, top, right, bottom in made.boxes.astype(int).tolist():
            outside[top:bottom, left:right] = False
        assert (white - pixels[outside]).max() <= (white - 0) * VISIBLE / 255 + 12  # WebP keeps colours nearly


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_ground_agrees_with_painting_pixel_by_pixel(seed):
    rng = np.random.default_rng(seed)
    rules = Rules(max_iou=0.3, most_hidden=0.35)
    ground, laid = Ground(40, 30, rules), []
    for _ in range(12):
        mask = np.zeros(rng.integers(3, 14, 2), dtype=bool)
        mask[rng.random(mask.shape) < 0.8] = True
        left, top = int(rng.integers(-5, 38)), int(rng.integers(-5, 28))
        allowed, boxes = painted([*laid, (mask, left, top)], rules)
        assert ground.put(mask, left, top) == allowed
        if allowed:
            laid.append((mask, left, top))
            assert ground.boxes == boxes


def painted(laid, rules):
    """Paint masks one over the other, pixel by pixel; return whether the rules hold, and the boxes."""
    top_one = {}
    for number, (mask, left, top) in enumerate(laid):
        for y, x in np.argwhere(mask).tolist():
            if 0 <= x + left < 40 and 0 <= y + top < 30:
                top_one[x + left, y + top] = number
    boxes = []
    for number, (mask, _, _) in enumerate(laid):
        seen = [place for place, owner in top_one.items() if owner == number]
        if len(seen) < max(1, (1 - rules.most_hidden) * mask.sum()):
            return False, None
        xs, ys = [x for x, _ in seen], [y for _, y in seen]
        boxes.append((min(xs), min(ys), max(xs) + 1, max(ys) + 1))
    within = all(iou(a, b) <= rules.max_iou for a, b in itertools.combinations(boxes, 2))
    return within, tuple(boxes)


def test_ious_of_boxes_by_hand():
    a = np.array([[0, 0, 4, 4], [10, 10, 12, 14]])
    b = np.array([[2, 0, 6, 4], [0, 0, 4, 4], [11, 11, 12, 12]])
    np.testing.assert_allclose(ious(a, b), [[8 / 24, 1, 0], [0, 0, 1 / 8]])


def test_designs_are_kept(cutouts):
    design = CompositeDesign(width=200, height=64, least=3, most=3, max_iou=0, overlapping=1, beyond=0, collages=0)
    for number in range(20):
        made = Composer(cutouts, design, 0).composite(number)
        assert len(made.products) == 3
        assert made.picture.size == (200, 64)
        assert all(iou(a, b) == 0 for a, b in itertools.combinations(made.boxes.tolist(), 2))


@pytest.mark.parametrize("turn", [0, 30, -75])
@pytest.mark.parametrize("room", [(300, 300), (40, 25)])
def test_a_piece_is_as_large_as_what_is_seen_of_it_and_stays_within_its_room(turn, room):
    part = piece(drawn(1), 50, turn, room)
    assert part.visible.shape == (part.height, part.width)
    assert part.width <= room[0] + 2
    assert part.height <= room[1] + 2
    for edge in (part.visible[0], part.visible[-1], part.visible[:, 0], part.visible[:, -1]):
        assert edge.any()
    if not turn and room[0] == 300:
        assert max(part.image.size) == 50


def test_fewer_groups_than_wanted_give_fewer_products(tmp_path):
    write_cutouts(
        tmp_path / "two.arrow", [CutoutRow(f"p{n}", "val", f"g{n}", "t", encode_cutout(drawn(n))) for n in (0, 1)]
    )
    design = CompositeDesign(width=90, height=90, least=5, most=7)
    made = [Composer(Cutouts.open(tmp_path / "two.arrow"), design, 0).composite(number) for number in range(8)]
    assert {len(one.products) for one in made} == {2}


@pytest.mark.parametrize("name", [*PAINTERS, "photo", "patch"])
@pytest.mark.parametrize("size", [(64, 48), (33, 70)])
def test_backgrounds_have_the_size_and_differ_by_what_decides(cutouts, name, size):
    mix = BackgroundMix(**{kind: float(kind == name) for kind in BackgroundMix().weights()})
    backgrounds = Backgrounds(cutouts, mix)
    made = [backgrounds.draw(np.random.default_rng(seed), size) for seed in (0, 0, *range(1, 8))]
    assert {(one.size, one.mode) for one in made} == {(size, "RGB")}
    assert made[0].tobytes() == made[1].tobytes()
    assert len({one.tobytes() for one in made[1:]}) > 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"least": 5, "most": 3}, "least and most: 5 is more than 3"),
        ({"most": 8}, "less than or equal to 7"),
        ({"scales": (0.9, 0.2)}, "scales"),
        ({"backgrounds": dict.fromkeys(BackgroundMix().weights(), 0)}, "all weights are 0"),
        ({"widht": 100}, "Extra inputs"),
    ],
)
def test_designs_that_cannot_be_used_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        CompositeDesign(**wrong)
