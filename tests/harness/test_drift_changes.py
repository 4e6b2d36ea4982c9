"""What changed in an answer: the list of changes of hand-made pairs of answers."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.harness.facts_of import BROKEN, call, view
from tests.harness.test_drift import ENGLISH, GERMAN, HUGE, SCHEMA, asking, calls

from exitdrill.backend import Opaque, Reply, ToolCall
from exitdrill.measures import BY_NAME
from exitdrill.measures.changes import LONGEST, changes
from exitdrill.measures.differences import MOST_TOLD, differences
from exitdrill.records import Exchange, Trial

SORRY = "I'm sorry, but I can't help with that."


def labels(answer: Reply | str, reference: Reply | str) -> list[str]:
    """The changes as words, those of form in brackets."""
    found = changes(view(answer, reference=reference))
    return [f"({each.label})" if each.form else each.label for each in found]


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("so", "so", []),
        ("", "", []),
        # JSON: fields
        ('{"priority": "high"}', '{"priority": "low"}', ["priority: another value"]),
        ('{"a": 1, "b": 2}', '{"a": 1}', ["b: missing"]),
        ('{"a": 1}', '{"a": 1, "b": {"c": [2]}}', ["b: added"]),
        ('{"a": 1}', '{"a": "1"}', ["a: another type"]),
        ('{"a": true}', '{"a": 1}', ["a: another type"]),
        ('{"a": null}', '{"a": "x"}', ["a: another value"]),
        ('{"a": {"b": 1}}', '{"a": {}}', ["a/b: missing"]),
        ('{"a": [1, 2]}', '{"a": {}}', ["a: another type"]),
        ('{"i": [{"p": 1}, {"p": 2}]}', '{"i": [{"p": 3}, {"p": 4}]}', ["i/*/p: another value"]),
        ('{"i": [1]}', '{"i": [1, 2, 3]}', ["i/*: added"]),
        ('{"a/b": {"c~": 1}}', '{"a/b": {"c~": 2}}', ["a~1b/c~0: another value"]),
        ("[1]", '{"a": 1}', ["the whole answer: another type"]),
        ('{"a": 1, "b": 2}', '{"b": 3, "a": 4}', ["a: another value", "b: another value",
                                                   "(JSON: keys in another order)"]),
        # JSON: form
        ('{"a":1}', '```json\n{"a":1}\n```', ["(JSON in a code fence)"]),
        ('```json\n{"a":1}\n```', '{"a":1}', ["(JSON no longer in a code fence)"]),
        ('{"a":1}', 'Sure: {"a":1}', ["(prose around the JSON)"]),
        ('Sure: {"a":1}', '{"a":1}', ["(no prose around the JSON any more)"]),
        ('{"a":1}', '{"a": 1}', ["(JSON: other white space)"]),
        ('{"a":1}', '{"a":1}\n', ["(JSON: other white space)"]),
        ('{"a":1,"b":2}', '{"b":2,"a":1}', ["(JSON: keys in another order)"]),
        ('{"a":"é"}', '{"a":"\\u00e9"}', ["(JSON: strings or numbers spelled in another way)"]),
        ('{"a":1}', '{"a":1.0}', ["(JSON: strings or numbers spelled in another way)"]),
        ('{"a":1}', '```\n{"a":2}\n```', ["a: another value", "(JSON in a code fence)"]),
        ('```json\n{"a":1}\n```', '```\n{"a":1}\n```', ["(JSON: another word on the code fence)"]),
        # JSON or not
        ('{"a": 1}', "The value is 1.", ["no JSON"]),
        ("The value is 1.", '{"a": 1}', ["JSON instead of text"]),
        ('{"a": 1}', SORRY, ["a refusal", "no JSON"]),
        # texts
        ("billing", "shipping", ["another wording"]),
        ("billing", "Billing", ["another letter case"]),
        ("a  b", "a b", ["(text: other white space)"]),
        ("x = 1", "```\nx = 1\n```", ["(text in a code fence)"]),
        ("```\nx = 1\n```", "```py\nx = 1\n```", ["(text: another word on the code fence)"]),
        ("```\na\n b\n```", "```\na\nb\n```", ["code indented in another way"]),
        ("```SELECT 1\nFROM a```", "```DROP x\nFROM a```", ["another wording"]),
        ("so", "", ["empty"]),
        ("", "so", ["not empty any more"]),
        ("so", "so " * 100, ["another wording", "more than twice as long"]),
        ("so " * 100, "so", ["another wording", "less than half as long"]),
        ("Your order.", SORRY, ["a refusal", "another wording"]),
        (SORRY, "Your order.", ["no refusal any more", "another wording"]),
        (GERMAN, ENGLISH, ["another language: en instead of de", "another wording"]),
        ("Yes", "是", ["another language: Han or kana script instead of Latin script",
                       "another wording"]),
        ('{"a": "Yes"}', json.dumps({"a": SORRY}), ["a refusal", "a: another value"]),
        # how it ended
        (Reply(text="a b", finish="stop"), Reply(text="a", finish="length"),
         ["answer cut off (length)", "another wording"]),
        (Reply(text="a", finish="length"), Reply(text="a", finish="stop"),
         ["no longer cut off (length)"]),
        (Reply(text="a", finish="stop"), Reply(text="a", finish="tool_calls"),
         ["finish reason: tool calls instead of stop"]),
        # tool calls
        (call("f", '{"x":1}', "1"), call("f", '{"x":1}', "2"), []),
        (call("f", '{"x":1}'), call("f", '{"x": 1}'), ["(tool calls written in another way)"]),
        (calls(("f", "{}"), ("g", "{}")), calls(("g", "{}"), ("f", "{}")),
         ["(tool calls written in another way)"]),
        (call("f", '{"x":5}'), call("f", '{"x":"-5"}'), ["f, x: another type"]),
        (call("f", '{"x":1}'), call("f", '{"y":1}'), ["f, x: missing", "f, y: added"]),
        (call("f", "{}"), call("g", "{}"), ["f: not called", "g: called in addition"]),
        (call("f", "{}"), call("f", "{"), ["f: arguments are no JSON object"]),
        (call("f", "{}"), Reply(text="So."), ["text that was not there", "f: not called"]),
        (call("f", "{}"), Reply(text="so", tool_calls=(ToolCall(None, "f", "{}"),)),
         ["text that was not there"]),
        # vectors
        (Reply(vectors=((1.0, 2.0),)), Reply(vectors=((1.0, 2.5),)), ["another vector"]),
        (Reply(vectors=((1.0, 2.0),)), Reply(vectors=((1.0,),)), ["a vector of another length"]),
    ],
)  # fmt: skip
def test_changes_in_words(reference: Any, answer: Any, expected: list[str]) -> None:
    assert labels(answer, reference) == expected


def test_a_change_says_where_and_what_stood_there() -> None:
    (change,) = changes(view('{"a": [{"b": "x"}]}', reference='{"a": [{"b": "y"}]}'))
    assert (change.kind, change.where) == ("field_changed", "/a/*/b")
    assert (change.before, change.after) == ('"y"', '"x"')
    (change,) = changes(view(call("f", '{"x": 2}'), reference=call("f", '{"x": 1}')))
    assert (change.kind, change.where) == ("tool_arguments", "f")
    assert (change.before, change.after) == ("1", "2")


def test_an_error_is_one_change_and_two_errors_are_none() -> None:
    (change,) = changes(view("half an", reference="an answer", failure=BROKEN))
    assert (change.kind, change.label) == ("error", "no answer: server")
    assert (change.before, change.after) == ("an answer", "it broke")
    assert changes(view("", failure=BROKEN)) == []
    assert changes(view("an answer")) == []


def test_a_refusal_in_the_vendors_own_message_is_a_change() -> None:
    """It stands in the events of a trial; whether the incumbent's had one, only its trial tells."""
    exchange = Exchange(events=(Opaque(1, {"refusal": "I can't."}),))
    trial = replace(view("", reference="hello"), trial=Trial("arm", 0, 0, "answered", exchange))
    assert [each.label for each in changes(trial)] == ["a refusal", "empty"]
    assert [each.label for each in changes(trial, refused=True)] == ["empty"]
    told = changes(view("hello", reference=""), refused=True)
    assert [each.label for each in told] == ["no refusal any more", "not empty any more"]


def test_a_broken_schema_is_a_change_of_its_own() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
    trial = view('{"priority": "urgent"}', reference='{"priority": "low"}')
    kinds = [each.kind for each in changes(asking(trial, response_format=wanted))]
    assert kinds == ["field_changed", "schema"]
    fine = view('{"priority": "high"}', reference='{"priority": "low"}')
    kinds = [each.kind for each in changes(asking(fine, response_format=wanted))]
    assert kinds == ["field_changed"]


def test_long_texts_are_shown_from_where_they_begin_to_differ() -> None:
    same = "so it goes " * 1_000
    (change,) = changes(view(same + "right " * 99, reference=same + "wrong " * 99))
    assert change.before.startswith("…")
    assert "wrong wrong" in change.before
    assert "right right" in change.after
    assert max(len(change.before), len(change.after)) <= LONGEST


PARTS = ['"a"', '"b"', "1", "1.0", "true", "null", "{}", "[]", "[1, 2]", "[2, 1]", '{"k": 1}']
WRAPS = ["{}", "```json\n{}\n```", "```\n{}\n```", "Here:\n{}", " {} "]
TEXTS = ["", " ", "so", "So", "so it goes", "so  it goes", "```\nso\n```", "{", "[1", "no, [1]",
         "```py\nso\n```", "```so it\ngoes```", "```\nso\n it\ngoes\n```", "```\nso\nit\ngoes\n```",
         "so\n```\n so\nso\n```", "so\n```\nso\nso\n```"]  # fmt: skip


def said(chance: random.Random) -> Reply:
    """Some answer."""
    text = chance.choice(TEXTS)
    if chance.random() < 0.7:
        names = chance.sample("abc", chance.randint(0, 3))
        inner = ", ".join(f'"{name}": {chance.choice(PARTS)}' for name in names)
        text = chance.choice(WRAPS).replace("{}", "{" + inner + "}", 1)
    arguments = [f'{{"x": {part}}}' for part in PARTS] + ["", "nope"]
    made = [ToolCall(None, chance.choice("fg"), chance.choice(arguments)) for _ in "12"]
    return Reply(text=text, tool_calls=tuple(made[: chance.choice((0, 0, 1, 2))]))


@pytest.mark.parametrize("seed", range(5))
def test_changes_and_measures_tell_one_story(seed: int) -> None:
    """What differs to the letter has a change, and one of content only where the content does."""
    chance = random.Random(seed)
    for _ in range(2_000):
        trial = view(said(chance), reference=said(chance))
        found = changes(trial)
        exact = BY_NAME.columns["exact_agreement"](trial)
        content = BY_NAME.columns["same_content"](trial)
        assert bool(found) == (exact == 0), (trial.reply, trial.reference, found)
        assert all(each.form for each in found) == (content == 1), (trial.reply, trial.reference)


# --- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HUGE)
def test_huge_answers_have_few_short_changes_in_bounded_time(name: str) -> None:
    text = HUGE[name]
    other = text.replace("1", "2").replace("x", "y").replace("k", "l").replace("o", "a")
    for answer, reference in ((text, other), (text, "short"), ('{"a": 1}', text), (text, "[1]")):
        began = time.monotonic()
        found = changes(view(answer, reference=reference))
        assert time.monotonic() - began < 40
        assert len(found) <= MOST_TOLD + 10
        for each in found:
            strings = (each.label, each.where or "", each.before, each.after)
            assert max(map(len, strings)) <= LONGEST


def test_many_differing_places_are_told_in_part() -> None:
    left = {f"k{n}": n for n in range(100_000)}
    right = {f"k{n}": n + 1 for n in range(100_000)}
    began = time.monotonic()
    assert len(differences(left, right)) == MOST_TOLD + 1
    assert len(differences(list(left.values()), list(right.values()))) == 1
    deep: Any = (left, right)
    for _ in range(190):
        deep = {"k" * 50: deep[0]}, {"k" * 50: deep[1]}
    assert [each.kind for each in differences(*deep)] == ["field_changed"]  # all of one pointer
    assert time.monotonic() - began < 20


def test_a_long_list_hides_nothing_that_comes_after_it() -> None:
    found = labels(*(json.dumps({"a": [n] * 10_000, "last": n}) for n in (1, 2)))
    assert found == ["a/*: another value", "last: another value"]


def test_what_is_not_looked_at_any_more_is_a_change_too() -> None:
    def fields(count: int, value: int) -> str:
        return json.dumps({f"k{n}": value for n in range(count)})

    more = "more changes than are looked at"
    assert more not in labels(fields(MOST_TOLD, 1), fields(MOST_TOLD, 2))
    found = changes(view(fields(MOST_TOLD + 1, 1), reference=fields(MOST_TOLD + 1, 2)))
    assert len(found) == MOST_TOLD + 1
    assert (found[-1].kind, found[-1].where, found[-1].label) == ("field_changed", None, more)
    arguments = (call("f", fields(MOST_TOLD + 1, value)) for value in (1, 2))
    assert labels(*arguments)[-1] == more
    many = [calls(*((f"f{n}", f"[{value}]") for n in range(MOST_TOLD + 1))) for value in (1, 2)]
    assert labels(*many)[-1] == more
    few = [calls(*((f"f{n}", f"[{value}]") for n in range(MOST_TOLD))) for value in (1, 2)]
    assert more not in labels(*few)


def test_hostile_tools_are_cut() -> None:
    name = "</script>" * 1_000
    many = calls(*((f"{n}{name}", "x" * 10_000) for n in range(2_000)))
    found = changes(view(many, reference="so"))
    assert len(found) <= MOST_TOLD + 2
    assert max(len(each.label) for each in found) <= LONGEST
    assert max(len(each.where or "") for each in found) <= LONGEST


def test_deep_values_differ_without_recursion_errors() -> None:
    deep = '{"a":' * 199 + "{}" + "}" * 199
    assert labels(deep, deep.replace("{}", '{"b":1}')) != []
    too_deep = json.dumps({"a": 1}).replace("1", "[" * 5_000 + "]" * 5_000)
    assert labels(too_deep, '{"a": 1}') == ["no JSON"]
