"""Which bundle answers: by name, by share and visitor, and what shadows are asked."""

import asyncio
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from service.errors import InvalidRequestError
from service.versions import Beside, Version, Versions


def version(name):
    return Version(SimpleNamespace(bundle_id=name, elsewhere=None))


def versions(**roles):
    """Return versions whose primary is `main`, with others beside it."""
    made = Versions(version("main"))
    made.change(made.primary, {name: (version(name), role) for name, role in roles.items()})
    return made


VISITORS = [f"visitor {n}" for n in range(20_000)]


def test_alone_the_primary_one_answers_everything():
    alone = versions()
    assert alone.choose(None, None) is alone.choose(None, "anyone") is alone.choose("main", None) is alone.primary
    assert alone.all == (alone.primary,)
    assert not alone.splits
    assert alone.shadows() == []


def test_a_bundle_that_is_served_may_be_named_whatever_its_share():
    served = versions(a=Beside(), b=Beside(share=1.0))
    for name in ("main", "a", "b"):
        assert served.choose(name, "anyone").id == name
    assert not versions(a=Beside()).splits


@pytest.mark.parametrize("name", ["c", "", "MAIN", "a\ud800"])
def test_a_bundle_that_is_not_served_is_refused_by_name(name):
    with pytest.raises(InvalidRequestError, match="main, a, b may be asked") as refused:
        versions(a=Beside(), b=Beside()).choose(name, None)
    assert [error.path for error in refused.value.errors] == ["bundle"]


@pytest.mark.parametrize(
    "shares", [{"a": 0.0}, {"a": 0.1}, {"a": 1.0}, {"a": 0.5, "b": 0.5}, {"a": 0.3, "b": 0.05, "c": 0.15}]
)
def test_each_gets_its_share_of_visitors_and_of_the_nameless(shares):
    served = versions(**{name: Beside(share) for name, share in shares.items()})
    expected = {**shares, "main": 1 - sum(shares.values())}
    for visitors in (VISITORS, [None] * len(VISITORS)):
        counts = Counter(served.choose(None, visitor).id for visitor in visitors)
        for name, share in expected.items():
            assert counts[name] / len(visitors) == pytest.approx(share, abs=0.015)  # 4 sigma at one half
            assert (counts[name] == 0) == (share < 1e-9)


@given(st.text(max_size=200), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_visitor_keeps_its_bundle_and_a_growing_share_takes_nobody_away(visitor, share, more):
    small, large = versions(a=Beside(share)), versions(a=Beside(share + more))
    chosen = small.choose(None, visitor).id
    assert {small.choose(None, visitor).id for _ in range(3)} == {chosen}
    if chosen == "a":
        assert large.choose(None, visitor).id == "a"


def test_splits_tells_whether_others_have_to_do_with_searches():
    assert versions(a=Beside(share=0.01)).splits
    assert versions(a=Beside(shadow=0.01)).splits
    assert not versions(a=Beside(), b=Beside()).splits


def test_shadows_are_asked_their_share():
    served = versions(never=Beside(share=0.5), always=Beside(shadow=1.0), some=Beside(shadow=0.25))
    counts = Counter(shadow.id for _ in range(4_000) for shadow in served.shadows())
    assert counts["never"] == 0
    assert counts["always"] == 4_000
    assert counts["some"] / 4_000 == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan"), float("inf"), "x", None])
def test_a_share_is_a_part_of_one(share):
    for name in ("share", "shadow"):
        with pytest.raises(ValidationError):
            TypeAdapter(Beside).validate_python({name: share})


class Follower:
    """What has applied some of a log, and more after each time that it is waited for."""

    def __init__(self, applied, closed=False):
        self.applied = applied
        self.closed = closed
        self.available = True
        self.waited = []

    async def reach(self, seq):
        self.waited.append(seq)
        await asyncio.sleep(0)
        if not self.closed:
            self.applied += 1


def test_an_entry_is_reached_when_all_that_is_served_has_applied_it():
    served = versions(a=Beside(), b=Beside())
    followers = [Follower(9), Follower(7), Follower(3)]
    for one, follower in zip(served.all, followers, strict=True):
        one.follower = follower
    asyncio.run(asyncio.wait_for(served.reach(8), 5))
    assert [follower.applied for follower in followers] == [9, 8, 8]
    assert followers[0].waited == []


@pytest.mark.parametrize("applied", [True, False])
def test_a_bundle_that_comes_while_an_entry_is_waited_for_is_waited_for_too(applied):
    """Whether the one before had applied it yet when it was let go of, or not."""
    served = versions()
    served.primary.follower = old = Follower(0)
    coming = version("coming")
    coming.follower = Follower(0)

    async def swapped(seq):
        old.applied, old.closed = (seq if applied else 0), True
        served.change(coming, {})

    old.reach = swapped
    asyncio.run(asyncio.wait_for(served.reach(3), 5))
    assert coming.follower.applied == 3


def test_nobody_waits_for_what_has_ended():
    served = versions(a=Beside())
    for one in served.all:
        one.follower = Follower(0, closed=True)
    asyncio.run(asyncio.wait_for(served.reach(8), 5))


def test_without_updates_nothing_is_waited_for_nor_lacking():
    served = versions(a=Beside())
    asyncio.run(asyncio.wait_for(served.reach(8), 5))
    assert served.primary.lacking == frozenset()
    served.primary.follower = Follower(0)
    assert served.primary.lacking == frozenset()
    served.primary.follower.available = False
    assert served.primary.lacking == {"updates"}
    with pytest.raises(RuntimeError, match="follows no updates"):
        _ = versions().view
