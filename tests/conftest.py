"""Fixtures that every part of the tests may use."""

import importlib.util
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from models.encoder import Encoder

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

pytest.register_assert_rewrite("tests.support")  # what a helper asserts fails with what it saw, as in a test


# Files that take a minute or more, the longest first: begun last, they would leave the other cores idle at the end. The
# rest is shuffled, always alike: otherwise all workers come to the browser tests at once.
_LONG = (
    "test_study_run.py",
    "test_build_ray.py",
    "test_loop.py",
    "test_build_pipeline.py",
    "test_service_process.py",
    "test_distributed.py",
    "test_ops_api.py",
    "test_service_schema.py",
    "test_service_updates_processes.py",
    "test_storefront_search.py",
    "test_killed.py",
    "test_judging.py",
    "test_demo_up.py",
    "test_full_disk.py",
)


def _turn(item: pytest.Item) -> tuple[int, int]:
    """Return when the file of a test has its turn."""
    name = item.path.name
    return (_LONG.index(name) if name in _LONG else len(_LONG), zlib.crc32(name.encode()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, mark what needs a browser, and try again what failed.

    What the clock judges is tried again twice, anything else once.

    Nobody can say how long a machine that tests is busy with something else. What passed at a second try is listed at
    the end as `RERUN`, with what it failed of: it is to be looked at.
    """
    items.sort(key=_turn)
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
