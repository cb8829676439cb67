"""A newcomer's first hour, by the clock: docs/quickstart.md, from a clone to a shop of one's own that is rolled back.

    python3 .ci/newcomer.py

Needs what the quickstart asks for, and git and curl. It fails if a step does, or takes too long. What a machine does
while somebody looks on is waiting; what a person does is not measured but reckoned, the same for each step.
"""

import argparse
import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MOST_IN_ALL_S = 15 * 60
MOST_WAITING_S = 5 * 60
READING_S = 45  # of a person, to read what a step is about and to paste its lines
MOST_STEP_S = 1_800
IMPORTED = 12  # products

_POLL_S = 0.2
_ENDING_S = 30


class NewcomerError(Exception):
    """A step did not do what the page says; the message is one line."""


@dataclass
class Clock:
    """The steps so far, and the seconds that each kept somebody waiting."""

    steps: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Take the time of a step."""
        say(f"... {name}")
        began = time.monotonic()
        yield
        self.steps.append((name, time.monotonic() - began))

    @property
    def waiting_s(self) -> float:
        """Seconds of all steps."""
        return sum(seconds for _, seconds in self.steps)

    @property
    def in_all_s(self) -> float:
        """The same with what a person takes."""
        return self.waiting_s + READING_S * len(self.steps)

    def late(self) -> list[str]:
        """Return what took too long."""
        taken = (("waiting", self.waiting_s, MOST_WAITING_S), ("all of it", self.in_all_s, MOST_IN_ALL_S))
        return [f"{what} took {seconds:.0f} s, more than {most}" for what, seconds, most in taken if seconds > most]

    def table(self) -> str:
        """Return the steps for people."""
        lines = [f"{'step':<52}{'waiting':>10}"]
        lines += [f"{name:<52}{seconds:>8.1f} s" for name, seconds in self.steps]
        lines.append(f"{'waiting, of at most ' + str(MOST_WAITING_S) + ' s':<52}{self.waiting_s:>8.1f} s")
        reckoned = f"with {READING_S} s of a person for each, of at most {MOST_IN_ALL_S} s"
        lines.append(f"{reckoned:<52}{self.in_all_s:>8.1f} s")
        return "\n".join(lines)


def say(words: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def environment() -> dict[str, str]:
    """Return this environment without what a make, a service or an environment of Python around it has put there."""
    theirs = ("MAKE", "MFLAGS", "CATALENS_", "VIRTUAL_ENV", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs)}


def run(*command: str, folder: Path) -> str:
    """Return what a command printed.

    Raises:
        NewcomerError: it failed.
    """
    done = subprocess.run(  # noqa: S603  # commands are this file's own
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=MOST_STEP_S
    )
    if done.returncode:
        msg = f"{' '.join(command)}: exit status {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}"
        raise NewcomerError(msg)
    return done.stdout


@contextmanager
def started(*command: str, folder: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command with all that it starts in turn until the context is left."""
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603  # likewise
            command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all of its group, kindly at first."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        until = time.monotonic() + _ENDING_S
        while time.monotonic() < until:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(_POLL_S)


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return once `condition` holds.

    Raises:
        NewcomerError: the process ended first, or it took too long.
    """
    until = time.monotonic() + MOST_STEP_S
    while time.monotonic() < until:
        if condition():
            return
        if process.poll() is not None:
            break
        time.sleep(_POLL_S)
    msg = f"it never came:\n{log.read_text(errors='replace')[-2000:]}"
    raise NewcomerError(msg)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Shop:
    """A service, asked as the pages ask it."""

    url: str
    folder: Path

    def ask(self, *arguments: str, path: str = "/v1/search") -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            NewcomerError: there is none, or it is a refusal.
        """
        answer = run("curl", "-sS", "--fail-with-body", f"{self.url}{path}", *arguments, folder=self.folder)
        found: dict[str, Any] = json.loads(answer)
        return found

    def search(self, **asked: object) -> dict[str, Any]:
        """Return the answer to a search in JSON."""
        return self.ask("-H", "content-type: application/json", "-d", json.dumps(asked))

    def is_ready(self) -> bool:
        """Return whether it answers."""
        try:
            return bool(self.ask(path="/readyz")["status"] == "ready")
        except NewcomerError:
            return False


def expect(holds: object, otherwise: str) -> None:
    """Make sure that something holds.

    Raises:
        NewcomerError: it does not.
    """
    if not holds:
        raise NewcomerError(otherwise)


def look_around(clock: Clock, demo: Shop, shop: Path) -> None:
    """Search the demo shop, by words, by a picture, by both, and with a filter."""
    with clock.step("search by words"):
        found = demo.search(q="red striped t-shirt by ember", limit=3, explain=True)
        expect(len(found["hits"]) == 3, "three hits were asked for")
        expect("Ember" in {link["value"] for link in found["linked_entities"]}, "the brand is not linked")
    picture = min((shop / "images").glob("*.jpg"))
    with clock.step("search by a picture"):
        found = demo.ask("-F", f"image=@{picture}", "-F", "limit=3", path="/v1/search/image")
        expect(picture.stem.rpartition("-")[0] == found["hits"][0]["id"], "a product's picture does not find it")
    with clock.step("search by both"):
        both = ("-F", f"image=@{picture}", "-F", "q=in blue", "-F", "weight=0.5", "-F", "limit=3")
        expect(demo.ask(*both, path="/v1/search/image")["hits"], "nothing was found")
    with clock.step("filter, count, sort"):
        asked = {"filter": {"price": {"lt": 60}, "in_stock": True}, "facets": ["brand"], "sort": ["price:asc"]}
        found = demo.search(**asked, limit=3)
        prices = [hit["product"]["price"] for hit in found["hits"]]
        expect(prices == sorted(prices) and max(prices) < 60, f"prices are {prices}")
        expect(found["facets"]["brand"]["values"], "no brand is counted")


def export(clone: Path, products: list[dict[str, Any]], discount: float = 0.0) -> None:
    """Write `products_export.csv` as Shopify does, pictures beside it."""
    (clone / "pictures").mkdir(exist_ok=True)
    rows = []
    for product in products:
        picture = f"pictures/{product['id']}.jpg"
        shutil.copy(product["picture"], clone / picture)
        rows.append(
            {
                "Handle": product["id"], "Title": product["title"], "Body (HTML)": f"<p>{product['description']}</p>",
                "Vendor": product["brand"], "Type": product["category"], "Published": "true",
                "Option1 Name": "Size", "Option1 Value": "M", "Variant SKU": f"{product['id']}-M",
                "Variant Inventory Tracker": "shopify", "Variant Inventory Qty": "3",
                "Variant Inventory Policy": "deny", "Variant Price": f"{product['price'] * (1 - discount):.2f}",
                "Image Src": picture, "Image Position": "1", "Status": "active",
            }
        )  # fmt: skip
    with (clone / "products_export.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def some_products(demo: Shop, shop: Path) -> list[dict[str, Any]]:
    """Return a few products of the demo shop, each with the file of its first picture."""
    found = demo.search(filter={"in_stock": True}, sort=["price:asc"], limit=IMPORTED)
    products = [hit["product"] for hit in found["hits"]]
    return [{**product, "picture": min((shop / "images").glob(f"{product['id']}-*"))} for product in products]


def own_catalogue(clock: Clock, clone: Path, products: list[dict[str, Any]], closing: ExitStack) -> None:
    """Import an export of Shopify, publish it, publish tomorrow's, and go back."""
    python, mine = str(clone / ".venv" / "bin" / "python"), str(clone / "data" / "mine")

    def indexer(*words: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(run(python, "-m", "indexer", *words, "--json", folder=clone))
        return result

    def build() -> str:
        feed = ("--catalogue", "products_export.csv", "--mapping", "mapping.toml")
        return str(indexer("build", *feed, "--data-dir", mine)["manifest"]["id"])

    export(clone, products)
    with clock.step("look at a Shopify export, write the mapping"):
        shown = indexer("inspect", "products_export.csv", "--write", "mapping.toml")
        expect(shown["products"] == IMPORTED, f"{shown['products']} of {IMPORTED} products were read")
    with clock.step("build it"):
        first = build()
    with clock.step("publish it"):
        expect(indexer("publish", first, "--data-dir", mine)["bundle"] == first, "it is not current")
    port, log = free_port(), clone / "service.log"
    own = Shop(f"http://127.0.0.1:{port}", clone)
    with clock.step("serve it and search it"):
        service = closing.enter_context(
            started(python, "-m", "service", "--data-dir", mine, "--port", str(port), folder=clone, log=log)
        )
        wait_for(own.is_ready, service, log)
        found = own.search(q=products[0]["title"], limit=1)
        expect(found["hits"][0]["id"] == products[0]["id"], "a product's title does not find it")

    def answers_from(bundle: str) -> bool:
        return bool(own.search(q="red", limit=1)["index"]["bundle"] == bundle)

    export(clone, products, discount=0.1)
    with clock.step("build and publish tomorrow's, served by itself"):
        second = build()
        indexer("publish", second, "--data-dir", mine)
        wait_for(lambda: answers_from(second), service, log)
    with clock.step("roll back"):
        expect(indexer("rollback", "--data-dir", mine)["bundle"] == first, "it is not the one before")
        wait_for(lambda: answers_from(first), service, log)


def first_hour(clock: Clock, source: str, folder: Path) -> None:
    """Do what a newcomer does, in an empty folder."""
    clone = folder / "catalens"
    with clock.step("clone"):
        run("git", "clone", "--quiet", source, str(clone), folder=folder)
    port, log = free_port(), folder / "demo.log"
    demo, shop = Shop(f"http://127.0.0.1:{port}", folder), clone / "data" / "shop-2000-7"
    with ExitStack() as closing:
        with clock.step("make demo, until the shop is open"):
            up = closing.enter_context(started("make", "demo", f"DEMO_FLAGS=--port {port}", folder=clone, log=log))
            wait_for(lambda: "The shop is open" in log.read_text(errors="replace"), up, log)
        look_around(clock, demo, shop)
        own_catalogue(clock, clone, some_products(demo, shop), closing)


def main() -> int:
    """Run the hour and judge it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default=str(ROOT), help="Repository to clone; this one if not stated.")
    asked = parser.parse_args()
    clock = Clock()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # what was started is ended, too
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        try:
            first_hour(clock, asked.source, Path(folder))
        except (NewcomerError, subprocess.TimeoutExpired) as error:
            say(f"{clock.table()}\nfailed: {error}")
            return 1
    say(clock.table())
    say(f"{os.cpu_count()} cores, {os.getloadavg()[2]:.1f} processes of late that would run on them")
    late = clock.late()
    for each in late:
        say(f"failed: {each}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
