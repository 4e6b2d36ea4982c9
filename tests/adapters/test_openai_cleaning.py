"""No form of the key, and no half of it, stays in a text that a server chose."""

from __future__ import annotations

import base64
import html
import json
import random
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from exitdrill_adapters.openai.cleaning import (
    MAX_MESSAGE,
    Cleaner,
    beginning,
    finite,
    is_plain,
)

KEYS = [
    "sk-very-secret-0123456789",
    "sk-\"quoted\"-and-\\escaped\\-'twice'",
    "a/b+c==d&e<f>g?h%i",
    "two  words and   spaces",
    "hunter2!",
]


def cleaner(key: str) -> Cleaner:
    return Cleaner(SecretStr(key))


def forms(key: str) -> dict[str, str]:
    escaped = json.dumps(key)[1:-1]
    return {
        "plain": key,
        "JSON": escaped,
        "JSON in JSON": json.dumps(escaped)[1:-1],
        "JSON of PHP": escaped.replace("/", "\\/"),
        "JSON of Go": "".join(f"\\u{ord(c):04x}" if c in "<>&" else c for c in escaped),
        "JSON of .NET": "".join(
            f"\\u{ord(c):04x}" if c in "<>&'\"+`" else c for c in key.replace("\\", "\\\\")
        ),
        "repr": repr(key)[1:-1],
        "repr beside both quotes": repr(f"'\"{key}")[4:-1],
        "JSON in repr": repr(escaped)[1:-1],
        "repr in JSON": json.dumps(repr(key))[2:-2],
        "JSON, thrice": json.dumps(json.dumps(escaped)[1:-1])[1:-1],
        "URL": quote(key, safe=""),
        "path": quote(key),
        "query": quote_plus(key),
        "HTML": html.escape(key),
        "hex": key.encode().hex(),
    }


def holds(text: str, part: str) -> bool:
    """Whether a text holds a part of a key that says anything: four characters, escapes aside."""
    said = " ".join(part.replace("\\", "").split())
    return len(said) >= 4 and said in text.replace("\\", "")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("form", forms("x"))
def test_each_form_is_masked(key: str, form: str) -> None:
    written = forms(key)[form]
    text = cleaner(key).text(f'{{"said": "no {written} here"}}')
    assert written not in text
    assert " ".join(written.split()) not in text
    assert "[key]" in text
    assert text.startswith('{"said": "no ')


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("around", [("", ""), ("x:", ""), ("Bearer ", ""), ("key=", "&more")])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_masked(
    key: str, around: tuple[str, str], encode: Callable[[bytes], bytes]
) -> None:
    coded = encode(key.join(around).encode()).decode()
    text = cleaner(key).text(f"no {coded}")
    # What stood around the key may stay, with the two characters that share its bits, and padding.
    assert "[key]" in text
    assert len(text.removeprefix("no ").replace("[key]", "")) <= len("".join(around)) * 4 / 3 + 4


def test_base64_is_masked_where_it_was_cut() -> None:
    key = KEYS[0]
    coded = base64.b64encode(f"Bearer {key}".encode())
    for size in range(16, len(coded)):
        text = cleaner(key).text(beginning(b"no " + coded, 3 + size))
        assert len(text) <= len("no QmVhcmVyIH[key]…") + 2  # the last bits of the key, and padding


def test_case_does_not_help() -> None:
    assert cleaner(KEYS[0]).text(KEYS[0].upper()) == "[key]"
    assert cleaner("EMPTY").text("Empty messages") == "Empty messages"


def test_cleaned_first_and_cut_then() -> None:
    key = KEYS[0]
    for padding in range(MAX_MESSAGE - len(key) - 10, MAX_MESSAGE + 5):
        text = cleaner(key).text("x" * padding + key + "y" * 999)
        assert len(text) == MAX_MESSAGE
        assert "sk-" not in text


def test_what_was_cut_before_it_could_be_cleaned() -> None:
    for key in KEYS:
        for form in forms(key).values():
            for size in range(4, len(form)):
                raw = b"denied" + b" " * 300 + form.encode()
                text = cleaner(key).text(beginning(raw, 306 + size))
                assert not holds(text.removeprefix("denied "), form[:size]), (form, size)


def test_a_huge_text_is_cut_and_its_end_cleaned() -> None:
    key = KEYS[0]
    for left in range(4, len(key)):
        assert "sk-" not in cleaner(key).text(" " * (65_536 - left) + key + "x" * 10**6)


def test_what_was_not_cut_keeps_its_end() -> None:
    assert cleaner("test-key-0123").text("the owner is test") == "the owner is test"
    assert beginning(b"abcd", 4) == "abcd"
    assert beginning(b"abcde", 4) == "abcd…"


def test_one_line_and_no_half_characters() -> None:
    plain = Cleaner(None)
    assert plain.text("a\n\n  b") == "a b"
    assert plain.text("a \ud800 b") == "a ? b"
    assert plain.text("abcdef", 4) == "abc…"
    assert cleaner("x").text("x as it is") == "x as it is"


def test_whole_values() -> None:
    key = KEYS[0]
    value = {f"a {key}": [1, None, {"b": (key, f"c  {key}")}], "long": "x" * 999}
    expected = {"a [key]": [1, None, {"b": ["[key]", "c  [key]"]}], "long": "x" * 999}
    assert cleaner(key).value(value) == expected
    assert Cleaner(None).value(value)["long"] == "x" * 999


def test_numbers_that_json_does_not_have() -> None:
    nan, inf = float("nan"), float("inf")
    assert finite({"a": [nan, 1.5, -inf], "b": {"c": inf}, "d": 3}) == {
        "a": [None, 1.5, None],
        "b": {"c": None},
        "d": 3,
    }
    assert all(map(is_plain, ("a", 1, 1.5, True, -(2**53))))
    assert not any(map(is_plain, (None, [1], {}, nan, inf, 2**53 + 1)))


def test_random_cuts() -> None:
    rng = random.Random(11)
    for _ in range(300):
        key = "".join(rng.choices("abcABC019-_/+\"'\\ &%", k=rng.randint(12, 40))).strip()
        if len(key) < 12:
            continue
        form = rng.choice(list(forms(key).values()))
        filler = "z" * rng.randint(0, 20) + " " * rng.randint(0, 20)
        raw = f"{filler}{form}{filler}".encode()
        cut = rng.randint(1, len(raw))
        text = cleaner(key).text(beginning(raw, cut))
        shown = max(0, min(cut - len(filler), len(form)))
        assert not holds(text, form[:shown]), (key, form, cut)
