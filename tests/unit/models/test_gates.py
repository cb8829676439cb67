"""Gates, shares and advice: closed forms, sums that must be exact, and signs that must decide."""

import numpy as np
import pytest

from models.compare import Comparison
from models.eiclip import EiClipEncoder
from models.encoder import TextTerms
from models.gates import (
    Contribution,
    GroupGates,
    ValueGate,
    Verdict,
    advice,
    contribution,
    group_gates,
    score_parts,
    term_shares,
    value_gates,
    verdict,
)


@pytest.fixture
def tiny(support):
    return support("tiny")


@pytest.fixture
def open_encoder(tiny, tmp_path):
    def opening(seed=0, **design):
        model = tiny.eiclip(tmp_path, seed, **design)
        return EiClipEncoder(model, name="x", fingerprint="0" * 64, text_fields=("title",), device="cpu")

    return opening


def gate(value, number, count=None, *, group="brand", length=1.0):
    return ValueGate(group=group, value=value, count=count, gate=number, length=length)


class TestValueGates:
    def test_are_those_of_the_model_itself(self, open_encoder, tiny, tmp_path):
        model = tiny.eiclip(tmp_path, 3)
        found = value_gates(open_encoder(3), tiny.COUNTS)
        known = [(g, v, n) for g, values in tiny.COUNTS.items() for v, n in values.items()]
        assert [(v.group, v.value, v.count) for v in found] == known
        for entry in found:
            rows = model.table.rows([{entry.group: entry.value}])
            h, w = model.entities(rows)
            column = model.table.groups.index(entry.group)
            assert entry.gate == pytest.approx(w[0, column].item(), abs=1e-6)
            length = (model.scale * w[0, column] * h[0, column].norm()).item()
            assert entry.length == pytest.approx(length, rel=1e-4)

    def test_fixed_weights_are_shown_as_they_are(self, open_encoder):
        assert {round(v.gate, 6) for v in value_gates(open_encoder(weighting="mean"))} == {round(1 / 3, 6)}

    @pytest.mark.parametrize("mode", ["pasted", "none"])
    def test_a_model_without_entity_encoders_has_none(self, open_encoder, mode):
        assert value_gates(open_encoder(mode=mode)) == []

    def test_counts_may_be_unknown(self, open_encoder):
        assert {v.count for v in value_gates(open_encoder())} == {None}


class TestGroupGates:
    def test_means_are_weighted_by_what_training_saw(self):
        found = group_gates([gate("a", 0.2, 3, length=1.0), gate("b", 0.6, 1, length=3.0)])
        assert (found[0].group, found[0].values) == ("brand", 2)
        assert (found[0].mean, found[0].low, found[0].high, found[0].length) == pytest.approx((0.3, 0.24, 0.56, 1.5))

    def test_every_value_counts_once_where_counts_are_unknown(self):
        (found,) = group_gates([gate("a", 0.2), gate("b", 0.6, 7)])
        assert found.mean == pytest.approx(0.4)
        (unseen,) = group_gates([gate("a", 0.2, 0), gate("b", 0.6, 0)])
        assert unseen.mean == pytest.approx(0.4)

    def test_groups_keep_their_order(self):
        found = group_gates([gate("x", 0.1, group="season"), gate("y", 0.9), gate("z", 0.3, group="season")])
        assert [(g.group, g.values) for g in found] == [("season", 2), ("brand", 1)]


class TestScores:
    @pytest.mark.parametrize("design", [{}, {"fusion": "literal"}, {"weighting": "sum"}, {"mode": "none"}])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_parts_add_up_to_the_score(self, open_encoder, tiny, seed, design):
        encoder = open_encoder(seed, **design)
        texts = ["a red shirt", "", "Nike top for the summer"]
        entities = [{"brand": "Nike", "season": "Winter"}, {}, {"brand": "Diesel", "category": "top", "season": "new"}]
        images = encoder.encode_images(tiny.photos(3, seed))
        scores = (encoder.encode_texts(texts, entities) * images).sum(axis=1)
        for terms, image, score in zip(encoder.text_terms(texts, entities), images, scores, strict=True):
            assert sum(score_parts(terms, image).values()) == pytest.approx(float(score), abs=1e-5)

    def test_shares_by_hand(self):
        terms = TextTerms(("words", "brand"), np.array([[0.6, 0.0], [0.0, 0.8]], np.float32), {"brand": 0.5})
        parts = score_parts(terms, np.array([0.5, 0.25], np.float32))
        assert parts == pytest.approx({"words": 0.3, "brand": 0.2})
        words, brand = term_shares([parts, {"words": 0.5}])
        assert (words.term, words.stated, brand.term, brand.stated) == ("words", 1.0, "brand", 0.5)
        assert (words.mean, words.share, brand.mean, brand.share) == pytest.approx((0.4, 0.8, 0.1, 0.2))

    def test_shares_add_up_to_one_whatever_the_signs(self):
        rng = np.random.default_rng(0)
        pairs = [{"words": float(a), "brand": float(b), "season": float(c)} for a, b, c in rng.normal(0.2, 1, (50, 3))]
        assert sum(s.share for s in term_shares(pairs)) == pytest.approx(1.0)

    def test_nothing_to_share(self):
        assert term_shares([]) == []
        assert [s.share for s in term_shares([{"words": 0.0}])] == [0.0]


def ranks(to_image, to_text):
    return {"pair/text_to_image": np.array(to_image, float), "pair/image_to_text": np.array(to_text, float)}


class TestContribution:
    def test_by_hand(self):
        found = contribution("brand", ranks([1, 1, 3, 40], [1, 2, 1, 1]), ranks([1, 2, 3, 4], [2, 2, 12, 1]))
        ways = ("pair/text_to_image", "pair/image_to_text")
        assert [(c.key, c.k) for c in found.ways] == [(way, k) for way in ways for k in (1, 10)]
        assert [c.difference for c in found.ways] == [0.25, -0.25, 0.5, 0.25]
        assert (found.r1.mean_a, found.r1.mean_b, found.r1.difference) == (0.625, 0.25, 0.375)
        assert found.r10.difference == 0.0

    def test_what_changes_nothing_has_an_interval_of_no_width(self):
        same = ranks([1, 5, 20], [2, 1, 1])
        found = contribution("season", same, same)
        assert (found.r1.low, found.r1.high) == (0.0, 0.0)
        assert verdict(found) is Verdict.NOTHING


def judged(r1, r10=(0.0, -0.01, 0.01)):
    def comparison(k, numbers):
        difference, low, high = numbers
        return Comparison(
            key="both ways", k=k, mean_a=0.5, mean_b=0.5 - difference, difference=difference, low=low, high=high,
            p_value=0.5, relative=None,
        )  # fmt: skip

    return Contribution(group="brand", ways=(), r1=comparison(1, r1), r10=comparison(10, r10))


def gates(mean, length):
    return GroupGates(group="brand", values=3, mean=mean, low=mean, high=mean, length=length)


class TestAdvice:
    @pytest.mark.parametrize(
        ("r1", "r10", "want"),
        [
            ((0.04, 0.03, 0.05), (0.0, -0.1, 0.1), Verdict.EARNS),
            ((0.04, 0.03, 0.05), (-0.2, -0.3, -0.1), Verdict.EARNS),  # the first place decides
            ((0.01, -0.01, 0.03), (0.02, 0.01, 0.03), Verdict.HELPS),
            ((0.01, -0.01, 0.03), (0.0, -0.01, 0.01), Verdict.NOTHING),
            ((0.0, 0.0, 0.01), (0.0, 0.0, 0.0), Verdict.NOTHING),  # an interval that touches zero says nothing
            ((-0.04, -0.05, -0.03), (0.2, 0.1, 0.3), Verdict.HARMS),
            ((0.01, -0.01, 0.03), (-0.02, -0.03, -0.01), Verdict.HARMS),
        ],
    )
    def test_follows_the_sign_of_the_interval(self, r1, r10, want):
        assert verdict(judged(r1, r10)) is want

    def test_earns(self):
        assert advice(judged((0.042, 0.031, 0.053)), gates(0.8, 1.5)) == (
            "brand earns its place: without it R@1 falls by 4.2 points (95% interval 3.1 to 5.3); "
            "its mean gate is 0.80, its term 1.50 times as long as the words."
        )

    def test_adds_nothing(self):
        unsure = judged((0.002, -0.004, 0.008))
        loud = advice(unsure, gates(0.78, 0.9))
        assert loud.startswith("brand adds nothing here: without it R@1 falls by 0.2 points (95% interval -0.4 to 0.8)")
        assert loud.endswith(
            ", although its mean gate is 0.78, its term 0.90 times as long as the words: train without it and compare."
        )
        assert advice(unsure, gates(0.1, 0.1)).endswith("the model already sets it aside.")
        assert advice(unsure, gates(0.3, 0.3)).endswith("0.30 times as long as the words.")
        assert "R@1 stays the same (95% interval -0.4 to 0.4)." in advice(judged((0.0, -0.004, 0.004)))
        assert "R@1 rises by 0.2 points (95% interval -0.8 to 0.4)." in advice(judged((-0.002, -0.004, 0.008)))

    def test_harms_and_helps_name_the_depth_that_decides(self):
        assert "brand harms here: without it R@1 rises by 4.0 points (95% interval 3.0 to 5.0)" in advice(
            judged((-0.04, -0.05, -0.03))
        )
        helps = judged((0.01, -0.01, 0.03), (0.02, 0.01, 0.03))
        assert "helps among the first ten: without it R@10 falls by 2.0 points" in advice(helps)
        late = judged((0.01, -0.01, 0.03), (-0.02, -0.03, -0.01))
        assert "harms here: without it R@10 rises by 2.0 points" in advice(late)

    def test_says_when_few_products_state_it_and_then_nothing_of_gates(self):
        said = advice(judged((0.002, -0.004, 0.008)), gates(0.78, 0.9), stated=0.03)
        assert said.endswith("(95% interval -0.4 to 0.8); only 3% of the products state a value the model knows.")
        assert "only" not in advice(judged((0.04, 0.03, 0.05)), stated=0.9)
