"""`docs/configuration.md` is what the settings say now."""

import importlib.util
import re
from pathlib import Path

import click
import pytest

from service.__main__ import main
from service.settings import Settings, variable

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "configuration.md").read_text(encoding="utf-8")
ROWS = [re.split(r"(?<!\\)\|", line)[1:-1] for line in PAGE.splitlines() if line.startswith("| `CATALENS_")]
ROW_OF = {cells[0].split("`")[1]: [cell.strip() for cell in cells] for cells in ROWS}


def test_the_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("catalens_docs_configuration", DOCS / "configuration.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.page() == PAGE, "make docs, or python docs/configuration.py"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_there_with_what_its_help_says(name):
    [option] = [o for o in main.params if isinstance(o, click.Option) and o.name == name]
    named, value, default, meaning = ROW_OF[variable(name)]
    assert re.findall(r"`(--[\w-]+)`", named) == [*option.opts, *option.secondary_opts]
    assert meaning.replace("\\|", "|") in option.help
    stated = option.help.rpartition("default: ")[2].rstrip("]").lower()
    assert default.strip("`") == ("auto" if set(stated) == {"*"} else stated)  # help hides what may be a password
    unit = {"ms": "milliseconds", "s": "seconds", "bytes": "bytes", "px": "pixels"}.get(name.split("_")[-1])
    assert value if unit is None else value.startswith(f"whole number of {unit}")
