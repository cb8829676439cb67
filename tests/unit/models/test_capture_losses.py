"""CAPTURE's losses against naive oracles and closed forms."""

import math

import pytest
import torch

from models.capture.capture_losses import (
    TEMPERATURE,
    instance_loss,
    inter_modal_loss,
    masked_region_loss,
    masked_word_loss,
    matching_loss,
)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(drawn(*shape, seed=seed), dim=1)


def softmax_loss(row, target):
    return math.log(sum(math.exp(x) for x in row)) - row[target]


def test_masked_words_are_the_naive_oracle():
    logits, words = drawn(6, 9), torch.tensor([0, 8, 3, 3, 1, 7])
    rows = zip(logits.tolist(), words.tolist(), strict=True)
    naive = sum(softmax_loss(row, word) for row, word in rows) / 6
    assert float(masked_word_loss(logits, words)) == pytest.approx(naive)


def test_words_that_are_all_as_likely_cost_log_of_the_vocabulary():
    assert float(masked_word_loss(torch.zeros(4, 50), torch.tensor([0, 7, 7, 49]))) == pytest.approx(math.log(50))


def test_hidden_regions_are_the_naive_oracle():
    found, true = drawn(5, 4), unit(5, 4, seed=1)
    naive = sum(
        sum((a - b) ** 2 for a, b in zip(*row, strict=True)) for row in zip(found.tolist(), true.tolist(), strict=True)
    )
    assert float(masked_region_loss(found, true)) == pytest.approx(naive / 5)


def test_the_opposite_of_a_unit_vector_is_four_away():
    true = unit(3, 8)
    assert float(masked_region_loss(-true, true)) == pytest.approx(4.0)
    assert float(masked_region_loss(true, true)) == 0.0


def test_matching_is_the_naive_oracle():
    logits, matched = drawn(7), torch.tensor([True, False, True, True, False, False, True])
    naive = [
        -math.log(1 / (1 + math.exp(-x)) if yes else 1 - 1 / (1 + math.exp(-x)))
        for x, yes in zip(logits.tolist(), matched.tolist(), strict=True)
    ]
    assert float(matching_loss(logits, matched)) == pytest.approx(sum(naive) / 7)


def test_not_knowing_whether_a_caption_matches_costs_log_two():
    assert float(matching_loss(torch.zeros(3), torch.tensor([True, False, True]))) == pytest.approx(math.log(2))


def naive_contrast(a, b, positives, temperature):
    def one_way(rows, columns, mask):
        total = 0.0
        for i, row in enumerate(rows):
            logits = [sum(x * y for x, y in zip(row, column, strict=True)) / temperature for column in columns]
            hits = [softmax_loss(logits, j) for j in range(len(columns)) if mask[i][j]]
            total += sum(hits) / len(hits)
        return total / len(rows)

    turned = [list(column) for column in zip(*positives, strict=True)]
    return 0.5 * (one_way(a.tolist(), b.tolist(), positives) + one_way(b.tolist(), a.tolist(), turned))


def test_inter_modal_contrast_is_the_naive_oracle_whatever_the_lengths():
    images, texts = unit(5, 6), unit(5, 6, seed=1)
    own = torch.eye(5, dtype=torch.bool).tolist()
    expected = naive_contrast(images, texts, own, TEMPERATURE)
    assert float(inter_modal_loss(images * 3, texts * 0.5)) == pytest.approx(expected)


def test_photos_that_are_all_alike_cost_log_of_the_batch():
    assert float(inter_modal_loss(torch.ones(8, 4), torch.ones(8, 4))) == pytest.approx(math.log(8), abs=1e-5)


def test_two_orthogonal_pairs_cost_one_choice_at_the_temperature():
    loss = inter_modal_loss(torch.eye(2), torch.eye(2), temperature=0.25)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-4.0)), abs=1e-6)


def test_instances_of_one_product_are_each_others_positives():
    queries, catalogue, products = unit(4, 6), unit(4, 6, seed=1), torch.tensor([3, 5, 3, 9])
    same = [[a == b for b in products.tolist()] for a in products.tolist()]
    expected = naive_contrast(queries, catalogue, same, 0.5)
    assert float(instance_loss(queries, catalogue, products, 0.5)) == pytest.approx(expected)


@pytest.mark.parametrize("loss", [masked_word_loss, masked_region_loss])
def test_nothing_hidden_costs_nothing_and_has_a_gradient(loss):
    found = torch.empty(0, 5, requires_grad=True)
    targets = torch.empty(0, dtype=torch.int64) if loss is masked_word_loss else torch.empty(0, 5)
    value = loss(found, targets)
    value.backward()
    assert float(value.detach()) == 0.0
