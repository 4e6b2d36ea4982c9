"""Progress: redrawn on a terminal, plain lines elsewhere, and nothing that steers the terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import threading
import time
from pathlib import Path

import pytest
from tests.harness.drills import Log, failing, in_turn, late, right, scenario

from exitdrill import progress
from exitdrill.drill import run
from exitdrill.progress import Silent, Terminal
from exitdrill.records import Spend
from exitdrill.scenario import BudgetSpec

ESCAPE = "\x1b"


def on_a_terminal(show: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal of 100 columns receives while ``show(stream)`` runs."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    master, slave = pty.openpty()
    received: list[bytes] = []

    def receive() -> None:
        while True:
            try:
                piece = os.read(master, 65_536)
            except OSError:  # the other end was closed
                return
            if not piece:
                return
            received.append(piece)

    reader = threading.Thread(target=receive)
    reader.start()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        show(stream)  # type: ignore[operator]
    reader.join(timeout=10)
    os.close(master)
    return b"".join(received).decode()


def words(text: str) -> str:
    """Text without what steers the terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def drill(folder: Path, watcher: progress.Watcher) -> None:
    log = Log()
    broken = in_turn(late(0.01), failing("auth", "bad\x1b]0;owned\x07 key\nline"))
    arms = {
        "old": log.adapter(late(0.02)),
        "new": log.adapter(late(0.02)),
        "broken": log.adapter(broken),
    }
    run(scenario(40, {"breaker": 3}, {"concurrency": 2}, **arms), out=folder, watcher=watcher)


def test_a_terminal_shows_a_table_that_is_redrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(stream: io.TextIOBase) -> None:
        with Terminal(stream) as watcher:  # type: ignore[arg-type]
            drill(tmp_path / "drill", watcher)

    seen = on_a_terminal(show, monkeypatch)
    assert seen.count(f"{ESCAPE}[1A") > 3, "the table is redrawn in place"
    assert seen.count(f"{ESCAPE}[?25l") == seen.count(f"{ESCAPE}[?25h") == 1, "cursor is restored"
    text = words(seen)
    for word in ("arm", "trials", "per second", "failed", "s left", "calls", "tokens", "old"):
        assert word in text
    assert re.search(r"\b([1-9]|[1-7]\d)/80\b", text), "seen on its way"
    assert "old 80/80, new 80/80, broken " in text
    assert "broken broke off: 3 times in a row auth" in text
    assert f"{ESCAPE}]0;" not in seen, "a server's message must not steer the terminal"


def test_elsewhere_there_are_plain_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.2)
    stream = io.StringIO()
    with Terminal(stream) as watcher:
        drill(tmp_path / "drill", watcher)
    text = stream.getvalue()
    assert ESCAPE not in text
    assert "\r" not in text
    lines = [
        line for line in text.splitlines() if re.match(r"old \d+/80, new \d+/80, broken", line)
    ]
    assert 3 < len(lines) < 30, "now and then, and not for each trial"
    done = [int(re.findall(r"(\d+)/80", line)[0]) for line in lines]
    assert done == sorted(done)
    assert done[-1] == 80
    assert all(" calls, " in line and line.endswith(" s left") for line in lines[:-1])
    assert lines[-1].endswith(" tokens"), "at the end nothing is left"
    assert re.search(r"broken \d+/80 \(\d failed\)", lines[-1])


def test_a_pace_and_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    watcher = Terminal(stream)
    watcher.begin({"old": 100, "new": 100}, {"old": 50}, "EUR")
    for number in range(25):
        now[0] += 2
        watcher.done("old", number == 3, Spend(number + 1, 10 * number, 0.5))
    watcher.known({"old": 2}, Spend(30, 300, 0.75))
    watcher.end()
    lines = stream.getvalue().splitlines()
    assert lines[-2].endswith("; 25 calls, 240 tokens, 0.5000 EUR; 250 s left")
    assert lines[-1] == "old 75/100 (2 failed), new 0/100; 30 calls, 300 tokens, 0.7500 EUR"
    assert len(lines) == 5 + 1, "a line every ten seconds, and one at the end"


def test_what_an_earlier_run_did_is_counted_as_done(tmp_path: Path) -> None:
    log = Log()
    arms = {"old": log.adapter(), "new": log.adapter(failing("auth"))}
    breaker = {"breaker": 20}
    limited = scenario(5, breaker, None, {"budget": BudgetSpec(requests=12)}, **arms)
    assert not run(limited, out=tmp_path / "drill").completed
    before = len(log.calls)
    stream = io.StringIO()
    more = scenario(5, breaker, None, {"budget": BudgetSpec(requests=100)}, **arms)
    run(more, resume=tmp_path / "drill", watcher=Terminal(stream))
    last = [line for line in stream.getvalue().splitlines() if line.startswith("old 10/10")][-1]
    assert 0 < before < len(log.calls)
    assert last.startswith(f"old 10/10, new 10/10 (10 failed); {len(log.calls)} calls, ")


def test_ending_twice_says_nothing_twice() -> None:
    stream = io.StringIO()
    watcher = Terminal(stream)
    watcher.begin({"old": 1}, {}, None)
    watcher.done("old", False, Spend(1, 2, 0.0))
    watcher.end()
    watcher.end()
    assert stream.getvalue().count("old 1/1") == 1


def test_markup_in_a_note_is_text() -> None:
    stream = io.StringIO()
    Terminal(stream).note("[bold]x[/bold] [old] :smile:\x1b[2J\x00")
    assert stream.getvalue() == "[bold]x[/bold] [old] :smile:�[2J�\n"


def test_silence_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = Log()
    run(
        scenario(2, old=log.adapter(right), new=log.adapter()),
        out=tmp_path / "drill",
        watcher=Silent(),
    )
    assert capfd.readouterr() == ("", "")
