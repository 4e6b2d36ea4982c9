"""From the gates of each candidate to its verdict, and to that of the drill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from exitdrill.measures import BY_NAME
from exitdrill.measures.base import ArmFacts, Pair
from exitdrill.sentences import count_of, level
from exitdrill.verdict.gate import Gate
from exitdrill.verdict.obstacles import answered, failed, silent

Status = Literal["ready", "not_ready", "inconclusive"]
LEAST_ANSWERED = 0.5
"""The share of its requests that a candidate must have answered to be compared."""


@dataclass(frozen=True)
class Verdict:
    """The answer for one candidate, with its reasons; where it is ready, with what was judged.

    ``caution`` is what nobody may overlook who reads no more than "ready"; ``edited`` that gates
    were edited after they had been registered.
    """

    status: Status
    reasons: tuple[str, ...]
    judged: tuple[str, ...] = ()
    caution: str | None = None
    edited: str | None = None


def unanswered(pair: Pair) -> list[str]:
    """The obstacles that lie in too few answers."""
    arms = (pair.incumbent, pair.candidate)
    said = [reason for arm in arms if silent(arm) and (reason := failed(arm))]
    answers, asked = answered(pair.candidate)
    if 0 < answers < LEAST_ANSWERED * asked:
        share, name = level("share", LEAST_ANSWERED), pair.candidate.name
        only = f"{name} answered only {answers} of {asked} requests"
        if pair.candidate.runs_app:
            only = f"on {name} the app answered in only {answers} of {asked} runs"
        said.append(f"{only}; a candidate that answers fewer than {share} is not compared")
    return said


def past_the_drill(pair: Pair) -> list[str]:
    """The obstacles that lie in an app that answered without asking the model of its arm."""
    arms = (pair.incumbent, pair.candidate)
    if not pair.candidate.runs_app:
        return []
    if all(_without_calls(arm) for arm in arms):
        return [_not_through_the_drill(arms)]
    said = [reason for arm in arms if (reason := _never_asked(arm))]
    return said or [reason for arm in arms if (reason := _asked_elsewhere(arm, pair))]


def _never_asked(arm: ArmFacts) -> str | None:
    made, runs = arm.columns["model_calls"], int(np.nansum(arm.columns["answered"]))
    if not runs or np.nansum(arm.columns["answered_calls"]):
        return None
    vain = int(np.nansum(made))
    if not vain:
        return _not_through_the_drill([arm])
    return (
        f"the app answered {count_of(runs, 'time')} on {arm.name}, but none of its "
        f"{count_of(vain, 'model call')} was answered: what it said is not {arm.name}'s"
    )


def _without_calls(arm: ArmFacts) -> bool:
    """Whether the app answered, and never tried to ask a model."""
    return bool(answered(arm)[0]) and not np.nansum(arm.columns["model_calls"])


def _not_through_the_drill(arms: Sequence[ArmFacts]) -> str:
    times = " and ".join(f"{count_of(answered(arm)[0], 'time')} on {arm.name}" for arm in arms)
    whose = f"{arms[0].name}'s" if len(arms) == 1 else "theirs"
    return (
        f"the app made no model call through the drill: it answered {times}, but what it said is "
        f"not known to be {whose}; does it read OPENAI_BASE_URL?"
    )


def _asked_elsewhere(arm: ArmFacts, pair: Pair) -> str | None:
    """Cases in which the app asked a model on the other arm only."""
    other = pair.incumbent if arm is pair.candidate else pair.candidate
    ours, theirs = (each.columns["model_calls"] for each in (arm, other))
    alone = (np.nansum(ours, axis=1) == 0) & (np.nansum(theirs, axis=1) > 0)
    alone &= ~np.any(arm.columns["replayed"] == 1, axis=1)  # it asked in another run
    count = int(np.count_nonzero(alone & ~np.isnan(ours).all(axis=1)))
    if not count:
        return None
    return (
        f"in {count:,} of {count_of(len(ours), 'case')} the app made model calls on {other.name} "
        f"and none on {arm.name}: what it said there is not known to be {arm.name}'s"
    )


def rates(pair: Pair) -> str:
    """How many answers were right, and how many there were, on both sides."""
    said = []
    things = "runs" if pair.candidate.runs_app else "requests"
    for name, what in (("success", "right answers"), ("answered", f"{things} answered")):
        row = BY_NAME[name].row(pair)
        if row.candidate is None or row.incumbent is None:
            said.append(f"{what}: not measured")
            continue
        theirs, ours = (level("share", value) for value in (row.candidate, row.incumbent))
        said.append(f"{what}: {theirs} ({pair.incumbent.name}: {ours}; {count_of(row.n, 'case')})")
    return ", ".join(said)


def verdict_of(
    gates: Sequence[Gate],
    obstacles: Sequence[str] = (),
    veto: str | None = None,
    rates: str | None = None,
    edited: Sequence[str] = (),
) -> Verdict:
    """Ready when every gate passes; not ready on a failure or a veto; else inconclusive.

    ``obstacles`` say why the candidate could not be measured as planned, ``rates`` what share of
    its answers there were and were right, ``edited`` what was edited since the plan was registered.
    """
    verdict = _verdict_of(gates, obstacles, veto, rates)
    if not edited:
        return verdict
    what = ", ".join(edited)
    note = f"edited after the plan was registered: {what}; judged are the registered gates"
    return replace(verdict, reasons=(*verdict.reasons, note), edited=note)


def _verdict_of(
    gates: Sequence[Gate], obstacles: Sequence[str], veto: str | None, rates: str | None
) -> Verdict:
    failures = [f"{gate.name}: {gate.reason}" for gate in gates if gate.status == "fail"]
    if veto is not None or failures:
        return Verdict("not_ready", (*([veto] if veto else []), *failures))
    still_open = [f"{gate.name}: {gate.reason}" for gate in gates if gate.status == "open"]
    if obstacles or still_open:
        return Verdict("inconclusive", (*obstacles, *still_open))
    if not gates:
        return Verdict("inconclusive", ("the scenario has no gates, so nothing was decided",))
    return _ready(gates, rates)


def _ready(gates: Sequence[Gate], rates: str | None) -> Verdict:
    passed = f"gates passed: {', '.join(gate.name for gate in gates)}"
    shares = [rates] if rates else []
    caution = None
    if not any(BY_NAME[gate.measure].content for gate in gates):
        caution = "no gate is on what the answers say"
        caution += f" ({rates})" if rates else ""
        shares = [caution]
    reasons = (*(f"{gate.name}: {gate.reason}" for gate in gates), *shares)
    return Verdict("ready", reasons, (passed, *shares), caution)


def all_not_ready(verdicts: Mapping[str, Verdict]) -> bool:
    """Whether every candidate is known not to be ready."""
    return all(verdict.status == "not_ready" for verdict in verdicts.values())


def overall(
    verdicts: Mapping[str, Verdict], completed: bool, stopped: str | None
) -> dict[str, Any]:
    """The drill's verdict: of the first candidate that is ready, if any."""
    by_status: dict[Status, list[str]] = {"ready": [], "not_ready": [], "inconclusive": []}
    for name, verdict in verdicts.items():
        by_status[verdict.status].append(name)
    edited = list(dict.fromkeys(each.edited for each in verdicts.values() if each.edited))
    if not completed:
        reason = stopped or "the drill was not completed"
        return _said("inconclusive", [reason, *edited])
    if ready := by_status["ready"]:
        judged = [f"{name}: {line}" for name in ready for line in verdicts[name].judged]
        reasons = [_headline(name, verdicts[name]) for name in ready]
        return _said("ready", [*reasons, *edited], ready[0]) | {"judged": judged}
    status: Status = "inconclusive" if by_status["inconclusive"] else "not_ready"
    reasons = [f"{name}: {verdicts[name].reasons[0]}" for name in by_status[status]]
    return _said(status, [*reasons, *edited])


def _said(status: Status, reasons: list[str], candidate: str | None = None) -> dict[str, Any]:
    return {"status": status, "candidate": candidate, "reasons": reasons}


def _headline(name: str, verdict: Verdict) -> str:
    return f"{name} is ready" + (f", but {verdict.caution}" if verdict.caution else "")
