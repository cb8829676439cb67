"""Everything a killed run needs to go on as if nothing had happened, in one file replaced at once.

Weights, AdamW's moments and torch's random state are tensors; the position and the figures so far are JSON in
the same safetensors file. What is drawn per step is not here: it follows from seed, epoch and step.
"""

import json
import os
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

_HEAD = "progress"
_RNG = "rng.cpu"
_CUDA_RNG = "rng.cuda"


class StateError(ValueError):
    """A state file that cannot be resumed from."""


class EpochFigures(BaseModel):
    """What one epoch brought.

    Attributes:
        epoch: from 1.
        loss: mean over the epoch's steps.
        scale: the inverse temperature at its end.
        recall: R@1, 5, 10 both ways over the validation products, in 0..1.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int
    loss: float
    scale: float
    recall: dict[str, float]

    @property
    def score(self) -> float:
        """What "best" means: the mean of all six recalls."""
        return sum(self.recall.values()) / len(self.recall)


class Progress(BaseModel):
    """Where a run stands.

    Attributes:
        run: digest of the configuration and the data; only an equal run may go on from here.
        epoch: the epoch in progress, from 0.
        step: its next step, from 0.
        loss_sum: of the steps done in this epoch.
        history: of the epochs done.
    """

    run: str
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    history: list[EpochFigures] = Field(default_factory=list)

    @property
    def best(self) -> EpochFigures | None:
        """The best epoch so far; of equals the first."""
        return max(self.history, key=lambda figures: figures.score, default=None)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file `path` by one that holds `data`; a reader finds the old one or the new one, whole."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights and buffers of `model` as safetensors takes them."""
    return {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}


def save_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write the state of a run to `path`, at once."""
    tensors = {f"model.{key}": value for key, value in model_tensors(model).items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optim.{key}.{name}"] = value.detach().cpu().contiguous()
    tensors[_RNG] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors[_CUDA_RNG] = torch.cuda.get_rng_state()
    write_atomically(path, save(tensors, metadata={_HEAD: progress.model_dump_json()}))


def load_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, run: str) -> Progress:
    """Restore `model`, `optimizer` and torch's random state from `path` and return the position.

    Raises:
        StateError: the file is damaged, or belongs to another configuration or other data.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress.model_validate_json((file.metadata() or {}).get(_HEAD, ""))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, ValidationError, json.JSONDecodeError) as error:
        raise StateError(f"cannot resume from {path}: {str(error).splitlines()[0]}") from error
    if progress.run != run:
        raise StateError(f"cannot resume from {path}: it belongs to another configuration or other data")
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for name, parameter in model.named_parameters():
        _restore(optimizer, parameter, name, tensors)
    torch.set_rng_state(tensors[_RNG])
    if _CUDA_RNG in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[_CUDA_RNG])
    return progress


def _restore(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, name: str, tensors: dict[str, Tensor]) -> None:
    """Give a parameter its moments back, in its own memory layout, so that rounding stays the same too."""
    for key in ("step", "exp_avg", "exp_avg_sq"):
        stored = tensors.get(f"optim.{key}.{name}")
        if stored is None:
            continue
        like = torch.empty_like(parameter) if stored.shape == parameter.shape and key != "step" else stored
        optimizer.state[parameter][key] = like.copy_(stored) if like is not stored else stored
