"""Whatever a caller writes, or whoever starts the service: read rightly, or refused by name."""

import base64
import json
from urllib.parse import quote, unquote

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.product import Product
from service.api.requests import to_query
from service.api.schemas import SearchRequest
from service.errors import InvalidRequestError, ServiceError, StartupError
from service.filters import Filters
from service.images import PictureReader
from service.middleware import RawProductPaths
from service.query import PictureData, PicturePart, Query
from service.settings import Settings, load_settings, variable
from service.telemetry import Metrics

FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def outcome(read, error):
    """Return what `read` returns, and the error of its own by which it refused instead."""
    try:
        return read(), None
    except error as refused:
        return None, refused


@pytest.fixture
def anyio_backend():
    return "asyncio"


# --- requests ---


PARTS = st.fixed_dictionaries(
    {}, optional={"text": st.text(max_size=8), "product": st.text(max_size=8), "weight": st.floats(), "image": JSON}
)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "q": st.text(max_size=12) | JSON,
        "query": st.lists(PARTS, max_size=3) | JSON,
        "entities": st.dictionaries(st.text(max_size=4), st.none() | st.text(max_size=4), max_size=3) | JSON,
        "filter": st.dictionaries(st.text(max_size=4), JSON, max_size=3) | JSON,
        "facets": st.lists(st.text(max_size=6) | JSON, max_size=3) | JSON,
        "sort": st.lists(st.sampled_from(["a:asc", "b:desc", ":asc", "a:up"]), max_size=3) | JSON,
        "mode": st.sampled_from(["hybrid", "vector", "lexical"]) | JSON,
        "limit": st.integers() | JSON,
        "offset": st.integers() | JSON,
        "diversity": st.floats() | JSON,
        "rerank": JSON,
        "fields": st.lists(st.sampled_from(["id", "title", "sku"]), max_size=3) | JSON,
    },
)


@FEW
@given(ASKED)
def test_any_request_is_a_query_or_refused(asked):
    request, refused = outcome(lambda: SearchRequest.model_validate(asked), ValidationError)
    if request is None:
        assert refused.errors()
        return
    query, refused = outcome(lambda: to_query(request), ServiceError)
    if query is None:
        assert refused.errors
    else:
        assert isinstance(query, Query)
        assert not query.parts or max(part.weight for part in query.parts) > 0
        assert 1 <= query.limit <= 100


FIELDS = st.sampled_from(["price", "brand", "in_stock", "id", "colour", "and", "or", "not", "nope"]) | st.text(
    max_size=4
)
OPERATORS = st.sampled_from(["eq", "in", "gt", "gte", "lt", "lte", "exists", "not"]) | st.text(max_size=3)
CONDITIONS = st.recursive(
    JSON,
    lambda inner: st.dictionaries(OPERATORS | FIELDS, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def filters(tmp_path_factory):
    from indexer.fields import Fields  # noqa: PLC0415 - for one test
    from indexer.products import ProductTable, ProductWriter  # noqa: PLC0415

    path = tmp_path_factory.mktemp("fields") / "products.parquet"
    with ProductWriter(path) as writer:
        writer.write(
            [
                Product(
                    id=f"p{n}", title="t", brand="Ruby", price=n, in_stock=bool(n % 2), attributes={"colour": "red"}
                )
                for n in range(5)
            ]
        )
    return Filters(Fields(ProductTable.open(path)))


@FEW
@given(st.dictionaries(FIELDS, CONDITIONS, max_size=3))
def test_any_filter_admits_some_products_or_is_refused_with_its_path(filters, stated):
    mask, refused = outcome(lambda: filters.mask(stated), InvalidRequestError)
    if mask is None:
        assert refused.errors[0].path.startswith("filter")
    else:
        assert mask.shape == (5,)
        assert (~filters.mask({"not": stated}) == mask).all()


# --- pictures as text ---


async def unwrapped(stated):
    reader = PictureReader(Settings(), Metrics())
    try:
        return (await reader.load(PicturePart(PictureData(stated), 1.0, "image.data"))).data
    finally:
        reader.close()


@pytest.mark.anyio
@settings(parent=FEW, max_examples=30)
@given(
    data=st.binary(min_size=1, max_size=60),
    head=st.sampled_from(["", "data:;base64,", "data:image/png;base64,", "DATA:text/html;charset=x;BASE64,"]),
    breaks=st.lists(st.tuples(st.integers(0, 80), st.sampled_from(" \t\r\n")), max_size=4),
)
async def test_any_bytes_come_back_from_base64(data, head, breaks):
    text = base64.b64encode(data).decode()
    for place, space in breaks:
        text = text[:place] + space + text[place:]
    assert await unwrapped(head + text) == data


@pytest.mark.anyio
@settings(parent=FEW, max_examples=30)
@given(st.text(max_size=40) | st.text("ABCDefgh+/=,:;\n", max_size=40))
async def test_any_text_is_base64_or_refused(text):
    try:
        data = await unwrapped(text)
    except InvalidRequestError as refused:
        paths = [fault.path for fault in refused.errors]
        assert paths == ["image.data"]
    else:
        kept = text.rpartition(",")[2] if text.lower().startswith("data:") else text
        written, again = "".join(kept.split()), base64.b64encode(data).decode()
        assert len(written) == len(again)
        last = len(again.rstrip("=")) - 1  # its spare bits may be any (RFC 4648, 3.5)
        assert written[:last] == again[:last]


# --- ids in paths ---


app = FastAPI()
app.add_middleware(RawProductPaths)


@app.get("/v1/products/{product_id}")
async def whole(product_id: str, request: Request):
    return {"id": unquote(product_id), "route": "whole"}


@app.get("/v1/products/{product_id}/similar")
async def similar(product_id: str):
    return {"id": unquote(product_id), "route": "similar"}


@pytest.mark.anyio
@FEW
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.text("/%.? #\\é", min_size=1))
async def test_any_id_comes_through_a_path(product_id):
    assume(product_id not in {".", ".."})  # which clients resolve before they send
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        for rest, route in (("", "whole"), ("/similar", "similar")):
            answer = await client.get(f"/v1/products/{quote(product_id, safe='')}{rest}")
            assert answer.json() == {"id": product_id, "route": route}


# --- settings ---


NAMES = st.sampled_from(sorted(Settings.model_fields))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
GIVEN = st.dictionaries(NAMES, TEXTS | st.sampled_from(["0", "-1", "1e9", "9" * 30, "true", "off", "redis://x", "nan"]))


@FEW
@given(flags=GIVEN, environ=GIVEN)
def test_any_settings_are_taken_or_refused_in_one_line_that_names_one(flags, environ):
    with pytest.MonkeyPatch.context() as patched:
        for name, text in environ.items():
            patched.setenv(variable(name), text)
        taken, refused = outcome(lambda: load_settings(flags), StartupError)
    if taken is None:
        assert len(str(refused).splitlines()) == 1, str(refused)
        assert "CATALENS_" in str(refused)
    else:
        assert json.loads(taken.model_dump_json())
