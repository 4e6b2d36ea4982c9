"""The language of an answer: is it the incumbent's?

Detected by py3langid, whose model comes with it. Short texts and near languages are not told apart
for certain: an answer counts as another language only where both are sure, or where it is written
in another script, and as the same only where the best guess for both is the same. Everything else
is not known.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from exitdrill.measures.answers import LEAST_LETTERS, Answer, weight
from exitdrill.measures.base import NAN, Measure, Pair, Row, TrialView
from exitdrill.measures.shares import disagreement, share_row
from exitdrill.measures.success import answered

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier  # type: ignore[import-untyped]

SURE = 0.9
CLEAR = 2 / 3
"""The share of a text's letters that makes their script the script of the text."""
LEAST = 2
"""Letters that have a script: a single Greek one may be a formula's."""
_NOT_TOLD = {"wuu", "yue", "pcm"}
"""Languages that cannot be told by their writing: Wu, Cantonese, and Nigerian English."""
_HAN_OR_KANA = {"Cjk", "Hiragana", "Katakana"}


def language_of(prose: str) -> str | None:
    """The ISO 639 code of a text's language, or None where that is not certain."""
    if sum(map(str.isalpha, prose)) < LEAST_LETTERS:  # a few of Han may be Japanese, too
        return None
    language, probability = _identify(prose)
    return language if probability >= SURE else None


@lru_cache(maxsize=4096)
def script_of(text: str) -> str | None:
    """The script that a text is written in, by its letters, or None where that is not clear."""
    letters: Counter[str] = Counter()
    for letter in filter(str.isalpha, unicodedata.normalize("NFKC", text)):
        script, counts = _script(letter)
        letters[script] += counts
    for script, count in letters.most_common(1):
        if count >= max(LEAST, CLEAR * letters.total()):
            return f"{script} script"
    return None


def told_apart(wanted: Answer, found: Answer) -> tuple[str, str] | None:
    """Both languages, or else both scripts, where they are certain and differ."""
    if wanted.text == found.text:
        return None
    languages = language_of(wanted.prose), language_of(found.prose)
    scripts = script_of(wanted.sample), script_of(found.sample)
    for ours, theirs in (languages, scripts):
        if ours and theirs and ours != theirs:
            return ours, theirs
    return None


def same_language(view: TrialView) -> float:
    """0 where the answer is in another language than the incumbent's, 1 where it is in the same.

    NaN for an error, and where that is not known: one of them has hardly any prose, or they are
    too near each other.
    """
    if view.wanted is None or view.failed:
        return NAN
    if view.wanted.text == view.said.text:  # whatever it is; and no model needs to be loaded
        return 1.0 if view.said.prose else NAN
    if told_apart(view.wanted, view.said):
        return 0.0
    both = view.wanted.prose, view.said.prose
    return 1.0 if all(both) and len({_identify(prose)[0] for prose in both}) == 1 else NAN


def language_row(pair: Pair) -> Row:
    """The share, with how many answers are not in it."""
    row = _SHARE(pair)
    columns = pair.candidate.columns
    answers = columns["answered"] == 1
    unknown = int(np.count_nonzero(answers & np.isnan(columns["same_language"])))
    said = f"not known of {unknown} of {int(answers.sum())} answers"
    return replace(row, note=f"{row.note}; {said}") if unknown else row


_SHARE = share_row(
    "same_language",
    disagreement,
    "detected by py3langid, another language only where both are at least 90 % sure, or by script",
)


@lru_cache(maxsize=4096)  # an incumbent's answer is asked for by every arm
def _identify(prose: str) -> tuple[str, float]:
    """The best guess with its probability."""
    language, probability = _identifier().classify(prose)
    return str(language), float(probability)


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(set(map(str, identifier.labels)) - _NOT_TOLD)
    return identifier


@lru_cache(maxsize=4096)
def _script(letter: str) -> tuple[str, int]:
    """A letter's script, as the beginning of its name in Unicode tells, and what it counts."""
    name = unicodedata.name(letter, "UNKNOWN").split()[0].capitalize()
    return "Han or kana" if name in _HAN_OR_KANA else name, weight(letter)


MEASURES = (
    Measure(
        "same_language",
        "in the incumbent's language",
        "share",
        "drift",
        "higher",
        language_row,
        same_language,
        strict=True,
        needs={"answered": answered},
    ),
)
