"""What is made of measured figures: medians, ratios, slopes and verdicts, against cases worked out by hand."""

import numpy as np
import orjson
import pytest

from benchmarks import bars, overload, record, scaling, swap
from benchmarks.bars import Bar
from benchmarks.open_loop import Offer, Run
from benchmarks.overload import Load
from benchmarks.peers import ratio, speed_at
from benchmarks.wire import Address

NOWHERE = Address("127.0.0.1", 1)


def run_of(latency_s, status, *, lag_s=0.0, deadline_s=1.0, seconds=2.0, bodies=()):
    n = len(latency_s)
    offer = Offer(NOWHERE, (), n / seconds, seconds, deadline_s, seed=0)
    due = np.linspace(0, seconds, n, endpoint=False)
    return Run(offer, due, np.full(n, lag_s), np.array(latency_s), np.array(status, np.int16), list(bodies), 0.5)


def test_a_load_sums_up_a_run():
    latency = [*[0.010] * 98, 0.5, 1.5, 0.001, np.inf]
    load = Load.of(run_of(latency, [200] * 100 + [503, 0]))
    assert load.offered_per_s == 51
    assert load.goodput_per_s == 49.5  # all but the late one, the refusal and the lost one
    assert load.late == 1
    assert load.latest_ms == 1500
    assert load.unanswered == 1
    assert load.p50_ms == pytest.approx(10)
    assert load.p99_ms == pytest.approx(np.percentile(latency[:99], 99) * 1e3)
    assert load.statuses == {"0": 1, "200": 100, "503": 1}
    assert load.generator_cores == 0.25
    assert load.kept_up
    assert not Load.of(run_of([0.01], [200], lag_s=0.1)).kept_up


def loaded(goodput, p50=1.0, p99=2.0, late=0, *, kept_up=True):
    return Load(1.0, goodput, p50, p99, late, p99, 0, {}, 0.0, kept_up, 0.0)


def test_overload_is_judged_by_medians_of_the_turns_in_which_the_generator_kept_up():
    turns = [
        {
            "peak": loaded(100),
            "0.7": loaded(70, p99=p99),
            "2.0": loaded(good),
            "5.0": loaded(80, late=late, kept_up=kept_up),
        }
        for p99, good, late, kept_up in (
            (2.0, 95, 0, True),
            (3.0, 99, 1, True),
            (9.0, 90, 5, False),
            (4.0, 110, 0, True),
        )
    ]
    judged = overload.judged(turns)
    assert judged["turns_that_count"] == 3
    assert judged["p99_over_p50"] == 3
    assert judged["goodput_over_peak"] == pytest.approx({"2.0": 0.99, "5.0": 0.8})  # 80 of 110, which was a peak, too
    assert judged["late"] == 1


def test_no_turn_that_counts_is_no_verdict():
    turn = {"peak": loaded(1), "0.7": loaded(1), "2.0": loaded(1), "5.0": loaded(1, kept_up=False)}
    assert overload.judged([turn])["p99_over_p50"] is None


def answer(bundle, *prices):
    return orjson.dumps({"index": {"bundle": bundle}, "hits": [{"product": {"price": price}} for price in prices]})


def test_swaps_are_judged_by_what_was_due_meanwhile_and_by_the_cents_of_each_hit():
    ids = {"a": 25, "b": 75}
    bodies = [answer("a", 3.25, 100.25), answer("b", 3.75, 7.25), answer("a", 9.75), b"{}"]
    calm = swap.Phase(run_of([0.01, 0.02], [200, 200], bodies=[answer("a", 1.25)] * 2))
    busy = swap.Phase(run_of([0.01, 0.04, 0.04, 0.01], [200, 200, 200, 503], bodies=bodies), [(0.4, 1.2)])
    summary = swap.summed_up([(calm, busy)], ids)
    assert summary["swaps"] == 1
    assert summary["swap_ms"]["p50"] == pytest.approx(800)
    assert (summary["answers"], summary["bundles_seen"], summary["mixed_answers"], summary["errors"]) == (5, 2, 2, 1)
    assert busy.during == pytest.approx([40, 40])  # due at 0.5 s and 1 s, of 0, 0.5, 1 and 1.5
    assert summary["p99_ratio"] == pytest.approx(40 / np.percentile([10, 20], 99))


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_the_exponent_is_the_slope_in_logarithms(slope):
    sizes = [10, 100, 1_000]
    assert scaling.exponent(sizes, [3 * n**slope for n in sizes]) == pytest.approx(slope, abs=1e-9)


CURVE = [{"recall_at_10": 0.9, "single": 4_000.0}, {"recall_at_10": 1.0, "single": 1_000.0}]


@pytest.mark.parametrize(("recall", "speed"), [(0.9, 4_000), (0.95, 2_000), (1.0, 1_000), (0.5, 4_000)])
def test_speed_at_a_recall_lies_on_the_line_in_logarithms(recall, speed):
    assert speed_at(CURVE, "single", recall) == pytest.approx(speed)


def test_a_library_that_never_finds_enough_has_no_speed():
    assert speed_at(CURVE[:1], "single", 0.95) is None


def test_we_are_compared_with_the_best_of_the_others():
    def curve(speed):
        return [{"recall_at_10": 0.99, "single": speed}]

    curves = {
        "catalens": [curve(90.0), curve(100.0), curve(120.0)],
        "slow": [curve(50.0)] * 3,
        "fast": [curve(100.0)] * 3,
        "poor": [[{"recall_at_10": 0.5, "single": 1e9}]] * 3,
    }
    found = ratio(curves, "single", 0.95)
    assert (found["best"], found["ratio"]) == ("fast", 1.0)
    assert ratio({"catalens": curves["catalens"]}, "single", 0.95)["ratio"] is None


@pytest.mark.parametrize(
    ("side", "value", "verdict"),
    [("at least", 0.9, "holds"), ("at least", 0.89, "MISSED"), ("at most", 0.9, "holds"), ("at most", 0.91, "MISSED")],
)
def test_a_bound_itself_is_allowed(side, value, verdict):
    bar = Bar("speed", "any", lambda figures: figures["speed"], side, 0.9)
    assert bars.judge(bar, {"speed": value}) == (value, verdict)


def test_what_was_not_measured_is_not_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "OUT", tmp_path)
    assert bars.judge(Bar("speed", "any", lambda figures: figures["speed"], "at least", 1), None)[1] == "not measured"
    assert bars.table().count("not measured") == len(bars.BARS)


def test_figures_are_kept_with_what_made_them(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "OUT", tmp_path / "out")
    path = record.write("speed", 7, {"per_second": np.float32(2)})
    stated = orjson.loads(path.read_bytes())["environment"]
    assert (stated["seed"], stated["versions"]["numpy"]) == (7, np.__version__)
    assert stated["cores"] >= 1
    assert stated["memory_gib"] > 0
    assert record.read("speed") == {"per_second": 2}
    assert record.read("other") is None
