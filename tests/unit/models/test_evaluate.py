"""The retrieval protocols against a slow recount of the same definitions, on vectors made for the purpose."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.entities import EntityLink
from models.evaluate import SAMPLE, Protocol, catalogue_linker, evaluate, measure, measure_all, recalls
from models.measured import Measurement, MeasurementError
from models.picture import decode_picture
from models.product import canonical_text
from models.train.feed import DataError, Feed

COLOURS, SHAPES = ("red", "green", "blue", "black"), ("circle", "square", "bar")


@pytest.fixture
def tiny(support):
    return support("tiny")


@pytest.fixture
def shop(tiny, tmp_path):
    return Feed.open(tiny.write_shop(tmp_path / "shop", test=60))


@pytest.fixture
def encoder(weightless):
    class Watched(weightless):
        """Remembers which entities it was given."""

        given = ()

        def encode_texts(self, texts, entities=None):
            self.given = list(entities)
            return super().encode_texts(texts, entities)

    return Watched(
        dim=48, vocabularies={"brand": ["Nike", "Diesel", "Golden Fox"], "category": ["circle", "square", "bar"]}
    )


def count(encoder, feed, *, pictures, groups, candidates, per_pair):
    """R@K both ways by loops: rank = 1 + how many irrelevant candidates score at least as well."""
    items = list(feed.items("test", pictures=pictures))
    texts = encoder.encode_texts(
        [canonical_text(item.product, encoder.text_fields) for item in items],
        [item.product.entities(groups) for item in items],
    )
    images = [encoder.encode_images([decode_picture(p) for p in item.pictures]) for item in items]
    to_image, to_text = [], []
    for i in range(len(items)):
        pool = candidates(i, items)
        others = [float(texts[i] @ v) for j in pool if j != i for v in images[j]]
        own = [float(texts[i] @ v) for v in images[i]]
        if per_pair:
            for k, score in enumerate(own):
                rest = others + own[:k] + own[k + 1 :]
                to_image.append(1 + sum(s >= score - 1e-6 for s in rest))
        else:
            to_image.append(1 + sum(s >= max(own) - 1e-6 for s in others))
        for v in images[i]:
            score = float(v @ texts[i])
            to_text.append(1 + sum(float(v @ texts[j]) >= score - 1e-6 for j in pool if j != i))
    return [np.mean([rank <= k for rank in ranks]) for ranks in (to_image, to_text) for k in (1, 5, 10)]


def means(level):
    return [getattr(way, f"r{k}").mean for way in (level.text_to_image, level.image_to_text) for k in (1, 5, 10)]


@pytest.mark.parametrize("pictures", [1, 2])
def test_full_candidates_equal_the_recount(encoder, shop, pictures):
    figures = evaluate(encoder, shop, Protocol(pictures=pictures))
    everything = {
        "pictures": pictures,
        "groups": ("brand", "category"),
        "candidates": lambda _, items: range(len(items)),
    }
    assert means(figures.pair) == pytest.approx(count(encoder, shop, **everything, per_pair=True))
    assert means(figures.product) == pytest.approx(count(encoder, shop, **everything, per_pair=False))
    assert figures.pair.sum_r == pytest.approx(100 * sum(means(figures.pair)))
    assert (figures.products, figures.pictures) == (60, 60 if pictures == 1 else 90)
    assert figures.candidates_mean == 60
    assert figures.entities == ("brand", "category")


def test_candidates_of_the_category_equal_the_recount(encoder, shop):
    """Every category has fewer than a hundred products here, so its candidates are all of them."""
    figures = evaluate(encoder, shop, Protocol(candidates="100"))

    def pool(i, items):
        return [j for j, item in enumerate(items) if item.product.category == items[i].product.category]

    want = count(encoder, shop, pictures=1, groups=("brand",), candidates=pool, per_pair=False)
    assert means(figures.product) == pytest.approx(want)
    assert figures.candidates_mean == 20
    assert figures.entities == ("brand",)
    assert {key for stated in encoder.given for key in stated} == {"brand"}


def test_a_large_category_is_sampled_to_a_hundred_and_always_the_same(tiny, weightless, tmp_path):
    rows = [{**row, "category": "thing"} for row in tiny.shop_rows(150, "test")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
    feed, encoder = Feed.open(tmp_path), weightless(dim=16)
    figures = evaluate(encoder, feed, Protocol(candidates="100"))
    assert figures.candidates_mean == SAMPLE
    assert figures == evaluate(encoder, feed, Protocol(candidates="100"))
    whole = evaluate(encoder, feed, Protocol())
    assert all(few >= many for few, many in zip(means(figures.pair), means(whole.pair), strict=True))
    assert figures.pair.text_to_image.median_rank < whole.pair.text_to_image.median_rank


def test_texts_alone_are_measured_without_entities(encoder, shop):
    figures = evaluate(encoder, shop, Protocol(entities="none"))
    assert figures.entities == ()
    assert not any(encoder.given)


def test_limits_and_counts_of_what_no_encoder_can_tell_apart(encoder, shop):
    assert evaluate(encoder, shop, Protocol(limit=36)).indistinct == 0
    assert evaluate(encoder, shop, Protocol(limit=40)).indistinct == 8
    assert evaluate(encoder, shop, Protocol(limit=10)).products == 10


def test_intervals_hold_their_means(encoder, shop):
    figures = evaluate(encoder, shop, Protocol())
    for way in (figures.pair.text_to_image, figures.pair.image_to_text):
        for estimate in (way.r1, way.r5, way.r10):
            assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1


def test_figures_say_what_they_were_measured_on(encoder, shop):
    figures = evaluate(encoder, shop, Protocol(split="val"))
    assert (figures.encoder, figures.fingerprint) == (encoder.name, encoder.fingerprint)
    assert (figures.catalogue, figures.split, figures.seed) == ("shop", "val", 2022)
    assert figures.data != evaluate(encoder, shop, Protocol()).data


def test_a_catalogue_without_categories_cannot_be_sampled_within(tiny, encoder, tmp_path):
    rows = [{**row, "category": None} for row in tiny.shop_rows(4, "test")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
    with pytest.raises(DataError, match="has a category"):
        evaluate(encoder, Feed.open(tmp_path), Protocol(candidates="100"))


def test_a_damaged_picture_is_named(tiny, encoder, tmp_path):
    rows = tiny.shop_rows(3, "test")
    rows[1]["image_bytes"] = [b"nothing"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
    with pytest.raises(DataError, match="product p1: picture"):
        evaluate(encoder, Feed.open(tmp_path), Protocol())


def write(tmp_path, rows):
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
    return Feed.open(tmp_path)


class TestCandidatesOfASubCategory:
    @pytest.fixture
    def feed(self, tiny, tmp_path):
        """Circles and squares are `round` or `edged`; bars state no family and are left out."""
        family = {"circle": "compact", "square": "compact", "bar": None}
        rows = tiny.shop_rows(30, "train") + tiny.shop_rows(60, "test", 1000)
        return write(tmp_path, [{**row, "family": family[row["category"]]} for row in rows])

    def test_it_may_be_an_attribute_and_the_category_entity_is_withheld_too(self, encoder, feed):
        figures = evaluate(encoder, feed, Protocol(candidates="100", category_group="family"))
        assert figures.entities == ("brand",)
        assert figures.products == figures.candidates_mean == 40
        assert {key for stated in encoder.given for key in stated} == {"brand"}

    def test_equals_the_recount_over_the_products_that_state_it(self, encoder, feed):
        measured = measure(encoder, feed, Protocol(candidates="100", category_group="family"))
        kept = [i for i, item in enumerate(feed.items("test")) if item.product.category != "bar"]

        class Kept:
            def items(self, split, pictures):
                return [item for i, item in enumerate(feed.items(split, pictures=pictures)) if i in kept]

        want = count(
            encoder, Kept(), pictures=1, groups=("brand",), candidates=lambda _, items: range(len(items)), per_pair=True
        )
        assert means(measured.evaluation.pair) == pytest.approx(want)

    def test_the_sample_is_the_published_one(self, encoder, tiny, tmp_path):
        """Product row r of those that state the group draws with the seed [2022, r]."""
        feed = write(tmp_path, [{**row, "family": "one"} for row in tiny.shop_rows(130, "test")])
        measured = measure(encoder, feed, Protocol(candidates="100", category_group="family"))
        items = list(feed.items("test", pictures=1))

        def pool(i, items):
            others = np.array([j for j in range(len(items)) if j != i])
            return [*np.random.default_rng([2022, i]).choice(others, size=99, replace=False), i]

        assert len(items) == 130
        want = count(encoder, feed, pictures=1, groups=("brand",), candidates=pool, per_pair=True)
        assert means(measured.evaluation.pair) == pytest.approx(want)


class TestWhatTextsAreGiven:
    def test_a_withheld_group_is_not_given(self, encoder, shop):
        figures = evaluate(encoder, shop, Protocol(withheld=("category", "unheard of")))
        assert figures.entities == ("brand",)
        assert {key for stated in encoder.given for key in stated} == {"brand"}

    def test_text_fields_of_the_encoder_unless_others_are_asked_for(self, encoder, shop):
        assert evaluate(encoder, shop, Protocol()).text_fields == ("title", "description")
        read = []
        plain = encoder.encode_texts
        encoder.encode_texts = lambda texts, entities: read.extend(texts) or plain(texts, entities)
        figures = evaluate(encoder, shop, Protocol(text_fields=("description",)))
        assert figures.text_fields == ("description",)
        assert set(read) <= {f"A {c} {s} to look at" for c in COLOURS for s in SHAPES}

    def test_linked_entities_come_from_the_words_by_what_train_knows(self, encoder, tiny, tmp_path):
        """The title names brand and shape, the description the shape; a brand that train lacks is never linked."""
        rows = [row for row in tiny.shop_rows(108, "train") if row["brand"] != "Golden Fox"]
        rows += tiny.shop_rows(60, "test", 1000)
        figures = evaluate(encoder, write(tmp_path, rows), Protocol(entities="linked"))
        assert figures.entities == ("brand", "category")
        assert not any(stated.get("brand") == "Golden Fox" for stated in encoder.given)
        stated = [row["brand"] for row in rows[-60:]]
        known = sum(brand != "Golden Fox" for brand in stated)
        assert figures.linking["brand"].model_dump() == {
            "stated": 60, "linked": known, "agreed": known, "precision": 1.0, "recall": known / 60,
        }  # fmt: skip
        assert figures.linking["category"].recall == 1.0

    def test_disagreement_is_counted(self, encoder, tiny, tmp_path):
        """Half of the test products state another brand than their title names, a quarter none."""
        rows = tiny.shop_rows(108, "train") + tiny.shop_rows(8, "test", 1000)
        for n, row in enumerate(rows[-8:]):
            row["title"] = f"Nike {row['title'].split(' ', 2)[-1]}"
            row["brand"] = (None, "nike", "Diesel", "Diesel")[n % 4]
        found = evaluate(encoder, write(tmp_path, rows), Protocol(entities="linked")).linking["brand"]
        assert (found.stated, found.linked, found.agreed) == (6, 8, 2)
        assert (found.precision, found.recall) == (2 / 8, 2 / 6)

    @pytest.mark.parametrize("likely", ["Nike", "Diesel"])
    def test_of_several_links_of_a_group_the_likeliest_is_given(self, encoder, shop, likely):
        def link(text):
            chances = {"Nike": 0.6, "Diesel": 0.6, likely: 0.9}
            return [EntityLink("brand", value, value, 0, 1, chance) for value, chance in chances.items()]

        measure_all(encoder, shop, [Protocol(entities="linked")], link)
        assert all(stated == {"brand": likely} for stated in encoder.given)

    def test_withheld_groups_are_not_linked_either(self, encoder, shop):
        figures = evaluate(encoder, shop, Protocol(entities="linked", withheld=("brand",)))
        assert list(figures.linking) == ["category"]
        assert {key for stated in encoder.given for key in stated} == {"category"}

    def test_a_model_without_entities_needs_no_linker(self, weightless, tiny, tmp_path):
        feed = write(tmp_path, tiny.shop_rows(8, "test"))  # no train to count
        assert evaluate(weightless(), feed, Protocol(entities="linked")).linking == {}
        with pytest.raises(DataError, match="split 'train'"):
            catalogue_linker(feed, ["brand"])


class TestLevels:
    def test_what_reads_the_same_counts_on_the_level_of_texts(self, encoder, shop):
        """Of 60 products, every 36th looks and reads like an earlier one; without entities and titles many more."""
        few = measure(encoder, shop, Protocol())
        assert few.evaluation.indistinct == 48
        same = measure(encoder, shop, Protocol(entities="none", text_fields=("description",))).evaluation
        assert same.indistinct == 60
        assert same.text.sum_r > same.product.sum_r
        for way in ("text_to_image", "image_to_text"):
            assert (few.ranks[f"text/{way}"] <= few.ranks[f"product/{way}"]).all()
            assert (few.ranks[f"text/{way}"] < few.ranks[f"product/{way}"]).any()

    def test_equals_the_recount(self, encoder, shop):
        items = list(shop.items("test", pictures=2))
        measured = measure(encoder, shop, Protocol(pictures=2, entities="none", text_fields=("description",)))
        words = [item.product.description.rstrip(".") for item in items]
        texts = encoder.encode_texts(words, [{}] * len(words))
        shown = [
            (i, v) for i, item in enumerate(items) for v in encoder.encode_images([*map(decode_picture, item.pictures)])
        ]
        for i, rank in enumerate(measured.ranks["text/text_to_image"]):
            best = max(float(texts[i] @ v) for j, v in shown if words[j] == words[i])
            others = [float(texts[i] @ v) for j, v in shown if words[j] != words[i]]
            assert rank == 1 + sum(score >= best - 1e-6 for score in others)
        for (i, v), rank in zip(shown, measured.ranks["text/image_to_text"], strict=True):
            best = max(float(texts[j] @ v) for j in range(len(words)) if words[j] == words[i])
            others = [float(texts[j] @ v) for j in range(len(words)) if words[j] != words[i]]
            assert rank == 1 + sum(score >= best - 1e-6 for score in others)

    def test_ranks_are_those_of_the_figures(self, encoder, shop):
        measured = measure(encoder, shop, Protocol(pictures=2))
        queries = {"pair/text_to_image": 90, "product/text_to_image": 60, "text/text_to_image": 60}
        for level in ("pair", "product", "text"):
            for way in ("text_to_image", "image_to_text"):
                ranks, figures = measured.ranks[f"{level}/{way}"], getattr(getattr(measured.evaluation, level), way)
                assert len(ranks) == queries.get(f"{level}/{way}", 90)
                assert (ranks >= 1).all()
                assert [np.mean(ranks <= k) for k in (1, 5, 10)] == [figures.r1.mean, figures.r5.mean, figures.r10.mean]
                assert np.median(ranks) == figures.median_rank


class TestManyProtocols:
    PROTOCOLS = (
        Protocol(),
        Protocol(candidates="100"),
        Protocol(entities="none"),
        Protocol(pictures=2),
        Protocol(entities="linked"),
        Protocol(entities="linked", withheld=("brand",)),
    )

    def test_pictures_in_common_are_encoded_once(self, encoder, shop):
        alone = [measure(encoder, shop, protocol) for protocol in self.PROTOCOLS]
        shown = []
        plain = encoder.encode_images
        encoder.encode_images = lambda images: shown.append(len(images)) or plain(images)
        together = measure_all(encoder, shop, self.PROTOCOLS)
        assert sum(shown) == 60 + 90  # one picture of each, then up to two
        for one, same in zip(alone, together, strict=True):
            assert one.evaluation == same.evaluation
            assert all((one.ranks[key] == same.ranks[key]).all() for key in one.ranks)

    def test_the_catalogue_is_counted_once_or_not_at_all(self, encoder, shop, monkeypatch):
        link = catalogue_linker(shop, ["brand", "category"])
        counted = []
        monkeypatch.setattr("models.evaluate.catalogue_linker", lambda _, groups: counted.append(tuple(groups)) or link)
        measure_all(encoder, shop, self.PROTOCOLS)
        assert counted == [("brand", "category")]
        measure_all(encoder, shop, self.PROTOCOLS, link)
        measure_all(encoder, shop, self.PROTOCOLS[:4])
        assert len(counted) == 1


class TestFiles:
    def test_a_measurement_comes_back_as_it_was(self, encoder, shop, tmp_path):
        measured = measure(encoder, shop, Protocol(entities="linked", text_fields=("title",), withheld=("brand",)))
        measured.save(tmp_path / "new" / "folder", "one.seed0")
        again = Measurement.load(tmp_path / "new" / "folder", "one.seed0")
        assert again.evaluation == measured.evaluation
        assert list(again.ranks) == list(measured.ranks)
        assert all((again.ranks[key] == measured.ranks[key]).all() for key in measured.ranks)
        assert measure(encoder, shop, again.evaluation.protocol).evaluation == measured.evaluation

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("x.json", None, "cannot read .*x.json"),
            ("x.npz", None, "cannot read .*x.npz"),
            ("x.json", b"{}", "x.json is no measurement: encoder: Field required"),
            ("x.json", b"nothing", "is no measurement"),
            ("x.npz", b"nothing", "x.npz holds no ranks"),
            ("x.npz", b"", "x.npz holds no ranks"),
            ("x.npz", b"PK\x03\x04 and so on", "x.npz holds no ranks"),
        ],
    )
    def test_what_is_missing_or_damaged_is_named(self, encoder, shop, tmp_path, name, content, message):
        measure(encoder, shop, Protocol(limit=4)).save(tmp_path, "x")
        (tmp_path / name).unlink()
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(MeasurementError, match=message):
            Measurement.load(tmp_path, "x")


class TestRecalls:
    def test_matched_rows_are_found_and_a_shift_of_one_is_second(self):
        matched = recalls(np.eye(20, dtype=np.float32), np.eye(20, dtype=np.float32))
        assert set(matched.values()) == {1.0}
        angle = np.arange(20) * 0.1
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        shifted = np.roll(ring, 1, axis=0)[1:]
        found = recalls(ring[1:], shifted)
        assert found["text_to_image_r1"] < 0.1
        assert found["text_to_image_r5"] == found["image_to_text_r5"] == 1.0

    def test_a_constant_encoder_earns_nothing(self):
        ones = np.ones((12, 4), dtype=np.float32) / 2
        assert set(recalls(ones, ones).values()) == {0.0}
