"""From pictures to the vectors of the products in them: which count, how they are cut, and what the head does."""

import numpy as np
import pytest
from PIL import Image

from models.capture.finder import InstanceFinder, open_finder, shows_one, shows_several
from models.capture.head import HeadCard, InstanceHead, save_head
from models.capture.regions import Detection, cut_region
from models.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def encoder(weightless):
    return weightless(16)


@pytest.fixture(scope="module")
def blobs(support):
    return support("blobs").BlobDetector()


def on_paper(*boxes, size=(200, 100)):
    """A white picture with a rectangle of another colour at each of `boxes`, in pixels."""
    picture = Image.new("RGB", size, "white")
    for n, box in enumerate(boxes):
        picture.paste(((40, 40, 200), (200, 40, 40), (30, 140, 30))[n % 3], box)
    return picture


TWO = ((10, 10, 70, 60), (120, 30, 160, 90))
ONE = ((50, 20, 100, 80),)


def head_for(encoder, seed=0, fingerprint=None):
    """A head whose weights are all there is to know of it."""
    rng = np.random.default_rng(seed)
    card = HeadCard(name="h", licence="none", encoder=fingerprint or encoder.fingerprint, dim=16, hidden=3)
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in card.shapes().items()}
    return InstanceHead(card.model_copy(update={"fingerprint": f"{seed:064x}"}), weights), weights


def test_every_product_gets_the_vector_of_its_own_region(encoder, blobs):
    pictures = [on_paper(*TWO), on_paper(), on_paper(*ONE)]
    found = InstanceFinder(blobs, None, encoder, least_confidence=0.0).find(pictures)
    assert [len(instances) for instances in found] == [2, 0, 1]
    for picture, instances in zip(pictures, found, strict=True):
        for one in instances:
            [alone] = encoder.encode_images([cut_region(picture, one.detection.box)])
            np.testing.assert_array_equal(one.vector, alone)
    largest = found[0][0].detection.box
    np.testing.assert_allclose(largest, (10 / 200, 10 / 100, 70 / 200, 60 / 100), atol=0.03)


def test_nothing_is_found_in_no_pictures(encoder, blobs):
    assert InstanceFinder(blobs, None, encoder).find([]) == []


@pytest.mark.parametrize(("least", "most", "left"), [(0.0, 8, 3), (0.0, 2, 2), (0.57, 8, 1), (0.9, 8, 0)])
def test_the_unsure_and_the_many_are_left_out(encoder, blobs, least, most, left):
    """Confidence is a half, and half of the share of the picture: 0.575, 0.56 and 0.5125, about."""
    picture = on_paper(TWO[0], TWO[1], (80, 70, 105, 90))
    [found] = InstanceFinder(blobs, None, encoder, least_confidence=least, most=most).find([picture])
    assert len(found) == left
    confidences = [one.detection.confidence for one in found]
    assert confidences == sorted(confidences, reverse=True)


def test_the_head_leads_the_vectors_of_its_own_encoder(encoder, blobs):
    head, weights = head_for(encoder)
    [plain] = InstanceFinder(blobs, None, encoder).find([on_paper(*ONE)])
    [led] = InstanceFinder(blobs, head, encoder).find([on_paper(*ONE)])
    x = plain[0].vector.astype(np.float64)
    hidden = np.maximum(weights["wide.weight"] @ x + weights["wide.bias"], 0)
    y = weights["linear.weight"] @ x + weights["linear.bias"] + weights["narrow.weight"] @ hidden
    y += weights["narrow.bias"]
    np.testing.assert_allclose(led[0].vector, y / np.linalg.norm(y), atol=1e-5)


def test_a_head_for_another_encoder_is_left_alone(encoder, blobs):
    head, _ = head_for(encoder, fingerprint="f" * 64)
    finder = InstanceFinder(blobs, head, encoder)
    assert finder.head is None
    assert finder.fingerprint == InstanceFinder(blobs, None, encoder).fingerprint
    [[one]], [[plain]] = (f.find([on_paper(*ONE)]) for f in (finder, InstanceFinder(blobs, None, encoder)))
    np.testing.assert_array_equal(one.vector, plain.vector)


def test_fingerprints_differ_where_answers_may(encoder, blobs, weightless, support):
    finders = [
        InstanceFinder(blobs, None, encoder),
        InstanceFinder(blobs, head_for(encoder, 1)[0], encoder),
        InstanceFinder(blobs, head_for(encoder, 2)[0], encoder),
        InstanceFinder(blobs, None, encoder, least_confidence=0.4),
        InstanceFinder(blobs, None, encoder, most=3),
        InstanceFinder(support("blobs").BlobDetector(paper=200), None, encoder),
        InstanceFinder(blobs, None, weightless(16, salt="other")),
    ]
    assert len({finder.fingerprint for finder in finders}) == len(finders)
    assert InstanceFinder(blobs, None, encoder).fingerprint == finders[0].fingerprint


def at(*box):
    return Detection(box, 0.9)


@pytest.mark.parametrize(
    ("found", "whole"),
    [
        ([], True),
        ([at(0.1, 0.1, 0.9, 0.9)], True),
        ([at(0.45, 0.1, 0.55, 0.9)], True),  # a tie: narrow, and all there is
        ([at(0.1, 0.45, 0.9, 0.5)], True),
        ([at(0.2, 0.2, 0.7, 0.7)], False),
        ([at(0.1, 0.1, 0.9, 0.9), at(0.4, 0.4, 0.5, 0.5)], True),  # a buckle
        ([at(0.4, 0.4, 0.5, 0.5), at(0.1, 0.1, 0.9, 0.9)], True),
        ([at(0.1, 0.1, 0.7, 0.9), at(0.6, 0.4, 0.9, 0.9)], False),  # a third of it is within
        ([at(0.0, 0.0, 0.5, 1.0), at(0.5, 0.0, 1.0, 1.0)], False),
    ],
)
def test_when_one_product_fills_the_picture(found, whole):
    assert shows_one(found) is whole


@pytest.mark.parametrize(
    ("found", "several"),
    [
        ([], False),
        ([at(0.1, 0.1, 0.9, 0.9)], False),
        ([at(0.0, 0.0, 0.5, 1.0), at(0.5, 0.0, 1.0, 1.0)], True),
        ([at(0.5, 0.0, 0.7, 0.9), at(0.0, 0.0, 0.5, 1.0)], True),  # 0.36 of the larger
        ([at(0.5, 0.0, 0.7, 0.8), at(0.0, 0.0, 0.5, 1.0)], False),  # 0.32 of it
        ([at(0.0, 0.0, 0.54, 1.0), at(0.5, 0.0, 1.0, 1.0)], True),  # 0.08 of the smaller is in the larger
        ([at(0.0, 0.0, 0.56, 1.0), at(0.5, 0.0, 1.0, 1.0)], False),
        ([at(0.0, 0.0, 0.6, 0.6), at(0.1, 0.1, 0.6, 0.6), at(0.6, 0.6, 1.0, 1.0)], True),
    ],
)
def test_when_products_stand_apart(found, several):
    assert shows_several(found) is several


def test_a_folder_without_a_detector_is_refused(encoder, tmp_path):
    head, weights = head_for(encoder)
    save_head(tmp_path / "head", head.card, weights)
    with pytest.raises(CheckpointError, match="holds no detector/"):
        open_finder(tmp_path, encoder)


@pytest.mark.parametrize(("side", "left"), [(600, 600), (1279, 1279), (1280, 640), (4000, 667)])
def test_regions_of_large_photos_are_light(encoder, blobs, side, left):
    """The product takes the photo whole, so its region has its side; the colour is what it was."""
    [[region]] = InstanceFinder(blobs, None, encoder).regions([Image.new("RGB", (side, side // 2), (40, 40, 200))])
    assert region.picture.size == (left, left)
    assert region.picture.getpixel((left // 2, left // 2)) == (40, 40, 200)
