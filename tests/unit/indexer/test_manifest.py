import json

import pytest
from pydantic import ValidationError

from indexer.manifest import (
    BundleError,
    FileRecord,
    FusionWeights,
    Manifest,
    QueryKind,
    check_files,
    checked_path,
    content_digest,
    read_manifest,
    record_file,
    write_durably,
)

DIGEST = "ab" * 32


@pytest.fixture
def manifest():
    return Manifest(
        id="20261121T101500Z-1f2e3d4c",
        created_at="2026-11-21T10:15:00+00:00",
        catalogue="catalogue.parquet",
        digest=DIGEST,
        encoder={"name": "m", "fingerprint": DIGEST, "dim": 4, "text_fields": ["title"], "entity_groups": ["brand"]},
        counts={"products": 1, "images": 0, "rejected": 0},
        indexes={
            s: {"recipe": "SQfp16", "requested": "auto", "width": None, "ntotal": 1, "memory_bytes": 8}
            for s in ("image", "text")
        },
        fusion={k: {"image": 0.5, "text": 0.5} for k in QueryKind},
        files={"a.bin": {"bytes": 3, "sha256": "ba" * 32}},
    )


@pytest.fixture
def folder(tmp_path, manifest):
    write_durably(tmp_path / "manifest.json", manifest.to_bytes())
    return tmp_path


def test_is_read_back(folder, manifest):
    read = read_manifest(folder)
    assert read.model_copy(update={"checksum": manifest.checksum}) == manifest
    assert json.loads((folder / "manifest.json").read_bytes())["id"] == manifest.id


def test_every_flipped_byte_is_noticed(folder, manifest):
    content = manifest.to_bytes()
    path = folder / "manifest.json"
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(bytes(damaged))
        with pytest.raises(BundleError, match=r"manifest\.json"):
            read_manifest(folder)


def test_every_truncation_is_noticed(folder, manifest):
    content = manifest.to_bytes()
    for length in range(len(content)):
        (folder / "manifest.json").write_bytes(content[:length])
        with pytest.raises(BundleError, match=r"manifest\.json"):
            read_manifest(folder)


def test_a_changed_value_with_valid_json_is_noticed(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"image": 0.5,\n      "text": 0.5', '"image": 0.9,\n      "text": 0.1', 1))
    with pytest.raises(BundleError, match="checksum"):
        read_manifest(folder)


def test_other_format_versions_are_named(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": 3', '"format_version": 4'))
    with pytest.raises(BundleError, match="format version 4 is unknown here: this reads 3"):
        read_manifest(folder)


def test_missing_linked_and_oversized_manifests(tmp_path, folder, monkeypatch):
    with pytest.raises(BundleError, match="not a complete bundle"):
        read_manifest(tmp_path / "nowhere")
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").symlink_to(folder / "manifest.json")
    with pytest.raises(BundleError, match="not a complete bundle"):
        read_manifest(other)
    monkeypatch.setattr("indexer.manifest.MAX_MANIFEST_BYTES", 10)
    with pytest.raises(BundleError, match="too large"):
        read_manifest(folder)


def test_weights_add_up():
    with pytest.raises(ValidationError, match="add up to 1"):
        FusionWeights(image=0.5, text=0.6)


def test_content_digest_covers_names_and_contents_but_what_is_left_out():
    one, two = FileRecord(bytes=1, sha256="aa" * 32), FileRecord(bytes=1, sha256="bb" * 32)
    digest = content_digest({"a": one, "b": two})
    assert digest == content_digest({"b": two, "a": one})
    assert digest != content_digest({"a": two, "b": one})
    assert digest != content_digest({"a": one, "c": two})
    assert content_digest({"a": one, "r": two}, frozenset({"r"})) == content_digest({"a": one})


class TestFiles:
    @pytest.fixture
    def stated(self, tmp_path, manifest):
        (tmp_path / "a.bin").write_bytes(b"abc")
        return manifest.model_copy(update={"files": {"a.bin": record_file(tmp_path / "a.bin")}})

    def test_as_they_were_written(self, tmp_path, stated):
        check_files(tmp_path, stated)

    def test_same_size_other_content(self, tmp_path, stated):
        (tmp_path / "a.bin").write_bytes(b"abd")
        with pytest.raises(BundleError, match=r"a\.bin: damaged"):
            check_files(tmp_path, stated)
        check_files(tmp_path, stated, digests=False)

    def test_other_size(self, tmp_path, stated):
        (tmp_path / "a.bin").write_bytes(b"abcd")
        with pytest.raises(BundleError, match=r"a\.bin: 4 bytes, where the manifest states 3"):
            check_files(tmp_path, stated, digests=False)

    def test_missing(self, tmp_path, stated):
        (tmp_path / "a.bin").unlink()
        with pytest.raises(BundleError, match=r"a\.bin: missing"):
            check_files(tmp_path, stated)

    def test_digest_is_sha256(self, tmp_path):
        (tmp_path / "a.bin").write_bytes(b"abc")
        known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
        assert record_file(tmp_path / "a.bin") == FileRecord(bytes=3, sha256=known)

    @pytest.mark.parametrize("name", ["../a.bin", "/etc/passwd", "x/../../a.bin", "a\\b", "a\0b"])
    def test_names_that_lead_out(self, tmp_path, name):
        with pytest.raises(BundleError, match="leads out"):
            checked_path(tmp_path, name)

    def test_links_and_folders(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "a.bin").write_bytes(b"abc")
        (tmp_path / "link.bin").symlink_to(tmp_path / "real" / "a.bin")
        (tmp_path / "vectors").symlink_to(tmp_path / "real")
        for name in ("link.bin", "vectors/a.bin"):
            with pytest.raises(BundleError, match="symbolic link"):
                checked_path(tmp_path, name)
        with pytest.raises(BundleError, match="not a plain file"):
            checked_path(tmp_path, "real")
        assert checked_path(tmp_path, "real/a.bin") == tmp_path / "real" / "a.bin"
