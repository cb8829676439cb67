"""Suggestions and spelling help in the storefront."""

import re
from collections import Counter

import pytest
from playwright.sync_api import expect

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "reduced_motion": "reduce"}
LIST = "#suggestions"


@pytest.fixture
def category(shop):
    """A category of one long word that no word of any other begins like."""
    names = {row["category"] for row in shop.rows}
    alone = [name for name in names if re.fullmatch(r"[A-Z][a-z]{5,}", name)]
    texts = " ".join(f"{row['title']} {row['description']} {row['brand']}" for row in shop.rows).lower().split()
    return max(sorted(alone), key=lambda name: sum(word.startswith(name.lower()) for word in texts))


def option(visit, text):
    """The suggestion that says `text` and nothing else."""
    return visit.page.locator(f'{LIST} [data-q="{text}"]')


def test_what_is_typed_is_completed_by_keys_and_by_mouse(visit, shop, category):
    box = visit.page.get_by_role("combobox", name="Search with words")
    visit.open()
    expect(box).to_have_attribute("aria-expanded", "false")
    box.press_sequentially(category[:4].lower())
    suggested = option(visit, category)
    expect(suggested.locator("small")).to_have_text(f"{sum(row['category'] == category for row in shop.rows)}")
    assert suggested.locator("mark").all_inner_texts() == [category[:4]]
    expect(box).to_have_attribute("aria-expanded", "true")
    expect(visit.page.locator("#results-title")).to_have_text(f"Results for “{category[:4].lower()}”")  # beneath it

    box.fill(category[0])
    options = visit.page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    expect(options.nth(2)).to_be_visible()
    last = options.count() - 1
    for key, chosen in [("ArrowDown", 0), ("ArrowUp", None), ("ArrowUp", last), ("ArrowDown", None), ("ArrowDown", 0)]:
        box.press(key)
        marked = options.evaluate_all("all => all.findIndex((one) => one.ariaSelected === 'true')")
        assert marked == (-1 if chosen is None else chosen)
        active = box.get_attribute("aria-activedescendant")
        assert active == (None if chosen is None else options.nth(chosen).get_attribute("id"))
    expect(box).to_be_focused()
    words = options.first.get_attribute("data-q")
    box.press("Enter")
    expect(box).to_have_value(words)
    expect(visit.page.locator(LIST)).to_be_hidden()
    expect(visit.page.locator("#results-title")).to_have_text(f"Results for “{words}”")

    box.fill(category[:4].lower())
    expect(suggested).to_be_visible()
    box.press("Escape")
    expect(visit.page.locator(LIST)).to_be_hidden()
    expect(box).to_have_value(category[:4].lower())
    visit.answered()
    box.press("ArrowDown")
    expect(visit.page.locator(".card-open").first).to_be_focused()
    box.press("End")
    box.press("Backspace")
    suggested.click()
    expect(box).to_have_value(category)
    expect(box).to_be_focused()
    expect(box).to_have_attribute("aria-expanded", "false")


def test_a_misspelt_word_is_put_right_if_the_visitor_wants(visit, category):
    right = f"red {category.lower()}"
    wrong = right[:-2] + right[-1] + right[-2]
    visit.open(f"/?q={wrong.replace(' ', '+')}")
    meant = visit.page.locator("#meant")
    expect(meant).to_have_text(f"Did you mean {right}?")
    assert len(visit.ids()) == 24
    with visit.page.expect_response("**/v1/search") as answered:
        meant.get_by_role("button").click()
    assert answered.value.request.post_data_json["q"] == right
    expect(meant).to_be_hidden()
    expect(visit.page.locator("#q")).to_have_value(right)
    visit.page.go_back()
    expect(visit.page.locator("#q")).to_have_value(wrong)
    expect(meant).to_be_visible()


def test_old_answers_and_failures_say_nothing(visit, category):
    visit.open()
    box = visit.page.locator("#q")
    asked, held = [], []

    def answer(route):
        q = route.request.url.split("q=")[1]
        asked.append(q)
        if q == "zz":
            route.fulfill(status=503, body="not a problem document")
        elif q == category[:3]:
            held.append(route)
        else:
            route.continue_()

    visit.page.route("**/v1/suggest?*", answer)
    with visit.page.expect_request("**/v1/suggest?*"):
        box.fill(category[:3])
    box.fill(category[:4])
    expect(option(visit, category)).to_be_visible()
    marks = visit.page.locator(f"{LIST} mark").all_inner_texts()
    [late] = held
    late.abort()  # nobody waits for it
    assert visit.page.locator(f"{LIST} mark").all_inner_texts() == marks

    with visit.page.expect_response("**/v1/suggest?*"):
        box.fill("zz")
    visit.answered()
    assert len(visit.ids()) == 24
    expect(visit.page.get_by_role("alert")).to_have_count(0)
    visit.forgive("status of 503")
    box.fill(category[:4])
    expect(option(visit, category)).to_be_visible()
    assert Counter(asked)[category[:4]] == 1  # the second time it was known


@pytest.mark.parametrize("visit", [PHONE], ids=["phone"], indirect=True)
def test_a_finger_chooses_a_suggestion(visit, category):
    visit.open()
    visit.page.locator("#q").tap()
    visit.page.locator("#q").press_sequentially(category[:4].lower())
    suggested = option(visit, category)
    expect(suggested).to_be_visible()
    box = visit.page.locator(LIST).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert suggested.bounding_box()["height"] >= 40
    suggested.tap()
    expect(visit.page.locator("#q")).to_have_value(category)
    expect(visit.page.locator("#q")).not_to_be_focused()  # the keyboard makes way for the results
    expect(visit.page.locator(LIST)).to_be_hidden()
    expect(visit.page.locator("#results-title")).to_have_text(f"Results for “{category}”")


def test_what_the_pure_parts_make_of_suggestions(visit):
    visit.open()
    pairs = [
        ("red Tommy Hilfiger", "red hil"), ("Golden Goose", "goose"), ("black boots", "blakc bo"), ("Red", ""),
        ("Ärmel", "ärm"),
    ]  # fmt: skip
    script = """async (pairs) => {
        const { marked } = await import('/js/suggest.js');
        const shown = ({ part, typed }) => (typed ? `[${part}]` : part);
        return pairs.map(([suggestion, typed]) => marked(suggestion, typed).map(shown).join(''));
    }"""
    assert visit.page.evaluate(script, pairs) == [
        "[red] Tommy [Hil]figer", "Golden [Goose]", "black [bo]ots", "Red", "[Ärm]el",
    ]  # fmt: skip

    script = """async ([q, suggestions, corrected]) => {
        const { meantOf, offersOf } = await import('/js/suggest.js');
        const query = { q: ` ${q}` };
        const state = { query, answered: { q }, answer: {}, suggested: { q, suggestions, corrected } };
        const meant = [state, { ...state, answered: { q: 'other' } }, { ...state, answer: null }].map(meantOf);
        return [meant, offersOf(state).map((one) => one.text)];
    }"""
    suggestions = [
        {"text": text, "value": value, "group": value and "brand", "count": 1}
        for text, value in [("blak", None), ("black black", None), ("black black Box", "Black Box"), ("black", "Black")]
    ]
    meant, offered = visit.page.evaluate(script, ["Blak", suggestions, "black"])
    assert meant == ["black", None, None]
    assert offered == ["black black Box", "black"]
    assert visit.page.evaluate(script, ["Blak", [], "blak"]) == [[None, None, None], []]
