"""report.html: one file that asks nothing of any network and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from exitdrill.report import plot, view
from exitdrill.report.document import Document
from exitdrill.report.text import shorten
from exitdrill.report.units import NOT_MEASURED, quantity

COLUMNS = {
    "incumbent": "Incumbent",
    "candidate": "Candidate",
    "estimate": "Difference",
    "interval": "Interval",
    "noise": "Own noise",
    "n": "n",
}
TO_STATE = (
    "Contract reference, and the provider's legal entity",
    "Sub-processors and locations of processing, of both ends",
    "Version of the exit plan that this drill tests",
    "Period, sampling and redaction of the recorded workload",
    "Whether the incumbent was cut off, or only bypassed; hidden uses of it (judge, embeddings)",
    "Date of the prices, and lead time of hardware",
    "Who ran, observed and approved the drill, and how independent they are",
    "Date of the next review",
)


def render(document: Document) -> str:
    """The whole page."""
    data = document.data
    own = {
        "candidates_shown": [_candidate(each) for each in data["candidates"]],
        "summary": _summary(data),
        "headline": view.headline(data),
        "tallies": document.tallies,
        "to_state": TO_STATE,
        "claims": view.CLAIMS,
        "what_n_counts": view.WHAT_N_COUNTS,
        "judged": data["verdict"].get("judged", []),
    }
    # Keys may be added to report.json: ours win.
    return _template().render({**data, **own})


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        sign=lambda word: view.STATUS[word][0],
        word=lambda word: view.STATUS[word][1],
        arm_status=view.ARM_STATUS.__getitem__,
        count=view.count,
        money=view.money,
        share=lambda number: quantity("share", [number]).value(number),
        plain=_plain,
        success=_success,
        time=lambda text: text.replace("T", " ").removesuffix("Z").removesuffix("+00:00") + " UTC",
    )
    return environment.get_template("report.html.j2")


def _candidate(raw: Mapping[str, Any]) -> dict[str, Any]:
    gates = view.gates(raw)
    return {
        "raw": raw,
        "counts": view.gate_counts(raw),
        "gates": [
            (gate, plot.bar(each, gate)) for each, gate in zip(raw["gates"], gates, strict=True)
        ],
        "sections": [_section(key, raw) for key in view.SECTIONS],
    }


def _section(key: str, candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A table of rows, without the columns that nothing was measured for: those are named once."""
    rows = [view.row(each) for each in candidate[key]]
    empty = {
        column
        for column in COLUMNS
        if column != "candidate" and all(getattr(row, column) == NOT_MEASURED for row in rows)
    }
    shown = {column: title for column, title in COLUMNS.items() if column not in empty}
    return {
        "title": key.capitalize(),
        "rows": rows,
        "columns": shown,
        "left_out": [title for column, title in COLUMNS.items() if column in empty],
    }


def _summary(data: Mapping[str, Any]) -> dict[str, Any]:
    """One row per backend, one column per gate of any candidate."""
    found = [(raw, {gate.name: gate for gate in view.gates(raw)}) for raw in data["candidates"]]
    columns: dict[str, str] = {}
    incumbent: dict[str, str] = {}
    for _, gates in found:
        for name, gate in gates.items():
            heading = gate.row.label if gate.row else name
            columns.setdefault(name, f"{heading} ({gate.unit})" if gate.unit else heading)
            if gate.row and incumbent.get(name, NOT_MEASURED) == NOT_MEASURED:
                incumbent[name] = gate.row.incumbent
    return {"columns": columns, "incumbent": incumbent, "candidates": found}


def _plain(value: Any) -> str:
    """Any JSON value as text: a string as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    return shorten(json.dumps(value, ensure_ascii=False, indent=2))


def _success(value: bool | float | None) -> str:
    """What the checker said of one answer."""
    if value is None:
        return "not judged"
    if value in {0, 1}:
        return "✓ right" if value else "✗ wrong"
    return quantity("share", [value]).value(value)
