"""The hash of a Python function: of its source, and of the values that it decides by.

A threshold may stand in the source, among the defaults, in the closure of whatever made the
function, in an attribute of an object that is called, or beside it in its module. What is found is
only read, never called, nor asked for a ``repr`` of its own: of what is no plain value the type's
name counts, so that the hash is the same in every process.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter, itemgetter
from pathlib import PosixPath, PurePosixPath
from tokenize import TokenError
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

DEEPEST = 64
"""Levels of values within values that are followed."""
SAID = (bool, complex, type(None), range, Decimal, Fraction, date, datetime, time, timedelta)
"""Types whose ``repr`` is Python's own, and says all."""
PATTERNS = {("re", "Pattern"), ("_regex", "Pattern")}
BUFFERS = {"numpy", "array"}
HOLDING: dict[type, Callable[[Any], Iterable[Any]]] = {
    deque: list,
    MappingProxyType: lambda value: dict(value).items(),
    SimpleNamespace: lambda value: vars(value).items(),
    itemgetter: lambda value: value.__reduce__()[1],
    attrgetter: lambda value: value.__reduce__()[1],
    **dict.fromkeys((PosixPath, PurePosixPath), lambda value: [str(value)]),
}
"""Python's own containers, none of them a subclass of a stranger's, and what is in them."""
FUNCTIONS = (
    FunctionType,
    MethodType,
    BuiltinFunctionType,
    MethodDescriptorType,
    functools.partial,
    functools._lru_cache_wrapper,
)


def fingerprint_of(checker: Any) -> str:
    """The hash of whatever can be called, as hex."""
    reader = _Reader()
    if isinstance(checker, FUNCTIONS):
        return reader.hash(checker).hex()
    return _joined("called", map(reader.hash, _of_object(checker))).hex()


class _Reader:
    """Hashes values with all that belongs to them; each thing is read once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}
        """By id: the thing, so that nothing else gets its id meanwhile, and its hash."""

    def hash(self, value: Any, depth: int = 0) -> bytes:
        """The hash of a value, 32 bytes."""
        name = _name(type(value))
        plain = _plain(value)
        if plain is not None or depth > DEEPEST:
            return _joined(name, [plain or b""])
        if id(value) not in self._known:
            self._known[id(value)] = value, _joined("again", [name.encode()])  # it may hold itself
            hashes = (self.hash(part, depth + 1) for part in _parts(value))
            ordered = sorted(hashes) if isinstance(value, set | frozenset | dict) else hashes
            self._known[id(value)] = value, _joined(name, ordered)
        return self._known[id(value)][1]


def _joined(name: str, hashes: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256(name.encode() + b"\0")
    for each in hashes:
        digest.update(hashlib.sha256(each).digest())
    return digest.digest()


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _plain(value: Any) -> bytes | None:
    """A plain value as bytes; None where it is none."""
    if type(value) in SAID:
        return repr(value).encode()
    match value:
        case str():
            return str.encode(value, "utf-8", "surrogatepass")
        case int():
            return int.__format__(value, "x").encode()  # Python bounds decimal digits
        case float():
            return float.hex(value).encode()
        case bytes() | bytearray():
            return bytes(value)
    return None


def _parts(value: Any) -> Iterable[Any]:
    """What a value consists of, as far as it decides; nothing of what only its type says."""
    match value:
        case FunctionType():
            return _of_function(value)
        case BuiltinFunctionType() | MethodDescriptorType():
            return [value.__qualname__]
        case MethodType():
            return [value.__func__, *_of_object(value.__self__)]
        case functools.partial():
            return [value.func, value.args, value.keywords]
        case dict():
            return dict.items(value)
        case list() | tuple() | set() | frozenset():
            return value
        case ModuleType() | type():
            return [value.__name__]
        case enum.Enum():
            return [value._name_, value._value_]
    if (type(value).__module__, type(value).__name__) in PATTERNS:
        return [value.pattern, value.flags]
    if isinstance(value, functools._lru_cache_wrapper):
        return [value.__wrapped__]
    if type(value) in HOLDING:
        return HOLDING[type(value)](value)
    if type(value).__module__ in BUFFERS:
        return _buffer(value)
    return _attributes(value) if hasattr(type(value), "__dataclass_fields__") else []


def _buffer(value: Any) -> Iterator[Any]:
    """The numbers in an array, of plain ones."""
    try:
        view = memoryview(value)
        yield view.format
        yield view.shape
        yield view.tobytes()
    except (TypeError, ValueError, BufferError):  # one of objects
        return


def _of_function(function: FunctionType) -> Iterator[Any]:
    yield function.__qualname__
    yield _source(function.__code__)
    yield function.__defaults__
    yield function.__kwdefaults__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name
        yield from _content(cell)
    yield from _beside(function)


def _content(cell: Any) -> Iterator[Any]:
    try:
        yield cell.cell_contents
    except ValueError:  # not filled yet
        return


def _beside(function: FunctionType) -> Iterator[Any]:
    """What a function names of its module: values and helpers, not what it imports."""
    for name in sorted(set(_names(function.__code__))):
        value = function.__globals__.get(name)
        if name not in function.__globals__ or isinstance(value, ModuleType):
            continue
        if isinstance(value, FunctionType | type) and value.__module__ != function.__module__:
            continue
        yield name
        yield _source(value) if isinstance(value, type) else value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def _of_object(value: Any) -> Iterator[Any]:
    """An object that is called, or whose method is: its classes' source, and its attributes."""
    if isinstance(value, type):
        yield _source(value)
        return
    kind = type(value)
    yield getattr(kind, "__call__", None)  # noqa: B004  # not whether it can be called: what is
    for base in kind.__mro__:
        if base.__module__ == kind.__module__:
            yield _source(base)
    yield from _attributes(value)


def _attributes(value: Any) -> Iterator[Any]:
    """An object's attributes as they are stored: nothing that it computes."""
    for base in type(value).__mro__:
        for name, member in vars(base).items():
            if isinstance(member, MemberDescriptorType) and name != "__dict__":
                yield name, *_slot(member, value)
    try:
        yield dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        return


def _slot(member: MemberDescriptorType, value: Any) -> Iterator[Any]:
    try:
        yield member.__get__(value)
    except AttributeError:  # empty
        return


def _source(what: type | CodeType) -> Any:
    """The source; of a function that has none (it was typed in) what it was compiled to."""
    if isinstance(what, CodeType) and what.co_name == "<lambda>":
        return _compiled(what)  # the line that it stands in may hold another one
    try:
        return inspect.getsource(what)
    except (OSError, TypeError, SyntaxError, IndexError, TokenError):
        return what.__qualname__ if isinstance(what, type) else _compiled(what)


def _compiled(code: CodeType) -> Any:
    consts = [_compiled(each) if isinstance(each, CodeType) else each for each in code.co_consts]
    return code.co_code, code.co_names, consts
