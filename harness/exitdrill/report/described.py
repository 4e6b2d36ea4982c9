"""What answered: every arm's weights, server and settings side by side, differences marked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exitdrill.report.text import shorten

HEAD = {
    "adapter": "adapter",
    "model": "model",
    "revision": "revision",
    "weights_sha256": "SHA-256 of the weights",
    "server": "server",
    "endpoint_host": "endpoint host",
}
FREE = ("sampling", "details")
NOT_KNOWN = "not known"
MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known of the arms: the incumbent's value, then each candidate's.

    ``differs`` says of each value whether it is known to be another than the incumbent's.
    """

    label: str
    values: tuple[str, ...]
    differs: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that adapters could find out; ``arms`` are the columns."""

    arms: tuple[str, ...]
    facts: tuple[Fact, ...]
    left_out: int


def comparison(data: Mapping[str, Any]) -> Comparison:
    """The descriptions of all arms, one row per thing that is known of any."""
    arms = [data["incumbent"], *data["candidates"]]
    facts = list(_facts([arm["description"] for arm in arms]))
    return Comparison(
        arms=tuple(arm["name"] for arm in arms),
        facts=tuple(facts[:MOST_ROWS]),
        left_out=max(0, len(facts) - MOST_ROWS),
    )


def plain(value: Any) -> str:
    """Any JSON value as text: a string as it is, words as a list, everything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return shorten("; ".join(value))
    return shorten(json.dumps(value, ensure_ascii=False, indent=2))


def _facts(found: list[Mapping[str, Any]]) -> Iterator[Fact]:
    for key, label in HEAD.items():
        yield _fact(label, [each[key] for each in found])
    for group in FREE:
        keys = dict.fromkeys(key for each in found for key in each[group])
        for key in keys:
            yield _fact(f"{group}: {key}", [each[group].get(key) for each in found])
        if not keys:
            yield _fact(group, [None] * len(found))


def _fact(label: str, values: list[Any]) -> Fact:
    texts = tuple(NOT_KNOWN if value in (None, "") else plain(value) for value in values)
    differs = (NOT_KNOWN not in (text, texts[0]) and text != texts[0] for text in texts)
    return Fact(label, texts, tuple(differs))
