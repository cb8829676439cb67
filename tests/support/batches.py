"""Batches of noise for the tiny models, and a tiny backbone without batch-norm."""

import json
from pathlib import Path

import numpy as np
import torch

from models.clip import open_backbone
from models.eiclip import EiClip, EntityDesign, EntityTable
from models.train.data import Batch

SIZE = 32
TEXT = {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
VISION = {"image_size": SIZE, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8}
CONFIG = {
    "model_cfg": {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT},
    "preprocess_cfg": {"size": [SIZE, SIZE], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]},
}
COUNTS = {"brand": {"Nike": 5, "Diesel": 3}, "category": {"top": 4}, "season": {"Summer": 9, "Winter": 2}}
WORDS = ("a red top", "boots", "summer dress of linen", "a red top", "blue jeans", "diesel jeans, slim", "top", "shoe")


def vit_folder(parent: Path) -> Path:
    """Write the config of a tiny vision transformer, which has no batch-norm, into `parent/vit`."""
    folder = parent / "vit"
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    return folder


def vit_model(parent: Path, seed: int = 0) -> EiClip:
    """Return an EI-CLIP model with random weights on a backbone without batch-norm."""
    torch.manual_seed(seed)
    design = EntityDesign(groups=tuple(COUNTS), hidden_dim=8, embedding_dim=6)
    return EiClip(open_backbone(str(vit_folder(parent))), design, EntityTable(COUNTS))


def noise(count: int, seed: int = 0) -> Batch:
    """Return a batch of noise pictures with words and entities, some of them shared."""
    rng = np.random.default_rng(seed)
    pixels = torch.from_numpy(rng.integers(0, 256, size=(count, SIZE, SIZE, 3), dtype=np.uint8))
    zooms = torch.zeros(count, 2, 3)
    zooms[:, 0, 0] = zooms[:, 1, 1] = torch.from_numpy(rng.uniform(0.9, 1.1, count))
    texts = tuple(WORDS[k] for k in rng.integers(0, len(WORDS), count))
    values = {group: [None, *known] for group, known in COUNTS.items()}
    entities = tuple(
        {g: chosen for g, known in values.items() if (chosen := known[int(rng.integers(len(known)))]) is not None}
        for _ in range(count)
    )
    suits = torch.from_numpy(rng.random((count, count)) < 0.1)
    return Batch(pixels, zooms, texts, entities, tuple(range(count)), suits)
