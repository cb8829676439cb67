"""The operator's page's pure modules, run where they run: in Chromium, imported from the served page."""

import math
import random

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.e2e


@pytest.fixture
def run(visit):
    """Call a function of a module: `run("compared", "overlapAt", a, b)`."""
    visit.page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    visit.page.goto(f"{visit.base_url}/livez")  # any page of the service will do

    def call(module, function, *given):
        script = "async ([module, name, given]) => (await import(`/ops/js/${module}.js`))[name](...given)"
        return visit.page.evaluate(script, [module, function, list(given)])

    return call


AWKWARD = r"""# HELP odd a comment
odd_total{path="C:\\dir\"x\"",line="a\nb",empty=""} 3
odd_total{a="1,b=}",} 4.5e1 1700000000000
plain -2
worst{le="+Inf"} +Inf
broken{le="1"
also broken
"""


def test_what_prometheus_reads_is_read(visit, run):
    text = httpx.get(f"{visit.base_url}/metrics").text
    script = """async (text) => {
        const { parse } = await import('/ops/js/exposition.js');
        return [...parse(text)].flatMap(([name, samples]) => samples.map(({ labels, value }) =>
            [name, Object.entries(labels).sort(), `${value}`]));
    }"""
    read = visit.page.evaluate(script, text)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    known = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
    assert len(read) == len(samples) > 100
    for name, labels, value in read:
        assert float(value) == known[name, tuple(map(tuple, labels))]
    odd = {(name, tuple(map(tuple, labels))): value for name, labels, value in visit.page.evaluate(script, AWKWARD)}
    assert odd == {
        ("odd_total", (("empty", ""), ("line", "a\nb"), ("path", 'C:\\dir"x"'))): "3",
        ("odd_total", (("a", "1,b=}"),)): "45",
        ("plain", ()): "-2",
        ("worst", (("le", "+Inf"),)): "Infinity",
    }


def histogram_quantile(share, times, bounds):
    """The quantile by Prometheus's rule, from the times themselves."""
    target, below, low = share * len(times), 0, 0.0
    for high in bounds:
        n = sum(time <= high for time in times)
        if n >= target:
            return low + (high - low) * (target - below) / (n - below) if n > below else high
        below, low = n, high
    return bounds[-1]


def test_quantiles_of_histograms(run):
    rng, bounds = random.Random(4), [0.01, 0.05, 0.1, 0.5, 1.0]
    for _ in range(12):
        times = [rng.expovariate(8) for _ in range(rng.randint(1, 60))]
        buckets = {str(bound): sum(time <= bound for time in times) for bound in bounds} | {"+Inf": len(times)}
        for share in (0.5, 0.95, 0.99):
            assert run("series", "quantile", buckets, share) == pytest.approx(histogram_quantile(share, times, bounds))
    assert run("series", "quantile", {}, 0.5) is None
    assert run("series", "quantile", {"1": 0, "+Inf": 0}, 0.5) is None


def test_counters_that_began_again_rose_by_what_they_are(run):
    before, now = {"200": 90, "500": 3}, {"200": 7, "404": 2, "500": 4}
    assert run("series", "rise", before, now) == {"200": 7, "404": 2, "500": 1}


def biased_overlap(a, b, p=0.9, depth=400):
    """Rank-biased overlap summed up, the agreement going on as it was where the shorter ranking, then both, end."""
    short, long = sorted((a, b), key=len)
    common = [len(set(short[:d]) & set(long[:d])) for d in range(depth + 1)]
    end = common[len(short)] / len(short)

    def agreement(d):
        if d <= len(short):
            return common[d] / d
        seen = min(d, len(long))
        return (common[seen] + end * (seen - len(short))) / seen

    return (1 - p) * sum(p ** (d - 1) * agreement(d) for d in range(1, depth + 1))


def test_rankings_are_compared(run):
    rng, ids = random.Random(9), list("abcdefghijklmnop")
    for _ in range(20):
        a, b = (rng.sample(ids, rng.randint(1, 12)) for _ in range(2))
        assert run("compared", "rankBiasedOverlap", a, b) == pytest.approx(biased_overlap(a, b))
        top = min(10, max(len(a), len(b)))
        assert run("compared", "overlapAt", a, b) == pytest.approx(len(set(a[:10]) & set(b[:10])) / top)
    assert run("compared", "rankBiasedOverlap", ids, ids) == pytest.approx(1)
    assert run("compared", "rankBiasedOverlap", ["a"], ["b"]) == 0
    assert run("compared", "rankBiasedOverlap", [], []) is None
    assert run("compared", "overlapAt", [], []) is None
    moves = run("compared", "changes", ["a", "b", "c", "d"], ["b", "a", "x", "d"])
    assert [(move["kind"], move["by"]) for move in moves] == [("up", 1), ("down", 1), ("new", 0), ("same", 0)]


def term(name, score, value=None):
    return {"query": 0, "name": name, "value": value, "gate": None, "score": score}


def test_differences_of_two_explanations_add_up(run):
    a = [term("words", 0.3), term("brand", 0.2, "Ember"), term("season", -0.1, "summer")]
    b = [term("words", 0.25), term("brand", 0.5, "Wren"), term("season", -0.1, "summer")]
    rows = run("compared", "termDifferences", a, b)
    assert sum(row["difference"] for row in rows) == pytest.approx(sum(t["score"] for t in b + a) - 2 * 0.4)
    assert [(row["value"], row["a"], row["b"]) for row in rows[:2]] == [("Wren", None, 0.5), ("Ember", 0.2, None)]
    assert rows[-1]["name"] == "season"


def test_a_side_asks_for_what_it_states(run):
    usual = dict.fromkeys(("bundle", "mode", "weight", "linking", "rerank", "diversity", "collapse"), "")
    asked = {"q": " red ", "entities": "brand: Big: Dot; season:;\n ;colour : red"}
    assert run("compared", "searchBody", asked, usual, 5) == {
        "q": "red", "entities": {"brand": "Big: Dot", "season": None, "colour": "red"}, "limit": 5, "explain": True,
    }  # fmt: skip
    stated = {"bundle": "x", "mode": "hybrid", "weight": "0", "linking": "off", "rerank": "filter"}
    body = run("compared", "searchBody", {"q": "", "entities": ""}, {**usual, **stated, "diversity": "0.5"}, 5)
    assert body == {
        "bundle": "x", "mode": "hybrid", "lexical_weight": 0, "entity_linking": "off", "rerank": {"action": "filter"},
        "diversity": 0.5, "limit": 5, "explain": True,
    }  # fmt: skip
    by_meaning = run("compared", "searchBody", asked, {**usual, "mode": "vector", "weight": "0.3"}, 5)
    assert "lexical_weight" not in by_meaning  # the service refuses one there


def test_an_address_says_what_is_shown_and_no_more(visit, run):
    written = {
        "": "?view=bundles",
        "?view=nonsense&q=x": "?view=bundles",
        "?view=bundles&bundle=b1&q=x": "?view=bundles&bundle=b1",
        "?view=compare&q=red+dress&entities=brand%3A+x&a.mode=lexical&b.weight=0.2&b.other=1&bundle=b1": (
            "?view=compare&q=red+dress&entities=brand%3A+x&a.mode=lexical&b.weight=0.2"
        ),
        "?view=map&bundle=b1&light=red": "?view=map&bundle=b1&light=red",
        "?view=live&key=secret": "?view=live",
    }
    script = """async (addresses) => {
        const { fromAddress, toAddress } = await import('/ops/js/address.js');
        return addresses.map((address) => toAddress(fromAddress(address)));
    }"""
    assert visit.page.evaluate(script, list(written)) == list(written.values())


def test_checks_and_what_is_said_of_them(run):
    def check(outcome, value, bar):
        return {"name": "x", "outcome": outcome, "says": "so", "value": value, "bar": bar}

    cases = [
        (check("passed", 0.99, 0.95), 0.04), (check("failed", 0.9, 0.95), -0.05), (check("passed", 0.1, 0.2), 0.1),
        (check("failed", 0.3, 0.2), -0.1), (check("skipped", None, None), None), (check("passed", 0.5, None), None),
    ]  # fmt: skip
    for given, far in cases:
        assert run("report", "margin", given) == (None if far is None else pytest.approx(far))
    gate = {"mean": 0.02, "stated": 0.6, "values": []}
    assert run("report", "advice", "season", gate).startswith("season adds nothing here: its mean gate is 0.02")
    assert "only 11% of the products" in run("report", "advice", "season", {**gate, "mean": 0.3, "stated": 0.11})
    assert not run("report", "advice", "season", {**gate, "mean": 0.3})
    detail = "bundle b1 is refused: words fell; too few products"
    for end in ("", " (--force publishes it all the same)"):
        refused = {"status": 409, "detail": detail + end}
        assert run("report", "refusal", refused) == ["words fell", "too few products"]
    assert run("report", "refusal", {"status": 409, "detail": "bundle b1 is damaged"}) is None


def test_the_map_stays_where_it_is_pointed_at(visit, run):
    script = """async ({ sight, size, at, times }) => {
        const { magnified, moved, nearest, toPixels } = await import('/ops/js/scatter.js');
        const inside = (view) => {
            const step = toPixels(view, size);
            const [x0, y0] = step(0, 0), [x1] = step(1, 0);
            return [(at[0] - x0) / (x1 - x0), (y0 - at[1]) / (x1 - x0)];
        };
        const [before, after] = [sight, magnified(sight, size, times, at)].map(inside);
        const there = toPixels(moved(sight, size, 12, -7), size)(0.4, 0.6);
        const here = toPixels(sight, size)(0.4, 0.6);
        const points = { x: [0.1, 0.4, 0.42, 0.9], y: [0.1, 0.6, 0.6, 0.9] };
        const near = nearest(points, [0, 1, 3], toPixels(sight, size)(0.415, 0.6), toPixels(sight, size), 99);
        return { before, after, by: [there[0] - here[0], there[1] - here[1]], near };
    }"""
    asked = {"sight": {"x": 0.5, "y": 0.45, "scale": 2}, "size": {"width": 800, "height": 500}, "at": [430, 200]}
    seen = visit.page.evaluate(script, {**asked, "times": 1.7})
    assert seen["after"] == pytest.approx(seen["before"])
    assert seen["by"] == pytest.approx([12, -7])
    assert seen["near"] == 1
    grouped = run("scatter", "grouped", ["a", "b", None, "a", "c", "b", "a"], 2)
    assert grouped == {"names": ["a", "b", "Others"], "counts": [3, 2, 2], "of": [0, 1, 2, 0, 2, 1, 0]}
    assert math.isclose(run("svg", "roundEnd", 0.37), 0.5)
    assert run("svg", "roundEnd", 0) == 1
