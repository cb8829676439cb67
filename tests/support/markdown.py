"""Pages of documentation, as far as tests look into them: headings and their anchors, links, blocks of code."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]*`")
_ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "<<", ")"}
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]*(?:\([^()]*\))?[^()\s]*)\)")


class Block(NamedTuple):
    """A block of code."""

    language: str
    code: str
    line: int


def pages():
    """Return every page, by its name from the root of the repository."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
    return {str(path.relative_to(ROOT)): path for path in found}


def blocks(path):
    """Return the blocks of code of a page, in order."""
    text = path.read_text(encoding="utf-8")
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in _BLOCK.finditer(text)]


def commands(code) -> Iterator[list[str]]:
    """Yield the simple commands of some lines of shell, each as its words; some have none."""
    said = re.sub(r"(^|\s)# .*$", "", code.replace("\\\n", " "), flags=re.MULTILINE)
    lexer = shlex.shlex(said, posix=True, punctuation_chars="|&;<>()\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    command: list[str] = []
    for token in lexer:
        if token in _ENDS or not token.strip("\n|&;<>()"):
            yield command
            command = []
        else:
            command.append(token)
    yield command


def spans(path):
    """Return what stands between backticks in the text of a page."""
    return [span.strip("`") for span in _SPAN.findall(_BLOCK.sub("", path.read_text(encoding="utf-8")))]


def links(path):
    """Return where the links and images of a page lead, as they are written."""
    return _LINK.findall(_SPAN.sub("code", _BLOCK.sub("", path.read_text(encoding="utf-8"))))


def anchors(path):
    """Return the anchors that GitHub gives the headings of a page."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *$", _BLOCK.sub("", path.read_text(encoding="utf-8")), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found
