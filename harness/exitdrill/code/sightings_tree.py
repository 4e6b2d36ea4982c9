"""What a JavaScript, TypeScript, Java or Go file says that may tie it to somebody.

The same as `sightings` does for Python, on tree-sitter's trees: what is imported, how the file's
names resolve through its imports, which names a client was bound to. By syntax alone, without
regard to scopes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from exitdrill.code.parsing import children, parse_tree, text_of
from exitdrill.code.sightings import LONGEST_NAME, Names, Sighting, SightingKind
from exitdrill.code.sources import Source

if TYPE_CHECKING:
    from tree_sitter import Node

_PAIRS: Mapping[str, tuple[str, str]] = {
    "member_expression": ("object", "property"),
    "nested_type_identifier": ("module", "name"),
    "nested_identifier": ("object", "property"),
    "selector_expression": ("operand", "field"),
    "qualified_type": ("package", "name"),
    "field_access": ("object", "field"),
    "method_invocation": ("object", "name"),
    "scoped_identifier": ("scope", "name"),
}
"""Dotted names: the fields of what stands before the dot, and after it."""
_THROUGH: Mapping[str, str] = {
    "call_expression": "function",
    "new_expression": "constructor",
    "object_creation_expression": "type",
    "composite_literal": "type",
    "unary_expression": "operand",
    "await_expression": "",
    "parenthesized_expression": "",
    "non_null_expression": "",
    "type_annotation": "",
    "generic_type": "",
    "pointer_type": "",
    "expression_list": "",
}
"""What a name is looked for through: a field, or the first named child."""
_CALLS: Mapping[str, str] = {
    "call_expression": "function",
    "new_expression": "constructor",
    "object_creation_expression": "type",
}
_BOUND: Mapping[str, tuple[str, str]] = {
    "variable_declarator": ("name", "value"),
    "assignment_expression": ("left", "right"),
    "short_var_declaration": ("left", "right"),
    "required_parameter": ("pattern", "type"),
    "public_field_definition": ("name", "type"),
    "formal_parameter": ("name", "type"),
    "parameter_declaration": ("name", "type"),
    "local_variable_declaration": ("declarator", "type"),
    "field_declaration": ("declarator", "type"),
}
"""What binds a name: the fields of the name, and of what it is bound to, or of its class."""
_LEAVES = frozenset(
    {
        "field_identifier",
        "identifier",
        "package_identifier",
        "property_identifier",
        "private_property_identifier",
        "this",
        "type_identifier",
    }
)
_TEXTS = frozenset({"string", "string_literal", "interpreted_string_literal", "raw_string_literal"})
_IMPORTS = frozenset({"import_statement", "export_statement", "import_spec", "import_declaration"})
_ENVIRONMENT = re.compile(r"(process\.env|import\.meta\.env|Bun\.env)\.(\w+)$")
_VERSION = re.compile(r"v\d+")


def tree_sightings(source: Source) -> Iterator[Sighting]:
    """What a file says. Raises `Unparsable`."""
    nodes = list(_preorder(parse_tree(source)))
    imported = dict(pair for node in nodes for pair in _bound(node))
    names = Names(imported, _bindings(nodes))
    skipped = {each.id for node in nodes for each in _required(node)}
    for node in nodes:
        if node.id not in skipped:
            yield from _seen(node, names, skipped)


def _preorder(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed([each for _, each in children(node) if each.is_named]))


# --- names --------------------------------------------------------------------------------------


def _bindings(nodes: Iterable[Node]) -> Iterator[tuple[str, str]]:
    """Names with what they are bound to, or with their class."""
    for node in nodes:
        if node.type in _BOUND:
            yield _dotted_field(node, 0), _dotted_field(node, 1)


def _dotted_field(node: Node, which: int) -> str:
    fields = _BOUND[node.type]
    found = node.child_by_field_name(fields[which])
    if found is not None and found.type == "variable_declarator":
        found = found.child_by_field_name("name")
    return _dotted(found)


def _dotted(node: Node | None) -> str:
    """``a.b.c``, also of ``a().b.c``; what is no name before a dot is an empty part."""
    parts: list[str] = []
    while node is not None and len(parts) < LONGEST_NAME:
        if node.type in _LEAVES:
            return ".".join([text_of(node), *reversed(parts)])
        if node.type in _PAIRS:
            before, after = _PAIRS[node.type]
            last, inner = node.child_by_field_name(after), node.child_by_field_name(before)
            name = text_of(last) if last is not None else ""
            if inner is None:
                return ".".join([name, *reversed(parts)])
            parts.append(name)
            node = inner
        elif node.type in _THROUGH:
            node = _inside(node)
        else:
            break
    return ".".join(["", *reversed(parts)]) if parts else ""


def _inside(node: Node) -> Node | None:
    field = _THROUGH[node.type]
    if field:
        return node.child_by_field_name(field)
    return next((each for _, each in children(node) if each.is_named), None)


# --- imports ------------------------------------------------------------------------------------


def _bound(node: Node) -> Iterator[tuple[str, str]]:
    """The names that an import binds, with what they stand for."""
    module = _module(node)
    if module is None:
        return
    if node.type == "import_spec":
        name = node.child_by_field_name("name")
        yield (text_of(name) if name is not None else _go_name(module)), module
    elif node.type == "import_declaration":
        yield module.rpartition(".")[2], module
    elif node.type == "import_statement":
        for each in _preorder(node):
            yield from _bound_by_clause(each, module)
    elif node.type == "call_expression":
        yield from _bound_by_require(node, module)


def _bound_by_clause(node: Node, module: str) -> Iterator[tuple[str, str]]:
    if node.type in {"import_clause", "namespace_import"}:
        for _, each in children(node):
            if each.type == "identifier":
                yield text_of(each), module
    elif node.type == "import_specifier":
        name = node.child_by_field_name("name")
        alias = node.child_by_field_name("alias") or name
        if name is not None and alias is not None:
            yield text_of(alias), f"{module}.{text_of(name)}"


def _bound_by_require(call: Node, module: str) -> Iterator[tuple[str, str]]:
    target = _target(call)
    if target is None:
        return
    if target.type == "identifier":
        yield text_of(target), module
    for _, each in children(target):
        if each.type == "shorthand_property_identifier_pattern":
            yield text_of(each), f"{module}.{text_of(each)}"
        elif each.type == "pair_pattern":
            key, value = each.child_by_field_name("key"), each.child_by_field_name("value")
            if key is not None and value is not None:
                yield text_of(value), f"{module}.{text_of(key)}"


def _target(call: Node) -> Node | None:
    """What the module that a call imports is bound to, if anything."""
    holder = call.parent
    if holder is not None and holder.type == "await_expression":
        holder = holder.parent
    if holder is None or holder.type != "variable_declarator":
        return None
    return holder.child_by_field_name("name")


def _required(node: Node) -> Iterator[Node]:
    """The names that a ``require`` binds: they are part of the import."""
    target = _target(node) if node.type == "call_expression" and _module(node) else None
    if target is not None:
        yield from _preorder(target)


def _module(node: Node) -> str | None:
    """The module that a node imports; None where it imports none."""
    if node.type == "call_expression":
        function, arguments = (node.child_by_field_name(f) for f in ("function", "arguments"))
        if function is None or text_of(function) not in {"require", "import"}:
            return None
        first = None if arguments is None else next(_named(arguments), None)
        return _unquoted(first) if first is not None and first.type == "string" else None
    if node.type == "import_declaration":  # Java's; Go's holds specs
        first = next((each for each in _named(node) if each.type == "scoped_identifier"), None)
        return None if first is None else text_of(first)
    if node.type in _IMPORTS:
        found = node.child_by_field_name("path" if node.type == "import_spec" else "source")
        return None if found is None else _unquoted(found)
    return None


def _named(node: Node) -> Iterator[Node]:
    return (each for _, each in children(node) if each.is_named)


def _unquoted(node: Node) -> str:
    return text_of(node)[1:-1]


def _go_name(path: str) -> str:
    """The name of a Go package by its path, as is the custom: ``…/openai-go/v2`` is ``openai``."""
    parts = [part for part in path.split("/") if not _VERSION.fullmatch(part)]
    name = parts[-1] if parts else path
    return name.removeprefix("go-").removesuffix("-go").removesuffix(".go").removesuffix("-sdk")


# --- sightings ----------------------------------------------------------------------------------


def _seen(node: Node, names: Names, skipped: set[int]) -> Iterator[Sighting]:
    module = _module(node)
    if module is not None:
        _skip(node, skipped)
        yield _at("import", module, node)
    elif node.type in _CALLS or node.type == "method_invocation":
        yield from _called(node, names, skipped)
    elif node.type in {"catch_type", "binary_expression"}:
        yield from _caught(node, names, skipped)
    elif node.type in _TEXTS:
        skipped.update(each.id for each in _named(node))
        yield _at("text", _unquoted(node), node)
    elif node.type in {"string_fragment", "shorthand_property_identifier_pattern"}:
        yield _at("text", text_of(node), node)
    elif node.type in _PAIRS or node.type in {"identifier", "type_identifier"}:
        yield from _named_by(node, names, skipped)


def _called(node: Node, names: Names, skipped: set[int]) -> Iterator[Sighting]:
    function = node if node.type == "method_invocation" else _inside(node)
    if function is None:
        return
    dotted = _dotted(function)
    skipped.update(_links(function))
    yield _at("call", names.called(dotted), node)


def _caught(node: Node, names: Names, skipped: set[int]) -> Iterator[Sighting]:
    if node.type == "catch_type":
        caught = list(_named(node))
    else:
        operator, right = (node.child_by_field_name(field) for field in ("operator", "right"))
        if operator is None or text_of(operator) != "instanceof" or right is None:
            return
        caught = [right]
    for each in caught:
        if found := names.imported(_dotted(each)):
            skipped.update(_links(each))
            yield _at("exception", found, each)


def _named_by(node: Node, names: Names, skipped: set[int]) -> Iterator[Sighting]:
    dotted = _dotted(node)
    skipped.update(_links(node))
    if variable := _ENVIRONMENT.search(dotted):
        yield _at("text", variable[2], node)
    elif found := names.imported(dotted):
        yield _at("name", found, node)


def _links(node: Node) -> Iterator[int]:
    """A dotted name and its inner parts, which are no sightings of their own."""
    yield node.id
    for _ in range(LONGEST_NAME):
        if node.type not in _PAIRS:
            return
        before, after = _PAIRS[node.type]
        last, inner = node.child_by_field_name(after), node.child_by_field_name(before)
        if last is not None:
            yield last.id
        if inner is None or inner.type not in {*_PAIRS, *_LEAVES}:
            return
        if inner.type == "method_invocation":  # a call of its own
            return
        yield inner.id
        node = inner


def _skip(node: Node, skipped: set[int]) -> None:
    skipped.update(each.id for each in _preorder(node))


def _at(kind: SightingKind, what: str, node: Node) -> Sighting:
    return Sighting(kind, what, node.start_point[0] + 1, node.start_point[1])
