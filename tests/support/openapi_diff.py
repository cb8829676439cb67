"""What a change of the OpenAPI document breaks for those who call the API, each as a sentence.

A request may ask less of callers and take more from them; an answer may hold more and leave open less. So a schema is
compared in one of two directions: what callers send must still be taken, what they are sent must still be what they
were told. New paths, new optional parameters and new fields of answers break nothing, and neither do new values of an
enumeration in an answer: callers are told to expect them.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_METHODS = ("get", "put", "post", "delete", "patch")
# Bounds by which way they narrow: down, to a smaller one; up, to a larger one.
_DOWN = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
_UP = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_DEEPEST = 12  # of the API's own schemas, none is half as deep; a recursive one ends here


def breaking(old: Schema, new: Schema) -> list[str]:
    """Return a sentence for each thing that worked for callers of the API `old` and does not with `new`."""
    return list(dict.fromkeys(_Comparison(old, new).sentences()))


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new

    def sentences(self) -> Iterator[str]:
        for path, operations in self._old["paths"].items():
            if path not in self._new["paths"]:
                yield f"The path {path} is gone."
                continue
            for method in _METHODS:
                if method in operations:
                    name = f"{method.upper()} {path}"
                    if method in self._new["paths"][path]:
                        yield from self._operation(name, operations[method], self._new["paths"][path][method])
                    else:
                        yield f"{name} is gone."

    def _operation(self, name: str, old: Schema, new: Schema) -> Iterator[str]:
        yield from self._parameters(name, old, new)
        yield from self._body(name, old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            if not status.startswith("2"):
                continue
            if status not in new["responses"]:
                yield f"{name} answers with {status} no more."
                continue
            for media, content in answer.get("content", {}).items():
                there = new["responses"][status].get("content", {})
                if media not in there:
                    yield f"{name} answers with {media} no more."
                elif "schema" in content:
                    yield from self._sent(f"the answer of {name}", content["schema"], there[media].get("schema", {}))

    def _parameters(self, name: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = (
            {(each["in"], each["name"]): each for each in operation.get("parameters", ())} for operation in (old, new)
        )
        for (where, parameter), stated in before.items():
            what = f"the {where} parameter {parameter} of {name}"
            if (where, parameter) not in after:
                yield f"{_capital(what)} is gone, and callers who send it are refused."
            else:
                now = after[where, parameter]
                if now.get("required") and not stated.get("required"):
                    yield f"{_capital(what)} is required now."
                yield from self._taken(what, stated.get("schema", {}), now.get("schema", {}))
        for (where, parameter), stated in after.items():
            if stated.get("required") and (where, parameter) not in before:
                yield f"{name} has a new required {where} parameter: {parameter}."

    def _body(self, name: str, old: Schema | None, new: Schema | None) -> Iterator[str]:
        if old is None:
            if new is not None and new.get("required"):
                yield f"{name} needs a body now."
            return
        if new is None:
            yield f"{name} takes no body any more."
            return
        if new.get("required") and not old.get("required"):
            yield f"{name} needs a body now."
        for media, content in old["content"].items():
            if media not in new["content"]:
                yield f"{name} takes {media} no more."
            else:
                yield from self._taken(f"the body of {name}", content["schema"], new["content"][media]["schema"])

    def _taken(self, what: str, old: Schema, new: Schema, depth: int = 0) -> Iterator[str]:
        """What fits `old`, callers send: it must fit `new`."""
        before, after = self._alternatives(self._old, old), self._alternatives(self._new, new)
        lost = sorted(before.keys() - after.keys() - ({"integer"} if "number" in after else set()))
        if lost and "any" not in after:
            yield f"{_capital(what)} may be {' or '.join(lost)} no more."
        for kind in before.keys() & after.keys() if depth < _DEEPEST else ():
            yield from self._narrowed(what, before[kind], after[kind])
            yield from self._taken_within(what, before[kind], after[kind], depth + 1)

    def _taken_within(self, what: str, old: Schema, new: Schema, depth: int) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for field, schema in before.items():
            if field in after:
                yield from self._taken(f"{field} in {what}", schema, after[field], depth)
            elif new.get("additionalProperties") is False:
                yield f"{_capital(what)} has no field {field} any more, and callers who send it are refused."
        for field in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{_capital(what)} needs the field {field} now."
        if new.get("additionalProperties", True) is False and old.get("additionalProperties", True) is not False:
            yield f"{_capital(what)} may hold no other fields any more."
        for inner in ("items", "additionalProperties"):
            if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
                yield from self._taken(f"each of {what}", old[inner], new[inner], depth)

    def _narrowed(self, what: str, old: Schema, new: Schema) -> Iterator[str]:
        for bounds, worse in ((_DOWN, lambda now, was: now < was), (_UP, lambda now, was: now > was)):
            for bound in bounds:
                if bound in new and (bound not in old or worse(new[bound], old[bound])):
                    yield f"{bound} of {what} is {new[bound]} now; it was {old.get(bound, 'free')}."
        if new.get("pattern") not in {None, old.get("pattern")}:
            yield f"The pattern of {what} is another: {new['pattern']}."
        values, now = _values(old), _values(new)
        if now is not None and values is None:
            yield f"{_capital(what)} may be nothing but {_listed(now)} now."
        elif now is not None and values is not None and (lost := [value for value in values if value not in now]):
            yield f"{_capital(what)} may be {_listed(lost)} no more."

    def _sent(self, what: str, old: Schema, new: Schema, depth: int = 0) -> Iterator[str]:
        """What fits `new`, callers get: it must fit `old`."""
        before, after = self._alternatives(self._old, old), self._alternatives(self._new, new)
        added = sorted(after.keys() - before.keys() - ({"integer"} if "number" in before else set()))
        if added and "any" not in before:
            yield f"{_capital(what)} may be {' or '.join(added)} now, which callers do not expect."
        for kind in before.keys() & after.keys() if depth < _DEEPEST else ():
            yield from self._sent_within(what, before[kind], after[kind], depth + 1)

    def _sent_within(self, what: str, old: Schema, new: Schema, depth: int) -> Iterator[str]:
        fields = new.get("properties", {})
        for field, schema in old.get("properties", {}).items():
            if field not in fields:
                yield f"{_capital(what)} has no field {field} any more."
                continue
            if field in old.get("required", ()) and field not in new.get("required", ()):
                yield f"{field} in {what} is not always there any more."
            yield from self._sent(f"{field} in {what}", schema, fields[field], depth)
        for inner in ("items", "additionalProperties"):
            if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
                yield from self._sent(f"each of {what}", old[inner], new[inner], depth)

    def _alternatives(self, document: Schema, schema: Schema) -> dict[str, Schema]:
        """Return what a value may be: its types (`any` where all are), each with the schema that says more."""
        if "$ref" in schema:
            return self._alternatives(document, _resolved(document, schema["$ref"]))
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            found: dict[str, Schema] = {}
            for choice in choices:
                for kind, stated in self._alternatives(document, choice).items():
                    found[kind] = _either(found[kind], stated) if kind in found else stated
            return found
        kinds = schema.get("type", "any")
        return dict.fromkeys([kinds] if isinstance(kinds, str) else kinds, schema)


def _resolved(document: Schema, reference: str) -> Schema:
    found = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def _either(one: Schema, other: Schema) -> Schema:
    """Return what two alternatives of one type have in common, so that neither's own bounds are taken for both's."""
    values = [] if (first := _values(one)) is None or (second := _values(other)) is None else [*first, *second]
    shared = {name: stated for name, stated in one.items() if other.get(name) == stated}
    return {**shared, "enum": values} if values else shared


def _values(schema: Schema) -> list[object] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _listed(values: list[object]) -> str:
    return ", ".join(map(repr, values))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
