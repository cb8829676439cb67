"""The sizing model against measured points: indexes and a bundle that were built, and processes that hold them."""

import json
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.__main__ import main
from indexer.amounts import bytes_of, count_of, size
from indexer.estimate import Profile, Size, Speed, estimate
from indexer.fields import Fields
from indexer.index import FaissIndex
from indexer.manifest import SPACES
from indexer.parts import IndexFileError
from indexer.products import SCHEMA, ProductTable
from indexer.recipes import Goal, Recipe, estimate_memory, resolve_recipe

D = 32
NAMED = [recipe for recipe in Recipe if recipe != Recipe.AUTO]
WITHIN = 0.10  # of what is measured: disk, and an index in memory
LEAST_OF_PRODUCTS = 0.35  # of the estimate: the rest is for what the allocator keeps of what reading took


def amount(lines, what):
    return next(line.amount for line in lines if line.what == what)


def vectors(n):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, D))[rng.integers(0, 40, n)] + 0.5 * rng.standard_normal((n, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize(
    ("recipe", "n"), [*((recipe, 10_000) for recipe in NAMED), (Recipe.EXACT, 50_000), (Recipe.IVF, 50_000)]
)
def test_an_index_takes_what_was_estimated(recipe, n, tmp_path):
    FaissIndex.build(vectors(n), recipe).save(tmp_path / "index.faiss")
    measured = (tmp_path / "index.faiss").stat().st_size
    found = estimate(Size(n, pictures=0, dim=D, recipe=recipe))
    for lines in (found.memory, found.disk):
        assert amount(lines, "text index") == pytest.approx(measured, rel=WITHIN)


def test_a_bundle_takes_what_was_estimated_from_its_own_products(bundle):
    counts = bundle.manifest.counts
    found = estimate(
        Size(counts.products, pictures=counts.images / counts.products, dim=bundle.manifest.encoder.dim),
        Profile.of(bundle),
    )
    files = bundle.manifest.files
    measured = sum(record.bytes for name, record in files.items() if name not in {"report.json", "rejects.jsonl"})
    assert amount(found.disk, "one bundle") == pytest.approx(measured, rel=WITHIN)
    for space in SPACES:
        assert amount(found.memory, f"{space} index") == bundle.indexes[space].memory_bytes
    assert amount(found.disk, "vectors") == sum(rows.nbytes for rows in bundle.vectors.values())
    assert amount(found.disk, "thumbnails") == pytest.approx(files["thumbnails.bin"].bytes, rel=WITHIN)


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _growth(path):
    """Return the bytes by which this process grows when it reads an index."""
    FaissIndex.build(vectors(100), "exact").search(np.ones((1, D), np.float32), 1)  # the libraries are loaded
    before = _resident()
    held = FaissIndex.load(path)
    held.search(np.ones((1, D), np.float32), 10)
    return _resident() - before


def test_an_index_takes_as_much_in_a_process_that_holds_nothing_else(tmp_path):
    n, path = 200_000, tmp_path / "index.faiss"
    FaissIndex.build(vectors(n), "exact").save(path)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        measured = process.submit(_growth, path).result()
    assert measured == pytest.approx(estimate_memory("exact", n, D), rel=WITHIN)


def test_products_take_what_was_estimated_or_less_by_what_the_allocator_may_keep(tmp_path, bundle):
    """Arrow and numpy tell what they hold; how much more of what reading took stays with the process differs."""
    times = 500  # the small shop
    table = pa.table({name: bundle.products.column(name) for name in SCHEMA.names}, schema=SCHEMA)
    many = pa.concat_tables([table] * times).combine_chunks()
    at = many.schema.get_field_index("id")
    ids = pa.array([f"product-{row:08d}" for row in range(len(many))], SCHEMA.field("id").type)
    many = many.set_column(at, SCHEMA.field("id"), ids)
    pq.write_table(many, tmp_path / "products.parquet")
    n, columns = len(many), many.nbytes
    found = estimate(Size(n, pictures=0), Profile(product_memory=Profile.product_memory_of(columns / n)))
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        held = ProductTable.open(tmp_path / "products.parquet")
        fields = Fields(held)
        read = [fields[name] for name in fields.names]
        measured = pa.total_allocated_bytes() - before + tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    estimated = amount(found.memory, "products, filters")
    assert read
    assert LEAST_OF_PRODUCTS * estimated <= measured <= estimated


class TestModel:
    def test_sums_are_sums(self):
        found = estimate(Size(1_000_000, pictures=2, dim=128))
        assert found.memory_bytes == pytest.approx(sum(line.amount for line in found.memory[:-1]))
        bundle = amount(found.disk, "one bundle")
        assert bundle == pytest.approx(sum(line.amount for line in found.disk[:-3]))
        assert found.disk[-1].amount == pytest.approx(2 * bundle + amount(found.disk, "encodings kept"))
        assert found.build[-1].amount == pytest.approx(sum(line.amount for line in found.build[:-1]))

    def test_hand_worked(self):
        speed = Speed(pictures_per_s=100, texts_per_s=1_000, request_ms=10, product_ns=0, cores=4)
        found = estimate(Size(3_600_000, pictures=2, dim=100, recipe="exact", rate=280), speed=speed)
        assert amount(found.build, "encoding") == pytest.approx(20 + 1)  # hours
        assert amount(found.memory, "vectors, mapped") == 3_600_000 * 3 * 200
        assert amount(found.memory, "image index") == 7_200_000 * 200
        assert amount(found.serving, "machines by rate") == 1  # 2.8 cores busy of 4, at most 2.8
        assert found.machines == 2  # one to spare
        assert found.notes == ()

    def test_more_encoders_share_the_work(self):
        one, four = (estimate(Size(10**6, encoders=number)) for number in (1, 4))
        assert amount(one.build, "encoding") == pytest.approx(4 * amount(four.build, "encoding"))

    def test_what_one_machine_cannot_hold_goes_to_milvus(self):
        found = estimate(Size(100_000_000, rate=500))
        assert amount(found.serving, "machines for vectors") >= 5
        assert any("Milvus" in note for note in found.notes)
        assert any("split the catalogue" in note for note in found.notes)
        roomy = estimate(Size(100_000_000, rate=500, memory_bytes=2 * 2**40))
        assert amount(roomy.serving, "machines for vectors") == 0

    def test_memory_for_the_indexes_is_kept_to(self):
        bound = 2**30
        found = estimate(Size(2_000_000, pictures=1, dim=128, goal=Goal(0.95, bound)))
        assert sum(amount(found.memory, f"{space} index") for space in SPACES) <= bound
        with pytest.raises(IndexFileError, match="fits into"):
            estimate(Size(2_000_000, pictures=1, dim=128, goal=Goal(0.95, bound // 10)))

    def test_a_recipe_without_a_name_has_no_modelled_hours(self):
        found = estimate(Size(1_000_000, recipe="IVF4096,SQ6"))
        line = next(line for line in found.build if line.what == "text index")
        assert (line.amount, "not modelled" in line.comes_of) == (0, True)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 10**8), st.floats(0, 5), st.sampled_from(NAMED))
    def test_more_never_takes_less(self, products, pictures, recipe):
        less = Size(products, pictures=pictures, dim=64, recipe=recipe)
        more = replace(less, products=2 * products, rate=2 * less.rate)
        small, large = estimate(less), estimate(more)
        assert small.memory_bytes <= large.memory_bytes
        assert small.disk[-1].amount <= large.disk[-1].amount
        assert small.build[-1].amount <= large.build[-1].amount
        assert small.machines <= large.machines


class TestCommand:
    def run(self, *arguments):
        return CliRunner().invoke(main, ["estimate", *map(str, arguments)])

    def test_shows_one_table(self):
        shown = self.run("--products", "100M", "--rate", "500", "--memory-per-machine", "64GiB")
        assert shown.exit_code == 0, shown.output
        for word in ("memory", "disk", "build", "serving", "hours", "machines", "mind: one machine cannot hold"):
            assert word in shown.output

    def test_says_it_all_as_json(self):
        found = json.loads(self.run("--products", "2000", "--dim", "128", "--recipe", "exact", "--json").output)
        of_text = next(line for line in found["memory"] if line["what"] == "text index")
        assert (of_text["amount"], of_text["unit"]) == (2_000 * 256, "bytes")

    def test_goes_by_a_bundle_of_ones_own(self, built):
        plain, like = (self.run("--products", "1M", "--json", *more) for more in ((), ("--like", built.path)))
        assert json.loads(plain.output)["disk"] != json.loads(like.output)["disk"]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--products", "many"), "'many': expected a number"),
            (("--products", "0"), "more than nothing"),
            (("--products", "1M", "--recipe", "hsnw"), "unknown index recipe"),
            (("--products", "1M", "--memory-per-machine", "1 acre"), "expected a size"),
            (("--products", "1M", "--memory", "1MiB"), "fits into"),
            (("--products", "1M", "--like", "nowhere"), "no bundle is called 'nowhere'"),
        ],
    )
    def test_refuses_in_one_line(self, arguments, said):
        shown = self.run(*arguments)
        assert shown.exit_code in {1, 2}
        assert said in shown.output
        assert "Traceback" not in shown.output


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "count"), [("2000", 2_000), ("1.5k", 1_500), ("100M", 10**8), (" 2 g ", 2 * 10**9), ("1e6", 10**6)]
    )
    def test_counts(self, text, count):
        assert count_of(text) == count

    @pytest.mark.parametrize(
        ("text", "bytes_"), [("8GiB", 2**33), ("1.5 KiB", 1_536), ("64gb", 64 * 10**9), ("12", 12), ("1TiB", 2**40)]
    )
    def test_sizes(self, text, bytes_):
        assert bytes_of(text) == bytes_

    @pytest.mark.parametrize("text", ["", "GiB", "-1", "1,000", "8 G i B", "1e999", "nan", "0.1", "٣"])
    def test_what_is_none(self, text):
        for parse in (count_of, bytes_of):
            with pytest.raises(ValueError, match="expected"):
                parse(text)

    @given(st.integers(1, 2**60))
    def test_sizes_in_words_mean_about_the_same(self, bytes_):
        text = size(bytes_).replace(" bytes", "").replace("PiB", "TiB")
        factor = 1024 if "PiB" in size(bytes_) else 1
        assert bytes_of(text) * factor == pytest.approx(bytes_, rel=0.06)


def test_auto_is_what_the_table_names():
    found = estimate(Size(300_000, pictures=1, dim=128))
    line = next(line for line in found.memory if line.what == "text index")
    assert resolve_recipe("auto", 300_000, 128) in line.comes_of
