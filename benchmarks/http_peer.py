"""The service and a vector database that speaks HTTP (Chroma), asked by the same callers on the same machine.

Chroma holds the text vectors of the bundle's products, with title, brand and price, in a graph. Two comparisons:

* *known vectors*: Chroma is sent vectors; the service is sent texts whose vectors it remembers (whole answers are not
  kept). It still reads their entities, searches pictures as well as texts, and ranks what it found anew.
* *texts*: new texts for both. Before Chroma stands what an application would put there (`benchmarks.front`): the same
  encoder, batched by the same batcher.

Recall of Chroma is of the true ten nearest text vectors; that of the service is measured with the bundle. Chroma lives
in an environment of its own (`make peers`); where that is missing, this benchmark is skipped.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks import front
from benchmarks.ann import recall_at_k
from benchmarks.closed_loop import rush
from benchmarks.effort import Effort
from benchmarks.queries import fresh_texts, text_requests
from benchmarks.record import spread
from benchmarks.server import Server, running, running_service
from benchmarks.subject import Subject
from benchmarks.vectors import Floats, nearest
from benchmarks.wire import post
from models.product import Product

CHROMA = Path("build/peers/chroma/bin/chroma")
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
FIELDS = ("id", "title", "brand", "price")
EF_SEARCH = 100  # its default
K = 10
WANTED = {"n_results": K, "include": ["metadatas", "distances"]}
ADDED_AT_ONCE = 500
KNOWN = 500  # texts whose vectors the service remembers
CALLERS = 16
FRESH = 6_000


def installed() -> bool:
    """Return whether Chroma is there."""
    return CHROMA.exists()


def figures(subject: Subject, effort: Effort) -> dict[str, Any]:
    """Return answers a second of both, by comparison and turn, and ours over theirs."""
    known = subject.titles[:KNOWN]
    vectors = subject.encoder.encode_texts(known)
    texts = fresh_texts(subject.titles, FRESH * effort.turns, effort.seed)
    flags = ("--result-cache-bytes", "0", "--update-log", "off")
    with ExitStack() as started:
        chroma = started.enter_context(_filled(subject, effort.port + 1))
        front_of = started.enter_context(_front(subject, chroma, effort.port + 2))
        ours = started.enter_context(running_service(subject.data_dir, subject.encoder_name, effort.port, flags))
        sides: dict[str, tuple[Side, Side]] = {
            "known vectors": (
                (ours, lambda _: text_requests(known, limit=K, fields=FIELDS, mode="vector")),
                (chroma.server, lambda _: [post(chroma.query_path, chroma.asked(vector)) for vector in vectors]),
            ),
            "texts": (
                (ours, lambda turn: text_requests(texts[turn :: effort.turns], limit=K, fields=FIELDS, mode="vector")),
                (front_of, lambda turn: [post(front.SEARCH, {"q": text}) for text in texts[turn :: effort.turns]]),
            ),
        }
        found: dict[str, Any] = {name: _compared(*both, effort) for name, both in sides.items()}
        found["chroma_recall_at_10"] = chroma.recall(vectors, subject)
    found["products"] = len(subject.bundle.products)
    return found


Side = tuple[Server, Callable[[int], list[bytes]]]


def _compared(ours: Side, theirs: Side, effort: Effort) -> dict[str, Any]:
    turns: list[dict[str, Any]] = []
    for turn in range(effort.turns):
        us, them = (
            rush(server.address, requests(turn), CALLERS, effort.seconds) for server, requests in (ours, theirs)
        )
        turns.append(
            {
                "service_per_s": us.per_second,
                "chroma_per_s": them.per_second,
                "ratio": us.per_second / them.per_second,
                "statuses": [us.statuses, them.statuses],
            }
        )
    return {"ratio": spread([turn["ratio"] for turn in turns]), "turns": turns}


@dataclass(frozen=True, slots=True)
class Chroma:
    """A Chroma server that holds the text vectors of a bundle."""

    server: Server
    query_path: str

    def asked(self, vector: Floats) -> dict[str, Any]:
        """Return the body of a query for what is near a vector."""
        return {"query_embeddings": [vector.tolist()], **WANTED}

    def recall(self, vectors: Floats, subject: Subject) -> float:
        """Return recall@10 of the true nearest text vectors."""
        truth = nearest(subject.bundle.vectors["text"], vectors, K)
        answers = [orjson.loads(self.server.ask(post(self.query_path, self.asked(vector)))) for vector in vectors]
        return recall_at_k(np.array([answer["ids"][0] for answer in answers], dtype=np.int64), truth)


@contextmanager
def _filled(subject: Subject, port: int) -> Iterator[Chroma]:
    """Start Chroma and give it the products of a bundle, under the numbers of their rows."""
    bundle = subject.bundle
    with tempfile.TemporaryDirectory() as folder:
        command = [str(CHROMA), "run", "--path", folder, "--host", "127.0.0.1", "--port", str(port)]
        with running(command, port, "/api/v2/heartbeat") as server:
            stated = {"name": "products", "configuration": {"hnsw": {"space": "ip", "ef_search": EF_SEARCH}}}
            made = orjson.loads(server.ask(post(COLLECTIONS, stated)))
            path = f"{COLLECTIONS}/{made['id']}"
            for start in range(0, len(bundle.products), ADDED_AT_ONCE):
                rows = range(start, min(start + ADDED_AT_ONCE, len(bundle.products)))
                added = {
                    "ids": [str(row) for row in rows],
                    "embeddings": bundle.vectors["text"][rows.start : rows.stop].astype(np.float32).tolist(),
                    "metadatas": [_stated(bundle.products[row]) for row in rows],
                }
                server.ask(post(f"{path}/add", added), status=201)
            yield Chroma(server, f"{path}/query")


def _stated(product: Product) -> dict[str, Any]:
    values = {name: getattr(product, name) for name in FIELDS}
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def _front(subject: Subject, chroma: Chroma, port: int) -> Iterator[Server]:
    """Start what encodes texts for Chroma."""
    address = chroma.server.address
    url = f"http://{address.host}:{address.port}{chroma.query_path}"
    stated = [subject.encoder_name, url, orjson.dumps(WANTED).decode(), str(port)]
    with running([sys.executable, "-m", "benchmarks.front", *stated], port, front.READY) as server:
        yield server
