"""One query a text, brought to the words: the values and gradients of torch's own attention."""

import pytest
import torch
from torch import nn

from models.causal import _seen


class Plain(nn.Module):
    """Attention that is called as it is."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, *args, **kwargs):
        return self.attention(*args, **kwargs)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("heads", [1, 4])
def test_one_query_is_answered_as_by_torch(bias, heads):
    torch.manual_seed(heads)
    attention = nn.MultiheadAttention(24, heads, bias=bias, batch_first=True, dtype=torch.float64)
    if bias:
        nn.init.normal_(attention.in_proj_bias)
        nn.init.normal_(attention.out_proj.bias)
    words = torch.randn(5, 9, 24, dtype=torch.float64, requires_grad=True)
    ends = torch.tensor([0, 3, 8, 5, 1])
    hidden = torch.arange(9) > ends[:, None]
    learnt = [words, *attention.parameters()]
    found = []
    for way in (attention, Plain(attention)):
        seen = _seen(way, words[torch.arange(5), ends], words, hidden)
        found.append((seen, *torch.autograd.grad(seen.square().sum(), learnt)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
