"""The task against its three losses put together by hand, its masks, and numeric gradients."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.train.config import LossConfig
from models.train.data import Batch
from models.train.losses import same, symmetric_info_nce
from models.train.task import ContrastiveTask, without_some

STILL = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
TEXTS = ("a red top", "boots", "a red top", "a red top")
ENTITIES = ({"brand": "Nike"}, {}, {"brand": "Nike"}, {"brand": "Diesel", "season": "Winter"})
ALL_GROUPS = ({"brand": "Nike", "category": "top"}, {}, {"season": "Summer"}, {"brand": "Diesel"})


def batch(tiny, model, texts=TEXTS, entities=ENTITIES, suits=None):
    pixels = torch.from_numpy(model.backbone.prepare_images(tiny.photos(len(texts))))
    suits = torch.zeros(len(texts), len(texts), dtype=torch.bool) if suits is None else torch.tensor(suits)
    return Batch(pixels, STILL.repeat(len(texts), 1, 1), texts, entities, tuple(range(len(texts))), suits)


@pytest.fixture
def tiny(support):
    return support("tiny")


def pieces(model, example):
    """Images, words, w * h `(n, K, d)` of a batch, and the scale, from the model's parts."""
    tokens, rows = model.read(example.texts, example.entities)
    images = F.normalize(model.backbone.image_features(example.pixels, example.zooms), dim=-1)
    words = F.normalize(model.backbone.text_features(tokens), dim=-1)
    h, w = model.entities(rows)
    return images, words, w[..., None] * h, model.backbone.logit_scale.exp()


def test_total_is_the_weighted_sum_of_the_losses(tiny, tmp_path):
    model = tiny.eiclip(tmp_path)
    suits = [[False, True, False, False]] + [[False] * 4] * 3  # the first picture also shows "boots"
    example = batch(tiny, model, suits=suits)
    losses = ContrastiveTask(model, LossConfig(fused=1.0, description=0.25, entities=2.0, groups=0.125))(example)
    images, words, stated, scale = pieces(model, example)
    fused = F.normalize(words + model.scale * stated.sum(dim=1), dim=-1)
    want_fused = symmetric_info_nce(images, fused, scale, same(["a", "b", "a", "c"]), torch.tensor(suits))
    want_words = symmetric_info_nce(images, words, scale, same(["a", "b", "a", "a"]), torch.tensor(suits))
    known = [0, 2, 3]  # the second example states nothing
    together = F.normalize(stated[known].sum(dim=1), dim=-1)
    want_entities = symmetric_info_nce(images[known], together, scale, same(["nike", "nike", "diesel"]))
    brands = F.normalize(stated[known, 0], dim=-1)  # no category, and but one season: no loss of theirs
    want_groups = symmetric_info_nce(images[known], brands, scale, same(["nike", "nike", "diesel"]))
    torch.testing.assert_close(losses.fused, want_fused.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(losses.words, want_words.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(losses.entities, want_entities.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(losses.groups, want_groups.detach(), atol=1e-5, rtol=0)
    total = want_fused + 0.25 * want_words + 2.0 * want_entities + 0.125 * want_groups
    torch.testing.assert_close(losses.total, total, atol=1e-5, rtol=0)


CROWD_TEXTS = ("a red top", "boots", "a red top", "a red top", "boots", "winter boots")
CROWD = (
    {"brand": "Nike", "category": "top"},
    {"season": "Winter", "brand": "Unheard Of"},
    {"brand": "Nike", "category": "top"},
    {"brand": "Diesel", "season": "Summer"},
    {},
    {"brand": "Diesel", "season": "Winter"},
)
SUITED = {(0, 1), (3, 5), (4, 5), (1, 0), (0, 2)}  # the last are positives of each other, which comes first
CROWD_SUITS = [[(i, j) in SUITED for j in range(6)] for i in range(6)]


def by_hand(model, example, weights):
    """The total from the formulas of the paper, in loops of Python's own numbers; only the towers are the model's."""
    towers = model.backbone
    features = (
        towers.image_features(example.pixels, example.zooms),
        towers.text_features(towers.tokenize(example.texts)),
    )
    images, words = ([unit(row) for row in feature.tolist()] for feature in features)
    known = [
        {g: list(model.table.counts[g]).index(v) for g, v in stated.items() if v in model.table.counts[g]}
        for stated in example.entities
    ]
    n, beta, scale = len(images), float(model.scale.detach()), math.exp(float(towers.logit_scale.detach()))
    heard = [[entity(model, g, at[g]) if g in at else None for g in model.table.groups] for at in known]

    def fused(i):
        return unit([w + beta * sum(h[d] for h in heard[i] if h) for d, w in enumerate(words[i])])

    def nce(rows, texts, keys, suits=None):
        def one_way(logit, suited):
            costs = []
            for i in rows:
                mine = [j for j in rows if keys[i] == keys[j]]
                seen = [j for j in rows if j in mine or not suited(i, j)]
                bottom = math.log(sum(math.exp(scale * logit(i, j)) for j in seen))
                costs.append(sum(bottom - scale * logit(i, j) for j in mine) / len(mine))
            return sum(costs) / len(costs)

        def suited(i, j):
            return suits is not None and bool(suits[i, j])

        def dot(i, j):
            return sum(a * b for a, b in zip(images[i], texts[j], strict=True))

        return (one_way(dot, suited) + one_way(lambda i, j: dot(j, i), lambda i, j: suited(j, i))) / 2

    every, stating = range(n), [i for i in range(n) if known[i]]
    sets = [tuple(sorted(at.items())) for at in known]
    total = weights.fused * nce(
        every, [fused(i) for i in every], list(zip(example.texts, sets, strict=True)), example.suits
    )
    total += weights.description * nce(every, words, example.texts, example.suits)
    together = {i: unit([sum(h[d] for h in heard[i] if h) for d in range(len(words[0]))]) for i in stating}
    total += weights.entities * nce(stating, together, sets)
    groups = []
    for k, group in enumerate(model.table.groups):
        rows = [i for i in stating if group in known[i]]
        if len(rows) > 1:
            groups.append(nce(rows, {i: unit(heard[i][k]) for i in rows}, [at.get(group) for at in known]))
    return total + weights.groups * sum(groups) / len(groups)


def entity(model, group, value):
    """sigmoid(MLP(h)) h, with h = MLP(embedding), from the stored matrices."""
    k, side = model.table.groups.index(group), model.entities
    h = mlp(side.mlps[k], side.embeddings[k].weight[1 + value].tolist())
    (z,) = mlp(side.gate, h)
    return [x / (1 + math.exp(-z)) for x in h]


def mlp(layers, x):
    inner = [0.5 * z * (1 + math.erf(z / math.sqrt(2))) for z in linear(layers[0], x)]
    return linear(layers[2], inner)


def linear(layer, x):
    rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    return [bias + sum(a * b for a, b in zip(row, x, strict=True)) for row, bias in rows]


def unit(x):
    length = math.sqrt(sum(value * value for value in x))
    return [value / length for value in x]


def crowd(tiny, folder):
    """A model whose gates are far from one half, and a batch with ties, unknown values and suited pictures."""
    model = tiny.eiclip(folder)
    with torch.no_grad():
        model.scale.fill_(0.7)
        for parameter in model.entities.parameters():
            parameter.mul_(3)
        model.entities.gate[2].bias.fill_(1.5)
    return model, batch(tiny, model, CROWD_TEXTS, CROWD, CROWD_SUITS)


def test_total_is_what_the_formulas_of_the_paper_give(tiny, tmp_path):
    model, example = crowd(tiny, tmp_path)
    total = ContrastiveTask(model, LossConfig())(example).total
    assert total.item() == pytest.approx(by_hand(model, example, LossConfig()), rel=1e-5)


def opposed(self, h):
    return torch.sigmoid(-self.gate(h)).squeeze(-1)


def ungated(self, h):
    return h.new_ones(h.shape[:2])


def unmasked(self, rows):
    h = torch.stack(
        [f(table(rows[:, k])) for k, (table, f) in enumerate(zip(self.embeddings, self.mlps, strict=True))], dim=1
    )
    return h, self._weights(h)


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        ("models.eiclip.EntityEncoders._weights", opposed),
        ("models.eiclip.EntityEncoders._weights", ungated),
        ("models.eiclip.EntityEncoders.forward", unmasked),
        ("models.train.task.same", lambda keys, _: torch.eye(len(keys), dtype=torch.bool)),
        ("models.train.task._fused_keys", lambda tokens, _: [tuple(row) for row in tokens.tolist()]),
        ("models.train.task._token_keys", lambda tokens: [(n,) for n in range(len(tokens))]),
        ("models.train.task.UNKNOWN_ROW", -1),
    ],
    ids=["gate's sign", "no gate", "no mask", "one positive each", "words alone", "no ties", "unknown stated"],
)
def test_a_wrong_gate_or_mask_is_told_by_the_formulas(tiny, tmp_path, monkeypatch, where, wrong):
    model, example = crowd(tiny, tmp_path)
    want = by_hand(model, example, LossConfig())
    monkeypatch.setattr(where, wrong)
    assert abs(ContrastiveTask(model, LossConfig())(example).total.item() - want) > 1e-3


@pytest.mark.parametrize("suits", [[[False] * 6] * 6, [list(column) for column in zip(*CROWD_SUITS, strict=True)]])
def test_wrongly_suited_pictures_are_told_by_the_formulas(tiny, tmp_path, suits):
    model, example = crowd(tiny, tmp_path)
    wrong = batch(tiny, model, CROWD_TEXTS, CROWD, suits)
    want = by_hand(model, example, LossConfig())
    assert abs(ContrastiveTask(model, LossConfig())(wrong).total.item() - want) > 1e-3


def test_the_loss_of_single_entities_is_the_mean_over_the_groups(tiny, tmp_path):
    model = tiny.eiclip(tmp_path)
    stated = ({"brand": "Nike", "season": "Summer"}, {"season": "Winter"}, {"brand": "Diesel"}, {"season": "Summer"})
    example = batch(tiny, model, entities=stated)
    losses = ContrastiveTask(model, LossConfig())(example)
    images, _, parts, scale = pieces(model, example)
    brands = symmetric_info_nce(images[[0, 2]], F.normalize(parts[[0, 2], 0], dim=-1), scale, same(["n", "d"]))
    rows = [0, 1, 3]
    seasons = symmetric_info_nce(images[rows], F.normalize(parts[rows, 2], dim=-1), scale, same(["s", "w", "s"]))
    torch.testing.assert_close(losses.groups, ((brands + seasons) / 2).detach(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["pasted", "none"])
def test_a_baseline_has_one_loss(tiny, tmp_path, mode):
    model = tiny.eiclip(tmp_path, mode=mode)
    example = batch(tiny, model)
    losses = ContrastiveTask(model, LossConfig())(example)
    tokens, _ = model.read(example.texts, example.entities)
    images = F.normalize(model.backbone.image_features(example.pixels, example.zooms), dim=-1)
    words = F.normalize(model.backbone.text_features(tokens), dim=-1)
    keys = ["a", "b", "a", "c"] if mode == "pasted" else ["a", "b", "a", "a"]
    want = symmetric_info_nce(images, words, model.backbone.logit_scale.exp(), same(keys))
    torch.testing.assert_close(losses.total, want, atol=1e-5, rtol=0)
    assert float(losses.fused) == float(losses.entities) == float(losses.groups) == 0.0


@pytest.mark.parametrize("entities", [({}, {}, {}, {}), ({"brand": "Nike"}, {}, {}, {"brand": "Unheard Of"})])
def test_fewer_than_two_stated_examples_have_no_entity_loss(tiny, tmp_path, entities):
    model = tiny.eiclip(tmp_path)
    losses = ContrastiveTask(model, LossConfig())(batch(tiny, model, entities=entities))
    assert float(losses.entities) == float(losses.groups) == 0.0
    losses.total.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_gradients_of_the_entity_side_are_the_numeric_ones(tiny, tmp_path):
    model = tiny.eiclip(tmp_path).double()
    example = batch(tiny, model)
    task = ContrastiveTask(model, LossConfig())
    images = torch.nn.functional.normalize(torch.randn(4, model.backbone.dim, dtype=torch.float64), dim=-1)
    model.backbone.image_features = lambda *_: images  # the picture tower works in float32 only
    total = task(example).total
    model.zero_grad()
    total.backward()
    rng = np.random.default_rng(0)
    checked = [model.scale, *model.entities.parameters(), model.backbone.logit_scale]
    for parameter in checked:
        spot = tuple(rng.integers(0, size) for size in parameter.shape)
        step, values = 1e-5, []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[spot] += sign * step
                values.append(float(task(example).total))
                parameter[spot] -= sign * step
        numeric = (values[0] - values[1]) / (2 * step)
        assert float(parameter.grad[spot]) == pytest.approx(numeric, rel=1e-4, abs=1e-8)


def test_every_part_of_the_model_learns(tiny, tmp_path):
    model = tiny.eiclip(tmp_path).train()
    ContrastiveTask(model, LossConfig())(batch(tiny, model, entities=ALL_GROUPS)).total.backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Values of no example, and the last scales of ResNet blocks that start at zero shadow what is before them.
    assert not [name for name in still if "embeddings" not in name and "visual.layer" not in name]


def test_the_scale_is_held_at_its_maximum(tiny, tmp_path):
    model = tiny.eiclip(tmp_path)
    task = ContrastiveTask(model, LossConfig(max_scale=100))
    with torch.no_grad():
        model.backbone.logit_scale.fill_(9.0)
    task.clamp_scale()
    assert model.backbone.logit_scale.item() == pytest.approx(math.log(100))
    with torch.no_grad():
        model.backbone.logit_scale.fill_(2.0)
    task.clamp_scale()
    assert model.backbone.logit_scale.item() == 2.0


class TestWordsLeftOut:
    def test_the_rest_closes_up_in_order_between_start_and_end(self, tiny, tmp_path):
        tokens = tiny.eiclip(tmp_path).backbone.tokenize(["one two three four five six seven eight", "boots"])
        shown = without_some(tokens, 0.5, draw=3)
        for before, after in zip(tokens.tolist(), shown.tolist(), strict=True):
            end = before.index(max(before))
            kept = after[: after.index(max(before)) + 1]
            assert after[len(kept) :] == [0] * (len(after) - len(kept))
            assert kept[0] == before[0]
            rest = iter(before[: end + 1])
            assert all(token in rest for token in kept)  # a subsequence
        assert 2 <= int((shown[0] > 0).sum()) < int((tokens[0] > 0).sum())

    def test_it_is_the_share_that_was_asked_for_and_the_draw_decides(self):
        tokens = torch.arange(1, 1002).repeat(40, 1)
        shown = without_some(tokens, 0.3, draw=1)
        assert float((shown > 0).sum(dim=1).double().mean()) == pytest.approx(2 + 0.7 * 999, rel=0.01)
        assert torch.equal(shown, without_some(tokens, 0.3, draw=1))
        assert not torch.equal(shown, without_some(tokens, 0.3, draw=2))
        assert torch.equal(tokens, without_some(tokens, 0.0, draw=1))

    def test_texts_that_read_the_same_stay_each_others_positives(self, tiny, tmp_path):
        model = tiny.eiclip(tmp_path)
        example = replace(batch(tiny, model), left_out=0.6, draw=5)
        task = ContrastiveTask(model, LossConfig())
        reading = task.read(example)
        assert not torch.equal(reading.shown[0], reading.shown[2])  # one text, left out differently
        assert torch.equal(reading.tokens[0], reading.tokens[2])
        images, words = task.encode(example, reading, slice(None))
        torch.testing.assert_close(words, model.backbone.text_features(reading.shown))
        parts, _ = model.text_parts(words, reading.rows)
        want = symmetric_info_nce(
            F.normalize(images, dim=-1),
            F.normalize(parts[:, 0], dim=-1),
            model.backbone.logit_scale.exp(),
            same(["a", "b", "a", "a"]),
        )
        torch.testing.assert_close(task.losses(images, words, reading).words, want.detach(), atol=1e-5, rtol=0)
