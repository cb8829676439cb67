"""What an encoder made of products, kept in a data folder so that no build encodes the same thing twice.

A product is kept under a digest of all that its vectors depend on (`content_key`), in shards: safetensors files named
by the SHA-256 of their content, written under another name, synced and renamed, so that a shard is there whole or not
at all. One that is not what its name says counts as absent. Only who holds the lock of builds may use a store. Choosing
what to encode is left to `indexer.work`, encoding to `indexer.encode`.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors.numpy import save

from indexer.manifest import sync_folder, write_durably
from indexer.product_encoding import THUMBNAIL_QUALITY, THUMBNAIL_SIDE
from models.picture import PictureLimits

STORE: Final = "encoded"
_FORMAT: Final = 1
_SUFFIX: Final = ".safetensors"
_UNFINISHED: Final = ".unfinished"
_PLACES: Final = 1 << 20  # a product's place: number of its shard * _PLACES + place within
_COMING: Final = -1
_OPEN: Final = 64  # shards mapped at a time
_DTYPES: Final[Mapping[str, str]] = {"F16": "<f2", "U8": "|u1", "I32": "<i4"}

Halves = NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """What an encoder made of one product.

    Attributes:
        text: `(d,) float16`.
        bare: the same without its category among its entities; None where the encoder reads no category.
        images: `(p, d) float16`, of the pictures that could be decoded, in order.
        thumbnails: p JPEGs.
        problems: of each picture that could not be decoded, by its number among all, what is wrong with it.
    """

    text: Halves
    bare: Halves | None
    images: Halves
    thumbnails: tuple[bytes, ...]
    problems: Mapping[int, str]


Encoded = Sequence[tuple[bytes, Encoding]]
"""Keys of products, and what was made of them."""


def content_key(
    fingerprint: str,
    text: str,
    entities: Mapping[str, str],
    pictures: Sequence[bytes | None],
    limits: PictureLimits,
) -> bytes:
    """Return the digest of what a product's vectors depend on, 32 bytes; None is a picture that could not be had."""
    digests = [None if content is None else hashlib.sha256(content).hexdigest() for content in pictures]
    how = [_FORMAT, THUMBNAIL_SIDE, THUMBNAIL_QUALITY, limits.max_bytes, limits.max_pixels]
    return hashlib.sha256(orjson.dumps([how, fingerprint, text, list(entities.items()), digests])).digest()


def store_folder(data_dir: Path, fingerprint: str) -> Path:
    """Return where the encodings by the encoder of `fingerprint` are kept."""
    return data_dir / STORE / fingerprint[:16]


class Store:
    """Encodings by key. One thread may add and get while others ask what is held.

    Memory: about 200 bytes a product, and what of 64 shards is looked at.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._places: dict[bytes, int] = {}
        self._paths: list[Path | None] = []
        self._used: list[bytearray] = []
        self._verified: set[int] = set()
        self._open: dict[int, _Shard] = {}
        for path in folder.glob(f"*{_UNFINISHED}"):
            path.unlink()
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            try:
                self._enter(path, _mapped(path).keys())
            except (ValueError, KeyError, TypeError, OSError):
                path.unlink()

    def __len__(self) -> int:
        """Products held."""
        return len(self._places)

    def holds(self, key: bytes) -> bool:
        """Return whether the encoding of `key` is there, undamaged."""
        place = self._places.get(key, _COMING)
        return place != _COMING and self._is_sound(place // _PLACES)

    def claim(self, key: bytes) -> bool:
        """Return whether `key` is still to be encoded, and take it for coming from now on."""
        if self.holds(key):
            return False
        with self._lock:
            if key in self._places:
                return False
            self._places[key] = _COMING
            return True

    def add(self, encoded: Encoded) -> None:
        """Write encodings as one shard; when this returns, they are on the disk for good."""
        if encoded:
            number = self._enter(self._write(encoded), [key for key, _ in encoded])
            self._verified.add(number)

    def get(self, key: bytes) -> Encoding:
        """Return the encoding of `key`, which is held, and count it as used.

        Raises:
            KeyError: it is not held.
        """
        number, at = divmod(self._places[key], _PLACES)
        self._used[number][at] = 1
        return self._shard(number).encoding(at)

    def sweep(self, full: int) -> None:
        """Remove shards of which nothing was used, and join those of which less than half of `full` products was."""
        small: list[int] = []
        for number, path in enumerate(self._paths):
            used = sum(self._used[number])
            if path is not None and used == 0:
                path.unlink(missing_ok=True)
            elif path is not None and 2 * used < full:
                small.append(number)
        joined: set[Path] = set()
        waiting: list[tuple[bytes, Encoding]] = []
        for entry in self._used_of(small):
            waiting.append(entry)
            if len(waiting) == full:
                joined.add(self._write(waiting))
                waiting = []
        if waiting:
            joined.add(self._write(waiting))
        for number in small:
            left = self._paths[number]
            if left is not None and left not in joined:
                left.unlink()

    def _used_of(self, numbers: Sequence[int]) -> Iterator[tuple[bytes, Encoding]]:
        for number in numbers:
            shard = self._shard(number)
            for at, key in compress(enumerate(shard.keys()), self._used[number]):
                yield key, shard.encoding(at)

    def _write(self, encoded: Encoded) -> Path:
        content = pack(encoded)
        path = self._folder / f"{hashlib.sha256(content).hexdigest()}{_SUFFIX}"
        unfinished = path.with_suffix(_UNFINISHED)
        write_durably(unfinished, content)
        unfinished.rename(path)
        sync_folder(self._folder)
        return path

    def _enter(self, path: Path, keys: Sequence[bytes]) -> int:
        with self._lock:
            number = len(self._paths)
            self._paths.append(path)
            self._used.append(bytearray(len(keys)))
            self._places.update((key, number * _PLACES + at) for at, key in enumerate(keys))
            return number

    def _is_sound(self, number: int) -> bool:
        """Return whether a shard is what its name says; what is not is removed, and forgotten."""
        if number in self._verified:
            return True
        with self._lock:
            path = self._paths[number]
            if path is None or number in self._verified:
                return path is not None
            with path.open("rb") as file:
                sound = hashlib.file_digest(file, "sha256").hexdigest() == path.stem
            if sound:
                self._verified.add(number)
                return True
            path.unlink()
            self._paths[number] = None
            for key in [key for key, place in self._places.items() if place // _PLACES == number]:
                del self._places[key]
            return False

    def _shard(self, number: int) -> "_Shard":
        shard = self._open.get(number)
        path = self._paths[number]
        if shard is None and path is not None:
            if len(self._open) >= _OPEN:
                self._open.clear()
            shard = self._open[number] = _mapped(path)
        if shard is None:
            msg = f"shard {number} was damaged"
            raise KeyError(msg)
        return shard


def pack(encoded: Encoded) -> bytes:
    """Return a shard's content; equal encodings in equal order give equal bytes."""
    encodings = [encoding for _, encoding in encoded]
    thumbnails = [small for encoding in encodings for small in encoding.thumbnails]
    bare = [encoding.bare for encoding in encodings if encoding.bare is not None]
    dim = len(encodings[0].text)
    problems = {at: dict(e.problems) for at, e in enumerate(encodings) if e.problems}
    arrays: dict[str, NDArray[Any]] = {
        "keys": np.frombuffer(b"".join(key for key, _ in encoded), np.uint8).reshape(-1, 32),
        "texts": np.stack([encoding.text for encoding in encodings]),
        "bare": np.stack(bare) if bare else np.zeros((0, dim), np.float16),
        "images": np.concatenate([encoding.images for encoding in encodings]),
        "pictures": np.array([len(encoding.images) for encoding in encodings], np.int32),
        "thumbnails": np.frombuffer(b"".join(thumbnails), np.uint8),
        "sizes": np.array([len(small) for small in thumbnails], np.int32),
        "problems": np.frombuffer(orjson.dumps(problems, option=orjson.OPT_NON_STR_KEYS), np.uint8),
    }
    return bytes(save(arrays))


def unpack(content: bytes) -> Encoded:
    """Return what `pack` packed."""
    shard = _Shard(np.frombuffer(content, np.uint8))
    return [(key, shard.encoding(at)) for at, key in enumerate(shard.keys())]


def _mapped(path: Path) -> "_Shard":
    return _Shard(np.memmap(path, np.uint8, "r"))


class _Shard:
    """A shard's content, as it is needed.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """

    def __init__(self, content: NDArray[np.uint8]) -> None:
        head = int.from_bytes(content[:8].tobytes(), "little")
        stated = json.loads(content[8 : 8 + head].tobytes())
        arrays = {name: _array(content[8 + head :], stated[name]) for name in stated}
        self._keys = arrays["keys"]
        self._texts, self._bare, self._images = arrays["texts"], arrays["bare"], arrays["images"]
        self._thumbnails = arrays["thumbnails"]
        self._starts = np.concatenate([[0], np.cumsum(arrays["pictures"])]).tolist()
        self._offsets = np.concatenate([[0], np.cumsum(arrays["sizes"], dtype=np.int64)]).tolist()
        problems: Mapping[str, Mapping[str, str]] = orjson.loads(arrays["problems"].tobytes())
        self._problems = {int(at): {int(n): why for n, why in of.items()} for at, of in problems.items()}

    def keys(self) -> list[bytes]:
        """Return the keys of its products, in order."""
        return [key.tobytes() for key in self._keys]

    def encoding(self, at: int) -> Encoding:
        """Return the encoding of its product `at`."""
        start, end = self._starts[at : at + 2]
        ends = self._offsets[start : end + 1]
        return Encoding(
            text=self._texts[at],
            bare=self._bare[at] if len(self._bare) else None,
            images=self._images[start:end],
            thumbnails=tuple(self._thumbnails[a:b].tobytes() for a, b in pairwise(ends)),
            problems=self._problems.get(at, {}),
        )


def _array(content: NDArray[np.uint8], stated: Mapping[str, Any]) -> NDArray[Any]:
    """Return an array of a safetensors file: a view of what follows its header."""
    start, end = stated["data_offsets"]
    return np.asarray(content[start:end]).view(_DTYPES[stated["dtype"]]).reshape(stated["shape"])
