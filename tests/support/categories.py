"""Services over shops with categories, what is asked of them, and what their answers hold."""

from pydantic import TypeAdapter
from starlette.testclient import TestClient

from service.api.views import ClassifyResponse
from service.app import create_app
from service.settings import Settings

ANSWER = TypeAdapter(ClassifyResponse)
ALL = 100
UNNAMED = "red and blue model for every day"  # words that name no category


def serve(shop, **given):
    settings = Settings.model_validate({"update_log": "off", "ready_cache_ms": 0, **given})
    return TestClient(create_app(settings, (shop.encoder, shop.bundle)))


def classify(client, **asked):
    answer = client.post("/v1/classify", json=asked)
    assert answer.status_code == 200, answer.text
    ANSWER.validate_python(answer.json(), strict=True)
    return answer.json()["category"]


def ids(found):
    return [hit["id"] for hit in found["hits"]]


def of(found):
    return [hit["product"]["category"] for hit in found["hits"]]


def refusal(answer):
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"].endswith(":invalid-request")
    return [error["path"] for error in answer.json()["errors"]]


def named(category, action, **more):
    return {"category": category, "action": action, **more}


BAGS = {f"p{i}" for i in range(48) if (i // 2) % 6 == 5}
MUGS = {f"p{i}" for i in range(48) if (i // 2) % 6 == 4}
STATED_MUGS = MUGS - {"p8", "p21"}
