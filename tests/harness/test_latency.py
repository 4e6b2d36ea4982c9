"""Times, throughput and the drill's own delay: rows on hand-made arms, known values."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.harness.facts_of import BROKEN, INF, NAN, arm, pair, view

from exitdrill.backend import Reply
from exitdrill.delay import Delays
from exitdrill.measures import BY_NAME, gate_problem, own_delay
from exitdrill.measures.base import Pair, Row
from exitdrill.measures.distributions import distributions
from exitdrill.scenario import GateSpec

SECOND = 1_000_000_000
MOST = 10**9  # tokens that a reply may claim


def row(measure: str, facts: Pair) -> Row:
    """What a measure says of two arms."""
    return BY_NAME[measure].row(facts)


def column(measure: str, reply: Reply, **more: Any) -> float:
    """What a measure's column says of a trial."""
    function = BY_NAME[measure].column
    assert function is not None
    return function(view(reply, **more))


def timed(tokens: int | None = 101, **more: Any) -> Reply:
    """The first token after 0.5 s, the last one after 2.5 s; some 100 words."""
    times = {"first_at": SECOND // 2, "last_at": SECOND * 5 // 2, "started_at": SECOND // 4}
    usage = {"input_tokens": 5, "output_tokens": tokens, "text": "word " * 100}
    return Reply(**{**times, **usage, **more})


# --- columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ["ttft_p50", "tpot_p95", "total_p99", "queued_p95"])
def test_a_replayed_answer_is_never_timed(measure: str) -> None:
    assert column(measure, timed()) > 0
    assert math.isnan(column(measure, timed(replayed="x-cache: HIT")))
    assert math.isnan(column(measure, Reply(replayed="x-cache: HIT")))


@pytest.mark.parametrize("measure", ["ttft_p50", "tpot_p95", "total_p99"])
def test_a_replayed_failure_is_a_missed_deadline(measure: str) -> None:
    """Whoever sent the error: there was no answer."""
    assert column(measure, timed(replayed="x-cache: HIT"), failure=BROKEN) == INF


@pytest.mark.parametrize(
    ("reported", "counted", "expected"),
    [
        (101, None, 0.02),
        (None, 101, 0.02),
        (1001, 101, 0.02),  # what was seen to arrive, and not what is billed
        (MOST, 101, 0.02),
        (MOST, None, NAN),  # so many did not come in 2 s, one by one
        (1001, None, NAN),  # nor did 1,001 tokens come as 500 bytes
        (101, 0, NAN),
        (0, None, NAN),
        (None, None, NAN),
    ],
)
def test_the_tokens_of_a_rate_are_counted_by_the_own_tokenizer_if_there_is_one(
    reported: int | None, counted: int | None, expected: float
) -> None:
    reply = timed(
        counted if reported is None else reported,
        usage_source="recounted" if reported is None else "reported",
        recounted_output_tokens=counted,
    )
    assert column("tpot_p50", reply) == pytest.approx(expected, nan_ok=True)


# --- rows: percentiles --------------------------------------------------------------------------


def test_each_time_has_three_percentiles() -> None:
    for name in ("ttft", "tpot", "total", "queued"):
        assert [f"{name}_{q}" for q in ("p50", "p95", "p99")] == [
            each for each in BY_NAME if each.startswith(f"{name}_p")
        ]


def test_the_ranks_of_an_interval() -> None:
    """With n = 200 the two-sided 95 % interval of p95 goes from the 184th to the 197th sample."""
    times = {"total": np.arange(1.0, 201).reshape(200, 1)}
    found = row("total_p95", pair(times, times, confidence=0.95))
    assert (found.candidate, found.own) == (190, (184, 197))


@pytest.mark.parametrize(
    ("measure", "confidence", "own", "both"),
    [
        # Two-sided 95 %: 72 for p95, 368 for p99; a difference takes both arms, each at half of
        # the error. One-sided 95 %: 59 and 299.
        ("ttft_p95", 0.95, 72, 86),
        ("ttft_p95", 0.9, 59, 72),
        ("ttft_p99", 0.95, 368, 437),
        ("ttft_p99", 0.9, 299, 368),
        ("ttft_p50", 0.9, 5, 6),
    ],
)
def test_an_interval_is_refused_where_the_sample_is_too_small(
    measure: str, confidence: float, own: int, both: int
) -> None:
    def of(n: int) -> Row:
        times = {"ttft": np.ones((n, 2))}
        return row(measure, pair(times, times, confidence=confidence))

    assert of(own - 1).own is None
    assert of(own).own == (1, 1)
    few = of(both - 1)
    assert few.interval is None
    assert few.estimate == 0
    assert f"{both - 1} cases are too few, it takes {both}" in (few.note or "")
    assert of(both).interval == (0, 0)


def test_a_row_counts_the_answers_that_are_not_timed() -> None:
    times, cached = np.ones((100, 2)), np.zeros((100, 2))
    times[:6], cached[:6] = NAN, 1
    whole = {"total": np.ones((100, 2))}
    found = row("total_p50", pair(whole, {"total": times, "replayed": cached}))
    assert found.n == 188
    assert "candidate: 12 answers came from a cache or a recording and are not timed" in (
        found.note or ""
    )
    assert "incumbent" not in (found.note or "")
    one = np.zeros((100, 2))
    one[0, 0] = 1
    found = row("total_p50", pair({"total": times, "replayed": one}, {"total": times}))
    assert "incumbent: 1 answer came from a cache or a recording and is not timed" in (
        found.note or ""
    )


def test_an_arm_of_replayed_answers_has_no_times() -> None:
    nothing = {"ttft": np.full((100, 2), NAN), "replayed": np.ones((100, 2))}
    found = row("ttft_p50", pair({"ttft": np.ones((100, 2))}, nothing))
    assert (found.incumbent, found.candidate, found.estimate) == (1, None, None)
    assert (found.note or "").startswith(
        "not measured: candidate: 200 of 200 answers have no such time"
    )
    assert "candidate: 200 answers came from a cache or a recording" in (found.note or "")
    found = row("ttft_p50", pair(nothing, nothing))
    assert (found.incumbent, found.candidate, found.n) == (None, None, 0)
    assert "incumbent: 200 answers came from a cache or a recording" in (found.note or "")


def test_a_time_per_token_says_whose_count_it_is_by() -> None:
    half = np.full((100, 2), NAN)
    half[:50] = 20.0
    facts = pair(
        {"tpot": np.ones((100, 2)), "counted_output_tokens": half},
        {"tpot": np.ones((100, 2)), "output_tokens": np.full((100, 2), 20.0)},
    )
    note = row("tpot_p50", facts).note or ""
    assert "incumbent: tokens by its own tokenizer for 100 of 200 answers, else as reported" in note
    assert "candidate: tokens as reported" in note
    assert "tokens" not in (row("ttft_p50", facts).note or "")
    facts = replace(facts, candidate=replace(facts.incumbent, name="new"))
    half[50:] = 20.0
    assert "candidate: tokens by its own tokenizer" in (
        row("tpot_p50", pair({"tpot": half}, {"tpot": half, "counted_output_tokens": half})).note
        or ""
    )


# --- rows: throughput ---------------------------------------------------------------------------


def busy(answers: int, seconds: float, **columns: Any) -> Any:
    """An arm of 4 x 2 trials that were answered in so many seconds."""
    made = {"output_tokens": np.full((4, 2), 30.0)} | columns
    return arm("a", made, busy_answers=answers, busy_seconds=seconds)


def test_throughput_is_what_was_done_while_the_arm_was_busy() -> None:
    facts = Pair(busy(8, 16.0), busy(8, 4.0), 0.9)
    answers, tokens = row("answers_per_second", facts), row("output_tokens_per_second", facts)
    assert (answers.incumbent, answers.candidate, answers.estimate) == (0.5, 2, 1.5)
    assert (tokens.incumbent, tokens.candidate, tokens.estimate) == (15, 60, 45)
    assert (answers.n, answers.interval) == (8, None)
    assert "answers / seconds in which the arm was asked" in (answers.note or "")
    assert "closed loop" in (answers.note or "")
    assert "candidate: tokens as reported" in (tokens.note or "")


def test_failures_are_no_throughput() -> None:
    answered = np.array([[1.0, 1], [1, 1], [0, 0], [0, 0]])
    tokens = np.where(answered == 1, 10.0, NAN)
    facts = Pair(busy(8, 8.0), busy(4, 8.0, answered=answered, output_tokens=tokens), 0.9)
    assert row("answers_per_second", facts).candidate == 0.5
    assert row("output_tokens_per_second", facts).candidate == 5


def test_tokens_per_second_go_by_the_own_count() -> None:
    counted = np.full((4, 2), 20.0)
    many = busy(8, 4.0, output_tokens=np.full((4, 2), float(MOST)), counted_output_tokens=counted)
    found = row("output_tokens_per_second", Pair(busy(8, 4.0), many, 0.9))
    assert found.candidate == 40
    assert "candidate: tokens by its own tokenizer" in (found.note or "")


def test_nothing_is_no_answer_however_quick() -> None:
    """Two of eight came without any content: their tokens are no tokens of an answer either."""
    times, tokens = np.ones((4, 2)), np.full((4, 2), 10.0)
    times[0], tokens[0] = INF, NAN
    facts = Pair(busy(8, 8.0), busy(6, 8.0, ttft=times, output_tokens=tokens), 0.9)
    found = row("output_tokens_per_second", facts)
    assert found.candidate == 7.5
    said = "candidate: closed loop, 1 at once; 2 answers without any content left out"
    for measure in ("answers_per_second", "output_tokens_per_second"):
        note = row(measure, facts).note or ""
        assert said in note
        assert note.count("left out") == 1


def test_open_arrivals_show_the_load_and_not_the_server() -> None:
    ours, theirs = (replace(busy(8, seconds), arrivals="open") for seconds in (16.0, 4.0))
    found = row("answers_per_second", Pair(ours, theirs, 0.9))
    assert found.candidate == 2
    assert "candidate: the rate at which requests arrived" in (found.note or "")
    assert "closed loop" not in (found.note or "")


def test_tokens_that_cannot_have_arrived_are_no_rate() -> None:
    facts = pair(
        {"tpot": np.ones((4, 2)), "output_tokens": [[15, 15]] * 4, "most_tokens": [[15, 15]] * 4},
        {
            "tpot": np.full((4, 2), NAN),
            "output_tokens": np.full((4, 2), 1011.0),
            "most_tokens": np.full((4, 2), 15.0),
        },
        busy_answers=8,
        busy_seconds=8.0,
    )
    assert row("output_tokens_per_second", facts).candidate is None
    found = row("tpot_p50", facts)
    assert (found.candidate, found.estimate) == (None, None)
    assert "candidate: 8 answers with more tokens reported than can have arrived" in (
        found.note or ""
    )
    assert "incumbent: 8" not in (found.note or "")


@pytest.mark.parametrize(
    ("untimed", "failed", "known"), [(38, 2, None), (4, 30, INF), (19, 2, 1.0), (0, 40, INF)]
)
def test_where_most_answers_have_no_time_a_few_failures_are_no_percentile(
    untimed: int, failed: int, known: float | None
) -> None:
    """Forty trials: so many came at once, so many failed."""
    times, answered = np.ones((40, 1)), np.ones((40, 1))
    times[:untimed], times[40 - failed :], answered[40 - failed :] = NAN, INF, 0
    theirs = {"tpot": times, "answered": answered}
    facts = pair({"tpot": np.ones((40, 1))}, theirs)
    found = row("tpot_p50", facts)
    drawn = [each["name"] for each in distributions(facts)]
    if known is None:
        assert (found.incumbent, found.candidate, found.own) == (1, None, None)
        assert (found.note or "").startswith(
            "not measured: candidate: 38 of 38 answers have no such time"
        )
        assert drawn == []
    else:
        assert found.candidate == known
        assert drawn == ["tpot"]


REPLAYED = np.array([[1.0, 0], [0, 0], [0, 0], [0, 0]])


@pytest.mark.parametrize(
    ("theirs", "measures", "why"),
    [
        (busy(0, 0.0), "both", "the arm was never busy"),
        (
            busy(8, 4.0, replayed=REPLAYED),
            "both",
            "1 answer came from a cache or a recording, which is no throughput",
        ),
        (
            busy(8, 4.0, output_tokens=np.full((4, 2), NAN)),
            "tokens",
            "8 answers came without a count of what arrived",
        ),
        (busy(0, 4.0, answered=np.zeros((4, 2))), "tokens", "there was no answer"),
    ],
)
def test_a_throughput_that_is_not_known(theirs: Any, measures: str, why: str) -> None:
    facts = Pair(busy(8, 16.0), theirs, 0.9)
    tokens = row("output_tokens_per_second", facts)
    assert (tokens.incumbent, tokens.candidate, tokens.estimate) == (15, None, None)
    assert (tokens.note or "").startswith(f"not measured: candidate: {why}")
    answers = row("answers_per_second", facts)
    assert (answers.candidate is None) == (measures == "both")
    nobody = row("output_tokens_per_second", Pair(theirs, theirs, 0.9))
    assert (nobody.incumbent, nobody.candidate, nobody.n) == (None, None, 0)


# --- rows: the drill's own delay ----------------------------------------------------------------


def test_the_drills_own_delay_stands_beside_the_times() -> None:
    slow, quick = Delays(), Delays()
    for number in range(1, 101):
        slow.add(number * 40_000)
        quick.add(1000)
    facts = pair({"ttft": np.ones((4, 2))}, {"ttft": np.ones((4, 2))}, delay=slow)
    facts = replace(facts, incumbent=replace(facts.incumbent, delay=quick))
    half, most = row("own_delay_p50", facts), row("own_delay_p99", facts)
    assert half.candidate == pytest.approx(0.0020, rel=0.1)
    assert most.candidate == pytest.approx(0.00396, rel=0.1)
    assert (most.candidate or 0) >= 0.00396  # rounded up, never down
    assert most.incumbent == pytest.approx(1e-6, rel=0.1)
    assert (most.n, most.estimate, most.interval) == (100, None, None)
    assert "how late a sleep of 5 ms woke up" in (most.note or "")
    alone = row("own_delay_p99", replace(facts, incumbent=replace(facts.incumbent, delay=Delays())))
    assert (alone.incumbent, alone.n) == (None, 100)
    assert (alone.note or "").endswith("one arm only")


@pytest.mark.parametrize(
    "measure", ["own_delay_p50", "own_delay_p99", "answers_per_second", "output_tokens_per_second"]
)
@pytest.mark.parametrize("bound", [{"margin": 1.0}, {"limit": 1.0}])
def test_no_gate_is_on_a_number_without_an_interval(measure: str, bound: dict[str, float]) -> None:
    problem = gate_problem(GateSpec.model_validate({"measure": measure, **bound}))
    assert "without an interval" in (problem or "")


@pytest.mark.parametrize(
    ("times", "late", "least"),
    [
        ([1.0, 0.005, INF, NAN], 0.01, [0.99, 0, INF, NAN]),
        ([1.0, 0.005, INF, NAN], INF, [0, 0, INF, NAN]),  # not known
    ],
)
def test_what_a_server_took_at_the_least(
    times: list[float], late: float, least: list[float]
) -> None:
    delay = Delays({} if math.isinf(late) else {math.floor(math.log2(late * 1e9) * 8): 10})
    columns = {"ttft": np.array([times])}
    facts = pair(columns, columns, delay=delay)
    ends = own_delay.bounds(BY_NAME["ttft_p95"], facts)
    assert ends is not None
    low, high = ends
    assert low.candidate.columns["ttft"][0] == pytest.approx(least, nan_ok=True, abs=1e-3)
    assert high.candidate.columns["ttft"][0] == pytest.approx(times, nan_ok=True)
    assert own_delay.bounds(BY_NAME["success"], facts) is None
    assert own_delay.bounds(BY_NAME["own_delay_p99"], facts) is None


# --- distributions ------------------------------------------------------------------------------


def test_a_distribution_is_a_hundred_and_one_quantiles() -> None:
    old = np.arange(1.0, 201).reshape(100, 2)
    new = old + 0.5
    new[90:] = INF
    columns = dict.fromkeys(("ttft", "total"), old)
    found = distributions(pair(columns, {"ttft": new, "total": old, "tpot": old}))
    assert [each["name"] for each in found] == ["ttft", "total"]  # nobody timed the incumbent's
    ttft = found[0]
    assert set(ttft) == {"name", "label", "unit", "n", "incumbent", "candidate", "paired"}
    assert (ttft["unit"], ttft["n"], ttft["label"]) == ("s", 200, "time to first token")
    assert len(ttft["incumbent"]) == len(ttft["candidate"]) == len(ttft["paired"]) == 101
    assert [ttft["incumbent"][at] for at in (0, 1, 50, 95, 100)] == [1, 2, 100, 190, 200]
    assert [ttft["candidate"][at] for at in (0, 90, 91, 100)] == [1.5, 180.5, None, None]
    assert ttft["paired"] == pytest.approx([0.5] * 101)
    assert ttft["incumbent"][95] == row("ttft_p95", pair(columns, columns)).incumbent


def test_pairs_are_of_what_both_answered() -> None:
    ours = {"ttft": np.array([[1, 1], [2, INF], [3, NAN], [INF, INF]])}
    theirs = {"ttft": np.array([[2, 4], [3, 3], [INF, 9], [1, 1]])}
    (found,) = distributions(pair(ours, theirs))
    assert found["paired"][0] == 1  # 3 - 2, each over the repeats that were answered
    assert (found["paired"][50], found["paired"][100]) == (2, 6)  # 3 - 1 and 9 - 3
    (found,) = distributions(pair(ours, {"ttft": np.full((4, 2), INF)}))
    assert (found["paired"], found["candidate"]) == ([], [None] * 101)
    assert distributions(pair(ours, {"ttft": np.full((4, 2), NAN)})) == []
