"""The sample report with strangers' strings wherever a string may be anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.harness.report_sample import (
    ARMS,
    description,
    example,
    group,
    report,
    sequential,
    shown_case,
    times,
    trial,
    volume,
)

HOSTILE = (
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "[click](javascript:alert(1)) ![x](https://evil.example/p.png)",
    "javascript:alert(1) https://evil.example www.evil.example <https://evil.example>",
    "{{ 7 * 7 }} {% raw %}",
    "a | b | c `code` **bold** _it_ ~~no~~ @octocat #12 owner/repo#12 GH-12 :tada: !3 $x$",
    "# heading\n\n- item\n\n| a |\n|---|\n```\nfence",
    "1. item",
    "user\u202etxt.exe \u2066iso\u2069 zero\u200bwidth",
    "nul \x00 esc \x1b[31m bell \x07 del \x7f c1 \x9b",
    "half \ud800 a character, and \ufffe\uffff none",
    "]]> <!-- --> &amp; &lt;",
    "<!--<script> line\u2028separator ${7 * 7} <svg onload=alert(1)>",
)


def hostile_report(strings: tuple[str, ...] = HOSTILE) -> dict[str, Any]:
    """A report.json that is valid, and means harm."""
    bad = " ".join(strings)
    data = report()
    data["drill"] |= {
        "id": bad,
        "scenario": bad,
        "exitdrill_version": bad,
        "completed": False,
        "stopped": bad,
    }
    data["drill"]["spend"] |= {"money": {"amount": 1, "currency": bad}, bad: bad}
    data["not_tested"] = list(strings)
    data["drill"]["edited"] = list(strings)
    data["incumbent"]["first"] = bad
    data["registered"] |= {"clusters": {"by": bad, "count": 2, "largest": 9}, "repeats": {bad: 2}}
    data["sequential"] = sequential() | {"asked": {bad: 64}}
    data["verdict"] |= {"reasons": list(strings), "candidate": bad}
    data["incumbent"] |= {"name": bad, "status": "not_started", "status_reason": bad}
    data["incumbent"]["description"] = description(
        bad, bad, server=bad, details={bad: {bad: [bad]}}
    )
    for candidate in data["candidates"]:
        candidate |= {"name": bad, "status": "broken_off", "status_reason": bad}
        candidate["description"] = description(bad, bad, revision=bad, sampling={bad: bad})
        candidate["verdict"]["reasons"] = list(strings)
        candidate["edits"] = [
            {"action": "drop", "path": each, "detail": each, "count": 1, "allowed": False}
            for each in strings
        ]
        for gate_ in candidate["gates"]:
            gate_ |= {"name": bad, "measure": bad, "reason": bad, "unit": bad, "method": f"{bad}!"}
        for section in ("drift", "latency", "cost", "change"):
            for row_ in candidate[section]:
                row_ |= {"name": bad, "label": bad, "note": bad, "unit": bad}
        candidate["changes"] = _changes(bad, strings)
        candidate["distributions"] = [times(bad, bad, (1.0, 2.0), missed=9) | {"unit": bad}]
        candidate["volume"] = volume() | {"currency": bad, "note": bad}
        candidate["volume"]["break_even"]["text"] = bad
    cases = [
        shown_case(each, each, [each, {each: each}], {bad: each, "b": each}, each)
        for each in strings
    ]
    for case in cases:
        case["tags"] = list(strings)
        case["answers"][0]["error"] = {"kind": bad, "message": bad}
        case["answers"][1]["tool_calls"] = [{"name": bad, "arguments": bad}]
    data["selection"]["shown"] = cases
    return data


def _changes(bad: str, strings: tuple[str, ...]) -> dict[str, Any]:
    groups = [
        group(bad, each, each, (5, 1.0, 1, 1), form=form)
        | {"examples": example(bad, each, each)}
        | {"values": [{"incumbent": each, "candidate": bad, "count": 2}]}
        for form in (False, True)
        for each in strings
    ]
    return {"compared": 9, "self_compared": 9, "groups": groups, "left_out": 0}


def hostile_trials(strings: tuple[str, ...] = HOSTILE) -> Iterator[dict[str, Any]]:
    """Lines of a cases.jsonl with the same in every place; the arms are the sample's."""
    for each in strings:
        for trial_ in (trial(0, arm) for arm in ARMS):
            change = {"kind": each, "where": each, "label": each, "form": False}
            yield trial_ | {
                "case": each,
                "answer": f"{trial_['arm']} {each}",
                "reasoning": each,
                "tool_calls": [{"id": each, "name": each, "arguments": each}],
                "finish": each,
                "error": {"kind": each, "message": each} if trial_["arm"] == "gpu-host" else None,
                "edits": [{"action": each, "path": each, "detail": each}],
                "expected": {each: [each]},
                "checker": each,
                "prompt": each,
                "tags": [each],
                "changes": [change],
            }
