"""CAPTURE's training on vectors of a frozen encoder: a lesson for `course`, and the configuration of it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from torch import Tensor

from models.capture.capture import CaptureDesign, CaptureNet
from models.capture.capture_data import CaptureExamples, Hiding, Pairs, Pretext, Seen
from models.capture.capture_losses import (
    instance_loss,
    inter_modal_loss,
    masked_region_loss,
    masked_word_loss,
    matching_loss,
)
from models.capture.capture_words import Words
from models.capture.composites import CompositeDesign
from models.capture.course import Course, close_folder, open_folder
from models.capture.head_training import HeadData, RegionsConfig
from models.capture.joint import JointCard, embed_blocks, save_joint
from models.checkpoint import TrainingCard
from models.train.config import OptimConfig, RunConfig
from models.train.feed import DataError
from models.train.loop import Provenance, Report

_DEPTHS: Final = (1, 10)

Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShapeConfig(_Section):
    """The shape of the network, but for what the encoder and the captions decide; see `CaptureDesign`."""

    words: Annotated[int, Field(ge=2)] = 64
    width: Annotated[int, Field(ge=1)] = 128
    heads: Annotated[int, Field(ge=1)] = 4
    own_layers: Annotated[int, Field(ge=1)] = 2
    cross_layers: Annotated[int, Field(ge=1)] = 2
    joint_layers: Annotated[int, Field(ge=1)] = 2


class TasksConfig(_Section):
    """Weights of the losses, and what is hidden.

    Attributes:
        masked_words: weight of masked language modelling.
        masked_regions: weight of masked region regression.
        matching: weight of image-text matching, negatives by swapped captions.
        inter_modal: weight of the contrastive loss between the two streams.
        instances: weight of finding instances among catalogue pictures; 0 leaves the paper's four.
        hidden_words: share of the words.
        hidden_regions: share of the regions.
        swapped: share of the captions.
        pairs: instances of a step, at most.
    """

    masked_words: Weight = 1.0
    masked_regions: Weight = 1.0
    matching: Weight = 1.0
    inter_modal: Weight = 1.0
    instances: Weight = 1.0
    hidden_words: Share = 0.15
    hidden_regions: Share = 0.15
    swapped: Share = 0.5
    pairs: Annotated[int, Field(ge=2)] = 96

    @property
    def hiding(self) -> Hiding:
        """The shares."""
        return Hiding(self.hidden_words, self.hidden_regions, self.swapped)


class CaptureConfig(_Section):
    """All of it.

    Attributes:
        name: of the model, for its card.
        licence: of the weights.
        composites: how pictures are composed.
        regions: what is cut from them.
        drawn: seed of the composites; that of `run` is of weights, order and what is hidden.
        measured: catalogue products that instances are searched among after each epoch, at most.
        shape: of the network.
        tasks: what it learns.
        optim: AdamW with a cosine schedule; an epoch is all composites once, a batch so many of them.
        run: how the program runs.
    """

    name: Annotated[str, Field(min_length=1)]
    licence: str = "Apache-2.0"
    composites: CompositeDesign = CompositeDesign()
    regions: RegionsConfig = RegionsConfig()
    drawn: Annotated[int, Field(ge=0)] = 0
    measured: Annotated[int, Field(ge=2)] = 1000
    shape: ShapeConfig = ShapeConfig()
    tasks: TasksConfig = TasksConfig()
    optim: OptimConfig = OptimConfig(epochs=6, batch_size=64, lr=1e-3)
    run: RunConfig = RunConfig()


class CaptureLesson:
    """Composites with captions; held back are the products that are measured."""

    def __init__(self, config: CaptureConfig, data: HeadData) -> None:
        self._config, self._data = config, data
        self.words = Words.collect(data.catalogue.titles)
        self.design = CaptureDesign(
            dim=data.regions.vectors.shape[1], vocabulary=len(self.words), **config.shape.model_dump()
        )
        self.net = CaptureNet(self.design)
        self._examples = CaptureExamples(
            data.regions, data.catalogue, self.words, most=config.shape.words, seed=config.run.seed
        )
        held = data.catalogue.held_back(config.regions.held_back)[self._examples.products]
        some = np.add.reduceat(held, data.regions.starts[:-1]) > 0
        self._train = np.flatnonzero(~some)
        self._val = np.flatnonzero(held)
        if len(self._train) < 2 or not len(self._val):
            raise DataError(f"{len(self._train)} composites to train on, {len(self._val)} regions held back: too few")
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
        tasks = self._config.tasks
        order = self._examples.order(self._train, epoch)
        rows = order[step * self._batch : (step + 1) * self._batch]
        rng = np.random.default_rng([self._config.run.seed, epoch, 1 + step])
        found = pretext_losses(self.net, self._examples.pretext(rows, rng, tasks.hiding))
        found["instances"] = pair_loss(self.net, self._examples.pairs(rows, rng, tasks.pairs))
        total = sum((getattr(tasks, name) * loss for name, loss in found.items()), torch.zeros(()))
        return {"total": total, **found}

    def measure(self) -> dict[str, float]:
        """Return R@1 and R@10 of held-back instances, with captions, among catalogue pictures with titles."""
        products = self._measured()
        pictures = np.concatenate([np.arange(*self._data.catalogue.starts[row : row + 2]) for row in products])
        owners = np.repeat(np.arange(len(products)), np.diff(self._data.catalogue.starts)[products])
        titles = [self._data.catalogue.titles[products[owner]] for owner in owners]
        offered = embed_blocks(self.net, self._examples.pictures(pictures, titles))
        asked = self._val[np.isin(self._examples.products[self._val], products)]
        near = embed_blocks(self.net, self._examples.instances(asked)) @ offered.T
        best = np.maximum.reduceat(near, np.flatnonzero(np.diff(owners, prepend=-1)), axis=1)
        own = best[np.arange(len(asked)), np.searchsorted(products, self._examples.products[asked])]
        ranks = (best >= own[:, None]).sum(axis=1)
        return {f"r{k}": float((ranks <= k).mean()) for k in _DEPTHS}

    def _measured(self) -> NDArray[np.int64]:
        """Return the products that are searched among, ascending: those held back first."""
        held = np.flatnonzero(self._data.catalogue.held_back(self._config.regions.held_back))
        shown = np.intersect1d(held, self._examples.products)
        others = np.setdiff1d(np.arange(len(self._data.catalogue)), shown)
        return np.sort(np.concatenate([shown, others])[: self._config.measured])

    def counts(self) -> dict[str, int]:
        """Return how many products are trained on and held back, for the card."""
        held = len(np.unique(self._examples.products[self._val]))
        return {"train": len(np.unique(self._examples.products)) - held, "held back": held}


def pretext_losses(net: CaptureNet, batch: Pretext) -> dict[str, Tensor]:
    """Return the paper's four losses of a batch by name."""
    streams = net(*_inputs(batch.seen), batch.hidden)
    back = torch.argsort(batch.captions)  # where the caption of each photo stands
    return {
        "masked_words": masked_word_loss(net.word_logits(streams.words[batch.masked]), batch.words[batch.masked]),
        "masked_regions": masked_region_loss(
            net.region_vectors(streams.regions[batch.hidden]), batch.seen.vectors[batch.hidden]
        ),
        "matching": matching_loss(net.match_logits(streams), batch.matched),
        "inter_modal": inter_modal_loss(streams.own_image, streams.own_text[back]),
    }


def pair_loss(net: CaptureNet, pairs: Pairs) -> Tensor:
    """Return the loss of instances among catalogue pictures, a scalar."""
    queries, offered = (net(*_inputs(one)).joint for one in (pairs.instances, pairs.catalogue))
    return instance_loss(queries, offered, pairs.products)


def _inputs(seen: Seen) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return seen.vectors, seen.boxes, seen.there, seen.words


def fit_capture(
    config: CaptureConfig,
    data: HeadData,
    encoder: str,
    out: Path,
    *,
    resume: bool,
    provenance: Provenance,
    report: Report,
) -> JointCard:
    """Train as `config` says and write the best epoch into the folder `out`; arguments and errors as `fit_head`."""
    if config.run.threads is not None:
        torch.set_num_threads(config.run.threads)
    torch.manual_seed(config.run.seed)
    lesson = CaptureLesson(config, data)
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
    card = JointCard(
        name=config.name,
        licence=config.licence,
        encoder=encoder,
        training=training,
        metrics={f"val_{name}": value for name, value in best.recall.items()},
        design=lesson.design,
    )
    written = save_joint(out, card, lesson.net, lesson.words)
    close_folder(out)
    return written


def as_json(config: CaptureConfig) -> dict[str, JsonValue]:
    """Return what the card records: everything but paths of the machine."""
    kept: dict[str, JsonValue] = json.loads(config.model_dump_json(exclude={"regions": {"cache_dir"}}))
    return kept
