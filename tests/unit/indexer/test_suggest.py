"""Completions, counted by looking at every product."""

import time

import pytest

from indexer.suggest import Suggester
from models.surfaces import value_words


@pytest.fixture(scope="module")
def suggester(bundle):
    return Suggester(bundle)


def words_of(product):
    stated = [product.title, product.brand, product.category, product.season, product.composition, product.description]
    stated += [value for value in product.attributes.values() if isinstance(value, str)]
    return {word for text in stated if text for word in value_words(text)}


def texts(found):
    return [item.text for item in found.items]


@pytest.mark.parametrize("typed", ["go", "gold", "ruby", "sne", "red d", "purple sne", "g", "canada gee", "no 1"])
def test_counts_are_those_of_looking_at_every_product(bundle, suggester, typed):
    found = suggester.suggest(typed, 50)
    assert found.items
    for item in found.items:
        head = value_words(item.text)
        if item.value is not None:
            assert item.text.endswith(item.value)
            head = head[: len(head) - len(value_words(item.value))]
        expected = sum(
            words_of(p).issuperset(head)
            and (item.group is None or p.entities([item.group]) == {item.group: item.value})
            for p in bundle.products
        )
        assert item.count == expected > 0, item
        assert len(value_words(item.text)) >= len(value_words(typed))
    counts = [item.count for item in found.items]
    assert counts == sorted(counts, reverse=True)
    assert len(set(map(str.casefold, texts(found)))) == len(found.items)


def test_any_word_of_a_name_begins_it(suggester):
    for typed in ("golden g", "goat", "GOLD"):
        best = next(item for item in suggester.suggest(typed, 20).items if item.group == "brand")
        assert (best.text, best.value) == ("Golden Goat", "Golden Goat")


def test_words_before_stand_and_must_be_in_the_product(suggester):
    found = suggester.suggest("red golden g", 5)
    assert texts(found)[0] == "red Golden Goat"
    assert not suggester.suggest("zzzz golden g", 5).items


@pytest.mark.parametrize("typed", ["red r", "golden g", "golden goat g"])
def test_what_was_said_is_not_said_again(suggester, typed):
    said = typed.split()[:-1]
    found = [value_words(text) for text in texts(suggester.suggest(typed, 50))]
    assert found
    assert not [words for words in found if any(words.count(word) > 1 for word in said)]


def test_what_is_typed_twice_is_completed(suggester):
    assert "red red" in texts(suggester.suggest("red red", 50))


def test_misspelt_words_are_put_right(suggester):
    found = suggester.suggest("purpel sneekers", 5)
    assert found.corrected == "purple sneaker"
    assert texts(found)[0] == "purple sneaker"
    assert suggester.suggest("purple sneaker", 5).corrected is None
    assert texts(suggester.suggest("purpel sne", 5))[0] == "purple sneaker"


def test_nothing_typed_gives_what_most_products_state(bundle, suggester):
    found = suggester.suggest("", 4)
    assert len(found.items) == 4
    assert all(item.group is not None for item in found.items)
    assert found.items[0].count == max(
        sum(p.entities([group]) == {group: value} for p in bundle.products)
        for group, column in bundle.fields.keywords(bundle.statistics.vocabulary).items()
        for value in column.values
    )
    assert suggester.suggest(" !? ", 4).items == found.items


def test_limit(suggester):
    assert len(suggester.suggest("", 1).items) == 1
    assert len(suggester.suggest("r", 3).items) <= 3


def test_a_long_text_of_nonsense_is_quick(suggester):
    began = time.perf_counter()
    suggester.suggest("qwxz vbnm " * 20, 10)
    assert time.perf_counter() - began < 1.0
