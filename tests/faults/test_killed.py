"""Building, publishing and rolling back, killed at each step of what they do to the disk: all shows, or nothing."""

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle, current_bundle
from indexer.publish import history, publish, rollback, status

PRODUCTS = 12
KILLED_BUILDS = 10  # of all the steps of a build, besides its last ones
LAST_STEPS = 8
BUILD = "build(encoder, BuildOptions(catalogue=Path({!r}), data_dir=folder))"
PUBLICATIONS = 8


def current(folder):
    """Return the name of the bundle that is current, which must be whole."""
    path = current_bundle(folder)
    with Bundle.open(path) as bundle:
        assert len(bundle.products) == PRODUCTS
    return path.name


def steps_of(said):
    assert "steps" in said, said
    assert "failed" not in said, said
    return said["steps"]


def test_a_publication_killed_at_any_step_shows_the_old_bundle_or_the_new(two_bundles, stepper):
    folder, first, second = two_bundles
    total = steps_of(stepper.run(folder, f"publish(folder, {second!r}, force=True)"))
    assert total >= 6  # a line of history, a link made and moved, and the disk waited for twice
    shown = []
    for at in range(1, total + 1):
        publish(folder, first, force=True)
        assert stepper.run(folder, f"publish(folder, {second!r}, force=True)", at) == {"killed": at}
        shown.append(current(folder))
        assert status(folder).problem is None
        assert history(folder)[-1].bundle in {first, second}
        publish(folder, second, force=True)
        assert current(folder) == second
        assert rollback(folder).bundle == first
    assert set(shown) == {first, second}
    assert shown == sorted(shown, key=[first, second].index)  # once it is the new one, it stays so


def test_a_rollback_killed_at_any_step_shows_the_old_bundle_or_the_new(two_bundles, stepper):
    folder, first, second = two_bundles
    publish(folder, second, force=True)
    total = steps_of(stepper.run(folder, "rollback(folder)"))
    shown = []
    for at in range(1, total + 1):
        publish(folder, first, force=True)
        publish(folder, second, force=True)
        assert stepper.run(folder, "rollback(folder)", at) == {"killed": at}
        shown.append(current(folder))
        assert status(folder).problem is None
        publish(folder, second, force=True)
        assert rollback(folder).bundle == first
    assert set(shown) == {first, second}


def test_a_build_killed_at_any_step_leaves_no_half_a_bundle(two_bundles, stepper, plain_feed, weightless):
    folder, first, second = two_bundles
    code = BUILD.format(str(plain_feed))
    total = steps_of(stepper.run(folder, code))
    known = {path.name for path in (folder / "bundles").iterdir()}
    assert len(known) == 3
    chosen = {1 + n * (total - LAST_STEPS) // KILLED_BUILDS for n in range(KILLED_BUILDS)}
    for at in sorted(chosen | set(range(total - LAST_STEPS + 1, total + 1))):
        assert stepper.run(folder, code, at) == {"killed": at}
        assert current(folder) == first
        found = {path for path in (folder / "bundles").iterdir() if not path.name.startswith(".building-")}
        for path in found - {folder / "bundles" / name for name in known}:
            Bundle.open(path).close()
            known.add(path.name)
    # A build has its name when all that is left is to wait for the disk and to sweep what it no longer needs.
    assert len(known) < 3 + LAST_STEPS
    built = build(weightless(16), BuildOptions(catalogue=plain_feed, data_dir=folder))
    assert not [path.name for path in (folder / "bundles").iterdir() if path.name.startswith(".building-")]
    publish(folder, built.manifest.id, force=True)
    assert current(folder) == built.manifest.id
    assert {second, built.manifest.id} <= known | {built.manifest.id}


def test_two_indexers_at_once(two_bundles, stepper, plain_feed):
    """One is told in a line that another is at it; what the other builds and publishes is whole."""
    folder, *_ = two_bundles
    code = """
import os
ready, go = os.pipe()
said = []
for _ in range(2):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.read(ready, 1)
            publish(folder, BUILD.manifest.id, force=True)
        except Exception as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    said.append((child, read))
os.write(go, b"12")
told = sorted(os.fdopen(read).read() for child, read in said)
assert all(os.waitpid(child, 0)[1] == 0 for child, _ in said)
raise RuntimeError(told[-1])
"""
    before = len(list((folder / "bundles").iterdir()))
    told = stepper.run(folder, code.replace("BUILD", BUILD.format(str(plain_feed))))["failed"]
    assert len(told.splitlines()) <= 1
    assert told.startswith("another build is running in ") or not told  # the second may come when the first is through
    assert len(list((folder / "bundles").iterdir())) == before + (1 if told else 2)
    assert status(folder).current == current(folder) == history(folder)[-1].bundle


def test_many_publications_at_once_leave_one_history_of_them_all(two_bundles, stepper):
    """Each waits for its turn: every entry says truly what was current before it."""
    folder, first, second = two_bundles
    code = f"""
import os
children = []
for name in {[first, second] * (PUBLICATIONS // 2)!r}:
    child = os.fork()
    if not child:
        publish(folder, name, force=True)
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""
    steps_of(stepper.run(folder, code))
    moves = history(folder)
    assert len(moves) == 1 + PUBLICATIONS
    assert [move.previous for move in moves[1:]] == [move.bundle for move in moves[:-1]]
    assert current(folder) == moves[-1].bundle
