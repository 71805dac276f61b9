"""How a fault of the configuration is told: at which key, and what is right there.

Must not know the file, nor what the sections are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAliasType, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

type Kinds = Mapping[str, Sequence[str]]
"""By a list's or section's key: the kinds that what stands there may have."""


def told(error: ValidationError, whole: type[BaseModel], kinds: Kinds) -> dict[str, list[str]]:
    """Return the reasons by key. Alternatives of one value fault it one by one: one fault."""
    found: dict[str, list[str]] = {}
    for fault in error.errors(include_url=False):
        reasons = found.setdefault(_key(_location(fault, kinds)), [])
        if (reason := _reason(fault, whole, kinds)) not in reasons:
            reasons.append(reason)
    return found


def _location(fault: ErrorDetails, kinds: Kinds) -> tuple[int | str, ...]:
    """Where a fault is in the file: without the names that pydantic gives to alternatives."""
    location = fault["loc"]
    if fault["type"].startswith("union_tag"):
        return (*location, "kind")
    found: list[int | str] = []
    of: Sequence[str] = ()
    for part in location:
        if part in of:
            of = ()
            continue
        if part in ("str", "int", "[key]"):
            break
        # A list's number stands between its key and the kind of what is in it.
        of = of if isinstance(part, int) else kinds.get(part, ())
        found.append(part)
    return tuple(found)


def _reason(fault: ErrorDetails, whole: type[BaseModel], kinds: Kinds) -> str:
    names = [part for part in fault["loc"] if isinstance(part, str)]
    match fault["type"], fault["input"]:
        case "union_tag_invalid" | "union_tag_not_found", _:
            return f"must be one of {', '.join(kinds[names[-1]])}"
        case "extra_forbidden", _:
            return _no_such_key(names[-1], _keys(whole, fault["loc"][:-1]))
        case "tuple_type", {}:
            return f"write it in double brackets, [[{'.'.join(names)}]]: there may be many"
        case "model_type" | "model_attributes_type", tuple():
            return f"write it in single brackets, [{'.'.join(names)}]: there is one"
    return fault["msg"].removeprefix("Value error, ")


def _no_such_key(key: str, keys: Sequence[str]) -> str:
    near = get_close_matches(key, keys, n=1)
    meant = f"; {near[0]} is meant?" if near else ""
    return f"there is no such key{meant}; there are {', '.join(keys)}"


def _keys(whole: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the keys of the section at a place."""
    found = [whole]
    for part in location:
        if isinstance(part, int):
            continue
        of_kind = [model for model in found if len(found) > 1 and part in _kind(model)]
        found = of_kind or [
            section
            for model in found
            if part in model.model_fields
            for section in _sections(model.model_fields[part].annotation)
        ]
    return [name for model in found for name in model.model_fields]


def _kind(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("kind")
    return () if field is None else get_args(field.annotation)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the sections in what a key may hold: alone, as a list, or one of many kinds."""
    if isinstance(annotation, TypeAliasType):
        annotation = annotation.__value__
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)


def _key(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(file)"
