"""The examples in the documentation, run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import exitdrill
from exitdrill.backend import Request, fold

HERE = Path(__file__).parents[1]
README = HERE / "README.md"
# In the tree the guide stands in adapters/; beside the tests of a wheel, in the same place.
GUIDE = HERE / "adapters" / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(path.read_text()) if found == language]


def test_the_python_example_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(README, "python")
    exec(compile(example, "README.md", "exec"), {})
    verdict, folder = capsys.readouterr().out.split()
    assert verdict == "inconclusive"  # one case decides nothing
    assert (tmp_path / folder / "report.html").is_file()


def test_the_scenario_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, *_ = blocks(README, "toml")
    requests, meta = blocks(README, "json")
    (tmp_path / "scenario.toml").write_text(scenario)
    (tmp_path / "requests.jsonl").write_text(requests)
    (tmp_path / "meta.jsonl").write_text(meta)
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
    drillable = exitdrill.check(exitdrill.load(tmp_path))
    assert drillable.workload.size == 1
    assert [backend.local for backend in drillable.backends.values()] == [False, True]


def test_the_commands_of_the_readme_exist() -> None:
    from exitdrill.cli import cli

    named = set(re.findall(r"(?:`|^)exitdrill ([a-z]+)", README.read_text(), re.MULTILINE))
    assert named
    assert named <= cli.commands.keys()


def test_the_exit_codes_of_the_readme_are_those_of_the_help() -> None:
    from exitdrill.cli import EXIT_CODES

    table = {int(code) for code in re.findall(r"^\| (\d+) \|", README.read_text(), re.MULTILINE)}
    assert table == {int(code) for code in re.findall(r"\d+", EXIT_CODES)}


async def test_the_adapter_of_the_guide(tmp_path: Path) -> None:
    (example,) = blocks(GUIDE, "python")
    names: dict[str, Any] = {"__name__": "shouting"}
    exec(compile(example, "adapters/README.md", "exec"), names)
    make = names["ShoutingBackend"]
    backend = make(exitdrill.BackendConfig(name="loud", adapter="shouting", model="loud-1"))
    assert isinstance(backend, exitdrill.Backend)
    body = {"messages": [{"role": "user", "content": "hello there"}], "seed": 1}
    prepared = backend.prepare(Request("chat", body))
    assert [edit.path for edit in prepared.edits] == ["/seed"]
    reply = fold([event async for event in backend.stream(prepared)])
    assert reply.text == "HELLO THERE "
    assert (reply.output_tokens, reply.finish) == (2, "stop")


def test_the_adapter_of_the_guide_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """The module and the entry-point line are all that a new adapter costs."""
    (example,) = blocks(GUIDE, "python")
    entry, backend = blocks(GUIDE, "toml")
    package = tmp_path / "site" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "shouting.py").write_text(example)
    about = tmp_path / "site" / "my_package-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    line = re.search(r"^(shouting) = \"(.*)\"$", entry, re.MULTILINE)
    assert line
    (about / "entry_points.txt").write_text(
        f"[exitdrill.adapters]\n{line.group(1)} = {line.group(2)}\n"
    )
    scenario = tmp_path / "scenario"
    scenario.mkdir()
    quiet = backend.replace("backends.loud", "backends.quiet")
    (scenario / "scenario.toml").write_text(
        f'incumbent = "loud"\ncandidates = ["quiet"]\n{backend}\n{quiet}\n'
    )
    (scenario / "requests.jsonl").write_text(blocks(README, "json")[0])
    done = subprocess.run(
        [sys.executable, "-m", "exitdrill", "run", str(scenario), "--out", str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr  # nothing is expected, and there is no gate
    assert "CAPITAL OF FRANCE?" in (tmp_path / "out" / "cases.jsonl").read_text()
