"""What a study is: systems, the protocols they are measured by, and the tables made of them, from one TOML file.

Everything is checked before anything runs, the training configurations included. A table names cells,
`system` or `system@protocol`; what has to be trained and measured follows from the tables alone.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.clip import CONFIG_FILE
from models.measured import LevelName
from models.product import TextField
from models.protocols import CATEGORY, Candidates, EntitySource, Protocol
from models.train.config import ConfigError, TrainConfig, load_config

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Positive = Annotated[int, Field(ge=1)]
Depth = Literal[1, 5, 10]


class StudyError(ValueError):
    """A study that cannot be made; the message names the key or the run."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProtocolSpec(_Section):
    """`models.protocols.Protocol` without the split, which is an argument."""

    candidates: Candidates = "full"
    pictures: Positive = 1
    limit: Positive | None = None
    entities: EntitySource = "given"
    withheld: tuple[str, ...] = ()
    text_fields: tuple[TextField, ...] | None = None
    category_group: str = CATEGORY

    def on(self, split: str) -> Protocol:
        """Return the protocol on `split`."""
        return Protocol(split=split, **self.model_dump())


class System(_Section):
    """Something measured: a model to train, or one that is there.

    Attributes:
        name: in cells, and of its folders.
        label: in tables; the name where it is empty.
        config: training configuration, relative to the study.
        encoder: instead of `config`, what `load_encoder` opens, or a folder relative to the study; not trained.
        joined: instead of both, another system, whose seeds are joined into one model (`models.joining`).
        overrides: `section.key=value` on top of `config` and of the study's own; `set` in the file.
        seeds: of the trainings; None for the study's.
    """

    name: Name
    label: str = ""
    config: Path | None = None
    encoder: str | None = None
    joined: str | None = None
    overrides: tuple[str, ...] = Field(default=(), alias="set")
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.config, self.encoder, self.joined)) != 1:
            msg = f"{self.name}: one of config, encoder and joined"
            raise ValueError(msg)
        return self

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.label or self.name


class Cell(NamedTuple):
    """One system under one protocol."""

    system: str
    protocol: str


class _Table(_Section):
    title: str
    note: str = ""
    protocol: str = "full"

    def cell(self, text: str) -> Cell:
        """Read `system` or `system@protocol`."""
        system, _, protocol = text.partition("@")
        return Cell(system, protocol or self.protocol)


class SystemsTable(_Table):
    """Systems as rows, R@1, 5, 10 both ways and their sum as columns; a table per protocol and level."""

    kind: Literal["systems"]
    systems: Annotated[tuple[str, ...], Field(min_length=1)]
    protocols: Annotated[tuple[str, ...], Field(min_length=1)] = ("full",)
    levels: Annotated[tuple[LevelName, ...], Field(min_length=1)] = ("pair", "text")

    def cells(self) -> Iterator[Cell]:
        """Yield what has to be measured."""
        return (Cell(system, protocol) for protocol in self.protocols for system in self.systems)


class ComparisonTable(_Table):
    """Pairs of cells on the same queries: difference, relative, interval and p."""

    kind: Literal["comparison"]
    pairs: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]
    level: LevelName = "pair"
    depths: tuple[Depth, ...] = (1, 10)

    def cells(self) -> Iterator[Cell]:
        """Yield what has to be measured."""
        return (self.cell(text) for pair in self.pairs for text in pair)


class GridTable(_Table):
    """Any cells in rows and columns; an empty text leaves one out.

    Attributes:
        row: what the rows are.
        columns: names of the columns; each is shown both ways, at every depth.
        rows: label -> one cell for each column.
        plot: bars side by side, or a line over the rows.
    """

    kind: Literal["grid"]
    row: str
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    rows: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]
    level: LevelName = "pair"
    depths: tuple[Depth, ...] = (1, 10)
    plot: Literal["bars", "line"] = "bars"

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        for label, row in self.rows.items():
            if len(row) != len(self.columns):
                msg = f"rows.{label}: {len(row)} cells for {len(self.columns)} columns"
                raise ValueError(msg)
        return self

    def cells(self) -> Iterator[Cell]:
        """Yield what has to be measured."""
        return (self.cell(text) for row in self.rows.values() for text in row if text)


Table = Annotated[SystemsTable | ComparisonTable | GridTable, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Run:
    """One system with one seed; None for a system that is not trained."""

    system: System
    seed: int | None
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.system.name if self.seed is None else f"{self.system.name}-{self.seed}"

    def config(self) -> TrainConfig:
        """Return what it is trained with.

        Raises:
            ConfigError: it cannot be used.
        """
        if self.system.config is None:
            msg = f"{self.name} is not trained"
            raise StudyError(msg)
        return load_config(self.system.config, self.overrides)


class Study(_Section):
    """All of it.

    Attributes:
        name: of the study.
        title: of the report.
        intro: under the title; what a reader has to know of the data.
        seeds: of every system that names none.
        overrides: on every training; `set` in the file.
        protocols: name -> protocol.
        systems: in the order of the tables' rows and of the runs.
        tables: in the order of the report.
    """

    name: Name
    title: str
    intro: str = ""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    overrides: tuple[str, ...] = Field(default=(), alias="set")
    protocols: Annotated[dict[Name, ProtocolSpec], Field(min_length=1)]
    systems: Annotated[tuple[System, ...], Field(min_length=1)]
    tables: Annotated[tuple[Table, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [run.name for run in self.runs()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"systems: {min(twice)!r} is there twice")
        known = {system.name for system in self.systems}
        for number, table in enumerate(self.tables):
            for cell in table.cells():
                if cell.system not in known:
                    raise ValueError(f"tables.{number}: no system {cell.system!r}")
                if cell.protocol not in self.protocols:
                    raise ValueError(f"tables.{number}: no protocol {cell.protocol!r}")
        for system in self.systems:
            if system.joined is not None and len(self.members(system)) < 2:
                raise ValueError(f"systems: {system.name}: {system.joined!r} is not trained with two seeds or more")
        if idle := [system.name for system in self.systems if not self.needed(system.name)]:
            raise ValueError(f"systems: {idle[0]!r} is in no table")
        return self

    def members(self, system: System) -> list[Run]:
        """Return the trainings that are joined in `system`."""
        return [run for run in self.runs() if run.system.name == system.joined and run.system.config is not None]

    def needed(self, system: str) -> tuple[str, ...]:
        """Return the protocols that the tables need of `system`, in the order of the file."""
        asked = {cell.protocol for table in self.tables for cell in table.cells() if cell.system == system}
        return tuple(name for name in self.protocols if name in asked)

    def runs(self, only: Sequence[str] = ()) -> list[Run]:
        """Return the runs of the systems in `only`, all where it is empty: every system's first seed first.

        Raises:
            StudyError: `only` names a system there is not.
        """
        if strange := set(only) - {system.name for system in self.systems}:
            raise StudyError(f"no system {min(strange)!r} in the study {self.name!r}")
        chosen = [system for system in self.systems if not only or system.name in only]
        placed = [
            (nth, Run(system, seed, (*self.overrides, *system.overrides, f"run.seed={seed}")))
            for system in chosen
            for nth, seed in enumerate((None,) if system.config is None else system.seeds or self.seeds)
        ]
        return [run for _, run in sorted(placed, key=lambda pair: pair[0])]


def load_study(path: Path) -> Study:
    """Return the study in the TOML file `path`; relative paths in it start at its folder.

    Raises:
        StudyError: the file, or a training configuration it names, cannot be used.
    """
    try:
        study = Study.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{key}: " for key in [".".join(map(str, first["loc"]))] if key)
        raise StudyError(f"{path}: {where}{first['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise StudyError(f"{path} is not TOML: {error}") from error
    placed = study.model_copy(update={"systems": tuple(_placed(system, path.parent) for system in study.systems)})
    for run in placed.runs():
        if run.system.config is not None:
            _checked(run)
    return placed


def _placed(system: System, folder: Path) -> System:
    if system.config is not None:
        return system.model_copy(update={"config": folder / system.config})
    local = folder / (system.encoder or "")
    return system.model_copy(update={"encoder": str(local)}) if (local / CONFIG_FILE).is_file() else system


def _checked(run: Run) -> None:
    try:
        run.config()
    except ConfigError as error:
        raise StudyError(f"systems: {run.name}: {error}") from error
