"""What a swap changes in code: compared in a process of its own, recorded, measured, gated."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.harness.code_folders import Files, folder
from tests.harness.drills import Log, scenario

from exitdrill.backend import Edit
from exitdrill.checkers import KINDS
from exitdrill.code import apart
from exitdrill.code.apart import compare_apart
from exitdrill.code.comparison import CodeChange, compare
from exitdrill.drill import run
from exitdrill.errors import ScenarioError
from exitdrill.journal import Journal
from exitdrill.measures.base import ArmFacts, Pair
from exitdrill.measures.code_change import MEASURES
from exitdrill.measures.edits import MEASURES as EDITS
from exitdrill.results import write_results
from exitdrill.scenario import AppSpec, GateSpec, SwapSpec

BEFORE = {
    "app/__init__.py": "",
    "app/llm.py": "import openai\n\n\ndef ask(q):\n  return openai.OpenAI().responses.create(q)\n",
    "app/main.py": "from app import llm\n",
    "tests/test_llm.py": "import openai\nfrom app import llm\n",
    "requirements.txt": "openai>=1\n",
    "settings.toml": "model = 'gpt-4o'\n",
}
AFTER = {
    **BEFORE,
    "app/llm.py": "import jinja2\n\n\ndef ask(q):\n    return jinja2.ask(q)  # another\n",
    "tests/test_llm.py": "from app import llm\n\nassert llm\n",
    "requirements.txt": "jinja2\n",
}
NAMES = [measure.name for measure in MEASURES]


def change(tmp_path: Path, before: Files, after: Files) -> CodeChange:
    return compare(folder(tmp_path / "before", before), folder(tmp_path / "after", after))


def rows(code: CodeChange | None, **more: object) -> dict[str, tuple[float | None, str]]:
    """By measure: the candidate's value, and the note."""
    arm = ArmFacts("open", {}, diff="", code=code, **more)  # type: ignore[arg-type]
    pair = Pair(ArmFacts("vendor", {}), arm, 0.95)
    found = {measure.name: measure.row(pair) for measure in MEASURES}
    return {name: (row.candidate, row.note or "") for name, row in found.items()}


def values(code: CodeChange) -> dict[str, float | None]:
    return {name: value for name, (value, _) in rows(code).items()}


def test_an_exit_is_counted(tmp_path: Path) -> None:
    found = change(tmp_path, BEFORE, AFTER)
    assert values(found) == {
        "ast_nodes": 6,
        "vendor_call_sites": 0,
        "modules_touched": 1,
        "modules_affected": 1,
        "dependencies_added": 1,
        "dependencies_removed": 1,
        "dependencies_changed": 0,
        "transitive_dependencies_added": 2,
        "transitive_dependencies_removed": values(found)["transitive_dependencies_removed"],
    }
    notes = {name: note for name, (_, note) in rows(found).items()}
    assert notes["ast_nodes"].endswith("; 4 nodes in tests not counted")
    assert notes["vendor_call_sites"] == (
        "gone: app/llm.py:1 import openai, app/llm.py:5 call openai.OpenAI.responses.create; "
        "after the swap: none"
    )
    assert notes["modules_touched"] == "app/llm.py"
    assert notes["modules_affected"] == "app/main.py"
    assert notes["transitive_dependencies_added"] == "jinja2, markupsafe"


def test_places_before_and_after(tmp_path: Path) -> None:
    code = change(tmp_path, AFTER, BEFORE)
    arm = ArmFacts("open", {}, diff="", code=code)
    measure = next(each for each in MEASURES if each.name == "vendor_call_sites")
    row = measure.row(Pair(ArmFacts("vendor", {}), arm, 0.95))
    assert (row.incumbent, row.candidate, row.estimate) == (0, 2, 2)
    assert row.note == (
        "after the swap: app/llm.py:1 import openai, app/llm.py:5 call "
        "openai.OpenAI.responses.create"
    )


def test_a_swap_of_configuration_alone_changes_no_code(tmp_path: Path) -> None:
    after = {**BEFORE, "settings.toml": "model = 'open'\n"}
    found = values(change(tmp_path, BEFORE, after))
    assert found.pop("vendor_call_sites") == 2
    assert set(found.values()) == {0}


def test_classes_of_the_scenario_say_what_a_test_is(tmp_path: Path) -> None:
    code = change(tmp_path, BEFORE, AFTER)
    assert rows(code, classes={"test": ["*.py"]})["ast_nodes"][0] == 0
    assert rows(code, classes={"code": ["tests/*"]})["ast_nodes"][0] == 10


@pytest.mark.parametrize(
    ("after", "missing"),
    [
        ({"a.rb": "puts"}, "ast_nodes vendor_call_sites modules_touched modules_affected"),
        ({"a.js": "x"}, "modules_touched modules_affected"),
        ({"a.py": "x = ("}, "ast_nodes vendor_call_sites modules_affected"),
        ({"run.sh": "echo"}, "ast_nodes"),
        (
            {"setup.py": "x"},
            "dependencies_added dependencies_removed dependencies_changed "
            "transitive_dependencies_added transitive_dependencies_removed",
        ),
        ({"package.json": '{"dependencies": {"a": "1"}}'}, "transitive_dependencies_added "
         "transitive_dependencies_removed"),
        ({"tests/a.rb": "puts"}, ""),
        ({"style.css": "a {}"}, ""),
    ],
)  # fmt: skip
def test_what_was_not_measured_is_no_number(tmp_path: Path, after: Files, missing: str) -> None:
    found = rows(change(tmp_path, BEFORE, {**BEFORE, **after}))
    assert [name for name in NAMES if found[name][0] is None] == missing.split()
    for name in missing.split():
        assert found[name][1].startswith("not measured: ")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (ArmFacts("open", {}), "the scenario has no swap for this candidate"),
        (ArmFacts("open", {}, diff=""), "the drill was made before code was compared"),
        (ArmFacts("open", {}, diff="", code=CodeChange(problem="it died")), "it died"),
        (ArmFacts("open", {}, diff="", code=CodeChange.from_json({"nodes": 1})), "another version"),
    ],
)
def test_why_nothing_was_measured(facts: ArmFacts, why: str) -> None:
    for measure in MEASURES:
        row = measure.row(Pair(ArmFacts("vendor", {}), facts, 0.95))
        assert row.candidate is row.estimate is None
        assert str(row.note).startswith("not measured: ")
        assert why in str(row.note)


# --- the record, and the process ----------------------------------------------------------------


def test_what_is_recorded_comes_back(tmp_path: Path) -> None:
    found = change(tmp_path, BEFORE, AFTER)
    assert CodeChange.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert compare_apart(tmp_path / "before", tmp_path / "after") == found


def test_a_comparison_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "SECONDS", 0.01)
    found = compare_apart(folder(tmp_path / "a", BEFORE), folder(tmp_path / "b", AFTER))
    assert found == CodeChange(problem="comparing the code took longer than 0.01 s")


def test_a_comparison_that_dies(tmp_path: Path) -> None:
    found = compare_apart(tmp_path / "nowhere", tmp_path / "nowhere")
    assert str(found.problem).startswith("comparing the code failed: FileNotFoundError")


def test_nothing_of_the_app_is_run(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    names = ("ast.py", "json.py", "sitecustomize.py", "exitdrill/__init__.py", "conftest.py")
    files = dict.fromkeys((*names, "setup.py", "__main__.py"), trap)
    compare_apart(folder(tmp_path / "a", {}), folder(tmp_path / "b", files))
    assert not (tmp_path / "ran").exists()


def test_a_hostile_app(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "long.py": "a = 1\n" * 2_000_000,
        "deep.py": "(" * 100_000,
        "null.py": b"\0" * 1_000,
        "name\n<b>.py": "import (",
        "package.json": '{"dependencies": {"\\ud800<b>": "1"}}',
        "latin.py": "é = 1\n".encode("latin-1"),
        "surrogate.py": "s = '\\ud800 api.openai.com'\n",
    }
    after = folder(tmp_path / "b", files)
    (after / os.fsdecode(b"\xff.py")).write_text("import (")
    (after / "loop").symlink_to(".")
    (after / "self.py").symlink_to("self.py")
    os.mkfifo(after / "pipe.py")
    found = compare_apart(folder(tmp_path / "a", {}), after)
    assert found.problem is None
    assert found.nodes is not None
    assert set(found.nodes.changed) == {"surrogate.py"}
    assert len(found.nodes.not_measured) == 6
    assert all(note.isprintable() for _, note in rows(found).values())
    assert found.dependencies is not None
    assert found.dependencies.added == ("\N{REPLACEMENT CHARACTER}<b>",)


# --- drills -------------------------------------------------------------------------------------

CONFIGURATION_ONLY = GateSpec(
    name="by configuration only", measure="non_configuration_lines", limit=0
)


def drilled(tmp_path: Path, overlay: Files, *gates: GateSpec) -> dict[str, Any]:
    """The candidate in the report of a drill whose swap is this overlay."""
    folder(tmp_path / "app", BEFORE)
    folder(tmp_path / "overlay", overlay)
    log = Log()
    more = {
        "app": AppSpec(),
        "swap": {"new": SwapSpec(overlay="overlay")},
        "root": tmp_path,
    }
    made = scenario(4, more=more, old=log.adapter(), new=log.adapter())
    result = run(made.model_copy(update={"gates": [*gates]}), out=tmp_path / "out")
    candidate: dict[str, Any] = result.report["candidates"][0]
    return candidate


@pytest.mark.parametrize(
    ("overlay", "status"),
    [
        ({"settings.toml": "model = 'open'\n"}, "pass"),
        ({"settings.toml": "model = 'open'\n", "app/main.py": "x\n"}, "fail"),
        ({"weights.bin": b"\0\1"}, "fail"),
        ({"prompt.txt": "Be good.\n"}, "fail"),
    ],
)
def test_a_gate_for_an_exit_by_configuration_only(
    tmp_path: Path, overlay: Files, status: str
) -> None:
    candidate = drilled(tmp_path, overlay, CONFIGURATION_ONLY)
    (gate,) = candidate["gates"]
    assert (gate["name"], gate["status"]) == ("by configuration only", status)


@pytest.mark.parametrize(("limit", "status"), [(8, "pass"), (7, "fail")])
def test_edits_to_requests_are_counted_once_for_each_case(
    tmp_path: Path, limit: int, status: str
) -> None:
    log = Log()
    edits = (Edit("rename", "/max_tokens", "x"), Edit("rename", "/seed", "y"))
    made = scenario(4, old=log.adapter(), new=log.adapter(edit=lambda _: edits))
    gated = made.model_copy(update={"gates": [GateSpec(measure="edits", limit=limit)]})
    candidate = run(gated, out=tmp_path / "out").report["candidates"][0]
    row = next(row for row in candidate["change"] if row["name"] == "edits")
    assert (row["incumbent"], row["candidate"], row["estimate"], row["n"]) == (0, 8, 8, 4)
    assert [gate["status"] for gate in candidate["gates"]] == [status]


def test_without_a_request_there_are_no_edits_to_count() -> None:
    columns = {"edits": np.full((3, 2), np.nan)}
    (measure,) = EDITS
    row = measure.row(Pair(ArmFacts("old", columns), ArmFacts("new", columns), 0.95))
    assert (row.candidate, row.note) == (None, "not measured: no request was made")


@pytest.mark.parametrize("name", [*NAMES, "edits", "non_configuration_lines"])
def test_gates_on_change_are_limits(tmp_path: Path, name: str) -> None:
    candidate = drilled(tmp_path, {"app/llm.py": "x = 1\n"}, GateSpec(measure=name, limit=100))
    (gate,) = candidate["gates"]
    assert (gate["status"], gate["kind"]) == ("pass", "cap")


def test_a_gate_on_change_has_no_margin(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="give it a limit, not a margin"):
        drilled(tmp_path, {"x.py": ""}, GateSpec(measure="ast_nodes", margin=1))


def test_a_gate_on_what_was_not_measured_is_open(tmp_path: Path) -> None:
    overlay = {"script.rb": "puts 1\n"}
    candidate = drilled(tmp_path, overlay, GateSpec(measure="vendor_call_sites", limit=100))
    (gate,) = candidate["gates"]
    assert gate["status"] == "open"
    assert "script.rb is in a language that is not read" in gate["reason"]


def test_a_drill_can_be_measured_again_without_the_app(tmp_path: Path) -> None:
    candidate = drilled(tmp_path, {"app/llm.py": "x = 1\n"})
    (tmp_path / "app" / "app" / "llm.py").unlink()
    with Journal.reopen(tmp_path / "out" / "journal.sqlite") as journal:
        again = write_results(journal, {"exact": KINDS["exact"]()}, tmp_path / "out")
    assert again["candidates"][0]["change"] == candidate["change"]
