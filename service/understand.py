"""Which entities a query is read with: those its words name, and those its caller states, who always wins.

Finding names in words is `models.entities`' work; this decides which of them count, and says so.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from indexer.products import fold_value
from indexer.ranking import NamedEntity, part_of_text
from models.entities import EntityLink, EntityLinker
from models.pacing import unhurried
from service.errors import InvalidRequestError
from service.query import Query, TextPart

Vocabularies = Mapping[str, Iterable[str]]


@dataclass(frozen=True, slots=True)
class LinkedEntity:
    """An entity that a part of a query is read with.

    Attributes:
        query: Which part of the query, from 0.
        group: Entity group.
        value: As the catalogue spells it, where the catalogue has it.
        surface: The words it was read from; None when the caller stated it.
        start: Where they begin in the cleaned text, in characters.
        end: Where they end.
        probability: That this is what was meant; 1 when the caller stated it.
        source: Who says so.
        known: Whether the encoder has a vector for it.
    """

    query: int
    group: str
    value: str
    surface: str | None
    start: int | None
    end: int | None
    probability: float
    source: Literal["linked", "caller"]
    known: bool


def named_entities(query: Query, links: Sequence[LinkedEntity]) -> list[tuple[int, NamedEntity]]:
    """Return what the query's wanted texts name, each with the number of its part.

    A part's entities share its weight among all that is wanted, each discounted by its probability and, where it
    was read from words, by how small a part of them it is.
    """
    wanted = sum(part.weight for part in query.parts if part.weight > 0)
    counts = Counter(link.query for link in links)
    return [
        (link.query, NamedEntity(link.group, link.value, _sureness(query, link) * share / counts[link.query]))
        for link in links
        if (share := query.parts[link.query].weight / wanted) > 0
    ]


def matched_texts(query: Query) -> list[tuple[int, str, float]]:
    """Return the query's wanted texts to be matched as words: number of the part, text, share of all that is wanted."""
    wanted = sum(part.weight for part in query.parts if part.weight > 0)
    return [
        (number, part.words or part.text, part.weight / wanted)
        for number, part in enumerate(query.parts)
        if isinstance(part, TextPart) and part.weight > 0
    ]


def _sureness(query: Query, link: LinkedEntity) -> float:
    part = query.parts[link.query]
    if link.source == "linked" and isinstance(part, TextPart):
        return link.probability * part_of_text(part.text)
    return link.probability


class Spellings:
    """How the catalogue and the encoder spell each entity value, whatever the case and form of the asked."""

    def __init__(self, catalogue: Vocabularies, encoder: Vocabularies) -> None:
        self._catalogue = {group: _by_key(values) for group, values in catalogue.items()}
        self._encoder = {group: _by_key(values) for group, values in encoder.items()}

    def catalogue(self, group: str, value: str) -> str:
        """Return `value` as the catalogue spells it; as the encoder does where only that has it, else as given."""
        key = fold_value(value)
        found = self._catalogue.get(group, {}).get(key)
        return found or self._encoder.get(group, {}).get(key, value)

    def encoder(self, group: str, value: str) -> str | None:
        """Return `value` as the encoder spells it, None if it has no vector for it."""
        return self._encoder.get(group, {}).get(fold_value(value))


def _by_key(values: Iterable[str]) -> dict[str, str]:
    return {fold_value(value): value for value in unhurried(values)}


class Reader:
    """Reads the entities of queries against one catalogue and one encoder."""

    def __init__(self, linker: EntityLinker, spellings: Spellings) -> None:
        self._linker = linker
        self._spellings = spellings

    def read(self, query: Query) -> list[LinkedEntity]:
        """Return the entities of each of the query's texts, in the order of parts, then of the words.

        Raises:
            InvalidRequestError: linking is strict and the encoder knows nothing of a value the caller states.
        """
        stated = {group: value for group, value in query.entities.items() if value is not None}
        if query.linking == "strict":
            self._refuse_unknown(stated)
        found = []
        for number, part in enumerate(query.parts):
            if isinstance(part, TextPart):
                found += [self._stated(number, group, value) for group, value in stated.items()]
                found += [self._linked(number, link) for link in self._links(part.text, query)]
        return found

    def _refuse_unknown(self, stated: Mapping[str, str]) -> None:
        for group, value in stated.items():
            if self._spellings.encoder(group, value) is None:
                msg = f"the model knows no {group} {value!r}"
                raise InvalidRequestError(msg, path=f"entities.{group}")

    def _links(self, text: str, query: Query) -> list[EntityLink]:
        """Return the links of groups the caller leaves open: of each the likeliest, of equals the first."""
        if query.linking == "off":
            return []
        best: dict[str, EntityLink] = {}
        for link in self._linker.link(text):
            rival = best.get(link.group)
            if link.group not in query.entities and (rival is None or link.probability > rival.probability):
                best[link.group] = link
        return sorted(best.values(), key=lambda link: link.start)

    def _stated(self, number: int, group: str, value: str) -> LinkedEntity:
        known = self._spellings.encoder(group, value) is not None
        spelt = self._spellings.catalogue(group, value)
        return LinkedEntity(number, group, spelt, None, None, None, 1.0, "caller", known)

    def _linked(self, number: int, link: EntityLink) -> LinkedEntity:
        known = self._spellings.encoder(link.group, link.value) is not None
        return LinkedEntity(
            number, link.group, link.value, link.surface, link.start, link.end, link.probability, "linked", known
        )

    def entities_of(self, number: int, links: Iterable[LinkedEntity]) -> dict[str, str]:
        """Return `{group: value}` for the encoder, of the part `number`; values it does not know are left out."""
        read = {link.group: self._spellings.encoder(link.group, link.value) for link in links if link.query == number}
        return {group: value for group, value in read.items() if value is not None}
