"""The last step of making a bundle: digests of all files, the manifest written last, and a name that nobody has.

What goes into the folder is left to `indexer.build` and `indexer.retune`.
"""

import datetime as dt
from pathlib import Path
from typing import Final

from indexer.bundle import REPORT
from indexer.indexing import TUNING_FILES
from indexer.manifest import (
    MANIFEST,
    FileRecord,
    Manifest,
    content_digest,
    record_file,
    sync_file,
    sync_folder,
    write_durably,
)

NO_DIGEST: Final = "0" * 64
STAMP: Final = "%Y%m%dT%H%M%SZ"
# Left out of a bundle's content digest: timings differ between builds of the same content.
_NOT_CONTENT: Final = frozenset({REPORT, *TUNING_FILES})


def draft_id(now: dt.datetime) -> str:
    """Return the id of a manifest that is not signed yet."""
    return f"{now:{STAMP}}-{NO_DIGEST[:8]}"


def sign(folder: Path, draft: Manifest) -> tuple[Path, Manifest]:
    """Digest every file of `folder`, write the manifest last, and give the folder its name beside it.

    Return the folder as it is called now, and its manifest.
    """
    files: dict[str, FileRecord] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sync_file(path)
        files[path.relative_to(folder).as_posix()] = record_file(path)
    for inner in sorted(p for p in folder.rglob("*") if p.is_dir()):
        sync_folder(inner)
    digest = content_digest(files, _NOT_CONTENT)
    bundles = folder.parent
    identity = free_id(bundles, draft.id.partition("-")[0], digest)
    manifest = draft.model_copy(update={"id": identity, "digest": digest, "files": files})
    content = manifest.to_bytes()
    write_durably(folder / MANIFEST, content)
    final = bundles / identity
    folder.rename(final)
    sync_folder(bundles)
    return final, Manifest.model_validate_json(content)


def free_id(bundles: Path, stamp: str, digest: str) -> str:
    """Return an id, time of building and the digest's start, that sorts behind those of earlier builds."""
    moment = dt.datetime.strptime(stamp, STAMP).replace(tzinfo=dt.UTC)
    while any(bundles.glob(f"{moment:{STAMP}}-*")):
        moment += dt.timedelta(seconds=1)
    return f"{moment:{STAMP}}-{digest[:8]}"
