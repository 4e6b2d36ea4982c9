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
        ([trial(total=1.0)], [trial(total=1.5)], Flag(0)),
        ([trial(total=0.5), trial(total=1.5)], [trial(total=1.9)], Flag(0)),  # its own spread
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


def made(folder: Path, rows: Any) -> tuple[list[Any], dict[str, Any]]:
    """The blocks and the index of a drill."""
    document = load(sample.write(folder, rows=rows))
    assert document.survey
    found = table.table(document.survey, document.data)
    blocks = [packed(block) for block in found.blocks()]
    return blocks, packed(found.index())


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
    assert blocks[0][0]["trials"][1]["answer"] == '{"category": "billing", "urgent": true}'


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
