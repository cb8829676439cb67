"""Bodies made to hurt the parser: refused at once, in little memory, with the next good request answered."""

import contextlib
import socket
import time
import tracemalloc

import pytest

from service.app import create_app
from service.settings import Settings

FIELD = b'--x\r\ncontent-disposition: form-data; name="q"\r\n'
FILE = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n'
END = b"\r\n--x--\r\n"

FORMS = {
    "parts without headers": b"--x\r\n\r\n" * 100_000 + END,
    "parts without a name": b"--x\r\ncontent-disposition: form-data\r\n\r\na\r\n" * 10_000 + END,
    "ten thousand files": (FILE + b"\r\na\r\n") * 10_000 + END,
    "a header of 8 MB": FIELD + b"x-a: " + b"a" * 8_000_000 + b"\r\n\r\nred" + END,
    "a million headers": FIELD + b"x-a: b\r\n" * 1_000_000 + b"\r\nred" + END,
    "a name of 8 MB": b'--x\r\ncontent-disposition: form-data; name="' + b"q" * 8_000_000 + b'"\r\n\r\nred' + END,
    "8 MB before the first part": b"a" * 8_000_000 + FIELD + b"\r\nred" + END,
    "8 MB of blank lines": b"\r\n" * 4_000_000,
    "a field of 8 MB": FIELD + b"\r\n" + b"r" * 8_000_000 + END,
    "almost boundaries": FIELD + b"\r\n" + b"\r\n--" * 2_000_000 + END,
}


async def post_form(client, body):
    """Send a form in chunks, past the test client, which would put them together; return the status and the answer."""
    waiting = [(start, min(start + 65_536, len(body))) for start in range(0, len(body), 65_536)]
    sent = []

    async def receive():
        start, end = waiting.pop(0)
        return {"type": "http.request", "body": body[start:end], "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/search/image", "raw_path": b"/v1/search/image",
        "query_string": b"", "http_version": "1.1", "scheme": "http", "server": ("test", 80), "client": ("test", 5),
        "root_path": "", "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
        "state": dict(client.app_state),
    }  # fmt: skip
    await client.app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the parser drops the open part
@pytest.mark.parametrize("name", FORMS)
def test_hostile_forms_are_refused_at_once_and_in_little_memory(client, name):
    tracemalloc.start()
    began = time.perf_counter()
    status, body = client.portal.call(post_form, client, FORMS[name])
    took_s = time.perf_counter() - began
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert status in {400, 422}
    assert b"urn:catalens:problem:" in body
    assert took_s < 5
    assert most_bytes < 3_000_000
    assert client.post("/v1/search", json={"q": "red mug"}).status_code == 200


def test_a_boundary_of_a_megabyte_is_refused(client):
    boundary = "x" * 1_000_000
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    answer = client.post("/v1/search/image", content=f"--{boundary}--\r\n".encode(), headers=headers)
    assert answer.status_code == 400
    assert len(answer.content) < 4_000


@pytest.fixture
def send(shop, bundle, support):
    """Send bytes to a real socket and return all that comes back until it is closed, or is quiet for a while."""
    settings = Settings.model_validate({"data_dir": shop.data_dir, "update_log": "off", "max_body_bytes": 50_000})
    with support("live").serving(create_app(settings, (shop.encoder, bundle))) as address:

        def exchange(data):
            with socket.create_connection(address, timeout=0.5) as connection:
                got = b""
                with contextlib.suppress(TimeoutError, ConnectionError):
                    connection.sendall(data)
                    while part := connection.recv(65_536):
                        got += part
                return got

        yield exchange


def test_lengths_that_lie_and_chunks_without_end(send):
    post = b"POST /v1/search HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n"
    good = b'{"q": "red mug"}'
    whole = post + b"content-length: %d\r\n\r\n" % len(good) + good
    short = send(post + b"content-length: 5\r\n\r\n" + good)
    assert short.startswith(b"HTTP/1.1 400 ")
    assert short.count(b"HTTP/1.1 ") == short.count(b"HTTP/1.1 400 ")
    for framing in (
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: -1\r\n",
        b"content-length: 99999999999999999999999\r\n",
        b"content-length: 16\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    ):
        answer = send(post + framing + b"\r\n" + good)
        assert answer[:13] in {b"HTTP/1.1 400 ", b"HTTP/1.1 413 "}, framing
    flood = b"1000\r\n" + b" " * 4_096 + b"\r\n"
    for media in (b"application/json", b"multipart/form-data; boundary=x"):
        path = b"/v1/search" if media.endswith(b"json") else b"/v1/search/image"
        head = b"POST %s HTTP/1.1\r\nhost: t\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n" % (path, media)
        assert send(head + flood * 16)[:13] in {b"HTTP/1.1 413 ", b"HTTP/1.1 400 "}
    assert send(whole).startswith(b"HTTP/1.1 200 ")
