"""The manifest of a bundle: what is in it, how it was made, and the digest of every file.

It is written last and carries a checksum of its own bytes, so a folder whose manifest reads well is a
complete bundle. Opening the files it names is left to `indexer.bundle`.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from models.pacing import rest

FORMAT_VERSION = 3
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 4 * 2**20
_UNSIGNED = "0" * 64
_BLOCK = 4 * 2**20

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Space = Literal["image", "text"]
SPACES: tuple[Space, ...] = ("image", "text")


class BundleError(ValueError):
    """A folder that is no complete, undamaged bundle; the message names the file and what is wrong."""


class QueryKind(StrEnum):
    """What a query is made of; each kind has its own fusion weights."""

    TEXT = "text"
    IMAGE = "image"
    MIXED = "mixed"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Record):
    """Size and SHA-256 of one file."""

    bytes: Count
    sha256: Digest


class EncoderRecord(_Record):
    """The encoder whose vectors these are: a bundle answers only queries of the same fingerprint."""

    name: str
    fingerprint: Digest
    dim: Annotated[int, Field(ge=1)]
    text_fields: tuple[str, ...]
    entity_groups: tuple[str, ...]


class IndexRecord(_Record):
    """One index: `recipe` is its FAISS factory string, `requested` what was asked for.

    `width` is the search width that met the recall target on this bundle's own vectors; None: exact.
    """

    recipe: str
    requested: str
    width: Annotated[int, Field(ge=1)] | None
    ntotal: Count
    memory_bytes: Count


class FusionWeights(_Record):
    """Parts of a product's score.

    `(1 - lexical) * (image * best picture + text * text vector) + lexical * BM25 + entities * entities in common`:
    `image` and `text` add up to 1; `lexical` is for queries of words; `entities` comes on top, for queries that
    name any.
    """

    image: Share
    text: Share
    lexical: Share = 0.0
    entities: Share = 0.3

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if abs(self.image + self.text - 1.0) > 1e-9:
            msg = f"weights must add up to 1, not {self.image + self.text}"
            raise ValueError(msg)
        return self


class Counts(_Record):
    """How many things the bundle holds, and how many rows of the catalogue it refused."""

    products: Annotated[int, Field(ge=1)]
    images: Count
    rejected: Count


class Manifest(_Record):
    """All that a reader needs to trust and use a bundle.

    `digest` covers what is searched (every file but the report), so two builds of the same catalogue with
    the same encoder and recipe have the same digest; `id` is the time of building and the digest's start.
    `exact_rows` is up to how many products, admitted by a filter, scoring each of them is the faster way.
    `log_position` is the position of the update log that is folded in; None: no log. `feed_as_of` is when the feed
    was made, in seconds since 1970, where whoever built the bundle said so.
    """

    format_version: Literal[3] = 3
    id: Annotated[str, StringConstraints(pattern=r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$")]
    created_at: str
    catalogue: str
    digest: Digest
    encoder: EncoderRecord
    counts: Counts
    indexes: Mapping[Space, IndexRecord]
    fusion: Mapping[QueryKind, FusionWeights]
    exact_rows: Annotated[int, Field(ge=1)] = 5_000
    log_position: str | None = None
    feed_as_of: Annotated[float, Field(allow_inf_nan=False)] | None = None
    files: Mapping[str, FileRecord]
    checksum: Digest = _UNSIGNED

    def to_bytes(self) -> bytes:
        """Return the manifest file's content, its checksum filled in."""
        unsigned = self.model_copy(update={"checksum": _UNSIGNED})
        content = (unsigned.model_dump_json(indent=2) + "\n").encode()
        checksum = hashlib.sha256(content).hexdigest()
        return content.replace(f'"checksum": "{_UNSIGNED}"'.encode(), f'"checksum": "{checksum}"'.encode())


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the bundle in `folder`, its checksum verified.

    Raises:
        BundleError: there is none, or it is cut short, altered or of an unknown format version.
    """
    path = folder / MANIFEST
    content = _read_small(path)
    try:
        found = _Version.model_validate_json(content)
        if found.format_version != FORMAT_VERSION:
            msg = f"{path}: format version {found.format_version} is unknown here: this reads {FORMAT_VERSION}"
            raise BundleError(msg)
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        msg = f"{path}: damaged or no manifest: {where}: {first['msg']}"
        raise BundleError(msg) from error
    unsigned = content.replace(manifest.checksum.encode(), _UNSIGNED.encode())
    if hashlib.sha256(unsigned).hexdigest() != manifest.checksum:
        msg = f"{path}: damaged: its checksum does not match its content"
        raise BundleError(msg)
    return manifest


class _Version(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    format_version: int


def content_digest(files: Mapping[str, FileRecord], leave_out: frozenset[str] = frozenset()) -> str:
    """Return the SHA-256 over names and digests of `files` in the order of their names."""
    lines = (f"{name} {record.sha256}\n" for name, record in sorted(files.items()) if name not in leave_out)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def record_file(path: Path) -> FileRecord:
    """Return size and digest of the file at `path`, reading it in blocks."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            rest(1.0)
            digest.update(block)
            size += len(block)
    return FileRecord(bytes=size, sha256=digest.hexdigest())


def checked_path(folder: Path, name: str) -> Path:
    """Return the path of the bundle's file `name`.

    Raises:
        BundleError: the name leads out of the folder, or the file is missing, a link or not a plain file.
    """
    rest()
    parts = PurePosixPath(name)
    path = folder / name
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or "\0" in name:
        msg = f"{folder}: the file name {name!r} leads out of the bundle"
        raise BundleError(msg)
    for ancestor in [path, *list(path.parents)[: len(parts.parts) - 1]]:
        if ancestor.is_symlink():
            msg = f"{ancestor}: a symbolic link, where a bundle has plain files and folders"
            raise BundleError(msg)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        msg = f"{path}: missing"
        raise BundleError(msg) from error
    if not stat.S_ISREG(mode):
        msg = f"{path}: not a plain file"
        raise BundleError(msg)
    return path


def check_files(folder: Path, manifest: Manifest, *, digests: bool = True) -> None:
    """Check that every file the manifest names is there, of its size and, if `digests`, of its digest.

    Raises:
        BundleError: naming the first file that is not as it was written.
    """
    for name, stated in manifest.files.items():
        path = checked_path(folder, name)
        size = path.stat().st_size
        if size != stated.bytes:
            msg = f"{path}: {size} bytes, where the manifest states {stated.bytes}"
            raise BundleError(msg)
        if digests and record_file(path).sha256 != stated.sha256:
            msg = f"{path}: damaged: its SHA-256 is not the one in the manifest"
            raise BundleError(msg)


def write_durably(path: Path, content: bytes) -> None:
    """Write `content` to `path` and wait until it is on disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Wait until the file at `path` is on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the entries of the folder `path` are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_small(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        msg = f"{path}: missing: the folder is not a complete bundle"
        raise BundleError(msg)
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        msg = f"{path}: too large for a manifest"
        raise BundleError(msg)
    return path.read_bytes()
