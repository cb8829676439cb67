"""Whether a bundle is what it says it is: its ids, vectors, rows, words and indexes agree with each other.

Digests tell that files are as they were written, not that they were written right. Everything here is looked at in the
bundle itself; its report is not asked. With the encoder, sampled texts and thumbnails are encoded anew and compared
with the vectors stored at their rows, which shows shuffled rows, another model, mangled words and pictures that were
read otherwise. Comparing a bundle with the one before it is left to `indexer.against`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from indexer.bundle import Bundle
from indexer.checks import NAMES, Check, at_least, listed, none_of, skipped
from indexer.evaluate import TIE, K, exact_scores, exact_search, recall, sample_queries, sample_rows
from indexer.manifest import SPACES, Space
from indexer.product_encoding import entities_of, texts_of
from models.encoder import Encoder, Vectors
from models.halves import widened
from models.picture import PictureError, decode_picture

BLOCK: Final = 65_536  # vectors looked at together
BATCH: Final = 32  # texts or pictures encoded together
UNIT_TOLERANCE: Final = 5e-3  # of a vector's length: float16 of 1,024 dimensions is within a tenth of it
SAME_TEXT: Final = 0.995  # cosine: the same text gives over 0.9999 on another runtime, in float16
SAME_PICTURE: Final = 0.8  # cosine: a thumbnail of the picture that was encoded gives 0.9 to 1
FOUND: Final = {"text": SAME_TEXT, "image": 0.95}  # cosine from which something is held for another row's
_SEARCHED: Final = 24  # misplaced vectors that are looked for in all of a bundle
_TITLES: Final = 64

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sample:
    """How much of a bundle is sampled, and by which seed."""

    size: int = 128
    seed: int = 0


def ids_checked(bundle: Bundle) -> Check:
    """Check that no two products have the same id."""
    counts = pc.value_counts(bundle.products.column("id"))
    ids, times = counts.field("values"), counts.field("counts").to_numpy()
    twice = [repr(ids[int(at)].as_py()) for at in np.flatnonzero(times > 1)[:6]]
    number = int((times > 1).sum())
    faults = [f"duplicated ids: {number:,} ids are those of several products ({listed(twice, 3)})"] if number else []
    return none_of("ids", f"{len(ids):,} ids, each of one product", faults)


def vectors_checked(bundle: Bundle, space: Space) -> Check:
    """Check that every vector of a space is finite and of unit length."""
    vectors = bundle.vectors[space]
    zero = infinite = off = 0
    worst = 1.0
    for start in range(0, len(vectors), BLOCK):
        lengths = np.linalg.norm(widened(vectors[start : start + BLOCK]), axis=1)
        finite = np.isfinite(lengths)
        wrong = lengths[finite & (lengths > 0) & (np.abs(lengths - 1) > UNIT_TOLERANCE)]
        zero, infinite, off = zero + int((lengths == 0).sum()), infinite + int((~finite).sum()), off + len(wrong)
        if len(wrong):
            worst = max((worst, *wrong.tolist()), key=lambda length: abs(length - 1))
    n, of = len(vectors), f"{space} vectors"
    faults = [f"zero vectors: {zero:,} of {n:,} {of} are zero"] if zero else []
    faults += [f"{infinite:,} of {n:,} {of} are not finite"] if infinite else []
    faults += [f"wrong normalisation: {off:,} of {n:,} {of} are not of length 1 (one is {worst:.3f})"] if off else []
    return none_of(f"vectors/{space}", f"{n:,} {of} of unit length", faults)


def indexes_checked(bundle: Bundle, bar: float, sample: Sample) -> list[Check]:
    """Check, against exact search in the stored vectors, what each index finds of the true ten nearest."""
    queries = sample_queries(bundle, sample.size, sample.seed)
    return [_index_checked(bundle, space, queries, bar) for space in SPACES if bundle.indexes[space].ntotal]


def _index_checked(bundle: Bundle, space: Space, queries: Vectors, bar: float) -> Check:
    index, vectors = bundle.indexes[space], bundle.vectors[space]
    k = min(K, index.ntotal)
    truth, _ = exact_search(vectors, queries, k)
    _, rows = index.search(queries, k, width=bundle.manifest.indexes[space].width)
    measured = recall(truth, exact_scores(vectors, queries, rows))
    what = f"ANN recall@10 of the {space} index ({index.recipe})"
    return at_least(f"ann-recall/{space}", what, measured, bar)


def words_checked(bundle: Bundle, bar: float, sample: Sample) -> Check:
    """Check that products are found by the words of their titles."""
    rng = np.random.default_rng(sample.seed)
    asked = found = 0
    for row in sample_rows(rng, len(bundle.products), min(sample.size, _TITLES)):
        title = bundle.products[int(row)].title
        if any(letter.isalnum() for letter in title):
            asked += 1
            found += bool(bundle.lexical.scores(title)[row] > 0)
    if not asked:
        return skipped("words", "no sampled title has a word")
    return at_least("words", "the share of products that the words of their title find", found / asked, bar)


def lexical_checked(bundle: Bundle) -> Check:
    """Check that the files of the words fit each other and the products."""
    lexical, n = bundle.path / "lexical", len(bundle.products)
    starts, rows, scores = (np.load(lexical / f"{name}.npy", mmap_mode="r") for name in ("starts", "rows", "scores"))
    frequencies = np.load(lexical / "frequencies.npy", mmap_mode="r")
    faults = []
    if starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] != len(rows) or len(rows) != len(scores):
        faults.append(f"words: {len(rows):,} rows and {len(scores):,} scores do not fit where terms begin")
    if frequencies.shape[1] != len(starts) - 1:
        faults.append(f"words: frequencies of {frequencies.shape[1]:,} terms, of which there are {len(starts) - 1:,}")
    if len(rows) and (rows.min() < 0 or rows.max() >= n):
        faults.append(f"words: rows beyond the {n:,} products")
    if not np.isfinite(scores).all():
        faults.append("words: scores that are not finite")
    return none_of("lexical", f"{len(starts) - 1:,} terms fit {n:,} products", faults)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What encoding anew came to in one space.

    Attributes:
        sampled: things that were encoded.
        agreed: those whose vector is the stored one.
        elsewhere: of those that do not agree and were looked for, the share whose vector stands at another row.
        cosine: median, of the vectors encoded anew and stored.
    """

    sampled: int
    agreed: int
    elsewhere: float
    cosine: float

    @property
    def share(self) -> float:
        """Of those sampled, how many agree."""
        return self.agreed / self.sampled


@dataclass(frozen=True, slots=True)
class RowBars:
    """What share of texts and pictures must agree with their vectors, and what pictures' cosine must be."""

    text: float
    image: float
    cosine: float


def rows_checked(bundle: Bundle, encoder: Encoder, bars: RowBars, sample: Sample) -> list[Check]:
    """Check that texts and thumbnails, encoded anew, give the vectors stored at their rows."""
    texts, images = texts_agree(bundle, encoder, sample), pictures_agree(bundle, encoder, sample)
    why = _diagnosis(texts, images, bars)
    checks = [_agreement("text", texts, bars.text, why)]
    if images is None:
        return [*checks, skipped("rows/image", "there are no pictures")]
    what = "the median cosine of pictures' vectors encoded anew and stored"
    return [
        *checks,
        _agreement("image", images, bars.image, why),
        at_least("cosine/image", what, images.cosine, bars.cosine, why),
    ]


def _agreement(space: Space, found: Agreement, bar: float, why: str) -> Check:
    what = f"the share of {NAMES[space]} that give their stored vector when encoded anew ({found.sampled} sampled)"
    return at_least(f"rows/{space}", what, found.share, bar, why)


def _diagnosis(texts: Agreement, images: Agreement | None, bars: RowBars) -> str:
    """Return what most likely happened, where vectors and products do not agree."""
    text_fails = texts.share < bars.text
    image_fails = images is not None and (images.share < bars.image or images.cosine < bars.cosine)
    if (text_fails and texts.elsewhere > 0.5) or (image_fails and images is not None and images.elsewhere > 0.5):
        return "shuffled rows: the vectors stand at the rows of other products"
    if text_fails and (image_fails or images is None):
        return "wrong model: another encoder made these vectors, or other words and pictures were given to it"
    if text_fails:
        return "mangled text: the words are not those that were encoded"
    return "wrong normalisation: pictures were read otherwise than this encoder reads them"


def texts_agree(bundle: Bundle, encoder: Encoder, sample: Sample) -> Agreement:
    """Encode sampled texts anew and compare them with what is stored at their rows."""
    rows = sample_rows(np.random.default_rng(sample.seed), len(bundle.products), sample.size)
    products = [bundle.products[int(row)] for row in rows]
    texts, entities = texts_of(products, encoder), entities_of(products, encoder)
    parts = [
        encoder.encode_texts(texts[at : at + BATCH], entities[at : at + BATCH]) for at in range(0, len(rows), BATCH)
    ]
    anew = np.concatenate(parts)
    own = _cosines(anew, bundle.vectors["text"][rows])
    agreed = own >= SAME_TEXT
    return Agreement(len(rows), int(agreed.sum()), _elsewhere(bundle, "text", anew[~agreed]), _median(own))


def pictures_agree(bundle: Bundle, encoder: Encoder, sample: Sample) -> Agreement | None:
    """Encode sampled thumbnails anew and compare them with what is stored of their pictures; None: there are none.

    One agrees that is near its own vector, and nearer than those of the other products sampled.
    """
    pictured = sample_rows(np.random.default_rng(sample.seed), len(bundle.image_rows), sample.size)
    if not len(pictured):
        return None
    owners = bundle.image_rows[pictured]
    stored = widened(bundle.vectors["image"][pictured])
    anew = np.concatenate(list(_encoded(bundle, encoder, pictured)))
    cosines = anew @ stored.T
    own = np.diagonal(cosines)
    others = np.where(owners[:, None] == owners, -np.inf, cosines).max(axis=1)
    agreed = (own >= SAME_PICTURE) & (own >= others - TIE)
    elsewhere = _elsewhere(bundle, "image", anew[~agreed])
    return Agreement(len(pictured), int(agreed.sum()), elsewhere, _median(own))


def _encoded(bundle: Bundle, encoder: Encoder, pictured: Rows) -> Iterator[Vectors]:
    for start in range(0, len(pictured), BATCH):
        images = [_thumbnail(bundle, int(picture)) for picture in pictured[start : start + BATCH]]
        yield encoder.encode_images(images)


def _thumbnail(bundle: Bundle, picture: int) -> Image.Image:
    """Return a thumbnail; one that cannot be read is a grey dot, which agrees with nothing."""
    owner = int(bundle.image_rows[picture])
    content = bundle.thumbnail(owner, picture - int(bundle.image_starts[owner]))
    try:
        return decode_picture(content or b"")
    except PictureError:
        return Image.new("RGB", (1, 1), (128, 128, 128))


def _elsewhere(bundle: Bundle, space: Space, anew: Vectors) -> float:
    """Return of vectors that are not stored where they belong, the share that is stored at another row."""
    if not len(anew):
        return 0.0
    nearest, _ = exact_search(bundle.vectors[space], anew[:_SEARCHED], 1)
    return float((nearest[:, 0] >= FOUND[space]).mean())


def _cosines(anew: Vectors, stored: NDArray[np.float16]) -> Vectors:
    return np.asarray(np.einsum("nd,nd->n", anew, widened(stored)), np.float32)


def _median(values: Vectors) -> float:
    return float(np.median(values))


def problems_of(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return what the failed ones of `checks` say."""
    return tuple(check.says for check in checks if check.failed)
