"""Excess drift: how much more often two arms say something else than each of them does by itself.

The energy distance of the answers to a case, with 0 for the same content and 1 for another one. Of
arms that answer alike, 0 is expected, however noisy they are.

What failed is like no answer, and is no noise: it counts as different from the incumbent's answer,
but that an arm fails now and then must not count as noise of its own, which would be taken off. A
candidate that failed and has no two answers to a case has no noise there at all. Where the
incumbent has no two answers, the case is left out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from exitdrill.measures.agreement import same_content
from exitdrill.measures.answers import answer_of
from exitdrill.measures.base import NAN, Array, Measure, Pair, Row, TrialView, case_means
from exitdrill.measures.form import same_answer
from exitdrill.measures.shares import NOTHING
from exitdrill.stats import TooFewSamples, energy_excess

BETWEEN, WITHIN = "same_content", "same_as_itself"
FORMULA = (
    "twice the share of answers whose content differs from the incumbent's, less the share that "
    "differs between repeats of the incumbent, less that between repeats of the candidate (energy "
    "distance); of arms that answer alike 0 is expected, and chance may leave less"
)

NEVER = (
    "it is a difference of differences, each of them between few repeats, and what an interval of "
    "it says at a limit is too often wrong; a gate on same_content is held against the "
    "incumbent's own noise too"
)


def same_as_itself(view: TrialView) -> float:
    """1 where the arm's next answer to the same case says the same, whatever its form; else 0.

    NaN where either of the two failed: what fails is no noise.
    """
    if view.failed or view.sibling is None:
        return NAN
    same = view.sibling.text == view.reply.text
    other = view.said if same else answer_of(view.sibling.text)
    return float(same_answer(view.sibling, view.reply, (other, view.said)))


def excess_row(pair: Pair) -> Row:
    """Each arm's own noise, and the excess beyond both, whose interval is also the row's ``own``.

    ``noise`` is None: the incumbent's is taken off already.
    """
    distances = _distances(pair)
    cases = np.all(~np.isnan(distances), axis=0)
    if not cases.any():
        return NOTHING
    between, ours, theirs = distances[:, cases]
    row = Row(
        incumbent=float(ours.mean()),
        candidate=float(theirs.mean()),
        estimate=float((2 * between - ours - theirs).mean()),
        n=len(between),
    )
    try:
        _, interval = energy_excess(between, ours, theirs, pair.confidence, pair.labels(cases))
    except TooFewSamples:
        few = "no interval: one case, or one cluster of cases, says nothing of how they vary"
        return replace(row, note=f"{few}; {FORMULA}")
    said = "Student's interval" + ("" if pair.looks is None else ", as of a single look")
    return replace(row, interval=interval, own=interval, note=f"{FORMULA}; {said}")


def _distances(pair: Pair) -> Array:
    """The mean distances of each case: between the arms, of the incumbent, of the candidate."""
    ours, theirs = pair.incumbent.columns, pair.candidate.columns
    noise = 1 - case_means(theirs[WITHIN])
    failed = (theirs["answered"] == 0).any(axis=1)
    noise[failed & np.isnan(noise)] = 0
    return np.stack([1 - case_means(theirs[BETWEEN]), 1 - case_means(ours[WITHIN]), noise])


MEASURES = (
    Measure(
        "excess_drift",
        "content that differs beyond both arms' own noise",
        "share",
        "drift",
        "lower",
        excess_row,
        same_content,
        column_name=BETWEEN,
        things="drift beyond both arms' own noise",
        strict=True,
        needs={WITHIN: same_as_itself},
        never=NEVER,
    ),
)
