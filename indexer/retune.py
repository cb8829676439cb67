"""A bundle again with indexes that were tuned on its own vectors: all else stays as it is.

The new bundle stands beside the old one and is not published. Files that do not change are the same on disk (hard
links; copies where the file system has none). Measuring recipes is left to `indexer.tune`.
"""

import datetime as dt
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from indexer.build import build_lock
from indexer.bundle import BUILDING, BUNDLES, REPORT, Bundle, index_file
from indexer.evaluate import Report, measure, sample_queries
from indexer.indexing import TUNING_FILES, Indexing, write_indexes
from indexer.manifest import SPACES, Manifest, Space, read_manifest
from indexer.report_sections import with_sections
from indexer.signing import draft_id, sign
from indexer.tune import QUERIES, Measured, Told, unheard
from indexer.tuning import choose_exact_rows
from models.encoder import Encoder


@dataclass(frozen=True, slots=True)
class Retuned:
    """The new bundle: its folder, its manifest, its report, and what was measured of each space."""

    path: Path
    manifest: Manifest
    report: Report
    measured: Mapping[Space, Measured]


def retune(
    data_dir: Path,
    source: Path,
    encoder: Encoder,
    asked: Indexing,
    told: Told = unheard,
) -> Retuned:
    """Make a bundle under `data_dir/bundles` of the one in the folder `source`, with tuned indexes and a new report.

    Raises:
        BuildError: a build is running in `data_dir`.
        BundleError: `source` is no bundle, or damaged.
        IndexFileError: no recipe fits into the memory.
    """
    bundles = data_dir / BUNDLES
    bundles.mkdir(parents=True, exist_ok=True)
    with build_lock(data_dir):
        told("verifying")
        Bundle.open(source).close()
        folder = bundles / f"{BUILDING}{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            return _retuned(read_manifest(source), source, folder, encoder, asked, told)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _retuned(was: Manifest, source: Path, folder: Path, encoder: Encoder, asked: Indexing, told: Told) -> Retuned:
    _take_over(was, source, folder)
    start = time.perf_counter()
    records, measured = write_indexes(folder, asked, told)
    tuned = time.perf_counter()
    now = dt.datetime.now(dt.UTC)
    draft = was.model_copy(
        update={"id": draft_id(now), "created_at": now.isoformat(timespec="seconds"), "indexes": records}
    )
    told("measuring the bundle")
    with Bundle(folder, draft) as bundle:
        queries = sample_queries(bundle, QUERIES, asked.seed)
        draft = draft.model_copy(update={"exact_rows": choose_exact_rows(bundle, queries, seed=asked.seed)})
        bundle.restate(draft)
        report = measure(bundle, encoder, seed=asked.seed)
        report = with_sections(report, bundle, encoder, bundle.categories, seed=asked.seed)
    stages = {"tune": round(tuned - start, 3), "measure": round(time.perf_counter() - tuned, 3)}
    report = report.model_copy(update={"stages_s": stages})
    (folder / REPORT).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    told("signing")
    return Retuned(*sign(folder, draft), report, measured)


def _take_over(was: Manifest, source: Path, folder: Path) -> None:
    """Link what stays as it is into the new folder."""
    made_anew = {REPORT, *TUNING_FILES, *(index_file(space) for space in SPACES)}
    for name in was.files:
        if name not in made_anew:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source / name, target)
            except OSError:  # another file system, or one without links
                shutil.copyfile(source / name, target)
