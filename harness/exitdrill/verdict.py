"""Gates in, verdict out.

A gate is judged on intervals: it passes when the whole one-sided interval lies on the good side
of its margin, fails when it lies on the bad side (after Holm's correction over the gates of a
candidate, because a single failure suffices), and is open in between. What was not measured is
open, never a pass. With k candidates each is tested at alpha/k. Sources: research on
non-inferiority tests; Holm, *A simple sequentially rejective multiple test procedure*,
Scandinavian Journal of Statistics 6 (1979) 65–70.

Before anything else the incumbent is held against itself (A/A): where it fails a gate, or is known
less finely than the margin, the instrument is too blunt and the gate is open, whatever the
candidate did. An open gate has a *cause*, each with its own sentence, and says how many more cases
would settle it.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from exitdrill.measures import BY_NAME, own_delay
from exitdrill.measures.base import ArmFacts, Mask, Measure, Pair, Row, finite
from exitdrill.measures.usage import not_timed
from exitdrill.sentences import Figures, amount, compared, counted, level, limited
from exitdrill.settling import Design, More, Seen, scaled, settles, takes
from exitdrill.stats import Interval, fewest_samples

GateStatus = Literal["pass", "fail", "open"]
GateKind = Literal["non_inferiority", "bound", "cap"]
"""Against the incumbent: ``non_inferiority`` where higher is better, ``bound`` where lower is. A
``cap`` is a limit on the candidate's own value."""
Status = Literal["ready", "not_ready", "inconclusive"]
Cause = Literal[
    "raised",
    "broken_off",
    "no_answers",
    "replayed",
    "half_measured",
    "fails_itself",
    "too_blunt",
    "too_few",
    "not_measured",
    "own_delay",
    "vacuous",
    "undecided",
]
"""Why a gate is open: a checker or a measure raised; an arm was not asked all that was planned, or
answered nothing; answers came from a cache; some were measured on one side only; the incumbent
fails against itself; it is known too bluntly; there are too few cases for an interval; nothing was
measured; the drill's own delay could decide; the incumbent is so bad that nothing would pass too;
the interval holds the margin."""
LEAST_ANSWERED = 0.5
"""The share of its requests that a candidate must have answered to be compared."""


@dataclass(frozen=True)
class Gate:
    """A gate, judged. ``interval`` is two-sided at 1 − 2·alpha, in candidate − incumbent.

    ``own_interval`` is that of the candidate's value alone: a limit is judged on it. ``cause`` says
    why it is open, ``more`` how many cases would settle it, ``method`` how the interval was made.
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
    cause: Cause | None = None
    more: More | None = None
    method: str | None = None
    clusters: int | None = None


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


@dataclass(frozen=True)
class _Test:
    """A gate before judgement, at one-sided ``alpha``. ``sign`` is 1 where higher is better."""

    spec: Mapping[str, Any]
    measure: Measure
    pair: Pair
    alpha: float

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
    def obstacle(self) -> tuple[Cause, str] | None:
        """What makes the gate's numbers worthless, the first of it."""
        return next(((cause, said) for cause, said in _obstacles(self) if said), None)

    @cached_property
    def _rows(self) -> dict[tuple[float, bool], Row]:
        return {}

    def row(self, alpha: float, *, noise: bool = False) -> Row:
        """The measure's row with intervals at one-sided ``alpha``; made once.

        ``noise``: A/A, the row of the incumbent against itself.
        """
        key = alpha, noise
        if key not in self._rows:
            pair = self.judged_at(alpha)
            self._rows[key] = self.measure.row(pair.noise_pair() if noise else pair)
        return self._rows[key]

    def judged_at(self, alpha: float) -> Pair:
        """The pair with intervals at one-sided ``alpha`` that decide at the gate's bound."""
        return self.pair.at(1 - 2 * alpha, self.bound if self.relative else None)

    def compared(self, row: Row) -> tuple[float | None, Interval | None]:
        """The value and the interval that the bound applies to."""
        if self.relative:
            return row.estimate, row.interval
        value = finite(row.estimate if self.measure.of_pair else row.candidate)
        if self.sampled:
            return value, row.own
        return value, None if value is None else (value, value)

    def resolved(self, interval: Interval, alpha: float) -> Interval:
        """The interval that is judged: for a time, widened by what the drill's own delay may have
        added to what was measured."""
        ends = own_delay.bounds(self.measure, self.judged_at(alpha))
        if ends is None:
            return interval
        low, high = (self.compared(self.measure.row(end))[1] for end in ends)
        return (low[0] if low else -math.inf, high[1] if high else math.inf)

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


def judge(
    specs: Sequence[Mapping[str, Any]], pair: Pair, alpha: float, power: float = 0.8
) -> list[Gate]:
    """The gates of one candidate, each at ``alpha`` (one-sided).

    ``specs`` are the plan's gates. The columns of the pair have a place for every trial that was
    planned. ``power`` is for how many more cases an open gate would take.
    """
    tests = [_Test(spec, BY_NAME[spec["measure"]], pair, alpha) for spec in specs]
    failed = _failed(tests, alpha, _is_bad)
    doubtful = _failed(tests, alpha, _looks_bad) - failed
    design = Design(alpha, power, max(sum(test.sampled for test in tests), 1))
    return [
        _gate(test, number in failed, number in doubtful, design)
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


def bound_of(measure: Measure, spec: Mapping[str, Any] | None) -> float | None:
    """The difference at which a gate on a measure decides; None where it has no margin."""
    if spec is None or spec["margin"] is None:
        return None
    return -float(spec["margin"]) if measure.better == "higher" else float(spec["margin"])


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
    """Whether it is also missed without what the drill itself was late, and by numbers that are
    worth something: a gate that stays open leaves no other one a milder level."""
    if not _looks_bad(test, alpha) or test.obstacle:
        return False
    _, interval = test.compared(test.row(alpha))
    return interval is None or not test.sampled or test.bad(test.resolved(interval, alpha))


def _gate(test: _Test, failed: bool, doubtful: bool, design: Design) -> Gate:
    row = test.row(design.alpha)
    value, _ = test.compared(row)
    status, cause, reason = _judged(test, row, failed, doubtful)
    more = _more(test, row, cause, design)
    labels = test.pair.clusters
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
        reason=reason if more is None else f"{reason}; {more.text}",
        own_interval=row.own,
        cause=cause,
        more=more,
        method=row.note if test.sampled else None,
        clusters=None if labels is None else len(np.unique(labels)),
    )


def _judged(
    test: _Test, row: Row, failed: bool, doubtful: bool
) -> tuple[GateStatus, Cause | None, str]:
    """A gate's status, why it is open, and the reason. What makes its numbers worthless comes
    first."""
    value, interval = test.compared(row)
    if test.obstacle:
        return "open", *test.obstacle
    if failed:
        return "fail", None, _sentence(test, row, "fail")
    if doubtful and own_delay.concerns(test.measure):
        return "open", "own_delay", own_delay.unresolved(test.pair, relative=test.relative)
    if value is None or interval is None:
        return "open", *_unknown(test, row)
    if empty := _vacuous(test, row):
        return "open", "vacuous", empty
    if not (test.good(interval) if test.sampled else test.kept(value)):
        return "open", "undecided", _sentence(test, row, "open")
    if test.sampled and not test.good(test.resolved(interval, test.alpha)):
        return "open", "own_delay", own_delay.unresolved(test.pair, relative=test.relative)
    return "pass", None, _sentence(test, row, "pass")


def _obstacles(test: _Test) -> Iterator[tuple[Cause, str | None]]:
    """What keeps a gate open whatever its numbers are, in the order in which it is said."""
    yield "raised", _raised(test)
    yield "broken_off", _missing(test)
    yield "no_answers", _unanswered(test)
    yield "replayed", _replayed(test)
    yield "half_measured", _half_measured(test)
    yield "fails_itself", _fails_itself(test)
    yield "too_blunt", _blunt(test)


def _more(test: _Test, row: Row, cause: Cause | None, design: Design) -> More | None:
    """How many more cases would settle an open gate; None where that is not the question."""
    value, interval = test.compared(row)
    if cause == "undecided" and value is not None and interval is not None:
        good = test.sign * (value - test.bound) > 0
        seen = Seen(value, interval, test.bound, row if test.relative else None)
        return settles(test.pair, seen, design, good=good)
    if cause == "too_few" and test.measure.section == "latency":
        return takes(test.pair, scaled(test.pair, _fewest(test) / _independent(test)))
    return _sharper(test, design) if cause == "too_blunt" and test.margin else None


def _sharper(test: _Test, design: Design) -> More | None:
    """How many more cases would make the instrument fine enough.

    A score interval's half-width is about √(z²·s²·n + z⁴) / (n + z²), s² the variance of one case;
    of what is no share, or where s² is not known, it narrows with the root of n.
    """
    noise, n = test.row(design.alpha, noise=True), _independent(test)
    if noise.interval is None or not math.isfinite(width := noise.interval[1] - noise.interval[0]):
        return None
    z2, wanted = NormalDist().inv_cdf(1 - design.alpha) ** 2, test.margin
    needed = 0.0
    if noise.error is not None:
        s2 = noise.error**2 * n
        root = math.sqrt(s2**2 + 4 * wanted**2 * max(1 - s2, 0.0))
        needed = z2 * (s2 + root) / (2 * wanted**2) - z2
    if needed <= n:
        needed = n * (width / (2 * wanted)) ** 2
    return takes(test.pair, scaled(test.pair, needed / n))


def _independent(test: _Test) -> int:
    """How many independent cases were measured; those of the arm that has fewer."""
    arms, name = (test.pair.incumbent, test.pair.candidate), test.measure.reads
    measured: list[Mask] = [np.any(~np.isnan(arm.columns[name]), axis=1) for arm in arms]
    return max(min(map(test.pair.independent, measured)), 1)


def _unknown(test: _Test, row: Row) -> tuple[Cause, str]:
    """Why there is no value, or no interval."""
    note = row.note or "not measured"
    if not note.startswith("no interval"):
        return "not_measured", note
    if test.relative or test.measure.section != "latency":
        return "too_few", note
    units = "cases" if test.pair.clusters is None else "independent clusters of cases"
    n, needed = _independent(test), _fewest(test)  # one arm alone needs fewer than the row's two
    return "too_few", f"no interval: {n} {units} are too few, it takes {needed}"


def _fewest(test: _Test) -> int:
    """The cases that a percentile's interval takes."""
    q = float(f"0.{test.measure.name.rpartition('_p')[2]}")
    two_arms = 2 if test.relative else 1
    sequential = test.pair.looks is not None
    return fewest_samples(q, 1 - 2 * test.alpha / two_arms, sequential=sequential)


def _raised(test: _Test) -> str | None:
    """A checker, or an installed measure, that raised: what it would have said nobody knows."""
    for arm in (test.pair.incumbent, test.pair.candidate):
        completed = ~np.isnan(arm.columns["answered"])
        for name in test.measure.columns:
            if name in arm.problems and np.isnan(arm.columns[name][completed]).any():
                return f"not every answer of {arm.name} could be judged: {arm.problems[name]}"
    return None


def _missing(test: _Test) -> str | None:
    """Trials that were planned and not completed: what is there may not be like what is not."""
    if test.measure.column is None:
        return None
    for arm in (test.pair.incumbent, test.pair.candidate):
        _, completed = _answers(arm)
        if completed < arm.columns["answered"].size:
            planned = arm.columns["answered"].size
            return f"{arm.name} completed only {completed} of {planned} trials"
    return None


def _unanswered(test: _Test) -> str | None:
    return None if test.measure.column is None else _silent(test.pair.incumbent)


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
    share = np.all if test.measure.rival else np.mean  # one value per case, or one per trial
    ours, theirs = (
        share(np.isnan(arm.columns[name]), axis=1)
        for arm in (test.pair.incumbent, test.pair.candidate)
    )
    count = int(np.count_nonzero(ours != theirs))
    if not count:
        return None
    verb = "judged" if test.measure.section == "drift" else "timed"
    return f"the answers to {count} of {len(ours)} cases could be {verb} on one side only"


def _fails_itself(test: _Test) -> str | None:
    """A/A: an incumbent that fails the gate against itself is no measure of anything."""
    if not test.relative:
        return None
    noise = test.row(test.alpha, noise=True)
    if noise.interval is None:
        return None
    low, high = noise.interval
    if not (test.bad((low, high)) or test.bad((-high, -low))):  # which repeats come first is chance
        return None
    return "the incumbent fails this gate against itself: the instrument is too blunt"


def _vacuous(test: _Test, row: Row) -> str | None:
    """An incumbent so bad that the margin reaches down to nothing: whatever answers would pass."""
    if test.sign < 0 or row.incumbent is None or row.incumbent > test.margin:
        return None
    if test.measure.rival:  # what it lacks the candidate has
        return None
    what = level(test.measure.unit, row.incumbent)
    things = test.measure.things or "that itself"
    return f"the incumbent reaches only {what} {things}, so that a candidate with none would pass"


def _blunt(test: _Test) -> str | None:
    """A/A: an incumbent that differs that much from itself cannot be compared this finely."""
    if not test.relative:
        return None
    noise, row = test.row(test.alpha, noise=True), test.row(test.alpha)
    if noise.interval is None:
        return None if row.interval is None else "the incumbent's own noise could not be measured"
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
