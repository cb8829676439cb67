"""Frames of English in which a word can hardly be a name, or a product, whatever the shop sells.

No catalogue shows them: nobody writes "guess the price" in a product's title. Small closed lists of function
words only; what a catalogue can show is left to `models.neighbours`.
"""

from collections.abc import Sequence

from models.lexicon import Span
from models.neighbours import FUNCTION_WORDS, NeighbourKinds, Side, left_word, right_word
from models.surfaces import Token


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LABELS = _words("brand label designer")
_BEFORE_VERBS = _words("i you we they he she who can could will would should never always let me cannot cant")
_BEFORE_TO = _words("similar next close compared equal identical related according due thanks")
_DETERMINERS = _words("a an the no any some one every each another our my your this that")
_AFTER_NAMES = _words("logo brand branding label range collection store shop style signature print")
_AFTER_WORDS = _words("of the a an my your what who how which when where why it me him them if so not")
_AFTER_VERBS = _words("this that your my our what how who me it out up")
_AFTER_RANKS = _words("quality rated selling seller sellers notch class choice pick picks ten tier 10 100")
_PLACES = _words("at on to over")
_JOINTS = _words("for in under below by from with made online")

# Log likelihood ratios; they count as much as those of neighbouring words.
_LABELLED = 2.0
_MADE_BY = 1.0
_NO_NAME = -12.0
_HARDLY_A_NAME = -7.0
_NO_NOUN = -8.0
_HARDLY_A_NOUN = -3.5


def frame_of_name(tokens: Sequence[Token], span: Span, kinds: NeighbourKinds) -> float:
    """Return the log likelihood ratio of the words around `span` if it is a proper name; 0 says nothing.

    A name is no imperative ("guess what"), follows no pronoun or modal verb ("i guess") and has a noun behind it
    where an article stands before ("take a guess", "the lee of").
    """
    left, right = left_word(tokens, span), right_word(tokens, span)
    if left in _LABELS or right == "brand":
        return _LABELLED
    if right in _AFTER_WORDS or left in _BEFORE_VERBS:
        return _NO_NAME
    if left in _DETERMINERS:
        return _determined(kinds.right(span), right)
    return _led(left, _before_left(tokens, span))


def _determined(kind: str, right: str | None) -> float:
    """Return what an article or the like before a name says, by what stands behind it."""
    if kind == "$" or kind in FUNCTION_WORDS:
        return _NO_NAME
    return _HARDLY_A_NAME if kind == "w" and right not in _AFTER_NAMES else 0.0


def _led(left: str | None, before: str | None) -> float:
    """Return what the word before a name says, by the word before that: "similar to guess", "need to guess"."""
    if left == "to":
        return 0.0 if before in _BEFORE_TO else _HARDLY_A_NAME
    return _MADE_BY if left == "by" else 0.0


def frame_of_noun(tokens: Sequence[Token], span: Span) -> float:
    """Return the log likelihood ratio of the words around `span` if it is what a product is; 0 says nothing.

    The word before is a verb in "watch this space", a rank in "top quality", a place in "zip at the top".
    """
    right = right_word(tokens, span)
    if right in _AFTER_VERBS:
        return _NO_NOUN
    if right in _AFTER_RANKS:
        return _HARDLY_A_NOUN
    is_place = right is None and left_word(tokens, span) == "the" and _before_left(tokens, span) in _PLACES
    return _HARDLY_A_NOUN if is_place else 0.0


def is_joint(side: Side, tokens: Sequence[Token], span: Span) -> bool:
    """Tell whether the word beside `span` only joins it to the rest of a query, and so says nothing of it.

    In the prose of a catalogue "shirts for ..." is seldom the product itself; in a query it mostly is.
    """
    if side == "right":
        return right_word(tokens, span) in _JOINTS
    return left_word(tokens, span) in {"of", "from"} and _before_left(tokens, span) == "made"


def _before_left(tokens: Sequence[Token], span: Span) -> str | None:
    return tokens[span.start - 2].norm if span.start > 1 else None
