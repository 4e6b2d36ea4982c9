"""Wording: how near a free text is to the incumbent's, by character n-grams and by edits.

Only answers that are text: where the incumbent's is JSON, its fields are compared instead. Of each
text only the beginning counts: n-grams of a thousand characters take a millisecond, and the time
for edits grows with the square.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from exitdrill.measures.base import NAN, Column, Measure, TrialView
from exitdrill.measures.shares import disagreement, share_row

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF

LONGEST_CHRF = 1_000
"""Characters of a text that are compared by n-grams."""
LONGEST_EDITED = 4_000
"""Characters of a text that are compared by edits."""

Similarity = Callable[[str, str], float]


def chrf(wanted: str, found: str) -> float:
    """chrF2 by sacrebleu, 0 to 1: the F-score of character 1- to 6-grams, recall twice as heavy.

    Source: Popović, *chrF: character n-gram F-score for automatic MT evaluation*, WMT 2015.
    """
    return float(_chrf(wanted).corpus_score([found], None).score) / 100


def edit_similarity(wanted: str, found: str) -> float:
    """2·L / (length of both), L the longest common subsequence, 0 to 1, by rapidfuzz.

    "this is a test" and "this is a test!" give 0.965517.
    """
    from rapidfuzz.distance import Indel

    return float(Indel.normalized_similarity(wanted, found))


def is_text(view: TrialView) -> bool:
    """Whether the incumbent's answer is there, and free text."""
    wanted = view.wanted
    return wanted is not None and bool(wanted.text.strip()) and wanted.json is None


def _column(similarity: Similarity, longest: int) -> Column:
    def column(view: TrialView) -> float:
        if view.reference is None or not is_text(view):
            return NAN
        if view.failed:
            return 0.0
        # Blank lines at the beginning are no wording, and would be all that is compared.
        wanted, found = view.reference.text.lstrip(), view.reply.text.lstrip()
        if wanted == found:
            return 1.0
        return similarity(wanted[:longest], found[:longest])

    return column


@lru_cache(maxsize=16)  # the n-grams of an incumbent's answer, for all arms and repeats
def _chrf(wanted: str) -> CHRF:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(references=[[wanted]])


MEASURES = tuple(
    Measure(
        name,
        label,
        "share",
        "drift",
        "higher",
        share_row(
            name, disagreement, f"of free texts, the first {longest:,} characters", graded=True
        ),
        _column(similarity, longest),
        strict=True,
        content=True,
        graded=True,
    )
    for name, label, similarity, longest in (
        ("chrf", "wording near the incumbent's (chrF)", chrf, LONGEST_CHRF),
        (
            "edit_similarity",
            "wording near the incumbent's (edit similarity)",
            edit_similarity,
            LONGEST_EDITED,
        ),
    )
)
