"""What a visitor does in the storefront: real shop, real service, real browser."""

import json
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e


def test_first_view_is_a_varied_grid_with_examples_of_this_shop(visit, shop):
    visit.open()
    assert len(visit.ids()) == 24
    categories = {row["id"]: row["category"] for row in shop.rows}
    assert len({categories[identity] for identity in visit.ids()}) >= 4
    examples = visit.page.locator(".example")
    expect(examples).not_to_have_count(0)
    words = examples.first.inner_text()
    known = {row["category"].lower() for row in shop.rows}
    assert any(category in words.lower() for category in known)

    examples.first.click()
    expect(visit.page.locator("#q")).to_have_value(words)
    expect(visit.page.locator("#results-title")).to_have_text(f"Results for “{words}”")
    assert f"q={words.replace(' ', '+')}" in visit.page.url


def test_words_show_the_product_they_describe(visit, shop):
    visit.open()
    row = shop.rows[17]
    visit.ask(row["title"])
    expect(visit.page.locator("#hero")).to_be_hidden()
    assert row["id"] in visit.ids()[:12]
    card = visit.page.locator(f'.card[data-id="{row["id"]}"]')
    expect(card).to_contain_text(row["title"])
    expect(card).to_contain_text(row["brand"])
    expect(card.locator(".stock")).to_have_text("In stock" if row["in_stock"] else "Sold out")
    amount = re.sub(r"[^\d.]", "", card.locator(".price").inner_text())
    assert float(amount) == pytest.approx(row["price"])
    picture = card.locator("img")
    assert (picture.get_attribute("loading"), picture.get_attribute("width")) == ("lazy", "400")
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("picture => picture.naturalWidth") > 0


def test_typing_asks_once_it_rests(visit):
    visit.open()
    asked = []
    visit.page.on("request", lambda request: asked.append(request) if "/v1/search" in request.url else None)
    visit.page.locator("#q").press_sequentially("red shoes", delay=10)
    expect(visit.page.locator("#results-title")).to_have_text("Results for “red shoes”")
    visit.answered()
    assert len(asked) < len("red shoes")
    assert asked[-1].post_data_json["q"] == "red shoes"


def test_a_picture_finds_its_product(visit, shop):
    visit.open()
    row = shop.rows[30]
    visit.give(shop.picture(row))
    assert row["id"] in visit.ids()[:5]
    expect(visit.page.locator(".token canvas")).to_be_visible()
    expect(visit.page.locator(".weight")).to_have_count(0)
    visit.page.get_by_role("button", name="Remove the picture").click()
    expect(visit.page.locator("#hero")).to_be_visible()


def test_the_bundled_detector_frames_the_products_of_a_photo(visit, shop):
    scenes = [json.loads(line) for line in (shop.folder / "scenes.jsonl").read_text().splitlines()]
    scene = max(scenes, key=lambda scene: len(scene["objects"]))
    visit.open()
    visit.give(shop.folder / scene["image"])
    frames = visit.page.get_by_role("button", name=re.compile(r"^Product \d of \d$"))
    expect(frames.nth(1)).to_be_visible()
    frames.first.click()
    expect(visit.page.locator("#results-title")).to_have_text(re.compile(r"^Results for product 1 of \d$"))
    assert len(visit.ids()) == 24


DROP = """async ([bytes, name, kind]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/jpeg' }));
    const at = document.querySelector('main');
    if (kind === 'paste') {
        at.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
        return true;
    }
    at.dispatchEvent(new DragEvent('dragover', { dataTransfer: data, bubbles: true, cancelable: true }));
    const veiled = !document.getElementById('drop').hidden;
    at.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    return veiled && document.getElementById('drop').hidden;
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_may_be_dropped_and_pasted(visit, shop, kind):
    visit.open()
    row = shop.rows[41]
    with visit.page.expect_response("**/v1/search/image"):
        assert visit.page.evaluate(DROP, [list(shop.picture(row).read_bytes()), "mine.jpg", kind])
    visit.answered()
    assert row["id"] in visit.ids()[:5]


def test_a_heavy_photo_is_sent_light(visit, tmp_path):
    visit.open()
    noisy = Image.effect_noise((3000, 2000), 90).convert("RGB")
    path = tmp_path / "photo.jpg"
    noisy.save(path, quality=95)
    assert path.stat().st_size > 3_000_000
    visit.keep_forms()
    visit.give(path)
    script = """async () => {
        const picture = window.sent[0].get('image');
        const { width, height } = await createImageBitmap(picture);
        return [width, height, picture.size];
    }"""
    width, height, size = visit.page.evaluate(script)
    assert (width, height) == (1600, 1067)
    assert size < path.stat().st_size
    assert len(visit.ids()) == 24


def test_words_and_picture_are_weighed(visit, shop):
    visit.open()
    pictured, worded = shop.rows[30], shop.rows[17]
    visit.ask(worded["title"])
    visit.give(shop.picture(pictured))
    slider = visit.page.get_by_role("slider", name="Words against picture")
    expect(slider).to_have_attribute("aria-valuetext", "50% words, 50% picture")

    def slide(to):
        with visit.page.expect_response("**/v1/search/image"):
            slider.fill(to)
        visit.answered()
        return visit.ids()

    towards_picture, towards_words = slide("95"), slide("5")
    assert pictured["id"] in towards_picture[:5]
    assert worded["id"] in towards_words[:12]
    assert towards_picture != towards_words
    expect(slider).to_have_attribute("aria-valuetext", "95% words, 5% picture")


def test_a_name_is_read_dropped_and_taken_back(visit, linked):
    words, brand = linked
    visit.open()
    visit.ask(words)
    chip = visit.page.locator('.chip[data-group="brand"]')
    expect(chip).to_contain_text(brand)

    with visit.page.expect_request("**/v1/search") as asked:
        chip.click()
    assert asked.value.post_data_json["entities"] == {"brand": None}
    visit.answered()
    expect(chip).to_have_class("chip gone")
    assert "without=brand" in visit.page.url

    with visit.page.expect_request("**/v1/search") as asked:
        chip.click()
    assert "entities" not in asked.value.post_data_json
    visit.answered()
    expect(chip).to_have_class("chip")


def test_dropping_a_name_goes_with_a_picture_too(visit, shop, linked):
    words, _ = linked
    visit.open()
    visit.ask(words)
    visit.give(shop.picture(shop.rows[30]))
    visit.keep_forms()
    with visit.page.expect_response("**/v1/search/image"):
        visit.page.locator('.chip[data-group="brand"]').click()
    visit.answered()
    assert visit.page.evaluate("window.sent[0].get('entities')") == '{"brand":null}'
    expect(visit.page.locator('.chip.gone[data-group="brand"]')).to_be_visible()


def points(cell):
    return round(float(cell.inner_text()) * 1000)


def test_words_are_ranked_by_category_and_what_another_one_costs_is_said(visit, linked):
    asked = []

    def demoted(route):
        asked.append(route.request.post_data_json)
        if asked[-1].get("q") != linked[0]:  # what is shown at first
            route.continue_()
            return
        answer = route.fetch().json()
        [term] = [term for term in answer["hits"][0]["explain"]["terms"] if term["name"] == "other category"]
        term["score"] -= 0.25
        answer["hits"][0]["score"] -= 0.25
        route.fulfill(json=answer)

    visit.page.route("**/v1/search", demoted)
    visit.open()
    with visit.page.expect_response("**/v1/search"):
        visit.page.locator("#q").fill(linked[0])
    visit.answered()
    assert [one.get("rerank") for one in asked if one.get("q") == linked[0]] == [{}]
    why = visit.page.locator(".card-why").first
    why.focus()
    why.press("Enter")
    row = visit.page.get_by_role("dialog").locator('tr[data-term="other category"]')
    expect(row).to_contain_text("Of another category than")
    expect(row.locator(".points")).to_have_text("-0.250")


def test_an_explanation_adds_up_to_the_score(visit, linked):
    words, brand = linked
    visit.open()
    with visit.page.expect_response("**/v1/search") as answered:
        visit.page.locator("#q").fill(words)
    visit.answered()
    first = answered.value.json()["hits"][0]

    why = visit.page.locator(f'.card[data-id="{first["id"]}"] .card-why')
    why.focus()
    why.press("Enter")
    dialog = visit.page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Why this result")).to_be_focused()
    table = dialog.get_by_role("table", name="The parts that add up to the score of this product")
    said = [term for term in first["explain"]["terms"] if term["name"] != "other category" or term["score"]]
    expect(table.locator("tbody tr")).to_have_count(len(said))
    expect(table.locator('tr[data-term="brand"]')).to_contain_text(brand)
    shown = [points(cell) for cell in table.locator("tbody .points").all()]
    assert sum(shown) == points(table.locator("tfoot .points"))
    assert sum(shown) == round(first["score"] * 1000)
    widths = table.locator(".line").evaluate_all("lines => lines.map(line => line.getBoundingClientRect().width)")
    longest = max(range(len(shown)), key=lambda i: abs(shown[i]))
    assert widths[longest] == max(widths)


def test_more_like_this_and_but_in_other_words(visit, shop):
    visit.open()
    row = shop.rows[17]
    visit.ask(row["title"])
    with visit.page.expect_response("**/similar?*"):
        card = visit.page.locator(f'.card[data-id="{row["id"]}"]')
        card.hover()
        card.locator(".card-like").click()
    visit.answered()
    assert row["id"] not in visit.ids()
    assert len(visit.ids()) == 24
    expect(visit.page.locator(".token")).to_contain_text(row["title"])
    expect(visit.page.locator("#q")).to_have_value("")

    with visit.page.expect_request("**/v1/search") as asked:
        visit.page.locator("#q").fill("red")
    assert asked.value.post_data_json["query"] == [
        {"text": "red", "weight": 0.5},
        {"product": row["id"], "weight": 0.5},
    ]
    visit.answered()
    assert row["id"] not in visit.ids()
    expect(visit.page.get_by_role("slider", name="Words against picture")).to_be_visible()


def test_more_is_shown_until_there_is_no_more(visit, shop):
    visit.open("/?q=red")
    more = visit.page.locator("#more")
    seen = visit.ids()
    assert len(seen) == 24
    more.focus()
    more.press("Enter")
    expect(visit.page.locator(".card")).to_have_count(48)
    assert visit.ids()[:24] == seen
    expect(visit.page.locator(".card-open").nth(24)).to_be_focused()
    while more.is_visible():
        before = len(visit.ids())
        more.click()
        expect(visit.page.locator(".card")).not_to_have_count(before)
    assert len(set(visit.ids())) == len(visit.ids())
    found = int(visit.page.locator("#count").inner_text().split(" of ")[1])
    assert len(visit.ids()) == found


def test_the_address_brings_the_search_back(visit, linked):
    words, _ = linked
    visit.open()
    visit.ask(words)
    visit.page.locator('.chip[data-group="brand"]').click()
    visit.answered()
    expect(visit.page.locator(".chip.gone")).to_be_visible()
    asked = visit.ids()
    visit.page.reload()
    visit.answered()
    expect(visit.page.locator("#q")).to_have_value(words)
    expect(visit.page.locator(".chip.gone")).to_be_visible()
    assert visit.ids() == asked


def test_a_product_has_an_address_and_back_closes_it(visit, shop):
    row = shop.rows[17]
    visit.open()
    visit.ask(row["title"])
    results = visit.page.url
    link = visit.page.locator(f'.card[data-id="{row["id"]}"] .card-open')
    link.click()
    dialog = visit.page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name=row["title"])).to_be_visible()
    expect(dialog).to_contain_text(row["description"][:60])
    shared = visit.page.url
    visit.page.go_back()
    expect(dialog).to_be_hidden()
    expect(visit.page).to_have_url(results)
    expect(link).to_be_focused()

    visit.page.goto(shared)
    expect(dialog.get_by_role("heading", name=row["title"])).to_be_visible()
    visit.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(visit.page).to_have_url(results)


def test_back_walks_through_what_was_asked(visit, shop):
    visit.open()
    visit.ask("red")
    visit.page.locator("#q").press("Enter")
    visit.answered()
    red = visit.ids()
    visit.ask("blue")
    visit.give(shop.picture(shop.rows[30]))
    pictured = visit.ids()
    visit.page.go_back()
    visit.page.go_back()
    expect(visit.page.locator("#q")).to_have_value("red")
    visit.answered()
    expect(visit.page.locator(".token")).to_have_count(0)
    assert visit.ids() == red
    visit.page.go_forward()
    visit.page.go_forward()
    expect(visit.page.locator(".token canvas")).to_be_visible()
    visit.answered()
    assert visit.ids() == pictured
