"""What a gate's numbers mean, where they lie close to what is allowed."""

import pytest

from exitdrill.sentences import Figures, amount, compared, count_of, counted, level, limited
from exitdrill.sentences import beside as beside_limit


def figures(value: float, low: float, high: float, margin: float) -> Figures:
    return Figures(value, (low, high), margin, "share", "higher", "right answers")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.05, "5 points"),
        (0.1 - 0.05, "5 points"),
        (0.0502, "5.02 points"),
        (0.0498, "4.98 points"),
        (0.050003, "5.0003 points"),
        (0.05 + 1e-10, "a little more than 5 points"),
        (0.05 - 1e-10, "a little less than 5 points"),
        (0.061, "6.1 points"),
    ],
)
def test_a_difference_never_reads_like_the_limit_that_it_is_not(value: float, text: str) -> None:
    assert beside_limit(amount, "share", value, 0.05) == text


@pytest.mark.parametrize(
    ("unit", "value", "limit", "text"),
    [
        ("share", 0.9504, 0.95, "95.04 %"),
        ("s", 0.5003, 0.5, "500.3 ms"),
        ("s", 2.001, 2, "2.001 s"),
        ("EUR/1000 requests", 1.0004, 1, "1.0004 EUR per 1,000 requests"),
    ],
)
def test_nor_does_a_value(unit: str, value: float, limit: float, text: str) -> None:
    assert beside_limit(level, unit, value, limit) == text


@pytest.mark.parametrize(
    ("status", "given", "sentence"),
    [
        (
            "open",
            figures(0, -0.0502, 0.0491, 0.05),
            "as many right answers as the incumbent, but anything from 5.02 points fewer to 4.9 "
            "points more is possible; allowed are 5 points fewer: not settled",
        ),
        (
            "open",
            figures(0, -0.05, 0.049, 0.05),
            "as many right answers as the incumbent, but anything from 5 points fewer to 4.9 "
            "points more is possible; allowed are 5 points fewer: not settled, for that edge "
            "itself is not ruled out",
        ),
        (
            "pass",
            figures(-0.017, -0.0498, 0.01, 0.05),
            "1.7 points fewer right answers than the incumbent (at worst 4.98 points fewer); "
            "allowed are 5 points fewer",
        ),
        (
            "pass",
            figures(-0.01, -0.0521, 0.01, 0.0525),
            "1 point fewer right answers than the incumbent (at worst 5.2 points fewer); "
            "allowed are 5.25 points fewer",
        ),
        (
            "open",
            figures(-0.3, -0.4, -0.0504, 0.05),
            "30 points fewer right answers than the incumbent (at best 5.04 points fewer); "
            "allowed are 5 points fewer: missed, but not clearly enough where several gates are "
            "tested: not settled",
        ),
    ],
)
def test_what_is_allowed_and_what_was_found_can_be_told_apart(
    status: str, given: Figures, sentence: str
) -> None:
    assert compared(given, status) == sentence


def test_a_limit_on_the_candidate_alone() -> None:
    passed = limited(figures(1, 0.9504, 1, 0.95), "pass")
    assert passed == "100 % right answers (at worst 95.04 %); at least 95 % is required"
    missed = limited(figures(0.5, 0.4, 0.6, 0.95), "open")
    assert missed.endswith("enough where several gates are tested: not settled")


def test_a_value_that_is_no_sample() -> None:
    assert counted(60.0, 60, "lines", kept=True) == "60 lines, within the limit of 60 lines"
    beyond = counted(1.0001, 1, "EUR/1000 requests", kept=False)
    assert beyond.startswith("1.0001 EUR per 1,000 requests, beyond the limit of 1 EUR")


def test_nearly_all_does_not_read_as_all() -> None:
    shares = (1, 0.9994, 0.99996, 1 - 1e-12)
    assert [level("share", share) for share in shares] == ["100 %", "99.9 %", "99.996 %", "100 %"]


def test_counts() -> None:
    assert [count_of(n, "case") for n in (0, 1, 1200)] == ["0 cases", "1 case", "1,200 cases"]
