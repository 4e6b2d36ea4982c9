"""Progress of a drill: a live table on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Protocol, cast

from exitdrill.records import Spend
from exitdrill.sentences import count_of

SECONDS_BETWEEN_LINES = 10.0
Counts = Mapping[str, int]


class Watcher(Protocol):
    """Who is told how a drill goes."""

    def begin(
        self, totals: Mapping[str, int], done: Mapping[str, int], currency: str | None
    ) -> None:
        """The replay begins: trials per arm, and how many an earlier run completed."""

    def done(self, arm: str, failed: bool, spent: Spend) -> None:
        """A trial was completed."""

    def note(self, text: str) -> None:
        """Something worth a line happened."""

    def known(self, failed: Mapping[str, int], spent: Spend) -> None:
        """What the journal holds, told after the beginning and before the end: how many trials of
        each arm failed, and what all calls used up, those that belong to no trial included."""

    def end(self) -> None:
        """The replay is over."""


class Silent:
    """Watches nothing."""

    def begin(
        self, totals: Mapping[str, int], done: Mapping[str, int], currency: str | None
    ) -> None:
        pass

    def done(self, arm: str, failed: bool, spent: Spend) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def known(self, failed: Mapping[str, int], spent: Spend) -> None:
        pass

    def end(self) -> None:
        pass


@dataclass
class _Arm:
    total: int
    done: int = 0
    failed: int = 0
    this_run: int = 0

    def rate(self, seconds: float) -> float:
        """Trials per second of this run, waiting for the other arms included."""
        return self.this_run / seconds if seconds > 0 else 0.0


class _Unfailing:
    """A stream that goes quiet where it cannot be written: nobody reads, or the disk is full.

    Progress that nobody sees must not end a drill.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._works = True

    def write(self, text: str) -> int:
        """Write, if that still works."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, if that still works."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Callable[[], object]) -> None:
        if not self._works:
            return
        try:
            action()
        except OSError:
            self._works = False


class Terminal:
    """Progress on a stream: redrawn in place on a terminal, a line now and then elsewhere."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        from rich.console import Console

        # Structurally a text stream, as far as rich looks.
        file = cast("IO[str]", _Unfailing(stream or sys.stderr))
        self._console = Console(file=file, highlight=False, soft_wrap=True, emoji=False)
        self._arms: dict[str, _Arm] = {}
        self._spent = Spend()
        self._currency: str | None = None
        self._began = self._last_line = time.monotonic()
        self._live: Any = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def begin(
        self, totals: Mapping[str, int], done: Mapping[str, int], currency: str | None
    ) -> None:
        self._arms = {arm: _Arm(total, done.get(arm, 0)) for arm, total in totals.items()}
        self._currency = currency
        self._began = self._last_line = time.monotonic()
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(
                console=self._console,
                get_renderable=self._table,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()

    def done(self, arm: str, failed: bool, spent: Spend) -> None:
        state = self._arms[arm]
        state.done += 1
        state.this_run += 1
        state.failed += failed
        self._spent = spent
        now = time.monotonic()
        if self._live is None and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._console.print(self._line(), markup=False)

    def note(self, text: str) -> None:
        # It may quote a server; what is not printable could steer the terminal.
        shown = "".join(char if char.isprintable() else "�" for char in text)
        self._console.print(shown, markup=False)

    def known(self, failed: Mapping[str, int], spent: Spend) -> None:
        for name, arm in self._arms.items():
            arm.failed = failed.get(name, arm.failed)
        self._spent = spent

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._arms:
            self._console.print(f"{self._trials()}; {self._spend()}", markup=False)
            self._arms = {}

    def _left(self) -> str:
        seconds = time.monotonic() - self._began
        done = sum(arm.this_run for arm in self._arms.values())
        left = sum(arm.total - arm.done for arm in self._arms.values())
        return f"{left * seconds / done:.0f} s left" if done else "…"

    def _spend(self) -> str:
        money = f", {self._spent.money:.4f} {self._currency}" if self._currency else ""
        calls, tokens = self._spent.calls, self._spent.tokens
        return f"{count_of(calls, 'call')}, {count_of(tokens, 'token')}{money}"

    def _line(self) -> str:
        return f"{self._trials()}; {self._spend()}; {self._left()}"

    def _trials(self) -> str:
        return ", ".join(
            f"{name} {arm.done}/{arm.total}" + (f" ({arm.failed} failed)" if arm.failed else "")
            for name, arm in self._arms.items()
        )

    def _table(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        seconds = time.monotonic() - self._began
        table = Table(box=None, pad_edge=False, caption=f"{self._spend()}; {self._left()}")
        for head in ("arm", "", "trials", "per second", "failed"):
            table.add_column(head, justify="left" if head in {"arm", ""} else "right")
        for name, arm in self._arms.items():
            table.add_row(
                Text(name),
                ProgressBar(total=max(arm.total, 1), completed=arm.done, width=30),
                f"{arm.done}/{arm.total}",
                f"{arm.rate(seconds):.1f}",
                str(arm.failed),
            )
        return table
