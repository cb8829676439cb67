"""What a PromQL expression refers to: metrics with their matchers, and labels to group by. No evaluation."""

import re
from dataclasses import dataclass, field

FUNCTIONS = {
    "absent", "avg", "count", "histogram_quantile", "increase", "max", "min", "min_over_time", "rate", "sum",
}  # fmt: skip
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_OPERATORS = {"and", "or", "unless", "bool", "offset"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:$][\w:$]*|\d[\w.]*|=~|!~|!=|[<>=]=|\S')


@dataclass
class Expression:
    """What one expression refers to."""

    selectors: list[tuple[str, list[tuple[str, str, str]]]] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)


def parse(text: str) -> Expression:
    """Return the metrics and labels in `text`; anything that is no function known here is a metric."""
    tokens, found = _TOKEN.findall(text), Expression()
    at = 0
    while at < len(tokens):
        token, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        at += 1
        if not re.match(r"[a-zA-Z_:]", token) or token in _OPERATORS:
            continue
        if token in _GROUPING:
            if following == "(":
                end = tokens.index(")", at)
                found.labels |= {label for label in tokens[at + 1 : end] if label != ","}
                at = end + 1
        elif following in {"(", "by", "without"}:
            assert token in FUNCTIONS, token
        else:
            end = tokens.index("}", at) if following == "{" else at
            found.selectors.append((token, _matchers(tokens[at + 1 : end])))
            at = end + 1 if following == "{" else at
    return found


def _matchers(tokens: list[str]) -> list[tuple[str, str, str]]:
    stated = [token for token in tokens if token != ","]
    assert len(stated) % 3 == 0, tokens
    return [(stated[n], stated[n + 1], stated[n + 2].strip('"')) for n in range(0, len(stated), 3)]
