"""The wording of queries: each function phrases one query about a product it is shown.

Counting, judging and writing queries is left to `demo.queries`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from demo.brands import BRAND_BY_NAME, Trap
from demo.items import Item
from demo.palette import COLOURS
from demo.patterns import Pattern
from demo.postings import Condition, patterned
from demo.taxonomy import CATEGORIES

ENTITY_GROUPS = ("brand", "category", "season", "composition")


@dataclass(slots=True)
class Draft:
    """A query being worded: its text so far, the entities named in it, and what a right answer must satisfy."""

    text: str = ""
    spans: list[tuple[str, str, int, int]] = field(default_factory=list)
    wanted: list[Condition] = field(default_factory=list)

    def say(self, words: str) -> "Draft":
        """Append plain words."""
        self.text = f"{self.text} {words}".strip() if words else self.text
        return self

    def name(self, group: str, value: str) -> "Draft":
        """Append an entity by its name, with its gold span."""
        self.say(value)
        self.spans.append((group, value, len(self.text) - len(value), len(self.text)))
        self.wanted.append((group, value))
        return self

    def ask(self, attribute: str, value: str, words: str = "") -> "Draft":
        """Append an attribute that is no entity, in `words` or by its value."""
        self.wanted.append((attribute, value))
        return self.say(words or value)


def _pattern(draft: Draft, item: Item) -> Draft:
    return draft.ask("pattern", item.pattern.value) if patterned(item) else draft


def brand(item: Item, rng: random.Random) -> Draft:
    """Ask for a brand, mostly with a category: no cue is needed where the name means nothing else."""
    form = rng.randrange(6)
    draft = Draft()
    if form == 0:
        return draft.name("brand", item.brand)
    if form == 1:
        return draft.name("category", item.category).say("by").name("brand", item.brand)
    if form == 2:
        return draft.name("category", item.category).say("from").name("brand", item.brand)
    if form == 3:
        return draft.say("new").name("brand", item.brand).name("category", item.category)
    return draft.name("brand", item.brand).name("category", item.category)


def ambiguous_brand(item: Item, rng: random.Random) -> Draft:
    """Ask for a brand whose name means something else too, with the cues a person gives.

    A bare colour in front of a category ("olive dress") means the colour, so such brands always get a cue.
    """
    cued: list[Callable[[Draft], Draft]] = [
        lambda d: d.name("category", item.category).say("by").name("brand", item.brand),
        lambda d: d.name("category", item.category).say("from").name("brand", item.brand),
        lambda d: d.say("something by").name("brand", item.brand),
        lambda d: d.say("the brand").name("brand", item.brand).say(",").name("category", item.category),
        lambda d: d.ask("colour", item.colour).name("category", item.category).say("by").name("brand", item.brand),
        lambda d: d.name("brand", item.brand).ask("colour", item.colour).name("category", item.category),
        lambda d: d.name("brand", item.brand).name("category", item.category).say("in").ask("colour", item.colour),
    ]
    bare: list[Callable[[Draft], Draft]] = [
        lambda d: d.name("brand", item.brand),
        lambda d: d.name("brand", item.brand).name("category", item.category),
        lambda d: d.say("new").name("brand", item.brand).name("category", item.category),
    ]
    forms = cued if BRAND_BY_NAME[item.brand].trap is Trap.COLOUR else cued + 2 * bare
    return rng.choice(forms)(Draft())


_IDIOMS = (
    "no guesswork gift :", "a map and compass weekend with a", "beach driftwood mood ,", "for lantern light dinners ,",
    "an honest everyday", "for a cosy corner ,", "monday morning", "for tea and a biscuit ,", "for gravel paths , a",
    "postcard pretty", "top quality", "to watch the sunset in ,", "to tie an outfit together ,", "for harbor walks , a",
    "clean as a whistle ,", "with the glow of an ember ,", "worth every copper ,", "echo of the seventies ,",
)  # fmt: skip


def plain_word(item: Item, rng: random.Random) -> Draft:
    """Use the name of a brand in its everyday sense: only the category is an entity."""
    loaded = [w for w in (item.colour, *COLOURS[item.colour].words) if _has_brand_word(w)]
    draft = Draft()
    if loaded and rng.random() < 0.75:
        words = rng.choice(loaded)
        form = rng.randrange(3)
        if form == 0:
            return draft.name("category", item.category).say("in").ask("colour", item.colour, words)
        draft = draft.ask("colour", item.colour, words)
        return (_pattern(draft, item) if form == 1 else draft).name("category", item.category)
    idiom = rng.choice([words for words in _IDIOMS if item.category.lower() not in words.split()])
    return _pattern(draft.say(idiom).ask("colour", item.colour), item).name("category", item.category)


def _has_brand_word(words: str) -> bool:
    plain = {brand.plain for brand in BRAND_BY_NAME.values() if brand.plain}
    return bool(plain.intersection(words.split()))


def _detail(item: Item, rng: random.Random) -> tuple[str, str, str] | None:
    spoken = [(slot, value) for slot, value in item.details.items() if CATEGORIES[item.category].slots[slot][value]]
    if not spoken:
        return None
    slot, value = rng.choice(spoken)
    return slot, value, rng.choice(CATEGORIES[item.category].slots[slot][value])


def attribute(item: Item, rng: random.Random) -> Draft:
    """Ask by visible attributes and category, without a brand."""
    draft, form = Draft(), rng.randrange(6)
    detail = _detail(item, rng)
    if form == 0 and detail:
        return draft.ask("colour", item.colour).name("category", item.category).say("with").ask(*detail)
    if form == 1 and detail:
        return _pattern(draft, item).name("category", item.category).say("with").ask(*detail)
    if form == 2 and patterned(item):
        draft = draft.ask("pattern", item.pattern.value).name("category", item.category).say("in")
        return draft.ask("colour", item.colour).say("and").ask("second_colour", item.second_colour)
    if form == 3:
        return (
            draft.ask("colour", item.colour).name("composition", item.composition.value).name("category", item.category)
        )
    if form == 4 and item.season != "All year":
        draft = _pattern(draft.ask("colour", item.colour), item).name("category", item.category)
        return draft.say("for").name("season", item.season)
    return _pattern(draft.ask("colour", item.colour), item).name("category", item.category)


def category(item: Item, rng: random.Random) -> Draft:
    """Ask for a category, alone or with a season or a composition."""
    draft, form = Draft(), rng.randrange(5)
    if form == 0:
        return draft.name("category", item.category)
    if form == 1:
        return draft.name("season", item.season).name("category", item.category)
    if form == 2 and item.season != "All year":
        return draft.name("category", item.category).say("for").name("season", item.season)
    if form == 3:
        return draft.name("composition", item.composition.value).name("category", item.category)
    return draft.name("category", item.category).say("made of").name("composition", item.composition.value)


def product(item: Item, rng: random.Random) -> Draft:
    """Ask for one product the way its title would be remembered: brand, category, colour, pattern and more."""
    draft, form = Draft(), rng.randrange(4)
    if form == 0:
        draft = _pattern(draft.name("brand", item.brand).ask("colour", item.colour), item)
        draft = draft.name("composition", item.composition.value).name("category", item.category)
    elif form == 1:
        draft = _pattern(draft.ask("colour", item.colour), item)
        draft = draft.name("composition", item.composition.value).name("category", item.category)
        draft = draft.say("by").name("brand", item.brand)
    elif form == 2:
        draft = draft.name("brand", item.brand).name("season", item.season).name("category", item.category)
        draft = _pattern(draft.ask("colour", item.colour), item)
    else:
        draft = _pattern(draft.name("category", item.category).say("from").name("brand", item.brand).say("in"), item)
        draft = draft.ask("colour", item.colour)
        if item.pattern is not Pattern.PLAIN:
            draft = draft.say("and").ask("second_colour", item.second_colour)
    detail = _detail(item, rng) if rng.random() < 0.5 else None
    return draft.say("with").ask(*detail) if detail else draft
