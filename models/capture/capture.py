"""CAPTURE (Zhan et al., ICCV 2021, section 4): a hybrid-stream transformer over regions of a photo and its caption.

Text and regions first pass transformers of their own, then cross transformers in which each looks at the other's keys
and values, then a joint transformer over both. Regions come in as vectors of a frozen encoder with where they are.
The embedding of an instance is H_IMG * H_TXT, element by element, of the tokens that stand for the two.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from models.capture.capture_words import PAD

_PLACE = 5  # left, top, right, bottom, area

Positive = Annotated[int, Field(ge=1)]


class CaptureDesign(BaseModel):
    """The shape of the network.

    Attributes:
        dim: of the encoder's vectors, d.
        vocabulary: rows of the word table.
        words: of a caption, at most, [TXT] among them.
        width: of all transformers, w.
        heads: of attention.
        own_layers: of the text and of the visual transformer, each.
        cross_layers: of both.
        joint_layers: of the joint transformer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: Positive
    vocabulary: Positive
    words: Annotated[int, Field(ge=2)] = 64
    width: Positive = 128
    heads: Positive = 4
    own_layers: Positive = 2
    cross_layers: Positive = 2
    joint_layers: Positive = 2


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """What CAPTURE makes of photos with captions.

    Attributes:
        own_image: `(n, w)`, [IMG] before it has seen the caption.
        own_text: `(n, w)`, [TXT] before it has seen the regions.
        regions: `(n, r, w)`, after everything.
        words: `(n, L, w)`, after everything; [TXT] first.
        image: `(n, w)`, [IMG] after everything: H_IMG.
    """

    own_image: Tensor
    own_text: Tensor
    regions: Tensor
    words: Tensor
    image: Tensor

    @property
    def text(self) -> Tensor:
        """H_TXT, `(n, w)`."""
        return self.words[:, 0]

    @property
    def joint(self) -> Tensor:
        """H_IMG * H_TXT, `(n, w)`, rows unit-length."""
        return F.normalize(self.image * self.text, dim=1)


class Layer(nn.Module):
    """Attention of a sequence to a context, itself or another's, then a small network; normalised first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.context_before, self.between = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, context: Tensor | None, there: Tensor) -> Tensor:
        """Return `(n, a, w)` of `x` of that shape.

        Args:
            x: the sequence.
            context: `(n, b, w)`, whose keys and values are attended to; None for those of `x` itself.
            there: `(n, b) bool`, which of them exist.
        """
        own = self.before(x)
        keys, values = self.key_value(own if context is None else self.context_before(context)).chunk(2, dim=-1)
        query, key, value = (self._split(part) for part in (self.query(own), keys, values))
        mask = there[:, None, None, :]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)  # (n, heads, a, w / heads)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        added: Tensor = self.narrow(F.gelu(self.wide(self.between(x))))
        return x + added

    def _split(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        return x.view(n, length, self.heads, width // self.heads).transpose(1, 2)


class CaptureNet(nn.Module):
    """The network, with the heads of its pretext tasks."""

    def __init__(self, design: CaptureDesign) -> None:
        super().__init__()
        if design.width % design.heads:
            msg = f"width {design.width} does not divide into {design.heads} heads"
            raise ValueError(msg)
        w = design.width
        self.design = design
        self.word = nn.Embedding(design.vocabulary, w, padding_idx=PAD)
        self.positional = nn.Parameter(torch.empty(design.words, w))
        self.region = nn.Linear(design.dim + _PLACE, w)
        self.hidden_region = nn.Parameter(torch.zeros(design.dim))
        self.image_token = nn.Parameter(torch.empty(w))
        self.stream = nn.Parameter(torch.empty(2, w))  # added in the joint transformer, to tell regions from words
        self.text_layers, self.image_layers = _layers(design, design.own_layers), _layers(design, design.own_layers)
        self.text_cross, self.image_cross = _layers(design, design.cross_layers), _layers(design, design.cross_layers)
        self.joint_layers = _layers(design, design.joint_layers)
        self.text_after, self.image_after, self.joint_after = (nn.LayerNorm(w) for _ in range(3))
        self.word_bias = nn.Parameter(torch.zeros(design.vocabulary))
        self.to_region = nn.Linear(w, design.dim)
        self.matching = nn.Linear(w, 1)
        for parameter in (self.word.weight, self.positional, self.image_token, self.stream):
            nn.init.normal_(parameter, std=0.02)

    def forward(
        self, vectors: Tensor, boxes: Tensor, there: Tensor, words: Tensor, hidden: Tensor | None = None
    ) -> Streams:
        """Read photos with captions.

        Args:
            vectors: `(n, r, d)` of regions.
            boxes: `(n, r, 4)` fractions.
            there: `(n, r) bool`, which regions exist.
            words: `(n, L) int64` rows of the vocabulary, [TXT] first.
            hidden: `(n, r) bool`, regions whose vectors are not shown; None for none.
        """
        if hidden is not None:
            vectors = torch.where(hidden[..., None], self.hidden_region, vectors)
        x = self._regions(vectors, boxes)
        seen = F.pad(there, (1, 0), value=True)
        t, said = self.word(words) + self.positional[: words.shape[1]], words != PAD
        for image_layer, text_layer in zip(self.image_layers, self.text_layers, strict=True):
            x, t = image_layer(x, None, seen), text_layer(t, None, said)
        own_image, own_text = self.image_after(x[:, 0]), self.text_after(t[:, 0])
        for image_layer, text_layer in zip(self.image_cross, self.text_cross, strict=True):
            x, t = image_layer(x, t, said), text_layer(t, x, seen)
        both, exist = torch.cat([x + self.stream[0], t + self.stream[1]], dim=1), torch.cat([seen, said], dim=1)
        for layer in self.joint_layers:
            both = layer(both, None, exist)
        both = self.joint_after(both)
        length = x.shape[1]
        return Streams(own_image, own_text, both[:, 1:length], both[:, length:], both[:, 0])

    def _regions(self, vectors: Tensor, boxes: Tensor) -> Tensor:
        """Return `(n, 1 + r, w)`, [IMG] first."""
        area = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1, keepdim=True)
        scaled = vectors * self.design.dim**0.5  # unit vectors: their parts to the size of the places
        x: Tensor = self.region(torch.cat([scaled, boxes, area], dim=-1))
        return torch.cat([self.image_token.expand(len(x), 1, -1), x], dim=1)

    def word_logits(self, words: Tensor) -> Tensor:
        """Return which word each of `(k, w)` was, `(k, vocabulary)`."""
        return words @ self.word.weight.T + self.word_bias

    def region_vectors(self, regions: Tensor) -> Tensor:
        """Return which vector each region of `(k, w)` had, `(k, d)`."""
        vectors: Tensor = self.to_region(regions)
        return vectors

    def match_logits(self, streams: Streams) -> Tensor:
        """Return whether caption and photo belong together, `(n,)`; read off H_IMG * H_TXT."""
        logits: Tensor = self.matching(streams.image * streams.text)
        return logits[:, 0]


def _layers(design: CaptureDesign, count: int) -> nn.ModuleList:
    return nn.ModuleList(Layer(design.width, design.heads) for _ in range(count))
