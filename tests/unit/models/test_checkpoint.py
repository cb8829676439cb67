"""Checkpoints survive a round trip, and every way of damaging one is noticed and named."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models import checkpoint
from models.checkpoint import (
    Card,
    CheckpointError,
    DataCard,
    TrainingCard,
    load_encoder,
    load_model,
    read_card,
    save_checkpoint,
)
from models.clip_encoder import ClipEncoder
from models.eiclip import EiClipEncoder

FILES = ["card.json", "entities.json", "model.safetensors", "open_clip_config.json"]
TEXTS, ENTITIES = ["a red top", "boots"], [{"brand": "Nike"}, {}]


def card_of(model, **changes):
    training = TrainingCard(
        command="python -m models train",
        commit="abc",
        config={"name": "t", "lr": 0.1},
        data=DataCard(name="shop", fingerprint="f" * 64, products={"train": 8}, origin={"seed": 5}),
        epochs=3,
        best_epoch=2,
    )
    facts = {
        "name": "tiny",
        "licence": "Apache-2.0",
        "backbone": "tiny",
        "image": model.backbone.recipe,
        "text_fields": ("description",),
        "entities": model.design,
        "training": training,
        "metrics": {"val_text_to_image_r1": 0.5},
    }
    return Card(**{**facts, **changes})


@pytest.fixture
def model(support, tmp_path):
    return support("tiny").eiclip(tmp_path)


@pytest.fixture
def folder(model, tmp_path):
    target = tmp_path / "checkpoint"
    save_checkpoint(target, model, card_of(model))
    return target


@pytest.mark.parametrize("mode", ["encoded", "pasted", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_checkpoint_gives_the_same_vectors(support, tmp_path, mode, dtype):
    tiny = support("tiny")
    model = tiny.eiclip(tmp_path, mode=mode)
    facts = {"name": "t", "fingerprint": "", "text_fields": ("description",), "device": "cpu"}
    save_checkpoint(tmp_path / "c", model, card_of(model), dtype)
    first = EiClipEncoder(model, **facts)
    second = load_encoder(str(tmp_path / "c"), device="cpu")
    exact = {"atol": 0, "rtol": 0} if dtype == "float32" else {"atol": 5e-3}
    np.testing.assert_allclose(second.encode_texts(TEXTS, ENTITIES), first.encode_texts(TEXTS, ENTITIES), **exact)
    photos = tiny.photos(3)
    np.testing.assert_allclose(second.encode_images(photos), first.encode_images(photos), **exact)
    assert second.vocabularies == first.vocabularies


def test_the_encoder_tells_what_the_card_says(folder):
    encoder = load_encoder(str(folder), device="cpu")
    card = read_card(folder)
    assert (encoder.name, encoder.text_fields, encoder.fingerprint) == ("tiny", ("description",), card.fingerprint)
    assert encoder.vocabularies == {"brand": ("Nike", "Diesel"), "category": ("top",), "season": ("Summer", "Winter")}
    assert card.training.data.origin == {"seed": 5}


def test_weights_are_stored_small_and_counts_as_integers(folder):
    stored = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16, torch.int64}
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_the_same_model_and_card_have_the_same_fingerprint(model, folder, tmp_path):
    again = save_checkpoint(tmp_path / "again", model, card_of(model))
    assert again == read_card(folder)
    assert len(again.fingerprint) == 64


@pytest.mark.parametrize("change", [{"name": "other"}, {"metrics": {}}, {"text_fields": ("title",)}])
def test_another_card_has_another_fingerprint(model, folder, tmp_path, change):
    other = save_checkpoint(tmp_path / "other", model, card_of(model, **change))
    assert other.fingerprint != read_card(folder).fingerprint


def test_other_weights_have_another_fingerprint(support, folder, tmp_path):
    model = support("tiny").eiclip(tmp_path, seed=1)
    assert save_checkpoint(tmp_path / "other", model, card_of(model)).fingerprint != read_card(folder).fingerprint


def test_a_checkpoint_is_not_one_until_its_card_is_written(model, folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "save", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(folder, model, card_of(model))
    with pytest.raises(CheckpointError, match=r"cannot read .*card\.json"):
        read_card(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_model(folder)


@pytest.mark.parametrize("name", ["entities.json", "model.safetensors", "open_clip_config.json"])
def test_one_flipped_bit_is_noticed(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointError, match="does not fit its files"):
        load_model(folder)


def test_a_changed_card_is_noticed(folder):
    text = (folder / "card.json").read_text()
    (folder / "card.json").write_text(text.replace('"tiny"', '"tinier"', 1))
    with pytest.raises(CheckpointError, match="does not fit its files"):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[1]", "has format None"),
        ('{"format": 2}', "has format 2, this version reads 1"),
        ('{"format": 1, "name": "x"}', "licence: Field required"),
        ("\udcff", "is not JSON"),
    ],
)
def test_a_card_that_is_none_is_named(folder, text, reason):
    (folder / "card.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=reason):
        read_card(folder)


def resigned(folder):
    """Sign the folder again, as someone would who changed it on purpose."""
    card = read_card(folder)
    signed = card.model_copy(update={"fingerprint": checkpoint._fingerprint(folder, card)})
    (folder / "card.json").write_text(json.dumps(signed.model_dump(mode="json")))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("entities.json", b"[]"),
        ("entities.json", b"{"),
        ("entities.json", b'{"brand": [["a", 1]]}'),
        ("open_clip_config.json", b"{}"),
        ("model.safetensors", b"short"),
    ],
)
def test_files_that_do_not_fit_are_refused_even_when_signed(folder, name, data):
    (folder / name).write_bytes(data)
    resigned(folder)
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_model(folder)


def test_an_open_clip_folder_is_a_plain_encoder(support, tmp_path):
    encoder = load_encoder(str(support("tiny").backbone_folder(tmp_path)), device="cpu")
    assert isinstance(encoder, ClipEncoder)
    assert encoder.vocabularies == {}


@pytest.mark.parametrize("source", ["", "no/such/folder", "no-such-arch", "RN50/no-such-tag"])
def test_a_source_that_is_nothing_is_one_error(source):
    with pytest.raises(CheckpointError):
        load_encoder(source)


def test_an_unknown_device_is_one_error(folder):
    with pytest.raises(CheckpointError, match="no device"):
        load_encoder(str(folder), device="abacus")


def test_a_missing_bundled_model_is_one_error(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "_BUNDLED_FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match=r"card\.json"):
        load_encoder("mini")


def test_the_bundled_name_wins_over_a_folder_of_that_name(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "_BUNDLED_FOLDER", folder)
    (tmp_path / "cwd" / "mini").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")
    assert load_encoder("mini", device="cpu").name == "tiny"
