"""One product, and the words the encoder reads of it.

This is the only definition of a product and of its canonical text: training, indexing and serving all
import it, so the same product gives the same vector everywhere. Reading products from files is left to
`indexer.catalogue`; turning text into vectors to `models.encoder`.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

TextField = Literal["title", "description"]
AttributeValue = bool | float | str | tuple[str, ...]

DEFAULT_TEXT_FIELDS: tuple[TextField, ...] = ("title", "description")
SPLIT_ATTRIBUTE = "split"  # train, val or test: for training and measuring, and nothing to search for
DEFAULT_ENTITY_GROUPS: tuple[str, ...] = ("brand", "category", "season", "composition")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc
_SPACES = re.compile(r"\s+")


def clean_text(text: str) -> str:
    """Return `text` in NFC with control characters removed and white space folded to single spaces."""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", _CONTROL.sub(" ", text))).strip()


def _finite(value: float) -> float:
    if not math.isfinite(value):
        msg = "must be a finite number"
        raise ValueError(msg)
    return value


CleanText = Annotated[str, AfterValidator(clean_text)]
ShortText = Annotated[str, StringConstraints(max_length=1_000), AfterValidator(clean_text)]
ProductId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Price = Annotated[float, Field(ge=0), AfterValidator(_finite)]


MOST_ATTRIBUTES = 1_000
"""Attributes one product may have."""


class Product(BaseModel):
    """A thing for sale, as its feed describes it. Immutable; unknown fields are refused.

    `brand`, `category`, `season` and `composition` are the usual entity groups; any name in `attributes`
    can serve as a further group. `images` are references in display order: a path, an http(s) URL, or
    `sha256:<hex>` for bytes that came with the feed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    id: ProductId
    title: Annotated[ShortText, Field(min_length=1)]
    description: Annotated[CleanText, StringConstraints(max_length=50_000)] = ""
    brand: ShortText | None = None
    category: ShortText | None = None
    season: ShortText | None = None
    composition: ShortText | None = None
    price: Price | None = None
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    in_stock: bool | None = None
    url: ShortText | None = None
    group: ShortText | None = None
    images: tuple[str, ...] = ()
    attributes: Mapping[str, AttributeValue] = Field(default_factory=dict, max_length=MOST_ATTRIBUTES)

    def entities(self, groups: Iterable[str] = DEFAULT_ENTITY_GROUPS) -> dict[str, str]:
        """Return `{group: value}` for the groups this product states, in the order of `groups`."""
        found: dict[str, str] = {}
        for group in groups:
            value = getattr(self, group) if group in ENTITY_FIELDS else self.attributes.get(group)
            if isinstance(value, str) and value:
                found[group] = value
        return found


ENTITY_FIELDS = frozenset(DEFAULT_ENTITY_GROUPS)


def product_from_row(row: Mapping[str, object]) -> Product:
    """Return the product of one flat row of a feed: columns that no field claims become attributes.

    Empty strings, empty lists and None count as absent; numbers and booleans keep their type.

    Raises:
        pydantic.ValidationError: a field does not hold what it should; `loc` names it.
    """
    stated = {key: value for key, value in row.items() if value is not None and value not in ("", [])}
    fields = {key: value for key, value in stated.items() if key in Product.model_fields}
    extra = {key: value for key, value in stated.items() if key not in Product.model_fields}
    nested = fields.get("attributes", {})
    if extra and isinstance(nested, Mapping):
        fields["attributes"] = {**nested, **extra}
    return Product.model_validate(fields)


def canonical_text(product: Product, fields: Iterable[TextField] = DEFAULT_TEXT_FIELDS) -> str:
    """Return the words the text encoder reads of `product`: `fields` joined by `. `, empty ones left out.

    A checkpoint's card records which fields it was trained on; indexing and serving read them from there.
    """
    parts = (getattr(product, field).rstrip(".") for field in fields)
    return ". ".join(part for part in parts if part)


def paste_entities(text: str, entities: Mapping[str, str]) -> str:
    """Return `text` with the entity values pasted in front, as the baseline EI-CLIP argues against reads it.

    System 3 of EI-CLIP (CVPR 2022), Table 2: entities are ordinary words of the description.
    """
    return ". ".join(part for part in (" ".join(entities.values()), text) if part)
