"""A service whose products may be changed, and pictures to change them to."""

import pytest

from tests.support.updating import opening


@pytest.fixture
def service(shop, bundle, tmp_path):
    """A service over the shop with an update log of its own: `with service(max_waiting=1) as client:`."""
    return opening(shop, bundle, tmp_path)


@pytest.fixture
def live(service):
    """A client of a service whose products may be changed."""
    with service() as client:
        yield client


@pytest.fixture(scope="module")
def drawn(support):
    """Draw a picture: `drawn(7, "green")` is a JPEG."""
    feeds = support("feeds")
    return lambda seed, colour="green", size=(60, 80): feeds.jpeg(feeds.picture(1_000 + seed, colour, size))
