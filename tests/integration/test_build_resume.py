"""Builds that go on where others ended: killed ones, earlier ones, and those of another shop in the same folder."""

import shutil
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import indexer.build
from benchmarks import kills
from benchmarks.made_shop import MadeEncoder, write_feed
from indexer import show
from indexer.__main__ import main
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.evaluate import measure
from indexer.rejects import BadRowLimit, BuildError
from indexer.work import EncodeOptions

N, CHANGED = 300, 3
ENCODING = EncodeOptions(batch=4, block=32)


@pytest.fixture(autouse=True)
def little_measured(monkeypatch):
    monkeypatch.setattr(indexer.build, "measure", partial(measure, sample=4))
    monkeypatch.setattr(indexer.build, "calibrate_lexical_weight", lambda _bundle, _encoder, weights, **_: weights)


@pytest.fixture(scope="module")
def encoder():
    return MadeEncoder(16, groups=("brand", "category"), fickle=True)


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    path = tmp_path_factory.mktemp("feed") / "catalogue.parquet"
    write_feed(path, N, 0, pictures=1)
    return path


@pytest.fixture(scope="module")
def first(feed, encoder, tmp_path_factory):
    """A bundle of the feed, in a folder that nobody may change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer.build, "measure", partial(measure, sample=4))
        patch.setattr(indexer.build, "calibrate_lexical_weight", lambda _bundle, _encoder, weights, **_: weights)
        return build(encoder, BuildOptions(feed, tmp_path_factory.mktemp("data"), encoding=ENCODING))


def shards(data):
    return sorted(path.relative_to(data) for path in data.rglob("*.safetensors"))


def rewritten(feed, path, change):
    """Write the feed with changed rows."""
    rows = pq.read_table(feed).to_pylist()
    change(rows)
    pq.write_table(pq.read_table(feed).from_pylist(rows), path)
    return path


def test_kill_after_kill_the_bundle_is_the_same():
    found = kills.figures(8, 48, seed=3)
    assert found["kills"] == 8
    assert found["digests"] == [found["undisturbed"]]
    assert min(found["encoded_by_those_that_ended"]) < 48


def test_what_is_encoded_together_tells(feed, first, encoder, tmp_path):
    """Otherwise equal digests of resumed builds would prove nothing."""
    other = build(encoder, BuildOptions(feed, tmp_path, encoding=EncodeOptions(batch=5, block=32)))
    assert other.manifest.digest != first.manifest.digest


def test_a_build_that_failed_half_way_is_gone_on_with(feed, first, tmp_path):
    class Failing(MadeEncoder):
        left = 50

        def encode_images(self, images):
            self.left -= 1
            if not self.left:
                raise RuntimeError("out of memory")
            return super().encode_images(images)

    made = partial(Failing, 16, groups=("brand", "category"), fickle=True)
    options = BuildOptions(feed, tmp_path, encoding=ENCODING)
    with pytest.raises(RuntimeError, match="out of memory"):
        build(made(), options)
    assert len(shards(tmp_path)) == 49 * 4 // 32
    unlimited = made()
    unlimited.left = -1
    again = build(unlimited, options)
    assert again.manifest.digest == first.manifest.digest
    assert (again.encoded, again.reused) == (N - 32 * (49 * 4 // 32), 32 * (49 * 4 // 32))


class TestSecondBuild:
    @pytest.fixture
    def data(self, first, tmp_path):
        """A data folder in which the feed has been built."""
        assert first.encoded == N
        return shutil.copytree(first.path.parents[1], tmp_path / "data")

    def again(self, data, feed, encoder, **options):
        return build(encoder, BuildOptions(feed, data, encoding=ENCODING, **options))

    def test_what_changed_is_encoded_and_nothing_else(self, data, feed, encoder, tmp_path_factory):
        path = tmp_path_factory.mktemp("changed") / "catalogue.parquet"
        write_feed(path, N, 0, pictures=1, changed=CHANGED)
        built = self.again(data, path, encoder)
        assert (built.encoded, built.reused) == (CHANGED, N - CHANGED)
        with Bundle.open(built.path) as bundle:
            for row in range(0, N, 29):
                product = bundle.products[row]
                own = encoder.encode_texts(
                    [f"{product.title}. {product.description}"], [product.entities(("brand", "category"))]
                )[0]
                assert bundle.vectors["text"][row].astype(np.float32) @ own > 0.99
        assert len(shards(data)) <= N // 32 + 2

    def test_prices_and_stock_cost_nothing(self, data, feed, first, encoder, tmp_path_factory):
        def dearer(rows):
            for row in rows:
                row["price"], row["in_stock"], row["season"] = row["price"] + 1, not row["in_stock"], None

        path = rewritten(feed, tmp_path_factory.mktemp("dearer") / "catalogue.parquet", dearer)
        built = self.again(data, path, encoder)
        assert (built.encoded, built.reused) == (0, N)
        assert built.manifest.files["vectors/text.npy"] == first.manifest.files["vectors/text.npy"]
        assert built.manifest.digest != first.manifest.digest

    @pytest.mark.parametrize("field", ["brand", "image_bytes", "description"])
    def test_entities_pictures_and_words_count(self, data, feed, encoder, tmp_path_factory, field):
        def swapped(rows):
            rows[7][field] = rows[8][field]

        path = rewritten(feed, tmp_path_factory.mktemp("swapped") / "catalogue.parquet", swapped)
        rows = pq.read_table(feed).to_pylist()
        assert self.again(data, path, encoder).encoded == int(rows[7][field] != rows[8][field])

    def test_fresh_encodes_all(self, data, feed, first, encoder):
        built = self.again(data, feed, encoder, fresh=True)
        assert (built.encoded, built.manifest.digest) == (N, first.manifest.digest)

    def test_damaged_shards_are_made_again(self, data, feed, first, encoder):
        path = data / shards(data)[2]
        path.write_bytes(path.read_bytes()[:-7] + b"damaged")
        built = self.again(data, feed, encoder)
        assert (built.encoded, built.manifest.digest) == (32, first.manifest.digest)
        assert self.again(data, feed, encoder).encoded == 0

    def test_what_no_bundle_needs_goes(self, data, feed, encoder, tmp_path_factory):
        small = tmp_path_factory.mktemp("small") / "catalogue.parquet"
        write_feed(small, 40, 0, pictures=1)
        other = MadeEncoder(8)
        assert self.again(data, small, other).encoded == 40
        assert {path.parts[1] for path in shards(data)} == {e.fingerprint[:16] for e in (encoder, other)}
        assert self.again(data, small, encoder).encoded == 0
        assert len(shards(data)) == 4
        for bundle in (data / "bundles").iterdir():
            if Bundle.open(bundle).manifest.encoder.dim == 8:
                (bundle / "manifest.json").unlink()
        self.again(data, small, encoder)
        assert {path.parts[1] for path in shards(data)} == {encoder.fingerprint[:16]}

    def test_more_bad_rows_than_allowed_leave_what_was_encoded(self, feed, encoder, tmp_path, tmp_path_factory):
        def broken(rows):
            rows[100]["image_bytes"] = [b"no picture"]

        path = rewritten(feed, tmp_path_factory.mktemp("broken") / "catalogue.parquet", broken)
        with pytest.raises(BuildError, match=r"1 bad row, 0 allowed; the last: row 101 .*images"):
            self.again(tmp_path, path, encoder)
        assert len(shards(tmp_path)) == 3
        allowed = self.again(tmp_path, path, encoder, bad_rows=BadRowLimit(rows=1))
        assert (allowed.encoded, allowed.reused, allowed.manifest.counts.rejected) == (N - 96, 96, 1)
        again = self.again(tmp_path, path, encoder, bad_rows=BadRowLimit(rows=1))
        assert (again.encoded, again.manifest.digest) == (0, allowed.manifest.digest)


def test_people_are_told_what_was_encoded(first):
    assert f"  {N} products encoded, 0 as they were" in show.built(first).splitlines()


def test_flags_of_a_build(feed, tmp_path):
    """`--fresh` and the counts of `--json`, with the model that comes with the project, on few products."""
    small = tmp_path / "catalogue.parquet"
    pq.write_table(pq.read_table(feed).slice(0, 12), small)
    asked = ["build", "--catalogue", str(small), "--data-dir", str(tmp_path / "data"), "--device", "cpu", "--json"]
    for flags, encoded in (([], 12), ([], 0), (["--fresh"], 12)):
        result = CliRunner().invoke(main, [*asked, *flags])
        assert result.exit_code == 0, result.output
        assert f'"encoded": {encoded},\n  "reused": {12 - encoded},' in result.output
