"""The child process: ``python -m exitdrill_adapters.transformers.worker``, driven by its pipes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from exitdrill.errors import BackendError
from exitdrill_adapters.transformers import wire
from exitdrill_adapters.transformers.jobs import Inbox, Send
from exitdrill_adapters.transformers.settings import LocalOptions

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Load what the parent names, then answer until it says goodbye."""
    _die_with_parent()
    inbox, send = _take_pipes()
    inbox.listen()
    settings = inbox.settings.get()
    try:
        batches, facts = _load(settings, inbox, send)
    except BackendError as error:
        send([wire.error_message(wire.LOADING, error.kind, error.message)])
        return 1
    send([{"r": wire.LOADING, "e": "ready", "facts": facts}])
    batches.run()
    return 0


class Batches(Protocol):
    """A way of forming batches."""

    def warm_up(self) -> None:
        """Do once what only the first batch of a process has to wait for."""

    def run(self) -> None:
        """Answer until the inbox is closed."""


def _load(
    settings: Mapping[str, Any], inbox: Inbox, send: Send
) -> tuple[Batches, Mapping[str, Any]]:
    # Seconds of imports: only once the pipe is watched.
    from exitdrill_adapters.transformers import model
    from exitdrill_adapters.transformers.continuous import ContinuousBatches
    from exitdrill_adapters.transformers.static import StaticBatches

    options = LocalOptions.model_validate(settings["options"])
    loaded = model.load(Path(settings["path"]), options)
    kind = ContinuousBatches if options.mode == "continuous" else StaticBatches
    try:
        batches: Batches = kind(loaded, inbox, send)
        batches.warm_up()
    # The model's first step: anything that its code may raise.
    except Exception as error:
        problem, text = model.explain(error)
        raise BackendError(
            problem, f"{settings['path']} loads, but does not run: {text}"
        ) from error
    return batches, loaded.facts()


def _take_pipes() -> tuple[Inbox, Send]:
    """Keep stdin and stdout for ourselves; what a library prints goes to stderr."""
    requests, events = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)

    def send(messages: list[dict[str, Any]]) -> None:
        data = memoryview(b"".join(map(wire.line, messages)))
        while data:
            data = data[os.write(events, data) :]

    return Inbox(requests), send


def _die_with_parent() -> None:
    """On Linux the kernel ends us with our parent, should the closed pipe not be noticed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
