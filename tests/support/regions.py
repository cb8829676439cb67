"""Regions and a catalogue as vectors, related as an encoder's are: a region is its product, turned, with some noise."""

import numpy as np

from models.capture.region_data import CatalogueVectors, RegionTable

_COLOURS = ("red", "green", "blue", "black", "white")
_THINGS = ("boots", "tie", "mug", "hat", "coat", "vase", "belt")


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def turned(dim, seed=0):
    """Return an orthogonal matrix, what a head has to undo."""
    return np.linalg.qr(np.random.default_rng([seed, 1]).standard_normal((dim, dim)))[0]


def made(products=60, composites=80, dim=16, *, noise=0.1, seed=0):
    """Return the regions of `composites` with two to four of `products`, and the catalogue with one or two pictures."""
    rng = np.random.default_rng(seed)
    means = unit(rng.standard_normal((products, dim)))
    counts = rng.integers(1, 3, products)
    owners = np.repeat(np.arange(products), counts)
    pictures = unit(means[owners] + 0.05 * rng.standard_normal((len(owners), dim)))
    ids = tuple(f"p{n}" for n in range(products))
    titles = tuple(f"{_COLOURS[n % 5]} {_THINGS[n // 5 % 7]} {n}" for n in range(products))
    catalogue = CatalogueVectors(ids, ids, titles, pictures, np.concatenate([[0], counts.cumsum()]), f"c{seed}")

    shown = [rng.permutation(products)[: rng.integers(2, 5)] for _ in range(composites)]
    flat = np.concatenate(shown)
    vectors = unit(means[flat] @ turned(dim) + noise * rng.standard_normal((len(flat), dim)))
    corners = rng.uniform(0, 0.5, (len(flat), 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0.2, 0.5, (len(flat), 2))], axis=1).astype(np.float32)
    starts = np.cumsum([0, *map(len, shown)])
    return RegionTable(vectors, boxes, tuple(ids[n] for n in flat), starts, f"r{seed}"), catalogue
