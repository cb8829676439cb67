"""The runtimes by name, and what a setting may ask for. Imports nothing, so that settings can be read first."""

from collections.abc import Mapping
from enum import StrEnum


class TowerKind(StrEnum):
    """The two towers of a backbone."""

    TEXT = "text"
    IMAGE = "image"


class RuntimeName(StrEnum):
    """A way to run a tower."""

    TORCH = "torch"  # eager, in float32: what every other one is measured against
    ONNX = "onnx"
    ONNX_INT8 = "onnx-int8"  # signed weights: exact only where the CPU adds up products of bytes in 32 bits
    ONNX_UINT8 = "onnx-uint8"  # unsigned weights: exact everywhere, and slower where the other one is
    OPENVINO = "openvino"
    CUDA_HALF = "cuda-half"


class RuntimeChoice(StrEnum):
    """What may be asked for: everything there is, or one of them beside torch."""

    AUTO = "auto"
    TORCH = "torch"
    ONNX = "onnx"
    ONNX_INT8 = "onnx-int8"
    OPENVINO = "openvino"
    CUDA_HALF = "cuda-half"


# In the order they are tried, those likely to be fastest first: what is measured later may be cut short.
CANDIDATES: Mapping[RuntimeChoice, tuple[RuntimeName, ...]] = {
    RuntimeChoice.AUTO: (
        RuntimeName.CUDA_HALF,
        RuntimeName.ONNX_INT8,
        RuntimeName.ONNX_UINT8,
        RuntimeName.OPENVINO,
        RuntimeName.ONNX,
    ),
    RuntimeChoice.TORCH: (),
    RuntimeChoice.ONNX: (RuntimeName.ONNX,),
    RuntimeChoice.ONNX_INT8: (RuntimeName.ONNX_INT8, RuntimeName.ONNX_UINT8),
    RuntimeChoice.OPENVINO: (RuntimeName.OPENVINO,),
    RuntimeChoice.CUDA_HALF: (RuntimeName.CUDA_HALF,),
}


class RuntimeUnavailableError(RuntimeError):
    """A runtime that cannot run a tower here; the message is the reason, without a full stop."""
