"""Names that nobody bears: what makes a small model copy instead of memorise."""

# ruff: noqa: SIM905 (syllables as words)

from __future__ import annotations

import random

_ONSETS = (
    "b br c ch cl d dr f fl g gl gr h j k kl kn kr l m n p pl pr qu r s sch sh sk sl st str t th "
    "tr v w y z"
).split()
_VOWELS = "a e i o u a e i o u ai au ea ee ei ie oa oe ou ä ö ü é è á ó í".split()
_CODAS = (
    *("", "", ""),
    *"l m n r s t ck d ff g ld ll lm lt mm nd nn ng nt p rd rg rk rm rn rt sch ss st th".split(),
    *"tt tz x ß".split(),
)
_ENDINGS = (
    *("", "", "", ""),
    *"mann er berg son ski sen ez a o ini ova stein feld ton well ier ing".split(),
)


def syllables(rng: random.Random) -> str:
    """One to two syllables and often an ending, capitalised."""
    count = rng.choice((1, 1, 2, 2, 2))
    word = "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count)
    )
    return (word + rng.choice(_ENDINGS)).capitalize()


def letters(rng: random.Random) -> str:
    """Letters in no order at all: what makes copying the only way to be right."""
    alphabet = "aabcdeefghiijklmnoopqrstuuvwxyzäöüéøç"
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(3, 9))).capitalize()
