"""Every update log keeps the UpdateLog contract, judged by a model that forgets nothing."""

import copy
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.updates import Kind, Result, State
from tests.support.update_logs import ALL, Place, apply, delete, everything, patch, put, read_on

# --- a model that keeps the whole history, and readers of it ---


@dataclass
class History:
    """A log as simple as can be: every stored change with its number, and the numbers of those that were trimmed."""

    stored: list = field(default_factory=list)  # (number, change)
    trimmed: set = field(default_factory=set)

    def of(self, product_id):
        return [(seq, change) for seq, change in self.stored if change.product_id == product_id]

    def version(self, product_id):
        return len(self.of(product_id))

    def held(self, product_id):
        """Return what a log must hold of a product, as (numbers of the changes that are joined, kind)."""
        own = self.of(product_id)
        bases = [place for place, (_, change) in enumerate(own) if change.kind != Kind.PATCH]
        patches = own[bases[-1] + 1 :] if bases else own
        parts = [([own[bases[-1]][0]], own[bases[-1]][1].kind)] if bases else []
        parts += [([seq for seq, _ in patches if seq not in self.trimmed], Kind.PATCH)]
        return [(numbers, kind) for numbers, kind in parts if numbers and numbers[-1] not in self.trimmed]

    def trim(self, entries):
        """Forget entries, given by their numbers, with all that was joined into them."""
        ids = {change.product_id for _, change in self.stored}
        held = [numbers for product_id in ids for numbers, _ in self.held(product_id)]
        self.trimmed |= {number for numbers in held if numbers[-1] in entries for number in numbers}

    def state(self, product_id):
        kinds = [kind for _, kind in self.held(product_id) if kind != Kind.PATCH]
        return State(self.version(product_id), kinds[0] if kinds else None)

    def expected(self, change):
        version = self.version(change.product_id)
        if change.if_version not in {None, version}:
            return Result.CONFLICT, version
        if change.kind != Kind.PUT and self.state(change.product_id).kind == Kind.DELETE:
            return Result.GONE, version
        return Result.STORED, version + 1

    def entries(self):
        """Return number, product, kind and version of every entry that must be held, in order."""
        ids = {change.product_id for _, change in self.stored}
        return sorted(
            (numbers[-1], product_id, kind, [seq for seq, _ in self.of(product_id)].index(numbers[-1]) + 1)
            for product_id in ids
            for numbers, kind in self.held(product_id)
        )

    def shelf(self, bundle):
        """Return the products after all changes, one after the other, to those of a bundle."""
        shelf = copy.deepcopy(bundle)
        for _, change in self.stored:
            apply(shelf, change.product_id, change.kind, change.payload)
        return shelf


def applied_to_nothing(fields):
    shelf = {}
    apply(shelf, "", Kind.PATCH, orjson.dumps(fields))
    return shelf[""]


BUNDLE = {
    "in bundle": {"title": "old", "price": 1, "attributes": {"size": "M", "colour": "red"}},
    "there too": {"title": "old", "attributes": {}},
}
IDS = st.sampled_from([*BUNDLE, "new", "új"])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from("abc"),
        "price": st.none() | st.integers(0, 3),
        "attributes": st.dictionaries(
            st.sampled_from(["size", "colour", "fit"]), st.none() | st.sampled_from([1, True, "L", ["x", "y"]])
        ),
    },
)
WHOLE = FIELDS.map(applied_to_nothing)
VERSIONS = st.none() | st.none() | st.integers(0, 4)
CHANGES = st.one_of(
    st.builds(lambda i, fields, v: put(i, orjson.dumps(fields), v), IDS, WHOLE, VERSIONS),
    st.builds(patch, IDS, FIELDS, VERSIONS),
    st.builds(patch, IDS, FIELDS, st.none()),
    st.builds(delete, IDS, VERSIONS),
)
STEPS = st.lists(
    st.one_of(
        st.lists(CHANGES, min_size=1, max_size=3),
        st.lists(CHANGES, min_size=1, max_size=3),
        st.sampled_from(["reopen", "page", "page", "remember"]),
        st.tuples(st.just("trim"), st.integers(0, 5)),
    ),
    max_size=25,
)


class Walk:
    """Takes a log and its model through the same steps, with readers who come and go."""

    def __init__(self, place):
        place.move()
        self.place, self.log, self.history = place, place.open(), History()
        self.remembered = [(0, copy.deepcopy(BUNDLE))]  # readers who stopped somewhere
        self.paging = (0, copy.deepcopy(BUNDLE))  # a reader who takes two entries at a time

    def step(self, step):
        if step == "reopen":
            self.log = self.place.open()
        elif step == "page":
            self.page()
        elif step == "remember":
            self.remembered.append((self.log.tail().seq, self.history.shelf(BUNDLE)))
        elif isinstance(step, tuple):
            self.trim(step[1])
        else:
            self.append(step)
        self.check()

    def append(self, changes):
        outcomes = self.log.append(changes)
        assert len(outcomes) == len(changes)
        for change, outcome in zip(changes, outcomes, strict=True):
            last = self.history.stored[-1][0] if self.history.stored else 0
            assert (outcome.result, outcome.version) == self.history.expected(change)
            if outcome.result == Result.STORED:
                assert outcome.seq > last
                self.history.stored.append((outcome.seq, change))
            else:
                assert outcome.seq is None

    def page(self):
        after, shelf = self.paging
        entries = self.log.read(after, 2)
        assert len(entries) <= 2
        self.paging = (read_on(entries, shelf, after), shelf)

    def trim(self, place):
        entries = everything(self.log)
        if place >= len(entries):
            return
        through = entries[place].at
        gone = {entry.seq for entry in entries if entry.at <= through}
        assert self.log.trim(through) == len(gone)
        self.history.trim(gone)
        if self.paging[0] < max(gone):  # it has missed some, and takes a bundle that has them
            self.paging = (self.log.tail().seq, self.history.shelf(BUNDLE))

    def check(self):
        entries = everything(self.log)
        held = [(entry.seq, entry.product_id, entry.kind, entry.version) for entry in entries]
        assert held == self.history.entries()
        assert self.log.count() == len(held)
        assert self.log.trimmed() == max(self.history.trimmed, default=0)
        assert self.log.tail().seq == (self.history.stored[-1][0] if self.history.stored else 0)
        ids = [*BUNDLE, "new", "új", "never"]
        assert self.log.states(ids) == [self.history.state(product_id) for product_id in ids]
        puts = {entry.product_id: entry for entry in entries if entry.kind == Kind.PUT}
        assert {product_id: self.log.whole(product_id) for product_id in ids} == dict.fromkeys(ids) | puts

    def catch_up(self):
        """Let every reader read on, and compare what each then has."""
        now = self.history.shelf(BUNDLE)
        for after, shelf in [*self.remembered, self.paging]:
            if after >= self.log.trimmed():
                read_on(self.log.read(after, ALL), shelf, after)
                assert shelf == now


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_any_course_of_changes_leaves_what_a_whole_history_says(kind, shared_redis, tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("walk"), shared_redis if kind == "redis" else None)

    @settings(max_examples=80, deadline=None)
    @given(STEPS)
    def walk(steps):
        going = Walk(place)
        for step in steps:
            going.step(step)
        going.catch_up()
        place.close()

    walk()
