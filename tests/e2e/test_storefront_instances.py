"""Every product in a shopper's photo: frames over the picture, each with results of its own."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from models.capture.finder import InstanceFinder
from service.app import create_app
from service.served import open_artefacts
from service.settings import Settings

pytestmark = pytest.mark.e2e

SIZE = (800, 600)
PASTED = {30: (20, 30, 320), 17: (440, 40, 340), 41: (200, 370, 220)}  # product: left, top, side; the largest is first
PAPER = 230
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DARK = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"}
BY_SIZE = (17, 30, 41)


@pytest.fixture(scope="module")
def base_url(data_dir: Path, support) -> Iterator[str]:
    """A service whose detector finds whatever is not white."""
    settings = Settings(data_dir=data_dir, runtime="torch", update_log="off", most_wait_ms=60_000, decode_threads=1)
    artefacts = open_artefacts(settings)
    finder = InstanceFinder(support("blobs").BlobDetector(), None, artefacts[0])
    with support("live").serving(create_app(settings, artefacts, finder=finder)) as (host, port):
        yield f"http://{host}:{port}"


def pasted(shop, places):
    image = Image.new("RGB", SIZE, "white")
    for product, (left, top, side) in places.items():
        picture = Image.open(shop.picture(shop.rows[product])).convert("RGB").resize((side, side))
        image.paste(picture.point(lambda value: min(value, PAPER)), (left, top))
    return image


@pytest.fixture(scope="module")
def photo(shop, tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    pasted(shop, PASTED).save(path)
    return path


def frames(visit):
    return visit.page.get_by_role("button", name=re.compile(r"^Product \d of \d$"))


def test_a_frame_for_each_product_and_a_click_for_its_results(visit, shop, photo):
    visit.open()
    visit.give(photo)
    expect(frames(visit)).to_have_count(3)
    expect(visit.page.get_by_role("heading", name="3 products found in your picture")).to_be_visible()
    expect(visit.page.locator("#results-title")).to_have_text("Results for all 3 products")
    best = [shop.rows[product]["id"] for product in BY_SIZE]
    assert {*best[:2]} <= {*visit.ids()[:12]}
    whole, address = visit.ids(), visit.page.url

    for n, product in enumerate(best[:2], start=1):
        frames(visit).nth(n - 1).click()
        expect(visit.page.locator("#results-title")).to_have_text(f"Results for product {n} of 3")
        expect(frames(visit).nth(n - 1)).to_have_attribute("aria-pressed", "true")
        assert product in visit.ids()[:5]
        assert len(visit.ids()) == 24
        assert visit.page.url.endswith(f"?instance={n}")
        expect(visit.page.locator("#announcer")).to_contain_text(f"Results for product {n} of 3")
    visit.page.get_by_role("button", name="Whole photo").click()
    expect(visit.page.locator("#results-title")).to_have_text("Results for all 3 products")
    assert (visit.ids(), visit.page.url) == (whole, address)
    visit.page.go_back()
    expect(visit.page.locator("#results-title")).to_have_text("Results for product 2 of 3")
    assert best[1] in visit.ids()[:5]


def test_the_keyboard_reaches_every_frame(visit, photo):
    visit.open()
    visit.give(photo)
    frames(visit).first.focus()
    for n in (1, 2, 3):
        expect(frames(visit).nth(n - 1)).to_be_focused()
        visit.page.keyboard.press("Enter")
        expect(visit.page.locator("#results-title")).to_have_text(f"Results for product {n} of 3")
        expect(frames(visit).nth(n - 1)).to_be_focused()
        visit.page.keyboard.press("Tab")
    expect(visit.page.get_by_role("button", name="Whole photo")).to_be_focused()
    visit.page.keyboard.press("Space")
    expect(visit.page.get_by_role("button", name="Whole photo")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("visit", [PHONE, DARK], ids=["phone", "dark"], indirect=True)
def test_the_frames_are_where_the_products_are_on_every_screen(visit, photo):
    visit.open()
    visit.give(photo)
    canvas = visit.page.locator("#photo canvas").bounding_box()
    assert canvas["width"] / canvas["height"] == pytest.approx(SIZE[0] / SIZE[1], rel=0.02)
    for frame, product in zip(frames(visit).all(), BY_SIZE, strict=True):
        box, scale = frame.bounding_box(), canvas["width"] / SIZE[0]
        left, top, side = (length * scale for length in PASTED[product])
        at = [box["x"] - canvas["x"], box["y"] - canvas["y"], box["width"], box["height"]]
        assert at == pytest.approx([left, top, side, side], abs=0.03 * canvas["width"])
    assert visit.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_words_and_more_go_with_the_chosen_product(visit, photo):
    visit.open()
    visit.give(photo)
    frames(visit).nth(1).click()
    with visit.page.expect_response("**/v1/search/image") as answered:
        visit.page.locator("#q").fill("red")
    visit.answered()
    expect(visit.page.locator("#results-title")).to_have_text("Results for product 2 of 3 and “red”")
    assert visit.ids() == [hit["id"] for hit in answered.value.json()["instances"][1]["hits"]]
    seen = visit.ids()
    visit.page.locator("#more").click()
    expect(visit.page.locator(".card")).to_have_count(48)
    assert visit.ids()[:24] == seen
    visit.page.get_by_role("button", name="Remove the picture").click()
    visit.answered()
    expect(visit.page.locator("#photo")).to_be_hidden()
    assert "instance" not in visit.page.url


def test_a_picture_of_one_product_looks_as_ever(visit, shop):
    visit.open()
    visit.give(shop.picture(shop.rows[30]))
    expect(visit.page.locator("#results-title")).to_have_text("Results for your picture")
    expect(visit.page.locator("#photo")).to_be_hidden()
    assert shop.rows[30]["id"] in visit.ids()[:5]


def test_one_small_product_is_framed_and_searched_for(visit, shop, tmp_path):
    pasted(shop, {30: (420, 200, 300)}).save(tmp_path / "one.png")
    visit.open()
    visit.give(tmp_path / "one.png")
    expect(visit.page.get_by_role("heading", name="One product found in your picture")).to_be_visible()
    expect(frames(visit)).to_have_count(0)
    assert shop.rows[30]["id"] in visit.ids()[:5]


def answer(*lists, whole=(), found=90):
    """An answer with these ids for each instance."""
    hits = [[{"id": one} for one in ids] for ids in lists]
    instances = [{"box": [0, 0, 1, 1], "hits": some, "found": 10 * n} for n, some in enumerate(hits, start=1)]
    return {"hits": [{"id": one} for one in whole], "found": found, "instances": instances}


SHOWN = [
    (answer("abc", "ax", "y"), None, "aybxc", None),
    (answer("abc", "ax", "y"), 1, "ax", 20),
    (answer("abc", "ax", "y"), 7, "aybxc", None),
    (answer("abc"), None, "abc", 10),
    (answer(whole="wv"), None, "wv", 90),
    (answer(whole="wv"), 0, "wv", 90),
    ({**answer(whole="wv"), "instances": None}, None, "wv", 90),
]


def test_what_is_shown_of_an_answer(visit):
    visit.open()
    script = """async ([answer, chosen]) => {
        const { hitsOf, foundOf } = await import('/js/instances.js');
        return [hitsOf(answer, chosen).map((hit) => hit.id).join(''), foundOf(answer, chosen)];
    }"""
    for given, chosen, shown, found in SHOWN:
        assert visit.page.evaluate(script, [given, chosen]) == [shown, found], given
