"""Stop strings and think tags are found however the text is cut."""

from __future__ import annotations

import random

import pytest

from exitdrill_adapters.openai.pieces import StopTrimmer, ThinkSplitter


def trim(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    trimmer = StopTrimmer(stops)
    shown = "".join([trimmer.feed(piece) for piece in pieces])
    return shown + trimmer.flush(), trimmer.matched


def split(pieces: list[str]) -> tuple[str, str]:
    splitter = ThinkSplitter()
    fed = [*map(splitter.feed, pieces), splitter.flush()]
    return "".join(reasoning for reasoning, _ in fed), "".join(answer for _, answer in fed)


TRIMMED = [
    (["END"], "one END two", "one ", True),
    (["END"], "one EN", "one EN", False),
    (["END"], "ENEND", "EN", True),
    (["\n\n", "END"], "a\nb\n\nEND", "a\nb", True),
    (["abc", "b"], "abc", "a", True),
    (["aab"], "aaab", "a", True),
    (["é"], "café", "caf", True),
    ([], "text", "text", False),
    ([""], "text", "text", False),
]


@pytest.mark.parametrize(("stops", "text", "shown", "matched"), TRIMMED)
def test_stop_strings(stops: list[str], text: str, shown: str, matched: bool) -> None:
    assert trim(stops, [text]) == (shown, matched)
    assert trim(stops, list(text)) == (shown, matched)
    for cut in range(len(text) + 1):
        assert trim(stops, [text[:cut], text[cut:]]) == (shown, matched)


def test_stop_strings_at_random() -> None:
    rng = random.Random(7)
    for _ in range(500):
        stops = ["".join(rng.choices("ab", k=rng.randint(1, 4))) for _ in range(2)]
        text = "".join(rng.choices("abc", k=12))
        cut = rng.randint(0, 12)
        whole = trim(stops, [text])
        assert trim(stops, list(text)) == trim(stops, [text[:cut], text[cut:]]) == whole
        assert not any(stop in whole[0] for stop in stops)


def test_only_what_may_begin_a_stop_string_is_held_back() -> None:
    trimmer = StopTrimmer(["END"])
    assert trimmer.feed("an E") == "an "
    assert trimmer.feed("xit") == "Exit"


SPLIT = [
    ("<think>hm</think>yes", ("hm", "yes")),
    ("\n <think>hm</think>\n\nyes", ("hm", "\n\nyes")),
    ("<think>hm", ("hm", "")),
    ("<think>a</thin", ("a</thin", "")),
    ("yes <think>no</think>", ("", "yes <think>no</think>")),
    ("<thin", ("", "<thin")),
    ("  ", ("", "  ")),
    ("<think></think>yes </think>", ("", "yes </think>")),
    ("", ("", "")),
]


@pytest.mark.parametrize(("text", "parts"), SPLIT)
def test_think_tags(text: str, parts: tuple[str, str]) -> None:
    assert split([text]) == parts
    assert split(list(text)) == parts
    for cut in range(len(text) + 1):
        assert split([text[:cut], text[cut:]]) == parts
