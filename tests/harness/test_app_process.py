"""One run of a command: bounded, timed, and ended with all that it started."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from tests.harness.apps import processes

from exitdrill.app import process
from exitdrill.app.process import Ended, Place, given_to, run, words
from exitdrill.errors import ServerFailed


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "copy").mkdir()
    (tmp_path / "scratch").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "scratch")}
    return Place(tmp_path / "copy", environment, (tmp_path / "copy", tmp_path / "scratch"))


async def ran(code: str, place: Place, data: bytes = b"", seconds: float = 20) -> Ended:
    return await run(words(["{python}", "-c", code], place), data, place, seconds)


@pytest.mark.parametrize(
    ("value", "given"), [("a\nb", b"a\nb"), ({"a": "ä"}, '{"a": "ä"}'.encode()), (0, b"0")]
)
def test_a_text_goes_in_as_it_is_and_anything_else_as_json(value: object, given: bytes) -> None:
    assert given_to(value) == given


async def test_input_and_output(place: Place) -> None:
    code = "import sys; d = sys.stdin.read(); print(len(d)); print('e' * 3, file=sys.stderr)"
    ended = await ran(code, place, b"x" * 5_000_000)
    assert (ended.why, ended.code, ended.output, ended.errors) == ("itself", 0, b"5000000\n", "eee")


async def test_an_input_that_nobody_reads_holds_nobody_up(place: Place) -> None:
    assert (await ran("print(1)", place, b"x" * 5_000_000)).output == b"1\n"


STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True);"


@pytest.mark.parametrize(
    ("code", "seconds", "why"),
    [
        ("import time; time.sleep(60)", 1, "timeout"),
        (STUBBORN + "time.sleep(60)", 1, "timeout"),
        ("while True: print('x' * 1000)", 20, "flood"),
        ("import sys\nwhile True: sys.stderr.write('x' * 100_000)", 20, "flood"),
    ],
)
async def test_what_does_not_end_is_ended(
    code: str, seconds: float, why: str, place: Place
) -> None:
    began = time.monotonic()
    ended = await ran(code, place, seconds=seconds)
    assert ended.why == why
    assert len(ended.output) <= process.MOST_OUTPUT
    assert time.monotonic() - began < 10


async def test_a_child_that_detached_ends_with_it(place: Place) -> None:
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time;"
    child += " time.sleep(83)'], start_new_session=True); print('done')"
    ended = await ran(child, place)
    assert (ended.why, ended.output) == ("itself", b"done\n")
    assert not [line for line in processes() if "time.sleep(83)" in line]


async def test_who_is_cancelled_leaves_nothing_behind(place: Place) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await ran("import time; time.sleep(79)", place)
    assert not [line for line in processes() if "time.sleep(79)" in line]


async def test_a_program_that_is_not_there(place: Place) -> None:
    with pytest.raises(ServerFailed, match="no program 'no-such-thing'"):
        words(["no-such-thing"], place)
    ended = await run(["./no-such-file"], b"", place, 5)
    assert ended.code == 127
    assert "cannot start './no-such-file'" in ended.errors
