"""API keys: made at random, kept as digests in one small file, and looked up in it while it may change.

A key is 256 random bits, so one round of SHA-256 hides it: nobody can try 2**256 keys, however fast a hash is.
Slow, salted hashes are for what people choose themselves; here they would only cost time for every request.
"""

import datetime as dt
import hashlib
import hmac
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from indexer.locking import locked
from indexer.manifest import sync_folder
from service.rates import Rate
from service.scopes import Scope

FILE: Final = "keys.json"

_PREFIX: Final = "cat_"
_RANDOM_BYTES: Final = 32
_SECRET: Final = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_BYTES: Final = 16 << 20
_LOOK_S: Final = 0.5  # how often it is looked whether the file has changed
_log = structlog.stdlib.get_logger("catalens.auth")


class KeyFileError(ValueError):
    """The key file cannot be used, or not changed as asked; the message is one line."""


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        msg = "must be at most 64 letters, digits, dots, dashes and underscores, the first a letter or digit"
        raise ValueError(msg)
    return name


class Key(BaseModel):
    """One key as it is kept: never the key itself.

    Attributes:
        name: Whose it is; in logs and metrics.
        scopes: What it may do.
        sha256: Digest of the key, in hexadecimal.
        rate: Most requests, where it has a limit of its own.
        created: When it was made, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_checked_name)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rate: Rate | None = None
    created: dt.datetime


class _KeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for kind in ("name", "sha256"):
            stated = [getattr(key, kind) for key in self.keys]
            if len(set(stated)) < len(stated):
                msg = f"two keys have the same {kind}"
                raise ValueError(msg)
        return self


def read_keys(path: Path) -> tuple[Key, ...]:
    """Return the keys of a file, in the order they were added.

    Raises:
        FileNotFoundError: there is no such file.
        KeyFileError: it cannot be read, or does not hold keys.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        msg = f"the key file {path} cannot be read: {error.strerror}"
        raise KeyFileError(msg) from error
    try:
        return _KeyFile.model_validate_json(data).keys
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        reason = fault["msg"].removeprefix("Value error, ").splitlines()[0]
        msg = f"the key file {path} is damaged: {f'{where}: ' if where else ''}{reason}"
        raise KeyFileError(msg) from None  # the cause would quote what is in the file


def add_key(path: Path, name: str, scopes: Sequence[Scope], rate: str | None = None) -> str:
    """Add a key to the file, which is made if there is none, and return the key: it is nowhere else.

    Raises:
        KeyFileError: there is a key of this name already, a value does not fit, or the file cannot be used.
    """
    secret = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    try:
        key = Key(
            name=name,
            scopes=tuple(sorted(set(scopes))),
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            rate=rate,
            created=dt.datetime.now(dt.UTC).replace(microsecond=0),
        )
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        msg = f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}"
        raise KeyFileError(msg) from None
    with _changing(path) as keys:
        if name in keys:
            msg = f"there is a key {name!r} already: revoke it first, or take another name"
            raise KeyFileError(msg)
        keys[name] = key
    return secret


def revoke_key(path: Path, name: str) -> None:
    """Take a key out of the file.

    Raises:
        KeyFileError: there is no key of this name, or the file cannot be used.
    """
    if not path.exists():
        msg = f"there is no key file {path}"
        raise KeyFileError(msg)
    with _changing(path) as keys:
        if keys.pop(name, None) is None:
            msg = f"there is no key {name!r} in {path}"
            raise KeyFileError(msg)


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, Key]]:
    """Give the keys by name to be changed, and write them back, alone among the processes that do so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f"{path.name}.lock"), wait=True):
        keys: dict[str, Key] = {}
        with suppress(FileNotFoundError):
            keys = {key.name: key for key in read_keys(path)}
        yield keys
        _write(path, _KeyFile(keys=tuple(keys.values())).model_dump_json(indent=2))


def _write(path: Path, text: str) -> None:
    """Replace the file at once, for its owner alone, so that readers see all of the old keys or all of the new."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # has mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
        sync_folder(path.parent)  # a revoked key does not come back with the power
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class _Seen:
    """What tells one state of a file from the next, without reading it."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class KeyRing:
    """The keys of a file as it is now; it is looked at again every half second, when a request comes.

    A file that is damaged or gone changes nothing: the last good keys stay, and the log says so. While no file has
    ever been there, nothing is guarded.

    Raises:
        KeyFileError: the file that is there cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _look(path)
        self._next_look = 0.0
        self._keys: Mapping[bytes, Key] = {}
        self._guarded = False
        with suppress(FileNotFoundError):
            self._keys, self._guarded = _by_digest(read_keys(path)), True

    @property
    def guarded(self) -> bool:
        """Whether there are keys to be asked for. A file whose last key was revoked still guards."""
        self._refresh()
        return self._guarded

    def find(self, secret: str) -> Key | None:
        """Return the key that this is, None if it is none.

        How long that takes tells nothing of the keys. What is looked up is the digest of what was sent, and nobody
        can choose that: to make it share even its first bytes with a stored digest is to search for a preimage, and
        Python hashes it once more with a number of its own for each process. The last comparison, of the two whole
        digests, takes the same time wherever they differ.
        """
        if not _SECRET.fullmatch(secret):
            return None
        self._refresh()
        digest = hashlib.sha256(secret.encode()).digest()
        key = self._keys.get(digest)
        return key if key is not None and hmac.compare_digest(bytes.fromhex(key.sha256), digest) else None

    def _refresh(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        seen = _look(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            keys = read_keys(self._path)
        except FileNotFoundError:
            _log.error("keys_missing", file=str(self._path), kept=len(self._keys))
        except KeyFileError as error:
            _log.error("keys_unusable", reason=str(error), kept=len(self._keys))
        else:
            self._keys, self._guarded = _by_digest(keys), True
            _log.info("keys_read", keys=len(keys))


def _by_digest(keys: Sequence[Key]) -> Mapping[bytes, Key]:
    return {bytes.fromhex(key.sha256): key for key in keys}


def _look(path: Path) -> _Seen | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return _Seen(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
