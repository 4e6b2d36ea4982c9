"""Syntax trees: Python's by its own parser, those of other languages by tree-sitter.

Both parsers read; nothing is compiled, imported or run. What cannot be parsed is said, with the
reason: it is never an empty tree.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from exitdrill.code.sources import Language, Source

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

NOT_READ = "is in a language that is not read"


class Unparsable(ValueError):
    """A file has no syntax tree here; the message says why, as the end of a sentence."""


def parse_python(source: Source) -> ast.Module:
    """A Python file's tree. Raises `Unparsable`."""
    data = _data(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the app's invalid escapes are none of ours
            return ast.parse(data)
    except SyntaxError as error:
        raise Unparsable(f"is not Python that can be parsed: line {error.lineno}") from None
    except (RecursionError, MemoryError):
        raise Unparsable("is nested too deeply to be parsed") from None
    except (ValueError, OverflowError, UnicodeError) as error:
        raise Unparsable(f"is not Python that can be parsed: {error}"[:200]) from None


def parse_tree(source: Source) -> Node:
    """The root of a file's tree in one of the other languages. Raises `Unparsable`."""
    data = _data(source)
    if source.language in {"plain", "unread"}:
        raise Unparsable(NOT_READ)
    root = _parser(source.language).parse(data).root_node
    if root.has_error:
        raise Unparsable(f"is not {source.language} that can be parsed")
    return root


def children(node: Node) -> Iterator[tuple[str, Node]]:
    """The children of a node, each with the name of its field (or an empty one); linear."""
    cursor = node.walk()
    more = cursor.goto_first_child()
    while more:
        if cursor.node is not None:
            yield cursor.field_name or "", cursor.node
        more = cursor.goto_next_sibling()


def text_of(node: Node) -> str:
    """The text that a node stands for."""
    return (node.text or b"").decode("utf-8", "replace")


def _data(source: Source) -> bytes:
    if source.data is None:
        raise Unparsable(source.problem or "was not read")
    return source.data


@cache
def _parser(language: Language) -> Parser:
    import tree_sitter
    import tree_sitter_go
    import tree_sitter_java
    import tree_sitter_javascript
    import tree_sitter_typescript

    grammars = {
        "go": tree_sitter_go.language,
        "java": tree_sitter_java.language,
        "javascript": tree_sitter_javascript.language,
        "tsx": tree_sitter_typescript.language_tsx,
        "typescript": tree_sitter_typescript.language_typescript,
    }
    return tree_sitter.Parser(tree_sitter.Language(grammars[language]()))
