"""The full check of a bundle: that its files are as they were written, and that what they hold is right.

What is looked at is that of the gate and more of it, without a bundle to compare with; `indexer.soundness` does it.
"""

import numpy as np

from indexer.bars import Bars
from indexer.bundle import Bundle
from indexer.checks import Check, at_least, none_of, skipped
from indexer.evaluate import TIE, exact_scores, sample_rows
from indexer.gate import report_of
from indexer.manifest import SPACES, Space
from indexer.soundness import (
    RowBars,
    Sample,
    ids_checked,
    indexes_checked,
    lexical_checked,
    rows_checked,
    vectors_checked,
    words_checked,
)
from models.encoder import Encoder
from models.halves import widened
from models.picture import PictureError, decode_picture


def look_deep(bundle: Bundle, encoder: Encoder | None, bars: Bars, sample: Sample) -> list[Check]:
    """Return what was found in an open bundle, whose digests and shapes were checked when it was opened.

    `encoder` is the one that made it; None: nothing is encoded anew.

    Raises:
        BundleError: its report is none.
    """
    vectors = [vectors_checked(bundle, space) for space in SPACES]
    lexical = lexical_checked(bundle)
    checks = [ids_checked(bundle), *vectors, lexical, _counts(bundle), _thumbnails(bundle, sample)]
    if not lexical.failed:
        checks.append(words_checked(bundle, bars.words, sample))
    if any(check.failed for check in vectors):
        return [*checks, skipped("searches", "vectors are unsound: nothing was searched or encoded")]
    checks += [_finds_itself(bundle, space, bars, sample) for space in SPACES if bundle.indexes[space].ntotal]
    checks += indexes_checked(bundle, bars.ann_recall, sample)
    if encoder is None:
        return [*checks, skipped("rows", "without an encoder nothing was encoded anew")]
    return checks + rows_checked(
        bundle, encoder, RowBars(bars.row_texts, bars.row_pictures, bars.picture_cosine), sample
    )


def _counts(bundle: Bundle) -> Check:
    """Check that the report and the entity counts are of these products."""
    report, counts = report_of(bundle), bundle.manifest.counts
    faults = []
    if (report.products, report.images) != (counts.products, counts.images):
        faults.append(
            f"the report is of {report.products:,} products and {report.images:,} pictures, "
            f"the manifest of {counts.products:,} and {counts.images:,}"
        )
    return none_of("counts", f"{counts.products:,} products and {counts.images:,} pictures everywhere", faults)


def _thumbnails(bundle: Bundle, sample: Sample) -> Check:
    """Check that sampled thumbnails are pictures."""
    bad = 0
    pictured = sample_rows(np.random.default_rng(sample.seed), len(bundle.image_rows), sample.size)
    for picture in pictured:
        owner = int(bundle.image_rows[picture])
        try:
            decode_picture(bundle.thumbnail(owner, int(picture - bundle.image_starts[owner])) or b"")
        except PictureError:
            bad += 1
    faults = [f"{bad:,} of {len(pictured):,} sampled thumbnails cannot be read"] if bad else []
    return none_of("thumbnails", f"{len(pictured):,} sampled thumbnails can be read", faults)


def _finds_itself(bundle: Bundle, space: Space, bars: Bars, sample: Sample) -> Check:
    """Check that the rows of an index are those of the vectors: a vector finds itself, or its equal."""
    index, vectors = bundle.indexes[space], bundle.vectors[space]
    rows = sample_rows(np.random.default_rng(sample.seed), len(vectors), sample.size)
    queries = widened(vectors[rows])
    _, found = index.search(queries, 1, width=bundle.manifest.indexes[space].width)
    own = np.einsum("nd,nd->n", queries, queries)
    share = float((exact_scores(vectors, queries, found)[:, 0] >= own - TIE).mean())
    return at_least(f"index/{space}", f"the share of {space} vectors that the index finds", share, bars.ann_recall)
