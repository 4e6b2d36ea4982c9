"""The plan: fixed and hashed before the first call, the same on every machine."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.harness.scenes import TOML, changed, command, lines, meta, scene

import exitdrill
from exitdrill.drillable import check
from exitdrill.errors import JournalError
from exitdrill.plan import Plan, check_same, make_plan, most, most_of, warnings
from exitdrill.scenario import load

SWAP = """
[app]
[swap.new]
patch = "swap/new.patch"
overlay = "swap/overlay"
"""
PRICE = """
[backends.{arm}.price]
currency = "EUR"
input_per_million = 1000000.0
output_per_million = 2000000.0
date = 2026-11-01
source = "a list"
"""
JUDGE = changed('type = "exact"', 'type = "python"\npath = "judge.py"\nfunction = "judge"')


def planned(folder: Path, limit: int | None = None) -> Plan:
    """The plan of a scenario in a folder."""
    return make_plan(check(load(folder)), limit)


def with_app(folder: Path, toml: str = TOML + SWAP) -> Path:
    """A scenario with an app, a swap and a checker in Python."""
    scene(folder, toml=toml)
    for name in ("app/main.py", "swap/new.patch", "swap/overlay/settings.toml", "judge.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def judge(answer, expected):\n    return answer == expected\n")
    return folder


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    folder = scene(tmp_path / "s")
    command("run", folder, "--out", tmp_path / "out", "--quiet")
    written = (tmp_path / "out" / "plan.json").read_bytes()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    plan = planned(folder)
    assert written == plan.text.encode()
    assert hashlib.sha256(written).hexdigest() == plan.sha256 == report["drill"]["plan_sha256"]


def test_a_resumed_drill_restores_its_plan(tmp_path: Path) -> None:
    folder = scene(tmp_path / "s")
    command("run", folder, "--out", tmp_path / "out", "--quiet")
    file = tmp_path / "out" / "plan.json"
    written = file.read_bytes()
    file.write_text("{}")
    command("run", folder, "--resume", tmp_path / "out", "--quiet")
    assert file.read_bytes() == written


def test_the_plan_is_the_same_wherever_the_scenario_lies(tmp_path: Path) -> None:
    first = with_app(tmp_path / "a" / "s", JUDGE + SWAP)
    second = tmp_path / "b" / "deeper" / "s"
    shutil.copytree(first, second)
    plans = [planned(first), planned(second)]
    assert plans[0].text == plans[1].text
    assert str(tmp_path) not in plans[0].text
    assert str(Path.home()) not in plans[0].text


def test_the_built_in_plan_names_no_machine() -> None:
    folder = exitdrill.load("support_triage").root
    scenario = exitdrill.load(folder)
    text = json.dumps([spec.model_dump(mode="json") for spec in scenario.backends.values()])
    assert str(folder.parent) not in text
    assert "{models}" in text


def edited(name: str, content: str) -> Any:
    """Another content of a file."""
    return lambda folder: (folder / name).write_text(content)


CHANGES: dict[str, tuple[Any, list[str]]] = {
    "nothing": (edited("right.jsonl", ""), []),
    "a comment": (edited("scenario.toml", JUDGE + SWAP + "# a comment\n"), []),
    "cache": (edited("swap/overlay/__pycache__/x.pyc", "x"), []),
    "repeats": (
        edited("scenario.toml", changed("warmup = 0", "warmup = 1", JUDGE) + SWAP),
        ["calls", "replay"],
    ),
    "judge": (edited("judge.py", "def judge(a, b):\n    return True\n"), ["checkers"]),
    "patch": (edited("swap/new.patch", "x"), ["swap"]),
    "overlay": (edited("swap/overlay/settings.toml", "x"), ["swap"]),
    "one more file": (edited("swap/overlay/more.toml", ""), ["swap"]),
    "expectation": (edited("meta.jsonl", lines([meta(0, expected="b")])), ["workload"] * 2),
    "no expectation": (lambda folder: (folder / "meta.jsonl").unlink(), ["workload"] * 2),
    "default checker": (
        edited(
            "scenario.toml",
            changed('requests = "requests.jsonl"', 'checker = "same"', JUDGE) + SWAP,
        ),
        ["workload"],
    ),
    "model": (
        edited(
            "scenario.toml",
            changed('[backends.new]\nadapter = "scripted"\nmodel = "script"',
                    '[backends.new]\nadapter = "scripted"\nmodel = "m"', JUDGE) + SWAP,
        ),
        ["backends"],
    ),
}  # fmt: skip


def test_a_title_decides_nothing(tmp_path: Path) -> None:
    folder = with_app(tmp_path / "s", JUDGE + SWAP)
    before = planned(folder)
    edited("scenario.toml", "title = 'x'\n" + JUDGE + SWAP)(folder)
    assert check_same(planned(folder), json.loads(before.text)) == []


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_decides_is_in_the_plan(name: str, tmp_path: Path) -> None:
    folder = with_app(tmp_path / "s", JUDGE + SWAP)
    (folder / "swap" / "overlay" / "__pycache__").mkdir()
    before = planned(folder)
    change, differs = CHANGES[name]
    change(folder)
    after = planned(folder)
    recorded = json.loads(before.text)
    assert (after.sha256 == before.sha256) is (not differs)
    if differs:
        names = ", ".join(rf"{key}[\w.]*" for key in differs)
        with pytest.raises(JournalError, match=f"changed since: {names}. Undo"):
            check_same(after, recorded)
    else:
        check_same(after, recorded)


EDITS: dict[str, tuple[str, list[str]]] = {
    "margin": (changed("margin = 0.1", "margin = 0.2"), ["gates"]),
    "one gate fewer": (changed('[[gates]]\nmeasure = "success"\nmargin = 0.1\n', ""), ["gates"]),
    "alpha": ("alpha = 0.1\n" + TOML, ["alpha", "alpha_per_candidate"]),
    "power": ("power = 0.9\n" + TOML, ["power"]),
    "discordance": ("discordance = 0.2\n" + TOML, ["discordance"]),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_was_edited_of_how_it_is_decided_is_named(name: str, tmp_path: Path) -> None:
    """It is another plan; the registered one is judged, and the verdict says so."""
    before = planned(scene(tmp_path / "s"))
    toml, differs = EDITS[name]
    after = planned(scene(tmp_path / "s", toml=toml))
    assert after.sha256 != before.sha256
    assert check_same(after, json.loads(before.text)) == differs
    assert check_same(before, json.loads(before.text)) == []


def test_an_edit_beside_the_gates_is_refused_all_the_same(tmp_path: Path) -> None:
    before = planned(scene(tmp_path / "s"))
    after = planned(scene(tmp_path / "s", cases=5, toml=EDITS["margin"][0]))
    with pytest.raises(JournalError, match=r"since: calls, [\w., ]*workload\.sha256\. Undo"):
        check_same(after, json.loads(before.text))


@pytest.mark.parametrize(
    ("limit", "asked", "calls"), [(None, 4, 20), (3, 3, 16), (1, 1, 6), (99, 4, 20)]
)
def test_calls(limit: int | None, asked: int, calls: int, tmp_path: Path) -> None:
    toml = changed("warmup = 0", "warmup = 2")
    drillable = check(load(scene(tmp_path / "s", toml=toml)))
    plan = make_plan(drillable, limit)
    assert plan.document["workload"]["asked"] == asked
    assert plan.document["workload"]["cases"] == 4
    assert [plan.trials_of(arm) for arm in plan.arms] == [2 * asked, 2 * asked]
    assert [most_of(plan, arm).calls for arm in plan.arms] == [calls / 2, calls / 2]
    assert most(plan).calls == plan.document["calls"] == calls


def test_the_most_that_a_drill_can_cost(tmp_path: Path) -> None:
    toml = TOML + PRICE.format(arm="new")
    drillable = check(load(scene(tmp_path / "s", cases=1, toml=toml)))
    plan = make_plan(drillable)
    spend = most(plan)
    (case,) = drillable.workload
    prompt = len(json.dumps({"messages": case.request.body["messages"]}))
    assert spend.calls == 4
    assert spend.tokens == 4 * (prompt + 20)
    assert spend.money == pytest.approx(2 * (prompt * 1.0 + 20 * 2.0))
    assert (most_of(plan, "old").money, most_of(plan, "new").money) == (0, spend.money)


def test_passes_ask_each_case_of_each_arm_as_often_as_planned(tmp_path: Path) -> None:
    toml = changed("warmup = 0", "warmup = 0\nblock = 3\nrepeats = 3\nseed = 7")
    plan = planned(scene(tmp_path / "s", cases=10, toml=toml))
    passes = list(plan.passes())
    asked = [
        (each.arm, each.repeat, position)
        for each in passes
        for position in range(each.first, each.last)
    ]
    assert sorted(asked) == [
        (arm, repeat, position)
        for arm in ("new", "old")
        for repeat in range(3)
        for position in range(10)
    ]
    for block in range(4):
        orders = [
            [each.arm for each in passes if (each.block, each.repeat) == (block, repeat)]
            for repeat in range(3)
        ]
        assert orders[0] == orders[1][::-1] == orders[2]
    assert {each.arm for each in passes[::6]} == {"new", "old"}  # not always the same goes first
    assert passes == list(plan.passes())


@pytest.mark.parametrize(("concurrency", "block"), [(1, 32), (8, 32), (9, 36), (100, 400)])
def test_a_block_is_several_times_what_is_under_way(
    concurrency: int, block: int, tmp_path: Path
) -> None:
    toml = changed("[backends.new]", f"[backends.new]\nconcurrency = {concurrency}")
    assert planned(scene(tmp_path / "s", toml=toml)).document["replay"]["block"] == block


def test_candidates_share_alpha(tmp_path: Path) -> None:
    more = "\n[backends.third]\nadapter = 'scripted'\nmodel = 'm'\noptions = { default = 'x' }\n"
    toml = changed('["new"]', '["new", "third"]') + more
    assert planned(scene(tmp_path / "s", toml=toml)).document["alpha_per_candidate"] == 0.025


def test_gates_that_nothing_can_pass_are_named_beforehand(tmp_path: Path) -> None:
    gates = """
[[gates]]
name = "bill"
measure = "cost_per_right_answer"
limit = 1

[[gates]]
name = "work"
measure = "lines"
limit = 10
"""
    drillable = check(load(scene(tmp_path / "s", toml=TOML + gates)))
    assert warnings(drillable, make_plan(drillable)) == [
        "the gate 'bill' cannot pass: backends.new has no price",
        "the gate 'work' cannot pass: there is no [swap.new]",
        "the gate 'success' cannot pass: it takes 29 cases at the least, and there are 4",
    ]
