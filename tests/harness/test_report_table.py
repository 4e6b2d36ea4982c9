"""The table of cases: what is said of a case, which cases it holds, and how much of them."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.harness import report_sample as sample

from exitdrill.report import load, table, trials
from exitdrill.report.text import LONGEST
from exitdrill.report.trials import Flag, compare, rank


def trial(**known: Any) -> dict[str, Any]:
    """A line of cases.jsonl, as far as the comparison looks at it."""
    measures = {key: known.pop(key) for key in ("success", "total") if key in known}
    return {"status": "answered", "answer": "a", "repeat": 0, "measures": measures, **known}


CONTENT = {"kind": "wording", "where": None, "form": False}
FORM = {"kind": "white_space", "where": None, "form": True}


@pytest.mark.parametrize(
    ("ours", "theirs", "flags"),
    [
        ([trial()], [trial()], Flag(0)),
        ([trial(success=1)], [trial(success=0)], Flag.LOST | Flag.FAILED),
        ([trial(success=0)], [trial(success=1)], Flag.GAINED),
        ([trial(success=0)], [trial(success=0)], Flag.FAILED),
        ([trial(success=1)], [trial(success=0.5)], Flag.LOST),
        ([trial(success=1)] * 2, [trial(success=1), trial(success=0)], Flag.LOST | Flag.FAILED),
        ([trial(success=None)], [trial(success=0)], Flag.FAILED),
        ([trial()], [trial(changes=[CONTENT, FORM])], Flag.CHANGED),
        ([trial()], [trial(changes=[FORM])], Flag.FORM),
        ([trial()], [trial(answer="b", changes=[])], Flag(0)),
        ([trial()], [trial(answer="b")], Flag.CHANGED),  # changes were not recorded
        ([trial(repeat=1)], [trial(answer="b")], Flag(0)),  # nothing to compare it with
        ([trial()], [trial(status="failed", answer=None)], Flag.FAILED | Flag.SILENT),
        ([trial()], [trial(status="not_asked", answer=None)], Flag.NOT_ASKED),
        ([trial()], [], Flag.NOT_ASKED),
        ([trial()], [trial(edits=[{"action": "drop"}])], Flag.EDITED),
        ([trial(total=1.0)], [trial(total=1.6)], Flag.SLOWER),
        ([trial()], [trial(arm="new", calls=[{"to": "new"}, {"to": "old"}])], Flag.LEFT),
        ([trial(calls=[{"to": "old"}])], [trial(arm="new", calls=[{"to": "new"}])], Flag(0)),
        ([trial()], [trial(arm="new", calls=["x", {"to": 3}, {}])], Flag(0)),
        ([trial(total=1.0)], [trial(total=1.5)], Flag(0)),
        ([trial(total=0.5), trial(total=1.5)], [trial(total=1.9)], Flag(0)),  # its own spread
        ([trial(total=0.00008)], [trial(total=0.00016)], Flag(0)),  # the drill's own delay
        ([trial(total=0.0008)], [trial(total=0.0019)], Flag.SLOWER),
        ([trial(total=None)], [trial(total=9.0)], Flag(0)),
        ([trial()], [trial(changes="x", edits=0, measures=3, error=[])], Flag(0)),
        ([trial(total=True)], [trial(total="9")], Flag(0)),
    ],
)
def test_what_is_said_of_a_case(ours: list[Any], theirs: list[Any], flags: Flag) -> None:
    assert compare(ours, theirs).flags == flags


def test_lost_cases_come_first() -> None:
    orders = [
        rank([compare([trial(success=1)], [theirs])])
        for theirs in (
            trial(success=0),
            trial(success=1, status="failed"),
            trial(success=1, changes=[CONTENT]),
            trial(success=1, changes=[FORM]),
            trial(success=1, changes=[]),
        )
    ]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)


def packed(text: str) -> Any:
    """What a block or the index holds."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


def made(folder: Path, rows: Any, data: Any = None) -> tuple[list[Any], dict[str, Any]]:
    """The blocks and the index of a drill."""
    document = load(sample.write(folder, data, rows))
    assert document.survey
    found = table.table(document.survey, document.data)
    blocks = [packed(block) for block in found.blocks()]
    return blocks, packed(found.index())


def test_the_calls_of_an_app_are_shown_with_what_is_amiss(tmp_path: Path) -> None:
    rows = list(sample.trials(1))
    arm = rows[1]["arm"]
    fine = {"to": arm, "path": "/v1/chat/completions", "model": "m", "status": 200, "error": None}
    rows[1]["calls"] = [
        {**fine, "seconds": 1.25, "input_tokens": 12, "output_tokens": 3},
        {**fine, "status": 404, "error": "bad_parameter", "message": "no such model"},
        {**fine, "to": "vendor", "status": 410, "seconds": "soon", "error": {}},
        *[fine] * 100,
    ]
    blocks, _ = made(tmp_path, rows)
    detail = blocks[0][0]
    calls = detail["trials"][1]["calls"]
    assert calls[:3] == [
        ["/v1/chat/completions · m · 200 · 1.25 s · 12 + 3 tokens", False],
        ["/v1/chat/completions · m · 404 · bad_parameter: no such model", True],
        ["STILL CALLS vendor · /v1/chat/completions · m · 410", True],
    ]
    assert len(calls) == table.MOST_CALLS
    assert (detail["app"], detail["trials"][0]["calls"]) == (True, [])


def test_blocks_and_index_agree(tmp_path: Path) -> None:
    blocks, index = made(tmp_path, sample.trials(450))
    assert [len(block) for block in blocks] == [200, 200, 50]
    assert index["starts"] == [0, 200, 400]
    assert (index["total"], index["left_out"], len(index["rows"])) == (450, 0, 450)
    assert index["arms"] == list(sample.ARMS)
    number, case, head, tags, entries = index["rows"][0]
    assert (number, case) == (1, "ticket-0000")
    assert head == "My invoice of last month was charged twice, please help today! (0)"
    assert [index["tags"][tag] for tag in tags] == ["invoice", "urgent"]
    flags, *numbers, changes = entries[0]
    assert Flag(flags) == Flag.LOST | Flag.CHANGED | Flag.FAILED
    assert numbers == [1.0, 0.0, 1.3, 0.9]
    # Named by the group of report.json that it belongs to.
    assert index["changes"][changes[0]] == ["another value of category", False]
    fenced = index["rows"][0][4][1][-1]
    assert index["changes"][fenced[0]] == ["in a code fence", True]
    assert blocks[0][0]["trials"][1]["answer"] == '{"category": "billing", "urgent": true}'


def errors(*labels: str | None) -> list[dict[str, Any]]:
    """A case per label: an error that differs from others only in its label."""
    change = {"kind": "error", "where": None, "form": False}
    return [
        {"arm": arm, "case": f"{place}", "incumbent": arm == "vendor", "status": "failed"}
        | {"changes": [change | ({} if label is None else {"label": label})]}
        for place, label in enumerate(labels)
        for arm in sample.ARMS[:2]
    ]


def error_groups(*labels: str) -> dict[str, Any]:
    """A report whose first candidate shows these errors."""
    data = sample.report()
    groups = [sample.group("error", None, label, (1, 0.0, 0, 0)) for label in labels]
    for candidate in data["candidates"]:
        candidate["changes"] = None
    data["candidates"][0]["changes"] = {
        **{"compared": 9, "self_compared": 9, "left_out": 0, "groups": groups}
    }
    return data


@pytest.mark.parametrize(
    ("groups", "trials_", "expected"),
    [
        (("no answer: auth", "no answer: timeout"), ("no answer: timeout",), [1]),
        (("no answer: auth", "no answer: timeout"), ("no answer: rare",), [2]),
        (("no answer: auth", "no answer: timeout"), (None,), [2]),  # either of them
        (("no answer: auth",), (None,), [0]),
        (("error: elsewhere",), ("no answer: rare", None), [0, 1]),  # no trial's change
        (("no answer: auth", "error: elsewhere"), (None, "no answer: auth"), [0, 0]),
    ],
)
def test_a_change_is_known_by_its_label(
    tmp_path: Path, groups: tuple[str, ...], trials_: tuple[str | None, ...], expected: list[int]
) -> None:
    data = error_groups(*groups)
    _, index = made(tmp_path, errors(*trials_), data)
    assert [row[4][0][-1][0] for row in index["rows"]] == expected
    names = [name for name, _ in index["changes"]]
    assert "error: elsewhere" not in names
    for place, label in zip(expected, trials_, strict=True):
        assert names[place] == (label or ("no answer" if place else groups[0]))


def test_a_flood_of_changes_is_named_by_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MOST_GROUPS", 5)
    labels = [f"no answer: {number}" for number in range(100)]
    _, index = made(tmp_path, errors(*labels), error_groups())
    assert [name for name, _ in index["changes"]] == [*labels[:5], "no answer"]


def test_changes_of_one_name_say_where(tmp_path: Path) -> None:
    rows = sample.trial(0, "vendor"), sample.trial(0, "mistral-local")
    wheres = ("/a/priority", "/b/priority")
    rows[1]["changes"] = [sample.change("field_changed", "priority", where) for where in wheres]
    _, index = made(tmp_path, rows)
    found = [index["changes"][number][0] for number in index["rows"][0][4][0][-1]]
    assert found == ["priority (/a/priority)", "priority (/b/priority)"]


@pytest.mark.parametrize(
    ("delays", "slower"),
    [
        ((0.0001, 0.0001), True),
        ((0.0001, 0.004), False),
        ((0.004, 0.0001), False),
        ((0.0001, None), False),
        ((None, None), False),
    ],
)
def test_slower_by_more_than_the_drill_was_late(
    tmp_path: Path, delays: tuple[float | None, ...], slower: bool
) -> None:
    data = sample.report()
    for arm, late in zip((data["incumbent"], data["candidates"][0]), delays, strict=True):
        arm["delay"] = None if late is None else {"n": 9, "p50": late, "p95": late, "p99": late}
    rows = [sample.trial(0, arm) for arm in sample.ARMS[:2]]
    for row, total in zip(rows, (0.0004, 0.0012), strict=True):
        row["measures"] = {"total": total}
    _, index = made(tmp_path, rows, data)
    assert bool(index["rows"][0][4][0][0] & Flag.SLOWER) is slower


def test_an_empty_tag_has_a_name(tmp_path: Path) -> None:
    _, index = made(tmp_path, [sample.trial(0, "vendor") | {"tags": ["", "a"]}])
    assert index["tags"] == ["(empty)", "a"]


def test_too_many_cases_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_CASES", 30)
    _, index = made(tmp_path, sample.trials(100))
    assert (index["total"], index["left_out"]) == (100, 70)
    assert [row[0] for row in index["rows"]][:21:5] == [1, 26, 51, 76, 5]  # lost ones, then others


def test_too_many_bytes_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_BYTES", 60_000)
    monkeypatch.setattr(table, "BLOCK_BYTES", 20_000)
    blocks, index = made(tmp_path, sample.trials(300))
    assert sum(map(len, blocks)) == len(index["rows"]) == 300 - index["left_out"]
    assert 0 < index["left_out"] < 300


def test_rows_of_any_shape_are_packed(tmp_path: Path) -> None:
    odd = [
        {"arm": "vendor", "case": None, "incumbent": True},
        {"arm": "mistral-local", "case": None, "answer": 3, "tags": [{"a": 1}], "edits": ["x"]},
        {"arm": "mistral-local", "case": {"a": 1}, "repeat": "x", "changes": [{"kind": 1}, 2]},
        {"arm": "stranger", "case": "s" * 1000, "prompt": "p\n" * 1000, "error": {"kind": 7}},
        {"arm": "vendor", "case": "long", "answer": "x" * 1_000_000, "incumbent": True},
        {"arm": "vendor", "case": "many", "incumbent": True, "tags": ["t"] * 1000},
        *({"arm": "vendor", "case": "many", "incumbent": True, "repeat": n} for n in range(2000)),
    ]
    blocks, index = made(tmp_path, odd)
    details: dict[str, Any] = {}
    for row, detail in zip(index["rows"], blocks[0], strict=True):
        details.setdefault(row[1], detail)
    assert len(details["long"]["trials"][0]["answer"]) < LONGEST + 60
    assert details["many"]["more"] > 0
    assert all(len(row[1]) <= 160 and len(row[2]) <= 160 for row in index["rows"])
    assert index["total"] == len(index["rows"]) == 7  # 2,001 trials of one case are three entries


def test_a_word_and_a_meaning_for_each_filter() -> None:
    assert {word for word, _ in trials.WORDS.values()} >= {"failed", "changed", "slower", "edited"}
    assert "1.5 times" in trials.WORDS[Flag.SLOWER][1]
