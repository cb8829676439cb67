"""Feeds, prepared pixels and examples: what is read, what is drawn, and what is refused."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models.eiclip import EiClipEncoder
from models.picture import decode_picture
from models.train.config import AugmentConfig, EntityDropout, NearConfig, TextMix
from models.train.data import Examples, Sampling, near_each_other
from models.train.feed import DataError, Feed, fingerprint
from models.train.pixels import picture_table, user_cache_dir

GROUPS = ("brand", "category", "season")


@pytest.fixture
def tiny(support):
    return support("tiny")


@pytest.fixture
def shop(tiny, tmp_path):
    return tiny.write_shop(tmp_path / "shop")


@pytest.fixture
def read(tiny, shop, tmp_path):
    backbone = tiny.backbone(tmp_path)

    def reading(split="train", **options):
        feed = Feed.open(shop)
        cache = tmp_path / "cache"
        return picture_table(feed, split, backbone.recipe, backbone.prepare_images, cache_dir=cache, **options)

    reading.backbone = backbone
    return reading


def write(folder, rows, name="catalogue.parquet"):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / name)
    return folder / name


class TestFeed:
    def test_reads_one_split_in_order(self, tiny, shop):
        items = list(Feed.open(shop).items("val"))
        assert [item.product.id for item in items] == [row["id"] for row in tiny.shop_rows(36, "val", 36_000)]
        assert [len(item.pictures) for item in items[:3]] == [1, 2, 1]
        assert items[0].product.attributes == {"split": "val"}

    def test_pictures_may_be_files_beside_the_feed(self, tiny, tmp_path):
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "a.png").write_bytes(tiny.draw("red", "bar", "Nike"))
        path = write(tmp_path, [{"id": "a", "title": "t", "split": "test", "images": ["images/a.png"]}])
        (item,) = Feed.open(path).items("test")
        assert item.pictures == (tiny.draw("red", "bar", "Nike"),)

    def test_limits_count_products_with_pictures(self, shop):
        feed = Feed.open(shop)
        assert len(list(feed.items("train", limit=5))) == 5
        assert {len(item.pictures) for item in feed.items("train", pictures=1)} == {1}

    def test_products_without_pictures_are_passed_over(self, tiny, tmp_path):
        rows = tiny.shop_rows(3, "train")
        rows[1]["image_bytes"] = []
        assert len(list(Feed.open(write(tmp_path, rows)).items("train"))) == 2

    def test_names_itself_and_its_origin(self, shop, tmp_path):
        assert Feed.open(shop).name == "shop"
        assert Feed.open(shop).origin() == {}
        (shop / "shop.json").write_text(json.dumps({"seed": 4}))
        assert Feed.open(shop / "catalogue.parquet").origin() == {"seed": 4}
        assert Feed.open(write(tmp_path, [{"id": "a", "title": "t", "split": "x"}], "real.parquet")).name == "real"

    def test_a_broken_origin_is_refused(self, shop):
        (shop / "shop.json").write_text("[]")
        with pytest.raises(DataError, match=r"shop\.json"):
            Feed.open(shop).origin()

    @pytest.mark.parametrize("content", [None, b"", b"not parquet"])
    def test_what_is_no_parquet_file_is_refused(self, tmp_path, content):
        if content is not None:
            (tmp_path / "catalogue.parquet").write_bytes(content)
        with pytest.raises(DataError, match="cannot read"):
            Feed.open(tmp_path)

    def test_a_truncated_file_is_refused(self, shop):
        feed = Feed.open(shop)
        feed.path.write_bytes(feed.path.read_bytes()[:-100])
        with pytest.raises(DataError, match="cannot read"):
            list(feed.items("train"))

    def test_a_feed_without_splits_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="no column 'split'"):
            Feed.open(write(tmp_path, [{"id": "a", "title": "t"}]))

    def test_an_unknown_split_is_named(self, shop):
        with pytest.raises(DataError, match="split 'dev'"):
            list(Feed.open(shop).items("dev"))

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"price": -1.0}, r"row 2: price: "),
            ({"title": None}, r"row 2: title: Field required"),
            ({"image_bytes": None, "images": ["nowhere.png"]}, r"product p1: cannot read nowhere\.png"),
            ({"image_bytes": None, "images": ["https://x.example/a.png"]}, "not URLs"),
        ],
    )
    def test_a_bad_row_is_named(self, tiny, tmp_path, change, reason):
        rows = tiny.shop_rows(3, "train")
        rows[1].update(change)
        rows[0].setdefault("images", [])
        rows[0].setdefault("price", 3.0)
        with pytest.raises(DataError, match=reason):
            list(Feed.open(write(tmp_path, rows)).items("train"))

    def test_fingerprint_follows_products_pictures_and_splits(self, shop):
        products = [item.product for item in Feed.open(shop).items("val", limit=2)]
        one = fingerprint({"val": [(p, ["aa"]) for p in products]})
        assert one == fingerprint({"val": [(p, ["aa"]) for p in products]})
        others = [
            fingerprint({"val": [(p, ["ab"]) for p in products]}),
            fingerprint({"test": [(p, ["aa"]) for p in products]}),
            fingerprint({"val": [(p, ["aa"]) for p in products[::-1]]}),
        ]
        assert len({one, *others}) == 4


class TestPixels:
    def test_prepared_pixels_give_the_vectors_of_serving(self, tiny, read, tmp_path, shop):
        table = read("val")
        model = tiny.eiclip(tmp_path)
        encoder = EiClipEncoder(model, name="t", fingerprint="", text_fields=("title",), device="cpu")
        served = encoder.encode_images([decode_picture(i.pictures[0]) for i in Feed.open(shop).items("val")])
        with torch.inference_mode():
            trained = model.backbone.image_features(torch.from_numpy(table.first_pictures()))
        np.testing.assert_allclose(served, torch.nn.functional.normalize(trained, dim=-1).numpy(), atol=1e-6)
        images = [decode_picture(data) for item in Feed.open(shop).items("val") for data in item.pictures]
        np.testing.assert_array_equal(table.pixels, model.backbone.prepare_images(images))

    def test_each_product_has_its_own_pictures(self, read):
        table = read("train", pictures=1)
        assert table.starts.tolist() == list(range(73))
        table = read("train")
        assert np.diff(table.starts).tolist() == [1, 2] * 36
        assert len(table.pixels) == 108

    def test_the_second_reading_prepares_nothing(self, read, tmp_path, monkeypatch):
        first = read("train")
        monkeypatch.setattr("models.train.pixels.decode_picture", lambda _: 1 / 0)
        again = read("train")
        np.testing.assert_array_equal(first.pixels, again.pixels)
        assert len(list((tmp_path / "cache").iterdir())) == 1

    def test_a_changed_picture_or_recipe_is_another_cache(self, tiny, read, shop, tmp_path):
        read("train", limit=6)
        rows = tiny.shop_rows(72, "train")
        rows[0]["image_bytes"] = [tiny.draw("blue", "bar", "Nike")]
        write(shop, rows)
        read("train", limit=6)
        recipe = read.backbone.recipe.model_copy(update={"resize_mode": "squash"})
        feed = Feed.open(shop)
        picture_table(feed, "train", recipe, read.backbone.prepare_images, cache_dir=tmp_path / "cache", limit=6)
        assert len(list((tmp_path / "cache").iterdir())) == 3

    def test_a_damaged_picture_is_named_and_leaves_no_cache(self, tiny, read, shop, tmp_path):
        rows = tiny.shop_rows(4, "train")
        rows[2]["image_bytes"] = [b"no picture"]
        write(shop, rows)
        with pytest.raises(DataError, match="product p2: picture"):
            read("train")
        assert not list((tmp_path / "cache").iterdir())

    def test_the_users_cache_folder_follows_the_environment(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert user_cache_dir() == tmp_path / "catalens" / "pixels"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert user_cache_dir() == tmp_path / ".cache" / "catalens" / "pixels"


class TestNearEachOther:
    VALUES = ("a", "b", None, "a", "b", "a", None, "b", "a", "c")

    def order(self, seed=0):
        return near_each_other(self.VALUES, 2, np.random.default_rng(seed)).tolist()

    def test_is_a_permutation_with_whole_runs_of_one_value(self):
        order = self.order()
        assert sorted(order) == list(range(len(self.VALUES)))
        runs = [tuple(order[start : start + 2]) for start in range(0, len(order), 2)]
        assert {(0, 3), (5, 8), (1, 4)} <= set(runs)
        assert {position for run in runs for position in run} - {0, 3, 5, 8, 1, 4} == {2, 6, 7, 9}

    def test_the_order_of_the_runs_is_random(self):
        assert len({tuple(self.order(seed)) for seed in range(8)}) > 4


class TestExamples:
    def make(self, table, **changes):
        facts = {
            "seed": 0,
            "batch_size": 16,
            "text_fields": ("description",),
            "groups": GROUPS,
            "text_mix": TextMix(query=0, title=0.3),
            "dropout": EntityDropout(),
            "augment": AugmentConfig(),
            "near": NearConfig(),
        }
        return Examples(table, Sampling(**{**facts, **changes}))

    def test_the_same_step_is_the_same_batch_and_no_other_is(self, read):
        table = read()
        one, again, other = self.make(table), self.make(table), self.make(table, seed=1)
        again.batch(0, 0)  # what was drawn before does not matter
        first, second = one.batch(3, 2), again.batch(3, 2)
        assert (first.texts, first.entities, first.products) == (second.texts, second.entities, second.products)
        assert torch.equal(first.pixels, second.pixels)
        assert torch.equal(first.zooms, second.zooms)
        assert len({b.products for b in (first, one.batch(3, 3), one.batch(2, 2), other.batch(3, 2))}) == 4

    def test_an_epoch_shows_every_product_at_most_once(self, read):
        examples = self.make(read())
        assert examples.steps == 4
        shown = [row for step in range(4) for row in examples.batch(0, step).products]
        assert len(shown) == len(set(shown)) == 64

    def test_a_batch_is_never_larger_than_the_data(self, read):
        examples = self.make(read("train", limit=10), batch_size=128)
        assert (examples.steps, len(examples.batch(0, 0).products)) == (1, 10)

    def test_every_picture_of_a_product_is_shown_over_time(self, read):
        table = read()
        examples = self.make(table)
        seen = {1: set()}
        for epoch in range(40):
            for step in range(examples.steps):
                batch = examples.batch(epoch, step)
                for row, pixels in zip(batch.products, batch.pixels.numpy(), strict=True):
                    views = table.pixels[table.starts[row] : table.starts[row + 1]]
                    matches = [k for k, view in enumerate(views) if np.array_equal(view, pixels)]
                    assert matches
                    if row in seen:
                        seen[row].update(matches)
        assert seen == {1: {0, 1}}

    def test_texts_follow_the_mix(self, read):
        table = read()
        mix = TextMix(canonical=0.4, title=0.3, description=0.3, query=0.0)
        examples = self.make(table, text_mix=mix, text_fields=("title", "description"))
        kinds = Counter()
        for epoch in range(30):
            batch = examples.batch(epoch, 0)
            for row, text in zip(batch.products, batch.texts, strict=True):
                product = table.products[row]
                both = f"{product.title}. {product.description.rstrip('.')}"
                kinds[{both: "canonical", product.title: "title", product.description: "description"}[text]] += 1
        shares = {kind: count / 480 for kind, count in kinds.items()}
        assert shares == pytest.approx({"canonical": 0.4, "title": 0.3, "description": 0.3}, abs=0.07)

    def test_queries_are_made_of_whole_entities_and_other_words_of_the_title(self, read):
        table, queries = read(), TextMix(canonical=0, title=0, description=0, query=1)
        examples = self.make(table, text_mix=queries, dropout=EntityDropout(whole=0, each=0))
        lengths, alone = Counter(), 0
        for epoch in range(30):
            batch = examples.batch(epoch, 0)
            for row, text, stated in zip(batch.products, batch.texts, batch.entities, strict=True):
                product = table.products[row]
                colour = product.title.removeprefix(product.brand).removesuffix(product.category).strip()
                rest, units = text, [*product.entities(GROUPS).values(), colour]
                used = [unit for unit in units if unit in rest]
                for unit in used:
                    rest = rest.replace(unit, "", 1)
                assert not rest.strip()
                lengths[len(used)] += 1
                alone += used == [product.brand]
                assert stated == {g: v for g, v in product.entities(GROUPS).items() if v in used}
        assert set(lengths) == {1, 2, 3, 4}
        assert alone > 10

    def test_a_query_suits_every_product_that_has_all_it_asks_for(self, read):
        table, mix = read(), TextMix(canonical=0.3, title=0, description=0, query=0.7)
        examples = self.make(table, text_mix=mix, batch_size=72)
        batch = examples.batch(0, 0)
        short = 0
        for column, text in enumerate(batch.texts):
            long = text.startswith("A ")
            short += not long
            for row, product in enumerate(batch.products):
                shown = table.products[product]
                rest = text
                for unit in (*shown.entities(GROUPS).values(), *shown.title.split()):
                    rest = rest.replace(unit, "", 1)
                assert bool(batch.suits[row, column]) == (not long and not rest.strip()), (text, shown.title)
        assert 40 < short < 62

    @pytest.mark.parametrize("kind", ["description", "canonical"])
    def test_a_product_without_a_description_is_read_by_its_title(self, tiny, read, shop, kind):
        rows = tiny.shop_rows(20, "train")
        for row in rows:
            row["description"] = None
        write(shop, rows)
        shares = {"canonical": 0, "title": 0, "description": 0, "query": 0, kind: 1}
        table = read()
        batch = self.make(table, text_mix=TextMix(**shares)).batch(0, 0)
        assert batch.texts == tuple(table.products[row].title for row in batch.products)

    def test_entities_are_withheld_as_often_as_asked(self, read):
        examples = self.make(read(), dropout=EntityDropout(whole=0.25, each=0.2))
        whole, brands, shown = 0, 0, 0
        for epoch in range(60):
            for stated in examples.batch(epoch, 0).entities:
                shown += 1
                whole += not stated
                brands += "brand" in stated
        assert whole / shown == pytest.approx(0.25 + 0.75 * 0.2 * 0.2 * 0.6, abs=0.05)
        assert brands / shown == pytest.approx(0.75 * 0.8, abs=0.05)

    def test_nothing_is_withheld_or_changed_unless_asked(self, read):
        table = read()
        off = EntityDropout(whole=0, each=0)
        batch = self.make(table, dropout=off, augment=AugmentConfig(scale=0, shift=0)).batch(1, 1)
        assert list(batch.entities) == [table.products[row].entities(GROUPS) for row in batch.products]
        assert torch.equal(batch.zooms, torch.tensor([[1.0, 0, 0], [0, 1, 0]]).repeat(16, 1, 1))

    def test_zooms_keep_the_aspect_and_stay_in_bounds(self, read):
        zooms = self.make(read(), augment=AugmentConfig(scale=0.2, shift=0.1)).batch(0, 0).zooms
        assert torch.equal(zooms[:, 0, 0], zooms[:, 1, 1])
        assert not zooms[:, 0, 1].any()
        assert float((zooms[:, 0, 0] - 1).abs().max()) <= 0.2
        assert 0 < float(zooms[:, :, 2].abs().max()) <= 0.2

    def test_a_mirrored_picture_keeps_its_size(self, read):
        zooms = self.make(read(), augment=AugmentConfig(scale=0.1, shift=0, mirror=0.5)).batch(0, 0).zooms
        assert set(torch.sign(zooms[:, 0, 0]).tolist()) == {-1.0, 1.0}
        assert torch.equal(zooms[:, 0, 0].abs(), zooms[:, 1, 1])

    def test_near_products_share_batches_and_every_product_still_comes_once(self, read):
        table = read()
        examples = self.make(table, near=NearConfig(group="brand", size=8))
        seen = [row for step in range(examples.steps) for row in examples.batch(2, step).products]
        assert sorted(seen) == sorted(set(seen))
        runs = [seen[start : start + 8] for start in range(0, len(seen), 8)]
        brands = [{table.products[row].brand for row in run} for run in runs]
        assert sum(len(names) == 1 for names in brands) >= len(runs) // 2

    def test_the_examples_do_not_depend_on_the_entity_dropout_of_others(self, read):
        """The baselines see the same words and pictures, whatever is withheld."""
        table = read()
        one = self.make(table, dropout=EntityDropout(whole=0, each=0)).batch(0, 1)
        other = self.make(table, dropout=EntityDropout(whole=1, each=0)).batch(0, 1)
        assert one.texts == other.texts
        assert torch.equal(one.pixels, other.pixels)
        assert set(map(len, other.entities)) == {0}
