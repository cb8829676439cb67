"""What a visitor says of the answer: less like this, that name is another one; and what category the model sees."""

import json
import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e

KEEP_BODIES = """() => {
    const send = window.fetch;
    window.bodies = [];
    window.fetch = (address, options) => {
        if (typeof options?.body === 'string') window.bodies.push(options.body);
        return send(address, options);
    };
}"""


def is_search(request):
    return request.url.endswith("/v1/search")


def test_less_like_this_pushes_away_and_can_be_taken_back(visit):
    visit.open("/?q=red")
    before = visit.ids()
    disliked = before[0]
    title = visit.page.locator(".card-open").first.inner_text()
    card = visit.page.locator(".card").first
    card.hover()
    with visit.page.expect_request(is_search) as asked:
        card.get_by_role("button", name=f"Less: less like {title}").click()
    body = asked.value.post_data_json
    assert body["query"] == [{"text": "red"}, {"product": disliked, "weight": -0.5}]
    visit.answered()
    assert disliked not in visit.ids()
    assert visit.ids() != before[1:]
    token = visit.page.locator(".token.less")
    expect(token).to_contain_text(title)
    assert f"less={disliked}" in visit.page.url

    visit.page.locator(".card-why").first.focus()
    visit.page.keyboard.press("Enter")
    assert_bars_go_both_ways(visit.page, f"Less like this {title}")
    visit.page.keyboard.press("Escape")

    second = visit.ids()[0]
    visit.page.locator(".card-open").first.click()
    dialog = visit.page.get_by_role("dialog")
    with visit.page.expect_request(is_search) as asked:
        dialog.get_by_role("button", name="Less like this").click()
    assert [part.get("weight") for part in asked.value.post_data_json["query"]] == [None, -0.25, -0.25]
    expect(dialog).to_be_hidden()
    visit.answered()
    both = visit.ids()
    assert not {disliked, second} & set(both)

    visit.page.reload()
    visit.answered()
    expect(token).to_have_count(2)
    expect(token.first).to_contain_text(title)
    assert visit.ids() == both
    for _ in range(2):
        with visit.page.expect_request(is_search):
            token.last.get_by_role("button").click()
    visit.answered()
    assert visit.ids() == before
    assert "less" not in visit.page.url


READ_ADDRESS = "async () => (await import('/js/address.js')).fromAddress(location.search).query.corrected"
BARS = """rows => rows.map(row => {
    const [line, bar] = ['.line', '.bar'].map(name => row.querySelector(name).getBoundingClientRect());
    const [left, right, whole] = [line.left - bar.left, line.right - bar.left, bar.width];
    return { points: parseFloat(row.querySelector('.points').innerText), left, right, whole };
})"""


def assert_bars_go_both_ways(page, pushing):
    """What adds to the score goes to the right from one place in all bars, what counts against it to the left."""
    expect(page.locator('.explain tr[data-term="product"]')).to_contain_text(pushing)
    bars = page.locator(".explain tbody tr").evaluate_all(BARS)
    long = [bar for bar in bars if bar["right"] - bar["left"] > 4]
    assert {bar["points"] > 0 for bar in long} == {True, False}, "nothing counts against the first hit"
    zeros = [bar["left" if bar["points"] > 0 else "right"] for bar in long]
    assert max(zeros) - min(zeros) < 1
    assert all(bar["left"] > -1 and bar["right"] < bar["whole"] + 1 for bar in bars)
    steps = [(bar["right"] - bar["left"]) / abs(bar["points"]) for bar in long]
    assert max(steps) == pytest.approx(min(steps), rel=0.1)


def test_a_picture_is_classified_and_less_goes_with_it(visit, shop):
    visit.open()
    expect(visit.page.locator(".card-less")).to_have_count(0)
    with visit.page.expect_response("**/v1/classify") as classified:
        visit.give(shop.picture(shop.rows[30]))
    said = classified.value.json()["category"]
    guess = visit.page.locator("#asked .guess")
    expect(guess).to_contain_text(said["name"] if said["probability"] >= 0.5 else "not sure")
    disliked = visit.ids()[1]
    visit.page.evaluate(KEEP_BODIES)
    less = visit.page.locator(".card-less").nth(1)
    less.focus()
    with visit.page.expect_response("**/v1/search"):
        less.press("Enter")
    visit.answered()
    asked = json.loads(visit.page.evaluate("window.bodies[0]"))
    [picture, away] = asked["query"]
    assert picture["image"]["data"].startswith("data:image/")
    assert away == {"product": disliked, "weight": -0.5}
    assert asked["instances"] == "auto"
    assert disliked not in visit.ids()
    assert shop.rows[30]["id"] in visit.ids()[:5]
    expect(visit.page.locator(".card-open").nth(1)).to_be_focused()
    visit.page.get_by_role("button", name="Remove the picture").click()
    expect(visit.page.locator(".token")).to_have_count(0)


def test_a_disliked_product_that_went_is_forgotten(visit):
    visit.open("/?q=red&less=no-such-product")
    expect(visit.page.locator(".card:not(.skeleton)")).to_have_count(24)
    expect(visit.page.locator(".token, .notice")).to_have_count(0)
    assert visit.page.url == f"{visit.base_url}/?q=red"
    visit.forgive("status of 4")


def test_a_name_is_corrected_read_as_before_again_and_dropped(visit, linked):
    words, brand = linked
    visit.open()
    visit.ask(words)
    change = visit.page.get_by_role("button", name=f"Brand: {brand}. Choose another")
    change.focus()
    change.press("Enter")
    menu = visit.page.get_by_role("menu", name="Brand: choose another")
    choices = menu.get_by_role("menuitem")
    expect(choices.nth(1)).to_be_visible()
    expect(change).to_have_attribute("aria-expanded", "true")
    expect(choices.first).to_be_focused()
    expect(choices.last).to_have_text("Do not read it so")
    visit.page.keyboard.press("End")
    expect(choices.last).to_be_focused()
    visit.page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(change).to_be_focused()

    change.press("Enter")
    expect(choices.nth(1)).to_be_visible()
    visit.page.keyboard.press("ArrowDown")
    other = choices.nth(1).inner_text()
    assert other not in (brand, "Do not read it so")
    with visit.page.expect_request(is_search) as asked:
        visit.page.keyboard.press("Enter")
    assert asked.value.post_data_json["entities"] == {"brand": other}
    visit.answered()
    chip = visit.page.locator('.chip.corrected[data-group="brand"]')
    expect(chip).to_contain_text(f"{other} instead of {brand}")
    expect(visit.page.get_by_role("button", name=f"Brand: {other}. Choose another")).to_be_focused()
    written = visit.page.evaluate(READ_ADDRESS)
    assert [(entity["group"], entity["value"]) for entity in written] == [("brand", other)]

    with visit.page.expect_request(is_search) as asked:
        chip.click()
    assert "entities" not in asked.value.post_data_json
    visit.answered()
    expect(visit.page.locator('.chip[data-group="brand"]')).to_contain_text(brand)
    assert "read=" not in visit.page.url

    change.click()
    expect(menu).to_be_visible()
    visit.page.locator("#results-title").click()
    expect(menu).to_be_hidden()
    change.click()
    with visit.page.expect_request(is_search) as asked:
        choices.last.click()
    assert asked.value.post_data_json["entities"] == {"brand": None}
    expect(visit.page.locator('.chip.gone[data-group="brand"]')).to_be_visible()


def test_a_correction_survives_odd_names_in_the_address(visit):
    visit.page.goto(visit.base_url, wait_until="commit")
    script = """async (value) => {
        const { fromAddress, toAddress } = await import('/js/address.js');
        const { NO_QUERY, withEntityAs, withWords } = await import('/js/state.js');
        const entity = { group: 'brand', value, was: 'Ember', surface: 'ember' };
        const { query } = fromAddress(toAddress(withEntityAs(withWords(NO_QUERY, 'ember lamp'), entity), null));
        return [query.corrected[0].value, withWords(query, 'lamp').corrected.length];
    }"""
    for value in ("A:B", "100%", "%3A", "Größe & Co", "a%25:b"):
        assert visit.page.evaluate(script, value) == [value, 0]


CATEGORIES = [
    ({"name": "Scarf", "probability": 0.934, "alternatives": [("Shawl", 0.05)]}, "Category: Scarf, 93%", "or Shawl 5%"),
    ({"name": "Scarf", "probability": 0.9996, "alternatives": []}, "Category: Scarf, >\xa099%", "The shop lists it as"),
    (
        {"name": "Scarf", "probability": 0.4, "alternatives": [("Tie", 0.3)]},
        "Category: not sure",
        "or Scarf 40%, Tie 30%",
    ),
    (None, None, None),
]


def test_the_category_of_a_product_is_said_quietly(visit):
    """What the judges of a shop this small say cannot be foreseen; what is made of each kind of answer can."""
    answers = []

    def answer(route):
        category = answers[-1]
        if category:
            others = [{"name": name, "probability": chance} for name, chance in category["alternatives"]]
            category = {**category, "source": "both", "alternatives": others}
        route.fulfill(json={"category": category, "index": {}})

    visit.page.route("**/v1/classify", answer)
    visit.open()
    for number, (category, said, more) in enumerate(CATEGORIES):
        answers.append(category)
        with visit.page.expect_response("**/v1/classify") as asked:
            visit.page.locator(".card-open").nth(number).click()
        sent = asked.value.request.post_data_json
        assert sent["entity_linking"] == "off"
        assert sent["image"]["data"].startswith("data:image/")
        guess = visit.page.locator("dialog .guess")
        if said is None:
            expect(guess).to_be_attached()
            expect(guess).to_be_empty()
        else:
            guess.locator("summary").click()
            expect(guess.locator("summary")).to_have_text(said)
            expect(guess).to_contain_text(more)
        visit.page.keyboard.press("Escape")
        expect(visit.page.get_by_role("dialog")).to_be_hidden()


def test_words_that_stand_for_others_are_shown_beside_the_names(visit, data_dir, base_url):
    table = data_dir / "synonyms.txt"
    table.write_text("zibbles => red dress\n", encoding="utf-8")

    def told():
        return visit.page.request.post(f"{base_url}/v1/search", data={"q": "zibbles"}).json()["synonyms"]

    end = time.monotonic() + 10
    while not told():
        assert time.monotonic() < end, "the table was not read"
        time.sleep(0.1)
    visit.open("/?q=long+zibbles")
    chip = visit.page.locator(".chip-synonym")
    expect(chip).to_have_count(1)
    expect(chip.locator("[aria-hidden]")).to_have_text("zibbles \u2192 red dress")
    expect(chip.locator(".sr")).to_have_text("zibbles is read as red dress")
    found = visit.ids()
    visit.open("/?q=long+red+dress")
    expect(chip).to_have_count(0)
    assert len(set(found) & set(visit.ids())) > len(found) / 2
    table.write_text("", encoding="utf-8")
