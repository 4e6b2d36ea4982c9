"""Everything exitdrill raises on purpose, and the exit code that each ends in.

ExitdrillError
├── UsageError              2   the user's input: says what, where, and what to do
│   ├── ScenarioError           scenario.toml, the app, the swap, a checker
│   │   └── SwapFailed          the swap cannot be applied to the app
│   ├── WorkloadError           requests.jsonl or meta.jsonl, with file, line and key
│   ├── JournalError            a journal that is damaged, foreign, or of another plan
│   └── AdapterError            no such adapter, or what it needs is not installed
├── DrillStopped            4   the drill cannot go on; what was measured is kept
│   ├── BudgetSpent
│   ├── ServerFailed
│   └── StorageFailed
└── BackendError            –   one request was not answered; becomes a row in the journal
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

ErrorKind = Literal[
    "auth",
    "bad_parameter",
    "unsupported",
    "template",
    "context_overflow",
    "rate_limit",
    "overloaded",
    "timeout",
    "content_filter",
    "malformed_stream",
    "server",
    "unreachable",
    "rejected",
    "crashed",
    "cancelled",
    "flood",
    "left_behind",
]
"""What can go wrong with a request. ``rejected``: an edit that the scenario does not allow;
``crashed``: the process that computes for us, or the app, died or ran out of memory; ``cancelled``:
whoever asked did not wait for the whole answer; ``flood``: the app wrote too much;
``left_behind``: the app asked the incumbent, which it was to have left."""

ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
TRANSIENT: frozenset[ErrorKind] = frozenset(
    {"rate_limit", "overloaded", "timeout", "server", "unreachable", "malformed_stream"}
)
"""The kinds that are worth another attempt."""


class ExitdrillError(Exception):
    """The root of the tree."""


class UsageError(ExitdrillError):
    """Something that the user gave us is wrong.

    ``path``, ``line`` (from 1) and ``key`` say where, as far as that is known.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.key = key

    def __str__(self) -> str:
        place = "" if self.path is None else str(self.path)
        if self.line is not None:
            place = f"{place}:{self.line}" if place else f"line {self.line}"
        parts = [part for part in (place, self.key, self.message) if part]
        return ": ".join(parts)


class ScenarioError(UsageError):
    """The scenario cannot be used as it stands."""


class SwapFailed(ScenarioError):
    """The swap cannot be applied to the app."""


class WorkloadError(UsageError):
    """The workload cannot be used as it stands."""


class JournalError(UsageError):
    """The journal is damaged, is not one of ours, or belongs to another plan."""


class AdapterError(UsageError):
    """There is no such adapter, or a package that it needs is not installed."""


class DrillStopped(ExitdrillError):
    """The drill cannot be completed; what was measured so far is reported."""


class NoCandidateLeft(DrillStopped):
    """Every candidate broke off. Where each is not ready whatever else were asked, that is no
    reason to go on, and the drill has been completed."""


class BudgetSpent(DrillStopped):
    """The next call could exceed the budget, so it was not made."""


class ServerFailed(DrillStopped):
    """A server that the drill had to start did not become ready, or ended early."""


class StorageFailed(DrillStopped):
    """The journal could not be written (a full disk, say)."""


class BackendError(ExitdrillError):
    """A backend did not answer a request.

    ``kind`` is one of `ErrorKind`; ``status`` the HTTP status, where there was one;
    ``retry_after`` the seconds that the backend asked us to wait.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.status = status
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether another attempt may succeed."""
        return self.kind in TRANSIENT

    def __str__(self) -> str:
        status = "" if self.status is None else f" (HTTP {self.status})"
        return f"{self.kind}{status}: {self.message}"
