"""How an answer ends and what it is like: cut off, refused, empty, long.

An error is no answer: it has none of these, and is counted elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from exitdrill.backend import Event, Opaque, Reply
from exitdrill.measures.answers import Answer, Json, strings_of
from exitdrill.measures.base import (
    NAN,
    Array,
    Column,
    Measure,
    Pair,
    Row,
    TrialView,
    case_means,
)
from exitdrill.measures.intervals import Labels, mean_between, mean_gap, widened, worth
from exitdrill.measures.refusal import refused
from exitdrill.measures.shares import NOTHING, flips, share_row
from exitdrill.stats import Interval, TooFewSamples


def is_empty(reply: Reply) -> bool:
    """Whether an answer has neither text, nor tool calls, nor vectors."""
    return not (reply.tool_calls or reply.vectors or reply.text.strip())


def is_cut_off(reply: Reply) -> bool:
    """Whether an answer ended at the limit of its length."""
    return reply.finish == "length"


def is_refusal(reply: Reply, said: Answer, events: Iterable[Event] = ()) -> bool:
    """Whether an answer is a refusal, by the vendor's own word or by how it begins.

    The vendor's own message of refusal stands in ``events`` only.
    """
    if reply.finish == "content_filter" or reply.finish_raw == "refusal":
        return True
    if reply.tool_calls:
        return False
    if not reply.text:
        return any(isinstance(each, Opaque) and bool(each.data.get("refusal")) for each in events)
    return refused(reply.text) if said.json is None else _all_refused(said.json)


def _all_refused(json: Json) -> bool:
    """Whether whatever an answer in JSON says is a refusal."""
    texts = [*filter(str.strip, strings_of(json.value))]
    return bool(texts) and all(map(refused, texts))


def _refusal(view: TrialView) -> float:
    if view.failed:
        return NAN
    return float(is_refusal(view.reply, view.said, view.trial.exchange.events))


def _cut_off(view: TrialView) -> float:
    return NAN if view.failed or view.reply.vectors else float(is_cut_off(view.reply))


def _empty(view: TrialView) -> float:
    return NAN if view.failed else float(is_empty(view.reply))


def _characters(view: TrialView) -> float:
    """Characters of the text; NaN where there is none."""
    return NAN if view.failed or not view.reply.text else len(view.reply.text)


def length_row(pair: Pair) -> Row:
    """Mean characters per answer, over the cases that both arms answered in words."""
    left, right = (case_means(arm.columns["length"]) for arm in (pair.incumbent, pair.candidate))
    both = ~np.isnan(left) & ~np.isnan(right)
    n = int(both.sum())
    if n == 0:
        return NOTHING
    left, right, labels = left[both], right[both], pair.labels(both)
    typical = float(np.mean([left.mean(), right.mean()]))
    interval, method = _gap(pair, left, right, labels, typical)
    return Row(
        incumbent=float(left.mean()),
        candidate=float(right.mean()),
        estimate=float((right - left).mean()),
        interval=interval,
        own=_student(right, typical, pair, labels),
        n=n,
        noise=flips(pair.incumbent.columns["length"]),
        note=f"mean over cases, {method}",
    )


def _gap(
    pair: Pair, left: Array, right: Array, labels: Labels, typical: float
) -> tuple[Interval | None, str]:
    """The interval of the difference; no narrower than if some of the cases, of which none was
    seen, differed by all of a ``typical`` answer: where hardly any differs, it would be empty."""
    if pair.bound is None or not pair.two_arms:
        return _student(right - left, typical, pair, labels), "Student's interval"
    if len(right) < 2:
        return None, "no interval: one case says nothing of how they vary"
    return mean_gap(pair, left, right, labels, typical)


def _student(values: Array, typical: float, pair: Pair, labels: Labels) -> Interval | None:
    """Student's interval of a mean, with the same least width."""
    try:
        interval, _ = mean_between(values, labels, pair.confidence)
    except TooFewSamples:
        return None
    size = worth(np.ones(len(values)), labels)
    return widened(interval, float(values.mean()), size, pair.confidence, typical)


def _share(name: str, label: str, column: Column, note: str) -> Measure:
    row = share_row(name, note=note)
    return Measure(name, label, "share", "drift", "lower", row, column, things=label, strict=True)


MEASURES = (
    _share(
        "refused",
        "refusals",
        _refusal,
        "a heuristic: the vendor's word, or an opening phrase in one of ten languages; in JSON, "
        "where every text in it is one",
    ),
    _share("truncated", "answers cut off", _cut_off, "those whose finish reason is length"),
    _share("empty", "empty answers", _empty, "no text, no tool call, no vector"),
    Measure(
        "length",
        "length of an answer",
        "characters",
        "drift",
        "lower",
        length_row,
        _characters,
        strict=True,
    ),
)
