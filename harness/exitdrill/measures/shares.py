"""Rows of shares: how many cases have a property, or how much of it, on both arms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from exitdrill.measures.base import Array, Pair, Row, case_means
from exitdrill.stats import proportion_interval, tango_interval

Noise = Callable[[Array], float | None]

NOTHING = Row(note="not measured: no case could be judged on both arms")


def share_row(
    column: str, noise: Noise | None = None, note: str | None = None
) -> Callable[[Pair], Row]:
    """A row of a column between 0 and 1 per trial, with Tango's interval; ``note`` says more.

    The unit is the case: what its repeats gained and lost is averaged into the discordant counts.
    An average, or a value between 0 and 1, varies less than the 0 and 1 that Tango counts with,
    so the interval is conservative there, and never empty where no difference was seen.
    """

    def row(pair: Pair) -> Row:
        left, right = _paired(pair, column)
        n = len(left)
        if n == 0:
            return NOTHING if note is None else Row(note=f"{NOTHING.note}; {note}")
        gained = float(np.nansum(np.nanmean(np.clip(right - left, 0, None), axis=1)))
        lost = float(np.nansum(np.nanmean(np.clip(left - right, 0, None), axis=1)))
        candidate = float(case_means(right).mean())
        said = f"Tango's interval; of {n} cases {lost:.4g} lost, {gained:.4g} gained"
        return Row(
            incumbent=float(case_means(left).mean()),
            candidate=candidate,
            estimate=(gained - lost) / n,
            interval=tango_interval(gained, lost, n, pair.confidence),
            own=proportion_interval(candidate * n, n, pair.confidence),
            n=n,
            noise=(noise or flips)(pair.incumbent.columns[column]),
            note="; ".join([*([note] if note else []), said]),
        )

    return row


def flips(column: Array) -> float | None:
    """The mean difference between the first two repeats of the same case on the same arm."""
    if column.shape[1] < 2:
        return None
    return _mean(np.abs(column[:, 0] - column[:, 1]))


def disagreement(column: Array) -> float | None:
    """How far the incumbent is from agreeing with itself: 1 less the mean."""
    return _mean(1 - column)


def _mean(values: Array) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _paired(pair: Pair, column: str) -> tuple[Array, Array]:
    """Both arms' values where both were measured, for the cases that have any such repeat."""
    left, right = pair.incumbent.columns[column], pair.candidate.columns[column]
    both = ~np.isnan(left) & ~np.isnan(right)
    cases = both.any(axis=1)
    return (
        np.where(both, left, np.nan)[cases],
        np.where(both, right, np.nan)[cases],
    )
