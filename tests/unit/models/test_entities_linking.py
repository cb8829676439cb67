"""Linking on a small hand-made catalogue whose right answers a person can tell."""

import dataclasses
import math
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import EntityLink, EntityLinker, EntityStatistics, LinkingWeights
from models.linking_scores import KnownQuery, LinkingScore, linking_scores
from models.product import Product

BRANDS = ("Ember", "Ruby", "Olive", "Veltrona", "Canada Heron", "Golden Heron", "Copper", "Zantelli", "Denim & Co")
CATEGORIES = ("Jacket", "Dress", "Belt", "Kettle", "T-shirt", "Top", "Watch")
COLOURS = ("ruby", "olive", "black", "blue")
MATERIALS = ("Denim", "Copper", "Cotton", "Leather")
CHATTER = (
    "Keeps the glow of an ember on grey days.",
    "Looks good with denim trim.",
    "We plant an olive tree for every order.",
    "A top pick of our readers.",
    "Watch this space for more.",
    "An ember-coloured lining.",
    "Ships within two days.",
    "Also sold in ruby red.",
    "Warm, light and made to be mended.",
    "Checked by hand before it is sent.",
    "Free returns for thirty days.",
    "Comes in a cloth pouch.",
    "Please read the care label.",
    "A present people keep.",
    "Made by two sisters in a dairy.",
)


def catalogue(count=600, seed=0):
    rng = random.Random(seed)
    products = []
    for number in range(count):
        brand, colour, material = rng.choice(BRANDS), rng.choice(COLOURS), rng.choice(MATERIALS)
        category = rng.choice(CATEGORIES)
        if brand == "Canada Heron":
            category = rng.choice(("Jacket", "Top"))
        if brand == "Golden Heron":
            category = rng.choice(("Watch", "Belt"))
        if material == "Copper" and category != "Kettle":
            material = "Cotton"
        taken = brand.lower().split()
        colour = "black" if colour in taken else colour
        material = "Leather" if material.lower() in taken else material
        form = rng.choice(("{b} {c} {k}", "{k} by {b} in {c}", "{b} {m} {k}, {c}", "{c} {m} {k}", "{k} {b}", "{b} {k}"))
        allowed = [s for s in CHATTER if not {*taken, category.lower(), material.lower()} & set(_words(s))]
        products.append(
            Product(
                id=str(number),
                title=form.format(b=brand, c=colour, k=category, m=material.lower()),
                description=" ".join(rng.sample(allowed, 2)),
                brand=brand,
                category=category,
                composition=material,
                attributes={"colour": colour},
            )
        )
    return products


def _words(text):
    return text.lower().replace(".", "").replace("-", " ").split()


@pytest.fixture(scope="module")
def statistics():
    return EntityStatistics.collect(catalogue())


@pytest.fixture(scope="module")
def linker(statistics):
    return EntityLinker(statistics)


def linked(linker, text):
    return [f"{link.group}={link.value}" for link in linker.link(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("veltrona dress", ["brand=Veltrona", "category=Dress"]),
        ("ember jacket", ["brand=Ember", "category=Jacket"]),
        ("jacket by ember", ["category=Jacket", "brand=Ember"]),
        ("something from ember", ["brand=Ember"]),
        ("ember-coloured jacket", ["category=Jacket"]),
        ("the glow of an ember", []),
        ("dress in ruby", ["category=Dress"]),
        ("dress by ruby", ["category=Dress", "brand=Ruby"]),
        ("ruby dress in black", ["brand=Ruby", "category=Dress"]),
        ("ruby red dress", ["category=Dress"]),
        ("an olive tree", []),
        ("canada heron tops", ["brand=Canada Heron", "category=Top"]),
        ("denim & co t shirts", ["brand=Denim & Co", "category=T-shirt"]),
        ("denim jacket", ["composition=Denim", "category=Jacket"]),
        ("dress with denim trim", ["category=Dress"]),
        ("copper kettle", ["composition=Copper", "category=Kettle"]),
        ("copper dress", ["brand=Copper", "category=Dress"]),
        ("a top pick", []),
        ("watch this space", []),
        ("leather watch", ["composition=Leather", "category=Watch"]),
        ("zantleli belt", ["brand=Zantelli", "category=Belt"]),
        ("canda heron jacket", ["brand=Canada Heron", "category=Jacket"]),
        ("VELTRONA'S Dresses", ["brand=Veltrona", "category=Dress"]),
        ("", []),
        ("something nice", []),
    ],
)
def test_link(linker, text, expected):
    assert linked(linker, text) == expected


def test_half_a_name_is_linked_only_where_the_rest_of_the_query_decides(linker):
    assert linked(linker, "heron") == []
    assert linked(linker, "heron jacket") == ["brand=Canada Heron", "category=Jacket"]
    assert linked(linker, "heron watch") == ["brand=Golden Heron", "category=Watch"]


def test_a_rival_brand_makes_an_ambiguous_word_less_likely_a_brand(statistics):
    linker = EntityLinker(statistics, threshold=0.0)

    def probability(text):
        return next(link.probability for link in linker.link(text) if link.value == "Ruby")

    assert probability("veltrona ruby dress") < 0.7 * probability("ruby dress")


def test_links_carry_offsets_of_the_original_text(linker):
    text = "  New: VELTRONA\u2019S t-shirt"
    assert linker.link(text) == [
        EntityLink("brand", "Veltrona", "VELTRONA\u2019S", 7, 17, pytest.approx(0.98, abs=0.03)),
        EntityLink("category", "T-shirt", "t-shirt", 18, 25, pytest.approx(0.98, abs=0.03)),
    ]


def test_a_higher_threshold_links_a_subset(statistics):
    texts = ["ember jacket", "ruby red dress", "copper kettle", "zantleli watch", "top"]
    looser, stricter = (EntityLinker(statistics, threshold=t) for t in (0.3, 0.95))
    for text in texts:
        assert set(stricter.link(text)) <= set(looser.link(text))
    assert all(link.probability > 0.95 for text in texts for link in stricter.link(text))


def test_a_misspelling_is_less_certain(linker):
    right, wrong = (linker.link(text)[0].probability for text in ("veltrona", "veltorna"))
    assert wrong < right


def test_linking_is_the_same_after_a_round_trip_through_json(statistics, linker):
    again = EntityLinker(EntityStatistics.from_json(statistics.to_json()))
    for product in catalogue(50, seed=1):
        assert again.link(product.title) == linker.link(product.title)


def test_weights_count(statistics):
    trusting = EntityLinker(statistics, weights=LinkingWeights(description=0.0, neighbour=0.0))
    assert linked(trusting, "the glow of an ember") == ["brand=Ember"]
    assert all(math.isfinite(value) for value in dataclasses.astuple(LinkingWeights()))


def test_a_brand_no_text_ever_names_is_linked():
    products = [Product(id=str(i), title="Nice lamp", brand="Quorvex", category="Lamp") for i in range(3)]
    linker = EntityLinker(EntityStatistics.collect(products))
    assert linked(linker, "quorvex lamp") == ["brand=Quorvex", "category=Lamp"]
    assert linked(linker, "lamp by quorvex") == ["category=Lamp", "brand=Quorvex"]


def test_a_brand_that_is_mostly_a_plain_word_is_linked_only_with_a_cue():
    products = [Product(id="b", title="Comfort slippers", brand="Comfort")]
    products += [
        Product(id=str(i), title="Slippers", description="Made for comfort.", brand="Other") for i in range(300)
    ]
    linker = EntityLinker(EntityStatistics.collect(products))
    assert linked(linker, "made for comfort") == []
    assert linked(linker, "comfort") == []


def test_an_attribute_that_repeats_the_brand_does_not_compete():
    products = [
        Product(id=str(i), title=f"{b} lamp", brand=b, attributes={"maker_name": b})
        for i, b in enumerate(["Ember", "Veltro"] * 10)
    ]
    linker = EntityLinker(EntityStatistics.collect(products))
    assert linked(linker, "ember lamp") == ["brand=Ember"]


def test_linking_from_threads_gives_the_same(linker):
    texts = [product.title for product in catalogue(40, seed=3)]
    expected = [linker.link(text) for text in texts]
    results = {}
    threads = [
        threading.Thread(target=lambda n=n: results.__setitem__(n, [linker.link(t) for t in texts])) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found == expected for found in results.values())


ANY_QUERY = st.one_of(
    st.text(max_size=120),
    st.lists(st.sampled_from(["ember", "ruby", "heron", "veltorna", "by", "in", "-", ",", "t", "shirt", "&"])).map(
        " ".join
    ),
)


@settings(deadline=None)
@given(ANY_QUERY)
def test_any_text_gives_ordered_links_with_true_surfaces(linker, text):
    end = 0
    for link in linker.link(text):
        assert end <= link.start < link.end <= len(text)
        assert text[link.start : link.end] == link.surface
        assert 0.5 < link.probability <= 1
        assert link.group in {"brand", "category", "season", "composition"}
        end = link.end


@pytest.mark.parametrize("text", ["ember " * 400, "e-" * 1000, "&" * 2000, "canda" * 400, "x y " * 500])
def test_long_texts_stay_quick(linker, text):
    assert len(linker.link(text)) <= 512


# --- scores


def test_scores_by_hand(linker):
    queries = [
        KnownQuery("brand", "veltrona dress", frozenset({("brand", "Veltrona"), ("category", "Dress")})),
        KnownQuery("brand", "zantelli thing", frozenset({("brand", "Zantelli"), ("category", "Hat")})),
        KnownQuery("plain", "the glow of an ember", frozenset()),
        KnownQuery("plain", "ember jacket", frozenset({("category", "Jacket")})),
    ]
    scores = linking_scores(linker, queries)
    assert scores["brand"] == LinkingScore(queries=2, hits=3, false=0, missed=1, untouched=2)
    assert scores["plain"] == LinkingScore(queries=2, hits=1, false=1, missed=0, untouched=1)
    assert scores["all"] == scores["brand"] + scores["plain"]
    assert scores["brand"].precision == 1
    assert scores["brand"].recall == 0.75
    assert scores["brand"].f1 == pytest.approx(2 * 0.75 / 1.75)
    assert scores["plain"].left_alone == 0.5


def test_scores_of_nothing():
    empty = LinkingScore()
    assert (empty.precision, empty.recall, empty.f1, empty.left_alone) == (1, 1, 1, 1)
