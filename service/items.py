"""The items of a batch of writes: from JSON to checked changes, each by itself, every fault with its path.

An item is a whole product; with `partial`, some of its fields; with `delete`, its id alone. `if_version` is the version
the product must have.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from indexer.updates import Fields, Kind
from models.product import Product
from service.errors import PROBLEMS, FieldError, ProblemType
from service.problems import dotted, message_of

_CONTROLS: Final = ("partial", "delete", "if_version")
_NEVER_NULL: Final = ("id", "title", "attributes")
_EMPTY: Final[Mapping[str, JsonValue]] = {"description": "", "images": []}  # what null means there
_MOST_OF_ID: Final = 256  # characters that a result repeats


@dataclass(frozen=True, slots=True)
class Item:
    """A checked item.

    Attributes:
        path: Where it stands in the request.
        product_id: Whose change it is.
        kind: What it does.
        product: All of it, for a put.
        fields: What a patch changes, as JSON.
        if_version: The version the product must have.
    """

    path: str
    product_id: str
    kind: Kind
    product: Product | None = None
    fields: Fields | None = None
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of an item.

    Attributes:
        id: Its product, as far as it could be read.
        status: As HTTP's: 200, or that of the problem.
        version: Of the product now, where it is known.
        seq: Of the change in the log.
        errors: What was wrong with it.
    """

    id: str | None
    status: int
    version: int | None = None
    seq: int | None = None
    errors: tuple[FieldError, ...] = ()


class _Controls(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    partial: bool = False
    delete: bool = False
    if_version: Annotated[int, Field(ge=0, lt=2**53)] | None = None


def refused(
    path: str, product_id: str | None, kind: ProblemType, message: str, version: int | None = None
) -> ItemResult:
    """Return the result of an item that is not stored, its fault at `path`."""
    return ItemResult(product_id, PROBLEMS[kind][0], version, errors=(FieldError(path, message),))


def read_items(stated: Sequence[Mapping[str, JsonValue]], field: str) -> list[Item | ItemResult]:
    """Return the items of the list `field` of a request, or for a faulty one its result, in order."""
    first: dict[str, str] = {}
    read: list[Item | ItemResult] = []
    for number, one in enumerate(stated):
        path = f"{field}[{number}]"
        item = _read(one, path)
        if isinstance(item, Item):
            earlier = first.setdefault(item.product_id, path)
            if earlier != path:
                message = f"{earlier} is of the same product: send one after the other"
                item = refused(f"{path}.id", item.product_id, ProblemType.INVALID_REQUEST, message)
        read.append(item)
    return read


def _read(stated: Mapping[str, JsonValue], path: str) -> Item | ItemResult:
    try:
        controls = _Controls.model_validate_json(_json({k: v for k, v in stated.items() if k in _CONTROLS}))
        fields = {name: value for name, value in stated.items() if name not in _CONTROLS}
        if controls.delete:
            return _deletion(fields, controls, path)
        if controls.partial:
            return _partial(fields, controls, path)
        product = Product.model_validate_json(_json(fields), strict=True)
        return Item(path, product.id, Kind.PUT, product=product, if_version=controls.if_version)
    except ValidationError as error:
        status = PROBLEMS[ProblemType.INVALID_REQUEST][0]
        return ItemResult(_shown(stated.get("id")), status, errors=_faults(error, path))


def _deletion(fields: Fields, controls: _Controls, path: str) -> Item | ItemResult:
    product_id = _probe({"id": fields.get("id")}).id
    if len(fields) > 1 or controls.partial:
        message = "a deletion states the id of its product, and if_version at most"
        return refused(f"{path}.delete", product_id, ProblemType.INVALID_REQUEST, message)
    return Item(path, product_id, Kind.DELETE, if_version=controls.if_version)


def _partial(fields: Fields, controls: _Controls, path: str) -> Item | ItemResult:
    """Return a patch; null takes a field's value away, or an attribute."""
    stated = {name: _EMPTY[name] if value is None and name in _EMPTY else value for name, value in fields.items()}
    attributes = stated.get("attributes")
    dropped = [name for name, value in attributes.items() if value is None] if isinstance(attributes, dict) else []
    may_be_null = set(Product.model_fields) - set(_NEVER_NULL)
    given = {name: value for name, value in stated.items() if value is not None or name not in may_be_null}
    if isinstance(attributes, dict):
        given["attributes"] = {**attributes, **dict.fromkeys(dropped, "")}
    product = _probe(given)
    checked = product.model_dump(mode="json", include=set(stated) - {"id"})
    if not checked:
        message = "changes nothing: state the fields to change"
        return refused(path, product.id, ProblemType.INVALID_REQUEST, message)
    if dropped:
        checked["attributes"] = {**checked["attributes"], **dict.fromkeys(dropped)}
    return Item(path, product.id, Kind.PATCH, fields=checked, if_version=controls.if_version)


def _probe(given: Fields) -> Product:
    """Return a product with these fields, and some title if they have none.

    Raises:
        ValidationError: one of them does not hold what it should.
    """
    return Product.model_validate_json(_json({"title": "-", **given}), strict=True)


def _json(fields: Fields) -> str:
    return json.dumps(fields)


def _shown(product_id: JsonValue) -> str | None:
    """Return an id as far as an answer can carry it, None if it is none: callers' own can be anything."""
    return product_id[:_MOST_OF_ID].encode("utf-8", "replace").decode() if isinstance(product_id, str) else None


def _faults(error: ValidationError, path: str) -> tuple[FieldError, ...]:
    """Return what is wrong with an item; of an attribute's value one fault, not one for each kind it is not."""
    faults: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_input=False):
        field, *inner = fault["loc"] or ("",)
        if field == "attributes" and len(inner) > 1:
            faults[_at(path, (field, inner[0]))] = "must be text, a finite number, true or false, or a list of texts"
        else:
            faults[_at(path, fault["loc"])] = message_of(fault)
    return tuple(FieldError(at, message) for at, message in faults.items())


def _at(path: str, location: Sequence[str | int]) -> str:
    """Return the path of a fault within an item."""
    if not location:
        return path
    inner = dotted(("", *location))
    return f"{path}{inner}" if inner.startswith("[") else f"{path}.{inner}"
