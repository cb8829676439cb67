"""The training loop: epochs of steps, a validation after each, the best kept, and a state to resume from.

`fit` turns a configuration and a feed into a checkpoint folder. While it runs, `OUT/run/` holds the state and
the best weights so far; both are replaced at once, and on the CPU a run that was killed at any step and
resumed ends with the same weights, bit for bit, as one that was not. Under `torchrun` the processes share each
batch (`distributed`); the first of them validates, writes and reports, and the others are told.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Never

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from tqdm import tqdm

from models.checkpoint import CARD_FILE, Card, DataCard, TrainingCard, open_start, save_checkpoint
from models.clip import Backbone
from models.eiclip import EiClip, EntityTable
from models.train.cached import backward
from models.train.config import Precision, TrainConfig, as_json
from models.train.curves import Curves
from models.train.data import Examples, Sampling
from models.train.distributed import World, joined
from models.train.feed import DataError, Feed, fingerprint
from models.train.optimise import learning_rate, make_optimizer
from models.train.pixels import PictureTable, picture_table, user_cache_dir
from models.train.state import EpochFigures, Progress, load_state, model_tensors, save_state, write_atomically
from models.train.task import ContrastiveTask, Losses
from models.train.trunks import seen_by_trunk
from models.train.validation import mean_gates, settle_statistics, validate

RUN_FOLDER = "run"
STATE_FILE = "state.safetensors"
BEST_FILE = "best.safetensors"

_TEXTS_PER_PRODUCT = 4  # its description with all, some or none of its entities pasted in front

Report = Callable[[str], None]


class RunError(ValueError):
    """An output folder that cannot be trained into."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the card says of how the program was called.

    Attributes:
        command: the command line, without paths of the machine.
        commit: of the source, where it is known.
    """

    command: str
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class _Tables:
    train: PictureTable
    val: PictureTable
    fingerprint: str


def fit(config: TrainConfig, feed: Feed, out: Path, *, resume: bool, provenance: Provenance, report: Report) -> Card:
    """Train as `config` says and write the best epoch as a checkpoint into `out`.

    Args:
        config: all that decides the result.
        feed: a catalogue with the splits train and val.
        out: the checkpoint's folder; made if needed.
        resume: go on from the state in `out` if there is one; otherwise `out` must not hold a run or checkpoint.
        provenance: for the card.
        report: receives one line per epoch.

    Raises:
        RunError: `out` holds another run or a finished checkpoint.
        DataError: the catalogue cannot be read or is too small.
        StateError: the state in `out` is damaged or belongs to another run.
        BackboneError: the backbone cannot be opened.
    """
    run = out / RUN_FOLDER
    if (out / CARD_FILE).exists():
        raise RunError(f"{out} already holds a finished checkpoint")
    if not resume and (run / STATE_FILE).exists():
        raise RunError(f"{out} already holds an unfinished run: resume it, or choose another folder")
    run.mkdir(parents=True, exist_ok=True)
    with joined(config.run.device) as world:
        trainer = Trainer(config, feed, run, world, report)
        trainer.run()
        card = None
        if world.main:
            card = save_checkpoint(out, trainer.best_model(), trainer.card(feed, provenance), config.run.weights)
            shutil.rmtree(run)
        return world.share(card)


class Trainer:
    """One run: the model, its optimiser, its data and its position."""

    def __init__(self, config: TrainConfig, feed: Feed, run: Path, world: World, report: Report) -> None:
        self._config = config
        self._run = run
        self._world = world
        self._report = report
        if config.run.threads is not None:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.run.seed)
        backbone = open_start(config.backbone).to(world.device)
        if config.image.held:
            backbone.hold_trunk(config.image.weights)
        if config.augment.words and not backbone.causal:
            raise RunError(f"augment.words: the text tower of {config.backbone} is not read up to an end token")
        self._tables = _read_tables(config, feed, backbone, world)
        table = EntityTable.collect(
            (product.entities(config.entities.groups) for product in self._tables.train.products),
            config.entities.groups,
            config.entities.min_count,
        )
        self._model = EiClip(backbone, config.entities, table).to(world.device)
        world.synchronised(self._model)
        self._task = ContrastiveTask(self._model, config.loss, low_precision(config.run.precision, world.device))
        backbone.remember_texts(_TEXTS_PER_PRODUCT * len(self._tables.train))
        self._examples = Examples(self._tables.train, _sampling(config))
        self._optimizer = make_optimizer(self._model, config.optim)
        self._progress = Progress(run=_run_digest(config, self._tables.fingerprint, world.size))
        if self._state_path.is_file():
            self._progress = load_state(self._state_path, self._model, self._optimizer, self._progress.run)
        world.align(self._model.state_dict().values())
        wanted = config.run.tensorboard and world.main
        self._curves = Curves.open(run.parent, self._done_steps, wanted=wanted)
        self._saved_at = time.monotonic()

    @property
    def _state_path(self) -> Path:
        return self._run / STATE_FILE

    @property
    def _done_steps(self) -> int:
        return self._progress.epoch * self._examples.steps + self._progress.step

    def run(self) -> None:
        """Train until the last epoch, or until patience runs out."""
        try:
            while not self._done():
                self._epoch()
        finally:
            self._curves.close()

    def _done(self) -> bool:
        best, history, patience = self._progress.best, self._progress.history, self._config.run.patience
        if best is not None and patience is not None and history[-1].epoch - best.epoch >= patience:
            return True
        return self._progress.epoch >= self._config.optim.epochs

    def _epoch(self) -> None:
        started, at = time.monotonic(), self._progress
        self._task.train()
        with self._bar() as bar:
            for step in range(at.step, self._examples.steps):
                loss = self._step(at.epoch, step)
                if not math.isfinite(loss):
                    raise RunError(f"the loss is {loss} at epoch {at.epoch + 1}, step {step + 1}: lower optim.lr")
                at.loss_sum += loss
                at.step = step + 1
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                bar.update()
                self._save_now_and_then()
        self._close_epoch(time.monotonic() - started)

    def _step(self, epoch: int, step: int) -> float:
        started, optim = time.monotonic(), self._config.optim
        number = epoch * self._examples.steps + step
        rate = learning_rate(optim, number, optim.epochs * self._examples.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        batch = self._examples.batch(epoch, step)
        losses = backward(self._task, batch, self._world, optim.chunk_size)
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), optim.clip_norm)
        self._optimizer.step()
        self._task.clamp_scale()
        scale = self._model.backbone.logit_scale.detach().exp()
        figures = _named(losses, norm, scale)
        speed = len(batch.texts) / (time.monotonic() - started)
        self._curves.add(number, {**figures, "optim/lr": rate, "speed/products_per_s": speed})
        return figures["loss/total"]

    @contextmanager
    def _bar(self) -> Iterator["tqdm[Never]"]:
        """A bar over all epochs, on the first process's terminal only, so that the time left is the run's."""
        epochs, steps, at = self._config.optim.epochs, self._examples.steps, self._progress
        with tqdm(
            total=epochs * steps,
            initial=self._done_steps,
            desc=f"epoch {at.epoch + 1}/{epochs}",
            unit="step",
            disable=None if self._world.main else True,
            leave=False,
        ) as bar:
            yield bar

    def _save_now_and_then(self) -> None:
        every, at = self._config.run.save_every_steps, self._progress
        due = every is not None and at.step % every == 0
        if due or time.monotonic() - self._saved_at >= self._config.run.save_every_s:
            self._save()

    def _save(self) -> None:
        """Save the first process's state, which is every process's but for running statistics."""
        if self._world.main:
            self._curves.flush()
            save_state(self._state_path, self._model, self._optimizer, self._progress)
        self._saved_at = time.monotonic()

    def _close_epoch(self, seconds: float) -> None:
        """Validate, keep the weights if they are the best, and save; in this order a kill loses nothing."""
        at, world = self._progress, self._world
        settle_statistics(self._model.backbone, self._tables.train, self._config.optim.batch_size)
        world.align(self._model.buffers())
        figures = EpochFigures(
            epoch=at.epoch + 1,
            loss=at.loss_sum / self._examples.steps,
            scale=float(self._model.backbone.logit_scale.detach().exp()),
            recall=world.share(validate(self._model, self._tables.val, self._config) if world.main else None),
        )
        if world.main and (at.best is None or figures.score > at.best.score):
            write_atomically(self._run / BEST_FILE, save(model_tensors(self._model)))
        self._draw_epoch(figures)
        at.history.append(figures)
        at.epoch, at.step, at.loss_sum = at.epoch + 1, 0, 0.0
        self._save()
        if world.main:
            self._report(_line(figures, self._config.optim.epochs, seconds))

    def _draw_epoch(self, figures: EpochFigures) -> None:
        if self._curves.silent:
            return
        gates = mean_gates(self._model, self._tables.val.products)
        named = {f"val/{name}": value for name, value in figures.recall.items()}
        last = self._done_steps - 1  # the state saved with this epoch goes on behind it
        self._curves.add(last, named | {f"gate/{group}": value for group, value in gates.items()})

    def best_model(self) -> EiClip:
        """Return the model with the weights of the best epoch."""
        self._model.load_state_dict(load_file(self._run / BEST_FILE))
        return self._model.eval()

    def card(self, feed: Feed, provenance: Provenance) -> Card:
        """Return what there is to say of the run."""
        config, best = self._config, self._progress.best
        if best is None:
            raise RunError("no epoch was finished")
        data = DataCard(
            name=feed.name,
            fingerprint=self._tables.fingerprint,
            products={"train": len(self._tables.train), "val": len(self._tables.val)},
            origin=feed.origin(),
            licence=config.data.licence,
        )
        training = TrainingCard(
            command=provenance.command,
            commit=provenance.commit,
            config=as_json(config),
            data=data,
            epochs=len(self._progress.history),
            best_epoch=best.epoch,
        )
        return Card(
            name=config.name,
            licence=config.licence,
            backbone=Path(config.backbone).name,
            image=self._model.backbone.recipe,
            text_fields=config.data.text_fields,
            entities=config.entities,
            training=training,
            metrics={f"val_{name}": value for name, value in best.recall.items()},
        )


def _line(figures: EpochFigures, epochs: int, seconds: float) -> str:
    recall = "  ".join(f"{name} {value:.3f}" for name, value in figures.recall.items())
    return (
        f"epoch {figures.epoch}/{epochs}  loss {figures.loss:.4f}  scale {figures.scale:.1f}  {recall}  {seconds:.0f} s"
    )


def _named(losses: Losses, norm: Tensor, scale: Tensor) -> dict[str, float]:
    """Return the figures of one step under the names of their curves, in one transfer from the device."""
    named = {
        "loss/total": losses.total,
        "loss/fused": losses.fused,
        "loss/words": losses.words,
        "loss/entities": losses.entities,
        "loss/groups": losses.groups,
        "optim/gradient_norm": norm,
        "optim/scale": scale,
    }
    return dict(zip(named, torch.stack([value.detach() for value in named.values()]).tolist(), strict=True))


def low_precision(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Return the precision the towers compute in, None for float32."""
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and native) else None


def _read_tables(config: TrainConfig, feed: Feed, backbone: Backbone, world: World) -> _Tables:
    cache_dir = config.data.cache_dir or user_cache_dir()

    def read(split: str) -> PictureTable:
        table = picture_table(
            feed,
            split,
            backbone.recipe,
            backbone.prepare_images,
            cache_dir=cache_dir,
            pictures=config.data.pictures,
            limit=config.data.limit,
        )
        if not config.image.held:
            return table
        mirrored = split == "train" and config.augment.mirror > 0
        return seen_by_trunk(table, backbone, cache_dir, mirrored=mirrored)

    if not world.main:
        world.wait()  # until the first has prepared the pictures
    train, val = read("train"), read("val")
    if world.main:
        world.wait()
    if min(len(train), config.optim.batch_size) < world.size:
        raise DataError(f"{world.size} processes cannot share batches of {min(len(train), config.optim.batch_size)}")
    if len(train) < 2:
        raise DataError(f"{feed.path} has {len(train)} training product; at least 2 are needed")
    read_rows = {
        split: list(zip(table.products, table.digests, strict=True))
        for split, table in (("train", train), ("val", val))
    }
    return _Tables(train, val, fingerprint(read_rows))


def _sampling(config: TrainConfig) -> Sampling:
    return Sampling(
        seed=config.run.seed,
        batch_size=config.optim.batch_size,
        text_fields=config.data.text_fields,
        groups=config.entities.groups,
        text_mix=config.text_mix,
        dropout=config.dropout,
        augment=config.augment,
        near=config.near,
    )


def _run_digest(config: TrainConfig, data: str, processes: int) -> str:
    """Two runs with the same digest end with the same weights; how often they save or draw does not matter."""
    told = {"save_every_s", "save_every_steps", "tensorboard"}
    kept = config.model_dump(mode="json", exclude={"data": {"cache_dir"}, "run": told})
    head = json.dumps([kept, data, processes], sort_keys=True)
    return hashlib.sha256(head.encode()).hexdigest()
