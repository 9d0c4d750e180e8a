"""pydantic's errors, said as faults: where, which line, what is wrong, the nearest valid key."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import Fault
from pipeline.text import one_line

Locate = Callable[[Sequence[str | int]], tuple[str, int | None]]

TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": 'a text in quotes "..."',
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list [...]",
    "frozen_set_type": "a list [...]",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "datetime_type": "a date with time, such as 2027-01-31T23:59:00+01:00",
    "datetime_parsing": "a date with time, such as 2027-01-31T23:59:00+01:00",
    "datetime_from_date_parsing": "a date with time, such as 2027-01-31T23:59:00+01:00",
    "path_type": 'a path in quotes "..."',
}

BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def faults_of(error: ValidationError, model: type[BaseModel], locate: Locate) -> list[Fault]:
    """Every error of a validation as a fault. `locate` gives a key's file (or other origin) and line."""
    faults = []
    for detail in error.errors(include_url=False):
        place, table = walked(model, detail["loc"])
        if detail["type"] == "combination":
            place = (*place, detail["ctx"]["key"])
        where, line = locate(place)
        message, hint = say(detail, place, table)
        faults.append(Fault(where, message, hint, line))
    return faults


def say(detail: ErrorDetails, location: Sequence[str | int], table: type[BaseModel]) -> tuple[str, str]:
    """What one error is about, and what to do. `table` is the model that the key at `location` stands in."""
    key = next((str(part) for part in reversed(location) if isinstance(part, str)), "")
    kind, value, context = detail["type"], shown(detail.get("input")), detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key `{one_line(key, 60)}`", nearest(key, table.model_fields)
    if kind == "missing":
        return f"`{key}` is missing", "add it"
    if kind == "timezone_aware":
        return f"`{key}` has no time zone", "write one, such as 2027-01-31T23:59:00+01:00"
    if kind == "combination":
        return str(context["what"]), str(context["hint"])
    if kind == "value_error":
        return str(context.get("error", detail["msg"])), ""
    if kind == "string_pattern_mismatch":
        return f"`{key}` is {value}, which does not have the form {context.get('pattern')}", ""
    if kind == "union_tag_invalid":
        return f"`kind` of `{key}` is {shown(context.get('tag'))}", f"it is one of {context.get('expected_tags')}"
    if kind in {"enum", "literal_error"}:
        return f"`{key}` is {value}", f"it is one of {context.get('expected')}"
    if kind in TYPES:
        return f"`{key}` is {value}, and {TYPES[kind]} is needed", ""
    if kind in BOUNDS:
        bound, words = BOUNDS[kind]
        return f"`{key}` is {value}, and {words} {context.get(bound)} is needed", ""
    return f"`{key}` is {value}: {detail['msg'][:1].lower()}{detail['msg'][1:]}", ""


def shown(value: Any) -> str:
    """A value as a person wrote it, short."""
    if isinstance(value, str):
        return f'"{one_line(value, 60)}"'
    if isinstance(value, bool):
        return str(value).lower()
    return one_line(str(value), 60)


def nearest(key: str, valid: Iterable[str]) -> str:
    """A hint that names the valid key nearest to `key`, or all of them."""
    names = sorted(valid)
    near = difflib.get_close_matches(key, names, n=1) or difflib.get_close_matches(key.lower(), names, n=1)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"the keys here are {', '.join(names)}" if names else "no key can be set here"


def walked(model: type[BaseModel], location: Sequence[str | int]) -> tuple[tuple[str | int, ...], type[BaseModel]]:
    """The location without the tags of unions, which no file has, and the model that its last key stands in."""
    place: list[str | int] = []
    kinds: dict[str, type[BaseModel]] = {}
    inner: type[BaseModel] | None = model
    for part in location:
        if str(part) in kinds:
            inner, kinds = kinds[str(part)], {}
            continue
        place.append(part)
        field = inner.model_fields.get(str(part)) if inner and isinstance(part, str) else None
        if isinstance(part, str):
            model = inner or model
            kinds = kinds_in(field.annotation) if field else {}
            inner = model_in(field.annotation) if field else None
    return tuple(place), model


def kinds_in(annotation: Any) -> dict[str, type[BaseModel]]:
    """Tag -> model, of an annotation that is a union of kinds."""
    found: dict[str, type[BaseModel]] = {}
    for part in typing.get_args(annotation):
        tags = [one.tag for one in getattr(part, "__metadata__", ()) if isinstance(one, Tag)]
        if tags and (model := model_in(part)) is not None:
            found[tags[0]] = model
    return found


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as `tuple[Model, ...]` or `Model | None` is about."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in typing.get_args(annotation) if (found := model_in(part))), None)
