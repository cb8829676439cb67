"""HTML to the words a reader sees of it: what shops keep as the description of a product.

Read in one pass. The standard library's parser looks for the end of a comment or tag that is never closed from each
place where one begins: seconds for 80 kB of `<!--`.
"""

import html
import re

_UNSEEN = frozenset({"script", "style", "template", "noscript", "head", "title"})
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd", "mark", "q", "s"}
    | {"samp", "small", "span", "strong", "sub", "sup", "tt", "u", "var", "wbr"}
)
_MARKUP = re.compile(r"<(?:(?P<comment>!--)|[!?]|/?(?P<name>[a-zA-Z][\w:-]{0,40}))")
_QUOTE_OR_END = re.compile(r"=\s{0,9}([\"'])|>")


def plain_text(text: str) -> str:
    """Return the text of an HTML fragment: tags gone, entities resolved, white space folded.

    Blocks are set apart by a space, `<b>`, `<span>` and the like are not. Text without tags and entities comes back
    as it is, but for its white space.
    """
    if "<" in text:
        text = "".join(_seen(text))
    if "&" in text:
        try:
            text = html.unescape(text)
        except ValueError:  # a character reference of thousands of digits
            text = text.replace("&#", "")
    return " ".join(text.split())


def _seen(text: str) -> list[str]:
    """Return what stands between the tags, with a space for each tag of a block."""
    parts: list[str] = []
    at = 0
    while (start := text.find("<", at)) >= 0:
        parts.append(text[at:start])
        markup = _MARKUP.match(text, start)
        if markup is None:  # "a < b"
            parts.append("<")
            at = start + 1
            continue
        end = _end(text, markup)
        if end < 0:  # nothing is closed from here on: all of it is text
            at = start
            break
        name = (markup["name"] or "").lower()
        if name not in _INLINE:
            parts.append(" ")
        at = _behind(text, name, end) if name in _UNSEEN and text[start + 1] != "/" else end
    parts.append(text[at:])
    return parts


def _end(text: str, markup: re.Match[str]) -> int:
    """Return where a tag or comment ends; -1 if it does not. `>` inside quotes is no end."""
    if markup["comment"]:
        end = text.find("-->", markup.end())
        return end + 3 if end >= 0 else len(text)
    at = markup.end()
    while found := _QUOTE_OR_END.search(text, at):
        if found[1] is None:
            return found.end()
        closed = text.find(found[1], found.end())
        if closed < 0:  # a quotation mark that is never closed is none
            return text.find(">", found.end()) + 1 or -1
        at = closed + 1
    return -1


def _behind(text: str, name: str, at: int) -> int:
    """Return where an element that is not seen ends: at the text's end if it is never closed."""
    closed = re.compile(f"</{name}[^>]{{0,40}}>", re.IGNORECASE).search(text, at)
    return closed.end() if closed is not None else len(text)
