"""The examples in the documentation, run."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.calibration.worlds import TRUTHS, WORLDS

import exitdrill
from exitdrill.backend import Request, fold
from exitdrill.measures import MEASURES
from exitdrill.measures.registry import Registry

HERE = Path(__file__).parents[1]
README = HERE / "README.md"
# In the tree the guides stand in adapters/ and harness/; beside the tests of a wheel, in the same
# places.
GUIDE = HERE / "adapters" / "README.md"
MEASURE_GUIDE = HERE / "harness" / "README.md"
VERDICT = HERE / "harness" / "VERDICT.md"
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


def install(site: Path, group: str, entry: str, module: str) -> str:
    """Lay a package with one module and one entry point into a folder; return the entry's name."""
    found = re.search(r"^(\w+) = \"(my_package\.(\w+):\w+)\"$", entry, re.MULTILINE)
    assert found
    name, value, stem = found.groups()
    package = site / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / f"{stem}.py").write_text(module)
    about = site / "my_package-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    return name


def exitdrill_with(site: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own that finds the package."""
    return subprocess.run(
        [sys.executable, "-m", "exitdrill", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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
    assert install(tmp_path / "site", "exitdrill.adapters", entry, example) == "shouting"
    scenario = tmp_path / "scenario"
    scenario.mkdir()
    quiet = backend.replace("backends.loud", "backends.quiet")
    (scenario / "scenario.toml").write_text(
        f'incumbent = "loud"\ncandidates = ["quiet"]\n{backend}\n{quiet}\n'
    )
    (scenario / "requests.jsonl").write_text(blocks(README, "json")[0])
    done = exitdrill_with(tmp_path / "site", "run", scenario, "--out", tmp_path / "out")
    assert done.returncode == 3, done.stderr  # nothing is expected, and there is no gate
    assert "CAPITAL OF FRANCE?" in (tmp_path / "out" / "cases.jsonl").read_text()


def test_the_measure_of_the_guide_in_the_table() -> None:
    """The module and a line in the table are all that a new measure costs."""
    (example,) = blocks(MEASURE_GUIDE, "python")
    names: dict[str, Any] = {"__name__": "asks_back"}
    exec(compile(example, "harness/README.md", "exec"), names)
    table = Registry((*MEASURES, *names["MEASURES"]))
    assert table["asks_back"].label == "answers that ask back"
    assert table.columns["asks_back"] is names["asks_back"]


def test_the_measure_of_the_guide_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """Its row stands in the report of a drill, its column in every case, its gate is judged."""
    (example,) = blocks(MEASURE_GUIDE, "python")
    entry, gate = blocks(MEASURE_GUIDE, "toml")
    install(tmp_path / "site", "exitdrill.measures", entry, example)
    scenario = tmp_path / "scenario"
    scenario.mkdir()
    backends = "".join(
        f'[backends.{name}]\nadapter = "scripted"\nmodel = "m"\n'
        f'options = {{ answers = "{name}.jsonl" }}\n'
        for name in ("old", "new")
    )
    (scenario / "scenario.toml").write_text(
        f'incumbent = "old"\ncandidates = ["new"]\n{backends}{gate}'
    )
    request, _ = blocks(README, "json")
    (scenario / "requests.jsonl").write_text(request)
    asked = json.loads(request)["body"]["messages"][-1]["content"]
    for name, text in (("old", "Paris."), ("new", "Of which France?")):
        answer = {"user": asked, "text": text}
        (scenario / f"{name}.jsonl").write_text(json.dumps(answer) + "\n")
    done = exitdrill_with(tmp_path / "site", "run", scenario, "--out", tmp_path / "out")
    assert done.returncode == 3, done.stderr  # one case decides nothing
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (candidate,) = report["candidates"]
    (row,) = [each for each in candidate["drift"] if each["name"] == "asks_back"]
    assert (row["incumbent"], row["candidate"], row["estimate"], row["n"]) == (0, 1, 1, 1)
    assert row["note"].startswith("the last character is a question mark")
    assert [each["measure"] for each in candidate["gates"]] == ["asks_back"]
    lines = (tmp_path / "out" / "cases.jsonl").read_text().splitlines()
    assert {json.loads(line)["measures"]["asks_back"] for line in lines} == {0, 1}


def test_the_figures_on_how_the_verdict_is_reached() -> None:
    examples = "\n".join(blocks(VERDICT, "python"))
    parsed = doctest.DocTestParser().get_doctest(examples, {}, VERDICT.name, None, None)
    assert len(parsed.examples) > 10
    said: list[str] = []
    result = doctest.DocTestRunner().run(parsed, out=said.append)
    assert not result.failed, "".join(said)


def test_the_calibration_is_in_the_documentation() -> None:
    """Made by its command: a row for each world and truth, none of them marked."""
    rows = VERDICT.read_text().partition("<!-- calibration -->")[2].splitlines()
    found = [row.split(" | ") for row in rows if row.startswith("| ")][1:]
    assert len(found) == len(WORLDS) * len(TRUTHS)
    assert not [row for row in found if "too often" in row[-1]]
