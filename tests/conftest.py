"""Fixtures that every part of the tests may use."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from models.encoder import Encoder

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser, and try again what failed: what the clock judges twice, anything else once.

    Nobody can say how long a machine that tests is busy with something else. What passed at a second try is listed at
    the end as `RERUN`, with what it failed of: it is to be looked at.
    """
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.flaky(reruns=2 if item.get_closest_marker("clock") else 1))


def _support(name: str) -> ModuleType:
    """Load `tests/support/<name>.py` without putting the tests on `sys.path`."""
    known = f"catalens_test_support_{name}"
    if known in sys.modules:
        return sys.modules[known]
    path = Path(__file__).parent / "support" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(known, path)
    if spec is None or spec.loader is None:
        msg = f"cannot load {path}"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[known] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def weightless() -> type[Encoder]:
    """The class of an encoder without weights: `weightless()`, `weightless(dim=32, vocabularies={...})`."""
    return _support("weightless").WeightlessEncoder


@pytest.fixture(scope="session")
def support():
    """Load a module of `tests/support` by name: `support("feeds").write_feed(...)`."""
    return _support
