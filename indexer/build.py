"""The pipeline from a catalogue to a bundle: read, encode, write, index, measure, sign.

Everything is written into a hidden folder that is renamed when it is complete, its manifest last, so a build
that dies leaves no bundle. One build runs at a time in a data folder. Making a bundle the current one is
left to `indexer.publish`.
"""

import contextlib
import datetime as dt
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.bundle import (
    BUILDING,
    BUNDLES,
    IMAGE_ROWS,
    PRODUCTS,
    REPORT,
    STATISTICS,
    THUMBNAIL_OFFSETS,
    THUMBNAILS,
    Bundle,
    index_file,
    vectors_file,
)
from indexer.catalogue import CatalogueOptions, RejectedRow, find_feed, read_catalogue
from indexer.categories import judge_categories
from indexer.encode import EncodedBatch, EncodeOptions, encode_catalogue
from indexer.evaluate import Report, measure, sample_queries
from indexer.fold import Fold
from indexer.index import FaissIndex, Recipe
from indexer.lexical import write_lexical
from indexer.locking import LockedError, locked
from indexer.manifest import (
    MANIFEST,
    SPACES,
    Counts,
    EncoderRecord,
    FileRecord,
    FusionWeights,
    IndexRecord,
    Manifest,
    QueryKind,
    Space,
    content_digest,
    record_file,
    sync_file,
    sync_folder,
    write_durably,
)
from indexer.products import ProductTable, ProductWriter
from indexer.rejects import REJECTS, BadRowLimit, BuildError, RejectWriter
from indexer.tuning import (
    DEFAULT_FUSION,
    calibrate_image_weight,
    calibrate_lexical_weight,
    choose_exact_rows,
    choose_width,
)
from indexer.writing import ThumbnailWriter, VectorWriter
from models.encoder import Encoder
from models.entities import EntityStatistics
from models.product import DEFAULT_ENTITY_GROUPS

_LOCK = ".build.lock"
_NO_DIGEST = "0" * 64
_STAMP = "%Y%m%dT%H%M%SZ"
# Left out of a bundle's content digest: timings differ between builds of the same content.
_NOT_CONTENT = frozenset({REPORT})


class Progress(Protocol):
    """Is told how a build goes on."""

    def stage(self, name: str) -> None:
        """A stage of the build begins."""
        ...

    def rows(self, accepted: int, rejected: int) -> None:
        """So many products and rejected rows so far."""
        ...


class NoProgress:
    """Tells nobody."""

    def stage(self, name: str) -> None:
        """Take no notice."""

    def rows(self, accepted: int, rejected: int) -> None:
        """Take no notice."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What to build.

    Attributes:
        catalogue: a feed, or a folder that holds one.
        data_dir: where bundles live.
        recipe: of both indexes, see `indexer.index`.
        seed: of index training and of the samples that the report is measured on.
        bad_rows: how many rows may be bad.
        reading: how the feed is read.
        encoding: how products are encoded.
        fusion: weights by query kind, in place of the calibrated or default ones.
        updates: what an update log changes of the catalogue; None: nothing.
    """

    catalogue: Path
    data_dir: Path
    recipe: str = Recipe.AUTO
    seed: int = 0
    bad_rows: BadRowLimit = field(default_factory=BadRowLimit)
    reading: CatalogueOptions = field(default_factory=CatalogueOptions)
    encoding: EncodeOptions = field(default_factory=EncodeOptions)
    fusion: Mapping[QueryKind, FusionWeights] = field(default_factory=dict)
    updates: Fold | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: the bundle's folder, its manifest and its report."""

    path: Path
    manifest: Manifest
    report: Report


def build(encoder: Encoder, options: BuildOptions, progress: Progress | None = None) -> Built:
    """Build a bundle of the catalogue under `data_dir/bundles` and return it; nothing is published.

    Rejected rows are written to `data_dir/rejects.jsonl` as they are met, and kept in the bundle.

    Raises:
        BuildError: another build is running, too many rows are bad, or the catalogue has no product.
        CatalogueError: the catalogue cannot be read, or breaks off.
    """
    bundles = options.data_dir / BUNDLES
    bundles.mkdir(parents=True, exist_ok=True)
    with build_lock(options.data_dir):
        for left_over in bundles.glob(f"{BUILDING}*"):
            shutil.rmtree(left_over)
        folder = bundles / f"{BUILDING}{os.getpid()}"
        (folder / "vectors").mkdir(parents=True)
        try:
            return _Build(encoder, options, folder, progress or NoProgress()).run()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def build_lock(data_dir: Path) -> Iterator[None]:
    """Hold the right to build in `data_dir`.

    Raises:
        BuildError: another process holds it.
    """
    try:
        with locked(data_dir / _LOCK, wait=False):
            yield
    except LockedError as error:
        msg = f"another build is running in {data_dir} (process {error.holder})"
        raise BuildError(msg) from error


class _Build:
    """One run of the pipeline; each method is a stage."""

    def __init__(self, encoder: Encoder, options: BuildOptions, folder: Path, progress: Progress) -> None:
        self._encoder = encoder
        self._options = options
        self._folder = folder
        self._progress = progress
        self._stages: dict[str, float] = {}
        self._feed = find_feed(options.catalogue)

    def run(self) -> Built:
        with self._stage("read and encode"):
            counts = self._write_rows()
        with self._stage("statistics"):
            self._write_statistics()
        with self._stage("index"):
            records = {space: self._write_index(space) for space in SPACES}
        with self._stage("words"):
            write_lexical(ProductTable.open(self._path(PRODUCTS)), self._folder)
        draft = self._draft(counts, records)
        with self._stage("categories"), Bundle(self._folder, draft) as bundle:
            categories = judge_categories(bundle, self._encoder, seed=self._options.seed)
        if categories is not None:
            categories.write(self._folder)
        with self._stage("measure"), Bundle(self._folder, draft) as bundle:
            draft = self._tuned(bundle, draft)
            bundle.restate(draft)
            report = measure(bundle, self._encoder, seed=self._options.seed)
        report = report.model_copy(update={"stages_s": dict(self._stages)})
        (self._folder / REPORT).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        with self._stage("sign"):
            path, manifest = self._sign(draft)
        return Built(path, manifest, report)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self._progress.stage(name)
        start = time.perf_counter()
        yield
        self._stages[name] = round(time.perf_counter() - start, 3)

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _write_rows(self) -> Counts:
        """Stream the catalogue through the encoder into products, vectors and thumbnails."""
        options, dim = self._options, self._encoder.dim
        rows: list[NDArray[np.int32]] = []
        with (
            ProductWriter(self._path(PRODUCTS)) as products,
            VectorWriter(self._path(vectors_file("text")), dim) as texts,
            VectorWriter(self._path(vectors_file("image")), dim) as images,
            ThumbnailWriter(self._path(THUMBNAILS), self._path(THUMBNAIL_OFFSETS)) as thumbnails,
            RejectWriter(options.data_dir / REJECTS, options.bad_rows) as rejects,
        ):
            read = read_catalogue(self._feed, options.reading)
            read = read if options.updates is None else options.updates.rows(read)
            for item in encode_catalogue(read, self._encoder, options.encoding):
                if isinstance(item, RejectedRow):
                    rejects.add(item, products.written)
                else:
                    rows.append(item.image_rows + np.int32(products.written))
                    _append(item, products, texts, images, thumbnails)
                self._progress.rows(products.written, rejects.count)
            rejects.check_share(products.written)
            counts = (products.written, images.written, rejects.count)
        if not counts[0]:
            msg = f"{self._feed.name}: no product could be read ({counts[2]} bad rows)"
            raise BuildError(msg)
        np.save(self._path(IMAGE_ROWS), np.concatenate(rows))
        shutil.copyfile(options.data_dir / REJECTS, self._path(REJECTS))
        return Counts(products=counts[0], images=counts[1], rejected=counts[2])

    def _write_statistics(self) -> None:
        groups = tuple(dict.fromkeys((*DEFAULT_ENTITY_GROUPS, *self._encoder.vocabularies)))
        statistics = EntityStatistics.collect(ProductTable.open(self._path(PRODUCTS)), groups)
        self._path(STATISTICS).write_text(statistics.to_json(), encoding="utf-8")

    def _write_index(self, space: Space) -> IndexRecord:
        vectors = np.load(self._path(vectors_file(space)), mmap_mode="r")
        index = FaissIndex.build(vectors, self._options.recipe, self._options.seed)
        index.save(self._path(index_file(space)))
        return IndexRecord(
            recipe=index.recipe,
            requested=self._options.recipe,
            width=None,
            ntotal=index.ntotal,
            memory_bytes=index.memory_bytes,
        )

    def _draft(self, counts: Counts, records: Mapping[Space, IndexRecord]) -> Manifest:
        encoder = self._encoder
        now = dt.datetime.now(dt.UTC)
        return Manifest(
            id=f"{now:{_STAMP}}-{_NO_DIGEST[:8]}",
            created_at=now.isoformat(timespec="seconds"),
            catalogue=self._feed.name,
            digest=_NO_DIGEST,
            encoder=EncoderRecord(
                name=encoder.name,
                fingerprint=encoder.fingerprint,
                dim=encoder.dim,
                text_fields=encoder.text_fields,
                entity_groups=tuple(encoder.vocabularies),
            ),
            counts=counts,
            indexes=records,
            fusion={**DEFAULT_FUSION, **self._options.fusion},
            log_position=str(updates.position) if (updates := self._options.updates) else None,
            files={},
        )

    def _tuned(self, bundle: Bundle, draft: Manifest) -> Manifest:
        """Return the manifest with what is chosen on the bundle's own vectors."""
        queries = sample_queries(bundle, 200, self._options.seed)
        indexes = {
            space: record.model_copy(
                update={"width": choose_width(bundle.indexes[space], bundle.vectors[space], queries)}
            )
            for space, record in draft.indexes.items()
        }
        fusion = dict(draft.fusion)
        if QueryKind.IMAGE not in self._options.fusion:
            fusion[QueryKind.IMAGE] = calibrate_image_weight(bundle, seed=self._options.seed)
        bundle.restate(draft.model_copy(update={"indexes": indexes}))  # queries are searched with these widths
        text = calibrate_lexical_weight(bundle, self._encoder, fusion[QueryKind.TEXT], seed=self._options.seed)
        for kind in (QueryKind.TEXT, QueryKind.MIXED):
            if kind not in self._options.fusion:
                fusion[kind] = fusion[kind].model_copy(update={"lexical": text.lexical})
        tuned = draft.model_copy(update={"indexes": indexes, "fusion": fusion})
        bundle.restate(tuned)  # the widths decide what asking the indexes costs
        return tuned.model_copy(update={"exact_rows": choose_exact_rows(bundle, queries, seed=self._options.seed)})

    def _sign(self, draft: Manifest) -> tuple[Path, Manifest]:
        """Digest every file, write the manifest last, and give the folder its name."""
        files: dict[str, FileRecord] = {}
        for path in sorted(p for p in self._folder.rglob("*") if p.is_file()):
            sync_file(path)
            files[path.relative_to(self._folder).as_posix()] = record_file(path)
        for folder in ("vectors", "lexical"):
            sync_folder(self._folder / folder)
        digest = content_digest(files, _NOT_CONTENT)
        bundles = self._folder.parent
        identity = _free_id(bundles, draft.id.partition("-")[0], digest)
        manifest = draft.model_copy(update={"id": identity, "digest": digest, "files": files})
        content = manifest.to_bytes()
        write_durably(self._folder / MANIFEST, content)
        final = bundles / identity
        self._folder.rename(final)
        sync_folder(bundles)
        return final, Manifest.model_validate_json(content)


def _append(
    batch: EncodedBatch,
    products: ProductWriter,
    texts: VectorWriter,
    images: VectorWriter,
    thumbnails: ThumbnailWriter,
) -> None:
    products.write(batch.products)
    texts.write(batch.texts)
    images.write(batch.images)
    thumbnails.write(batch.thumbnails)


def _free_id(bundles: Path, stamp: str, digest: str) -> str:
    """Return an id, time of building and the digest's start, that sorts behind those of earlier builds."""
    moment = dt.datetime.strptime(stamp, _STAMP).replace(tzinfo=dt.UTC)
    while any(bundles.glob(f"{moment:{_STAMP}}-*")):
        moment += dt.timedelta(seconds=1)
    return f"{moment:{_STAMP}}-{digest[:8]}"
