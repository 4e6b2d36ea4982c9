"""Whole distributions of the times, for whoever draws them: quantiles instead of samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from exitdrill.measures.base import Array, Pair, case_means, finite
from exitdrill.measures.latency import TIMES, Time, samples

DRAWN = ("ttft", "tpot", "total")
SHARES = np.arange(101) / 100


def distributions(pair: Pair) -> list[dict[str, Any]]:
    """The quantiles 0, 1, …, 100 % of each time on both arms, in seconds.

    A quantile is a sample, as in the rows; None where it is a missed deadline. ``paired`` has those
    of candidate − incumbent per case, over the repeats that were answered. A time that an arm has
    no sample of is left out.
    """
    drawn = [time for time in TIMES if time.column in DRAWN]
    return [found for time in drawn if (found := _distribution(pair, time)) is not None]


def _distribution(pair: Pair, time: Time) -> dict[str, Any] | None:
    left, right = (samples(arm, time.column) for arm in (pair.incumbent, pair.candidate))
    if not len(left) or not len(right):
        return None
    return {
        "name": time.column,
        "label": time.label,
        "unit": "s",
        "n": min(len(left), len(right)),
        "incumbent": _quantiles(left),
        "candidate": _quantiles(right),
        "paired": _quantiles(_differences(pair, time.column)),
    }


def _differences(pair: Pair, column: str) -> Array:
    """Candidate − incumbent per case, where both answered."""
    ours, theirs = (
        _answered_means(arm.columns[column]) for arm in (pair.incumbent, pair.candidate)
    )
    gaps = theirs - ours
    return gaps[~np.isnan(gaps)]


def _answered_means(times: Array) -> Array:
    """The mean per case over the repeats that were answered."""
    return case_means(np.where(np.isfinite(times), times, np.nan))


def _quantiles(values: Array) -> list[float | None]:
    if not len(values):
        return []
    ranks = np.ceil(SHARES * len(values) - 1e-9).astype(int)
    return [finite(value) for value in np.sort(values)[np.maximum(ranks, 1) - 1]]
