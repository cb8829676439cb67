"""Requests that are no requests: false lengths, floods, slow callers, many connections. All on real sockets."""

import contextlib
import json
import resource
import socket
import time

import pytest

GOOD = b'{"q": "red mug", "limit": 1}'
HEAD = b"POST /v1/search HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n"
FORM = b"POST /v1/search/image HTTP/1.1\r\nhost: shop\r\ncontent-type: multipart/form-data; boundary=x\r\n"
BODY_TIMEOUT_MS = 400
MOST_BODY = 2_000_000
SLOW_CALLERS = 100
SOON_S = 10.0


@pytest.fixture(scope="module")
def service(nursery, published, unharmed):
    """A service with little patience and small bodies, so that the tests need neither."""
    flags = ("--body-timeout-ms", BODY_TIMEOUT_MS, "--max-body-bytes", MOST_BODY, "--ready-cache-ms", 0)
    prepare = f"import service.heads; service.heads.SLOWEST_HEAD_S = {BODY_TIMEOUT_MS / 1_000}"
    started = nursery.start("--data-dir", published / "data", "--update-log", "off", *flags, prepare=prepare)
    unharmed.check(started)
    return started


@contextlib.contextmanager
def connected(service):
    with socket.create_connection(service.place, timeout=SOON_S) as connection:
        yield connection


def received(connection):
    """Return all that comes until the other side closes, or no more comes for a while."""
    got = b""
    with contextlib.suppress(ConnectionResetError, TimeoutError):
        while part := connection.recv(65_536):
            got += part
            if complete(got):
                break
    return got


def complete(got):
    head, blank, body = got.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(blank and length) and len(body) >= int(length[0].split(b":")[1])


def say(service, *parts):
    """Send the parts, as far as they are taken, and return what is answered."""
    with connected(service) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
        return received(connection)


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


def assert_problem(answer, statuses, path="body"):
    assert status_of(answer) in statuses, answer[:300]
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert problem["status"] in statuses
    assert any(error["path"] == path for error in problem["errors"])


REFUSED_LENGTHS = {
    "negative": b"content-length: -1\r\n",
    "no number": b"content-length: many\r\n",
    "a sum": b"content-length: 14+14\r\n",
    "of a thousand digits": b"content-length: " + b"9" * 1_000 + b"\r\n",
    "beyond 64 bits": b"content-length: 18446744073709551644\r\n",
    "two that differ": b"content-length: 28\r\ncontent-length: 5\r\n",
    "a list of two": b"content-length: 28, 5\r\n",
    "beside chunks": b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
    "chunked twice": b"transfer-encoding: chunked, chunked\r\n",
    "an encoding nobody knows": b"transfer-encoding: xchunked\r\ncontent-length: 28\r\n",
    "white space before the colon": b"content-length : 28\r\n",
}


@pytest.mark.parametrize("name", REFUSED_LENGTHS)
def test_a_length_that_cannot_be_is_refused_and_nothing_of_it_is_a_second_request(attacked, name):
    second = b"GET /v1/suggest?q=smuggled HTTP/1.1\r\nhost: shop\r\n\r\n"
    answer = say(attacked, HEAD + REFUSED_LENGTHS[name] + b"\r\n" + GOOD + second)
    assert status_of(answer) in {400, 413}, answer[:300]
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_length_over_the_limit_is_refused_before_a_byte_of_it(attacked):
    answer = say(attacked, HEAD + b"content-length: %d\r\n\r\n" % (MOST_BODY + 1))
    assert_problem(answer, {413})
    assert b"connection: close" in answer


def test_a_longer_length_than_the_body_is_waited_for_and_given_up(attacked):
    began = time.monotonic()
    assert_problem(say(attacked, HEAD + b"content-length: 900\r\n\r\n" + GOOD), {408})
    assert time.monotonic() - began >= BODY_TIMEOUT_MS / 1_000


def test_a_shorter_length_than_the_body_leaves_a_rest_that_is_no_request(attacked):
    answer = say(attacked, HEAD + b"content-length: %d\r\n\r\n" % (len(GOOD) - 5) + GOOD)
    assert status_of(answer) == 400


def chunked(*chunks):
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks)


def test_chunks_without_end_are_refused_at_the_limit(attacked, gives_back):
    with gives_back(attacked, mib=16):
        attacked.forget_peak()
        before = attacked.resident_mib()
        flood = chunked(b" " * 100_000)
        assert_problem(say(attacked, HEAD + b"transfer-encoding: chunked\r\n\r\n", *[flood] * 100), {413})
        assert attacked.peak_mib() < before + 32


def test_a_body_of_one_byte_chunks_is_read(attacked):
    tiny = chunked(*(bytes([byte]) for byte in b" " * 20_000 + GOOD)) + b"0\r\n\r\n"
    assert status_of(say(attacked, HEAD + b"transfer-encoding: chunked\r\n\r\n" + tiny)) == 200


BAD_CHUNKS = {
    "a length that is none": b"xyz\r\nabc\r\n",
    "a negative length": b"-5\r\nabc\r\n",
    "a length of a thousand digits": b"1" * 1_000 + b"\r\nabc\r\n",
    "more than it says": b"2\r\nabcdef\r\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_a_bad_chunk_is_refused(attacked, name):
    assert status_of(say(attacked, HEAD + b"transfer-encoding: chunked\r\n\r\n" + BAD_CHUNKS[name])) in {400, 408}


def test_a_compressed_body_is_no_json(attacked, support):
    bomb = support("attack_pictures").inflating(64)
    head = HEAD + b"content-encoding: deflate\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    attacked.forget_peak()
    before = attacked.resident_mib()
    assert_problem(say(attacked, head + bomb), {400})
    assert attacked.peak_mib() < before + 16


PART = b'--x\r\ncontent-disposition: form-data; name="q"\r\n\r\nred\r\n'
FORMS = {
    "10,000 parts": PART * 10_000,
    "10,000 files": b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\nred\r\n' * 10_000,
    "a part with 10,000 headers": b"--x\r\n" + b"a: b\r\n" * 10_000 + b"\r\nred\r\n",
    "boundaries without parts": b"--x\r\n" * 100_000,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_none_is_refused(attacked, gives_back, name):
    body = FORMS[name] + b"--x--\r\n"
    with gives_back(attacked, mib=24):
        began = time.monotonic()
        answer = say(attacked, FORM + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert status_of(answer) in {400, 413, 415, 422}, answer[:300]
        assert time.monotonic() - began < SOON_S


def test_many_slow_callers_are_given_up_and_keep_nobody_waiting(attacked):
    """Each sends a byte now and then; a search that comes meanwhile is answered at once."""
    with contextlib.ExitStack() as closing:
        slow = [closing.enter_context(connected(attacked)) for _ in range(SLOW_CALLERS)]
        for caller in slow:
            caller.sendall(HEAD + b"content-length: 28\r\n\r\n")
        for _ in range(3):
            for caller in slow:
                caller.sendall(b" ")
            began = time.monotonic()
            assert attacked.found(q="red mug")
            assert time.monotonic() - began < SOON_S / 2
        for caller in slow:
            assert_problem(received(caller), {408})


MEGABYTE = [b"b" * 100_000] * 10
HEADS = {
    "a header": [b"GET /livez HTTP/1.1\r\nhost: shop\r\na: ", *MEGABYTE * 64, b"\r\n\r\n"],
    "headers": [b"GET /livez HTTP/1.1\r\nhost: shop\r\n", *[b"a: " + b"b" * 9_997 + b"\r\n"] * 6_400, b"\r\n"],
    "a path": [b"GET /", *MEGABYTE * 16, b" HTTP/1.1\r\nhost: shop\r\n\r\n"],
    "a trailer": [
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(GOOD) + b"0\r\na: ", *MEGABYTE * 64, b"\r\n\r\n",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_what_is_no_body_may_not_be_long_either(attacked, name):
    attacked.forget_peak()
    before = attacked.resident_mib()
    with connected(attacked) as connection:
        taken = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in HEADS[name]:
                connection.sendall(part)
                taken += len(part)
        assert status_of(received(connection)) in {None, 400, 408, 431}
    assert taken < 12_000_000  # what fits the buffers of two sockets
    assert attacked.peak_mib() < before + 8


def test_the_extension_of_a_chunk_is_dropped_as_it_comes(attacked):
    attacked.forget_peak()
    before = attacked.resident_mib()
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n1;a="
    assert status_of(say(attacked, head, *MEGABYTE * 16, b"\r\n{\r\n")) in {None, 400, 408, 431}
    assert attacked.peak_mib() < before + 8


def test_heads_that_never_end_are_given_up(attacked):
    """On a new connection, and on one that was used before."""
    began = time.monotonic()
    with connected(attacked) as slow, connected(attacked) as again:
        again.sendall(b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n")
        assert status_of(received(again)) == 200
        for caller in (slow, again):
            caller.sendall(b"GET /livez HTTP/1.1\r\nhost: shop\r\na: ")
        for caller in (slow, again):
            assert status_of(received(caller)) in {None, 408}
    assert time.monotonic() - began < SOON_S


STRANGE = {
    "nothing": b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9": b"GET / HTTP/9.9\r\nhost: shop\r\n\r\n",
    "a proxy's request": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: 127.0.0.1:22\r\n\r\n",
    "zeros": bytes(10_000),
    "a method of a megabyte": b"G" * 1_000_000,
    "a header without a name": b"GET /livez HTTP/1.1\r\nhost: shop\r\n: x\r\n\r\n",
    "a folded header": b"GET /livez HTTP/1.1\r\nhost: shop\r\na: b\r\n c\r\n\r\n",
    "a header with a NUL": b"GET /livez HTTP/1.1\r\nhost: sh\0op\r\n\r\n",
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_http_is_refused(attacked, name):
    with connected(attacked) as connection:
        connection.settimeout(1)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(STRANGE[name])
        answer = received(connection)
    assert status_of(answer) in {None, 400, 404, 405, 408}, answer[:200]


def test_a_thousand_requests_in_one_breath_are_all_answered(attacked):
    one = b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n"
    with connected(attacked) as connection:
        connection.sendall(one * 1_000)
        got = b""
        while got.count(b"HTTP/1.1 200") < 1_000:
            part = connection.recv(65_536)
            assert part
            got += part


def test_callers_that_go_at_once_leave_nothing_behind(attacked, gives_back):
    with gives_back(attacked, mib=16):
        for _ in range(200):
            with connected(attacked) as connection:
                connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(GOOD) + GOOD)


def test_more_connections_than_files_may_be_open(nursery, published, unharmed):
    """The service cannot take more; it takes them again as soon as some have gone."""
    prepare = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))"
    with nursery.running("--data-dir", published / "data", "--update-log", "off", prepare=prepare) as service:
        unharmed.check(service)
        with contextlib.ExitStack() as closing:
            for _ in range(160):
                closing.enter_context(connected(service))
            time.sleep(0.5)
            assert service.runs()
        answered = 0
        deadline = time.monotonic() + SOON_S
        while not answered and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                answered = status_of(say(service, b"GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n"))
        assert answered == 200
        unharmed.check(service)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256  # this process was not the one that ran out
