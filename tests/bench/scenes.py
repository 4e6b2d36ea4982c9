"""Scenario folders for the benchmarks: two arms, two repeats, no warm-up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

QUESTION = "Case {}: my parcel has not come and nobody answers the phone. What now?"
ARMS = ("before", "after")
TOPICS = ("billing", "delivery", "refund", "account", "outage", "contract", "order", "app")
"""The kinds of a scripted case."""
CHANGED, FENCED = 3, 7
"""The kinds that the candidate answers otherwise: with another priority, within a code fence."""
SCRIPTED = """
[backends.{name}]
adapter = "scripted"
model = "{name}"
concurrency = 64
options = {{ answers = "{name}.jsonl" }}
"""
ENDPOINT = """
[backends.{name}]
adapter = "openai"
model = "{name}"
endpoint = "{url}"
concurrency = {concurrency}
options = {{ vendor = "vllm" }}
"""
SCENARIO = """incumbent = "before"
candidates = ["after"]

[workload]
requests = "requests.jsonl"
{more}

[replay]
repeats = 2
warmup = 0
"""
JUDGED = """meta = "meta.jsonl"
checker = "fields"

[checkers.fields]
type = "json_fields"
fields = ["topic", "priority"]
fences = true

[[gates]]
measure = "success"
margin = 0.05
"""
Json = dict[str, Any]


def endpoint_drill(folder: Path, url: str, cases: int, concurrency: int) -> Path:
    """A drill whose arms are both one endpoint; returns its folder."""
    arms = (ENDPOINT.format(name=arm, url=url, concurrency=concurrency) for arm in ARMS)
    _write(folder, "".join(arms), (mail(number) for number in range(cases)))
    return folder


def scripted_drill(folder: Path, cases: int) -> Path:
    """A drill of scripted answers, some of which differ, that are judged; returns its folder."""
    arms = (SCRIPTED.format(name=arm) for arm in ARMS)
    _write(folder, JUDGED + "".join(arms), (ticket(number) for number in range(cases)))
    expected = (
        {"custom_id": f"case-{number}", "expected": answer(kind_of(number)), "tags": [topic]}
        for number in range(cases)
        for topic in [TOPICS[kind_of(number)]]
    )
    write_lines(folder / "meta.jsonl", expected)
    for arm in ARMS:
        lines = ({"user": ask(kind), "text": scripted(arm, kind)} for kind in range(len(TOPICS)))
        write_lines(folder / f"{arm}.jsonl", lines)
    return folder


# --- requests and answers -----------------------------------------------------------------------


def mail(number: int) -> Json:
    """The request of a case that goes to an endpoint; what it says last names the case."""
    system = {"role": "system", "content": "You answer the mail of a shop, in one sentence."}
    user = {"role": "user", "content": QUESTION.format(number)}
    return {"model": "m", "messages": [system, user], "max_tokens": 64, "temperature": 0}


def ticket(number: int) -> Json:
    """The request of a scripted case: what it says last is one of a few questions, so that the
    script stays small while no two requests are alike."""
    first = {"role": "user", "content": QUESTION.format(number)}
    said = {"role": "assistant", "content": "Which of our departments is it about?"}
    last = {"role": "user", "content": ask(kind_of(number))}
    return {"model": "m", "messages": [first, said, last], "max_tokens": 64, "temperature": 0}


def kind_of(number: int) -> int:
    """The kind of a scripted case."""
    return number % len(TOPICS)


def ask(kind: int) -> str:
    """What is asked last in cases of this kind."""
    return f"It is about {TOPICS[kind]}. Answer in JSON, please."


def answer(kind: int, priority: str = "high") -> Json:
    """The right answer to a case of this kind."""
    note = "The customer has waited for more than a week and wants to be called before noon."
    return {"topic": TOPICS[kind], "priority": priority, "reference": "AD930116", "note": note}


def scripted(arm: str, kind: int) -> str:
    """What an arm says to a case of this kind."""
    if arm == "after" and kind == CHANGED:
        return json.dumps(answer(kind, "low"))
    if arm == "after" and kind == FENCED:
        return f"```json\n{json.dumps(answer(kind))}\n```"
    return json.dumps(answer(kind))


# --- files --------------------------------------------------------------------------------------


def _write(folder: Path, more: str, bodies: Iterable[Json]) -> None:
    folder.mkdir(parents=True)
    (folder / "scenario.toml").write_text(SCENARIO.format(more=more))
    write_lines(folder / "requests.jsonl", map(_line, range(10**9), bodies))


def _line(number: int, body: Json) -> Json:
    place = {"method": "POST", "url": "/v1/chat/completions"}
    return {"custom_id": f"case-{number}", **place, "body": body}


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A file of JSON lines."""
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
