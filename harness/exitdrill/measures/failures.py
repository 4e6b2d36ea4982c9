"""Why trials of an arm failed, and calls of its app: the error that was met most often."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from exitdrill.gist import gist
from exitdrill.measures.base import TrialView
from exitdrill.records import Failure
from exitdrill.sentences import times

MOST_KINDS = 50
"""Errors that are told apart; a server that says another thing each time is not counted further."""
REPORTED = {"crashed", "server"}
"""The kinds of failure that an app itself reports: how it exited, or the status it answered."""


@dataclass
class Errors:
    """Errors by what they say, each with how often it was met."""

    counts: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict, repr=False)

    def see(self, text: str) -> None:
        """Count an error. Numbers and ids differ between two that are the same."""
        key = re.sub(r"\w*\d\w*", "#", text)
        if key in self.counts or len(self.counts) < MOST_KINDS:
            self.counts[key] = self.counts.get(key, 0) + 1
            self.said.setdefault(key, text)

    @property
    def first(self) -> str | None:
        """The most frequent one with its count: ``4 times: the app cannot be run: …``."""
        if not self.counts:
            return None
        key = max(self.counts, key=self.counts.__getitem__)
        return f"{times(self.counts[key])}: {self.said[key]}"


@dataclass
class CallErrors:
    """How many calls the app made to its arm's own backend, and why those failed that did.

    What went to another backend is `exitdrill.measures.calls.LeftBehind`'s.
    """

    made: int = 0
    failed: int = 0
    errors: Errors = field(default_factory=Errors)

    def see(self, view: TrialView) -> None:
        """Look at a trial."""
        for call in view.calls:
            if call.to != view.trial.arm:
                continue
            self.made += 1
            if call.exchange.failure is not None:
                self.failed += 1
                self.errors.see(in_words(call.exchange.failure))

    def report(self) -> dict[str, int | str | None]:
        """As the report has it."""
        return {"made": self.made, "failed": self.failed, "error": self.errors.first}


def reason(view: TrialView) -> str:
    """Why a trial failed; where the app itself reports it, also what its last call said, where
    that failed. Of an app that was ended the call may be a consequence, or beside the point."""
    failure = view.trial.exchange.failure
    assert failure is not None
    if not view.app:
        return in_words(failure)
    reported = view.calls and failure.kind in REPORTED
    last = view.calls[-1].exchange.failure if reported else None
    why = "" if last is None else f"; its last model call failed: {in_words(last)}"
    return gist(failure.message) + why


def in_words(failure: Failure) -> str:
    """An error of a backend: its kind, its status where it had one, and what it says."""
    kind = failure.kind.replace("_", " ")
    head = kind if failure.status is None else f"{kind} ({failure.status})"
    said = gist(failure.message)
    return f"{head}: {said}" if said else head
