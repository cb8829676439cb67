"""The curves of a run for TensorBoard, where it is installed; otherwise nothing is written.

Steps are counted over all epochs. A resumed run takes back what was written after its state was saved, so no
step is drawn twice.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TENSORBOARD_FOLDER = "tensorboard"


class Curves:
    """Scalars by name and step, in a folder of TensorBoard's."""

    def __init__(self, writer: "SummaryWriter | None") -> None:
        self._writer = writer

    @classmethod
    def open(cls, out: Path, step: int, *, wanted: bool) -> "Curves":
        """Return the curves under `out`, to be continued at `step`; silent ones where not wanted or not possible."""
        if not wanted or importlib.util.find_spec("tensorboard") is None:
            return cls(None)
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional, and slow to import

        return cls(SummaryWriter(str(out / TENSORBOARD_FOLDER), purge_step=step))

    @property
    def silent(self) -> bool:
        """Whether nothing is written, so that nothing need be computed for it."""
        return self._writer is None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of `step`."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring everything to the disk; called before a state is saved, so that it never lacks what went before."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
