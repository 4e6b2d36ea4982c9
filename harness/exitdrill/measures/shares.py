"""Rows of shares: how many cases have a property, or how much of it, on both arms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from exitdrill.measures.base import Array, Pair, Row, case_means
from exitdrill.measures.intervals import Shares, difference, own, standard_error

Noise = Callable[[Array], float | None]

NOTHING = Row(note="not measured: no case could be judged on both arms")


def share_row(
    column: str, noise: Noise | None = None, note: str | None = None, *, graded: bool = False
) -> Callable[[Pair], Row]:
    """A row of a column between 0 and 1 per trial; ``note`` says more.

    The unit is the case, or the cluster of cases: what its repeats gained and lost, each with each,
    is averaged into the discordant counts. An average varies less than the 0 and 1 that Tango
    counts with, so the interval is conservative there, and never empty where no difference was
    seen. ``graded`` values may be any between 0 and 1: a gate on them is one on a mean.
    """

    def row(pair: Pair) -> Row:
        shares = _itself(pair, column) if _is_reference(pair, noise) else _shares(pair, column)
        n = shares.n
        if n == 0:
            return NOTHING if note is None else Row(note=f"{NOTHING.note}; {note}")
        gained, lost = float(shares.gained.sum()), float(shares.lost.sum())
        interval, method = difference(pair, shares, graded=graded)
        said = f"{method}; of {n} cases {lost:.4g} lost, {gained:.4g} gained"
        return Row(
            incumbent=float(shares.ours.mean()),
            candidate=float(shares.theirs.mean()),
            estimate=(gained - lost) / n,
            interval=interval,
            own=own(pair, shares.theirs, shares.labels),
            n=n,
            noise=(noise or flips)(pair.incumbent.columns[column]),
            note="; ".join([*([note] if note else []), said]),
            error=standard_error(pair, shares),
            differing=shares.differing,
        )

    return row


def flips(column: Array) -> float | None:
    """The mean difference between repeats of the same case on the same arm, each and the next."""
    if column.shape[1] < 2:
        return None
    return _mean(np.abs(column - np.roll(column, 1, axis=1)))


def disagreement(column: Array) -> float | None:
    """How far the incumbent is from agreeing with itself: 1 less the mean."""
    return _mean(1 - column)


_EMPTY = np.empty(0)
NONE = Shares(_EMPTY, _EMPTY, _EMPTY, _EMPTY, _EMPTY, None)


def _is_reference(pair: Pair, noise: Noise | None) -> bool:
    """Whether what is compared is how far the incumbent agrees with itself, with itself."""
    return noise is disagreement and not pair.two_arms


def _itself(pair: Pair, column: str) -> Shares:
    """The incumbent's agreement with itself, of all repeats: each says the same of two of them."""
    halves = [arm.columns[column] for arm in (pair.incumbent, pair.candidate)]
    values = case_means(np.concatenate(halves, axis=1))
    known = ~np.isnan(values)
    return Shares.itself(values[known], pair.labels(known)) if known.any() else NONE


def _mean(values: Array) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _shares(pair: Pair, column: str) -> Shares:
    """Both arms' values, for the cases that were measured on both."""
    left, right = pair.incumbent.columns[column], pair.candidate.columns[column]
    cases = ~np.any([np.isnan(each).all(axis=1) for each in (left, right)], axis=0)
    left, right = left[cases], right[cases]
    gaps = right[:, np.newaxis, :] - left[:, :, np.newaxis]
    known = np.maximum((~np.isnan(gaps)).sum(axis=(1, 2)), 1)
    ours, theirs = case_means(left), case_means(right)
    return Shares(
        ours=ours,
        theirs=theirs,
        gaps=theirs - ours,
        gained=np.nansum(np.clip(gaps, 0, None), axis=(1, 2)) / known,
        lost=np.nansum(np.clip(-gaps, 0, None), axis=(1, 2)) / known,
        labels=pair.labels(cases),
    )
