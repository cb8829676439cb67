"""Cuts the product out of a photo of one product: GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004), by OpenCV.

GrabCut is started from the backdrop: what is joined to the photo's edges and coloured like them, shadows included,
is probably not the product. Masks that cannot be right are refused, each for a stated reason. The only module that
knows OpenCV; reading catalogues is left to `models.capture.harvest`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.capture.backdrop import ALIKE, Lab, read_backdrop

Mask = NDArray[np.bool_]
Rgb = NDArray[np.uint8]

cv2.setNumThreads(1)  # processes share the cores, threads would fight for them


class Refusal(StrEnum):
    """Why a photo gives no cut-out."""

    BUSY = "busy"  # its edges are not a plain backdrop
    EMPTY = "empty"  # nothing differs from the backdrop
    SMALL = "small"  # the product covers too little
    LARGE = "large"  # the product covers nearly everything
    EDGE = "edge"  # the product runs along too much of the photo's edges
    FRAGMENTED = "fragmented"  # many pieces, or none that is the main one
    FAINT = "faint"  # the product is coloured like the backdrop
    STRAYED = "strayed"  # GrabCut failed, or ended far from where it started
    UNREADABLE = "unreadable"  # the photo cannot be decoded


@dataclass(frozen=True, slots=True)
class CuttingRules:
    """How photos are cut, and which masks are refused. Shares are of the photo unless said otherwise.

    Attributes:
        side: longer side at which GrabCut works, in pixels.
        most_side: longer side of the cut-out, in pixels.
        rounds: of GrabCut.
        plain: least share of the edges that follow the backdrop.
        least: smallest share of the photo's area that a product covers.
        most: largest.
        most_edge: largest share of the outline of the photo that the product touches.
        pieces: most pieces of a product.
        main: least share of the product that is its largest piece.
        contrast: least mean distance of the product's colours from the backdrop's, in Lab.
        agreement: least IoU of GrabCut's answer with what it was started from.
    """

    side: int = 160
    most_side: int = 256
    rounds: int = 2
    plain: float = 0.8
    least: float = 0.02
    most: float = 0.85
    most_edge: float = 0.3
    pieces: int = 4
    main: float = 0.35
    contrast: float = 12.0
    agreement: float = 0.5


RULES: Final = CuttingRules()
_SHADOW = (32.0, 6.0)  # darker by at most the first, of another tint by at most the second
_SMOOTH = 4.0  # change of lightness from pixel to pixel up to which a darkening may be a shadow
_HOLE = 0.004  # share of the photo from which a patch of backdrop within the product is a hole, not a print
_RIM = 6.0  # change of lightness, on average, around a hole; around a bleached part of a white product it is less
_CRUMB = 0.02  # of the largest piece: smaller ones are dropped
_MINOR = 0.15  # of the largest piece: smaller ones are dropped where they are apart or stand at the photo's edges
_APART = 0.03  # of the photo's longer side
_MARGIN = 0.16  # of the photo's sides


def cut_out(photo: Image.Image, rules: CuttingRules = RULES) -> Image.Image | Refusal:
    """Return the product of an RGB `photo` as RGBA, cropped to what is visible of it, or why there is none."""
    lab, small = _working(photo, rules.side)
    backdrop = read_backdrop(lab)
    if backdrop.share < rules.plain:
        return Refusal.BUSY
    apart = lab - backdrop.colours
    seeds = _seeds(apart, lab, backdrop.noise)
    started = _is_product(seeds)
    if started.mean() < rules.least / 2:
        return Refusal.EMPTY
    mask = _grabcut(small, seeds, rules.rounds)
    if mask is None or _iou(mask, started) < rules.agreement:
        return Refusal.STRAYED
    mask = _filled(mask)
    pieces, areas = _pieces(mask)
    if refusal := _refusal(pieces, areas, apart, rules):
        return refusal
    return _lifted(photo, pieces, rules.most_side)


def surroundings(photo: Image.Image, side: int = 160) -> Image.Image | None:
    """Return what is around the product of a busy photo, at most `side` pixels long; None where that is too little.

    Where the product was, in or near the convex hull of it, the picture is filled in softly from around there.
    """
    lab, small = _working(photo, side)
    height, width, _ = lab.shape
    margin = (round(width * 0.1), round(height * 0.1))
    seeds = np.full((height, width), cv2.GC_BGD, dtype=np.uint8)
    seeds[margin[1] : height - margin[1], margin[0] : width - margin[0]] = cv2.GC_PR_FGD
    found = _grabcut(small, seeds, 2)
    middle = np.zeros((height, width), dtype=np.uint8)
    cv2.ellipse(middle, (width // 2, height // 2), (round(width * 0.3), round(height * 0.32)), 0, 0, 360, 1, -1)
    covered = middle if found is None else np.maximum(middle, found.astype(np.uint8))
    hull = cv2.convexHull(cv2.findNonZero(covered))
    cv2.fillConvexPoly(covered, hull, 1)
    reach = 2 * max(3, round(0.04 * side)) + 1
    known = cv2.dilate(covered, np.ones((reach, reach), dtype=np.uint8)) == 0
    if known.mean() < 0.15:
        return None
    soft = cv2.GaussianBlur(_filled_in(small, known), (0, 0), 0.03 * side)
    return Image.fromarray(np.where(known[:, :, None], small, soft).astype(np.uint8))


def _working(photo: Image.Image, side: int) -> tuple[Lab, Rgb]:
    """Return the photo at the working size, in Lab and in RGB."""
    rgb = np.asarray(photo)
    scale = min(1.0, side / max(photo.size))
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    small = rgb if scale == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    return np.asarray(lab, dtype=np.float32), np.ascontiguousarray(small, dtype=np.uint8)


def _seeds(apart: Lab, lab: Lab, noise: float) -> NDArray[np.uint8]:
    """Return what GrabCut starts from: for each pixel, surely or probably backdrop or product.

    Args:
        apart: `(h, w, 3)`, colours less the backdrop's.
        lab: `(h, w, 3)`, colours.
        noise: of the backdrop; the cleaner it is, the paler a product may be.
    """
    alike = min(max(3.0, 3 * noise), ALIKE)
    far = np.linalg.norm(apart, axis=2)
    tint = np.linalg.norm(apart[:, :, 1:], axis=2)
    light = cv2.GaussianBlur(lab[:, :, 0], (3, 3), 0)
    slope = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0, scale=1 / 4), cv2.Sobel(light, cv2.CV_32F, 0, 1, scale=1 / 4))
    shadow = (apart[:, :, 0] < 0) & (apart[:, :, 0] > -_SHADOW[0]) & (tint < _SHADOW[1]) & (slope < _SMOOTH)
    outside = _joined_to_edges((far < alike) | shadow)
    seeds = np.full(far.shape, cv2.GC_PR_FGD, dtype=np.uint8)
    seeds[_holes(~outside & (far < alike), slope)] = cv2.GC_PR_BGD
    seeds[outside] = cv2.GC_PR_BGD
    sure = outside & (far < alike)
    near = cv2.dilate((~sure).astype(np.uint8), np.ones((7, 7), dtype=np.uint8)) > 0
    seeds[sure & ~near] = cv2.GC_BGD
    return seeds


def _joined_to_edges(alike: Mask) -> Mask:
    """Return the pixels of `alike` that a path three pixels wide joins to the photo's edges."""
    alike = np.pad(alike, 2, mode="edge")
    wide = cv2.erode(alike.astype(np.uint8), np.ones((3, 3), dtype=np.uint8))
    _, labels = cv2.connectedComponents(wide, connectivity=4)
    joined = np.zeros(int(labels.max()) + 1, dtype=bool)
    joined[np.unique(np.concatenate([labels[1], labels[-2], labels[:, 1], labels[:, -2]]))] = True
    joined[0] = False
    reached = cv2.dilate(joined[labels].astype(np.uint8), np.ones((5, 5), dtype=np.uint8)) > 0
    return np.asarray((reached & alike)[2:-2, 2:-2])


def _holes(patches: Mask, slope: NDArray[np.float32]) -> Mask:
    """Return the patches of backdrop within the product that are holes, as in a handle: large, and sharply rimmed."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(patches.astype(np.uint8), connectivity=8)
    holes = np.zeros(count, dtype=bool)
    for patch in range(1, count):
        if stats[patch, cv2.CC_STAT_AREA] >= _HOLE * patches.size:
            own = (labels == patch).astype(np.uint8)
            rim = cv2.dilate(own, np.ones((3, 3), dtype=np.uint8)) - own > 0
            holes[patch] = float(slope[rim].mean()) >= _RIM
    return np.asarray(holes[labels])


def _is_product(seeds: NDArray[np.uint8]) -> Mask:
    return np.asarray((seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD))


def _grabcut(rgb: Rgb, seeds: NDArray[np.uint8], rounds: int) -> Mask | None:
    """Return GrabCut's mask, or None where it has nothing to tell apart. The random choices in it are fixed."""
    cv2.setRNGSeed(0)
    found, rows, columns = seeds.copy(), *_around(seeds != cv2.GC_BGD)
    part = found[rows, columns].copy()
    inner, models = np.ascontiguousarray(rgb[rows, columns]), (np.zeros((1, 65)), np.zeros((1, 65)))
    try:
        cv2.grabCut(inner, part, (0, 0, 1, 1), *models, rounds, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return None
    found[rows, columns] = part
    mask = _is_product(found)
    return mask if mask.any() else None


def _around(mask: Mask, room: int = 6) -> tuple[slice, slice]:
    """Return the rows and columns of the part that holds all of `mask`, and a little around it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    return slice(max(0, rows[0] - room), rows[-1] + 1 + room), slice(max(0, columns[0] - room), columns[-1] + 1 + room)


def _iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _filled(mask: Mask) -> Mask:
    """Return `mask` smoothed, with pinholes closed."""
    rough = mask.astype(np.uint8)
    smooth = np.maximum(cv2.medianBlur(rough, 3), cv2.erode(rough, np.ones((2, 2), dtype=np.uint8)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - smooth, connectivity=8)
    small = np.zeros(count, dtype=bool)
    small[1:] = stats[1:, cv2.CC_STAT_AREA] < _HOLE * mask.size / 2
    return np.asarray((smooth > 0) | small[labels])


def _pieces(mask: Mask) -> tuple[Mask, NDArray[np.int64]]:
    """Return the product without crumbs and ornaments of the backdrop, and the areas of its pieces, largest first."""
    count, labels, stats, middles = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    if count < 2:
        return mask, np.zeros(0, dtype=np.int64)
    main = 1 + int(areas[1:].argmax())
    away = cv2.distanceTransform((labels != main).astype(np.uint8), cv2.DIST_L2, 3) / max(mask.shape)
    middles = middles / [mask.shape[1], mask.shape[0]]
    kept = [main]
    for piece in range(1, count):
        share = areas[piece] / areas[main]
        if piece == main or share < _CRUMB:
            continue
        outer = min(*middles[piece], *(1 - middles[piece])) < _MARGIN
        if share >= _MINOR or not (outer or away[labels == piece].min() > _APART):
            kept.append(piece)
    return np.isin(labels, kept), np.sort(areas[kept])[::-1]


def _refusal(mask: Mask, areas: NDArray[np.int64], apart: Lab, rules: CuttingRules) -> Refusal | None:
    """Return why the mask cannot be right, or None."""
    outline = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    share = float(mask.mean())
    if share < rules.least:
        return Refusal.SMALL
    if share > rules.most:
        return Refusal.LARGE
    if outline.mean() > rules.most_edge:
        return Refusal.EDGE
    if len(areas) > rules.pieces or areas[0] < rules.main * areas.sum():
        return Refusal.FRAGMENTED
    if float(np.linalg.norm(apart[mask], axis=1).mean()) < rules.contrast:
        return Refusal.FAINT
    return None


def _lifted(photo: Image.Image, mask: Mask, most_side: int) -> Image.Image:
    """Return the product on transparent ground, its edge soft and free of the backdrop's colour."""
    scale = min(1.0, most_side / max(photo.size))
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    rgb = np.asarray(photo if scale == 1 else photo.resize(size, Image.Resampling.LANCZOS))
    alpha = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    alpha = cv2.GaussianBlur(alpha, (3, 3), 0)
    alpha = np.clip((alpha - 0.35) / 0.5, 0, 1)
    coloured = _fringe_recoloured(rgb, alpha)
    rows, columns = _around(alpha >= 1 / 255, room=0)
    rgba = np.dstack([coloured, np.round(alpha * 255).astype(np.uint8)])[rows, columns]
    return Image.fromarray(np.ascontiguousarray(rgba, dtype=np.uint8), "RGBA")


def _fringe_recoloured(rgb: Rgb, alpha: NDArray[np.float32]) -> Rgb:
    """Return `rgb` with the half transparent pixels in the colours of the opaque ones beside them."""
    inner = (alpha >= 1).astype(np.float32)
    spread = cv2.blur(inner, (7, 7))
    near = cv2.blur(rgb * inner[:, :, None], (7, 7)) / np.maximum(spread, 1e-6)[:, :, None]
    fringe = (inner == 0) & (spread > 0)
    return np.where(fringe[:, :, None], np.clip(np.round(near), 0, 255), rgb).astype(np.uint8)


def _filled_in(rgb: Rgb, known: Mask) -> Rgb:
    """Return `rgb` with what is not `known` filled from what is around it, the farther away the softer."""
    colours, weights = rgb.astype(np.float32) * known[:, :, None], known.astype(np.float32)
    filled, unknown = rgb.astype(np.float32), ~known
    reach = 1.0
    while unknown.any() and reach < 2 * max(rgb.shape):
        spread = cv2.GaussianBlur(weights, (0, 0), reach)
        reached = unknown & (spread > 0.02)
        filled[reached] = (cv2.GaussianBlur(colours, (0, 0), reach) / np.maximum(spread, 1e-6)[:, :, None])[reached]
        unknown &= ~reached
        reach *= 2
    return np.clip(np.round(filled), 0, 255).astype(np.uint8)
