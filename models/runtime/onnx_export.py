"""Towers to ONNX, in float32 and with weights in bytes. The only module that uses torch's exporter and `onnx`.

Torch's older exporter is taken, since it needs no further package and takes a tenth of the time of the newer one; it
fixes the lengths that `nn.MultiheadAttention` sees while it is traced, so attention is written out for it. A causal
text tower is exported from the embedded words on: their table, often the largest part of the tower, stays in torch.
Keeping the files is left to `models.runtime.artefacts`, running them to `onnx_towers` and `openvino_towers`.
"""

import copy
import tempfile
import warnings
from pathlib import Path
from typing import Final, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.causal import CausalTower
from models.clip import Backbone
from models.recipe import PixelRecipe
from models.runtime.names import RuntimeUnavailableError, TowerKind

GRAPH: Final = 1  # of what is exported here; another number, and everything is exported anew
EMBEDDED: Final = "embedded"  # `(n, length, width) float32`, of a causal text tower
ENDS: Final = "ends"  # `(n,) int64`, where those texts end
TOKENS: Final = "tokens"  # `(n, context) int64`, of any other text tower
PIXELS: Final = "pixels"  # `(n, h, w, 3) uint8`
FEATURES: Final = "features"  # `(n, d) float32`

_OPSET: Final = 17  # the first with LayerNormalization
_PREPARED: Final = ("onnx.quant.pre_process", "onnxruntime.quant")  # what the quantiser looks for, else it complains


class _Clip(Protocol):
    """What is used of open_clip's models."""

    def encode_image(self, image: Tensor) -> Tensor: ...
    def encode_text(self, text: Tensor) -> Tensor: ...


class _Attention(nn.Module):
    """`nn.MultiheadAttention`, batch first, in operators whose shapes stay free when traced."""

    batch_first = True

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.inner = attention

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        need_weights: bool = False,  # noqa: ARG002 - open_clip says it does not
        attn_mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        inner = self.inner
        q, k, v = self._projected(query, key, value)
        scores = self._heads(q) @ self._heads(k).transpose(-1, -2) * inner.head_dim**-0.5
        if attn_mask is not None:  # one for all, or one for each text and head
            whole = attn_mask.ndim == 2
            scores = scores + (attn_mask if whole else attn_mask.reshape(-1, inner.num_heads, *attn_mask.shape[1:]))
        if key_padding_mask is not None:
            scores = scores.masked_fill(key_padding_mask[:, None, None, :], -torch.inf)
        seen = (scores.softmax(dim=-1) @ self._heads(v)).transpose(1, 2)
        return inner.out_proj(seen.reshape(query.shape[0], query.shape[1], inner.embed_dim)), None

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        inner = self.inner
        together: Tensor | None = inner.in_proj_weight  # None where keys and values are of other widths
        biases: Tensor | None = inner.in_proj_bias
        if together is not None and query is key:
            return F.linear(query, together, biases).chunk(3, dim=-1)
        apart = (inner.q_proj_weight, inner.k_proj_weight, inner.v_proj_weight)
        weights = apart if together is None else together.chunk(3)
        parts = (None, None, None) if biases is None else biases.chunk(3)
        return tuple(F.linear(*given) for given in zip((query, key, value), weights, parts, strict=True))

    def _heads(self, x: Tensor) -> Tensor:
        """Return `(n, heads, length, width / heads)` of `(n, length, width)`."""
        return x.reshape(x.shape[0], x.shape[1], self.inner.num_heads, self.inner.head_dim).transpose(1, 2)


class _Image(nn.Module):
    """From pixels to features."""

    def __init__(self, model: nn.Module, recipe: PixelRecipe) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe

    def forward(self, pixels: Tensor) -> Tensor:
        return cast("_Clip", self.model).encode_image(self.recipe.normalise(pixels))


class _CausalText(nn.Module):
    """From embedded words to features."""

    def __init__(self, model: nn.Module, tower: CausalTower) -> None:
        super().__init__()
        self.model = model  # so that its weights are found
        self.tower = tower

    def forward(self, embedded: Tensor, ends: Tensor) -> Tensor:
        return self.tower.read(embedded, ends)


class _Text(nn.Module):
    """From tokens to features."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return cast("_Clip", self.model).encode_text(tokens)


def export(backbone: Backbone, kind: TowerKind) -> bytes:
    """Return a tower of a backbone on the CPU as an ONNX model of opset 17; any number of rows, texts of any length.

    Raises:
        RuntimeUnavailableError: it has parts that ONNX, or the exporter, does not know, or is larger than 2 GB.
    """
    module, given, free = _parts(backbone, kind)
    try:
        # The exporter warns of itself, of every shape it looks at, and of what it is told to do.
        with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory(prefix="catalens-") as folder:
            warnings.simplefilter("ignore")
            path = Path(folder) / "model.onnx"
            torch.onnx.export(
                module.eval(),
                given,
                path,
                input_names=list(free),
                output_names=[FEATURES],
                dynamic_axes={**free, FEATURES: {0: "n"}},
                opset_version=_OPSET,
                dynamo=False,
            )
            return path.read_bytes()
    except Exception as error:  # any model may come here, and anything in it may stop the exporter
        raise RuntimeUnavailableError(f"cannot be exported to ONNX: {_first_line(error)}") from error


def _parts(backbone: Backbone, kind: TowerKind) -> tuple[nn.Module, tuple[Tensor, ...], dict[str, dict[int, str]]]:
    """Return what is exported, an example of its inputs, and which of their axes are free."""
    model = _traceable(backbone.model)
    if kind is TowerKind.IMAGE:
        return _Image(model, backbone.recipe), (_example_pixels(backbone),), {PIXELS: {0: "n"}}
    tokens = backbone.tokenize(["a red dress", "warm boots"])
    tower = CausalTower.of(model) if backbone.causal else None
    if tower is None:
        return _Text(model), (tokens,), {TOKENS: {0: "n"}}
    embedded, ends = tower.embedded(tokens)
    return _CausalText(model, tower), (embedded, ends), {EMBEDDED: {0: "n", 1: "length"}, ENDS: {0: "n"}}


def _example_pixels(backbone: Backbone) -> Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, size=(2, *backbone.recipe.size, 3), dtype=np.uint8)
    return torch.from_numpy(pixels)


def _traceable(model: nn.Module) -> nn.Module:
    """Return a copy of `model` that shares its weights and has its attention written out."""
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    twin = copy.deepcopy(model, shared)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.MultiheadAttention) and child.batch_first and child.bias_k is None:
                setattr(parent, name, _Attention(child))
    return twin


def quantise(exported: bytes, *, signed: bool) -> bytes:
    """Return an ONNX model with the weights of its matrix products in bytes, scaled by channel.

    What is multiplied with them is brought to unsigned bytes as it comes (dynamic quantisation).

    Raises:
        RuntimeUnavailableError: the quantiser does not get along with it.
    """
    import onnx  # noqa: PLC0415 - may not be installed
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - nor this

    try:
        model = onnx.load_model_from_string(exported)
        mark = model.metadata_props.add()
        mark.key, mark.value = _PREPARED
        with tempfile.TemporaryDirectory(prefix="catalens-") as folder:
            path = Path(folder) / "model.onnx"
            quantize_dynamic(
                model,
                path,
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                weight_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            )
            return path.read_bytes()
    except Exception as error:  # as above: the graph is any model's
        raise RuntimeUnavailableError(f"cannot be quantised: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
