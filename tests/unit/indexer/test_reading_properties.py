"""Whatever a file of the indexer's or a flag of it holds, it is read rightly or refused by an error of its own."""

import datetime as dt
import json
import math

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.catalogue import CatalogueError, CatalogueRow, read_catalogue
from indexer.catalogue_values import parse_pictures, parse_stock
from indexer.flags import FlagError, bad_rows, fusion, pairs, weights
from indexer.judged import QueriesError, read_queries, read_trec
from indexer.manifest import (
    BundleError,
    Counts,
    EncoderRecord,
    FileRecord,
    FusionWeights,
    IndexRecord,
    Manifest,
    QueryKind,
    read_manifest,
)
from indexer.parts import IndexFileError
from indexer.publish import HistoryEntry, PublishError, history
from indexer.recipes import Recipe, estimate_memory
from indexer.updates_cli import moment

FEW = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def outcome(read, error):
    """Return what `read` returns, and the error of its own by which it refused instead."""
    try:
        return read(), None
    except error as refused:
        return None, refused


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)


def objects(**known):
    """JSON objects that have some of these fields, or things of another form in their places."""
    return st.fixed_dictionaries({}, optional={name: values | JSON for name, values in known.items()})


def rendered(value):
    return json.dumps(value).encode("utf-8", "surrogatepass")


# --- the manifest ---


MANIFESTS = st.builds(
    Manifest,
    id=st.from_regex(r"\A[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\Z"),
    created_at=WORDS,
    catalogue=WORDS,
    digest=DIGESTS,
    encoder=st.builds(
        EncoderRecord,
        name=WORDS,
        fingerprint=DIGESTS,
        dim=st.integers(1, 4_096),
        text_fields=st.just(("title",)),
        entity_groups=st.lists(WORDS, max_size=3).map(tuple),
    ),
    counts=st.builds(Counts, products=st.integers(1, 10**9), images=st.integers(0, 10**9), rejected=st.just(0)),
    indexes=st.fixed_dictionaries(
        {
            space: st.builds(
                IndexRecord,
                recipe=WORDS,
                requested=WORDS,
                width=st.none() | st.integers(1, 10**6),
                ntotal=st.integers(0, 10**9),
                memory_bytes=st.integers(0, 10**12),
            )
            for space in ("image", "text")
        }
    ),
    fusion=st.just(dict.fromkeys(QueryKind, FusionWeights(image=0.25, text=0.75))),
    exact_rows=st.integers(1, 10**9),
    log_position=st.none() | WORDS,
    files=st.dictionaries(WORDS, st.builds(FileRecord, bytes=st.integers(0, 10**12), sha256=DIGESTS), max_size=4),
)


@settings(parent=FEW, max_examples=25)
@given(MANIFESTS)
def test_any_manifest_is_read_back(tmp_path, manifest):
    (tmp_path / "manifest.json").write_bytes(manifest.to_bytes())
    assert read_manifest(tmp_path).model_copy(update={"checksum": manifest.checksum}) == manifest


@FEW
@given(st.binary(max_size=200) | objects(format_version=st.just(3), id=WORDS, files=JSON).map(rendered))
def test_what_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError):
        read_manifest(tmp_path)


# --- the history ---


MOVES = st.builds(
    HistoryEntry,
    at=WORDS,
    action=st.sampled_from(["publish", "rollback"]),
    bundle=WORDS,
    previous=st.none() | WORDS,
    forced=st.booleans(),
    problems=st.lists(WORDS, max_size=2).map(tuple),
)


@FEW
@given(moves=st.lists(MOVES, max_size=4), cut=st.integers(0, 40))
def test_a_history_whose_last_line_was_cut_short_lacks_that_line(tmp_path, moves, cut):
    lines = b"".join(move.model_dump_json().encode() + b"\n" for move in moves)
    (tmp_path / "history.jsonl").write_bytes(lines[: len(lines) - cut])
    whole = lines[: len(lines) - cut].count(b"\n")
    found = history(tmp_path)
    assert found[:whole] == moves[:whole]
    assert len(found) - whole in {0, 1}  # 1: all of it but the end of the line


@FEW
@given(st.lists(st.binary(max_size=40) | JSON.map(rendered), max_size=4).map(b"\n".join))
def test_any_other_history_is_refused(tmp_path, content):
    (tmp_path / "history.jsonl").write_bytes(content)
    found, refused = outcome(lambda: history(tmp_path), PublishError)
    assert found == [] or "history.jsonl" in str(refused)


# --- catalogues ---


CELLS = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
)
ROWS = st.lists(
    st.fixed_dictionaries({"title": WORDS}, optional={"note": CELLS, "size": CELLS}), min_size=1, max_size=5
)


@FEW
@given(ROWS)
def test_json_lines_are_read_back(tmp_path, rows):
    stated = [{"id": f"p{n}", **row} for n, row in enumerate(rows)]
    (tmp_path / "feed.jsonl").write_bytes(b"\n".join(map(orjson.dumps, stated)))
    found = list(read_catalogue(tmp_path / "feed.jsonl"))
    assert [row.row for row in found] == list(range(1, len(rows) + 1))
    for row, one in zip(found, stated, strict=True):
        if isinstance(row, CatalogueRow):
            assert row.product.id == one["id"]
            for name in ("note", "size"):
                if isinstance(one.get(name), bool):
                    assert row.product.attributes[name] is one[name]
        else:
            assert row.field in {"title", "note", "size"}


@FEW
@given(st.lists(st.tuples(WORDS, st.none() | st.floats(), st.none() | st.booleans()), min_size=1, max_size=5))
def test_parquet_is_read_row_by_row(tmp_path, rows):
    columns = {
        "id": pa.array([f"p{n}" for n in range(len(rows))]),
        "title": pa.array([title for title, _, _ in rows]),
        "price": pa.array([price for _, price, _ in rows], pa.float64()),
        "in_stock": pa.array([stock for _, _, stock in rows], pa.bool_()),
    }
    pq.write_table(pa.table(columns), tmp_path / "feed.parquet")
    found = list(read_catalogue(tmp_path / "feed.parquet"))
    for row, (_, price, stock) in zip(found, rows, strict=True):
        if isinstance(row, CatalogueRow):
            assert row.product.in_stock is stock
            assert row.product.price == price
        else:
            assert row.field in {"title", "price"}


@FEW
@given(st.binary(max_size=120))
def test_any_bytes_called_parquet_are_refused(tmp_path, content):
    for head in (b"", b"PAR1"):
        (tmp_path / "feed.parquet").write_bytes(head + content + head)
        with pytest.raises(CatalogueError):
            list(read_catalogue(tmp_path / "feed.parquet"))


@FEW
@given(JSON)
def test_any_cell_is_a_stock_and_a_list_of_pictures_or_a_value_error(value):
    for parse, kind in ((parse_stock, bool), (parse_pictures, list)):
        found, refused = outcome(lambda parse=parse: parse(value), ValueError)
        assert isinstance(found, kind) or len(str(refused).splitlines()) == 1


# --- judged queries ---


QUERIES = objects(
    qid=WORDS, kind=WORDS, text=WORDS, relevant=st.lists(WORDS), gains=st.dictionaries(WORDS, st.floats())
)


@FEW
@given(st.binary(max_size=100) | st.lists(QUERIES.map(rendered), max_size=3).map(b"\n".join))
def test_any_file_is_of_judged_queries_or_refused(tmp_path, content):
    (tmp_path / "queries.jsonl").write_bytes(content)
    found, refused = outcome(lambda: read_queries(tmp_path / "queries.jsonl"), QueriesError)
    assert found or "queries.jsonl" in str(refused)
    assert all(gain >= 0 and math.isfinite(gain) for query in found or () for gain in query.gains.values())


LINES = st.lists(st.text("01 -\t9ab\u0661\u00b2", max_size=12), max_size=4).map("\n".join)


@FEW
@given(topics=st.binary(max_size=60) | LINES.map(str.encode), qrels=st.binary(max_size=60) | LINES.map(str.encode))
def test_any_files_are_topics_and_qrels_or_refused(tmp_path, topics, qrels):
    (tmp_path / "topics").write_bytes(b"1\tred\n" + topics)
    (tmp_path / "qrels").write_bytes(b"1 0 p1 2\n" + qrels)
    found, refused = outcome(lambda: read_trec(tmp_path / "topics", tmp_path / "qrels"), QueriesError)
    assert found or str(tmp_path) in str(refused)


# --- flags ---


TEXTS = st.text(max_size=20) | st.from_regex(r"\A[ -]*[0-9]{0,3}(\.[0-9]*)?(e[0-9]{1,3})?%?\Z") | st.sampled_from(
    ["nan%", "inf", "-inf%", "\u0661", "1_000", "text=nan", "image=1e999", "text=0.5", "=", "a="]
)  # fmt: skip


@FEW
@given(TEXTS)
def test_any_text_is_a_flag_s_or_refused(text):
    for read in (bad_rows, weights, lambda text: fusion([text]), lambda text: pairs("--map", [text])):
        _, refused = outcome(lambda read=read: read(text), FlagError)
        assert refused is None or "--" in str(refused)


@FEW
@given(st.text(max_size=30) | st.datetimes().map(dt.datetime.isoformat) | st.dates().map(dt.date.isoformat))
def test_any_text_is_a_moment_or_refused(text):
    found, refused = outcome(lambda: moment("--trim-before", text), ValueError)
    assert "--trim-before" in str(refused) if refused else math.isfinite(found)


FACTORIES = st.sampled_from([*Recipe, "Flat", "HNSW8", "IVF4,Flat", "PCA2,Flat", "IVF0", "PQ3", "RFlat", "OPQ", ""])


@FEW
@given(st.text(max_size=12) | FACTORIES | st.lists(FACTORIES, max_size=3).map(",".join))
def test_any_text_is_a_recipe_or_refused(recipe):
    found, refused = outcome(lambda: estimate_memory(recipe, 10, 8), IndexFileError)
    assert "recipe" in str(refused) if refused else found > 0
