"""The small shop served on a real socket, with a data folder of its own that may be written to."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from indexer.publish import publish
from service.app import create_app
from service.auth import FILE, add_key
from service.scopes import Scope
from service.settings import Settings


def settle(shop, folder: Path) -> Path:
    """Return a new data folder that has the shop published."""
    shutil.copytree(shop.data_dir / "bundles" / shop.path.name, folder / "bundles" / shop.path.name)
    publish(folder, shop.path.name, force=True)
    return folder


def add_master_key(data_dir: Path) -> str:
    """Return a new key that opens everything."""
    return add_key(data_dir / FILE, "everything", [Scope.ADMIN])


@contextmanager
def open_shop(live: ModuleType, shop, bundle, data_dir: Path, **settings: object) -> Iterator[str]:
    """Serve the shop from `data_dir` with these settings, and give the address. `live` is `tests/support/live.py`."""
    given = {"data_dir": data_dir, "runtime": "torch", **settings}
    app = create_app(Settings.model_validate(given), (shop.encoder, bundle))
    with live.serving(app) as (host, port):
        yield f"http://{host}:{port}"
