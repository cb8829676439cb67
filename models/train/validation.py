"""What is looked at after every epoch: recalls on the validation products, the gates, and batch-norm before both.

In training batch-norm reads its own batch; its running statistics are read here and ever after. With a high
learning rate the weights outrun them, and a good model can look like a bad one: they are computed anew first.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from models.clip import Backbone
from models.eiclip import UNKNOWN_ROW, EiClip, EntityMode, unit_texts
from models.evaluate import recalls
from models.product import Product, canonical_text
from models.train.config import TrainConfig
from models.train.pixels import PictureTable

_BATCHES = 32


def settle_statistics(backbone: Backbone, table: PictureTable, batch_size: int) -> None:
    """Set the running statistics of batch-norm to their means over batches of pictures, with the weights as they are.

    "Precise BN" (Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3). Up to 32 batches, spread
    evenly over the pictures; nothing happens to a backbone without batch-norm, nor to a trunk that is held.

    Args:
        backbone: whose statistics are set.
        table: the training products.
        batch_size: as in training.
    """
    was_training = backbone.training
    backbone.train()
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.training]
    backbone.train(was_training)
    if not norms:
        return
    pictures = int(table.starts[-1])
    size = min(batch_size, pictures)
    count = min(_BATCHES, pictures // size)
    rows = np.linspace(0, pictures - 1, count * size).astype(np.int64).reshape(size, count)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over what follows
    backbone.train()
    with torch.no_grad():
        for column in range(count):
            batch = torch.from_numpy(table.shown(rows[:, column]))
            backbone.image_features(batch.to(backbone.device))
    backbone.train(was_training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def mean_gates(model: EiClip, products: Sequence[Product]) -> dict[str, float]:
    """Return the mean gate of each group over the products that state a known value; empty without gates."""
    if model.entities is None or model.entities.gate is None:
        return {}
    rows = model.table.rows([product.entities(model.table.groups) for product in products])
    with torch.inference_mode():
        _, weights = model.entities(rows.to(model.backbone.device))
    known = rows != UNKNOWN_ROW
    sums, counts = weights.cpu().sum(dim=0).tolist(), known.sum(dim=0).tolist()
    return {g: total / count for g, total, count in zip(model.table.groups, sums, counts, strict=True) if count}


def validate(model: EiClip, table: PictureTable, config: TrainConfig) -> dict[str, float]:
    """Return R@1, 5, 10 both ways over `table`: first pictures against canonical texts with their entities."""
    was_training = model.training
    model.eval()
    groups = () if config.entities.mode is EntityMode.NONE else config.entities.groups
    texts = [canonical_text(product, config.data.text_fields) for product in table.products]
    entities = [product.entities(groups) for product in table.products]
    text = unit_texts(model, texts, entities)
    image = model.backbone.unit_pixels(table.first_pictures())
    model.train(was_training)
    return recalls(image, text)
