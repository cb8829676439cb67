"""The wire's types agree with the things they show."""

import typing

from models.product import Product
from service.answer import Timings as Measured
from service.api.schemas import ImageSearchForm, ProductField, SearchRequest
from service.api.views import ProductView, Timings


def test_the_fields_a_caller_may_choose_are_those_of_a_product():
    assert set(typing.get_args(ProductField)) == set(Product.model_fields) == set(ProductView.__annotations__)


def test_stages_have_the_same_names_on_the_wire_and_in_the_engine():
    assert set(Timings.__annotations__) == set(Measured.__dataclass_fields__)


def test_the_form_asks_for_what_json_asks_for():
    assert set(ImageSearchForm.model_fields) - {"weight"} == set(SearchRequest.model_fields) - {"query"}
