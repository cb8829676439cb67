"""Sections of a report that people read: held against counts and gates that are worked out product by product."""

import json
from collections import Counter, defaultdict
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from indexer.bars import Bars
from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.categories import Judged
from indexer.evaluate import Agreement, Report
from indexer.gate import report_checked, report_of
from indexer.products import SCHEMA, ProductTable, product_row
from indexer.report_sections import MOST_TOLD, SURE, agreement_of, gates_of
from models.encoder import TextTerms
from models.product import Product
from service.query import SURE_ENOUGH

NONE = -1


class Gated:
    """An encoder as far as gates go: that of a value is by its length, and the value alone."""

    def __init__(self):
        self.vocabularies = {"brand": ("Ruby", "RUBY", "Northmost"), "season": ("summer",), "colour": ("mauve",)}
        self.asked = 0

    def text_terms(self, texts, entities):
        self.asked += len(texts)
        return [self._terms(said) for said in entities]

    def _terms(self, said):
        known = {group: value for group, value in said.items() if value in self.vocabularies[group]}
        gates = {group: self.gate(value) for group, value in known.items()}
        return TextTerms(("words", *known), np.zeros((1 + len(known), 4), np.float32), gates)

    @staticmethod
    def gate(value):
        return (len(value) + value.count("R")) / 20


def stocked(products):
    rows = [product_row(product) for product in products]
    return SimpleNamespace(products=ProductTable(pa.Table.from_pylist(rows, schema=SCHEMA)))


def made(n):
    """Return n products of two known brands, the one in two spellings, and an unknown one; every third is of summer."""
    brands = ("Ruby", "Ruby", "RUBY", "Northmost", "Unheard", None)
    return [
        Product(id=f"p{i}", title=f"thing {i}", brand=brands[i % 6], season=None if i % 3 else "summer")
        for i in range(n)
    ]


class TestGates:
    def test_are_means_over_the_products_that_state_what_the_model_knows(self):
        products, encoder = made(30), Gated()
        found = gates_of(stocked(products), encoder)
        assert set(found) == {"brand", "season"}  # nobody states a colour
        each = defaultdict(list)
        for product in products:
            for group, value in product.entities(("brand", "season")).items():
                if value in encoder.vocabularies[group]:
                    each[group].append(encoder.gate(value))
        for group, gates in each.items():
            assert found[group].mean == pytest.approx(np.mean(gates))
            assert found[group].known == pytest.approx(len(gates) / 30)
        assert found["brand"].stated == pytest.approx(25 / 30)
        assert found["season"].stated == found["season"].known == pytest.approx(1 / 3)

    def test_of_values_join_spellings_and_count_products(self):
        encoder = Gated()
        ruby, northmost = gates_of(stocked(made(30)), encoder)["brand"].values
        assert (ruby.value, ruby.count) == ("Ruby", 15)
        assert ruby.mean == pytest.approx((10 * encoder.gate("Ruby") + 5 * encoder.gate("RUBY")) / 15)
        assert (northmost.value, northmost.count, northmost.mean) == ("Northmost", 5, encoder.gate("Northmost"))

    def test_ask_the_model_once_for_a_value_and_tell_of_the_most_frequent(self):
        encoder = Gated()
        names = [f"brand {'x' * i}" for i in range(1, 31)]
        encoder.vocabularies = {"brand": names}
        products = [Product(id=f"{n}-{i}", title="t", brand=n) for at, n in enumerate(names) for i in range(at + 1)]
        found = gates_of(stocked(products), encoder)["brand"]
        assert encoder.asked == len(names)
        assert [told.value for told in found.values] == names[: -1 - MOST_TOLD : -1]
        assert found.mean == pytest.approx(np.mean([encoder.gate(product.brand) for product in products]))

    def test_come_from_a_sample_that_the_seed_decides(self):
        products, encoder = made(600), Gated()
        some, same, other = (gates_of(stocked(products), encoder, seed=s, sample=60) for s in (1, 1, 2))
        assert some == same
        assert some != other
        assert some["brand"].known == pytest.approx(4 / 6, abs=0.2)
        assert sum(told.count for told in some["brand"].values) == round(60 * some["brand"].known)

    def test_of_a_model_without_any_there_are_none(self, bundle, weightless):
        assert gates_of(bundle, weightless(48)) is None
        assert gates_of(bundle, weightless(48, {"brand": ["Nobody's"]})) is None


def judged(listed, classes, probability):
    n = len(listed)
    both = Judged(np.array(classes, np.int32), np.zeros(n, np.float32), np.array(probability, np.float32))
    return SimpleNamespace(names=("bag", "dress", "mug"), listed=np.array(listed, np.int32), both=both)


class TestAgreement:
    def test_by_hand(self):
        """Eight state one: four agree, one is not sure, one has nothing to judge by, two are surely of another."""
        listed = [0, 0, 1, 2, 1, 2, 0, 2, NONE]
        classes = [0, 0, 1, 2, 2, NONE, 1, 0, 1]
        sure = [0.9, SURE, 0.8, 1.0, SURE - 0.01, 0.0, 0.95, 0.75, 1.0]
        found = agreement_of(judged(listed, classes, sure))
        assert (found.products, found.agreement, found.abstained) == (8, 4 / 8, 2 / 8)
        told = [(c.stated, c.classified, c.count) for c in found.confused]
        assert told == [("bag", "dress", 1), ("mug", "bag", 1)]

    def test_tells_of_the_most_frequent_contradictions_first(self):
        found = agreement_of(judged([0] * 3 + [1] * 5 + [2], [1] * 3 + [2] * 5 + [2], [0.99] * 9))
        assert [(c.stated, c.classified, c.count) for c in found.confused] == [("dress", "mug", 5), ("bag", "dress", 3)]
        assert found.agreement == pytest.approx(1 / 9)

    def test_of_products_without_a_category_there_is_none(self):
        assert agreement_of(judged([NONE, NONE], [0, 1], [0.9, 0.9])) is None

    def test_is_as_sure_as_a_search_is(self):
        assert SURE_ENOUGH["filter"] == SURE


class TestInABundle:
    def test_the_build_writes_both(self, bundle, built, encoder):
        report = json.loads((built.path / "report.json").read_bytes())
        assert {"gates", "categories"} <= set(report)
        assert report["gates"]["brand"]["stated"] == report["gates"]["brand"]["known"] == 1.0
        counts = Counter(product.brand for product in bundle.products)
        assert {told["value"]: told["count"] for told in report["gates"]["brand"]["values"]} == counts
        one = encoder.text_terms(["any words"], [{"brand": "Ruby"}])[0]
        assert report["gates"]["brand"]["mean"] == pytest.approx(one.gates["brand"])
        categories = bundle.categories
        sure = categories.both.probability >= SURE
        agree = sure & (categories.both.classes == categories.listed)
        assert report["categories"]["products"] == 40
        assert report["categories"]["agreement"] == pytest.approx(agree.mean())
        assert report["categories"]["abstained"] == pytest.approx((~sure).mean())

    def test_and_leaves_out_what_is_not_there(self, feeds, weightless, tmp_path):
        built = build(weightless(16), BuildOptions(feeds.write_feed(tmp_path / "feed", 6, pictures=0), tmp_path / "d"))
        with Bundle.open(built.path) as opened:
            assert not {"gates", "categories"} & set(opened.report)
            assert report_of(opened) == built.report

    def test_the_gate_takes_no_notice(self, built):
        stated = built.report
        bare = stated.model_copy(update={"gates": None, "categories": None})
        worst = Agreement(products=40, agreement=0.0, abstained=1.0, confused=())
        for report in (bare, stated.model_copy(update={"categories": worst})):
            assert report_checked(report, Bars()) == report_checked(stated, Bars())
        old = TypeAdapter(dict).validate_json(bare.model_dump_json())
        assert not {"gates", "categories"} & set(old)
        assert Report.model_validate(old) == bare
