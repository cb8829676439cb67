"""The API as it is promised: docs/openapi.json is what the app says, and the Python client's types are made of it."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFRESH = "run `make openapi` and commit what it writes"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("catalens_clients_generate", ROOT / "clients" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_api_is_the_one_that_was_promised(generate, support):
    promised = generate.DOCUMENT.read_text(encoding="utf-8")
    now = generate.current()
    broken = support("openapi_diff").breaking(json.loads(promised), json.loads(json.dumps(now)))
    assert not broken, "This breaks those who call the API:\n" + "\n".join(
        [*broken, f"If that is meant, say so in CHANGELOG.md, then {REFRESH}."]
    )
    assert promised == generate.written(now), f"The API has changed, and breaks nobody: {REFRESH}."


def test_the_types_of_the_python_client_are_made_of_it(generate):
    pytest.importorskip("datamodel_code_generator", reason="the generator is not installed")
    made = generate.types_of(generate.DOCUMENT)
    assert made == generate.TYPES.read_text(encoding="utf-8"), REFRESH
