"""Whole answers: kept under all that they depend on, computed once at a time, and never believed unchecked."""

import asyncio
import dataclasses
import time
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache import InProcessCache, NoCache, RedisCache
from service.errors import DeadlineError, OverloadedError
from service.query import (
    FacetField,
    PictureData,
    PicturePart,
    PictureUrl,
    ProductPart,
    Query,
    Rerank,
    SortKey,
    TextPart,
)
from service.results import Computed, Results, key_of
from service.telemetry import Metrics

pytestmark = pytest.mark.anyio

HEAD = b'{"hits":[1,2,3],"timings_ms":'
LATER = float("inf")


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Work:
    """A computation that counts how often it was begun, and can be held up or fail."""

    def __init__(self, head=HEAD, *, keep=True):
        self.begun = 0
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Event()
        self.failures = []
        self._answer = Computed(head, keep)

    async def __call__(self):
        self.begun += 1
        self.entered.set()
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        return self._answer


class Desk:
    """Results in a memory of their own, and how lookups went."""

    def __init__(self, cache):
        self.metrics = Metrics()
        self.cache = cache
        self.results = Results(cache, self.metrics)

    async def ask(self, work, key="k", due=LATER):
        computed, known = await self.results.answer(key, work, due)
        return computed.head, known

    def lookups(self, result):
        name = "catalens_result_cache_lookups_total"
        return self.metrics.registry.get_sample_value(name, {"result": result}) or 0

    async def waiting(self, work, count):
        """Begin a computation that is held up, and let others wait for it."""
        work.open.clear()
        tasks = [asyncio.ensure_future(self.ask(work)) for _ in range(count)]
        await asyncio.wait_for(work.entered.wait(), 10)
        await asyncio.sleep(0.01)
        return tasks


@pytest.fixture
def desk():
    return Desk(InProcessCache(1 << 20))


# Kept answers


async def test_what_was_computed_is_there_the_next_time(desk):
    work = Work()
    assert await desk.ask(work) == (HEAD, False)
    assert await desk.ask(work) == (HEAD, True)
    assert await desk.ask(work, "another") == (HEAD, False)
    assert work.begun == 2
    assert (desk.lookups("hit"), desk.lookups("miss")) == (1, 2)


@pytest.mark.parametrize("cache", [None, NoCache()])
async def test_without_a_cache_everything_is_computed(cache):
    desk, work = Desk(cache), Work()
    for _ in range(3):
        assert await desk.ask(work) == (HEAD, False)
    assert work.begun == 3


async def test_what_may_not_be_kept_is_not(desk):
    work = Work(keep=False)
    for _ in range(2):
        assert await desk.ask(work) == (HEAD, False)
    assert desk.cache.held_bytes == 0


async def test_what_is_very_large_is_not_kept():
    desk, work = Desk(InProcessCache(1 << 30)), Work(b"x" * ((1 << 20) + 1))
    for _ in range(2):
        assert (await desk.ask(work))[1] is False
    assert desk.cache.held_bytes == 0


async def test_memory_is_bounded():
    desk = Desk(InProcessCache(10_000))
    for n in range(100):
        await desk.ask(Work(b"x" * 500), f"key {n}")
        assert desk.cache.held_bytes <= 10_000
    assert (await desk.ask(Work(), "key 99"))[1] is True
    assert (await desk.ask(Work(), "key 0"))[1] is False


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_becomes_of_what_is_kept_it_is_the_answer_or_a_miss(data):
    async def scenario():
        desk, other = Desk(InProcessCache(1 << 20)), Work(b"another")
        await desk.ask(Work())
        kept = await desk.cache.get("k")
        at = data.draw(st.integers(0, len(kept) - 1))
        changed = data.draw(
            st.sampled_from(
                [
                    kept[:at],
                    kept[:at] + bytes([kept[at] ^ data.draw(st.integers(1, 255))]) + kept[at + 1 :],
                    kept[:at] + b"\x00" + kept[at:],
                    kept + kept[at:],
                    b"\x80\x04\x95" + kept,
                    HEAD[at:],
                ]
            )
        )
        desk.cache.put("k", changed)
        assert await desk.ask(other) == ((HEAD, True) if changed == kept else (b"another", False))
        assert desk.lookups("corrupt") == (changed != kept)
        assert await desk.ask(other) == ((HEAD if changed == kept else b"another"), True)

    asyncio.run(scenario())


async def test_an_answer_under_the_key_of_another_is_a_miss(desk):
    await desk.ask(Work(), "a")
    desk.cache.put("b", await desk.cache.get("a"))
    assert await desk.ask(Work(b"its own"), "b") == (b"its own", False)


@pytest.mark.clock
async def test_a_cache_that_cannot_be_reached_costs_little_and_no_error(tmp_path):
    cache = RedisCache(f"unix://{tmp_path}/none.sock", timeout_ms=20, ttl_s=60)
    desk, work = Desk(cache), Work()
    began = time.perf_counter()
    for _ in range(50):
        assert await desk.ask(work) == (HEAD, False)
    assert time.perf_counter() - began < 50 * 0.02
    assert desk.lookups("unavailable") == 50
    await cache.close()


# Once at a time


async def test_many_who_ask_the_same_at_once_share_one_computation(desk):
    work = Work()
    tasks = await desk.waiting(work, 50)
    work.open.set()
    answers = await asyncio.gather(*tasks)
    assert work.begun == 1
    assert {head for head, _ in answers} == {HEAD}
    assert sorted(known for _, known in answers) == [False] + [True] * 49


@pytest.mark.parametrize("cache", [None, NoCache()])
async def test_they_share_it_where_nothing_is_kept_too(cache):
    desk, work = Desk(cache), Work(keep=False)
    tasks = await desk.waiting(work, 10)
    work.open.set()
    await asyncio.gather(*tasks)
    assert work.begun == 1


async def test_different_questions_do_not_wait_for_each_other(desk):
    slow, quick = Work(), Work(b"quick")
    waiting = await desk.waiting(slow, 2)
    assert await desk.ask(quick, "another") == (b"quick", False)
    slow.open.set()
    await asyncio.gather(*waiting)


@pytest.mark.parametrize("failure", [OverloadedError("busy"), ValueError("bad")])
async def test_a_first_one_that_fails_fails_alone(desk, failure):
    work = Work()
    tasks = await desk.waiting(work, 10)
    work.failures = [failure]
    work.open.set()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert first is failure
    assert {head for head, _ in others} == {HEAD}
    assert work.begun == 2


async def test_if_all_fail_each_has_a_failure_of_its_own(desk):
    work = Work()
    tasks = await desk.waiting(work, 5)
    work.failures = [ValueError(n) for n in range(5)]
    work.open.set()
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(failure.args[0] for failure in failures) == list(range(5))
    assert await desk.ask(work) == (HEAD, False)


async def test_a_first_one_whose_caller_leaves_fails_nobody(desk):
    work = Work()
    first, *others = await desk.waiting(work, 10)
    first.cancel()
    await asyncio.sleep(0)
    work.open.set()
    assert {head for head, _ in await asyncio.gather(*others)} == {HEAD}
    with pytest.raises(asyncio.CancelledError):
        await first
    assert work.begun == 2


async def test_one_of_many_may_leave_and_the_computation_goes_on(desk):
    work = Work()
    first, leaving, *others = await desk.waiting(work, 10)
    leaving.cancel()
    await asyncio.sleep(0)
    work.open.set()
    assert len(await asyncio.gather(first, *others)) == 9
    assert work.begun == 1


async def test_whoever_waits_keeps_its_own_time(desk):
    work = Work()
    [first] = await desk.waiting(work, 1)
    began = time.monotonic()
    with pytest.raises(DeadlineError):
        await desk.ask(work, due=began + 0.1)
    assert 0.09 < time.monotonic() - began < 1.1
    with pytest.raises(DeadlineError):
        await desk.ask(work, due=began - 5)
    work.open.set()
    assert await first == (HEAD, False)
    assert work.begun == 1


# Keys

WORDS = TextPart("red mug", 1.0, "q")
PICTURE = PicturePart(PictureData(b"picture"), 1.0, "image")
BASE = Query((WORDS,))
CHANGED = {
    "parts": [
        (TextPart("red mugs", 1.0, "q"),),
        (TextPart("red mug", 0.5, "q"),),
        (ProductPart("red mug", 1.0, "q"),),
        (WORDS, WORDS),
        (WORDS, TextPart("blue", -1.0, "query[0].text")),
        (TextPart("blue", -1.0, "query[0].text"), WORDS),
        (PICTURE,),
        (WORDS, PICTURE),
        (PicturePart(PictureData(b"pictures"), 1.0, "image"),),
        (PicturePart(PictureData(b"picture"), 0.5, "image"),),
    ],
    "entities": [{"brand": "Ruby"}, {"brand": "Diesel"}, {"brand": None}, {"category": "Ruby"}],
    "linking": ["off", "strict"],
    "mode": ["vector", "lexical"],
    "lexical_weight": [0.0, 0.5, 1.0],
    "limit": [19, 21],
    "offset": [1, 20],
    "explain": [True],
    "exclude": [frozenset({"p1"}), frozenset({"p1", "p2"})],
    "filter": [
        {}, {"price": 1}, {"price": {"lt": 1}}, {"price": {"lte": 1}}, {"in_stock": True}, {"in_stock": 1},
        {"in_stock": "true"}, {"brand": ["a", "b"]}, {"brand": ["ab"]}, {"not": {"price": 1}}, {"price": 10**30},
        {"brand": "\ud800"},
    ],
    "facets": [(FacetField("brand", 20, "facets[0]"),), (FacetField("brand", 5, "facets[0]"),)],
    "sort": [(SortKey("price", False, "sort[0]"),), (SortKey("price", True, "sort[0]"),)],
    "collapse": ["group", "brand"],
    "diversity": [0.1, 1.0],
    "rerank": [
        Rerank(None, "demote", 0.7), Rerank(None, "filter", 0.7), Rerank("mug", "demote", 0.7),
        Rerank("None", "demote", 0.7), Rerank(None, "demote", 0.5),
    ],
    "instances": [],  # those of words: there are none; see below
    "led": [True],
}  # fmt: skip


def served(state="bundle@e:7", fingerprint="f"):
    """What a key reads of what is served."""
    return SimpleNamespace(state=state, encoder=SimpleNamespace(fingerprint=fingerprint))


def test_every_part_of_a_query_has_its_changes():
    assert CHANGED.keys() == {field.name for field in dataclasses.fields(Query)}


def test_no_two_questions_have_the_same_key():
    asked = [BASE] + [dataclasses.replace(BASE, **{name: to}) for name, all_ in CHANGED.items() for to in all_]
    keys = [key_of(served(), query, None) for query in asked]
    keys += [key_of(served(), BASE, fields) for fields in (["id"], ["title"], ["id", "title"])]
    keys += [key_of(served(state="bundle@e:8"), BASE, None), key_of(served(fingerprint="g"), BASE, None)]
    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_what_finds_products_in_pictures_is_in_the_key_where_they_are_looked_for():
    asked = [Query((PICTURE,), instances=mode) for mode in ("off", "auto", "all")]
    keys = [[key_of(served(), query, None, finder) for finder in ("one", "other")] for query in asked]
    assert keys[0][0] == keys[0][1]
    assert len({keys[0][0], *keys[1], *keys[2]}) == 5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BASE, Query((TextPart("red mug", 1.0, "query[0].text"),))),
        (Query((PICTURE,)), Query((PicturePart(PictureData("picture"), 1.0, "query[0].image.data"),))),
        (
            dataclasses.replace(BASE, filter={"price": {"lt": 5, "gt": 1}, "brand": "a"}),
            dataclasses.replace(BASE, filter={"brand": "a", "price": {"gt": 1, "lt": 5}}),
        ),
        (
            dataclasses.replace(BASE, entities={"brand": "a", "category": "b"}),
            dataclasses.replace(BASE, entities={"category": "b", "brand": "a"}),
        ),
        (
            dataclasses.replace(BASE, exclude=frozenset(["p1", "p2", "p3"])),
            dataclasses.replace(BASE, exclude=frozenset(["p3", "p2", "p1"])),
        ),
    ],
)
def test_the_same_question_asked_another_way_has_the_same_key(one, other):
    assert key_of(served(), one, None) == key_of(served(), other, None)


@pytest.mark.parametrize(
    "picture",
    [PictureUrl("https://shop.example/a.jpg"), PictureData(bytes((1 << 20) + 1)), PictureData("A" * (2 << 20))],
)
def test_pictures_that_may_change_or_are_large_have_no_key(picture):
    assert key_of(served(), Query((WORDS, PicturePart(picture, 1.0, "image"))), None) is None
