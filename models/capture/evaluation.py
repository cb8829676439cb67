"""Measures ways of searching for every product in a photo, beside each other on the same photos.

`whole` searches with the whole photo, once; `true` with what is in the true boxes, the most any detector could bring;
`found` with what a detector found, as the service does. Where there is a head each is also led by it (`+head`). Where
there are captions and a CAPTURE model its joint embedding is measured, alone (`+capture`) and with half of the weight
beside the head (`+head+capture`). An instance is missed where no detection overlaps it by at least half; a detection
finds one instance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.capture.detecting import Detector
from models.capture.finder import LEAST_CONFIDENCE, MOST
from models.capture.head import InstanceHead
from models.capture.instance_ranks import (
    Gallery,
    Searched,
    instance_figures,
    interleaved,
    picture_figures,
    reciprocal_at_10,
    search,
)
from models.capture.joint import JointEmbedder
from models.capture.region_data import CatalogueVectors, encoded, rows_of
from models.capture.regions import Detection, cut_region
from models.capture.scenes import Fractions, Scene
from models.encoder import Encoder, Vectors
from models.metrics import (
    NO_BOX,
    Difference,
    Interval,
    PictureBoxes,
    Values,
    bootstrap_interval,
    detection_interval,
    match_boxes,
    overlaps,
    paired_bootstrap,
)

HALF: Final = 0.5
_NONE: Final = -1
_WHOLE: Final = (0.0, 0.0, 1.0, 1.0)

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Systems:
    """What is measured.

    Attributes:
        encoder: reads regions and photos.
        detector: finds boxes; None: only true boxes and whole photos are measured.
        head: leads vectors of regions to those of catalogue pictures.
        joint: embeds regions and catalogue pictures with what is said of them.
    """

    encoder: Encoder
    detector: Detector | None = None
    head: InstanceHead | None = None
    joint: JointEmbedder | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found.

    Attributes:
        pictures: how many photos.
        instances: products on them.
        products: in the gallery.
        gallery: pictures in the gallery.
        detection: average precision and more by name; empty without a detector or true boxes.
        instance: by system, figures of instances by name.
        picture: by system, figures of whole photos by name.
        differences: of mAP@10 of instances, `a - b` by "a - b".
    """

    pictures: int
    instances: int
    products: int
    gallery: int
    detection: dict[str, Interval] = field(default_factory=dict)
    instance: dict[str, dict[str, Interval]] = field(default_factory=dict)
    picture: dict[str, dict[str, Interval]] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """What is searched with, of all photos.

    Attributes:
        vectors: `(n, d)` of the encoder.
        boxes: `(n, 4)` fractions.
        scene: `(n,)` row of each one's photo.
        instance: `(n,)` row of the instance each one found, -1 for none.
    """

    vectors: Vectors
    boxes: NDArray[np.float32]
    scene: Rows
    instance: Rows


def evaluate_scenes(
    scenes: Sequence[Scene], catalogue: CatalogueVectors, systems: Systems, seed: int = 0
) -> tuple[Evaluation, dict[str, Values]]:
    """Measure `systems` on `scenes`, every product in the catalogue's pictures a candidate.

    Returns:
        The figures, and of each system the rank of every instance, inf where it was missed.

    Raises:
        DataError: a scene shows a product that the catalogue lacks.
    """
    gallery = _gallery(catalogue, catalogue.vectors)
    wanted = rows_of([one for scene in scenes for one in scene.products], catalogue.ids)
    counts = [len(scene.products) for scene in scenes]
    of_scene = np.repeat(np.arange(len(scenes)), counts)
    result = Evaluation(len(scenes), len(wanted), len(catalogue), len(catalogue.vectors))
    judge = _Judge(scenes, gallery, wanted, of_scene, seed, result)

    sources = _sources(scenes, of_scene, systems, result, seed)
    said = None
    if systems.joint is not None and all(scene.caption for scene in scenes):
        said = _gallery(catalogue, systems.joint.catalogue(catalogue))
    for name, regions in sources.items():
        judge.add(name, regions)
        if name == "whole" and "true" in sources:
            continue  # a photo of several products is no region
        led = regions
        if systems.head is not None:
            led = replace(regions, vectors=systems.head.apply(regions.vectors))
            judge.add(f"{name}+head", led)
        if systems.joint is not None and said is not None:
            embedded = _embedded(scenes, regions, systems.joint)
            judge.add(f"{name}+capture", embedded, said)
            if systems.head is not None:
                judge.add(f"{name}+head+capture", _beside(led, embedded), _beside(gallery, said))
    judge.compare()
    return result, judge.ranks


def _sources(
    scenes: Sequence[Scene], of_scene: Rows, systems: Systems, result: Evaluation, seed: int
) -> dict[str, Regions]:
    """Return whole photos, true boxes where they are known, and what a detector found; its figures go to `result`."""
    instances = np.arange(len(of_scene))
    whole = encoded(systems.encoder, (scene.picture for scene in scenes))[of_scene]
    sources = {"whole": Regions(whole, _boxes([_WHOLE] * len(instances)), of_scene, instances)}
    known = all(scene.boxes is not None for scene in scenes)
    if known:
        sources["true"] = _true(scenes, of_scene, systems.encoder)
    if systems.detector is not None:
        detections = [systems.detector.detect([scene.picture])[0] for scene in scenes]
        sources["found"] = _found(scenes, detections, systems.encoder)
        if known:
            result.detection.update(detection_figures(scenes, detections, seed))
            result.detection.update(served_figures(sources["found"], len(instances), seed))
    return sources


def _embedded(scenes: Sequence[Scene], regions: Regions, joint: JointEmbedder) -> Regions:
    captions = [scenes[row].caption or "" for row in regions.scene]
    return replace(regions, vectors=joint.embed(regions.vectors, regions.boxes, captions))


Vectored = TypeVar("Vectored", Regions, Gallery)


def _beside(one: Vectored, other: Vectored) -> Vectored:
    """Return `one` with the vectors of both side by side: by cosine, the mean of the two similarities."""
    both = np.concatenate([one.vectors, other.vectors], axis=1) / 2**0.5
    return replace(one, vectors=both.astype(np.float32))


def _gallery(catalogue: CatalogueVectors, vectors: Vectors) -> Gallery:
    return Gallery(vectors, np.repeat(np.arange(len(catalogue)), np.diff(catalogue.starts)), catalogue.ids)


class _Judge:
    """Searches with regions and keeps the figures."""

    def __init__(
        self, scenes: Sequence[Scene], gallery: Gallery, wanted: Rows, of_scene: Rows, seed: int, result: Evaluation
    ) -> None:
        self.scenes, self._gallery, self._wanted, self._seed = scenes, gallery, wanted, seed
        self._of_scene, self._result = of_scene, result
        self.ranks: dict[str, Values] = {}

    def add(self, name: str, regions: Regions, gallery: Gallery | None = None) -> None:
        """Search with `regions` and keep what that brings under `name`."""
        offered = gallery or self._gallery
        wanted = np.where(regions.instance == _NONE, _NONE, self._wanted[regions.instance])
        found = search(regions.vectors, wanted, offered)
        ranks = np.full(len(self._wanted), np.inf)
        matched = regions.instance != _NONE
        ranks[regions.instance[matched]] = found.ranks[matched]
        self.ranks[name] = ranks
        self._result.instance[name] = instance_figures(ranks, self._seed)
        lists = self._lists(regions, found)
        self._result.picture[name] = picture_figures(
            lists, [scene.products for scene in self.scenes], offered, self._seed
        )

    def _lists(self, regions: Regions, found: Searched) -> list[list[int]]:
        of_picture: list[list[list[int]]] = [[] for _ in self.scenes]
        for scene, pictures in zip(regions.scene, found.pictures.tolist(), strict=True):
            of_picture[scene].append(pictures)
        return [interleaved(lists) for lists in of_picture]

    def compare(self) -> None:
        """Compare every system with the plain vectors of the same regions, and those with the whole photo."""
        for name, ranks in self.ranks.items():
            plain, led, kind = name.partition("+")
            others = {plain if led else "whole"} | ({f"{plain}+head"} if led and kind != "head" else set())
            for other in sorted(others & self.ranks.keys() - {name}):
                self._result.differences[f"{name} - {other}"] = paired_bootstrap(
                    reciprocal_at_10(ranks), reciprocal_at_10(self.ranks[other]), self._seed
                )


def _true(scenes: Sequence[Scene], of_scene: Rows, encoder: Encoder) -> Regions:
    boxes = [tuple(box.tolist()) for scene in scenes if scene.boxes is not None for box in scene.boxes]
    cut = (cut_region(scenes[row].picture, box) for row, box in zip(of_scene, boxes, strict=True))
    return Regions(encoded(encoder, cut), _boxes(boxes), of_scene, np.arange(len(boxes)))


def _found(scenes: Sequence[Scene], detections: Sequence[Sequence[Detection]], encoder: Encoder) -> Regions:
    """Return what a detector found, as it is served; where true boxes are not known only the surest, or all."""
    boxes: list[tuple[float, float, float, float]] = []
    of_scene: list[int] = []
    instance: list[int] = []
    first = 0
    for row, (scene, found) in enumerate(zip(scenes, detections, strict=True)):
        served = [one for one in found if one.confidence >= LEAST_CONFIDENCE][:MOST]
        if scene.boxes is None:
            served = served[:1] or [Detection(_WHOLE, 1.0)]
            matched = [0]
        else:
            matched = _matched(scene, scene.boxes, served).tolist()
        boxes += [one.box for one in served]
        of_scene += [row] * len(served)
        instance += [_NONE if place == NO_BOX else first + place for place in matched]
        first += len(scene.products)
    cut = (cut_region(scenes[row].picture, box) for row, box in zip(of_scene, boxes, strict=True))
    vectors = encoded(encoder, cut)
    return Regions(vectors, _boxes(boxes), np.array(of_scene, np.int64), np.array(instance, np.int64))


def _matched(scene: Scene, true: Fractions, found: Sequence[Detection]) -> Rows:
    """Return which instance each detection found; a cell counts like the box of what is in it."""
    boxes = [one.box for one in found]
    rows = match_boxes(boxes, [one.confidence for one in found], true, HALF)
    if scene.larger is not None and boxes:
        over = overlaps(boxes, scene.larger)
        over[:, rows[rows != NO_BOX]] = -1.0
        for row in np.flatnonzero(rows == NO_BOX):
            best = int(over[row].argmax())
            if over[row, best] >= HALF:
                rows[row] = best
                over[:, best] = -1.0
    return rows


def detection_figures(
    scenes: Sequence[Scene], detections: Sequence[Sequence[Detection]], seed: int = 0
) -> dict[str, Interval]:
    """Return AP50 and AP75 of all detections, and where cells are known AP50 of those, with intervals over photos."""

    def pictures(true: str) -> list[PictureBoxes]:
        return [
            PictureBoxes([one.box for one in found], [one.confidence for one in found], getattr(scene, true))
            for scene, found in zip(scenes, detections, strict=True)
        ]

    figures = {
        "ap50": detection_interval(pictures("boxes"), HALF, seed),
        "ap75": detection_interval(pictures("boxes"), 0.75, seed),
    }
    if all(scene.larger is not None for scene in scenes):
        figures["ap50_cells"] = detection_interval(pictures("larger"), HALF, seed)
    return figures


def served_figures(found: Regions, instances: int, seed: int = 0) -> dict[str, Interval]:
    """Return how many of the instances the served boxes found, and how many of the boxes found one."""
    hits = found.instance != _NONE
    recalled = np.isin(np.arange(instances), found.instance[hits])
    figures = {"served_recall": bootstrap_interval(recalled.astype(float), seed)}
    return figures | ({"served_precision": bootstrap_interval(hits.astype(float), seed)} if len(hits) else {})


def _boxes(boxes: Sequence[tuple[float, ...]]) -> NDArray[np.float32]:
    return np.array(boxes, np.float32).reshape(-1, 4)
