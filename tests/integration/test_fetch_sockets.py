"""The guard against real servers on the loopback, reached through admitted networks and a resolver of ours."""

import ipaddress
import socket
import ssl
import threading
import time
from contextlib import contextmanager

import pytest

import indexer.fetch
from indexer.fetch import FetchError, FetchLimits, FetchPolicy, guarded_get

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)

# A throw-away key and a certificate for shop.test, valid 2020-2120, trusted by nobody but these tests.
KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgN7EDXoJ2Jn1pyx/6
8815WIaHsoLXSm9fu2yab0DCEJihRANCAAROXKpgMhJ7cTf9xM3u5LG35tQzKs2Q
FlSWjsuM4Uj8GBtAURBPfIOfV7EdFO1fTlUJsVw1beEspK5OBizfgzMZ
-----END PRIVATE KEY-----
"""
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBcDCCARegAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlzaG9wLnRl
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CXNob3AudGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABE5cqmAyEntxN/3E
ze7ksbfm1DMqzZAWVJaOy4zhSPwYG0BREE98g59XsR0U7V9OVQmxXDVt4Sykrk4G
LN+DMxmjWDBWMBQGA1UdEQQNMAuCCXNob3AudGVzdDAOBgNVHQ8BAf8EBAMCAoQw
DwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUYmGUgBQNZXDUO3z5aK+E+OD7exYw
CgYIKoZIzj0EAwIDRwAwRAIgT8qGZWjMVMilnqFHGaEu5f7gwBoZ0pQIbInvkBft
BTcCIA/8e9rGz9myg/LJS/zhwDEHB+kLyLGHzPFjctN8gBh2
-----END CERTIFICATE-----
"""


class Server:
    """A server whose every answer is a function of the open connection, after the request was read."""

    def __init__(self, answer, tls=None):
        self.requests = []
        self.errors = []
        self._answer, self._tls = answer, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while True:
            connection, _ = self._listener.accept()
            if self._closing.is_set():
                connection.close()
                return
            with connection:
                try:
                    connection.settimeout(10)
                    self._serve(connection)
                except OSError as error:  # the guard hangs up whenever it has seen enough
                    self.errors.append(error)

    def _serve(self, connection):
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(65_536)
            if not more:
                return
            head += more
        self.requests.append(head.decode())
        self._answer(connection, self)
        if self._tls is not None:
            connection.close()

    @property
    def closing(self):
        return self._closing.is_set()

    def close(self):
        self._closing.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(10)
        self._listener.close()
        assert not self._thread.is_alive()


@contextmanager
def serving(answer, tls=None):
    server = Server(answer, tls)
    try:
        yield server
    finally:
        server.close()


def raw(data):
    return lambda connection, _: connection.sendall(data)


def ok(body, *headers, length=None):
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % (len(body) if length is None else length), *headers]
    return raw(b"\r\n".join(lines) + b"\r\n\r\n" + body)


def redirect(location, status=302):
    return raw(b"HTTP/1.1 %d Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location.encode()))


def fetch(port, path="/a.jpg", *, host="shop.test", scheme="http", policy=None, **limits):
    policy = policy or policy_for(port)
    return guarded_get(f"{scheme}://{host}:{port}{path}", policy, FetchLimits(**{"total_ms": 5_000, **limits}))


def policy_for(*ports, names=None, **more):
    """Admit the loopback, where every name leads unless `names` says otherwise."""
    table = names or {}
    return FetchPolicy(
        ports=frozenset(ports),
        admitted_networks=LOOPBACK,
        resolver=lambda host, _: table.get(host, ["127.0.0.1"]),
        **more,
    )


def reason_of(port, *args, **kwargs):
    with pytest.raises(FetchError) as caught:
        fetch(port, *args, **kwargs)
    return caught.value.reason


def test_a_picture_is_fetched_with_the_names_of_the_url():
    with serving(ok(b"\xff\xd8picture")) as server:
        assert fetch(server.port, "/a%20b.jpg?size=2") == b"\xff\xd8picture"
    lines = server.requests[0].split("\r\n")
    assert lines[0] == "GET /a%20b.jpg?size=2 HTTP/1.1"
    assert f"Host: shop.test:{server.port}" in lines
    assert "Accept-Encoding: identity" in lines
    names = {line.partition(":")[0].lower() for line in lines[1:]}
    assert not names & {"cookie", "authorization", "referer"}


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving(ok(b"direct")) as server:
        assert fetch(server.port) == b"direct"


@pytest.mark.parametrize(
    "answer",
    [
        ok(b""),
        raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
        raw(b"HTTP/1.0 200 OK\r\n\r\n"),
        ok(b"", b"Content-Encoding: identity"),
    ],
)
def test_empty_bodies(answer):
    with serving(answer) as server:
        assert fetch(server.port) == b""


def test_chunked_bodies():
    chunks = b"4\r\nabcd\r\n3;ext=1\r\nefg\r\n0\r\n\r\n"
    with serving(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)) as server:
        assert fetch(server.port) == b"abcdefg"


def test_interim_answers_are_passed_over():
    with serving(
        raw(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    ) as server:
        assert fetch(server.port) == b"hi"


# --- the address guard


def test_without_admission_the_loopback_is_not_dialled():
    with serving(ok(b"secret")) as server:
        for host in ("127.0.0.1", "localhost", "shop.test"):
            policy = FetchPolicy(ports=frozenset({server.port}), resolver=lambda *_: ["127.0.0.1"])
            assert reason_of(server.port, host=host, policy=policy) == "forbidden_address"
    assert server.requests == []


def test_an_admitted_host_is_dialled():
    with serving(ok(b"mine")) as server:
        policy = FetchPolicy(
            ports=frozenset({server.port}), admitted_hosts=frozenset({"cdn.test"}), resolver=lambda *_: ["127.0.0.1"]
        )
        assert fetch(server.port, host="cdn.test", policy=policy) == b"mine"


def test_a_name_that_changes_its_address_after_the_check_is_dialled_where_it_was_checked():
    with serving(ok(b"checked")) as server, serving(ok(b"rebound")) as other:
        answers = iter([["127.0.0.1"], ["10.0.0.1"]])
        policy = FetchPolicy(
            ports=frozenset({server.port}), admitted_networks=LOOPBACK, resolver=lambda *_: next(answers)
        )
        assert fetch(server.port, policy=policy) == b"checked"
    assert other.requests == []


def test_the_next_address_is_tried_when_the_first_refuses():
    with serving(ok(b"second")) as server:
        policy = policy_for(server.port, names={"shop.test": ["127.0.0.2", "127.0.0.1"]})
        assert fetch(server.port, policy=policy) == b"second"


def test_nobody_listens():
    with serving(ok(b"")) as server:
        port = server.port
    assert reason_of(port) == "connection"


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_with_the_new_host(status):
    with (
        serving(ok(b"moved")) as target,
        serving(redirect(f"http://cdn.test:{target.port}/b.jpg#top", status)) as server,
    ):
        assert fetch(server.port, policy=policy_for(server.port, target.port)) == b"moved"
    assert target.requests[0].startswith("GET /b.jpg HTTP/1.1")
    assert f"Host: cdn.test:{target.port}" in target.requests[0]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://10.0.0.1/", "forbidden_address"),
        ("http://169.254.169.254/latest/meta-data/", "forbidden_address"),
        ("http://[::1]/", "forbidden_address"),
        ("http://private.test/", "forbidden_address"),
        ("//192.168.0.1/a.jpg", "forbidden_address"),
        ("file:///etc/passwd", "forbidden_scheme"),
        ("ftp://shop.test/", "forbidden_scheme"),
        ("http://user:secret@shop.test/", "bad_url"),
        ("http://2130706433/", "bad_url"),
        ("http://shop.test:22/", "forbidden_port"),
        ("http://[", "bad_url"),
        ("http://shop.test\\@10.0.0.1/", "bad_url"),
        ("http://sh\top.test/", "bad_url"),
        ("http://shop.test:99999999/", "forbidden_port"),
        ("http://shop.test:x/", "bad_url"),
    ],
)
def test_every_redirect_is_checked_as_the_url_was(location, reason):
    with serving(redirect(location)) as server:
        policy = policy_for(server.port, 80, names={"private.test": ["10.9.8.7"]})
        assert reason_of(server.port, policy=policy) == reason
    assert len(server.requests) == 1


def test_redirects_are_counted():
    with serving(redirect("/again")) as server:
        assert reason_of(server.port) == "redirects"
        assert len(server.requests) == 4
        assert reason_of(server.port, max_redirects=0) == "redirects"
    assert len(server.requests) == 5


def test_a_redirect_without_a_place():
    with serving(raw(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")) as server:
        assert reason_of(server.port) == "status"


# --- size and encoding


def test_the_byte_limit_is_inclusive():
    with serving(ok(b"x" * 1_000)) as server:
        assert len(fetch(server.port, max_bytes=1_000)) == 1_000
        assert reason_of(server.port, max_bytes=999) == "too_large"


def endless(head, piece):
    def answer(connection, server):
        connection.sendall(head)
        while not server.closing:
            connection.sendall(piece)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4_096 + b"\r\n"),
    ],
    ids=["plain", "chunked"],
)
def test_endless_answers_end_at_the_byte_limit(answer):
    with serving(answer) as server:
        assert reason_of(server.port, max_bytes=100_000) == "too_large"


def test_endless_interim_answers(monkeypatch):
    monkeypatch.setattr(indexer.fetch, "_MOST_OVERHEAD", 2_000)
    with serving(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50)) as server:
        assert reason_of(server.port, max_bytes=1_000) == "too_large"


def test_endless_headers():
    with serving(endless(b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"y" * 1_000 + b"\r\n")) as server:
        assert reason_of(server.port) == "protocol"


def test_a_length_that_promises_too_much_is_refused_unread():
    with serving(ok(b"tiny", length=10**12)) as server:
        assert reason_of(server.port) == "too_large"


def test_a_length_longer_than_the_body():
    with serving(ok(b"half a picture", length=100)) as server:
        assert reason_of(server.port) == "protocol"


def test_what_comes_after_the_stated_length_is_not_read():
    with serving(ok(b"picture and more", length=7)) as server:
        assert fetch(server.port) == b"picture"


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"deflate", b"GZIP", b"identity, gzip", b"zstd"])
def test_encoded_answers_are_refused(encoding):
    with serving(ok(b"\x1f\x8b", b"Content-Encoding: " + encoding)) as server:
        assert reason_of(server.port) == "encoded"


@pytest.mark.parametrize(
    "status", [b"204 No Content", b"206 Partial", b"304 Same", b"401 No", b"404 Not Found", b"503 Busy"]
)
def test_other_statuses(status):
    with serving(raw(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")) as server:
        assert reason_of(server.port) == "status"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
def test_what_is_not_http(answer):
    with serving(raw(answer)) as server:
        assert reason_of(server.port) in {"protocol", "connection"}


# --- time


def dripping(connection, server):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not server.closing:
        connection.sendall(b"x")
        time.sleep(0.02)


def silent(_, server):
    while not server.closing:
        time.sleep(0.02)


@pytest.mark.parametrize("answer", [dripping, silent, lambda c, s: (c.sendall(b"HTTP/1.1 200"), silent(c, s))])
def test_slow_servers_end_at_the_deadline_however_they_drip(answer):
    with serving(answer) as server:
        started = time.monotonic()
        assert reason_of(server.port, total_ms=400) == "timeout"
        assert 0.3 < time.monotonic() - started < 3


def test_redirects_share_one_deadline():
    def slow_redirect(connection, _):
        time.sleep(0.25)
        redirect("/again")(connection, _)

    with serving(slow_redirect) as server:
        assert reason_of(server.port, total_ms=600) == "timeout"
    assert len(server.requests) <= 3


def test_a_server_that_takes_no_connections():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port))
            started = time.monotonic()
            assert reason_of(port, connect_ms=300, total_ms=5_000) == "timeout"
            assert time.monotonic() - started < 3
        finally:
            for one in waiting:
                one.close()


# --- TLS


@pytest.fixture(scope="module")
def server_tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    (folder / "key.pem").write_text(KEY)
    (folder / "certificate.pem").write_text(CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


@pytest.fixture(scope="module")
def trusting():
    return ssl.create_default_context(cadata=CERTIFICATE)


def test_tls_is_verified_for_the_name_though_an_address_is_dialled(server_tls, trusting):
    asked = []
    server_tls.sni_callback = lambda _, name, __: asked.append(name)
    with serving(ok(b"over tls"), server_tls) as server:
        policy = policy_for(server.port, tls=trusting)
        assert fetch(server.port, scheme="https", policy=policy) == b"over tls"
        assert fetch(server.port, scheme="https", host="shop.test.", policy=policy) == b"over tls"
    assert asked == ["shop.test", "shop.test"]


def test_a_certificate_for_another_name_is_refused(server_tls, trusting):
    with serving(ok(b"over tls"), server_tls) as server:
        policy = policy_for(server.port, tls=trusting)
        assert reason_of(server.port, scheme="https", host="other.test", policy=policy) == "tls"
        assert reason_of(server.port, scheme="https", host="127.0.0.1", policy=policy) == "tls"
    assert server.requests == []


def test_a_certificate_nobody_signed_is_refused_by_default(server_tls):
    with serving(ok(b"over tls"), server_tls) as server:
        assert reason_of(server.port, scheme="https") == "tls"


def test_plain_http_where_tls_was_asked_for():
    with serving(raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        assert reason_of(server.port, scheme="https", total_ms=2_000) in {"tls", "timeout"}


def test_a_handshake_that_never_ends():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        assert reason_of(listener.getsockname()[1], scheme="https", connect_ms=300) == "timeout"
        assert time.monotonic() - started < 3


def test_fetches_from_many_threads():
    found = []
    with serving(ok(b"shared")) as server:
        threads = [threading.Thread(target=lambda: found.append(fetch(server.port))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [b"shared"] * 12
