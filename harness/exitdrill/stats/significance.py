"""p-values: of two paired proportions, and of several tests at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from exitdrill.stats.base import Floats


def mcnemar(b: int, c: int, method: Literal["exact", "midp"] = "exact") -> float:
    """The two-sided p-value of McNemar's test that both discordant counts are alike.

    It tests difference: a large value does not say that both sides are equal. ``"exact"`` never
    errs more often than it says; ``"midp"`` hardly ever does and finds more. Without a discordant
    pair the value is 1. Source: Fagerland, Lydersen & Laake, *The McNemar test for binary
    matched-pairs data: mid-p and asymptotic are better than exact conditional*, BMC Medical
    Research Methodology 13 (2013) 91. Their example b=1, c=7 gives 0.0703 and 0.0391.

    Raises `ValueError` for another method, and for counts that are negative or not whole.
    """
    from scipy.special import bdtr

    if method not in ("exact", "midp"):
        raise ValueError(f"method {method!r} is neither 'exact' nor 'midp'")
    if not all(each >= 0 and float(each).is_integer() for each in (b, c)):
        raise ValueError(f"b={b}, c={c} are not both counts")
    fewer, n = int(min(b, c)), int(b + c)
    if n == 0:
        return 1.0
    up_to = float(bdtr(fewer, n, 0.5))
    if method == "exact":
        return min(2 * up_to, 1.0)
    below = float(bdtr(fewer - 1, n, 0.5)) if fewer else 0.0
    if b == c:  # the source's: the likeliest outcome counts half
        return 1 - (up_to - below) / 2
    return up_to + below


def holm(pvalues: Floats | Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order: at most α says that the test is rejected.

    For several tests where any one that rejects suffices; the chance of a single false rejection
    stays at α, however the tests depend on each other. Sources: Holm, *A simple sequentially
    rejective multiple test procedure*, Scandinavian Journal of Statistics 6 (1979) 65–70; as
    adjusted values: Wright, Biometrics 48 (1992) 1005–1013. R's ``p.adjust`` gives for .01, .04,
    .03, .005 the values .03, .06, .06, .02.

    Raises `ValueError` for what is no p-value, NaN among it: a test that was not made has to be
    left out by the caller, who knows why.
    """
    values = np.asarray(pvalues, dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p-values lie between 0 and 1")
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(each) for each in adjusted]
