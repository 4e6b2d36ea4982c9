"""A syntax tree as a sequence: each node opens with its label, and closes after its children.

The label has the node's kind, its field in its parent and its own values (names, numbers, texts,
operators), so that two trees have the same sequence where they are the same, and only there.
Formatting is not in it: no comments, white space, line breaks, redundant parentheses, quotes,
semicolons, trailing commas, and no indentation of docstrings.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from exitdrill.code.parsing import children, parse_python, parse_tree, text_of
from exitdrill.code.sources import Source

if TYPE_CHECKING:
    from tree_sitter import Node

CLOSE = 0
"""The token that closes a node."""


class Labels:
    """Labels as numbers, from 1 in the order in which they are first seen."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def number(self, label: Hashable) -> int:
        """The number of a label."""
        return self._numbers.setdefault(label, len(self._numbers) + 1)


def tokens(source: Source, labels: Labels) -> list[int]:
    """A file as a sequence of tokens, two for each node. Raises `Unparsable`."""
    opened = _python(source) if source.language == "python" else _other(source)
    return [CLOSE if label is None else labels.number(label) for label in opened]


# --- Python -------------------------------------------------------------------------------------

_FOLDED = (ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
"""Nodes that only say which operator it is: they are part of their parent's label."""
_LEFT_OUT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _python(source: Source) -> Iterator[Hashable]:
    waiting: list[tuple[str, object] | None] = [("", parse_python(source))]
    while waiting:
        item = waiting.pop()
        if item is None:
            yield None
            continue
        field, node = item
        label, inner = _split(node)
        yield (field, *label)
        waiting.append(None)
        waiting.extend(reversed(inner))


def _split(node: object) -> tuple[tuple[Hashable, ...], list[tuple[str, object]]]:
    """A node's label, and its children with their fields."""
    if not isinstance(node, ast.AST):
        return (type(node).__name__, node), []
    if isinstance(node, ast.Constant):
        return ("Constant", type(node.value).__name__, _constant(node.value)), []
    label: list[Hashable] = [type(node).__name__]
    inner: list[tuple[str, object]] = []
    for field, value in ast.iter_fields(node):
        if field in _LEFT_OUT:
            continue
        if isinstance(value, _FOLDED):
            label.append(type(value).__name__)
        elif isinstance(value, ast.AST):
            inner.append((field, value))
        elif isinstance(value, list):
            inner += [(field, each) for each in value if not isinstance(each, _FOLDED)]
            label += [type(each).__name__ for each in value if isinstance(each, _FOLDED)]
        else:
            label.append((field, value))
    return tuple(label), _plain(node, inner)


def _plain(node: ast.AST, inner: list[tuple[str, object]]) -> list[tuple[str, object]]:
    """The children, without what a formatter may change in them."""
    if isinstance(node, ast.Delete) and len(inner) == 1 and isinstance(inner[0][1], ast.Tuple):
        return [("targets", each) for each in inner[0][1].elts]  # del (a, b) is del a, b
    if isinstance(node, _DOCUMENTED):
        return [(field, _docstring(node, each)) for field, each in inner]
    return inner


def _docstring(owner: ast.AST, node: object) -> object:
    """A docstring as its lines, without their indentation; any other node as it is.

    Its words count: some frameworks show them to the model.
    """
    assert isinstance(owner, _DOCUMENTED)
    if not owner.body or node is not owner.body[0] or not is_text(node):
        return node
    lines = inspect.cleandoc(node.value.value).split("\n")  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in lines)


def is_text(node: object) -> bool:
    """Whether a statement is nothing but a text."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _constant(value: object) -> Hashable:
    """A constant so that 0.0 and -0.0, or nan and nan, compare as they are written."""
    return repr(value) if isinstance(value, float | complex) else value


# --- the other languages ------------------------------------------------------------------------

_PUNCTUATION = frozenset(";,(){}[]'\"`.")
_COMMENTS = frozenset({"comment", "line_comment", "block_comment", "html_comment"})
_SKIPPED = _COMMENTS | {"empty_statement"}
_TRANSPARENT = frozenset({"parenthesized_expression", "parenthesized_type"})
_ALONE_TRANSPARENT = frozenset({"required_parameter", "union_type", "intersection_type"})
"""Transparent where they hold one node and nothing else, as formatters add and remove them."""
_TEXTS = frozenset({"string", "string_literal", "interpreted_string_literal", "raw_string_literal"})
_LISTS = frozenset({"array", "array_pattern"})
_NAME = re.compile(r"[A-Za-z_$][\w$]*")


def _other(source: Source) -> Iterator[Hashable]:
    waiting: list[tuple[str, Node] | None] = [("", parse_tree(source))]
    while waiting:
        item = waiting.pop()
        if item is None:
            yield None
            continue
        field, node = item
        inner = _inner(node)
        if _is_transparent(node, field, inner):
            waiting.extend((field, each) for _, each in reversed(inner))
            continue
        yield _label(field, node, inner)
        waiting.append(None)
        waiting.extend(reversed(inner))


def _inner(node: Node) -> list[tuple[str, Node]]:
    """The named children that say something, with their fields."""
    if node.type in _TEXTS or node.type in _SKIPPED:
        return []
    found = [
        ("parameters" if field == "parameter" else field, each)
        for field, each in children(node)
        if each.is_named and each.type not in _SKIPPED and not _is_blank(each)
    ]
    if node.type == "new_expression":  # new A is new A()
        found = [(field, each) for field, each in found if field != "arguments" or _inner(each)]
    if node.type == "import_spec_list":  # gofmt sorts it
        found.sort(key=lambda each: text_of(each[1]))
    return found


def _is_blank(node: Node) -> bool:
    return node.type == "jsx_text" and not text_of(node).strip()


def _is_transparent(node: Node, field: str, inner: list[tuple[str, Node]]) -> bool:
    if node.type in _TRANSPARENT:
        return True
    if node.type == "formal_parameters":
        return field == "parameters"  # x => x is (x) => x
    return node.type in _ALONE_TRANSPARENT and len(inner) == 1 and not _said(node) - {"|", "&"}


def _said(node: Node) -> set[str]:
    return {text_of(each) for _, each in children(node) if not each.is_named} - _PUNCTUATION


def _label(field: str, node: Node, inner: list[tuple[str, Node]]) -> Hashable:
    if node.type in _TEXTS:
        return _text_label(field, node)
    signs = [text_of(each) for _, each in children(node) if not each.is_named]
    kept = tuple(sign for sign in signs if sign.strip() and sign not in _PUNCTUATION)
    own = "" if inner or node.child_count else _own_text(node)
    return field, node.type, kept, own, _holes(node)


def _text_label(field: str, node: Node) -> Hashable:
    text = text_of(node)
    if node.type == "string":  # JavaScript's: both quotes mean the same
        text = text[1:-1].replace("\\'", "'").replace('\\"', '"')
    if field == "key" and _NAME.fullmatch(text):
        return field, "property_identifier", (), text, ()
    if field == "key" and text.isdecimal():
        return field, "number", (), text, ()
    return field, node.type, (), text, ()


def _own_text(node: Node) -> str:
    text = text_of(node)
    if node.type == "jsx_text":
        return " ".join(text.split())
    if node.type in {"number", "int_literal", "float_literal"}:
        return f"0{text}" if text.startswith(".") else text.lower()
    return text


def _holes(node: Node) -> tuple[int, ...]:
    """Where an array leaves an element out: [, b] is not [b]."""
    if node.type not in _LISTS:
        return ()
    found, empty, place = [], True, 0
    for _, each in children(node):
        if each.is_named and each.type not in _SKIPPED:
            empty = False
        elif each.type == ",":
            if empty:
                found.append(place)
            empty, place = True, place + 1
    return tuple(found)
