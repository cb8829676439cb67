"""open_clip, imported so that it works beside any build of torchvision, and without what nothing here uses."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

import torch

_COMPILER = "torch._dynamo.utils"
_SCHEMAS: list[object] = []  # keeps the schemas below registered


def _declare_detection_operators() -> None:
    """Declare torchvision's two compiled operators that open_clip imports but never calls.

    Where torch and torchvision come from builds that do not match, importing torchvision stops at a missing
    operator; with its schema declared the pure Python parts, which are all that open_clip uses, work.
    """
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch has no hints here
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]  # nor here
    _SCHEMAS.append(library)


@contextmanager
def _compiler_left_out() -> Iterator[None]:
    """Keep torch's compiler out of the imports within: a quarter of the start of every process, and never used here.

    torchvision imports it for one question (may `roi_align` be compiled?), which a stand-in takes and hands on if it
    is ever asked; of anything else it is asked for, it gives the real one. timm marks functions of one model as not
    to be compiled, which they are not without it either.
    """
    if _COMPILER in sys.modules:
        yield
        return
    stand_in, disable = _stand_in(), torch.compiler.disable
    sys.modules[_COMPILER] = stand_in
    torch.compiler.disable = _as_it_is
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(_COMPILER) is stand_in:
            del sys.modules[_COMPILER]


def _stand_in() -> ModuleType:
    module = ModuleType(_COMPILER)

    def real(name: str) -> Any:  # noqa: ANN401 - whatever the compiler has under that name
        if name.startswith("__"):  # what the import system and `inspect` ask of every module
            raise AttributeError(name)
        if sys.modules.get(_COMPILER) is module:
            del sys.modules[_COMPILER]
        return getattr(importlib.import_module(_COMPILER), name)

    def is_compile_supported(device: object) -> object:
        return real("is_compile_supported")(device)

    vars(module).update(__getattr__=real, is_compile_supported=is_compile_supported)  # PEP 562
    return module


def _as_it_is(fn: Callable[..., Any] | None = None, *_: object, **__: object) -> Callable[..., Any]:
    """Return `fn`; without one, as `torch.compiler.disable` does, what returns the function it is given."""
    return fn if fn is not None else _as_it_is


def _import_open_clip() -> ModuleType:
    with _compiler_left_out():
        try:
            import open_clip  # noqa: PLC0415 - may need the operators declared first
        except RuntimeError as error:
            if "torchvision::nms does not exist" not in str(error):
                raise
            _declare_detection_operators()
            import open_clip  # noqa: PLC0415 - the second and last attempt
    return cast("ModuleType", open_clip)


open_clip = _import_open_clip()
