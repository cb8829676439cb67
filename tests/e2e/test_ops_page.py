"""What an operator does on the page: real shop, real service, real browser."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import indexer.build
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.evaluate import measure
from indexer.publish import history, publish
from service.app import create_app
from service.auth import add_key
from service.scopes import Scope
from service.settings import Settings

pytestmark = pytest.mark.e2e

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "color_scheme": "dark",
    "has_touch": True,
    "reduced_motion": "reduce",
}
PAGE_BYTES = 150_000
HIDE = "Object.defineProperty(document, 'hidden', { configurable: true, get: () => %s })"
CHANGED = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture
def ops(visit):
    """The page, opened at an address: `ops("?view=live")`."""

    def opened(address="", base=visit.base_url):
        visit.page.goto(f"{base}/ops/{address}", wait_until="commit")
        expect(visit.page.locator("#place")).to_have_attribute("aria-busy", "false")
        return visit.page

    return opened


def row_of(page, bundle):
    return page.locator(".bundles tbody tr").filter(has_text=bundle)


def assert_fine(page):
    """Nothing serious is wrong for axe-core, and the page fits."""
    bad = [v for v in Axe().run(page).response["violations"] if v["impact"] in {"serious", "critical"}]
    assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in bad] == []
    assert_fits(page)


def assert_fits(page):
    """Nothing is wider than the screen."""
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.fixture(scope="session")
def current(data_dir):
    """The published bundle: its folder's name and its report."""
    folder = (data_dir / "current").resolve()
    return folder.name, orjson.loads((folder / "report.json").read_bytes())


def test_a_bundle_and_its_report(visit, ops, current):
    name, report = current
    page = ops()
    expect(row_of(page, name)).to_contain_text("answers")
    expect(row_of(page, name).locator("td").first).to_have_text("200")
    page.get_by_role("link", name=name).click()
    expect(page).to_have_url(f"{visit.base_url}/ops/?view=bundles&bundle={name}")
    expect(page.locator("#bundles-title")).to_be_focused()
    panels = page.locator(".panels")
    found = panels.get_by_role("row", name=re.compile("Finds itself, text"))
    expect(found).to_contain_text(f"{report['self_retrieval']['text']:.3f}")
    expect(found).to_contain_text("0.900")  # the gate's bar
    for stage in report["stages_s"]:
        expect(panels).to_contain_text(stage.capitalize())
    gates = panels.locator(".gate")
    expect(gates).to_have_count(len(report["gates"]))
    for group, gate in report["gates"].items():
        expect(gates.filter(has_text=group.capitalize())).to_contain_text(f"{gate['mean']:.3f}")
    expect(panels.get_by_role("region", name="Categories: stated and judged")).to_contain_text("as stated")
    checks = panels.locator(".checks tbody tr")
    [verdict] = told(visit.base_url, f"/v1/bundles/{name}/report")["verdicts"]
    expect(checks).to_have_count(len(verdict["checks"]))
    expect(panels.get_by_role("region", name="What the gate said")).to_contain_text("passed")
    expect(panels.get_by_role("region", name="History")).to_contain_text("published")
    assert_fine(page)
    page.go_back()
    expect(page.locator(f'[data-key="open {name}"]')).to_be_focused()


def told(base_url, path):
    return httpx.get(base_url + path, timeout=60).raise_for_status().json()


def test_live_figures_come_stop_and_say_when_they_cannot(visit, ops):
    page = visit.page
    page.clock.install()
    ops("?view=live")
    expect(page.locator(".ready")).to_contain_text("retrieval")
    for words in ("red", "blue", "lamp"):
        httpx.post(f"{visit.base_url}/v1/search", json={"q": words}).raise_for_status()
    look(page)
    chart = page.get_by_role("figure", name="Requests by status")
    expect(chart).to_contain_text(re.compile(r"2xx\s*\d*\.?\d+/s"))
    expect(page.get_by_role("figure", name="Time of a search")).to_contain_text(re.compile(r"p99\s*[\d.]+ ms"))
    expect(page.get_by_role("figure", name="Memory")).to_contain_text(re.compile(r"[\d.]+ [MG]B"))
    assert_fine(page)

    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(HIDE % "true")
    page.evaluate(CHANGED)
    expect(page.locator("#view-live")).to_contain_text("Paused")
    page.clock.run_for(20_000)
    assert asked == []
    page.route("**/metrics", lambda route: route.abort())
    page.evaluate(HIDE % "false")
    page.evaluate(CHANGED)
    expect(page.locator("#view-live")).to_contain_text("cannot be reached")
    expect(page.locator("#view-live")).not_to_contain_text("Paused")
    page.unroute("**/metrics")
    look(page)
    expect(page.locator("#view-live .notice")).to_have_count(0)
    visit.forgive("ERR_FAILED")


def look(page):
    """Let the page look at the metrics once more."""
    with page.expect_response("**/metrics"):
        page.clock.run_for(2_100)


def test_two_ways_of_answering_side_by_side(visit, ops, linked, shop):
    words, _ = linked
    page = ops("?view=compare")
    page.get_by_label("Words").fill(words)
    page.locator("#b-mode").select_option("lexical")
    bodies = [{"q": words, "limit": 20}, {"q": words, "limit": 20, "mode": "lexical"}]
    a, b = ([hit["id"] for hit in post(visit, body)["hits"]] for body in bodies)
    for side, ids in (("A", a), ("B", b)):
        settle(page, side, ids)
    overlap = len(set(a[:10]) & set(b[:10])) / max(len(a[:10]), len(b[:10]))
    expect(page.locator(".measures")).to_contain_text(f"{100 * overlap:.1f}".removesuffix(".0") + "%")
    moved = next(i for i in a if i in b and a.index(i) != b.index(i))
    row = page.get_by_role("region", name="Hits of B").locator(f'.hit[data-id="{moved}"]')
    by = a.index(moved) - b.index(moved)
    expect(row).to_contain_text(f"{'▲' if by > 0 else '▼'} {abs(by)}")
    expect(row.locator("img")).to_have_js_property("complete", value=True)

    row.get_by_role("button", name="Explain").click()
    expect(page.locator("#why-title")).to_be_focused()
    figures = page.locator(".terms tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].slice(1).map(c => parseFloat(c.textContent.replace('−', '-')) || 0))"
    )
    for column in range(3):
        assert sum(row[column] for row in figures[:-1]) == pytest.approx(figures[-1][column], abs=0.002 * len(figures))

    address = page.url
    assert "b.mode=lexical" in address
    again = ops(address.removeprefix(f"{visit.base_url}/ops/"))
    expect(again.locator("#b-mode")).to_have_value("lexical")
    settle(again, "B", b)
    with page.expect_response("**/v1/search/image"):
        page.get_by_label("Picture", exact=True).set_input_files(shop.picture(shop.rows[3]))
    sides = [page.get_by_role("region", name=f"Hits of {side}") for side in "AB"]
    expect(sides[0].locator(".hit")).to_have_count(20)
    expect(sides[1].get_by_role("alert")).to_contain_text("Lexical search is for words")
    visit.forgive("status of 422")


def post(visit, body):
    return httpx.post(f"{visit.base_url}/v1/search", json=body, timeout=60).raise_for_status().json()


def settle(page, side, ids):
    """Wait until these are the hits of a side, in their order."""
    page.wait_for_function(
        "([side, ids]) => `${ids}` === `${[...document.querySelectorAll(`[aria-label='Hits of ${side}'] .hit`)]"
        ".map(hit => hit.dataset.id)}`",
        arg=[side, ids],
    )


@pytest.mark.parametrize("visit", [PHONE], ids=["phone"], indirect=True)
def test_a_phone_gets_all_of_it(ops, current, linked):
    for address, shown in {
        "": ".bundles",
        f"?view=bundles&bundle={current[0]}": ".panels",
        "?view=live": ".ready .badge",
        f"?view=compare&q={linked[0]}": ".hit",
    }.items():
        page = ops(address)
        expect(page.locator(shown).first).to_be_visible()
        assert_fits(page)
    assert_fine(page)


def test_the_page_is_light_and_loads_in_one_go(visit, ops):
    answers = []

    def keep(answer):
        answers.append(answer)

    visit.page.on("response", keep)
    page = ops()
    page.wait_for_load_state("networkidle")
    files = {answer.url: answer for answer in answers if "/v1/" not in answer.url}
    assert sum(len(answer.body()) for answer in files.values()) <= PAGE_BYTES
    assert page.locator("[style], script:not([src])").count() == 0
    modules = {url for url in files if url.endswith(".js")} - {f"{visit.base_url}/js/theme.js"}
    announced = (
        "[...document.querySelectorAll('link[rel=modulepreload], script[type=module]')].map(n => n.href || n.src)"
    )
    assert set(page.evaluate(announced)) == modules


@pytest.fixture(scope="session")
def guarded(tmp_path_factory, weightless, support):
    """A service with keys, and two bundles: the large one is published, the small one misses the gate.

    Built and served in threads: where a browser is open already, this one has an event loop.
    """
    folder, feeds = tmp_path_factory.mktemp("guarded"), support("feeds")
    encoder = weightless(32, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
    rows = feeds.products(40, pictures=1)
    feeds.write_pictures(folder, rows)

    def made(count):
        pq.write_table(pa.Table.from_pylist(rows[:count]), folder / "catalogue.parquet")
        return build(encoder, BuildOptions(folder, folder / "data")).manifest.id

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer.build, "measure", partial(measure, sample=10))
        patch.setattr(indexer.build, "calibrate_lexical_weight", lambda _bundle, _encoder, weights, **_: weights)
        with ThreadPoolExecutor(1) as pool:
            large, small = pool.submit(lambda: (made(40), made(12))).result()
    publish(folder / "data", large)
    keys = {scope.value: add_key(folder / "data" / "keys.json", scope.value, [scope]) for scope in Scope}
    settings = Settings.model_validate({"data_dir": folder / "data", "update_log": "off", "watch_ms": 200})
    app = create_app(settings, (encoder, Bundle.open(folder / "data" / "bundles" / large)))
    with support("live").serving(app) as (host, port):
        url = f"http://{host}:{port}"
        yield SimpleNamespace(url=url, data=folder / "data", large=large, small=small, keys=keys, rows=rows)


@pytest.fixture
def guest(visit, guarded):
    """The visitor at the service with keys, who talks to no other."""
    visit.base_url = guarded.url
    yield visit
    assert visit.hosts - {""} == {httpx.URL(guarded.url).netloc.decode()}
    visit.hosts.clear()


def sign_in(page, key):
    page.get_by_label("Admin key").fill(key)
    page.get_by_label("Admin key").press("Enter")


def test_a_key_is_asked_for_where_one_is_needed(guarded, guest, ops):
    page = ops("?view=compare&q=red", guarded.url)
    field = page.get_by_label("Admin key")
    expect(field).to_be_focused()
    expect(page.locator("#tabs")).to_be_hidden()
    for wrong, said in (("mistyped", "is not valid"), (guarded.keys["search"], "does not have the scope 'admin'")):
        sign_in(page, wrong)
        expect(page.locator("#signin-problem")).to_contain_text(said)
    assert_fine(page)
    sign_in(page, guarded.keys["admin"])
    picture = page.get_by_role("region", name="Hits of A").locator(".hit img").first
    expect(picture).to_have_attribute("src", re.compile("^blob:"))
    expect(picture).not_to_have_js_property("naturalWidth", 0)
    assert guarded.keys["admin"] not in page.url
    assert page.evaluate("Object.values(sessionStorage)") == [guarded.keys["admin"]]
    assert guarded.keys["admin"] not in page.evaluate("JSON.stringify(localStorage)")

    page.get_by_role("button", name="Sign out").click()
    expect(field).to_be_focused()
    expect(page.locator("#view-compare")).to_be_hidden()
    assert page.evaluate("Object.values(sessionStorage)") == []
    guest.forgive("status of 401")
    guest.forgive("status of 403")


@pytest.fixture
def as_it_was(guarded):
    """The large bundle answers and the small one is not served, whatever an earlier try has left."""
    with httpx.Client(base_url=guarded.url, headers={"x-api-key": guarded.keys["admin"]}, timeout=60) as client:
        client.delete(f"/v1/bundles/{guarded.small}")
        if client.get("/v1/bundles").json()["primary"] != guarded.large:
            client.post(f"/v1/bundles/{guarded.large}/activate?force=true").raise_for_status()


@pytest.mark.usefixtures("as_it_was")
def test_bundles_are_activated_forced_rolled_back_and_served_beside(guarded, guest, ops):
    page = ops("", guarded.url)
    sign_in(page, guarded.keys["admin"])
    large, small, dialog = row_of(page, guarded.large), row_of(page, guarded.small), page.get_by_role("dialog")
    small.get_by_role("button", name="Activate").click()
    expect(dialog.get_by_role("row", name="Products 40 12")).to_be_visible()
    assert_fine(page)
    dialog.get_by_role("button", name="Activate").click()
    expect(dialog.get_by_role("alert")).to_contain_text("shrinks")
    expect(dialog).to_contain_text("Request ")
    expect(large).to_contain_text("answers")
    dialog.get_by_role("button", name="Activate all the same").click()
    expect(dialog.locator("h2")).to_contain_text("in spite of the gate")
    dialog.get_by_role("button", name="Activate all the same").click()
    expect(dialog).to_be_hidden()
    expect(small).to_contain_text("answers")
    assert history(guarded.data)[-1].forced

    page.get_by_role("button", name="Roll back").click()
    dialog.get_by_role("button", name="Roll back").click()
    expect(large).to_contain_text("answers")
    small.get_by_role("button", name="Serve beside").click()
    dialog.get_by_label("Share").fill("25")
    dialog.get_by_role("button", name="Serve beside").click()
    expect(small).to_contain_text("25% / 0%")
    expect(small.get_by_role("button", name="Share")).to_be_focused()
    small.get_by_role("button", name="Stop").click()
    dialog.get_by_role("button", name="Stop serving").click()
    expect(small.locator(".badge")).to_have_count(0)

    page.get_by_role("link", name=guarded.small).click()
    gate = page.get_by_role("region", name="What the gate said")
    expect(gate.locator(".verdict")).to_contain_text("forced")
    gate.get_by_label("Verdict of").select_option(index=1)
    expect(gate.locator(".verdict")).to_contain_text("refused")
    expect(gate.locator(".checks tbody tr").first).to_contain_text("failed")
    guest.forgive("status of 401")
    guest.forgive("status of 409")


@pytest.mark.usefixtures("as_it_was")
def test_a_bundle_is_served_beside_to_be_compared(guarded, guest, ops):
    page = ops(f"?view=compare&q=red&b.bundle={guarded.small}", guarded.url)
    sign_in(page, guarded.keys["admin"])
    hits = page.get_by_role("region", name="Hits of B")
    expect(hits.get_by_role("alert")).to_contain_text(guarded.small)
    page.get_by_role("button", name="Serve it beside").click()
    expect(hits.locator(".hit")).to_have_count(12)
    expect(hits).to_contain_text(guarded.small)
    guest.forgive("status of 401")
    guest.forgive("status of 422")


@pytest.mark.usefixtures("as_it_was")
def test_the_map_of_the_catalogue(guarded, guest, ops):
    """Of few products: they are laid out in half a second, where more take several."""
    page = ops("?view=map&light=red", guarded.url)
    sign_in(page, guarded.keys["admin"])
    chart = page.locator("canvas.scatter")
    expect(chart).to_have_attribute("data-points", "40", timeout=180_000)  # it is made at low priority
    counts = Counter(row["category"] for row in guarded.rows)
    legend = page.get_by_role("list", name="Categories")
    largest = max(sorted(counts), key=counts.get)
    toggle = legend.get_by_role("button", name=re.compile(rf"^{re.escape(largest)}\s*{counts[largest]}$"))
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "false")
    expect(chart).to_have_attribute("data-points", str(40 - counts[largest]))
    toggle.click()
    asked = {"json": {"q": "red", "limit": 100}, "headers": {"x-api-key": guarded.keys["search"]}}
    found = {hit["id"] for hit in httpx.post(f"{guarded.url}/v1/search", **asked).json()["hits"]}
    expect(chart).to_have_attribute("data-lit", str(len(found)))
    expect(page.locator("#view-map")).to_contain_text(f"{len(found)} of the first {len(found)} hits for “red”")

    chart.focus()
    page.keyboard.press("ArrowRight")
    card = page.locator(".map-card")
    expect(card).to_be_visible()
    title = card.locator("b").text_content()
    page.keyboard.press("+")
    with page.expect_popup() as popup:
        page.keyboard.press("Enter")
    [product] = [row for row in guarded.rows if row["id"] == httpx.URL(popup.value.url).params["product"]]
    assert product["title"].startswith(title)
    popup.value.close()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()

    drawn = "canvas => new Promise(done => requestAnimationFrame(() => setTimeout(() => done(canvas.toDataURL()))))"
    before = chart.evaluate(drawn)
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -600)
    expect(chart).to_have_attribute("data-scale", re.compile(r"^([2-9]|\d\d)\."))
    assert chart.evaluate(drawn) != before
    page.get_by_role("button", name="All of it").click()
    expect(chart).to_have_attribute("data-scale", "1.00")
    assert_fine(page)
    guest.forgive("status of 401")
