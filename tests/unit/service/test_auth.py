"""API keys: what the file holds, what a running service sees of it, and which right each route needs."""

import json
import re
import stat
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service import auth
from service.auth import KeyFileError, KeyRing, add_key, read_keys, revoke_key
from service.scopes import ROUTES, Scope, allows, scope_of

SEARCH = [Scope.SEARCH]
GOOD = {"name": "a", "scopes": ["search"], "sha256": "ab" * 32, "rate": None, "created": "2026-11-26T10:00:00Z"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def at_once(monkeypatch):
    """Let a ring look at its file at every request."""
    monkeypatch.setattr(auth, "_LOOK_S", 0.0)


def test_a_key_is_256_random_bits_and_only_its_digest_is_kept(path):
    keys = {add_key(path, f"k{n}", SEARCH) for n in range(20)}
    assert len(keys) == 20
    assert all(re.fullmatch(r"cat_[A-Za-z0-9_-]{43}", key) for key in keys)
    text = path.read_text()
    assert not any(key in text or key.removeprefix("cat_") in text for key in keys)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [key.name for key in read_keys(path)] == [f"k{n}" for n in range(20)]


def test_what_is_said_of_a_key_is_kept(path):
    add_key(path, "shop", [Scope.WRITE, Scope.SEARCH, Scope.WRITE], "50/second")
    [key] = read_keys(path)
    assert key.scopes == (Scope.SEARCH, Scope.WRITE)
    assert key.rate == "50/second"
    assert key.created.utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    ("name", "scopes", "rate", "said"),
    [
        ("", SEARCH, None, "name: must be at most 64 letters"),
        ("a b", SEARCH, None, "name"),
        ("a\n", SEARCH, None, "name"),
        ("../a", SEARCH, None, "name"),
        ("é", SEARCH, None, "name"),
        ("x" * 65, SEARCH, None, "name"),
        ("a", [], None, "scopes"),
        ("a", SEARCH, "50", "rate: must be a number of requests and a time"),
        ("a", SEARCH, "0/second", "rate"),
        ("a", SEARCH, "50/s", "rate"),
        ("a", SEARCH, "50/second\n", "rate"),
        ("known", SEARCH, None, "there is a key 'known' already"),
    ],
)
def test_a_key_that_cannot_be_is_refused_and_changes_nothing(path, name, scopes, rate, said):
    add_key(path, "known", SEARCH)
    before = path.read_bytes()
    with pytest.raises(KeyFileError) as refused:
        add_key(path, name, scopes, rate)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_a_revoked_key_leaves_the_others(path):
    for name in "abc":
        add_key(path, name, SEARCH)
    revoke_key(path, "b")
    assert [key.name for key in read_keys(path)] == ["a", "c"]
    with pytest.raises(KeyFileError, match="there is no key 'b'"):
        revoke_key(path, "b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_revoked_or_made_where_there_is_no_file(tmp_path):
    with pytest.raises(KeyFileError, match="there is no key file"):
        revoke_key(tmp_path / "none" / "keys.json", "a")
    assert list(tmp_path.iterdir()) == []


def test_keys_added_at_once_are_all_there(path):
    threads = [threading.Thread(target=add_key, args=(path, f"k{n}", SEARCH)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in read_keys(path)} == {f"k{n}" for n in range(12)}
    assert {file.name for file in path.parent.iterdir()} == {"keys.json", "keys.json.lock"}


DAMAGED = {
    "nothing": "",
    "half of it": json.dumps({"keys": [GOOD]})[:-9],
    "a list": "[]",
    "a key without a digest": json.dumps({"keys": [{**GOOD, "sha256": ""}]}),
    "a key itself": json.dumps({"keys": [{**GOOD, "sha256": "cat_" + "x" * 43}]}),
    "a key without a right": json.dumps({"keys": [{**GOOD, "scopes": []}]}),
    "an unknown right": json.dumps({"keys": [{**GOOD, "scopes": ["everything"]}]}),
    "an unknown field": json.dumps({"keys": [{**GOOD, "secret": "x"}]}),
    "a bad rate": json.dumps({"keys": [{**GOOD, "rate": "fast"}]}),
    "two of a name": json.dumps({"keys": [GOOD, {**GOOD, "sha256": "cd" * 32}]}),
    "one key twice": json.dumps({"keys": [GOOD, {**GOOD, "name": "b"}]}),
    "a later format": json.dumps({"format_version": 2, "keys": []}),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_in_one_line_that_quotes_none_of_it(path, name):
    path.write_text(DAMAGED[name])
    for use in (read_keys, KeyRing, lambda file: add_key(file, "new", SEARCH), lambda file: revoke_key(file, "a")):
        with pytest.raises(KeyFileError) as refused:
            use(path)
        said = str(refused.value)
        assert said.startswith(f"the key file {path} is damaged: ")
        assert "\n" not in said
        assert "cat_" not in said
        assert "abab" not in said
    assert path.read_text() == DAMAGED[name]


def test_a_file_that_is_a_folder_is_refused(path):
    path.mkdir()
    with pytest.raises(KeyFileError, match="cannot be read: Is a directory"):
        KeyRing(path)


def test_a_ring_finds_its_keys_and_nothing_else(path):
    secrets = {name: add_key(path, name, SEARCH) for name in "abc"}
    ring = KeyRing(path)
    assert ring.guarded
    assert {name: ring.find(secret).name for name, secret in secrets.items()} == {n: n for n in "abc"}
    good = secrets["a"]
    for other in ("", "cat_", good[:-1], good + "A", f" {good}", f"{good}\n", good.lower(), good[4:], good[:-1] + "é"):
        assert ring.find(other) is None
    changed = good[:-1] + ("A" if good[-1] != "A" else "B")
    assert ring.find(changed) is None
    assert ring.find(read_keys(path)[0].sha256) is None


@settings(max_examples=40)
@given(st.text() | st.from_regex(r"cat_[A-Za-z0-9_-]{43}", fullmatch=True))
def test_what_was_never_given_out_opens_nothing(tmp_path_factory, sent):
    path = tmp_path_factory.getbasetemp() / "one-key.json"
    if not path.exists():
        add_key(path, "a", SEARCH)
    assert KeyRing(path).find(sent) is None


def test_without_a_file_nothing_is_guarded_until_there_is_one(path, at_once):
    ring = KeyRing(path)
    assert not ring.guarded
    secret = add_key(path, "a", SEARCH)
    assert ring.guarded
    assert ring.find(secret).name == "a"


def test_a_ring_follows_its_file_and_still_guards_without_a_key(path, at_once):
    first = add_key(path, "a", SEARCH)
    ring = KeyRing(path)
    second = add_key(path, "b", [Scope.ADMIN])
    assert ring.find(second).scopes == (Scope.ADMIN,)
    revoke_key(path, "a")
    assert ring.find(first) is None
    revoke_key(path, "b")
    assert ring.find(second) is None
    assert ring.guarded


def test_a_file_that_is_damaged_or_gone_leaves_the_last_good_keys(path, at_once):
    secret = add_key(path, "a", SEARCH)
    whole = path.read_text()
    ring = KeyRing(path)
    with capture_logs() as logs:
        path.write_text("{")
        assert ring.find(secret) is not None
        assert ring.find(secret) is not None
        path.unlink()
        assert ring.find(secret) is not None
        assert ring.guarded
        path.write_text(whole)
        assert ring.find(secret) is not None
    assert [line["event"] for line in logs] == ["keys_unusable", "keys_missing", "keys_read"]
    assert secret not in repr(logs)


def test_the_file_is_looked_at_only_so_often(path, monkeypatch):
    monkeypatch.setattr(auth, "_LOOK_S", 3_600.0)
    secret = add_key(path, "a", SEARCH)
    ring = KeyRing(path)
    assert ring.find(secret) is not None
    revoke_key(path, "a")
    assert ring.find(secret) is not None


PATHS = {
    ("GET", "/v1/products/a%2Fb"): Scope.SEARCH,
    ("GET", "/v1/products/p1/images/0"): Scope.SEARCH,
    ("DELETE", "/v1/products/p1"): Scope.WRITE,
    ("POST", "/v1/bundles/b1/activate"): Scope.ADMIN,
    ("POST", "/v1/bundles/rollback"): Scope.ADMIN,
    ("GET", "/v1/search"): Scope.ADMIN,
    ("post", "/v1/search"): Scope.ADMIN,
    ("POST", "/v1/search/"): Scope.ADMIN,
    ("POST", "/v1/products/p1"): Scope.ADMIN,
    ("GET", "/v1/products/a/b/c"): Scope.ADMIN,
    ("GET", "/v1/products"): Scope.ADMIN,
    ("GET", "/v1/nowhere"): Scope.ADMIN,
    ("GET", "/v1"): Scope.ADMIN,
    ("GET", "/v1/"): Scope.ADMIN,
    ("GET", "/v1x"): None,
    ("GET", "/livez"): None,
    ("GET", "/"): None,
    ("POST", "/openapi.json"): None,
}


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_each_path_needs_its_right_and_an_unknown_one_the_highest(method, path):
    assert scope_of(method, path) is PATHS[method, path]


def test_every_row_of_the_table_is_found_by_its_own_template():
    for (method, template), scope in ROUTES.items():
        assert scope_of(method, template) is scope


def test_admin_includes_the_others_and_no_other_right_does():
    held = {(mine, needed) for mine in Scope for needed in Scope if allows((mine,), needed)}
    assert held == {(scope, scope) for scope in Scope} | {(Scope.ADMIN, scope) for scope in Scope}
    assert not any(allows((), needed) for needed in Scope)
