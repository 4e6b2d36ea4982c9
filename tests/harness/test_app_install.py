"""What an app depends on is installed after the swap: in the copy, timed, without any key."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import BY_COMMAND, COMMAND, app_scenario, drilled, program
from tests.harness.drills import Log, case_lines

from exitdrill.app.confine import landlock_version
from exitdrill.app.copies import copy_of, of_network
from exitdrill.app.exiting import DEPENDENCIES
from exitdrill.drill import Result, run

VENV = ".venv/bin/python"
BY_PIP = [
    "sh",
    "-c",
    "{python} -m venv --without-pip .venv && {python} -m pip --python .venv/bin/python install "
    "--quiet --disable-pip-version-check --no-index --find-links wheels -r requirements.txt",
]
"""As people do it, but without a network."""
USES = """
import sys
from greeting import WORD
from client import ask
answer = ask(sys.stdin.read())
print(answer if WORD == sys.argv[1] else "another version")
"""


def wheel(folder: Path, version: str, word: str) -> None:
    """A package without dependencies, ready to be installed."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"greeting-{version}.dist-info"
    files = {
        "greeting.py": f"WORD = {word!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"greeting-{version}-py3-none-any.whl", "w") as made:
        for name, text in (files | {f"{info}/RECORD": record}).items():
            made.writestr(name, text)


def with_wheels(folder: Path) -> Path:
    """An app that needs another version of a package after the swap."""
    requirements = "greeting==1.0\n"
    program(folder, {"main.py": USES, "requirements.txt": requirements})
    wheel(folder / "app" / "wheels", "1.0", "old")
    wheel(folder / "app" / "wheels", "2.0", "new")
    (folder / "exit").mkdir()
    (folder / "exit" / "requirements.txt").write_text("greeting==2.0\n")
    (folder / "exit" / "main.py").write_text(USES.replace("sys.argv[1]", "'new'").lstrip())
    return folder


def steps_of(result: Result, arm: int) -> list[str]:
    return [step["step"] for step in result.report["app"]["arms"][arm]["steps"]]


def test_each_arm_has_what_its_own_files_ask_for(tmp_path: Path) -> None:
    folder = with_wheels(tmp_path)
    spec = {
        "command": [VENV, "main.py", "old"],
        "install": BY_PIP,
        "test": [VENV, "-c", "import greeting"],
    }
    result = drilled(folder, spec, "q0", swap={"overlay": "exit"})
    assert {line["answer"] for line in case_lines(result.folder)} == {"a0"}
    tests = "the app's own tests"
    assert steps_of(result, 0)[:3] == ["copy the app", DEPENDENCIES, tests]
    assert steps_of(result, 1)[1:4] == ["apply the swap", DEPENDENCIES, tests]
    app = result.report["app"]
    assert app["arms"][1]["steps"][2]["seconds"] > 0
    back = [step["step"] for step in app["way_back"]["steps"]]
    assert back[:2] == ["undo the swap", DEPENDENCIES]
    assert app["install"] == " ".join(BY_PIP)
    assert not any("were not installed" in each for each in result.report["not_tested"])
    assert not (folder / "app" / ".venv").exists()


def test_without_it_the_report_says_what_was_not_installed(tmp_path: Path) -> None:
    folder = with_wheels(tmp_path)
    (folder / "exit" / "main.py").write_text(COMMAND.lstrip())
    (folder / "app" / "main.py").write_text(COMMAND.lstrip())
    result = drilled(folder, BY_COMMAND, "q0", swap={"overlay": "exit"})
    assert DEPENDENCIES not in steps_of(result, 1)
    (said,) = (each for each in result.report["not_tested"] if "were not installed" in each)
    assert "dependencies changed by the swap were not installed" in said
    assert "new" in said


FAILS: dict[str, tuple[str, dict[str, Any], str]] = {
    "by its exit code": ("raise SystemExit('no such package')", {}, "no such package"),
    "by its time": ("import time; time.sleep(60)", {"install_seconds": 1}, "longer than 1 s"),
}


@pytest.mark.parametrize("what", FAILS)
def test_an_exit_whose_dependencies_cannot_be_installed(what: str, tmp_path: Path) -> None:
    code, more, said = FAILS[what]
    folder = program(tmp_path, {"main.py": COMMAND, "install.py": ""})
    (folder / "exit").mkdir()
    (folder / "exit" / "install.py").write_text(code)
    spec = {**BY_COMMAND, **more, "install": ["{python}", "install.py"]}
    log = Log()
    backends = {"old": log.adapter(), "new": log.adapter()}
    result = drilled(folder, spec, swap={"overlay": "exit"}, backends=backends)
    assert result.exit_code == 1
    reason = result.report["candidates"][0]["verdict"]["reasons"][0]
    assert reason.startswith("veto: the app's dependencies cannot be installed: ")
    assert said in reason
    assert log.calls == []
    again = app_scenario(
        folder, spec, swap={"overlay": "exit"}, old=log.adapter(), new=log.adapter()
    )
    assert run(again, resume=result.folder).exit_code == 1
    assert log.calls == [], "what failed stays failed"


def test_an_incumbent_that_cannot_be_installed_is_no_verdict(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.py": COMMAND})
    result = drilled(folder, {**BY_COMMAND, "install": ["no-such-installer"]})
    assert result.exit_code == 4
    stopped = result.report["drill"]["stopped"]
    assert "the incumbent 'old': the app's dependencies cannot be installed" in stopped
    assert "no program 'no-such-installer'" in stopped


SPIES = """
import json, os
json.dump(dict(os.environ), open("seen.json", "w"))
"""
TELLS = """
print(open("seen.json").read())
"""


def test_it_gets_the_way_to_packages_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-our-own-0123456789abcdef")
    monkeypatch.setenv("SOME_OTHER_VARIABLE", "not its business")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("HTTPS_PROXY", "http://somebody:secret@proxy.example:3128")
    folder = program(tmp_path, {"main.py": TELLS, "install.py": SPIES})
    environment = {"MODE": "test", "URL": "{incumbent.url}"}
    spec = {**BY_COMMAND, "install": ["{python}", "install.py"], "environment": environment}
    result = drilled(folder, spec, "q0")
    seen = json.loads(case_lines(result.folder)[0]["answer"])
    usual = {"PATH", "LANG", "HOME", "TMPDIR", "PYTHONDONTWRITEBYTECODE", "MODE"}
    assert "PIP_INDEX_URL" in seen
    assert "HTTPS_PROXY" not in seen
    found = seen.keys() - {"LC_CTYPE", "PWD", "SHLVL", "_"}
    assert found == usual | of_network(os.environ).keys()


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("https_proxy", "http://proxy:3128", True),
        ("HTTPS_PROXY", "http://proxy:3128", True),
        ("NO_PROXY", "localhost,127.0.0.1", True),
        ("PIP_INDEX_URL", "https://index/simple", True),
        ("PIP_INDEX_URL", "https://user:secret@index/simple", False),
        ("PIP_EXTRA_INDEX_URL", "https://index/simple https://secret@other/simple", False),
        ("npm_config_registry", "https://registry/@scope", True),
        ("npm_config__authToken", "secret", False),
        ("PIP_TARGET", "/usr", False),
        ("OPENAI_API_KEY", "secret", False),
    ],
)
def test_what_an_installation_needs_of_the_environment(name: str, value: str, kept: bool) -> None:
    assert of_network({name: value}) == ({name: value} if kept else {})


def test_nothing_that_was_installed_is_in_reach_of_an_installation(tmp_path: Path) -> None:
    program(tmp_path, {"main.py": COMMAND})
    (tmp_path / "app" / "node_modules").mkdir()
    log = Log()
    for install in (None, ["true"]):
        spec = {**BY_COMMAND, "install": install}
        scenario = app_scenario(tmp_path, spec, old=log.adapter(), new=log.adapter())
        (tmp_path / str(install)).mkdir()
        copy = copy_of(scenario, "new", tmp_path / str(install)).path
        assert (copy / "node_modules").is_symlink() is (install is None)


@pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")
def test_what_is_linked_is_not_written_through(tmp_path: Path) -> None:
    code = "import sys; print(sys.stdin.read()); open('node_modules/x', 'w')"
    folder = program(tmp_path, {"main.py": code})
    (folder / "app" / "node_modules").mkdir()
    result = drilled(folder, BY_COMMAND, "q0")
    errors = [line["error"] for line in case_lines(result.folder)]
    assert all("PermissionError" in error["message"] for error in errors)
    assert os.listdir(folder / "app" / "node_modules") == []


@pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")
def test_it_writes_to_the_copy_only(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    code = f"open({str(outside / 'x')!r}, 'w')"
    folder = program(tmp_path, {"main.py": COMMAND})
    result = drilled(folder, {**BY_COMMAND, "install": [sys.executable, "-c", code]})
    assert "PermissionError" in result.report["drill"]["stopped"]
    assert os.listdir(outside) == []
