"""What the plan fixed before the first call, and what ending early saved, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MODES = {
    "fixed": "every case is asked, and only the end is judged",
    "sequential": (
        "looked at while it runs; a candidate is asked no more as soon as all its gates are decided"
    ),
}
CLUSTERED_BY = {"session": "session", "request": "equal request"}


def registered(data: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """What was registered, as pairs of a word and what it means; None where that is not known."""
    found = data.get("registered")
    if found is None:
        return None
    return list(_registered(found, len(data["candidates"]), data["drill"]["plan_sha256"]))


def early(data: Mapping[str, Any]) -> str | None:
    """What came of a drill that was looked at while it ran; None where it was not."""
    found = data.get("sequential")
    if found is None:
        return None
    if not data["drill"]["completed"]:
        return "It was to stop as soon as every gate was decided, and was broken off before that."
    largest, saved = found["largest_n"], found["saved_calls"]
    if not saved or all(asked >= largest for asked in found["asked"].values()):
        return (
            f"Looked at while it ran: some gate was open up to the last of {largest:,} cases, so "
            "nothing was saved."
        )
    asked = ", ".join(f"{name} was asked {n:,}" for name, n in found["asked"].items())
    return (
        f"Stopped early: {asked} of {largest:,} cases; {saved:,} calls "
        f"({_share(found['saved_share'])}) were saved. The error is not larger for it."
    )


def stopped_early(data: Mapping[str, Any]) -> bool:
    """Whether not all the cases were asked because every gate was decided before."""
    found = data.get("sequential")
    return found is not None and any(n < found["largest_n"] for n in found["asked"].values())


def _registered(
    found: Mapping[str, Any], candidates: int, sha256: str
) -> Iterator[tuple[str, str]]:
    yield "mode", f"{found['mode']}: {MODES[found['mode']]}."
    yield "error (α)", _error(found, candidates)
    yield (
        "power",
        f"{_share(found['power'])}: the chance, aimed at, that a candidate which really is as good "
        "as the incumbent passes; how many more cases an open gate takes is reckoned with it.",
    )
    yield (
        "discordance",
        f"{_share(found['discordance'])} of the cases were expected to be right on one side only; "
        "for planning, and no error rests on it.",
    )
    yield "largest n", f"{found['largest_n']:,} cases; a look at results adds none."
    yield "clusters", _clusters(found["clusters"], found["largest_n"])
    times = ", ".join(f"{arm} {n:,}" for arm, n in found["repeats"].items())
    yield "repeats", f"{times}: how often each is asked the same case."
    yield "SHA-256 of the plan", sha256


def _error(found: Mapping[str, Any], candidates: int) -> str:
    said = (
        f"{_share(found['alpha'])}: the chance, at most, that a candidate which really lies at "
        "the edge of a margin, or beyond it, is found ready all the same"
    )
    if candidates == 1:
        return f"{said}."
    each = _share(found["alpha_per_candidate"])
    return f"{said}; it is shared by {candidates:,} candidates, so that each is judged at {each}."


def _clusters(found: Mapping[str, Any], cases: int) -> str:
    by = CLUSTERED_BY.get(found["by"], found["by"])
    if found["largest"] <= 1:
        return f"none: by {by}, each of the {cases:,} cases stands alone."
    return (
        f"{found['count']:,} by {by}, the largest of {found['largest']:,} cases: what belongs "
        "together is not counted as if it were independent."
    )


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"
