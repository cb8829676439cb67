import hashlib
import threading

import numpy as np
import pytest
from safetensors.numpy import load_file

from indexer.store import Encoding, Store, content_key, store_folder
from models.picture import PictureLimits

DIM = 8


def key(number):
    return hashlib.sha256(f"product {number}".encode()).digest()


def encoding(number, *, pictures=2, bare=True, problems=None):
    rng = np.random.default_rng(number)
    made = rng.standard_normal((2 + pictures, DIM)).astype(np.float16)
    small = tuple(rng.bytes(int(rng.integers(0, 40))) for _ in range(pictures))
    return Encoding(made[0], made[1] if bare else None, made[2:], small, problems or {})


def entries(*numbers, **options):
    return [(key(number), encoding(number, **options)) for number in numbers]


def same(one, other):
    bare = one.bare is other.bare is None or np.array_equal(one.bare, other.bare)
    equal = np.array_equal(one.text, other.text) and np.array_equal(one.images, other.images) and bare
    return equal and one.thumbnails == other.thumbnails and dict(one.problems) == dict(other.problems)


def shards(folder):
    return sorted(folder.glob("*.safetensors"))


class TestKeys:
    STATED = ("ab" * 32, "Red top", {"brand": "Ruby"}, [b"one", b"two"], PictureLimits())

    def test_equal_content_has_one_key(self):
        assert content_key(*self.STATED) == content_key(*self.STATED)
        assert len(content_key(*self.STATED)) == 32

    @pytest.mark.parametrize(
        ("at", "other"),
        [
            (0, "cd" * 32),
            (1, "Red top."),
            (2, {"brand": "Rubin"}),
            (2, {"category": "Ruby"}),
            (3, [b"two", b"one"]),
            (3, [b"onetwo"]),
            (3, [b"one", None]),
            (4, PictureLimits(max_pixels=10)),
        ],
    )
    def test_everything_counts(self, at, other):
        changed = [*self.STATED[:at], other, *self.STATED[at + 1 :]]
        assert content_key(*changed) != content_key(*self.STATED)


class TestKept:
    @pytest.mark.parametrize("bare", [True, False])
    def test_what_was_added_is_there_now_and_later(self, tmp_path, bare):
        store = Store(tmp_path)
        store.add(entries(1, 2, bare=bare))
        store.add([(key(3), encoding(3, pictures=0, bare=bare, problems={1: "damaged", 0: "empty"}))])
        for opened in (store, Store(tmp_path)):
            assert [opened.holds(key(n)) for n in (1, 2, 3, 4)] == [True, True, True, False]
            assert same(opened.get(key(2)), encoding(2, bare=bare))
            assert same(opened.get(key(3)), encoding(3, pictures=0, bare=bare, problems={0: "empty", 1: "damaged"}))

    def test_shards_are_named_by_their_content_and_readable_without_us(self, tmp_path):
        Store(tmp_path).add(entries(1, 2, 3))
        [path] = shards(tmp_path)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
        arrays = load_file(path)
        assert np.array_equal(arrays["texts"], np.stack([encoding(n).text for n in (1, 2, 3)]))
        assert arrays["keys"][1].tobytes() == key(2)
        Store(tmp_path / "again").add(entries(1, 2, 3))
        assert shards(tmp_path / "again")[0].name == path.name

    def test_a_key_is_claimed_once(self, tmp_path):
        store = Store(tmp_path)
        store.add(entries(1))
        assert [store.claim(key(n)) for n in (1, 2, 2)] == [False, True, False]
        assert not store.holds(key(2))
        store.add(entries(2))
        assert store.holds(key(2))
        assert not store.claim(key(2))

    def test_nothing_to_add(self, tmp_path):
        Store(tmp_path).add([])
        assert list(tmp_path.iterdir()) == []

    def test_asking_while_shards_are_added(self, tmp_path):
        store, wrong = Store(tmp_path), []
        done = threading.Event()

        def ask():
            while not done.is_set():
                wrong.extend(n for n in range(40) if store.holds(key(n)) and n % 2)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for n in range(0, 40, 2):
            store.add(entries(n))
        done.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert all(store.holds(key(n)) for n in range(0, 40, 2))

    def test_encoders_have_folders_of_their_own(self, tmp_path):
        assert store_folder(tmp_path, "ab" * 32) == tmp_path / "encoded" / "abababababababab"


class TestDamage:
    def damage(self, path, at):
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
    def test_a_damaged_shard_counts_as_absent(self, tmp_path, share):
        store = Store(tmp_path)
        store.add(entries(1, 2))
        store.add(entries(3))
        path = next(p for p in shards(tmp_path) if len(load_file(p)["keys"]) == 2)
        self.damage(path, int(share * path.stat().st_size))
        opened = Store(tmp_path)
        assert not opened.holds(key(1))
        assert opened.claim(key(2))
        assert same(opened.get(key(3)), encoding(3))
        opened.add(entries(1, 2))
        assert same(Store(tmp_path).get(key(1)), encoding(1))

    @pytest.mark.parametrize("content", [b"", b"no shard", (2**60).to_bytes(8, "little") + b"{}", bytes(64)])
    def test_what_is_no_shard_is_removed(self, tmp_path, content):
        (tmp_path / f"{'a' * 64}.safetensors").write_bytes(content)
        (tmp_path / f"{'b' * 64}.unfinished").write_bytes(b"half")
        assert len(Store(tmp_path)) == 0
        assert list(tmp_path.iterdir()) == []

    def test_a_shard_cut_short(self, tmp_path):
        Store(tmp_path).add(entries(1, 2))
        [path] = shards(tmp_path)
        path.write_bytes(path.read_bytes()[:-1])
        assert not Store(tmp_path).holds(key(1))


class TestSweep:
    def used(self, folder, numbers, full):
        """Use some of what is kept, and sweep."""
        store = Store(folder)
        for n in numbers:
            store.get(key(n))
        store.sweep(full)
        return Store(folder)

    def test_what_was_used_stays(self, tmp_path):
        store = Store(tmp_path)
        for start in range(0, 12, 4):
            store.add(entries(*range(start, start + 4)))
        before = shards(tmp_path)
        left = self.used(tmp_path, [0, 1, 2, 8, 9, 11], full=4)
        assert [n for n in range(12) if left.holds(key(n))] == [0, 1, 2, 3, 8, 9, 10, 11]
        assert len(set(before) & set(shards(tmp_path))) == 2

    def test_small_shards_are_joined(self, tmp_path):
        store = Store(tmp_path)
        for n in range(10):
            store.add(entries(n))
        left = self.used(tmp_path, range(9), full=4)
        assert len(shards(tmp_path)) == 3
        assert [n for n in range(11) if left.holds(key(n))] == list(range(9))
        assert all(same(left.get(key(n)), encoding(n)) for n in range(9))
        names = shards(tmp_path)
        self.used(tmp_path, range(9), full=4)
        assert shards(tmp_path) == names

    def test_nothing_used_nothing_kept(self, tmp_path):
        Store(tmp_path).add(entries(1, 2))
        assert len(self.used(tmp_path, [], full=4)) == 0
