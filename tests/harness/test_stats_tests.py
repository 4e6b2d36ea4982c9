"""Tests, sample sizes and the discrepancy of two sides: published figures, definitions, errors."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from exitdrill.stats import (
    Mmd,
    detectable_effect,
    holm,
    mcnemar,
    mmd_hamming,
    sample_size_paired,
)

NAN = math.nan


# --- McNemar ------------------------------------------------------------------------------------


def test_mcnemar_reproduces_the_published_example() -> None:
    assert round(mcnemar(1, 7), 4) == 0.0703
    assert round(mcnemar(1, 7, method="midp"), 4) == 0.0391


@pytest.mark.parametrize("b", range(7))
@pytest.mark.parametrize("c", range(7))
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(b: int, c: int) -> None:
    exact = scipy_stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(exact)
    observed = float(scipy_stats.binom.pmf(b, b + c, 0.5)) if b + c else 0.0
    half = 0.5 if b == c else 1.0  # the source's: two outcomes are as likely, or only one
    assert mcnemar(b, c, "midp") == pytest.approx(exact - half * observed)
    assert mcnemar(c, b, "midp") == mcnemar(b, c, "midp")


def test_without_a_discordant_pair_nothing_differs() -> None:
    assert mcnemar(0, 0) == mcnemar(0, 0, "midp") == 1


def test_mcnemar_of_large_and_of_numpys_counts() -> None:
    counts = np.array([40_000, 41_000])
    expected = scipy_stats.binomtest(40_000, 81_000).pvalue
    assert mcnemar(counts[0], counts[1]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("b", "c"), [(-1, 2), (2, -1), (1.5, 2), (2, NAN), (math.inf, 1)])
def test_mcnemar_refuses_what_is_no_count(b: float, c: float) -> None:
    with pytest.raises(ValueError, match="not both counts"):
        mcnemar(b, c)  # type: ignore[arg-type]


def test_mcnemar_refuses_another_method() -> None:
    with pytest.raises(ValueError, match="neither 'exact' nor 'midp'"):
        mcnemar(1, 7, "asymptotic")  # type: ignore[arg-type]


# --- Holm ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pvalues", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # R's p.adjust
        ([0.5, 0.003, 0.32, 0.054, 0.0003], [0.64, 0.012, 0.64, 0.162, 0.0015]),  # pingouin's page
        ([0.319, 0.201, 0.4, 0.374, 0.113], [0.957, 0.804, 0.957, 0.957, 0.565]),  # stdlib's page
        ([0.03], [0.03]),
        ([0.9, 0.8], [1, 1]),
        ([0.0, 1.0], [0, 1]),
        ([], []),
    ],
)
def test_holm_reproduces_published_examples(pvalues: list[float], adjusted: list[float]) -> None:
    assert holm(pvalues) == pytest.approx(adjusted)


def _rejects(pvalues: list[float], alpha: float) -> list[bool]:
    """Holm's procedure as he words it: step down until one is not rejected."""
    rejected = [False] * len(pvalues)
    ascending = sorted(range(len(pvalues)), key=lambda each: pvalues[each])
    for step, place in enumerate(ascending):
        if pvalues[place] > alpha / (len(pvalues) - step):
            break
        rejected[place] = True
    return rejected


def test_holm_rejects_what_the_procedure_rejects() -> None:
    random = np.random.default_rng(4)
    for _ in range(300):
        pvalues = [float(each) for each in random.random(random.integers(1, 9)) ** 3]
        alpha = float(random.uniform(0.01, 0.6))
        assert [each <= alpha for each in holm(pvalues)] == _rejects(pvalues, alpha), pvalues


def test_holm_does_not_depend_on_the_order() -> None:
    pvalues = [0.02, 0.01, 0.02, 0.6]
    expected = dict(zip(pvalues, holm(pvalues), strict=True))
    for order in permutations(pvalues):
        assert holm(order) == [expected[each] for each in order]


@pytest.mark.parametrize("bad", [NAN, -0.01, 1.01])
def test_holm_refuses_what_is_no_p_value(bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.1, bad])


# --- sample sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("discordance", "margin", "alpha", "n"),
    [(0.10, 0.05, 0.05, 248), (0.10, 0.02, 0.05, 1_546), (1 / 9, 0.03, 0.025, 969)],
)
def test_sample_size_reproduces_the_published_cases(
    discordance: float, margin: float, alpha: float, n: int
) -> None:
    assert sample_size_paired(discordance, margin, alpha, 0.8, 1, 1) == n


def test_more_gates_clusters_and_a_true_loss_take_more_cases() -> None:
    z = scipy_stats.norm.ppf
    plain = sample_size_paired(0.1, 0.05)
    assert sample_size_paired(0.1, 0.05, design_effect=2.5) == math.ceil(
        (z(0.95) + z(0.8)) ** 2 * 100
    )
    assert sample_size_paired(0.1, 0.05, gates=4) == math.ceil((z(0.95) + z(0.95)) ** 2 * 40)
    lossy = sample_size_paired(0.1, 0.05, difference=-0.02)
    assert lossy == math.ceil((z(0.95) + z(0.8)) ** 2 * (0.1 - 0.0004) / 0.0009)
    assert lossy > plain > sample_size_paired(0.1, 0.05, difference=0.02)


@pytest.mark.parametrize("discordance", [0.03, 0.1, 1.0])
@pytest.mark.parametrize(("gates", "effect"), [(1, 1.0), (3, 1.7)])
def test_the_detectable_effect_is_the_inverse(
    discordance: float, gates: int, effect: float
) -> None:
    for n in (7, 248, 1_546, 100_000):
        margin = detectable_effect(n, discordance, 0.05, 0.8, gates, effect)
        if margin > 1:
            continue
        assert sample_size_paired(discordance, margin, 0.05, 0.8, gates, effect) == n
        assert sample_size_paired(discordance, margin * 0.99, 0.05, 0.8, gates, effect) > n


def test_the_sample_size_has_about_its_power() -> None:
    """The z test of 20,000 simulated drills of 248 cases, truly equal: 80 % must pass."""
    random = np.random.default_rng(5)
    n = sample_size_paired(0.1, 0.05)
    gained, lost, _ = random.multinomial(n, [0.05, 0.05, 0.9], size=20_000).T
    mean = (gained - lost) / n
    error = np.sqrt((gained + lost) / n - mean**2) / math.sqrt(n)
    passed = (mean - scipy_stats.norm.ppf(0.95) * error > -0.05).mean()
    assert passed == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"discordance": 0.0},
        {"discordance": 1.1},
        {"discordance": NAN},
        {"margin": -0.01},
        {"margin": 1.5},
        {"margin": 0.0},
        {"margin": NAN},
        {"alpha": 0.0},
        {"alpha": 0.5},
        {"power": 1.0},
        {"power": 0.4},
        {"gates": 0},
        {"design_effect": 0.9},
        {"design_effect": math.inf},
        {"difference": -0.05},  # as large as the margin
        {"difference": 0.2},  # larger than the discordance
        {"difference": NAN},
    ],
)
def test_sample_size_refuses_what_no_number_of_cases_settles(wrong: dict[str, float]) -> None:
    usual = {"discordance": 0.1, "margin": 0.05}
    with pytest.raises(ValueError, match=r"margin|discordance|alpha|gates"):
        sample_size_paired(**(usual | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "discordance"), [(0, 0.1), (100, 0.0), (100, NAN)])
def test_the_detectable_effect_refuses_too(n: int, discordance: float) -> None:
    with pytest.raises(ValueError, match="nothing"):
        detectable_effect(n, discordance)


# --- MMD ----------------------------------------------------------------------------------------


def _by_definition(x: list[list[str]], y: list[list[str]]) -> float:
    longest = max(len(each) for side in (x, y) for prompt in side for each in prompt)

    def kernel(a: str, b: str) -> float:
        pairs = zip(a.ljust(longest, "\0"), b.ljust(longest, "\0"), strict=True)
        return sum(one == other for one, other in pairs) / longest

    def mean(left: list[str], right: list[str]) -> float:
        same = left is right
        return float(
            np.mean(
                [
                    kernel(a, b)
                    for i, a in enumerate(left)
                    for j, b in enumerate(right)
                    if not (same and i == j)
                ]
            )
        )

    each = [mean(a, a) + mean(b, b) - 2 * mean(a, b) for a, b in zip(x, y, strict=True)]
    return float(np.mean(each))


def _sample(random: np.random.Generator, prompts: int, each: int, letters: str) -> list[list[str]]:
    return [
        ["".join(random.choice(list(letters), random.integers(0, 9))) for _ in range(each)]
        for _ in range(prompts)
    ]


def test_mmd_is_its_definition() -> None:
    random = np.random.default_rng(6)
    x, y = _sample(random, 4, 3, "abé🙂"), _sample(random, 4, 5, "ab")
    found = mmd_hamming(x, y, permutations=9)
    assert found.value == pytest.approx(_by_definition(x, y))
    assert found.prompts == 4
    swapped = mmd_hamming(y, x, permutations=9)
    assert swapped.value == pytest.approx(found.value)


def test_mmd_of_one_prompt_by_hand() -> None:
    """aa, ab against bb, bb: within ½ and 1, across ¼: ½ + 1 − ½ = 1. Of the six ways to choose a
    side two are this one."""
    found = mmd_hamming([["aa", "ab"]], [["bb", "bb"]], permutations=4_999)
    assert found.value == pytest.approx(1.0)
    assert found.p_value == pytest.approx(1 / 3, abs=0.03)


def test_tokens_count_as_characters_do() -> None:
    x, y = [["ab", "ac"], ["b", ""]], [["cb", "cc"], ["bb", "a"]]
    tokens = [[[list(each) for each in prompt] for prompt in side] for side in (x, y)]
    assert mmd_hamming(tokens[0], tokens[1]) == mmd_hamming(x, y)


def test_the_same_answers_are_no_discrepancy() -> None:
    same = [["yes"] * 3] * 5
    assert mmd_hamming(same, same) == Mmd(0.0, 1.0, 5)
    assert mmd_hamming([["", ""]], [["", ""]]) == Mmd(0.0, 1.0, 1)


def test_mmd_is_the_same_for_the_same_seed() -> None:
    random = np.random.default_rng(7)
    x, y = _sample(random, 5, 4, "ab"), _sample(random, 5, 4, "abc")
    assert mmd_hamming(x, y, seed=3) == mmd_hamming(x, y, seed=3)


def test_the_p_value_is_uniform_where_nothing_changed() -> None:
    random = np.random.default_rng(8)
    pvalues = [
        mmd_hamming(_sample(random, 6, 4, "ab"), _sample(random, 6, 4, "ab"), 99, seed).p_value
        for seed in range(300)
    ]
    assert min(pvalues) >= 0.01
    assert np.mean([each <= 0.05 for each in pvalues]) == pytest.approx(0.05, abs=0.035)
    assert scipy_stats.kstest(pvalues, "uniform").pvalue > 0.01


def test_a_change_is_found() -> None:
    random = np.random.default_rng(9)
    found = mmd_hamming(_sample(random, 25, 10, "aaab"), _sample(random, 25, 10, "abbb"))
    assert found.p_value == 0.001
    assert found.value > 0


def test_sides_are_permuted_within_prompts_only() -> None:
    """Prompts whose answers differ from each other, alike on both sides: no discrepancy."""
    alike = [[letter * 5, letter * 4] for letter in "abcdefgh"]
    assert mmd_hamming(alike, alike, 199).p_value > 0.5


def test_prompts_with_too_few_completions_are_left_out() -> None:
    x, y = [["a", "b"], ["a"], ["a", "b"], []], [["a", "a"], ["a", "b"], ["b"], []]
    assert mmd_hamming(x, y) == mmd_hamming(x[:1], y[:1])
    with pytest.raises(ValueError, match="no prompt has two completions"):
        mmd_hamming(x[1:], y[1:])
    with pytest.raises(ValueError, match="no prompt"):
        mmd_hamming([], [])


def test_only_the_first_positions_and_completions_count() -> None:
    x, y = [["a" * 1_000 + "x" * 10_000_000, "b"]], [["a" * 1_000, "c"]]
    assert mmd_hamming(x, y, 9) == mmd_hamming([["a" * 1_000, "b"]], y, 9)
    many = [["ab"] * 100 + ["zz"] * 50_000]
    assert mmd_hamming(many, many, 9).value == 0


def test_half_a_character_is_a_character() -> None:
    assert mmd_hamming([["\ud83d", "a"]], [["\ud83d", "a"]], 9).prompts == 1


@pytest.mark.parametrize(
    ("x", "y", "permutations", "said"),
    [
        ([["a", "b"]], [], 9, "1 and 0 prompts"),
        ([["a", "b"]], [["a", "b"]], 0, "0 permutations"),
        (["ab"], [["a", "b"]], 9, "not one string"),
    ],
)
def test_mmd_refuses_what_does_not_fit(
    x: list[list[str]], y: list[list[str]], permutations: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        mmd_hamming(x, y, permutations)
