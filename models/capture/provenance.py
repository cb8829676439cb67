"""What cards of detectors, heads and CAPTURE say of how they came to be."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.train.loop import Provenance

_DIRECTORY = Path(__file__).parent


def source_commit() -> str | None:
    """Return the commit of the source tree, marked when it has changes; None outside one."""
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [git, "-C", str(_DIRECTORY), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None


def provenance(command: str, options: Mapping[str, str | None], overrides: Sequence[str]) -> Provenance:
    """Return how a command was called, for its card: names in the place of paths of the machine.

    Args:
        command: below `python -m models capture`.
        options: what was given, by option; None for what was not.
        overrides: of the configuration.
    """
    given = "".join(f" --{name} {shlex.quote(Path(value).name)}" for name, value in options.items() if value)
    sets = "".join(f" --set {shlex.quote(override)}" for override in overrides)
    return Provenance(command=f"python -m models capture {command}{given}{sets}", commit=source_commit())
