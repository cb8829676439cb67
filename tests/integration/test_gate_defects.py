"""The gate in front of real bundles: ten defects, each planted in one and signed as if it were none; and good ones."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ImageOps

import indexer.build
from indexer.bars import Bars, BarsError
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle, current_bundle
from indexer.gate import GOLDEN, VERDICTS, Gate, verdicts
from indexer.index import FaissIndex
from indexer.manifest import SPACES, content_digest, read_manifest, record_file, write_durably
from indexer.publish import PublishError, history, judge, publish
from indexer.updates import Change, Kind
from indexer.updates_sqlite import SqliteLog

PRODUCTS = 40
CHANGED = 2  # of them, in the next day's catalogue; and one goes, one comes
QUICK = Bars(sample=24)

pytestmark = pytest.mark.usefixtures("quick_builds")


@pytest.fixture(scope="module")
def feeds(support):
    return support("feeds")


@pytest.fixture(scope="module")
def encoder(weightless, feeds):
    return weightless(32, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES})


@pytest.fixture(scope="module")
def without_judges():
    """Builds do not judge categories, which nothing here asks for, in half the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer.build, "judge_categories", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def shop(tmp_path_factory, feeds, encoder, without_judges):
    """Catalogues of two days, a bundle of each, and what builds others: `shop.build(rows, encoder)`."""
    folder = tmp_path_factory.mktemp("shop")
    yesterday = feeds.products(PRODUCTS, pictures=1)
    feeds.write_pictures(folder, yesterday)

    def built(rows, by=encoder, **options):
        pq.write_table(pa.Table.from_pylist(rows), folder / "catalogue.parquet")
        return build(by, BuildOptions(folder, folder / type(by).__name__, **options)).path

    today = [dict(row) for row in yesterday[1:]]
    for row in today[:CHANGED]:
        row |= {"title": f"{row['title']} reworked", "price": row["price"] + 1}
    today.append({**yesterday[0], "id": "new", "title": "Ruby green watch for divers"})
    return SimpleNamespace(yesterday=yesterday, today=today, build=built, old=built(yesterday), new=built(today))


class Place:
    """A data folder in which yesterday's bundle is published."""

    def __init__(self, published, encoder, folder):
        self.folder, self.encoder = shutil.copytree(published, folder, symlinks=True), encoder

    def take(self, path, sign=None):
        """Copy a bundle here, change it by `sign(folder)`, and sign it as it is then; return its id."""
        folder = self.folder / "bundles" / path.name
        shutil.copytree(path, folder)
        return path.name if sign is None else signed(folder, **(sign(folder) or {}))

    def publish(self, name, **given):
        return publish(self.folder, name, gate=Gate(self.encoder, **{"bars": QUICK, **given}))

    def refusal(self, name, **given):
        """Publish a bundle, which must fail; return what was said, and the names of the checks that failed."""
        before = current_bundle(self.folder)
        with pytest.raises(PublishError) as refused:
            self.publish(name, **given)
        assert current_bundle(self.folder) == before
        kept = verdicts(self.folder)[-1]
        assert kept.bundle == name
        return str(refused.value), {check.name for check in kept.checks if check.failed}


@pytest.fixture(scope="module")
def published(shop, encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(shop.old, folder / "bundles" / shop.old.name)
    publish(folder, shop.old.name, gate=Gate(encoder, QUICK))
    return folder


@pytest.fixture
def place(published, encoder, tmp_path):
    return Place(published, encoder, tmp_path / "data")


def signed(folder, **stated):
    """Sign a bundle as it is now: digests and counts are right, whatever its files hold."""
    manifest = read_manifest(folder)
    files = {name: record_file(folder / name) for name in manifest.files}
    renewed = manifest.model_copy(
        update={"files": files, "digest": content_digest(files, frozenset({"report.json"})), **stated}
    )
    write_durably(folder / "manifest.json", renewed.to_bytes())
    return folder.name


def with_vectors(folder, change, spaces=SPACES):
    """Change the vectors of a bundle, `(n, d) float32`, and index them as they are then, if they can be."""
    for space in spaces:
        path = folder / "vectors" / f"{space}.npy"
        vectors = change(np.load(path).astype(np.float32)).astype(np.float16)
        np.save(path, vectors)
        if np.isfinite(vectors).all():
            FaissIndex.build(vectors, "exact").save(folder / f"{space}.faiss")


def with_products(folder, change):
    """Change the rows of a bundle's products."""
    path = folder / "products.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def shuffle(folder):
    order = np.random.default_rng(7).permutation(PRODUCTS)
    with_vectors(folder, lambda vectors: vectors[order])


def shuffle_pictures(folder):
    with_vectors(folder, lambda vectors: np.roll(vectors, 1, axis=0), ["image"])


def zero(folder):
    def some(vectors):
        vectors[::10] = 0
        return vectors

    with_vectors(folder, some, ["text"])


def not_a_number(folder):
    def some(vectors):
        vectors[5, 0] = np.nan
        return vectors

    with_vectors(folder, some, ["image"])


def halve(folder):
    with_vectors(folder, lambda vectors: vectors / 2)


def repeat_an_id(folder):
    with_products(folder, lambda row: row.update(id="p4") if row["id"] == "p5" else None)


def mangle(folder):
    with_products(folder, lambda row: row.update(title=row["title"].translate(str.maketrans("aeiou", "?????"))))


def quantise(folder):
    """An index of so few bits that it finds few of the true neighbours, which its own report does not say."""
    manifest = read_manifest(folder)
    indexes = {}
    for space in SPACES:
        index = FaissIndex.build(np.load(folder / "vectors" / f"{space}.npy"), "PCA2,SQ4")
        index.save(folder / f"{space}.faiss")
        indexes[space] = manifest.indexes[space].model_copy(update={"recipe": index.recipe})
    return {"indexes": indexes}


def empty_words(folder):
    path = folder / "lexical" / "scores.npy"
    np.save(path, np.zeros_like(np.load(path)))


@pytest.mark.parametrize(
    ("plant", "checks", "said"),
    [
        pytest.param(shuffle, {"rows/text", "rows/image", "cosine/image"}, "shuffled rows", id="shuffled-rows"),
        pytest.param(shuffle_pictures, {"rows/image"}, "shuffled rows", id="pictures-shifted-by-one"),
        pytest.param(zero, {"vectors/text"}, "zero vectors: 4 of 40 text vectors are zero", id="zero-vectors"),
        pytest.param(not_a_number, {"vectors/image"}, "1 of 40 image vectors are not finite", id="not-a-number"),
        pytest.param(halve, {"vectors/text", "vectors/image"}, "are not of length 1 (one is 0.5", id="not-unit"),
        pytest.param(repeat_an_id, {"ids"}, "duplicated ids: 1 ids are those of several products ('p4')", id="ids"),
        pytest.param(mangle, {"rows/text", "titles"}, "mangled text", id="text-mangled-after-encoding"),
        pytest.param(quantise, {"ann-recall/text", "ann-recall/image"}, "(PCA2,SQ4) is 0.", id="over-quantised"),
        pytest.param(empty_words, {"words"}, "the words of their title find is 0.000, 0.900 below", id="no-words"),
    ],
)  # fmt: skip
def test_a_defect_in_files_that_are_signed_is_refused_for_what_it_is(place, shop, plant, checks, said):
    name = place.take(shop.new, plant)
    refusal, failed = place.refusal(name)
    assert said in refusal
    assert checks <= failed
    forced = publish(place.folder, name, force=True, gate=Gate(place.encoder, QUICK))
    assert forced.forced
    assert any(said in problem for problem in history(place.folder)[-1].problems)


def test_a_catalogue_of_which_half_is_missing(place, shop):
    refusal, failed = place.refusal(place.take(shop.build(shop.today[: PRODUCTS // 2])))
    assert {"products", "kept"} >= failed - {"categories", "category-counts"} >= {"products"}
    assert "the share of products by which the catalogue shrinks is 0.500, 0.300 above 0.200" in refusal
    assert "20 products, where" in refusal


def test_one_category_gone(place, shop):
    refusal, failed = place.refusal(place.take(shop.build([r for r in shop.today if r["category"] != "watch"])))
    assert "categories" in failed
    assert "categories lost: 1 (watch (6))" in refusal


def test_a_category_of_which_most_is_gone(place, shop):
    [_, *others] = [row["id"] for row in shop.yesterday if row["category"] == "mug"]
    kept = [row for row in shop.today if row["id"] not in others]
    refusal, failed = place.refusal(place.take(shop.build(kept)))
    assert failed == {"category-counts"}
    assert f"mug ({1 + len(others)} to 1, " in refusal
    assert "where at most 50% of one may go" in refusal


def test_another_model_that_says_so(place, shop, weightless):
    name = place.take(shop.build(shop.today, weightless(32, salt="other")))
    refusal, failed = place.refusal(name)
    assert failed == {"model"}
    assert "wrong model: the bundle states weightless-32other" in refusal


def test_a_new_model_that_is_meant_is_let_through_by_its_own_encoder(place, shop, weightless):
    other = weightless(32, salt="other")
    name = place.take(shop.build(shop.today, other))
    with pytest.raises(PublishError, match="--new-model if it is meant"):
        publish(place.folder, name, gate=Gate(other, QUICK))
    assert not publish(place.folder, name, gate=Gate(other, QUICK, new_model=True)).forced


def test_another_model_that_passes_itself_off_as_the_right_one(place, shop, weightless, encoder, feeds):
    other = weightless(32, {"brand": feeds.BRANDS, "category": feeds.CATEGORIES}, salt="other")
    stated = read_manifest(shop.old).encoder
    refusal, failed = place.refusal(place.take(shop.build(shop.today, other), lambda _: {"encoder": stated}))
    assert {"rows/text", "rows/image", "cosine/image"} <= failed
    assert "wrong model: another encoder made these vectors" in refusal


class Darkly:
    """An encoder that reads pictures otherwise than the one whose name it bears."""

    def __init__(self, encoder):
        self._encoder = encoder

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode_images(self, images):
        return self._encoder.encode_images([ImageOps.invert(image) for image in images])


def test_pictures_normalised_otherwise(place, shop, encoder):
    refusal, failed = place.refusal(place.take(shop.build(shop.today, Darkly(encoder))))
    assert "wrong normalisation: pictures were read otherwise" in refusal
    assert {"rows/image", "cosine/image"} <= failed
    assert "rows/text" not in failed


def test_a_feed_that_was_read_in_another_encoding(place, shop):
    """Nothing disagrees within the bundle: its vectors are those of the mangled words."""
    mangled = [{**r, "title": f"Caf\u00e9 {r['title']}".encode().decode("latin-1")} for r in shop.today]
    refusal, failed = place.refusal(place.take(shop.build(mangled)))
    assert failed == {"texts", "titles"}
    assert "the share of products with damaged characters is 1.000" in refusal
    assert "mangled text" in refusal


def test_prices_from_before_the_current_bundle(place, shop):
    dearer = [{**r, "price": r["price"] + 5} for r in shop.today]
    place.publish(place.take(shop.build(dearer)))
    refusal, failed = place.refusal(place.take(shop.build(shop.yesterday)))
    assert failed == {"prices-back"}
    assert "stale prices: 39 prices changed with" in refusal
    place.publish(place.take(shop.build([{**r, "price": r["price"] - 1} for r in shop.today])))


def test_prices_that_the_update_log_changed(place, shop, tmp_path):
    log = SqliteLog(tmp_path / "updates.sqlite")
    log.append([Change(f"p{n}", Kind.PATCH, json.dumps({"price": 3.5}).encode()) for n in range(2, 12)])
    at = {"log_position": str(log.tail())}
    log.append([Change("p20", Kind.PATCH, b'{"price": 9}')])  # comes after the bundle: whoever serves it applies it
    name = place.take(shop.new, lambda _: at)
    refusal, failed = place.refusal(name, log=log)
    assert failed == {"log-prices"}
    assert "stale prices: 10 of 10 products that the update log changed" in refusal
    right = [{**r, "price": 3.5} if r["id"] in {f"p{n}" for n in range(2, 12)} else r for r in shop.today]
    place.publish(place.take(shop.build(right), lambda _: at), log=log)
    log.trim(1e12)
    refusal, failed = place.refusal(shop.old.name, log=log)
    assert "log-position" in failed
    assert "stale: it stands at 0 of the update log, whose changes up to 11 are held no more" in refusal
    log.close()


@pytest.mark.parametrize(
    ("mine", "theirs", "check"),
    [
        ({"log_position": "e:3"}, {"log_position": "e:4"}, "log-position"),
        ({"feed_as_of": 86_400.0}, {"feed_as_of": 86_401.0}, "feed"),
    ],
)
def test_a_bundle_that_states_an_earlier_time_than_the_current_one(place, shop, mine, theirs, check):
    signed(current_bundle(place.folder), **theirs)
    refusal, failed = place.refusal(place.take(shop.new, lambda _: mine))
    assert failed == {check}
    assert "stale: it" in refusal


def test_the_next_days_catalogue_is_let_through_and_so_is_the_first(place, shop):
    entry = place.publish(place.take(shop.new))
    assert not entry.forced
    first, second = verdicts(place.folder)
    assert first.against is None
    assert second.against == shop.old.name
    assert second.problems == ()
    said = {check.name: check for check in second.checks}
    assert said["made-queries"].outcome == said["rows/text"].outcome == said["slowdown"].outcome == "passed"
    assert said["cosine/image"].measured > 0.95
    assert (place.folder / VERDICTS).read_text().count("\n") == 2


def test_a_shop_of_eight_products_changes_from_day_to_day(shop, encoder, tmp_path):
    folder = tmp_path / "data"
    (folder / "bundles").mkdir(parents=True)
    eight = shop.yesterday[:8]
    for rows in (eight, [*eight[1:], shop.yesterday[20]]):
        path = shop.build(rows)
        shutil.copytree(path, folder / "bundles" / path.name)
        assert not publish(folder, path.name, gate=Gate(encoder)).forced


def test_all_that_is_wrong_is_told_at_once(place, shop):
    def several(folder):
        repeat_an_id(folder)
        zero(folder)
        empty_words(folder)

    refusal, failed = place.refusal(place.take(shop.new, several))
    assert failed >= {"ids", "vectors/text", "words"}
    assert all(said in refusal for said in ("duplicated ids", "zero vectors", "title find"))


def golden_queries(rows, path):
    lines = [
        {"qid": r["id"], "kind": "title", "text": r["title"], "relevant": [r["id"]]}
        for r in rows[:12]
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_golden_queries_may_not_lose(place, shop):
    """Weights that leave words and pictures out of account are sound, and find less."""
    golden_queries(shop.yesterday, place.folder / GOLDEN)

    def blind(folder):
        fusion = read_manifest(folder).fusion
        return {
            "fusion": {k: w.model_copy(update={"image": 1.0, "text": 0.0, "lexical": 0.0}) for k, w in fusion.items()}
        }

    refusal, failed = place.refusal(place.take(shop.new, blind))
    assert failed == {"golden"}
    assert "nDCG@10 of golden is 0." in refusal
    assert "where at most 0.050 may be lost" in refusal
    shutil.rmtree(place.folder / "bundles" / shop.new.name)
    place.publish(place.take(shop.new))
    [passed] = [check for check in verdicts(place.folder)[-1].checks if check.name == "golden"]
    assert passed.measured > 0.9


def test_golden_queries_of_a_new_model_are_compared_with_what_was_recorded(place, shop, weightless, tmp_path):
    golden = tmp_path / "golden.jsonl"
    golden_queries(shop.yesterday[4:], golden)
    place.publish(place.take(shop.new), golden=golden)
    other = weightless(32, salt="other")
    name = place.take(shop.build(shop.today, other))
    verdict = judge(place.folder, name, Gate(other, QUICK, golden=golden, new_model=True))
    [compared] = [check for check in verdict.checks if check.name == "golden"]
    assert "in the current bundle" in compared.says
    changed = golden.read_text() + golden.read_text().splitlines()[0]
    golden.write_text(changed)
    verdict = judge(place.folder, name, Gate(other, QUICK, golden=golden, new_model=True))
    [alone] = [check for check in verdict.checks if check.name == "golden"]
    assert "nothing to compare it with" in alone.says


def test_bars_are_stated_in_the_data_folder_and_by_flags(place, shop):
    half = place.take(shop.build(shop.today[:26]))
    place.refusal(half, bars=None)
    (place.folder / "gate.toml").write_text("[bars]\nproduct_loss = 0.5\ncategory_loss = 0.9\n")
    assert not place.publish(half, bars=None).forced
    assert Bars.read(place.folder, ["product_loss=0.1"]).product_loss == 0.1
    assert Bars.read(place.folder).category_loss == 0.9


@pytest.mark.parametrize(
    ("content", "flags", "said"),
    [
        ("[bars]\nproduct_lost = 0.5\n", (), "gate.toml: product_lost: Extra inputs"),
        ("[bars]\nproduct_loss = 2\n", (), "gate.toml: product_loss: Input should be less than or equal to 1"),
        ("[bar]\n", (), "expected one table [bars], found bar"),
        ("[bars\n", (), "gate.toml: "),
        ("", ("words",), "--bar 'words': expected NAME=VALUE"),
        ("", ("words=many",), "--bar: words: Input should be a valid number"),
    ],
)
def test_bars_that_cannot_be_read_say_where(tmp_path, content, flags, said):
    (tmp_path / "gate.toml").write_text(content)
    with pytest.raises(BarsError) as refused:
        Bars.read(tmp_path, flags)
    assert said in str(refused.value)


def test_without_the_encoder_the_verdict_says_what_was_left_out(place, shop):
    assert not publish(place.folder, place.take(shop.new)).forced
    skipped = {check.name: check.says for check in verdicts(place.folder)[-1].checks if check.outcome == "skipped"}
    assert "nothing was encoded anew" in skipped["rows"]


def misplace_words(folder):
    path = folder / "lexical" / "rows.npy"
    np.save(path, np.load(path) + PRODUCTS)


def test_words_that_lead_to_products_there_are_not(place, shop):
    refusal, failed = place.refusal(place.take(shop.new, misplace_words))
    assert failed == {"lexical"}
    assert "words: rows beyond the 40 products" in refusal


@pytest.mark.parametrize("defect", [not_a_number, misplace_words, repeat_an_id])
def test_a_current_bundle_with_a_defect_is_replaced(place, shop, defect):
    current = current_bundle(place.folder)
    defect(current)
    signed(current)
    assert not place.publish(place.take(shop.new)).forced


def test_a_current_bundle_that_cannot_be_opened_stands_in_nobodys_way(place, shop):
    (current_bundle(place.folder) / "products.parquet").write_bytes(b"")
    assert not place.publish(place.take(shop.new)).forced
    assert verdicts(place.folder)[-1].against is None


def test_a_verdict_cut_short_by_a_crash_is_left_out(place, shop):
    with (place.folder / VERDICTS).open("a") as file:
        file.write('{"at": "2026')
    place.publish(place.take(shop.new))
    assert [verdict.bundle for verdict in verdicts(place.folder)] == [shop.old.name, shop.new.name]


def test_the_planted_bundles_open_as_good_ones_do(place, shop):
    """What is planted is seen by the gate alone: digests, shapes and counts are right."""
    for number, plant in enumerate((shuffle, zero, halve, repeat_an_id, mangle, quantise)):
        folder = place.folder / "bundles" / f"copy{number}"
        shutil.copytree(shop.new, folder)
        signed(folder, **(plant(folder) or {}))
        with Bundle.open(Path(folder)) as opened:
            assert len(opened.products) == PRODUCTS
