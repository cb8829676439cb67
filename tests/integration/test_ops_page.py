"""The operator's page as files: served with their types, safe, and without a key, for they hold no data."""

import re
import tomllib
from pathlib import Path

import pytest

from service.app import OPERATOR, STOREFRONT
from service.auth import add_key
from service.scopes import Scope

LOADED = re.compile(r'(?:from |import\(|href=|src=)"([^"#?\n]+\.(?:js|css|svg))"')
ROOT = Path(__file__).parents[2]
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = sorted(path for path in OPERATOR.rglob("*.*") if path.is_file())


def test_its_files_are_served_with_their_types_and_revalidated(client):
    assert {path.suffix for path in FILES} == set(TYPES)
    for path in FILES:
        answer = client.get(f"/ops/{path.relative_to(OPERATOR).as_posix()}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(TYPES[path.suffix])
        assert answer.headers["cache-control"] == "no-cache"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_without_its_slash_it_is_sent_to_where_its_files_are(client):
    answer = client.get("/ops?view=live", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{client.base_url}/ops/?view=live"
    assert client.get("/ops").text == (OPERATOR / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["/ops/nothing.js", "/ops/../app.py", "/ops/%2e%2e/app.py", "/ops/js"])
def test_nothing_else_is_served_there(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_it_needs_no_key_and_what_it_asks_for_does(open_service, tmp_path):
    keys = tmp_path / "keys.json"
    add_key(keys, "owner", [Scope.ADMIN])
    service = open_service(keys_file=keys)
    assert service.get("/ops/").status_code == 200
    assert service.get("/v1/bundles").status_code == 401


def test_what_it_loads_is_there():
    """Every file that the page, its styles and its modules name, with the storefront's where they lie."""
    for path in FILES:
        base = path.parent
        named = LOADED.findall(path.read_text(encoding="utf-8"))
        for name in named:
            target = (base / name).resolve()
            at = target.relative_to(OPERATOR.parent)  # what stands beside its folder is served above it
            assert target.is_file() or (STOREFRONT / at).is_file(), f"{path}: {name}"


def test_it_is_part_of_the_package():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["service"]
    packed = {path for pattern in stated for path in (ROOT / "service").glob(pattern)}
    assert set(FILES) <= packed
