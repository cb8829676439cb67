"""The table of faults names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"`((?:[a-z0-9_]+/)+[a-z0-9_]*(?:\.py)?)?(?:::(\w+))?`")


def test_every_test_of_the_table_is_there():
    table = [line for line in (ROOT / "docs" / "faults.md").read_text().splitlines() if line.startswith("| ")]
    named = 0
    for line in table:
        path = None
        for file, test in _NAMED.findall(line.rpartition(" | ")[2]):
            path = ROOT / "tests" / file if file else path
            assert path.exists(), line
            assert not test or f"def {test}(" in path.read_text(), (line, test)
            named += 1
    assert named > 100
