"""Encoding on Ray against encoding here: a cluster of one machine, with real actors in processes of their own."""

import gc
import warnings
from functools import partial

import pytest
from click.testing import CliRunner

from benchmarks.made_shop import MadeEncoder
from indexer.__main__ import main
from indexer.build import BuildOptions, build
from indexer.flags import on_ray
from indexer.rejects import BuildError
from indexer.work import EncodeOptions

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def feeds(support):
    return support("feeds")


@pytest.fixture(scope="module")
def feed(feeds, tmp_path_factory):
    """Thirty products, two of them equal, one with a picture that cannot be decoded."""
    folder = tmp_path_factory.mktemp("feed")
    path = feeds.write_feed(folder, 30)
    (folder / "images" / "p11-0.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return path


# Not a function of this file: the processes of actors could not import it.
load = partial(MadeEncoder, 16, groups=("brand", "category"), fickle=True)


@pytest.fixture(scope="class")
def cluster():
    """Ray on this machine, as the engine itself starts it; ended with the tests.

    Its processes stand behind all others unless told so: beside other tests they would take minutes to start.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray leaves pipes and processes for the collector to find
        ray.shutdown()
        gc.collect()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
class TestRay:
    @pytest.fixture
    def options(self, feed, tmp_path):
        def make(name, **options):
            encoding = EncodeOptions(batch=4, block=8, keep_without_images=True)
            return BuildOptions(feed, tmp_path / name, encoding=encoding, **options)

        return make

    @pytest.mark.usefixtures("cluster")
    def test_the_bundle_is_that_of_a_local_build(self, options):
        here = build(load(), options("here"))
        there = build(load(), options("there", engine=on_ray(load(), load, None)))
        assert there.manifest.digest == here.manifest.digest
        assert (there.encoded, there.reused) == (here.encoded, here.reused) == (30, 0)
        shards = [sorted(p.name for p in (o.path.parents[1] / "encoded").rglob("*.safetensors")) for o in (here, there)]
        assert shards[0] == shards[1]
        again = build(load(), options("there"))
        assert (again.encoded, again.manifest.digest) == (0, here.manifest.digest)

    @pytest.mark.usefixtures("cluster")
    def test_another_encoder_on_the_machines_is_refused(self, options):
        other = partial(MadeEncoder, 16)
        with pytest.raises(BuildError, match="the encoder of this machine is another"):
            build(load(), options("other", engine=on_ray(load(), other, None)))


def test_nobody_at_the_address(feed, tmp_path):
    asked = ["build", "--catalogue", str(feed), "--data-dir", str(tmp_path), "--engine", "ray"]
    result = CliRunner().invoke(main, [*asked, "--ray-address", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: no Ray cluster answers at 127.0.0.1:1: ")
    assert len(result.output.splitlines()) == 1


def test_without_ray(feed, tmp_path, monkeypatch):
    monkeypatch.setattr("indexer.flags.find_spec", lambda _name: None)
    asked = ["build", "--catalogue", str(feed), "--data-dir", str(tmp_path), "--engine", "ray"]
    result = CliRunner().invoke(main, asked)
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "catalens[ray]" in result.output
