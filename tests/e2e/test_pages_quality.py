"""axe-core finds nothing serious in any state of the storefront, and the page keeps to its budget."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

PHONE_DARK = {
    "viewport": {"width": 390, "height": 844},
    "color_scheme": "dark",
    "has_touch": True,
    "reduced_motion": "reduce",
}
DESK = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", "reduced_motion": "reduce"}
FIRST_RESULTS_MS = 1_000  # on loopback
VISITS = 4
FIRST_CARD = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("#grid .card")) return;
  window.firstCardMs = performance.now();
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });
"""


def faults(page):
    """What axe-core takes for serious or critical: the rule, and where it is broken."""
    found = Axe().run(page).response["violations"]
    return [
        (violation["id"], node["target"], node["failureSummary"])
        for violation in found
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("visit", [PHONE_DARK, DESK], indirect=True, ids=["phone, dark", "desk, light"])
def test_nothing_serious_is_wrong_for_anybody(visit, shop, linked):
    words, _ = linked
    visit.open()
    assert faults(visit.page) == []
    visit.ask(words)  # chips, counts, cards
    assert faults(visit.page) == []
    visit.page.locator("#grid .card a, #grid .card button").first.click()  # a product, and why it was found
    visit.page.locator("#product[open]").wait_for()
    assert faults(visit.page) == []
    visit.page.keyboard.press("Escape")
    visit.page.locator("#product[open]").wait_for(state="hidden")
    visit.give(shop.picture(shop.rows[0]))  # words and picture: the slider
    assert faults(visit.page) == []


def test_an_empty_answer_and_a_failure_are_no_worse(visit):
    visit.open("/?range=price:0..0.01")
    expect(visit.page.locator(".notice")).to_contain_text("Nothing found")
    assert faults(visit.page) == []
    visit.page.route("**/v1/search", lambda route: route.fulfill(status=503, body="not a problem document"))
    visit.page.locator("#q").fill("blue")
    expect(visit.page.get_by_role("alert")).to_be_visible()
    assert faults(visit.page) == []
    visit.forgive("status of 503")


@pytest.mark.clock
def test_the_first_results_are_there_within_a_second(visit):
    """At best, of some visits: what else the machine has to do is not the page's."""
    visit.page.add_init_script(FIRST_CARD)
    took_ms = []
    for _ in range(VISITS):
        visit.open()
        took_ms.append(visit.page.evaluate("window.firstCardMs"))
    assert min(took_ms) <= FIRST_RESULTS_MS
