"""From which monthly volume on own hosting (by the hour) is cheaper than an API (by the token).

Source of the formula: the usual break-even of fixed against variable costs. Staff, idle replicas
and the rest of what hosting costs are not in it, and its text says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from exitdrill.measures import cost, throughput
from exitdrill.measures.base import ArmFacts, Pair
from exitdrill.scenario import USUAL_BAND, USUAL_UTILISATION
from exitdrill.sentences import level

HOURS_PER_MONTH = 730
"""A server runs all month, whatever it does."""


@dataclass(frozen=True)
class _Cost:
    """What an arm costs. ``capacity`` is in answers a month of one server that is always busy."""

    name: str
    per_request: float
    fixed: float
    capacity: float | None
    band: float
    utilisation: tuple[float, float] | None

    def document(self) -> dict[str, Any]:
        """As it stands in ``report.json``: the capacity at the middle of the utilisation, the
        band of the price as factors."""
        capacity = self.capacity
        if capacity is not None and self.utilisation is not None:
            capacity *= sum(self.utilisation) / 2
        return {
            "per_request": self.per_request,
            "fixed_per_month": self.fixed,
            "capacity_per_month": capacity,
            "band": {
                "price": [1 - self.band, 1 + self.band],
                "utilisation": None if self.utilisation is None else list(self.utilisation),
            },
        }


@dataclass(frozen=True)
class _Corner:
    """One corner of the band, or its middle: what a month of one server costs, how many requests
    it takes when it always works, what share it works, and what a request costs at the API."""

    fixed: float
    most: float
    utilisation: float
    price: float

    @property
    def capacity(self) -> float:
        """Requests per month that one server takes."""
        return self.most * self.utilisation

    @property
    def own(self) -> float:
        """What a request costs on a server that has as much to do as it takes."""
        return self.fixed / self.capacity

    @property
    def break_even(self) -> float | None:
        """Requests per month; None where a server that is full is still the dearer one."""
        return self.fixed / self.price if self.own < self.price else None

    @property
    def servers_in_doubt(self) -> int:
        """How many servers it takes until one more no longer makes the API cheaper again.

        Just beyond what n - 1 servers take it needs n of them, at n · fixed, while the API asks for
        (n - 1) · capacity · price: less, as long as n < price / (price - own).
        """
        return max(math.ceil(self.price / (self.price - self.own)) - 1, 1)


def volume(pair: Pair) -> dict[str, Any] | None:
    """Both arms' monthly costs, and the break-even where one is by the hour and one by the token.

    None where a price, or what a request costs by it, is not known, or the currencies differ.
    """
    incumbent, candidate = _cost(pair.incumbent), _cost(pair.candidate)
    currency = cost.currency(pair.candidate)
    if incumbent is None or candidate is None or cost.currency(pair.incumbent) != currency:
        return None
    hosted = [arm for arm in (pair.incumbent, pair.candidate) if cost.hourly(arm)]
    both = {"incumbent": incumbent.document(), "candidate": candidate.document()}
    head: dict[str, Any] = {"currency": currency, **both}
    if len(hosted) != 1:
        note = "no break-even: it takes one arm that is paid by the hour and one by the token"
        return {**head, "note": note, "break_even": None}
    own, api = (incumbent, candidate) if cost.hourly(pair.incumbent) else (candidate, incumbent)
    note = _note(own, api, hosted[0], str(currency))
    return {**head, "note": note, "break_even": _break_even(own, api, hosted[0], str(currency))}


def _cost(arm: ArmFacts) -> _Cost | None:
    price = arm.price
    if price is None:
        return None
    band = float(price.get("band", USUAL_BAND))
    if cost.hourly(arm):
        fixed = float(price["per_hour"]) * HOURS_PER_MONTH
        return _Cost(arm.name, 0.0, fixed, _capacity(arm), band, cost.utilisation(arm))
    if cost.not_known(arm):
        return None
    return _Cost(arm.name, cost.per_answer(arm), 0.0, None, band, None)


def _capacity(arm: ArmFacts) -> float | None:
    if cost.not_known(arm):
        return None
    return throughput.answers_per_second(arm) * 3600 * HOURS_PER_MONTH


def _break_even(own: _Cost, api: _Cost, arm: ArmFacts, currency: str) -> dict[str, Any]:
    if own.capacity is None or own.utilisation is None:
        text = f"not known: {own.name}: {cost.not_known(arm)}"
        return {"low": None, "expected": None, "high": None, "text": text}
    poor, good = own.utilisation
    best, middle, worst = (
        _Corner(
            own.fixed * (1 - side * own.band),
            own.capacity,
            utilisation,
            api.per_request * (1 + side * api.band),
        )
        for side, utilisation in ((1, good), (0, (poor + good) / 2), (-1, poor))
    )
    return {
        "low": best.break_even,
        "expected": middle.break_even,
        "high": worst.break_even,
        "text": _text(own, best, middle, worst, currency),
    }


def _text(own: _Cost, best: _Corner, middle: _Corner, worst: _Corner, currency: str) -> str:
    if best.break_even is None:
        return f"never: even at the best end of the band {_dearer(own, best, currency)}"
    if middle.break_even is None:
        return (
            f"not in the middle of the band: {_dearer(own, middle, currency)}; at its best end "
            f"{own.name} is cheaper from {_requests(best.break_even)} on"
        )
    end = "never" if worst.break_even is None else f"from {_digits(worst.break_even)}"
    text = (
        f"{own.name} is cheaper from {_requests(middle.break_even)} on (at best from "
        f"{_digits(best.break_even)}, at worst {end})"
    )
    servers = middle.servers_in_doubt
    if servers > 1:
        text += (
            f"; beyond {_digits(middle.capacity)} it takes another server, which the API "
            "undercuts for a while: for good it is cheaper from "
            f"{_digits(servers * middle.break_even)} on"
        )
    return text


def _dearer(own: _Cost, corner: _Corner, currency: str) -> str:
    ours, theirs = level(currency, corner.own), level(currency, corner.price)
    return (
        f"a request costs {ours} on a server of {own.name} that works "
        f"{corner.utilisation * 100:.3g} % of the time, and {theirs} at the API"
    )


def _note(own: _Cost, api: _Cost, arm: ArmFacts, currency: str) -> str:
    poor, good = own.utilisation or USUAL_UTILISATION
    hour = level(currency, own.fixed / HOURS_PER_MONTH)
    capacity = "one server's capacity is not known"
    if own.capacity is not None:
        rate = level("answers/s", throughput.answers_per_second(arm))
        capacity = (
            f"one server of {own.name} takes {rate} (as measured, {arm.concurrency:,} at once) x "
            f"3600 x {HOURS_PER_MONTH} x utilisation, and beyond that it takes another one"
        )
    return (
        "V* = fixed per month / (price per request of the API − variable cost of own hosting) = "
        f"{level(currency, own.fixed)} / ({level(currency, api.per_request)} − 0); "
        f"fixed = {hour} per hour x {HOURS_PER_MONTH} h, for a server runs all month, whatever it "
        f"does; {capacity}. Expected: the prices as given, utilisation {(poor + good) / 2:.3g}; "
        f"low and high: the price of {own.name} off by {own.band * 100:.3g} %, that of {api.name} "
        f"by {api.band * 100:.3g} %, utilisation {poor:.3g} to {good:.3g} (a scenario that sets "
        f"neither has {USUAL_BAND * 100:.3g} % and {' to '.join(map(str, USUAL_UTILISATION))}). "
        "Staff, idle replicas, storage and traffic are not in it."
    )


def _requests(number: float) -> str:
    return f"{_digits(number)} requests a month"


def _digits(number: float) -> str:
    """``1,230,000``: three digits, the rest zeros."""
    return f"{float(f'{number:.3g}'):,.0f}"
