"""What the storefront says when things go wrong or slowly, and what it says quietly."""

import re

import httpx
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e


def test_a_broken_picture_is_named_and_can_be_taken_away(visit, shop):
    visit.open()
    broken = b"\xff\xd8\xff not really"
    visit.page.locator("#file").set_input_files({"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": broken})
    alert = visit.page.get_by_role("alert")
    expect(alert).to_be_visible()
    answer = httpx.post(f"{visit.base_url}/v1/search/image", files={"image": ("broken.jpg", broken)})
    expect(alert).to_contain_text(answer.json()["title"])
    expect(alert).to_contain_text(answer.json()["detail"])
    expect(alert).to_contain_text("Request ")
    expect(visit.page.locator(".card")).to_have_count(0)
    alert.get_by_role("button", name="Remove the picture").click()
    expect(alert).to_be_hidden()
    expect(visit.page.locator(".card")).to_have_count(24)
    visit.forgive(f"status of {answer.status_code}")


def test_what_is_no_picture_is_not_even_sent(visit):
    visit.open()
    visit.page.locator("#file").set_input_files({"name": "list.txt", "mimeType": "text/plain", "buffer": b"milk"})
    expect(visit.page.get_by_role("alert")).to_contain_text("“list.txt” is not a picture")
    assert len(visit.ids()) == 24


def test_a_product_that_is_not_there_says_so(visit):
    visit.open("/?like=no-such-product")
    expect(visit.page.get_by_role("alert")).to_contain_text("no-such-product")
    visit.forgive("status of 404")


def test_an_address_of_a_product_that_went_shows_the_shop(visit):
    visit.open("/?product=no-such-product")
    expect(visit.page.get_by_role("alert")).to_contain_text("no-such-product")
    expect(visit.page.locator(".card:not(.skeleton)")).to_have_count(24)
    expect(visit.page).to_have_url(f"{visit.base_url}/")
    visit.forgive("status of 404")


def test_without_a_connection_the_results_stay(visit):
    visit.open()
    visit.ask("red")
    red = visit.ids()
    visit.page.context.set_offline(True)
    visit.page.locator("#q").fill("blue")
    expect(visit.page.locator(".notice")).to_contain_text("You are offline")
    visit.answered()
    assert visit.ids() == red
    expect(visit.page.locator("#results-title")).to_have_text("Results for “red”")
    with visit.page.expect_response("**/v1/search"):
        visit.page.context.set_offline(False)
    visit.answered()
    expect(visit.page.locator(".notice")).to_have_count(0)
    expect(visit.page.locator("#results-title")).to_have_text("Results for “blue”")
    visit.forgive("ERR_INTERNET_DISCONNECTED")


def test_a_slow_shop_says_that_it_is_at_it(visit):
    visit.open()
    held = []

    def hold(route):
        held.append(route)

    visit.page.route("**/v1/search", hold)
    visit.page.locator("#q").fill("red")
    expect(visit.page.locator("#search")).to_have_class("box busy")
    expect(visit.page.locator(".notice")).to_contain_text("Still searching")
    expect(visit.page.locator(".skeleton")).not_to_have_count(0)
    held[0].continue_()
    visit.answered()
    expect(visit.page.locator(".notice")).to_have_count(0)
    expect(visit.page.locator(".card:not(.skeleton)")).to_have_count(24)


def test_a_busy_shop_is_asked_again(visit):
    visit.open()
    refused = []

    def refuse_once(route):
        if refused:
            route.continue_()
            return
        refused.append(route)
        route.fulfill(status=429, headers={"retry-after": "1", "content-type": "application/problem+json"}, body="{}")

    visit.page.route("**/v1/search", refuse_once)
    visit.page.locator("#q").fill("red")
    expect(visit.page.locator("#results-title")).to_have_text("Results for “red”")
    expect(visit.page.locator(".card:not(.skeleton)")).to_have_count(24)
    expect(visit.page.get_by_role("alert")).to_have_count(0)
    visit.forgive("status of 429")


def test_a_failing_shop_can_be_tried_again(visit):
    visit.open()
    visit.page.route("**/v1/search", lambda route: route.fulfill(status=503, body="not a problem document"))
    visit.page.locator("#q").fill("red")
    alert = visit.page.get_by_role("alert")
    expect(alert).to_be_visible()
    visit.page.unroute("**/v1/search")
    alert.get_by_role("button", name="Try again").click()
    expect(visit.page.locator(".card:not(.skeleton)")).to_have_count(24)
    expect(alert).to_have_count(0)
    visit.forgive("status of 503")


def test_nothing_found_is_said_with_a_way_out(visit):
    visit.open()

    def emptied(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "hits": [], "found": 0})

    visit.page.route("**/v1/search", emptied)
    visit.page.locator("#q").fill("red")
    expect(visit.page.locator(".notice")).to_contain_text("Nothing found")
    expect(visit.page.locator("#more")).to_be_hidden()


def test_the_foot_says_quietly_who_answered(visit):
    def degraded(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "degraded": ["cache"]})

    visit.page.route("**/v1/search", degraded)
    with visit.page.expect_response("**/v1/search") as answered:
        visit.open("/?q=something+nobody+asked+before")  # an answer that was kept took no time to encode
    answer = answered.value.json()
    foot = visit.page.get_by_role("contentinfo")
    expect(foot).to_contain_text(answer["index"]["bundle"])
    expect(foot).to_contain_text(answer["index"]["model"])
    expect(foot).to_contain_text("running without cache")
    foot.locator("summary").click()
    expect(foot).to_contain_text(re.compile(r"Encode [\d.]+ ms"))


def test_the_catalogue_cannot_write_into_the_page(visit):
    """A feed may say anything: markup stays text, and only web addresses become links."""

    def poisoned(route):
        answer = route.fetch()
        body = answer.json()
        product = body["hits"][0]["product"]
        product.update(title="<img src=x onerror=alert(1)>", url="javascript:alert(1)")
        route.fulfill(response=answer, json=body)

    visit.page.route("**/v1/search", poisoned)
    visit.open("/?q=red")
    first = visit.page.locator(".card").first
    expect(first.locator(".card-open")).to_have_text("<img src=x onerror=alert(1)>")
    first.locator(".card-open").click()
    expect(visit.page.get_by_role("dialog").get_by_role("link")).to_have_count(0)
