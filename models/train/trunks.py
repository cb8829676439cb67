"""What a trunk that is held makes of every picture, on disk: it is computed once, and no step runs the trunk again.

Augmentation is what is left of it: each picture and its mirror image. The file is named by the digest of the
pictures, the recipe and the trunk's weights, so runs that share them share it, and nothing else does.
"""

import fcntl
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.clip import Backbone
from models.train.pixels import PictureTable

_LAYOUT = "1"  # changes when the layout of the file changes
_AT_ONCE = 64


def seen_by_trunk(table: PictureTable, backbone: Backbone, cache_dir: Path, *, mirrored: bool) -> PictureTable:
    """Return `table` with what the trunk of `backbone` makes of its pictures, computing it where it is not yet.

    Args:
        table: products with prepared pictures.
        backbone: whose trunk is held.
        cache_dir: made if needed.
        mirrored: whether the mirror images are wanted, too.
    """
    path = cache_dir / f"{_key(table, backbone, mirrored=mirrored)}.npy"
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        if not path.is_file():
            _write(path, table, backbone, views=1 + mirrored)
    return replace(table, trunk=np.load(path, mmap_mode="r"))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait while another process computes `path`: minutes of work are not done twice."""
    with path.with_suffix(".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(table: PictureTable, backbone: Backbone, *, mirrored: bool) -> str:
    digest = hashlib.sha256(f"trunk {_LAYOUT}:{mirrored}:{backbone.recipe.model_dump_json()}".encode())
    for names in table.digests:
        for name in names:
            digest.update(bytes.fromhex(name))
    digest.update(backbone.trunk_digest().encode())
    return digest.hexdigest()


def _write(path: Path, table: PictureTable, backbone: Backbone, *, views: int) -> None:
    """Fill `path` by way of a temporary file, so that only whole files are ever found."""
    pictures = int(table.starts[-1])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="partial-") as folder, torch.inference_mode():
        partial, out = Path(folder) / path.name, None
        with tqdm(total=pictures, desc="reading pictures", unit="picture", disable=None, leave=False) as bar:
            for start in range(0, pictures, _AT_ONCE):
                rows = slice(start, min(start + _AT_ONCE, pictures))
                pixels = torch.from_numpy(np.array(table.pixels[rows])).to(backbone.device)
                seen = [backbone.trunk_features(pixels if view == 0 else pixels.flip(2)) for view in range(views)]
                block = torch.stack(seen, dim=1).half().cpu().numpy()
                if out is None:
                    shape = (pictures, *block.shape[1:])
                    out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
                out[rows] = block
                bar.update(len(block))
        if out is not None:
            out.flush()
        partial.replace(path)
