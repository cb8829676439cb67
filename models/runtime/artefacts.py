"""Files made from an encoder once and kept: checked by digest before every use, made again when they do not fit.

Each lies in a folder of its own with a `manifest.json` that says what it was made from and its SHA-256; the folder
is made beside its place and renamed. Nothing is pickled. What the files hold is left to `models.runtime.onnx_export`.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from models.runtime.names import RuntimeUnavailableError

MANIFEST: Final = "manifest.json"
_FILE: Final = "model.onnx"
_MAKING: Final = ".making-"  # begins the name of a folder that is not finished
_FORMAT: Final = 1

Make = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a file is made of: two with the same recipe are the same.

    Attributes:
        encoder: its fingerprint.
        name: of the file among those of the encoder, fit for a folder's name.
        versions: package -> version, of all that has a hand in it.
    """

    encoder: str
    name: str
    versions: Mapping[str, str]

    @property
    def folder(self) -> str:
        """The name of its folder."""
        made_by = "-".join(f"{package}{version}" for package, version in sorted(self.versions.items()))
        return f"{self.encoder[:16]}-{self.name}-{made_by}"

    def stated(self) -> dict[str, object]:
        """Return what the manifest says of it."""
        return {"format": _FORMAT, "encoder": self.encoder, "name": self.name, "versions": dict(self.versions)}


class Artefacts:
    """The files kept in a folder; those that cannot be written there are kept in memory as long as this is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unwritten: dict[str, bytes | str] = {}

    def kept(self, recipe: Recipe, make: Make) -> bytes:
        """Return the file of `recipe`, as it was kept or else as `make` makes it now.

        That it cannot be made is kept, too.

        Raises:
            RuntimeUnavailableError: `make` says that it cannot be made, or said so before.
        """
        found = self._unwritten.get(recipe.folder) or _read(self._folder / recipe.folder, recipe)
        if found is None:
            found = _made(make)
            try:
                _write(self._folder, recipe, found)
            except OSError:
                self._unwritten[recipe.folder] = found
        if isinstance(found, str):
            raise RuntimeUnavailableError(found)
        return found


def _made(make: Make) -> bytes | str:
    """Return the file, or why there cannot be one."""
    try:
        return make()
    except RuntimeUnavailableError as error:
        return str(error)


def _read(folder: Path, recipe: Recipe) -> bytes | str | None:
    """Return the file kept in `folder`, or why there is none; None where nothing is kept that fits `recipe`."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        stated = recipe.stated()
        if not isinstance(manifest, dict) or {key: manifest.get(key) for key in stated} != stated:
            return None
        if isinstance(manifest.get("failed"), str):
            return str(manifest["failed"])
        content = (folder / _FILE).read_bytes()
    except (OSError, ValueError):
        return None
    return content if hashlib.sha256(content).hexdigest() == manifest.get("sha256") else None


def _write(root: Path, recipe: Recipe, made: bytes | str) -> None:
    """Write a finished folder and put it in its place. Another process may do the same at the same time."""
    root.mkdir(parents=True, exist_ok=True)
    making, place = Path(mkdtemp(prefix=_MAKING, dir=root)), root / recipe.folder
    try:
        if isinstance(made, bytes):
            (making / _FILE).write_bytes(made)
            outcome: dict[str, object] = {"bytes": len(made), "sha256": hashlib.sha256(made).hexdigest()}
        else:
            outcome = {"failed": made}
        manifest = json.dumps({**recipe.stated(), **outcome}, indent=1, sort_keys=True)
        (making / MANIFEST).write_text(manifest + "\n", encoding="utf-8")
        making.chmod(0o755)  # as any other folder, for services that run as somebody else
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):  # the other process was faster: what it made is as good
            making.rename(place)
    finally:
        shutil.rmtree(making, ignore_errors=True)
