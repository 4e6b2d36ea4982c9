"""Whether two sides answer from the same distribution: a description, never a gate."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exitdrill.stats.base import Array

Completion = str | Sequence[Hashable]
Completions = Sequence[Completion]
Codes = npt.NDArray[np.uint32]

POSITIONS = 1_000
COMPLETIONS = 100
_PAD = 0xFFFF_FFFF  # no character and no token has this code


@dataclass(frozen=True)
class Mmd:
    """``value`` estimates MMD² (negative by chance where there is none); ``p_value`` is that of
    the hypothesis that both sides are the same; ``prompts`` is how many were used."""

    value: float
    p_value: float
    prompts: int


def mmd_hamming(
    x: Sequence[Completions], y: Sequence[Completions], permutations: int = 999, seed: int = 0
) -> Mmd:
    """The test of model equality by the maximum mean discrepancy with the Hamming kernel.

    ``x[i]`` and ``y[i]`` are the completions of prompt i on either side: strings, compared by
    character, or sequences of tokens. The kernel is the share of positions that agree after all
    are padded on the right to the longest; the estimate is the unbiased one of each prompt,
    averaged over prompts. Sides are permuted within each prompt, and of B permutations b reach the
    estimate: p = (b + 1)/(B + 1). Source: Gao, Liang & Guestrin, *Model equality testing*, arXiv
    2410.20247.

    **A description, never a gate**: an exit to another model nearly always fails a test of
    equality, and a test that is not failed shows no equality.

    Two completions per side are the fewest to estimate from; a prompt with fewer is left out. The
    work is bounded: of each completion the first 1,000 positions count, of each prompt the first
    100 completions per side. Raises `ValueError` where no prompt is left, where ``x`` and ``y``
    differ in length, and for fewer than one permutation.
    """
    if len(x) != len(y) or permutations < 1:
        raise ValueError(f"{len(x)} and {len(y)} prompts, {permutations} permutations")
    random = np.random.default_rng(seed)
    totals = np.zeros(permutations + 1)  # the first as observed
    prompts = longest = 0
    for left, right in _usable(x, y):
        codes = _encode([*left, *right])
        totals += _discrepancies(_agreements(codes), len(left), permutations, random)
        prompts += 1
        longest = max(longest, codes.shape[1])
    if not prompts:
        raise ValueError("no prompt has two completions on either side")
    # Padding that all share cancels out of each discrepancy: only the divisor is left of it.
    values = totals / (prompts * max(longest, 1))
    reached = int((values[1:] >= values[0] - 1e-12).sum())  # the tolerance is for rounding
    return Mmd(float(values[0]), (reached + 1) / (permutations + 1), prompts)


def _usable(
    x: Sequence[Completions], y: Sequence[Completions]
) -> Iterator[tuple[Completions, Completions]]:
    for left, right in zip(x, y, strict=True):
        if isinstance(left, str) or isinstance(right, str):
            raise ValueError("a prompt has a list of completions, not one string")
        if len(left) > 1 and len(right) > 1:
            yield left[:COMPLETIONS], right[:COMPLETIONS]


def _encode(completions: Completions) -> Codes:
    """One row of codes for each completion, padded to the longest of this prompt."""
    tokens: dict[Hashable, int] = {}
    rows = [_codes(each[:POSITIONS], tokens) for each in completions]
    padded = np.full((len(rows), max(map(len, rows))), _PAD, dtype=np.uint32)
    for row, codes in zip(padded, rows, strict=True):
        row[: len(codes)] = codes
    return padded


def _codes(completion: Completion, tokens: dict[Hashable, int]) -> Codes:
    if isinstance(completion, str):
        return np.frombuffer(completion.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return np.array([tokens.setdefault(each, len(tokens)) for each in completion], dtype=np.uint32)


def _agreements(codes: Codes) -> Array:
    """At how many positions each two completions agree; zero for each with itself."""
    counts = np.array([(codes == row).sum(axis=1) for row in codes], dtype=float)
    np.fill_diagonal(counts, 0)
    return counts


def _discrepancies(kernel: Array, n: int, permutations: int, random: np.random.Generator) -> Array:
    """The unbiased MMD² of one prompt: as observed, then for each permutation of its sides."""
    m = len(kernel) - n
    sides = np.tile(np.repeat([1.0, 0.0], [n, m]), (permutations + 1, 1))
    random.permuted(sides[1:], axis=1, out=sides[1:])
    reach = sides @ kernel
    within_x = np.einsum("ij,ij->i", reach, sides)
    across = reach.sum(axis=1) - within_x
    within_y = kernel.sum() - within_x - 2 * across
    values: Array = within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * across / (n * m)
    return values
