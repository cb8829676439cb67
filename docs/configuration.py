"""Write `docs/configuration.md`: every setting of the service, from the same fields that its `--help` is made of.

    python docs/configuration.py

`tests/unit/docs/test_configuration.py` fails where the page is out of date.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from service.settings import Settings, flag, variable

PAGE: Final = Path(__file__).with_name("configuration.md")

_HEAD: Final = """# Configuration

Every setting of the service is an environment variable and a flag of `python -m service`; the flag wins. A variable \
whose name begins with `CATALENS_` and that nobody knows, and a value that does not fit, end the start with one line \
that names it. A variable that is empty counts as not set. Settings hold for the life of the process.

This page is generated from `service/settings.py` (`make docs`), as is `python -m service --help`.

| variable, flag | value | default | meaning |
|---|---|---|---|
"""
_UNITS: Final = {"_ms": "milliseconds", "_s": "seconds", "_bytes": "bytes", "_px": "pixels"}
_BOUNDS: Final = (("gt", "more than"), ("ge", "at least"), ("le", "at most"), ("lt", "less than"))


def page() -> str:
    """Return the page as the settings are now."""
    return _HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    flags = f"`{flag(name)}`, `--no-{flag(name)[2:]}`" if field.annotation is bool else f"`{flag(name)}`"
    cells = (f"`{variable(name)}` {flags}", _value(name, field), _default(field), field.description or "")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _value(name: str, field: FieldInfo) -> str:
    """Return what a value looks like: its choices, or its type, unit and bounds."""
    kind = _type(field)
    if issubclass(kind, StrEnum):
        return ", ".join(f"`{choice}`" for choice in kind)
    said = {bool: "true or false", int: "whole number", float: "number", Path: "path", str: "text", SecretStr: "secret"}
    bounds = [f"{words} {bound:,}" for at, words in _BOUNDS if (bound := _bound(field, at)) is not None]
    unit = next((f" of {unit}" for end, unit in _UNITS.items() if name.endswith(end)), "")
    return ", ".join([said[kind] + unit, *bounds])


def _type(field: FieldInfo) -> type[Any]:
    annotation: Any = field.annotation
    while get_args(annotation):  # `X | None`, `Annotated[X, ...]`
        annotation = get_args(annotation)[0]
    kind: type[Any] = annotation
    return kind


def _bound(field: FieldInfo, at: str) -> float | None:
    return next((getattr(part, at) for part in field.metadata if getattr(part, at, None) is not None), None)


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None:
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
