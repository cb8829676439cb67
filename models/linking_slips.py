"""How people write names: slips of the finger, and the same name spelled otherwise. Seeded, for test queries.

Rules hold for any name of any catalogue. Which spelling the linker reads is left to `models.lexicon`.
"""

import random
import re
import unicodedata
from collections.abc import Callable

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_FIRST_LETTER = 0.05  # share of slips in the first letter (1.4% to 8% in studies of typing)
_ONE_SLIP = 5
_TWO_SLIPS = 8


def _neighbours() -> dict[str, str]:
    found: dict[str, str] = {}
    for row, keys in enumerate(_ROWS):
        for at, key in enumerate(keys):
            near = keys[max(0, at - 1) : at] + keys[at + 1 : at + 2]
            if row + 1 < len(_ROWS):
                near += _ROWS[row + 1][max(0, at - 1) : at + 1]
            if row:
                near += _ROWS[row - 1][at : at + 2]
            found[key] = near
    return found


_NEAR = _neighbours()


def letters(name: str) -> int:
    """Return how many letters and digits `name` has."""
    return sum(c.isalnum() for c in name)


def misspell(name: str, rng: random.Random) -> str | None:
    """Return `name`, lower case, with one slip, or two where it has eight letters or more and luck wants it.

    None for names under five letters, and where the slip changed nothing.
    """
    if letters(name) < _ONE_SLIP:
        return None
    slips = rng.choice((1, 1, 2)) if letters(name) >= _TWO_SLIPS else 1
    typed = name.lower()
    for _ in range(slips):
        typed = _slip(typed, rng)
    return typed if typed != name.lower() else None


def _slip(typed: str, rng: random.Random) -> str:
    places = [at for at, c in enumerate(typed) if c in _NEAR]
    later = places[1:]
    if not later:
        return typed
    at = places[0] if rng.random() < _FIRST_LETTER else rng.choice(later)
    kind = rng.randrange(4)
    if kind == 0 and at + 1 < len(typed) and typed[at + 1] in _NEAR:
        return typed[:at] + typed[at + 1] + typed[at] + typed[at + 2 :]
    if kind == 1:
        return typed[:at] + typed[at + 1 :]
    if kind == 2:
        return typed[:at] + typed[at] + typed[at:]
    return typed[:at] + rng.choice(_NEAR[typed[at]]) + typed[at + 1 :]


_OR = re.compile(r"\b(arm|col|fav|flav|glam|harb|hon|hum|lab|neighb|sav|vap|vig)(ou?)r(?=s?\b)", re.IGNORECASE)
_POSSESSIVE = re.compile(r"(?<!si)(?<=[a-z]{2}[^su])s$")


def _other_or(name: str) -> str:
    return _OR.sub(lambda m: f"{m[1]}{'o' if len(m[2]) == 2 else 'ou'}r", name)


def _plain_letters(name: str) -> str:
    split = unicodedata.normalize("NFKD", name)
    return "".join(c for c in split if not unicodedata.combining(c))


_WRITINGS: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: name.replace("-", " ").replace(" ", ""),
    lambda name: name.replace(" ", "-"),
    lambda name: name.replace("-", " "),
    lambda name: name.replace(" & ", " and "),
    lambda name: name.replace(" and ", " & "),
    lambda name: name.replace(" & ", " ").replace(" and ", " "),
    lambda name: name.replace("&", " & "),
    lambda name: name.replace(".", ""),
    lambda name: re.sub(r"\s+", " ", name.replace(".", " ")).strip(),
    lambda name: re.sub(r"['\u2019]", "", name),
    lambda name: _POSSESSIVE.sub("'s", name) if "'" not in name else name,
    _plain_letters,
    _other_or,
)


def writings(name: str) -> list[str]:
    """Return the distinct ways to write `name`, lower case: joined, hyphenated, `&` as "and", without accents, ...

    Sorted; the name itself, lower case, is one of them.
    """
    lower = name.lower()
    return sorted({written for rule in _WRITINGS if (written := rule(lower))})
