"""JSON Schemas that are applied a bounded time.

A schema is a stranger's, as an answer is: nothing is fetched for it, its patterns are given up
after a second each, and one that keeps the validator busy for `SECONDS` with a single value (a few
lines can unfold to billions of rules) is not applied any more.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from exitdrill.checkers import CheckerProblem, search
from exitdrill.strictjson import typed_key

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SECONDS = 5.0
"""What checking a single value may take."""


class Schema:
    """A schema that can be applied a bounded time. Raises `CheckerProblem` where it is none."""

    def __init__(self, schema: Any) -> None:
        from referencing import Registry

        kind = _validator_class()
        _check(kind, schema)
        self._deadline = 0.0
        self._spent: str | None = None
        timed = {name: self._timed(function) for name, function in kind.VALIDATORS.items()}
        # An empty registry: a $ref to somewhere else is never fetched.
        self._validator = _extended(kind, timed)(schema, registry=Registry())

    def allows(self, value: Any) -> bool:
        """Whether a JSON value satisfies it. Raises `CheckerProblem` where nobody can tell."""
        if self._spent is not None:
            raise CheckerProblem(self._spent)
        self._deadline = time.monotonic() + SECONDS
        try:
            return self._validator.is_valid(value)
        except CheckerProblem as problem:
            if time.monotonic() > self._deadline:
                self._spent = str(problem)  # it would only cost as much again
            raise
        except Exception as error:  # a reference to elsewhere, an endless recursion, a huge number
            raise CheckerProblem(_why(error)) from None

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def keyword(*arguments: Any) -> Any:
            if time.monotonic() > self._deadline:
                raise CheckerProblem(f"the schema took longer than {SECONDS:g} s")
            return function(*arguments)

        return keyword


def _why(error: Exception) -> str:
    from referencing.exceptions import Unresolvable

    if isinstance(error, Unresolvable):
        return "the schema refers to something outside itself"
    return f"the schema cannot be applied: {error}"[:300]


def _check(kind: type[Validator], schema: Any) -> None:
    from jsonschema import SchemaError

    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise CheckerProblem(f"not a JSON Schema: {error.message}") from None
    text = json.dumps(schema)
    if '"unevaluatedProperties":' in text and '"patternProperties":' in text:
        # The one place where the library would run a pattern that we cannot bound.
        raise CheckerProblem("a schema with both patternProperties and unevaluatedProperties")


@functools.cache
def _validator_class() -> type[Validator]:
    """The library's validator, with patterns that are given up after a second."""
    from jsonschema import Draft202012Validator, ValidationError

    def pattern(validator: Any, source: str, instance: Any, _: Any) -> Iterator[ValidationError]:
        if validator.is_type(instance, "string") and not search(source, instance):
            yield ValidationError(f"does not match {source!r}")

    def pattern_properties(
        validator: Any, patterns: Mapping[str, Any], instance: Any, _: Any
    ) -> Iterator[ValidationError]:
        if validator.is_type(instance, "object"):
            for source, schema in patterns.items():
                for name, value in instance.items():
                    if search(source, name):
                        yield from validator.descend(value, schema, path=name, schema_path=source)

    def additional_properties(
        validator: Any, wanted: Any, instance: Any, schema: Mapping[str, Any]
    ) -> Iterator[ValidationError]:
        if validator.is_type(instance, "object"):
            patterns = schema.get("patternProperties", {})
            for name, value in instance.items():
                known = name in schema.get("properties", {})
                if not known and not any(search(source, name) for source in patterns):
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
