"""Reports: the contract of report.json, files that cannot be used, and what reports say."""

# ruff: noqa: E501 - the snapshot holds tables

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator
from tests.harness import report_sample as sample
from tests.harness.report_hostile import hostile_report
from tests.harness.report_sample import rendered

from exitdrill.errors import StorageFailed, UsageError
from exitdrill.report import RENDERERS, changed, fixed, load, render, schema, validate, view
from exitdrill.report.markdown import HARD_CAP
from exitdrill.report.units import quantity
from exitdrill.verdict import Cause, verdict_of

# --- the contract -------------------------------------------------------------------------------


def test_schema_is_a_schema_and_takes_the_sample() -> None:
    Draft202012Validator.check_schema(schema())
    validate(sample.report())
    validate(sample.every_cause())
    validate(hostile_report())


def test_keys_may_be_added_anywhere(tmp_path: Path) -> None:
    data = sample.report()
    plain = rendered(tmp_path, "report.html", data)
    data |= {"summary": "a later key", "claims": 3, "self": None}
    data["candidates"][0]["gates"][0]["power"] = 0.8
    assert rendered(tmp_path, "report.html", data) == plain


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("schema_version", 0),
        ("schema_version", "1"),
        ("drill.completed", "yes"),
        ("drill.started", "yesterday"),
        ("drill.plan_sha256", "abc"),
        ("drill.spend.money", 3.5),
        ("drill.spend.money", {"amount": 3.5}),
        ("workload.cases", -1),
        ("workload.asked", 1.5),
        ("incumbent.success", 1.01),
        ("incumbent.status", "done"),
        ("incumbent.description", None),
        ("candidates", []),
        ("candidates.0.drift.0.estimate", "0.5"),
        ("candidates.0.drift.0.interval", [0.1]),
        ("candidates.0.drift.0.interval", [0.1, None]),
        ("candidates.0.drift.0.interval", [0.1, 0.2, 0.3]),
        ("candidates.0.gates.0.status", "passed"),
        ("candidates.0.gates.0.kind", "equality"),
        ("candidates.0.gates.0.n", 1.5),
        ("candidates.0.gates.0.own_interval", [0.1]),
        ("candidates.0.gates.0.cause", "bad luck"),
        ("candidates.0.gates.0.clusters", 1.5),
        ("registered.mode", "loose"),
        ("registered.repeats", {"vendor": 0}),
        ("drill.edited", "gates"),
        ("incumbent.first", 1),
        ("candidates.0.drift.0.missed", ["nobody"]),
        ("candidates.0.answered_trials", -1),
        ("verdict.judged", "all"),
        ("candidates.0.edits.0.action", "ignore"),
        ("candidates.0.verdict.status", "maybe"),
        ("verdict.candidate", 1),
        ("not_tested", "nothing"),
        ("selection.shown.0.answers.0.error", "timeout"),
    ],
)
def test_schema_refuses_a_wrong_value(place: str, value: Any) -> None:
    data = sample.report()
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner: Any = data
    for part in path:
        inner = inner[part]
    inner[last] = value
    with pytest.raises(UsageError) as caught:
        validate(data)
    expected = re.sub(r"\.(\d+)", r"[\1]", place)
    assert (caught.value.key or "").startswith(expected)


def objects(node: Any, place: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every object of the contract in the sample, the free ones aside."""
    found: list[tuple[str, dict[str, Any]]] = []
    if isinstance(node, dict):
        if not place.endswith((".sampling", ".details", ".limits", ".repeats")):
            found.append((place, node))
        for key, value in node.items():
            found += objects(value, f"{place}.{key}")
    elif isinstance(node, list):
        for item in node[:1]:
            found += objects(item, f"{place}[0]")
    return found


OPTIONAL = {
    *("missed", "own_interval", "judged", "answered_trials", "completed_trials"),
    *("changes", "distributions", "volume", "delay"),
    *("cause", "more", "method", "clusters", "edited", "first", "registered", "sequential"),
}
"""Keys that were added, and that a report.json may lack."""


def test_reports_without_the_added_keys_are_rendered(tmp_path: Path) -> None:
    data = sample.report()
    for _, node in objects(data):
        for key in OPTIONAL & node.keys():
            del node[key]
    page = rendered(tmp_path, "report.html", data)
    assert "What was judged" not in page
    assert "Registered before" not in page


def test_every_key_of_the_contract_is_required() -> None:
    data = sample.report()
    for place, node in objects(data):
        for key in list(node):
            free = {"sampling", "details", "limits"} if not place.endswith("description") else set()
            if key in OPTIONAL | free:
                continue
            value = node.pop(key)
            with pytest.raises(UsageError):
                validate(data)
            node[key] = value
    validate(data)


# --- files that cannot be used ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "report.json:1: damaged, not JSON"),
        (b'{"schema_version": 1,\n "drill": {', "report.json:2: damaged, not JSON"),
        (b'{"a": 1,\n "b": "\xff"}', "report.json:2: damaged, not UTF-8"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": 1e999}', "beyond what a number can be"),
        (b'{"a": 1' + b"0" * 400 + b"}", "beyond what a number can be"),
        (b'{"a": 1' + b"0" * 9000 + b"}", "damaged"),
        (b"[" * 200_000, "damaged, nested too deeply"),
        (b"[]", "is not of type 'object'"),
        (b'{"schema_version": 2}', "schema_version: written by a newer exitdrill (schema 2"),
    ],
)
def test_damaged_report(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "report.json").write_bytes(raw)
    with pytest.raises(UsageError) as caught:
        render(tmp_path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_message_shows_no_control_characters(tmp_path: Path) -> None:
    data = sample.report() | {"not_tested": "\x1b[31m" + "x" * 10_000}
    with pytest.raises(UsageError) as caught:
        render(sample.write(tmp_path, data))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"report\.json: no such file"):
        render(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        render(tmp_path / "nowhere")
    (tmp_path / "report.json").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        render(tmp_path)


@pytest.mark.parametrize("line", ["{", "[]", '{"case": "a"}', '{"arm": 3}', "\n"])
def test_damaged_cases(tmp_path: Path, line: str) -> None:
    folder = sample.write(tmp_path)
    with (folder / "cases.jsonl").open("a") as lines:
        lines.write(line)
    with pytest.raises(UsageError, match=r"cases\.jsonl:81: "):
        render(folder)


def test_cases_may_be_kept_back(tmp_path: Path) -> None:
    folder = sample.write(tmp_path)
    (folder / "cases.jsonl").unlink()
    render(folder)
    assert "cases.jsonl is not in this folder" in (folder / "report.html").read_text()


def test_a_report_that_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    folder = sample.write(tmp_path)
    (folder / "report.html").mkdir()
    with pytest.raises(StorageFailed, match=r"report\.html could not be written"):
        render(folder)
    assert not list(folder.glob("*.tmp")) + list(folder.glob(".*.tmp"))


# --- what they say ------------------------------------------------------------------------------


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    written = render(sample.write(tmp_path))
    first = [path.read_bytes() for path in written]
    assert [path.name for path in written] == list(RENDERERS)
    assert [path.read_bytes() for path in render(tmp_path)] == first


def test_trials_are_counted(tmp_path: Path) -> None:
    document = load(sample.write(tmp_path))
    assert document.tallies is not None
    assert [tally.arm for tally in document.tallies] == [
        "vendor",
        "mistral-local",
        "other-vendor",
        "gpu-host",
    ]
    broken = document.tallies[-1]
    assert broken.statuses == {"answered": 4, "failed": 1, "not_asked": 15}
    assert (broken.errors, broken.retries, broken.repeated) == ({"crashed": 1}, 1, 1)
    assert sum(1 for _ in document.cases()) == 80


@pytest.mark.parametrize(
    ("unit", "number", "value", "difference"),
    [
        ("share", 0.965, "96.5 %", "+96.5 points"),
        ("share", 1, "100.0 %", "+100.0 points"),
        ("share", 0.9997, "99.97 %", "+100.0 points"),
        ("share", 1 - 1e-12, "100.0 %", "+100.0 points"),
        ("share", 0.00004, "0.004 %", "+0.004 points"),
        ("share", 0.0035, "0.35 %", "+0.35 points"),
        ("share", 0.004, "0.4 %", "+0.4 points"),
        ("share", -0.05, "−5.0 %", "−5.0 points"),
        ("s", 0.0421, "42.1 ms", "+42.1 ms"),
        ("s", 2.5, "2.50 s", "+2.50 s"),
        ("lines", 1310, "1,310", "+1,310"),
        ("tokens/s", 61.74, "61.7", "+61.7"),
        ("EUR/1000 requests", 1234.5, "1,234.50", "+1,234.50"),
        ("EUR/1000 requests", 0.001234, "0.00123", "+0.00123"),
        ("lines", 0, "0", "0"),
        ("lines", None, "not measured", "not measured"),
    ],
)
def test_numbers(unit: str, number: float | None, value: str, difference: str) -> None:
    written = quantity(unit, [number])
    assert (written.value(number), written.difference(number)) == (value, difference)


def test_one_scale_for_a_row() -> None:
    written = quantity("s", [0.871, 1.9])
    assert [written.value(number) for number in (0.871, 1.9, 0.0001)] == [
        "0.87 s",
        "1.90 s",
        "0.0001 s",
    ]
    assert [written.value(number) for number in (0.00554, 0.058)] == ["0.0055 s", "0.058 s"]


def test_a_limit_does_not_set_the_scale() -> None:
    """5.54 ms, with five seconds allowed, are not 0.01 s."""
    figures = {"incumbent": 0.0049, "candidate": 0.00554, "estimate": 0.00064, "noise": None}
    measured = figures | {"name": "ttft_p95", "unit": "s", "label": "Wait", "note": None, "n": 9}
    measured["interval"] = None
    limited = {"name": "wait", "measure": "ttft_p95", "unit": "s", "kind": "cap", "margin": 5}
    limited |= {"estimate": 0.00554, "interval": None, "own_interval": [0.0051, 0.00634], "n": 9}
    limited |= {"status": "pass", "reason": "so", "better": "lower"}
    found = view.gate(limited, {"latency": [measured], "drift": [], "cost": [], "change": []})
    assert (found.estimate, found.interval) == ("5.54 ms", "5.10 to 6.34 ms")
    assert found.margin == "≤ 5,000 ms"
    missed = measured | {"candidate": None, "missed": ["candidate"]}
    limited |= {"estimate": None, "own_interval": None}
    found = view.gate(limited, {"latency": [missed], "drift": [], "cost": [], "change": []})
    assert (found.estimate, found.interval) == ("missed", "does not apply")
    assert found.row
    assert (found.row.candidate, found.row.incumbent) == ("missed", "4.90 ms")


@pytest.mark.parametrize(
    ("unit", "row", "limit", "text", "signed"),
    [
        ("s", 0.4, 0.5, "500 ms", "+500 ms"),
        ("EUR/request", 0.000041, 0.1, "0.1", "+0.1"),
        ("share", 0.97, -0.07, "−7 %", "−7 points"),
        ("share", 0.97, 0.0125, "1.25 %", "+1.25 points"),
        ("tokens/s", 61.7, 1.0, "1", "+1"),
        ("s", 0.001, 1.7e308, "inf ms", "+inf ms"),
        ("lines", 3, 0, "0", "0"),
    ],
)
def test_a_limit_has_as_many_digits_as_it_needs(
    unit: str, row: float, limit: float, text: str, signed: str
) -> None:
    written = quantity(unit, [row, limit], [row])
    assert (written.limit(limit), written.allowance(limit)) == (text, signed)


def test_small_numbers_have_no_exponent() -> None:
    assert quantity("EUR/request", [0.000041]).value(0.00000037) == "0.00000037"


@pytest.mark.parametrize(
    ("figures", "n"),
    [
        ((None, 12, 12, None, 0, None), "does not apply"),
        ((None, 12, 12, None, None, None), "does not apply"),
        ((0.9, None, None, None, 120, None), "120"),
        ((None, None, None, None, 0, None), "0"),
        ((None, None, None, None, None, None), "not measured"),
    ],
)
def test_what_was_not_sampled_has_no_n(figures: tuple[Any, ...], n: str) -> None:
    assert view.row(sample.row("lines", "lines", "Lines", figures)).n == n


def groups(*counts: tuple[int, int]) -> list[dict[str, Any]]:
    """Groups of changes: how many pairs, and how many of them lost."""
    return [
        sample.group("wording", None, f"{count}", (count, 0.0, lost, 0), form=not lost)
        for count, lost in counts
    ]


@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [
        (((668, 668), (462, 462), (2, 2)), 2, [668, 462]),
        (((640, 0), (84, 21), (31, 4), (12, 11)), 3, [640, 84, 12]),
        (((9, 0), (8, 0), (7, 0), (6, 1)), 3, [9, 8, 6]),
        (((9, 0), (8, 0)), 3, [9, 8]),
        ((), 3, []),
    ],
)
def test_what_leads(counts: Any, most: int, expected: list[int]) -> None:
    found = groups(*counts)
    assert [found[place]["count"] for place in changed.leading(found, most)] == expected


def test_a_change_of_form_leads_where_it_is_the_biggest(tmp_path: Path) -> None:
    page = rendered(tmp_path, "report.html")
    look = page.partition('id="what-changed"')[2].partition("</section>")[0]
    first = look.partition("<li")[2].partition("</li>")[0]
    assert '<span class="tag">form</span> white space only' in first
    assert '<a href="#changes-1">and 7 more</a>' in look
    assert '<h3 id="changes-1">' in page


@pytest.mark.parametrize(
    ("silent", "compared", "sentence"),
    [
        ("candidate", 0, "Nothing to compare: it gave no answer."),
        ("incumbent", 0, "Nothing to compare: vendor gave no answer."),
        ("", 0, "Nothing to compare: no request was answered by both."),
        ("", 1200, "No answer changed; 1,200 pairs were compared."),
    ],
)
def test_no_change_is_not_always_a_good_sign(
    tmp_path: Path, silent: str, compared: int, sentence: str
) -> None:
    data = sample.report()
    candidate = data["candidates"][0]
    candidate["changes"] = {"compared": compared, "self_compared": 9, "groups": [], "left_out": 0}
    candidate["answered_trials"] = 0 if silent == "candidate" else 9
    data["incumbent"]["answered_trials"] = 0 if silent == "incumbent" else 9
    page = rendered(tmp_path, "report.html", data)
    assert page.count(sentence) == 2
    assert f">{compared:,} pairs of answers" not in page
    assert sentence in (tmp_path / "report.md").read_text()


def test_where_nothing_was_called_nothing_was_asked(tmp_path: Path) -> None:
    data = sample.report()
    data["drill"]["spend"]["calls"] = 0
    page = rendered(tmp_path, "report.html", data)
    assert "0 calls were made; the workload has 400 cases." in page
    assert "of the workload were asked" not in page
    comment = (tmp_path / "report.md").read_text()
    assert "0 calls were made." in comment
    assert "cases asked" not in comment


def test_the_static_selection_says_who_lost_and_counts_from_one(tmp_path: Path) -> None:
    data = sample.report()
    (case,) = data["selection"]["shown"]
    case["why"] = "lost"
    case["tags"] = ["", "a"]
    page = rendered(tmp_path, "report.html", data)
    assert "lost: right with vendor, wrong with other-vendor<br>Tags: (empty), a" in page
    assert "<h4>vendor (incumbent), repeat 1: ✓ right</h4>" in page
    assert "repeat 0" not in page


def test_the_delay_of_the_drill_is_said_once(tmp_path: Path) -> None:
    data = sample.report()
    data["candidates"] = data["candidates"][:1]
    sentence = "The drill's own delay while it asked"
    assert rendered(tmp_path, "report.html", data).count(sentence) == 1
    figures = (0.0001, 0.0002, None, None, 9, None)
    row = sample.row("own_delay_p50", "s", "own delay, p50", figures)
    data["candidates"][0]["latency"].append(row)
    assert sentence not in rendered(tmp_path, "report.html", data)


def test_markdown_says_each_thing_once(tmp_path: Path) -> None:
    data = sample.report()
    error = "could not be started: unreachable: 127.0.0.1:9"
    stopped = f"no candidate could be started; 'gpu-host' {error}"
    data["drill"] |= {"completed": False, "stopped": stopped}
    data["verdict"] |= {"status": "inconclusive", "reasons": [stopped], "judged": []}
    candidate = data["candidates"][2]
    candidate |= {"status": "not_started", "status_reason": error}
    gate = candidate["gates"][0]
    candidate["verdict"]["reasons"] = [error, f"{gate['name']}: {gate['reason']}", "else"]
    comment = rendered(tmp_path, "report.md", data)
    assert comment.count(error) == 1
    assert comment.count(gate["reason"]) == 1
    assert "- else\n" in comment
    assert "This arm was not started: see above\n" in comment


def test_white_space_is_shown_where_it_is_what_changed(tmp_path: Path) -> None:
    data = sample.report()
    spaced = sample.group("white_space", None, "other white space", (2, 0.0, 0, 0), form=True)
    spaced["examples"] = sample.example("a", "two words", "two\t words\n\u00a0")
    data["candidates"][0]["changes"]["groups"] = [spaced]
    assert "two·words → two⇥·words⏎⟨U+00A0⟩ |" in rendered(tmp_path, "report.md", data)


def test_html_says_it_all(tmp_path: Path) -> None:
    page = rendered(tmp_path, "report.html")
    for words in (
        "In this drill, vendor could be left for mistral-local.",
        "−1.9 to +2.8 points",
        "≥ −5 points",
        "the server ended after 61 of 400 cases (out of memory)",
        "Fewer answers than a p95 needs.",
        "ab" * 32,
        "0123456789abcdef" * 4,
        "not measured",
        "It certifies nothing",
        "What was judged:",
        "gates passed: success, latency, lines, tools",
        "n counts cases for shares and tokens",
        "11.5 to 18.3 %",
        "to be filled in",
    ):
        assert words in page
    assert "None" not in re.sub(r"None is on record", "", page)


# --- what has to be known of how it was judged --------------------------------------------------


def test_every_cause_has_words() -> None:
    gate = schema()["$defs"]["gate"]["properties"]["cause"]["enum"]
    assert [*view.CAUSES, None] == gate
    assert list(view.CAUSES) == list(get_args(Cause))
    assert len(set(view.CAUSES.values())) == len(view.CAUSES)


@pytest.mark.parametrize("cause", view.CAUSES)
def test_an_open_gate_says_why_everywhere(tmp_path: Path, cause: str) -> None:
    data = sample.report()
    data["candidates"] = data["candidates"][2:]
    candidate = data["candidates"][0]
    candidate["gates"] = [candidate["gates"][0] | {"cause": cause}]
    page = rendered(tmp_path, "report.html", data)
    words = view.CAUSES[cause]
    text = re.sub(r"<[^>]+>", "", page).replace("&#39;", "'")
    for where in ("Against the margins", "Summary\n", "Candidate gpu-host", "Margin"):
        assert f"? open: {words}" in text.partition(where)[2]
    comment = (tmp_path / "report.md").read_text()
    assert f"| 1 gate open ({words}) |" in comment
    assert f"| ? open: {words} |" in comment
    error = ET.parse(tmp_path / "junit.xml").find(".//testcase[@name='success']/error")
    assert error is not None
    reason = candidate["gates"][0]["reason"]
    assert error.get("message") == f"open: {words}; {reason}"


@pytest.mark.parametrize(
    ("statuses", "veto", "counts", "causes"),
    [
        (["pass"], None, "1 gate passed", "1 gate passed"),
        (
            ["pass", "fail"],
            "no",
            "1 gate failed, 1 passed, 1 veto",
            "1 gate failed, 1 passed, 1 veto",
        ),
        (
            ["open", "fail", "open", "fail"],
            None,
            "2 gates failed, 2 open",
            "2 gates failed, 2 open (too few cases)",
        ),
        (["open", "open"], None, "2 gates open", "2 gates open (too few cases)"),
        ([], None, "no gate was judged", "no gate was judged"),
        ([], "no", "no gate was judged, 1 veto", "no gate was judged, 1 veto"),
    ],
)
def test_gates_and_vetoes_are_counted(
    statuses: list[str], veto: str | None, counts: str, causes: str
) -> None:
    gates = [{"status": each, "cause": "too_few"} for each in statuses]
    candidate = {"gates": gates, "veto": veto}
    assert (view.gate_counts(candidate), view.gate_causes(candidate)) == (counts, causes)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ([-0.0502, 0.01], "−5.02 to +1.00 points"),
        ([-0.0498, 0.01], "−4.98 to +1.00 points"),
        ([-0.05, 0.01], "−5.0 to +1.0 points"),
        ([-0.062, 0.01], "−6.2 to +1.0 points"),
    ],
)
def test_a_figure_never_reads_like_the_margin_that_it_is_not(
    interval: list[float], text: str
) -> None:
    candidate = sample.report()["candidates"][2]
    raw = candidate["gates"][0] | {"interval": interval, "margin": 0.05}
    found = view.gate(raw, candidate)
    assert (found.interval, found.margin) == (text, "≥ −5 points")


def test_a_gate_of_an_older_report_is_just_open(tmp_path: Path) -> None:
    data = sample.report()
    del data["candidates"][2]["gates"][0]["cause"]
    rendered(tmp_path, "report.md", data)
    assert "| success | ? open | −1.6 points" in (tmp_path / "report.md").read_text()


def test_a_passed_gate_has_no_cause() -> None:
    data = sample.report()["candidates"][0]
    found = view.gate(data["gates"][0] | {"cause": "too_few"}, data)
    assert found.said == "✓ pass"


@pytest.mark.parametrize(
    ("method", "clusters", "reason", "said"),
    [
        (None, None, "so", None),
        (None, 7, "so", None),
        ("Tango's interval", None, "so", "Tango's interval"),
        ("Tango's interval", 1200, "so", "Tango's interval; 1,200 clusters"),
        ("Student's interval of 7 clusters", 7, "so", "Student's interval of 7 clusters"),
        ("no interval: too few", 7, "no interval: too few; at least 3 more", None),
    ],
)
def test_how_an_interval_was_made_is_said_once(
    method: str | None, clusters: int | None, reason: str, said: str | None
) -> None:
    data = sample.report()["candidates"][0]
    raw = data["gates"][0] | {"method": method, "clusters": clusters, "reason": reason}
    assert view.gate(raw, data).method == said


def test_a_long_method_is_not_repeated_below_itself(tmp_path: Path) -> None:
    page = rendered(tmp_path, "report.html", sample.every_cause())
    assert page.count("<small>Method: betting e-process; of 61 cases 4 lost, 3 gained<") == 1
    assert page.count("<small>Method: as above<") == len(view.CAUSES) - 1


def test_the_sentence_of_a_gate_stands_once_in_its_section(tmp_path: Path) -> None:
    data = sample.every_cause()
    section = rendered(tmp_path, "report.html", data).partition("Candidate gpu-host")[2]
    for raw in data["candidates"][2]["gates"]:
        assert section.count(raw["reason"]) == 1
    assert section.count(data["candidates"][2]["status_reason"]) == 1
    bullets = section.partition("<ul>")[2].partition("</ul>")[0]
    assert '<li>gate 8: <span class="status open">? open: <span class="cause">too few' in bullets


def test_a_veto_stands_among_the_reasons(tmp_path: Path) -> None:
    data = sample.report()
    candidate = data["candidates"][1]
    sentences = [f"{gate['name']}: {gate['reason']}" for gate in candidate["gates"]]
    candidate["verdict"]["reasons"] = ["veto: no tools", *sentences]
    section = rendered(tmp_path, "report.html", data).partition("Candidate other-vendor")[2]
    assert "<li>veto: no tools</li>" in section
    assert '<li>lines: <span class="status fail">✗ fail</span></li>' in section


@pytest.mark.parametrize("first", [sample.FIRST, sample.FAILS_ITSELF])
def test_the_incumbents_own_failure_is_read_first(tmp_path: Path, first: str) -> None:
    data = sample.every_cause()
    data["incumbent"]["first"] = first
    page = rendered(tmp_path, "report.html", data)
    headline = "This drill does not settle whether vendor can be left."
    assert f'<p><strong>{headline}</strong></p>\n<p class="first">{first}</p>' in page
    comment = (tmp_path / "report.md").read_text()
    assert comment.startswith(f"# ? inconclusive\n\n**{headline}**\n\n{first}\n")
    root = ET.parse(tmp_path / "junit.xml")
    verdict = root.find("./testsuite[@name='gpu-host']/testcase[@name='verdict']/error")
    assert verdict is not None
    assert (verdict.get("message") or "").startswith(f"inconclusive. {first} 12 gates open (a ")


def test_what_was_edited_stands_once_beside_the_verdict(tmp_path: Path) -> None:
    gates = view.EDITED + "gates[0].margin, alpha; judged are the registered gates"
    verdict = verdict_of([], edited=["gates[0].margin", "alpha"])
    assert verdict.edited == gates
    warning = "Edited after the plan was registered: gates[0].margin, alpha."
    data = sample.every_cause()
    assert gates in data["verdict"]["reasons"]
    banner = rendered(tmp_path, "report.html", data).partition("Summary")[0]
    assert warning in banner
    assert gates not in banner
    comment = (tmp_path / "report.md").read_text().replace("\\", "")
    assert comment.count("after the plan was registered") == 1
    assert f"**Warning:** {warning}" in comment
    verdict_case = ET.parse(tmp_path / "junit.xml").find(".//testcase[@name='verdict']/system-out")
    assert verdict_case is not None
    assert f"Warning: {warning}" in (verdict_case.text or "")


def test_other_warnings_stand_there_too(tmp_path: Path) -> None:
    document = replace(load(sample.write(tmp_path)), warnings=("plan.json is <another> one.",))
    for name, said in (
        ("report.html", "<strong>Warning:</strong> plan.json is &lt;another&gt; one.</p>"),
        ("report.md", "**Warning:** plan.json is &lt;another&gt; one.\n"),
        ("junit.xml", "Warning: plan.json is &lt;another&gt; one."),
    ):
        file = StringIO()
        RENDERERS[name](document, file)
        assert said in file.getvalue()


@pytest.mark.parametrize(
    ("mode", "clusters", "candidates", "sentences"),
    [
        (
            "fixed",
            {"by": "session", "count": 120, "largest": 8},
            3,
            ("only the end is judged", "120 by session, the largest of 8", "judged at 1.67 %."),
        ),
        (
            "sequential",
            {"by": "request", "count": 400, "largest": 1},
            1,
            ("asked no more as soon as", "by equal request, each of the 400 cases", "the same."),
        ),
        (
            "fixed",
            {"by": "tag:template", "count": 2, "largest": 300},
            2,
            ("2 by tag:template, the largest of 300 cases", "shared by 2 candidates"),
        ),
    ],
)
def test_what_was_registered(
    tmp_path: Path, mode: str, clusters: Any, candidates: int, sentences: tuple[str, ...]
) -> None:
    data = sample.report()
    data["registered"] |= {"mode": mode, "clusters": clusters}
    data["candidates"] = data["candidates"][:candidates]
    page = rendered(tmp_path, "report.html", data)
    block = page.partition('id="registered"')[2].partition("</dl>")[0]
    comment = (tmp_path / "report.md").read_text()
    folded = comment.partition("<summary>Registered before the first call")[2]
    folded = folded.partition("</details>")[0]
    for words in (*sentences, "80 %: the chance", data["drill"]["plan_sha256"], "vendor 2"):
        assert words in block
        assert words in folded


@pytest.mark.parametrize(
    ("known", "completed", "said"),
    [
        (None, True, None),
        (
            {},
            True,
            "mistral-local was asked 128, other-vendor was asked 64, gpu-host was asked 400",
        ),
        ({}, True, "Stopped early: of 400 cases mistral-local was asked 128, other-vendor was"),
        ({}, True, "2,112 calls (73 %) were saved. The chance of a wrong verdict is not larger"),
        ({"saved_calls": 0}, True, "so nothing was saved"),
        ({"asked": {"gpu-host": 400}}, True, "so nothing was saved"),
        ({}, False, "was broken off before that"),
    ],
)
def test_what_an_early_end_saved(
    tmp_path: Path, known: Any, completed: bool, said: str | None
) -> None:
    data = sample.report()
    data["drill"] |= {"completed": completed, "stopped": None if completed else "budget"}
    data["sequential"] = None if known is None else sample.sequential() | known
    for name in RENDERERS:
        found = rendered(tmp_path, name, data)
        assert (said or "saved") in found if said else "saved" not in found
    comment = (tmp_path / "report.md").read_text()
    asked_all = "400 of 400 cases asked" in comment
    early = completed and said is not None and "nothing was saved" not in said
    assert asked_all == (not early)


def test_a_drill_that_broke_off_does_not_say_that_all_was_asked(tmp_path: Path) -> None:
    data = sample.report()
    data["drill"] |= {"completed": False, "stopped": "budget", "cases_asked": 40}
    assert "40 of 400 cases of the workload were asked." in rendered(tmp_path, "report.html", data)
    assert "; 40 of 400 cases asked." in (tmp_path / "report.md").read_text()


def test_an_early_end_says_which_arm_broke_off_and_whose_calls_were_saved(tmp_path: Path) -> None:
    data = sample.report()
    asked = {"mistral-local": 128, "other-vendor": 15}
    data["sequential"] = sample.sequential() | {"asked": asked}
    data["candidates"][1]["status"] = "broken_off"
    found = rendered(tmp_path, "report.md", data)
    assert "of 400 cases mistral-local was asked 128, other-vendor was asked 15 (and" in found
    assert "other-vendor was asked 15 (and broke off). 2,112 calls" in found
    assert "not counting the judge's" not in found
    runs = str(fixed.early(data | {"app": {"x": 1}}))
    assert "2,112 runs of the app (73 %) were saved" in runs
    assert "were saved, not counting the judge's." in str(fixed.early(data | {"judge": {"x": 1}}))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], None),
        (["so"], "So."),
        (["a; b.", "c …"], "A; b. C …"),
        (["a", "b", "c", "d"], "A. B. And 2 more, below."),
    ],
)
def test_what_was_not_tested_stands_beside_the_verdict(
    tmp_path: Path, found: list[str], said: str | None
) -> None:
    page = rendered(tmp_path, "report.html", sample.report() | {"not_tested": found})
    banner = page.partition('class="banner')[2].partition("</div>")[0]
    comment = (tmp_path / "report.md").read_text().partition("| candidate")[0]
    if said is None:
        assert "Not tested" not in banner + comment
        return
    assert f"<strong>Not tested:</strong></a> {said}</p>" in banner
    assert f"**Not tested:** {said}\n" in comment


def test_why_a_drill_stopped_is_a_sentence(tmp_path: Path) -> None:
    data = sample.report()
    data["drill"] |= {"completed": False, "stopped": "the budget is spent", "cases_asked": 40}
    data["sequential"] = sample.sequential()
    page = rendered(tmp_path, "report.html", data)
    assert "<strong>The drill was not completed.</strong> The budget is spent.</p>" in page
    assert "gpu-host was asked 400. 40 of 400 cases of the workload were asked." in page


def test_how_a_gate_is_judged_is_said(tmp_path: Path) -> None:
    page = rendered(tmp_path, "report.html")
    assert f'<footer><p class="soft">{view.HOW_JUDGED}</p></footer>' in page
    assert view.HOW_JUDGED in (tmp_path / "report.md").read_text()


def test_markdown_of_the_sample(tmp_path: Path) -> None:
    assert rendered(tmp_path, "report.md") == SNAPSHOT


@pytest.mark.parametrize(
    ("verdict", "candidate", "sentence"),
    [
        ("ready", None, "In this drill, vendor could be left."),
        ("not_ready", None, "In this drill, vendor could not be left for any candidate."),
        ("inconclusive", None, "This drill does not settle whether vendor can be left."),
    ],
)
def test_headline(tmp_path: Path, verdict: str, candidate: str | None, sentence: str) -> None:
    data = sample.report()
    data["verdict"] = {"status": verdict, "reasons": [], "candidate": candidate}
    data["drill"]["spend"]["money"] = None
    comment = rendered(tmp_path, "report.md", data)
    assert sentence in comment
    assert "No reason was recorded." in comment
    assert "money: not measured" in comment


def test_markdown_is_capped(tmp_path: Path) -> None:
    data = sample.report()
    data["candidates"] = [data["candidates"][0] | {"name": f"c{n}"} for n in range(60)]
    comment = rendered(tmp_path, "report.md", data)
    assert HARD_CAP - 500 < len(comment) <= HARD_CAP
    assert re.search(r"\n\*\*Cut here:\*\* [\d,]+ more characters; see report\.html\.\n$", comment)


def test_markdown_of_three_candidates_fits_in_a_comment(tmp_path: Path) -> None:
    assert len(rendered(tmp_path, "report.md").encode()) < 10_000


def test_junit(tmp_path: Path) -> None:
    root = ET.fromstring(rendered(tmp_path, "junit.xml"))
    assert root.attrib["tests"] == "13"
    outcomes = {
        (suite.get("name"), case.get("name")): case[0].tag for suite in root for case in suite[1:]
    }
    assert outcomes["mistral-local", "success"] == "system-out"
    assert outcomes["other-vendor", "success"] == "failure"
    assert outcomes["gpu-host", "success"] == "error"
    assert outcomes["gpu-host", "verdict"] == "error"
    counts = [(suite.get("failures"), suite.get("errors")) for suite in root]
    assert counts == [("0", "0"), ("5", "0"), ("0", "3")]
    properties = {each.get("name"): each.get("value") for each in root[0][0]}
    assert properties["drill.id"] == "20261112-091500-7c1e"
    assert properties["drill.plan_sha256"] == "0123456789abcdef" * 4


def test_silence_is_a_case_of_its_own(tmp_path: Path) -> None:
    data = sample.report()
    data["candidates"][1]["answered_trials"] = 0
    root = ET.fromstring(rendered(tmp_path, "junit.xml", data))
    cases = {case.get("name"): case for case in root[1].iter("testcase")}
    assert cases["answered"][0].get("message") == "no trial was answered by other-vendor"
    assert root[1].get("errors") == "1"
    assert "answered" not in {case.get("name") for case in root[0].iter("testcase")}
    properties = {each.get("name"): each.get("value") for each in root[1][0]}
    assert properties["candidate.answered_trials"] == "0"
    data["incumbent"]["answered_trials"] = 0
    root = ET.fromstring(rendered(tmp_path, "junit.xml", data))
    assert all(suite.find("testcase[@name='answered']/error") is not None for suite in root)


def test_a_candidate_without_gates_does_not_look_green(tmp_path: Path) -> None:
    data = sample.report()
    data["candidates"] = [data["candidates"][2] | {"gates": [], "status": "not_started"}]
    root = ET.fromstring(rendered(tmp_path, "junit.xml", data))
    assert (root.get("tests"), root.get("errors")) == ("1", "1")
    assert "No gate was judged." in (tmp_path / "report.html").read_text()


def test_the_sample_is_json_as_others_read_it(tmp_path: Path) -> None:
    sample.write(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == sample.report()


SNAPSHOT = """\
# ✓ ready

**In this drill, vendor could be left for mistral-local.**

The incumbent is not always right itself: 96.5 % of the answers of vendor are what was expected; what follows is measured against that.

**Warning:** Whether these gates were registered cannot be checked: there is no plan.json.

**Warning:** Whether this report is that of the journal beside it cannot be checked: there is none.

- mistral-local is ready: all its gates pass, each at 0.05/3.

What was judged:

- mistral-local: gates passed: success, latency, lines, tools
- mistral-local: right answers: 97 % (vendor: 96.5 %; 400 cases)

Exit drill of support-tickets, 2026-11-12T09:15:00Z; 400 of 400 cases asked.

**Not tested:** Load: requests were sent one at a time. The way back to the incumbent. And 1 more, below.

| candidate | verdict | gates |
|---|---|---|
| mistral-local | ✓ ready | 4 gates passed |
| other-vendor | ✗ not ready | 4 gates failed |
| gpu-host | ? inconclusive | 2 gates open (not settled by these cases, not measured) |

<details><summary>Registered before the first call</summary>

- mode: fixed: every case is asked, and only the end is judged.
- error (α): 5 %: the chance, at most, that a candidate which really lies at the edge of a margin, or beyond it, is found ready all the same; it is shared by 3 candidates, so that each is judged at 1.67 %.
- power: 80 %: the chance, aimed at, that a candidate which really is as good as the incumbent passes; how many more cases an open gate takes is reckoned with it.
- discordance: 10 % of the cases were expected to be right on one side only; for planning, and no error rests on it.
- largest n: 400 cases; a look at results adds none.
- clusters: 120 by session, the largest of 8 cases: what belongs together is not counted as if it were independent.
- repeats: vendor 2, mistral-local 2, other-vendor 2, gpu-host 2: how often each is asked the same case.
- SHA-256 of the plan: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

</details>

## mistral-local: ✓ ready

- All four gates pass.

| gate | status | estimate | interval | margin | n | reason |
|---|---|---|---|---|---|---|
| success | ✓ pass | +0.5 points | −1.9 to +2.8 points | ≥ −5 points | 400 | the lower bound is above the margin |
| latency | ✓ pass | −767 ms | −840 to −701 ms | ≤ +200 ms | 400 | the upper bound is below the margin |
| lines | ✓ pass | 12 | does not apply | ≤ 40 | does not apply | 12 of 40 lines |
| tools | ✓ pass | does not apply | does not apply | must hold | does not apply | every feature in use is there |

| what changed, in 800 pairs | pairs | own noise | example |
|---|---|---|---|
| form: white space only | 640 (80.0 %) | 0 | {"a":"invoice"} → {"a":·"invoice"} |
| another value of category | 84 (10.5 %); 21 no longer right, 9 now right | 3 | "invoice" → "billing" |
| another value of urgent | 31 (3.9 %); 4 no longer right, 6 now right | 28 | true → false |
| order is missing | 12 (1.5 %); 11 no longer right | 0 |  |
| ended by length instead of stop | 3 (0.38 %); 3 no longer right | not known |  |

More changes, in report.html: 5.

<details><summary>What was measured</summary>

| measured | incumbent | candidate | difference | interval | own noise | n |
|---|---|---|---|---|---|---|
| Right answers | 96.5 % | 97.0 % | +0.5 points | −1.9 to +2.8 points | 0.4 points | 400 |
| Answers unchanged | 99.1 % | 87.4 % | −11.7 points | −15.0 to −8.4 points | 0.9 points | 400 |
| Likeness of answers (chrF) | not measured | 93.0 % | not measured | not measured | 0.2 points | 400 |
| Time to first token, p95 | 871 ms | 104 ms | −767 ms | −840 to −701 ms | 31 ms | 400 |
| Time to first token, p50 | 412 ms | 58 ms | −354 ms | −371 to −339 ms | 6 ms | 400 |
| Whole answer, p50 | 1.31 s | 0.92 s | −0.39 s | −0.44 to −0.35 s | 0.02 s | 400 |
| Cost (EUR per 1,000 requests) | 1.90 | 0.41 | −1.49 | not measured | not measured | 400 |
| Tokens per answer | 41.2 | 43.9 | +2.7 | +2.1 to +3.3 | 0.2 | 400 |
| Lines changed | not measured | 12 | +12 | not measured | not measured | does not apply |
| Files changed | not measured | 2 | +2 | not measured | not measured | does not apply |
| configuration: lines | not measured | 7 | +7 | not measured | not measured | does not apply |

Rows left out here, and shown in report.html: 5.

How the figures of the gates were made:

- success: Tango's interval, exact; of 400 cases 5 lost, 7 gained; 120 clusters

Edits to requests:

- rename /max\\_tokens (400 times, allowed): max\\_completion\\_tokens here

</details>

## other-vendor: ✗ not ready

- success fails: 11 to 20 points worse, 5 allowed.
- lines fails.
- latency fails.

| gate | status | estimate | interval | margin | n | reason |
|---|---|---|---|---|---|---|
| success | ✗ fail | −15.5 points | −20.0 to −11.0 points | ≥ −5 points | 400 | the upper bound is below the margin |
| latency | ✗ fail | +1.03 s | +0.85 to +1.31 s | ≤ +0.2 s | 400 | the lower bound is above the margin |
| unlike | ✗ fail | 14.7 % | 11.5 to 18.3 % | ≤ 10 % | 400 | 14.7 % of the answers are unlike |
| lines | ✗ fail | 1,310 | does not apply | ≤ 40 | does not apply | 1,310 lines, 40 allowed |

| what changed, in 800 pairs | pairs | own noise | example |
|---|---|---|---|
| form: in a code fence | 702 (87.8 %) | 0 |  |
| no longer JSON | 118 (14.8 %); 97 no longer right | 0 | {"category": "other"} → Sure! It is an order. |
| refused | 6 (0.75 %); 6 no longer right | 0 |  |

More changes, in report.html: 4.

Edits to requests:

- drop /logit\\_bias (17 times, not allowed): not supported

<details><summary>What was measured</summary>

| measured | incumbent | candidate | difference | interval | own noise | n |
|---|---|---|---|---|---|---|
| Right answers | 96.5 % | 81.0 % | −15.5 points | −20.0 to −11.0 points | 0.4 points | 400 |
| Time to first token, p95 | 0.87 s | 1.90 s | +1.03 s | +0.85 to +1.31 s | 0.031 s | 400 |
| Lines changed | not measured | 1,310 | +1,310 | not measured | not measured | does not apply |

Rows left out here, and shown in report.html: 1.

</details>

## gpu-host: ? inconclusive

This arm was not asked to the end: the server ended after 61 of 400 cases (out of memory)

- success is open.
- latency was not measured.

| gate | status | estimate | interval | margin | n | reason |
|---|---|---|---|---|---|---|
| success | ? open: not settled by these cases | −1.6 points | −10.2 to +5.8 points | ≥ −5 points | 61 | the margin lies inside the interval; about 310 more cases would show that it passes (1,240 calls, about 2.36 EUR) |
| latency | ? open: not measured | not measured | not measured | ≤ +200 ms | 0 | not measured |

<details><summary>What was measured</summary>

| measured | incumbent | candidate | difference | interval | own noise | n |
|---|---|---|---|---|---|---|
| Right answers | 96.7 % | 95.1 % | −1.6 points | −10.2 to +5.8 points | not measured | 61 |

Rows left out here, and shown in report.html: 1.

How the figures of the gates were made:

- success: Tango's interval of 54 effective cases in 31 clusters, exact

</details>

## Not tested

- Load: requests were sent one at a time.
- The way back to the incumbent.
- Cost of staff and of idle hardware.

Drill 20261112-091500-7c1e, plan 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, exitdrill 0.1.0; 2,461 calls, tokens: 1,284,110, money: 1.90 EUR.

First comes whether the figures of a gate can be relied on. Where they cannot, it is open wherever its interval lies: not all was asked, say, or the incumbent differs too much from itself. Else it passes where the whole of its interval lies on the good side of the margin, fails where the whole of it lies on the bad side (of several gates the first to fail has to do so more clearly), and is open in between. A cost is that of this workload as it was asked, and changed lines are counted: they have no interval, and are compared with their limits as they are. What was not measured is open, never a pass.

n counts cases for shares and tokens, and requests (one per case and repeat) for times and money; a time reads “missed” where too many requests failed or came empty.

A replay of recorded requests, not a cut-over in production; it certifies nothing. What it does not claim, and the answers side by side, are in report.html.
"""
