"""Whether a report is one of the gates that were registered.

``exitdrill report`` renders what lies in a folder, and anybody may have edited that. So report.json
is held against plan.json, and against the journal where that was not kept back. What does not fit
makes every verdict that is shown inconclusive; report.json itself stays as it is.

Whoever edits all three alike cannot be found out here, but by the plan's sha256, where it was
published before the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exitdrill.errors import UsageError
from exitdrill.journal import cases_sha256
from exitdrill.report.jsonfile import parse, read

REPORT = "report.json"
PLAN = "plan.json"
JOURNAL = "journal.sqlite"
NO_PLAN = "Whether these gates were registered cannot be checked: there is no plan.json."
NO_JOURNAL = "Whether this report is that of the journal beside it cannot be checked: {}."
CASES_SHA256 = "cases_sha256"
"""Beside what a journal says of itself: the hash of the cases in it."""
MOST_SAID = 5
"""Contradictions that are named; the rest is counted."""
SHOWN = 12
"""Characters of a hash that tell it from another."""
FIXED = ("mode", "alpha", "alpha_per_candidate", "power", "discordance", "largest_n", "clusters")
COMPARED = {"non_inferiority", "bound"}

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """What was found: contradictions, and what could not be checked."""

    contradictions: Sequence[str] = ()
    unchecked: Sequence[str] = ()


def as_registered(data: Json, raw: bytes, folder: Path) -> tuple[Json, tuple[str, ...]]:
    """A report as it may be shown, and what could not be checked of it.

    ``data`` is valid, ``raw`` the bytes that it was read from. With a contradiction all verdicts
    are inconclusive, and give it as their reason.
    """
    found = examine(data, raw, folder)
    shown = _withdrawn(data, _few(found.contradictions)) if found.contradictions else data
    return shown, tuple(found.unchecked)


def examine(data: Json, raw: bytes, folder: Path) -> Findings:
    """Hold a report against the plan and the journal in its folder."""
    try:
        recorded = _recorded(folder / JOURNAL)
        unchecked = list(_unchecked(recorded))
    except (sqlite3.Error, OSError, ValueError) as error:
        recorded, unchecked = {}, [NO_JOURNAL.format(f"it cannot be read ({error})")]
    journal = list(_against_journal(data, raw, recorded))
    try:
        plan = (folder / PLAN).read_bytes()
    except FileNotFoundError:
        return Findings(journal, [NO_PLAN, *unchecked])
    except OSError as error:
        return Findings([f"plan.json cannot be read: {error.strerror}", *journal], unchecked)
    return Findings([*_against_file(data, plan, recorded), *journal], unchecked)


def _unchecked(recorded: Json) -> Iterator[str]:
    if not recorded:
        yield NO_JOURNAL.format("there is none")
    elif recorded.get("report_sha256") is None:
        yield NO_JOURNAL.format("it holds no hash of a report")


def contradictions(folder: Path) -> Sequence[str]:
    """What in a folder is not as it was registered. Raises `UsageError`."""
    path = folder / REPORT
    raw = read(path)
    return examine(parse(raw, path, None), raw, folder).contradictions


# --- the plan -----------------------------------------------------------------------------------


def _against_file(data: Json, raw: bytes, recorded: Json) -> Iterator[str]:
    digest, named = hashlib.sha256(raw).hexdigest(), data["drill"]["plan_sha256"]
    if digest != named:
        yield (
            "plan.json is not the plan that was registered: its sha256 begins "
            f"{digest[:SHOWN]}, and that in report.json {named[:SHOWN]}"
        )
        return
    try:
        plan = parse(raw, Path(PLAN), None)
        found = [*_against_plan(data, plan), *_unsupported(data)]
    except (UsageError, LookupError, TypeError, AttributeError):
        yield "plan.json is no plan that could be understood"
        return
    yield from found
    if "plan" in recorded and recorded["plan"] != plan:
        yield "the plan in the journal is not the one that was registered"
    if recorded and recorded[CASES_SHA256] != plan["workload"].get(CASES_SHA256):
        yield "the cases in the journal are not those that were registered: their sha256 is another"


def _against_plan(data: Json, plan: Json) -> Iterator[str]:
    """Where a report is not about what its plan says."""
    names = [each["name"] for each in data["candidates"]]
    if (data["incumbent"]["name"], names) != (plan["incumbent"], plan["candidates"]):
        yield "report.json does not name the incumbent and the candidates of plan.json"
    known = {key: plan.get(key) for key in FIXED}
    known["repeats"] = plan["replay"].get("repeats")
    said = data.get("registered")
    for key, value in said.items() if isinstance(said, Mapping) else ():
        if key in known and value != known[key]:
            yield f"report.json has another {key.replace('_', ' ')} than plan.json"
    planned = [_planned(gate) for gate in plan["gates"]]
    for candidate in data["candidates"]:
        shown = [_shown(gate) for gate in candidate["gates"]]
        if shown != planned:
            yield (
                f"report.json does not show the gates that were registered for "
                f"{candidate['name']}: {_first_difference(shown, planned)}"
            )


Bound = tuple[str, str, bool, Any]
"""A gate's name, its measure, whether it is against the incumbent, its margin or limit."""


def _planned(gate: Json) -> Bound:
    against = gate["margin"] is not None
    return gate["name"], gate["measure"], against, gate["margin" if against else "limit"]


def _shown(gate: Json) -> Bound:
    return gate["name"], gate["measure"], gate["kind"] in COMPARED, gate["margin"]


def _first_difference(shown: Sequence[Bound], planned: Sequence[Bound]) -> str:
    if len(shown) != len(planned):
        return f"{len(shown)} instead of {len(planned)}"
    ours, theirs = next(pair for pair in zip(shown, planned, strict=True) if pair[0] != pair[1])
    return f"{_words(ours)} instead of {_words(theirs)}"


def _words(gate: Bound) -> str:
    name, measure, against, value = gate
    return f"{name!r} ({measure}, {'margin' if against else 'limit'} {value})"


# --- what a report says of itself ---------------------------------------------------------------


def _unsupported(data: Json) -> Iterator[str]:
    """Good words in a report that its own figures do not bear."""
    ready = set()
    for candidate in data["candidates"]:
        for gate in candidate["gates"]:
            if gate["status"] == "pass" and _misses(gate):
                yield (
                    f"report.json says that {candidate['name']} passes {gate['name']!r}, and the "
                    "figures beside it do not"
                )
        if candidate["verdict"]["status"] != "ready":
            continue
        ready.add(candidate["name"])
        statuses = {gate["status"] for gate in candidate["gates"]}
        if statuses != {"pass"} or candidate["status"] != "complete":
            yield f"report.json says that {candidate['name']} is ready, and its gates do not"
    verdict = data["verdict"]
    if verdict["status"] == "ready" and not (
        verdict["candidate"] in ready and data["drill"]["completed"]
    ):
        yield "report.json has a verdict of ready, and no candidate that is"


def _misses(gate: Json) -> bool:
    """Whether a gate's figures lie on the wrong side of its margin for certain."""
    margin, interval, value = gate["margin"], gate["interval"], gate["estimate"]
    if margin is None:
        return False
    if gate["kind"] in COMPARED:
        if interval is None:
            return False
        low, high = interval
        return bool(low <= -margin if gate["kind"] == "non_inferiority" else high >= margin)
    if value is None or "better" not in gate:
        return False
    sign = 1 if gate["better"] == "higher" else -1
    return bool(sign * (value - margin) < -1e-9 * abs(margin))  # sums of money are rounded


# --- the journal --------------------------------------------------------------------------------


def _against_journal(data: Json, raw: bytes, recorded: Json) -> Iterator[str]:
    named = data["drill"]["plan_sha256"]
    registered = recorded.get("plan_sha256")
    if registered is not None and registered != named:
        yield (
            f"the journal registered another plan: its sha256 begins {str(registered)[:SHOWN]}, "
            f"and that in report.json {named[:SHOWN]}"
        )
    written = recorded.get("report_sha256")
    if written is not None and written != hashlib.sha256(raw).hexdigest():
        yield "report.json is not the one that this drill wrote: its sha256 is another"


def _recorded(path: Path) -> Json:
    """What a journal holds of the plan and the report; nothing where there is no journal.

    It is only read: no file is made beside it. Raises ``sqlite3.Error``, `ValueError`.
    """
    if not path.is_file():
        return {}
    log = path.with_name(f"{path.name}-wal")
    # Without a log there is nothing to wait for, and a folder may be one that nobody can write.
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    names = ("plan", "plan_sha256", "report_sha256")
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)) as db:
        rows = db.execute("SELECT name, value FROM inputs WHERE name IN (?, ?, ?)", names)
        return {CASES_SHA256: _found(db)} | {str(name): json.loads(value) for name, value in rows}


def _found(db: sqlite3.Connection) -> str | None:
    """The hash of the cases in a journal; None where they cannot be read."""
    try:
        return cases_sha256(db)
    except (sqlite3.Error, UnicodeError):
        return None


# --- the verdict --------------------------------------------------------------------------------


def _withdrawn(data: Json, reasons: Sequence[str]) -> Json:
    """The report with verdicts that nobody can rely on."""
    verdict = _inconclusive(data["verdict"], reasons) | {"candidate": None, "judged": []}
    candidates = [
        {**each, "verdict": _inconclusive(each["verdict"], reasons)} for each in data["candidates"]
    ]
    return {**data, "verdict": verdict, "candidates": candidates}


def _inconclusive(verdict: Json, reasons: Sequence[str]) -> dict[str, Any]:
    said = f"what report.json says is not relied on: {verdict['status'].replace('_', ' ')}"
    return {**verdict, "status": "inconclusive", "reasons": [*reasons, said]}


def _few(sentences: Sequence[str]) -> list[str]:
    rest = len(sentences) - MOST_SAID
    return [*sentences[:MOST_SAID], *([f"and {rest:,} more of this kind"] if rest > 0 else [])]
