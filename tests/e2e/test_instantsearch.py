"""InstantSearch's own build in Chromium over the adapter and a running service: the page a shop would make of it."""

from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import expect

JS = Path(__file__).parents[2] / "clients" / "js"
LIBRARY = JS / "node_modules" / "instantsearch.js" / "dist" / "instantsearch.production.min.js"
FILES = {"library.js": LIBRARY, "catalens.js": JS / "catalens.js", "instantsearch.js": JS / "instantsearch.js"}
HITS = ".ais-Hits-item"

PAGE = """<!doctype html><meta charset="utf-8" /><title>Shop</title>
<script src="library.js"></script>
<div id="box"></div><div id="brands"></div><div id="prices"></div><div id="stats"></div><div id="hits"></div>
<div id="pages"></div>
<script type="module">
import { Catalens } from "./catalens.js";
import { searchClient } from "./instantsearch.js";
const { configure, hits, pagination, rangeInput, refinementList, searchBox, stats } = instantsearch.widgets;
const catalens = new Catalens({ url: location.origin });
const search = instantsearch({ indexName: "products", searchClient: searchClient(catalens) });
const item = (hit, { html, components }) => html`<img src="${hit.images[0]}" alt="" width="64" />
  <p>${components.Highlight({ hit, attribute: "title" })}</p><b>${hit.brand}</b> <i>${hit.price}</i>`;
search.addWidgets([
  configure({ hitsPerPage: 12 }),
  searchBox({ container: "#box" }),
  refinementList({ container: "#brands", attribute: "brand", limit: 200 }),
  rangeInput({ container: "#prices", attribute: "price" }),
  stats({ container: "#stats", templates: { text: ({ nbHits }) => `${nbHits}` } }),
  hits({ container: "#hits", templates: { item } }),
  pagination({ container: "#pages" }),
]);
search.start();
</script>"""

pytestmark = pytest.mark.skipif(not LIBRARY.is_file(), reason="run `make clients` once")


@pytest.fixture
def page(browser, base_url):
    """The page, as if the service itself had it; whatever goes wrong in it fails the test."""
    wrong = []
    context = browser.new_context(base_url=base_url)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.route("**/instant/", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    for name, file in FILES.items():
        page.route(f"**/instant/{name}", lambda route, _, file=file: route.fulfill(path=file))
    page.goto("/instant/")
    expect(page.locator(HITS)).to_have_count(12)
    yield page
    context.close()
    assert wrong == []


def test_search_box_highlighting_refinements_range_and_pages(page, shop):
    expect(page.locator("#stats")).to_have_text(f"{len(shop.rows)}")
    first = page.locator(f"{HITS} p").all_text_contents()
    page.locator(".ais-Pagination-item--nextPage a").click()
    expect(page.locator(".ais-Pagination-item--selected")).to_have_text("2")
    expect(page.locator(f"{HITS} p").first).not_to_have_text(first[0])

    counts = Counter(row["brand"] for row in shop.rows)
    [(brand, count)] = counts.most_common(1)
    own = [row for row in shop.rows if row["brand"] == brand]
    label = page.locator("#brands label").filter(has=page.get_by_text(brand, exact=True))
    expect(label.locator(".ais-RefinementList-count")).to_have_text(f"{count}")
    label.locator("input").check()
    expect(page.locator("#stats")).to_have_text(f"{count}")
    assert set(page.locator(f"{HITS} b").all_text_contents()) == {brand}
    assert page.locator("#brands label").count() == len(counts)

    prices = sorted(row["price"] for row in own)
    middle = prices[len(prices) // 2]
    page.locator(".ais-RangeInput-input--max").fill(f"{int(middle)}")
    page.locator(".ais-RangeInput-submit").click()
    cheap = [price for price in prices if price <= int(middle)]
    expect(page.locator("#stats")).to_have_text(f"{len(cheap)}")
    assert max(map(float, page.locator(f"{HITS} i").all_text_contents())) <= middle

    word = max(page.locator(f"{HITS} p").first.text_content().split(), key=len)
    page.locator("#box input").fill(word.lower())
    marks = page.locator(f"{HITS} mark")
    expect(marks.first).to_have_text(word, ignore_case=True)
    page.wait_for_function("() => [...document.querySelectorAll('#hits img')].every((image) => image.naturalWidth > 0)")
