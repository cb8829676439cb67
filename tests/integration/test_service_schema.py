"""The OpenAPI document held against the service: Schemathesis makes requests of it, good and bad, and checks answers.

No answer may be a server error, or have a status, a media type, a header or a form that is not documented; what does
not fit the schema is refused; what was deleted is gone, what was stored is there; without its key the service is
closed. The requests are the same in every run.
"""

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvicorn

from indexer.publish import publish
from service.app import create_app
from service.auth import FILE, add_key
from service.scopes import Scope
from service.settings import Settings

SUPPORT = Path(__file__).parents[1] / "support"
CASES = 2_000
WORKING_S = 600


@pytest.fixture
def data_dir(shop, tmp_path):
    """A data folder of one's own with the shop published, an update log, and keys."""
    shutil.copytree(shop.data_dir / "bundles" / shop.path.name, tmp_path / "data" / "bundles" / shop.path.name)
    publish(tmp_path / "data", shop.path.name, force=True)
    return tmp_path / "data"


@pytest.fixture
def key(data_dir):
    """A key that opens everything: without it, the service must be closed."""
    return add_key(data_dir / FILE, "everything", [Scope.ADMIN])


@pytest.fixture
def address(shop, bundle, data_dir, key):
    """Where a service of the small shop answers; it reads whatever comes, the same again, too."""
    given = {"data_dir": data_dir, "max_body_bytes": 2_000_000, "runtime": "torch", "result_cache_bytes": 0}
    settings = Settings.model_validate(given)
    config = uvicorn.Config(create_app(settings, (shop.encoder, bundle)), port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run)
    serving.start()
    while not server.started:
        assert serving.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    serving.join()


@pytest.mark.slow
def test_every_answer_is_documented_and_no_request_breaks_the_service(address, key, shop, tmp_path):
    stated = (SUPPORT / "schemathesis.toml").read_text().replace("BUNDLE", shop.path.name)
    (tmp_path / "schemathesis.toml").write_text(stated)
    done = subprocess.run(
        [
            sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
            "--no-color", "run", f"{address}/openapi.json", "--header", f"Authorization: Bearer {key}",
        ],
        cwd=tmp_path, env={"PYTHONPATH": str(SUPPORT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=WORKING_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"([\d,]+) generated", done.stdout)[1].replace(",", "")) >= CASES, done.stdout
    assert re.search(r"Tested: +(\d+)", done.stdout)[1] == re.search(r"Selected: +(\d+)/", done.stdout)[1]
