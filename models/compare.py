"""Two systems on the same queries: by how much one is ahead, and whether chance alone would show as much.

Each side is one run, or several with different seeds. What is resampled are the queries: hits are averaged over
the seeds of a side first, so that a query that only one seed answers counts for that share.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.measured import DEPTHS, Measurement, Ranks
from models.metrics import Values, paired_bootstrap
from models.protocols import SAMPLE_SEED


class ComparisonError(ValueError):
    """Sides that were not measured on the same queries."""


class Comparison(BaseModel):
    """R@K of one level and direction on both sides, in 0..1, and their paired difference `a - b`.

    Attributes:
        key: `LEVEL/DIRECTION` of the ranks.
        k: the depth.
        mean_a: R@K of the first side.
        mean_b: R@K of the second.
        difference: of the means.
        low: lower end of its 95% bootstrap interval.
        high: upper end of it.
        p_value: two-sided.
        relative: difference as a share of `mean_b`; None where that is 0.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    k: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p_value: float
    relative: float | None


def compare(
    a: Sequence[Ranks], b: Sequence[Ranks], *, depths: Sequence[int] = DEPTHS, seed: int = SAMPLE_SEED
) -> list[Comparison]:
    """Compare two sides, each the ranks of one or more runs.

    Returns:
        One comparison per key, in the order of the first run, and depth.

    Raises:
        ComparisonError: a side is empty, or the runs differ in their keys or numbers of queries.
    """
    _check_sides(a, b)
    return [compare_values(key, k, hits(a, key, k), hits(b, key, k), seed=seed) for key in a[0] for k in depths]


def hits(runs: Sequence[Ranks], key: str, k: int) -> Values:
    """Return the share of runs that rank each query of `key` within `k`, `(n,)` in 0..1."""
    return np.asarray(np.mean([run[key] <= k for run in runs], axis=0), dtype=np.float64)


def compare_values(key: str, k: int, a: Values, b: Values, *, seed: int = SAMPLE_SEED) -> Comparison:
    """Compare the per-query values `a (n,)` and `b (n,)`."""
    found = paired_bootstrap(a, b, seed)
    mean_b = float(b.mean())
    return Comparison(
        key=key,
        k=k,
        mean_a=float(a.mean()),
        mean_b=mean_b,
        difference=found.mean,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        relative=found.mean / mean_b if mean_b else None,
    )


def compare_files(a: Sequence[Path], b: Sequence[Path]) -> list[Comparison]:
    """Compare what `Measurement.save` wrote: each side the paths of its runs, with or without a suffix.

    Raises:
        MeasurementError: a run cannot be read.
        ComparisonError: as `compare`, or the runs are not of the same products, pictures and candidates.
    """
    sides = [[Measurement.load(path.parent, _stem(path)) for path in side] for side in (a, b)]
    check_comparable([run for side in sides for run in side])
    left, right = ([run.ranks for run in side] for side in sides)
    return compare(left, right)


def _stem(path: Path) -> str:
    return path.stem if path.suffix in {".npz", ".json"} else path.name


def check_comparable(measurements: Sequence[Measurement]) -> None:
    """See that measurements are of the same products, pictures and candidates.

    Raises:
        ComparisonError: they are not.
    """
    kinds = {
        (m.evaluation.data, m.evaluation.candidates, m.evaluation.protocol.category_group)
        if m.evaluation.candidates == "100"
        else (m.evaluation.data, m.evaluation.candidates)
        for m in measurements
    }
    if len(kinds) > 1:
        raise ComparisonError("the measurements are not of the same products, pictures and candidates")


def _check_sides(a: Sequence[Ranks], b: Sequence[Ranks]) -> None:
    if not a or not b:
        raise ComparisonError("a comparison needs at least one run on each side")
    shapes = [{key: ranks.shape for key, ranks in run.items()} for run in (*a, *b)]
    if any(shape != shapes[0] for shape in shapes):
        raise ComparisonError("the runs differ in their levels or in their numbers of queries")
