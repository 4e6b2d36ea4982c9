"""Gates in, verdict out.

A gate is judged on intervals: it passes when the whole one-sided interval lies on the good side
of its margin, fails when it lies on the bad side (after Holm's correction over the gates of a
candidate, because a single failure suffices), and is open in between. What was not measured is
open, never a pass. With k candidates each is tested at alpha/k. Sources: research on
non-inferiority tests; Holm, *A simple sequentially rejective multiple test procedure*,
Scandinavian Journal of Statistics 6 (1979) 65–70.

A candidate that failed to answer more than half of its requests is not compared: whatever gates
pass, it is inconclusive at best, and not ready where one fails. With an incumbent that answered
nothing there is nothing to compare with: every gate on trials is open. A verdict "ready" says what
it rests on: its gates, the shares of right answers and of answers on both sides, and whether any
gate is on the answers at all.

A time is the server's and the drill's own delay (`measures.own_delay`). A gate on one is judged on
the interval of what the server's own times may have been, so that it stays open where the drill's
delay could change its answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from exitdrill.measures import BY_NAME, own_delay
from exitdrill.measures.base import ArmFacts, Measure, Pair, Row, finite
from exitdrill.measures.usage import not_timed
from exitdrill.sentences import Figures, amount, compared, counted, level, limited
from exitdrill.stats import Interval

GateStatus = Literal["pass", "fail", "open"]
GateKind = Literal["non_inferiority", "bound", "cap"]
"""Against the incumbent: ``non_inferiority`` where higher is better, ``bound`` where lower is. A
``cap`` is a limit on the candidate's own value."""
Status = Literal["ready", "not_ready", "inconclusive"]
LEAST_ANSWERED = 0.5
"""The share of its requests that a candidate must have answered to be compared."""


@dataclass(frozen=True)
class Gate:
    """A gate, judged. ``interval`` is two-sided at 1 − 2·alpha, in candidate − incumbent.

    ``own_interval`` is that of the candidate's value alone: a limit is judged on it.
    """

    name: str
    measure: str
    unit: str
    kind: GateKind
    better: Literal["higher", "lower"]
    margin: float
    estimate: float | None
    interval: Interval | None
    n: int
    status: GateStatus
    reason: str
    own_interval: Interval | None = None


@dataclass(frozen=True)
class Verdict:
    """The answer for one candidate, with its reasons; where it is ready, with what was judged.

    ``caution`` is what nobody may overlook who reads no more than "ready".
    """

    status: Status
    reasons: tuple[str, ...]
    judged: tuple[str, ...] = ()
    caution: str | None = None


@dataclass(frozen=True)
class _Test:
    """A gate before judgement. ``sign`` is 1 where higher is better."""

    spec: Mapping[str, Any]
    measure: Measure
    pair: Pair
    planned: int

    @property
    def sign(self) -> int:
        return 1 if self.measure.better == "higher" else -1

    @property
    def relative(self) -> bool:
        """Whether the margin is against the incumbent."""
        return self.spec["margin"] is not None

    @property
    def sampled(self) -> bool:
        """Whether the value is an estimate from a sample, with an interval."""
        return self.relative or self.measure.section in {"drift", "latency"}

    @property
    def margin(self) -> float:
        """What the scenario wrote."""
        return float(self.spec["margin"] if self.relative else self.spec["limit"])

    @property
    def bound(self) -> float:
        """The worst value that is still good, on the scale of what is compared."""
        return -self.sign * self.margin if self.relative else self.margin

    @cached_property
    def _rows(self) -> dict[float, Row]:
        return {}

    def row(self, alpha: float) -> Row:
        """The measure's row with intervals at one-sided ``alpha``; made once."""
        if alpha not in self._rows:
            self._rows[alpha] = self.measure.row(self.pair.at(1 - 2 * alpha))
        return self._rows[alpha]

    def compared(self, row: Row) -> tuple[float | None, Interval | None]:
        """The value and the interval that the bound applies to."""
        if self.relative:
            return row.estimate, row.interval
        value = finite(row.candidate)
        if self.sampled:
            return value, row.own
        return value, None if value is None else (value, value)

    def resolved(self, interval: Interval, alpha: float) -> Interval:
        """The interval that is judged: for a time, widened by what the drill's own delay may have
        added to what was measured."""
        ends = own_delay.bounds(self.measure, self.pair.at(1 - 2 * alpha))
        if ends is None:
            return interval
        low, high = (self.compared(self.measure.row(end))[1] for end in ends)
        return (low[0] if low else -math.inf, high[1] if high else math.inf)

    def noise(self, alpha: float) -> Row:
        """A/A: the row of the incumbent against itself."""
        return self.measure.row(self.pair.at(1 - 2 * alpha).noise_pair())

    def kept(self, value: float) -> bool:
        """Whether a value keeps its limit, which may be reached; sums of money are rounded."""
        return self.sign * (value - self.bound) >= -1e-9 * abs(self.bound)

    def good(self, interval: Interval) -> bool:
        """Whether all of the interval is on the good side."""
        low, high = interval
        return low > self.bound if self.sign > 0 else high < self.bound

    def bad(self, interval: Interval) -> bool:
        """Whether all of the interval is on the bad side."""
        low, high = interval
        return high < self.bound if self.sign > 0 else low > self.bound


def judge(specs: Sequence[Mapping[str, Any]], pair: Pair, alpha: float, planned: int) -> list[Gate]:
    """The gates of one candidate, each at ``alpha`` (one-sided).

    ``specs`` are the plan's gates, ``planned`` the number of trials each arm should have.
    """
    tests = [_Test(spec, BY_NAME[spec["measure"]], pair, planned) for spec in specs]
    failed = _failed(tests, alpha, _is_bad)
    doubtful = _failed(tests, alpha, _looks_bad) - failed
    return [
        _gate(test, number in failed, number in doubtful, alpha)
        for number, test in enumerate(tests)
    ]


def unanswered(pair: Pair) -> list[str]:
    """The obstacles that lie in too few answers."""
    silent = [reason for arm in (pair.incumbent, pair.candidate) if (reason := _silent(arm))]
    answers, asked = _answers(pair.candidate)
    if 0 < answers < LEAST_ANSWERED * asked:
        share = level("share", LEAST_ANSWERED)
        silent.append(
            f"{pair.candidate.name} answered only {answers} of {asked} requests; "
            f"a candidate that answers fewer than {share} is not compared"
        )
    return silent


def rates(pair: Pair) -> str:
    """How many answers were right, and how many there were, on both sides."""
    said = []
    for name, what in (("success", "right answers"), ("answered", "requests answered")):
        row = BY_NAME[name].row(pair)
        if row.candidate is None or row.incumbent is None:
            said.append(f"{what}: not measured")
            continue
        theirs, ours = (level("share", value) for value in (row.candidate, row.incumbent))
        said.append(f"{what}: {theirs} ({pair.incumbent.name}: {ours}; {row.n} cases)")
    return ", ".join(said)


def verdict_of(
    gates: Sequence[Gate],
    obstacles: Sequence[str] = (),
    veto: str | None = None,
    rates: str | None = None,
) -> Verdict:
    """Ready when every gate passes; not ready on a failure or a veto; else inconclusive.

    ``obstacles`` say why the candidate could not be measured as planned, ``rates`` what share of
    its answers there were and were right.
    """
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
    if not any(BY_NAME[gate.measure].section == "drift" for gate in gates):
        caution = "no gate is on the answers"
        caution += f" ({rates})" if rates else ""
        shares = [caution]
    reasons = (*(f"{gate.name}: {gate.reason}" for gate in gates), *shares)
    return Verdict("ready", reasons, (passed, *shares), caution)


def overall(
    verdicts: Mapping[str, Verdict], completed: bool, stopped: str | None
) -> dict[str, Any]:
    """The drill's verdict: of the first candidate that is ready, if any."""
    by_status: dict[Status, list[str]] = {"ready": [], "not_ready": [], "inconclusive": []}
    for name, verdict in verdicts.items():
        by_status[verdict.status].append(name)
    if not completed:
        reason = stopped or "the drill was not completed"
        return {"status": "inconclusive", "candidate": None, "reasons": [reason]}
    if by_status["ready"]:
        return {
            "status": "ready",
            "candidate": by_status["ready"][0],
            "reasons": [_headline(name, verdicts[name]) for name in by_status["ready"]],
            "judged": [
                f"{name}: {line}" for name in by_status["ready"] for line in verdicts[name].judged
            ],
        }
    if by_status["inconclusive"]:
        reasons = [f"{name}: {verdicts[name].reasons[0]}" for name in by_status["inconclusive"]]
        return {"status": "inconclusive", "candidate": None, "reasons": reasons}
    reasons = [f"{name}: {verdicts[name].reasons[0]}" for name in by_status["not_ready"]]
    return {"status": "not_ready", "candidate": None, "reasons": reasons}


def _headline(name: str, verdict: Verdict) -> str:
    return f"{name} is ready" + (f", but {verdict.caution}" if verdict.caution else "")


def _failed(tests: Sequence[_Test], alpha: float, bad: Callable[[_Test, float], bool]) -> set[int]:
    """Which gates fail, by Holm's step-down procedure over those that are tested on a sample.

    What is no sample (money, lines) is compared, not tested: no correction is due. What the drill's
    own delay leaves in doubt is not rejected, so that no other gate is judged at a milder level
    for it.
    """
    failed = {n for n, test in enumerate(tests) if not test.sampled and bad(test, alpha)}
    sampled = {n for n, test in enumerate(tests) if test.sampled}
    while sampled:
        level = alpha / len(sampled)
        rejected = {n for n in sampled if bad(tests[n], level)}
        if not rejected:
            return failed
        failed |= rejected
        sampled -= rejected
    return failed


def _looks_bad(test: _Test, alpha: float) -> bool:
    """Whether a gate is missed for certain, by what was measured."""
    value, interval = test.compared(test.row(alpha))
    if not test.sampled:
        return value is not None and not test.kept(value)
    return interval is not None and not any(map(math.isnan, interval)) and test.bad(interval)


def _is_bad(test: _Test, alpha: float) -> bool:
    """Whether it is also missed without what the drill itself was late."""
    if not _looks_bad(test, alpha):
        return False
    _, interval = test.compared(test.row(alpha))
    return interval is None or not test.sampled or test.bad(test.resolved(interval, alpha))


def _gate(test: _Test, failed: bool, doubtful: bool, alpha: float) -> Gate:
    row = test.row(alpha)
    value, _ = test.compared(row)
    status, reason = _judged(test, row, failed, doubtful, alpha)
    return Gate(
        name=test.spec["name"],
        measure=test.measure.name,
        unit=row.unit or test.measure.unit,
        kind=_kind(test),
        better=test.measure.better,
        margin=test.margin,
        estimate=value,
        interval=row.interval if test.relative else None,
        n=row.n,
        status=status,
        reason=reason,
        own_interval=row.own,
    )


def _judged(
    test: _Test, row: Row, failed: bool, doubtful: bool, alpha: float
) -> tuple[GateStatus, str]:
    """A gate's status with its reason. What makes its numbers worthless comes first."""
    value, interval = test.compared(row)
    noise = test.noise(alpha) if test.relative else None
    obstacle = (
        _missing(test) or _replayed(test) or _half_measured(test) or _fails_itself(test, noise)
    )
    if obstacle:
        return "open", obstacle
    if failed:
        return "fail", _sentence(test, row, "fail")
    if doubtful and own_delay.concerns(test.measure):
        return "open", own_delay.unresolved(test.pair, relative=test.relative)
    if value is None or interval is None:
        return "open", row.note or "not measured"
    too_blunt = None if noise is None else _vacuous(test, row) or _blunt(test, noise)
    if too_blunt:
        return "open", too_blunt
    if not (test.good(interval) if test.sampled else test.kept(value)):
        return "open", _sentence(test, row, "open")
    if test.sampled and not test.good(test.resolved(interval, alpha)):
        return "open", own_delay.unresolved(test.pair, relative=test.relative)
    return "pass", _sentence(test, row, "pass")


def _missing(test: _Test) -> str | None:
    """Trials that were planned and not completed: what is there may not be like what is not."""
    if test.measure.column is None:
        return None
    for arm in (test.pair.incumbent, test.pair.candidate):
        _, completed = _answers(arm)
        if completed < test.planned:
            return f"{arm.name} completed only {completed} of {test.planned} trials"
    return _silent(test.pair.incumbent)


def _silent(arm: ArmFacts) -> str | None:
    """An arm that was asked and never answered."""
    answers, asked = _answers(arm)
    return f"{arm.name} answered none of its {asked} requests" if asked and not answers else None


def _answers(arm: ArmFacts) -> tuple[int, int]:
    """How many trials were answered, of how many that were completed."""
    answered = arm.columns["answered"]
    return int(np.nansum(answered)), int(np.count_nonzero(~np.isnan(answered)))


def _replayed(test: _Test) -> str | None:
    """Answers that were not made now, on however many arms: what they took is not known."""
    return "; ".join(not_timed(test.pair)) or None if test.measure.section == "latency" else None


def _half_measured(test: _Test) -> str | None:
    """Trials that count on one arm only: what is left out may be what is bad."""
    if not test.measure.strict:
        return None
    name = test.measure.reads
    ours, theirs = test.pair.incumbent.columns[name], test.pair.candidate.columns[name]
    count = int(np.count_nonzero(np.isnan(ours) != np.isnan(theirs)))
    if not count:
        return None
    verb = "judged" if test.measure.section == "drift" else "timed"
    return f"{count} of {test.planned} pairs of answers could be {verb} on one side only"


def _fails_itself(test: _Test, noise: Row | None) -> str | None:
    """A/A: an incumbent that fails the gate against itself is no measure of anything."""
    if noise is None or noise.interval is None or not test.bad(noise.interval):
        return None
    return "the incumbent fails this gate against itself: the instrument is too blunt"


def _vacuous(test: _Test, row: Row) -> str | None:
    """An incumbent so bad that the margin reaches down to nothing: whatever answers would pass."""
    if test.sign < 0 or row.incumbent is None or row.incumbent > test.margin:
        return None
    what = level(test.measure.unit, row.incumbent)
    things = test.measure.things or "that itself"
    return f"the incumbent reaches only {what} {things}, so that a candidate with none would pass"


def _blunt(test: _Test, noise: Row) -> str | None:
    """A/A: an incumbent that differs that much from itself cannot be compared this finely."""
    if noise.interval is None:
        return "the incumbent's own noise could not be measured"
    half = (noise.interval[1] - noise.interval[0]) / 2
    if half <= test.margin:
        return None
    unit = test.measure.unit
    known, margin = amount(unit, half), amount(unit, test.margin)
    more = "more than " if known == margin else ""  # by less than is shown
    return (
        f"with {noise.n} {'case' if noise.n == 1 else 'cases'} the incumbent is known only to "
        f"{more}±{known} against itself, and the margin is {margin}: the instrument is too blunt; "
        "more cases, or a wider margin, are needed"
    )


def _sentence(test: _Test, row: Row, status: GateStatus) -> str:
    """What the gate's numbers mean, in plain words."""
    value, interval = test.compared(row)
    unit = row.unit or test.measure.unit
    if value is None or interval is None:
        return f"too many requests missed their deadline ({row.note})"
    if not test.sampled:
        return counted(value, test.margin, unit, kept=test.kept(value))
    measure = test.measure
    figures = Figures(value, interval, test.margin, unit, measure.better, measure.things)
    return (compared if test.relative else limited)(figures, status)


def _kind(test: _Test) -> GateKind:
    if not test.relative:
        return "cap"
    return "non_inferiority" if test.sign > 0 else "bound"
