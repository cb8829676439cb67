"""A small catalogue, built once: 40 products of two pictures each."""

import pytest

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle


@pytest.fixture(scope="session")
def feeds(support):
    return support("feeds")


@pytest.fixture(scope="session")
def encoder(weightless, feeds):
    return weightless(dim=48, vocabularies={"brand": feeds.BRANDS, "category": feeds.CATEGORIES})


@pytest.fixture(scope="session")
def feed(feeds, tmp_path_factory):
    return feeds.write_feed(tmp_path_factory.mktemp("feed"), 40)


@pytest.fixture(scope="session")
def built(feed, encoder, tmp_path_factory):
    """The result of a build; nobody may change its folder."""
    return build(encoder, BuildOptions(feed, tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="session")
def bundle(built):
    with Bundle.open(built.path) as opened:
        yield opened
