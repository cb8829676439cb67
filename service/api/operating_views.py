"""What is answered of one bundle to those who run the service: its report, and a map of its products."""

from typing import Any, Literal

from typing_extensions import TypedDict

from indexer.layout import Method
from service.mapping import MapPoints


class EncoderView(TypedDict):
    """The encoder whose vectors a bundle holds."""

    name: str
    fingerprint: str
    dim: int
    text_fields: list[str]
    entity_groups: list[str]


class CountsView(TypedDict):
    """How many things a bundle holds, and how many rows of the catalogue it refused."""

    products: int
    images: int
    rejected: int


class IndexRecordView(TypedDict):
    """An index: its recipe, what was asked for, how much of it a search looks at (null: all), rows and memory."""

    recipe: str
    requested: str
    width: int | None
    ntotal: int
    memory_bytes: int


class FusionView(TypedDict):
    """The weights of a score's parts for one kind of query."""

    image: float
    text: float
    lexical: float
    entities: float


class ManifestView(TypedDict):
    """What a bundle says of itself, its files left out; `indexes` by space, `fusion` by kind of query."""

    created_at: str
    catalogue: str
    digest: str
    format_version: int
    encoder: EncoderView
    counts: CountsView
    indexes: dict[str, IndexRecordView]
    fusion: dict[str, FusionView]
    exact_rows: int
    log_position: str | None
    size_bytes: int


class GateCheckView(TypedDict):
    """One thing the gate looked at; `passed` is null where it could not be, `value` where it is no single number."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    passed: bool | None
    says: str
    value: float | None
    bar: float | None


class VerdictView(TypedDict):
    """What the gate said at one time; `forced`: the bundle was published in spite of it."""

    at: str
    passed: bool
    forced: bool
    compared_with: str | None
    checks: list[GateCheckView]


class MoveView(TypedDict):
    """A move of `current` to the bundle or away from it; `automatic`: a service went back by itself, for `reason`."""

    at: str
    action: Literal["publish", "rollback"]
    bundle: str
    previous: str | None
    forced: bool
    problems: list[str]
    automatic: bool
    reason: str | None


class ReportResponse(TypedDict):
    """All that is told of a bundle, the latest verdicts and moves first; null is what cannot be read.

    `report` is as the indexer wrote it, `problem` what is wrong with the bundle.
    """

    id: str
    role: Literal["primary", "beside", "none"]
    current: bool
    manifest: ManifestView | None
    report: dict[str, Any] | None
    verdicts: list[VerdictView]
    history: list[MoveView]
    problem: str | None


class MapResponse(TypedDict):
    """Products of a bundle in two dimensions: what is alike is, mostly, near each other; `of`: it has so many."""

    bundle: str
    method: Method
    of: int
    points: MapPoints
