"""`python -m indexer verify|diff|export|publish` on real bundles: what they find, tell and write."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from indexer.__main__ import main
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.catalogue import CatalogueOptions
from indexer.index import FaissIndex
from indexer.manifest import read_manifest, record_file, write_durably
from indexer.publish import publish
from models.checkpoint import CheckpointError

PRODUCTS = 36

pytestmark = pytest.mark.usefixtures("quick_builds")


@pytest.fixture(scope="module")
def shop(tmp_path_factory, weightless, support):
    """Two bundles: in the second some products are gone, some new, some cheaper, and its texts' index is a graph."""
    feeds, folder = support("feeds"), tmp_path_factory.mktemp("shop")
    encoder = weightless(32, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})
    rows = feeds.products(PRODUCTS, pictures=1)
    for n, row in enumerate(rows):
        row |= {"sizes": ["S", "M"][: n % 3], "weight": 0.5 * n, "washable": n % 2 == 0}
    rows[3]["images"] = []
    feeds.write_pictures(folder, rows)
    later = [dict(row) for row in rows[2:]] + [{**rows[0], "id": f"new{n}", "title": f"Lamp {n}"} for n in range(3)]
    for row in later[:4]:
        row["price"] -= 1
    later[4] |= {"title": "Ruby dress of wool", "colour": "plum"}

    def built(these, recipe="exact"):
        pq.write_table(pa.Table.from_pylist(these), folder / "catalogue.parquet")
        return build(encoder, BuildOptions(folder, folder / "data", recipe)).path

    return SimpleNamespace(folder=folder, encoder=encoder, old=built(rows), new=built(later, "HNSW8,SQfp16"), rows=rows)


@pytest.fixture
def run(shop, tmp_path, monkeypatch):
    """Run the command line in a data folder of one's own with both bundles."""
    data = tmp_path / "data"
    for path in (shop.old, shop.new):
        shutil.copytree(path, data / "bundles" / path.name)

    def load(source, device="auto"):
        if source != "weightless":
            raise CheckpointError(f"no encoder {source!r}")
        return shop.encoder

    monkeypatch.setattr("models.checkpoint.load_encoder", load)

    def call(*words):
        answer = CliRunner().invoke(main, [*map(str, words), "--data-dir", str(data)])
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer

    call.data = data
    return call


def sign(folder):
    manifest = read_manifest(folder)
    files = {name: record_file(folder / name) for name in manifest.files}
    write_durably(folder / "manifest.json", manifest.model_copy(update={"files": files}).to_bytes())


class TestVerify:
    def test_a_good_bundle(self, run, shop):
        answer = run("verify", shop.new.name, "--deep", "--encoder", "weightless", "--json")
        assert answer.exit_code == 0
        found = json.loads(answer.stdout)
        assert {check["outcome"] for check in found["checks"]} == {"passed"}
        assert {"ids", "lexical", "index/text", "rows/image", "thumbnails"} <= {c["name"] for c in found["checks"]}
        said = run("verify", shop.old.name, "--deep", "--encoder", "none")
        assert said.exit_code == 0
        assert "36 ids, each of one product" in said.stdout
        assert "without an encoder nothing was encoded anew" in said.stdout

    def test_each_finding_is_a_line(self, run, shop):
        folder = run.data / "bundles" / shop.old.name
        path = folder / "lexical" / "rows.npy"
        np.save(path, np.load(path) + 1_000)
        thumbnails = folder / "thumbnails.bin"
        thumbnails.write_bytes(bytes(thumbnails.stat().st_size))
        FaissIndex.build(np.roll(np.load(folder / "vectors" / "image.npy"), 1, axis=0)).save(folder / "image.faiss")
        sign(folder)
        answer = run("verify", folder, "--deep", "--encoder", "weightless", "--sample", "20")
        assert answer.exit_code == 1
        wrong = [line for line in answer.stdout.splitlines() if "WRONG: " in line]
        for said in ("words: rows beyond the 36", "20 of 20 sampled thumbnails", "image vectors that the index finds"):
            assert sum(said in line for line in wrong) == 1

    def test_words_that_do_not_fit_are_no_bundle(self, run, shop):
        folder = run.data / "bundles" / shop.old.name
        np.save(folder / "lexical" / "scores.npy", np.zeros(3, np.float32))
        sign(folder)
        answer = run("verify", folder)
        assert answer.exit_code == 1
        assert "do not fit the scores" in answer.stderr

    def test_another_encoder_is_told(self, run, shop, monkeypatch, weightless):
        monkeypatch.setattr("models.checkpoint.load_encoder", lambda *_: weightless(32, salt="other"))
        answer = run("verify", shop.old.name, "--deep")
        assert answer.exit_code == 1
        assert "name its encoder with --encoder" in answer.stderr
        assert len(answer.stderr.splitlines()) == 1


class TestDiff:
    def test_what_changed(self, run, shop):
        found = json.loads(run("diff", shop.old.name, shop.new.name, "--ids", "--json").stdout)
        assert (found["products"], found["added"], found["removed"], found["changed"]) == ([36, 37], 3, 2, 5)
        assert found["fields"] == {"title": 1, "price": 4, "attributes": 1}
        assert found["ids"]["added"] == ["new0", "new1", "new2"]
        assert found["ids"]["removed"] == ["p0", "p1"]
        assert found["ids"]["changed"]["p6"] == ["title", "attributes"]
        assert found["ids"]["changed"]["p2"] == ["price"]
        assert found["settings"]["recipe of text"] == ["SQfp16", "HNSW8,SQfp16"]
        assert found["categories"] == {"top": [6, 7]}
        assert found["same_content"] is False
        assert 0.5 < found["neighbours"]["text"] < 1
        assert found["sampled"] == 34

    def test_nothing_changed(self, run, shop):
        found = json.loads(run("diff", shop.old.name, shop.old, "--json").stdout)
        assert found["same_content"] is True
        assert (found["added"], found["removed"], found["changed"], found["fields"]) == (0, 0, 0, {})
        assert found["settings"] == found["categories"] == {}
        assert found["neighbours"] == {"image": 1.0, "text": 1.0}
        assert "hold the same" in run("diff", shop.old.name, shop.old.name).stdout

    def test_in_words(self, run, shop):
        said = run("diff", shop.old.name, shop.new.name, "--ids").stdout
        for line in (
            "products: 3 added, 2 removed, 5 changed",
            "recipe of text: SQfp16 -> HNSW8,SQfp16",
            "category top: 6 -> 7",
            "+ new1",
            "- p0",
            "~ p6: title, attributes",
        ):
            assert line in said


class TestExport:
    def test_built_again_it_has_the_same_digest(self, run, shop, tmp_path):
        out = tmp_path / "out"
        assert run("export", shop.old.name, "--out", out).exit_code == 0
        reading = CatalogueOptions(image_root=shop.folder)
        again = build(
            shop.encoder, BuildOptions(out / "products.parquet", tmp_path / "again", "exact", reading=reading)
        )
        assert again.manifest.digest == read_manifest(shop.old).digest
        assert [p.name for p in sorted(out.iterdir())] == [
            "README.md", "export.json", "image.npy", "image_rows.npy", "products.parquet", "text.npy",
        ]  # fmt: skip

    def test_vectors_and_fields_are_those_of_the_bundle(self, run, shop, tmp_path):
        for flag, dtype in (((), np.float16), (("--float32",), np.float32)):
            out = tmp_path / f"out{len(flag)}"
            run("export", shop.old.name, "--out", out, *flag)
            text, image = np.load(out / "text.npy"), np.load(out / "image.npy")
            assert text.dtype == image.dtype == dtype
            with Bundle.open(shop.old) as bundle:
                assert np.array_equal(text, bundle.vectors["text"])
                assert np.array_equal(image, bundle.vectors["image"])
                assert np.array_equal(np.load(out / "image_rows.npy"), bundle.image_rows)
        rows = pq.read_table(out / "products.parquet").to_pylist()
        assert [{**row, "images": list(row["images"])} for row in rows] == [
            {**row, "sizes": row["sizes"] or None} for row in shop.rows
        ]
        stated = json.loads((out / "export.json").read_text())
        assert (stated["bundle"], stated["products"], stated["images"]) == (shop.old.name, 36, 35)
        assert stated["vectors"] == "float32"

    def test_with_thumbnails_it_needs_no_other_pictures(self, run, shop, tmp_path):
        """The pictures are small JPEGs by now: vectors differ a little, all else is the same."""
        out = tmp_path / "out"
        run("export", shop.old.name, "--out", out, "--pictures")
        again = build(shop.encoder, BuildOptions(out / "products.parquet", tmp_path / "again", "exact"))
        before = read_manifest(shop.old)
        differ = {n for n, record in again.manifest.files.items() if record.sha256 != before.files[n].sha256}
        assert not differ & {"products.parquet", "vectors/text.npy", "text.faiss", "lexical/terms.json"}
        one, other = (np.load(path / "vectors/image.npy").astype(np.float32) for path in (shop.old, again.path))
        assert np.einsum("nd,nd->n", one, other).min() > 0.98

    def test_attributes_that_no_column_can_hold(self, run, shop, tmp_path, feeds_of):
        path = feeds_of([{"weight": 2.0}, {"weight": "light"}, {"attributes.price": "on request"}])
        out = tmp_path / "out"
        done = json.loads(run("export", path, "--out", out, "--json").stdout)
        assert done["as_text"] == ["weight"]
        table = pq.read_table(out / "products.parquet").to_pylist()
        assert [row["weight"] for row in table] == ["2.0", '"light"', None]
        assert "weight" in (out / "README.md").read_text()

    def test_a_folder_that_is_there_is_left_alone(self, run, shop, tmp_path):
        (tmp_path / "out").mkdir()
        answer = run("export", shop.old.name, "--out", tmp_path / "out")
        assert answer.exit_code == 1
        assert "is there already" in answer.stderr
        assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def feeds_of(shop, tmp_path):
    """Build a bundle of products with these attributes."""

    def built(attributes):
        path = tmp_path / "feed.jsonl"
        lines = [{"id": f"a{n}", "title": f"Thing {n}", **stated} for n, stated in enumerate(attributes)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return build(shop.encoder, BuildOptions(path, tmp_path / "other")).path

    return built


class TestPublish:
    def test_a_dry_run_says_and_changes_nothing(self, run, shop):
        passed = run("publish", shop.old.name, "--encoder", "weightless", "--dry-run")
        assert passed.exit_code == 0
        assert f"the gate lets {shop.old.name} through: " in passed.stdout
        refused = run("publish", shop.old.name, "--encoder", "weightless", "--dry-run", "--bar", "picture_cosine=1")
        assert refused.exit_code == 1
        assert "the gate refuses" in refused.stdout
        assert "below 1.000" in refused.stdout
        assert sorted(path.name for path in run.data.iterdir()) == ["bundles"]

    def test_status_and_json_tell_of_the_gate(self, run, shop):
        golden = Path(run.data) / "golden.jsonl"
        golden.write_text(json.dumps({"qid": "1", "kind": "t", "text": "Ruby", "relevant": ["p3"]}) + "\n")
        words = ("--encoder", "weightless", "--golden", golden, "--json")
        told = json.loads(run("publish", shop.old.name, *words).stdout)
        assert told["gate"]["bundle"] == told["bundle"] == shop.old.name
        assert {"golden", "latency", "rows/text"} <= {check["name"] for check in told["gate"]["checks"]}
        refused = run(
            "publish", shop.new.name, "--encoder", "weightless", "--bar", "ann_recall=0.95", "--bar", "id_loss=0"
        )
        assert refused.exit_code == 0
        listed = json.loads(run("status", "--json").stdout)
        assert all(bundle["gate"]["checks"] for bundle in listed["bundles"])
        assert run("status").stdout.count("passed the gate") == 2

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (("--bar", "nonsense=1"), "--bar: nonsense: Extra inputs"),
            (("--golden", "nowhere.jsonl"), "nowhere.jsonl: cannot be read"),
            (("--encoder", "nobody"), "no encoder 'nobody'"),
        ],
    )
    def test_flags_that_cannot_be_used_are_one_line(self, run, shop, flags, said):
        answer = run("publish", shop.old.name, "--encoder", "weightless", *flags)
        assert answer.exit_code == 1
        assert said in answer.stderr
        assert len(answer.stderr.splitlines()) == 1


def test_a_bundle_that_was_published_before_there_was_a_gate(run, shop):
    """History lines of an earlier release name no reason, and there is no verdict."""
    publish(run.data, shop.old.name)
    (run.data / "gates.jsonl").unlink()
    line = json.loads((run.data / "history.jsonl").read_text())
    for name in ("automatic", "reason"):
        del line[name]
    (run.data / "history.jsonl").write_text(json.dumps(line) + "\n")
    assert run("status").stdout.count("passed the gate") == 0
    assert run("publish", shop.new.name, "--encoder", "weightless").exit_code == 0
