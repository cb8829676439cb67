"""HTML and SVG from nested calls: every text is escaped unless it is markup already."""

import html
from collections.abc import Iterable


class Markup(str):
    """Text that is markup and is not escaped again."""

    __slots__ = ()


Child = str | Iterable["Child"]

_VOID = frozenset({"meta", "img", "br"})


def element(name: str, /, *children: Child, **attributes: str | float) -> Markup:
    """Return an element; `class_` stands for class, other underscores in attribute names for hyphens."""
    stated = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Markup(f"<{name}{stated}>")
    return Markup(f"<{name}{stated}>{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Return the children one after the other, escaped unless they are markup."""
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(html.escape(children))
    return Markup("".join(join(child) for child in children))
