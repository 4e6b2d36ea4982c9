"""Tokens per request: as reported, and beside it as each backend's own tokenizer counts them.

Tokenizers differ, so these compare bills, not texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from exitdrill.measures.base import ArmFacts, Array, Column, Measure, Pair, Row, case_means
from exitdrill.measures.usage import (
    counted_input_tokens,
    counted_output_tokens,
    input_tokens,
    output_tokens,
    usage_reported,
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

    def row(self, column: str, nothing: str) -> Callable[[Pair], Row]:
        """A row of the mean over the cases that have the count on both arms."""

        def row(pair: Pair) -> Row:
            left, right = (case_means(arm.columns[column]) for arm in _arms(pair).values())
            both = ~np.isnan(left) & ~np.isnan(right)
            n = int(both.sum())
            notes = [
                f"{who}: {note}"
                for who, arm in _arms(pair).items()
                for note in self.of(arm, column)
            ]
            if n == 0:
                return _one_sided(left, right, nothing, notes)
            left, right = left[both], right[both]
            return Row(
                incumbent=float(left.mean()),
                candidate=float(right.mean()),
                estimate=float((right - left).mean()),
                interval=mean_interval(right - left, pair.confidence) if n > 1 else None,
                n=n,
                note="; ".join([_HOW if column == self.used else self.method, *notes]),
            )

        return row

    def of(self, arm: ArmFacts, column: str) -> Iterator[str]:
        """Where an arm's count comes from, and whether it is what its own tokenizer says."""
        source = arm.columns["usage_reported"]
        n, reported = int((~np.isnan(source)).sum()), int(np.nansum(source))
        if n and column == self.used:
            rest = "" if reported == n else ", the others counted by its own tokenizer"
            yield f"reported by the backend for {reported:,} of {n:,}{rest}"
        used, counted = arm.columns[self.used], arm.columns[self.counted]
        compared = (source == 1) & ~np.isnan(counted)
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


def _arms(pair: Pair) -> dict[str, ArmFacts]:
    return {"incumbent": pair.incumbent, "candidate": pair.candidate}


def _one_sided(left: Array, right: Array, nothing: str, notes: list[str]) -> Row:
    ours, theirs = (each[~np.isnan(each)] for each in (left, right))
    if not len(ours) and not len(theirs):
        return Row(note=f"not measured: {nothing}")
    incumbent, candidate = (float(each.mean()) if len(each) else None for each in (ours, theirs))
    head = "no case has a count on both arms"
    if candidate is None:
        head = "not measured: the candidate has no count"
    return Row(incumbent, candidate, n=len(ours) + len(theirs), note="; ".join([head, *notes]))


def _measure(name: str, label: str, column: Column, side: _Side, nothing: str) -> Measure:
    return Measure(
        name,
        label,
        "tokens",
        "cost",
        "lower",
        side.row(name, nothing),
        column,
        needs={**_COLUMNS, "usage_reported": usage_reported},
    )


_COLUMNS = {
    "input_tokens": input_tokens,
    "output_tokens": output_tokens,
    "counted_input_tokens": counted_input_tokens,
    "counted_output_tokens": counted_output_tokens,
}
_HOW = "each as its own backend counts"
_INPUT = _Side(
    "input_tokens",
    "counted_input_tokens",
    "a chat template's own tokens are",
    "what a chat template adds is counted only where the model is in process",
)
_OUTPUT = _Side(
    "output_tokens",
    "counted_output_tokens",
    "hidden reasoning and end marks are",
    "what was seen to arrive, without end marks",
)
_NO_USAGE = "no usage was reported"
_NO_COUNT = "no backend counted with a tokenizer of its own"

MEASURES = (
    _measure("input_tokens", "input tokens per request", input_tokens, _INPUT, _NO_USAGE),
    _measure("output_tokens", "output tokens per request", output_tokens, _OUTPUT, _NO_USAGE),
    _measure(
        "counted_input_tokens",
        "input tokens per request, by the backend's own tokenizer",
        counted_input_tokens,
        _INPUT,
        _NO_COUNT,
    ),
    _measure(
        "counted_output_tokens",
        "output tokens per request, by the backend's own tokenizer",
        counted_output_tokens,
        _OUTPUT,
        _NO_COUNT,
    ),
)
