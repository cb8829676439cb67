// The real InstantSearch in a page of jsdom, over the adapter and a service of 48 products, counted here by hand:
// product n has colour n mod 6, brand n mod 5, category n/2 mod 6, costs 10 + n, and is in stock unless 5 divides n.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";

import { JSDOM } from "jsdom";

import { Catalens, CatalensError } from "../catalens.js";
import { asked, searchClient } from "../instantsearch.js";
import { OPEN } from "./service.js";

const { window } = new JSDOM("<!doctype html><body></body>", { url: "http://shop.test/", pretendToBeVisual: true });
for (const name of ["window", "document", "HTMLElement", "Event", "location", "history"]) globalThis[name] = window[name];

const require = createRequire(import.meta.url);
const instantsearch = require("instantsearch.js/dist/instantsearch.production.min.js");
const { widgets } = instantsearch;

const BRANDS = ["Diesel Lane", "Golden Goat", "Canada Geese", "Ruby", "Northmost"];
const COLOURS = ["black", "red", "green", "blue", "yellow", "purple"];
const SHOP = Array.from({ length: 48 }, (_, n) => ({
  price: 10 + n,
  brand: BRANDS[n % 5],
  colour: COLOURS[n % 6],
  in_stock: n % 5 !== 0,
}));
const counted = (field, among = SHOP) =>
  Object.fromEntries(
    [...new Set(among.map((product) => product[field]))].map((value) => [
      `${value}`,
      among.filter((product) => product[field] === value).length,
    ]),
  );

const catalens = new Catalens({ url: OPEN });
const box = () => window.document.body.appendChild(window.document.createElement("div"));

async function until(condition) {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, "waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Start a page of these widgets; `after` does something to it and returns its results once they have come. */
async function page(t, made, { options, ...given } = {}) {
  const search = instantsearch({ indexName: "products", searchClient: searchClient(catalens, options), ...given });
  t.after(() => search.dispose());
  const after = async (act) => {
    const before = search.helper?.lastResults;
    act();
    await until(() => search.status === "idle" && search.helper.lastResults && search.helper.lastResults !== before);
    return search.helper.lastResults;
  };
  search.addWidgets(made);
  return { search, after, results: await after(() => search.start()) };
}

const click = (element) => element.dispatchEvent(new window.MouseEvent("click", { bubbles: true }));

function type(input, text) {
  input.value = text;
  input.dispatchEvent(new window.Event("input", { bubbles: true }));
}

const shown = (container, selector) => [...container.querySelectorAll(selector)].map((e) => e.textContent.trim());

test("a search box finds, hits have their pictures, and words of theirs are marked", async (t) => {
  const [input, hits] = [box(), box()];
  const item = (hit, { html, components }) =>
    html`<p>${components.Highlight({ hit, attribute: "title" })}</p><img src="${hit.images[0]}" />`;
  const { after } = await page(t, [
    widgets.searchBox({ container: input }),
    widgets.hits({ container: hits, templates: { item } }),
    widgets.configure({ hitsPerPage: 4 }),
  ]);
  const results = await after(() => type(input.querySelector("input"), "yellow mug"));
  const direct = await catalens.search({ q: "yellow mug", limit: 4 });
  assert.deepEqual(
    results.hits.map(({ objectID }) => objectID),
    direct.hits.map(({ id }) => id),
  );
  const marks = shown(hits, "mark");
  assert.ok(marks.length >= 4);
  assert.ok(marks.every((text) => ["yellow", "mug"].includes(text)));
  const picture = await fetch(hits.querySelector("img").src);
  assert.equal(picture.headers.get("content-type"), "image/jpeg");
});

test("before anything is typed the shop is browsed, page by page", async (t) => {
  const [pages, hits] = [box(), box()];
  const { after, results } = await page(t, [
    widgets.pagination({ container: pages, scrollTo: false }),
    widgets.hits({ container: hits, templates: { item: (hit) => hit.objectID } }),
    widgets.configure({ hitsPerPage: 20 }),
  ]);
  assert.deepEqual([results.nbHits, results.nbPages, results.hits.length], [48, 3, 20]);
  const first = shown(hits, "li");
  const last = await after(() => click(pages.querySelector(".ais-Pagination-item--lastPage a")));
  assert.deepEqual([last.page, last.hits.length], [2, 8]);
  assert.ok(!shown(hits, "li").some((id) => first.includes(id)));
});

test("a refinement list of any of its values counts the others as if none were chosen", async (t) => {
  const [brands, colours] = [box(), box()];
  const { search, after, results } = await page(t, [
    widgets.refinementList({ container: brands, attribute: "brand" }),
    widgets.refinementList({ container: colours, attribute: "colour", operator: "and" }),
  ]);
  const countsOf = (result, name) =>
    Object.fromEntries(result.getFacetValues(name, {}).map(({ name: value, count }) => [value, count]));
  assert.deepEqual(countsOf(results, "brand"), counted("brand"));
  const ticked = (text) => [...brands.querySelectorAll("label")].find((label) => label.textContent.includes(text));
  await after(() => click(ticked("Ruby").querySelector("input")));
  const two = await after(() => click(ticked("Golden Goat").querySelector("input")));
  const among = SHOP.filter(({ brand }) => ["Ruby", "Golden Goat"].includes(brand));
  assert.equal(two.nbHits, among.length);
  assert.deepEqual(countsOf(two, "brand"), counted("brand"));
  assert.deepEqual(countsOf(two, "colour"), counted("colour", among));
  const red = await after(() => search.setUiState({ products: { refinementList: { brand: ["Ruby"], colour: ["red"] } } }));
  assert.deepEqual(countsOf(red, "brand"), counted("brand", SHOP.filter(({ colour }) => colour === "red")));
  assert.equal(red.nbHits, SHOP.filter(({ brand, colour }) => brand === "Ruby" && colour === "red").length);
});

test("ranges of numbers know their ends and narrow", async (t) => {
  const range = box();
  const { search, after, results } = await page(t, [widgets.rangeInput({ container: range, attribute: "price" })]);
  assert.deepEqual(results.getFacetStats("price"), { min: 10, max: 57, avg: 33.5, sum: 33.5 * 48 });
  assert.equal(range.querySelector("input").placeholder, "10");
  const narrowed = await after(() => search.setUiState({ products: { range: { price: "20:29" } } }));
  assert.equal(narrowed.nbHits, 10);
  assert.ok(narrowed.hits.every(({ price }) => price >= 20 && price <= 29));
});

test("a menu of numbers and a toggle are filters, too", async (t) => {
  const [menu, toggle] = [box(), box()];
  const items = [{ label: "All" }, { label: "Cheap", end: 19 }, { label: "Just", start: 30, end: 30 }];
  const { after } = await page(t, [
    widgets.numericMenu({ container: menu, attribute: "price", items }),
    widgets.toggleRefinement({ container: toggle, attribute: "in_stock" }),
  ]);
  const chosen = (n) => click(menu.querySelectorAll("input")[n]);
  assert.equal((await after(() => chosen(1))).nbHits, 10);
  assert.equal((await after(() => click(toggle.querySelector("input")))).nbHits, 8);
  assert.equal((await after(() => chosen(2))).nbHits, 0);
  assert.equal((await after(() => click(toggle.querySelector("input")))).nbHits, 1);
});

test("a sorted replica sorts", async (t) => {
  const sort = box();
  const items = [
    { label: "Best", value: "products" },
    { label: "Dearest", value: "products_dear" },
  ];
  const { after } = await page(t, [widgets.sortBy({ container: sort, items })], {
    options: { replicas: { products_dear: ["price:desc"] } },
  });
  const select = sort.querySelector("select");
  const sorted = await after(() => {
    select.value = "products_dear";
    select.dispatchEvent(new window.Event("change", { bubbles: true }));
  });
  assert.deepEqual(
    sorted.hits.slice(0, 3).map(({ price }) => price),
    [57, 56, 55],
  );
});

test("values of a facet are searched for, within what is chosen", async (t) => {
  const brands = box();
  const { search, after } = await page(t, [
    widgets.refinementList({ container: brands, attribute: "brand", searchable: true, limit: 2 }),
    widgets.refinementList({ container: box(), attribute: "colour" }),
  ]);
  await after(() => search.setUiState({ products: { refinementList: { colour: ["red"] } } }));
  type(brands.querySelector("input[type=search]"), "go");
  const labels = () => shown(brands, ".ais-RefinementList-labelText");
  await until(() => labels().length === 1);
  assert.deepEqual(labels(), ["Golden Goat"]);
  assert.deepEqual(shown(brands, "mark"), ["Go", "Go"]);
  assert.deepEqual(shown(brands, ".ais-RefinementList-count"), [
    `${SHOP.filter(({ brand, colour }) => brand === "Golden Goat" && colour === "red").length}`,
  ]);
});

test("what always holds, holds; and what is for words only waits for words", async (t) => {
  const input = box();
  const { after, results } = await page(t, [widgets.searchBox({ container: input })], {
    options: { search: { filter: { colour: "red" }, mode: "lexical" } },
  });
  assert.equal(results.nbHits, 8);
  const found = await after(() => type(input.querySelector("input"), "golden"));
  assert.ok(found.nbHits > 0);
  assert.ok(found.hits.every(({ attributes, brand }) => attributes.colour === "red" && brand === "Golden Goat"));
});

test("a refusal reaches the page as an error with its problem", async (t) => {
  const input = box();
  const { search } = await page(t, [widgets.searchBox({ container: input })]);
  const failed = new Promise((resolve) => search.once("error", ({ error }) => resolve(error)));
  search.helper.setQueryParameter("hitsPerPage", 101).search();
  const error = await failed;
  assert.ok(error instanceof CatalensError);
  assert.deepEqual(
    error.errors.map(({ path }) => path),
    ["limit"],
  );
});

const OPTIONS = { search: {}, replicas: {}, booleans: ["in_stock"], highlight: [] };
const FILTERS = [
  [{ facetFilters: "brand:Ruby" }, { brand: "Ruby" }],
  [{ facetFilters: [["a:1", "a:2"], "b:x:y"] }, { or: [{ a: "1" }, { a: "2" }] }, { b: "x:y" }],
  [{ facetFilters: ["a:-x", "a:\\-x", "in_stock:true"] }, { not: { a: "x" } }, { a: "-x" }, { in_stock: true }],
  [{ numericFilters: ["p>=1", "p < -2.5", "p!=3"] }, { p: { gte: 1 } }, { p: { lt: -2.5 } }, { not: { p: 3 } }],
  [{ numericFilters: [["p=1", "p<=1e3"]] }, { or: [{ p: { eq: 1 } }, { p: { lte: 1000 } }] }],
];
for (const [params, ...conditions] of FILTERS)
  test(`filters are written as the service has them: ${JSON.stringify(params)}`, async () => {
    assert.deepEqual(asked("products", params, OPTIONS).filter, { and: conditions });
  });

test("what Catalens cannot do is said", () => {
  assert.throws(() => asked("products", { filters: "brand:Ruby" }, OPTIONS), /has no filters/);
  assert.throws(() => asked("products", { numericFilters: ["price:1 TO 5"] }, OPTIONS), /compares no number/);
});

test("pages end where the service does", async () => {
  const { results } = await searchClient(catalens).search([{ indexName: "x", params: { hitsPerPage: 1, page: 47 } }]);
  assert.deepEqual([results[0].nbPages, results[0].hits.length], [48, 1]);
});
