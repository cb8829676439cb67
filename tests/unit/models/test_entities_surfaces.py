"""Normalised words and spellings, on hand-picked and arbitrary text."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.surfaces import Gap, key_of, normal_word, number_forms, spellings, tokenize, value_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Levi's L\u2019Oréal", ["levi", "loreal"]),
        ("T-shirt", ["t", "shirt"]),
        ("H&M", ["h", "and", "m"]),
        ("\uff2e\uff49\uff4b\uff45 ﬁne", ["nike", "fine"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("İstanbul Ångström", ["istanbul", "angstrom"]),
        ("rock'n'roll boys'", ["rocknroll", "boys"]),
        ("U.S. Polo Assn.", ["u", "s", "polo", "assn"]),
        ("95% cotton_blend", ["95", "cotton", "blend"]),
        ("हिन्दी का", ["हिन्दी", "का"]),
        ("", []),
        ("--- !?", []),
        ("\u02bc one", ["one"]),
    ],
)
def test_words(text, words):
    assert [token.norm for token in tokenize(text)] == words


def test_composed_and_decomposed_letters_are_the_same_word():
    for word in ("crème", "Übergröße", "señorita"):
        assert value_words(unicodedata.normalize("NFD", word)) == value_words(unicodedata.normalize("NFC", word))


def test_offsets_are_those_of_the_original_text():
    text = "  L\u2019Oréal — re\u0301sume\u0301, \uff2e\uff49\uff4b\uff45's"
    assert [text[t.start : t.end] for t in tokenize(text)] == [
        "L\u2019Oréal",
        "re\u0301sume\u0301",
        "\uff2e\uff49\uff4b\uff45's",
    ]


@pytest.mark.parametrize(
    ("text", "gaps"),
    [
        ("ember-coloured jacket", [Gap.STOP, Gap.HYPHEN, Gap.SPACE]),
        ("red, blue", [Gap.STOP, Gap.STOP]),
        ("St. John", [Gap.STOP, Gap.SPACE]),
        ("leather. Soft", [Gap.STOP, Gap.STOP]),
        ("a - b", [Gap.STOP, Gap.SPACE]),
        ("cotton/nylon", [Gap.STOP, Gap.STOP]),
        ("one\ntwo", [Gap.STOP, Gap.STOP]),
        ("non\u2011stick", [Gap.STOP, Gap.HYPHEN]),
        ("5.5", [Gap.STOP, Gap.SPACE]),
    ],
)
def test_gaps(text, gaps):
    assert [token.gap for token in tokenize(text)] == gaps


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("T-shirt", "tshirt"),
        ("T-shirt", "t shirt"),
        ("Denim & Co", "denim and co"),
        ("U.S. Polo Assn.", "us polo assn"),
        ("Levi's", "levi"),
        ("Café", "CAFE"),
        ("L'Oréal", "loreal"),
    ],
)
def test_spellings_that_share_a_key(one, other):
    assert key_of(value_words(one)) == key_of(value_words(other))


@pytest.mark.parametrize(
    ("single", "plural"),
    [
        ("dress", "dresses"),
        ("watch", "watches"),
        ("scarf", "scarves"),
        ("knife", "knives"),
        ("accessory", "accessories"),
        ("tie", "ties"),
        ("toy", "toys"),
        ("glove", "gloves"),
        ("box", "boxes"),
        ("shirt", "shirts"),
        ("woman", "women"),
        ("leaf", "leaves"),
    ],
)
def test_number(single, plural):
    assert plural in number_forms(single)
    assert single in number_forms(plural)


@pytest.mark.parametrize("word", ["bus", "basis", "21", "as", "", "ab"])
def test_words_without_another_number_keep_to_themselves(word):
    assert "bu" not in number_forms(word)
    assert all(form and form != word for form in number_forms(word))


def test_spellings():
    assert ("denim", "co") in set(spellings("Denim & Co", name=True))
    assert ("levis",) in set(spellings("Levi's", name=True))
    assert set(spellings("Canada Heron", name=True)) == set()
    assert set(spellings("Casual Shoe", name=False)) == {("casual", "shoes")}


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_words_with_true_offsets(text):
    end = 0
    for token in tokenize(text):
        assert end <= token.start < token.end <= len(text)
        end = token.end
        assert token.norm
        assert " " not in token.norm


@settings(deadline=None)
@given(st.text(alphabet=st.characters(categories=["L", "Nd"]), min_size=1, max_size=12))
def test_normalising_twice_changes_nothing(word):
    once = normal_word(word)
    assert normal_word(once) == once
