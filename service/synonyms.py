"""What words stand for in a shop: a table of synonyms, read from a file, and how queries are read with it.

    # those of a line mean the same
    sneakers, trainers, kicks
    # the left means the right, and not the other way round
    romper => playsuit, jumpsuit

This is the format of Solr, Lucene and those that follow them. Words are compared as stems, without case and accents,
and names of several words as a whole, the longest first. Whatever stands for the words of a query is matched as words
beside them. In the vector they are replaced where the shop says so (`=>`), or where the catalogue does not know them
and knows another of their line: a model that was trained on a catalogue tells little of words that it never met.

The file is looked at again and again. One that is damaged or gone changes nothing, and the log says so.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from indexer.lexical import LANGUAGE, Analyzer, LexicalIndex
from models.surfaces import tokenize
from service.errors import StartupError
from service.query import Part, Query, TextPart
from service.settings import Settings
from service.understand import LinkedEntity

FILE: Final = "synonyms.txt"
MOST_BYTES: Final = 1 << 20
MOST_WORDS: Final = 8
"""Of one name."""
MOST_NAMES: Final = 64
"""On one line."""

_ARROW: Final = "=>"
_log = structlog.stdlib.get_logger("catalens.synonyms")


class SynonymsError(ValueError):
    """The table cannot be used; says where and why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of the table: each of `written` stands for each of `meant`; `always`: in the vector, too."""

    written: tuple[str, ...]
    meant: tuple[str, ...]
    always: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table of synonyms as it was read.

    Attributes:
        rules: Its lines.
        digest: Of its text; empty where there is none.
    """

    rules: tuple[Rule, ...] = ()
    digest: str = ""

    @classmethod
    def parse(cls, text: str, name: str = FILE) -> "Table":
        """Return the table that `text` is; messages call it `name`.

        Raises:
            SynonymsError: a line cannot be read.
        """
        rules = [
            _rule(line, f"{name}: line {number}")
            for number, line in enumerate((line.partition("#")[0].strip() for line in text.splitlines()), 1)
            if line
        ]
        return cls(tuple(rules), hashlib.sha256(text.encode()).hexdigest()[:16] if rules else "")


def _rule(line: str, where: str) -> Rule:
    left, arrow, right = line.partition(_ARROW)
    written = _names(left, where)
    if _ARROW in right:
        msg = f"{where}: has more than one {_ARROW}"
        raise SynonymsError(msg)
    if not arrow and len(written) == 1:
        msg = f"{where}: {written[0]!r} has no synonym"
        raise SynonymsError(msg)
    return Rule(written, _names(right, where) if arrow else written, bool(arrow))


def _names(text: str, where: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        words = len(tokenize(name))
        if not words:
            msg = f"{where}: {name!r} is no word" if name else f"{where}: there is no word where one should be"
            raise SynonymsError(msg)
        if words > MOST_WORDS:
            msg = f"{where}: {name[:40]!r} has more than {MOST_WORDS} words"
            raise SynonymsError(msg)
    if len(names) > MOST_NAMES:
        msg = f"{where}: has more than {MOST_NAMES} names"
        raise SynonymsError(msg)
    return names


def read_table(path: Path) -> Table:
    """Return the table in a file.

    Raises:
        FileNotFoundError: there is no such file.
        SynonymsError: it cannot be read as what it should be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            msg = f"{path}: is larger than {MOST_BYTES >> 20} MiB"
            raise SynonymsError(msg)
        return Table.parse(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        msg = f"{path}: is not UTF-8: {error.reason} at byte {error.start}"
        raise SynonymsError(msg) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise SynonymsError(msg) from error


class TableFile:
    """A file of synonyms that may change.

    Args:
        path: Where it is.
        required: Whether it must be there; else there may be none.

    Raises:
        StartupError: it cannot be used.
    """

    def __init__(self, path: Path, *, required: bool = False) -> None:
        self._path = path
        self._seen = self._coming = _look(path)
        self.table = Table()
        try:
            self.table = read_table(path)
        except FileNotFoundError as error:
            if required:
                msg = f"{path}: there is no such file of synonyms"
                raise StartupError(msg) from error
        except SynonymsError as error:
            raise StartupError(str(error)) from error

    def refresh(self) -> None:
        """Take note of another table in the file, once it is the same at two looks: it may be being written."""
        seen, before = _look(self._path), self._coming
        self._coming = seen
        if seen == self._seen or seen != before:
            return
        self._seen = seen
        try:
            self.table = read_table(self._path)
        except FileNotFoundError:
            _log.error("synonyms_missing", file=str(self._path), kept=len(self.table.rules))
        except SynonymsError as error:
            _log.error("synonyms_unusable", reason=str(error), kept=len(self.table.rules))
        else:
            _log.info("synonyms_read", file=str(self._path), lines=len(self.table.rules))


def table_of(settings: Settings) -> TableFile:
    """Return the file of synonyms that `settings` name, which must be there, or that of the data folder.

    Raises:
        StartupError: it cannot be used.
    """
    if settings.synonyms_file is not None:
        return TableFile(settings.synonyms_file, required=True)
    return TableFile(settings.data_dir / FILE)


def _look(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@dataclass(frozen=True, slots=True)
class Reworded:
    """Words of a query that stand for others.

    Attributes:
        query: Which part of the query, from 0.
        surface: The words.
        start: Where they begin in the part's text, in characters.
        end: Where they end.
        read_as: What takes their place in the vector; None: nothing does.
        matched: What is matched as words beside them.
    """

    query: int
    surface: str
    start: int
    end: int
    read_as: str | None
    matched: tuple[str, ...]


class _Meaning(NamedTuple):
    read_as: str | None
    matched: tuple[str, ...]


_Stems = tuple[str, ...]


class Synonyms:
    """A table of synonyms for one catalogue. Safe to use from threads.

    Args:
        words: Those of the catalogue.
        table: The table; None: there is none.
    """

    def __init__(self, words: LexicalIndex, table: Table | None = None) -> None:
        self.digest = table.digest if table is not None else ""
        self._words = words
        self._language = words.vocabulary.language or LANGUAGE
        self._meanings: Mapping[_Stems, _Meaning] = self._read(table) if table is not None else {}
        self._longest = max(map(len, self._meanings), default=0)

    def of(self, table: Table) -> "Synonyms":
        """Return another table for the same catalogue."""
        return self if table.digest == self.digest else Synonyms(self._words, table)

    def reworded(self, query: Query) -> tuple[Query, tuple[Reworded, ...]]:
        """Return a query as it is to be read, and which of its words stand for others."""
        if not self._meanings:
            return query, ()
        analyzer = Analyzer(self._language)
        parts: list[Part] = []
        told: list[Reworded] = []
        for number, part in enumerate(query.parts):
            found = self._found(number, part.text, analyzer) if isinstance(part, TextPart) else []
            told += found
            parts.append(_replaced(part, found) if isinstance(part, TextPart) and found else part)
        return (replace(query, parts=tuple(parts)), tuple(told)) if told else (query, ())

    def _found(self, number: int, text: str, analyzer: Analyzer) -> list[Reworded]:
        tokens = tokenize(text)
        stems = [stem for _, stem in analyzer.words(text)]
        found: list[Reworded] = []
        place = 0
        while place < len(tokens):
            for length in range(min(self._longest, len(tokens) - place), 0, -1):
                meaning = self._meanings.get(tuple(stems[place : place + length]))
                if meaning is not None:
                    start, end = tokens[place].start, tokens[place + length - 1].end
                    found.append(Reworded(number, text[start:end], start, end, *meaning))
                    place += length - 1
                    break
            place += 1
        return found

    def _read(self, table: Table) -> dict[_Stems, _Meaning]:
        """Return what the words of a table mean in this catalogue; by all lines that have them."""
        analyzer = Analyzer(self._language)
        rules: dict[_Stems, list[Rule]] = {}
        for rule in table.rules:
            for name in rule.written:
                rules.setdefault(_stems(name, analyzer), []).append(rule)
        return {
            stems: meaning
            for stems, of_stems in rules.items()
            if (meaning := self._meaning(stems, of_stems, analyzer)) is not None
        }

    def _meaning(self, stems: _Stems, rules: Sequence[Rule], analyzer: Analyzer) -> _Meaning | None:
        """Return what words mean by all lines that have them; None where that is nothing else than they say."""
        counts = {
            name: self._count(_stems(name, analyzer))
            for rule in rules
            for name in rule.meant
            if _stems(name, analyzer) != stems
        }
        if not counts:
            return None
        stated = [name for rule in rules if rule.always for name in rule.meant if name in counts]
        candidates = stated or (list(counts) if not self._count(stems) else [])
        best = max(candidates, key=counts.__getitem__, default=None)  # of equals the first
        if best is not None and not stated and not counts[best]:
            best = None  # the catalogue knows none of them
        return _Meaning(best, tuple(counts))

    def _count(self, stems: _Stems) -> int:
        """Return how many products may have all of these words."""
        numbers = [self._words.numbers.get(stem) for stem in stems]
        return min((0 if number is None else len(self._words.rows(number)) for number in numbers), default=0)


def as_asked(links: Iterable[LinkedEntity], query: Query, told: Sequence[Reworded]) -> list[LinkedEntity]:
    """Return entities read in a query's new words with the words and places that they have in the query itself."""
    moved = [one for one in told if one.read_as is not None]
    return [_as_asked(link, query, [one for one in moved if one.query == link.query]) for link in links]


def _as_asked(link: LinkedEntity, query: Query, moved: Sequence[Reworded]) -> LinkedEntity:
    part = query.parts[link.query]
    if not moved or link.start is None or link.end is None or not isinstance(part, TextPart):
        return link
    start, end = _origin(link.start, moved, end=False), _origin(link.end, moved, end=True)
    return replace(link, surface=part.text[start:end], start=start, end=end)


def _origin(place: int, moved: Sequence[Reworded], *, end: bool) -> int:
    """Return where a place in the new text was in the old one; in the middle of new words, where the old ones were."""
    longer = 0
    for one in moved:
        begins = one.start + longer
        ends = begins + len(one.read_as or "")
        if place < begins + end:
            break
        if place < ends + end:
            return one.end if end else one.start
        longer = ends - one.end
    return place - longer


def _stems(name: str, analyzer: Analyzer) -> _Stems:
    return tuple(stem for _, stem in analyzer.words(name))


def _replaced(part: TextPart, found: Sequence[Reworded]) -> TextPart:
    """Return a text with words replaced, and with what is matched beside its own words."""
    text, after = "", 0
    for one in found:
        text += part.text[after : one.start] + (one.surface if one.read_as is None else one.read_as)
        after = one.end
    beside = dict.fromkeys(name for one in found for name in one.matched)
    return replace(part, text=text + part.text[after:], words=" ".join([part.text, *beside]))
