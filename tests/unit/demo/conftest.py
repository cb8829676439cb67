"""A small shop, generated once for the tests of this folder."""

from pathlib import Path

import pytest

from demo.writer import Plan, generate

PRODUCTS, SEED = 90, 5


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shop of 90 products, seed 5, drawn in this process."""
    out = tmp_path_factory.mktemp("shop")
    generate(Plan(PRODUCTS, SEED, out, workers=1))
    return out
