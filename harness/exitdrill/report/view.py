"""What the renderers have in common: rows, gates and verdicts as text, and nothing about markup.

Everything here is generic: no measure, unit or gate is known by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exitdrill.report.units import NOT_MEASURED, Quantity, quantity
from exitdrill.sentences import count_of

SECTIONS = ("drift", "latency", "cost", "change")
NOT_KNOWN = "not known"
DOES_NOT_APPLY = "does not apply"
MISSED = "missed"
"""The cell of a deadline that too many requests missed."""
WHAT_N_COUNTS = (
    "n counts cases for shares and tokens, and requests (one per case and repeat) for times and "
    "money; a time reads “missed” where too many requests failed or came empty."
)

# A sign and a word each: nothing rests on colour alone.
STATUS = {
    "ready": ("✓", "ready"),
    "not_ready": ("✗", "not ready"),
    "inconclusive": ("?", "inconclusive"),
    "pass": ("✓", "pass"),
    "fail": ("✗", "fail"),
    "open": ("?", "open"),
}
COUNTED = {"fail": "failed", "open": "open", "pass": "passed"}
"""How gates are counted, the worst first."""
CAUSES = {
    "raised": "a checker or measure raised an error",
    "broken_off": "not all was asked",
    "no_answers": "the incumbent gave no answer",
    "replayed": "answers came from a cache",
    "half_measured": "measured on one side only",
    "fails_itself": "the incumbent fails against itself",
    "too_blunt": "the instrument is too blunt",
    "too_few": "too few cases",
    "not_measured": "not measured",
    "own_delay": "the drill's own delay could decide",
    "vacuous": "anything would pass",
    "undecided": "not settled by these cases",
}
"""Why a gate is open, in a few words: each cause has a status of its own."""
HOW_JUDGED = (
    "First comes whether the figures of a gate can be relied on. Where they cannot, it is open "
    "wherever its interval lies: not all was asked, say, or the incumbent differs too much from "
    "itself. Else it passes where the whole of its interval lies on the good side of the margin, "
    "fails where the whole of it lies on the bad side (of several gates the first to fail has to "
    "do so more clearly), and is open in between. A cost is that of this workload as it was "
    "asked, and changed lines are counted: they have no interval, and are compared with their "
    "limits as they are. What was not measured is open, never a pass."
)
EDITED = "edited after the plan was registered: "
"""How the reason begins that says so; it stands among the warnings."""
ARM_STATUS = {
    "complete": "every planned request was asked",
    "broken_off": "not asked to the end",
    "not_started": "not started",
}
LONGEST = 400
"""Characters of a sentence that is said once more elsewhere."""
FIRST_NOT_TESTED = 2
"""Sentences on what was not tested that stand beside the verdict."""
CLAIMS = (
    "It reports one drill: these requests, these models and servers, these settings, at this time.",
    "It certifies nothing, and does not say that any law or framework is complied with; whether "
    "an exit was tested sufficiently is for a person to judge.",
    "Passing a gate means that the candidate was not worse than the margin that was set, on the "
    "measure that was set; it does not mean that the two models are functionally equivalent.",
    "A drill is not a cut-over in production. Enforceability of the contract, return of data, and "
    "what happens in an insolvency were not tried.",
    "Whether the candidate may replace the incumbent, and who accepts the risk that is left, "
    "is decided by a named person, not by this file.",
)


def status(word: str) -> str:
    """``✓ pass``."""
    return " ".join(STATUS[word])


@dataclass(frozen=True, slots=True)
class Row:
    """One measured quantity, as text; ``reference`` is the incumbent's figure as a number."""

    name: str
    label: str
    unit: str
    note: str | None
    incumbent: str
    candidate: str
    estimate: str
    interval: str
    noise: str
    n: str
    reference: float | None = None

    @property
    def measured(self) -> bool:
        """Whether there is any figure."""
        figures = (self.incumbent, self.candidate, self.estimate, self.noise)
        return any(figure != NOT_MEASURED for figure in figures)


def row(raw: Mapping[str, Any]) -> Row:
    """A drift, latency, cost or change row as text."""
    written = quantity(raw["unit"], _numbers(raw))
    return Row(
        name=raw["name"],
        label=raw["label"] or raw["name"],
        unit=_unit(written, raw["label"] or raw["name"]),
        note=raw["note"],
        incumbent=_end(raw, "incumbent", written),
        candidate=_end(raw, "candidate", written),
        estimate=written.difference(raw["estimate"]),
        interval=written.interval(raw["interval"]),
        noise=written.spread(raw["noise"]),
        n=count(raw["n"]) if raw["n"] or not _known(raw) else DOES_NOT_APPLY,
        reference=raw["incumbent"],
    )


def _known(raw: Mapping[str, Any]) -> bool:
    """Whether there is a figure: one without an n was not drawn from a sample."""
    return any(raw[key] is not None for key in ("incumbent", "candidate", "estimate", "noise"))


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate, as text; ``row`` is the measured row that it judges, where there is one."""

    name: str
    measure: str
    unit: str
    status: str
    estimate: str
    interval: str
    margin: str
    n: str
    reason: str
    row: Row | None
    cause: str | None = None
    method: str | None = None

    @property
    def words(self) -> str:
        """``pass``; of an open gate also why: ``open: too few cases``."""
        word = STATUS[self.status][1]
        return word if self.cause is None else f"{word}: {self.cause}"

    @property
    def said(self) -> str:
        """The status with its sign, and the cause: ``? open: too few cases``."""
        return f"{STATUS[self.status][0]} {self.words}"

    @property
    def detail(self) -> str:
        """The measure and the unit, as far as the name does not say them."""
        parts = ("" if self.measure == self.name else self.measure, self.unit)
        return ", ".join(part for part in parts if part)


def gate(raw: Mapping[str, Any], candidate: Mapping[str, Any]) -> Gate:
    """A gate of a candidate as text."""
    judged = raw_row(raw["measure"], candidate)
    written = _written_gate(raw, judged)
    return Gate(
        name=raw["name"],
        measure=raw["measure"],
        unit=_unit(written, f"{raw['name']} {raw['measure']}"),
        status=raw["status"],
        estimate=_gate_estimate(raw, judged, written),
        interval=_gate_interval(raw, written),
        margin=_margin(raw, written),
        n=count(raw["n"]) if raw["n"] or is_comparison(raw) else DOES_NOT_APPLY,
        reason=raw["reason"],
        row=None if judged is None else row(judged),
        cause=_cause(raw),
        method=_method(raw),
    )


def _cause(raw: Mapping[str, Any]) -> str | None:
    """Why a gate is open; None where it is not, or an older report does not say."""
    cause = raw.get("cause")
    return CAUSES[cause] if cause is not None and raw["status"] == "open" else None


def _method(raw: Mapping[str, Any]) -> str | None:
    """How a gate's figures were made, unless the reason says that already."""
    method = raw.get("method")
    if not method or method in raw["reason"]:
        return None
    clusters = raw.get("clusters")
    if clusters is None or "cluster" in method:
        return str(method)
    return f"{method}; {count_of(clusters, 'cluster')}"


def is_comparison(raw: Mapping[str, Any]) -> bool:
    """Whether a gate judges candidate - incumbent, rather than a figure of the candidate's."""
    return raw["kind"] in {"non_inferiority", "bound"}


def threshold(raw: Mapping[str, Any]) -> float | None:
    """Where on the axis candidate - incumbent a gate's margin lies.

    Non-inferiority: better is higher, and the margin is what may be lost. A bound is not to be
    exceeded.
    """
    margin: float | None = raw["margin"]
    if margin is None:
        return None
    return -abs(margin) if raw["kind"] == "non_inferiority" else margin


def _end(raw: Mapping[str, Any], end: str, written: Quantity) -> str:
    """The value of one end."""
    return MISSED if end in raw.get("missed", ()) else written.value(raw[end])


def _gate_estimate(
    raw: Mapping[str, Any], judged: Mapping[str, Any] | None, written: Quantity
) -> str:
    if raw["estimate"] is None and "candidate" in (judged or {}).get("missed", ()):
        return MISSED
    if raw["kind"] == "veto" and raw["estimate"] is None and raw["status"] != "open":
        return DOES_NOT_APPLY  # a veto was judged, and there is no figure to it
    return (written.difference if is_comparison(raw) else written.value)(raw["estimate"])


def _gate_interval(raw: Mapping[str, Any], written: Quantity) -> str:
    if not is_comparison(raw):
        own = raw.get("own_interval")
        return DOES_NOT_APPLY if own is None else written.range(own)
    return written.interval(raw["interval"])


def higher_is_better(raw: Mapping[str, Any]) -> bool:
    """On which side of its margin a gate passes."""
    return bool(raw["kind"] == "non_inferiority" or raw.get("better") == "higher")


def _margin(raw: Mapping[str, Any], written: Quantity) -> str:
    limit = threshold(raw)
    if limit is None:
        return "must hold" if raw["kind"] == "veto" else "none set"
    sign = "≥" if higher_is_better(raw) else "≤"
    text = written.allowance(limit) if is_comparison(raw) else written.limit(limit)
    return f"{sign} {text}"


def gates(candidate: Mapping[str, Any]) -> list[Gate]:
    """The gates of a candidate."""
    return [gate(raw, candidate) for raw in candidate["gates"]]


@dataclass(frozen=True, slots=True)
class Reference:
    """The incumbent's figure of a gate, as text and as a number (None: a missed deadline)."""

    text: str
    value: float | None


def references(data: Mapping[str, Any]) -> dict[str, Reference]:
    """The incumbent's figure of each gate, by the gate's name, where it is known.

    A row has the incumbent's figure on the cases that its candidate was asked. So it is that of a
    candidate that was asked to the end; where there is none, the incumbent's own over all of its
    trials, where the report has it.
    """
    found: dict[str, Reference] = {}
    own = data["incumbent"].get("success")
    for candidate in sorted(data["candidates"], key=_cut_short):
        for raw in candidate["gates"]:
            judged = raw_row(raw["measure"], candidate)
            text = NOT_MEASURED if judged is None else row(judged).incumbent
            if judged is None or text == NOT_MEASURED or raw["name"] in found:
                continue
            value = judged["incumbent"]
            if _cut_short(candidate) and raw["measure"] == "success" and own is not None:
                value, text = own, quantity(judged["unit"], [own]).value(own)
            found[raw["name"]] = Reference(text, value)
    return found


def _cut_short(candidate: Mapping[str, Any]) -> bool:
    return bool(candidate["status"] != "complete")


def other_reference(judged: Gate, known: Mapping[str, Reference]) -> str | None:
    """The incumbent's figure that a candidate is compared with, where it is not the ``known``."""
    reference = known.get(judged.name)
    if judged.row is None or judged.row.incumbent == NOT_MEASURED or reference is None:
        return None
    same = judged.row.reference == reference.value
    return None if same or judged.row.incumbent == reference.text else judged.row.incumbent


def gate_counts(candidate: Mapping[str, Any]) -> str:
    """``1 gate failed, 2 passed, 1 veto``."""
    return _counts(candidate, "")


def gate_causes(candidate: Mapping[str, Any]) -> str:
    """The counts, with why gates are open: ``2 gates open (too few cases), 1 passed``."""
    causes = [_cause(raw) for raw in candidate["gates"]]
    said = ", ".join(dict.fromkeys(cause for cause in causes if cause))
    return _counts(candidate, f" ({said})" if said else "")


def _counts(candidate: Mapping[str, Any], causes: str) -> str:
    found = [each["status"] for each in candidate["gates"]]
    counts = [(found.count(name), word) for name, word in COUNTED.items() if name in found]
    parts = [f"{number} {word}" for number, word in counts]
    if counts:
        number, word = counts[0]
        parts[0] = f"{count_of(number, 'gate')} {word}"
    parts = [f"{part}{causes}" if part.endswith("open") else part for part in parts]
    vetoed = ["1 veto"] if candidate.get("veto") else []
    return ", ".join([*(parts or ["no gate was judged"]), *vetoed])


def stopped(data: Mapping[str, Any]) -> str:
    """Why a drill was not completed; nothing where it was."""
    drill = data["drill"]
    if drill["completed"]:
        return ""
    return drill["stopped"] or "No reason was recorded."


def sentence(text: str) -> str:
    """A reason where a sentence belongs: with a capital letter and a full stop."""
    ended = text if text.endswith((".", "!", "?", "…")) else f"{text}."
    return ended[:1].upper() + ended[1:]


def first_not_tested(data: Mapping[str, Any]) -> str:
    """What was not tested, for who reads no further; nothing where nothing was named."""
    found = data["not_tested"]
    if not found:
        return ""
    said = " ".join(sentence(cut(each, LONGEST)) for each in found[:FIRST_NOT_TESTED])
    more = len(found) - FIRST_NOT_TESTED
    return f"{said} And {more:,} more, below." if more > 0 else said


def warnings(data: Mapping[str, Any], found: Sequence[str] = ()) -> list[str]:
    """What stands beside the verdict: what was edited, and what else was ``found``."""
    edited = data["drill"].get("edited") or []
    note = f"{EDITED.capitalize()}{', '.join(edited)}. Judged are the registered gates."
    return [*([note] if edited else []), *found]


def said_first(data: Mapping[str, Any]) -> str | None:
    """What has to be read right after the headline: that the incumbent itself is not right."""
    return data["incumbent"].get("first") or None


def failures(arm: Mapping[str, Any], said: Sequence[str]) -> list[str]:
    """How many trials of an arm failed, and most often why; nothing where that was ``said``."""
    found = arm.get("failed")
    return [sentence(found)] if found and not any(found in each for each in said) else []


def incumbent_failures(data: Mapping[str, Any]) -> list[str]:
    """The same of the incumbent, where no reason of any verdict says it."""
    judged = [data["verdict"], *(each["verdict"] for each in data["candidates"])]
    return failures(data["incumbent"], [reason for each in judged for reason in each["reasons"]])


def broke_off(reason: str) -> str:
    """How a verdict says why an arm broke off; the arm's own status says the reason alone."""
    return f"broke off: {reason}"


def reasons(data: Mapping[str, Any]) -> list[str]:
    """The verdict's reasons, without what stands beside them: why it stopped, what was edited."""
    return without_edits(data, fresh(data["verdict"]["reasons"], stopped(data)))


def without_edits(data: Mapping[str, Any], found: Sequence[str]) -> list[str]:
    """Reasons without the one that the plan was edited, where a warning says so."""
    edited = bool(data["drill"].get("edited"))
    return [reason for reason in found if not (edited and reason.startswith(EDITED))]


def fresh(sentences: Sequence[str], said: str) -> list[str]:
    """Each sentence once, but for those that were said."""
    return [each for each in dict.fromkeys(sentences) if each not in said]


def money(amount: Mapping[str, Any] | None) -> str:
    """``1.25 EUR``."""
    if amount is None:
        return NOT_MEASURED
    currency, number = amount["currency"], amount["amount"]
    return f"{quantity(currency, [number]).value(number)} {currency}"


def count(number: int | None) -> str:
    """``1,024``."""
    return NOT_MEASURED if number is None else f"{number:,}"


def headline(data: Mapping[str, Any]) -> str:
    """The verdict as a sentence about the two ends."""
    incumbent, verdict = data["incumbent"]["name"], data["verdict"]
    match verdict["status"]:
        case "ready" if verdict["candidate"] is not None:
            return f"In this drill, {incumbent} could be left for {verdict['candidate']}."
        case "ready":
            return f"In this drill, {incumbent} could be left."
        case "not_ready":
            return f"In this drill, {incumbent} could not be left for any candidate."
    return f"This drill does not settle whether {incumbent} can be left."


def cut(text: str, limit: int) -> str:
    """The beginning of a text, for places that are narrow and say the whole elsewhere."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def raw_row(name: str, candidate: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The measured row of that name."""
    rows: Sequence[Mapping[str, Any]] = [each for key in SECTIONS for each in candidate[key]]
    return next((each for each in rows if each["name"] == name), None)


def _unit(written: Quantity, label: str) -> str:
    """The unit to write beside a label that does not hold it already (lines changed, lines)."""
    return "" if written.heading.lower() in label.lower() else written.heading


def _written_gate(raw: Mapping[str, Any], judged: Mapping[str, Any] | None) -> Quantity:
    """A gate is written on the scale of the row that it judges, whatever its limit is."""
    intervals = (*(raw["interval"] or ()), *(raw.get("own_interval") or ()))
    numbers = [raw["estimate"], raw["margin"], *intervals]
    written = quantity(raw["unit"], numbers, () if judged is None else _numbers(judged))
    limit = threshold(raw)
    return written if limit is None else written.beside(limit, [raw["estimate"], *intervals])


def _numbers(row: Mapping[str, Any]) -> list[float | None]:
    ends = (row[key] for key in ("incumbent", "candidate", "estimate", "noise"))
    return [*ends, *(row["interval"] or ())]


def delay(arm: Mapping[str, Any]) -> str | None:
    """How late the drill itself was while it asked an arm; None where that is not known."""
    found = arm.get("delay")
    if not found:
        return None
    names = ("p50", "p95", "p99")
    written = quantity("s", [found[name] for name in names])
    said = ", ".join(f"{name} {written.value(found[name])}" for name in names)
    return f"{arm['name']}: {said}"
