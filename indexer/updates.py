"""Changes of products between two builds, and the durable log that holds them: what an update log does and promises.

A change is one of three: a whole product (put), some fields of one (patch), or its end (delete). The log keeps what is
needed to come to the present state from any bundle, and no more: the last put or delete of each product, and one patch
that joins all that came after it. Every change has a sequence number that grows over all products, and a version that
grows for each product and never starts anew. What a change means for an index is left to `indexer.live`, folding the
log into the next bundle to `indexer.fold`.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, Self

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import JsonValue

from models.product import AttributeValue, Product

Fields = Mapping[str, JsonValue]

_UNIT_TOLERANCE = 0.02  # of a vector's length: float16 of 1,024 dimensions is within a tenth of it


class Kind(StrEnum):
    """What a change does to its product."""

    PUT = "put"  # replaces all of it
    PATCH = "patch"  # changes the fields it states
    DELETE = "delete"
    DAMAGED = "damaged"  # cannot be read: it changes nothing, and whoever applies it says so


class Result(StrEnum):
    """What became of a change."""

    STORED = "stored"
    CONFLICT = "conflict"  # the product has another version than the change was made for
    GONE = "gone"  # the product was deleted


class LogUnavailableError(RuntimeError):
    """The log cannot be reached, read or written; nothing that was not acknowledged may be relied on."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change to be stored.

    Attributes:
        product_id: whose.
        kind: put, patch or delete.
        payload: an `EncodedProduct` for a put, the JSON of the fields for a patch, nothing for a delete.
        if_version: the version its product must have for the change to be stored; None: any.
    """

    product_id: str
    kind: Kind
    payload: bytes = b""
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change, and the version its product has now; `seq` is the change's own, if it was stored."""

    result: Result
    version: int
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A change as the log holds it; `at` is when it was stored, in seconds since 1970."""

    seq: int
    at: float
    product_id: str
    kind: Kind
    version: int
    payload: bytes

    @classmethod
    def damaged(cls, seq: int) -> Self:
        """Return what stands for an entry that cannot be read."""
        return cls(seq, 0.0, "", Kind.DAMAGED, 0, b"")


@dataclass(frozen=True, slots=True)
class State:
    """What the log knows of a product: its version, 0 if it was never changed, and its last put or delete, if held."""

    version: int = 0
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one log: all entries up to `seq`. The epoch tells logs apart."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position that `str` wrote.

        Raises:
            ValueError: it wrote none.
        """
        epoch, colon, seq = text.rpartition(":")
        if not colon or not epoch or not seq.isascii() or not seq.isdigit():
            msg = f"{text!r} is no position of an update log"
            raise ValueError(msg)
        return cls(epoch, int(seq))

    def after(self, earlier: str | None) -> int:
        """Return the number of the last entry that one who stands at `earlier` has seen of this log."""
        place = None if earlier is None else Position.parse(earlier)
        return place.seq if place is not None and place.epoch == self.epoch else 0


class UpdateLog(Protocol):
    """A durable log of changes that processes may share. Safe to use from threads.

    Every method raises LogUnavailableError where the log cannot be reached.
    """

    def tail(self) -> Position:
        """Return the position behind the last entry; a new log gets its epoch now."""
        ...

    def trimmed(self) -> int:
        """Return the number of the last entry that `trim` removed, 0 if none: who stands before it has missed some."""
        ...

    def count(self) -> int:
        """Return how many entries are held."""
        ...

    def states(self, product_ids: Sequence[str]) -> list[State]:
        """Return what is known of each product."""
        ...

    def whole(self, product_id: str) -> Entry | None:
        """Return the last put of a product, if it is held and was not followed by its deletion."""
        ...

    def append(self, changes: Sequence[Change]) -> list[Outcome]:
        """Store the changes, in order, each wholly or not at all; when this returns they are on disk.

        A patch joins the one that its product has already.
        """
        ...

    def read(self, after: int, limit: int, wait_s: float = 0.0) -> list[Entry]:
        """Return up to `limit` entries behind the number `after`, in order; wait so long for a first one."""
        ...

    def trim(self, through: float) -> int:
        """Remove entries stored until `through`, in seconds since 1970; return how many. Versions stay."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...


@dataclass(frozen=True)
class EncodedProduct:
    """A product with all that serving it takes.

    Attributes:
        product: its fields; `images` names the pictures that were encoded.
        text: `(d,) float16`, unit length.
        images: `(p, d) float16`, unit rows, in the order of `product.images`.
        thumbnails: p JPEGs.
        fingerprint: of the encoder that made the vectors.
        pictures: picture files by reference, for encoding anew; those that came with the product.
    """

    product: Product
    text: NDArray[np.float16]
    images: NDArray[np.float16]
    thumbnails: tuple[bytes, ...]
    fingerprint: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return all of it as JSON."""
        stated = {
            "product": self.product.model_dump(mode="json"),
            "text": _text(self.text.tobytes()),
            "images": _text(self.images.tobytes()),
            "thumbnails": [_text(thumbnail) for thumbnail in self.thumbnails],
            "fingerprint": self.fingerprint,
            "pictures": {reference: _text(content) for reference, content in self.pictures.items()},
        }
        return orjson.dumps(stated)

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Return what `to_bytes` wrote.

        Raises:
            ValueError: it wrote something else.
        """
        try:
            return cls._read(orjson.loads(payload))
        except (LookupError, TypeError, AttributeError) as error:
            msg = f"not a product of an update log: {type(error).__name__}: {error}"
            raise ValueError(msg) from error

    @classmethod
    def _read(cls, stated: Any) -> Self:  # noqa: ANN401 - as orjson gives it
        text = np.frombuffer(base64.b64decode(stated["text"]), np.float16)
        return cls(
            product=Product.model_validate(stated["product"]),
            text=text,
            images=np.frombuffer(base64.b64decode(stated["images"]), np.float16).reshape(-1, len(text)),
            thumbnails=tuple(base64.b64decode(thumbnail) for thumbnail in stated["thumbnails"]),
            fingerprint=str(stated["fingerprint"]),
            pictures={name: base64.b64decode(content) for name, content in stated["pictures"].items()},
        )

    def expect(self, dim: int) -> None:
        """Make sure that the vectors have `dim` dimensions and unit length: others would be served.

        Raises:
            ValueError: they have not.
        """
        if self.text.shape != (dim,):
            msg = f"vectors of {len(self.text)} dimensions, where the bundle's have {dim}"
            raise ValueError(msg)
        lengths = np.linalg.norm(np.vstack([self.text[None, :], self.images]).astype(np.float32), axis=1)
        if not (np.abs(lengths - 1.0) < _UNIT_TOLERANCE).all():  # NaN is not, either
            msg = "vectors that are not of unit length"
            raise ValueError(msg)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def joined(earlier: Fields, later: Fields) -> dict[str, JsonValue]:
    """Return one patch that does what two do, one after the other; attributes are joined by name."""
    attributes = {**_attributes(earlier), **_attributes(later)}
    return {**earlier, **later, **({"attributes": attributes} if attributes else {})}


def joined_payload(earlier: bytes | None, later: bytes) -> bytes:
    """Return the payload of one patch that does what two do; `earlier` may be none."""
    return later if earlier is None else orjson.dumps(joined(orjson.loads(earlier), orjson.loads(later)))


def patched(product: Product, fields: Fields) -> Product:
    """Return `product` with the values of `fields`, which were checked when they were stored; null: no value.

    Attributes that are not named stay, as in a JSON merge patch (RFC 7396).
    """
    update: dict[str, object] = {name: value for name, value in fields.items() if name != "attributes"}
    if "attributes" in fields:
        both = {**product.attributes, **_attributes(fields)}
        update["attributes"] = {name: _value(value) for name, value in both.items() if value is not None}
    return product.model_copy(update=update)


def _value(value: object) -> AttributeValue:
    """Return an attribute's value as products hold it: what JSON calls a list is a tuple."""
    return tuple(value) if isinstance(value, list) else value  # type: ignore[return-value]  # checked before stored


def _attributes(fields: Fields) -> Mapping[str, JsonValue]:
    stated = fields.get("attributes")
    return stated if isinstance(stated, dict) else {}
