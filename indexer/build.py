"""The pipeline from a catalogue to a bundle: read, encode, write, index, measure, sign.

Everything is written into a hidden folder that is renamed when it is complete, its manifest last, so a build
that dies leaves no bundle. What was encoded is kept (`indexer.store`): the next build encodes what is missing there,
and comes to the same bundle. One build runs at a time in a data folder. Making a bundle the current one is left to
`indexer.publish`.
"""

import contextlib
import datetime as dt
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.assemble import BARE, RowWriter
from indexer.bundle import BUILDING, BUNDLES, PRODUCTS, REPORT, STATISTICS, Bundle
from indexer.catalogue import CatalogueOptions, find_feed, read_catalogue
from indexer.categories import Categories, judge_categories
from indexer.encode import LocalEngine
from indexer.evaluate import Report, measure, sample_queries
from indexer.fold import Fold
from indexer.indexing import Indexing, write_indexes
from indexer.lexical import write_lexical
from indexer.locking import LockedError, locked
from indexer.manifest import (
    BundleError,
    Counts,
    EncoderRecord,
    FusionWeights,
    IndexRecord,
    Manifest,
    QueryKind,
    Space,
    read_manifest,
)
from indexer.products import ProductTable
from indexer.recipes import Goal, Recipe
from indexer.rejects import REJECTS, BadRowLimit, BuildError, RejectWriter
from indexer.report_sections import with_sections
from indexer.signing import NO_DIGEST, draft_id, sign
from indexer.store import STORE, Store, store_folder
from indexer.tuning import (
    DEFAULT_FUSION,
    calibrate_image_weight,
    calibrate_lexical_weight,
    choose_exact_rows,
    choose_width,
)
from indexer.work import Block, EncodeOptions, Engine, Step, TaskT, steps
from models.encoder import Encoder, Vectors
from models.entities import EntityStatistics
from models.product import DEFAULT_ENTITY_GROUPS

_WAITING_BLOCKS: Final = 2
_LOCK = ".build.lock"


MakeEngine = Callable[[EncodeOptions], Engine[Any]]


class Progress(Protocol):
    """Is told how a build goes on."""

    def stage(self, name: str) -> None:
        """A stage of the build begins."""
        ...

    def rows(self, accepted: int, rejected: int, reused: int) -> None:
        """So many products and rejected rows so far; so many of the products need not be encoded."""
        ...


class NoProgress:
    """Tells nobody."""

    def stage(self, name: str) -> None:
        """Take no notice."""

    def rows(self, accepted: int, rejected: int, reused: int) -> None:
        """Take no notice."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What to build.

    Attributes:
        catalogue: a feed, or a folder that holds one.
        data_dir: where bundles live.
        recipe: of both indexes, see `indexer.recipes`.
        goal: recall that searches are to have, and the memory that both indexes may take together.
        tune: whether all recipes are measured on the new vectors, and the best is taken.
        tune_seconds: that this may take.
        index_device: what helps to build the indexes: `cpu`, `cuda`, or `auto` for a GPU if there is one.
        seed: of index training and of the samples that the report is measured on.
        bad_rows: how many rows may be bad.
        reading: how the feed is read.
        encoding: how products are encoded.
        fusion: weights by query kind, in place of the calibrated or default ones.
        updates: what an update log changes of the catalogue; None: nothing.
        fresh: whether every product is encoded anew, although the data folder keeps it encoded.
        engine: makes what encodes, if that is not this process.
    """

    catalogue: Path
    data_dir: Path
    recipe: str = Recipe.AUTO
    goal: Goal = field(default_factory=Goal)
    tune: bool = False
    tune_seconds: float | None = None
    index_device: str = "auto"
    seed: int = 0
    bad_rows: BadRowLimit = field(default_factory=BadRowLimit)
    reading: CatalogueOptions = field(default_factory=CatalogueOptions)
    encoding: EncodeOptions = field(default_factory=EncodeOptions)
    fusion: Mapping[QueryKind, FusionWeights] = field(default_factory=dict)
    updates: Fold | None = None
    fresh: bool = False
    engine: MakeEngine | None = None

    @property
    def indexing(self) -> Indexing:
        """What the indexes are to be."""
        return Indexing(
            self.recipe, self.goal, self.seed, tuned=self.tune, seconds=self.tune_seconds, device=self.index_device
        )


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: the bundle's folder, its manifest and its report.

    Attributes:
        path: the folder.
        manifest: its manifest.
        report: what was measured.
        encoded: products that were encoded for it.
        reused: products whose encodings were kept, or are those of an equal product.
    """

    path: Path
    manifest: Manifest
    report: Report
    encoded: int
    reused: int


def build(encoder: Encoder, options: BuildOptions, progress: Progress | None = None) -> Built:
    """Build a bundle of the catalogue under `data_dir/bundles` and return it; nothing is published.

    What is encoded is kept in `data_dir/encoded`, whatever becomes of the build; when it has come to its end, only what
    its bundle was made of, and what other encoders made that a bundle in the folder is of.

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
        if options.fresh:
            shutil.rmtree(store_folder(options.data_dir, encoder.fingerprint), ignore_errors=True)
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
        self._store = Store(store_folder(options.data_dir, encoder.fingerprint))
        self._encoded = self._reused = 0

    def run(self) -> Built:
        with self._stage("read and encode"):
            counts = self._write_rows()
        with self._stage("statistics"):
            self._write_statistics()
        with self._stage("index"):
            records, _ = write_indexes(self._folder, self._options.indexing, self._progress.stage)
        with self._stage("words"):
            write_lexical(ProductTable.open(self._path(PRODUCTS)), self._folder)
        draft = self._draft(counts, records)
        with self._stage("categories"), Bundle(self._folder, draft) as bundle:
            categories = self._judged(bundle)
        if categories is not None:
            categories.write(self._folder)
        with self._stage("measure"), Bundle(self._folder, draft) as bundle:
            draft = self._tuned(bundle, draft)
            bundle.restate(draft)
            report = measure(bundle, self._encoder, seed=self._options.seed)
            report = with_sections(report, bundle, self._encoder, categories, seed=self._options.seed)
        report = report.model_copy(update={"stages_s": dict(self._stages)})
        (self._folder / REPORT).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        with self._stage("sign"):
            path, manifest = sign(self._folder, draft)
        with contextlib.suppress(OSError):  # what is left over takes room and nothing else
            self._store.sweep(self._options.encoding.block)
            _forget_others(self._options.data_dir, self._encoder.fingerprint)
        return Built(path, manifest, report, self._encoded, self._reused)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self._progress.stage(name)
        start = time.perf_counter()
        yield
        self._stages[name] = round(time.perf_counter() - start, 3)

    def _judged(self, bundle: Bundle) -> Categories | None:
        """Judge the categories, by texts that do not state them."""
        path = self._path(BARE)
        texts: NDArray[np.float16] | None = np.asarray(np.load(path, mmap_mode="r")) if path.exists() else None
        categories = judge_categories(bundle, self._encoder, seed=self._options.seed, texts=texts)
        path.unlink(missing_ok=True)
        return categories

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _write_rows(self) -> Counts:
        """Stream the catalogue through the encoder into the store, and from there into the bundle."""
        options = self._options
        engine = (options.engine or self._local)(options.encoding)
        read = read_catalogue(self._feed, options.reading)
        read = read if options.updates is None else options.updates.rows(read)
        keep = options.encoding.keep_without_images
        todo = steps(read, self._encoder, self._store, engine.prepare, options.encoding, options.bad_rows)
        with (
            contextlib.closing(todo),
            RejectWriter(options.data_dir / REJECTS, options.bad_rows) as rejects,
            RowWriter(self._folder, self._encoder, self._store, rejects, keep=keep) as rows,
        ):
            _in_background(rows.write, engine.blocks(self._told(todo)))
            counts = rows.finish(self._feed.name)
        shutil.copyfile(options.data_dir / REJECTS, self._path(REJECTS))
        return counts

    def _local(self, options: EncodeOptions) -> LocalEngine:
        return LocalEngine(self._encoder, options)

    def _told(self, todo: Iterator[Step[TaskT]]) -> Iterator[Step[TaskT]]:
        """Yield steps, counting them."""
        accepted = rejected = 0
        keep = self._options.encoding.keep_without_images
        for step in todo:
            bad = step.row.refused(step.row.problems, keep=keep) is not None
            accepted, rejected = accepted + (not bad), rejected + bad
            self._encoded += step.work is not None
            self._reused += step.row.key is not None and step.work is None
            self._progress.rows(accepted, rejected, self._reused)
            yield step

    def _write_statistics(self) -> None:
        groups = tuple(dict.fromkeys((*DEFAULT_ENTITY_GROUPS, *self._encoder.vocabularies)))
        statistics = EntityStatistics.collect(ProductTable.open(self._path(PRODUCTS)), groups)
        self._path(STATISTICS).write_text(statistics.to_json(), encoding="utf-8")

    def _draft(self, counts: Counts, records: Mapping[Space, IndexRecord]) -> Manifest:
        encoder = self._encoder
        now = dt.datetime.now(dt.UTC)
        return Manifest(
            id=draft_id(now),
            created_at=now.isoformat(timespec="seconds"),
            catalogue=self._feed.name,
            digest=NO_DIGEST,
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
            feed_as_of=updates.as_of if updates else None,
            files={},
        )

    def _width(self, bundle: Bundle, space: Space, queries: Vectors) -> int | None:
        return choose_width(bundle.indexes[space], bundle.vectors[space], queries, self._options.goal.recall)

    def _tuned(self, bundle: Bundle, draft: Manifest) -> Manifest:
        """Return the manifest with what is chosen on the bundle's own vectors."""
        queries = sample_queries(bundle, 200, self._options.seed)
        indexes = {
            space: record.model_copy(update={"width": record.width or self._width(bundle, space, queries)})
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


def _in_background(write: Callable[[Block], None], blocks: Iterable[Block]) -> None:
    """Write blocks in a thread while the next ones are made; a few wait at most. What it raises is raised here."""
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="write") as thread:
        for block in blocks:
            waiting.append(thread.submit(write, block))
            while len(waiting) > _WAITING_BLOCKS or (waiting and waiting[0].done()):
                waiting.popleft().result()
        for written in waiting:
            written.result()


def _forget_others(data_dir: Path, fingerprint: str) -> None:
    """Remove what is kept of other encoders, except of those that a bundle is of."""
    wanted = {store_folder(data_dir, fingerprint)}
    for bundle in (data_dir / BUNDLES).iterdir():
        with contextlib.suppress(BundleError):
            wanted.add(store_folder(data_dir, read_manifest(bundle).encoder.fingerprint))
    for folder in (data_dir / STORE).iterdir():
        if folder not in wanted:
            shutil.rmtree(folder)
