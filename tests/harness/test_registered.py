"""Gates that were edited after they had been registered: whoever reads the verdict is told."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.harness.scenes import TOML, changed, command, scene

from exitdrill.report import load, render
from exitdrill.report.registered import NO_JOURNAL, NO_PLAN

Json = dict[str, Any]
Edit = Callable[[Path], object]
NEW = '[backends.new]\nadapter = "scripted"\nmodel = "script"\noptions = { '
WRONG = changed(f'{NEW}answers = "right.jsonl" }}', f'{NEW}default = "wrong" }}')
SAMPLE = Path(__file__).parents[2] / "reports" / "sample"
ENOUGH = 40
REPORTS = ("report.html", "report.md", "junit.xml")


def drilled(here: Path, toml: str = TOML) -> Path:
    """The folder of a drill of the scenario in ``here / "s"``."""
    scene(here / "s", cases=ENOUGH, toml=toml)
    command("run", here / "s", "--out", here / "out", "--quiet")
    return here / "out"


def edited(name: str, change: Callable[[Json], object]) -> Edit:
    """Change a JSON file of a drill's folder as someone would who wants another verdict."""

    def edit(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")

    return edit


def journaled(name: str, change: Callable[[Any], Any]) -> Edit:
    """Change an input in the journal."""

    def edit(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "journal.sqlite")) as db, db:
            query = "SELECT value FROM inputs WHERE name = ?"
            (value,) = db.execute(query, (name,)).fetchone()
            new = json.dumps(change(json.loads(value)))
            db.execute("UPDATE inputs SET value = ? WHERE name = ?", (new, name))

    return edit


def margin(plan: Json) -> Json:
    """A plan whose gate lets anything pass."""
    plan["gates"][0]["margin"] = 0.9
    return plan


def report_of(folder: Path) -> Json:
    """The content of report.json."""
    content: Json = json.loads((folder / "report.json").read_text())
    return content


# --- a drill that goes on -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "verdict", [(TOML, 0, "ready"), (WRONG, 1, "not_ready")], ids=["ready", "not ready"]
)
@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("margin = 0.1", "margin = 0.9", "gates"),
        ("margin = 0.1", "margin = 0.01", "gates"),
        ("[replay]", '[[gates]]\nmeasure = "lines"\nlimit = 1\n\n[replay]', "gates"),
        ('incumbent = "old"', 'incumbent = "old"\nalpha = 0.2', "alpha, alpha_per_candidate"),
        ('incumbent = "old"', 'incumbent = "old"\npower = 0.9', "power"),
    ],
)
def test_a_scenario_edited_before_it_goes_on(
    verdict: tuple[str, int, str], old: str, new: str, what: str, tmp_path: Path
) -> None:
    """The registered gate is judged, to the registered verdict, which says that it was edited."""
    toml, code, status = verdict
    folder = drilled(tmp_path, toml)
    before = (folder / "plan.json").read_bytes()
    scene(tmp_path / "s", cases=ENOUGH, toml=changed(old, new, toml))
    done = command("run", tmp_path / "s", "--resume", folder, "--quiet")
    note = f"edited after the plan was registered: the scenario ({what})"
    assert done.code == code
    assert f"{note}; judged are the registered gates" in done.out
    report = report_of(folder)
    (candidate,) = report["candidates"]
    assert report["verdict"]["status"] == candidate["verdict"]["status"] == status
    assert [(gate["measure"], gate["margin"]) for gate in candidate["gates"]] == [("success", 0.1)]
    assert report["drill"]["edited"] == [f"the scenario ({what})"]
    assert any(note in reason for reason in candidate["verdict"]["reasons"])
    assert (folder / "plan.json").read_bytes() == before
    for name in REPORTS:
        text = (folder / name).read_text()
        assert f"dited after the plan was registered: the scenario ({what})" in text.replace(
            "\\", ""
        )


@pytest.mark.parametrize(("toml", "code"), [(TOML, 0), (WRONG, 1)])
def test_a_plan_file_edited_before_it_goes_on(toml: str, code: int, tmp_path: Path) -> None:
    """It is written again as it was registered, and the edit stays on record."""
    folder = drilled(tmp_path, toml)
    before = (folder / "plan.json").read_bytes()
    edited("plan.json", margin)(folder)
    for _ in range(2):
        done = command("run", tmp_path / "s", "--resume", folder, "--quiet")
        assert done.code == code
        assert "edited after the plan was registered: plan.json; judged are" in done.out
        assert (folder / "plan.json").read_bytes() == before
    command("report", folder)
    assert load(folder).data["verdict"] == report_of(folder)["verdict"]


def test_a_plan_edited_in_the_journal_before_it_goes_on(tmp_path: Path) -> None:
    folder = drilled(tmp_path, WRONG)
    journaled("plan", margin)(folder)
    before = (folder / "report.json").read_bytes()
    done = command("run", tmp_path / "s", "--resume", folder, "--quiet")
    assert done.code == 2
    assert "edited after it had been registered" in done.err
    assert (folder / "report.json").read_bytes() == before


@pytest.mark.parametrize("plan", ["{}", "null", '{"gates": null}', "[]"])
def test_a_plan_that_is_none_is_no_defect_of_ours(tmp_path: Path, plan: str) -> None:
    folder = drilled(tmp_path, WRONG)
    with closing(sqlite3.connect(folder / "journal.sqlite")) as db, db:
        db.execute("UPDATE inputs SET value = ? WHERE name = 'plan'", (plan,))
    done = command("run", tmp_path / "s", "--resume", folder, "--quiet")
    assert (done.code, "edited after it had been registered" in done.err) == (2, True)


# --- a report that is rendered again --------------------------------------------------------------


def passing(report: Json) -> None:
    """A report whose words are better than its figures."""
    for gate in report["candidates"][0]["gates"]:
        gate["status"] = "pass"
    report["candidates"][0]["verdict"] = {"status": "ready", "reasons": ["all is well"]}
    report["verdict"] = {"status": "ready", "candidate": "new", "reasons": ["new is ready"]}


def gates(report: Json) -> list[Json]:
    """The gates of the only candidate."""
    found: list[Json] = report["candidates"][0]["gates"]
    return found


def wide(report: Json) -> None:
    """A wider margin, which lets the gate pass."""
    gates(report)[0]["margin"] = 1.5
    passing(report)


def other_plan(report: Json) -> None:
    """The hash of another plan."""
    report["drill"]["plan_sha256"] = "0" * 64


def a_folder(folder: Path) -> None:
    """A folder in the plan's place."""
    (folder / "plan.json").unlink()
    (folder / "plan.json").mkdir()


PLAN_EDITS: dict[str, tuple[Edit, str]] = {
    "plan": (edited("plan.json", margin), "plan.json is not the plan that was registered"),
    "plan, its end": (
        lambda folder: (folder / "plan.json").open("a").write("\n"),
        "plan.json is not the plan that was registered",
    ),
    "no plan at all": (
        lambda folder: (folder / "plan.json").write_text("{"),
        "plan.json is not the plan that was registered",
    ),
    "a folder": (
        a_folder,
        "plan.json cannot be read",
    ),
    "margin": (
        edited("report.json", wide),
        "not show the gates that were registered for new: 'success' (success, margin 1.5) instead "
        "of 'success' (success, margin 0.1)",
    ),
    "measure": (
        edited("report.json", lambda report: gates(report)[0].update(measure="answered")),
        "'success' (answered, margin 0.1) instead of 'success' (success, margin 0.1)",
    ),
    "limit": (
        edited("report.json", lambda report: gates(report)[0].update(kind="cap")),
        "'success' (success, limit 0.1) instead of 'success' (success, margin 0.1)",
    ),
    "no gate": (
        edited("report.json", lambda report: gates(report).clear()),
        "registered for new: 0 instead of 1",
    ),
    "alpha": (
        edited("report.json", lambda report: report["registered"].update(alpha=0.4)),
        "report.json has another alpha than plan.json",
    ),
    "repeats": (
        edited("report.json", lambda report: report["registered"]["repeats"].update(old=9)),
        "report.json has another repeats than plan.json",
    ),
    "name": (
        edited("report.json", lambda report: report["candidates"][0].update(name="better")),
        "report.json does not name the incumbent and the candidates of plan.json",
    ),
    "status": (
        edited("report.json", passing),
        "report.json says that new passes 'success', and the figures beside it do not",
    ),
    "verdict": (
        edited("report.json", lambda report: report["verdict"].update(status="ready")),
        "report.json has a verdict of ready, and no candidate that is",
    ),
    "hash": (edited("report.json", other_plan), "plan.json is not the plan that was registered"),
}
JOURNAL_EDITS: dict[str, tuple[Edit, str]] = {
    "the figures": (
        edited("report.json", lambda report: gates(report)[0].update(estimate=0.5)),
        "report.json is not the one that this drill wrote",
    ),
    "a word": (
        edited("report.json", lambda report: report["not_tested"].clear()),
        "report.json is not the one that this drill wrote",
    ),
    "another plan": (
        journaled("plan_sha256", lambda _: "f" * 64),
        "the journal registered another plan: its sha256 begins ffffffffffff",
    ),
    "its plan": (
        journaled("plan", margin),
        "the plan in the journal is not the one that was registered",
    ),
}


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drill with the verdict "not ready"; not to be changed."""
    return drilled(tmp_path_factory.mktemp("lost"), WRONG)


def copied(folder: Path, place: Path, *, journal: bool) -> Path:
    """A copy of a drill's folder."""
    copy = shutil.copytree(folder, place / "copy")
    if not journal:
        (copy / "journal.sqlite").unlink()
    return copy


@pytest.mark.parametrize("name", [*PLAN_EDITS, *JOURNAL_EDITS])
def test_what_was_edited_is_inconclusive_wherever_it_is_shown(
    name: str, lost: Path, tmp_path: Path
) -> None:
    edit, words = {**PLAN_EDITS, **JOURNAL_EDITS}[name]
    folder = copied(lost, tmp_path, journal=name in JOURNAL_EDITS)
    edit(folder)
    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    there = set(folder.iterdir())
    done = command("report", folder)
    assert done.code == 3
    assert done.err.startswith("not as registered: ")
    said = json.loads(kept["report.json"])["verdict"]["status"].replace("_", " ")
    data = load(folder).data
    for verdict in (data["verdict"], *(each["verdict"] for each in data["candidates"])):
        assert verdict["status"] == "inconclusive"
        assert words in verdict["reasons"][0]
    assert data["verdict"]["candidate"] is None
    assert said in data["verdict"]["reasons"][-1]
    page = (folder / "report.md").read_text()
    assert page.startswith("# ? inconclusive")
    banner = (folder / "report.html").read_text().partition("<nav")[0]
    for text in (page, banner):
        assert words.partition(":")[0].partition("'")[0] in text
    suites = ET.parse(folder / "junit.xml").getroot()
    assert int(suites.get("errors", 0)) > 0
    assert [suite.find("testcase[@name='verdict']/error") is not None for suite in suites] == [True]
    assert set(folder.iterdir()) == there, "nothing is made beside it"
    untouched = {path for path in kept if path not in REPORTS}
    assert {path: (folder / path).read_bytes() for path in untouched} == {
        path: kept[path] for path in untouched
    }


@pytest.mark.parametrize("journal", [True, False])
def test_what_nobody_edited_is_rendered_as_it_is(journal: bool, lost: Path, tmp_path: Path) -> None:
    folder = copied(lost, tmp_path, journal=journal)
    before = {name: (folder / name).read_bytes() for name in REPORTS}
    render(folder)
    rendered = {name: (folder / name).read_bytes() for name in REPORTS}
    assert (rendered == before) is journal
    assert load(folder).warnings == (() if journal else (NO_JOURNAL.format("there is none"),))


def test_without_a_plan_there_is_a_sentence_and_the_verdict(lost: Path, tmp_path: Path) -> None:
    folder = copied(lost, tmp_path, journal=False)
    (folder / "plan.json").unlink()
    document = load(folder)
    assert document.warnings == (NO_PLAN, NO_JOURNAL.format("there is none"))
    assert document.data["verdict"] == report_of(folder)["verdict"]
    render(folder)
    assert "cannot be checked: there is no plan" in (folder / "report.md").read_text()
    assert NO_PLAN in (folder / "report.html").read_text()
    assert NO_PLAN in (folder / "junit.xml").read_text()


def test_a_report_edited_beside_a_journal_that_forgot_it_is_not_vouched_for(
    lost: Path, tmp_path: Path
) -> None:
    folder = copied(lost, tmp_path, journal=True)
    with closing(sqlite3.connect(folder / "journal.sqlite")) as db, db:
        db.execute("DELETE FROM inputs WHERE name = 'report_sha256'")
    assert load(folder).warnings == (NO_JOURNAL.format("it holds no hash of a report"),)


def test_without_a_plan_the_journal_still_knows_its_report(lost: Path, tmp_path: Path) -> None:
    folder = copied(lost, tmp_path, journal=True)
    (folder / "plan.json").unlink()
    edited("report.json", wide)(folder)
    document = load(folder)
    assert document.data["verdict"]["status"] == "inconclusive"
    assert document.warnings == (NO_PLAN,)


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(500)])
def test_a_journal_that_cannot_be_read_is_said(content: bytes, lost: Path, tmp_path: Path) -> None:
    folder = copied(lost, tmp_path, journal=True)
    (folder / "journal.sqlite").write_bytes(content)
    document = load(folder)
    assert document.data["verdict"]["status"] == "not_ready"
    (warning,) = document.warnings
    assert "the journal beside it cannot be checked" in warning


def test_many_contradictions_are_counted(lost: Path, tmp_path: Path) -> None:
    folder = copied(lost, tmp_path, journal=False)

    def more(report: Json) -> None:
        report["candidates"] *= 200
        wide(report)

    edited("report.json", more)(folder)
    reasons = load(folder).data["verdict"]["reasons"]
    assert len(reasons) < 10
    assert any("more of this kind" in reason for reason in reasons)


def test_the_sample_keeps_its_verdict(tmp_path: Path) -> None:
    folder = shutil.copytree(SAMPLE, tmp_path / "sample")
    document = load(folder)
    assert document.warnings == (NO_JOURNAL.format("there is none"),)
    assert document.data["verdict"]["status"] == report_of(SAMPLE)["verdict"]["status"] == "ready"
