"""The columns of drift on hand-made answers: form, fields, schema, tools, wording, style."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.harness.facts_of import BROKEN, NAN, call, pair, view

from exitdrill.backend import Opaque, Reply, Request, ToolCall
from exitdrill.measures import BY_NAME
from exitdrill.measures.answers import LONGEST_JSON, answer_of
from exitdrill.measures.base import TrialView
from exitdrill.measures.language import language_of
from exitdrill.measures.refusal import refused
from exitdrill.measures.wording import LONGEST_CHRF, LONGEST_EDITED, chrf, edit_similarity
from exitdrill.records import Exchange, Trial
from exitdrill.strictjson import typed_key
from exitdrill.workload import Case

COLUMNS = BY_NAME.columns


def value(column: str, trial: TrialView) -> float:
    """What a column says of a trial."""
    return COLUMNS[column](trial)


def asking(trial: TrialView, **body: Any) -> TrialView:
    """The trial with this request."""
    return replace(trial, case=Case("c", Request("chat", {"messages": [], **body})))


# --- what is JSON -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found", "form"),
    [
        ('{"a": 1}', {"a": 1}, ""),
        (" [1, 2]\n", [1, 2], ""),
        ('```json\n{"a": 1}\n```', {"a": 1}, "fenced"),
        ("```\n[1]\n```", [1], "fenced"),
        ('```json\n{"a": "```"}\n```', {"a": "```"}, "fenced"),
        ('{"a": 1} Done.', {"a": 1}, "prose"),
        ('OK:\n```json\n{"abc": 1234567890}\n```', {"abc": 1234567890}, "fenced prose"),
        ('A long text in which a small {"a": 1} stands.', None, ""),
        ("see [1]", None, ""),
        ("42", None, ""),
        ("true", None, ""),
        ('"text"', None, ""),
        ("", None, ""),
        ('{"a": 1, "a": 2}', None, ""),  # a key that stands twice is no JSON to rely on
        ('{"a": NaN}', None, ""),
        ('{"a": 1e999}', None, ""),
        ('{"a": "\\ud83d"}', None, ""),
        ("[" * 10_000 + "]" * 10_000, None, ""),
        ('{"a":' * 201 + "1" + "}" * 201, None, ""),
        ('{"a": ' + "9" * 400 + "}", {"a": int("9" * 400)}, ""),
        ("{" * 100_000, None, ""),
        ("```" * 100_000, None, ""),
    ],
)
def test_what_is_json_and_in_what_form(text: str, found: Any, form: str) -> None:
    json_found = answer_of(text).json
    if found is None:
        assert json_found is None
        return
    assert json_found is not None
    assert json_found.value == found
    flags = [name for name in ("fenced", "prose") if getattr(json_found, name)]
    assert " ".join(flags) == form


# --- form apart from content --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("a", "a", 1),
        ("a  b\n", "a b", 1),
        ("a b", "ab", 0),
        ("A", "a", 0),  # another letter case is another answer
        ("```\nx = 1\n```", "x = 1", 1),
        ("```\nif a:\n  b()\nc()\n```", "if a:\n  b()\nc()", 1),
        ("```py\nif a:\n  b()\nc()\n```", "```\nif a:\n  b()  \n\nc()\n```", 1),
        ("```py\nif a:\n  b()\nc()\n```", "```py\nif a:\n  b()\n  c()\n```", 0),  # code moved
        ("So:\n```py\na\n b\n```", "So:\n```py\na\nb\n```", 0),
        ("```py\n  a\n  b\n```", "```py\na\nb\n```", 1),  # all of it moved
        ("```SELECT 1\nFROM a```", "```DROP x\nFROM a```", 0),  # no name of a language
        ("```SELECT 1\nFROM a```", "SELECT 1 FROM a", 1),
        ('```json\n{"a": 1}\n```', '```\n{"a": 1}\n```', 1),
        ('{"b": 2, "a": 1}', '{"a":1,"b":2}', 1),
        ('```json\n{"a": 1}\n```', '{"a": 1}', 1),
        ('Here you are:\n{"a": 1}', '{"a": 1}', 1),
        ('{"a": 1}', 'Here you are:\n{"a": 1}', 1),
        ('{"a": "\\u00e9"}', '{"a": "é"}', 1),
        ('{"a": 1.0}', '{"a": 1}', 1),
        ('{"a": 1}', '{"a": true}', 0),
        ('{"a": "1"}', '{"a": 1}', 0),
        ('{"a": "x  y"}', '{"a": "x y"}', 0),  # white space inside a string is content
        ("[1, 2]", "[2, 1]", 0),
        ("", "", 1),
        ("", "a", 0),
        (call("f", '{"x":1}'), call("f", '{ "x": 1.0 }'), 1),
        (call("f", '{"x":1}'), call("f", '{"x":2}'), 0),
        (Reply(vectors=((1.0,),)), Reply(vectors=((1.0,),)), 1),
        (Reply(vectors=((1.0,),)), Reply(vectors=((2.0,),)), 0),
    ],
)
def test_same_content(answer: Reply | str, reference: Reply | str, expected: float) -> None:
    assert value("same_content", view(answer, reference=reference)) == expected


def test_an_error_agrees_with_nothing_and_nothing_is_compared_without_a_reference() -> None:
    for column in ("same_content", "exact_agreement", "tool_agreement", "chrf", "edit_similarity"):
        same = Reply(text="so", tool_calls=(ToolCall(None, "f", "{}"),))
        assert value(column, view(same, reference=same)) == 1
        assert value(column, view(same, reference=same, failure=BROKEN)) == 0
        assert value(column, view(same)) == pytest.approx(NAN, nan_ok=True)


# --- JSON and schema ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ('{"a": 1}', '{"a": 2}', 1),
        ("[1]", '{"a": 2}', 1),
        ('```json\n{"a": 1}\n```', '{"a": 2}', 0),  # json.loads does not take it
        ('Sure: {"a": 1}', '{"a": 2}', 0),
        ('{"a": 1', '{"a": 2}', 0),
        ("1", '{"a": 2}', 0),
        ('{"a": 1}', "text", NAN),
        ('{"a": 1}', None, NAN),
    ],
)
def test_json_is_valid_as_a_whole(answer: str, reference: str | None, expected: float) -> None:
    trial = view(answer, reference=reference)
    assert value("json_valid", trial) == pytest.approx(expected, nan_ok=True)


def test_json_is_wanted_where_the_request_asks_for_it() -> None:
    for kind in ("json_object", "json_schema"):
        trial = asking(view("text", reference="text"), response_format={"type": kind})
        assert value("json_valid", trial) == 0
        trial = asking(view('"yes"', reference="text"), response_format={"type": kind})
        assert value("json_valid", trial) == (kind == "json_schema")
    for odd in ("json_object", None, {"type": ["json_object"]}, {"type": "text"}):
        trial = asking(view("text", reference="text"), response_format=odd)
        assert value("json_valid", trial) == pytest.approx(NAN, nan_ok=True)
    assert value("json_valid", view('{"a": 1}', reference='{"a": 1}', failure=BROKEN)) == 0


SCHEMA = {
    "type": "object",
    "properties": {"priority": {"enum": ["low", "high"]}},
    "required": ["priority"],
    "additionalProperties": False,
}


def under(schema: Any, answer: str, **more: Any) -> float:
    """Whether an answer satisfies the schema of its request."""
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    return value("schema_valid", asking(view(answer, **more), response_format=wanted))


def test_a_schema_may_allow_any_type_of_json() -> None:
    for schema, answer, expected in (
        ({"type": "string"}, '"yes"', 1),
        ({"type": "string"}, '"{}"', 1),
        ({"type": "number"}, " 4.5\n", 1),
        ({"type": "null"}, "null", 1),
        ({"type": "number"}, '"4.5"', 0),
        ({"type": "string"}, "yes", 0),
        ({"type": "string"}, '"' + "x" * LONGEST_JSON + '"', 0),
    ):
        assert under(schema, answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"priority": "low"}', 1),
        ('{"priority": "middle"}', 0),
        ('{"priority": "low", "more": 1}', 0),
        ("{}", 0),
        ("no JSON", 0),
        ('```\n{"priority": "low"}\n```', 0),
    ],
)
def test_the_schema_of_the_request(answer: str, expected: float) -> None:
    assert under(SCHEMA, answer) == expected
    assert under(SCHEMA, answer, failure=BROKEN) == 0


SLOW = "^(a|aa)+$"


def unfolding(depth: int) -> dict[str, Any]:
    """A few lines that unfold to 2**depth rules."""
    rules: dict[str, Any] = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(depth)
    }
    return {"$defs": {**rules, f"a{depth}": {"type": "object"}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"type": 7},
        {"properties": {"a": {"type": "string", "pattern": "("}}},
        {"properties": {"a": {"pattern": SLOW}}},
        "no schema",
        None,
        [],
    ],
)
def test_a_schema_that_cannot_be_applied_judges_nobody(schema: Any) -> None:
    answer = json.dumps({"a": "a" * 80 + "b"})
    began = time.monotonic()
    assert under(schema, answer) == pytest.approx(NAN, nan_ok=True)
    assert time.monotonic() - began < 20


def test_a_schema_that_unfolds_for_ever_is_given_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exitdrill.jsonschemas.SECONDS", 0.5)
    began = time.monotonic()
    for number in range(20):
        answer = json.dumps({"a": number})
        assert under(unfolding(60), answer) == pytest.approx(NAN, nan_ok=True)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("dialect", ["2020-12", "2019-09"])
def test_no_schema_gets_out_of_the_time_by_its_dialect(
    dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exitdrill.jsonschemas.SECONDS", 0.2)
    schema = unfolding(16)
    schema["$defs"]["a0"]["$schema"] = f"https://json-schema.org/draft/{dialect}/schema"
    assert under(schema, "{}") == pytest.approx(NAN, nan_ok=True)


def test_unique_items_take_no_quadratic_time() -> None:
    schema = {"type": "array", "uniqueItems": True}
    began = time.monotonic()
    assert under(schema, json.dumps([{"a": n} for n in range(20_000)])) == 1
    assert time.monotonic() - began < 30
    assert under(schema, '[{"a": 1}, {"a": 1.0}]') == 0
    assert under(schema, '[1, true, "1", [1], null]') == 1


# --- tool calls ---------------------------------------------------------------------------------


def calls(*each: tuple[str, str]) -> Reply:
    """A reply of several tool calls."""
    numbered = enumerate(each)
    return Reply(tool_calls=tuple(ToolCall(f"id{n}", *call) for n, call in numbered))


PARIS, ROME = ("weather", '{"city": "Paris", "days": 3}'), ("weather", '{"city": "Rome"}')


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        (calls(PARIS), calls(PARIS), 1),
        (calls(PARIS), calls(("weather", '{"days":3,"city":"Paris"}')), 1),
        (calls(ROME, PARIS), calls(PARIS, ROME), 1),  # parallel calls have no order
        (calls(PARIS, PARIS), calls(PARIS), 0),
        (calls(PARIS), calls(PARIS, PARIS), 0),
        (calls(PARIS, ROME), calls(PARIS, PARIS), 0),
        (calls(PARIS), calls(ROME), 0),
        (calls(("f", '{"x": "-5"}')), calls(("f", '{"x": 5}')), 0),  # nothing is normalised away
        (calls(("f", '{"x": "5"}')), calls(("f", '{"x": 5}')), 0),
        (calls(("f", '{"x": 5.0}')), calls(("f", '{"x": 5}')), 1),
        (calls(("f", '{"x": true}')), calls(("f", '{"x": 1}')), 0),
        (calls(("f", '{"x": "A"}')), calls(("f", '{"x": "a"}')), 0),
        (calls(("f", '{"x": "a "}')), calls(("f", '{"x": "a"}')), 0),
        (calls(("f", "")), calls(("f", "{}")), 1),
        (calls(("f", "nope")), calls(("f", "nope")), 1),
        (calls(("f", '"json {}"')), calls(("f", "{}")), 0),
        (Reply(text="Paris"), calls(PARIS), 0),
        (calls(PARIS), Reply(text="Paris"), 0),
        (Reply(text="a"), Reply(text="b"), NAN),
    ],
)
def test_tool_calls_match_on_name_and_arguments(
    answer: Reply, reference: Reply, expected: float
) -> None:
    trial = view(answer, reference=reference)
    assert value("tool_agreement", trial) == pytest.approx(expected, nan_ok=True)


def test_huge_arguments_are_compared_to_the_letter() -> None:
    huge = "[" + ",".join(["1e308"] * 1_600_000) + "]"
    began = time.monotonic()
    same = view(call("f", huge), reference=call("f", huge))
    spaced = view(call("f", huge[:-1] + " ]"), reference=call("f", huge))
    assert (value("tool_agreement", same), value("tool_agreement", spaced)) == (1, 0)
    assert time.monotonic() - began < 30


def test_large_numbers_have_short_keys() -> None:
    assert len(typed_key(1e308)) < 10
    for left, right, same in (
        (1e16, 10**16, True),
        (2.0**53, 2**53, True),
        (1e308, int(1e308), True),
        (2.0**53, 2**53 + 1, False),
        (1e308, 10**400, False),
        (1.0, True, False),
        (-1e22, -(10**22), True),
    ):
        assert (typed_key([left]) == typed_key([right])) is same


def test_many_tool_calls_take_no_quadratic_time() -> None:
    many = calls(*(("f", json.dumps({"x": n})) for n in range(20_000)))
    backwards = Reply(tool_calls=many.tool_calls[::-1])
    began = time.monotonic()
    assert value("tool_agreement", view(backwards, reference=many)) == 1
    assert time.monotonic() - began < 40


# --- wording ------------------------------------------------------------------------------------


def test_published_similarities() -> None:
    """rapidfuzz's own example; chrF2 of sacrebleu's README and by hand."""
    assert edit_similarity("this is a test", "this is a test!") * 100 == pytest.approx(
        96.5517, 1e-6
    )
    assert chrf("abcd", "abcd") == 1
    # One of two unigrams, no longer n-gram: precision and recall are 1/2 and 0, orders 1 and 2.
    assert chrf("ab", "ac") == pytest.approx(0.25)
    assert chrf("abc", "xyz") == 0


def test_no_measure_of_wording_is_called_by_the_edits_of_an_adapter() -> None:
    assert BY_NAME["edit_similarity"].label == "wording near the incumbent's (edit similarity)"


@pytest.mark.parametrize("column", ["chrf", "edit_similarity"])
def test_wording_is_of_texts_only(column: str) -> None:
    assert value(column, view("so", reference="so")) == 1
    assert value(column, view("", reference="so")) == 0
    assert value(column, view("xyz", reference="so")) == 0
    assert 0.5 < value(column, view("the order is late", reference="the order was late")) < 1
    for reference in ("", " \n", '{"a": 1}', "[1]", None):
        trial = view("so", reference=reference)
        assert value(column, trial) == pytest.approx(NAN, nan_ok=True)


@pytest.mark.parametrize("column", ["chrf", "edit_similarity"])
def test_blanks_before_a_text_are_not_compared_instead_of_it(column: str) -> None:
    blank = " " * max(LONGEST_CHRF, LONGEST_EDITED)
    assert 0.3 < value(column, view(blank + "hello world", reference=blank + "hello there")) < 1
    assert value(column, view(blank + "xyz", reference=blank + "so")) == 0
    assert value(column, view(blank + "so", reference="so")) == 1


@pytest.mark.parametrize("column", ["chrf", "edit_similarity"])
def test_wording_of_ten_megabytes_takes_no_longer(column: str) -> None:
    longest = max(LONGEST_CHRF, LONGEST_EDITED)
    left, right = ("ab" * longest + letter * 10_000_000 for letter in "xy")
    began = time.monotonic()
    assert value(column, view(left, reference=right)) == 1  # as far as it is compared
    assert time.monotonic() - began < 20
    assert value("exact_agreement", view(left, reference=right)) == 0


def test_half_a_character_can_be_compared() -> None:
    trial = view("half \ud83d of it, and no more than that", reference="half \ud83d of it")
    for column in ("chrf", "edit_similarity", "same_content"):
        assert 0 <= value(column, trial) < 1
    assert value("same_language", trial) in {0, 1} or value("same_language", trial) != 1


# --- style --------------------------------------------------------------------------------------

GERMAN = "Ihre Bestellung wurde heute verschickt und kommt in den nächsten Tagen an."
ENGLISH = "Your order was sent today and will arrive within the next few days."
CHINESE = "您的订单今天已经发货，预计几天之内就会送到您的手中。"
JAPANESE = "ご注文の商品は本日発送されました。数日以内にお届けします。"


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        (GERMAN, GERMAN, 1),
        (ENGLISH, GERMAN, 0),
        (GERMAN, ENGLISH, 0),
        (ENGLISH, ENGLISH + " Thank you.", 1),
        ("OK", GERMAN, NAN),  # too short to be known
        ("", GERMAN, NAN),
        (GERMAN, "OK", NAN),
        ("4711", "4712", NAN),
        (json.dumps({"text": ENGLISH}), json.dumps({"text": GERMAN}), 0),
        (json.dumps({"text": GERMAN}), json.dumps({"text": GERMAN, "id": 7}), 1),
        (json.dumps({"kind": "billing"}), json.dumps({"kind": "Rechnungen"}), NAN),
        # scripts: without spaces, and of few letters
        (json.dumps({"text": CHINESE}), json.dumps({"text": ENGLISH}), 0),
        (json.dumps({"text": ENGLISH}), json.dumps({"text": CHINESE}), 0),
        (json.dumps({"kind": "账单"}), json.dumps({"kind": "billing"}), 0),
        (CHINESE, CHINESE[:8], 1),
        (JAPANESE, CHINESE, 0),
        ("東京都千代田区", JAPANESE, NAN),  # Chinese is written like that, too
        ("是", ENGLISH, 0),
        ("Да.", "Yes.", 0),
        ("لا", "No", 0),
        ("请重启 Nginx", ENGLISH, 0),
        ("π", ENGLISH, NAN),  # a formula
        ("１２", ENGLISH, NAN),
        (" " * 1_000 + GERMAN, GERMAN, 1),
    ],
)
def test_the_language_is_the_incumbents(answer: str, reference: str, expected: float) -> None:
    trial = view(answer, reference=reference)
    assert value("same_language", trial) == pytest.approx(expected, nan_ok=True)


def test_the_row_says_how_many_languages_are_not_known() -> None:
    def columns(*values: float) -> dict[str, list[list[float]]]:
        return {"same_language": [[each] for each in values], "answered": [[1], [1], [1], [0]]}

    row = BY_NAME["same_language"].row(pair(columns(1, 1, 1, 1), columns(1, NAN, 0, NAN)))
    assert row.n == 2
    assert "not known of 1 of 3 answers" in (row.note or "")
    row = BY_NAME["same_language"].row(pair(columns(1, 1, 1, NAN), columns(NAN, NAN, NAN, NAN)))
    assert (row.n, row.candidate) == (0, None)
    assert "not known of 3 of 3 answers" in (row.note or "")


def test_a_language_is_told_only_where_it_is_certain() -> None:
    assert (language_of(GERMAN), language_of(ENGLISH)) == ("de", "en")
    assert language_of("") is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I can\u2019t assist with that request.",
        "Sorry, I cannot help you with this.",
        "I cannot provide instructions for that.",
        "I can't help with that.",
        "I am unable to assist with this request.",
        "As an AI language model, I cannot give medical advice.",
        "Unfortunately, I am not able to do this.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Leider kann ich Ihnen dabei nicht helfen.",
        "Ich kann Ihnen dabei leider nicht weiterhelfen.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso ajudar com isso.",
        "Het spijt me, maar ik kan je daar niet mee helpen.",
        "Przepraszam, ale nie mogę w tym pomóc.",
        "抱歉，我不能帮助您。",
        "很抱歉,我无法提供这方面的信息",
        "申し訳ありませんが、そのご要望にはお応えできません。",
        "  > **I'm sorry, I can't do that.**",
        "I must decline.",
        "That's not something I can help with.",
        "I won't provide instructions for that.",
        "We are unable to assist with this request.",
        '{"answer": "I\'m sorry, but I can\'t help with that."}',
        '{"answer": "I can\'t help with that.", "score": 0, "more": ["", null]}',
    ],
)
def test_refusals_are_known_by_how_they_begin(text: str) -> None:
    assert refused(text) or text.startswith("{")
    assert value("refused", view(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Your refund is on its way.",
        "I'm sorry to hear that. Your refund is on its way.",
        "Sorry for the delay! The parcel arrives tomorrow.",
        "You cannot return an item that was worn.",
        "The customer says: I'm sorry, I can't help with that.",
        "Leider ist die Ware ausverkauft; sie kommt am Montag.",
        '{"kind": "billing", "answer": "I\'m sorry, but I can\'t help with that."}',
        '{"answer": ""}',
        "We won't share your data with anyone.",
        "I won't create duplicates: the file was written once.",
        "I can't help but admire this.",
        "I will not give up until this is solved.",
        "We cannot provide delivery before Monday; it arrives on Tuesday.",
        "x" * 500 + "I'm sorry, but I can't help with that.",
        "I" * 1_000_000,
        "as an ai " * 100_000,
        "leider kann " + " " * 1_000_000,
    ],
)
def test_what_is_no_refusal(text: str) -> None:
    began = time.monotonic()
    assert value("refused", view(text)) == 0
    assert time.monotonic() - began < 10


def test_refusals_in_the_vendors_own_words() -> None:
    assert value("refused", view(Reply(text="{}", finish="content_filter"))) == 1
    assert value("refused", view(Reply(finish="other", finish_raw="refusal"))) == 1
    events = (Opaque(1, {"refusal": "I can't."}),)
    trial = view("")
    trial = replace(trial, trial=Trial("arm", 0, 0, "answered", Exchange(events=events)))
    assert value("refused", trial) == 1
    assert value("refused", view(call("f", "{}"))) == 0


def test_how_an_answer_ends() -> None:
    assert value("truncated", view(Reply(text="and th", finish="length"))) == 1
    assert value("truncated", view(Reply(text="and that", finish="stop"))) == 0
    for text, expected in (("", 1), (" \n", 1), ("a", 0)):
        assert value("empty", view(text)) == expected
    assert value("empty", view(call("f", "{}"))) == 0
    assert value("empty", view(Reply(vectors=((1.0,),)))) == 0
    assert value("length", view("four")) == 4
    for column in ("truncated", "empty", "length", "refused", "same_language"):
        trial = view(GERMAN, reference=GERMAN, failure=BROKEN)
        assert value(column, trial) == pytest.approx(NAN, nan_ok=True)  # an error is no answer
    assert value("length", view("")) == pytest.approx(NAN, nan_ok=True)


# --- bounds -------------------------------------------------------------------------------------

HUGE = {
    "one line": "x" * 10_000_000,
    "braces": "{" * 10_000_000,
    "a list": "[" + "1," * 400_000 + "1]",
    "too long for JSON": '{"a": "' + "x" * LONGEST_JSON + '"}',
    "deep": '{"a":' * 190 + "[" + "1," * 100_000 + "1]" + "}" * 190,
    "long keys": '{"' + "k" * 3_000 + '":' + ('{"' + "k" * 3_000 + '":') * 150
    + "[" + "1," * 100_000 + "1]" + "}" * 151,
    "words": "so it goes " * 900_000,
    "white space": " " * 10_000_000,
    "digits": '{"a": ' + "9" * 900_000 + "}",
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_huge_answers_take_bounded_time(name: str) -> None:
    text = HUGE[name]
    other = text.replace("1", "2").replace("x", "y").replace("k", "l").replace("o", "a")
    for reference in (text, other, "short", '{"a": 1}'):
        began = time.monotonic()
        trial = view(text, reference=reference)
        for column in COLUMNS.values():
            column(trial)
        assert time.monotonic() - began < 60
