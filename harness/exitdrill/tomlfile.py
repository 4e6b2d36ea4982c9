"""A TOML file as a validated model, every mistake with its file, line and key."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from exitdrill.errors import ScenarioError

Model = TypeVar("Model", bound=BaseModel)
HEADER = re.compile(r"^\s*\[(\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
ASSIGNMENT = re.compile(r"^\s*([\w.\"'-]+(?:\s*\.\s*[\w\"'-]+)*)\s*=")
TOKEN = re.compile(
    r"""\#[^\n]* | \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*'""",
    re.DOTALL | re.VERBOSE,
)


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """The text and the content of a TOML file. Raises `ScenarioError` with the line."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ScenarioError("no such file", path=path) from None
    except IsADirectoryError:
        raise ScenarioError("is a directory", path=path) from None
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}", path=path) from None
    if not raw.strip():
        raise ScenarioError("is empty; `exitdrill init DIR` writes a commented one", path=path)
    if raw.startswith(b"\xef\xbb\xbf"):
        message = "begins with a byte order mark; save it as UTF-8 without BOM"
        raise ScenarioError(message, path=path, line=1)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ScenarioError("is not UTF-8; convert it", path=path, line=line) from None
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        raise ScenarioError("nested too deeply", path=path) from None
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        message = re.sub(r"\s*\(at .*\)$", "", str(error))
        raise ScenarioError(f"not valid TOML: {message}", path=path, line=line) from None
    except ValueError as error:  # an integer of thousands of digits
        raise ScenarioError(f"not usable TOML: {error}", path=path) from None


def validate(model: type[Model], content: Mapping[str, Any], path: Path, text: str) -> Model:
    """The content as a model. Raises `ScenarioError` for the first mistake.

    The offending value is never repeated: it may be a key that somebody put in the wrong place.
    """
    for where in _not_finite(content, ()):
        message = "must be a finite number"
        raise ScenarioError(message, path=path, line=line_of(text, where), key=dotted(where))
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # An unknown key explains a missing one more often than the other way round.
        errors = error.errors(include_url=False, include_input=False)
        first = min(errors, key=lambda each: each["type"] != "extra_forbidden")
        place = _place(first["loc"], content, missing=first["type"] == "missing")
        message = explain(model, first["type"], first["msg"], place)
        raise ScenarioError(
            message, path=path, line=line_of(text, place), key=dotted(place)
        ) from None


def explain(model: type[BaseModel], kind: str, message: str, place: Sequence[int | str]) -> str:
    """One sentence for a mistake that pydantic found."""
    if kind == "extra_forbidden":
        return unknown_key(str(place[-1]), keys_of(_model_at(model, place[:-1])))
    if kind == "missing":
        return "missing"
    described = _description_at(model, place)
    if described and kind not in {"value_error", "assertion_error"}:  # those are our own words
        return f"must be {described}"
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def unknown_key(key: str, known: Sequence[str]) -> str:
    """The sentence about a key that nobody knows, with the nearest one that somebody does."""
    nearest = get_close_matches(key, known, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown key; {hint}known are {', '.join(sorted(known))}"


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys that a table of the file may have."""
    fields = model.model_fields.items()
    return [field.alias or name for name, field in fields if not field.exclude]


def dotted(place: Sequence[int | str]) -> str:
    """``backends.vendor.model``, ``gates[0].measure``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def undotted(key: str) -> list[int | str]:
    """The place that `dotted` wrote."""
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", key)
    return [int(index) if index else name for index, name in parts]


def line_of(text: str, place: Sequence[int | str]) -> int | None:
    """The line (from 1) of a key, or of the nearest table around it that has one; else None."""
    lines = _places(text)
    wanted = tuple(place)
    while wanted:
        if wanted in lines:
            return lines[wanted]
        wanted = wanted[:-1]
    return None


def _places(text: str) -> dict[tuple[int | str, ...], int]:
    """Where each table and key begins; a table that has no header begins with its first key."""
    found: dict[tuple[int | str, ...], int] = {}
    counts: dict[tuple[str, ...], int] = {}
    table: tuple[int | str, ...] = ()
    for number, line in enumerate(_without_long_texts(text).split("\n"), start=1):
        header = HEADER.match(line)
        if header:
            names = _names(header.group(2))
            table = names
            if header.group(1):
                counts[names] = counts.get(names, -1) + 1
                table = (*names, counts[names])
            found.setdefault(table, number)
            continue
        assignment = ASSIGNMENT.match(line)
        if assignment:
            found.setdefault((*table, *_names(assignment.group(1))), number)
    for place, number in list(found.items()):
        for length in range(1, len(place)):
            found.setdefault(place[:length], number)
    return found


def _without_long_texts(text: str) -> str:
    """The text with its multi-line strings emptied: a line of theirs may look like a header."""

    def emptied(token: re.Match[str]) -> str:
        found = token.group()
        return '""' + "\n" * found.count("\n") if found.startswith(('"""', "'''")) else found

    return TOKEN.sub(emptied, text)


def _names(key: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in key.split("."))


def _not_finite(value: Any, place: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    """Where TOML's nan and inf stand."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place
    elif isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _not_finite(child, (*place, key))


def _place(loc: Sequence[int | str], content: Any, *, missing: bool) -> list[int | str]:
    """The place of a mistake in the file.

    pydantic also names the branches of unions; a user, whose file has no such keys, has no use
    for them.
    """
    place: list[int | str] = []
    for number, part in enumerate(loc):
        is_key = isinstance(content, dict) and part in content
        is_index = isinstance(content, list) and isinstance(part, int) and part < len(content)
        if is_key or is_index:
            content = content[part]
            place.append(part)
        elif missing and number == len(loc) - 1:
            place.append(part)
    return place


def _model_at(model: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel]:
    """The model that a place in the file belongs to."""
    for part in place:
        if not isinstance(part, str) or part not in model.model_fields:
            continue  # an index, or the name of an entry of a table
        inner = _model_in(model.model_fields[part].annotation)
        if inner is not None:
            model = inner
    return model


def _description_at(model: type[BaseModel], place: Sequence[int | str]) -> str | None:
    """What a field says of itself, where the library's words would not help."""
    names = [part for part in place if isinstance(part, str)]
    field = _model_at(model, names[:-1]).model_fields.get(names[-1]) if names else None
    return None if field is None else field.description


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)
