"""The modules of a Python app that a change touches, and those that import them.

A module is a file. Which module imports which is read from the import statements (and from
``importlib.import_module("…")`` with a text), relative ones inside the app's folder, absolute ones
from the app's folder, from its ``src``, or from the folder of the importing file, as a script sees
them. Who imports a module also runs the ``__init__`` of the packages that it is in. Imports are
followed transitively, over those of before and after the change together.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from exitdrill.code.parsing import Unparsable, parse_python
from exitdrill.code.sightings import IMPORTERS, dotted_name
from exitdrill.code.sources import Source

Sources = Mapping[str, Source]
ROOTS: tuple[Sequence[str], ...] = ((), ("src",), ("lib",))
"""Folders of an app that absolute imports begin at."""
DEEPEST = 50
"""Parts of a name that are looked at."""
NOT_FOLLOWED = "is not Python, and only Python's imports are followed"


@dataclass(frozen=True)
class Modules:
    """Paths of modules: those that changed, and those that import them but did not change.

    With the reason: ``uncounted`` are files that changed and are no Python, ``unknown`` those whose
    imports are not known.
    """

    touched: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    uncounted: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)


def affected_modules(
    before: Sources, after: Sources, changed: Collection[str], package: str = ""
) -> Modules:
    """What a change of some files reaches. ``package`` is the name of the app's own folder, by
    which absolute imports may call it."""
    languages = {path: (after.get(path) or before[path]).language for path in sorted(changed)}
    touched = [path for path, language in languages.items() if language == "python"]
    others = [path for path in languages if languages[path] not in {"python", "plain"}]
    uncounted = dict.fromkeys(others, NOT_FOLLOWED)
    if not touched:
        return Modules(uncounted=uncounted)
    imports = _Imports()
    importers: dict[str, set[str]] = {}
    for sources in (before, after):
        python = {path: each for path, each in sources.items() if each.language == "python"}
        for path, source in python.items():
            for target in _imported(path, imports.of(source), python.keys(), package):
                importers.setdefault(target, set()).add(path)
    reached = _reached(touched, importers) - set(touched)
    return Modules(tuple(touched), tuple(sorted(reached)), uncounted, imports.unknown)


class _Imports:
    """What each file imports, found once for the two versions of one that did not change."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}
        self._known: dict[Source, Sequence[tuple[int, str]]] = {}

    def of(self, source: Source) -> Sequence[tuple[int, str]]:
        """How many dots, and the dotted name, of each import."""
        if source not in self._known:
            try:
                tree = parse_python(source)
                found = dict.fromkeys(each for node in ast.walk(tree) for each in _names(node))
                self._known[source] = list(found)
            except Unparsable as problem:
                self.unknown[source.path] = str(problem)
                self._known[source] = []
        return self._known[source]


def _reached(start: Collection[str], importers: Mapping[str, Collection[str]]) -> set[str]:
    reached, waiting = set(start), list(start)
    while waiting:
        for importer in importers.get(waiting.pop(), ()):
            if importer not in reached:
                reached.add(importer)
                waiting.append(importer)
    return reached


def _imported(
    path: str, names: Iterable[tuple[int, str]], modules: Collection[str], package: str
) -> Iterator[str]:
    """The modules of the app that a file imports."""
    folder = path.split("/")[:-1]
    for level, name in names:
        parts = [part for part in name.split(".")[:DEEPEST] if part]
        if level == 0:
            for start in (*ROOTS, folder):
                yield from _files(start, parts, modules, inside=False)
            if parts[:1] == [package]:
                yield from _files([], parts[1:], modules, inside=True)
        elif level <= len(folder) + 1:
            start = folder[: len(folder) + 1 - level]
            yield from _files(start, parts, modules, inside=True)


def _names(node: ast.AST) -> Iterator[tuple[int, str]]:
    """What a node imports: how many dots, and the dotted name."""
    if isinstance(node, ast.Import):
        yield from ((0, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        for alias in node.names:
            yield node.level, f"{base}.{alias.name}".strip(".")
    elif isinstance(node, ast.Call) and dotted_name(node.func) in IMPORTERS and node.args:
        named = node.args[0]
        if isinstance(named, ast.Constant) and isinstance(named.value, str):
            name = named.value.lstrip(".")
            yield len(named.value) - len(name), name


def _files(
    start: Sequence[str], parts: Sequence[str], modules: Collection[str], *, inside: bool
) -> Iterator[str]:
    """The files that an import runs: the packages on the way, and the module.

    The last part of the name may be a module, or something in the one before. ``inside`` says that
    the start is itself a package on the way.
    """
    for length in range(0 if inside else 1, len(parts) + 1):
        place = "/".join([*start, *parts[:length]])
        package = f"{place}/__init__.py" if place else "__init__.py"
        files = (package, f"{place}.py", f"{place}.pyi")
        yield from (file for file in files if file in modules)
