"""AdamW over a model, and the learning rate of every step."""

import math

import torch
from torch import nn

from models.train.config import OptimConfig


def make_optimizer(model: nn.Module, optim: OptimConfig) -> torch.optim.AdamW:
    """Return AdamW over `model`: matrices decay; vectors, scales and embeddings do not."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    spared = [p for name, p in named if p.ndim < 2 or id(p) in embeddings or "positional" in name]
    decayed = [p for _, p in named if all(p is not other for other in spared)]
    groups = [{"params": decayed, "weight_decay": optim.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=optim.lr, betas=(0.9, optim.beta2), fused=True)


def learning_rate(optim: OptimConfig, step: int, total: int) -> float:
    """Return the learning rate of `step` (from 0) of `total`: linear warm-up, then half a cosine to `final`."""
    warm = round(optim.warmup * total)
    if step < warm:
        return optim.lr * (step + 1) / warm
    share = (step - warm) / max(1, total - 1 - warm)
    return optim.lr * (optim.final + (1 - optim.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))
