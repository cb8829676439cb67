"""Pictures by URL: off unless allowed, guarded when allowed, from a real server on a real socket."""

import asyncio
import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from indexer.fetch import FetchPolicy
from service.errors import InvalidRequestError, ServiceError, TooLargeError
from service.images import PictureReader
from service.query import PicturePart, PictureUrl
from service.settings import Settings
from service.telemetry import Metrics


def png(size=(40, 30)):
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "PNG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/slow":
            time.sleep(2)
        elif self.path == "/picture.png":
            self.send(png())
        elif self.path == "/large":
            self.send(b"x" * 50_000)
        elif self.path == "/text":
            self.send(b"no picture")
        else:
            self.send_error(404)

    def send(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield httpd.server_port
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def load(port, path, **settings):
    """Load a picture by URL from the server, which the policy admits by its name only."""
    given = {"allow_image_urls": True, "image_url_timeout_ms": 500, "max_image_bytes": 20_000, **settings}
    policy = FetchPolicy(
        ports=frozenset({port}), admitted_hosts=frozenset({"localhost"}), resolver=lambda *_: ["127.0.0.1"]
    )

    async def scenario():
        reader = PictureReader(Settings.model_validate(given), Metrics(), policy)
        part = PicturePart(PictureUrl(f"http://localhost:{port}{path}"), 1.0, "image.url")
        try:
            file = await reader.load(part)
            async with reader.decoded(file.data, part.path) as image:
                return image.size
        finally:
            reader.close()

    return asyncio.run(scenario())


def test_a_picture_is_fetched_and_decoded(server):
    assert load(server, "/picture.png") == (40, 30)


def test_a_redirect_to_where_one_may_go_is_followed(server):
    assert load(server, "/to//picture.png") == (40, 30)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/to/http://127.0.0.1:{port}/picture.png", InvalidRequestError),
        ("/to/http://10.0.0.1/a.png", InvalidRequestError),
        ("/to/file:///etc/passwd", InvalidRequestError),
        ("/missing", InvalidRequestError),
        ("/slow", InvalidRequestError),
        ("/large", TooLargeError),
        ("/text", ServiceError),
    ],
)
def test_what_cannot_be_had_names_the_field_and_no_address(server, path, error):
    with pytest.raises(error) as refused:
        load(server, path.format(port=server))
    assert refused.value.errors[0].path == "image.url"
    assert "127.0.0.1" not in refused.value.detail
    assert "10.0.0.1" not in refused.value.detail


URLS = [
    "http://127.0.0.1/a.png",
    "http://localhost:8080/a.png",
    "http://[::1]/a.png",
    "http://[::ffff:127.0.0.1]/a.png",
    "http://2130706433/a.png",
    "http://0x7f.1/a.png",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/a.png",
    "file:///etc/passwd",
    "ftp://a.example/a.png",
    "gopher://a.example/",
    "http://user:word@a.example/a.png",
    "http://a.example:22/a.png",
    "data:image/png;base64,AAAA",
    "//a.example/a.png",
    "nonsense",
    "http://",
]


@pytest.mark.parametrize("url", URLS)
def test_urls_that_lead_where_they_must_not_are_refused(open_service, url):
    client = open_service(allow_image_urls=True, image_url_timeout_ms=2_000)
    answer = client.post("/v1/search", json={"image": {"url": url}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "image.url"
    assert client.post("/v1/search", json={"q": "red"}).status_code == 200


def test_no_url_is_fetched_unless_the_settings_say_so(client, server):
    answer = client.post("/v1/search", json={"image": {"url": f"http://localhost:{server}/picture.png"}})
    assert answer.status_code == 422
    assert "does not fetch" in answer.json()["detail"]
