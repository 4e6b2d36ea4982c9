"""What a judge prefers, where both answers are free text: the candidate's, or the incumbent's.

The unit is the case: the first answer of each. Only what both orders of a pair agree on is a win or
a loss; a tie is half of each. Against itself the incumbent is judged by its first two answers.
"""

from __future__ import annotations

import numpy as np

from exitdrill.judge.question import VALUES
from exitdrill.measures.base import NAN, Array, Measure, Pair, Row, TrialView, case_means
from exitdrill.measures.intervals import Shares, difference, own, standard_error

PREFERENCE, SELF = "judge_preference", "judge_self"
PROBLEM = "judge"
"""Under which name an arm's problems hold why its judge was no judge."""
NOBODY = "no case was answered in free text by both, or there is no judge"


def judge_preference(view: TrialView) -> float:
    """1 where the candidate's answer is preferred, 0.5 for a tie, 0 where the incumbent's is.

    NaN where nobody was to judge, or the judge could not be understood; an error is a loss. The
    incumbent itself has 0.5 where a candidate can be judged.
    """
    return _value(view) if view.trial.repeat == 0 else NAN


def judge_self(view: TrialView) -> float:
    """The same of the incumbent's second answer beside its first: A/A."""
    return _value(view) if view.trial.repeat == 1 else NAN


def _value(view: TrialView) -> float:
    return NAN if view.judgement is None else VALUES[view.judgement]


def preference_row(pair: Pair) -> Row:
    """The candidate's share, the incumbent's rest; their difference is what was won less lost."""
    values = case_means(pair.candidate.columns[PREFERENCE if pair.two_arms else SELF])
    known = ~np.isnan(values)
    if not known.any():
        return Row(note=f"not measured: {pair.candidate.problems.get(PROBLEM, NOBODY)}")
    theirs = values[known]
    won, lost = (theirs == 1).astype(float), (theirs == 0).astype(float)
    shares = Shares(1 - theirs, theirs, won, lost, 2 * theirs - 1, pair.labels(known))
    interval, method = difference(pair, shares, graded=False)
    n, wins, losses = len(theirs), int(won.sum()), int(lost.sum())
    return Row(
        incumbent=float(1 - theirs.mean()),
        candidate=float(theirs.mean()),
        estimate=(wins - losses) / n,
        interval=interval,
        own=own(pair, theirs, shares.labels),
        n=n,
        noise=_own_noise(pair.incumbent.columns[SELF]),
        note=f"{method}; of {n} cases {losses} lost, {wins} won, the rest are ties",
        error=standard_error(pair, shares),
        differing=shares.differing,
    )


def _own_noise(column: Array) -> float | None:
    """How often one of two answers of the incumbent's own is preferred to the other."""
    values = column[~np.isnan(column)]
    return float(np.abs(2 * values - 1).mean()) if len(values) else None


MEASURES = (
    Measure(
        PREFERENCE,
        "preferred by the judge",
        "share",
        "drift",
        "higher",
        preference_row,
        judge_preference,
        things="preferred answers",
        strict=True,
        needs={SELF: judge_self},
        rival=True,
    ),
)
