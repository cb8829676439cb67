"""The JavaScript client and the InstantSearch adapter: their own tests, by Node.js, against services of the small shop.

`make clients` installs what they need; nothing is fetched here.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "clients" / "js"
NODE = shutil.which("node")
WORKING_S = 240


@pytest.mark.slow
@pytest.mark.skipif(NODE is None, reason="needs Node.js")
@pytest.mark.skipif(not (FOLDER / "node_modules" / "instantsearch.js").is_dir(), reason="run `make clients` once")
def test_the_clients_do_what_their_tests_say(shop, bundle, support, tmp_path):
    shops, live = support("live_shop"), support("live")
    everybody, guarded = (shops.settle(shop, tmp_path / name) for name in ("everybody", "guarded"))
    key = shops.add_master_key(guarded)
    with (
        shops.open_shop(live, shop, bundle, everybody) as address,
        shops.open_shop(live, shop, bundle, guarded, anonymous="search", anonymous_rate="2/second") as behind_a_door,
    ):
        given = {"CATALENS_URL": address, "CATALENS_GUARDED_URL": behind_a_door, "CATALENS_KEY": key}
        done = subprocess.run(
            [NODE, "--test", *sorted(map(str, (FOLDER / "test").glob("*.test.js")))],
            cwd=FOLDER, env={**os.environ, **given}, capture_output=True, text=True, timeout=WORKING_S, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
