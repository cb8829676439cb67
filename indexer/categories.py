"""What a bundle knows of the categories of its products: judges of texts and pictures, and what they say of each.

A category's class is what at least MIN_PRODUCTS products state, whatever its case. Products are judged by cross-fitting
(`models.category.judge`); those beyond FITTED, and those without a category, by the judges fitted on the others. The
text judge reads words and entities without the category. A catalogue with fewer than two such classes has no judges.
"""

import contextlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from indexer.manifest import BundleError, checked_path
from indexer.product_encoding import entities_of, texts_of
from models.calibration import Isotonic, Method
from models.category.judge import Judge, Judgement, TooFewError, combined, fit_judge
from models.encoder import Encoder
from models.halves import widened
from models.isotonic import RisingCurve
from models.product import Product
from models.vector_blocks import NO_CLASS, Labels

if TYPE_CHECKING:
    from indexer.bundle import Bundle

Shares = NDArray[np.float32]
Stored = TypeVar("Stored", np.int32, np.float32)

FILE: Final = "categories.npz"
GROUP: Final = "category"
MIN_PRODUCTS: Final = 5
FITTED: Final = 50_000  # products, drawn at random
QUERIES: Final = 1_000  # made to learn how sure one may be of a shopper's words
MIN_QUERIES: Final = 50
_ENCODED_AT_ONCE: Final = 256
_JUDGED_AT_ONCE: Final = 16_384
_KINDS: Final = ("text", "image")


@dataclass(frozen=True, eq=False)
class Judged:
    """What was judged of n products.

    Attributes:
        classes: `(n,) int32`, the likeliest class, -1: nothing to judge by.
        margins: `(n,) float32`, its lead.
        probability: `(n,) float32`, that it is right.
    """

    classes: Labels
    margins: Shares
    probability: Shares

    @classmethod
    def of(cls, judgement: Judgement) -> Self:
        """Keep what is stored of a judgement."""
        return cls(judgement.classes, judgement.margins.astype(np.float32), judgement.probability.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Categories:
    """The judges of a catalogue's categories, and what they say of its n products.

    Attributes:
        names: of the C classes, as the catalogue spells them.
        judges: of texts and of pictures, by kind; no judge of pictures where there are too few.
        listed: `(n,) int32`, what the catalogue states; -1: nothing, or a class that is too rare.
        judged: by kind, what was judged of each product.
        both: what the judges come to together.
        of_queries: how likely a shopper's words are judged right, by the margin; None: nothing to learn it from.
        wrong: `(n,) float32`, the probability that the listed class is not the right one; 0 where none is listed.
    """

    names: tuple[str, ...]
    judges: Mapping[str, Judge]
    listed: Labels
    judged: Mapping[str, Judged]
    both: Judged
    wrong: Shares
    of_queries: RisingCurve | None

    def number(self, name: str) -> int | None:
        """Return the class called `name`, whatever its case; None if there is none."""
        known = {own.casefold(): place for place, own in enumerate(self.names)}
        return known.get(name.casefold())

    def write(self, folder: Path) -> None:
        """Write everything into the bundle `folder`."""
        arrays: dict[str, NDArray[np.generic]] = {"names": np.array(self.names), "listed": self.listed}
        arrays["wrong"] = self.wrong
        if self.of_queries is not None:
            arrays["queries"] = np.stack([self.of_queries.x, self.of_queries.y])
        for kind, judge in self.judges.items():
            arrays |= {f"{kind}/{name}": array for name, array in judge.to_arrays().items()}
        for kind, judged in {**self.judged, "both": self.both}.items():
            arrays |= {f"{kind}/{name}": getattr(judged, name) for name in _STORED}
        np.savez(folder / FILE, **arrays)  # type: ignore[arg-type]  # its stubs take a flag for an array

    @classmethod
    def open(cls, folder: Path, n: int) -> Self:
        """Read what `write` wrote for n products.

        Raises:
            BundleError: it is damaged or does not fit.
        """
        path = checked_path(folder, FILE)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                arrays: dict[str, NDArray[np.generic]] = dict(stored.items())
            kinds = [kind for kind in _KINDS if _within(arrays, kind)]
            judges = {kind: Judge.from_arrays(_within(arrays, kind)) for kind in kinds}
            judged = {kind: _judged(_within(arrays, kind), n) for kind in kinds}
            names = tuple(str(name) for name in arrays["names"])
            listed, wrong = _column(arrays, "listed", np.int32, n), _column(arrays, "wrong", np.float32, n)
            of_queries = _curve(arrays["queries"]) if "queries" in arrays else None
            found = cls(names, judges, listed, judged, _judged(_within(arrays, "both"), n), wrong, of_queries)
            found._check_classes()
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            msg = f"{path}: not readable categories: {error}"
            raise BundleError(msg) from error
        return found

    def _check_classes(self) -> None:
        if any(judge.names != self.names for judge in self.judges.values()):
            msg = "the judges are of other classes"
            raise ValueError(msg)
        for classes in (self.listed, self.both.classes, *(judged.classes for judged in self.judged.values())):
            if classes.size and not NO_CLASS <= classes.min() <= classes.max() < len(self.names):
                msg = f"a class is none of the {len(self.names)}"
                raise ValueError(msg)


_STORED: Final = ("classes", "margins", "probability")


def _within(arrays: Mapping[str, NDArray[np.generic]], kind: str) -> dict[str, NDArray[np.generic]]:
    return {name.removeprefix(f"{kind}/"): array for name, array in arrays.items() if name.startswith(f"{kind}/")}


def _judged(arrays: Mapping[str, NDArray[np.generic]], n: int) -> Judged:
    classes = _column(arrays, "classes", np.int32, n)
    return Judged(classes, _column(arrays, "margins", np.float32, n), _column(arrays, "probability", np.float32, n))


def _curve(points: NDArray[np.generic]) -> RisingCurve:
    curve = np.asarray(points, np.float64)
    if curve.ndim != 2 or len(curve) != 2:
        msg = f"queries must be two rows, not {curve.shape}"
        raise ValueError(msg)
    return RisingCurve(curve[0], curve[1])


def _column(arrays: Mapping[str, NDArray[np.generic]], name: str, kind: type[Stored], n: int) -> NDArray[Stored]:
    column = arrays[name]
    if column.shape != (n,) or column.dtype != np.dtype(kind):
        msg = f"{name} must be ({n},) {kind.__name__}, not {column.shape} {column.dtype}"
        raise ValueError(msg)
    return column.view(kind)


def judge_categories(
    bundle: "Bundle", encoder: Encoder, *, seed: int = 0, texts: NDArray[np.float16] | None = None
) -> Categories | None:
    """Fit judges on the categories that the products of `bundle` state, and judge all of them.

    `texts`, `(n, d)`, are the products' texts encoded without their category, where that has been done.

    None: there are fewer than two classes of MIN_PRODUCTS products, or none is left to learn from when the variants of
    a product are held out.
    """
    names, listed = _listed(bundle)
    if len(names) < 2:
        return None
    groups = _groups(bundle)
    parts: dict[str, Judgement] = {}
    judges: dict[str, Judge] = {}
    pictured = np.diff(bundle.image_starts) > 0
    for kind, vectors, there in (
        ("text", _texts(bundle, encoder) if texts is None else texts, np.ones(len(listed), np.bool_)),
        ("image", _pictures(bundle), pictured),
    ):
        if len(np.unique(listed[there & (listed != NO_CLASS)])) > 1:
            with contextlib.suppress(TooFewError):
                judges[kind], part = _judge(vectors, np.where(there, listed, NO_CLASS), names, groups, seed)
                parts[kind] = part.only(there)
    if not parts:
        return None
    both = combined(list(parts.values()))
    chance = np.take_along_axis(both.chances, np.maximum(listed, 0)[:, None], axis=1)[:, 0]
    wrong = np.where(listed == NO_CLASS, 0.0, 1 - chance).astype(np.float32)
    judged = {kind: Judged.of(part) for kind, part in parts.items()}
    of_queries = _of_queries(bundle, encoder, judges["text"], listed, seed) if "text" in judges else None
    return Categories(tuple(names), judges, listed, judged, Judged.of(both), wrong, of_queries)


def _of_queries(bundle: "Bundle", encoder: Encoder, judge: Judge, listed: Labels, seed: int) -> RisingCurve | None:
    """Learn how likely words that do not name a category are judged right: texts are longer than what shoppers type.

    From as many words of products, drawn at random, as a query may have, the category's name left out.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(listed != NO_CLASS)
    drawn = rng.permutation(np.repeat(rows, 2))[:QUERIES] if len(rows) else rows
    texts = [_as_typed(bundle.products[int(row)], rng) for row in drawn]
    kept = [at for at, text in enumerate(texts) if text]
    if len(kept) < MIN_QUERIES:
        return None
    vectors = np.concatenate(
        [
            encoder.encode_texts([texts[at] for at in kept[start : start + _ENCODED_AT_ONCE]])
            for start in range(0, len(kept), _ENCODED_AT_ONCE)
        ]
    )
    return Isotonic.fit(judge.decide(vectors), listed[drawn[kept]], Method.MARGIN).curve


def _as_typed(product: Product, rng: np.random.Generator) -> str:
    """Return some words that follow one another in a product's texts, without the name of its category."""
    hidden = {_stem(word) for word in (product.category or "").split()}
    words = [word for word in f"{product.title} {product.description}".split() if _stem(word) not in hidden]
    many = int(rng.integers(2, 11))
    start = int(rng.integers(0, max(1, len(words) - many + 1)))
    return " ".join(words[start : start + many])


def _stem(word: str) -> str:
    """Return what a word and its plural share: dress, dresses; shoe, shoes."""
    return word.casefold().strip(".,").rstrip("es")


def _listed(bundle: "Bundle") -> tuple[list[str], Labels]:
    """Return the classes, and that of each product, -1 for none."""
    column = bundle.fields.keywords([GROUP]).get(GROUP)
    if column is None:
        return [], np.full(len(bundle.products), NO_CLASS, np.int32)
    counts = np.bincount(column.codes, minlength=len(column.values))
    kept = np.flatnonzero(counts >= MIN_PRODUCTS)
    number = np.full(len(column.values), NO_CLASS, np.int32)
    number[kept] = np.arange(len(kept))
    listed = np.full(len(bundle.products), NO_CLASS, np.int32)
    listed[column.rows] = number[column.codes]
    return [column.values[code] for code in kept.tolist()], listed


def _groups(bundle: "Bundle") -> NDArray[np.int64]:
    """Return a number for each product that its variants share."""
    codes, known = bundle.products.entity_codes("group")
    return np.where(codes < 0, len(known) + np.arange(len(codes)), codes).astype(np.int64)


def _judge(
    vectors: NDArray[np.float16], labels: Labels, names: list[str], groups: NDArray[np.int64], seed: int
) -> tuple[Judge, Judgement]:
    """Fit on all that is labelled, or on FITTED of it, and judge everything."""
    known = np.flatnonzero(labels != NO_CLASS)
    fitted = known if len(known) <= FITTED else np.sort(np.random.default_rng(seed).permutation(known)[:FITTED])
    judge, own = fit_judge(vectors[fitted], labels[fitted], names, groups[fitted], seed=seed)
    n = len(labels)
    found = Judgement(
        np.full(n, NO_CLASS, np.int32), np.zeros(n, np.float32), np.zeros(n), np.zeros((n, len(names)), np.float32)
    )
    _put(found, fitted, own)
    others = np.setdiff1d(np.arange(n), fitted)
    for start in range(0, len(others), _JUDGED_AT_ONCE):
        some = others[start : start + _JUDGED_AT_ONCE]
        _put(found, some, judge.judge(vectors[some]))
    return judge, found


def _put(found: Judgement, rows: NDArray[np.int64], part: Judgement) -> None:
    found.classes[rows], found.margins[rows] = part.classes, part.margins
    found.probability[rows], found.chances[rows] = part.probability, part.chances


def _texts(bundle: "Bundle", encoder: Encoder) -> NDArray[np.float16]:
    """Return the text vectors of all products without their category."""
    if GROUP not in encoder.vocabularies:
        return bundle.vectors["text"]
    found = np.empty(bundle.vectors["text"].shape, np.float16)
    for start in range(0, len(found), _ENCODED_AT_ONCE):
        products = bundle.products[start : start + _ENCODED_AT_ONCE]
        stated = [{k: v for k, v in given.items() if k != GROUP} for given in entities_of(products, encoder)]
        found[start : start + len(products)] = encoder.encode_texts(texts_of(products, encoder), stated)
    return found


def _pictures(bundle: "Bundle") -> NDArray[np.float16]:
    """Return the mean of each product's pictures, unit length; zeros for one without."""
    n, d = bundle.vectors["text"].shape
    sums = np.zeros((n, d), np.float32)
    for start in range(0, len(bundle.image_rows), _JUDGED_AT_ONCE):
        rows = bundle.image_rows[start : start + _JUDGED_AT_ONCE]
        np.add.at(sums, rows, widened(bundle.vectors["image"][start : start + _JUDGED_AT_ONCE]))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(lengths > 0, lengths, 1)).astype(np.float16)
