"""The same drill with tools that others wrote, on the same server, in the same run.

250 cases, two models, 1,000 requests, 64 at once, the whole process with the results that each tool
writes by itself. The drill asks for streams and parses them, for it times tokens; the others ask
for whole answers, as they do by default. Caches and telemetry are off; a proxy that is not there
keeps everything but loopback out of reach.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.bench import process, scenes
from tests.bench.process import ROOT, BenchmarkError, Ran
from tests.bench.settings import Settings
from tests.bench.table import Row, paired

TITLE = "peers: the drill beside other tools; 1,000 requests, 64 at once, answered after 50 ms"
HOME = ROOT / "build" / "bench-peers"
CASES, ASKED, CONCURRENCY = 250, 1000, 64
PAIRS = 5
NOWHERE = "http://127.0.0.1:9"
QUIET = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
    "DO_NOT_TRACK": "1",
}
INSPECT_TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

@task
def mail():
    config = GenerateConfig(max_tokens=64, temperature=0)
    return Task(json_dataset("dataset.jsonl"), solver=generate(), scorer=includes(), config=config)
"""
WORD = "ticket"
"""Stands in every answer: what each tool is told to look for."""


@dataclass(frozen=True)
class Peer:
    """Another tool: its version, and the command that does our drill in a folder, ready to run."""

    name: str
    version: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def rows(settings: Settings) -> Iterator[Row]:
    """Wall time, CPU time and peak memory of the drill, over those of each tool that is there."""
    pairs = settings.pairs or PAIRS
    with process.serving() as url, process.workplace() as home:
        scene = scenes.endpoint_drill(home / "scene", url, CASES, CONCURRENCY)
        outs = (home / f"out-{number}" for number in count())
        for make in (_llmshift, _inspect, _promptfoo):
            folder = home / make.__name__.strip("_")
            folder.mkdir()
            try:
                peer = make(folder, url)
                sides = process.alternate(
                    pairs,
                    lambda: process.drill(scene, "--out", next(outs)),
                    _runner(peer, folder, url),
                )
            except BenchmarkError as error:
                yield Row(f"{folder.name}: skipped", "", note=" ".join(str(error).split()))
                continue
            yield from _compared(peer, *sides)


def _runner(peer: Peer, folder: Path, url: str) -> Callable[[], Ran]:
    """Runs a tool, and makes sure that it asked as often as we do."""
    environment = {**QUIET, "HOME": str(folder), **peer.environment}

    def run() -> Ran:
        before = len(process.log_of(url))
        ran = process.run(peer.command, environment=environment, cwd=folder)
        asked = len(process.log_of(url)) - before
        if asked != ASKED:
            raise BenchmarkError(f"{peer.name} asked {asked} times and not {ASKED}")
        return ran

    return run


def _compared(peer: Peer, ours: list[Ran], theirs: list[Ran]) -> Iterator[Row]:
    where = f"{peer.name} {peer.version}"
    yield paired(f"{where}: wall time", _all(ours, "wall"), _all(theirs, "wall"))
    yield paired(f"{where}: CPU time", _all(ours, "cpu"), _all(theirs, "cpu"))
    yield paired(f"{where}: peak memory", _mebi(ours), _mebi(theirs), "MiB")


def _all(runs: list[Ran], name: str) -> list[float]:
    return [float(getattr(each, name)) for each in runs]


def _mebi(runs: list[Ran]) -> list[float]:
    return [each.peak / 2**20 for each in runs]


# --- the tools ----------------------------------------------------------------------------------


def _llmshift(folder: Path, url: str) -> Peer:
    """One answer of the old model and three of the new one: four a case, as in our drill."""
    command = _installed(HOME / "venv" / "bin" / "llmshift")
    config = {
        "tests": "tests.jsonl",
        "cache": False,
        "providers": {"bench": {"type": "openai", "base_url": url, "requires_key": False}},
    }
    (folder / "llmshift.yaml").write_text(json.dumps(config))  # JSON is YAML
    cases = (
        {
            "id": f"case-{number}",
            "input": {
                "messages": scenes.mail(number)["messages"],
                "params": {"max_tokens": 64, "temperature": 0},
            },
            "baseline": {"output": WORD, "model": "before"},
            "checks": [{"type": "contains", "value": WORD}],
        }
        for number in range(CASES)
    )
    scenes.write_lines(folder / "tests.jsonl", cases)
    return Peer(
        "LLMShift",
        _python_version("llmshift"),
        [
            *(command, "compare", "--baseline-model", "bench:before", "--to", "bench:after"),
            *("--repeat", "3", "--concurrency", str(CONCURRENCY), "--no-cache"),
        ],
    )


def _inspect(folder: Path, url: str) -> Peer:
    command = _installed(HOME / "venv" / "bin" / "inspect")
    cases = (
        {"id": f"case-{number}", "input": scenes.mail(number)["messages"], "target": WORD}
        for number in range(CASES)
    )
    scenes.write_lines(folder / "dataset.jsonl", cases)
    (folder / "task.py").write_text(INSPECT_TASK)
    models = ",".join(f"openai-api/bench/{arm}" for arm in scenes.ARMS)
    return Peer(
        "Inspect AI",
        _python_version("inspect_ai"),
        [
            *(command, "eval", "task.py", "--model", models, "--epochs", "2"),
            *("--max-connections", str(CONCURRENCY), "--display", "none", "--log-dir", "logs"),
        ],
        {"BENCH_BASE_URL": url, "BENCH_API_KEY": "none"},
    )


def _promptfoo(folder: Path, url: str) -> Peer:
    modules = HOME / "node" / "node_modules"
    command = _installed(modules / ".bin" / "promptfoo")
    config = {"apiBaseUrl": url, "apiKey": "none", "max_tokens": 64, "temperature": 0}
    questions = ({"question": scenes.QUESTION.format(number)} for number in range(CASES))
    check = {"type": "contains", "value": WORD}
    system, user = scenes.mail(0)["messages"]
    document = {
        "prompts": ["file://prompt.json"],
        "providers": [
            {"id": f"openai:chat:{arm}", "label": arm, "config": config} for arm in scenes.ARMS
        ],
        "tests": [{"vars": one, "assert": [check]} for one in questions],
    }
    (folder / "prompt.json").write_text(json.dumps([system, user | {"content": "{{question}}"}]))
    (folder / "promptfooconfig.json").write_text(json.dumps(document))
    switches = ("TELEMETRY", "UPDATE", "REMOTE_GENERATION", "SHARING")
    return Peer(
        "promptfoo",
        str(json.loads((modules / "promptfoo" / "package.json").read_text())["version"]),
        [
            *(command, "eval", "-c", "promptfooconfig.json", "--repeat", "2"),
            *("-j", str(CONCURRENCY), "--no-cache", "--no-table", "--no-progress-bar"),
            *("--no-share", "-o", "out.json"),
        ],
        {
            **{f"PROMPTFOO_DISABLE_{switch}": "1" for switch in switches},
            "PROMPTFOO_CONFIG_DIR": str(folder / "home"),
            "PROMPTFOO_CACHE_ENABLED": "false",
        },
    )


def _installed(command: Path) -> str:
    if not os.access(command, os.X_OK):
        raise BenchmarkError(f"not installed ({command.relative_to(ROOT)}): make bench-peers")
    return str(command)


def _python_version(package: str) -> str:
    """The version of a package in the environment of the peers."""
    found = sorted(HOME.glob(f"venv/lib/python*/site-packages/{package}-*.dist-info"))
    if not found:
        raise BenchmarkError(f"{package} is not installed: make bench-peers")
    return found[0].name.removesuffix(".dist-info").partition("-")[2]
