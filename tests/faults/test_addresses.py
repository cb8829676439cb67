"""URLs of pictures that would have the service ask its own network: none of them reaches the server that listens there.

The service fetches by URL here, from the port of that server alone, and the names of its own shop lead to it; so what
is refused is refused for where it leads. No packet leaves this machine: what is not the loopback cannot be reached.
"""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

PREPARE = """
import errno, ipaddress, socket
import indexer.fetch

object.__setattr__(indexer.fetch.DEFAULT_POLICY, "ports", frozenset({PORT}))
object.__setattr__(indexer.fetch.DEFAULT_POLICY, "admitted_hosts", frozenset({"shop.test"}))
asked = {}
usual, connect = socket.getaddrinfo, socket.socket.connect

def answers(host):
    asked[host] = asked.get(host, 0) + 1
    return {
        "shop.test": ["127.0.0.1"],
        "loop.test": ["127.0.0.1"],
        "loop6.test": ["::1"],
        "mapped.test": ["::ffff:127.0.0.1"],
        "private.test": ["10.0.0.1"],
        "cloud.test": ["169.254.169.254"],
        "mixed.test": ["8.8.8.8", "127.0.0.1"],
        "mixed6.test": ["2606:4700:4700::1111", "::1"],
        "rebinding.test": ["8.8.8.8"] if asked[host] % 2 else ["127.0.0.1"],
        "none.test": [],
    }.get(host)

def resolved(host, port, *args, **kwargs):
    found = answers(host.decode() if isinstance(host, bytes) else host)
    if found is None:
        return usual(host, port, *args, **kwargs)
    return [(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in found]

def connected(self, address):
    if self.family != socket.AF_UNIX and not ipaddress.ip_address(address[0]).is_loopback:
        raise OSError(errno.ENETUNREACH, "no such network here")
    return connect(self, address)

socket.getaddrinfo, socket.socket.connect = resolved, connected
"""


LOCATIONS = [
    "http://127.0.0.1:PORT/secret", "http://2130706433:PORT/secret", "http://[::ffff:127.0.0.1]:PORT/secret",
    "http://loop.test:PORT/secret", "http://mixed.test:PORT/secret", "http://169.254.169.254:PORT/latest/meta-data",
    "//127.0.0.1:PORT/secret", "http://a@127.0.0.1:PORT/secret", "http://shop.test@127.0.0.1:PORT/secret",
    "file:///etc/passwd", "gopher://127.0.0.1:PORT/_x", "http://shop.test:22/secret", "http://127.0.0.1\\:PORT/secret",
    "/to/302/13", "../../p.png",
]  # fmt: skip
ROUND, HOME = len(LOCATIONS) - 2, len(LOCATIONS) - 1  # to itself, and to the picture


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.headers["host"], self.path))
        if self.path.startswith("/to/"):
            _, _, status, number = self.path.split("/")
            self.send_response(int(status))
            self.send_header("location", LOCATIONS[int(number)].replace("PORT", str(self.server.server_port)))
            self.end_headers()
            return
        body = self.server.picture if self.path == "/p.png" else b"<meta http-equiv=refresh content='0;url=/secret'>"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def inner(feeds):
    """A server on the loopback that remembers who asked it for what."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    buffer = io.BytesIO()
    feeds.picture(3, "blue").save(buffer, "PNG")
    server.picture, server.seen = buffer.getvalue(), []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def service(nursery, published, unharmed, inner):
    flags = ("--allow-image-urls", "--image-url-timeout-ms", 1_500, "--data-dir", published / "data")
    prepare = PREPARE.replace("PORT", str(inner.server_port))
    started = nursery.start(*flags, "--update-log", "off", prepare=prepare)
    unharmed.check(started)
    return started


HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001",
    "127.0.0.1.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::80ff:fffe]", "[fe80::1%25lo]", "[fe80::1]",
    "[fd00:ec2::254]", "0", "0.0.0.0", "255.255.255.255", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1",
    "169.254.169.254", "224.0.0.1", "localhost", "LOCALHOST", "localhost.", "loop.test", "loop6.test", "mapped.test",
    "private.test", "cloud.test", "mixed.test", "mixed6.test", "rebinding.test", "none.test", "a@127.0.0.1",
    "shop.test@127.0.0.1", "shop.test:80@127.0.0.1", "%31%32%37.0.0.1", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "127\u3002\u0030\u3002\u0030\u3002\u0031", "127.0.0.1\\@shop.test", "127.0.0.1#@shop.test", "127.0.0.1?@shop.test",
    "shop.test\\.evil", "sh op.test", "shop.test\t", "shop.test\r\nX: y", "shop.test\0", "", ".", "-", "a" * 300,
]  # fmt: skip
SCHEMES = [
    "file:///etc/passwd", "file://localhost/etc/passwd", "ftp://shop.test/p.png", "gopher://shop.test:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/", "data:image/png;base64,AAAA", "blob:http://shop.test/1", "javascript:alert(1)",
    "//shop.test/p.png", "/p.png", "http:/shop.test/p.png", "https:shop.test", "HtTp://127.0.0.1/", "nonsense",
    " http://shop.test/p.png", "http://shop.test:22/p.png", "http://shop.test:0/", "http://shop.test:99999/",
    "http://" + "a." * 2_000 + "test/",
]  # fmt: skip


def ask(service, url):
    return service.client.post("/v1/search", json={"image": {"url": url}, "fields": ["id"]})


def assert_refused(service, url, statuses=(422,)):
    answer = ask(service, url)
    assert answer.status_code in statuses, (url, answer.text)
    assert answer.json()["errors"][0]["path"] == "image.url"
    assert not any(hint in answer.text for hint in ("127.0.0.1", "::1", "10.0.0.1", "169.254"))


def test_the_server_is_there_for_who_may_ask_it(attacked, inner):
    """Else it would be no wonder that nobody else reaches it."""
    inner.seen.clear()
    assert ask(attacked, f"http://shop.test:{inner.server_port}/p.png").status_code == 200
    assert ask(attacked, f"http://SHOP.test:{inner.server_port}/to/302/{HOME}").status_code == 200
    assert [path for _, path in inner.seen] == ["/p.png", f"/to/302/{HOME}", "/p.png"]


def test_no_spelling_of_an_inner_address_leads_there(attacked, inner):
    inner.seen.clear()
    for host in HOSTS:
        assert_refused(attacked, f"http://{host}:{inner.server_port}/p.png")
    for url in SCHEMES:
        assert_refused(attacked, url)
    assert inner.seen == []


def test_a_name_that_changes_its_mind_is_asked_once_a_fetch(attacked, inner):
    inner.seen.clear()
    for _ in range(6):
        assert_refused(attacked, f"http://rebinding.test:{inner.server_port}/p.png")
    assert inner.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_leads_where_no_url_does(attacked, inner, status):
    inner.seen.clear()
    for number in range(ROUND):
        assert_refused(attacked, f"http://shop.test:{inner.server_port}/to/{status}/{number}")
    assert [path for _, path in inner.seen] == [f"/to/{status}/{number}" for number in range(ROUND)]


def test_redirects_in_a_circle_and_pages_that_refresh_are_not_followed(attacked, inner):
    inner.seen.clear()
    assert_refused(attacked, f"http://shop.test:{inner.server_port}/to/302/{ROUND}")
    assert_refused(attacked, f"http://shop.test:{inner.server_port}/page.html", (415,))
    assert [path for _, path in inner.seen] == [f"/to/302/{ROUND}"] * 4 + ["/page.html"]


def test_products_that_are_stored_reach_no_further(nursery, data_dir, unharmed, inner):
    """Every trick as the picture of a product, and one honest picture among them."""
    inner.seen.clear()
    prepare = PREPARE.replace("PORT", str(inner.server_port))
    urls = [f"http://{host}:{inner.server_port}/p.png" for host in HOSTS if "\0" not in host] + SCHEMES[:5]
    urls += [f"http://shop.test:{inner.server_port}/to/302/{number}" for number in range(ROUND)]
    good = f"http://shop.test:{inner.server_port}/p.png"
    items = [{"id": f"n{n}", "title": "Zebra lamp", "images": [url]} for n, url in enumerate([*urls, good])]
    flags = ("--allow-image-urls", "--image-url-timeout-ms", 1_500, "--data-dir", data_dir)
    with nursery.running(*flags, prepare=prepare) as service:
        results = service.put(*items).json()["results"]
        assert [result["status"] for result in results] == [422] * len(urls) + [200]
        assert all(result["errors"][0]["path"] == f"products[{n}].images[0]" for n, result in enumerate(results[:-1]))
        assert {path for _, path in inner.seen if not path.startswith("/to/")} == {"/p.png"}
        assert [host for host, path in inner.seen if path == "/p.png"] == [f"shop.test:{inner.server_port}"]
        unharmed.check(service)
