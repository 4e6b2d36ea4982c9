"""report.html: one file that asks nothing of any network and runs one script, known by its hash."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from exitdrill.report import (
    app,
    balance,
    changed,
    described,
    fixed,
    judge,
    needs,
    plots,
    table,
    trials,
    view,
)
from exitdrill.report.document import Document
from exitdrill.report.plots import changes, classes, latency, margins, noise, volume
from exitdrill.report.units import NOT_MEASURED, quantity
from exitdrill.sentences import count_of

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
NOTHING = {NOT_MEASURED, view.DOES_NOT_APPLY}
FIRST = 6
"""Changes that are shown unfolded."""
TOP = 3
"""Changes of each candidate that stand beside the verdict."""
ECHO = 30
"""Characters from which a note that a row shares with the one above is not said again."""
HERE = Path(__file__).parent


def render(document: Document, file: TextIO) -> None:
    """Write the whole page, piece by piece: the cases alone may take 25 MB."""
    data = document.data
    cases = None if document.survey is None else table.table(document.survey, data)
    full = _full(data["candidates"])
    own = {
        "panels": margins.panels(data),
        "candidates_shown": [_candidate(each, data, full) for each in data["candidates"]],
        "full_bar": quantity("share", [full]).value(full),
        "summary": _summary(data),
        "answered_by": described.comparison(data),
        "headline": view.headline(data),
        "said_first": view.said_first(data),
        "incumbent_failures": view.incumbent_failures(data),
        "warnings": view.warnings(data, document.warnings),
        "reasons": view.reasons(data),
        "stopped": view.stopped(data),
        "fixed": fixed.registered(data),
        "early": fixed.early(data),
        "first_not_tested": view.first_not_tested(data),
        "cases_asked": fixed.asked(data),
        "stopped_early": fixed.stopped_early(data),
        "how_judged": view.HOW_JUDGED,
        "app_said": app.sentences(data),
        "app_tests": app.tests_said(data),
        "app_steps": app.steps(data),
        "judge_said": judge.sentences(data),
        "tallies": document.tallies,
        "to_state": TO_STATE,
        "findings": noise.WORDS.items(),
        "claims": view.CLAIMS,
        "what_n_counts": view.WHAT_N_COUNTS,
        "judged": data["verdict"].get("judged", []),
        "flags": [
            (int(flag), *words)
            for flag, words in trials.WORDS.items()
            if flag != trials.Flag.LEFT or data.get("app")
        ],
        "script": _asset("report.js"),
        "style": _asset("report.css"),
        "script_hash": _hash("report.js"),
        "style_hash": _hash("report.css"),
        "blocks": _blocks(cases),
        "table": cases,
    }
    # Keys may be added to report.json: ours win.
    for piece in _template().generate({**data, **own}):
        file.write(piece)


def _blocks(cases: table.Table | None) -> Iterator[Markup]:
    """The packed cases; base64, so that there is nothing to escape."""
    return (Markup(block) for block in (cases.blocks() if cases else ()))  # noqa: S704


@cache
def _asset(name: str) -> Markup:
    """A file of our own that goes into the page as it is."""
    return Markup((HERE / name).read_text(encoding="utf-8"))  # noqa: S704


@cache
def _hash(name: str) -> Markup:
    digest = hashlib.sha256(_asset(name).encode()).digest()
    return Markup(f"sha256-{base64.b64encode(digest).decode()}")  # noqa: S704


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE),
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
        count_of=count_of,
        left_out=needs.left_out,
        money=view.money,
        share=lambda number: quantity("share", [number]).value(number),
        plain=described.plain,
        success=_success,
        sentence=view.sentence,
        svg=plots.svg,
        shown_for=_shown_for,
        why=lambda note: note.removeprefix(f"{NOT_MEASURED}: "),
        time=lambda text: text.replace("T", " ").removesuffix("Z").removesuffix("+00:00") + " UTC",
    )
    return environment.get_template("report.html.j2")


def _candidate(raw: Mapping[str, Any], data: Mapping[str, Any], full: float) -> dict[str, Any]:
    incumbent = data["incumbent"]
    # Where it is measured, the drill's own delay stands among the rows.
    delays = () if view.raw_row("own_delay_p50", raw) else (incumbent, raw)
    parts = classes.parts(raw["change"])
    drawn = parts.names if parts else frozenset()
    return {
        "raw": raw,
        "counts": view.gate_counts(raw),
        "gates": _methods_once(view.gates(raw)),
        "needs": needs.needs(raw),
        "bullets": _bullets(raw),
        "sections": {key: _section(key, raw, drawn) for key in view.SECTIONS},
        "changes": _changes(raw, incumbent, full),
        "balance": _balance(raw),
        "noise": noise.groups(raw["drift"]),
        "times": latency.times(raw, incumbent["name"]),
        "delays": [text for arm in delays if (text := view.delay(arm))],
        "volume": _volume(raw, incumbent["name"]),
        "parts": parts,
    }


def _bullets(raw: Mapping[str, Any]) -> list[tuple[str, view.Gate | None]]:
    """The reasons of a candidate's verdict; a gate's sentence stands in the table of gates, so that
    here it has its name and status only."""
    sentences = {f"{gate.name}: {gate.reason}": gate for gate in view.gates(raw)}
    said = "" if raw["status"] == "complete" else view.broke_off(raw["status_reason"] or "")
    found = view.fresh(raw["verdict"]["reasons"], said)
    found += view.failures(raw, raw["verdict"]["reasons"])
    return [(reason, sentences.get(reason)) for reason in found]


def _methods_once(gates: Sequence[view.Gate]) -> list[view.Gate]:
    """The same long method is said once."""
    before = [None, *(gate.method for gate in gates)][: len(gates)]
    return [
        replace(gate, method="as above")
        if gate.method == method and len(gate.method or "") > ECHO
        else gate
        for gate, method in zip(gates, before, strict=True)
    ]


def _changes(
    raw: Mapping[str, Any], incumbent: Mapping[str, Any], full: float
) -> dict[str, Any] | None:
    """What changed, with bars: content first, form apart.

    Those beside the verdict have one scale for all candidates: the share ``full`` fills a bar.
    """
    found = changed.changes(raw)
    if found is None:
        return None
    groups = list(zip(found, raw["changes"]["groups"], strict=True))
    content = _drawn([each for each in groups if not each[0].form])
    form = _drawn([each for each in groups if each[0].form])
    leading = [groups[place] for place in changed.leading(raw["changes"]["groups"], TOP)]
    return {
        "compared": view.count(raw["changes"]["compared"]),
        "self_compared": view.count(raw["changes"]["self_compared"]),
        "nothing": "" if found else changed.nothing(raw, incumbent),
        "left_out": raw["changes"]["left_out"],
        "top": _drawn(leading, full * raw["changes"]["compared"]),
        "more": len(found) - len(leading) + raw["changes"]["left_out"],
        "parts": [
            (title, nothing, part[:FIRST], part[FIRST:])
            for title, nothing, part in (
                ("Content", "No answer changed in content.", content),
                ("Form only", "No answer changed in form alone.", form),
            )
        ],
    }


def _balance(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Which classes are answered more, or less, often; the smaller shifts are folded."""
    found = balance.shifts(raw)
    return {
        "first": found[:TOP],
        "rest": found[TOP:],
        "left_out": balance.left_out(raw) if found else [],
    }


def _full(candidates: Sequence[Mapping[str, Any]]) -> float:
    """The largest share of compared pairs that any candidate's leading changes have."""
    shares = [0.0]
    for found in (each["changes"] for each in candidates if each.get("changes")):
        for place in changed.leading(found["groups"], TOP):
            group = found["groups"][place]
            shares.append(max(group["count"], group["noise"] or 0) / max(found["compared"], 1))
    return min(1.0, max(shares))


def _drawn(
    groups: Sequence[tuple[changed.Change, Mapping[str, Any]]], full: float | None = None
) -> list[tuple[changed.Change, plots.Drawing]]:
    raws = [raw for _, raw in groups]
    bars = changes.bars([raw["count"] for raw in raws], [raw["noise"] for raw in raws], full)
    return [(change, bar) for (change, _), bar in zip(groups, bars, strict=True)]


def _volume(raw: Mapping[str, Any], incumbent: str) -> dict[str, Any] | None:
    found = raw.get("volume")
    if found is None:
        return None
    return {
        "drawing": volume.volume(found, (incumbent, raw["name"])),
        "note": found["note"],
        "text": (found["break_even"] or {}).get("text"),
    }


def _section(key: str, candidate: Mapping[str, Any], drawn: frozenset[str]) -> dict[str, Any]:
    """A table of rows, but for those that are drawn with their figures.

    Rows and columns without anything measured are named once.
    """
    everything = [view.row(each) for each in candidate[key] if each["name"] not in drawn]
    rows = _without_echoes([row for row in everything if row.measured])
    empty = {
        column
        for column in COLUMNS
        if column != "candidate" and all(getattr(row, column) in NOTHING for row in rows)
    }
    shown = {column: title for column, title in COLUMNS.items() if column not in empty}
    return {
        "title": key.capitalize(),
        "rows": rows,
        "unmeasured": [row for row in everything if not row.measured],
        "columns": shown,
        "left_out": [title for column, title in COLUMNS.items() if column in empty - {"n"}],
    }


def _without_echoes(rows: Sequence[view.Row]) -> list[view.Row]:
    """The same long note is said once."""
    before = [None, *(row.note for row in rows)][: len(rows)]
    return [
        replace(row, note="as above") if row.note == note and len(row.note or "") > ECHO else row
        for row, note in zip(rows, before, strict=True)
    ]


def _summary(data: Mapping[str, Any]) -> dict[str, Any]:
    """One row per backend, one column per gate of any candidate."""
    found = [(raw, {gate.name: gate for gate in view.gates(raw)}) for raw in data["candidates"]]
    known = view.references(data)
    columns: dict[str, str] = {}
    incumbent: dict[str, str] = {}
    for _, gates in found:
        for name, gate in gates.items():
            heading = gate.row.label if gate.row else name
            columns.setdefault(name, f"{heading} ({gate.unit})" if gate.unit else heading)
            if gate.row:
                figure = known[name].text if name in known else gate.row.incumbent
                incumbent.setdefault(name, figure)
    others = [
        {name: view.other_reference(gate, known) for name, gate in gates.items()}
        for _, gates in found
    ]
    return {"columns": columns, "incumbent": incumbent, "candidates": found, "others": others}


def _shown_for(case: Mapping[str, Any], incumbent: str) -> str:
    """Why a case of the static selection is shown, and with which candidates it was lost."""
    why: str = case["why"] or "No reason for showing it was recorded."
    wrong = [each["arm"] for each in case["answers"] if each["success"] is False]
    if why != "lost" or not wrong:
        return why
    return f"lost: right with {incumbent}, wrong with {', '.join(dict.fromkeys(wrong))}"


def _success(value: bool | float | None) -> str:
    """What the checker said of one answer."""
    if value is None:
        return "not judged"
    if value in {0, 1}:
        return "✓ right" if value else "✗ wrong"
    return quantity("share", [value]).value(value)
