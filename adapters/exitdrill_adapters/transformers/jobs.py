"""What arrives in the child: a thread reads the pipe, the computing thread takes from a queue."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from exitdrill_adapters.transformers import wire

_PATIENCE = 5.0
"""Seconds that an orderly end may take once the pipe is closed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request, and when it came (on this process's own clock)."""

    id: int
    received: int
    body: Mapping[str, Any]


class Inbox:
    """The requests that wait. None in the queue is the end.

    The reader ends the process when the pipe closes without a goodbye, even in the middle of a
    generation: a child must not outlive its parent.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._cancelled: set[int] = set()
        self.queue: queue.Queue[Any] = queue.Queue()
        self.settings: queue.Queue[Mapping[str, Any]] = queue.Queue()
        self.closing = threading.Event()

    def listen(self) -> None:
        """Start to read."""
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def dropped(self, job: Job) -> bool:
        """Whether nobody waits for this job any more."""
        return job.id in self._cancelled or self.closing.is_set()

    def forget(self, job: Job) -> None:
        """This job is over; a late cancellation of it says nothing."""
        self._cancelled.discard(job.id)

    def _read(self) -> None:
        lines = wire.Lines()
        try:
            while chunk := os.read(self._descriptor, 1 << 16):
                received = perf_counter_ns()
                for message in lines.feed(chunk):
                    self._handle(message, received)
        finally:
            self._leave()

    def _handle(self, message: Mapping[str, Any], received: int) -> None:
        match message["op"]:
            case "load":
                self.settings.put(message)
            case "request":
                self.queue.put(Job(message["id"], received, message["body"]))
            case "cancel":
                self._cancelled.add(message["id"])
            case "close":
                self.closing.set()
                self.queue.put(None)

    def _leave(self) -> None:
        if self.closing.is_set():
            time.sleep(_PATIENCE)
        os._exit(1)


Send = Callable[[list[dict[str, Any]]], None]
"""Writes messages to the parent, all at once."""
