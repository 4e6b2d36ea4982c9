"""The model calls of an app that was run: how many it made, and how many of them failed.

Beside what the app answered, this is what changed on the wire. Of a drill that replays recorded
requests there is nothing of the kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exitdrill.measures.base import NAN, Array, Measure, Pair, Row, TrialView, case_means
from exitdrill.measures.intervals import Labels, mean_between
from exitdrill.measures.shares import NOTHING, flips, share_row
from exitdrill.records import AppCall
from exitdrill.sentences import count_of
from exitdrill.stats import Interval, TooFewSamples

LONGEST_QUOTE = 80
"""Characters of what a call said that are quoted."""
LONGEST_REASON = 240
LACKS = ("rejected", "unsupported")
"""The kinds of errors that say that a backend cannot take what it is asked."""


def model_calls(view: TrialView) -> float:
    """How many calls the app made until it answered; NaN where it did not."""
    return NAN if view.failed or not view.app else float(len(view.calls))


def answered_calls(view: TrialView) -> float:
    """How many of its calls its arm's backend answered; NaN where the app did not answer."""
    if math.isnan(model_calls(view)):
        return NAN
    own = (call for call in view.calls if call.to == view.trial.arm)
    return float(sum(call.exchange.failure is None for call in own))


def failed_calls(view: TrialView) -> float:
    """The share of its calls that failed; NaN where it made none."""
    if not view.calls:
        return NAN
    failed = sum(call.exchange.failure is not None for call in view.calls)
    return failed / len(view.calls)


def call_seconds(view: TrialView) -> float:
    """The seconds that its calls took together, be it at once; NaN where it did not answer."""
    if view.failed or not view.app:
        return NAN
    exchanges = [call.exchange for call in view.calls]
    return sum(each.attempts[-1].ended_ns for each in exchanges if each.attempts) / 1e9


def _mean_row(column: str, note: str) -> Callable[[Pair], Row]:
    """A row of the mean over the cases that have a value on both arms."""

    def row(pair: Pair) -> Row:
        arms = (pair.incumbent, pair.candidate)
        left, right = (case_means(arm.columns[column]) for arm in arms)
        both = ~np.isnan(left) & ~np.isnan(right)
        if not both.any():
            return NOTHING
        labels, left, right = pair.labels(both), left[both], right[both]
        return Row(
            incumbent=float(left.mean()),
            candidate=float(right.mean()),
            estimate=float((right - left).mean()),
            interval=_interval(right - left, labels, pair.confidence),
            own=_interval(right, labels, pair.confidence),
            n=len(left),
            noise=flips(pair.incumbent.columns[column]),
            note=note,
        )

    return row


def _interval(values: Array, labels: Labels, confidence: float) -> Interval | None:
    """Student's interval; None where there are too few cases, or clusters."""
    with suppress(TooFewSamples):
        return mean_between(values, labels, confidence)[0] if len(values) > 1 else None
    return None


@dataclass
class LeftBehind:
    """The calls of a candidate's app that still went to the incumbent, and in how many trials."""

    trials: int = 0
    calls: int = 0
    first: AppCall | None = field(default=None, repr=False)

    def see(self, view: TrialView) -> None:
        """Look at a trial."""
        found = [call for call in view.calls if call.to != view.trial.arm]
        self.calls += len(found)
        self.trials += bool(found)
        self.first = self.first or next(iter(found), None)

    def sentence(self, trials: int, strays: int = 0) -> str | None:
        """What is to be said of it, of so many trials, and of ``strays`` in none of them; None
        where nothing was left behind."""
        beside = f"{count_of(strays, 'call')} after an answer, or of no trial" if strays else ""
        if self.first is None:
            return f"a call still goes to the incumbent: {beside}" if strays else None
        verb = "calls" if self.trials == 1 else "call"
        return (
            f"a call still goes to the incumbent: {self.trials:,} of {count_of(trials, 'trial')} "
            f"still {verb} {self.first.to}, first {described(self.first)}"
            f"{'; and ' if strays else ''}{beside}"
        )


@dataclass
class Lacking:
    """What an arm's backend cannot take as it is: the first reason that it gave."""

    first: str | None = None

    def see(self, view: TrialView) -> None:
        """Look at a trial."""
        exchanges = [view.trial.exchange, *(call.exchange for call in view.calls)]
        failures = [each.failure for each in exchanges if each.failure is not None]
        said = [each.message for each in failures if each.kind in LACKS]
        self.first = self.first or next(iter(said), None)

    def sentence(self) -> str:
        """What is to be said of it, after what it keeps from going; empty where nothing is."""
        return "" if self.first is None else f"; the first for {_visible(self.first)}"


def described(call: AppCall) -> str:
    """A call in words: where to, for which model, and how its last message begins."""
    body = {} if call.request is None else call.request.body
    model = f" for the model {_quoted(body.get('model'))}" if body.get("model") else ""
    said = _last_said(body)
    return f"{_quoted(call.path)[1:-1]}{model}" + (f": {_quoted(said)}" if said else "")


def _last_said(body: Mapping[str, Any]) -> str:
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else body
    for name in ("content", "prompt", "input"):
        if isinstance(last, Mapping) and last.get(name):
            return str(last[name])
    return ""


def _visible(text: str) -> str:
    """A reason as it is, short, and nothing in it but what can be seen."""
    seen = "".join(sign if sign.isprintable() else " " for sign in text)
    return seen if len(seen) <= LONGEST_REASON else seen[:LONGEST_REASON] + "…"


def _quoted(value: object) -> str:
    """A stranger's text: short, and nothing in it but what can be seen."""
    text = str(value)
    return repr(text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…")


MEASURES = (
    Measure(
        "model_calls",
        "model calls of the app per case",
        "calls",
        "drift",
        "lower",
        _mean_row("model_calls", "in trials that the app answered, its own retries included"),
        model_calls,
        needs={"answered_calls": answered_calls},
        of_app=True,
    ),
    Measure(
        "call_seconds",
        "time in model calls per case",
        "s",
        "latency",
        "lower",
        _mean_row("call_seconds", "in trials that the app answered; total time holds its own too"),
        call_seconds,
        of_app=True,
    ),
    Measure(
        "failed_calls",
        "model calls of the app that failed",
        "share",
        "drift",
        "lower",
        share_row("failed_calls", note="of the calls of each case", graded=True),
        failed_calls,
        things="model calls that failed",
        of_app=True,
        graded=True,
    ),
)
