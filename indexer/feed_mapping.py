"""The mapping file of a feed: which columns hold what, kept beside the feed instead of on a command line.

`python -m indexer inspect FEED --write FILE` writes one; `build`, `convert` and `inspect` take it with `--mapping`,
and flags win over it.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self, TypedDict, Unpack

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from indexer.catalogue import CatalogueOptions
from models.product import Product

MAPPED = frozenset(Product.model_fields) - {"attributes"} | {"image_bytes"}
_DEFAULTED = MAPPED - {"id", "title", "images", "image_bytes"}
_MAX_BYTES = 2**20


class FlagError(ValueError):
    """A flag that does not say what it should."""


class MappingError(ValueError):
    """A mapping file that does not say what it should, or cannot be read."""


class ReadingFlags(TypedDict, total=False):
    """Flags about reading a feed that no mapping file has, as `CatalogueOptions` calls them."""

    image_root: Path | None
    allow_outside: bool
    keep_without_images: bool


class FeedMapping(BaseModel):
    """How the columns of a feed are to be read.

    Attributes:
        fields: product field -> the feed's column for it.
        defaults: product field -> what it is where a row states nothing for it.
        ignore: columns to leave out.
        html: product fields whose text is HTML.
        variants: whether each variant of a product is a product of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    ignore: list[str] = Field(default_factory=list)
    html: list[str] = Field(default_factory=list)
    variants: bool = False
    fields_: dict[str, str] = Field(default_factory=dict, alias="fields")
    defaults: dict[str, str | float | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        named = (("fields", self.fields_, MAPPED), ("defaults", self.defaults, _DEFAULTED), ("html", self.html, MAPPED))
        for key, names, allowed in named:
            unknown = next((name for name in names if name not in allowed), None)
            if unknown is not None:
                msg = f"{key}: {unknown!r} is none of {', '.join(sorted(allowed))}"
                raise ValueError(msg)
        return self

    def with_flags(self, fields: Mapping[str, str], ignore: Iterable[str], *, variants: bool) -> "FeedMapping":
        """Return this mapping with what flags say, which win."""
        return FeedMapping(
            fields={**self.fields_, **fields},
            ignore=list(dict.fromkeys([*self.ignore, *ignore])),
            variants=self.variants or variants,
            html=self.html,
            defaults=self.defaults,
        )

    def options(self, **flags: Unpack[ReadingFlags]) -> CatalogueOptions:
        """Return how to read a feed by this mapping."""
        return CatalogueOptions(
            mapping=self.fields_,
            ignore=frozenset(self.ignore),
            defaults=self.defaults,
            html=frozenset(self.html),
            variants=self.variants,
            **flags,
        )


def read_mapping(path: Path) -> FeedMapping:
    """Return what a mapping file says.

    Raises:
        MappingError: it cannot be read, or a key in it is unknown or has a value of another kind; one line names it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        stated = tomllib.loads(content[:_MAX_BYTES].decode())
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise MappingError(msg) from error
    except ValueError as error:  # not TOML, or not UTF-8
        msg = f"{path}: not valid TOML: {error}"
        raise MappingError(msg) from error
    try:
        return FeedMapping.model_validate(stated)
    except ValidationError as error:
        msg = f"{path}: {_first_problem(error)}"
        raise MappingError(msg) from error


def pairs(flag: str, texts: Iterable[str]) -> dict[str, str]:
    """Return `{left: right}` of texts `left=right`.

    Raises:
        FlagError: one is none.
    """
    found: dict[str, str] = {}
    for text in texts:
        left, equals, right = text.partition("=")
        if not equals or not left.strip() or not right.strip():
            msg = f"{flag} {text!r}: expected NAME=VALUE"
            raise FlagError(msg)
        found[left.strip()] = right.strip()
    return found


def reading(
    mapping_file: Path | None,
    mapping: Iterable[str],
    ignore: Iterable[str],
    *,
    variants: bool,
    **flags: Unpack[ReadingFlags],
) -> CatalogueOptions:
    """Return how a feed is to be read, by its mapping file and the flags that win over it.

    Raises:
        FlagError: a flag does not say what it should.
        MappingError: the mapping file does not.
    """
    stated = read_mapping(mapping_file) if mapping_file is not None else FeedMapping()
    return stated.with_flags(pairs("--map", mapping), ignore, variants=variants).options(**flags)


def mapping_text(mapping: FeedMapping, source: str) -> str:
    """Return the words of a mapping file; `source` says in its first line what it is of."""
    lines = ["# " + "".join(c for c in source if c.isprintable()), f"variants = {_toml(mapping.variants)}"]
    lines += [f"{key} = {_toml(value)}" for key, value in (("ignore", mapping.ignore), ("html", mapping.html)) if value]
    for table, entries in (("fields", mapping.fields_), ("defaults", mapping.defaults)):
        if entries:
            lines += ["", f"[{table}]", *(f"{name} = {_toml(value)}" for name, value in entries.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """Return a value in TOML: for texts, truths and lists of them that is JSON, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        keys = ", ".join(f.alias or name for name, f in FeedMapping.model_fields.items())
        return f"unknown key {where!r}; its keys are {keys}"
    reason = first["msg"].removeprefix("Value error, ")
    return f"{where}: {reason[:1].lower()}{reason[1:]}" if where else reason
