"""Meaning: how near a free text is to the incumbent's, to an embedding model of the scenario's.

As for wording, only answers that are text count, and of each text only the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from exitdrill.measures.base import NAN, Measure, Pair, Row, TrialView
from exitdrill.measures.shares import disagreement, share_row
from exitdrill.measures.wording import is_text

NAME = "embedding_similarity"
LONGEST = 2_000
"""Characters of a text that are embedded."""
PROBLEM = "embedding"
"""Under which name an arm's problems hold why nothing was embedded."""
NO_MODEL = "the scenario names no embedding model"


def embedding_similarity(view: TrialView) -> float:
    """The cosine of both texts' embeddings, cut off below 0; 1 for the same text.

    NaN where the scenario names no model. A text without any letter is like no other.
    """
    if view.embed is None or not is_text(view):
        return NAN
    if view.failed:
        return 0.0
    wanted, found = _beginnings(view)
    if wanted == found or not found:
        return float(wanted == found)
    return view.embed(wanted, found)


def texts_of(views: Sequence[TrialView]) -> Iterator[str]:
    """The texts of a case that will be embedded, so that they can be at once."""
    for view in views:
        if view.failed or not is_text(view):
            continue
        wanted, found = _beginnings(view)
        if wanted != found and found:
            yield from (wanted, found)


def _beginnings(view: TrialView) -> tuple[str, str]:
    """What is compared, the incumbent's first: blank lines at the beginning say nothing."""
    wanted = view.reference.text if view.reference else ""
    return wanted.lstrip()[:LONGEST], view.reply.text.lstrip()[:LONGEST]


_shares = share_row(
    NAME,
    disagreement,
    f"cosine of embeddings, below 0 taken for 0; of free texts the first {LONGEST:,} characters, "
    "or as much as the model reads",
    graded=True,
)


def _row(pair: Pair) -> Row:
    unmeasured = np.isnan(pair.candidate.columns[NAME]).all()
    if unmeasured and (why := pair.candidate.problems.get(PROBLEM)):
        return Row(note=f"not measured: {why}")
    return _shares(pair)


MEASURES = (
    Measure(
        NAME,
        "meaning near the incumbent's (embeddings)",
        "share",
        "drift",
        "higher",
        _row,
        embedding_similarity,
        strict=True,
        content=True,
        graded=True,
    ),
)
