"""Which runtimes there are for a backbone here, and opening a tower on one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import torch

from models.clip import Backbone, Tower
from models.runtime.artefacts import Artefacts, Recipe
from models.runtime.cuda_graphs import open_cuda_half
from models.runtime.inputs import tower_of
from models.runtime.names import RuntimeName, RuntimeUnavailableError, TowerKind
from models.runtime.onnx_export import GRAPH, export, quantise

_PACKAGES: Mapping[RuntimeName, tuple[str, ...]] = {
    RuntimeName.ONNX: ("onnxruntime",),
    RuntimeName.ONNX_INT8: ("onnx", "onnxruntime"),
    RuntimeName.ONNX_UINT8: ("onnx", "onnxruntime"),
    RuntimeName.OPENVINO: ("openvino",),
}


def device_of(name: RuntimeName) -> str | None:
    """Return the kind of device a runtime is for, None for any."""
    return {RuntimeName.TORCH: None, RuntimeName.CUDA_HALF: "cuda"}.get(name, "cpu")


def why_not(name: RuntimeName, device: torch.device) -> str | None:
    """Return why a runtime cannot run a backbone that lies on `device`, None if it may."""
    wanted = device_of(name)
    if wanted not in {None, device.type}:
        return f"runs on {wanted}, and the encoder lies on {device.type}"
    missing = [package for package in _PACKAGES.get(name, ()) if find_spec(package) is None]
    return f"{' and '.join(missing)} not installed" if missing else None


@dataclass(frozen=True, slots=True)
class Source:
    """What towers are opened from.

    Attributes:
        backbone: the model in torch.
        fingerprint: the encoder's, which names the files made from it.
        artefacts: where those files are kept.
        threads: CPU threads of one call; 0 for as many as torch uses.
    """

    backbone: Backbone
    fingerprint: str
    artefacts: Artefacts
    threads: int = 0

    def open(self, name: RuntimeName, kind: TowerKind, max_batch: int) -> Tower:
        """Return a tower on a runtime. Safe to call from threads.

        Args:
            name: the runtime.
            kind: which tower.
            max_batch: most rows it will be given at once, as a rule.

        Raises:
            RuntimeUnavailableError: it cannot be run here.
        """
        reason = why_not(name, self.backbone.device)
        if reason is not None:
            raise RuntimeUnavailableError(reason)
        if name is RuntimeName.TORCH:
            towers = self.backbone.towers
            return towers.text if kind is TowerKind.TEXT else towers.image
        if name is RuntimeName.CUDA_HALF:
            return open_cuda_half(self.backbone, kind, max_batch)
        threads = self.threads or torch.get_num_threads()
        if name is RuntimeName.OPENVINO:
            from models.runtime.openvino_towers import open_openvino  # noqa: PLC0415 - may not be installed

            return tower_of(open_openvino(self._exported(kind), threads), self.backbone, kind)
        from models.runtime.onnx_towers import open_onnx  # noqa: PLC0415 - may not be installed

        model = self._exported(kind) if name is RuntimeName.ONNX else self._quantised(name, kind)
        return tower_of(open_onnx(model, threads), self.backbone, kind)

    def _exported(self, kind: TowerKind) -> bytes:
        recipe = self._recipe(f"{kind}-{RuntimeName.ONNX}", "torch", "open_clip")
        return self.artefacts.kept(recipe, partial(export, self.backbone, kind))

    def _quantised(self, name: RuntimeName, kind: TowerKind) -> bytes:
        recipe = self._recipe(f"{kind}-{name}", "torch", "open_clip", "onnxruntime")
        signed = name is RuntimeName.ONNX_INT8
        return self.artefacts.kept(recipe, lambda: quantise(self._exported(kind), signed=signed))

    def _recipe(self, name: str, *modules: str) -> Recipe:
        versions = {module: str(import_module(module).__version__) for module in modules}
        return Recipe(self.fingerprint, name, {"graph": str(GRAPH), **versions})
