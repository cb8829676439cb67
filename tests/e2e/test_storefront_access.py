"""The storefront for every visitor and device: keyboard, ears, small and dark screens, slow lines."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
NARROW = {"viewport": {"width": 320, "height": 640}}
DARK = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"}
PAGE_BYTES = 150_000


def test_the_keyboard_is_enough(visit):
    visit.open()
    focused = visit.page.locator(":focus")
    visit.page.keyboard.press("Tab")
    expect(focused).to_have_text("Skip to results")
    assert focused.evaluate("link => link.getBoundingClientRect().top") >= 0
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#results")).to_be_focused()
    assert "#" not in visit.page.url
    visit.page.keyboard.press("/")
    expect(visit.page.locator("#q")).to_be_focused()

    with visit.page.expect_response("**/v1/search"):
        visit.page.keyboard.type("red")
    visit.answered()
    visit.page.keyboard.press("ArrowDown")
    expect(visit.page.locator(".card-open").first).to_be_focused()
    assert outline_of(visit.page.locator(".card-open").first, "::after") == "solid"
    visit.page.keyboard.press("Tab")
    expect(visit.page.locator(".card-why").first).to_be_focused()
    assert visit.page.locator(".card-actions").first.evaluate("node => getComputedStyle(node).opacity") != "0"
    visit.page.keyboard.press("Enter")
    dialog = visit.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for _ in range(8):
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator(".card-why").first).to_be_focused()


def outline_of(locator, pseudo):
    return locator.evaluate("(node, pseudo) => getComputedStyle(node, pseudo).outlineStyle", pseudo)


def test_answers_are_announced(visit):
    visit.open()
    visit.ask("red")
    spoken = visit.page.get_by_role("status").filter(has_text="Results for “red”")
    expect(spoken).to_contain_text(re.compile(r"^\d+ products\."))


@pytest.mark.parametrize("visit", [PHONE, NARROW, DARK], ids=["phone", "narrow", "dark"], indirect=True)
def test_every_device_gets_the_whole_shop(visit, shop, linked):
    visit.open()
    assert_fits(visit.page)
    visit.ask(linked[0])
    visit.give(shop.picture(shop.rows[30]))
    assert_fits(visit.page)
    visit.page.locator(".card-open").first.click()
    dialog = visit.page.get_by_role("dialog")
    expect(dialog.locator(".explain")).to_be_visible()
    assert_fits(visit.page)
    box = dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= visit.page.viewport_size["width"]


def assert_fits(page):
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


MOTION_S = """() => Math.max(...[...document.querySelectorAll('*')].flatMap((node) => {
    const style = getComputedStyle(node);
    return [...style.animationDuration.split(','), ...style.transitionDuration.split(',')].map(parseFloat);
}))"""


def test_nothing_moves_for_those_who_ask_for_stillness(visit):
    visit.open()
    assert visit.page.evaluate(MOTION_S) == 0
    visit.page.emulate_media(reduced_motion="no-preference")
    assert visit.page.evaluate(MOTION_S) > 0.1


def test_the_chosen_theme_stays(visit):
    visit.open()
    background = "getComputedStyle(document.body).backgroundColor"
    light = visit.page.evaluate(background)
    visit.page.get_by_role("button", name="Switch between light and dark").click()
    dark = visit.page.evaluate(background)
    assert dark != light
    visit.page.reload()
    assert visit.page.evaluate(background) == dark


def test_the_page_is_light_and_safe(visit):
    sizes = {}
    policies = []

    def weigh(response):
        if "/v1/" not in response.url:
            sizes[response.url] = len(response.body())
            policies.append(response.headers.get("content-security-policy", ""))

    answers = []

    def keep(response):
        answers.append(response)

    visit.page.on("response", keep)
    visit.open("/?lang=fr")  # the language of the most letters
    visit.page.wait_for_load_state("networkidle")
    for answer in answers:
        weigh(answer)
    assert len(sizes) > 10
    assert sum(sizes.values()) <= PAGE_BYTES
    assert all("script-src 'self'" in policy and "unsafe" not in policy for policy in policies)
    assert visit.page.locator("[style], script:not([src])").count() == 0


def test_every_module_is_announced_in_the_page(visit):
    """One round trip for all modules, however deep they import each other."""
    visit.open()
    announced = (
        "[...document.querySelectorAll('link[rel=modulepreload], script[type=module]')].map(n => n.href || n.src)"
    )
    loaded = "performance.getEntriesByType('resource').map(entry => entry.name).filter(name => name.endsWith('.js'))"
    before_paint = "[...document.querySelectorAll('script:not([type])')].map(n => n.src)"
    modules = set(visit.page.evaluate(loaded)) - set(visit.page.evaluate(before_paint))
    assert set(visit.page.evaluate(announced)) == modules
