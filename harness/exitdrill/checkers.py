"""Checkers: is this answer right? Declared by the scenario, named by the workload.

A checker is a callable ``(answer, case) -> bool``. Expectations come from the workload and are
data: a checker never executes them, and bounds what they can cost. A new kind of checker is one
function and one line in `KINDS`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from exitdrill import strictjson
from exitdrill.backend import Reply
from exitdrill.errors import ScenarioError
from exitdrill.workload import Case

Checker = Callable[[Reply, Case], bool]
REGEX_SECONDS = 1.0
FENCE = "```"


class CheckerProblem(Exception):
    """The checker could not judge: a defect of the expectation, not of the answer."""


def parse_json(text: str, *, fences: bool = False) -> Any:
    """The JSON value of a whole answer; with ``fences``, also out of one Markdown code fence.

    Raises `ValueError` where there is none.
    """
    body = text.strip()
    if fences and body.startswith(FENCE) and body.endswith(FENCE) and "\n" in body:
        body = body[body.index("\n") : -len(FENCE)]
    return strictjson.loads(body)


def same_json(left: Any, right: Any) -> bool:
    """Equality of JSON values: true is not 1, 1.0 is 1, the order of keys does not matter."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same_json(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return bool(left == right)


def exact(*, strip: bool = True) -> Checker:
    """The answer is the expected text; white space around it does not count with ``strip``."""

    def check(reply: Reply, case: Case) -> bool:
        expected = _text(case)
        return reply.text.strip() == expected.strip() if strip else reply.text == expected

    return check


def contains(*, ignore_case: bool = False) -> Checker:
    """The answer holds the expected text, or each of the expected list of texts."""

    def check(reply: Reply, case: Case) -> bool:
        wanted = case.expected if isinstance(case.expected, list) else [case.expected]
        if not wanted or not all(isinstance(text, str) and text for text in wanted):
            raise CheckerProblem("expected must be a text or a list of texts, none of them empty")
        answer = reply.text.casefold() if ignore_case else reply.text
        return all((text.casefold() if ignore_case else text) in answer for text in wanted)

    return check


def regex(*, pattern: str | None = None, ignore_case: bool = False) -> Checker:
    """The answer matches somewhere; the pattern is the scenario's or, without one, the case's.

    A match that takes longer than a second (a hostile pattern can take for ever) is a problem.
    Raises `ScenarioError` where the scenario's pattern is none.
    """
    if pattern is not None:
        try:
            search(pattern, "")
        except CheckerProblem as problem:
            raise ScenarioError(str(problem)) from None

    def check(reply: Reply, case: Case) -> bool:
        source = pattern if pattern is not None else _text(case)
        if pattern is None and not source:
            raise CheckerProblem("expected is an empty pattern, which matches everything")
        return search(source, reply.text, ignore_case=ignore_case)

    return check


def search(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Whether a pattern is found in a text, within a second.

    Raises `CheckerProblem` where it takes longer, or is not a regular expression.
    """
    import regex as engine

    flags = engine.IGNORECASE if ignore_case else 0
    try:
        return engine.search(pattern, text, flags=flags, timeout=REGEX_SECONDS) is not None
    except engine.error as error:
        raise CheckerProblem(f"not a regular expression: {error}") from None
    except TimeoutError:
        raise CheckerProblem(f"the pattern took longer than {REGEX_SECONDS:g} s") from None


def json_schema(*, schema: Mapping[str, Any] | None = None, fences: bool = False) -> Checker:
    """The answer is JSON that satisfies the schema: the scenario's or, without one, the case's.

    Raises `ScenarioError` where the scenario's schema is none.
    """
    from exitdrill.jsonschemas import Schema

    own = None
    if schema is not None:
        try:
            own = Schema(schema)
        except CheckerProblem as problem:
            raise ScenarioError(str(problem)) from None

    def check(reply: Reply, case: Case) -> bool:
        if own is None and case.expected in ({}, True):
            raise CheckerProblem("expected is an empty schema, which allows everything")
        wanted = own or Schema(case.expected)
        try:
            value = parse_json(reply.text, fences=fences)
        except ValueError:
            return False
        return wanted.allows(value)

    return check


def json_fields(*, fields: Sequence[str] | None = None, fences: bool = False) -> Checker:
    """The answer is a JSON object whose fields equal the expected ones, typed.

    Without ``fields``, all that the expectation names are compared. Raises `ScenarioError` for an
    empty list of them.
    """
    if fields is not None and not fields:
        raise ScenarioError("compares nothing: fields is empty")

    def check(reply: Reply, case: Case) -> bool:
        expected = expected_fields(case, fields)
        try:
            answer = parse_json(reply.text, fences=fences)
        except ValueError:
            return False
        return isinstance(answer, dict) and all(
            name in answer and same_json(answer[name], value) for name, value in expected.items()
        )

    return check


def expected_fields(case: Case, fields: Sequence[str] | None) -> dict[str, Any]:
    """The fields to compare. Raises `CheckerProblem` where the expectation lacks one."""
    if not isinstance(case.expected, Mapping):
        raise CheckerProblem("expected must be an object")
    names = list(case.expected) if fields is None else fields
    if not names:
        raise CheckerProblem("expected names no field")
    missing = [name for name in names if name not in case.expected]
    if missing:
        raise CheckerProblem(f"expected lacks the field {missing[0]!r}")
    return {name: case.expected[name] for name in names}


def python(*, path: Path, function: str) -> Checker:
    """A function ``(answer: str, expected) -> bool`` in a file of the scenario.

    Raises `ScenarioError` where file or function are not there.
    """
    judge = _load_function(path, function)
    return guarded(lambda reply, case: judge(reply.text, case.expected), function)


def guarded(judge: Callable[[Reply, Case], object], name: str) -> Checker:
    """A stranger's function as a checker: whatever it does but judge is a `CheckerProblem`."""

    def check(reply: Reply, case: Case) -> bool:
        try:
            verdict = judge(reply, case)
        except (Exception, SystemExit) as error:
            raise CheckerProblem(f"{name} raised {type(error).__name__}: {error}") from error
        if not isinstance(verdict, bool):
            raise CheckerProblem(f"{name} returned {type(verdict).__name__}, not True or False")
        return verdict

    return check


KINDS: Mapping[str, Callable[..., Checker]] = {
    "exact": exact,
    "contains": contains,
    "regex": regex,
    "json_schema": json_schema,
    "json_fields": json_fields,
    "python": python,
}


def settings_of(kind: str) -> list[str]:
    """The names of the settings that a kind of checker takes."""
    return list(inspect.signature(KINDS[kind]).parameters)


def fingerprint(kind: str, settings: Mapping[str, Any]) -> str:
    """The hash of a checker: its kind, its settings, and the source where it is a function."""
    plain = {
        key: str(value) if isinstance(value, Path) else value for key, value in settings.items()
    }
    digest = hashlib.sha256(strictjson.canonical([kind, plain]).encode())
    if kind == "python":
        # The place of the scenario must not change the hash; what the file says must.
        digest = hashlib.sha256(json.dumps([kind, settings["function"]]).encode())
        digest.update(Path(settings["path"]).read_bytes())
    return digest.hexdigest()


def fingerprint_of_function(checker: Checker) -> str:
    """The hash of a checker that was given as a Python function: see `fingerprints`."""
    from exitdrill.fingerprints import fingerprint_of

    return fingerprint_of(checker)


def _text(case: Case) -> str:
    if not isinstance(case.expected, str):
        raise CheckerProblem("expected must be a text")
    return case.expected


def _load_function(path: Path, function: str) -> Callable[[str, Any], object]:
    name = f"exitdrill_checker_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ScenarioError("no such Python file", path=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses in the file look themselves up here
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ScenarioError(f"raised {type(error).__name__}: {error}", path=path) from error
    found = getattr(module, function, None)
    if not callable(found):
        raise ScenarioError(f"has no function {function!r}", path=path)
    return found  # type: ignore[no-any-return]  # a stranger's function; its result is checked
