"""What all of these share: types, and the error of a sample that is too small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Floats = Sequence[float] | Array
Interval = tuple[float, float]
Counts = npt.NDArray[np.int64]
Labels = Sequence[int] | npt.NDArray[np.int64]
"""To which cluster each case belongs."""


class TooFewSamples(ValueError):
    """The sample is too small for what was asked; ``needed`` says how many it takes."""

    def __init__(self, needed: int, n: int) -> None:
        super().__init__(f"needs at least {needed} samples, has {n}")
        self.needed = needed
        self.n = n


def sorted_samples(samples: Floats) -> Array:
    """The samples in their order. Raises `ValueError` for a NaN, which has no place in it."""
    ordered = np.sort(np.asarray(samples, dtype=float))
    if len(ordered) and np.isnan(ordered[-1]):  # NaN is sorted to the end
        raise ValueError("a sample that is NaN has no rank: leave out what was not measured")
    return ordered


def inside(**shares: float) -> None:
    """Raises `ValueError`, by its name, for what does not lie between 0 and 1, these excluded."""
    for name, value in shares.items():
        if not 0 < value < 1:  # NaN neither
            raise ValueError(f"{name}={value} does not lie between 0 and 1")
