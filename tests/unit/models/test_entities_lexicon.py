"""Dictionary matching and misspellings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.lexicon import Form, Lexicon
from models.misspellings import Misspellings
from models.surfaces import tokenize

VOCABULARY = {
    "brand": {
        "Canada Heron": 9, "Golden Heron": 8, "Heronry": 2, "Ember": 5, "Ember & Oak": 4, "NIKE": 3, "Nike": 7,
        "W": 2, "H&M": 2, "United Colors of Benetton": 6, "Levi's": 3, "Ruby": 2, "Ab": 1, "...": 1, "Copper": 2,
    },
    "category": {"T-shirt": 20, "Dress": 10, "Watches": 5, "Watch": 1, "Scarf": 3, "Sunglasses": 4},
    "composition": {"Copper": 12, "Cotton": 30},
    "colour": {"ruby": 4, "navy": 5, "navy blue": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def lexicon():
    return Lexicon(VOCABULARY)


def found(lexicon, text):
    tokens = tokenize(text)
    spans = lexicon.find(tokens)
    return [(text[tokens[s.start].start : tokens[s.end - 1].end], names(lexicon, s.key)) for s in spans]


def names(lexicon, key):
    return [reading.name for reading in lexicon.readings(key)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("golden heron shirt", [("golden heron", ["brand=Golden Heron"])]),
        ("ember and oak", [("ember and oak", ["brand=Ember & Oak"])]),
        ("ember oak", [("ember oak", ["brand=Ember & Oak"])]),
        ("ember, oak", [("ember", ["brand=Ember"])]),
        ("a t shirt", [("t shirt", ["category=T-shirt"])]),
        ("TSHIRTS", [("TSHIRTS", ["category=T-shirt"])]),
        ("two t-shirts", [("t-shirts", ["category=T-shirt"])]),
        ("levis", [("levis", ["brand=Levi's"])]),
        ("levi's", [("levi's", ["brand=Levi's"])]),
        ("w kurta", [("w", ["brand=W"])]),
        ("hm", []),
        ("h&m", [("h&m", ["brand=H&M"])]),
        ("h m", [("h m", ["brand=H&M"])]),
        ("a b", []),
        ("navy blue dress", [("navy blue", ["colour=navy blue"]), ("dress", ["category=Dress"])]),
        ("navy, blue", [("navy", ["colour=navy"])]),
        ("ruby", [("ruby", ["brand=Ruby", "colour=ruby"])]),
        ("copper", [("copper", ["brand=Copper", "composition=Copper"])]),
        ("heron", [("heron", ["brand=Canada Heron", "brand=Golden Heron"])]),
        ("benetton", [("benetton", ["brand=United Colors of Benetton"])]),
        ("united colors top", [("united colors", ["brand=United Colors of Benetton"])]),
        ("watch", [("watch", ["category=Watch"])]),
        ("watches", [("watches", ["category=Watches"])]),
        ("scarves", [("scarves", ["category=Scarf"])]),
        ("sunglass", [("sunglass", ["category=Sunglasses"])]),
        ("rubys", []),
        ("nothing here", []),
        ("", []),
    ],
)
def test_find(lexicon, text, expected):
    assert found(lexicon, text) == expected


def test_spellings_of_one_value_are_united_under_the_most_frequent(lexicon):
    assert names(lexicon, "nike") == ["brand=Nike"]
    assert lexicon.canonical("brand", "NIKE") == "Nike"
    assert lexicon.total("brand", "Nike") == 10
    assert lexicon.canonical("brand", "...") is None
    assert lexicon.canonical("brand", "Unknown") is None


def test_forms(lexicon):
    forms = {key: lexicon.readings(key)[0].form for key in ("dress", "dresses", "heron")}
    assert forms == {"dress": Form.EXACT, "dresses": Form.VARIANT, "heron": Form.PARTIAL}


def test_a_word_with_a_meaning_of_its_own_is_no_part_of_a_name():
    lexicon = Lexicon({"brand": {"Cotton Row": 3}, "composition": {"Cotton": 9}})
    assert names(lexicon, "cotton") == ["composition=Cotton"]
    assert names(lexicon, "cottonrow") == ["brand=Cotton Row"]


def test_values_too_long_to_be_typed_are_left_out():
    value = " ".join("abcdefghijkl")
    assert list(Lexicon({"brand": {value: 1}}).keys) == []


WORDS = st.sampled_from(["canada", "golden", "heron", "ember", "oak", "t", "shirt", "navy", "blue", "and", "x", ","])


@settings(deadline=None)
@given(st.lists(WORDS, max_size=12))
def test_matches_are_leftmost_longest(words):
    lexicon = Lexicon(VOCABULARY)
    tokens = tokenize(" ".join(words))
    spans = lexicon.find(tokens)
    keys = set(lexicon.keys)
    end = 0
    for span in spans:
        assert span.start >= end
        assert "".join(t.norm for t in tokens[span.start : span.end]) == span.key
        end = span.end
        for longer in range(span.end + 1, len(tokens) + 1):
            stretch = tokens[span.start : longer]
            if any(token.gap == 2 for token in stretch[1:]):
                break
            assert "".join(t.norm for t in stretch) not in keys


# --- misspellings


def guesses(lexicon, text, words=None):
    tokens = tokenize(text)
    groups = {"brand", "category", "composition"}
    found = Misspellings(lexicon, words or {}, groups).find(tokens, lexicon.find(tokens))
    return [(text[tokens[g.span.start].start : tokens[g.span.end - 1].end], g.span.key) for g in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("canda heron", [("canda heron", "canadaheron")]),
        ("golden hreon bag", [("golden hreon", "goldenheron")]),
        ("beneton", []),
        ("unitd colors of benetton", [("unitd colors of benetton", "unitedcolorsofbenetton")]),
        ("coppper mug", [("coppper", "copper")]),
        ("cototn", [("cototn", "cotton")]),
        ("kotton", []),
        ("ctton", [("ctton", "cotton")]),
        ("cttn", []),
        ("dres", [("dres", "dress")]),
        ("drses", [("drses", "dress")]),
        ("nikke", []),
        ("sunglsses", [("sunglsses", "sunglasses")]),
        ("copper", []),
        ("c0tton", []),
        ("canda, heron", []),
        ("", []),
    ],
)
def test_misspellings(lexicon, text, expected):
    assert guesses(lexicon, text) == expected


def test_a_word_the_catalogue_uses_is_no_misspelling(lexicon):
    assert guesses(lexicon, "cottan", {"cottan": 2}) == [("cottan", "cotton")]
    assert guesses(lexicon, "cottan", {"cottan": 3}) == []


def test_a_word_between_two_values_is_left_alone():
    lexicon = Lexicon({"brand": {"Marino": 1, "Marina": 1}})
    assert guesses(lexicon, "marine") == []


def test_attributes_are_not_guessed():
    lexicon = Lexicon({"colour": {"turquoise": 3}})
    assert guesses(lexicon, "turqoise") == []


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_can_be_searched_for_misspellings(text):
    lexicon = Lexicon(VOCABULARY)
    tokens = tokenize(text)
    spans = lexicon.find(tokens)
    taken = set()
    for guess in Misspellings(lexicon, {}, {"brand", "category"}).find(tokens, spans):
        places = set(range(guess.span.start, guess.span.end))
        assert places
        assert not places & taken
        taken |= places
