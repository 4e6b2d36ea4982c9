"""Tokens per request: as reported, and beside it as each backend's own tokenizer counts them.

Tokenizers differ, so these compare bills, not texts. They are of answers: an error has none. An arm
that counted some of its answers only has no mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from exitdrill.measures.base import ArmFacts, Array, Column, Measure, Pair, Row, case_means
from exitdrill.measures.usage import (
    came_from_a_cache,
    counted_input_tokens,
    counted_output_tokens,
    input_tokens,
    output_tokens,
    replays,
)
from exitdrill.sentences import level
from exitdrill.stats import mean_interval

SAME = 0.1
"""How far a reported count may be from the own one, as a share, without a word about it."""


@dataclass(frozen=True)
class _Side:
    """What is counted, input or output, with the columns of both counts."""

    used: str
    counted: str
    uncounted: str
    method: str

    def row(self, column: str) -> Callable[[Pair], Row]:
        """A row of the mean over the cases that have the count on both arms."""

        def row(pair: Pair) -> Row:
            arms = {"incumbent": pair.incumbent, "candidate": pair.candidate}
            missing = {who: why for who, arm in arms.items() if (why := _missing(arm, column))}
            left, right = (
                np.full(len(arm.columns[column]), np.nan)
                if who in missing
                else case_means(arm.columns[column])
                for who, arm in arms.items()
            )
            both = ~np.isnan(left) & ~np.isnan(right)
            notes = [f"{who}: {note}" for who, arm in arms.items() for note in self.of(arm)]
            if not both.any():
                return _one_sided(left, right, missing, notes)
            left, right = left[both], right[both]
            return Row(
                incumbent=float(left.mean()),
                candidate=float(right.mean()),
                estimate=float((right - left).mean()),
                interval=mean_interval(right - left, pair.confidence) if len(left) > 1 else None,
                n=len(left),
                note="; ".join([_HOW if column == self.used else self.method, *notes]),
            )

        return row

    def of(self, arm: ArmFacts) -> Iterator[str]:
        """How far what an arm reports is from what its own tokenizer says."""
        used, counted = arm.columns[self.used], arm.columns[self.counted]
        compared = ~np.isnan(used) & ~np.isnan(counted)
        if compared.any():
            yield from self._differs(float(used[compared].sum()), float(counted[compared].sum()))

    def _differs(self, reported: float, counted: float) -> Iterator[str]:
        if abs(reported - counted) <= SAME * counted:
            return
        if not counted:
            yield "it reports tokens where its own tokenizer counts none"
            return
        times = level("times", reported / counted)
        yield f"it reports {times} what its own tokenizer counts ({self.uncounted} not in that)"


def _missing(arm: ArmFacts, column: str) -> str | None:
    """Why an arm has no mean, or None: what answers without a count used may be the most."""
    counts = arm.columns[column][arm.columns["answered"] == 1]
    without = int(np.isnan(counts).sum())
    what = "a count by its own tokenizer" if column.startswith("counted") else "a reported usage"
    if not len(counts):
        return "there was no answer"
    if without and arm.runs_app and replays(arm):
        return came_from_a_cache(arm)
    return f"{without:,} of {len(counts):,} answers came without {what}" if without else None


def _one_sided(left: Array, right: Array, missing: Mapping[str, str], notes: list[str]) -> Row:
    ours, theirs = (each[~np.isnan(each)] for each in (left, right))
    incumbent, candidate = (float(each.mean()) if len(each) else None for each in (ours, theirs))
    head = "not measured" if candidate is None else "no case has a count on both arms"
    why = "; ".join(map(": ".join, missing.items()))
    note = "; ".join([f"{head}: {why}" if why else head, *notes])
    return Row(incumbent, candidate, n=len(ours) + len(theirs), note=note)


def _measure(name: str, label: str, column: Column, side: _Side) -> Measure:
    return Measure(
        name,
        label,
        "tokens",
        "cost",
        "lower",
        side.row(name),
        column,
        needs=_COLUMNS,
    )


_COLUMNS = {
    "input_tokens": input_tokens,
    "output_tokens": output_tokens,
    "counted_input_tokens": counted_input_tokens,
    "counted_output_tokens": counted_output_tokens,
}
_HOW = "as reported by each backend"
_INPUT = _Side(
    "input_tokens",
    "counted_input_tokens",
    "a chat template's own tokens are",
    "what a chat template and tools add is counted only where the model is in process",
)
_OUTPUT = _Side(
    "output_tokens",
    "counted_output_tokens",
    "hidden reasoning and end marks are",
    "what was seen to arrive, without end marks",
)

MEASURES = (
    _measure("input_tokens", "input tokens per request", input_tokens, _INPUT),
    _measure("output_tokens", "output tokens per request", output_tokens, _OUTPUT),
    _measure(
        "counted_input_tokens",
        "input tokens per request, by the backend's own tokenizer",
        counted_input_tokens,
        _INPUT,
    ),
    _measure(
        "counted_output_tokens",
        "output tokens per request, by the backend's own tokenizer",
        counted_output_tokens,
        _OUTPUT,
    ),
)
