"""schema.org products in JSON-LD: single ones, lists and graphs, and groups with their variants.

One document is held at a time. Nodes that refer to each other by `@id` are joined within it. A product's offers
become its price, currency and stock; what else it states keeps the names that schema.org has.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import orjson

from indexer.catalogue_formats import (
    MAX_LINE_BYTES,
    CatalogueError,
    FeedFormat,
    RawFeed,
    RawRow,
    RejectedRow,
    guarded,
    one_line,
    open_unpacked,
)
from indexer.catalogue_offers import offer_of
from indexer.catalogue_values import category_leaf
from indexer.catalogue_variants import Variant, apart, merged, put

Node = Mapping[str, object]

HTML_FIELDS: Final = frozenset({"title", "description"})
_TELLING = (b'"@type"', b'"@context"', b'"@graph"')
_PRODUCTS = frozenset({"Product", "ProductModel", "IndividualProduct", "SomeProducts"})
_GROUP = "ProductGroup"
_WAYS = ("@graph", "mainEntity", "itemListElement", "item")  # from a document to its products
_MAX_DEPTH = 16
_IDS = ("sku", "productID", "mpn", "gtin", "gtin14", "gtin13", "gtin12", "gtin8", "@id", "url")
_NAMES = {
    "name": "title",
    "image": "images",
    "material": "composition",
    "priceCurrency": "currency",
}
_NOT_FACTS = frozenset(
    {"offers", "hasVariant", "isVariantOf", "variesBy", "review", "reviews", "aggregateRating", "brand"}
    | {"image", "isRelatedTo", "isSimilarTo", "isAccessoryOrSparePartFor", "isConsumableFor", "mainEntityOfPage"}
    | {"potentialAction", "additionalProperty", "subjectOf", "video", "manufacturer", "inProductGroupWithID"}
)


def is_jsonld(head: bytes) -> bool:
    """Return whether the beginning of a JSON file has words that only JSON-LD has."""
    return any(word in head for word in _TELLING)


def jsonld_feed(documents: RawFeed, folder: Path, *, variants: bool) -> RawFeed:
    """Return the products of a feed each of whose rows is a document; pictures lie in `folder` if not on the web."""
    return linked_feed(_products(documents.rows, folder, variants=variants), FeedFormat.JSON_LD)


def document_feed(path: Path, *, variants: bool) -> RawFeed:
    """Return the products of a file that is one document.

    Raises:
        CatalogueError: it is no JSON, or larger than is read at once.
    """
    with open_unpacked(path) as file:
        content = guarded(path, lambda: file.read(MAX_LINE_BYTES + 1))
    if len(content) > MAX_LINE_BYTES:
        msg = (
            f"{path}: one document of more than {MAX_LINE_BYTES:,} bytes: write a list, or one product a line (.jsonl)"
        )
        raise CatalogueError(msg)
    try:
        document = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        msg = f"{path}: not valid JSON: {one_line(error)}"
        raise CatalogueError(msg) from error
    rows = iter([RawRow(1, {"@graph": document} if isinstance(document, list) else document)])
    return linked_feed(_products(rows, path.parent, variants=variants), FeedFormat.JSON_LD)


def linked_feed(rows: Iterator[RawRow | RejectedRow], kind: FeedFormat) -> RawFeed:
    """Return a feed of rows that `document_rows` made."""
    return RawFeed(rows, None, kind, _named, more_columns=True, html=HTML_FIELDS)


def _products(
    documents: Iterator[RawRow | RejectedRow], folder: Path, *, variants: bool
) -> Iterator[RawRow | RejectedRow]:
    count = itertools.count(1)
    for document in documents:
        if isinstance(document, RejectedRow):
            yield RejectedRow(next(count), document.field, document.reason, document.id, document.line)
            continue
        for values in document_rows(document.values, folder, variants=variants):
            yield RawRow(next(count), values, document.line)


def document_rows(document: object, folder: Path, *, variants: bool) -> Iterator[dict[str, object]]:
    """Yield a row for each product of a document; `variants`: for each variant of a group.

    Pictures with relative names are files in `folder` where they exist, else on the product's site.
    """
    nodes = list(_nodes(document))
    known = {key: node for node in nodes if len(node) > 1 and (key := _key(node))}
    parts = {key for node in nodes for key in _variant_keys(node) if key is not None}
    for node in nodes:
        is_group = _GROUP in _types(node)
        is_product = bool(_types(node) & _PRODUCTS)
        if not (is_group or is_product) or _key(node) in parts or _part_of(node, known):
            continue
        yield from _Reader(known, folder).rows(node, nodes, variants=variants)


def _nodes(value: object, depth: int = 0) -> Iterator[Node]:
    """Yield the objects of a document that may be products or parts of them."""
    if isinstance(value, list):
        for part in value:
            yield from _nodes(part, depth)
    elif isinstance(value, dict) and depth < _MAX_DEPTH:
        yield value
        if not _types(value) & _PRODUCTS:
            for way in _WAYS:
                yield from _nodes(value.get(way), depth + 1)


def _types(node: Node) -> set[str]:
    stated = node.get("@type")
    names = stated if isinstance(stated, list) else [stated]
    return {name.rpartition("/")[2].rpartition(":")[2] for name in names if isinstance(name, str)}


def _key(value: object) -> str | None:
    """Return what other nodes call a node."""
    key = value.get("@id") if isinstance(value, Mapping) else None
    return key if isinstance(key, str) else None


def _variant_keys(node: Node) -> Iterator[str | None]:
    if _GROUP in _types(node):
        yield from map(_key, _listed(node.get("hasVariant")))


def _part_of(node: Node, known: Mapping[str, Node]) -> bool:
    """Return whether a node is a variant of a group that the document has."""
    group = known.get(_key(node.get("isVariantOf")) or "")
    return group is not None and _GROUP in _types(group)


class _Reader:
    """Turns nodes into rows, with the nodes that they refer to."""

    def __init__(self, known: Mapping[str, Node], folder: Path) -> None:
        self._known = known
        self._folder = folder

    def rows(self, node: Node, nodes: Iterable[Node], *, variants: bool) -> Iterator[dict[str, object]]:
        """Yield the row of a product, or of a group, or of each of its variants."""
        parts = [self._full(part) for part in _listed(node.get("hasVariant"))]
        key = _key(node)
        if key is not None and _GROUP in _types(node):
            parts += [n for n in nodes if n not in parts and _key(n.get("isVariantOf")) == key]
        shared = self._facts(node)
        shared["id"] = self._id(node)
        images = self._images(node)
        if not parts:
            yield merged(shared, [self._variant(node, {})], images)
            return
        found = [self._variant(part, self._options(node, part)) for part in parts]
        if not variants:
            yield merged(shared, found, images)
            return
        for part, variant in zip(parts, found, strict=True):
            facts = {**shared, **self._facts(part)}
            title = _text(part.get("name"))
            row = apart(facts, variant, images, group=str(shared["id"] or ""), title=title or _text(node.get("name")))
            yield {**row, "title": title} if title else row

    def _variant(self, node: Node, options: Mapping[str, str]) -> Variant:
        offer = offer_of([self._full(part) for part in _listed(node.get("offers"))], self._full)
        columns: dict[str, object] = {"sku": _text(node.get("sku"))}
        if offer.unread is not None:
            columns["price"] = offer.unread  # for the catalogue to refuse
        images = tuple(self._images(node))
        return Variant(self._id(node), offer.price, offer.currency, offer.in_stock, options, images, columns)

    def _options(self, group: Node, part: Node) -> dict[str, str]:
        """Return what a variant has of the properties that its group varies by."""
        stated = [str(name).rpartition("/")[2] for name in _listed(group.get("variesBy")) if isinstance(name, str)]
        names = stated or ["color", "size", "pattern", "material"]
        own = self._facts(part)
        return {name: _text(own[name]) for name in names if own.get(name)}

    def _facts(self, node: Node) -> dict[str, object]:
        """Return what a node states in words and numbers, under schema.org's names."""
        row: dict[str, object] = {}
        for name, value in node.items():
            if not name.startswith("@") and name not in _NOT_FACTS:
                put(row, name.removeprefix("schema:"), [text for part in _listed(value) if (text := self._word(part))])
        for name in ("brand", "manufacturer"):
            word = next((w for part in _listed(node.get(name)) if (w := self._word(part))), None)
            if word:
                row.setdefault("brand", word)
        for prop in map(self._full, _listed(node.get("additionalProperty"))):
            name, value = _text(prop.get("name")), self._word(prop.get("value"))
            if name and value not in (None, ""):
                row.setdefault(name, value)
        return row

    def _word(self, value: object) -> object:
        """Return a value as a word or number; a node by its name or value; None for anything else."""
        if isinstance(value, dict):
            node = self._full(value)
            found = next((node[key] for key in ("@value", "name", "value") if key in node), None)
            return found if isinstance(found, str | int | float) else None
        return value if isinstance(value, str | int | float) else None

    def _full(self, value: object) -> Node:
        """Return the node that `value` is or refers to."""
        if not isinstance(value, dict):
            return {}
        return self._known.get(_key(value) or "", value) if len(value) == 1 else value

    def _id(self, node: Node) -> str:
        names = ("productGroupID", *_IDS) if _GROUP in _types(node) else _IDS
        return next((text for name in names if (text := _text(node.get(name)))), "")

    def _images(self, node: Node) -> list[str]:
        found: list[str] = []
        for value in _listed(node.get("image")):
            picture = self._full(value)
            stated = value if isinstance(value, str) else picture.get("contentUrl") or picture.get("url")
            found += [self._place(_text(part), _text(node.get("url"))) for part in _listed(stated) if _text(part)]
        return found

    def _place(self, reference: str, page: str) -> str:
        """Return where a picture is: `reference`, or what it means on the product's page."""
        if reference.startswith("//"):
            return f"https:{reference}"
        if "://" in reference or reference.startswith("data:") or not page.startswith(("http://", "https://")):
            return reference
        return reference if _is_file(self._folder, reference) else urljoin(page, reference)


def _named(values: Mapping[str, object]) -> dict[str, object]:
    """Return a row under our names; of a category that is a path, the last step."""
    row = {_NAMES.get(name, name): value for name, value in values.items()}
    stated = row.get("category")
    path = next((text for part in _listed(stated) if (text := _text(part))), "")
    if ">" in path:
        row["category_path"] = path
    row["category"] = category_leaf(path)
    return row


def _is_file(folder: Path, reference: str) -> bool:
    try:
        return (folder / reference).is_file()
    except (OSError, ValueError):
        return False


def _listed(value: object) -> list[object]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _text(value: object) -> str:
    """Return a text or number as text; of a list the first; nothing for anything else."""
    first = _listed(value)[0] if _listed(value) else None
    if isinstance(first, dict):
        first = first.get("@value")
    return str(first).strip() if isinstance(first, str | int | float) and not isinstance(first, bool) else ""
