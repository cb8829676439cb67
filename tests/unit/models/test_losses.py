"""The contrastive loss against closed forms, a naive loop, open_clip's own, and numeric gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.importing import open_clip
from models.train.losses import same, symmetric_info_nce


def unit(rows, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, dim, generator=generator, dtype=torch.float64), dim=-1)


def naive(images, texts, scale, positives, ignored=None):
    """The definition, one number at a time: mean over rows of the mean over positives of -log softmax."""

    def one_way(queries, keys, mask, skipped):
        total = 0.0
        for i, query in enumerate(queries):
            logits = [scale * sum(float(a) * float(b) for a, b in zip(query, key, strict=True)) for key in keys]
            bottom = math.log(sum(math.exp(x) for j, x in enumerate(logits) if mask[i][j] or not skipped[i][j]))
            hits = [bottom - logits[j] for j in range(len(keys)) if mask[i][j]]
            total += sum(hits) / len(hits)
        return total / len(queries)

    mask, skipped = positives.tolist(), (torch.zeros_like(positives) if ignored is None else ignored).tolist()
    turned = ([list(column) for column in zip(*table, strict=True)] for table in (mask, skipped))
    return 0.5 * (one_way(images, texts, mask, skipped) + one_way(texts, images, *turned))


@pytest.mark.parametrize("count", [2, 7, 64])
def test_loss_of_equal_logits_is_log_of_the_batch(count):
    images, texts = torch.ones(count, 4) / 2, torch.ones(count, 4) / 2
    loss = symmetric_info_nce(images, texts, torch.tensor(14.0), torch.eye(count, dtype=torch.bool))
    assert float(loss) == pytest.approx(math.log(count), abs=1e-5)


def test_loss_of_equal_logits_is_log_of_the_batch_whatever_the_positives():
    positives = torch.tensor([[True, True, False], [False, True, True], [True, False, True]])
    loss = symmetric_info_nce(torch.ones(3, 1), torch.ones(3, 1), torch.tensor(5.0), positives)
    assert float(loss) == pytest.approx(math.log(3), abs=1e-6)


def test_two_orthogonal_pairs_have_the_loss_of_one_binary_choice():
    loss = symmetric_info_nce(torch.eye(2), torch.eye(2), torch.tensor(3.0), torch.eye(2, dtype=torch.bool))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-3.0)), abs=1e-6)


def test_two_positives_with_equal_logits_cost_ln_two_at_the_least():
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    positives = same(["a", "a", "b"])
    loss = symmetric_info_nce(images, images, torch.tensor(50.0), positives)
    assert float(loss) == pytest.approx(2 / 3 * math.log(2), abs=1e-6)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 9), (9, 4)])
def test_loss_equals_the_naive_loop(n, m):
    images, texts = unit(n, 6, 1), unit(m, 6, 2)
    positives = torch.rand(n, m, generator=torch.Generator().manual_seed(3)) < 0.3
    positives[torch.arange(max(n, m)) % n, torch.arange(max(n, m)) % m] = True
    loss = symmetric_info_nce(images, texts, torch.tensor(9.0, dtype=torch.float64), positives)
    assert float(loss) == pytest.approx(naive(images, texts, 9.0, positives), abs=1e-9)


def test_loss_with_one_positive_each_is_open_clips():
    images, texts = unit(8, 5, 4).float(), unit(8, 5, 5).float()
    ours = symmetric_info_nce(images, texts, torch.tensor(20.0), torch.eye(8, dtype=torch.bool))
    theirs = open_clip.ClipLoss()(images, texts, torch.tensor(20.0))
    assert float(ours) == pytest.approx(float(theirs), abs=1e-6)


def test_gradients_are_the_numeric_ones():
    images, texts = unit(4, 3, 6).requires_grad_(), unit(4, 3, 7).requires_grad_()
    scale = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    positives = same(["a", "b", "a", "c"])
    assert torch.autograd.gradcheck(lambda *args: symmetric_info_nce(*args, positives), (images, texts, scale))


def crowded():
    """Five examples with a tie, two texts of the same product, and pairs that are ignored, not symmetrically."""
    images, texts = unit(5, 3, 20), unit(5, 3, 21)
    images[3], texts[4] = images[0], texts[1]
    ignored = torch.zeros(5, 5, dtype=torch.bool)
    ignored[0, 3] = ignored[2, 4] = ignored[1, 1] = ignored[3, 2] = True
    return images, texts, torch.tensor(5.0, dtype=torch.float64), same(["a", "b", "a", "c", "b"]), ignored


def test_gradients_with_ties_many_positives_and_ignored_pairs_are_the_numeric_ones():
    images, texts, scale, positives, ignored = crowded()
    inputs = tuple(value.requires_grad_() for value in (images, texts, scale))
    assert torch.autograd.gradcheck(lambda *args: symmetric_info_nce(*args, positives, ignored), inputs)


def test_loss_with_ties_many_positives_and_ignored_pairs_is_the_naive_loop():
    images, texts, scale, positives, ignored = crowded()
    loss = symmetric_info_nce(images, texts, scale, positives, ignored)
    assert float(loss) == pytest.approx(naive(images, texts, 5.0, positives, ignored), abs=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p, i: (p & torch.eye(5, dtype=torch.bool), i),
        lambda p, i: (p, i.T),
        lambda p, i: (p, i & False),
        lambda p, i: (p | i, None),
        lambda p, i: (p, ~i),
    ],
    ids=["one positive each", "turned", "nothing ignored", "ignored as positive", "inverted"],
)
def test_a_wrong_mask_is_told_by_the_naive_loop(wrong):
    images, texts, scale, positives, ignored = crowded()
    loss = symmetric_info_nce(images, texts, scale, *wrong(positives, ignored))
    assert abs(float(loss) - naive(images, texts, 5.0, positives, ignored)) > 1e-3


def test_a_false_negative_is_punished_and_a_positive_is_not():
    images = F.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]), dim=-1).requires_grad_()
    texts = images.detach().clone()
    diagonal = torch.eye(3, dtype=torch.bool)
    alone = symmetric_info_nce(images, texts, torch.tensor(10.0), diagonal)
    shared = symmetric_info_nce(images, texts, torch.tensor(10.0), same(["a", "a", "b"]))
    push = torch.autograd.grad(alone, images)[0][0] @ texts[1]
    pull = torch.autograd.grad(shared, images)[0][0] @ texts[1]
    assert float(pull) < float(push)


def test_ignored_pairs_are_as_if_they_were_not_there():
    images, texts = unit(3, 4, 10), unit(3, 4, 11)
    scale, ignored = torch.tensor(6.0, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.bool)
    ignored[0, 2] = ignored[1, 1] = True  # a pair apart, and a positive, which stays
    loss = symmetric_info_nce(images, texts, scale, torch.eye(3, dtype=torch.bool), ignored)
    logits = (scale * images @ texts.T).tolist()

    def cost(own, others):
        return math.log(sum(math.exp(x) for x in [own, *others])) - own

    rows = [cost(logits[0][0], [logits[0][1]]), cost(logits[1][1], [logits[1][0], logits[1][2]])]
    rows.append(cost(logits[2][2], logits[2][:2]))
    columns = [cost(logits[0][0], [logits[1][0], logits[2][0]]), cost(logits[1][1], [logits[0][1], logits[2][1]])]
    columns.append(cost(logits[2][2], [logits[1][2]]))
    assert float(loss) == pytest.approx((sum(rows) + sum(columns)) / 6, abs=1e-9)


def test_ignored_pairs_receive_no_gradient():
    texts = unit(2, 4, 12).requires_grad_()
    images, everything = unit(2, 4, 13), torch.ones(2, 2, dtype=torch.bool)
    scale = torch.tensor(6.0, dtype=torch.float64)
    symmetric_info_nce(images, texts, scale, torch.eye(2, dtype=torch.bool), everything).backward()
    assert float(texts.grad.abs().max()) == 0.0


def test_the_order_of_the_batch_does_not_matter():
    images, texts, keys = unit(6, 4, 8), unit(6, 4, 9), ["a", "b", "a", "c", "d", "b"]
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    scale = torch.tensor(7.0, dtype=torch.float64)
    straight = symmetric_info_nce(images, texts, scale, same(keys))
    shuffled = symmetric_info_nce(images[order], texts[order], scale, same([keys[i] for i in order]))
    assert float(straight) == pytest.approx(float(shuffled), abs=1e-12)


def test_same_marks_equal_keys():
    expected = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert same([("x", 1), ("x", 2), ("x", 1)]).int().tolist() == expected
