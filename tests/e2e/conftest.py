"""A generated shop, the service that serves it, and a browser to look at it: all real, all in their own processes."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

PRODUCTS = 200
SEED = 3
READY_WITHIN_S = 180
STOPPED_WITHIN_S = 30
ANSWER_WITHIN_MS = 30_000  # a shared machine may be busy; a quiet one answers in milliseconds
DESK = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
KEEP_FORMS = """() => {
    const send = window.fetch;
    window.sent = [];
    window.fetch = (address, options) => {
        if (options?.body instanceof FormData) window.sent.push(options.body);
        return send(address, options);
    };
}"""
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def run_module(*arguments: str) -> None:
    """Run `python -m ...` to its end; what it wrote is shown when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"python -m {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"


def environment() -> dict[str, str]:
    """The environment of this run without settings of the service that someone may have exported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CATALENS_")}
    return {**kept, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "CATALENS_RUNTIME": "torch"}


@dataclass(frozen=True)
class Shop:
    """The generated shop: its folder, and its products as the feed states them."""

    folder: Path
    rows: list[dict]

    def picture(self, row: dict) -> Path:
        """The first picture of a product."""
        return self.folder / row["images"][0]


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` fills: whichever of the tests' processes comes first does it, others wait for it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def shop(common: Path) -> Shop:
    """A small generated shop."""

    def make(folder: Path) -> None:
        run_module("demo", "generate", "--products", str(PRODUCTS), "--seed", str(SEED), "--out", str(folder))

    folder = made_once(common / "e2e-shop", make)
    return Shop(folder, pq.read_table(folder / "catalogue.parquet").to_pylist())


@pytest.fixture(scope="session")
def data_dir(shop: Shop, common: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of this process's own whose published bundle is the shop, encoded with the bundled model."""

    def make(folder: Path) -> None:
        catalogue = str(shop.folder / "catalogue.parquet")
        run_module("indexer", "build", "--catalogue", catalogue, "--data-dir", str(folder), "--publish")

    own = tmp_path_factory.mktemp("data") / "own"
    return shutil.copytree(made_once(common / "e2e-data", make), own, symlinks=True)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def base_url(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running service with the shop, without a slash at its end."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    log = tmp_path_factory.mktemp("service") / "log"
    command = [sys.executable, "-m", "service", "--data-dir", str(data_dir), "--port", str(port)]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=environment(), stdout=output, stderr=subprocess.STDOUT) as server,
    ):
        try:
            wait_until_ready(server, url, log)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                server.kill()
                raise


def wait_until_ready(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Return once the service says that it is ready; fail with its log where it ends or takes too long."""
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    pytest.fail(f"the service was not ready within {READY_WITHIN_S} s:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium: the one CHROMIUM names, or the one on the path.

    Of module scope, for while Playwright runs its event loop stands in the way of `asyncio.run` elsewhere.
    """
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if executable is None:
        reason = "no chromium on the path and no CHROMIUM in the environment"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """One visitor's page of the storefront, and whatever went wrong behind it."""

    page: Page
    base_url: str
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self, address: str = "/") -> "Visit":
        """Go to an address of the shop and wait for its first products."""
        self.page.goto(self.base_url + address, wait_until="commit")
        expect(self.page.locator("#results")).to_have_attribute("aria-busy", "false")
        return self

    def ask(self, words: str) -> None:
        """Type words and wait for their answer."""
        with self.page.expect_response("**/v1/search*"):
            self.page.locator("#q").fill(words)
        self.answered()

    def give(self, picture: Path) -> None:
        """Choose a picture file and wait for its answer."""
        with self.page.expect_response("**/v1/search/image"):
            self.page.locator("#file").set_input_files(picture)
        self.answered()

    def answered(self) -> None:
        """Wait until no search is under way."""
        expect(self.page.locator("#search")).not_to_have_class("box busy")
        expect(self.page.locator("#results")).to_have_attribute("aria-busy", "false")

    def ids(self) -> list[str]:
        """The products of the grid, in their order."""
        cards = self.page.locator("#grid .card")
        return cards.evaluate_all("cards => cards.map(card => card.dataset.id)")

    def keep_forms(self) -> None:
        """Keep the forms that the page sends in `window.sent`: the browser does not show their files."""
        self.page.evaluate(KEEP_FORMS)

    def hear_console(self, message: ConsoleMessage) -> None:
        """Keep what the page warned of."""
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def see_request(self, request: Request) -> None:
        """Keep whom the page talked to."""
        if host := httpx.URL(request.url).netloc.decode():  # data: and blob: have none, and ask nobody
            self.hosts.add(host)

    def forgive(self, text: str) -> None:
        """Take away complaints that a test has provoked; there must be one."""
        rest = [complaint for complaint in self.complaints if text not in complaint]
        assert len(rest) < len(self.complaints), f"no complaint with {text!r} in {self.complaints}"
        self.complaints[:] = rest


@pytest.fixture
def visit(browser: Browser, base_url: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A visitor at a desk, or on a device given by parametrising: options of Playwright's `new_context`.

    Every visit ends with two checks: nothing on the console, and no word to any other host.
    """
    device = getattr(request, "param", DESK)
    context = browser.new_context(**device)
    context.set_default_timeout(ANSWER_WITHIN_MS)
    visitor = Visit(context.new_page(), base_url)
    visitor.page.on("console", visitor.hear_console)
    visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    visitor.page.on("request", visitor.see_request)
    expect.set_options(timeout=ANSWER_WITHIN_MS)
    yield visitor
    context.close()
    assert visitor.complaints == []
    assert visitor.hosts <= {httpx.URL(base_url).netloc.decode()}


@pytest.fixture(scope="session")
def linked(shop: Shop, base_url: str) -> tuple[str, str]:
    """Words that name a brand, as the service links them, and the brand as the catalogue spells it."""
    for row in shop.rows:
        words = f"{row['brand']} {row['category']}".lower()
        answer = httpx.post(f"{base_url}/v1/search", json={"q": words, "limit": 1}).json()
        brands = [entity["value"] for entity in answer["linked_entities"] if entity["group"] == "brand"]
        if brands == [row["brand"]]:
            return words, row["brand"]
    raise AssertionError("no brand of the shop is linked")
