"""A TOML file as a validated model, every mistake with its file, line and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from exitdrill.errors import ScenarioError

Model = TypeVar("Model", bound=BaseModel)
HEADER = re.compile(r"^\s*\[(\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
ASSIGNMENT = re.compile(r"^\s*([\w.\"'-]+)\s*=")


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
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        message = re.sub(r"\s*\(at .*\)$", "", str(error))
        raise ScenarioError(f"not valid TOML: {message}", path=path, line=line) from None


def validate(model: type[Model], content: Mapping[str, Any], path: Path, text: str) -> Model:
    """The content as a model. Raises `ScenarioError` for the first mistake.

    The offending value is never repeated: it may be a key that somebody put in the wrong place.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # An unknown key explains a missing one more often than the other way round.
        errors = error.errors(include_url=False, include_input=False)
        first = min(errors, key=lambda each: each["type"] != "extra_forbidden")
        place = [part for part in first["loc"] if not _is_machinery(part)]
        message = explain(model, first["type"], first["msg"], place)
        raise ScenarioError(
            message, path=path, line=line_of(text, place), key=dotted(place)
        ) from None


def explain(model: type[BaseModel], kind: str, message: str, place: Sequence[int | str]) -> str:
    """One sentence for a mistake that pydantic found."""
    if kind == "extra_forbidden":
        known = list(_model_at(model, place[:-1]).model_fields)
        return unknown_key(str(place[-1]), known)
    if kind == "missing":
        return "missing"
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def unknown_key(key: str, known: Sequence[str]) -> str:
    """The sentence about a key that nobody knows, with the nearest one that somebody does."""
    nearest = get_close_matches(key, known, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown key; {hint}known are {', '.join(sorted(known))}"


def dotted(place: Sequence[int | str]) -> str:
    """``backends.vendor.model``, ``gates[0].measure``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


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
    """Where each table and key begins. Multi-line values may add entries; they harm nobody."""
    found: dict[tuple[int | str, ...], int] = {}
    counts: dict[tuple[str, ...], int] = {}
    table: tuple[int | str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
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
    return found


def _names(key: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in key.split("."))


def _is_machinery(part: int | str) -> bool:
    # pydantic names the branch of a union in the place; a user has no use for it.
    return isinstance(part, str) and (part.endswith("]") or part in {"str", "callable", "function"})


def _model_at(model: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel]:
    """The model that a place in the file belongs to."""
    for part in place:
        if not isinstance(part, str) or part not in model.model_fields:
            continue  # an index, or the name of an entry of a table
        inner = _model_in(model.model_fields[part].annotation)
        if inner is not None:
            model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)
