"""The storefront's pure modules, run where they run: in Chromium, imported from the served page."""

import itertools
import random

import pytest

pytestmark = pytest.mark.e2e


def term(score, name="words"):
    return {"query": 0, "name": name, "value": None, "gate": None, "score": score}


def bars(visit, score, terms):
    script = "async ([score, terms]) => (await import('/js/explain.js')).toBars(score, terms)"
    return visit.page.evaluate(script, [score, terms])


def thousandths(points):
    return round(points * 1000)


def test_shown_points_add_up_to_the_shown_score(visit):
    visit.open()
    rng = random.Random(5)
    for count in itertools.chain([1, 2, 3], range(4, 12)):
        scores = [rng.uniform(-0.4, 0.6) for _ in range(count)]
        shown = bars(visit, sum(scores), [term(score) for score in scores])
        assert thousandths(shown["total"]) == round(sum(scores) * 1000)
        points = [thousandths(bar["points"]) for bar in shown["bars"]]
        assert sum(points) == thousandths(shown["total"])
        assert all(abs(bar["points"] - bar["term"]["score"]) < 0.001 for bar in shown["bars"])


def test_plain_rounding_would_not_add_up(visit):
    visit.open()
    shown = bars(visit, 0.0015, [term(0.0005), term(0.0005), term(0.0005)])
    assert thousandths(shown["total"]) == 2
    assert sorted(thousandths(bar["points"]) for bar in shown["bars"]) == [0, 1, 1]


def test_bars_are_the_largest_first_and_reach_as_far_as_their_points(visit):
    visit.open()
    shown = bars(visit, 0.3, [term(0.1, "words"), term(-0.2, "season"), term(0.4, "brand")])
    assert [bar["term"]["name"] for bar in shown["bars"]] == ["brand", "season", "words"]
    assert [bar["reach"] for bar in shown["bars"]] == pytest.approx([1, -0.5, 0.25])


def test_no_terms_make_no_bars(visit):
    visit.open()
    assert bars(visit, 0, []) == {"bars": [], "total": 0}


def hit(identity, **product):
    return {"id": identity, "score": 0.5, "product": {"id": identity, "title": identity, **product}}


def test_first_view_deals_out_the_categories(visit):
    visit.open()
    hits = [
        hit("a1", category="A"),
        hit("a2", category="A"),
        hit("b1", category="B"),
        hit("x1"),
        hit("a3", category="A"),
    ]
    dealt = visit.page.evaluate("async (hits) => (await import('/js/browse.js')).varied(hits)", hits)
    assert [h["id"] for h in dealt] == ["a1", "b1", "x1", "a2", "a3"]


def test_examples_speak_the_words_of_the_shop(visit):
    visit.open()
    hits = [
        hit("1", category="Lamps", brand="Ember", attributes={"second_colour": "blue", "colour": "Red"}),
        hit("2", category="Lamps", brand="Other"),
        hit("3", category="Home > Kitchen > Mugs", brand="Big Dot", attributes={"colour": "blue"}),
        hit("4", category=None, brand="Ember"),
        hit("5", category="Rugs", brand="Wren", attributes={"base_color": "Green", "size": "L"}),
        hit("6", category="Chairs", attributes={"colour": "black"}),
        hit("7", category="Beds", brand="Wren", attributes={"size": "L"}),
    ]
    script = "async (hits) => (await import('/js/browse.js')).exampleSearches(hits)"
    assert visit.page.evaluate(script, hits) == ["red lamps", "Big Dot mugs", "green rugs", "chairs", "Wren beds"]


def test_an_address_says_what_was_asked(visit):
    written = {
        "": "",
        "?q=red+lamp": "?q=red+lamp",
        "?q=+red+": "?q=red",
        "?like=p+1%2F2": "?like=p+1%2F2",
        "?q=red&like=7&weight=0.3": "?q=red&like=7&weight=0.3",
        "?q=red&weight=0.3": "?q=red",
        "?q=red&like=7&weight=12": "?q=red&like=7",
        "?q=ember&without=brand%3Aember&product=9": "?q=ember&without=brand%3Aember&product=9",
        "?q=ember&without=nonsense&other=1": "?q=ember",
        "?without=brand%3Aember": "",
    }
    visit.open()
    script = """async (addresses) => {
        const { fromAddress, toAddress } = await import('/js/address.js');
        return Object.fromEntries(addresses.map((address) => {
            const { query, open } = fromAddress(address);
            return [address, toAddress(query, open)];
        }));
    }"""
    assert visit.page.evaluate(script, list(written)) == written


def test_prices_as_the_reader_writes_them(visit):
    written = [
        ({"price": 12.5, "currency": "EUR"}, "€12.50"),
        ({"price": 30, "currency": "USD"}, "$30"),
        ({"price": 1295, "currency": "JPY"}, "¥1,295"),
        ({"price": 5, "currency": None}, "5"),
        ({"price": 0, "currency": "EUR"}, "€0"),
        ({"price": None, "currency": "EUR"}, None),
        ({}, None),
    ]
    visit.open()
    script = "async (products) => products.map((await import('/js/text.js')).formatPrice)"
    assert visit.page.evaluate(script, [product for product, _ in written]) == [price for _, price in written]


def test_words_that_went_take_their_dropped_name_along(visit):
    visit.open()
    script = """async () => {
        const { NO_QUERY, withWords, withoutEntity } = await import('/js/state.js');
        const brand = { group: 'brand', value: 'DIESEL', surface: 'Diesel' };
        const asked = withoutEntity(withWords(NO_QUERY, 'Diesel jeans'), brand);
        return ['diesel jacket', 'jacket'].map((q) => withWords(asked, q).dropped.length);
    }"""
    assert visit.page.evaluate(script) == [1, 0]
