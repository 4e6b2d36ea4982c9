"""What the plan fixed before the first call, and what ending early saved, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exitdrill.sentences import count_of, times_run

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
    largest, saved = found["largest_n"], found["saved_calls"]
    completed = data["drill"]["completed"]
    broken = {each["name"] for each in data["candidates"] if each["status"] == "broken_off"}
    asked = ", ".join(
        f"{name} was asked {n:,}{' (and broke off)' if completed and name in broken else ''}"
        for name, n in found["asked"].items()
    )
    of_cases = f"of {count_of(largest, 'case')} {asked}"
    if not completed:
        return (
            "It was to stop as soon as every gate was decided, and was broken off before that: "
            f"{of_cases}."
        )
    if not stopped_early(data):
        return (
            "Looked at while it ran: some gate was open up to the last of "
            f"{count_of(largest, 'case')}, so nothing was saved."
        )
    made = count_of(saved, "call") if data.get("app") is None else times_run(saved)
    judges = ", not counting the judge's" if data.get("judge") else ""
    return (
        f"Stopped early: {of_cases}. {made} ({_share(found['saved_share'])}) "
        f"{'was' if saved == 1 else 'were'} saved{judges}. The chance of a wrong verdict is not "
        "larger for it."
    )


def stopped_early(data: Mapping[str, Any]) -> bool:
    """Whether not all the cases were asked because every gate was decided before."""
    found = data.get("sequential")
    if found is None or not data["drill"]["completed"] or not found["saved_calls"]:
        return False
    return any(n < found["largest_n"] for n in found["asked"].values())


def asked(data: Mapping[str, Any]) -> int:
    """How many cases were asked at least once; an older report knows only how many were to be."""
    return int(data["drill"].get("cases_asked", data["workload"]["asked"]))


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
    yield "largest n", f"{count_of(found['largest_n'], 'case')}; a look at results adds none."
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
        if cases == 1:
            return f"none: by {by}, there is only one case."
        return f"none: by {by}, each of the {cases:,} cases stands alone."
    return (
        f"{found['count']:,} by {by}, the largest of {found['largest']:,} cases: what belongs "
        "together is not counted as if it were independent."
    )


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"
