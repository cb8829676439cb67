"""What category a query is of, and what that means for its candidates: a filter, or a penalty for those of another.

A name of a category in the words, or one that the caller gives, decides; otherwise the judges of the bundle do, by the
duels of its classes: words by the judge of texts, pictures by that of pictures, both as a product of experts. Where
there are hits, those at the top vote on it: what is found for some words tells more of them than the words themselves,
and where hits and a name in the words disagree, nothing is sure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from indexer.categories import GROUP, Categories
from indexer.fields import Mask
from indexer.products import fold_value
from indexer.ranking import Scored
from indexer.searchable import Searchable
from models.category.judge import Judgement, combined
from models.encoder import Vectors
from service.errors import InvalidRequestError
from service.mixture import Mixture
from service.query import PicturePart, Query, RerankAction, TextPart
from service.understand import LinkedEntity

Action = RerankAction | Literal["none"]
Source = Literal["caller", "linked", "words", "picture", "both", "hits"]

ALTERNATIVES: Final = 4
_LEAST: Final = 1e-12
VOTERS: Final = 20
"""Hits that vote."""

_NEAR: Final = 0.05  # of the scores' span: a hit so much below another one has a vote 1 / e as heavy
_JUDGES: Final = 0.3  # the exponent of what the judges say beside the votes
_UNJUDGED: Final = 0.02  # the chance of what the judges do not name
_FAR: Final = 0.5  # of the scores' span, over which a hit of another category loses in proportion to its distance
SURE_NAME: Final = 0.5  # from which on a linked name of a category is taken for one
_KINDS: Final[dict[type, str]] = {TextPart: "text", PicturePart: "image"}


@dataclass(frozen=True, slots=True)
class Guess:
    """The category that something is of.

    Attributes:
        name: As the catalogue spells it.
        probability: That it is this one.
        source: Who says so.
        alternatives: The likeliest others with their probabilities; none where it was named.
    """

    name: str
    probability: float
    source: Source
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Reranked:
    """What a guess was used for; `reason` says why for less than was asked, else it is empty."""

    guess: Guess | None
    action: Action
    reason: str = ""


def category_of(view: Searchable, query: Query, mixture: Mixture | None, links: Sequence[LinkedEntity]) -> Guess | None:
    """Return the category that a query is of; None where nothing tells.

    Raises:
        InvalidRequestError: the caller names a category that no product has.
    """
    asked = query.rerank
    if asked is not None and asked.category is not None:
        return _named(view, asked.category)
    linked = [link for link in links if link.group == GROUP and query.parts[link.query].weight > 0]
    sure = max(linked, key=lambda link: link.probability, default=None)
    if sure is not None and sure.probability >= SURE_NAME:
        return Guess(sure.value, sure.probability, "linked")
    if mixture is None or view.categories is None:
        return None
    return judged(view.categories, kind_vectors(query, mixture))


def _named(view: Searchable, name: str) -> Guess:
    codes, known = view.products.entity_codes(GROUP)
    rows = np.flatnonzero(codes == known.get(fold_value(name), -2))
    if not len(rows):
        msg = f"rerank.category: no product is of the category {name!r}."
        raise InvalidRequestError(msg, path="rerank.category")
    return Guess(view.products[int(rows[0])].category or name, 1.0, "caller")


def kind_vectors(query: Query, mixture: Mixture) -> dict[str, Vectors]:
    """Return the vector of the words, without their category, and of the pictures, `(d,)` unit length."""
    found: dict[str, Vectors] = {}
    for part, kind in _KINDS.items():
        rows = [
            row
            for row, (number, name, _, _) in enumerate(mixture.labels)
            if isinstance(query.parts[number], part) and query.parts[number].weight > 0 and name != GROUP
        ]
        total = mixture.terms[rows].sum(axis=0)
        length = float(np.linalg.norm(total))
        if rows and length > 0:
            found[kind] = total / np.float32(length)
    return found


def judged(categories: Categories, vectors: dict[str, Vectors]) -> Guess | None:
    """Return the category that the judges of texts and of pictures see in vectors by kind; None without a judge."""
    parts: dict[str, Judgement] = {
        kind: categories.judges[kind].judge(vector[None, :].astype(np.float32))
        for kind, vector in vectors.items()
        if kind in categories.judges
    }
    if not parts:
        return None
    [first, *others] = parts.values()
    whole = combined([first, *others]) if others else first
    source: Source = "both" if others else "words" if "text" in parts else "picture"
    chances, best, probability = whole.chances[0], int(whole.classes[0]), float(whole.probability[0])
    if source == "words" and categories.of_queries is not None:
        probability = float(categories.of_queries(whole.margins)[0])
    left = (1 - probability) / max(float(chances.sum() - chances[best]), _LEAST)  # what is left for the others
    order = [int(place) for place in np.argsort(-chances, kind="stable") if place != best][:ALTERNATIVES]
    # However little may be known of words as short as these: what came first is no less likely than the others.
    alternatives = tuple((categories.names[place], min(float(chances[place]) * left, probability)) for place in order)
    return Guess(categories.names[best], probability, source, alternatives)


def voted(view: Searchable, hits: Scored, guess: Guess | None) -> Guess | None:
    """Return the category of the best hits: the weight of their votes, times what the judges say to a small power.

    A hit votes for the category it states, one that states none for what its judges see in it, as likely as that is.

    Args:
        view: Holds them.
        hits: At least VOTERS of them, or all there are.
        guess: What the query itself tells. A name that is linked keeps its probability where the hits agree; where they
            do not, they are no likelier right than it is wrong.
    """
    best = hits.take(hits.best()[:VOTERS])
    if not len(best.rows):
        return guess
    span = max(float(best.scores[0] - min(0.0, best.scores[-1])), _LEAST)
    weights = np.exp((best.scores - best.scores[0]) / (_NEAR * span))
    votes: dict[str, float] = {}
    for (seen, chance), weight in zip(_categories_of(view, best.rows), weights / weights.sum(), strict=True):
        votes[seen] = votes.get(seen, 0.0) + chance * float(weight)
    votes.pop("", None)
    if not votes:
        return guess
    total = sum(votes.values())
    spelled = {fold_value(name): name for name in votes}
    if guess is not None and guess.source != "linked":
        stated = {fold_value(name): chance for name, chance in ((guess.name, guess.probability), *guess.alternatives)}
        votes = {spelled[key]: votes[spelled[key]] * max(stated.get(key, 0.0), _UNJUDGED) ** _JUDGES for key in spelled}
    scale = total / sum(votes.values())
    order = sorted(votes, key=lambda name: -votes[name])
    (name, probability), *others = ((name, votes[name] * scale) for name in order[: 1 + ALTERNATIVES])
    source: Source = "hits"
    if guess is not None and guess.source == "linked":
        if fold_value(guess.name) == fold_value(name):
            name, probability, source = guess.name, max(guess.probability, probability), "linked"
        else:
            probability = min(probability, 1 - guess.probability)
    most = min(probability, 1 - probability) if source == "linked" else probability
    return Guess(name, probability, source, tuple((other, min(chance, most)) for other, chance in others))


def _categories_of(view: Searchable, rows: NDArray[np.int64]) -> list[tuple[str, float]]:
    """Return the category of each product and how likely it is of that; no name where nothing tells."""
    found: list[tuple[str, float]] = []
    categories = view.categories
    for row in rows.tolist():
        stated = view.products[row].category
        if stated:
            found.append((stated, 1.0))
        elif categories is not None and row < len(categories.listed) and categories.both.classes[row] >= 0:
            found.append((categories.names[categories.both.classes[row]], float(categories.both.probability[row])))
        else:
            found.append(("", 1.0))
    return found


def fitting(view: Searchable, name: str, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """Return how likely products are of the category `name`, `(n,)` or of `rows`, `(m,) float32`.

    A product that states it is. One that states none is as likely as its judges say; one that states another is as
    likely as that is wrong, if the judges say it is of this one.
    """
    codes, known = view.products.entity_codes(GROUP)
    places = np.arange(len(codes)) if rows is None else rows
    stated, code = codes[places], known.get(fold_value(name), -2)
    chance: NDArray[np.float32] = np.asarray(stated == code, np.float32)
    categories = view.categories
    number = None if categories is None else categories.number(name)
    if categories is not None and number is not None:
        judged = np.flatnonzero((places < len(categories.listed)) & (stated != code))
        judged = judged[categories.both.classes[places[judged]] == number]
        if view.live is not None:
            judged = judged[view.live[places[judged]]]
        at = places[judged]
        chance[judged] = np.where(stated[judged] < 0, categories.both.probability[at], categories.wrong[at])
    return chance


def relative_fit(view: Searchable, guess: Guess, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how likely products are of the query's category, over how likely the guess is, `(m,) float32`, 0 to 1.

    The query's category is the one that is guessed or one of its alternatives, each as likely as it is.
    """
    fit = fitting(view, guess.name, rows)
    for name, chance in guess.alternatives:
        fit += np.float32(chance / max(guess.probability, _LEAST)) * fitting(view, name, rows)
    return np.minimum(fit, np.float32(1), out=fit)


def narrowed(view: Searchable, query: Query, among: Mask | None, guess: Guess | None) -> tuple[Mask | None, Reranked]:
    """Return the products to search among, and what is made of a guess; a filter that leaves nothing is not used."""
    asked = query.rerank
    if asked is None or guess is None:
        return among, Reranked(guess, "none", "" if asked is None else "nothing tells the category")
    if guess.probability < asked.min_confidence:
        return among, Reranked(guess, "none", "not sure enough")
    if asked.action == "demote":
        return among, Reranked(guess, "demote")
    mask = fitting_mask(view, among, Reranked(guess, "filter"))
    if not mask.any():
        return among, Reranked(guess, "demote", "no product of the category meets the filter")
    return mask, Reranked(guess, "filter")


def fitting_mask(view: Searchable, among: Mask | None, reranked: Reranked) -> Mask:
    """Return which products, of those in `among`, are more likely of the category than not, `(n,) bool`."""
    if reranked.guess is None:
        return np.zeros(len(view.products), np.bool_)
    fits = fitting(view, reranked.guess.name) > 0.5
    return fits if among is None else fits & among


def unfiltered(reranked: Reranked) -> Reranked:
    """Return what is made of a guess instead of a filter under which nothing was found."""
    return replace(reranked, action="demote", reason="nothing of the category is found")


def demoted(view: Searchable, scored: Scored, reranked: Reranked) -> Scored:
    """Return the candidates with what each loses by being of another category, as its last added column.

    A product that cannot be of the category loses `(2 p - 1)^2` of what the best score is above the worst, or above 0,
    for a guess of probability p: with a sure guess it comes behind all that are, and nothing is lost by one that is as
    likely wrong as right. Weighed by p itself, wrong guesses cost more than right ones bring (docs/evaluation.md). One
    of an alternative loses less by as much as that is likely. Unless the caller named the category, a product that is
    nearly as good as the best loses less, in proportion to what it lacks: it may well be what is sought.
    """
    guess = reranked.guess
    if guess is None or not len(scored.rows):
        return scored
    sure = np.float32(max(0.0, 2 * guess.probability - 1) ** 2)
    span = np.float32(max(0.0, float(scored.scores.max())) - min(0.0, float(scored.scores.min())))
    most = span if guess.source == "caller" else np.minimum(span, (scored.scores.max() - scored.scores) / _FAR)
    loss = np.asarray(-sure * most * (1 - relative_fit(view, guess, scored.rows)), np.float32)
    return replace(scored, scores=scored.scores + loss, added=np.column_stack([scored.added, loss]))
