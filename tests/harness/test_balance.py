"""Shifts of class balance: worked figures, what is compared with what, bounds; and in reports."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from tests.harness import report_sample as sample
from tests.harness.report_hostile import HOSTILE
from tests.harness.test_report_hostile import Page
from tests.harness.test_results import Drilled, drill, number_of

from exitdrill.backend import Reply, Request, ToolCall
from exitdrill.measures.balance import (
    MOST_CLASSES,
    MOST_FIELDS,
    MOST_SHOWN,
    MOST_VALUES,
    OTHER,
    VALUES,
    Balance,
)
from exitdrill.measures.base import TrialView
from exitdrill.measures.facts import Measured
from exitdrill.records import Exchange, Failure, Trial
from exitdrill.report import render, validate
from exitdrill.scenario import ReplaySpec
from exitdrill.workload import Case
from exitdrill_adapters.scripted import scripted

Json = dict[str, Any]
Said = str | Reply | None
Answers = Sequence[Said]


def trials(position: int, arm: str, answers: Answers) -> list[Measured]:
    """An arm's trials of a case, a repeat each; None failed."""
    case = Case("c", Request("chat", {"messages": []}))
    made = []
    for repeat, said in enumerate(answers):
        failure = Failure("server", "it broke", 500) if said is None else None
        exchange = Exchange(failure=failure)
        trial = Trial(arm, position, repeat, "failed" if failure else "answered", exchange)
        reply = said if isinstance(said, Reply) else Reply(text=said or "")
        made.append(Measured(TrialView(trial, case, reply, None, None), {}))
    return made


def of(cases: Sequence[tuple[Answers, Answers]], repeats: tuple[int, int] = (2, 2)) -> Json:
    """What is reported of cases with these answers of an incumbent and a candidate."""
    balance = Balance("old", dict(zip(("old", "new"), repeats, strict=True)))
    for position, (ours, theirs) in enumerate(cases):
        balance.see([*trials(position, "old", ours), *trials(position, "new", theirs)])
    return balance.report("new")


def twice(*pairs: tuple[Any, Any]) -> list[tuple[Answers, Answers]]:
    """Cases that each arm answers with the same JSON in both repeats."""
    made = [(json.dumps({"a": ours}), json.dumps({"a": theirs})) for ours, theirs in pairs]
    return [([ours] * 2, [theirs] * 2) for ours, theirs in made]


def texts(*pairs: tuple[str, str]) -> list[tuple[Answers, Answers]]:
    """Cases that each arm answers with the same text in both repeats."""
    return [([ours] * 2, [theirs] * 2) for ours, theirs in pairs]


def calling(*names: str) -> Reply:
    """An answer that calls these tools."""
    return Reply(tool_calls=tuple(ToolCall(None, name, "{}") for name in names))


def told(row: Json) -> dict[str, Any]:
    """The shares of a row."""
    return {
        each["value"]: (pytest.approx(each["incumbent"]), pytest.approx(each["candidate"]))
        for each in row["values"]
    }


# --- worked by hand -----------------------------------------------------------------------------

HALF = {"high": (0.75, 0.25), "low": (0.25, 0.75)}


@pytest.mark.parametrize(
    ("cases", "where", "shift", "shares"),
    [
        # ½ (|¾ − ¼| + |¼ − ¾|) = ½
        (
            twice(("high", "high"), ("high", "low"), ("high", "low"), ("low", "low")),
            "/a",
            0.5,
            {'"high"': (0.75, 0.25), '"low"': (0.25, 0.75)},
        ),
        # Three values: ½ (½ + ¼ + ¼); what is as frequent as before is not told.
        (
            twice(*[("x", "x"), ("y", "x"), ("y", "z")] * 2, ("w", "w"), ("w", "w")),
            "/a",
            0.5,
            {'"y"': (0.5, 0.0), '"x"': (0.25, 0.5), '"z"': (0.0, 0.25)},
        ),
        # Types are not alike; 1.0 is 1.
        (
            twice(*[("1", 1), (1, True), (1.0, None), (True, 1.0)] * 2),
            "/a",
            0.25,
            {'"1"': (0.25, 0.0), "null": (0.0, 0.25)},
        ),
        # What is no class on its own is counted as such, so that shares are of all answers.
        (
            twice(*[("x", "y" * 61), ("x", 0.5), ("x", 10**9), ("x", "x")]),
            "/a",
            0.75,
            {'"x"': (1.0, 0.25), OTHER: (0.0, 0.75)},
        ),
        # Elements of a list share one answer: ("x", "x", "y") is ⅔ and ⅓.
        (
            twice(*[(["x", "x", "y"], ["x"])] * 4),
            "/a/*",
            1 / 3,
            {'"x"': (2 / 3, 1.0), '"y"': (1 / 3, 0.0)},
        ),
        (
            twice(*[({"b/c~": [{"d": "x"}]}, {"b/c~": [{"d": "y"}]})] * 2),
            "/a/b~1c~0/*/d",
            1.0,
            {'"x"': (1.0, 0.0), '"y"': (0.0, 1.0)},
        ),
        # Whole answers of a few words, without their form.
        (
            texts(*[("yes", "```\nyes\n```"), ("no", " not at  all "), ("no", "no")] * 2),
            "answer",
            1 / 3,
            {"no": (2 / 3, 1 / 3), "not at all": (0.0, 1 / 3)},
        ),
        (texts(*[("1", "true")] * 2), "answer", 1.0, {"1": (1.0, 0.0), "true": (0.0, 1.0)}),
        (
            [([calling("find", "find")] * 2, [calling("find", "send")] * 2)] * 3,
            "tool",
            0.5,
            {"find": (1.0, 0.5), "send": (0.0, 0.5)},
        ),
    ],
)
def test_worked_figures(
    cases: Any, where: str, shift: float, shares: dict[str, tuple[float, float]]
) -> None:
    report = of(cases)
    (row,) = report["balance"]
    assert (row["where"], row["noise"], row["n"]) == (where, 0, 2 * len(cases))
    assert row["shift"] == pytest.approx(shift)
    assert told(row) == shares
    assert report["balance_left_out"] == {"within_noise": 0, "more": 0, "not_looked_at": False}


@pytest.mark.parametrize(
    "cases",
    [
        [],
        [([], [])],
        [(["yes"] * 2, [])] * 4,  # nobody to compare with
        [([], ["yes"] * 2)] * 4,
        [([None, None], ["yes"] * 2)] * 4,
        [(["yes"] * 2, [None, None])] * 4,
        texts(*[("", "")] * 4),
        texts(*[("one of four words", "another of four words")] * 4),
        texts(*[("x" * 61, "y" * 61)] * 4),
        texts(*[(" " * 300 + "yes", " " * 300 + "no")] * 4),
        texts(*[('{"a": NaN}', '{"a": Infinity} it is not')] * 4),
        texts(*[('{"a": [], "b": {}}', '{"a": {}, "b": []}')] * 4),
        twice(*[("x", {"b": "x"})] * 4),  # another type: no value to compare
        texts(*[('{"a": 1}', '{"b": 1}')] * 4),  # a missing field is no shift
        texts(*[("yes", '{"answer": "no"}')] * 4),
        twice(*[(f"name {n}", f"other {n}") for n in range(MOST_CLASSES)]),  # none comes again
        twice(*[(f"v{n % 21}", "v1") for n in range(100)]),  # too many to be classes
        twice(*[(n / 7, 0) for n in range(100)]),
        twice(*[("text " * 20 + str(n), "x") for n in range(100)]),
        texts(*[(json.dumps({"k" * 61: 1}), json.dumps({"k" * 61: 2}))] * 4),
    ],
)
def test_nothing_to_count_is_nothing(cases: Any) -> None:
    report = of(cases)
    assert report["balance"] == []
    assert report["balance_left_out"]["within_noise"] == 0


def test_equal_shares_are_no_shift_whatever_is_answered_to_which_case() -> None:
    report = of(twice(("x", "y"), ("y", "x"), ("x", "x"), ("y", "y")))
    assert report["balance"] == []
    assert report["balance_left_out"]["within_noise"] == 1


# --- what is compared with what -----------------------------------------------------------------


@pytest.mark.parametrize(
    "cases",
    [
        # The candidate fails wherever the incumbent says no.
        [*texts(*[("yes", "yes")] * 4), *[(["no"] * 2, [None] * 2)] * 4],
        # One of two repeats fails, on either side.
        [*[(["yes"] * 2, ["yes", None])] * 4, *[(["no", None], ["no"] * 2)] * 4],
        [*[(["yes"] * 2, ["yes"])] * 4, *texts(*[("no", "no")] * 4)],  # it broke off
        # A field is missing wherever it was low.
        [*twice(*[("high", "high")] * 4), *texts(*[('{"a": "low"}', '{"b": 1}')] * 4)],
    ],
)
def test_failures_and_what_is_missing_are_no_shift(cases: Any) -> None:
    report = of(cases)
    assert report["balance"] == []
    assert report["balance_left_out"]["within_noise"] == 1


@pytest.mark.parametrize("repeats", [(3, 2), (2, 5), (4, 3)])
def test_arms_with_unlike_repeats_weigh_alike(repeats: tuple[int, int]) -> None:
    ours, theirs = repeats
    cases = [(["yes"] * ours, ["yes"] * theirs)] * 3 + [(["no"] * ours, ["yes"] * theirs)] * 3
    (row,) = of(cases, repeats)["balance"]
    assert row["shift"] == pytest.approx(0.5)
    assert row["n"] == 6 * theirs
    assert of([(["a"] * ours, ["a"] * theirs)] * 7, repeats)["balance"] == []


@pytest.mark.parametrize(
    ("ours", "theirs", "noise", "shown"),
    [
        # Even repeats say x throughout, odd ones y in a quarter of the cases.
        ([["x", "x"], ["x", "x"], ["x", "x"], ["x", "y"]], ["y", "x"], 0.25, True),
        ([["x", "y"]] * 4, ["x", "x"], 1.0, False),
        ([["x", "y"], ["y", "x"]] * 2, ["x", "x"], 0.0, True),
        ([["x", None], ["x", None]] * 2, ["y", "y"], None, True),  # its noise is not known
    ],
)
def test_noise_lies_between_the_incumbents_repeats(
    ours: Any, theirs: Any, noise: float | None, shown: bool
) -> None:
    report = of([(each, theirs) for each in ours])
    assert report["balance_left_out"]["within_noise"] == (not shown)
    assert [row["noise"] for row in report["balance"]] == ([noise] if shown else [])


def test_one_repeat_has_no_noise() -> None:
    (row,) = of([(["x"], ["y"])] * 4, (1, 1))["balance"]
    assert (row["shift"], row["noise"]) == (1, None)


def test_each_candidate_has_its_own_cases() -> None:
    balance = Balance("old", {"old": 1, "one": 1, "two": 1})
    for position in range(8):
        said = {"old": "x" if position < 4 else "y", "one": "x"}
        said |= {"two": "y"} if position < 4 else {}
        balance.see([each for arm, text in said.items() for each in trials(position, arm, [text])])
    (one,), (two,) = (balance.report(name)["balance"] for name in ("one", "two"))
    assert (one["shift"], one["n"]) == (0.5, 8)
    assert (two["shift"], two["n"]) == (1, 4)


def test_the_largest_shift_stands_first_and_some_are_shown() -> None:
    """Of field n so many cases of 18 have another value; of "many" each, with 9 of them."""
    cases = []
    for case in range(18):
        same = {f"f{n:02}": "x" for n in range(15)}
        shifted = {f"f{n:02}": "y" if case < n else "x" for n in range(15)}
        ours, theirs = same | {"many": "v0"}, shifted | {"many": f"v{case % 9}"}
        cases.append(([json.dumps(ours)] * 2, [json.dumps(theirs)] * 2))
    report = of(cases)
    rows = report["balance"]
    assert report["balance_left_out"] == {
        "within_noise": 1,  # f00
        "more": 15 - MOST_SHOWN,
        "not_looked_at": False,
    }
    assert [row["where"] for row in rows] == ["/many", *(f"/f{n:02}" for n in range(14, 5, -1))]
    assert rows[0]["shift"] == pytest.approx(8 / 9)
    assert len(rows[0]["values"]) == VALUES
    assert rows[0]["values"][0]["value"] == '"v0"'


# --- bounds -------------------------------------------------------------------------------------


def peak_of(cases: Callable[[int], tuple[Answers, Answers]], count: int) -> tuple[Json, int]:
    """The report, and the memory that was kept at the end, of cases made one at a time."""
    balance = Balance("old", {"old": 1, "new": 1})
    tracemalloc.start()
    for number in range(count):
        ours, theirs = cases(number)
        balance.see([*trials(number, "old", ours), *trials(number, "new", theirs)])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return balance.report("new"), kept


def hostile(number: int) -> str:
    """Values and keys that never come again, beside one field that does."""
    many = {f"{number}-{n}" + "k" * 40: f"{number}-{n}" + "v" * 40 for n in range(20)}
    return json.dumps({"a": "x", "b": f"{number}", **many})


@pytest.mark.parametrize("who", ["incumbent", "candidate", "both"])
def test_keys_and_values_without_end_cost_bounded_memory(who: str) -> None:
    """100,000 keys and values that are all different; the class beside them is found."""

    def case(number: int) -> tuple[Answers, Answers]:
        mild = json.dumps({"a": "x", "b": "z"})
        other = json.dumps({"a": "y", "b": "z"})
        mad = hostile(number)
        ours = mad if who in ("incumbent", "both") else mild
        theirs = mad.replace('"x"', '"y"', 1) if who in ("candidate", "both") else other
        return [ours], [theirs]

    report, kept = peak_of(case, 5_000)
    assert kept < 2_000_000
    found = {row["where"]: row for row in report["balance"]}
    assert found["/a"]["shift"] == 1
    assert report["balance_left_out"]["not_looked_at"] == (who != "candidate")
    if who == "candidate":  # those after are counted together
        assert told(found["/b"])[OTHER] == (0.0, pytest.approx(1 - MOST_VALUES / 5_000, abs=1e-3))
    else:
        assert "/b" not in found


def test_one_answer_with_100_000_values_or_keys() -> None:
    values = json.dumps({"a": [f"v{n}" for n in range(60_000)]})
    keys = json.dumps({f"{n}": n % 3 for n in range(60_000)} | {"z": 1})
    calls = calling(*(f"t{n}" for n in range(100_000)))
    mild = json.dumps({"a": ["v0"]})

    def case(number: int) -> tuple[Answers, Answers]:
        said: list[tuple[Said, Said]] = [
            (mild, values),
            (values, mild),
            (keys, keys),
            (calling("t0"), calls),
            (calls, calling("t0")),
            ("9" * 100_000, "[" * 100_000),
            ("[" * 200 + "1" + "]" * 200, "yes"),
        ]
        ours, theirs = said[number % len(said)]
        return [ours], [theirs]

    report, kept = peak_of(case, 14)
    assert kept < 2_000_000
    assert report["balance"] == []  # too many values on the incumbent's side


def test_a_field_that_is_no_class_stays_none() -> None:
    many = twice(*[(f"v{n}", "x") for n in range(MOST_CLASSES + 1)])
    assert of([*many, *twice(*[("x", "y")] * 500)])["balance"] == []
    few = twice(*[(f"v{n}", "x") for n in range(MOST_CLASSES - 1)])
    assert of([*few, *twice(*[("x", "y")] * 500)])["balance"]


def test_fields_after_the_first_ones_are_not_looked_at() -> None:
    said = [json.dumps({f"f{n:03}": value for n in range(MOST_FIELDS + 1)}) for value in "xy"]
    left_out = of(texts((said[0], said[1])) * 4)["balance_left_out"]
    assert left_out == {
        "within_noise": 0,
        "more": MOST_FIELDS - MOST_SHOWN,
        "not_looked_at": True,
    }


# --- in a drill, and in its reports -------------------------------------------------------------


def drilled(folder: Path, old: Callable[[int], str], new: Callable[[int], str]) -> Drilled:
    """A drill of 20 cases, asked twice."""
    arms: dict[str, Any] = {
        name: scripted(lambda request, say=say: say(number_of(request)))  # type: ignore[misc]
        for name, say in (("old", old), ("new", new))
    }
    return drill(folder, 20, replay=ReplaySpec(attempts=1, warmup=0), **arms)


def priority(high: int) -> Callable[[int], str]:
    """So many of 20 cases are high."""
    return lambda number: json.dumps({"priority": "high" if number < high else "low", "id": number})


def test_a_shift_stands_in_every_report(tmp_path: Path) -> None:
    found = drilled(tmp_path / "d", priority(5), priority(9))
    validate(found.report)
    (row,) = found.candidate("new")["balance"]
    assert (row["where"], row["noise"], row["n"]) == ("/priority", 0, 40)
    assert row["shift"] == pytest.approx(0.2)
    render(found.folder)
    comment = (found.folder / "report.md").read_text()
    assert (
        '| priority | "high" 25.0 % → 45.0 %; "low" 75.0 % → 55.0 % | 20.0 points | 0 points |'
        in (comment)
    )
    page = (found.folder / "report.html").read_text()
    part = page.partition("<h4>Class balance</h4>")[2].partition("<h3>")[0]
    assert '<th scope="rowgroup" colspan="3">priority<small>' in part
    assert "shift 20.0 points; own noise 0 points; n 40" in part
    cells = re.findall(r"<td[^>]*>(.*?)</td>", part)
    assert cells[:3] == ["<code>&#34;high&#34;</code>", "25.0 %", "45.0 %"]


@pytest.mark.parametrize("balance", [[], None])
def test_nothing_is_said_where_nothing_shifted(tmp_path: Path, balance: Any) -> None:
    data = sample.report()
    for candidate in data["candidates"]:
        candidate.update({} if balance is None else {"balance": balance})
    page = sample.rendered(tmp_path, "report.html", data)
    assert "Class balance" not in page
    assert "class balance" not in (tmp_path / "report.md").read_text()


def shift(where: str, value: str, noise: float | None = 0.02) -> Json:
    """A shift as a report.json has it."""
    shares = {"value": value, "incumbent": 0.31, "candidate": 0.45}
    return {"where": where, "shift": 0.14, "noise": noise, "n": 800, "values": [shares] * 5}


def test_many_shifts_are_cut_and_counted(tmp_path: Path) -> None:
    data = sample.report()
    data["candidates"][0] |= {
        "balance": [shift(f"/f{n}", '"x"', None) for n in range(10)],
        "balance_left_out": {"within_noise": 1_234, "more": 7, "not_looked_at": True},
    }
    validate(data)
    page = sample.rendered(tmp_path, "report.html", data)
    assert "<summary>7 more</summary>" in page
    assert "Fields that shifted less, left out here: 7." in page
    assert "no more than the incumbent&#39;s own repeats do: 1,234." in page
    assert "more fields than are looked at" in page
    comment = (tmp_path / "report.md").read_text()
    assert comment.count("14.0 points | not known |") == 5
    assert "More fields whose balance shifted: 12." in comment


def test_what_a_model_says_stays_text(tmp_path: Path) -> None:
    data = sample.report()
    data["candidates"][0]["balance"] = [shift(f"/{each}", each) for each in HOSTILE][:MOST_SHOWN]
    page = sample.rendered(tmp_path, "report.html", data)
    seen = Page(page.partition("<h4>Class balance</h4>")[2].partition("<h3>")[0])
    structure = {"p", "div", "table", "caption", "span", "thead", "tbody", "tr", "th", "td"}
    assert set(seen.tags) <= structure | {"code", "small", "details", "summary"}
    assert {name for name, _ in seen.attributes} <= {
        *("class", "tabindex", "role", "aria-label", "scope", "colspan")
    }
    rows = MarkdownIt("commonmark").enable("table").parse((tmp_path / "report.md").read_text())
    inline = [child.type for token in rows for child in token.children or ()]
    assert not {"link_open", "image", "html_inline"} & set(inline)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("/priority", "priority"),
        ("/items/*/kind", "items/*/kind"),
        ("/", "/"),
        ("answer", "the whole answer"),
        ("tool", "the tool that is called"),
        ("/tool", "tool"),
    ],
)
def test_where_in_words(tmp_path: Path, where: str, words: str) -> None:
    data = sample.report()
    data["candidates"][0]["balance"] = [shift(where, "x")]
    page = sample.rendered(tmp_path, "report.html", data)
    assert f'colspan="3">{words}<small>' in page
