"""Two bundles of the same ids, a data folder of one's own, and services over it."""

import pytest
from starlette.testclient import TestClient

from tests.support.swapping import Place, app_of, two_bundles


@pytest.fixture(scope="module")
def shops(tmp_path_factory, weightless, support):
    return two_bundles(tmp_path_factory.mktemp("shops"), weightless, support("feeds"))


@pytest.fixture
def place(shops, tmp_path):
    return Place(shops, tmp_path / "data")


@pytest.fixture
def service(shops, place):
    """Start a service over the place: `with service(update_log="file") as client:`."""
    return lambda **given: TestClient(app_of(shops, place.folder, **given))


@pytest.fixture
def client(service):
    with service() as opened:
        yield opened
