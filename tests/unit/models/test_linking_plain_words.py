"""Open words beside a name that is an ordinary word, on hand-made catalogues large enough to show what titles avoid."""

import pytest

from models.english_words import FAMILY_NAMES, GIVEN_NAMES, ORDINARY_WORDS
from models.entities import EntityLinker, EntityStatistics
from models.lexicon import Lexicon, Span
from models.neighbours import NeighbourKinds
from models.plain_words import PlainWords, is_ordinary
from models.product import Product
from models.surfaces import tokenize

BRANDS = ("Guess", "Lee", "Turtle", "Adidas", "Zantelli")
GOODS = (("Tops", "top"), ("Watches", "watch"), ("Jackets", "jacket"))
LOOKS = ("vintage", "formal", "slim", "striped")


@pytest.fixture(scope="module")
def statistics():
    products = [
        Product(
            id=str(n),
            description="A top pick of ours." if n % 3 else "Warm.",
            title=f"{BRANDS[n % 5]} men {LOOKS[n % 4]} blue cotton casual {GOODS[n % 3][1]}",
            brand=BRANDS[n % 5],
            category=GOODS[n % 3][0],
        )
        for n in range(3_000)
    ]
    return EntityStatistics.collect(products)


@pytest.fixture(scope="module")
def linker(statistics):
    return EntityLinker(statistics)


def linked(linker, text):
    return [link.value for link in linker.link(text)]


@pytest.mark.parametrize(
    "text",
    [
        "lucky guess", "wild guess", "best guess", "guess work", "any guess", "guess so", "lee shore", "lee tide",
        "bruce lee", "sea turtle", "turtle soup", "wheel of turtle", "top speed", "top floor flat", "top of the world",
        "big top circus",
    ],
)  # fmt: skip
def test_a_word_no_title_uses_makes_an_ordinary_word_plain(linker, text):
    assert linked(linker, text) == []


def test_a_given_name_makes_a_family_name_plain_even_before_a_product(linker):
    assert linked(linker, "bruce lee jacket") == ["Jackets"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("guess", ["Guess"]),
        ("vintage guess", ["Guess"]),
        ("guess men", ["Guess"]),
        ("cheap guess watches", ["Guess", "Watches"]),
        ("gift from lee", ["Lee"]),
        ("lee jackets", ["Lee", "Jackets"]),
        ("adidas messi", ["Adidas"]),
        ("lucky zantelli", ["Zantelli"]),
        ("top", ["Tops"]),
        ("tops", ["Tops"]),
        ("top for women", ["Tops"]),
        ("vintage top", ["Tops"]),
        ("top sleeveless", ["Tops"]),
        ("lucky tops", ["Tops"]),
    ],
)
def test_words_of_titles_and_names_that_are_no_words_keep_their_links(linker, text, expected):
    assert linked(linker, text) == expected


def test_statistics_stored_without_title_words_are_read_and_conclude_nothing(statistics):
    stored = statistics.model_dump()
    assert stored.pop("title_words")["vintage"] == 750
    older = EntityStatistics.model_validate(stored)
    assert older.title_words == {}
    assert linked(EntityLinker(older), "lucky guess") == ["Guess"]


def test_only_titles_are_counted_as_titles():
    products = [Product(id=str(n), title="Red lamp lamp", description="A lucky find.", brand="X") for n in range(3)]
    counted = EntityStatistics.collect(products)
    assert counted.title_words == {"red": 3, "lamp": 3}
    assert counted.words == {"red": 3, "lamp": 3, "a": 3, "lucky": 3, "find": 3}


def weigh(text, at, titles, shown=()):
    tokens, span = tokenize(text), Span(at, at + 1, "guess")
    kinds = NeighbourKinds(Lexicon({"brand": {"Guess": 1}}), tokens, [span])
    return PlainWords(titles, {}).of_name(tokens, span, kinds, shown)


def test_the_rarer_in_titles_the_stronger():
    titles = {"men": 90_000, "wild": 30, "lucky": 2, "slim": 9_968}
    never, rarely, sometimes, often = (weigh(f"{w} guess", 1, titles) for w in ("shore", "lucky", "wild", "men"))
    assert never < rarely < sometimes < often == 0
    assert weigh("shore guess", 1, titles, ["left"]) == 0  # the catalogue has the very pair
    assert weigh("shore zantelli", 1, titles) == 0
    assert weigh("shore guess", 1, {}) == 0
    assert weigh("shore, guess", 1, titles) == 0
    assert weigh("by guess", 1, titles) == 0


def test_a_small_catalogue_says_less_by_what_it_leaves_out():
    assert -1 < weigh("shore zantelli", 1, {"lamp": 100}) <= 0
    small, large = (weigh("guess shore", 0, {"lamp": count}) for count in (200, 200_000))
    assert large < small <= 0


def test_the_lists_hold_words_as_texts_are_normalised():
    for words in (ORDINARY_WORDS, GIVEN_NAMES, FAMILY_NAMES):
        assert all([token.norm for token in tokenize(word)] == [word] for word in words)
    assert is_ordinary("guess")
    assert is_ordinary("pieces")
    assert is_ordinary("lee")
    assert not any(is_ordinary(name) for name in ("adidas", "nike", "puma", "zantelli", "reebok"))
