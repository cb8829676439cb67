"""`beside.json` in the data folder: which bundles are served beside the current one, and for what.

    {"<bundle id>": {"share": 0.1, "shadow": 0.0}}

Written by rename, so that readers see the old one or the new one.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from service.versions import Beside

FILE: Final = "beside.json"
_Roles = TypeAdapter(dict[str, Beside])


class BesideError(ValueError):
    """The file does not say what it should."""


def read_beside(data_dir: Path) -> dict[str, Beside]:
    """Return what each bundle beside the current one is for; none without the file.

    Raises:
        BesideError: the file cannot be read as what it should be.
    """
    path = data_dir / FILE
    try:
        roles = _Roles.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        first = error.errors()[0]
        msg = f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BesideError(msg) from error
    if sum(role.share for role in roles.values()) > 1:
        msg = f"{path}: all shares together exceed 1"
        raise BesideError(msg)
    return roles


def write_beside(data_dir: Path, roles: Mapping[str, Beside]) -> None:
    """Write what each bundle beside the current one is for."""
    path = data_dir / FILE
    temporary = path.with_name(f".{FILE}-{os.getpid()}")
    temporary.write_bytes(orjson.dumps({name: asdict(role) for name, role in roles.items()}))
    temporary.replace(path)
