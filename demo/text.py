"""Writes the titles and descriptions of products.

A description tells what the picture shows but never the brand, category, season or composition: those are
the entities, and a model has to bring them in itself.
"""

import random
import re
from collections.abc import Iterable, Sequence

from demo import words
from demo.items import Item, generator
from demo.palette import COLOURS
from demo.patterns import Pattern


def forbidden(item: Item) -> re.Pattern[str]:
    """Return what matches any entity value of `item` as whole words, in singular or plural."""
    values = {item.brand, item.category, item.category.removesuffix("s"), item.season, item.composition.value}
    joined = "|".join(re.escape(value) for value in sorted(values))
    return re.compile(rf"\b(?:{joined})(?:e?s)?\b", re.IGNORECASE)


def _allowed(phrases: Iterable[str], ban: re.Pattern[str]) -> list[str]:
    return [phrase for phrase in phrases if not ban.search(phrase)]


def colour_words(name: str) -> tuple[str, ...]:
    """Return the ways to say a colour, the plain name first."""
    return (name, *COLOURS[name].words)


def _colour(name: str, rng: random.Random, ban: re.Pattern[str]) -> str:
    ways = _allowed(colour_words(name), ban)
    return ways[0] if rng.random() < 0.6 else rng.choice(ways)


def join(parts: Sequence[str]) -> str:
    """Return `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _look(item: Item, rng: random.Random, ban: re.Pattern[str]) -> str:
    frames = words.PATTERN_PHRASES[item.pattern]
    return rng.choice(frames).format(
        first=_colour(item.colour, rng, ban),
        second=_colour(item.second_colour, rng, ban),
        accent=rng.choice(_allowed(item.kind.accents, ban)),
    )


def detail_phrases(item: Item, rng: random.Random, ban: re.Pattern[str]) -> list[str]:
    """Return one phrase for most visible details of `item`, in random order."""
    found: list[str] = []
    for slot, value in item.details.items():
        phrases = _allowed(item.kind.slots[slot][value], ban)
        if phrases and rng.random() < 0.92:
            found.append(rng.choice(phrases))
    rng.shuffle(found)
    return found


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _an(text: str) -> str:
    """Return `text` with "a" before a vowel written "an"."""
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)


def _chatter(rng: random.Random, ban: re.Pattern[str], room: int) -> list[str]:
    """Return sentences about anything but the looks, `room` words in all at most."""
    said: list[str] = []
    while room > 0 and len(said) < 3:
        source = words.TRAP_CHATTER if rng.random() < 0.55 else words.CHATTER
        sentence = rng.choice(_allowed(source, ban))
        if sentence in said:
            continue
        said.append(sentence)
        room -= len(sentence.split())
    return said


def description(item: Item) -> str:
    """Return the description of `item`: what is visible in the first forty words, then shop talk."""
    rng = generator(item.seed, "description", item.number)
    ban = forbidden(item)
    details = detail_phrases(item, rng, ban)
    frame = rng.choice(words.FRAMES if details else words.BARE_FRAMES)
    look = _look(item, rng, ban)
    noun = rng.choice(_allowed(item.kind.nouns, ban))
    visible = frame.format(
        look=look, Look=_sentence(look), details=join(details), Details=_sentence(join(details)), noun=noun
    )
    start = [rng.choice(words.OPENERS)] if rng.random() < 0.2 else []
    rest = _chatter(rng, ban, rng.choice((0, 4, 8, 8, 16)))
    return " ".join([*start, _an(visible), *rest])


def _pattern_word(item: Item) -> str:
    return "" if item.pattern is Pattern.PLAIN else item.pattern.value


_TITLES = (
    "{brand} {colour} {pattern} {category}",
    "{brand} {category} {colour} {pattern}",
    "{brand} {pattern} {category}, {colour} and {second}",
    "{category} by {brand} in {colour}",
    "{colour} {composition} {category} - {brand}",
    "{brand} {composition} {category}, {colour}",
    "{brand} {season} {category} {colour}",
    "{pattern} {category} in {colour} and {second}",
    "{brand} {category} with {detail}",
    "{category} {brand}",
    "{colour} {pattern} {composition} {category}",
)


def title(item: Item) -> str:
    """Return the shop title of `item`: most entities and colours, in an order that differs."""
    rng = generator(item.seed, "title", item.number)
    spoken = [value[0] for slot, name in item.details.items() if (value := item.kind.slots[slot][name])]
    text = rng.choice(_TITLES).format(
        brand=item.brand,
        category=item.category,
        colour=item.colour,
        second=item.second_colour,
        pattern=_pattern_word(item),
        composition=item.composition.value.lower(),
        season=item.season.lower() if item.season != "All year" else "",
        detail=rng.choice(spoken) if spoken else item.colour,
    )
    text = re.sub(r"\s+", " ", text).replace(" ,", ",").strip()
    return text.title() if rng.random() < 0.15 else _sentence(text)
