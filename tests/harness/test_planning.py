"""``exitdrill plan``: what a drill asks, may cost and can tell apart, said before any call."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.harness.scenes import TOML, changed, command, lines, request, scene

from exitdrill.drillable import check
from exitdrill.plan import make_plan
from exitdrill.resolution import cases_that_resolve, resolutions
from exitdrill.scenario import load

PRICE = """
[backends.new.price]
currency = "EUR"
{price}
date = 2026-11-01
source = "a list"
"""
PER_TOKEN = "input_per_million = 1000000.0\noutput_per_million = 2000000.0"
GATES = """
[[gates]]
name = "bill"
measure = "cost_per_1000"
limit = 2

[[gates]]
name = "wait"
measure = "total_p95"
margin = 0.5

[[gates]]
name = "right"
measure = "success"
limit = 0.9
"""
EUR_LINES = PRICE.format(price=PER_TOKEN)


def said(folder: Path, *options: str) -> list[str]:
    """The lines that the command prints of a scenario."""
    done = command("plan", folder, *options)
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


def planned(folder: Path, **options: Any) -> dict[str, Any]:
    """The plan's content."""
    return dict(make_plan(check(load(folder)), **options).document)


def at(found: list[str], head: str) -> list[str]:
    """The words of the line that begins so."""
    (line,) = (each for each in found if each.startswith(head))
    return line.removeprefix(head).split()


def under(found: list[str], gate: str) -> list[str]:
    """The lines of a gate."""
    number = next(n for n, line in enumerate(found) if line.startswith(f"gate {gate!r}: "))
    rest = found[number + 1 :]
    end = next(n for n, line in enumerate(rest) if not line.startswith("  "))
    return [found[number], *rest[:end]]


def test_nothing_is_made_and_the_hash_is_that_of_the_run(tmp_path: Path) -> None:
    folder = scene(tmp_path / "s", cases=12)
    before = sorted(tmp_path.rglob("*"))
    found = said(folder, "--limit", "9", "--sequential")
    assert sorted(tmp_path.rglob("*")) == before
    out = tmp_path / "out"
    command("run", folder, "--out", out, "--quiet", "--limit", "9", "--sequential")
    digest = hashlib.sha256((out / "plan.json").read_bytes()).hexdigest()
    assert at(found, "plan.json: ") == ["sha256", digest]
    assert "can show afterwards that nothing was chosen later" in found[-1]
    assert said(folder, "--limit", "9") != found


@pytest.mark.parametrize(
    ("price", "new", "in_all"),
    [
        ("", ["free"], ["free"]),
        (PRICE.format(price="per_hour = 1.5"), ["1.5", "EUR", "per", "hour"],
         ["what", "is", "billed", "by", "the", "hour"]),
        (EUR_LINES, ["{}", "EUR"], ["{}", "EUR"]),
    ],
    ids=["free", "by the hour", "by the token"],
)  # fmt: skip
def test_what_it_costs_at_most(
    price: str, new: list[str], in_all: list[str], tmp_path: Path
) -> None:
    toml = changed("warmup = 0", "warmup = 2") + "\n[budget]\nrequests = 90\n" + price
    folder = scene(tmp_path / "s", cases=4, toml=toml)
    found = said(folder)
    prompt = len(json.dumps({"messages": request(0)["body"]["messages"]}))
    tokens = 10 * (prompt + 20)
    money = f"{10 * (prompt * 1.0 + 20 * 2.0):,.4f}"
    assert at(found, "old ") == ["2", "10", f"{tokens:,}", "free"]
    assert at(found, "new ") == ["2", "10", f"{tokens:,}", *(word.format(money) for word in new)]
    assert at(found, "in all ") == ["20", f"{2 * tokens:,}", *(w.format(money) for w in in_all)]
    assert "The budget bounds all of it: requests 90." in found


def test_what_is_not_bounded_is_said(tmp_path: Path) -> None:
    folder = scene(tmp_path / "s")
    asked = [request(n) for n in range(4)]
    del asked[2]["body"]["max_tokens"]
    (folder / "requests.jsonl").write_text(lines(asked))
    assert any("The case 'c2' sets no max_tokens" in line for line in said(folder))
    assert not any("max_tokens" in line for line in said(folder, "--limit", "2"))


def test_only_some_candidates(tmp_path: Path) -> None:
    more = "\n[backends.third]\nadapter = 'scripted'\nmodel = 'm'\noptions = { default = 'x' }\n"
    folder = scene(tmp_path / "s", toml=changed('["new"]', '["new", "third"]') + more)
    assert "alpha: 5 %, one-sided, 2.5 % for each of 2 candidates" in said(folder)
    found = said(folder, "--candidate", "third")
    assert "alpha: 5 %, one-sided" in found
    assert [line for line in found if line.startswith("new ")] == []
    assert at(found, "third ")[1] == "8"


def test_an_open_loop_cannot_be_looked_at(tmp_path: Path) -> None:
    folder = scene(tmp_path / "s", toml=TOML + 'arrivals = "open"\n')
    done = command("plan", folder, "--sequential")
    assert (done.code, done.out) == (2, "")
    assert "--sequential" in done.err


def test_repeats_and_why(tmp_path: Path) -> None:
    """A request says by its temperature whether its answer is drawn; a backend may say it."""
    toml = changed("[backends.new]", "[backends.new]\nrepeats = 5")
    folder = scene(tmp_path / "s", toml=toml)
    assert "repeats of old: 2, because its answers are not drawn at random (greedy)" in said(folder)
    assert "repeats of new: 5, as [backends.new] says" in said(folder)
    hot = [request(n, body={"temperature": 0.7 if n else 0, "seed": n % 2}) for n in range(4)]
    (folder / "requests.jsonl").write_text(lines(hot))
    found = said(folder)
    drawn = "repeats of old: 3, because its answers are drawn at random, or may be (sampling)"
    assert drawn in found
    assert (
        "sampling settings: seed 1, temperature 0.7: 2 cases; seed 0, temperature 0: 1 case; "
        "seed 0, temperature 0.7: 1 case"
    ) in found
    scene(tmp_path / "t", toml=changed("warmup = 0", "warmup = 0\nrepeats = 4"))
    assert "repeats of old: 4, as [replay] says" in said(tmp_path / "t")


def test_what_a_workload_says_cannot_steer_a_terminal(tmp_path: Path) -> None:
    folder = scene(tmp_path / "s")
    loud = [request(n, body={"top_p": "\x1b[31m" + "x" * 5000}) for n in range(4)]
    (folder / "requests.jsonl").write_text(lines(loud))
    found = said(folder)
    assert "\x1b" not in "".join(found)
    assert max(map(len, found)) < 500


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({}, "by equal requests: every one of 4 cases is independent"),
        (
            {"session": "s"},
            "by session: 1, the largest of 4 cases; each is reckoned as if its cases were all "
            "alike",
        ),
    ],
)
def test_clusters(meta: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = scene(tmp_path / "s")
    rows = [{"custom_id": f"c{n}", "turn": n, **meta} for n in range(4)] if meta else []
    if rows:
        (folder / "meta.jsonl").write_text(lines(rows))
    assert f"clusters: {words}" in said(folder)


@pytest.mark.parametrize(
    ("margin", "cases", "resolved"),
    [
        (0.1, 248, "the workload can resolve the margin of 10 points"),
        # The formula says 248; what the exact test takes is a little more.
        (0.05, 264, "finer than the workload can resolve; 271 cases would"),
        (0.05, 271, "the workload can resolve the margin of 5 points"),
        (0.0, 248, "cannot pass: no number of cases shows a margin of nothing"),
        (0.05, 10, "cannot pass: there are too few cases; 271 cases would"),
    ],
)
def test_whether_a_margin_can_be_resolved(
    margin: float, cases: int, resolved: str, tmp_path: Path
) -> None:
    toml = changed("margin = 0.1", f"margin = {margin}")
    gate = under(said(scene(tmp_path / "s", cases=cases, toml=toml)), "success")
    assert gate[0].endswith("points below the incumbent's")
    assert f"  {cases} cases" in gate[1]
    assert "the smallest effect that can be detected: " in gate[1]
    assert resolved in gate[2]


def test_gates_without_a_smallest_effect(tmp_path: Path) -> None:
    found = said(scene(tmp_path / "s", toml=TOML + GATES + EUR_LINES))
    bill, wait, right = (under(found, name) for name in ("bill", "wait", "right"))
    assert bill[0].endswith("of the candidate, at most 2 EUR per 1,000 requests")
    assert "any limit can be resolved" in bill[1]
    assert "at most 500 ms above the incumbent's" in wait[0]
    assert "is not known beforehand" in wait[1]
    assert "cannot pass: there are too few cases; " in wait[2]
    assert right[0].endswith("of the candidate, at least 90 %")
    assert "cannot pass: there are too few cases; it takes 29 cases at the least" in right[2]
    right = under(said(scene(tmp_path / "t", cases=29, toml=TOML + GATES + EUR_LINES)), "right")
    assert "whether the workload resolves the limit depends on" in right[2]


def test_the_other_warnings_follow(tmp_path: Path) -> None:
    toml = changed("margin = 0.1", "margin = 0.01")
    folder = scene(tmp_path / "s", toml=toml + "\n[budget]\nrequests = 9\n")
    notes = [line for line in said(folder) if line.startswith("note: ")]
    assert notes == ["note: the budget of 9 requests ends before the 16 calls do"]
    (folder / "meta.jsonl").unlink()
    assert any("4 of 4 cases name no checker" in line for line in said(folder))


@pytest.mark.parametrize(
    ("margin", "discordance", "least", "formula"),
    [(0.05, 0.1, 59, 248), (0.05, 0.01, 59, 25), (0.02, 0.1, 149, 1546)],
)
@pytest.mark.parametrize("options", [(), ("--sequential",)])
def test_cases_that_resolve_are_never_fewer_than_a_gate_takes(
    margin: float, discordance: float, least: int, formula: int, options: tuple[str], tmp_path: Path
) -> None:
    toml = f"discordance = {discordance}\n" + changed("margin = 0.1", f"margin = {margin}")
    plan = planned(scene(tmp_path / "s", cases=10, toml=toml), sequential=bool(options))
    (gate,) = resolutions(plan)
    needed = cases_that_resolve(gate, plan)
    assert gate.at_least >= least
    assert needed is not None
    assert max(formula, gate.at_least) <= needed < 8 * max(formula, least)


def test_more_gates_take_more_cases(tmp_path: Path) -> None:
    toml = TOML + GATES + EUR_LINES
    one = resolutions(planned(scene(tmp_path / "a", cases=248)))[0]
    four = resolutions(planned(scene(tmp_path / "b", cases=248, toml=toml)))[0]
    assert one.smallest is not None
    assert four.smallest is not None
    assert four.smallest > one.smallest
