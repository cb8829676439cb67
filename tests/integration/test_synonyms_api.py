"""A shop's synonyms in its answers: found, told, read anew while it serves, and never from what was kept before."""

import time

import pytest

from service.errors import StartupError

TABLE = "# ours\n{known}, zibbles\nfrobs => {known}\n"
SOON_S = 10.0


@pytest.fixture
def known(bundle):
    """A word that many titles have."""
    counts = {}
    for product in bundle.products:
        for word in product.title.lower().split():
            counts[word] = counts.get(word, 0) + (len(word) > 4 and word.isalpha())
    return max(sorted(counts), key=counts.__getitem__)


@pytest.fixture
def table(tmp_path, known):
    path = tmp_path / "synonyms.txt"
    path.write_text(TABLE.format(known=known), encoding="utf-8")
    return path


@pytest.fixture
def service(open_service, table):
    return open_service(synonyms_file=table, watch_ms=50)


def ids(answer):
    return [hit["id"] for hit in answer["hits"]]


@pytest.mark.parametrize("word", ["zibbles", "Zibble", "frobs"])
def test_a_word_the_shop_explains_finds_what_it_means(service, search, known, word):
    answer = search(service, q=f"red {word}")
    assert ids(answer)[:3] == ids(search(service, q=f"red {known}"))[:3]
    (told,) = answer["synonyms"]
    assert told["surface"] == word
    assert told["read_as"] == known
    assert known in told["matched"]
    assert (told["query"], told["start"], told["end"]) == (0, 4, 4 + len(word))
    for link in answer["linked_entities"]:
        assert f"red {word}"[link["start"] : link["end"]] == link["surface"]


def test_without_it_the_word_finds_something_else(client, search, service):
    plain, read = search(client, q="red zibbles"), search(service, q="red zibbles")
    assert plain["synonyms"] == []
    assert ids(plain) != ids(read)


def test_a_word_that_is_known_finds_what_only_its_synonym_names(service, search, known):
    answer = search(service, q=known, mode="lexical", limit=50)
    (told,) = answer["synonyms"]
    assert (told["read_as"], told["matched"]) == (None, ["zibbles"])


def test_words_alone_are_matched_with_it(service, client, search, known):
    assert search(client, q="zibbles", mode="lexical")["found"] == 0
    found = search(service, q="zibbles", mode="lexical", limit=5)
    assert ids(found) == ids(search(client, q=known, mode="lexical", limit=5))


def test_a_classified_text_is_read_with_it(service, known):
    asked = [service.post("/v1/classify", json={"q": word}).json() for word in ("frobs", known)]
    assert asked[0]["category"] == asked[1]["category"]


def test_a_query_is_embedded_with_it_and_a_product_is_not(service, known):
    def vectors(kind):
        asked = {"input": ["red frobs", f"red {known}"], "kind": kind}
        return [one["embedding"] for one in service.post("/v1/embeddings", json=asked).json()["data"]]

    meant, itself = vectors("query")
    assert meant == pytest.approx(itself, abs=1e-5)
    meant, itself = vectors("product")
    assert meant != pytest.approx(itself, abs=1e-2)


def test_every_part_of_a_mixture_is_read(service, search):
    asked = {"query": [{"text": "mug"}, {"text": "blue zibbles", "weight": -0.5}]}
    (told,) = search(service, **asked)["synonyms"]
    assert (told["query"], told["surface"]) == (1, "zibbles")


def test_another_table_is_read_while_it_serves_and_no_answer_is_kept_from_before(service, search, table):
    asked = {"q": "red quibbles", "limit": 5}
    before = search(service, **asked)
    assert before["synonyms"] == []
    assert search(service, **asked)["hits"] == before["hits"]  # which is kept now
    table.write_text("quibbles => frobnicators\n", encoding="utf-8")
    told = changed(service, search, asked, before)
    assert told["synonyms"][0]["read_as"] == "frobnicators"
    table.write_text("quibbles\n", encoding="utf-8")  # no table
    time.sleep(0.3)
    assert search(service, **asked)["synonyms"] == told["synonyms"]


def changed(service, search, asked, before):
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        answer = search(service, **asked)
        if answer["synonyms"] != before["synonyms"]:
            return answer
        time.sleep(0.05)
    pytest.fail("the table was not read again")


def test_a_table_in_the_data_folder_is_found(open_service, search, table):
    service = open_service(data_dir=table.parent)
    assert search(service, q="frobs")["synonyms"]


def test_a_table_that_cannot_be_read_is_not_started_with(open_service, tmp_path):
    (tmp_path / "synonyms.txt").write_text("alone\n", encoding="utf-8")
    with pytest.raises(StartupError, match=r"synonyms\.txt: line 1: 'alone' has no synonym"):
        open_service(data_dir=tmp_path)
