"""How many cases a paired gate takes, and what so many cases can settle."""

from __future__ import annotations

import math


def sample_size_paired(
    discordance: float,
    margin: float,
    alpha: float = 0.05,
    power: float = 0.8,
    gates: int = 1,
    design_effect: float = 1.0,
    *,
    difference: float = 0.0,
) -> int:
    """The cases that show non-inferiority of two paired proportions with the given power.

    n = (z_{1−α} + z_{1−β/k})² · s² · DEFF / (Δ + d₀)², with s² = ``discordance`` − d₀². All are
    shares: ``discordance`` of the cases that are right on one side only, ``margin`` Δ,
    ``difference`` d₀ that is truly there (candidate − incumbent, higher is better). ``alpha`` is
    one-sided; ``power`` = 1 − β is that of all k ``gates`` together (each errs with β/k);
    ``design_effect`` is that of `design_effect`. Source: the normal approximation of a paired
    difference, as in Miller, *Adding error bars to evals*, arXiv 2411.00640, whose worked case
    (s² = 1/9, Δ = .03, two-sided 5 %) takes 969. Ten per cent discordant and a margin of five
    points take 248 cases, of two points 1,546.

    An approximation for more than a handful of discordant cases: below a discordance of about
    0.4 Δ it says less than Tango's interval takes even without any, z²·(1 − Δ)/Δ (52 for five
    points at α = .05). The exact test takes more where few cases differ (265 for those 248), and a
    drill that is looked at while it runs about twice as many: see `stats.power`.

    Raises `ValueError` for what is out of range; where no case is discordant (the formula would
    say 0: put an upper bound of the share there instead); and where Δ + d₀ is not above zero, which
    no number of cases settles.
    """
    spread = discordance - difference * difference
    distance = margin + difference
    _check(discordance, spread, gates, design_effect)
    if not (0 <= margin <= 1 and abs(difference) <= discordance):
        raise ValueError(f"margin {margin}, difference {difference} do not fit {discordance=}")
    if not distance > 0:
        raise ValueError(f"no number of cases settles a difference of {difference} at {margin=}")
    n = _critical(alpha, power, gates) ** 2 * spread * design_effect / distance**2
    return max(math.ceil(n * (1 - 1e-12)), 1)  # what is whole but for rounding stays


def detectable_effect(
    n: int,
    discordance: float,
    alpha: float = 0.05,
    power: float = 0.8,
    gates: int = 1,
    design_effect: float = 1.0,
) -> float:
    """The smallest margin that ``n`` cases settle, where both sides are truly equal: the inverse of
    `sample_size_paired`, with its terms, its source and its errors.

    A share; at 1 or above, so few cases settle no margin at all. Raises `ValueError` also for
    fewer than one case.
    """
    _check(discordance, discordance, gates, design_effect)
    if not n >= 1:
        raise ValueError(f"{n} cases settle nothing")
    return _critical(alpha, power, gates) * math.sqrt(discordance * design_effect / n)


def _check(discordance: float, spread: float, gates: int, design_effect: float) -> None:
    if not (0 < discordance <= 1 and spread > 0):
        raise ValueError(f"a discordance of {discordance} leaves nothing to reckon with")
    if not (gates >= 1 and 1 <= design_effect < math.inf):
        raise ValueError(f"{gates=} and {design_effect=} are at least 1")


def _critical(alpha: float, power: float, gates: int) -> float:
    """z_{1−α} + z_{1−β/k}."""
    from scipy.special import ndtri

    if not (0 < alpha < 0.5 <= power < 1):
        raise ValueError(f"{alpha=} lies between 0 and 0.5, {power=} between 0.5 and 1")
    return float(ndtri(1 - alpha) + ndtri(1 - (1 - power) / gates))
