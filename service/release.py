"""Which release of Catalens this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def release() -> str:
    """Return the version that is installed, 0.0.0 where none is."""
    try:
        return version("catalens")
    except PackageNotFoundError:
        return "0.0.0"
