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

from exitdrill.app import summary
from exitdrill.backend import Edit
from exitdrill.caserows import case_rows
from exitdrill.checkers import Checker
from exitdrill.embedder import Embedder
from exitdrill.exchange import allowed
from exitdrill.files import replacing
from exitdrill.journal import Journal
from exitdrill.measures import BY_NAME
from exitdrill.measures.balance import Balance
from exitdrill.measures.base import ArmFacts, Array, Pair, Row, TrialView, finite
from exitdrill.measures.distributions import distributions
from exitdrill.measures.equality import LABEL, NAME, Texts
from exitdrill.measures.exit_needs import exit_needs
from exitdrill.measures.facts import Facts
from exitdrill.measures.groups import Tally
from exitdrill.measures.usage import came_from_a_cache, replays
from exitdrill.measures.volume import volume
from exitdrill.selection import Selection
from exitdrill.sentences import count_of, level
from exitdrill.verdict import (
    Gate,
    Verdict,
    all_not_ready,
    bound_of,
    failed,
    judge,
    overall,
    past_the_drill,
    rates,
    unanswered,
    verdict_of,
)

SCHEMA_VERSION = 1
MAKERS_SHOWN = 5
LEAST_RIGHT = 0.5
"""The share of its answers below which an incumbent fails its own ground truth."""

_IN_A_ROW = re.compile(r"(?<=times in a row )\w+")

Json = dict[str, Any]


def write_results(
    journal: Journal,
    checkers: Mapping[str, Checker],
    folder: Path,
    embedder: Embedder | None = None,
) -> Json:
    """Measure a journal; write ``cases.jsonl`` and ``report.json``; return the latter's content."""
    plan = journal.input("plan")
    facts = Facts(journal, plan, checkers, embedder)
    texts = Texts(plan["incumbent"], plan["replay"]["repeats"])
    balance = Balance(plan["incumbent"], plan["replay"]["repeats"])
    selection = Selection(plan["incumbent"])
    tally = Tally(plan["incumbent"], plan["replay"]["repeats"])
    edits: dict[str, Counter[tuple[str, str, str]]] = {arm: Counter() for arm in facts.columns}
    with replacing(folder / "cases.jsonl") as file:
        for case, trials in facts.measure():
            changes = tally.see(case.id, trials)
            for row in case_rows(plan, case, trials, changes):
                file.write(_line(row))
            for each in trials:
                edits[each.view.trial.arm].update(_edit_keys(each.view))
            selection.see(case, trials, changes)
            texts.see(trials)
            balance.see(trials)
    report = _report(journal, plan, facts, edits, tally)
    for candidate in report["candidates"]:
        equal = texts.row(candidate["name"])
        candidate["drift"].append({"name": NAME, "label": LABEL, "unit": ""} | _row(equal))
        candidate.update(balance.report(candidate["name"]))
    report["selection"] = selection.rows(tally.count)
    report["not_tested"] += _not_known(
        facts, plan["clusters"], journal.size, journal.distinct_requests()
    )
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
        refused = [edit["path"] for edit in report["edits"] if not edit["allowed"]]
        missed = facts.left_behind[name].sentence(0, summary.strays_left(journal, name))
        report["exit_needs"] = exit_needs(facts.arm(name), refused, missed is not None)
        report["changes"] = tally.report(name)
        candidates.append(report)
        verdicts[name] = verdict
    if journal.input("none_left", False) and all_not_ready(verdicts):
        stopped = None  # whatever else were asked, nothing could change that
    incumbent = plan["incumbent"]
    success, answered = (facts.columns[incumbent][name] for name in ("success", "answered"))
    asked = facts.arm(incumbent)
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
            "cases_asked": int(
                np.any([facts.was_asked(arm) for arm in facts.columns], axis=0).sum()
            ),
            "exitdrill_version": plan["exitdrill_version"],
            "plan_sha256": journal.input("plan_sha256"),
            "edited": journal.input("edited", []),
            "repeated": journal.lost_calls(),
            "spend": {
                "calls": spend.calls,
                "tokens": spend.tokens,
                "money": _money(plan, spend.money),
                "limits": journal.input("budget", plan["budget"]),
            },
        },
        "workload": plan["workload"],
        "registered": registered(plan),
        "sequential": _saved(journal, plan, facts),
        "incumbent": {
            "name": incumbent,
            "description": _description(plan, facts, arms, incumbent),
            **_status(plan, facts, arms, incumbent, stopped),
            "success": None if np.isnan(success).all() else float(np.nanmean(success)),
            "first": _with_calls(_said_first(incumbent, success, answered), facts, incumbent),
            "edits": _edit_rows(edits[incumbent], plan["backends"][incumbent]["allow_edits"]),
            "delay": _delay(asked),
            "failed": failed(asked),
        },
        "candidates": candidates,
        "app": summary.section(journal, plan, {arm: _ran(facts, arm) for arm in facts.columns}),
        "judge": facts.judgements.report() if facts.judgements else None,
        "verdict": overall(verdicts, stopped is None, stopped),
        "not_tested": list(_not_tested(journal, plan)),
    }


def registered(plan: Json) -> Json:
    """What the plan fixed of how the drill is decided."""
    keys = ("mode", "alpha", "alpha_per_candidate", "power", "discordance", "largest_n", "clusters")
    return {key: plan[key] for key in keys} | {"repeats": plan["replay"]["repeats"]}


def _saved(journal: Journal, plan: Json, facts: Facts) -> Json | None:
    """What ending the drill early has saved; None where it was not looked at while it ran."""
    if plan["mode"] != "sequential":
        return None
    decided: dict[str, int] = journal.input("stops", {})
    spared = set(decided)
    if decided and journal.input("stopped") is None:  # else the incumbent was still to be asked
        spared.add(plan["incumbent"])
    done = journal.progress()
    planned = {arm: plan["workload"]["asked"] * n for arm, n in plan["replay"]["repeats"].items()}
    left = sum(planned[arm] - done.get(arm, (0, 0))[0] for arm in spared)
    return {
        "largest_n": plan["largest_n"],
        "asked": {
            name: decided.get(name, int(facts.was_asked(name).sum())) for name in plan["candidates"]
        },
        "saved_calls": left,
        "saved_share": left / sum(planned.values()),
    }


def _ran(facts: Facts, name: str) -> Json:
    """What the trials of an app say of it."""
    done = facts.arm(name).exit_seconds is not None
    return {"calls": facts.calls[name].report(), "completed": done}


def _said_first(incumbent: str, success: Array, answered: Array) -> str | None:
    """What has to be read before anything else: that the incumbent itself is not right.

    An error is no wrong answer: only answers that could be judged are counted.
    """
    judged = success[(answered == 1) & ~np.isnan(success)]
    right = float(judged.mean()) if judged.size else 1.0
    if right == 1:
        return None
    share = level("share", right)
    if right < LEAST_RIGHT:
        known = f"only {share} of the answers of {incumbent} are"
        if not right:
            known = f"none of the answers of {incumbent} is"
        return (
            f"The incumbent fails its own ground truth: {known} what was expected. A candidate may "
            "be as good as that and still be of no use."
        )
    return (
        f"The incumbent is not always right itself: {share} of the answers of {incumbent} are "
        "what was expected; what follows is measured against that."
    )


def _with_calls(first: str | None, facts: Facts, incumbent: str) -> str | None:
    """The same with how many calls of the app failed: that may be why."""
    calls = facts.calls[incumbent]
    if first is None or not calls.failed:
        return first
    made = count_of(calls.made, "model call")
    return f"{first} On {incumbent} {calls.failed:,} of {made} of the app failed."


def _candidate(journal: Journal, plan: Json, facts: Facts, name: str) -> tuple[Json, Verdict]:
    arms = journal.input("arms", {})
    alpha = plan["alpha_per_candidate"]
    pair = facts.pair(name, alpha)
    gates = list(map(_plain, judge(plan["gates"], pair, alpha, plan["power"])))
    status = _status(plan, facts, arms, name, journal.input("stopped"))
    obstacles = list(_obstacles(status, arms.get(name, {}).get("reason")))
    obstacles += summary.obstacles(journal, plan, name)
    veto = _veto(journal, facts, pair)
    edited: list[str] = journal.input("edited", [])
    obstacles += [*unanswered(pair), *past_the_drill(pair)]
    verdict = verdict_of(gates, obstacles, veto, rates(pair), edited)
    report: Json = {
        "name": name,
        "description": _description(plan, facts, arms, name),
        **status,
        **{section: [] for section in ("drift", "latency", "cost", "change")},
        "gates": [_gate(gate) for gate in gates],
        "verdict": {"status": verdict.status, "reasons": list(verdict.reasons)},
        "veto": veto,
        "distributions": distributions(pair),
        "volume": volume(pair),
        "delay": _delay(pair.candidate),
        "failed": failed(pair.candidate),
    }
    judged = {gate["measure"]: gate for gate in plan["gates"]}
    for measure in BY_NAME.values():
        if measure.of_app and plan["app"] is None:
            continue
        at = pair.at(pair.confidence, bound_of(measure, judged.get(measure.name)))
        row = _noted(measure.row(at), [*measure.columns], facts.problems[name])
        head = {"name": measure.name, "label": measure.label, "unit": row.unit or measure.unit}
        report[measure.section].append(head | _row(row))
    return report, verdict


def _plain(gate: Gate) -> Gate:
    """A gate whose reason says why there is no figure, and not how it would have been made: that
    stands beside it."""
    if gate.method is None or gate.cause not in {"too_few", "not_measured"}:
        return gate
    why, _, how = gate.method.partition("; ")
    reason = gate.reason.replace(gate.method, why, 1)
    return replace(gate, reason=reason, method=how or None)


def _obstacles(status: Json, broken: str | None) -> Iterator[str]:
    """Why a candidate could not be asked as planned, where it could not."""
    if status["status"] == "complete":
        return
    broke_off = status["status"] == "broken_off" and broken is not None
    yield f"broke off: {status['status_reason']}" if broke_off else status["status_reason"]


def _veto(journal: Journal, facts: Facts, pair: Pair) -> str | None:
    """What makes a candidate not ready whatever its gates say."""
    name = pair.candidate.name
    columns = facts.columns[name]
    swap_error = journal.input("swaps", {}).get(name, {}).get("error")
    if swap_error is not None:
        return f"veto: the swap cannot be applied: {swap_error}"
    failure = summary.failure(journal, name)
    if failure is not None:
        return f"veto: {failure}"
    trials = int((~np.isnan(columns["answered"])).sum())
    left = facts.left_behind[name].sentence(trials, summary.strays_left(journal, name))
    if left is not None:
        return f"veto: {left}"
    lost = _lost(pair)
    if lost is None:
        return None
    return (
        f"veto: a feature that the workload uses is missing: {lost}: see its edits and its errors"
        f"{facts.lacking[name].sentence()}"
    )


def _lost(pair: Pair) -> str | None:
    """How many requests only the candidate refused, of those that it was asked; None for none."""
    (ours, ours_asked), (theirs, asked) = (
        (
            np.nan_to_num(arm.columns["unsupported"]).any(axis=1),
            (~np.isnan(arm.columns["answered"])).any(axis=1),
        )
        for arm in (pair.incumbent, pair.candidate)
    )
    lost = int(np.count_nonzero(theirs & ours_asked & ~ours))
    if not lost:
        return None
    name, planned, done = pair.candidate.name, theirs.size, int(np.count_nonzero(asked))
    if done == planned:
        return (
            f"{name} cannot take {lost:,} of the {planned:,} requests as they are, and the "
            "incumbent can"
        )
    why = "; it then broke off" if pair.candidate.broken else ""
    return (
        f"{name} refused {lost:,} of the {done:,} requests that it was asked (of {planned:,}{why}),"
        " and the incumbent can take them"
    )


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
        f"{said}: {count_of(count, 'answer')}"
        for said, count in facts.makers[name].most_common(MAKERS_SHOWN)
    ]
    return known | {"details": known["details"] | ({"answers_made_by": makers} if makers else {})}


def _planned(backend: Json) -> Json:
    nothing = dict.fromkeys(("revision", "weights_sha256", "server", "endpoint_host"))
    both = {"adapter": backend["adapter"], "model": backend["model"]}
    return both | nothing | {"sampling": {}, "details": {}}


def _status(plan: Json, facts: Facts, arms: Json, name: str, stopped: str | None) -> Json:
    """Whether an arm did all that was planned, or that it took to decide, and why not."""
    planned = _wanted(plan, facts, arms, name) * plan["replay"]["repeats"][name]
    answered = facts.columns[name]["answered"]
    completed = int(np.count_nonzero(~np.isnan(answered)))
    counts = {"completed_trials": completed, "answered_trials": int(np.nansum(answered))}
    reason = arms.get(name, {}).get("reason")
    if reason is not None:  # the kind of an error is a word of ours
        reason = _IN_A_ROW.sub(lambda kind: kind[0].replace("_", " "), reason, count=1)
    if completed >= planned and reason is None:
        return {"status": "complete", "status_reason": None, **counts}
    status = "broken_off" if completed else "not_started"
    why = reason or stopped or f"{completed} of {planned} trials were completed"
    return {"status": status, "status_reason": why, **counts}


def _wanted(plan: Json, facts: Facts, arms: Json, name: str) -> int:
    """How many cases an arm had to be asked: the incumbent as many as the candidates that did not
    break off."""
    if name != plan["incumbent"]:
        return facts.asked(name)
    others = plan["candidates"]
    whole = [other for other in others if not arms.get(other, {}).get("reason")]
    return max(map(facts.asked, whole or others))


def _money(plan: Json, amount: float) -> Json | None:
    judge = [plan["judge"]["backend"]] if plan.get("judge") else []
    priced = (backend["price"] for backend in [*plan["backends"].values(), *judge])
    currencies = {price["currency"] for price in priced if price and price["per_hour"] is None}
    if len(currencies) != 1:  # nothing is billed by the token, or sums would mix currencies
        return None
    return {"amount": amount, "currency": currencies.pop()}


def _not_tested(journal: Journal, plan: Json) -> Iterator[str]:
    """What this drill says nothing about."""
    workload, replay = plan["workload"], plan["replay"]
    if any(asked < workload["asked"] for asked in journal.input("stops", {}).values()):
        yield (
            f"Part of the {workload['asked']:,} cases: the drill asked them in a random order, "
            "and stopped asking a candidate as soon as every gate was decided. In the cases that "
            "were not asked, nothing was tested that is no gate: how answers change there, what "
            "they cost and how long they take is not known."
        )
    if journal.input("stopped") is not None:
        yield "What the drill would have asked after it stopped."
    if workload["asked"] < workload["cases"]:
        yield f"Only the first {workload['asked']:,} of {workload['cases']:,} cases were asked."
    yield from summary.not_tested(journal, plan)
    swaps = journal.input("swaps", {})
    without = [name for name in plan["candidates"] if name not in swaps]
    if without:
        yield f"The change that the app needs was not measured for {', '.join(without)}: no swap."
    if replay["arrivals"] == "closed":
        sent = "cases were run" if plan["app"] is not None else "requests were sent"
        yield f"Latency under the load of production: {sent} in a closed loop."
    missing = "is not there for the app" if plan["app"] is not None else "is not replayed"
    yield f"State that a provider hosts (files, threads, vector stores, fine-tunes) {missing}."


def _not_known(facts: Facts, clusters: Json, cases: int, distinct: int) -> Iterator[str]:
    """What the answers and the cases themselves leave open."""
    for name, makers in facts.makers.items():
        if len(makers) > 1:
            yield (
                f"Which of them did it: the answers of {name} were made by more than one model or "
                f"configuration, by its server's own account ({', '.join(list(makers)[:3])})."
            )
    yield from _remembered(facts)
    known = np.zeros(cases, dtype=bool)
    for columns in facts.columns.values():
        known |= ~np.isnan(columns["success"]).all(axis=1)
    judged = int(np.count_nonzero(known))
    if judged < cases:
        yield (
            f"Success is known for {judged:,} of {count_of(cases, 'case')}: the others were not "
            "asked, or not answered, or no answer is expected, or none could be judged."
        )
    if distinct < cases and clusters["by"] != "request":
        yield (
            f"{count_of(cases, 'case')}, but only {count_of(distinct, 'distinct request')}: the "
            f"same request again is no independent case, and the clusters are by {clusters['by']}."
        )


def _remembered(facts: Facts) -> Iterator[str]:
    """Answers of an app that made no model call, where another run of the same case did."""
    for name in facts.columns:
        arm = facts.arm(name)
        if arm.runs_app and replays(arm):
            yield (
                f"The model in every trial of {name}: {came_from_a_cache(arm)}, without a model "
                "call that another run of the same case made. They are not timed, and not priced."
            )


# --- edits --------------------------------------------------------------------------------------


def _edit_keys(view: TrialView) -> Iterator[tuple[str, str, str]]:
    """The edits of a request, or of those of an app."""
    exchanges = [view.trial.exchange, *(call.exchange for call in view.calls)]
    for edit in (edit for each in exchanges for edit in each.edits):
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
