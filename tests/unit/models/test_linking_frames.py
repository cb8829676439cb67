"""Frames of English around a name or a product, on a catalogue that never shows the plain word."""

from typing import ClassVar

import pytest

from models.entities import EntityLinker, EntityStatistics
from models.lexicon import Lexicon, Span
from models.neighbours import FollowingWords, NeighbourKinds
from models.product import Product
from models.surfaces import tokenize


@pytest.fixture(scope="module")
def linker():
    products = [
        Product(
            id=str(n),
            title=f"{('Guess', 'Lee', 'Levis')[n % 3]} blue {('watch', 'jacket')[n % 2]}",
            description="A zip at the side. The other side is plain. Fine colour.",
            brand=("GUESS", "Lee", "Levis")[n % 3],
            category=("Watches", "Jackets")[n % 2],
        )
        for n in range(300)
    ]
    products += [
        Product(id=f"u{n}", title="Colors tie", brand="United Colors", category="Ties", description="A top tie.")
        for n in range(30)
    ]
    return EntityLinker(EntityStatistics.collect(products))


def linked(linker, text):
    return [f"{link.group}={link.value}" for link in linker.link(text)]


@pytest.mark.parametrize(
    "text",
    [
        "guess the price", "guess what is new", "i guess so", "never guess", "take a guess", "no need to guess",
        "let me guess", "the lee of the hill", "sailing under the lee", "to the lee side", "lee of the wall",
    ],
)  # fmt: skip
def test_a_name_in_a_frame_of_plain_words_is_left_alone(linker, text):
    assert linked(linker, text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("guess", ["brand=GUESS"]),
        ("a guess watch", ["brand=GUESS", "category=Watches"]),
        ("the guess logo", ["brand=GUESS"]),
        ("similar to guess", ["brand=GUESS"]),
        ("something by lee", ["brand=Lee"]),
        ("the brand lee, jacket", ["brand=Lee", "category=Jackets"]),
        ("buy new lee jacket online", ["brand=Lee", "category=Jackets"]),
        ("lee and guess watches", ["brand=Lee", "brand=GUESS", "category=Watches"]),
        ("watch this space", []),
        ("jackets for women", ["category=Jackets"]),
        ("levi's jacket", ["brand=Levis", "category=Jackets"]),
        ("united colours ties", ["brand=United Colors", "category=Ties"]),
        ("untied colors tie", ["brand=United Colors", "category=Ties"]),
    ],
)
def test_a_name_elsewhere_is_linked(linker, text, expected):
    assert linked(linker, text) == expected


class _Evidence:
    right: ClassVar = {"men": {"brand": 90, "plain": 10}, "shirt": {"brand": 10}}


def test_a_frequent_word_never_seen_behind_a_name_speaks_against_one():
    words = {"side": 50, "men": 40, "rare": 1, "shirt": 9}
    following = FollowingWords([_Evidence()], words)

    def log(text):
        tokens, span = tokenize(text), Span(0, 1, "lee")
        kinds = NeighbourKinds(Lexicon({"brand": {"Lee": 1}}), tokens, [span])
        return following.log_likelihood("brand", span, tokens, kinds.right(span))

    assert log("lee side") < -4
    assert -1.5 < log("lee rare") < 0
    assert log("lee men") == log("lee") == log("lee, side") == log("lee unheard") == 0


def test_a_brand_named_in_a_longer_brand_is_no_plain_word():
    products = [Product(id=str(n), title="Shirt", description="From Arrow.", brand="Arrow Sport") for n in range(50)]
    products += [Product(id="a", title="Arrow shirt", brand="Arrow")]
    statistics = EntityStatistics.collect(products)
    assert all("plain" not in e.description for e in statistics.evidence.values())
    assert linked(EntityLinker(statistics), "arrow shirt")[0] == "brand=Arrow"


@pytest.mark.parametrize(
    ("typed", "value"),
    [("lee coper shoes", "Lee Cooper"), ("ezlantelli shoes", "Zlantelli"), ("lee shoes", "Lee")],
)
def test_a_slip_beside_a_shorter_name_is_the_longer_one(typed, value):
    names = ("Lee", "Lee Cooper", "Zlantelli")
    products = [Product(id=str(n), title=f"{names[n % 3]} shoes", brand=names[n % 3]) for n in range(30)]
    assert linked(EntityLinker(EntityStatistics.collect(products)), typed) == [f"brand={value}"]
