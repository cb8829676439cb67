import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from indexer.build import BuildOptions, build, build_lock
from indexer.bundle import Bundle
from indexer.catalogue import CatalogueError, CatalogueOptions
from indexer.encode import EncodeOptions
from indexer.manifest import FusionWeights, QueryKind
from indexer.publish import publish, status
from indexer.ranking import rank
from indexer.rejects import BadRowLimit, BuildError
from indexer.signing import free_id

ROOT = Path(__file__).parents[2]

# Builds with an encoder that takes its time, in a process of its own that can be killed.
SCRIPT = """
import sys, time
sys.path[:0] = [{root!r}, {support!r}]
from pathlib import Path
from weightless import WeightlessEncoder
from indexer.build import BuildOptions, build
from indexer.encode import EncodeOptions

class Slow(WeightlessEncoder):
    def encode_images(self, images):
        time.sleep(0.02)
        return super().encode_images(images)

build(Slow(dim=16), BuildOptions(Path({feed!r}), Path({data!r}), encoding=EncodeOptions(batch=8)))
print("built", flush=True)
"""


@pytest.fixture(scope="module")
def feeds(support):
    return support("feeds")


@pytest.fixture(scope="module")
def encoder(weightless, feeds):
    return weightless(dim=32, vocabularies={"brand": feeds.BRANDS})


@pytest.fixture(scope="module")
def feed(feeds, tmp_path_factory):
    return feeds.write_feed(tmp_path_factory.mktemp("feed"), 60)


def bundles(data: Path) -> list[str]:
    return sorted(p.name for p in (data / "bundles").glob("*"))


def start_build(feed: Path, data: Path) -> subprocess.Popen:
    script = SCRIPT.format(root=str(ROOT), support=str(ROOT / "tests" / "support"), feed=str(feed), data=str(data))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment, text=True)


class TestResult:
    def test_build_open_search(self, feed, encoder, tmp_path):
        built = build(encoder, BuildOptions(feed, tmp_path))
        assert built.path == tmp_path / "bundles" / built.manifest.id
        with Bundle.open(built.path) as bundle:
            assert bundle.manifest.catalogue == "catalogue.parquet"
            assert bundle.manifest.encoder.fingerprint == encoder.fingerprint
            assert bundle.manifest.encoder.entity_groups == ("brand",)
            weights = bundle.manifest.fusion[QueryKind.TEXT]
            for row in range(0, 60, 7):
                product = bundle.products[row]
                q = encoder.encode_texts([product.title], [{"brand": product.brand}])[0]
                ranked = rank(bundle, q, FusionWeights(image=0, text=1), 3)
                assert ranked.rows[0] == row
                assert rank(bundle, q, weights, 60).candidates == 60

    @pytest.mark.parametrize("recipe", ["auto", "hnsw", "ivf", "IVF4,SQ8"])
    def test_same_catalogue_same_digest(self, feed, encoder, tmp_path, recipe):
        first, second = (build(encoder, BuildOptions(feed, tmp_path, recipe=recipe)).manifest for _ in range(2))
        assert first.id != second.id
        assert first.digest == second.digest
        assert first.id.endswith(first.digest[:8])

    def test_batch_size_and_threads_do_not_change_the_result(self, feed, encoder, tmp_path):
        one = build(encoder, BuildOptions(feed, tmp_path, encoding=EncodeOptions(batch=1, threads=1)))
        many = build(encoder, BuildOptions(feed, tmp_path, encoding=EncodeOptions(batch=50, threads=4)))
        assert one.manifest.digest == many.manifest.digest

    def test_other_content_other_digest(self, feed, feeds, encoder, weightless, tmp_path):
        first = build(encoder, BuildOptions(feed, tmp_path / "a")).manifest.digest
        assert build(encoder, BuildOptions(feed, tmp_path / "b", recipe="Flat")).manifest.digest != first
        assert build(weightless(dim=32), BuildOptions(feed, tmp_path / "c")).manifest.digest != first
        fewer = feeds.write_feed(tmp_path / "fewer", 59)
        assert build(encoder, BuildOptions(fewer, tmp_path / "d")).manifest.digest != first

    def test_widths_are_found_for_approximate_indexes(self, feed, encoder, tmp_path):
        manifest = build(encoder, BuildOptions(feed, tmp_path, recipe="hnsw")).manifest
        assert all(record.width for record in manifest.indexes.values())
        assert manifest.indexes["text"].requested == "hnsw"
        assert manifest.indexes["text"].recipe == "HNSW32,SQfp16"

    def test_weights_can_be_named(self, feed, encoder, tmp_path):
        named = {kind: FusionWeights(image=0.25, text=0.75) for kind in QueryKind}
        assert build(encoder, BuildOptions(feed, tmp_path, fusion=named)).manifest.fusion == named

    def test_progress_is_told(self, feed, encoder, tmp_path):
        told = []

        class Ear:
            def stage(self, name):
                told.append(name)

            def rows(self, accepted, rejected, reused):
                told.append((accepted, rejected, reused))

        build(encoder, BuildOptions(feed, tmp_path), Ear())
        assert told[0] == "read and encode"
        assert told[-6:] == ["statistics", "index", "words", "categories", "measure", "sign"]
        assert (60, 0, 0) in told


def test_ids_sort_in_the_order_of_building_even_within_a_second(tmp_path):
    stamp, ids = "20261231T235959Z", []
    for digest in ("ff" * 32, "aa" * 32, "cc" * 32):
        ids.append(free_id(tmp_path, stamp, digest))
        (tmp_path / ids[-1]).mkdir()
    assert ids == ["20261231T235959Z-ffffffff", "20270101T000000Z-aaaaaaaa", "20270101T000001Z-cccccccc"]


class TestBadRows:
    @pytest.fixture
    def mixed(self, feed, tmp_path):
        """Sixty good rows and six bad ones, pictures and all."""
        rows = pq.read_table(feed).to_pylist()
        for row in rows:
            row["images"] = [str(feed.parent / name) for name in row["images"]]
        (tmp_path / "svg.jpg").write_text("<svg/>")
        bad = [
            {"id": "x1", "title": "t", "price": "broken"},
            {"id": "p3", "title": "again"},
            {"id": "x2", "title": "t", "images": ["missing.jpg"]},
            {"id": "x3", "title": "t", "images": ["svg.jpg"]},
            {"id": "x4"},
        ]
        lines = [json.dumps(row).encode() for row in [*rows[:30], *bad, *rows[30:]]]
        lines.insert(10, b'{"id": "x5", "title": "\xff"}')
        path = tmp_path / "catalogue.jsonl"
        path.write_bytes(b"\n".join(lines) + b"\n")
        return BuildOptions(path, tmp_path / "data", reading=CatalogueOptions(allow_outside=True))

    def with_limit(self, options, text):
        return BuildOptions(
            options.catalogue, options.data_dir, bad_rows=BadRowLimit.parse(text), reading=options.reading
        )

    def test_none_are_allowed_unless_said(self, mixed, encoder):
        with pytest.raises(BuildError, match=r"1 bad row, 0 allowed; the last: row 11 \(line 11\): not valid JSON"):
            build(encoder, mixed)
        assert bundles(mixed.data_dir) == []
        (reject,) = (mixed.data_dir / "rejects.jsonl").read_text().splitlines()
        assert json.loads(reject)["row"] == 11

    @pytest.mark.parametrize("limit", ["6", "-1", "10%"])
    def test_good_rows_are_built_and_bad_ones_kept(self, mixed, encoder, limit):
        built = build(encoder, self.with_limit(mixed, limit))
        assert (built.manifest.counts.products, built.manifest.counts.rejected) == (60, 6)
        rejects = [json.loads(line) for line in (built.path / "rejects.jsonl").read_text().splitlines()]
        assert [(r["row"], r["id"], r["field"]) for r in rejects] == [
            (11, None, ""),
            (32, "x1", "price"),
            (33, "p3", "id"),
            (34, "x2", "images"),
            (35, "x3", "images"),
            (36, "x4", "title"),
        ]

    @pytest.mark.parametrize("limit", ["5", "5%"])
    def test_one_too_many(self, mixed, encoder, limit):
        with pytest.raises(BuildError, match=r"6 (of 66 rows are bad, 5.0% allowed|bad rows, 5 allowed)"):
            build(encoder, self.with_limit(mixed, limit))
        assert bundles(mixed.data_dir) == []

    def test_no_product_at_all(self, encoder, tmp_path):
        path = tmp_path / "feed.csv"
        path.write_text("id,title\n,\n")
        with pytest.raises(BuildError, match=r"feed\.csv: no product could be read \(1 bad rows\)"):
            build(encoder, BuildOptions(path, tmp_path / "data", bad_rows=BadRowLimit(rows=None)))

    def test_a_feed_that_breaks_off_gives_no_bundle(self, feed, encoder, tmp_path):
        path = tmp_path / "feed.xml"
        path.write_text("<rss><item><id>p1</id><title>t</title></item>")
        with pytest.raises(CatalogueError, match="not well-formed"):
            build(encoder, BuildOptions(path, tmp_path / "data"))
        assert bundles(tmp_path / "data") == []

    def test_an_encoder_that_fails_gives_no_bundle(self, feed, weightless, tmp_path):
        class Broken(weightless):
            def encode_images(self, images):
                return super().encode_images(images) * np.float32(2)

        with pytest.raises(ValueError, match=r"has length 2\.0000, not 1"):
            build(Broken(), BuildOptions(feed, tmp_path))
        assert bundles(tmp_path) == []


class TestKilled:
    @pytest.mark.parametrize("after_s", [0.0, 0.15])
    def test_nothing_half_finished_is_a_bundle(self, feed, feeds, encoder, tmp_path, after_s):
        process = start_build(feed, tmp_path)
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("bundles/.building-*")) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        if "built" not in out:
            assert [b for b in bundles(tmp_path) if not b.startswith(".building-")] == []
            assert all(b.problem and b.problem.startswith("unfinished") for b in status(tmp_path).bundles)
            assert not (tmp_path / "current").exists()
        built = build(encoder, BuildOptions(feed, tmp_path))
        assert not [b for b in bundles(tmp_path) if b.startswith(".building-")]
        publish(tmp_path, built.manifest.id)
        assert status(tmp_path, verify=True).current == built.manifest.id

    def test_a_second_build_is_told_of_the_first(self, feed, encoder, tmp_path):
        process = start_build(feed, tmp_path)
        try:
            while not list(tmp_path.glob("bundles/.building-*")):
                time.sleep(0.005)
            with pytest.raises(BuildError, match=rf"another build is running in .* \(process {process.pid}\)"):
                build(encoder, BuildOptions(feed, tmp_path))
            assert process.poll() is None
        finally:
            out, _ = process.communicate(timeout=60)
        assert "built" in out

    def test_the_lock_ends_with_its_holder(self, tmp_path):
        with build_lock(tmp_path), pytest.raises(BuildError, match="another build"), build_lock(tmp_path):
            pass
        with build_lock(tmp_path):
            pass
