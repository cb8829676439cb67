"""Encoding on a Ray cluster: the same blocks as on this machine, by actors that hold an encoder each.

Blocks travel as rows of a Ray dataset, pictures and all, so that the machines need no common disk; what comes back is a
shard. They go out in rounds, which bounds what the cluster's object store holds. Blocks come back in their order, and
are the same as by `indexer.encode` where the processors, and the threads of each encoder, are the same. This module
needs the extra `ray`.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext

from indexer.encode import BlockEncoder, decode
from indexer.rejects import BuildError
from indexer.store import Encoded, pack, unpack
from indexer.work import Block, EncodeOptions, Row, Step, Work
from models.encoder import Encoder

ROUND_BYTES: Final = 1 << 30  # of pictures, sent out together
ROUND_BLOCKS: Final = 256
_ANSWERS_WITHIN_S: Final = 5.0

Load = Callable[[], Encoder]

_BLOCK: Final = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("keys", pa.large_list(pa.large_binary())),
        pa.field("texts", pa.large_list(pa.large_string())),
        pa.field("entities", pa.large_list(pa.large_binary())),  # JSON
        pa.field("pictures", pa.large_list(pa.large_list(pa.large_binary()))),
    ]
)
_SHARD: Final = pa.schema([pa.field("number", pa.int64()), pa.field("shard", pa.large_binary())])


class RayEngine:
    """Encodes on a Ray cluster.

    Args:
        load: makes the encoder, in the process of each actor.
        fingerprint: that it must have.
        options: how products are encoded.
        address: of the cluster, `host:port`, `ray://host:port` or `auto`; None: RAY_ADDRESS, or else this machine.

    Raises:
        BuildError: there is no such cluster.
    """

    def __init__(self, load: Load, fingerprint: str, options: EncodeOptions, address: str | None = None) -> None:
        self._make = (load, fingerprint, replace(options, fetch=None))
        self._limits = options
        _connect(address or os.environ.get("RAY_ADDRESS") or None)

    def prepare(self, work: Work) -> Work:
        """Return what is handed on by the threads that read: pictures as they are, for actors to decode."""
        return work

    def blocks(self, steps: Iterable[Step[Work]]) -> Iterator[Block]:
        """Yield the rows of `steps` block by block, in order, with what was encoded of them."""
        waiting: list[tuple[tuple[Row, ...], tuple[Work, ...]]] = []
        rows: list[Row] = []
        works: list[Work] = []
        size = 0
        for step in steps:
            rows.append(step.row)
            if step.abandons:
                yield from (Block(kept, (), abandoned=True) for kept, _ in [*waiting, (tuple(rows), ())])
                return
            if step.work is not None:
                works.append(step.work)
                size += sum(len(content or b"") for content in step.work.pictures)
            if step.ends:
                waiting.append((tuple(rows), tuple(works)))
                rows, works = [], []
            if step.ends and (size >= ROUND_BYTES or len(waiting) >= ROUND_BLOCKS):
                yield from self._round(waiting)
                waiting, size = [], 0
        yield from self._round([*waiting, (tuple(rows), tuple(works))])

    def _round(self, waiting: Sequence[tuple[tuple[Row, ...], tuple[Work, ...]]]) -> Iterator[Block]:
        """Send blocks out, and yield them as they come back, in order."""
        tables = [_table(number, works) for number, (_, works) in enumerate(waiting) if works]
        shards = iter(self._encoded(tables)) if tables else iter(())
        for number, (rows, works) in enumerate(waiting):
            encoded: Encoded = ()
            if works:
                came, shard = next(shards, (None, b""))
                if came != number:
                    msg = f"block {came} came back from Ray where {number} was due"
                    raise BuildError(msg)
                encoded = unpack(shard)
            yield Block(rows, encoded)

    def _encoded(self, tables: Sequence[pa.Table]) -> Iterator[tuple[int, bytes]]:
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray does not type it
        gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 0))
        actors = min(len(tables), gpus or max(1, cpus - 1))
        dataset = ray.data.from_arrow(list(tables)).map_batches(
            _Encoding,
            fn_constructor_args=self._make,
            batch_size=1,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=actors),
            num_cpus=1,
            num_gpus=1 if gpus else 0,
        )
        try:
            for row in dataset.iter_rows():
                yield int(row["number"]), bytes(row["shard"])
        except ray.exceptions.RayError as error:
            msg = f"encoding on Ray failed: {_last_line(error)}"
            raise BuildError(msg) from error


class _Encoding:
    """An actor: loads the encoder once, and encodes block after block."""

    def __init__(self, load: Load, fingerprint: str, options: EncodeOptions) -> None:
        self._encoder = load()
        self._options = options
        if self._encoder.fingerprint != fingerprint:
            msg = f"the encoder of this machine is another: {self._encoder.fingerprint[:12]}, not {fingerprint[:12]}"
            raise BuildError(msg)

    def __call__(self, blocks: pa.Table) -> pa.Table:
        made: list[dict[str, Any]] = []
        with BlockEncoder(self._encoder, self._options) as encoding:
            for block in blocks.to_pylist():
                for work in _works(block):
                    encoding.add(decode(work, self._options.limits))
                made.append({"number": block["number"], "shard": pack(encoding.finish())})
        return pa.Table.from_pylist(made, schema=_SHARD)


def _table(number: int, works: Sequence[Work]) -> pa.Table:
    row = {
        "number": number,
        "keys": [work.key for work in works],
        "texts": [work.text for work in works],
        "entities": [orjson.dumps(dict(work.entities)) for work in works],
        "pictures": [list(work.pictures) for work in works],
    }
    return pa.Table.from_pylist([row], schema=_BLOCK)


def _works(block: dict[str, Any]) -> Iterator[Work]:
    columns = (block[name] for name in ("keys", "texts", "entities", "pictures"))
    for key, text, entities, pictures in zip(*columns, strict=True):
        yield Work(key, text, orjson.loads(entities), tuple(pictures))


def _connect(address: str | None) -> None:
    """Join the cluster at `address`, or start one on this machine.

    Raises:
        BuildError: nothing answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _check_answers(address)
    if not ray.is_initialized():
        try:
            ray.init(
                address=address,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            msg = f"no Ray cluster at {address or 'this machine'}: {_last_line(error)}"
            raise BuildError(msg) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False


def _check_answers(address: str | None) -> None:
    """Ask whether anybody listens at `address`: Ray itself would take minutes to find out, and end the process.

    Raises:
        BuildError: nobody does.
    """
    if address in {None, "auto", "local"}:
        return
    try:
        place = urlsplit(address if "://" in str(address) else f"ray://{address}")
        host, port = place.hostname, place.port or 6379
        with contextlib.closing(socket.create_connection((host or "", port), timeout=_ANSWERS_WITHIN_S)):
            return
    except (OSError, ValueError) as error:
        msg = f"no Ray cluster answers at {address}: {error}"
        raise BuildError(msg) from error


def _last_line(error: Exception) -> str:
    """Return what an error says at last: Ray puts the stack of the actor before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
