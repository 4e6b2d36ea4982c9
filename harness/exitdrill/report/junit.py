"""junit.xml: a test suite per candidate, a test case per gate and one for its verdict.

A gate that failed is a ``<failure>``. One that is open is an ``<error type="inconclusive">``: an
error of JUnit's is a test that came to no result, as an open gate did, while CI systems show
``<skipped>`` as neutral or green, and what was not measured is never a pass. The case ``verdict``
keeps the suite of a candidate that has no gates, or that was never asked, from looking green; the
case ``answered`` is there, as an error, where an arm answered none of its requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO
from xml.etree import ElementTree as ET

from exitdrill.report import fixed, view
from exitdrill.report.document import Document

FAILED = {"fail", "not_ready"}
NO_RESULT = {"open", "inconclusive"}


def render(document: Document, file: TextIO) -> None:
    """Write the whole file. Its text is already free of characters that XML cannot hold."""
    data = document.data
    root = ET.Element("testsuites", name=f"exitdrill {data['drill']['scenario']}")
    for candidate in data["candidates"]:
        root.append(_suite(candidate, data, document.warnings))
    for outcome in ("tests", "failures", "errors"):
        root.set(outcome, str(sum(int(suite.get(outcome, 0)) for suite in root)))
    ET.indent(root)
    file.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    file.write(f"{ET.tostring(root, encoding='unicode')}\n")


def _suite(
    candidate: Mapping[str, Any], data: Mapping[str, Any], found: Sequence[str]
) -> ET.Element:
    suite = ET.Element(
        "testsuite", name=candidate["name"], timestamp=_seconds(data["drill"]["started"])
    )
    _properties(suite, candidate, data)
    cases = [_gate_case(gate, candidate["name"]) for gate in view.gates(candidate)]
    cases += [*_silent_cases(candidate, data["incumbent"])]
    cases.append(_verdict_case(candidate, data, view.warnings(data, found)))
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", str(sum(case.find("error") is not None for case in cases)))
    suite.set("skipped", "0")
    return suite


def _properties(suite: ET.Element, candidate: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    drill = data["drill"]
    known = {
        "drill.id": drill["id"],
        "drill.scenario": drill["scenario"],
        "drill.completed": str(drill["completed"]).lower(),
        "drill.plan_sha256": drill["plan_sha256"],
        "drill.exitdrill_version": drill["exitdrill_version"],
        "workload.sha256": data["workload"]["sha256"],
        "incumbent": data["incumbent"]["name"],
        "candidate.status": candidate["status"],
        "candidate.verdict": candidate["verdict"]["status"],
        **_answered("incumbent", data["incumbent"]),
        **_answered("candidate", candidate),
        **_more(data),
    }
    properties = ET.SubElement(suite, "properties")
    for name, value in known.items():
        ET.SubElement(properties, "property", name=name, value=value)


def _gate_case(gate: view.Gate, candidate: str) -> ET.Element:
    unit = f" ({gate.unit})" if gate.unit else ""
    figures = (
        f"measure {gate.measure}{unit}: estimate {gate.estimate}, "
        f"interval {gate.interval}, margin {gate.margin}, n {gate.n}"
    )
    if gate.method:
        figures += f"; method: {gate.method}"
    message = gate.reason if gate.cause is None else f"{gate.words}; {gate.reason}"
    return _case(gate.name, candidate, gate.status, message, figures)


def _more(data: Mapping[str, Any]) -> dict[str, str]:
    """What an older report does not say."""
    known = {"incumbent.first": view.said_first(data), "drill.sequential": fixed.early(data)}
    return {name: value for name, value in known.items() if value}


def _answered(end: str, arm: Mapping[str, Any]) -> dict[str, str]:
    counts = {key: arm.get(key) for key in ("answered_trials", "completed_trials")}
    return {f"{end}.{key}": str(count) for key, count in counts.items() if count is not None}


def _silent_cases(candidate: Mapping[str, Any], incumbent: Mapping[str, Any]) -> list[ET.Element]:
    """A case where one of the two answered nothing."""
    silent = [arm["name"] for arm in (incumbent, candidate) if arm.get("answered_trials") == 0]
    message = f"no trial was answered by {', '.join(silent)}"
    return [_case("answered", candidate["name"], "open", message, "")] if silent else []


def _verdict_case(
    candidate: Mapping[str, Any], data: Mapping[str, Any], warnings: Sequence[str]
) -> ET.Element:
    """The verdict, and right after it what has to be read first."""
    verdict, first = candidate["verdict"], view.said_first(data)
    word, counts = view.STATUS[verdict["status"]][1], view.gate_causes(candidate)
    summary = f"{word}. {first} {counts}" if first else f"{word}: {counts}"
    said = [*(f"Warning: {each}" for each in warnings), candidate["status_reason"]]
    said += view.without_edits(data, verdict["reasons"])
    said += [*view.failures(candidate, verdict["reasons"]), *view.incumbent_failures(data)]
    reasons = [reason for reason in said if reason]
    return _case("verdict", candidate["name"], verdict["status"], summary, "\n".join(reasons))


def _case(name: str, candidate: str, status: str, message: str, text: str) -> ET.Element:
    case = ET.Element("testcase", name=name, classname=f"exitdrill.{candidate}")
    if status in FAILED:
        outcome = ET.SubElement(case, "failure", type=status, message=message)
    elif status in NO_RESULT:
        outcome = ET.SubElement(case, "error", type="inconclusive", message=message)
    else:
        outcome = ET.SubElement(case, "system-out")
        text = f"{message}\n{text}".strip()
    outcome.text = text
    return case


def _seconds(time: str) -> str:
    """A time as JUnit's schema has it: no fraction, no zone (it is UTC)."""
    return time[:19]
