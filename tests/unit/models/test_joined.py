"""Joined models: the mean of their scores, side by side; one trunk for all; folders that are read or say why not."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from models.__main__ import main
from models.checkpoint import Card, CheckpointError, load_encoder, save_checkpoint
from models.clip import open_backbone
from models.eiclip import EiClip, EiClipEncoder, EntityDesign, EntityTable
from models.joined import JoinedEncoder
from models.joining import join

TEXTS, ENTITIES = ["a red top", "boots", ""], [{"brand": "Nike"}, {}, {"brand": "Acme", "category": "top"}]
TRUNK = {"timm_model_name": "test_byobnet", "timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": "mlp"}


@pytest.fixture
def tiny(support):
    return support("tiny")


def encoder_of(model, name="tiny"):
    return EiClipEncoder(model, name=name, fingerprint=name, text_fields=("description",), device="cpu")


def joined(*members):
    return JoinedEncoder(members, name="joined", fingerprint="f" * 64)


class TestEncoder:
    @pytest.fixture
    def members(self, tiny, tmp_path):
        return [encoder_of(tiny.eiclip(tmp_path, seed)) for seed in (0, 1, 2)]

    def test_a_score_is_the_mean_of_the_members(self, tiny, members):
        photos, both = tiny.photos(5), joined(*members)
        texts, pictures = both.encode_texts(TEXTS, ENTITIES), both.encode_images(photos)
        assert texts.shape == (3, both.dim) == (3, sum(member.dim for member in members))
        mean = np.mean([m.encode_texts(TEXTS, ENTITIES) @ m.encode_images(photos).T for m in members], axis=0)
        np.testing.assert_allclose(texts @ pictures.T, mean, atol=1e-6)

    def test_terms_and_gates_are_those_of_all(self, members):
        both = joined(*members)
        vectors = both.encode_texts(TEXTS, ENTITIES)
        own = [member.text_terms(TEXTS, ENTITIES) for member in members]
        for row, terms in enumerate(both.text_terms(TEXTS, ENTITIES)):
            np.testing.assert_allclose(terms.vector, vectors[row], atol=1e-6)
            assert terms.names == own[0][row].names
            assert terms.gates == pytest.approx(
                {group: np.mean([each[row].gates[group] for each in own]) for group in own[0][row].gates}
            )

    def test_what_one_member_does_not_know_the_other_brings(self, tiny, tmp_path, members):
        strange = EntityTable({"brand": {"Zeta": 3}})
        design = EntityDesign(groups=("brand",), embedding_dim=4, hidden_dim=8)
        other = encoder_of(EiClip(tiny.backbone(tmp_path, 5), design, strange))
        both = joined(members[0], other)
        assert "Zeta" in both.vocabularies["brand"]
        assert "Nike" in both.vocabularies["brand"]
        [terms] = both.text_terms(["top"], [{"brand": "Zeta"}])
        assert terms.names == ("words", "brand")
        assert not terms.terms[1, : members[0].dim].any()
        assert terms.terms[1, members[0].dim :].any()
        assert terms.gates == other.text_terms(["top"], [{"brand": "Zeta"}])[0].gates

    def test_members_that_read_other_fields_are_refused(self, tiny, tmp_path, members):
        other = EiClipEncoder(tiny.eiclip(tmp_path, 3), name="t", fingerprint="t", text_fields=("title",), device="cpu")
        with pytest.raises(ValueError, match="the same text fields"):
            joined(members[0], other)


class TestTrunk:
    @pytest.fixture
    def members(self, tiny, tmp_path):
        config = {**tiny.CONFIG["model_cfg"], "vision_cfg": {"image_size": 32, **TRUNK}}
        (tmp_path / "open_clip_config.json").write_text(json.dumps({**tiny.CONFIG, "model_cfg": config}))
        made = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            backbone = open_backbone(str(tmp_path))
            if made:
                backbone.model.visual.trunk.load_state_dict(made[0].backbone.model.visual.trunk.state_dict())
            table = EntityTable({"brand": {"Nike": 2}})
            made.append(EiClip(backbone.eval(), EntityDesign(groups=("brand",), embedding_dim=4, hidden_dim=8), table))
        return [encoder_of(model) for model in made]

    def seen(self, members):
        """Count the pictures that pass the trunk of each member."""
        counts = [0, 0]
        for number, member in enumerate(members):

            def count(_module, inputs, _output, number=number):
                counts[number] += len(inputs[0])

            member.backbone.model.visual.trunk.register_forward_hook(count)
        return counts

    def test_a_picture_passes_one_trunk_once(self, tiny, members):
        photos = tiny.photos(70)  # more than are read at once
        own = np.concatenate([member.encode_images(photos) for member in members], axis=1) / np.sqrt(2)
        counts = self.seen(members)
        np.testing.assert_allclose(joined(*members).encode_images(photos), own, atol=1e-5)
        assert counts == [70, 0]
        assert joined(*members).encode_images([]).shape == (0, sum(member.dim for member in members))

    def test_trunks_that_differ_are_each_passed(self, tiny, members):
        with torch.no_grad():
            next(members[1].backbone.model.visual.trunk.parameters()).add_(0.5)
        counts = self.seen(members)
        joined(*members).encode_images(tiny.photos(3))
        assert counts == [3, 3]


class TestFolder:
    @pytest.fixture
    def write(self, tiny, tmp_path):
        def writing(name, seed, **changes):
            model = tiny.eiclip(tmp_path, seed)
            facts = {"name": "shop", "licence": "Apache-2.0", "backbone": "tiny", "entities": model.design}
            card = Card(**{**facts, "image": model.backbone.recipe, "text_fields": ("description",), **changes})
            save_checkpoint(tmp_path / name, model, card)
            return tmp_path / name

        return writing

    def run(self, *args):
        return CliRunner().invoke(main, ["join", *map(str, args)])

    def test_a_joined_folder_is_an_encoder_of_its_members(self, write, tmp_path):
        folders = [write(f"m{seed}", seed) for seed in (0, 1)]
        result = self.run(*folders, "--out", tmp_path / "both")
        assert result.exit_code == 0
        encoder = load_encoder(str(tmp_path / "both"), "cpu")
        assert result.output == f"{tmp_path / 'both'}: shop, 2 joined, fingerprint {encoder.fingerprint}\n"
        assert (encoder.name, encoder.text_fields) == ("shop, 2 joined", ("description",))
        expected = joined(*(load_encoder(str(folder), "cpu") for folder in folders))
        np.testing.assert_array_equal(encoder.encode_texts(TEXTS, ENTITIES), expected.encode_texts(TEXTS, ENTITIES))
        again = self.run(*reversed(folders), "--out", tmp_path / "both", "--name", "mine", "--json")
        card = json.loads(again.output)
        assert (card["name"], len(card["members"])) == ("mine", 2)
        assert card["fingerprint"] == load_encoder(str(tmp_path / "both"), "cpu").fingerprint != encoder.fingerprint

    def test_what_does_not_belong_together_is_one_line(self, write, tmp_path):
        one, other = write("one", 0), write("other", 1)
        strange = write("strange", 2, text_fields=("title",))
        out = ["--out", tmp_path / "both"]
        for members, line in (
            ([one], "1 models to join: 2 to 16 are needed"),
            ([one, one], "a model is named twice"),
            ([one, strange], f"{strange} reads other text fields or entity groups than {one}"),
            ([one, tmp_path / "none"], f"cannot read {tmp_path / 'none' / 'card.json'}: No such file or directory"),
        ):
            result = self.run(*members, *out)
            assert (result.exit_code, result.output) == (1, f"Error: {line}\n")
        assert self.run(one, other, "--out", one).output == f"Error: {one} already holds a checkpoint\n"
        assert not (tmp_path / "both").exists()
        assert self.run(one, other, *out).exit_code == 0
        again = self.run(tmp_path / "both" / "1", tmp_path / "both" / "0", *out)
        assert (
            again.output
            == f"Error: {tmp_path / 'both' / '1'} lies in {tmp_path / 'both'}, which would be overwritten\n"
        )

    def test_a_folder_that_was_changed_says_so(self, write, tmp_path):
        both = tmp_path / "both"
        join([write("a", 0), write("b", 1)], both)
        (both / "0").rename(both / "x")
        (both / "1").rename(both / "0")
        (both / "x").rename(both / "1")
        with pytest.raises(CheckpointError, match="its members are not those it names"):
            load_encoder(str(both), "cpu")
        stated = json.loads((both / "joined.json").read_text())
        (both / "joined.json").write_text(json.dumps({**stated, "members": stated["members"][:1]}))
        with pytest.raises(CheckpointError, match=r"joined.json: members: "):
            load_encoder(str(both), "cpu")
        (both / "joined.json").write_text(json.dumps(stated))
        (both / "1" / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match=r"model.safetensors is missing"):
            load_encoder(str(both), "cpu")
