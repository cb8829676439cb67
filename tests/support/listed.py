"""Catalogues as an audit sees them, with vectors that stand about class means, and an audit of four by hand."""

import numpy as np

from models.category.audit import Audit, Listed
from models.category.judge import Judgement
from models.category.mislabelled import Mislabelled

EVIL = '<script>alert("x")</script> & Söhne, "GmbH"'


def catalogue(seed=0, n=1_000, classes=6, spread=1.0):
    """Return products of two kinds of vectors about class means, a variant for every fifth."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n).astype(np.int32)
    vectors = {
        kind: (rng.normal(size=(classes, 10))[labels] * 1.5 + spread * rng.normal(size=(n, 10))).astype(np.float32)
        for kind in ("text", "image")
    }
    groups = np.where(np.arange(n) % 5 == 4, np.arange(n) - 1, np.arange(n))
    return Listed(vectors, labels, tuple(f"class {c}" for c in range(classes)), groups)


def listed_as(listed, labels):
    """Return the same products with other `labels`."""
    return Listed(listed.vectors, labels, listed.names, listed.groups)


def judged(classes, names=3):
    """Return a judgement of `classes`, less and less sure, every class as likely."""
    classes = np.array(classes, np.int32)
    probability = np.linspace(0.9, 0.5, len(classes))
    return Judgement(
        classes, np.zeros(len(classes), np.float32), probability, np.full((len(classes), names), 1 / names)
    )


def small():
    """Return four products, the second and the last listed wrongly; the given product 1 was left out."""
    labels = np.array([0, 1, 2, 1], np.int32)
    listed = Listed({}, labels, (EVIL, "b", "c"), np.arange(4))
    text, image, both = judged([0, 0, 2, 1]), judged([0, 2, 2, 1]), judged([0, 0, 2, 2])
    wrong = np.array([0.01, 0.9996, 0.02, 0.75])
    return Audit(
        listed, np.array([0, 2, 3, 4]), ("rare one",), {}, text, image, both,
        Mislabelled(0.25, 1.0, np.ones(3) / 3), wrong, np.array([1, 3, 2, 0]),
    )  # fmt: skip
