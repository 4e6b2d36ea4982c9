"""What a file of code says that may tie it to somebody: imports, calls, names, errors, texts.

Names are resolved through the file's own imports: after ``import openai as o`` the name
``o.OpenAI`` is ``openai.OpenAI``. A name that a client was bound to (``client = openai.OpenAI()``,
``with … as client``, ``client: openai.OpenAI``) stands for its class. This is done by syntax, file
by file and without regard to scopes; comments and docstrings are no sightings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from exitdrill.code.parsing import parse_python
from exitdrill.code.sources import Source
from exitdrill.code.tokens import is_text

SightingKind = Literal["import", "call", "parameter", "exception", "name", "text"]
LONGEST_NAME = 20
"""Parts of a dotted name that are looked at."""
IMPORTERS = frozenset({"importlib.import_module", "import_module", "__import__"})
"""Functions that import what they are given the name of."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that is said, and where: the line from 1, the column from 0.

    ``what`` is a dotted name, for a text the text itself, for a parameter its name and, where an
    object is given for it, that object's keys.
    """

    kind: SightingKind
    what: str
    line: int
    column: int


def python_sightings(source: Source) -> Iterator[Sighting]:
    """What a Python file says. Raises `Unparsable`."""
    tree = parse_python(source)
    nodes = list(ast.walk(tree))
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = dict(pair for node in imports for pair in _bound(node))
    names = Names(imported, (pair for node in nodes for pair in _assigned(node)))
    skipped = {id(node.value) for node in nodes if is_text(node) and isinstance(node, ast.Expr)}
    for node in nodes:
        if id(node) in skipped:
            continue
        yield from _seen(node, names, skipped)


class Names:
    """What the names of a file stand for: by its imports, and for the clients that it makes.

    ``imported`` has what each imported name stands for, ``bound`` the names that are bound to one,
    to what its call returns, or to an annotated class.
    """

    def __init__(self, imported: Mapping[str, str], bound: Iterable[tuple[str, str]]) -> None:
        self._imported = imported
        self._clients: dict[str, str] = {}
        for name, value in bound:
            if name and (found := self.imported(value)):
                self._clients[name] = found

    def imported(self, dotted: str) -> str | None:
        """What a name stands for by the imports; None where it was not imported."""
        first, _, rest = dotted.partition(".")
        if first not in self._imported:
            return None
        return f"{self._imported[first]}.{rest}" if rest else self._imported[first]

    def called(self, dotted: str) -> str:
        """What a name stands for that is called, be it a client's method."""
        if found := self.imported(dotted):
            return found
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            if found := self._clients.get(".".join(parts[:length])):
                return ".".join([found, *parts[length:]])
        return dotted


def _bound(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """The names that an import binds, with what they stand for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (first, first)
    elif not node.level and node.module:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _assigned(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that are bound to another name, to what its call returns, or to an annotated class."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield dotted_name(target), dotted_name(node.value)
    elif isinstance(node, ast.AnnAssign):
        yield dotted_name(node.target), dotted_name(node.annotation)
    elif isinstance(node, ast.arg) and node.annotation is not None:
        yield node.arg, dotted_name(node.annotation)
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield dotted_name(node.optional_vars), dotted_name(node.context_expr)


def dotted_name(node: ast.AST) -> str:
    """The name of an expression: ``a.b.c``, also of ``a().b.c``; empty for what is none."""
    parts: list[str] = []
    while len(parts) < LONGEST_NAME:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Name):
            return ".".join([node.id, *reversed(parts)])
        else:
            return ""
    return ""


def _seen(node: ast.AST, names: Names, skipped: set[int]) -> Iterator[Sighting]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield _at("import", alias.name, node)
    elif isinstance(node, ast.ImportFrom):
        yield from _from(node)
    elif isinstance(node, ast.ExceptHandler):
        yield from _caught(node, names, skipped)
    elif isinstance(node, ast.Call):
        yield from _called(node, names, skipped)
    elif isinstance(node, ast.keyword) and node.arg:
        yield _at("parameter", " ".join([node.arg, *_keys(node.value)]), node)
    elif isinstance(node, ast.Attribute | ast.Name):
        skipped.update(map(id, _links(node)))
        if found := names.imported(dotted_name(node)):
            yield _at("name", found, node)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield _at("text", node.value, node)


def _keys(node: ast.expr) -> Iterator[str]:
    """The keys of an object that is written down, as far as they are texts."""
    for key in node.keys if isinstance(node, ast.Dict) else ():
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def _from(node: ast.ImportFrom) -> Iterator[Sighting]:
    if node.level or not node.module:
        return
    for alias in node.names:
        yield _at("import", f"{node.module}.{alias.name}", node)


def _caught(node: ast.ExceptHandler, names: Names, skipped: set[int]) -> Iterator[Sighting]:
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    for each in caught:
        if each is not None and (found := names.imported(dotted_name(each))):
            skipped.add(id(each))
            skipped.update(map(id, _links(each)))
            yield _at("exception", found, each)


def _called(node: ast.Call, names: Names, skipped: set[int]) -> Iterator[Sighting]:
    dotted = dotted_name(node.func)
    if not dotted:
        # on what a subscript or an operator gives: the last names are all that is known
        dotted = ".".join(["", *_tail(node.func)])
    skipped.add(id(node.func))
    skipped.update(map(id, _links(node.func)))
    found = names.called(dotted)
    if found in IMPORTERS and node.args:
        named = node.args[0]
        if isinstance(named, ast.Constant) and isinstance(named.value, str):
            skipped.add(id(named))
            yield _at("import", named.value, node)
            return
    yield _at("call", found, node)


def _tail(node: ast.AST) -> list[str]:
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < LONGEST_NAME:
        parts.append(node.attr)
        node = node.value
    return parts[::-1]


def _links(node: ast.AST) -> Iterator[ast.AST]:
    """The inner parts of a dotted name, which are no sightings of their own."""
    for _ in range(LONGEST_NAME):
        if not isinstance(node, ast.Attribute):
            return
        node = node.value
        if not isinstance(node, ast.Attribute | ast.Name):
            return
        yield node


def _at(
    kind: SightingKind, what: str, node: ast.expr | ast.stmt | ast.excepthandler | ast.keyword
) -> Sighting:
    return Sighting(kind, what, node.lineno, node.col_offset)
