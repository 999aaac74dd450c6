"""What pydantic says about a value, told to an administrator: which key, what is wrong, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.scalars import keys
from gateway.config.yaml import SEE, Location, Mapping, Node, Sequence, dotted, known_part

MAX_SUGGESTED_KEYS = 12
"""More known keys than this help nobody in an error message."""

WORDS = {
    "bool_parsing": "expected yes or no",
    "dict_type": "expected keys with values, `key: value`",
    "float_parsing": "expected a number",
    "int_parsing": "expected a whole number",
    "model_type": "expected keys with values, `key: value`",
    "path_type": "expected the path of a file, not a list or keys",
    "string_type": "expected one value, not a list or keys",
    "tuple_type": "expected a list, `[one, two]`",
}
"""What pydantic says in the language of Python, told in that of YAML."""


@dataclass(frozen=True)
class Problem:
    """One mistake at one key."""

    location: Location
    message: str
    remedy: str


def explain(error: ValidationError, model: type[BaseModel], root: Node) -> list[Problem]:
    """Every mistake in a validation error, none told twice."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    misspelt = {(*d["loc"][:-1], s) for d in details for s in _suggestion(d, model)}
    problems = [_problem(d, model, root) for d in details if d["type"] != "missing" or d["loc"] not in misspelt]
    return list(dict.fromkeys(problems))


def _problem(detail: ErrorDetails, model: type[BaseModel], root: Node) -> Problem:
    location: Location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return Problem(location, "unknown key", _known_keys(detail, model))
    if detail["type"] == "missing":
        return Problem(location, "a required key is missing", f"add it: {_description(model, location)}")
    known, _ = known_part(root, location)
    message = WORDS.get(detail["type"]) or _words(detail["msg"])
    below = location[len(known) :]
    alone = all(isinstance(part, int) for part in below)  # one value where a list of them may stand
    rest = "" if alone else dotted(below).removesuffix("[key]").removesuffix(".")
    return Problem(known, f"{rest}: {message}" if rest else message, _remedy(detail, model, root))


def _remedy(detail: ErrorDetails, model: type[BaseModel], root: Node) -> str:
    """The meaning of the key; a mistake between several keys has no single one."""
    location = detail["loc"]
    if detail["type"] == "value_error" and isinstance(_node(root, location), Mapping):
        return f"change the keys under `{dotted(location)}`, {SEE}" if location else SEE
    return _description(model, location)


def _node(node: Node, location: Location) -> Node | None:
    """What stands in the file at a location."""
    for part in location:
        if isinstance(node, Mapping) and str(part) in node.entries:
            node = node.entries[str(part)]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            return None
    return node


def _words(message: str) -> str:
    for head in ("Value error, ", "Input ", "Tuple ", "String "):
        message = message.removeprefix(head)
    message = message.replace(" after validation", "")
    return message[:1].lower() + message[1:] if message[:2].istitle() else message


def _known_keys(detail: ErrorDetails, model: type[BaseModel]) -> str:
    near = _suggestion(detail, model)
    if near:
        return f"did you mean `{near[0]}`?"
    owner = next(_owners(model, str(detail["loc"][-1])), None)
    if owner:
        return f"this is a key of `{owner}`: look at the indentation"
    holder = _holder(model, detail["loc"])
    names = list(keys(holder)) if holder else []
    more = [f"and more, {SEE}"] if len(names) > MAX_SUGGESTED_KEYS else []
    return "known keys here: " + ", ".join(names[:MAX_SUGGESTED_KEYS] + more) if names else "remove it"


def _owners(model: type[BaseModel], name: str, prefix: Location = ()) -> Iterator[str]:
    """Where in the file a key of that name belongs."""
    for key, field in keys(model).items():
        if key == name and prefix:
            yield dotted(prefix)
        inner = _bare(field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _owners(inner, name, (*prefix, key))


def _suggestion(detail: ErrorDetails, model: type[BaseModel]) -> list[str]:
    holder = _holder(model, detail["loc"])
    if detail["type"] != "extra_forbidden" or holder is None:
        return []
    return difflib.get_close_matches(str(detail["loc"][-1]), keys(holder), n=1)


def _description(model: type[BaseModel], location: Location) -> str:
    """The text of the deepest key along the location that has one."""
    texts = [text for text in _texts(model, location) if text]
    return " ".join(texts[-1].split()) if texts else SEE


def _texts(model: type[BaseModel], location: Location) -> Iterator[str]:
    for depth, part in enumerate(location, start=1):
        holder = _holder(model, location[:depth])
        if holder is not None and str(part) in keys(holder):
            yield keys(holder)[str(part)].description or ""


def _holder(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """The model whose key the last part of the location is."""
    current: Any = model
    for part in location[:-1]:
        current = _step(_bare(current), part)
    current = _bare(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _step(annotation: Any, part: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = keys(annotation).get(str(part))
        return field.annotation if field else None
    origin = get_origin(annotation)
    if origin is dict:
        return get_args(annotation)[1]
    return get_args(annotation)[0] if origin is tuple else None


def _bare(annotation: Any) -> Any:
    """The annotation without Annotated and without `| None`."""
    while (origin := get_origin(annotation)) is not None and (origin in (Union, UnionType) or _annotated(annotation)):
        args = [a for a in get_args(annotation) if a is not type(None)]
        annotation = args[0]
    return annotation


def _annotated(annotation: Any) -> bool:
    return hasattr(annotation, "__metadata__")
