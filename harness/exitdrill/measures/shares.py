"""Rows of shares: how many cases have a property, on the incumbent and on the candidate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from exitdrill.measures.base import Array, Pair, Row, case_means
from exitdrill.stats import Interval, mean_interval, proportion_interval, tango_interval

NOTHING = Row(note="not measured: no case could be judged on both arms")


def share_row(column: str) -> Callable[[Pair], Row]:
    """A row of a column that is 0 or 1 per trial, with Tango's interval.

    The unit is the case; repeats are averaged into the discordant counts, which is conservative.
    """

    def row(pair: Pair) -> Row:
        left, right = _paired(pair, column)
        n = len(left)
        if n == 0:
            return NOTHING
        # A case's repeats are compared with each other: n counts cases.
        gained = float(np.nansum(np.nanmean(np.clip(right - left, 0, None), axis=1)))
        lost = float(np.nansum(np.nanmean(np.clip(left - right, 0, None), axis=1)))
        candidate = float(case_means(right).mean())
        return Row(
            incumbent=float(case_means(left).mean()),
            candidate=candidate,
            estimate=(gained - lost) / n,
            interval=tango_interval(gained, lost, n, pair.confidence),
            own=proportion_interval(candidate * n, n, pair.confidence),
            n=n,
            noise=_noise(pair.incumbent.columns[column]),
            note=f"Tango's interval; {lost:g} cases lost, {gained:g} gained",
        )

    return row


def mean_row(column: str) -> Callable[[Pair], Row]:
    """A row of a column between 0 and 1 per trial, with Student's interval over cases."""

    def row(pair: Pair) -> Row:
        left, right = _paired(pair, column)
        n = len(left)
        if n == 0:
            return NOTHING
        incumbent, candidate = case_means(left), case_means(right)
        difference = candidate - incumbent
        interval: Interval | None = mean_interval(difference, pair.confidence) if n > 1 else None
        return Row(
            incumbent=float(incumbent.mean()),
            candidate=float(candidate.mean()),
            estimate=float(difference.mean()),
            interval=interval,
            n=n,
            noise=_noise(pair.incumbent.columns[column]),
            note="Student's interval over cases",
        )

    return row


def _paired(pair: Pair, column: str) -> tuple[Array, Array]:
    """Both arms' values where both were measured, for the cases that have any such repeat."""
    left, right = pair.incumbent.columns[column], pair.candidate.columns[column]
    both = ~np.isnan(left) & ~np.isnan(right)
    cases = both.any(axis=1)
    return (
        np.where(both, left, np.nan)[cases],
        np.where(both, right, np.nan)[cases],
    )


def _noise(column: Array) -> float | None:
    """The mean difference between the first two repeats of the same case on the same arm."""
    if column.shape[1] < 2:
        return None
    differences = np.abs(column[:, 0] - column[:, 1])
    return float(np.nanmean(differences)) if not np.isnan(differences).all() else None
