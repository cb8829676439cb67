"""Tables of synonyms: what they may say, what their words mean in a catalogue, and how a query is read with them."""

from contextlib import suppress

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from indexer.lexical import LexicalIndex, write_lexical
from models.product import Product
from service.errors import StartupError
from service.query import ProductPart, Query, TextPart
from service.synonyms import (
    MOST_BYTES,
    MOST_NAMES,
    Rule,
    Synonyms,
    SynonymsError,
    Table,
    TableFile,
    as_asked,
    read_table,
)
from service.understand import LinkedEntity

TITLES = ["Red sneakers", "Blue sneakers", "Trainers of felt", "T-shirt", "Striped t shirt", "Playsuit", "Jumpsuit"]
TABLE = """
# what shoppers call them
sneakers, trainers, Kicks, gym shoes
romper => playsuit, jumpsuit   # one way
tee => t shirt
flagon, jug
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    write_lexical([Product(id=str(n), title=title) for n, title in enumerate(TITLES)], folder)
    return LexicalIndex.open(folder, len(TITLES))


@pytest.fixture(scope="module")
def synonyms(words):
    return Synonyms(words, Table.parse(TABLE))


def read(synonyms, *texts):
    """Return the texts as they are read, what is matched as words, and what stands for what."""
    query = Query(tuple(TextPart(text, 1.0, "q") for text in texts))
    read_as, told = synonyms.reworded(query)
    return [part.text for part in read_as.parts], [part.words for part in read_as.parts], told


class TestTable:
    def test_lines_are_rules(self):
        assert Table.parse(TABLE).rules == (
            Rule(("sneakers", "trainers", "Kicks", "gym shoes"), ("sneakers", "trainers", "Kicks", "gym shoes"), False),
            Rule(("romper",), ("playsuit", "jumpsuit"), True),
            Rule(("tee",), ("t shirt",), True),
            Rule(("flagon", "jug"), ("flagon", "jug"), False),
        )

    @pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n  # at all"])
    def test_none_is_a_table_too(self, text):
        assert Table.parse(text) == Table()

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("alone", "'alone' has no synonym"),
            ("a, , b", "there is no word where one should be"),
            ("a => ", "there is no word where one should be"),
            ("=> b", "there is no word where one should be"),
            ("a => b => c", "has more than one =>"),
            ("a, --", "'--' is no word"),
            ("a, b c d e f g h i j", "has more than 8 words"),
            (", ".join(f"w{n}" for n in range(MOST_NAMES + 1)), f"has more than {MOST_NAMES} names"),
        ],
    )
    def test_what_cannot_be_read_is_named_with_its_line(self, line, says):
        with pytest.raises(SynonymsError, match=r"^shop\.txt: line 3: ") as raised:
            Table.parse(f"a, b\n\n{line}\n", "shop.txt")
        assert says in str(raised.value)

    @given(st.text(max_size=200))
    def test_any_text_is_a_table_or_refused(self, text):
        with suppress(SynonymsError):
            assert len(Table.parse(text).rules) <= len(text.splitlines())

    def test_another_text_has_another_digest(self):
        assert Table.parse("a, b").digest != Table.parse("a, c").digest
        assert Table.parse("a, b").digest


class TestReading:
    def test_a_word_the_catalogue_does_not_know_is_read_as_the_one_it_uses_most(self, synonyms):
        texts, words, (told,) = read(synonyms, "red kicks for men")
        assert texts == ["red sneakers for men"]
        assert words == ["red kicks for men sneakers trainers gym shoes"]
        assert (told.query, told.surface, told.start, told.end) == (0, "kicks", 4, 9)
        assert (told.read_as, told.matched) == ("sneakers", ("sneakers", "trainers", "gym shoes"))

    def test_a_word_it_knows_keeps_its_meaning_and_is_matched_with_the_others(self, synonyms):
        texts, words, (told,) = read(synonyms, "trainer")
        assert (texts, told.read_as) == (["trainer"], None)
        assert words == ["trainer sneakers Kicks gym shoes"]

    def test_an_arrow_goes_one_way(self, synonyms):
        assert read(synonyms, "Rompers!")[0] == ["playsuit!"]
        assert read(synonyms, "playsuit") == (["playsuit"], [""], ())

    def test_an_arrow_counts_for_words_that_are_known_too(self, words):
        assert read(Synonyms(words, Table.parse("sneakers => trainers")), "sneakers")[0] == ["trainers"]

    def test_names_of_several_words_are_read_as_a_whole(self, synonyms):
        assert read(synonyms, "white gym  shoes, size 9")[0] == ["white sneakers, size 9"]
        assert read(synonyms, "gym bag")[2] == ()

    def test_the_longest_name_is_meant(self, words):
        table = Table.parse("gym => playsuit\ngym shoes => sneakers")
        assert read(Synonyms(words, table), "gym shoes gym")[0] == ["sneakers playsuit"]

    def test_what_no_word_of_the_line_finds_stays(self, synonyms):
        texts, words, (told,) = read(synonyms, "jugs")
        assert (texts, words, told.read_as) == (["jugs"], ["jugs flagon"], None)

    def test_lines_with_the_same_word_say_all_that_they_say(self, words):
        table = Table.parse("slacks, sneakers\nslacks, jumpsuit, trainers")
        texts, _, (told,) = read(Synonyms(words, table), "slacks")
        assert texts == ["sneakers"]
        assert told.matched == ("sneakers", "jumpsuit", "trainers")

    def test_only_words_are_read_and_each_part_by_itself(self, synonyms):
        query = Query((ProductPart("kicks", 1.0, "p"), TextPart("mug", 1.0, "q"), TextPart("kicks", -1.0, "q")))
        read_as, (told,) = synonyms.reworded(query)
        assert read_as.parts[:2] == query.parts[:2]
        assert (read_as.parts[2].text, read_as.parts[2].weight, told.query) == ("sneakers", -1.0, 2)

    def test_without_a_table_a_query_stays_as_it_is(self, words):
        query = Query((TextPart("kicks", 1.0, "q"),))
        assert Synonyms(words).reworded(query) == (query, ())
        assert Synonyms(words).reworded(query)[0] is query

    def test_another_table_is_for_the_same_catalogue(self, synonyms):
        other = synonyms.of(Table.parse("bootees => sneakers"))
        assert read(other, "kicks bootees")[0] == ["kicks sneakers"]
        assert synonyms.of(Table.parse(TABLE)) is synonyms

    @given(st.lists(st.sampled_from(["red", "kicks", "gym", "shoes", "Gym-Shoes", "tee", "trainers", "!"]), max_size=8))
    def test_places_are_those_of_the_text(self, synonyms, some):
        text = "  ".join(some)
        for told in read(synonyms, text)[2]:
            assert text[told.start : told.end] == told.surface


def link(start, end, surface, number=0):
    return LinkedEntity(number, "category", "Any", surface, start, end, 0.9, "linked", known=True)


def test_entities_have_the_words_of_the_query_and_their_places(synonyms):
    query = Query((TextPart("red kicks and tee, blue", 1.0, "q"),))
    read_as, told = synonyms.reworded(query)
    text = read_as.parts[0].text
    assert text == "red sneakers and t shirt, blue"
    names = ["red", "sneakers", "t shirt", "shirt", "blue", "red sneakers"]
    found = as_asked([link(text.index(name), text.index(name) + len(name), name) for name in names], query, told)
    assert [one.surface for one in found] == ["red", "kicks", "tee", "tee", "blue", "red kicks"]
    assert all(query.parts[0].text[one.start : one.end] == one.surface for one in found)


def test_entities_that_a_caller_states_have_no_place(synonyms):
    query = Query((TextPart("kicks", 1.0, "q"),))
    stated = LinkedEntity(0, "brand", "Any", None, None, None, 1.0, "caller", known=True)
    assert as_asked([stated], query, synonyms.reworded(query)[1]) == [stated]


def look_twice(file):
    """Let it be seen that the file does not change any more."""
    file.refresh()
    file.refresh()


class TestFile:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "synonyms.txt"

    def test_there_may_be_none(self, path):
        assert TableFile(path).table == Table()
        with pytest.raises(StartupError, match="there is no such file of synonyms"):
            TableFile(path, required=True)

    def test_it_is_read_again_when_it_changes(self, path):
        file = TableFile(path)
        path.write_text("a, b\n", encoding="utf-8-sig")
        look_twice(file)
        assert file.table.rules == (Rule(("a", "b"), ("a", "b"), False),)
        seen = file.table
        look_twice(file)
        assert file.table is seen

    def test_one_that_is_being_written_is_waited_for(self, path):
        path.write_text("a, b\n", encoding="utf-8")
        file = TableFile(path)
        for half in ("", "c, d\n", "c, d\ne, f\n"):
            path.write_text(half, encoding="utf-8")
            file.refresh()
            assert [rule.written for rule in file.table.rules] == [("a", "b")]
        file.refresh()
        assert [rule.written for rule in file.table.rules] == [("c", "d"), ("e", "f")]

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"alone\n", "line 1: 'alone' has no synonym"),
            (b"a, \xff\n", "is not UTF-8: invalid start byte at byte 3"),
            (b"a, b\n" * (MOST_BYTES // 5 + 1), "is larger than 1 MiB"),
        ],
    )
    def test_a_damaged_one_is_told_and_changes_nothing(self, path, content, says):
        path.write_text("a, b\n", encoding="utf-8")
        file = TableFile(path)
        path.write_bytes(content)
        with structlog.testing.capture_logs() as lines:
            look_twice(file)
            look_twice(file)
        assert len(file.table.rules) == 1
        (line,) = lines
        assert (line["event"], line["log_level"]) == ("synonyms_unusable", "error")
        assert says in line["reason"]
        with pytest.raises(StartupError, match=str(path)):
            TableFile(path)

    def test_one_that_is_gone_changes_nothing(self, path):
        path.write_text("a, b\n", encoding="utf-8")
        file = TableFile(path)
        path.unlink()
        with structlog.testing.capture_logs() as lines:
            look_twice(file)
        assert (lines[0]["event"], len(file.table.rules)) == ("synonyms_missing", 1)

    def test_a_folder_is_no_file(self, tmp_path):
        with pytest.raises(SynonymsError, match="Is a directory"):
            read_table(tmp_path)
