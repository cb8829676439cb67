"""Milvus's own client, as far as it is needed: collections of vectors with fields, searched, written and pointed to.

pymilvus is imported here and nowhere else. A URI is an address, or the path of a file whose name ends in `.db`: then
Milvus Lite runs within this process, and no other process can open the file meanwhile.
"""

import json
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import grpc
from pymilvus import DataType, MilvusClient, MilvusException

from indexer.asking import IndexUnavailableError, Scores
from indexer.milvus_fields import ATTRIBUTES, LONGEST_WORD, NUMBER, STATED, TRUTH, WORDS

TIMEOUT_S: Final = 1.0
WRITE_TIMEOUT_S: Final = 120.0
ROWS_AT_ONCE: Final = 1_000  # in one call that writes
ROW: Final = "row"
PRODUCT: Final = "product"
VECTOR: Final = "vector"
_MOST_STATED: Final = 4_096  # fields of a product: Milvus's own limit of an array
_SAID: Final = "catalens.stated"  # the property of a collection that holds it; Milvus Lite keeps no descriptions
_GRAPH: Final = {"M": 32, "efConstruction": 200}

logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)  # it logs, with a traceback, all that it raises


class MilvusError(IndexUnavailableError):
    """Milvus is away, slow, or holds something else than what is asked for."""


class Kind(StrEnum):
    """How a collection's vectors are searched."""

    EXACT = "exact"
    HNSW = "hnsw"


@dataclass(frozen=True, slots=True)
class Stated:
    """What a collection says of itself.

    Attributes:
        bundle: Id of the bundle whose rows it holds.
        space: Of its vectors.
        rows: How many it holds when it is complete.
        dim: Of a vector.
        kind: How they are searched.
        encoder: Fingerprint of what made them.
    """

    bundle: str
    space: str
    rows: int
    dim: int
    kind: Kind
    encoder: str


class Milvus:
    """A Milvus, connected to when it is first asked. Safe to use from threads; all its methods raise `MilvusError`.

    Args:
        uri: http://HOST:PORT, or a file ending in .db.
        token: USER:PASSWORD or a key; empty: none.
        timeout_s: For a search.
    """

    def __init__(self, uri: str, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self.uri = uri
        self._token = token
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._client: Any = None
        if uri.endswith(".db"):  # Milvus Lite logs, with a traceback, each call of its own client that it lacks
            logging.getLogger("grpc._server").setLevel(logging.CRITICAL + 1)

    def stated(self, name: str) -> Stated | None:
        """Return what a collection says of itself, None if there is none of this name."""
        if not self._call("has_collection", name):
            return None
        try:
            said = json.loads(self._call("describe_collection", name)["properties"][_SAID])
            return Stated(**{**said, "kind": Kind(said["kind"])})
        except (ValueError, TypeError, KeyError) as error:
            msg = f"Milvus at {self.uri}: the collection {name} was not made by this program"
            raise MilvusError(msg) from error

    def names(self) -> list[str]:
        """Return the names of all collections."""
        return sorted(self._call("list_collections"))

    def create(self, name: str, stated: Stated) -> None:
        """Make an empty collection that says `stated` of itself."""
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(ROW, DataType.INT64, is_primary=True)
        schema.add_field(PRODUCT, DataType.INT64)
        schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=stated.dim)
        for field in WORDS:
            schema.add_field(field, DataType.VARCHAR, max_length=LONGEST_WORD)
        schema.add_field(NUMBER, DataType.DOUBLE)
        schema.add_field(TRUTH, DataType.BOOL)
        schema.add_field(
            STATED, DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=_MOST_STATED, max_length=LONGEST_WORD
        )
        schema.add_field(ATTRIBUTES, DataType.JSON)
        searched = MilvusClient.prepare_index_params()
        kind, built = ("HNSW", _GRAPH) if stated.kind is Kind.HNSW else ("FLAT", {})
        searched.add_index(VECTOR, index_type=kind, metric_type="IP", params=built)
        said = {_SAID: json.dumps(asdict(stated))}
        self._call(
            "create_collection", name, schema=schema, index_params=searched, properties=said, timeout=WRITE_TIMEOUT_S
        )

    def upsert(self, name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Write rows, each in place of one with the same number."""
        written = [dict(row) for row in rows]
        for start in range(0, len(written), ROWS_AT_ONCE):
            self._call("upsert", name, written[start : start + ROWS_AT_ONCE], timeout=WRITE_TIMEOUT_S)

    def delete(self, name: str, rows: Sequence[int]) -> None:
        """Remove the rows of these numbers, those that are there."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = [int(row) for row in rows[start : start + ROWS_AT_ONCE]]
            self._call("delete", name, ids=some, timeout=WRITE_TIMEOUT_S)

    def finish(self, name: str) -> None:
        """Have all that was written be found: sealed, indexed and loaded."""
        self._call("flush", name, timeout=WRITE_TIMEOUT_S)
        self.load(name)

    def load(self, name: str) -> None:
        """Have a collection be searched."""
        self._call("load_collection", name, timeout=WRITE_TIMEOUT_S)

    def count(self, name: str) -> int:
        """Return how many rows a loaded collection has."""
        return int(self._call("query", name, filter="", output_fields=["count(*)"])[0]["count(*)"])

    def drop(self, name: str) -> None:
        """Remove a collection."""
        self._call("drop_collection", name)

    def target(self, alias: str) -> str | None:
        """Return the collection that an alias leads to, None if there is no such alias."""
        if alias not in self._call("list_aliases")["aliases"]:
            return None
        return str(self._call("describe_alias", alias)["collection_name"])

    def point(self, alias: str, name: str) -> None:
        """Have an alias lead to a collection, at once and for everyone."""
        self._call("create_alias" if self.target(alias) is None else "alter_alias", name, alias)

    def unpoint(self, alias: str) -> None:
        """Remove an alias."""
        self._call("drop_alias", alias)

    def search(
        self, name: str, xq: Scores, limit: int, expression: str, width: int | None
    ) -> list[list[tuple[int, float]]]:
        """Return, of each query, the numbers and inner products of the `limit` best rows that `expression` admits."""
        found = self._call(
            "search",
            name,
            data=list(xq),
            limit=limit,
            filter=expression,
            output_fields=[ROW],
            search_params={"metric_type": "IP", "params": {} if width is None else {"ef": width}},
        )
        return [[(int(hit[ROW]), float(hit["distance"])) for hit in hits] for hits in found]

    def _call(self, method: str, *args: object, **options: object) -> Any:  # noqa: ANN401 - as the client's own
        """Return what a method of the client returns; one that fails connects anew the next time."""
        try:
            return getattr(self._connected(), method)(*args, **{"timeout": self._timeout_s, **options})
        except (MilvusException, grpc.RpcError) as error:  # the latter is what passes its deadline
            self._client = None
            msg = f"Milvus at {self.uri}: {_first_line(error)}"
            raise MilvusError(msg) from error

    def _connected(self) -> Any:  # noqa: ANN401 - untyped
        with self._lock:
            if self._client is None:
                self._client = MilvusClient(self.uri, token=self._token, timeout=self._timeout_s)
            return self._client


def _first_line(error: Exception) -> str:
    if isinstance(error, MilvusException):
        said = error.message
    else:  # what a call raises is that call, too, and has its details
        said = error.details() if isinstance(error, grpc.Call) else error
    lines = str(said or "").strip().splitlines()
    return lines[0] if lines else type(error).__name__
