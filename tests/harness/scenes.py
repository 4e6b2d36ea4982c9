"""Small scenario folders with scripted backends, and the command to try on them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from exitdrill.cli import _code

COMMAND = str(Path(sys.executable).with_name("exitdrill"))
TOML = """\
incumbent = "old"
candidates = ["new"]

[workload]
requests = "requests.jsonl"

[checkers.same]
type = "exact"

[backends.old]
adapter = "scripted"
model = "script"
options = { answers = "right.jsonl" }

[backends.new]
adapter = "scripted"
model = "script"
options = { answers = "right.jsonl" }

[[gates]]
measure = "success"
margin = 0.1

[replay]
warmup = 0
"""


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


def command(*arguments: str | Path) -> Outcome:
    """The command ``exitdrill`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["exitdrill", *map(str, arguments)]
    with (
        patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = _code()
    return Outcome(code, out.getvalue(), err.getvalue())


def process(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Outcome:
    """The command ``exitdrill`` as installed, in a process of its own."""
    done = subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        check=False,
        cwd=cwd,
        encoding="utf-8",
        env={**os.environ, **env} if env is not None else None,
        timeout=60,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def request(number: int | str, **changes: Any) -> dict[str, Any]:
    """A line of ``requests.jsonl``; ``body`` adds to the body."""
    body = {
        "model": "recorded",
        "messages": [{"role": "user", "content": f"q{number}"}],
        "max_tokens": 20,
        **changes.pop("body", {}),
    }
    line = {
        "custom_id": f"c{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
    return {**line, **changes}


def meta(number: int | str, **changes: Any) -> dict[str, Any]:
    """A line of ``meta.jsonl``."""
    return {"custom_id": f"c{number}", "checker": "same", "expected": f"a{number}", **changes}


def lines(rows: Sequence[Any]) -> str:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def scene(folder: Path, *, cases: int = 4, toml: str = TOML, seconds: float = 0.0) -> Path:
    """A scenario that is right as it stands; answers take ``seconds``."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(cases)
    right = [{"user": f"q{n}", "text": f"a{n}", "first_after": seconds} for n in numbers]
    (folder / "scenario.toml").write_text(toml, encoding="utf-8")
    (folder / "requests.jsonl").write_text(lines([request(n) for n in numbers]))
    (folder / "meta.jsonl").write_text(lines([meta(n) for n in numbers]))
    (folder / "right.jsonl").write_text(lines(right))
    return folder


def changed(old: str, new: str, toml: str = TOML) -> str:
    """The scenario with one thing changed."""
    assert toml.count(old) == 1, old
    return toml.replace(old, new)
