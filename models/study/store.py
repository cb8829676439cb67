"""Where a study keeps its runs: `OUT/<system>-<seed>/` with the checkpoint, its times and its measurements.

A finished training counts only if it was made with the configuration the study states, a measurement only if it is
of that checkpoint and by that protocol. What is not finished is left to `models.study.run`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from models.checkpoint import CARD_FILE, Card, CheckpointError, load_encoder, read_card, read_joined
from models.encoder import Encoder
from models.measured import Measurement, MeasurementError
from models.protocols import Protocol
from models.study.spec import Run, Study, StudyError
from models.train.config import TrainConfig, as_json
from models.train.loop import RUN_FOLDER
from models.train.state import write_atomically

TIME_FILE = "time.json"
LOG_FILE = "train.log"


class Times(BaseModel):
    """What a training took, over all its starts.

    Attributes:
        wall_s: seconds by the clock.
        cpu_s: seconds of all cores together.
        starts: how often it was started.
        complete: every start was seen to its end; otherwise both are lower bounds.
    """

    model_config = ConfigDict(frozen=True)

    wall_s: float = 0.0
    cpu_s: float = 0.0
    starts: int = 0
    complete: bool = True

    def started(self) -> "Times":
        """Return what stands while another start is under way, and for good if its end is not seen."""
        return self.model_copy(update={"starts": self.starts + 1, "complete": False})

    def ended(self, wall_s: float, cpu_s: float) -> "Times":
        """Return these with a start more, seen to its end."""
        return Times(
            wall_s=self.wall_s + wall_s, cpu_s=self.cpu_s + cpu_s, starts=self.starts + 1, complete=self.complete
        )


@dataclass(frozen=True, slots=True)
class Record:
    """What there is of a run: no card where it was not trained, no measurement where it was not measured."""

    run: Run
    card: Card | None
    times: Times
    measurements: Mapping[str, Measurement]


@dataclass(frozen=True, slots=True)
class Store:
    """The runs of a study in the folder `out`, measured on `split`."""

    out: Path
    split: str

    def folder(self, run: Run) -> Path:
        """Return the folder of `run`."""
        return self.out / run.name

    def times(self, run: Run) -> Times:
        """Return what training `run` took: unknown where it was trained by hand, nothing where it was not."""
        path = self.folder(run) / TIME_FILE
        if not path.is_file():
            return Times(complete=not any((self.folder(run) / name).exists() for name in (CARD_FILE, RUN_FOLDER)))
        try:
            return Times.model_validate_json(path.read_bytes())
        except ValidationError:
            return Times(complete=False)

    def save_times(self, run: Run, times: Times) -> None:
        """Replace what training `run` took."""
        write_atomically(self.folder(run) / TIME_FILE, times.model_dump_json().encode())

    def card(self, run: Run) -> Card | None:
        """Return the card of `run`, None where its training is not finished.

        Raises:
            StudyError: the checkpoint was trained with another configuration.
            CheckpointError: the card cannot be read.
        """
        folder = self.folder(run)
        if not (folder / CARD_FILE).is_file():
            return None
        card = read_card(folder)
        if changed := _difference(run.config(), {} if card.training is None else card.training.config):
            raise StudyError(f"{folder} was trained with another {changed}: move it away to train again")
        return card

    def is_joined(self, run: Run, members: Sequence[Run]) -> bool:
        """Return whether the folder of `run` holds these models, all trained, joined as they are now."""
        cards = [self.card(member) for member in members]
        try:
            return read_joined(self.folder(run)).members == tuple(card and card.fingerprint for card in cards)
        except CheckpointError:
            return False

    def encoder(self, run: Run) -> Encoder:
        """Open the model of `run`."""
        return load_encoder(run.system.encoder or str(self.folder(run)))

    def measurement(self, run: Run, protocol: str, wanted: Protocol, fingerprint: str | None) -> Measurement | None:
        """Return the measurement of `run` called `protocol`, None where there is no whole one.

        Args:
            run: what was measured.
            protocol: its name.
            wanted: by which it has to be.
            fingerprint: of the model it has to be of; None for any.
        """
        try:
            found = Measurement.load(self.folder(run), f"{self.split}-{protocol}")
        except MeasurementError:
            return None
        fits = found.evaluation.protocol == wanted and fingerprint in {None, found.evaluation.fingerprint}
        return found if fits else None

    def records(self, study: Study) -> tuple[list[Record], list[str]]:
        """Return what there is of each run, and a line on each whose checkpoint is not of the study."""
        found: list[Record] = []
        strange: list[str] = []
        for run in study.runs():
            try:
                found.append(self._record(study, run))
            except ValueError as error:
                strange.append(f"{run.name}: {error}")
        return found, strange

    def _record(self, study: Study, run: Run) -> Record:
        card = None if run.system.config is None else self.card(run)
        joined = run.system.joined is None or self.is_joined(run, study.members(run.system))
        found: dict[str, Measurement] = {}
        if joined and (card is not None or run.system.config is None):
            for name in study.needed(run.system.name):
                wanted = study.protocols[name].on(self.split)
                measurement = self.measurement(run, name, wanted, None if card is None else card.fingerprint)
                found.update({} if measurement is None else {name: measurement})
        return Record(run, card, self.times(run), found)

    def save(self, run: Run, protocol: str, measurement: Measurement) -> None:
        """Write the measurement of `run` called `protocol`."""
        measurement.save(self.folder(run), f"{self.split}-{protocol}")


def _difference(wanted: TrainConfig, recorded: Mapping[str, object]) -> str | None:
    """Return the first key that decides what is learnt and differs, None where there is none.

    What an older version did not record has its default.
    """
    try:
        stated = TrainConfig.model_validate(recorded)
    except ValidationError as error:
        return ".".join(map(str, error.errors()[0]["loc"]))
    pair = [dict(_flat(as_json(config))) for config in (wanted, stated)]
    free = {"run.device", "run.threads", "run.save_every_s", "run.save_every_steps", "run.tensorboard"}
    keys = [key for key in (pair[0] | pair[1]) if key not in free]
    return next((key for key in keys if pair[0].get(key) != pair[1].get(key)), None)


def _flat(tree: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
