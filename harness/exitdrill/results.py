"""From the journal to ``report.json`` and ``cases.jsonl``; nobody is called.

``cases.jsonl`` has a line per planned trial; ``report.json`` the measures, gates and verdicts, and
a selection of cases.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from exitdrill.backend import Edit
from exitdrill.checkers import Checker
from exitdrill.exchange import allowed
from exitdrill.files import replacing
from exitdrill.journal import Journal
from exitdrill.measures import MEASURES
from exitdrill.measures.base import Pair, Row, finite
from exitdrill.measures.facts import Facts, Measured
from exitdrill.records import Exchange
from exitdrill.report.text import LONGEST, shorten
from exitdrill.verdict import Gate, Verdict, judge, overall, rates, unanswered, verdict_of
from exitdrill.workload import Case

SCHEMA_VERSION = 1
SELECTED = 40
LONGEST_PROMPT = 2_000
LONGEST_SHOWN = LONGEST - 60  # with the note of the cut, a report does not cut it once more

Json = dict[str, Any]


def write_results(journal: Journal, checkers: Mapping[str, Checker], folder: Path) -> Json:
    """Measure a journal; write ``cases.jsonl`` and ``report.json``; return the latter's content."""
    plan = journal.input("plan")
    facts = Facts(journal, plan, checkers)
    selection = _Selection(plan["incumbent"])
    distinct: set[bytes] = set()
    edits: dict[str, Counter[tuple[str, str, str]]] = {arm: Counter() for arm in facts.columns}
    with replacing(folder / "cases.jsonl") as file:
        for case, trials in facts.measure():
            for row in _case_rows(plan, case, trials):
                file.write(_line(row))
            for each in trials:
                edits[each.view.trial.arm].update(_edit_keys(each.view.trial.exchange))
            selection.see(case, trials)
            distinct.add(_fingerprint(case))
    report = _report(journal, plan, facts, edits, selection)
    report["not_tested"] += _not_known(facts, journal.size, len(distinct))
    with replacing(folder / "report.json") as file:
        json.dump(report, file, indent=1, allow_nan=False)
        file.write("\n")
    return report


# --- report.json --------------------------------------------------------------------------------


def _report(
    journal: Journal,
    plan: Json,
    facts: Facts,
    edits: Mapping[str, Counter[tuple[str, str, str]]],
    selection: _Selection,
) -> Json:
    arms = journal.input("arms", {})
    stopped = journal.input("stopped")
    spend = journal.spend()
    candidates, verdicts = [], {}
    for name in plan["candidates"]:
        report, verdict = _candidate(journal, plan, facts, name)
        report["edits"] = _edit_rows(edits[name], plan["backends"][name]["allow_edits"])
        candidates.append(report)
        verdicts[name] = verdict
    incumbent = plan["incumbent"]
    success = facts.columns[incumbent]["success"]
    return {
        "schema_version": SCHEMA_VERSION,
        "drill": {
            "id": journal.input("id"),
            "scenario": plan["scenario"],
            "title": plan["title"],
            "started": journal.input("started"),
            "ended": journal.input("ended"),
            "completed": stopped is None,
            "stopped": stopped,
            "exitdrill_version": plan["exitdrill_version"],
            "plan_sha256": journal.input("plan_sha256"),
            "repeated": journal.lost_calls(),
            "spend": {
                "calls": spend.calls,
                "tokens": spend.tokens,
                "money": _money(plan, spend.money),
                "limits": journal.input("budget", plan["budget"]),
            },
        },
        "workload": plan["workload"],
        "incumbent": {
            "name": incumbent,
            "description": _description(plan, arms, incumbent),
            **_status(plan, facts, arms, incumbent, stopped),
            "success": None if np.isnan(success).all() else float(np.nanmean(success)),
            "edits": _edit_rows(edits[incumbent], plan["backends"][incumbent]["allow_edits"]),
        },
        "candidates": candidates,
        "verdict": overall(verdicts, stopped is None, stopped),
        "not_tested": list(_not_tested(journal, plan)),
        "selection": selection.rows(),
    }


def _candidate(journal: Journal, plan: Json, facts: Facts, name: str) -> tuple[Json, Verdict]:
    arms = journal.input("arms", {})
    alpha = plan["alpha_per_candidate"]
    pair = Pair(facts.arm(plan["incumbent"]), facts.arm(name), 1 - 2 * alpha)
    planned = plan["workload"]["asked"] * plan["replay"]["repeats"]
    gates = judge(plan["gates"], pair, alpha, planned)
    status = _status(plan, facts, arms, name, journal.input("stopped"))
    swap_error = journal.input("swaps", {}).get(name, {}).get("error")
    veto = None if swap_error is None else f"swap_failed: {swap_error}"
    obstacles = [] if status["status"] == "complete" else [status["status_reason"]]
    verdict = verdict_of(gates, [*obstacles, *unanswered(pair)], veto, rates(pair))
    report: Json = {
        "name": name,
        "description": _description(plan, arms, name),
        **status,
        **{section: [] for section in ("drift", "latency", "cost", "change")},
        "gates": [_gate(gate) for gate in gates],
        "verdict": {"status": verdict.status, "reasons": list(verdict.reasons)},
    }
    for measure in MEASURES:
        row = measure.row(pair)
        head = {"name": measure.name, "label": measure.label, "unit": row.unit or measure.unit}
        report[measure.section].append(head | _row(row))
    return report, verdict


def _row(row: Row) -> Json:
    return {
        "incumbent": finite(row.incumbent),
        "candidate": finite(row.candidate),
        "estimate": finite(row.estimate),
        "interval": _interval(row.interval),
        "n": row.n,
        "noise": finite(row.noise),
        "note": row.note,
        "missed": [
            end
            for end, value in (("incumbent", row.incumbent), ("candidate", row.candidate))
            if value is not None and math.isinf(value)
        ],
    }


def _gate(gate: Gate) -> Json:
    return asdict(gate) | {
        "estimate": finite(gate.estimate),
        "interval": _interval(gate.interval),
        "own_interval": _interval(gate.own_interval),
    }


def _interval(interval: tuple[float, float] | None) -> list[float] | None:
    if interval is None or not all(map(math.isfinite, interval)):
        return None
    return list(interval)


def _description(plan: Json, arms: Json, name: str) -> Json:
    known: Json | None = arms.get(name, {}).get("description")
    if known is not None:
        return known
    backend = plan["backends"][name]
    nothing = dict.fromkeys(("revision", "weights_sha256", "server", "endpoint_host"))
    both = {"adapter": backend["adapter"], "model": backend["model"]}
    return both | nothing | {"sampling": {}, "details": {}}


def _status(plan: Json, facts: Facts, arms: Json, name: str, stopped: str | None) -> Json:
    """Whether an arm did all that was planned, and why not."""
    planned = plan["workload"]["asked"] * plan["replay"]["repeats"]
    answered = facts.columns[name]["answered"]
    completed = int(np.count_nonzero(~np.isnan(answered)))
    counts = {"completed_trials": completed, "answered_trials": int(np.nansum(answered))}
    reason = arms.get(name, {}).get("reason")
    if completed >= planned and reason is None:
        return {"status": "complete", "status_reason": None, **counts}
    status = "broken_off" if completed else "not_started"
    why = reason or stopped or f"{completed} of {planned} trials were completed"
    return {"status": status, "status_reason": why, **counts}


def _money(plan: Json, amount: float) -> Json | None:
    priced = (backend["price"] for backend in plan["backends"].values())
    currencies = {price["currency"] for price in priced if price and price["per_hour"] is None}
    if len(currencies) != 1:  # nothing is billed by the token, or sums would mix currencies
        return None
    return {"amount": amount, "currency": currencies.pop()}


def _not_tested(journal: Journal, plan: Json) -> Iterator[str]:
    """What this drill says nothing about."""
    workload, replay = plan["workload"], plan["replay"]
    if workload["asked"] < workload["cases"]:
        yield (f"Only the first {workload['asked']} of {workload['cases']} cases were asked.")
    yield "The app was not run: its recorded requests were replayed."
    swaps = journal.input("swaps", {})
    without = [name for name in plan["candidates"] if name not in swaps]
    if without:
        yield f"The change that the app needs was not measured for {', '.join(without)}: no swap."
    if replay["arrivals"] == "closed":
        yield "Latency under the load of production: requests were sent in a closed loop."
    yield "State that a provider hosts (files, threads, vector stores, fine-tunes) is not replayed."
    yield "The way back, the time that an exit takes, and the contract's terms."


def _not_known(facts: Facts, cases: int, distinct: int) -> Iterator[str]:
    """What the cases themselves leave open."""
    known = np.zeros(cases, dtype=bool)
    for columns in facts.columns.values():
        known |= ~np.isnan(columns["success"]).all(axis=1)
    judged = int(np.count_nonzero(known))
    if judged < cases:
        yield (
            f"Success is known for {judged} of {cases} cases: of the others no answer is expected, "
            "or none could be judged."
        )
    if distinct < cases:
        yield (
            f"{cases} cases, but only {distinct} distinct requests: the same request again is no "
            "independent case, so that intervals are narrower than they should be."
        )


def _fingerprint(case: Case) -> bytes:
    text = json.dumps([case.request.operation, case.request.body], sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


# --- edits --------------------------------------------------------------------------------------


def _edit_keys(exchange: Exchange) -> Iterator[tuple[str, str, str]]:
    for edit in exchange.edits:
        yield edit.action, re.sub(r"/\d+(?=/|$)", "/*", edit.path), edit.detail


def _edit_rows(counts: Counter[tuple[str, str, str]], rules: list[str]) -> list[Json]:
    return [
        {
            "action": action,
            "path": path,
            "detail": detail,
            "count": count,
            "allowed": allowed(Edit(action, path, detail), rules),  # type: ignore[arg-type]  # it was an Edit's
        }
        for (action, path, detail), count in counts.most_common()
    ]


# --- cases --------------------------------------------------------------------------------------


def _case_rows(plan: Json, case: Case, trials: Sequence[Measured]) -> Iterator[Json]:
    by_key = {(each.view.trial.arm, each.view.trial.repeat): each for each in trials}
    for arm in [plan["incumbent"], *plan["candidates"]]:
        for repeat in range(plan["replay"]["repeats"]):
            head = {
                "case": case.id,
                "arm": arm,
                "repeat": repeat,
                "incumbent": arm == plan["incumbent"],
            }
            tail = {
                "expected": case.expected,
                "checker": case.checker,
                "prompt": prompt_of(case),
                "tags": list(case.tags),
            }
            yield head | _outcome(by_key.get((arm, repeat))) | tail


def _outcome(measured: Measured | None) -> Json:
    if measured is None:
        return {
            "status": "not_asked",
            "answer": None,
            "reasoning": None,
            "tool_calls": [],
            "finish": None,
            "error": None,
            "edits": [],
            "attempts": 0,
            "repeated": False,
            "measures": {},
        }
    exchange, reply = measured.view.trial.exchange, measured.view.reply
    failure = exchange.failure
    return {
        "status": "failed" if failure else "answered",
        "answer": reply.text if reply.text or not failure else None,
        "reasoning": reply.reasoning or None,
        "tool_calls": [asdict(call) for call in reply.tool_calls],
        "finish": reply.finish,
        "error": asdict(failure) if failure else None,
        "edits": [asdict(edit) for edit in exchange.edits],
        "attempts": len(exchange.attempts),
        "repeated": measured.view.trial.repeated,
        "measures": {name: finite(value) for name, value in measured.values.items()},
    }


def prompt_of(case: Case) -> str:
    """The last thing that the user says in a case, cut to a readable length."""
    body = case.request.body
    messages = body.get("messages")
    said = [
        message.get("content")
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, Mapping) and message.get("role") == "user"
    ]
    value = said[-1] if said else body.get("prompt", body.get("input", ""))
    return _text(value)[:LONGEST_PROMPT]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any) -> Any:
    """A JSON value as the selection shows it: whole, or the beginning of its text."""
    text = _text(value)
    return value if len(text) <= LONGEST_SHOWN else shorten(text, LONGEST_SHOWN)


@dataclass
class _Selection:
    """A few cases to look at: first those that were lost, then the changed, then the rest."""

    incumbent: str
    groups: dict[str, list[Json]] = field(
        default_factory=lambda: {"lost": [], "changed": [], "wrong everywhere": [], "unchanged": []}
    )
    seen: int = 0

    def see(self, case: Case, trials: Sequence[Measured]) -> None:
        """Keep the case, if its group has room."""
        self.seen += 1
        first = [each for each in trials if each.view.trial.repeat == 0]
        why = self._why(first)
        if len(self.groups[why]) < SELECTED:
            self.groups[why].append(
                {
                    "case": case.id,
                    "prompt": prompt_of(case),
                    "expected": _shown(case.expected),
                    "tags": list(case.tags),
                    "why": why,
                    "answers": [self._answer(each) for each in first],
                }
            )

    def rows(self) -> Json:
        """The selection, with how many cases it leaves out."""
        ordered = [row for group in self.groups.values() for row in group]
        return {"shown": ordered[:SELECTED], "left_out": self.seen - min(SELECTED, len(ordered))}

    def _why(self, trials: Sequence[Measured]) -> str:
        ours = [each for each in trials if each.view.trial.arm == self.incumbent]
        others = [each for each in trials if each.view.trial.arm != self.incumbent]
        right = any(each.values["success"] == 1 for each in ours)
        if right and any(each.values["success"] == 0 for each in others):
            return "lost"
        if any(each.view.failed or each.values["exact_agreement"] == 0 for each in others):
            return "changed"
        if ours and all(each.values["success"] == 0 for each in trials):
            return "wrong everywhere"
        return "unchanged"

    def _answer(self, each: Measured) -> Json:
        trial, reply = each.view.trial, each.view.reply
        success = each.values["success"]
        failure = trial.exchange.failure
        return {
            "arm": trial.arm,
            "repeat": trial.repeat,
            "answer": _shown(reply.text),
            "tool_calls": _shown([asdict(call) for call in reply.tool_calls]),
            "error": asdict(failure) | {"message": _shown(failure.message)} if failure else None,
            "success": None if math.isnan(success) else bool(success),
        }


# --- writing ------------------------------------------------------------------------------------


def _line(row: Json) -> str:
    return json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n"
