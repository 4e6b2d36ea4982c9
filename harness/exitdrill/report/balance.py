"""Shifts of class balance as text: which class a candidate answers more, or less, often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exitdrill.report.units import quantity
from exitdrill.report.view import NOT_KNOWN, count

PLACES: Mapping[str, str] = {
    "answer": "the whole answer",
    "tool": "the tool that is called",
}
"""What is no JSON pointer, in words."""


@dataclass(frozen=True, slots=True)
class Share:
    """How often one class is answered, on either side."""

    value: str
    incumbent: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Shift:
    """One field whose classes are answered more, or less, often."""

    where: str
    shift: str
    noise: str
    n: str
    shares: tuple[Share, ...]


def shifts(candidate: Mapping[str, Any]) -> list[Shift]:
    """What shifted, the largest first; nothing where nothing did, or nobody looked."""
    return [_shift(raw) for raw in candidate.get("balance") or ()]


def left_out(candidate: Mapping[str, Any]) -> list[str]:
    """Sentences on the fields that are not listed."""
    found = candidate.get("balance_left_out") or {}
    said = (
        ("more", "Fields that shifted less, left out here"),
        ("within_noise", "Fields that shifted no more than the incumbent's own repeats do"),
    )
    told = [f"{words}: {count(found[key])}." for key, words in said if found.get(key)]
    if found.get("not_looked_at"):
        told.append("The incumbent's answers have more fields than are looked at.")
    return told


def _shift(raw: Mapping[str, Any]) -> Shift:
    written = quantity("share", [raw["shift"], raw["noise"]])
    where = raw["where"]
    return Shift(
        where=PLACES.get(where) or where.removeprefix("/") or where,
        shift=written.spread(raw["shift"]),
        noise=NOT_KNOWN if raw["noise"] is None else written.spread(raw["noise"]),
        n=count(raw["n"]),
        shares=tuple(map(_share, raw["values"])),
    )


def _share(raw: Mapping[str, Any]) -> Share:
    ends = raw["incumbent"], raw["candidate"]
    written = quantity("share", ends)
    return Share(raw["value"], *map(written.value, ends))
