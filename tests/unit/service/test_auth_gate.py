"""The gate around a bare ASGI app: who gets in, what the others are told, and that no body is read for that."""

import asyncio
import json
import os

import pytest
from prometheus_client import CollectorRegistry
from structlog.contextvars import clear_contextvars, get_contextvars
from structlog.testing import capture_logs

from service import auth
from service.auth import KeyRing, add_key, revoke_key
from service.errors import StartupError
from service.gate import Gate, Rules, door
from service.quota import Quota
from service.scopes import Scope
from service.settings import Anonymous, Settings, load_settings

UNKNOWN = "cat_" + "A" * 43
SEARCH, WRITE, ADMIN = ("POST", "/v1/search"), ("PUT", "/v1/products"), ("POST", "/v1/bundles/rollback")
UNLISTED, OPEN = ("GET", "/v1/nowhere"), ("GET", "/livez")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def keys(path):
    """A key for each right, by its name."""
    return {scope.value: add_key(path, scope.value, [scope]) for scope in Scope}


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def gate(path, **rules):
    registry = CollectorRegistry()
    opened = Gate(app, KeyRing(path), Quota(registry), Rules(**rules), registry)
    opened.registry = registry
    return opened


class Answer:
    def __init__(self, sent):
        self.status = sent[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        self.body = sent[1]["body"]

    @property
    def problem(self):
        return json.loads(self.body)


def ask(gate, route, *headers, client=("192.0.2.1", 5)):
    """Send a request whose body may not be read."""
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    async def scenario():
        clear_contextvars()
        scope = {
            "type": "http", "method": route[0], "path": route[1], "query_string": b"", "client": client,
            "headers": [(name.encode(), value.encode()) for name, value in headers], "state": {"request_id": "r1"},
        }  # fmt: skip
        await gate(scope, receive, send)
        return get_contextvars()

    context = asyncio.run(scenario())
    answer = Answer(sent)
    answer.context = context
    return answer


def bearer(key):
    return ("authorization", f"Bearer {key}")


ALL, SEARCHES = {SEARCH, WRITE, ADMIN, UNLISTED}, {SEARCH}


@pytest.mark.parametrize(
    ("who", "allowed"), [("search", SEARCHES), ("write", {WRITE}), ("admin", ALL)], ids=["search", "write", "admin"]
)
@pytest.mark.parametrize("route", [SEARCH, WRITE, ADMIN, UNLISTED], ids=lambda route: route[1])
def test_a_key_opens_what_its_scopes_say(path, keys, who, allowed, route):
    answer = ask(gate(path), route, bearer(keys[who]))
    assert answer.status == (200 if route in allowed else 403)
    assert answer.context["key"] == who
    if answer.status == 403:
        needed = {SEARCH: "search", WRITE: "write"}.get(route, "admin")
        assert answer.problem["type"] == "urn:catalens:problem:forbidden"
        assert answer.problem["detail"] == f"The key {who!r} does not have the scope {needed!r}."


@pytest.mark.parametrize(
    ("anonymous", "with_file", "allowed"),
    [
        (Anonymous.AUTO, False, ALL),
        (Anonymous.AUTO, True, set()),
        (Anonymous.NONE, False, set()),
        (Anonymous.NONE, True, set()),
        (Anonymous.SEARCH, False, SEARCHES),
        (Anonymous.SEARCH, True, SEARCHES),
    ],
)
def test_what_callers_without_a_key_may_do(path, anonymous, with_file, allowed):
    if with_file:
        add_key(path, "a", [Scope.ADMIN])
    opened = gate(path, anonymous=anonymous)
    for route in (SEARCH, WRITE, ADMIN, UNLISTED):
        answer = ask(opened, route)
        assert answer.status == (200 if route in allowed else 401), route
        assert "key" not in answer.context
        if answer.status == 401:
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.problem["type"] == "urn:catalens:problem:unauthenticated"
            assert "Authorization: Bearer KEY" in answer.problem["detail"]
    assert ask(opened, OPEN).status == 200


def test_a_file_without_a_key_left_keeps_everything_closed(path, keys):
    for name in keys:
        revoke_key(path, name)
    assert ask(gate(path), SEARCH).status == 401


WRONG = {
    "unknown": [bearer(UNKNOWN)],
    "unknown, in the other header": [("x-api-key", UNKNOWN)],
    "malformed": [bearer("hunter2")],
    "empty": [bearer("")],
    "empty, in the other header": [("x-api-key", "")],
    "no Bearer": [("authorization", UNKNOWN)],
    "another scheme": [("authorization", "Basic dXNlcjpodW50ZXIy")],
    "huge": [bearer("cat_" + "x" * 100_000)],
    "two that differ": [bearer("{search}"), ("x-api-key", UNKNOWN)],
    "two lines that differ": [bearer("{search}"), bearer(UNKNOWN)],
    "a good one with a tail": [bearer("{search}x")],
    "two in one line": [bearer("{search}, {search}")],
}


@pytest.mark.parametrize("anonymous", Anonymous)
@pytest.mark.parametrize("name", WRONG)
def test_a_bad_key_is_401_even_where_none_is_needed_and_is_not_repeated(path, keys, name, anonymous):
    headers = [(header, value.format(**keys)) for header, value in WRONG[name]]
    answer = ask(gate(path, anonymous=anonymous), SEARCH, *headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert b"cat_" not in answer.body
    assert b"hunter2" not in answer.body
    assert "key" not in answer.context


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer {search}")],
        [("authorization", "bEARER   {search} ")],
        [("x-api-key", "{search}")],
        [("x-api-key", "{search}"), ("authorization", "Bearer {search}")],
        [("x-api-key", "{search}"), ("authorization", "Basic dXNlcjpodW50ZXIy")],
    ],
)
def test_a_key_can_be_sent_either_way(path, keys, headers):
    assert ask(gate(path), SEARCH, *[(name, value.format(**keys)) for name, value in headers]).status == 200


def test_without_keys_what_is_sent_does_not_matter(path):
    assert ask(gate(path), SEARCH, bearer(UNKNOWN)).status == 200


def test_a_revoked_key_is_401(path, keys, monkeypatch):
    monkeypatch.setattr(auth, "_LOOK_S", 0.0)
    opened = gate(path)
    assert ask(opened, SEARCH, bearer(keys["search"])).status == 200
    revoke_key(path, "search")
    assert ask(opened, SEARCH, bearer(keys["search"])).status == 401
    assert ask(opened, SEARCH, bearer(keys["admin"])).status == 200


@pytest.mark.parametrize(
    ("header", "closes"),
    [
        (("content-length", "5"), True),
        (("content-length", "x"), True),
        (("transfer-encoding", "chunked"), True),
        (("content-length", "0"), False),
        (("accept", "*/*"), False),
    ],
)
def test_a_refusal_leaves_an_announced_body_unread_and_ends_its_connection(path, keys, header, closes):
    opened = gate(path, key_rate="1/hour")
    statuses = {401: [], 403: [bearer(keys["write"])], 429: [bearer(keys["search"])]}
    assert ask(opened, SEARCH, bearer(keys["search"])).status == 200
    for status, sent in statuses.items():
        answer = ask(opened, SEARCH, header, *sent)
        assert answer.status == status
        assert (answer.headers.get("connection") == "close") is closes


def test_a_key_over_its_rate_is_429_and_says_when_to_come_back(path):
    own, other = add_key(path, "own", [Scope.SEARCH], "2/minute"), add_key(path, "other", [Scope.SEARCH])
    opened = gate(path, key_rate="1/hour")
    assert [ask(opened, SEARCH, bearer(own)).status for _ in range(3)] == [200, 200, 429]
    assert [ask(opened, SEARCH, bearer(other)).status for _ in range(2)] == [200, 429]
    refused = ask(opened, SEARCH, bearer(own))
    assert refused.problem["type"] == "urn:catalens:problem:rate-limited"
    assert refused.problem["detail"].startswith("The key 'own' may make 2 requests per minute; ")
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-limit"] == "2"
    assert refused.headers["ratelimit-remaining"] == "0"
    assert refused.headers["ratelimit-reset"] == refused.headers["retry-after"]
    assert ask(opened, OPEN).status == 200


def test_what_is_refused_for_its_rights_is_not_counted(path):
    key = add_key(path, "a", [Scope.SEARCH], "1/hour")
    opened = gate(path)
    assert [ask(opened, WRITE, bearer(key)).status for _ in range(3)] == [403] * 3
    assert ask(opened, SEARCH, bearer(key)).status == 200


SAME = [
    ("192.0.2.1", "192.0.2.1"),
    ("192.0.2.1", "::ffff:192.0.2.1"),
    ("2001:db8::1", "2001:db8::ffff:1"),
    ("fe80::1%eth0", "fe80::2%eth1"),
]
DIFFERENT = [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1"), ("192.0.2.1", None), ("unix", None)]


@pytest.mark.parametrize(("first", "second"), SAME + DIFFERENT)
def test_callers_without_a_key_are_counted_by_address(path, first, second):
    opened = gate(path, anonymous_rate="1/hour")
    clients = [None if host is None else (host, 1234) for host in (first, second)]
    statuses = [ask(opened, SEARCH, client=client).status for client in clients]
    assert statuses == [200, 429 if (first, second) in SAME else 200]


def test_a_key_is_not_held_to_the_rate_of_its_address(path, keys):
    opened = gate(path, anonymous=Anonymous.SEARCH, anonymous_rate="1/hour")
    assert [ask(opened, SEARCH).status for _ in range(2)] == [200, 429]
    assert [ask(opened, SEARCH, bearer(keys["search"])).status for _ in range(3)] == [200] * 3


def test_outcomes_are_counted_by_the_name_of_the_key(path, keys):
    opened = gate(path, key_rate="1/hour")
    for sent in ([bearer(keys["search"])], [bearer(keys["search"])], [bearer(keys["write"])], [], [bearer(UNKNOWN)]):
        ask(opened, SEARCH, *sent)

    def counted(key, outcome):
        return opened.registry.get_sample_value("catalens_key_requests_total", {"key": key, "outcome": outcome})

    assert counted("search", "admitted") == counted("search", "rate-limited") == counted("write", "forbidden") == 1
    assert counted("", "unauthenticated") == 2


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("CATALENS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def opened_door(**given):
    return door(Settings.model_validate(given), CollectorRegistry())


def test_a_damaged_file_or_a_missing_one_that_was_named_ends_the_start_in_one_line(path, tmp_path):
    with pytest.raises(StartupError, match=r"CATALENS_KEYS_FILE or --keys-file: there is no .*service keys add"):
        opened_door(keys_file=path)
    path.write_text("{")
    for given in ({"keys_file": path}, {"data_dir": tmp_path}):
        with pytest.raises(StartupError, match="is damaged") as refused:
            opened_door(**given)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "warns"),
    [
        ({"host": "0.0.0.0"}, True),
        ({"host": "shop.example"}, True),
        ({"host": "::"}, True),
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
        ({"host": "0.0.0.0", "anonymous": "search"}, False),
        ({"host": "0.0.0.0", "keys_file": "made.json"}, False),
    ],
)
def test_the_log_says_when_anybody_may_do_anything(tmp_path, given, warns):
    add_key(tmp_path / "made.json", "a", [Scope.ADMIN])
    with capture_logs() as logs:
        opened_door(**given)
    assert [line["event"] for line in logs] == (["open_to_everyone"] if warns else [])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("anonymous", "write", "CATALENS_ANONYMOUS or --anonymous: Input should be 'auto', 'none' or 'search'"),
        ("key_rate", "50", "CATALENS_KEY_RATE or --key-rate: must be a number of requests and a time"),
        ("anonymous_rate", "5/s", "CATALENS_ANONYMOUS_RATE or --anonymous-rate: must be a number of requests"),
        ("cors_origins", "shop.example", "CATALENS_CORS_ORIGINS or --cors-origins: must be origins such as https://"),
        ("cors_origins", "https://shop.example/", "must be origins"),
        ("cors_origins", "https://a.example,,*", "must be origins"),
    ],
)
def test_settings_that_cannot_be_are_one_clear_line(monkeypatch, name, value, said):
    monkeypatch.setenv(f"CATALENS_{name.upper()}", value)
    with pytest.raises(StartupError) as refused:
        load_settings()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
