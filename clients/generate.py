"""Freeze the API: write what the app's OpenAPI document says now to `docs/openapi.json`, and the Python client's types.

    python clients/generate.py

`tests/integration/test_openapi.py` fails where either is out of date.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = ROOT / "docs" / "openapi.json"
TYPES: Final = ROOT / "clients" / "python" / "catalens_client" / "wire.py"

_HEADER: Final = """# ruff: noqa: D200, D212
'''What the API is asked and answers, as typed dictionaries. Generated from docs/openapi.json: `make openapi`.'''
""".replace("'''", '"""')
_GENERATOR: Final = (
    "datamodel_code_generator",
    "--input-file-type=openapi",
    "--output-model-type=typing.TypedDict",
    "--target-python-version=3.11",
    "--no-use-closed-typed-dict",
    "--use-schema-description",
    "--collapse-root-models",
    "--enum-field-as-literal=all",
    "--formatters=builtin",
    f"--custom-file-header={_HEADER}",
)
_RUFF: Final = ("ruff", "format", "--quiet", "--line-length=120", "--stdin-filename=wire.py", "-")


def current() -> dict[str, Any]:
    """Return the document of the app as it is."""
    from service.app import create_app  # noqa: PLC0415  # takes seconds, and `types_of` needs none of it
    from service.settings import Settings  # noqa: PLC0415

    return create_app(Settings()).openapi()


def written(document: dict[str, Any]) -> str:
    """Return the document as it is kept."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def types_of(document: Path) -> str:
    """Return the module of types that the generator makes of a document."""
    made = _run(*_GENERATOR, f"--input={document}")
    return _run(*_RUFF, given=made)


def _run(module: str, *arguments: str, given: str = "") -> str:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout  # noqa: S603  # ours


def main() -> None:
    """Write both files."""
    DOCUMENT.write_text(written(current()), encoding="utf-8")
    TYPES.write_text(types_of(DOCUMENT), encoding="utf-8")


if __name__ == "__main__":
    main()
