"""From the journal to ``report.json`` and ``cases.jsonl``; nobody is called.

``cases.jsonl`` has a line per planned trial; ``report.json`` the measures, gates and verdicts, and
a selection of cases.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from exitdrill.backend import Edit
from exitdrill.caserows import case_rows
from exitdrill.checkers import Checker
from exitdrill.exchange import allowed
from exitdrill.files import replacing
from exitdrill.journal import Journal
from exitdrill.measures import BY_NAME
from exitdrill.measures.base import ArmFacts, Pair, Row, finite
from exitdrill.measures.distributions import distributions
from exitdrill.measures.facts import Facts
from exitdrill.measures.groups import Tally
from exitdrill.measures.volume import volume
from exitdrill.records import Exchange
from exitdrill.selection import Selection
from exitdrill.verdict import Gate, Verdict, judge, overall, rates, unanswered, verdict_of

SCHEMA_VERSION = 1
MAKERS_SHOWN = 5

Json = dict[str, Any]


def write_results(journal: Journal, checkers: Mapping[str, Checker], folder: Path) -> Json:
    """Measure a journal; write ``cases.jsonl`` and ``report.json``; return the latter's content."""
    plan = journal.input("plan")
    facts = Facts(journal, plan, checkers)
    selection = Selection(plan["incumbent"])
    tally = Tally(plan["incumbent"], list(facts.columns), plan["replay"]["repeats"])
    edits: dict[str, Counter[tuple[str, str, str]]] = {arm: Counter() for arm in facts.columns}
    with replacing(folder / "cases.jsonl") as file:
        for case, trials in facts.measure():
            changes = tally.see(case.id, trials)
            for row in case_rows(plan, case, trials, changes):
                file.write(_line(row))
            for each in trials:
                edits[each.view.trial.arm].update(_edit_keys(each.view.trial.exchange))
            selection.see(case, trials, changes)
    report = _report(journal, plan, facts, edits, tally)
    report["selection"] = selection.rows(tally.count)
    report["not_tested"] += _not_known(facts, journal.size, journal.distinct_requests())
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
    tally: Tally,
) -> Json:
    arms = journal.input("arms", {})
    stopped = journal.input("stopped")
    spend = journal.spend()
    candidates, verdicts = [], {}
    for name in plan["candidates"]:
        report, verdict = _candidate(journal, plan, facts, name)
        report["edits"] = _edit_rows(edits[name], plan["backends"][name]["allow_edits"])
        report["changes"] = tally.report(name)
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
            "description": _description(plan, facts, arms, incumbent),
            **_status(plan, facts, arms, incumbent, stopped),
            "success": None if np.isnan(success).all() else float(np.nanmean(success)),
            "edits": _edit_rows(edits[incumbent], plan["backends"][incumbent]["allow_edits"]),
            "delay": _delay(facts.arm(incumbent)),
        },
        "candidates": candidates,
        "verdict": overall(verdicts, stopped is None, stopped),
        "not_tested": list(_not_tested(journal, plan)),
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
        "description": _description(plan, facts, arms, name),
        **status,
        **{section: [] for section in ("drift", "latency", "cost", "change")},
        "gates": [_gate(gate) for gate in gates],
        "verdict": {"status": verdict.status, "reasons": list(verdict.reasons)},
        "distributions": distributions(pair),
        "volume": volume(pair),
        "delay": _delay(pair.candidate),
    }
    for measure in BY_NAME.values():
        row = _noted(measure.row(pair), [*measure.columns], facts.problems)
        head = {"name": measure.name, "label": measure.label, "unit": row.unit or measure.unit}
        report[measure.section].append(head | _row(row))
    return report, verdict


def _noted(row: Row, columns: Sequence[str], problems: Mapping[str, str]) -> Row:
    """The row with what its columns raised."""
    notes = [problems[name] for name in columns if name in problems]
    return replace(row, note="; ".join([*([row.note] if row.note else []), *notes]) or None)


def _delay(arm: ArmFacts) -> Json | None:
    """The drill's own delay, in seconds, while the arm was asked."""
    if not arm.delay.n:
        return None
    percentiles = {f"p{round(q * 100)}": arm.delay.percentile(q) for q in (0.5, 0.95, 0.99)}
    return {"n": arm.delay.n} | percentiles


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


def _description(plan: Json, facts: Facts, arms: Json, name: str) -> Json:
    """What is known of a backend: what it said at the start, and with each answer."""
    known: Json = arms.get(name, {}).get("description") or _planned(plan["backends"][name])
    makers = [
        f"{said}: {count} answers" for said, count in facts.makers[name].most_common(MAKERS_SHOWN)
    ]
    return known | {"details": known["details"] | ({"answers_made_by": makers} if makers else {})}


def _planned(backend: Json) -> Json:
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
    """What the answers and the cases themselves leave open."""
    for name, makers in facts.makers.items():
        if len(makers) > 1:
            yield (
                f"Which of them did it: the answers of {name} were made by more than one model or "
                f"configuration, by its server's own account ({', '.join(list(makers)[:3])})."
            )
    known = np.zeros(cases, dtype=bool)
    for columns in facts.columns.values():
        known |= ~np.isnan(columns["success"]).all(axis=1)
    judged = int(np.count_nonzero(known))
    if judged < cases:
        yield (
            f"Success is known for {judged} of {cases} cases: the others were not answered, or no "
            "answer is expected, or none could be judged."
        )
    if distinct < cases:
        yield (
            f"{cases} cases, but only {distinct} distinct requests: the same request again is no "
            "independent case, so that intervals are narrower than they should be."
        )


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


# --- writing ------------------------------------------------------------------------------------


def _line(row: Json) -> str:
    return json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n"
