"""Checkers: hits, misses, and expectations that nobody can judge by."""

from __future__ import annotations

import enum
import functools
import json
import os
import re
import subprocess
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from exitdrill import checkers
from exitdrill.backend import Reply, Request
from exitdrill.checkers import Checker, CheckerProblem
from exitdrill.errors import ScenarioError
from exitdrill.fingerprints import fingerprint_of
from exitdrill.workload import Case

REQUEST = Request("chat", {"messages": [{"role": "user", "content": "q"}]})
PROBLEM = "problem"
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
PATTERNS = {"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}
SMALLEST = {"additionalProperties": {"type": "integer"}, "properties": {"a": True}}
ENDLESS = {"$ref": "#"}
SLOW = "^(a|aa)+$"
DANGEROUS_ANSWER = "a" * 80 + "b"


def nested(depth: int) -> dict[str, Any]:
    """A schema of so many levels."""
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


def judged(kind: str, answer: str, expected: Any, **settings: Any) -> bool | str:
    """What a checker says of an answer; `PROBLEM` where it says that it cannot."""
    checker = checkers.KINDS[kind](**settings)
    try:
        return checker(Reply(text=answer), Case("c", REQUEST, expected=expected))
    except CheckerProblem:
        return PROBLEM


@pytest.mark.parametrize(
    ("kind", "settings", "expected", "answer", "outcome"),
    [
        ("exact", {}, "4", "4", True),
        ("exact", {}, "4", " 4\n", True),
        ("exact", {"strip": False}, "4", " 4\n", False),
        ("exact", {}, "4", "5", False),
        ("exact", {}, "é", "e\u0301", False),
        ("exact", {}, "", "", True),
        ("exact", {}, None, "4", PROBLEM),
        ("exact", {}, 4, "4", PROBLEM),
        ("contains", {}, "our", "four", True),
        ("contains", {}, ["f", "r"], "four", True),
        ("contains", {}, ["f", "x"], "four", False),
        ("contains", {}, "OUR", "four", False),
        ("contains", {"ignore_case": True}, "STRASSE", "Straße", True),
        ("contains", {}, [], "four", PROBLEM),
        ("contains", {}, "", "four", PROBLEM),
        ("contains", {}, ["f", 4], "four", PROBLEM),
        ("contains", {}, None, "four", PROBLEM),
        ("regex", {}, r"^\d+$", "42", True),
        ("regex", {}, r"^\d+$", "x42", False),
        ("regex", {"pattern": "a.c"}, None, "xabcx", True),
        ("regex", {"pattern": "A.C", "ignore_case": True}, None, "abc", True),
        ("regex", {"pattern": "a.c"}, "zzz", "abc", True),
        ("regex", {}, "(", "(", PROBLEM),
        ("regex", {}, None, "x", PROBLEM),
        ("regex", {}, "", "x", PROBLEM),
        ("json_schema", {}, {}, "{}", PROBLEM),
        ("json_schema", {}, True, "{}", PROBLEM),
        ("json_schema", {"schema": {}}, {}, "{}", True),
        ("json_schema", {"schema": SCHEMA}, None, '{"a": 1}', True),
        ("json_schema", {"schema": SCHEMA}, None, '{"a": "1"}', False),
        ("json_schema", {"schema": SCHEMA}, None, '{"a": 1, "b": 2}', False),
        ("json_schema", {}, SCHEMA, '{"a": 1}', True),
        ("json_schema", {}, SCHEMA, "[1]", False),
        ("json_schema", {}, SCHEMA, "not JSON", False),
        ("json_schema", {}, SCHEMA, '{"a": NaN}', False),
        ("json_schema", {}, SCHEMA, "[" * 100_000, False),
        ("json_schema", {}, SCHEMA, '```json\n{"a": 1}\n```', False),
        ("json_schema", {"fences": True}, SCHEMA, '```json\n{"a": 1}\n```', True),
        ("json_schema", {}, {"type": "objekt"}, "{}", PROBLEM),
        ("json_schema", {}, "text", "{}", PROBLEM),
        ("json_schema", {}, None, "{}", PROBLEM),
        ("json_schema", {}, {"$ref": "http://127.0.0.1:9/schema.json"}, "{}", PROBLEM),
        ("json_schema", {}, {"$ref": "file:///etc/passwd"}, "{}", PROBLEM),
        ("json_schema", {}, {"$ref": "#/$defs/gone"}, "{}", PROBLEM),
        ("json_schema", {}, ENDLESS, "{}", PROBLEM),
        ("json_schema", {}, {"pattern": "^a+$"}, '"aaa"', True),
        ("json_schema", {}, {"pattern": "^a+$"}, '"aab"', False),
        ("json_schema", {}, {"pattern": "("}, '"aab"', PROBLEM),
        ("json_schema", {}, PATTERNS, '{"x1": 1}', True),
        ("json_schema", {}, PATTERNS, '{"x1": "1"}', False),
        ("json_schema", {}, PATTERNS, '{"y1": 1}', False),
        ("json_schema", {}, PATTERNS, "3", True),
        ("json_schema", {}, SMALLEST, '{"a": "x", "b": 1}', True),
        ("json_schema", {}, SMALLEST, '{"a": "x", "b": "1"}', False),
        ("json_schema", {}, {"unevaluatedProperties": False}, "{}", PROBLEM),
        ("json_schema", {}, {"not": {"unevaluatedItems": False}}, "[]", PROBLEM),
        ("json_schema", {}, {"description": "x" * 1_000_000}, "{}", PROBLEM),
        ("json_schema", {}, {"pattern": "a{99999999999}"}, '"a"', PROBLEM),
        ("json_schema", {}, nested(190), "{}", PROBLEM),
        ("json_schema", {}, nested(5_000), "{}", PROBLEM),
        ("json_fields", {}, {"a": 1, "b": "x"}, '{"b": "x", "a": 1, "c": 2}', True),
        ("json_fields", {}, {"a": 1}, '{"a": 1.0}', True),
        ("json_fields", {}, {"a": 1}, '{"a": true}', False),
        ("json_fields", {}, {"a": 1}, '{"a": "1"}', False),
        ("json_fields", {}, {"a": None}, "{}", False),
        ("json_fields", {}, {"a": {"b": [1, 2]}}, '{"a": {"b": [1, 2]}}', True),
        ("json_fields", {}, {"a": {"b": [1, 2]}}, '{"a": {"b": [2, 1]}}', False),
        ("json_fields", {}, {"a": {"b": [1]}}, '{"a": {"b": [1], "c": 1}}', False),
        ("json_fields", {"fields": ["a"]}, {"a": 1, "b": 2}, '{"a": 1, "b": 3}', True),
        ("json_fields", {"fields": ["c"]}, {"a": 1}, '{"c": 1}', PROBLEM),
        ("json_fields", {}, {}, '{"c": 1}', PROBLEM),
        ("json_fields", {}, [1], "[1]", PROBLEM),
        ("json_fields", {}, {"a": 1}, "[1]", False),
        ("json_fields", {}, {"a": 1}, '{"a": 2, "a": 1}', False),
        ("json_fields", {}, {"a": 1}, '```\n{"a": 1}\n```', False),
        ("json_fields", {"fences": True}, {"a": 1}, '```\n{"a": 1}\n```\n', True),
        ("json_fields", {"fences": True}, {"a": 1}, '```{"a": 1}```', False),
    ],
)
def test_answers(
    kind: str, settings: dict[str, Any], expected: Any, answer: str, outcome: bool | str
) -> None:
    assert judged(kind, answer, expected, **settings) == outcome


@pytest.mark.parametrize(
    ("kind", "expected", "answer"),
    [
        ("regex", SLOW, DANGEROUS_ANSWER),
        ("json_schema", {"pattern": SLOW}, f'"{DANGEROUS_ANSWER}"'),
        ("json_schema", {"patternProperties": {SLOW: True}}, f'{{"{DANGEROUS_ANSWER}": 1}}'),
        (
            "json_schema",
            {"additionalProperties": False, "patternProperties": {SLOW: True}},
            f'{{"{DANGEROUS_ANSWER}": 1}}',
        ),
    ],
)
def test_a_pattern_that_takes_for_ever_is_given_up(
    kind: str, expected: Any, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkers, "REGEX_SECONDS", 0.2)
    began = time.monotonic()
    assert judged(kind, answer, expected) == PROBLEM
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("more", [{}, {"additionalProperties": False}])
def test_a_slow_pattern_is_not_tried_on_every_name(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exitdrill.jsonschemas.SECONDS", 0.2)
    names = {"a" * 22 + "b" * number: 1 for number in range(1, 2_000)}  # some milliseconds each
    began = time.monotonic()
    schema = {"patternProperties": {"^(?:a|aa)+$": {}}, **more}
    assert judged("json_schema", json.dumps(names), schema) == PROBLEM
    assert time.monotonic() - began < 8


def test_whether_it_is_a_schema_is_found_out_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exitdrill.jsonschemas.SECONDS", 0.01)
    began = time.monotonic()
    assert judged("json_schema", "{}", {"allOf": [True] * 100_000}) == PROBLEM
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("kind", "settings", "part"),
    [
        ("regex", {"pattern": "("}, "not a regular expression"),
        ("json_schema", {"schema": {"type": "objekt"}}, "not a JSON Schema"),
        ("json_fields", {"fields": []}, "compares nothing"),
    ],
)
def test_a_declaration_that_cannot_work(kind: str, settings: dict[str, Any], part: str) -> None:
    with pytest.raises(ScenarioError, match=part):
        checkers.KINDS[kind](**settings)


# --- functions of the scenario ------------------------------------------------------------------

JUDGES = """
import sys
from dataclasses import dataclass

@dataclass
class Judge:
    factor: int

def judge(answer: str, expected: object) -> bool:
    return int(answer) == Judge(2).factor * expected

def number(answer, expected):
    return 1

def nothing(answer, expected):
    pass

def leaves(answer, expected):
    sys.exit(0)

constant = 3
"""


@pytest.mark.parametrize(
    ("function", "answer", "outcome"),
    [
        ("judge", "4", True),
        ("judge", "5", False),
        ("judge", "four", PROBLEM),
        ("number", "4", PROBLEM),
        ("nothing", "4", PROBLEM),
        ("leaves", "4", PROBLEM),
    ],
)
def test_python(function: str, answer: str, outcome: bool | str, tmp_path: Path) -> None:
    path = tmp_path / "judges.py"
    path.write_text(JUDGES)
    assert judged("python", answer, 2, path=path, function=function) == outcome


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("x = ", "raised SyntaxError"),
        ("1 / 0", "raised ZeroDivisionError"),
        ("import exitdrill_no_such_module", "raised ModuleNotFoundError"),
        ("raise SystemExit(0)", "raised SystemExit"),
        ("def other(): pass", "has no function 'judge'"),
        ("judge = 3", "has no function 'judge'"),
    ],
)
def test_a_file_without_a_judge(source: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "judges.py"
    path.write_text(source)
    with pytest.raises(ScenarioError, match=part) as caught:
        checkers.python(path=path, function="judge")
    assert caught.value.path == path


@pytest.mark.parametrize("name", ["gone.py", "folder", "folder.py", "text.txt"])
def test_what_is_no_python_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "text.txt").write_text(JUDGES)
    with pytest.raises(ScenarioError, match="no such Python file"):
        checkers.python(path=tmp_path / name, function="judge")


def test_functions_given_in_python_are_strangers_too() -> None:
    def judge(reply: Reply, case: Case) -> bool:
        return {"yes": True, "no": False}[reply.text]

    checker = checkers.guarded(judge, "judge")
    case = Case("c", REQUEST)
    assert checker(Reply(text="yes"), case) is True
    assert checker(Reply(text="no"), case) is False
    with pytest.raises(CheckerProblem, match="judge raised KeyError: 'perhaps'"):
        checker(Reply(text="perhaps"), case)


# --- what is the same ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (False, False, True),
        (None, None, True),
        (None, 0, False),
        ("1", 1, False),
        ([], {}, False),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, [True]], [1, [1]], False),
        (10**400, 1e308, False),
    ],
)
def test_same_json(left: Any, right: Any, same: bool) -> None:
    assert checkers.same_json(left, right) is same
    assert checkers.same_json(right, left) is same


def test_the_deepest_answers_can_be_compared() -> None:
    deepest = '{"a":' * 200 + "1" + "}" * 200
    assert checkers.same_json(checkers.parse_json(deepest), checkers.parse_json(deepest))
    with pytest.raises(ValueError, match="nested too deeply"):
        checkers.parse_json(f"[{deepest}]")


def test_fingerprints_follow_what_a_checker_does_and_not_where_it_lies(tmp_path: Path) -> None:
    places = [tmp_path / "a" / "judges.py", tmp_path / "b" / "judges.py"]
    for path in places:
        path.parent.mkdir()
        path.write_text(JUDGES)

    def prints() -> list[str]:
        settings = [{"path": path, "function": "judge"} for path in places]
        return [checkers.fingerprint("python", each) for each in settings]

    first, second = prints()
    assert first == second
    places[1].write_text(JUDGES + "# changed\n")
    assert prints()[1] != first
    assert checkers.fingerprint("python", {"path": places[0], "function": "number"}) != first
    kinds = {checkers.fingerprint(kind, {}) for kind in ("exact", "contains")}
    assert len(kinds | {checkers.fingerprint("exact", {"strip": False})}) == 3


LEAST = 0.5
OTHERS = {"a": 1}


def helper(text: str) -> bool:
    return len(text) > LEAST


def accepting(*texts: Any, least: float = 0.5, **more: Any) -> Checker:
    def check(reply: Reply, case: Case) -> bool:
        return reply.text in texts and len(reply.text) > least and bool(more)

    return check


def by_default(least: float) -> Checker:
    def check(reply: Reply, case: Case, least: float = least, *, most: float = least) -> bool:
        return least < len(reply.text) < most

    return check


def with_helper(reply: Reply, case: Case) -> bool:
    return helper(reply.text) and reply.text in OTHERS


@dataclass(slots=True)
class Slotted:
    least: Any


class Strict:
    def __init__(self, least: Any) -> None:
        self.least = least

    def __call__(self, reply: Reply, case: Case) -> bool:
        return bool(len(reply.text) > self.least)

    def judge(self, reply: Reply, case: Case) -> bool:
        return self(reply, case)

    def __repr__(self) -> str:
        raise AssertionError("executed")

    __hash__ = None  # type: ignore[assignment]  # nor asked for this

    def __getattr__(self, name: str) -> Any:
        raise AssertionError("executed")


class Slots:
    __slots__ = ("least", "unset")

    def __init__(self, least: float) -> None:
        self.least = least

    def __call__(self, reply: Reply, case: Case) -> bool:
        return len(reply.text) > self.least


def typed_in(source: str) -> Checker:
    """A function without a file."""
    found: dict[str, Any] = {}
    exec(source, found)  # our own text
    made: Checker = found["check"]
    return made


def doubled(depth: int, end: float) -> list[Any]:
    found: list[Any] = [end]
    for _ in range(depth):
        found = [found, found]
    return found


Kind = enum.Enum("Kind", "ONE TWO")
DECIDED: list[Callable[[Any], Any]] = [
    accepting,
    lambda value: accepting({"deep": [({value},)]}),
    lambda value: accepting(least=value),
    lambda value: accepting(more=value),
    lambda value: accepting(accepting(value)),
    lambda value: accepting(Slotted(value)),
    by_default,
    lambda value: functools.partial(accepting(), value),
    functools.lru_cache(by_default),
    lambda value: functools.lru_cache(by_default(value)),
    lambda value: checkers.guarded(accepting(value), "name"),
    Strict,
    lambda value: Strict(value).judge,
    Slots,
    lambda value: typed_in(f"def check(reply, case): return len(reply.text) > {value}"),
]


@pytest.mark.parametrize("make", DECIDED)
def test_what_a_function_decides_by_is_in_its_fingerprint(make: Callable[[Any], Any]) -> None:
    prints = [checkers.fingerprint_of_function(make(value)) for value in (0.5, 0.9, 0.5)]
    assert prints[0] == prints[2] != prints[1]


def test_what_stands_beside_a_function_is_in_its_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prints = [checkers.fingerprint_of_function(with_helper)]
    for name, value in (("LEAST", 0.9), ("OTHERS", {"a": 2}), ("helper", by_default)):
        monkeypatch.setitem(globals(), name, value)
        prints.append(checkers.fingerprint_of_function(with_helper))
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, True, False),
        (1, 1.0, False),
        ("1", 1, False),
        (["a", "b"], ["b", "a"], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a", "b", "c"}, {"c", "b", "a"}, True),
        ([["a"], "b"], [["a", "b"]], False),
        (re.compile("a" * 300), re.compile("a" * 300, re.I), False),
        (re.compile("a" * 300), re.compile("a" * 299 + "b"), False),
        (Decimal("0.5"), Decimal("0.9"), False),
        (Kind.ONE, Kind.TWO, False),
        (np.float64(0.5), np.float64(0.9), False),
        ("\ud800", "\ud801", False),
        ([10**5000], [10**5000 + 1], False),
        (str.upper, str.lower, False),
        (object(), object(), True),  # what differs is where they lie
        ([Strict(0.5)], [Strict(0.9)], True),  # a value that nobody can read without executing it
        (doubled(5, 0.5), doubled(5, 0.9), False),
        (doubled(60, 0.5), doubled(60, 0.5), True),  # 2 ** 60 leaves, each read once
    ],
)
def test_values_in_a_closure(one: Any, other: Any, same: bool) -> None:
    prints = {checkers.fingerprint_of_function(accepting(value)) for value in (one, other)}
    assert (len(prints) == 1) == same


def test_a_fingerprint_of_what_holds_itself() -> None:
    texts: list[Any] = ["a"]
    texts.append(texts)
    found = checkers.fingerprint_of_function(accepting(texts))
    assert found == checkers.fingerprint_of_function(accepting(texts))


def test_fingerprints_of_functions() -> None:
    def one(reply: Reply, case: Case) -> bool:
        return True

    def two(reply: Reply, case: Case) -> bool:
        return False

    prints = {checkers.fingerprint_of_function(each) for each in (one, two)}
    assert len(prints) == 2
    assert checkers.fingerprint_of_function(one) in prints
    strict, lenient = checkers.exact(), checkers.exact(strip=False)
    assert checkers.fingerprint_of_function(strict) != checkers.fingerprint_of_function(lenient)


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    code = (
        "from tests.harness.test_checkers import accepting, Slotted, with_helper\n"
        "from exitdrill.checkers import fingerprint_of_function as of\n"
        "print(of(accepting({'a', 'b', 'c'}, object(), len, {'x': {1, 2}}, Slotted('y'))))\n"
        "print(of(with_helper))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 3.0])),
        (np.int64(3), np.int64(4)),
        (array("d", [1.0]), array("d", [2.0])),
        (deque([1]), deque([2])),
        (Path("a"), Path("b")),
        (SimpleNamespace(least=1), SimpleNamespace(least=2)),
        (MappingProxyType({"a": 1}), MappingProxyType({"a": 2})),
        (itemgetter("a"), itemgetter("b")),
    ],
)
def test_what_a_checker_holds_counts(one: Any, other: Any) -> None:
    def holding(value: Any) -> Any:
        return lambda expected, text: (expected, text, value)

    hashes = [fingerprint_of(holding(value)) for value in (one, other, one)]
    assert hashes[0] == hashes[2] != hashes[1]


def test_two_lambdas_in_one_line_are_two() -> None:
    strict, loose = (lambda a, b: a == b), (lambda a, b: a in b)
    assert fingerprint_of(strict) != fingerprint_of(loose)
