"""A drill that also notes when its adapter was entered, on the clock that the server uses too.

    python noted_drill.py FOLDER OUT NOTES.JSON

Everything is the real engine and the real adapter; the one thing added is a list of (model, last
message, nanoseconds on the monotonic clock), taken where the engine calls `Backend.stream`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import exitdrill
from exitdrill.backend import Event, Prepared
from exitdrill_adapters.openai import OpenAIBackend

Note = tuple[str, str, int]
NOTES: list[Note] = []


class Noting(OpenAIBackend):
    """The adapter for endpoints, which notes when it is asked."""

    def stream(self, prepared: Prepared) -> AsyncIterator[Event]:
        body = prepared.body
        NOTES.append((body["model"], body["messages"][-1]["content"], time.monotonic_ns()))
        return super().stream(prepared)


def main(folder: str, out: str, notes: str) -> None:
    """Run the drill in a folder with the adapter above in place of the real one."""
    scenario = exitdrill.load(folder)
    noting = {"adapter": Noting}
    backends = {name: spec.model_copy(update=noting) for name, spec in scenario.backends.items()}
    exitdrill.run(scenario.model_copy(update={"backends": backends}), out=out)
    Path(notes).write_text(json.dumps(NOTES))


if __name__ == "__main__":
    main(*sys.argv[1:])
