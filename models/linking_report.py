"""Measures a linker on queries with known answers: scores by kind, five plain words, calibration, time.

Making the queries is left to `models.linking_queries`, counting hits to `models.linking_scores`.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from models.linking import EntityLink, EntityLinker
from models.linking_queries import Kind
from models.linking_scores import KnownQuery, LinkingScore, score_of
from models.surfaces import value_words

_BINS = 10


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KindFigures(_Figures):
    """Scores of the queries of one kind; shares in 0..1, None where there is nothing to share.

    Attributes:
        queries: how many.
        precision: of the links judged.
        recall: of the values named.
        f1: harmonic mean of the two.
        left_alone: share of queries in which nothing was linked that is not named.
    """

    queries: int
    precision: float | None
    recall: float | None
    f1: float | None
    left_alone: float


class WordFigures(_Figures):
    """How often one word was left alone where it is a plain word.

    Attributes:
        queries: phrases with the word.
        left_alone: share in which no link but a named one has the word.
        known: whether some value of the catalogue can be written with the word alone; else it is left alone for free.
    """

    queries: int
    left_alone: float
    known: bool


class Bin(_Figures):
    """Links whose probabilities fall into one tenth: their mean probability and the share that are right."""

    links: int
    probability: float
    right: float


class LinkingFigures(_Figures):
    """All figures of one measurement.

    Attributes:
        catalogue: name of the catalogue.
        train_split: split whose statistics the linker has.
        split: split the queries come from.
        seed: of the queries.
        brands: which half of the brands was asked for.
        kinds: kind -> scores.
        words: plain word -> how often it was left alone.
        ece: expected calibration error over ten bins, of the likeliest value of every surface.
        reliability: the ten bins, those without links left out.
        link_ms: median processor time of one link in milliseconds.
    """

    catalogue: str
    train_split: str
    split: str
    seed: int
    brands: str
    kinds: Mapping[str, KindFigures]
    words: Mapping[str, WordFigures]
    ece: float
    reliability: tuple[Bin, ...]
    link_ms: float


def calibration(judged: Sequence[tuple[float, bool]]) -> tuple[float, tuple[Bin, ...]]:
    """Return the expected calibration error, and the reliability table, of `(probability, right)` pairs.

    Naeini et al. 2015: the mean over links of |mean probability - share right| of their bin.
    """
    bins: defaultdict[int, list[tuple[float, bool]]] = defaultdict(list)
    for probability, right in judged:
        bins[min(_BINS - 1, int(probability * _BINS))].append((probability, right))
    table = tuple(
        Bin(
            links=len(found),
            probability=sum(p for p, _ in found) / len(found),
            right=sum(right for _, right in found) / len(found),
        )
        for _, found in sorted(bins.items())
    )
    error = sum(b.links * abs(b.probability - b.right) for b in table)
    return (error / len(judged) if judged else 0.0), table


def measure_linking(
    linker: EntityLinker, queries: Sequence[KnownQuery], *, threshold: float = 0.5
) -> tuple[dict[str, KindFigures], dict[str, WordFigures], list[tuple[float, bool]], float]:
    """Return scores by kind, the five plain words, `(probability, right)` of all candidates, and ms per link.

    Args:
        linker: made with the threshold 0, so that unlikely candidates are seen too.
        queries: with known answers.
        threshold: probability from which a candidate counts as linked.
    """
    kinds: defaultdict[str, LinkingScore] = defaultdict(LinkingScore)
    words: defaultdict[str, list[bool]] = defaultdict(list)
    judged: list[tuple[float, bool]] = []
    times: list[int] = []
    for query in queries:
        started = time.process_time_ns()
        candidates = linker.link(query.text)
        times.append(time.process_time_ns() - started)
        judged += [(c.probability, _pair(c) in query.entities) for c in candidates if query.judges(c.group)]
        links = [c for c in candidates if c.probability > threshold]
        kinds[query.kind] += score_of(query, map(_pair, links))
        if _is_phrase(query):
            words[query.about].append(_is_left_alone(query, links))
    figures = {kind: _kind_figures(score) for kind, score in kinds.items()}
    by_word = {
        word: WordFigures(queries=len(alone), left_alone=sum(alone) / len(alone), known=bool(linker.link(word)))
        for word, alone in words.items()
    }
    return figures, by_word, judged, sorted(times)[len(times) // 2] / 1e6 if times else 0.0


def _pair(link: EntityLink) -> tuple[str, str]:
    return link.group, link.value


def _is_phrase(query: KnownQuery) -> bool:
    return query.kind == Kind.PHRASE


def _is_left_alone(query: KnownQuery, links: Sequence[EntityLink]) -> bool:
    return not any(query.about in value_words(one.surface) and _pair(one) not in query.entities for one in links)


def _kind_figures(score: LinkingScore) -> KindFigures:
    named, linked = score.hits + score.missed, score.hits + score.false
    return KindFigures(
        queries=score.queries,
        precision=score.precision if linked else None,
        recall=score.recall if named else None,
        f1=score.f1 if named else None,
        left_alone=score.left_alone,
    )


def linking_table(figures: LinkingFigures) -> str:
    """Return the figures as plain text, for the terminal."""
    head = (
        f"{figures.catalogue}: statistics of {figures.train_split}, queries of {figures.split}, "
        f"brands {figures.brands}, seed {figures.seed}"
    )
    lines = [head, f"{'kind':<14}{'queries':>8}{'precision':>11}{'recall':>9}{'F1':>8}{'left alone':>12}"]
    for kind, f in figures.kinds.items():
        shares = f"{_share(f.precision):>11}{_share(f.recall):>9}{_share(f.f1):>8}{_share(f.left_alone):>12}"
        lines.append(f"{kind:<14}{f.queries:>8}{shares}")
    lines.append("as plain words, left alone:")
    for word, w in figures.words.items():
        free = "" if w.known else "  (no value here has this word)"
        lines.append(f"  {word:<12}{w.queries:>8}{_share(w.left_alone):>8}{free}")
    lines.append(f"calibration error {figures.ece:.3f} over {sum(b.links for b in figures.reliability)} candidates")
    lines.append(f"median time of one link {figures.link_ms:.2f} ms")
    return "\n".join(lines)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
