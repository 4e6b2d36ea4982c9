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
