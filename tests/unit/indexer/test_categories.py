"""Judges of categories: of which classes, what they say of each product, and what a bundle keeps of them.

Products have clusters of vectors that were drawn here, so that what is right is known.
"""

import io
import json
import pickle
import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import indexer.build
from indexer import categories
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle, BundleError
from indexer.categories import FILE, MIN_PRODUCTS, MIN_QUERIES, Categories, judge_categories
from indexer.evaluate import measure
from indexer.fields import Fields
from indexer.manifest import read_manifest, record_file, write_durably
from indexer.products import SCHEMA, ProductTable, product_row
from models.product import Product

KINDS = ("text", "image")
D = 16
NAMES = ("bag", "dress", "mug")


def stocked(products, texts, pictures=None):
    """Return as much of a bundle as judging reads: vectors `(n, D)` of texts, and of one picture each; NaN: none."""
    table = ProductTable(pa.Table.from_pylist([product_row(product) for product in products], schema=SCHEMA))
    pictures = np.full_like(texts, np.nan) if pictures is None else pictures
    rows = np.flatnonzero(~np.isnan(pictures[:, 0])).astype(np.int32)
    vectors = {"text": texts.astype(np.float16), "image": pictures[rows].astype(np.float16)}
    starts = np.searchsorted(rows, np.arange(len(products) + 1))
    return SimpleNamespace(products=table, fields=Fields(table), vectors=vectors, image_rows=rows, image_starts=starts)


def clusters(true, seed=0, spread=0.1):
    """Return unit vectors near a centre for each class of `true (n,)`, classes apart."""
    rng = np.random.default_rng(seed)
    found = np.eye(D)[np.asarray(true)] + spread * rng.standard_normal((len(true), D))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def made(true, **changes):
    """Return products of the classes `true` of NAMES; `category={3: "lamp"}` states another of product 3."""
    products = [Product(id=f"p{i}", title=f"thing {i}", category=NAMES[c]) for i, c in enumerate(true)]
    for name, values in changes.items():
        for i, value in values.items():
            products[i] = products[i].model_copy(update={name: value})
    return products


def same(one, other):
    """Return whether two hold the same values bit for bit, arrays and all that holds arrays."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "__dataclass_fields__"):
        return type(one) is type(other) and all(
            same(getattr(one, k), getattr(other, k)) for k in type(one).__dataclass_fields__
        )
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.fixture(scope="module")
def plain(weightless):
    """An encoder whose text vectors hold no category, so that those of the bundle are judged."""
    return weightless(D, {"brand": ["Ruby"]})


@pytest.fixture(scope="module")
def quick_builds():
    """Builds that measure themselves on less: what they choose is of no account here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer.build, "measure", partial(measure, sample=10))
        patch.setattr(indexer.build, "calibrate_lexical_weight", lambda _bundle, _encoder, weights, **_: weights)
        yield


TRUE = np.arange(45) % 3


@pytest.fixture(scope="module")
def judged(plain):
    """45 products of three classes, texts and pictures alike; five of them are out of the ordinary."""
    products = made(
        TRUE,
        category={0: None, 1: "lamp", 2: "lamp", 3: "dress", 4: "DRESS", 7: "DRESS"},  # product 3 is a bag
    )
    pictures = clusters(TRUE, seed=1)
    pictures[[0, 5]] = np.nan
    return judge_categories(stocked(products, clusters(TRUE), pictures), plain)


# --- classes ---


def test_a_class_is_what_enough_products_state(plain):
    true = np.array([0] * MIN_PRODUCTS + [1] * MIN_PRODUCTS + [2] * (MIN_PRODUCTS - 1))
    found = judge_categories(stocked(made(true), clusters(true)), plain)
    assert found.names == ("bag", "dress")
    assert found.listed.tolist() == [0] * MIN_PRODUCTS + [1] * MIN_PRODUCTS + [-1] * (MIN_PRODUCTS - 1)


def test_spellings_that_differ_in_case_are_one_class(judged):
    assert judged.names == NAMES
    assert judged.listed[[4, 7, 10]].tolist() == [1, 1, 1]


def test_the_commonest_spelling_names_a_class_and_case_does_not_count(plain):
    true = np.arange(20) % 2
    products = made(true, category={i: "Bag" if i % 4 else "BAG" for i in range(0, 20, 2)} | {0: "Bag"})
    found = judge_categories(stocked(products, clusters(true)), plain)
    assert found.names == ("Bag", "dress")
    assert [found.number(name) for name in ("bag", "BAG", "Bag", "dReSS")] == [0, 0, 0, 1]
    assert found.number("bags") is None
    assert found.number("") is None


@pytest.mark.parametrize(
    "stated",
    [
        [],
        ["bag"] * 20,
        ["bag"] * 20 + ["dress"] * (MIN_PRODUCTS - 1),
        ["bag"] * 10 + ["BAG"] * 10,
        [f"kind {i}" for i in range(20)],
    ],
)
def test_fewer_than_two_classes_have_no_judges(plain, stated):
    n = 25
    categories_of = dict(enumerate([*stated, *[None] * (n - len(stated))]))
    products = made(np.zeros(n, int), category=categories_of)
    assert judge_categories(stocked(products, clusters(np.zeros(n, int))), plain) is None


def test_a_bundle_without_judges_has_no_file_and_opens(tmp_path, feeds, encoder, quick_builds):
    rows = [{**row, "category": "mug", "images": []} for row in feeds.products(8)]
    (tmp_path / "catalogue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made_of_mugs = build(encoder, BuildOptions(tmp_path / "catalogue.jsonl", tmp_path / "data"))
    assert not (made_of_mugs.path / FILE).exists()
    assert FILE not in made_of_mugs.manifest.files
    with Bundle.open(made_of_mugs.path) as bundle:
        assert bundle.categories is None


# --- what is said of products ---


def test_all_are_judged_and_rightly(judged):
    for part in (judged.both, judged.judged["text"]):
        assert part.classes.tolist() == TRUE.tolist()
        assert (part.margins > 0).all()
        assert (part.probability > 0.5).all()
        assert (part.probability <= 1).all()


def test_products_without_pictures_are_judged_by_their_texts_alone(judged):
    pictures = judged.judged["image"]
    pictured = np.ones(45, bool)
    pictured[[0, 5]] = False
    assert np.array_equal(pictures.classes == -1, ~pictured)
    assert pictures.classes[pictured].tolist() == TRUE[pictured].tolist()
    assert pictures.probability[~pictured].tolist() == pictures.margins[~pictured].tolist() == [0, 0]
    assert judged.both.classes[[0, 5]].tolist() == TRUE[[0, 5]].tolist()


def test_what_is_listed_of_nothing_or_too_rare_is_nothing_but_judged(judged):
    assert judged.listed[[0, 1, 2]].tolist() == [-1, -1, -1]
    assert judged.wrong[[0, 1, 2]].tolist() == [0, 0, 0]
    assert judged.both.classes[[0, 1, 2]].tolist() == [0, 1, 2]


def test_a_planted_wrong_category_is_found(judged):
    assert judged.listed[3] == 1
    assert judged.both.classes[3] == 0
    assert judged.wrong[3] > 0.9
    assert (np.delete(judged.wrong, 3) < 0.5).all()
    assert (judged.wrong >= 0).all()


def test_without_pictures_there_is_no_judge_of_them(plain):
    found = judge_categories(stocked(made(TRUE), clusters(TRUE)), plain)
    assert set(found.judges) == set(found.judged) == {"text"}
    np.testing.assert_array_equal(found.both.classes, found.judged["text"].classes)


def test_pictures_of_one_class_alone_have_no_judge(plain):
    pictures = clusters(TRUE)
    pictures[TRUE != 1] = np.nan
    found = judge_categories(stocked(made(TRUE), clusters(TRUE), pictures), plain)
    assert set(found.judges) == {"text"}


def test_a_products_pictures_count_by_their_mean(plain):
    """Two pictures that point apart, each of which is of another class by itself, are judged together."""
    products = made(TRUE)
    bundle = stocked(products, clusters(TRUE), clusters(TRUE, seed=1))
    third = np.eye(D, dtype=np.float16)
    rows = np.concatenate([np.arange(44), [44, 44, 44]]).astype(np.int32)
    bundle.vectors["image"] = np.concatenate([bundle.vectors["image"][:44], third[[0, 0, 2]]])
    bundle.image_rows, bundle.image_starts = rows, np.searchsorted(rows, np.arange(46))
    assert judge_categories(bundle, plain).judged["image"].classes[44] == 0
    bundle.vectors["image"][-3:] = third[[0, 2, 2]]
    assert judge_categories(bundle, plain).judged["image"].classes[44] == 2


def test_the_text_judge_does_not_see_the_category(weightless):
    """Twins that differ in category alone: rare ones, and variants of one product, held out together."""
    encoder = weightless(D, {"category": [*NAMES, "lamp", "vase"]})
    words = ("zip strap", "hem sleeve", "handle glaze")
    products = [
        Product(id=f"p{i}", title=f"{words[c]} {i % 7}", category=NAMES[c], group=f"g{i}") for i, c in enumerate(TRUE)
    ]
    products += [
        Product(id="lamp", title="hem sleeve", category="lamp"),
        Product(id="vase", title="hem sleeve", category="vase"),
        Product(id="twin", title="hem sleeve 9", category="dress", group="twins"),
        Product(id="other", title="hem sleeve 9", category="mug", group="twins"),
    ]
    stated = [product.entities(encoder.vocabularies) for product in products]
    texts = encoder.encode_texts([product.title for product in products], stated)
    assert not np.allclose(texts[-4], texts[-3], atol=0.01)
    assert not np.allclose(texts[-2], texts[-1], atol=0.01)
    found = judge_categories(stocked(products, texts), encoder).judged["text"]
    for one, other in ((-4, -3), (-2, -1)):
        assert found.classes[one] == found.classes[other] == 1
        assert found.margins[one] == found.margins[other]
        assert found.probability[one] == found.probability[other]


@pytest.mark.parametrize("group", ["together", None])
def test_variants_of_one_product_are_held_out_together(plain, group):
    """Twins of equal vectors get equal margins just if the same judge, fitted on neither, judged them."""
    true = np.repeat(np.arange(24) % 3, 2)
    texts = np.repeat(clusters(true[::2], spread=0.4), 2, axis=0)
    groups = {} if group is None else {i: f"g{i // 2}" for i in range(len(true))}
    found = judge_categories(stocked(made(true, group=groups), texts), plain).judged["text"]
    alike = found.margins[::2] == found.margins[1::2]
    assert alike.all() if group else not alike.all()


def test_those_beyond_what_is_fitted_are_judged_by_the_judge_itself(plain, monkeypatch):
    bundle = stocked(made(TRUE), clusters(TRUE, spread=0.3))
    monkeypatch.setattr(categories, "FITTED", 30)
    monkeypatch.setattr(categories, "_JUDGED_AT_ONCE", 4)
    found = judge_categories(bundle, plain)
    by_all = found.judges["text"].judge(bundle.vectors["text"])
    beyond = np.isclose(found.judged["text"].margins, by_all.margins, rtol=1e-5)
    assert 15 <= beyond.sum() < 30
    assert found.listed.min() == 0  # nothing was forgotten of those beyond
    np.testing.assert_array_equal(found.judged["text"].classes[beyond], by_all.classes[beyond])
    np.testing.assert_allclose(found.judged["text"].probability[beyond], by_all.probability[beyond], rtol=1e-4)
    assert (found.judged["text"].classes == TRUE).mean() > 0.8
    monkeypatch.undo()
    whole = judge_categories(bundle, plain)
    assert not np.isclose(
        whole.judged["text"].margins, whole.judges["text"].judge(bundle.vectors["text"]).margins, rtol=1e-5
    ).any()


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param(["one"] * 12, id="all variants of one product"),
        pytest.param(["one", "two"] * 6, id="one product with its variants in each class"),
    ],
)
def test_what_cannot_be_held_out_has_no_judges(plain, groups):
    """No judge can be fitted without a group where it holds a whole class: there is none, and no failed build."""
    true = np.arange(12) % 2
    products = made(true, group=dict(enumerate(groups)))
    assert judge_categories(stocked(products, clusters(true)), plain) is None


def test_pictures_that_cannot_be_held_out_have_no_judge(plain):
    pictures = clusters(TRUE)
    pictures[2:] = np.nan
    products = made(TRUE, group={0: "one", 1: "one"})
    found = judge_categories(stocked(products, clusters(TRUE), pictures), plain)
    assert set(found.judges) == {"text"}
    assert found.both.classes.tolist() == TRUE.tolist()


# --- how sure one may be of a shopper's words ---


def with_words(n):
    words = ("zip strap buckle", "hem sleeve collar", "handle glaze saucer")
    return [
        Product(id=f"p{i}", title=f"{words[i % 3]} {NAMES[i % 3]}", description=f"no {i}", category=NAMES[i % 3])
        for i in range(n)
    ]


def test_how_sure_one_may_be_of_words_is_learnt_from_enough_of_them(weightless):
    encoder = weightless(D)
    products = with_words(MIN_QUERIES)
    texts = encoder.encode_texts([f"{product.title} {product.description}" for product in products])
    curve = judge_categories(stocked(products, texts), encoder).of_queries
    heights = curve(np.linspace(-1, 10, 50))
    assert ((heights > 0) & (heights < 1)).all()
    assert (np.diff(heights) >= 0).all()
    assert heights[-1] > 0.5  # three classes with words of their own


def test_how_sure_one_may_be_of_few_words_is_not_told(weightless):
    encoder = weightless(D)
    products = with_words(MIN_QUERIES // 2 - 1)  # each makes two queries
    texts = encoder.encode_texts([product.title for product in products])
    found = judge_categories(stocked(products, texts), encoder)
    assert found.of_queries is None
    assert found.judges["text"] is not None


def test_made_queries_do_not_name_the_category():
    product = Product(id="p", title="Evening dresses Dress, dress.", description="a long dress", category="Dress")
    typed = {categories._as_typed(product, np.random.default_rng(seed)) for seed in range(50)}
    words = {word for text in typed for word in text.split()}
    assert words == {"Evening", "a", "long"}
    assert all(typed)


# --- what a bundle keeps ---


def test_the_same_products_are_judged_the_same(plain, judged):
    bundle = stocked(made(TRUE), clusters(TRUE, spread=0.4))
    assert same(judge_categories(bundle, plain), judge_categories(bundle, plain))
    assert not same(judge_categories(bundle, plain), judged)


def test_two_builds_of_one_feed_are_the_same(built, feed, encoder, tmp_path, quick_builds):
    again = build(encoder, BuildOptions(feed, tmp_path))
    assert again.manifest.files[FILE] == built.manifest.files[FILE]
    once_more = build(encoder, BuildOptions(feed, tmp_path))
    assert once_more.manifest.digest == again.manifest.digest


@pytest.fixture
def stored(judged, tmp_path):
    """Where what was judged is stored."""
    judged.write(tmp_path)
    return tmp_path


def test_what_is_read_is_what_was_written(judged, stored):
    again = Categories.open(stored, 45)
    assert same(again, judged)
    queries = clusters(TRUE, seed=9)
    for kind in KINDS:
        assert same(again.judges[kind].judge(queries), judged.judges[kind].judge(queries))


def test_a_bundle_opens_with_what_was_judged_of_it(bundle, encoder, feeds):
    assert bundle.categories.names == tuple(sorted(feeds.CATEGORIES))
    assert same(bundle.categories, judge_categories(bundle, encoder))


def test_nothing_in_the_file_needs_pickle(stored):
    with np.load(stored / FILE, allow_pickle=False) as file:
        assert not any(file[name].dtype.hasobject for name in file.files)
        assert {"names", "listed", "wrong", "both/classes", "text/prototypes", "image/classes"} <= set(file.files)


def arrays_of(folder):
    with np.load(folder / FILE, allow_pickle=False) as file:
        return dict(file.items())


def refused(folder, n=45):
    with pytest.raises(BundleError, match=r"categories\.npz"):
        Categories.open(folder, n)


@pytest.mark.parametrize("n", [0, 44, 46])
def test_another_number_of_products_is_refused(stored, n):
    refused(stored, n)


def test_every_array_must_be_there(stored):
    whole = arrays_of(stored)
    needed = [name for name in whole if name != "queries"]
    assert len(needed) > 20
    for name in needed:
        np.savez(stored / FILE, **{key: array for key, array in whole.items() if key != name})
        refused(stored)
    np.savez(stored / FILE, **whole)
    assert Categories.open(stored, 45).names == NAMES


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("listed", lambda array: array.astype(np.int64)),
        ("wrong", lambda array: array.astype(np.float64)),
        ("text/classes", lambda array: array.astype(np.float32)),
        ("both/margins", lambda array: array[:-1]),
        ("both/probability", lambda array: array[:, None]),
        ("image/prototypes", lambda array: array.astype(np.float64)),
        ("text/whitening", lambda array: array[:-1]),
        ("text/bias", lambda array: array[:-1]),
        ("listed", lambda array: array + np.int32(3)),
        ("both/classes", lambda array: array - np.int32(2)),
        ("names", lambda array: array[:-1]),
        ("names", lambda array: array[::-1]),
        ("queries", lambda _: np.zeros(0)),
        ("queries", lambda _: np.zeros((1, 3))),
        ("queries", lambda _: np.zeros((2, 3))),
        ("queries", lambda _: np.array([[0.0, 1.0], [1.0, 0.0]])),
        ("queries", lambda _: np.array([["a", "b"], ["c", "d"]])),
    ],
)
def test_an_array_that_does_not_fit_is_refused(stored, name, change):
    whole = arrays_of(stored)
    whole.setdefault("queries", np.array([[0.0, 1.0], [0.2, 0.9]]))
    np.savez(stored / FILE, **whole)
    assert Categories.open(stored, 45).of_queries is not None
    np.savez(stored / FILE, **{**whole, name: change(whole[name])})
    refused(stored)


class Planted:
    """Runs when it is unpickled."""

    ran = False

    def __reduce__(self):
        return (setattr, (Planted, "ran", True))


def test_pickles_are_refused_and_not_run(stored):
    whole = arrays_of(stored)
    np.savez(stored / FILE, **{**whole, "names": np.array([Planted()], object)})
    refused(stored)
    (stored / FILE).write_bytes(pickle.dumps(Planted()))
    refused(stored)
    assert not Planted.ran


def test_a_damaged_file_is_refused(judged, stored):
    content = (stored / FILE).read_bytes()
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    lengths = [0, 1, 3, 100, len(content) // 2, len(content) - 1]
    flipped = bytearray(content)
    flipped[content.index(judged.wrong.tobytes())] ^= 1
    for damaged in [*(content[:length] for length in lengths), b"no archive", bytes(flipped), single.getvalue()]:
        (stored / FILE).write_bytes(damaged)
        refused(stored)
    (stored / FILE).unlink()
    refused(stored)


def test_a_bundle_with_another_ones_categories_is_refused(built, stored, tmp_path):
    folder = shutil.copytree(built.path, tmp_path / "copies" / built.path.name)
    shutil.copyfile(stored / FILE, folder / FILE)
    manifest = read_manifest(folder)
    files = {name: record_file(folder / name) for name in manifest.files}
    write_durably(folder / "manifest.json", manifest.model_copy(update={"files": files}).to_bytes())
    with pytest.raises(BundleError, match=r"categories\.npz: not readable categories"):
        Bundle.open(folder)
