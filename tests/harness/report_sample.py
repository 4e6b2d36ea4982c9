"""A realistic report.json and cases.jsonl: one candidate ready, one not, one inconclusive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any

from exitdrill.report import render, view


def description(adapter: str, model: str, **known: Any) -> dict[str, Any]:
    """What an adapter found out."""
    empty = dict.fromkeys(("revision", "weights_sha256", "server", "endpoint_host"))
    return {"adapter": adapter, "model": model, **empty, "sampling": {}, "details": {}, **known}


def row(name: str, unit: str, label: str, figures: tuple[Any, ...], note: str | None = None) -> Any:
    """A measured row; ``figures``: incumbent, candidate, estimate, interval, n, noise."""
    keys = ("incumbent", "candidate", "estimate", "interval", "n", "noise")
    return {
        "name": name,
        "unit": unit,
        "label": label,
        "note": note,
        "missed": [],
        **dict(zip(keys, figures, strict=True)),
    }


def gate(name: str, measure: str, unit: str, judged: str, figures: tuple[Any, ...]) -> Any:
    """A gate; ``judged``: kind and status; ``figures``: margin, estimate, interval, n, reason."""
    kind, status = judged.split()
    keys = ("margin", "estimate", "interval", "n", "reason")
    values = dict(zip(keys, figures, strict=True))
    return {
        "own_interval": None,
        "cause": None,
        "more": None,
        "method": None,
        "clusters": None,
        "name": name,
        "measure": measure,
        "unit": unit,
        "kind": kind,
        "status": status,
        **values,
    }


def _nothing(name: str, unit: str, label: str, note: str) -> Any:
    return row(name, unit, label, (None, None, None, None, None, None), note)


def group(kind: str, where: str | None, label: str, counts: tuple[Any, ...], **more: Any) -> Any:
    """A group of changes; ``counts``: count, noise, lost, gained."""
    keys = ("count", "noise", "lost", "gained")
    common = {"kind": kind, "where": where, "label": label, "form": False}
    return common | dict(zip(keys, counts, strict=True)) | {"examples": [], "values": []} | more


def example(case: str, incumbent: str, candidate: str) -> list[dict[str, Any]]:
    """The example of a group."""
    return [{"case": case, "repeat": 0, "incumbent": incumbent, "candidate": candidate}]


def _changes(*groups: Any) -> dict[str, Any]:
    return {"compared": 800, "self_compared": 400, "groups": list(groups), "left_out": 4}


def times(name: str, label: str, ends: tuple[float, float], missed: int = 0) -> dict[str, Any]:
    """A distribution of times around two medians; of the candidate's, the last ones are missed."""
    spread = [NormalDist().inv_cdf((q + 0.5) / 101) for q in range(101)]
    ours, theirs = ([median * 1.35**z for z in spread] for median in ends)
    answered: list[float | None] = [*theirs[: 101 - missed], *[None] * missed]
    paired = [ends[1] - ends[0] + 0.2 * z * min(ends) for z in spread]
    arms = {"incumbent": ours, "candidate": answered, "paired": paired}
    return {"name": name, "label": label, "unit": "s", "n": 800, **arms}


def volume() -> dict[str, Any]:
    """A token price against a server by the hour."""
    token = {"price": [0.8, 1.2], "utilisation": None}
    hour = {"price": [0.9, 1.1], "utilisation": [0.3, 0.7]}
    own = {"per_request": 0.0, "fixed_per_month": 730.0, "capacity_per_month": 900_000.0}
    text = "mistral-local is cheaper from 384,000 requests a month on (at best from 288,000)"
    return {
        "currency": "EUR",
        "note": "V* = fixed per month / price per request of the API.",
        "incumbent": {"per_request": 0.0019, "fixed_per_month": 0.0, "capacity_per_month": None}
        | {"band": token},
        "candidate": own | {"band": hour},
        "break_even": {"low": 288_000.0, "expected": 384_210.5, "high": 528_300.0, "text": text},
    }


def _ready() -> dict[str, Any]:
    return {
        "name": "mistral-local",
        "description": description(
            "transformers",
            "tickets-small",
            revision="3f2a9c1",
            weights_sha256="ab" * 32,
            server="transformers 5.23, torch 2.13 (CPU)",
            endpoint_host="127.0.0.1",
            sampling={"temperature": 0, "max_tokens": 128},
            details={"dtype": "bfloat16", "batching": "static"},
        ),
        "status": "complete",
        "status_reason": None,
        "drift": [
            row(
                "success",
                "share",
                "Right answers",
                (0.965, 0.97, 0.005, [-0.019, 0.028], 400, 0.004),
            ),
            row(
                "exact",
                "share",
                "Answers unchanged",
                (0.991, 0.874, -0.117, [-0.15, -0.084], 400, 0.009),
            ),
            row(
                "chrf", "share", "Likeness of answers (chrF)", (None, 0.93, None, None, 400, 0.002)
            ),
        ],
        "latency": [
            row(
                "ttft_p50",
                "s",
                "Time to first token, p50",
                (0.412, 0.058, -0.354, [-0.371, -0.339], 400, 0.006),
            ),
            row(
                "ttft_p95",
                "s",
                "Time to first token, p95",
                (0.871, 0.104, -0.767, [-0.84, -0.701], 400, 0.031),
                "From the scheduled send time to the first event with content.",
            ),
            row(
                "e2e_p50", "s", "Whole answer, p50", (1.31, 0.92, -0.39, [-0.44, -0.35], 400, 0.02)
            ),
            row("e2e_p95", "s", "Whole answer, p95", (2.48, 1.77, -0.71, [-0.9, -0.5], 400, 0.08)),
            row(
                "speed",
                "tokens/s",
                "Speed of one answer",
                (48.2, 61.7, 13.5, [11.8, 15.1], 400, 0.7),
            ),
        ],
        "cost": [
            row("cost", "EUR/1000 requests", "Cost", (1.9, 0.4125, -1.4875, None, 400, None)),
            row(
                "tokens_out", "tokens", "Tokens per answer", (41.2, 43.9, 2.7, [2.1, 3.3], 400, 0.2)
            ),
        ],
        "change": [
            row("lines", "lines", "Lines changed", (None, 12, 12, None, None, None)),
            row("files", "files", "Files changed", (None, 2, 2, None, None, None)),
            *(
                row(f"{kind}_lines", "lines", f"{kind}: lines", (None, n, n, None, None, None))
                for kind, n in (("configuration", 7), ("prompt", 0), ("code", 5), ("schema", 0))
            ),
        ],
        "changes": _changes(
            group(
                "field_changed",
                "/category",
                "another value of category",
                (84, 3.0, 21, 9),
                examples=example("ticket-0017", '"invoice"', '"billing"'),
                values=[
                    {"incumbent": '"invoice"', "candidate": '"billing"', "count": 51},
                    {"incumbent": '"other"', "candidate": '"invoice"', "count": 12},
                ],
            ),
            group(
                "field_changed",
                "/urgent",
                "another value of urgent",
                (31, 28.0, 4, 6),
                examples=example("ticket-0003", "true", "false"),
                values=[{"incumbent": "true", "candidate": "false", "count": 22}],
            ),
            group("field_missing", "/order", "order is missing", (12, 0.0, 11, 0)),
            group("finish", None, "ended by length instead of stop", (3, None, 3, 0)),
            group(
                "white_space",
                None,
                "white space only",
                (640, 0.0, 0, 0),
                form=True,
                examples=example("ticket-0001", '{"a":"invoice"}', '{"a": "invoice"}'),
            ),
            group("key_order", None, "order of keys", (55, 2.0, 0, 0), form=True),
        ),
        "distributions": [
            times("ttft", "Time to first token", (0.412, 0.058)),
            times("tpot", "Time per output token", (0.0206, 0.0161)),
            times("total", "Whole answer", (1.31, 0.92)),
        ],
        "volume": volume(),
        "delay": {"n": 2400, "p50": 0.0001, "p95": 0.0006, "p99": 0.0021},
        "edits": [
            {
                "action": "rename",
                "path": "/max_tokens",
                "detail": "max_completion_tokens here",
                "count": 400,
                "allowed": True,
            },
        ],
        "gates": [
            gate(
                "success",
                "success",
                "share",
                "non_inferiority pass",
                (0.05, 0.005, [-0.019, 0.028], 400, "the lower bound is above the margin"),
            )
            | {"method": "Tango's interval, exact; of 400 cases 5 lost, 7 gained", "clusters": 120},
            gate(
                "latency",
                "ttft_p95",
                "s",
                "bound pass",
                (0.2, -0.767, [-0.84, -0.701], 400, "the upper bound is below the margin"),
            ),
            gate("lines", "lines", "lines", "cap pass", (40, 12, None, None, "12 of 40 lines")),
            gate(
                "tools",
                "tools",
                "share",
                "veto pass",
                (None, None, None, None, "every feature in use is there"),
            ),
        ],
        "verdict": {"status": "ready", "reasons": ["All four gates pass."]},
    }


def _not_ready() -> dict[str, Any]:
    return {
        "name": "other-vendor",
        "description": description("openai", "large-2", endpoint_host="api.example.org"),
        "status": "complete",
        "status_reason": None,
        "drift": [
            row(
                "success",
                "share",
                "Right answers",
                (0.965, 0.81, -0.155, [-0.2, -0.11], 400, 0.004),
            )
        ],
        "latency": [
            row(
                "ttft_p95",
                "s",
                "Time to first token, p95",
                (0.871, 1.9, 1.029, [0.85, 1.31], 400, 0.031),
            )
        ],
        "cost": [
            _nothing(
                "cost", "EUR/1000 requests", "Cost", "The scenario names no price for this backend."
            )
        ],
        "change": [row("lines", "lines", "Lines changed", (None, 1310, 1310, None, None, None))],
        "changes": _changes(
            group(
                "not_json",
                None,
                "no longer JSON",
                (118, 0.0, 97, 0),
                examples=example("ticket-0009", '{"category": "other"}', "Sure! It is an order."),
            ),
            group("refusal", None, "refused", (6, 0.0, 6, 0)),
            group("code_fence", None, "in a code fence", (702, 0.0, 0, 0), form=True),
        ),
        "distributions": [times("total", "Whole answer", (1.31, 2.6), missed=6)],
        "volume": None,
        "edits": [
            {
                "action": "drop",
                "path": "/logit_bias",
                "detail": "not supported",
                "count": 17,
                "allowed": False,
            },
        ],
        "gates": [
            gate(
                "success",
                "success",
                "share",
                "non_inferiority fail",
                (0.05, -0.155, [-0.2, -0.11], 400, "the upper bound is below the margin"),
            ),
            gate(
                "latency",
                "ttft_p95",
                "s",
                "bound fail",
                (0.2, 1.029, [0.85, 1.31], 400, "the lower bound is above the margin"),
            ),
            gate(
                "unlike",
                "chrf",
                "share",
                "cap fail",
                (0.1, 0.147, None, 400, "14.7 % of the answers are unlike"),
            )
            | {"own_interval": [0.115, 0.183]},
            gate(
                "lines",
                "lines",
                "lines",
                "cap fail",
                (40, 1310, None, None, "1,310 lines, 40 allowed"),
            ),
        ],
        "verdict": {
            "status": "not_ready",
            "reasons": [
                "success fails: 11 to 20 points worse, 5 allowed.",
                "lines fails.",
                "latency fails.",
            ],
        },
    }


def _inconclusive() -> dict[str, Any]:
    return {
        "name": "gpu-host",
        "description": description("openai", "tickets-small"),
        "status": "broken_off",
        "status_reason": "the server ended after 61 of 400 cases (out of memory)",
        "drift": [
            row(
                "success",
                "share",
                "Right answers",
                (0.967, 0.951, -0.016, [-0.102, 0.058], 61, None),
            )
        ],
        "latency": [
            _nothing("ttft_p95", "s", "Time to first token, p95", "Fewer answers than a p95 needs.")
        ],
        "cost": [],
        "change": [],
        "edits": [],
        "gates": [
            gate(
                "success",
                "success",
                "share",
                "non_inferiority open",
                (
                    0.05,
                    -0.016,
                    [-0.102, 0.058],
                    61,
                    f"the margin lies inside the interval; {MORE['text']}",
                ),
            )
            | {"cause": "undecided", "more": MORE, "clusters": 31}
            | {"method": "Tango's interval of 54 effective cases in 31 clusters, exact"},
            gate("latency", "ttft_p95", "s", "bound open", (0.2, None, None, 0, "not measured"))
            | {"cause": "not_measured"},
        ],
        "verdict": {
            "status": "inconclusive",
            "reasons": ["success is open.", "latency was not measured."],
        },
    }


ARMS = ("vendor", "mistral-local", "other-vendor", "gpu-host")
MORE = {
    "cases": 310,
    "total": 371,
    "calls": 1240,
    "money": {"amount": 2.36, "currency": "EUR"},
    "text": "about 310 more cases would show that it passes (1,240 calls, about 2.36 EUR)",
}


def registered() -> dict[str, Any]:
    """What the plan fixed of how the drill is decided."""
    return {
        "mode": "fixed",
        "alpha": 0.05,
        "alpha_per_candidate": 0.05 / 3,
        "power": 0.8,
        "discordance": 0.1,
        "largest_n": 400,
        "clusters": {"by": "session", "count": 120, "largest": 8},
        "repeats": dict.fromkeys(ARMS, 2),
    }


def sequential() -> dict[str, Any]:
    """What ending a drill early has saved."""
    asked = {"mistral-local": 128, "other-vendor": 64, "gpu-host": 400}
    return {"largest_n": 400, "asked": asked, "saved_calls": 2112, "saved_share": 0.73}


FIRST = (
    "The incumbent is not always right itself: 96.5 % of the answers of vendor are what was "
    "expected; what follows is measured against that."
)
FAILS_ITSELF = (
    "The incumbent fails its own ground truth: only 31 % of the answers of vendor are what "
    "was expected. A candidate may be as good as that and still be of no use."
)


def every_cause() -> dict[str, Any]:
    """A report with all that may have to be said: every cause, edits, an early end, first words."""
    data = report()
    data["drill"]["edited"] = ["gates[0].margin", "alpha"]
    data["incumbent"] |= {"success": 0.31, "first": FAILS_ITSELF}
    data["registered"]["mode"] = "sequential"
    data["sequential"] = sequential()
    figures = (0.05, -0.016, [-0.102, 0.058], 61)
    opened = [
        gate(f"gate {n}", "success", "share", "non_inferiority open", (*figures, f"so ({cause})"))
        | {"cause": cause, "method": "betting e-process; of 61 cases 4 lost, 3 gained"}
        for n, cause in enumerate(view.CAUSES, start=1)
    ]
    candidate = data["candidates"][2]
    candidate["gates"] = opened
    sentences = [f"{each['name']}: {each['reason']}" for each in opened]
    note = "edited after the plan was registered: gates[0].margin, alpha; judged are the registered"
    note += " gates"
    candidate["verdict"]["reasons"] = [candidate["status_reason"], *sentences, note]
    data["verdict"] = {
        "status": "inconclusive",
        "candidate": None,
        "reasons": [f"gpu-host: {candidate['status_reason']}", note],
    }
    return data


def shown_case(
    case: str, prompt: str, expected: Any, answers: dict[str, Any], why: str
) -> dict[str, Any]:
    """A case with one answer of each arm; None stands for an error."""
    return {
        "case": case,
        "prompt": prompt,
        "expected": expected,
        "tags": ["invoice"],
        "why": why,
        "answers": [
            {
                "arm": arm,
                "repeat": 0,
                "answer": answer,
                "error": {"kind": "timeout", "message": "no event for 60 s"}
                if answer is None
                else None,
                "success": None if answer is None else answer == expected,
            }
            for arm, answer in answers.items()
        ],
    }


def report() -> dict[str, Any]:
    """A whole report.json, as a drill leaves it."""
    right = '{"category": "invoice", "urgent": true}'
    return {
        "schema_version": 1,
        "drill": {
            "id": "20261112-091500-7c1e",
            "scenario": "support-tickets",
            "started": "2026-11-12T09:15:00Z",
            "ended": "2026-11-12T09:41:37Z",
            "completed": True,
            "exitdrill_version": "0.1.0",
            "plan_sha256": "0123456789abcdef" * 4,
            "stopped": None,
            "repeated": 3,
            "edited": [],
            "spend": {
                "calls": 2461,
                "tokens": 1_284_110,
                "money": {"amount": 1.9034, "currency": "EUR"},
                "limits": {"money": 5, "calls": 10_000},
            },
        },
        "workload": {"cases": 400, "sha256": "fedcba9876543210" * 4, "asked": 400},
        "registered": registered(),
        "sequential": None,
        "incumbent": {
            "name": "vendor",
            "description": description(
                "openai",
                "large-1",
                server="nginx",
                endpoint_host="api.example.com",
                sampling={"temperature": 0},
            ),
            "status": "complete",
            "status_reason": None,
            "completed_trials": 800,
            "answered_trials": 800,
            "success": 0.965,
            "first": FIRST,
            "delay": {"n": 2400, "p50": 0.0001, "p95": 0.0007, "p99": 0.0019},
        },
        "candidates": [_ready(), _not_ready(), _inconclusive()],
        "verdict": {
            "status": "ready",
            "reasons": ["mistral-local is ready: all its gates pass, each at 0.05/3."],
            "judged": [
                "mistral-local: gates passed: success, latency, lines, tools",
                "mistral-local: right answers: 97 % (vendor: 96.5 %; 400 cases)",
            ],
            "candidate": "mistral-local",
        },
        "not_tested": [
            "Load: requests were sent one at a time.",
            "The way back to the incumbent.",
            "Cost of staff and of idle hardware.",
        ],
        "selection": {
            "shown": [
                shown_case(
                    "ticket-0017",
                    "My invoice of last month was charged twice, please help today!",
                    right,
                    {
                        "vendor": right,
                        "mistral-local": right,
                        "other-vendor": '```json\n{"category": "billing", "urgent": true}\n```',
                        "gpu-host": None,
                    },
                    "right on the incumbent, wrong on other-vendor",
                ),
            ],
            "left_out": 38,
        },
    }


_TICKETS = (
    ("My invoice of last month was charged twice, please help today!", "invoice", True),
    ("Where is my parcel? The number is 4411.", "parcel", False),
    ("I cannot log in since the update, and my whole team waits.", "account", True),
    ("Do you have this in blue?", "other", False),
)


def trials(count: int = 20) -> Iterator[dict[str, Any]]:
    """Lines of a cases.jsonl: the first candidate changes every fifth, the second fences all."""
    for number in range(count):
        for arm in ARMS:
            yield trial(number, arm)


def trial(number: int, arm: str) -> dict[str, Any]:
    """One line: what this arm did of this case."""
    prompt, category, urgent = _TICKETS[number % len(_TICKETS)]
    expected = {"category": category, "urgent": urgent}
    said, changes = _said(number, arm, expected)
    gone = arm == "gpu-host" and number > 3
    seconds = {"vendor": 1.3, "mistral-local": 0.9, "other-vendor": 2.6, "gpu-host": 1.0}[arm]
    return {
        "case": f"ticket-{number:04}",
        "arm": arm,
        "repeat": 0,
        "incumbent": arm == "vendor",
        "status": "not_asked" if gone and number > 4 else "failed" if gone else "answered",
        "answer": None if gone else said,
        "reasoning": "It is about money." if number % 7 == 0 and not gone else None,
        "tool_calls": [],
        "finish": None if gone else "stop",
        "error": {"kind": "crashed", "message": "out of memory"} if gone and number == 4 else None,
        "edits": [{"action": "drop", "path": "/logit_bias", "detail": "not supported"}]
        if arm == "other-vendor" and number % 3 == 0
        else [],
        "attempts": 2 if number == 2 else 1,
        "repeated": number == 3,
        "expected": expected,
        "checker": "json",
        "prompt": f"{prompt} ({number})",
        "tags": [category, "urgent"] if urgent else [category],
        "measures": {}
        if gone
        else {
            "success": float(not any(not change["form"] for change in changes)),
            "total": round(seconds * (1 + number % 5 / 10), 3),
        },
        "changes": changes,
    }


def _said(number: int, arm: str, expected: Any) -> tuple[str, list[dict[str, Any]]]:
    text = json.dumps(expected)
    if arm == "mistral-local" and number % 5 == 0:
        other = json.dumps(expected | {"category": "billing"})
        return other, [change("field_changed", "another value of category", "/category")]
    if arm == "other-vendor":
        fenced = f"```json\n{text}\n```"
        return fenced, [change("code_fence", "in a code fence", form=True)]
    return text, []


def change(kind: str, label: str, where: str | None = None, *, form: bool = False) -> Any:
    """A change of a trial."""
    return {"kind": kind, "where": where, "label": label, "form": form}


def write(folder: Path, data: Any = None, rows: Any = None) -> Path:
    """A drill's folder with both files; by default the sample's."""
    (folder / "report.json").write_text(json.dumps(report() if data is None else data))
    with (folder / "cases.jsonl").open("w") as lines:
        lines.writelines(json.dumps(each) + "\n" for each in (trials() if rows is None else rows))
    return folder


def rendered(folder: Path, name: str, data: Any = None) -> str:
    """One report of a drill, rendered into its folder."""
    render(write(folder, data))
    return (folder / name).read_text()
