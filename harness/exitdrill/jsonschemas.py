"""JSON Schemas that are applied a bounded time.

A schema is a stranger's, as an answer is: nothing is fetched for it, its patterns are given up
after a second each, and one that keeps the validator busy for `SECONDS` with a single value (a few
lines can unfold to billions of rules) is not applied any more. The same holds for finding out
whether it is a schema at all.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from exitdrill.checkers import CheckerProblem, search
from exitdrill.strictjson import typed_key

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

T = TypeVar("T")
SECONDS = 5.0
"""What checking a single value may take."""
LONGEST = 1_000_000
"""Characters of a schema."""
LONGEST_REASON = 300
UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
"""Keywords that the library looks through a whole schema for, and no clock can stop."""


class Schema:
    """A schema that can be applied a bounded time. Raises `CheckerProblem` where it is none."""

    def __init__(self, schema: Any) -> None:
        from referencing import Registry

        _refuse_unbounded(schema)
        self._deadline = 0.0
        self._spent: str | None = None
        kind = self._timed(_validator_class())
        of_schemas = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER)
        error = self._bounded(lambda: next(of_schemas.iter_errors(schema), None))
        if error is not None:
            raise CheckerProblem(f"not a JSON Schema: {error.message}"[:LONGEST_REASON])
        # An empty registry: a $ref to somewhere else is never fetched.
        self._validator = kind(schema, registry=Registry())

    def allows(self, value: Any) -> bool:
        """Whether a JSON value satisfies it. Raises `CheckerProblem` where nobody can tell."""
        if self._spent is not None:
            raise CheckerProblem(self._spent)
        try:
            return self._bounded(lambda: self._validator.is_valid(value))
        except CheckerProblem as problem:
            if time.monotonic() > self._deadline:
                self._spent = str(problem)  # it would only cost as much again
            raise

    def _bounded(self, apply: Callable[[], T]) -> T:
        """What the library says, within the time. Raises `CheckerProblem` where it says nothing."""
        self._deadline = time.monotonic() + SECONDS
        try:
            return apply()
        except CheckerProblem:
            raise
        except Exception as error:  # a reference to elsewhere, an endless recursion, a huge number
            raise CheckerProblem(_why(error)) from None

    def _look(self) -> None:
        if time.monotonic() > self._deadline:
            raise CheckerProblem(f"the schema took longer than {SECONDS:g} s")

    def _timed(self, kind: type[Validator]) -> type[Validator]:
        """The validator with a look at the clock before each keyword and each pattern."""

        def timed(function: Callable[..., Any]) -> Callable[..., Any]:
            def keyword(*arguments: Any) -> Any:
                self._look()
                return function(*arguments)

            return keyword

        keywords = {name: timed(function) for name, function in kind.VALIDATORS.items()}
        made = _extended(kind, keywords)
        for name, method in (("search", staticmethod(timed(search))), ("evolve", _evolve)):
            setattr(made, name, method)
        return made


def _evolve(validator: Any, **changes: Any) -> Any:
    """The same validator for another schema.

    The library's own takes another class, without our bounds, where a ``$schema`` says so.
    """
    kept = {
        each.alias: getattr(validator, each.name) for each in validator.__attrs_attrs__ if each.init
    }
    return type(validator)(**kept | changes)


def _why(error: Exception) -> str:
    from referencing.exceptions import Unresolvable

    if isinstance(error, Unresolvable):
        return "the schema refers to something outside itself"
    return f"the schema cannot be applied: {error}"[:LONGEST_REASON]


def _refuse_unbounded(schema: Any) -> None:
    """Raises `CheckerProblem` for what no clock would stop."""
    try:
        text = json.dumps(schema)
    except (RecursionError, TypeError, ValueError) as error:
        raise CheckerProblem(f"not a JSON Schema: {error}") from None
    if len(text) > LONGEST:
        raise CheckerProblem(f"a schema of more than {LONGEST:,} characters")
    for keyword in UNEVALUATED:
        if f'"{keyword}":' in text:
            raise CheckerProblem(f"a schema with {keyword} cannot be applied a bounded time")


@functools.cache
def _validator_class() -> type[Validator]:
    """The library's validator, with patterns that are given up after a second."""
    from jsonschema import Draft202012Validator, ValidationError

    def pattern(validator: Any, source: str, instance: Any, _: Any) -> Iterator[ValidationError]:
        if validator.is_type(instance, "string") and not validator.search(source, instance):
            yield ValidationError(f"does not match {source!r}")

    def pattern_properties(
        validator: Any, patterns: Mapping[str, Any], instance: Any, _: Any
    ) -> Iterator[ValidationError]:
        if validator.is_type(instance, "object"):
            for source, schema in patterns.items():
                for name, value in instance.items():
                    if validator.search(source, name):
                        yield from validator.descend(value, schema, path=name, schema_path=source)

    def additional_properties(
        validator: Any, wanted: Any, instance: Any, schema: Mapping[str, Any]
    ) -> Iterator[ValidationError]:
        if validator.is_type(instance, "object"):
            patterns = schema.get("patternProperties", {})
            for name, value in instance.items():
                known = name in schema.get("properties", {})
                if not known and not any(validator.search(source, name) for source in patterns):
                    yield from validator.descend(value, wanted, path=name)

    def unique_items(_: Any, wanted: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
        # The library's own takes quadratic time on objects.
        keys = list(map(typed_key, instance)) if wanted and isinstance(instance, list) else []
        if len(set(keys)) < len(keys):
            yield ValidationError("has items that are not unique")

    keywords: dict[str, Callable[..., Any]] = {
        "pattern": pattern,
        "patternProperties": pattern_properties,
        "additionalProperties": additional_properties,
        "uniqueItems": unique_items,
    }
    return _extended(Draft202012Validator, keywords)


def _extended(kind: type[Validator], keywords: Mapping[str, Callable[..., Any]]) -> type[Validator]:
    from jsonschema import validators

    return validators.extend(kind, keywords)  # type: ignore[no-any-return,no-untyped-call]  # has no types
