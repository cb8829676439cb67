"""A training of a small network: epochs of steps, a measurement after each, the best kept, a state to resume from.

What is learnt, and from what, is a `Lesson`'s business. As in `models.train.loop`: `OUT/run/` holds the state and the
best weights so far, both replaced at once, and on the CPU a run that was killed at any step and resumed ends with the
same weights, bit for bit, as one that was not.
"""

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from tqdm import tqdm

from models.checkpoint import CARD_FILE
from models.train.config import OptimConfig, RunConfig
from models.train.curves import Curves
from models.train.loop import BEST_FILE, RUN_FOLDER, STATE_FILE, Report, RunError
from models.train.optimise import learning_rate, make_optimizer
from models.train.state import EpochFigures, Progress, load_state, model_tensors, save_state, write_atomically


class Lesson(Protocol):
    """What is learnt: a network, its steps and what they are measured by."""

    @property
    def net(self) -> nn.Module:
        """The network whose weights are learnt."""
        ...

    @property
    def steps(self) -> int:
        """Of an epoch."""
        ...

    @property
    def digest(self) -> str:
        """Of everything that decides the result: only an equal run may go on from a state."""
        ...

    def losses(self, epoch: int, step: int) -> Mapping[str, Tensor]:
        """Return the losses of a step by name, scalars; `total` is descended. The same arguments draw the same data."""
        ...

    def measure(self) -> dict[str, float]:
        """Return the figures on what was held back; the best epoch is that with the highest mean."""
        ...


def open_folder(out: Path, *, resume: bool) -> Path:
    """Return the folder of the run in `out`, made if needed.

    Raises:
        RunError: `out` holds something finished, or a run that was not to be resumed.
    """
    run = out / RUN_FOLDER
    if (out / CARD_FILE).exists():
        raise RunError(f"{out} already holds what a finished run wrote")
    if not resume and (run / STATE_FILE).exists():
        raise RunError(f"{out} already holds an unfinished run: resume it, or choose another folder")
    run.mkdir(parents=True, exist_ok=True)
    return run


def close_folder(out: Path) -> None:
    """Remove the state of a run whose result is written."""
    shutil.rmtree(out / RUN_FOLDER)


class Course:
    """One run: a lesson, its optimiser and its position."""

    def __init__(self, lesson: Lesson, optim: OptimConfig, settings: RunConfig, run: Path, report: Report) -> None:
        self._lesson, self._optim, self._settings, self._run, self._report = lesson, optim, settings, run, report
        self._optimizer = make_optimizer(lesson.net, optim)
        self.progress = Progress(run=lesson.digest)
        if (run / STATE_FILE).is_file():
            self.progress = load_state(run / STATE_FILE, lesson.net, self._optimizer, lesson.digest)
        self._curves = Curves.open(run.parent, self._done_steps, wanted=settings.tensorboard)
        self._saved_at = time.monotonic()

    @property
    def _done_steps(self) -> int:
        return self.progress.epoch * self._lesson.steps + self.progress.step

    def run(self) -> EpochFigures:
        """Train to the end or until patience runs out; leave the net with its best weights, return how good they are.

        Raises:
            RunError: the loss is no longer a number.
        """
        try:
            while not self._done():
                self._epoch()
        finally:
            self._curves.close()
        best = self.progress.best
        if best is None:
            raise RunError("no epoch was finished")
        self._lesson.net.load_state_dict(load_file(self._run / BEST_FILE))
        self._lesson.net.eval()
        return best

    def _done(self) -> bool:
        best, history, patience = self.progress.best, self.progress.history, self._settings.patience
        if best is not None and patience is not None and history[-1].epoch - best.epoch >= patience:
            return True
        return self.progress.epoch >= self._optim.epochs

    def _epoch(self) -> None:
        started, at, steps, epochs = time.monotonic(), self.progress, self._lesson.steps, self._optim.epochs
        self._lesson.net.train()
        with tqdm(
            total=epochs * steps,
            initial=self._done_steps,
            desc=f"epoch {at.epoch + 1}/{epochs}",
            unit="step",
            disable=None,
            leave=False,
        ) as bar:
            for step in range(at.step, steps):
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
        number = epoch * self._lesson.steps + step
        rate = learning_rate(self._optim, number, self._optim.epochs * self._lesson.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        losses = self._lesson.losses(epoch, step)
        losses["total"].backward()  # type: ignore[no-untyped-call]  # torch has no hints here
        norm = nn.utils.clip_grad_norm_(self._lesson.net.parameters(), self._optim.clip_norm)
        self._optimizer.step()
        named = {f"loss/{name}": value for name, value in losses.items()} | {"optim/gradient_norm": norm}
        values = torch.stack([value.detach() for value in named.values()]).tolist()
        figures = dict(zip(named, values, strict=True))
        self._curves.add(number, figures | {"optim/lr": rate})
        return float(figures["loss/total"])

    def _save_now_and_then(self) -> None:
        every, at = self._settings.save_every_steps, self.progress
        due = every is not None and at.step % every == 0
        if due or time.monotonic() - self._saved_at >= self._settings.save_every_s:
            self._save()

    def _save(self) -> None:
        self._curves.flush()
        save_state(self._run / STATE_FILE, self._lesson.net, self._optimizer, self.progress)
        self._saved_at = time.monotonic()

    def _close_epoch(self, seconds: float) -> None:
        """Measure, keep the weights if they are the best, and save; in this order a kill loses nothing."""
        at = self.progress
        self._lesson.net.eval()
        measured = self._lesson.measure()
        figures = EpochFigures(epoch=at.epoch + 1, loss=at.loss_sum / self._lesson.steps, scale=1.0, recall=measured)
        if at.best is None or figures.score > at.best.score:
            write_atomically(self._run / BEST_FILE, save(model_tensors(self._lesson.net)))
        self._curves.add(self._done_steps - 1, {f"val/{name}": value for name, value in measured.items()})
        at.history.append(figures)
        at.epoch, at.step, at.loss_sum = at.epoch + 1, 0, 0.0
        self._save()
        shown = "  ".join(f"{name} {value:.3f}" for name, value in measured.items())
        self._report(f"epoch {figures.epoch}/{self._optim.epochs}  loss {figures.loss:.4f}  {shown}  {seconds:.0f} s")
