"""report.md: the verdict for a pull-request comment. Nothing in it is anyone's markup.

What one has to see stands open: verdict, gates, what changed. The rest is folded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from exitdrill.report import app, balance, changed, fixed, judge, needs, view
from exitdrill.report.document import Document
from exitdrill.report.text import shorten
from exitdrill.sentences import count_of, times

HARD_CAP = 60_000
"""GitHub refuses a comment of more than 65,536 characters."""
LONGEST_LINE = 400
ROWS_PER_SECTION = 3
EDITS = 10
CHANGES = 5
SHIFTS = 5
SHARES = 3
LONGEST_EXAMPLE = 80
SENTENCES = 20
FOLD, UNFOLD = "<details>", "</details>"

_MARKUP = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "|": "&#124;",  # an escaped pipe is read differently inside and outside of tables
        "`": "&#96;",
        **{character: f"\\{character}" for character in "\\*_[]~#$"},
    }
)
# What forges turn into a link, a mention, a reference or an emoji only after they have read the
# Markdown, so that no escape helps: @name, #12, !12, owner/repo#1, GH-12, :name:, a://b, www.a.b.
# A zero-width space breaks them apart.
_REFERENCE = re.compile(
    r"(?<=[@#!~%$&^])(?=[\w\"])|(?<=GH)(?=-\d)|(?<=:)(?=//|[a-z+-][\w+-]*:)|(?<=www)(?=\.)", re.I
)
_BLOCK_START = re.compile(r"^(?=[-+=:])|^(\d+)(?=[.)])")
_ESCAPE = r"\1\\"


def text(value: str) -> str:
    """Anybody's text as one line of Markdown that means nothing but itself."""
    line = shorten(" ".join(value.split()), LONGEST_LINE)
    return _REFERENCE.sub("\u200b", line).translate(_MARKUP)


def item(value: str) -> str:
    """Anybody's text as an item of a list, where its first characters could begin a block."""
    return f"- {_BLOCK_START.sub(_ESCAPE, text(value))}"


def render(document: Document, file: TextIO) -> None:
    """Write the whole comment."""
    file.write(_cap("\n".join(_lines(document.data, document.warnings)) + "\n"))


def _lines(data: Mapping[str, Any], warnings: Sequence[str]) -> Iterator[str]:
    yield from _verdict(data, view.warnings(data, warnings))
    yield from _overview(data)
    yield from _fixed(data)
    for candidate in data["candidates"]:
        yield from _candidate(candidate, data)
    yield from _of(app.sentences(data), "The app")
    yield from _exits(data)
    yield from _of(judge.sentences(data), "The judge")
    yield "## Not tested"
    yield ""
    yield from _sentences(data["not_tested"], "Nothing was named.")
    yield from _footer(data)


def _of(said: Sequence[str] | None, title: str) -> Iterator[str]:
    """A section of sentences, where there is something to be said."""
    if said is None:
        return
    yield f"## {title}"
    yield ""
    yield from _sentences(said, "")


def _fixed(data: Mapping[str, Any]) -> Iterator[str]:
    """What was registered, for who unfolds it."""
    found = fixed.registered(data) or []
    lines = [item(f"{word}: {sentence}") for word, sentence in found]
    yield from _folded("Registered before the first call", [*lines, ""] if lines else [])


def _verdict(data: Mapping[str, Any], warnings: Sequence[str]) -> Iterator[str]:
    yield f"# {view.status(data['verdict']['status'])}"
    yield ""
    yield f"**{text(view.headline(data))}**"
    yield ""
    yield from _beside(data, warnings)
    reasons = view.reasons(data)
    if reasons or not data["verdict"]["reasons"]:
        yield from _sentences(reasons, "No reason was recorded.")
    judged = data["verdict"].get("judged", [])
    if judged:
        yield "What was judged:"
        yield ""
        yield from _sentences(judged, "")
    drill = data["drill"]
    yield f"Exit drill of {text(drill['scenario'])}, {text(drill['started'])}{_asked(data)}."
    yield ""
    early = fixed.early(data)
    if early:
        yield text(early)
        yield ""
    untested = view.first_not_tested(data)
    if untested:
        yield f"**Not tested:** {text(untested)}"
        yield ""


def _beside(data: Mapping[str, Any], warnings: Sequence[str]) -> Iterator[str]:
    """What has to be read before the reasons."""
    first, stopped = view.said_first(data), view.stopped(data)
    if first:
        yield text(first)
        yield ""
    for each in view.incumbent_failures(data):
        yield text(each)
        yield ""
    for each in warnings:
        yield f"**Warning:** {text(each)}"
        yield ""
    if stopped:
        yield f"**The drill was not completed.** {text(view.sentence(stopped))}"
        yield ""


def _asked(data: Mapping[str, Any]) -> str:
    if not data["drill"]["spend"]["calls"]:
        return "; 0 calls were made"
    if fixed.stopped_early(data):
        return ""
    cases = count_of(data["workload"]["cases"], "case")
    return f"; {view.count(fixed.asked(data))} of {cases} asked"


def _exits(data: Mapping[str, Any]) -> Iterator[str]:
    """What each exit took, step by step."""
    if steps := app.steps(data):
        head, *rows = ([text(cell) for cell in row] for row in steps)
        yield from _table(head, rows)


def _reasons(reasons: Sequence[str], said: str) -> Iterator[str]:
    """The reasons that were not said before."""
    if not reasons:
        yield from _sentences((), "No reason was recorded.")
    fresh = view.fresh(reasons, said)
    if fresh:
        yield from _sentences(fresh, "")


def _overview(data: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (text(each["name"]), view.status(each["verdict"]["status"]), view.gate_causes(each))
        for each in data["candidates"]
    ]
    yield from _table(("candidate", "verdict", "gates"), rows)


def _candidate(candidate: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {text(candidate['name'])}: {view.status(candidate['verdict']['status'])}"
    yield ""
    said = "\n".join([view.stopped(data), *data["verdict"]["reasons"]])
    if candidate["status"] != "complete":
        reason = candidate["status_reason"] or "no reason was recorded"
        why = "see above" if reason in said else text(reason)
        yield f"This arm was {view.ARM_STATUS[candidate['status']]}: {why}"
        yield ""
        said += f"\n{view.broke_off(reason)}"
    # What a gate says stands in the table.
    gates = [f"{gate['name']}: {gate['reason']}" for gate in candidate["gates"]]
    yield from _reasons(candidate["verdict"]["reasons"], "\n".join([said, *gates]))
    for each in view.failures(candidate, candidate["verdict"]["reasons"]):
        yield text(each)
        yield ""
    yield from _gates(candidate)
    yield from _needs(candidate)
    yield from _changes(candidate, data["incumbent"])
    yield from _balance(candidate)
    refused = [edit for edit in candidate["edits"] if not edit["allowed"]]
    accepted = [edit for edit in candidate["edits"] if edit["allowed"]]
    yield from _edits(refused)
    measured = [*_measured(candidate), *_methods(candidate), *_edits(accepted)]
    yield from _folded("What was measured", measured)


def _needs(candidate: Mapping[str, Any]) -> Iterator[str]:
    """What the exit needs: in sentences, and folded place by place and line by line."""
    found = needs.needs(candidate)
    if found is None:
        return
    yield "### What the exit needs"
    yield ""
    yield from _sentences([*found.first, *found.said], "")
    rows = [(text(each.where), text(each.what), each.state) for each in found.places]
    more = needs.left_out(found.more_places, "place")
    places = [*_table(("place", "what it is", "after the swap"), rows), *_paragraph(more)]
    yield from _folded("The places coupled to a vendor", places if rows else [])
    more = needs.left_out(found.more_lines, "line")
    yield from _folded("The change, as a patch", [*_fenced(found.diff), *_paragraph(more)])


def _paragraph(said: str) -> Iterator[str]:
    if said:
        yield text(said)
        yield ""


def _fenced(content: str) -> Iterator[str]:
    """Text as it is, in a fence that is longer than any in it."""
    if not content:
        return
    fence = "`" * (1 + max([2, *map(len, re.findall("`+", content))]))
    yield f"{fence}diff"
    yield from content.split("\n")
    yield fence
    yield ""


def _gates(candidate: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (
            f"{text(gate.name)}{f' ({text(gate.unit)})' if gate.unit else ''}",
            gate.said,
            gate.estimate,
            gate.interval,
            gate.margin,
            gate.n,
            text(gate.reason),
        )
        for gate in view.gates(candidate)
    ]
    if rows:
        head = ("gate", "status", "estimate", "interval", "margin", "n", "reason")
        yield from _table(head, rows)


def _methods(candidate: Mapping[str, Any]) -> Iterator[str]:
    """How the figures of the gates were made."""
    made: dict[str, list[str]] = {}
    for gate in view.gates(candidate):
        if gate.method:
            made.setdefault(gate.method, []).append(gate.name)
    if made:
        yield "How the figures of the gates were made:"
        yield ""
        lines = [f"{', '.join(names)}: {method}" for method, names in made.items()]
        yield from _sentences(lines, "")


def _changes(candidate: Mapping[str, Any], incumbent: Mapping[str, Any]) -> Iterator[str]:
    """The most frequent change, and those that lost most."""
    found = changed.changes(candidate)
    if found is None:
        return
    if not found:
        yield text(changed.nothing(candidate, incumbent))
        yield ""
        return
    leading = changed.leading(candidate["changes"]["groups"], CHANGES)
    rows = [_change(found[place]) for place in leading]
    pairs = count_of(candidate["changes"]["compared"], "pair")
    yield from _table((f"what changed, in {pairs}", "pairs", "own noise", "example"), rows)
    left_out = len(found) - len(rows) + candidate["changes"]["left_out"]
    if left_out:
        yield f"More changes, in report.html: {left_out:,}."
        yield ""


def _change(change: changed.Change) -> tuple[str, ...]:
    form = "form: " if change.form else ""
    count = f"{change.count} ({change.share})" if change.share else change.count
    right = f"; {change.right}" if change.right else ""
    example = ""
    if change.examples:
        ends = (change.examples[0][end] for end in ("incumbent", "candidate"))
        example = " → ".join(text(view.cut(end, LONGEST_EXAMPLE)) or "(nothing)" for end in ends)
    return f"{form}{text(change.label)}", f"{count}{right}", change.noise, example


def _balance(candidate: Mapping[str, Any]) -> Iterator[str]:
    """Which classes are answered more, or less, often; nothing where none is."""
    found = balance.shifts(candidate)
    if not found:
        return
    rows = [
        (text(each.where), "; ".join(map(_share, each.shares[:SHARES])), each.shift, each.noise)
        for each in found[:SHIFTS]
    ]
    head = ("class balance", "share of answers, incumbent → candidate", "shift", "own noise")
    yield from _table(head, rows)
    more = len(found) - len(rows) + (candidate.get("balance_left_out") or {}).get("more", 0)
    if more:
        yield f"More fields whose balance shifted: {more:,}."
        yield ""


def _share(share: balance.Share) -> str:
    value = text(view.cut(share.value, LONGEST_EXAMPLE))
    return f"{value} {share.incumbent} → {share.candidate}"


def _folded(title: str, lines: Sequence[str]) -> Iterator[str]:
    """Lines that are read only by who unfolds them."""
    if not lines:
        return
    yield f"{FOLD}<summary>{title}</summary>"
    yield ""
    yield from lines
    yield UNFOLD
    yield ""


def _measured(candidate: Mapping[str, Any]) -> Iterator[str]:
    """The rows that gates judge, and the first of each section besides."""
    judged = {gate["measure"] for gate in candidate["gates"]}
    shown = []
    for section in view.SECTIONS:
        rows = sorted(candidate[section], key=lambda row: row["name"] not in judged)
        measured = [row for row in map(view.row, rows) if row.measured]
        shown += measured[:ROWS_PER_SECTION]
    if not shown:
        return
    rows_of_text = [
        (
            f"{text(row.label)}{f' ({text(row.unit)})' if row.unit else ''}",
            *(row.incumbent, row.candidate, row.estimate, row.interval, row.noise, row.n),
        )
        for row in shown
    ]
    head = ("measured", "incumbent", "candidate", "difference", "interval", "own noise", "n")
    yield from _table(head, rows_of_text)
    left_out = sum(len(candidate[section]) for section in view.SECTIONS) - len(shown)
    if left_out:
        yield f"Rows left out here, and shown in report.html: {left_out:,}."
        yield ""


def _edits(edits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not edits:
        return
    yield "Edits to requests:"
    yield ""
    lines = (
        f"{edit['action']} {edit['path']} ({times(edit['count'])}, "
        f"{'allowed' if edit['allowed'] else 'not allowed'}): {edit['detail']}"
        for edit in edits
    )
    yield from _sentences(list(lines), "", EDITS)


def _footer(data: Mapping[str, Any]) -> Iterator[str]:
    drill, spend = data["drill"], data["drill"]["spend"]
    yield (
        f"Drill {text(drill['id'])}, plan {drill['plan_sha256']}, exitdrill "
        f"{text(drill['exitdrill_version'])}; {count_of(spend['calls'], 'call')}, "
        f"tokens: {view.count(spend['tokens'])}, money: {text(view.money(spend['money']))}."
    )
    yield ""
    yield view.HOW_JUDGED
    yield ""
    yield view.WHAT_N_COUNTS
    yield ""
    done = "A run of the app in a drill" if data.get("app") else "A replay of recorded requests"
    yield (
        f"{done}, not a cut-over in production; it certifies nothing. "
        "What it does not claim, and the answers side by side, are in report.html."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for cells in rows:
        yield f"| {' | '.join(cells)} |"
    yield ""


def _sentences(items: Sequence[str], none: str, limit: int = SENTENCES) -> Iterator[str]:
    for each in items[:limit]:
        yield item(each)
    if len(items) > limit:
        yield f"- … and {len(items) - limit:,} more in report.html"
    if not items:
        yield none
    yield ""


def _cap(whole: str) -> str:
    """At most `HARD_CAP` characters, cut between two lines, with the cut stated."""
    if len(whole) <= HARD_CAP:
        return whole
    kept, folded = _outside_fences(whole[: whole.rindex("\n", 0, HARD_CAP - 200) + 1])
    if folded:
        kept += f"{UNFOLD}\n"
    return f"{kept}\n**Cut here:** {len(whole) - len(kept):,} more characters; see report.html.\n"


def _outside_fences(kept: str) -> tuple[str, bool]:
    """The text without a fence that it does not close, and whether a fold is open at its end."""
    fence, began, at, folded = "", 0, 0, False
    for line in kept.splitlines(keepends=True):
        mark = line.rstrip("\n")
        if fence:
            fence = "" if mark == fence else fence
        elif mark.startswith("```"):
            fence, began = mark.removesuffix("diff"), at
        else:
            folded = (folded or mark.startswith(FOLD)) and mark != UNFOLD
        at += len(line)
    return (kept[:began] if fence else kept), folded
