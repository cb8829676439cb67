"""Cutting products out: drawn photos whose masks are known, and photos that have to be refused."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from models.capture.backdrop import read_backdrop
from models.capture.cutting import CuttingRules, Refusal, cut_out, surroundings

SIZE = (120, 160)
GREY = (238, 238, 240)


def fade(size=SIZE):
    """A studio backdrop, a little darker towards the bottom."""
    column = np.linspace(245, 222, size[1])[:, None, None]
    return Image.fromarray(np.broadcast_to(column, (size[1], size[0], 3)).astype(np.uint8))


def photo(draw, backdrop=None):
    """A photo, and the mask of what `draw` draws on it."""
    picture = backdrop or fade()
    mask = Image.new("L", picture.size)
    shown = draw(ImageDraw.Draw(picture), "colour")
    draw(ImageDraw.Draw(mask), 255)
    assert shown is None
    noise = np.random.default_rng(0).normal(0, 1.0, (*picture.size[::-1], 3))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8)), np.asarray(mask) > 0


def filled(colour, fill):
    return colour if fill == "colour" else fill


def disc(draw, fill):
    draw.ellipse((25, 40, 95, 130), fill=filled((180, 40, 60), fill))


def ring(draw, fill):
    draw.ellipse((25, 40, 95, 130), fill=filled((30, 60, 160), fill))
    draw.ellipse((45, 65, 75, 105), fill=(231, 231, 231) if fill == "colour" else 0)


def pair(draw, fill):
    draw.rounded_rectangle((18, 50, 52, 120), 8, fill=filled((20, 120, 70), fill))
    draw.rounded_rectangle((68, 50, 102, 120), 8, fill=filled((20, 120, 70), fill))


def cropped_below(draw, fill):
    draw.rectangle((45, 60, 85, 160), fill=filled((60, 50, 40), fill))


def overlap(found, mask):
    """IoU of the cut-out's opaque pixels with the part of `mask` that is its box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert abs(found.width - (box[2] - box[0])) <= 4
    assert abs(found.height - (box[3] - box[1])) <= 4
    truth = mask[box[1] : box[3], box[0] : box[2]]
    alpha = np.asarray(found.getchannel("A").resize(truth.shape[::-1])) >= 128
    return (alpha & truth).sum() / (alpha | truth).sum()


@pytest.mark.parametrize("draw", [disc, ring, pair, cropped_below])
def test_the_mask_is_that_of_what_was_drawn(draw):
    picture, mask = photo(draw)
    found = cut_out(picture)
    assert isinstance(found, Image.Image)
    assert found.mode == "RGBA"
    assert overlap(found, mask) > 0.93


def test_a_photo_is_cut_the_same_every_time():
    picture, _ = photo(ring)
    assert cut_out(picture).tobytes() == cut_out(picture).tobytes()


def test_edges_have_the_products_colour_and_not_the_backdrops():
    found = np.asarray(cut_out(photo(disc)[0])).astype(int)
    seen = found[found[:, :, 3] > 16]
    assert np.abs(seen[:, :3] - (180, 40, 60)).max() < 25


def test_large_photos_give_cutouts_of_at_most_the_stated_size():
    picture, _ = photo(disc)
    found = cut_out(picture.resize((600, 800), Image.Resampling.BICUBIC), CuttingRules(most_side=200))
    assert max(found.size) <= 200
    assert found.height == pytest.approx(200 * 91 / 160, abs=4)


def test_a_white_product_on_white_keeps_its_bleached_inside():
    y, x = np.mgrid[-40:41, -30:31]
    shirt = Image.new("L", SIZE, 255)  # shaded towards its sides, as white as the backdrop within
    shirt.paste(
        Image.fromarray((185 + 71 * np.exp(-((x / 24) ** 2 + (y / 30) ** 2))).clip(0, 255).astype(np.uint8)), (30, 40)
    )
    folds = shirt.filter(ImageFilter.GaussianBlur(1))
    clean = Image.merge("RGB", (folds, folds, folds))
    ImageDraw.Draw(clean).ellipse((48, 14, 72, 42), fill=(150, 100, 80))
    assert (np.asarray(clean)[78:83, 58:63] >= 253).all()
    mask = np.zeros(SIZE[::-1], dtype=bool)
    mask[40:121, 30:91] = True
    mask[14:40] = np.asarray(clean)[14:40, :, 2] < 200
    found = cut_out(clean)
    assert isinstance(found, Image.Image)
    assert np.asarray(found)[80 - 14, 60 - 30, 3] == 255
    assert overlap(found, mask) > 0.93


def test_shadows_stay_with_the_backdrop():
    backdrop = fade()
    shadow = Image.new("L", SIZE)
    ImageDraw.Draw(shadow).ellipse((35, 115, 115, 145), fill=60)
    backdrop.paste((0, 0, 0), (0, 0), shadow.filter(ImageFilter.GaussianBlur(6)))
    picture, mask = photo(disc, backdrop)
    assert overlap(cut_out(picture), mask) > 0.93


def test_ornaments_in_the_corners_are_left_out():
    backdrop = fade()
    ImageDraw.Draw(backdrop).regular_polygon((108, 12, 8), 5, fill=(240, 190, 60))
    picture, mask = photo(disc, backdrop)
    assert overlap(cut_out(picture), mask) > 0.93


def blobs(draw, fill):
    for x in (20, 60, 100):
        for y in (30, 80, 130):
            draw.ellipse((x - 12, y - 14, x + 12, y + 14), fill=filled((150, 30, 90), fill))


@pytest.mark.parametrize(
    ("draw", "rules", "reason"),
    [
        (lambda _draw, _fill: None, {}, Refusal.EMPTY),
        (lambda draw, fill: draw.ellipse((52, 72, 71, 92), fill=filled((0, 0, 0), fill)), {}, Refusal.SMALL),
        (
            lambda draw, fill: draw.rectangle((5, 6, 114, 153), fill=filled((10, 90, 20), fill)),
            {"most": 0.7},
            Refusal.LARGE,
        ),
        (cropped_below, {"most_edge": 0.05}, Refusal.EDGE),
        (blobs, {}, Refusal.FRAGMENTED),
        (lambda draw, fill: draw.ellipse((25, 40, 95, 130), fill=filled((226, 226, 208), fill)), {}, Refusal.FAINT),
        (disc, {"agreement": 1.01}, Refusal.STRAYED),
    ],
    ids=lambda value: str(value) if isinstance(value, Refusal) else "",
)
def test_masks_that_cannot_be_right_are_refused(draw, rules, reason):
    assert cut_out(photo(draw)[0], CuttingRules(**rules)) is reason


def busy_photo():
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)).resize(SIZE)
    shades = np.asarray(coarse).copy()
    shades[:, :, 0] = shades[:, :, 0] // 3  # nothing on it is red
    picture = Image.fromarray(shades)
    ImageDraw.Draw(picture).ellipse((42, 55, 78, 105), fill=(250, 20, 20))
    return picture


def test_a_busy_photo_is_refused_and_lends_its_surroundings():
    picture = busy_photo()
    assert cut_out(picture) is Refusal.BUSY
    around = surroundings(picture)
    assert around.size == SIZE
    assert np.asarray(around)[:, :, 0].max() < 200, "something of the product is left"
    np.testing.assert_array_equal(np.asarray(around)[:5], np.asarray(picture)[:5])


def test_a_backdrop_is_a_plane_of_colours_whatever_stands_on_it():
    y, x = np.mgrid[0:80, 0:60].astype(np.float32)
    truth = np.stack([90 - 0.1 * y, 0.02 * x, 3 + 0.01 * y + 0.01 * x], axis=-1)
    seen = truth.copy()
    seen[30:, 25:36] = (20, 40, 40)  # down to the lower edge
    found = read_backdrop(seen)
    np.testing.assert_allclose(found.colours, truth, atol=0.05)
    assert found.share == pytest.approx(1 - 33 / (80 * 60 - 74 * 54), abs=0.01)  # a band of 3 pixels
    assert found.noise < 0.1
