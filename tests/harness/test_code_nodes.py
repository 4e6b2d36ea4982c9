"""Nodes of syntax trees: formatting is no change, moving is none, and every edit is one."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.harness.code_folders import Files, sources

import exitdrill
from exitdrill.code.nodes import Nodes, changed_nodes
from exitdrill.code.sources import Source
from exitdrill.code.tokens import CLOSE, Labels, tokens

OWN = sorted(Path(exitdrill.__file__).parent.rglob("*.py"))
BIG = "".join(f"def function_{n}(a, b):\n    return a + b * {n}\n" for n in range(30))


def compared(before: Files, after: Files) -> Nodes:
    return changed_nodes(sources(before), sources(after))


def nodes(before: str, after: str, suffix: str = "py") -> int:
    """How many nodes differ between two versions of one file, both of which can be read."""
    found = compared({f"x.{suffix}": before}, {f"x.{suffix}": after})
    assert found.not_measured == {}
    return sum(found.changed.values())


# --- what is no change --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "before", "after"),
    [
        ("py", "a = 1", "a   =   1  # the first"),
        ("py", "f(a, b)", "f(\n    a,\n    b,\n)"),
        ("py", "s = 'x'", 's = "x"'),
        ("py", "s = 'a' 'b'", 's = "ab"'),
        ("py", "s = u'a'", 's = "a"'),
        ("py", "n = 0XFF", "n = 0xff"),
        ("py", "x = (1)\nreturn_ = (yield_)", "x = 1\nreturn_ = yield_"),
        ("py", "del (a), (b)", "del a, b"),
        ("py", "del (a, b)", "del a, b"),
        ("py", "class A():\n  pass", "class A:\n    pass"),
        ("py", "for x in (1, 2): pass", "for x in 1, 2:\n\n    pass"),
        ("py", "if a: b", "if a:\n    b"),
        ("py", 'def f():\n  """ A.\n\n  B.  \n  """', 'def f():\n    """A.\n\n    B.\n    """'),
        ("py", "# -*- coding: latin-1 -*-\na = 1", "a = 1\n"),
        ("js", "let a = 'x'", 'let a = "x";'),
        ("js", "s = 'it\\'s'", 's = "it\'s";'),
        ("js", "f(x => x, 1)", "f(\n  (x) => x,\n  1, // one\n);"),
        ("js", "o = {'a': 1}", "o = { a: 1, };"),
        ("js", "o = {'0': .5, 'b-c': 1E3}", "o = { 0: 0.5, 'b-c': 1e3 }"),
        ("js", "a = new B", "a = new B();"),
        ("js", "return_((a))", "return_(a)"),
        ("js", "if (a) { b() };", "if (a) {\n  b();\n}"),
        ("jsx", "x = <a>\n  hi   you\n</a>", "x = <a>hi you</a>;"),
        ("ts", "type A = B | C", "type A =\n  | B\n  | C;"),
        ("ts", "interface A { a: B, c: D }", "interface A {\n  a: B;\n  c: D;\n}"),
        ("tsx", "const f = x => <p>{x}</p>", "const f = (x) => <p>{x}</p>;"),
        ("go", 'package a\nimport (\n"b"\n"a"\n)', 'package a\n\nimport (\n\t"a"\n\t"b"\n)\n'),
        ("go", "package a\nfunc f() {x:=1;_=x}", "package a\nfunc f() {\n\tx := 1 //\n\t_ = x\n}"),
        ("java", "class A { int a = (1); }", "class A\n{\n  /** One. */\n  int a = 1;\n}"),
    ],
)  # fmt: skip
def test_formatting_is_no_change(suffix: str, before: str, after: str) -> None:
    assert nodes(before, after, suffix) == 0
    assert nodes(after, before, suffix) == 0


@pytest.mark.parametrize("style", ["narrow", "single", "tabs"])
def test_a_formatter_changes_nothing(tmp_path: Path, style: str) -> None:
    """ruff's formatter, a program of others, over the sources of this one."""
    settings = {
        "narrow": ["--config", "line-length = 50"],
        "single": ["--config", "format.quote-style = 'single'", "--config", "line-length = 200"],
        "tabs": ["--config", "format.indent-style = 'tab'", "--config", "line-length = 70"],
    }
    before = {str(number): path.read_text() for number, path in enumerate(OWN)}
    for name, text in before.items():
        (tmp_path / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "ruff", "format", "--isolated", *settings[style], "."]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    after = {name: (tmp_path / f"{name}.py").read_text() for name in before}
    assert sum(before[name] != after[name] for name in before) > len(OWN) / 3
    found = compared(
        {f"{name}.py": text for name, text in before.items()},
        {f"{name}.py": text for name, text in after.items()},
    )
    assert found == Nodes()


def test_without_comments_and_formatting_it_is_the_same() -> None:
    before = {path.name: path.read_text() for path in OWN[::5]}
    after = {name: ast.unparse(ast.parse(text)) for name, text in before.items()}
    assert compared(before, after) == Nodes()


@pytest.mark.parametrize("content", [BIG, "", "x = 1\n", "not python at all (", b"\xff\0"])
def test_a_file_that_is_renamed_is_no_change(content: str | bytes) -> None:
    found = compared({"a.py": content}, {"sub/b.py": content})
    assert (found.changed, found.not_measured) == ({}, {})
    assert found.touched == {"a.py", "sub/b.py"}


def test_a_file_that_is_renamed_and_formatted_is_no_change() -> None:
    assert compared({"a.py": "f(a,b)\n"}, {"b.py": "f( a, b )  # x\n"}).changed == {}


def test_a_file_that_is_renamed_and_edited_counts_the_edit() -> None:
    before = {"a.py": BIG, "c.py": "x = 1\n"}
    after = {"b.py": BIG.replace("* 17", "* 18"), "d.py": "def other(): return 5\n"}
    found = compared(before, after)
    assert found.changed["b.py"] == 1
    assert set(found.changed) == {"b.py", "c.py", "d.py"}


# --- what is a change ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "before", "after", "expected"),
    [
        ("py", "a = 1", "a = 2", 1),
        ("py", "a = 1", "b = 1", 1),
        ("py", "a = 1", "a = 1.0", 1),
        ("py", "a = 1", "a = True", 1),
        ("py", "a + b", "a - b", 1),
        ("py", "f(a)", "f(a, b)", 1),
        ("py", "f(a, b)", "f(b, a)", 2),
        ("py", "f(a)", "g(f(a))", 2),
        ("py", "a", "a\nb", 2),
        ("py", "if a:\n    b\nc", "if a:\n    b\n    c", None),
        ("py", "if a:\n    b\nelse:\n    c", "if a:\n    b\n    c", 1),
        ("py", '"""Doc."""', '"""Docs."""', 1),
        ("py", "def f():\n    pass", "async def f():\n    pass", 1),
        ("py", "", BIG, 30 * 10),
        ("js", "const a = 1", "let a = 1", 1),
        ("js", "a + b", "a - b", 1),
        ("js", "let [, a] = b", "let [a] = b", 1),
        ("js", "`a ${b}`", "`c ${b}`", 1),
        ("ts", "let a: string", "let a: number", 1),
        ("go", "package a\nvar x = 1", "package a\nvar x = 2", 1),
        ("java", "class A { int a = 1; }", "class A { int a = 2; }", 1),
    ],
)
def test_edits_are_counted(suffix: str, before: str, after: str, expected: int | None) -> None:
    found = nodes(before, after, suffix)
    assert found == nodes(after, before, suffix)
    assert found > 0
    if expected is not None:
        assert found == expected


Tree = tuple[str, tuple["Tree", ...]]


def test_it_is_a_lower_bound_of_the_edit_distance_of_trees() -> None:
    """Against the distance by its definition, on small random programs."""
    draw = random.Random(5)
    for _ in range(300):
        first, second = _call(draw, 6), _call(draw, 6)
        ours = nodes(first, second)
        exact = _forest_distance((_tree(first),), (_tree(second),))
        assert ours <= exact
        assert (ours == 0) == (exact == 0) == (first == second)


def _call(draw: random.Random, size: int) -> str:
    """A random program of calls of calls."""
    if size <= 1 or draw.random() < 0.2:
        return draw.choice("ab")
    inner = [_call(draw, size // 2) for _ in range(draw.randint(0, 2))]
    return f"{draw.choice('fg')}({', '.join(inner)})"


def _tree(program: str) -> Tree:
    stack: list[tuple[str, list[Tree]]] = [("", [])]
    for token in tokens(Source("x.py", "python", program.encode()), LABELS):
        if token == CLOSE:
            label, inner = stack.pop()
            stack[-1][1].append((label, tuple(inner)))
        else:
            stack.append((str(token), []))
    return stack[0][1][0]


LABELS = Labels()


@cache
def _forest_distance(first: tuple[Tree, ...], second: tuple[Tree, ...]) -> int:
    """The edit distance of ordered forests with unit costs, by its recursion."""
    if not first or not second:
        return sum(map(_size, first + second))
    (label, inner), (other, beside) = first[-1], second[-1]
    return min(
        _forest_distance(first[:-1] + inner, second) + 1,
        _forest_distance(first, second[:-1] + beside) + 1,
        _forest_distance(first[:-1], second[:-1])
        + _forest_distance(inner, beside)
        + (label != other),
    )


def _size(tree: Tree) -> int:
    return 1 + sum(map(_size, tree[1]))


# --- what cannot be read ------------------------------------------------------------------------


def hostile() -> Iterator[tuple[str, str | bytes]]:
    yield "py", "(" * 100_000
    yield "py", "-" * 100_000 + "1"
    yield "py", "a" + ".b" * 100_000
    yield "py", "a" + "+a" * 100_000
    yield "py", "[" * 5_000 + "]" * 5_000
    yield "py", "".join(" " * n + "if a:\n" for n in range(150)) + " " * 151 + "b"
    yield "py", "f'" + "{" * 1_000
    yield "py", "1" * 10_000
    yield "py", "x = 1 +"
    yield "py", "print 'two'"
    yield "py", b"a\0b"
    yield "py", b"\xff\xfe\xfd"
    yield "py", "# -*- coding: no-such -*-\n"
    yield "py", "a = 1\n" * 2_000_000
    yield "js", "(" * 400_000
    yield "js", "`${" * 100_000
    yield "js", "/*" * 400_000
    yield "js", "let = = ;"
    yield "jsx", "<a>" * 200_000
    yield "ts", "a<" * 200_000
    yield "go", "package"
    yield "java", "class {"
    yield "rb", "puts 1"
    yield "vue", "<template/>"
    yield "ipynb", "{}"
    yield "sh", "echo"


@pytest.mark.parametrize(("suffix", "content"), [*hostile()])
def test_what_cannot_be_read_is_not_measured(suffix: str, content: str | bytes) -> None:
    name = f"x.{suffix}"
    after = sources({name: content})
    if len(content) > 1_000_000:
        after = {name: Source(name, "python", None, "is longer than 1,000,000 bytes")}
    begun = time.monotonic()
    found = changed_nodes(sources({name: "a"}), after)
    assert time.monotonic() - begun < 20
    assert found.changed == {}
    assert list(found.not_measured) == [name]
    assert found.not_measured[name].startswith(("is ", "cannot be read"))
    assert found.touched == {name}


@pytest.mark.parametrize(
    ("suffix", "content", "expected"),
    [
        ("js", "[" * 200_000 + "]" * 200_000, 200_000),
        ("js", "a" + ".b" * 200_000, 400_000),
        ("js", "a=[" + "1," * 200_000 + "]", 200_000),
        ("py", "a=[" + "1," * 200_000 + "]", 200_000),
        ("py", "x" * 900_000, 1),
    ],
)
def test_big_and_deep_files_that_can_be_read(suffix: str, content: str, expected: int) -> None:
    assert nodes("a", content, suffix) == pytest.approx(expected, abs=10)


def test_files_that_are_too_long_to_compare_are_not_measured() -> None:
    before, after = ("\n".join(f"a{n} = {word}{n}" for n in range(40_000)) for word in "xy")
    begun = time.monotonic()
    found = compared({"x.py": before}, {"x.py": after})
    assert found.changed == {}
    assert found.not_measured == {"x.py": "changed too much, and is too long, to be compared"}
    assert time.monotonic() - begun < 30


def test_many_files_that_are_new_and_gone_take_little_time() -> None:
    before = {f"a{n}.py": f"x{n} = {n}\n" for n in range(1_000)}
    after = {f"b{n}.py": f"y{n} = f({n})\n" for n in range(1_000)}
    begun = time.monotonic()
    assert len(compared(before, after).changed) == 2_000
    assert time.monotonic() - begun < 10
