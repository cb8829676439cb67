"""Query terms as bytes: what was packed comes back exactly, and nothing else does."""

import asyncio
import zlib

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.encoder import TextTerms
from service.cache import Cache, CacheUnavailableError, InProcessCache
from service.telemetry import Metrics
from service.terms import TermsCache, pack_terms, unpack_terms

DIM = 8


def some_terms(names=("words", "brand"), seed=0):
    rows = np.random.default_rng(seed).standard_normal((len(names), DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows.sum(axis=0))
    return TextTerms(tuple(names), rows, dict.fromkeys(names[1:], 0.5))


names = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=6, unique=True)


@settings(deadline=None)
@given(names, st.integers(0, 2**32 - 1))
def test_what_was_packed_comes_back(names, seed):
    terms = some_terms([name.encode("utf-8", "replace").decode() for name in names], seed)
    back = unpack_terms(pack_terms(terms), DIM)
    assert back.names == terms.names
    assert back.gates == terms.gates
    np.testing.assert_array_equal(back.terms, terms.terms)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_other_bytes_are_a_miss(data):
    assert unpack_terms(data, DIM) is None


@settings(deadline=None)
@given(st.data())
def test_every_cut_and_every_flipped_bit_is_a_miss(data):
    packed = pack_terms(some_terms())
    assert unpack_terms(packed[: data.draw(st.integers(0, len(packed) - 1))], DIM) is None
    place, bit = data.draw(st.integers(0, len(packed) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(packed)
    flipped[place] ^= 1 << bit
    assert unpack_terms(bytes(flipped), DIM) is None


def forged(header, rows):
    rest = header + rows
    head = b"CTT1" + zlib.crc32(rest).to_bytes(4, "little") + len(header).to_bytes(2, "little")
    return head + rest


HEADER = orjson.dumps({"names": ["words"], "gates": {}})
UNIT = np.eye(1, DIM, dtype="<f4").tobytes()


def test_the_forger_s_tools_work():
    assert unpack_terms(forged(HEADER, UNIT), DIM) is not None


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (HEADER, np.full((1, DIM), np.nan, "<f4").tobytes()),
        (HEADER, np.zeros((1, DIM), "<f4").tobytes()),
        (HEADER, (2 * np.eye(1, DIM, dtype="<f4")).tobytes()),
        (HEADER, np.eye(1, DIM + 1, dtype="<f4").tobytes()),
        (HEADER, UNIT * 2),
        (orjson.dumps({"names": [], "gates": {}}), b""),
        (orjson.dumps({"names": ["words"]}), UNIT),
        (orjson.dumps({"names": 7, "gates": {}}), UNIT),
        (orjson.dumps({"names": ["words"], "gates": []}), UNIT),
        (orjson.dumps({"names": ["words"], "gates": {"brand": "x"}}), UNIT),
        (orjson.dumps([]), UNIT),
        (b"not JSON", UNIT),
        (b"", UNIT),
    ],
)
def test_a_forged_entry_that_makes_no_sense_is_a_miss(header, rows):
    assert unpack_terms(forged(header, rows), DIM) is None


def terms_cache(cache, *, bundle="b1", fingerprint="f1"):
    return TermsCache(cache, Metrics(), bundle=bundle, fingerprint=fingerprint, dim=DIM)


def test_keys_differ_by_everything_that_changes_the_vector_and_by_nothing_else():
    cache = InProcessCache(0)
    one = terms_cache(cache)
    same = one.text_key("red", {"brand": "A", "category": "b"})
    assert same == one.text_key("red", {"category": "b", "brand": "A"})
    others = {
        one.text_key("red", {}),
        one.text_key("red ", {"brand": "A", "category": "b"}),
        one.text_key("red", {"brand": "A"}),
        one.text_key("red", {"brand": "b", "category": "A"}),
        one.picture_key(b"red"),
        terms_cache(cache, bundle="b2").text_key("red", {"brand": "A", "category": "b"}),
        terms_cache(cache, fingerprint="f2").text_key("red", {"brand": "A", "category": "b"}),
    }
    assert len(others | {same}) == 8


class Unavailable(InProcessCache):
    async def get(self, key: str) -> bytes | None:
        raise CacheUnavailableError


def test_lookups_are_counted_by_their_outcome():
    async def scenario():
        store = InProcessCache(10_000)
        metrics = Metrics()
        cache = TermsCache(store, metrics, bundle="b", fingerprint="f", dim=DIM)
        assert await cache.get("k") is None
        cache.put("k", some_terms())
        assert (await cache.get("k")).names == ("words", "brand")
        store.put("k", b"garbage")
        assert await cache.get("k") is None
        assert cache.available
        broken: Cache = Unavailable(0)
        down = TermsCache(broken, metrics, bundle="b", fingerprint="f", dim=DIM)
        with pytest.raises(CacheUnavailableError):
            await down.get("k")
        text = metrics.render().decode()
        for outcome in ("hit", "miss", "corrupt", "unavailable"):
            assert f'catalens_cache_lookups_total{{result="{outcome}"}} 1.0' in text

    asyncio.run(scenario())
