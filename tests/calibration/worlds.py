"""Truths to be found: what each backend would answer, drawn from known chances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Truth = Literal["at the margin", "equal"]
TRUTHS: tuple[Truth, ...] = ("at the margin", "equal")
INCUMBENT = "incumbent"
SPREAD = 0.5
"""The standard deviation of the logarithm of a time."""
WORSE, BETTER = -0.4, 0.1
"""By how much a graded answer gets worse or better, where it does."""


@dataclass(frozen=True)
class World:
    """A workload and its backends, as far as a gate can see them.

    ``right`` is the incumbent's share of right answers, ``discordance`` the share of cases that
    are right on one side only; ``icc`` how alike the cases of a cluster of ``cluster`` cases are;
    ``noise`` the share of trials whose answer is drawn anew. All candidates are alike.
    """

    name: str
    cases: int
    margin: float
    measure: str = "success"
    right: float = 0.85
    discordance: float = 0.1
    repeats: int = 2
    candidates: int = 1
    cluster: int = 1
    icc: float = 0.0
    noise: float = 0.0
    sequential: bool = False
    answered_gate: bool = False

    @property
    def names(self) -> list[str]:
        """The candidates' names."""
        return [f"candidate{number}" for number in range(self.candidates)]

    @property
    def sign(self) -> int:
        """1 where higher is better."""
        return -1 if self.measure == "total_p95" else 1

    def difference(self, truth: Truth) -> float:
        """candidate − incumbent, as it truly is."""
        return 0.0 if truth == "equal" else -self.sign * self.margin

    def draw(self, truth: Truth, chance: np.random.Generator) -> Mapping[str, Array]:
        """What each arm's trials give, of the shape (cases, repeats): 1 for right, a score, or
        seconds."""
        drawn = {"total_p95": self._times, "chrf": self._scores}.get(self.measure, self._answers)
        return drawn(self.difference(truth), chance)

    def _answers(self, difference: float, chance: np.random.Generator) -> dict[str, Array]:
        # What is drawn anew is the same for both, so that the rest has to differ by more.
        apart = difference / (1 - self.noise)
        spread = max(self.discordance, abs(apart))
        lost = (spread - apart) / 2 / self.right
        gained = (spread + apart) / 2 / (1 - self.right)
        ours = self._alike(chance) < self.right
        outcomes = {INCUMBENT: ours}
        for name in self.names:
            flip = self._alike(chance)
            outcomes[name] = np.where(ours, flip >= lost, flip < gained)
        return {name: self._repeated(each, chance) for name, each in outcomes.items()}

    def _alike(self, chance: np.random.Generator) -> Array:
        """A uniform number per case; cases of a cluster share theirs with a chance of √icc each."""
        own = chance.random(self.cases)
        if self.cluster == 1:
            return own
        clusters = np.arange(self.cases) // self.cluster
        shared = chance.random(self.cases)[clusters]
        found: Array = np.where(self._shares(chance), shared, own)
        return found

    def _shares(self, chance: np.random.Generator) -> npt.NDArray[np.bool_]:
        return chance.random(self.cases) < math.sqrt(self.icc)

    def _repeated(self, right: npt.NDArray[np.bool_], chance: np.random.Generator) -> Array:
        shape = (self.cases, self.repeats)
        same = np.repeat(right[:, np.newaxis], self.repeats, axis=1)
        anew = chance.random(shape) < self.right
        return np.where(chance.random(shape) < self.noise, anew, same).astype(float)

    def _scores(self, difference: float, chance: np.random.Generator) -> dict[str, Array]:
        better = 0.4
        worse = (difference - better * BETTER) / WORSE
        ours = chance.uniform(0.45, 0.85, self.cases)
        outcomes = {INCUMBENT: ours}
        for name in self.names:
            flip = self._alike(chance)
            step = np.where(flip < worse, WORSE, np.where(flip > 1 - better, BETTER, 0.0))
            outcomes[name] = ours + step
        return {
            name: np.repeat(each[:, np.newaxis], self.repeats, axis=1)
            for name, each in outcomes.items()
        }

    def _times(self, difference: float, chance: np.random.Generator) -> dict[str, Array]:
        """Lognormal; half of the variance is the case's."""
        p95 = math.exp(SPREAD * 1.6448536269514722)
        scales = {INCUMBENT: 1.0} | dict.fromkeys(self.names, 1 + difference / p95)
        drawn = {}
        for name, scale in scales.items():
            case = chance.standard_normal((self.cases, 1))
            trial = chance.standard_normal((self.cases, self.repeats))
            drawn[name] = scale * np.exp(SPREAD * (case + trial) / math.sqrt(2))
        return drawn


LOST: dict[str, Any] = {"cluster": 10, "icc": 1.0, "discordance": 0.01, "noise": 0.05}
"""Sessions that go wrong as a whole, and seldom, beside a little noise in every answer."""
WORLDS = (
    World("480 cases, margin 7 points", 480, 0.07),
    World("248 cases, margin 5 points", 248, 0.05),
    World("150 cases, margin 10, 20 % discordant", 150, 0.1, discordance=0.2),
    World("60 cases, margin 10 (few)", 60, 0.1),
    World("30 cases, margin 20 (very few)", 30, 0.2),
    World("1,546 cases, margin 2", 1546, 0.02),
    World("two candidates", 248, 0.05, candidates=2),
    World("three candidates", 248, 0.05, candidates=3),
    World("two gates (Holm)", 248, 0.05, answered_gate=True),
    World("60 clusters of 8, ICC 0.3", 480, 0.07, cluster=8, icc=0.3),
    World("20 clusters of 6, ICC 0.5", 120, 0.2, cluster=6, icc=0.5),
    World("60 clusters of 8, all alike", 480, 0.15, cluster=8, icc=1.0),
    World("100 sessions of 10, lost as a whole", 1000, 0.05, **LOST),
    World("noisy: every fifth answer anew, K=3", 480, 0.07, noise=0.2, repeats=3),
    World("graded answers (chrF), 200 cases", 200, 0.05, measure="chrf"),
    World("graded answers, 40 clusters of 8", 320, 0.1, measure="chrf", cluster=8, icc=0.3),
    World("p95 of the time, 400 cases", 400, 0.7, measure="total_p95"),
    World("sequential, at most 480, margin 7", 480, 0.07, sequential=True),
    World("sequential, at most 1,000, margin 5", 1000, 0.05, sequential=True),
    World("sequential, two candidates", 480, 0.07, sequential=True, candidates=2),
    World("sequential, clusters of 6, ICC 0.3", 960, 0.1, sequential=True, cluster=6, icc=0.3),
    World("sequential, p95 of the time", 480, 0.7, measure="total_p95", sequential=True),
)
"""What is calibrated: margins, numbers of cases, candidates, gates; clusters, noise, looks."""
