"""The built-in drill of an app with a tool loop: on the real model, shortened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import calls_of

import exitdrill
from exitdrill.drill import Result
from exitdrill.swap import Swap, apply

pytest.importorskip("torch", reason="needs exitdrill[local]")

LIMIT = 3
BY_CONFIGURATION = exitdrill.GateSpec(
    name="by configuration only", measure="non_configuration_lines", limit=0
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The built-in drill, a few cases long, with a gate that an exit by patch cannot pass.

    The app's own tests are run beside it: here they would be for each part of the swap.
    """
    scenario = exitdrill.load("research_agent")
    assert scenario.app is not None
    assert scenario.app.run is not None
    app = scenario.app.model_copy(
        update={"run": scenario.app.run.model_copy(update={"test": None})}
    )
    changed = {"gates": [*scenario.gates, BY_CONFIGURATION], "app": app}
    folder = tmp_path_factory.mktemp("research") / "drill"
    return exitdrill.run(scenario.model_copy(update=changed), out=folder, limit=LIMIT)


def candidate(result: Result, name: str) -> dict[str, Any]:
    return next(each for each in result.report["candidates"] if each["name"] == name)


def row(result: Result, name: str, section: str, measure: str) -> dict[str, Any]:
    return next(each for each in candidate(result, name)[section] if each["name"] == measure)


def gate(result: Result, name: str, title: str) -> dict[str, Any]:
    return next(each for each in candidate(result, name)["gates"] if each["name"] == title)


def test_the_ported_app_answers_alike_with_as_many_calls(result: Result) -> None:
    assert result.report["drill"]["completed"]
    assert row(result, "ported", "drift", "exact_agreement")["candidate"] == 1.0
    calls = row(result, "ported", "drift", "model_calls")
    assert calls["incumbent"] == calls["candidate"] >= 2
    assert row(result, "ported", "drift", "failed_calls")["candidate"] == 0


def test_each_side_is_asked_in_its_own_words(result: Result) -> None:
    limits = {"max_new_tokens": 64, "do_sample": False}
    bodies: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ("served", "as_it_is", "ported")}
    for call in calls_of(result.folder):
        assert (call["arm"], call["path"]) == (call["sent_to"], "/v1/chat/completions")
        assert call["status"] == (400 if call["arm"] == "as_it_is" else 200)
        bodies[call["arm"]].append(call["body"])
    for arm in ("served", "as_it_is"):
        assert all(json.loads(body["generation_config"]) == limits for body in bodies[arm])
    assert all(body["max_tokens"] == 64 for body in bodies["ported"])
    assert any(body["messages"][-1]["role"] == "tool" for body in bodies["ported"])


def test_what_only_the_vendor_takes_is_refused_and_named(result: Result) -> None:
    found = candidate(result, "as_it_is")
    assert found["verdict"]["status"] == "not_ready"
    assert found["verdict"]["reasons"][0].startswith(
        f"veto: a feature that the workload uses is missing: as_it_is cannot take {LIMIT} of the "
        f"{LIMIT} requests as they are"
    )
    assert "the first for /generation_config: " in found["verdict"]["reasons"][0]
    (edit,) = (each for each in found["edits"] if not each["allowed"])
    assert (edit["action"], edit["path"]) == ("drop", "/generation_config")


def test_one_exit_is_by_configuration_only_and_the_other_works(result: Result) -> None:
    title = BY_CONFIGURATION.title
    assert gate(result, "as_it_is", title)["status"] == "pass"
    assert gate(result, "ported", title)["status"] == "fail"
    others = [each for each in candidate(result, "ported")["gates"] if each["name"] != title]
    assert "fail" not in {each["status"] for each in others}


def test_the_report_says_what_the_exit_takes(result: Result) -> None:
    change = {
        name: row(result, "ported", "change", name)
        for name in ("vendor_call_sites", "modules_touched", "modules_affected", "code_lines")
    }
    sites = change["vendor_call_sites"]
    assert sites["estimate"] == -1
    assert sites["note"].startswith("gone: vendor.py:60 parameter extra_body generation_config; ")
    assert (change["modules_touched"]["candidate"], change["modules_touched"]["note"]) == (
        1,
        "vendor.py",
    )
    assert change["modules_affected"]["note"] == "agent.py, server.py"
    assert "parameter extra_body generation_config" in (result.folder / "report.html").read_text()
    assert 0 < change["code_lines"]["candidate"] <= 10
    assert row(result, "as_it_is", "change", "non_configuration_lines")["candidate"] == 0


def test_the_app_finds_the_way_back(result: Result) -> None:
    assert result.report["app"]["way_back"]["failure"] is None


@pytest.mark.parametrize("patch", [None, "swap/ported/exit.patch"])
def test_the_apps_own_tests_pass_before_and_after(tmp_path: Path, patch: str | None) -> None:
    root = exitdrill.load("research_agent").root
    folder = apply(root / "app", Swap(patch=root / patch if patch else None), tmp_path).path
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # starts faster
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_patch_leaves_nothing_of_the_vendors(tmp_path: Path) -> None:
    root = exitdrill.load("research_agent").root
    applied = apply(root / "app", Swap(patch=root / "swap/ported/exit.patch"), tmp_path)
    code = "".join(path.read_text("utf-8") for path in applied.path.glob("*.py"))
    assert "generation_config" not in code
    assert "extra_body" not in code
