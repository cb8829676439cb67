"""The instance head's training on vectors of a frozen encoder: a lesson for `course`, and the configuration of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from torch import Tensor, nn

from models.capture.composites import CompositeDesign
from models.capture.course import Course, close_folder, open_folder
from models.capture.head import HeadCard, save_head
from models.capture.head_losses import bank_info_nce
from models.capture.region_data import CatalogueVectors, RegionTable, rows_of
from models.checkpoint import DataCard, TrainingCard
from models.encoder import Vectors
from models.encoding import blocks
from models.train.config import OptimConfig, RunConfig
from models.train.feed import DataError
from models.train.loop import Provenance, Report

_LARGEST_SCALE: Final = 100.0
_FIRST_SCALE: Final = 20.0
_AT_ONCE: Final = 256
_DEPTHS: Final = (1, 10)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegionsConfig(_Section):
    """What is trained on and measured with.

    Attributes:
        composites: how many.
        jitter: standard deviation of each side of the boxes, as a share of the box: a detector's error.
        held_back: share of the products, by whole groups, whose regions are measured and never trained on.
        pictures: of a product in the bank, at most.
        cache_dir: where vectors are kept; None for the user's cache folder.
        licence: of the data, for the card.
    """

    composites: Annotated[int, Field(ge=1)] = 6000
    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.04
    held_back: Annotated[float, Field(gt=0, lt=1)] = 0.1
    pictures: Annotated[int, Field(ge=1)] = 3
    cache_dir: Path | None = None
    licence: str | None = None


class HeadConfig(_Section):
    """All of it.

    Attributes:
        name: of the head, for its card.
        licence: of the weights.
        composites: how pictures are composed.
        regions: what is cut from them.
        hidden: width of the hidden layer.
        bank: products that a step is shown to tell apart, at most.
        noise: standard deviation of what is added to each dimension of a region's vector in training.
        optim: AdamW with a cosine schedule; an epoch is all regions once. Decay draws the linear part to the identity.
        run: how the program runs.
    """

    name: Annotated[str, Field(min_length=1)]
    licence: str = "Apache-2.0"
    composites: CompositeDesign = CompositeDesign()
    regions: RegionsConfig = RegionsConfig()
    hidden: Annotated[int, Field(ge=1)] = 64
    bank: Annotated[int, Field(ge=2)] = 8192
    noise: Annotated[float, Field(ge=0)] = 0.0
    optim: OptimConfig = OptimConfig(epochs=12, batch_size=256, lr=1e-3, weight_decay=0.01)
    run: RunConfig = RunConfig()


class HeadNet(nn.Module):
    """The head as it is learnt: the identity, a linear map and a hidden layer; in use the first two are one."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.change = nn.Linear(dim, dim)
        self.wide = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)
        for layer in (self.change, self.narrow):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.log_scale = nn.Parameter(torch.tensor(_FIRST_SCALE).log())

    def forward(self, vectors: Tensor) -> Tensor:
        """Return unit vectors `(n, d)` of `(n, d)`."""
        return F.normalize(vectors + self.change(vectors) + self.narrow(F.relu(self.wide(vectors))), dim=1)

    @property
    def scale(self) -> Tensor:
        """The inverse temperature."""
        return self.log_scale.exp().clamp(max=_LARGEST_SCALE)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Return what `InstanceHead` computes with."""
        identity = torch.eye(len(self.change.weight))
        named = {
            "linear.weight": self.change.weight + identity,
            "linear.bias": self.change.bias,
            **{f"wide.{name}": value for name, value in self.wide.named_parameters()},
            **{f"narrow.{name}": value for name, value in self.narrow.named_parameters()},
        }
        return {name: value.detach().numpy() for name, value in named.items()}


@dataclass(frozen=True, slots=True, eq=False)
class HeadData:
    """What is trained on and measured with.

    Attributes:
        regions: of composites.
        catalogue: of all products in them.
        card: what the head's card says of it.
    """

    regions: RegionTable
    catalogue: CatalogueVectors
    card: DataCard


class HeadLesson:
    """Regions to be led to their products among all of the catalogue."""

    def __init__(self, config: HeadConfig, data: HeadData) -> None:
        self._config, self._data = config, data
        self.net = HeadNet(data.regions.vectors.shape[1], config.hidden)
        self._bank = torch.from_numpy(padded(data.catalogue.vectors, data.catalogue.starts))  # (p, v, d)
        self._targets = torch.from_numpy(rows_of(data.regions.products, data.catalogue.ids))
        held = data.catalogue.held_back(config.regions.held_back)
        apart = held[self._targets.numpy()]
        self._train, self._val = np.flatnonzero(~apart), np.flatnonzero(apart)
        if not len(self._train) or not len(self._val):
            raise DataError(f"{len(self._train)} regions to train on and {len(self._val)} held back: compose more")
        self._others = np.flatnonzero(~held)
        self._batch = min(config.optim.batch_size, len(self._train))
        self.steps = len(self._train) // self._batch

    @property
    def digest(self) -> str:
        """See `Lesson`."""
        told = {"save_every_s", "save_every_steps", "tensorboard"}
        kept = self._config.model_dump(mode="json", exclude={"regions": {"cache_dir"}, "run": told})
        head = json.dumps([kept, self._data.regions.digest, self._data.catalogue.digest], sort_keys=True)
        return hashlib.sha256(head.encode()).hexdigest()

    def losses(self, epoch: int, step: int) -> Mapping[str, Tensor]:
        """See `Lesson`."""
        seed = self._config.run.seed
        order = np.random.default_rng([seed, epoch]).permutation(self._train)
        rows = torch.from_numpy(order[step * self._batch : (step + 1) * self._batch])
        rng = np.random.default_rng([seed, epoch, 1 + step])
        vectors = torch.from_numpy(self._data.regions.vectors[rows.numpy()])
        if self._config.noise:
            noise = rng.normal(scale=self._config.noise, size=vectors.shape).astype(np.float32)
            vectors = F.normalize(vectors + torch.from_numpy(noise), dim=1)
        bank, targets = self._drawn(self._targets[rows], rng)
        return {"total": bank_info_nce(self.net(vectors), bank, targets, self.net.scale)}

    def _drawn(self, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return the bank of a step, its products and random others, and the place of `targets` in it."""
        own = np.unique(targets.numpy())
        others = np.setdiff1d(self._others, own, assume_unique=True)
        room = max(0, self._config.bank - len(own))
        if room < len(others):
            others = rng.choice(others, size=room, replace=False)
        shown = np.sort(np.concatenate([own, others]))
        return self._bank[torch.from_numpy(shown)], torch.from_numpy(np.searchsorted(shown, targets.numpy()))

    def measure(self) -> dict[str, float]:
        """Return R@1 and R@10 of regions of held-back products among all products of the catalogue."""
        ranks = self._ranks(self.net)
        return {f"r{k}": float((ranks < k).mean()) for k in _DEPTHS}

    def untrained(self) -> dict[str, float]:
        """Return the same without a head."""
        ranks = self._ranks(nn.Identity())
        return {f"r{k}": float((ranks < k).mean()) for k in _DEPTHS}

    def _ranks(self, net: nn.Module) -> NDArray[np.int64]:
        """Return how many other products are at least as near as the right one, `(n,)`."""
        p, v, d = self._bank.shape
        found = [np.empty(0, np.int64)]
        with torch.inference_mode():
            for block in blocks(len(self._val), _AT_ONCE):
                rows = torch.from_numpy(self._val[block])
                queries = net(torch.from_numpy(self._data.regions.vectors[rows.numpy()]))
                near = (queries @ self._bank.view(p * v, d).T).view(len(rows), p, v).amax(dim=2)
                right = near.gather(1, self._targets[rows][:, None])
                found.append((near >= right).sum(dim=1).numpy() - 1)
        return np.concatenate(found)

    def counts(self) -> dict[str, int]:
        """Return how many products are trained on and held back, for the card."""
        return {
            "train": len(np.unique(self._targets[torch.from_numpy(self._train)])),
            "held back": len(np.unique(self._targets[torch.from_numpy(self._val)])),
        }


def padded(vectors: Vectors, starts: NDArray[np.int64]) -> Vectors:
    """Return the pictures of each product as `(p, v, d)`, v that of the product with most; fewer are repeated."""
    counts = np.diff(starts)
    places = np.minimum(np.arange(counts.max())[None, :], counts[:, None] - 1)
    return np.asarray(vectors[starts[:-1, None] + places], np.float32)


def fit_head(
    config: HeadConfig, data: HeadData, encoder: str, out: Path, *, resume: bool, provenance: Provenance, report: Report
) -> HeadCard:
    """Train as `config` says and write the best epoch into the folder `out`.

    Args:
        config: all that decides the result.
        data: vectors of one encoder.
        encoder: its fingerprint.
        out: made if needed.
        resume: go on from the state in `out` if there is one; otherwise `out` must not hold a run or a head.
        provenance: for the card.
        report: receives a line at the start and one per epoch.

    Raises:
        RunError: `out` holds another run or a finished head, or the loss is no longer a number.
        StateError: the state in `out` is damaged or belongs to another run.
        DataError: there are too few regions.
    """
    if config.run.threads is not None:
        torch.set_num_threads(config.run.threads)
    torch.manual_seed(config.run.seed)
    lesson = HeadLesson(config, data)
    before = lesson.untrained()
    report("without a head  " + "  ".join(f"{name} {value:.3f}" for name, value in before.items()))
    course = Course(lesson, config.optim, config.run, open_folder(out, resume=resume), report)
    best = course.run()
    training = TrainingCard(
        command=provenance.command,
        commit=provenance.commit,
        config=as_json(config),
        data=data.card.model_copy(update={"products": lesson.counts()}),
        epochs=len(course.progress.history),
        best_epoch=best.epoch,
    )
    metrics = {f"val_{name}": value for name, value in best.recall.items()}
    card = HeadCard(
        name=config.name,
        licence=config.licence,
        encoder=encoder,
        training=training,
        metrics=metrics | {f"val_{name}_without": value for name, value in before.items()},
        dim=data.regions.vectors.shape[1],
        hidden=config.hidden,
    )
    written = save_head(out, card, lesson.net.weights())
    close_folder(out)
    return written


def as_json(config: HeadConfig) -> dict[str, JsonValue]:
    """Return what the card records: everything but paths of the machine."""
    kept: dict[str, JsonValue] = json.loads(config.model_dump_json(exclude={"regions": {"cache_dir"}}))
    return kept
