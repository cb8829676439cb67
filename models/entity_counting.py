"""Counts entity values and the uses of their surfaces in a catalogue, for `models.entity_statistics`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from models.lexicon import PLAIN, Form, Lexicon, Reading, is_name, part_keys, reading_name
from models.neighbours import NeighbourKinds, Side, TextSource, left_word, right_word
from models.product import ENTITY_FIELDS, Product
from models.surfaces import Token, tokenize

_MAX_ATTRIBUTE_VALUES = 512  # an attribute with more is no closed list of colours, patterns, sizes, ...
_MAX_NEIGHBOURS_HELD = 400  # per surface and side while counting: memory stays bounded
_MAX_NEIGHBOURS = 40
_MAX_WORDS_HELD = 400_000
_MAX_WORDS = 50_000
_MIN_WORD_PRODUCTS = 2

Values = Mapping[str, frozenset[str]]
"""Group -> canonical values of one product."""


def count_catalogue(products: Iterable[Product], groups: tuple[str, ...]) -> dict[str, object]:
    """Return the fields of `EntityStatistics` for `products`.

    Raises:
        TypeError: `products` is an iterator, which can be read only once.
    """
    if isinstance(products, Iterator):
        msg = "products are read twice: pass a sequence or an object whose __iter__ starts anew"
        raise TypeError(msg)
    counted, vocabulary = _count_values(products, groups)
    uses = _Uses(Lexicon(vocabulary), groups)
    for product in products:
        uses.add(product)
    return {"products": counted, "groups": groups, "vocabulary": vocabulary, **uses.result()}


def product_values(product: Product) -> Iterator[tuple[str, str]]:
    """Yield group and value of everything a product states in words."""
    for group in ENTITY_FIELDS:
        value = getattr(product, group)
        if value:
            yield group, value
    for group, stated in product.attributes.items():
        for value in stated if isinstance(stated, tuple) else (stated,):
            if isinstance(value, str) and value and group not in ENTITY_FIELDS:
                yield group, value


def _count_values(products: Iterable[Product], groups: tuple[str, ...]) -> tuple[int, dict[str, dict[str, int]]]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    open_ended: set[str] = set()
    counted = 0
    for product in products:
        counted += 1
        for group, value in product_values(product):
            if group not in open_ended:
                counts[group][value] += 1
                if len(counts[group]) > _MAX_ATTRIBUTE_VALUES and group not in groups:
                    open_ended.add(group)
                    del counts[group]
    wanted = sorted({*groups, *counts})
    return counted, {group: dict(counts[group]) for group in wanted}


class _Uses:
    """Counts the uses of the lexicon's surfaces, product by product."""

    def __init__(self, lexicon: Lexicon, groups: tuple[str, ...]) -> None:
        self._lexicon = lexicon
        self._entity_groups = frozenset(groups)
        self._texts: dict[TextSource, defaultdict[str, Counter[str]]] = {
            "title": defaultdict(Counter),
            "description": defaultdict(Counter),
        }
        self._contexts: Counter[tuple[TextSource, Side, str, str]] = Counter()
        self._neighbours: defaultdict[tuple[str, Side], dict[str, Counter[str]]] = defaultdict(dict)
        self._held: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._words: Counter[str] = Counter()
        self._title_words: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._contested: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for key in lexicon.keys:
            readings = lexicon.readings(key)
            for reading in readings if len(readings) > 1 else ():
                self._contested[reading.group, reading.value].append(key)

    def add(self, product: Product) -> None:
        """Count one product."""
        values = self._values(product)
        words: set[str] = set()
        texts: dict[TextSource, str] = {"title": product.title, "description": product.description}
        for source, text in texts.items():
            tokens = tokenize(text)
            found = {token.norm for token in tokens}
            words |= found
            if source == "title":
                self._title_words.update(found)
            self._add_text(source, tokens, values)
        self._words.update(words)
        self._words, self._title_words = _bounded(self._words), _bounded(self._title_words)
        self._add_held(values)
        self._add_pairs(values)

    def _values(self, product: Product) -> Values:
        values: defaultdict[str, set[str]] = defaultdict(set)
        for group, value in product_values(product):
            canonical = self._lexicon.canonical(group, value)
            if canonical is not None:
                values[group].add(canonical)
        return {group: frozenset(found) for group, found in values.items()}

    def _labels(self, key: str, values: Values) -> list[Reading] | None:
        """Return the readings of a surface this product bears out; entities before attributes.

        None: the product leaves all groups concerned unstated, or its own name has these words ("Arrow" on a
        product of Arrow Sport), so it cannot tell.
        """
        readings = self._lexicon.readings(key)
        found = [r for r in readings if r.value in values.get(r.group, ())]
        if not found and not any(r.group in values for r in readings):
            return None
        if not found and any(is_name(r.group) and self._is_part(key, values.get(r.group, ())) for r in readings):
            return None
        return [r for r in found if r.group in self._entity_groups] or found

    @staticmethod
    def _is_part(key: str, names: Iterable[str]) -> bool:
        return any(key in part_keys(name) for name in names)

    def _add_text(self, source: TextSource, tokens: Sequence[Token], values: Values) -> None:
        spans = self._lexicon.find(tokens)
        kinds = NeighbourKinds(self._lexicon, tokens, spans)
        seen: set[tuple[str, str]] = set()
        for span in spans:
            labels = self._labels(span.key, values)
            if labels is None:
                continue
            seen.update((span.key, r.name) for r in labels)
            if not labels:
                seen.add((span.key, PLAIN))
            if len(labels) <= 1:
                group = labels[0].group if labels else PLAIN
                self._contexts[source, "left", group, kinds.left(span)] += 1
                self._contexts[source, "right", group, kinds.right(span)] += 1
                self._add_neighbour(span.key, "left", left_word(tokens, span), group)
                self._add_neighbour(span.key, "right", right_word(tokens, span), group)
        for key, name in seen:
            self._texts[source][key][name] += 1

    def _add_neighbour(self, key: str, side: Side, word: str | None, group: str) -> None:
        held = self._neighbours[key, side]
        if word is not None and (word in held or len(held) < _MAX_NEIGHBOURS_HELD):
            held.setdefault(word, Counter())[group] += 1

    def _add_held(self, values: Values) -> None:
        for group, found in values.items():
            for value in found:
                for key in self._contested.get((group, value), ()):
                    if any((r.group, r.value) == (group, value) for r in self._labels(key, values) or ()):
                        self._held[key][reading_name(group, value)] += 1

    def _add_pairs(self, values: Values) -> None:
        named = [(group, reading_name(group, value)) for group, found in values.items() for value in found]
        for group, name in named:
            if group in self._entity_groups:
                self._pairs.update((name, other) for other_group, other in named if other_group != group)

    def result(self) -> dict[str, object]:
        """Return what was counted, without what no open question needs."""
        open_keys = [key for key in self._lexicon.keys if self._is_open(key)]
        names = {r.name for key in open_keys for r in self._lexicon.readings(key)}
        pairs: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (name, other), count in self._pairs.items():
            if name in names:
                pairs[name][other] = count
        return {
            "words": _frequent(self._words),
            "title_words": _frequent(self._title_words),
            "evidence": {key: self._evidence(key) for key in open_keys},
            "contexts": self._nested_contexts(),
            "pairs": pairs,
        }

    def _is_open(self, key: str) -> bool:
        readings = self._lexicon.readings(key)
        if not any(r.group in self._entity_groups for r in readings):
            return False
        plain = any(self._texts[source][key][PLAIN] for source in self._texts if key in self._texts[source])
        return plain or len(readings) > 1 or readings[0].form is Form.PARTIAL

    def _evidence(self, key: str) -> dict[str, object]:
        readings = self._lexicon.readings(key)
        held = self._held[key] or {r.name: self._lexicon.total(r.group, r.value) for r in readings}
        return {
            **{source: dict(self._texts[source].get(key, {})) for source in self._texts},
            "held": dict(held),
            "left": _most_frequent(self._neighbours.get((key, "left"), {})),
            "right": _most_frequent(self._neighbours.get((key, "right"), {})),
        }

    def _nested_contexts(self) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
        nested: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
        for (source, side, group, kind), count in self._contexts.items():
            nested.setdefault(source, {}).setdefault(side, {}).setdefault(group, {})[kind] = count
        return nested


def _bounded(words: Counter[str]) -> Counter[str]:
    return words if len(words) <= _MAX_WORDS_HELD else Counter(dict(words.most_common(_MAX_WORDS_HELD // 2)))


def _frequent(words: Counter[str]) -> dict[str, int]:
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:_MAX_WORDS]
    return {word: count for word, count in ranked if count >= _MIN_WORD_PRODUCTS}


def _most_frequent(neighbours: Mapping[str, Counter[str]]) -> dict[str, Counter[str]]:
    ranked = sorted(neighbours.items(), key=lambda item: (-item[1].total(), item[0]))
    return dict(ranked[:_MAX_NEIGHBOURS])
