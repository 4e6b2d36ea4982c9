"""The built-in drill on real models, against the real ``transformers serve``; shortened."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from exitdrill.journal import Journal

pytest.importorskip("torch", reason="needs exitdrill[local]")

OFFLINE = Path(__file__).with_name("offline.py")
DRILL = [sys.executable, "-m", "exitdrill", "run", "support_triage"]
LIMIT = 10


def offline(command: list[str]) -> list[str]:
    """The command, in a namespace without a network where that is possible."""
    probe = [sys.executable, str(OFFLINE), "true"]
    possible = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    return [sys.executable, str(OFFLINE), *command] if possible else command


def run(*arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    command = offline([*DRILL, *map(str, arguments)])
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def processes_about(folder: Path) -> list[str]:
    """The command lines of a drill's processes, and of the app's, by their temporary folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            marked = str(folder).encode() in (entry / "environ").read_bytes()
        except OSError:
            continue
        if marked and command:
            found.append(command)
    return found


def ports_of(journal: Path) -> list[int]:
    with Journal.reopen(journal) as record:
        described = [arm["description"] for arm in record.input("arms").values()]
    hosts = [each["endpoint_host"] for each in described if each["endpoint_host"]]
    return [int(host.rpartition(":")[2]) for host in hosts]


def rows(report: dict[str, Any], candidate: str, section: str) -> dict[str, Any]:
    (found,) = (each for each in report["candidates"] if each["name"] == candidate)
    return {row["name"]: row for row in found[section]}


def test_a_short_drill(tmp_path: Path) -> None:
    out = tmp_path / "drill"
    done = run("--limit", str(LIMIT), "--out", out)
    assert done.returncode == 3, done.stderr  # ten cases settle nothing
    assert done.stdout.splitlines()[-1].startswith("verdict: inconclusive")
    report = json.loads((out / "report.json").read_text())
    assert report["drill"]["completed"]
    assert report["workload"]["asked"] == LIMIT
    assert [each["name"] for each in report["candidates"]] == ["open_moe", "small", "self_hosted"]
    # The same weights with another host give the same greedy answers: this also tests the two
    # adapters, over HTTP and in process, against each other.
    same = rows(report, "self_hosted", "drift")["exact_agreement"]
    assert (same["incumbent"], same["candidate"]) == (1.0, 1.0)
    for candidate in ("open_moe", "small", "self_hosted"):
        assert rows(report, candidate, "latency")["total_p50"]["candidate"] > 0
        assert rows(report, candidate, "drift")["model_calls"]["candidate"] == 1
        assert rows(report, candidate, "cost")["cost_per_1000"]["candidate"] > 0
        assert rows(report, candidate, "change")["lines"]["candidate"] > 0
    names = {path.name for path in out.iterdir()}
    assert names >= {"plan.json", "cases.jsonl", "report.html", "report.md", "junit.xml"}
    assert len((out / "cases.jsonl").read_text().splitlines()) == LIMIT * 2 * 4
    app = report["app"]
    assert all(arm["tests"]["passed"] and not arm["strays"] for arm in app["arms"])
    assert app["way_back"]["right"] > 0


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_drill_that_is_killed_leaves_nothing_behind_and_is_resumed(tmp_path: Path) -> None:
    out = tmp_path / "drill"
    arguments = ["--limit", "24", "--candidate", "self_hosted"]
    drill = subprocess.Popen(
        [*DRILL, *arguments, "--out", str(out)],
        env=os.environ | {"TMPDIR": str(tmp_path)},  # the app has no other variable of the drill's
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while completed(out) < 5:
        assert drill.poll() is None, drill.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (port,) = ports_of(out / "journal.sqlite")
    assert any("service.py" in command for command in processes_about(tmp_path))
    drill.send_signal(signal.SIGKILL)
    drill.communicate()
    wait_until_gone(tmp_path)
    with socket.socket() as server:  # the port is free again
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
    before = completed(out)
    assert before < 2 * 24 * 2

    done = run("--resume", out)
    assert done.returncode == 3, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["drill"]["completed"]
    assert completed(out) == 2 * 24 * 2
    assert rows(report, "self_hosted", "drift")["exact_agreement"]["candidate"] == 1.0


def completed(folder: Path) -> int:
    """How many trials the journal in a drill's folder holds."""
    try:
        with Journal.reopen(folder / "journal.sqlite") as journal:
            return sum(count for count, _ in journal.progress().values())
    except Exception:  # it is being made
        return 0


def wait_until_gone(folder: Path) -> None:
    deadline = time.monotonic() + 15
    while left := processes_about(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
