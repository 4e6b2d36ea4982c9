"""The language of an answer: is it the incumbent's?

Detected by py3langid, whose model comes with it. Short texts and near languages are not told apart
for certain, so an answer counts as another language only where both are sure.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from exitdrill.measures.answers import Answer
from exitdrill.measures.base import NAN, Measure, TrialView
from exitdrill.measures.shares import disagreement, share_row

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier  # type: ignore[import-untyped]

SURE = 0.9


def language_of(prose: str) -> str | None:
    """The ISO 639 code of a text's language, or None where that is not certain."""
    if not prose:
        return None
    language, probability = _identify(prose)
    return language if probability >= SURE else None


def languages(wanted: Answer, found: Answer) -> tuple[str, str] | None:
    """Both languages, where both are certain and differ."""
    if wanted.text == found.text:
        return None
    ours, theirs = language_of(wanted.prose), language_of(found.prose)
    return (ours, theirs) if ours and theirs and ours != theirs else None


def same_language(view: TrialView) -> float:
    """0 where the answer is in another language than the incumbent's, else 1.

    NaN for an error, and where the incumbent's answer has hardly any prose.
    """
    if view.wanted is None or view.failed or not view.wanted.prose:
        return NAN
    return float(languages(view.wanted, view.said) is None)


@lru_cache(maxsize=4096)  # an incumbent's answer is asked for by every arm
def _identify(prose: str) -> tuple[str, float]:
    language, probability = _identifier().classify(prose)
    return str(language), float(probability)


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


MEASURES = (
    Measure(
        "same_language",
        "in the incumbent's language",
        "share",
        "drift",
        "higher",
        share_row(
            "same_language",
            disagreement,
            "detected by py3langid; another language only where both are at least 90 % sure",
        ),
        same_language,
        strict=True,
    ),
)
