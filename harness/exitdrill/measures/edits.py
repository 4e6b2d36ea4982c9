"""Edits: what adapters had to do to the requests so that each backend would take them.

A request that is asked several times is edited alike each time: the most edits of any repeat count,
and are summed over the cases. An edit that leads to a rejection counts too, as it would be needed.
"""

from __future__ import annotations

import numpy as np

from exitdrill.measures.base import ArmFacts, Array, Measure, Pair, Row, TrialView

_HOW = "edits to the requests of all cases, each case once"


def edits(view: TrialView) -> float:
    """The edits to one request, or to those that an app made for one case."""
    exchanges = [view.trial.exchange, *(call.exchange for call in view.calls)]
    return float(sum(len(each.edits) for each in exchanges))


def _row(pair: Pair) -> Row:
    incumbent, candidate = _most(pair.incumbent), _most(pair.candidate)
    if not len(candidate):
        return Row(note="not measured: no request was made")
    ours, theirs = float(candidate.sum()), float(incumbent.sum())
    if not len(incumbent):
        return Row(candidate=ours, n=len(candidate), note=_HOW)
    return Row(theirs, ours, ours - theirs, n=len(candidate), note=_HOW)


def _most(arm: ArmFacts) -> Array:
    """The edits of each case that was asked: the most of its repeats."""
    column = arm.columns["edits"]
    asked = np.any(~np.isnan(column), axis=1)
    most: Array = np.nanmax(column[asked], axis=1)
    return most


MEASURES = (
    Measure("edits", "edits to requests", "edits", "change", "lower", _row, edits, things="edits"),
)
