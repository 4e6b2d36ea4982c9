"""What an app wrote on its way down, without what helps nobody: foreign frames, and carets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

MOST_FAILURES = 3
"""Lines of an output of tests that say what failed."""
_FAILURE = re.compile(r"(E  +|FAILED |ERROR |FAIL: |not ok )")
_FRAME = re.compile(r'\s*File "(?P<path>[^"]+)", line \d+')
_TITLE = "Traceback (most recent call last):"
LONGEST_LINE = 160
"""Characters."""
_CARETS = re.compile(r"[\s^~]*\^[\s^~]*")


def tidied(said: str, copy: Path) -> str:
    """The end of an app's output: of a Python traceback the app's own frames, and the error.

    ``copy`` is the app's folder: what lies there is the app's own, and is named from there.
    """
    lines = [line for line in said.splitlines() if line.strip()]
    if len(lines) > 1 and _CARETS.fullmatch(lines[1]) and not _FRAME.match(lines[0]):
        del lines[0]  # the source of a frame that is cut off
    lines = [line for line in lines if not (_CARETS.fullmatch(line) or line.strip() == _TITLE)]
    kept = "\n".join(_own(lines, f"{copy}/"))
    return kept.replace(f"{copy}/", "")


def summed_up(output: str, errors: str) -> str:
    """What a run of tests says of itself: its last line, and the first that say what failed.

    Most write that to standard output; where one wrote nothing there, what it wrote to the other.
    """
    lines = [line.strip() for line in (output.strip() or errors).splitlines() if line.strip()]
    if not lines:
        return "it wrote nothing"
    failed = [line for line in lines if _FAILURE.match(line)]
    told = [lines[-1], *failed[:MOST_FAILURES]]
    return " / ".join(dict.fromkeys(" ".join(line.split())[:LONGEST_LINE] for line in told))


def _own(lines: Sequence[str], folder: str) -> Iterator[str]:
    """All lines but the frames of files that lie elsewhere, each with its line of source."""
    foreign = False
    for line in lines:
        frame = _FRAME.match(line)
        if frame is not None:
            foreign = _elsewhere(frame["path"], folder)
        elif not line.startswith("    "):  # a line of source stands deeper than its frame
            foreign = False
        if not foreign:
            yield line


def _elsewhere(path: str, folder: str) -> bool:
    return path.startswith(("/", "<frozen ")) and not path.startswith(folder)
