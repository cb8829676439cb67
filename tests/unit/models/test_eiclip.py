"""EI-CLIP's fused text against its equations written out by hand, and the baselines against plain encoding."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.eiclip import EiClipEncoder, EntityTable, entity_key
from models.encoder import Encoder

TEXTS = ["a red top", "warm and dry", "two words"]
ENTITIES = [{"brand": "Nike", "season": "Winter"}, {}, {"category": "top", "brand": "Unheard Of", "colour": "red"}]


@pytest.fixture
def make(support, tmp_path):
    def made(**design):
        model = support("tiny").eiclip(tmp_path, **design)
        return EiClipEncoder(model, name="t", fingerprint="0" * 64, text_fields=("description",), device="cpu"), model

    return made


def words_of(model, texts):
    with torch.inference_mode():
        return model.backbone.text_features(model.backbone.tokenize(texts))


def gelu(x):
    return torch.nn.functional.gelu(torch.as_tensor(x)).numpy()


def mlp(layers, x):
    first, _, second = layers
    weights = [p.detach().numpy() for p in (first.weight, first.bias, second.weight, second.bias)]
    return weights[2] @ gelu(weights[0] @ x + weights[1]) + weights[3]


def by_hand(model, text, entities, *, weigh, literal=False):
    """E_T of one text, group by group, straight from the equations."""
    words = words_of(model, [text]).numpy()[0]
    total = words if literal else words / np.linalg.norm(words)
    scale = 1.0 if literal else float(model.scale)
    for k, (group, values) in enumerate(model.table.vocabularies.items()):
        if entities.get(group) not in values:
            continue
        row = values.index(entities[group]) + 1
        h = mlp(model.entities.mlps[k], model.entities.embeddings[k].weight[row].detach().numpy())
        total = total + scale * weigh(model, h) * h
    return total / np.linalg.norm(total)


def gate(model, h):
    return 1 / (1 + np.exp(-mlp(model.entities.gate, h)[0]))


@pytest.mark.parametrize(
    ("design", "weigh", "literal"),
    [
        ({}, gate, False),
        ({"fusion": "literal"}, gate, True),
        ({"weighting": "mean"}, lambda _m, _h: 1 / 3, False),
        ({"weighting": "sum"}, lambda _m, _h: 1.0, False),
        ({"weighting": "sum", "fusion": "literal"}, lambda _m, _h: 1.0, True),
    ],
)
def test_fused_text_equals_the_equations(make, design, weigh, literal):
    encoder, model = make(**design)
    if model.scale is not None:
        with torch.no_grad():
            model.scale.fill_(0.7)
    got = encoder.encode_texts(TEXTS, ENTITIES)
    want = [by_hand(model, t, e, weigh=weigh, literal=literal) for t, e in zip(TEXTS, ENTITIES, strict=True)]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_the_literal_form_has_no_scale_and_the_other_learns_one(make):
    assert make(fusion="literal")[1].scale is None
    assert make()[1].scale.requires_grad is False  # frozen by the encoder; trained before it


def test_an_absent_an_unknown_and_an_unnamed_entity_all_contribute_nothing(make):
    encoder, _ = make()
    bare, absent, unknown, unnamed = encoder.encode_texts(
        ["a red top"] * 4, [{}, {"season": ""}, {"brand": "Unheard Of"}, {"colour": "red"}]
    )
    for other in (absent, unknown, unnamed):
        np.testing.assert_allclose(bare, other, atol=1e-6)
    assert not np.allclose(bare, encoder.encode_texts(["a red top"], [{"brand": "Nike"}])[0], atol=1e-3)


def test_without_entities_the_fused_text_is_the_words(make):
    encoder, model = make()
    want = F.normalize(words_of(model, TEXTS), dim=-1).numpy()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), want, atol=1e-6)


def test_an_entity_is_one_unit_whatever_its_spelling(make):
    encoder, _ = make()
    first, second = encoder.encode_texts(["x", "x"], [{"brand": "Nike"}, {"brand": "  nIKE "}])
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_terms_add_up_to_the_embedding_and_to_every_score(make):
    encoder, _ = make()
    vectors, terms = encoder.encode_texts(TEXTS, ENTITIES), encoder.text_terms(TEXTS, ENTITIES)
    image = np.random.default_rng(0).standard_normal(encoder.dim)
    for vector, parts in zip(vectors, terms, strict=True):
        np.testing.assert_allclose(parts.vector, vector, atol=1e-6)
        assert sum(float(term @ image) for term in parts.terms) == pytest.approx(float(vector @ image), abs=1e-5)


def test_terms_name_the_known_entities_and_their_gates(make):
    encoder, model = make()
    first, second, third = encoder.text_terms(TEXTS, ENTITIES)
    assert first.names == ("words", "brand", "season")
    assert second.names == ("words",)
    assert second.gates == {}
    assert third.names == ("words", "category")
    h = mlp(model.entities.mlps[1], model.entities.embeddings[1].weight[1].detach().numpy())
    assert third.gates["category"] == pytest.approx(gate(model, h), abs=1e-6)


def test_pasted_entities_are_words_in_the_order_of_the_groups(make):
    encoder, model = make(mode="pasted")
    got = encoder.encode_texts(["a red top"], [{"season": "Winter", "colour": "red", "brand": "Unheard Of"}])
    want = F.normalize(words_of(model, ["Unheard Of Winter. a red top"]), dim=-1).numpy()
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert model.entities is None


def test_without_a_mode_for_entities_they_are_ignored(make):
    encoder, model = make(mode="none")
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS, ENTITIES), encoder.encode_texts(TEXTS))
    assert encoder.vocabularies == {}
    assert {term.names for term in encoder.text_terms(TEXTS, ENTITIES)} == {("words",)}
    assert model.scale is None


def test_batches_do_not_change_a_text(make):
    encoder, _ = make()
    many = encoder.encode_texts([*TEXTS, "one " * 40] * 50, [*ENTITIES, {}] * 50)
    alone = encoder.encode_texts(TEXTS[:1], ENTITIES[:1])
    np.testing.assert_allclose(many[0], alone[0], atol=1e-5)
    assert many.shape == (200, encoder.dim)


def test_the_unknown_row_receives_no_gradient(support, tmp_path):
    model = support("tiny").eiclip(tmp_path)
    rows = model.table.rows([{"brand": "Nike"}, {"season": "Summer"}])
    parts, _ = model.text_parts(torch.ones(2, model.backbone.dim), rows)
    parts.square().sum().backward()
    for table in model.entities.embeddings:
        assert table.weight.grad[0].abs().sum() == 0
    assert model.entities.embeddings[0].weight.grad[1].abs().sum() > 0


def test_is_an_encoder(make):
    encoder, _ = make()
    assert isinstance(encoder, Encoder)
    assert encoder.vocabularies["brand"] == ("Nike", "Diesel")


class TestEntityTable:
    def test_counts_cuts_and_orders(self):
        stated = [{"brand": "Lee"}] * 3 + [{"brand": "Ace"}] * 3 + [{"brand": "Rare"}] + [{"brand": "Zed"}] * 5
        table = EntityTable.collect(stated, ("brand", "season"), min_count=2)
        assert table.counts == {"brand": {"Zed": 5, "Ace": 3, "Lee": 3}, "season": {}}
        assert table.rows([{"brand": "Ace"}, {"brand": "Rare"}, {"season": "x"}]).tolist() == [[2, 0], [0, 0], [0, 0]]

    def test_spellings_of_one_value_share_its_commonest_form(self):
        stated = [{"brand": "GAP"}, {"brand": "Gap"}, {"brand": "Gap"}, {"brand": "gap "}]
        assert EntityTable.collect(stated, ("brand",)).counts == {"brand": {"Gap": 4}}

    def test_the_order_of_the_products_does_not_matter(self):
        stated = [{"brand": b} for b in ("b", "A", "a", "c", "B")]
        forward = EntityTable.collect(stated, ("brand",)).counts
        assert forward == EntityTable.collect(stated[::-1], ("brand",)).counts

    def test_no_texts_have_no_rows(self):
        assert EntityTable({"brand": {"a": 1}, "season": {}}).rows([]).shape == (0, 2)

    @pytest.mark.parametrize(
        ("spelling", "key"),
        [("\uff2e\uff29\uff2b\uff25", "nike"), ("Golden\u00a0 Goose", "golden goose"), ("STRAẞE", "strasse")],
    )
    def test_key_folds_width_case_and_spaces(self, spelling, key):
        assert entity_key(spelling) == key


@pytest.mark.parametrize("design", [{}, {"weighting": "mean"}, {"fusion": "literal"}])
def test_a_vocabulary_too_large_to_be_looked_up_is_worked_out_for_each_text(make, monkeypatch, design):
    looked_up, model = make(**design)
    assert model.lookup() is not None
    monkeypatch.setattr("models.eiclip.LOOKUP_BYTES", 0)
    assert model.lookup() is None
    worked_out = EiClipEncoder(model, name="t", fingerprint="0" * 64, text_fields=("description",), device="cpu")
    want, got = worked_out.text_terms(TEXTS, ENTITIES), looked_up.text_terms(TEXTS, ENTITIES)
    for mine, theirs in zip(got, want, strict=True):
        assert mine.names == theirs.names
        np.testing.assert_allclose(mine.terms, theirs.terms, atol=1e-6)
        assert mine.gates == pytest.approx(theirs.gates, abs=1e-6)
