"""Links the words of a query to entity values, or leaves them alone.

A surface found in the query has candidate readings: entity values, attribute values (a colour, which is no
entity but competes for the word) and the plain word. Their probabilities combine, as in naive Bayes, how the
catalogue itself uses the surface, the words beside it, and which other values of the query occur with it on
products. Words that match nothing and are no words of the catalogue are tried as misspellings. Counting the
catalogue is left to `models.entity_statistics`, the dictionary to `models.lexicon`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.entity_statistics import EntityStatistics, Evidence
from models.lexicon import PLAIN, Form, Lexicon, Reading, Span, is_name
from models.linking_frames import frame_of_name, frame_of_noun, is_joint
from models.misspellings import Misspellings
from models.neighbours import (
    FUNCTION_WORDS,
    FollowingWords,
    NeighbourCues,
    NeighbourKinds,
    Side,
    left_word,
    right_word,
)
from models.pacing import unhurried
from models.plain_words import PlainWords, is_ordinary
from models.surfaces import Token, tokenize

_MAX_TOKENS = 512
_SURE = 0.6  # probability from which the reading of one surface speaks for those of the others
_TINY = 1e-3
_MOST_BY_WORD = 3.0  # one neighbouring word never says more
_MOST_SOLD = -1.5  # the same of a word that names products, seldom as it may stand behind a name
_MOST_COMPANY = 12  # readings of one text that speak for others: bounds the time

LogScores = dict[Reading | None, float]
"""Reading -> logarithm of its weight; None for the plain word."""


@dataclass(frozen=True, slots=True)
class EntityLink:
    """Words of a text that name an entity value.

    Attributes:
        group: entity group of the value.
        value: as the catalogue spells it.
        surface: the words as they stand in the text.
        start: offset of the first character in the text.
        end: offset after the last character.
        probability: that the words are meant so, in (0, 1).
    """

    group: str
    value: str
    surface: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class LinkingWeights:
    """How much each kind of evidence counts. The defaults serve catalogues in general.

    Attributes:
        title: of a title that uses the surface in a reading, in products.
        description: of a description that uses a name; people search in words more like titles.
        reference: of a description that uses another value: "goes with jeans" still means jeans.
        held: of a product that has the value, for shops whose texts never name it.
        plain: of the plain word where it is never seen, times the square root of the other readings' weight.
        partial: of the plain word for a single word of a longer name, times the other readings' weight.
        neighbour: exponent of the likelihood of the words beside the surface.
        word: occurrences presumed when a neighbouring word's own counts are smoothed.
        function: trust in the counts of one function word, the rest being left to its kind.
        company: exponent of the likelihood of the query's other values.
        together: products presumed when co-occurrences are smoothed.
        rival: log likelihood of a reading when the text names another value of its group.
        head: the same on top where the other value comes later, for the last noun of a phrase is its head.
        ordinary: of the plain word for a name that is an ordinary word, times the other readings' weight.
        sharpness: factor of the log odds of a link at last; it moves no link across one half.
    """

    title: float = 1.0
    description: float = 0.4
    reference: float = 0.14
    held: float = 0.3
    plain: float = 0.03
    partial: float = 0.4
    neighbour: float = 0.8
    word: float = 4.0
    function: float = 0.7
    company: float = 0.7
    together: float = 1.0
    rival: float = -1.5
    head: float = -1.0
    sharpness: float = 1.5
    ordinary: float = 0.06


DEFAULT_WEIGHTS = LinkingWeights()


@dataclass(frozen=True, slots=True)
class _Surface:
    """A surface as the catalogue shows it, ready to be weighed.

    Attributes:
        priors: log weight of each reading.
        uses: group or `plain` -> texts that use the surface so.
        beside: side -> neighbouring word -> group or `plain` -> occurrences.
    """

    priors: LogScores
    uses: Mapping[str, int]
    beside: Mapping[Side, Mapping[str, Mapping[str, int]]]


class EntityLinker:
    """Links texts to the entity values of one catalogue. Immutable; safe to call from threads."""

    def __init__(
        self,
        statistics: EntityStatistics,
        *,
        threshold: float = 0.5,
        weights: LinkingWeights = DEFAULT_WEIGHTS,
    ) -> None:
        self._statistics = statistics
        self._groups = frozenset(statistics.groups)
        self._threshold = threshold
        self._weights = weights
        self._lexicon = Lexicon(statistics.vocabulary)
        self._misspellings = Misspellings(self._lexicon, statistics.words, self._groups)
        self._cues = NeighbourCues(statistics.contexts)
        self._following = FollowingWords(statistics.evidence.values(), statistics.words)
        self._plain = PlainWords(statistics.title_words, statistics.words)
        self._open = {key: self._surface(key, found) for key, found in unhurried(statistics.evidence.items())}

    def link(self, text: str) -> list[EntityLink]:
        """Return the entities `text` names, sorted by place, without overlap.

        A link is made where one entity value is more probable than the threshold.
        """
        tokens = tokenize(text)[:_MAX_TOKENS]
        confidence = self._find(tokens)
        spans = list(confidence)
        kinds = NeighbourKinds(self._lexicon, tokens, spans, shopping=True)
        alone = [self._weigh(tokens, span, kinds) for span in spans]
        company = _company(alone)
        links: list[EntityLink] = []
        for at, span in enumerate(spans):
            others = {reading: max(places) > at for reading, places in company.items() if places != {at}}
            reading, probability = self._best_entity(self._with_company(alone[at], others))
            probability = _sharpened(probability * confidence[span], self._weights.sharpness)
            if reading is not None and probability > self._threshold:
                start, end = tokens[span.start].start, tokens[span.end - 1].end
                link = EntityLink(reading.group, reading.value, text[start:end], start, end, probability)
                links.append(link)
        return links

    def _find(self, tokens: Sequence[Token]) -> dict[Span, float]:
        """Return the spans of all surfaces in order, each with the confidence that it was meant."""
        exact = self._lexicon.find(tokens)
        guesses = self._misspellings.find(tokens, exact)
        guessed = {at for guess in guesses for at in range(guess.span.start, guess.span.end)}
        found = {span: 1.0 for span in exact if span.start not in guessed and span.end - 1 not in guessed}
        found.update(guesses)
        return dict(sorted(found.items()))

    def _weigh(self, tokens: Sequence[Token], span: Span, kinds: NeighbourKinds) -> LogScores:
        """Return the logarithm of each reading's weight by the surface itself and its neighbours."""
        surface = self._open.get(span.key) or self._surface(span.key, None)
        beside: list[tuple[Side, str, str | None]] = [
            ("left", kinds.left(span), left_word(tokens, span)),
            ("right", kinds.right(span), right_word(tokens, span)),
        ]
        if not any(reading is not None and is_name(reading.group) for reading in surface.priors):
            beside = [(side, kind, word) for side, kind, word in beside if not is_joint(side, tokens, span)]
        shown = {
            group: [side for side, _, word in beside if word and surface.beside[side].get(word, {}).get(group)]
            for group in {r.group for r in surface.priors if r is not None}
        }
        scores: LogScores = {}
        for reading, prior in surface.priors.items():
            group = PLAIN if reading is None else reading.group
            logs = [self._log_neighbour(surface, side, kind, word, group) for side, kind, word in beside]
            if is_name(group):
                following = self._following.log_likelihood(group, span, tokens, kinds.right(span))
                logs.append(max(following, _MOST_SOLD) if self._plain.sells(right_word(tokens, span)) else following)
            framed = 0.0
            if reading is not None and is_name(group):
                framed = frame_of_name(tokens, span, kinds) + self._plain.of_name(tokens, span, kinds, shown[group])
            elif reading is not None:
                framed = frame_of_noun(tokens, span)
                if group == "category":
                    modifies = self._plain.of_noun(tokens, span, kinds, shown[group])
                    following = self._following.log_likelihood(group, span, tokens, kinds.right(span))
                    framed += min(modifies, 0.5 * following) if modifies else 0.0
            scores[reading] = prior + self._weights.neighbour * (sum(logs) + framed)
        return scores

    def _log_neighbour(self, surface: _Surface, side: Side, kind: str, word: str | None, group: str) -> float:
        """Return log P(neighbour | surface, reading) / P(neighbour | surface).

        From the words the catalogue has beside this surface, smoothed towards the kind of neighbour; from the
        kind alone where it never has this word there.
        """
        by_kind = self._cues.log_likelihood(side, kind, group)
        counts = surface.beside[side].get(word) if word is not None else None
        if counts is None:
            return by_kind
        usual = sum(counts.values()) / max(1, sum(surface.uses.values()))
        presumed = self._weights.word * usual * min(max(math.exp(by_kind), 0.1), 10.0)
        total = surface.uses.get(group, 0) + self._weights.word
        by_word = math.log((counts.get(group, 0) + presumed) / total / usual)
        by_word = min(max(by_word, -_MOST_BY_WORD), _MOST_BY_WORD)
        seen = sum(counts.values())
        trust = seen / (seen + self._weights.word)
        trust *= self._weights.function if word in FUNCTION_WORDS else 1.0
        return trust * by_word + (1 - trust) * by_kind

    def _surface(self, key: str, evidence: Evidence | None) -> _Surface:
        """Return a surface with the logarithm of how often the catalogue uses it in each reading."""
        weights, readings = self._weights, self._lexicon.readings(key)
        if evidence is None:
            mass = {r: weights.held * self._lexicon.total(r.group, r.value) for r in readings}
            return _Surface(_log_priors(mass, self._presumed(key, mass), weights), {}, {"left": {}, "right": {}})
        title, description = evidence.title, evidence.description
        uses: dict[str, int] = {PLAIN: title.get(PLAIN, 0) + description.get(PLAIN, 0)}
        mass = {}
        named = any(is_name(r.group) for r in readings)
        in_description = weights.description if named else weights.reference
        for r in readings:
            in_title, in_text = title.get(r.name, 0), description.get(r.name, 0)
            uses[r.group] = uses.get(r.group, 0) + in_title + in_text
            held = weights.held * evidence.held.get(r.name, 0)
            mass[r] = held + weights.title * in_title + in_description * in_text
        plain = weights.title * title.get(PLAIN, 0) + in_description * description.get(PLAIN, 0)
        plain = max(plain, self._presumed(key, mass))
        beside: Mapping[Side, Mapping[str, Mapping[str, int]]]
        beside = {"left": evidence.left, "right": evidence.right}
        return _Surface(_log_priors(mass, plain, weights), uses, beside)

    def _presumed(self, key: str, mass: Mapping[Reading, float]) -> float:
        """Return the weight presumed of the plain word because the surface is one; 0 where titles were not counted."""
        ordinary = self._statistics.title_words and is_ordinary(key)
        names = sum(weight for reading, weight in mass.items() if is_name(reading.group)) if ordinary else 0.0
        return self._weights.ordinary * names

    def _with_company(self, scores: LogScores, company: Mapping[Reading, bool]) -> LogScores:
        """Return the scores of one span with what the likely readings of the others say of it.

        Args:
            scores: of the span's readings.
            company: reading of another span -> whether it stands later.
        """
        weight = self._weights.company
        return {
            reading: score
            if reading is None
            else score + weight * sum(self._log_lift(reading, other, later=later) for other, later in company.items())
            for reading, score in scores.items()
        }

    def _log_lift(self, reading: Reading, other: Reading, *, later: bool) -> float:
        """Return log P(reading, other) / (P(reading) P(other)) over products, smoothed towards 0."""
        if reading.group == other.group:
            head = self._weights.head if later and not is_name(reading.group) else 0.0
            return 0.0 if reading.value == other.value else self._weights.rival + head
        pairs = self._statistics.pairs.get(reading.name)
        if pairs is None:
            return 0.0
        own = self._lexicon.total(reading.group, reading.value)
        theirs = self._lexicon.total(other.group, other.value)
        expected = own * theirs / max(1, self._statistics.products)
        presumed = self._weights.together
        return math.log((pairs.get(other.name, 0) + presumed) / (expected + presumed))

    def _best_entity(self, scores: LogScores) -> tuple[Reading | None, float]:
        probabilities = _softmax(scores)
        entities = [r for r in probabilities if r is not None and r.group in self._groups]
        best = max(entities, key=lambda r: probabilities[r], default=None)
        return best, probabilities[best] if best is not None else 0.0


def _log_priors(mass: Mapping[Reading, float], plain: float, weights: LinkingWeights) -> LogScores:
    total = sum(mass.values())
    partial = any(reading.form is Form.PARTIAL for reading in mass)
    presumed = weights.partial * total if partial else weights.plain * math.sqrt(total)
    logs: LogScores = {reading: math.log(value + _TINY) for reading, value in mass.items()}
    logs[None] = math.log(presumed + plain + _TINY)
    return logs


def _softmax(scores: LogScores) -> dict[Reading | None, float]:
    highest = max(scores.values())
    weights = {reading: math.exp(score - highest) for reading, score in scores.items()}
    total = sum(weights.values())
    return {reading: weight / total for reading, weight in weights.items()}


def _sharpened(probability: float, sharpness: float) -> float:
    """Return the probability whose odds are those of `probability` to the power of `sharpness`."""
    for_it, against = math.pow(probability, sharpness), math.pow(1 - probability, sharpness)
    return for_it / (for_it + against)


def _company(alone: Sequence[LogScores]) -> dict[Reading, set[int]]:
    """Return the first readings that are likely by themselves, each with the spans that have it."""
    company: dict[Reading, set[int]] = {}
    for at, scores in enumerate(alone):
        probabilities = _softmax(scores)
        best = max(probabilities, key=lambda reading: probabilities[reading])
        known = best in company or len(company) < _MOST_COMPANY
        if best is not None and probabilities[best] >= _SURE and known:
            company.setdefault(best, set()).add(at)
    return company
