"""A workload is read strictly; each mistake has its file, its line and its key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tests.harness.scenes import lines, meta, request

from exitdrill import strictjson
from exitdrill.backend import Request
from exitdrill.errors import WorkloadError
from exitdrill.workload import (
    Case,
    CaseList,
    WorkloadFiles,
    body_problem,
    open_workload,
    output_limit,
)

GOOD = lines([request(0), request(1)])
CHAT = "body is not a chat request"


def opened(
    folder: Path,
    requests: str | bytes = GOOD,
    extra: str | bytes | None = None,
    *,
    default: str | None = None,
) -> WorkloadFiles:
    """The workload of these two files."""
    path = folder / "requests.jsonl"
    path.write_bytes(requests if isinstance(requests, bytes) else requests.encode())
    if extra is None:
        return open_workload(path, None, ["same", "other"], default)
    beside = folder / "meta.jsonl"
    beside.write_bytes(extra if isinstance(extra, bytes) else extra.encode())
    return open_workload(path, beside, ["same", "other"], default)


def second(**changes: Any) -> str:
    """Two requests, the second of them changed."""
    return lines([request(0), request(1, **changes)])


def without(key: str) -> str:
    """Two requests, the second of them without a key."""
    line = request(1)
    del line[key]
    return lines([request(0), line])


def nested(depth: int) -> str:
    """A request whose body holds lists in lists."""
    return GOOD + json.dumps(request(2)).replace('"q2"', "[" * depth + "]" * depth) + "\n"


# --- requests.jsonl -----------------------------------------------------------------------------

Bad = tuple[str | bytes, int | None, str | None, list[str]]
BAD_REQUESTS: dict[str, Bad] = {
    "broken": (GOOD + '{"custom_id": \n', 3, None, ["not valid JSON", "column"]),
    "cut off": (GOOD + '{"custom_id": "c2"', 3, None, ["not valid JSON"]),
    "after blank lines": (GOOD + "\n  \n{\n", 5, None, ["not valid JSON"]),
    "not an object": (GOOD + "[1]\n", 3, None, ["must be a JSON object"]),
    "duplicate id": (second(custom_id="c0"), 2, "custom_id", ["'c0'", "earlier line"]),
    "empty id": (second(custom_id=""), 2, "custom_id", ["at least one character"]),
    "id is a number": (second(custom_id=7), 2, "custom_id", ["must be a text"]),
    "no id": (without("custom_id"), 2, "custom_id", ["missing"]),
    "no body": (without("body"), 2, "body", ["missing"]),
    "unknown key": (second(bdy={}), 2, "'bdy'", ["unknown key", "did you mean 'body'"]),
    "strange key": (second(zzz={}), 2, "'zzz'", ["unknown key", "known are custom_id"]),
    "method": (second(method="GET"), 2, "method", ['"POST"']),
    "url": (second(url="/v1/chat"), 2, "url", ["/v1/chat/completions"]),
    "url is a list": (second(url=["/v1/embeddings"]), 2, "url", ["must be one of"]),
    "body is a text": (second() + lines([request(2) | {"body": "hello"}]), 3, "body", ["object"]),
    "no messages": (second() + lines([request(2) | {"body": {}}]), 3, "body", [CHAT]),
    "messages empty": (second(body={"messages": []}), 2, "body", [CHAT]),
    "messages a text": (second(body={"messages": "hi"}), 2, "body", [CHAT]),
    "no role": (second(body={"messages": [{"content": "hi"}]}), 2, "body", ["messages[0]", "role"]),
    "content": (
        second(body={"messages": [{"role": "user", "content": 3}]}),
        2,
        "body",
        ["messages[0].content"],
    ),
    "a completion's body": (second(url="/v1/completions"), 2, "body", ["body.prompt"]),
    "an embedding's body": (second(url="/v1/embeddings"), 2, "body", ["body.input"]),
    "max_tokens 0": (second(body={"max_tokens": 0}), 2, "body", ["body.max_tokens"]),
    "max_tokens true": (second(body={"max_tokens": True}), 2, "body", ["body.max_tokens"]),
    "max_tokens huge": (second(body={"max_tokens": 10**400}), 2, "body", ["body.max_tokens"]),
    "digits": (GOOD + '{"a": ' + "9" * 5_000 + "}\n", 3, None, ["not usable JSON", "digits"]),
    "NaN": (second(body={"temperature": math.nan}), 2, None, ["NaN is not JSON"]),
    "Infinity": (second(body={"temperature": -math.inf}), 2, None, ["-Infinity is not JSON"]),
    "1e999": (GOOD + '{"body": 1e999}\n', 3, None, ["too large"]),
    "key twice": (GOOD + '{"body": {"a": 1, "a": 2}}\n', 3, None, ["'a' stands twice"]),
    "half a character": (GOOD + '{"custom_id": "\\ud83d"}\n', 3, None, ["half a character"]),
    "bottomless": (nested(300), 3, None, ["nested too deeply"]),
    "abyss": (nested(100_000), 3, None, ["nested too deeply"]),
    "latin-1": (GOOD.encode() + b'{"custom_id": "caf\xe9"}\n', 3, None, ["not UTF-8 (byte 19"]),
    "BOM": (b"\xef\xbb\xbf" + GOOD.encode(), 1, None, ["byte order mark"]),
    "UTF-16": (GOOD.encode("utf-16"), 1, None, ["byte order mark"]),
    "0 bytes": (b"", None, None, ["is empty"]),
    "white space": (b"\n \r\n\n", None, None, ["is empty"]),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_has_file_line_and_key(name: str, tmp_path: Path) -> None:
    text, line, key, parts = BAD_REQUESTS[name]
    with pytest.raises(WorkloadError) as caught:
        opened(tmp_path, text)
    error = caught.value
    assert (Path(str(error.path)).name, error.line, error.key) == ("requests.jsonl", line, key)
    if name in {"0 bytes", "white space"}:
        assert "empty" in error.message
    else:
        assert [part for part in parts if part not in error.message] == []
    assert len(str(error)) < 600
    assert "\n" not in str(error)


def test_broken_line_deep_in_a_long_file(tmp_path: Path) -> None:
    good = json.dumps(request("#"))
    rows = [good.replace("#", str(number)) for number in range(40_316)]
    text = "\n".join([*rows, '{"custom_id": "broken', *rows[:3]])
    with pytest.raises(WorkloadError, match=r"requests\.jsonl:40317: not valid JSON"):
        opened(tmp_path, text)


@pytest.mark.parametrize(
    ("what", "part"), [("directory", "is a directory"), ("nothing", "cannot be read: No such file")]
)
def test_what_is_no_file(what: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    if what == "directory":
        path.mkdir()
    with pytest.raises(WorkloadError, match=part):
        open_workload(path, None, [])


# --- meta.jsonl ---------------------------------------------------------------------------------


def about(**changes: Any) -> str:
    """Two lines of meta data, the second of them changed."""
    return lines([meta(0), meta(1, **changes)])


BAD_META: dict[str, Bad] = {
    "broken": (about() + "{\n", 3, None, ["not valid JSON"]),
    "no such case": (about(custom_id="c9"), 2, "custom_id", ["no request 'c9'"]),
    "twice": (about(custom_id="c0"), 2, "custom_id", ["'c0'", "earlier line"]),
    "no id": (lines([{"expected": "x"}]), 1, "custom_id", ["must be a text"]),
    "unknown key": (about(expectd=1), 2, "'expectd'", ["did you mean 'expected'"]),
    "unknown checker": (about(checker="sane"), 2, "checker", ["'sane'", "did you mean 'same'"]),
    "checker is a list": (about(checker=["same"]), 2, "checker", ["declares no checker"]),
    "checker is a program": (about(checker="os:system"), 2, "checker", ["declares no checker"]),
    "nobody checks": (about(checker=None), 2, "checker", ["nothing says how"]),
    "arrival": (about(arrival=-1), 2, "arrival", ["at least 0"]),
    "arrival never": (about(arrival=10**400), 2, "arrival", ["at most a year"]),
    "arrival a text": (about(arrival="now"), 2, "arrival", ["must be seconds"]),
    "arrival false": (about(arrival=False), 2, "arrival", ["must be seconds"]),
    "arrival NaN": (about(arrival=math.nan), 2, None, ["NaN is not JSON"]),
    "turn": (about(turn=1.5), 2, "turn", ["whole number"]),
    "turn false": (about(turn=False), 2, "turn", ["whole number"]),
    "session": (about(session=3), 2, "session", ["must be a text"]),
    "tags": (about(tags="a"), 2, "tags", ["list of texts"]),
    "tags of numbers": (about(tags=[1]), 2, "tags", ["list of texts"]),
    "expected twice": ('{"custom_id": "c0", "expected": 1, "expected": 2}\n', 1, None, ["twice"]),
    "latin-1": (b'{"custom_id": "caf\xe9"}\n', 1, None, ["not UTF-8"]),
    "BOM": (b"\xef\xbb\xbf" + about().encode(), 1, None, ["byte order mark"]),
    "0 bytes": (b"", None, None, ["is empty"]),
}


@pytest.mark.parametrize("name", BAD_META)
def test_bad_meta_has_file_line_and_key(name: str, tmp_path: Path) -> None:
    text, line, key, parts = BAD_META[name]
    with pytest.raises(WorkloadError) as caught:
        opened(tmp_path, GOOD, text)
    error = caught.value
    assert (Path(str(error.path)).name, error.line, error.key) == ("meta.jsonl", line, key)
    assert [part for part in parts if part not in error.message] == []


# --- what is good -------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\r\n \r\n"])
@pytest.mark.parametrize("last", ["", "end"])
def test_line_ends_and_blank_lines_do_not_matter(end: str, last: str, tmp_path: Path) -> None:
    rows = [json.dumps(request(n, custom_id=f"ü-{n}-票"), ensure_ascii=False) for n in range(3)]
    extra = [json.dumps(meta(n, custom_id=f"ü-{n}-票"), ensure_ascii=False) for n in (2, 0)]
    text, more = end.join(rows) + last.replace("end", end), end.join(extra) + "\n"
    workload = opened(tmp_path, text, more)
    for _ in range(2):  # it can be read again
        found = list(workload)
        assert [case.id for case in found] == ["ü-0-票", "ü-1-票", "ü-2-票"]
        assert [case.expected for case in found] == ["a0", None, "a2"]
    assert workload.size == 3


def test_a_case_has_all_that_meta_says(tmp_path: Path) -> None:
    said = meta(0, session="s", turn=2, arrival=0.5, tags=["x"], checker="other")
    first, unsaid = opened(tmp_path, GOOD, lines([said]))
    assert first.meta() == {key: value for key, value in said.items() if key != "custom_id"}
    assert unsaid.meta() == {}
    again = Case.of(first.id, first.request.operation, first.request.body, first.meta())
    assert again == first


def test_null_says_nothing(tmp_path: Path) -> None:
    said = meta(0, session=None, turn=None, arrival=None, tags=None)
    assert next(iter(opened(tmp_path, GOOD, lines([said])))).meta() == {
        "checker": "same",
        "expected": "a0",
    }


@pytest.mark.parametrize("named", [{"checker": None}, {"checker": "other"}, {}])
def test_default_checker(named: dict[str, Any], tmp_path: Path) -> None:
    said = {"custom_id": "c0", "expected": "a0", **named}
    first, unsaid = opened(tmp_path, GOOD, lines([said]), default="same")
    assert first.checker == (named.get("checker") or "same")
    assert unsaid.checker is None


def test_hash_is_of_all_that_is_said(tmp_path: Path) -> None:
    hashes = {
        opened(tmp_path, *files, default=default).sha256
        for files in [(GOOD,), (GOOD, about()), (second(body={"seed": 1}),)]
        for default in [None, "same", "other"]
    }
    assert len(hashes) == 9
    assert opened(tmp_path).sha256 == opened(tmp_path).sha256


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 3}, 3),
    ],
)
def test_output_limit(body: dict[str, Any], limit: int | None) -> None:
    assert output_limit(body) == limit


@pytest.mark.parametrize(
    ("operation", "body", "good"),
    [
        ("completion", {"prompt": "x"}, True),
        ("completion", {"prompt": ""}, False),
        ("embedding", {"input": ["x", "y"]}, True),
        ("embedding", {"input": []}, False),
        ("chat", {"messages": [{"role": "assistant", "content": None}]}, True),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, True),
        ("chat", [], False),
    ],
)
def test_bodies(operation: Any, body: Any, good: bool) -> None:
    assert (body_problem(operation, body) is None) is good


# --- from Python --------------------------------------------------------------------------------


def case(case_id: str = "c", body: Any = None, **more: Any) -> Case:
    """A case."""
    return Case(case_id, Request("chat", body or request(0)["body"]), **more)


@pytest.mark.parametrize(
    ("cases", "part"),
    [
        ([], "the workload is empty"),
        ([case(), case()], "two cases have the id 'c'"),
        ([case(body={"messages": []})], "case 'c': body is not a chat request"),
        ([case(expected=math.nan)], "case 'c' holds something that JSON cannot say"),
        ([case(expected={1, 2})], "JSON cannot say"),
        ([case("\ud800")], "JSON cannot say"),
    ],
)
def test_bad_cases_from_python(cases: list[Case], part: str) -> None:
    with pytest.raises(WorkloadError, match=part):
        CaseList(cases)


def test_cases_from_python_hash_as_what_they_say() -> None:
    assert CaseList([case()]).sha256 == CaseList([case()]).sha256
    assert CaseList([case()]).sha256 != CaseList([case(expected="x")]).sha256
    assert [each.id for each in CaseList([case("a"), case("b")])] == ["a", "b"]


# --- strict JSON --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"\\ud83d\\ude00"', "😀"),
        ('{"a": {"a": 1}}', {"a": {"a": 1}}),
        ("1e308", 1e308),
        (str(10**400), 10**400),
        (json.dumps([[]] * 5_000), [[]] * 5_000),
    ],
)
def test_strict_json_takes_what_is_json(text: str, value: Any) -> None:
    assert strictjson.loads(text) == value


def test_strict_json_goes_two_hundred_deep() -> None:
    strictjson.canonical(strictjson.loads("[" * 200 + "]" * 200))


@pytest.mark.parametrize(
    "text",
    [
        *("", "NaN", "[-Infinity]", "1e999", "01", "'a'"),
        *('{"a":1,"a":1}', '["\\uDC00"]', '{"\\ud800":1}'),
        *("[" * 201 + "]" * 201, '{"a":' * 201 + "1" + "}" * 201, "[" * 10**6),
    ],
    ids=lambda text: text[:12] or "empty",
)
def test_strict_json_refuses(text: str) -> None:
    with pytest.raises(strictjson.StrictJSONError):
        strictjson.loads(text)


def test_canonical_is_one_text() -> None:
    assert strictjson.canonical({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"\\u00e9"],"b":1}'
    with pytest.raises(ValueError, match="JSON"):
        strictjson.canonical(math.nan)
