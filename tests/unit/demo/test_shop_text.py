"""Titles and descriptions: nothing of the entities, all of the looks."""

import random
import re
import statistics

import pytest

from demo import words
from demo.brands import BRANDS
from demo.items import item
from demo.patterns import Pattern
from demo.taxonomy import CATEGORIES
from demo.text import colour_words, description, detail_phrases, forbidden, join, title

SAMPLE = [item(seed, number) for seed in (1, 8) for number in range(700)]
DESCRIPTIONS = {one.id: description(one) for one in SAMPLE}
"""Written once: most tests here read them."""


def tokens(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def holds(text: list[str], name: list[str]) -> bool:
    return any(text[i : i + len(name)] == name for i in range(len(text) - len(name) + 1))


def test_descriptions_never_name_an_entity() -> None:
    for one in SAMPLE:
        said = tokens(DESCRIPTIONS[one.id])
        for value in (one.brand, one.category, one.season, one.composition.value):
            assert not holds(said, tokens(value)), (value, DESCRIPTIONS[one.id])


def test_forbidden_words_are_whole_words_in_singular_and_plural() -> None:
    boots = next(one for one in SAMPLE if one.category == "Boots")
    assert forbidden(boots).search("a boot of sorts")
    assert forbidden(boots).search("BOOTS")
    assert not forbidden(boots).search("a bootlace")


def test_descriptions_have_the_right_length() -> None:
    lengths = [len(DESCRIPTIONS[one.id].split()) for one in SAMPLE]
    assert 25 <= statistics.median(lengths) <= 40
    assert max(lengths) <= 70


def test_both_colours_are_said_within_the_first_forty_words() -> None:
    for one in SAMPLE:
        start = " ".join(DESCRIPTIONS[one.id].lower().split()[:40])
        for colour in (one.colour, one.second_colour):
            assert any(way in start for way in colour_words(colour)), (colour, start)


def test_most_details_are_said_within_the_first_forty_words() -> None:
    said = spoken = 0
    for one in SAMPLE:
        start = " ".join(DESCRIPTIONS[one.id].split()[:40]).lower()
        for slot, value in one.details.items():
            phrases = one.kind.slots[slot][value]
            spoken += bool(phrases)
            said += any(phrase.lower() in start for phrase in phrases)
    assert said / spoken > 0.85


def test_every_detail_has_a_sayable_phrase_whatever_the_entities() -> None:
    """Else a detail would silently vanish from some descriptions.

    The one exception: short shorts. "Short" gives the category away, so their length goes without saying.
    """
    for category in CATEGORIES.values():
        taken = {
            category.name.lower(),
            category.name.lower().removesuffix("s"),
            *(c.lower() for c in category.compositions),
        }
        for values in category.slots.values():
            for value, phrases in values.items():
                if (category.name, value) == ("Shorts", "short"):
                    continue
                assert not phrases or any(taken.isdisjoint(tokens(phrase)) for phrase in phrases), phrases


def test_words_that_are_brands_are_used_plainly_elsewhere() -> None:
    said = {word for one in SAMPLE for word in tokens(DESCRIPTIONS[one.id])}
    plain = {brand.plain for brand in BRANDS if brand.plain}
    assert len(plain) >= 20
    assert plain <= said
    assert {"top", "watch", "tie", "clutch", "summer", "winter", "denim", "linen", "velvet", "fox", "heron"} <= said


def test_texts_vary() -> None:
    assert len({DESCRIPTIONS[one.id] for one in SAMPLE}) > 0.99 * len(SAMPLE)
    starts = {" ".join(DESCRIPTIONS[one.id].split()[:2]) for one in SAMPLE}
    assert len(starts) > 60


def test_texts_are_clean() -> None:
    for one in SAMPLE:
        for text in (DESCRIPTIONS[one.id], title(one)):
            assert text == " ".join(text.split())
            assert "{" not in text
            assert text[0].isupper() or text[0].isdigit()
            assert not re.search(r"\ba [aeio]", text), text


def test_titles_hold_most_entities_but_not_always() -> None:
    brand = sum(one.brand.lower() in title(one).lower() for one in SAMPLE) / len(SAMPLE)
    category = sum(one.category.lower() in title(one).lower() for one in SAMPLE) / len(SAMPLE)
    assert 0.7 < brand < 0.95
    assert category == 1
    assert len({title(one).lower().find(one.brand.lower()) for one in SAMPLE}) > 10


def test_every_pattern_has_its_phrases() -> None:
    assert set(words.PATTERN_PHRASES) == set(Pattern)
    for pattern, phrases in words.PATTERN_PHRASES.items():
        assert len(phrases) >= 3
        assert all("{first}" in phrase and "{second}" in phrase for phrase in phrases), pattern


def test_chatter_says_nothing_of_an_entity_in_the_shape_of_a_brand() -> None:
    names = [tokens(brand.name) for brand in BRANDS if len(tokens(brand.name)) > 1]
    for sentence in (*words.CHATTER, *words.TRAP_CHATTER, *words.OPENERS):
        assert not any(holds(tokens(sentence), name) for name in names), sentence


@pytest.mark.parametrize(
    ("parts", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_join(parts: list[str], text: str) -> None:
    assert join(parts) == text


def test_detail_phrases_name_the_values_of_the_product() -> None:
    one = SAMPLE[0]
    every = {phrase for slot, value in one.details.items() for phrase in one.kind.slots[slot][value]}
    assert set(detail_phrases(one, random.Random(1), forbidden(one))) <= every
