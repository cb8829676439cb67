// The client against a service of 48 products: p0 to p47, each with a colour, a brand and a price of 10 and its number.

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { createServer } from "node:http";
import test from "node:test";

import { Catalens, CatalensError } from "../catalens.js";
import { GUARDED, KEY, OPEN } from "./service.js";

const catalens = new Catalens({ url: OPEN });
const owner = new Catalens({ url: GUARDED, key: KEY }); // other tests count what the open service has
const ids = ({ hits }) => hits.map(({ id }) => id);

async function refusal(promise) {
  const error = await promise.then(
    () => assert.fail("it was answered"),
    (reason) => reason,
  );
  assert.ok(error instanceof CatalensError, error);
  return error;
}

/** Serve `answers` one by one, the last again and again, as [status, headers]; tell how many were asked for. */
async function serving(t, ...answers) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(Date.now());
    const [status, headers = {}] = answers[Math.min(asked.length, answers.length) - 1];
    if (status) response.writeHead(status, headers).end(status === 200 ? "{}" : "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => (server.closeAllConnections(), server.close()));
  return [`http://127.0.0.1:${server.address().port}`, asked];
}

test("it is small", () => {
  assert.ok(statSync(new URL("../catalens.js", import.meta.url)).size < 6.5 * 1024);
});

test("words, filter, facets, sort and pages", async () => {
  const found = await catalens.search({ q: "yellow mug", mode: "lexical", limit: 3 });
  assert.ok(found.hits.every(({ product }) => /yellow|mug/.test(product.title)));
  const browsed = await catalens.search({
    filter: { price: { lt: 20 }, colour: ["red", "blue"] },
    facets: ["colour", { field: "price" }],
    sort: ["price:desc"],
    limit: 2,
    offset: 1,
  });
  assert.deepEqual(ids(browsed), ["p7", "p3"]);
  assert.equal(browsed.found, 4);
  assert.deepEqual(browsed.facets.price.statistics, { count: 4, min: 11, max: 19, mean: 15 });
});

test("a picture of a product finds it: as a file, as base64, and with words", async () => {
  const { product } = await catalens.product("p9");
  const picture = await (await fetch(catalens.picture(product.images[0]))).blob();
  assert.equal(ids(await catalens.search({ image: picture, limit: 1 }))[0], "p9");
  const data = Buffer.from(await picture.arrayBuffer()).toString("base64");
  assert.equal(ids(await catalens.search({ image: { data }, limit: 1 }))[0], "p9");
  const both = await catalens.search({
    image: picture,
    q: "red",
    weight: 0.9,
    filter: { id: ["p9", "p1"] },
    fields: ["id", "price"],
  });
  assert.deepEqual(new Set(ids(both)), new Set(["p9", "p1"]));
  assert.deepEqual(Object.keys(both.hits[0].product).sort(), ["id", "price"]);
});

test("similar products, with what a query string can hold", async () => {
  const { product } = await catalens.product("p4");
  const answer = await catalens.similar("p4", { shares: ["colour"], differs: ["brand"], filter: { price: { gt: 20 } } });
  assert.ok(answer.found > 0);
  for (const { id, product: other } of answer.hits) {
    assert.notEqual(id, "p4");
    assert.equal(other.attributes.colour, product.attributes.colour);
    assert.notEqual(other.brand, product.brand);
    assert.ok(other.price > 20);
  }
});

test("an id of any characters is found", async () => {
  const id = "odd/id %2F?#ü";
  assert.equal((await catalens.product(id)).product.id, id);
});

test("suggestions and categories", async () => {
  const { suggestions } = await catalens.suggest({ q: "canada g", limit: 3 });
  assert.ok(suggestions.some(({ value }) => value === "Canada Geese"));
  assert.ok("category" in (await catalens.classify({ q: "a blue dress" })));
});

test("vectors of words and of pictures", async () => {
  const text = { text: "a blue dress", entities: { brand: "Ruby" } };
  const { data, fingerprint } = await catalens.embed({ input: ["red mug", text], kind: "product" });
  assert.deepEqual(
    data.map(({ index, embedding }) => [index, embedding.length, Math.round(Math.hypot(...embedding) * 1e4)]),
    [
      [0, 64, 1e4],
      [1, 64, 1e4],
    ],
  );
  assert.match(fingerprint, /^[0-9a-f]{64}$/);
});

test("products are stored, told apart when at fault, versioned and deleted", async () => {
  const good = { id: "js-1", title: "Checked scarf", brand: "Ruby", category: "bag", price: 25 };
  const { results, stored, failed } = await owner.put([good, { id: "js-2", price: "dear" }], { wait: true });
  assert.deepEqual([stored, failed], [1, 1]);
  assert.deepEqual(
    results.map(({ status }) => status),
    [200, 422],
  );
  assert.deepEqual(ids(await owner.search({ filter: { id: "js-1" } })), ["js-1"]);
  const { version } = await owner.product("js-1", { version: true });
  const conflict = await refusal(owner.delete("js-1", { if_version: version + 1 }));
  assert.deepEqual([conflict.status, conflict.type], [409, "urn:catalens:problem:conflict"]);
  await owner.delete("js-1", { if_version: version, wait: true });
  assert.equal((await refusal(owner.product("js-1"))).status, 404);
});

test("a problem comes whole", async () => {
  const error = await refusal(catalens.search({ q: "mug", limit: 0, facets: [""] }));
  assert.equal(error.status, 422);
  assert.equal(error.type, "urn:catalens:problem:invalid-request");
  assert.ok(error.errors.some(({ path }) => path === "limit"));
  assert.match(error.requestId, /^[0-9a-f]{32}$/);
  assert.match(error.message, /limit/);
});

test("a key opens what is closed without", async () => {
  const stranger = await refusal(new Catalens({ url: GUARDED }).put([{ id: "x", title: "X" }]));
  assert.equal(stranger.status, 401);
  const { stored } = await new Catalens({ url: GUARDED, key: KEY }).put([{ id: "x", title: "X" }]);
  assert.equal(stored, 1);
});

test("whoever asks too often waits as long as told, and is told so without retries", async () => {
  const patient = new Catalens({ url: GUARDED, retries: 3 });
  const hasty = new Catalens({ url: GUARDED, retries: 0 });
  const outcomes = await Promise.allSettled(Array.from({ length: 4 }, () => hasty.suggest({ q: "r" })));
  const refused = outcomes.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
  assert.ok(refused.length >= 1);
  for (const error of refused) {
    assert.equal(error.status, 429);
    assert.ok(error.retryAfterS >= 1);
  }
  assert.ok((await patient.suggest({ q: "r" })).suggestions.length);
});

test("overload is retried by what changes nothing, and by nothing else", async (t) => {
  const [url, asked] = await serving(t, [503, { "retry-after": "0" }], [503, { "retry-after": "1" }], [200]);
  assert.deepEqual(await new Catalens({ url }).search({ q: "mug" }), {});
  assert.equal(asked.length, 3);
  assert.ok(asked[2] - asked[1] >= 990);
  const [full, changes] = await serving(t, [503, { "retry-after": "0" }]);
  assert.equal((await refusal(new Catalens({ url: full }).put([]))).status, 503);
  assert.equal((await refusal(new Catalens({ url: full }).delete("p1"))).retryAfterS, 0);
  assert.equal(changes.length, 2);
});

test("no wait is longer than the call may take, and other failures are not repeated", async (t) => {
  const [busy, waits] = await serving(t, [503, { "retry-after": "30" }]);
  assert.equal((await refusal(new Catalens({ url: busy, timeoutMs: 500 }).suggest())).retryAfterS, 30);
  const [broken, calls] = await serving(t, [500]);
  assert.equal((await refusal(new Catalens({ url: broken }).suggest())).status, 500);
  assert.deepEqual([waits.length, calls.length], [1, 1]);
});

test("silence, an empty address and a caller who changes their mind are told apart", async (t) => {
  const [silent] = await serving(t, [0]);
  const late = await refusal(new Catalens({ url: silent, timeoutMs: 80 }).suggest());
  assert.deepEqual([late.status, late.type], [0, "timeout"]);
  const [gone] = await serving(t, [200]);
  const nobody = new Catalens({ url: gone.replace(/\d+$/, "9") });
  assert.equal((await refusal(nobody.suggest())).type, "network");
  const given = new AbortController();
  const search = new Catalens({ url: silent }).suggest({}, { signal: given.signal });
  given.abort();
  await assert.rejects(search, { name: "AbortError" });
});

test("a wait between retries ends when the caller gives up", async (t) => {
  const [busy, asked] = await serving(t, [503, { "retry-after": "5" }]);
  const signal = AbortSignal.timeout(150);
  const began = Date.now();
  await assert.rejects(new Catalens({ url: busy }).suggest({}, { signal }), { name: "TimeoutError" });
  assert.ok(Date.now() - began < 3_000);
  assert.equal(asked.length, 1);
});
