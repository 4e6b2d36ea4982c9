"""scenario.toml: each mistake has its file, its line and its key, before anything is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.harness.scenes import TOML, changed, lines, meta, scene

from exitdrill import tomlfile
from exitdrill.backend import Request
from exitdrill.drillable import Drillable, check
from exitdrill.errors import ScenarioError, UsageError, WorkloadError
from exitdrill.scenario import (
    BackendSpec,
    BudgetSpec,
    CheckerSpec,
    GateSpec,
    PriceSpec,
    Scenario,
    load,
)
from exitdrill.workload import Case, CaseList
from exitdrill_adapters.scripted import scripted

KEY = "sk-live-51Hq8x0PZ0secret"
PRICE = """
[backends.{arm}.price]
currency = "{currency}"
input_per_million = 1.0
output_per_million = 2.0
date = 2026-11-01
source = "a list"
"""
REMOTE = changed(
    '[backends.new]\nadapter = "scripted"\nmodel = "script"\noptions = { answers = "right.jsonl" }',
    '[backends.new]\nadapter = "openai"\nmodel = "m"\nendpoint = "https://api.example.com/v1"',
)


def mistake(folder: Path) -> UsageError:
    """What is said of the scenario in a folder."""
    with pytest.raises(UsageError) as caught:
        check(load(folder))
    return caught.value


def line_of(text: str, toml: str) -> int:
    """The line on which a text begins."""
    return toml[: toml.index(text)].count("\n") + 1


# --- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
        (b"", None, "is empty; `exitdrill init DIR`"),
        (b" \n\n", None, "is empty"),
        (b"\xef\xbb\xbf" + TOML.encode(), 1, "byte order mark"),
        (TOML.encode("utf-16"), 1, "not UTF-8"),
        (TOML.encode() + b"title = 'caf\xe9'\n", TOML.count("\n") + 1, "not UTF-8"),
        (TOML.encode() + b"title = \n", TOML.count("\n") + 1, "not valid TOML"),
        (TOML.encode() + b"[replay]\n", TOML.count("\n") + 1, "not valid TOML"),
        (b'title = """\nnever closed\n', 3, "not valid TOML"),
        (b"title = " + b"[" * 5_000, None, "nested too deeply"),
        (b"alpha = " + b"9" * 5_000, None, "not usable TOML"),
        (b"title = 'a\\ud800'\x00", 1, "not valid TOML"),
    ],
    ids=range(11),
)
def test_a_file_that_cannot_be_read(
    content: bytes, line: int | None, part: str, tmp_path: Path
) -> None:
    (tmp_path / "scenario.toml").write_bytes(content)
    error = mistake(tmp_path)
    assert (Path(str(error.path)).name, error.line) == ("scenario.toml", line)
    assert part in error.message


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nowhere", "no such folder, and no built-in scenario of that name"),
        ("a" * 300, "no such folder"),
        ("empty", "no such file"),
        ("folders", "is a directory"),
    ],
)
def test_a_place_without_a_scenario(name: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folders" / "scenario.toml").mkdir(parents=True)
    with pytest.raises(ScenarioError, match=part):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        *[("plain", "plain"), ("a b.c", "a-b-c"), ("_x", "x"), ("été", "ete"), ("測", "drill")],
        ("n" * 100, "n" * 64),
    ],
)
def test_a_scenario_is_called_like_its_folder(folder: str, name: str, tmp_path: Path) -> None:
    assert load(scene(tmp_path / folder)).name == name


def test_another_file_than_scenario_toml(tmp_path: Path) -> None:
    scene(tmp_path)
    other = tmp_path / "other.toml"
    other.write_text("\n\n" + changed('measure = "success"', 'measure = "sucess"'))
    error = mistake(other)
    assert error.path == other
    assert error.line == line_of("measure", TOML) + 2


# --- one thing wrong ----------------------------------------------------------------------------

# What to change, into what; the text that marks the line; the key; parts of the message.
MISTAKES: dict[str, tuple[str, str, str | None, str, list[str]]] = {
    "top": (
        "[workload]",
        "gate = 1\n[workload]",
        "gate = 1",
        "gate",
        ["unknown key", "'gates'"],
    ),
    "root": ("[workload]", 'root = "/"\n[workload]', "root", "root", ["unknown key"]),
    "source": ("[workload]", 'source = "/"\n[workload]', "source", "source", ["unknown key"]),
    "rot": ("[workload]", "rot = 1\n[workload]", "rot", "rot", ["known are alpha, app"]),
    "workload": ("requests =", "request =", "request =", "workload.request", ["'requests'"]),
    "checker": ('type = "exact"', 'typ = "exact"', "typ", "checkers.same.typ", ["'type'"]),
    "schema": (
        'type = "exact"',
        'type = "json_schema"\nschma = {}',
        "schma",
        "checkers.same.schma",
        ["'schema'"],
    ),
    "checker type": ('"exact"', '"exakt"', "type =", "checkers.same.type", ["'exact'"]),
    "checker setting": (
        '"exact"',
        '"exact"\npattern = "x"',
        "pattern",
        "checkers.same.pattern",
        ["has no such setting", "strip"],
    ),
    "bad pattern": (
        '"exact"',
        '"regex"\npattern = "("',
        "[checkers.same]",
        "checkers.same",
        ["not a regular expression"],
    ),
    "bad schema": (
        '"exact"',
        '"json_schema"\nschema = { type = "objekt" }',
        "[checkers.same]",
        "checkers.same",
        ["not a JSON Schema"],
    ),
    "no fields": (
        '"exact"',
        '"json_fields"\nfields = []',
        "[checkers.same]",
        "checkers.same",
        ["compares nothing"],
    ),
    "no function": (
        '"exact"',
        '"python"\npath = "right.jsonl"',
        "[checkers.same]",
        "checkers.same",
        ["needs path and function"],
    ),
    "no such path": (
        '"exact"',
        '"python"\npath = "judge.py"\nfunction = "f"',
        "path =",
        "checkers.same.path",
        ["there is no 'judge.py'"],
    ),
    "inline table": (
        'model = "script"\noptions = { answers = "right.jsonl" }\n\n[backends.new]',
        'model = "script"\noptions = {\tanswes = "right.jsonl" }\n\n[backends.new]',
        "options = {\t",
        "backends.old.options.answes",
        ["did you mean 'answers'"],
    ),
    "missing": ('incumbent = "old"', "", None, "incumbent", ["missing"]),
    "no candidates": ('["new"]', "[]", "candidates", "candidates", ["at least 1"]),
    "candidate a text": ('["new"]', '"new"', "candidates", "candidates", ["list"]),
    "nobody": ('["new"]', '["nev"]', "candidates", "candidates", ["no backend 'nev'", "'new'"]),
    "itself": ('["new"]', '["old"]', "candidates", "candidates", ["stand once"]),
    "twice": ('["new"]', '["new", "new"]', "candidates", "candidates", ["stand once"]),
    "bad name": (
        "[backends.new]",
        '[backends."new one"]',
        '[backends."new one"]',
        "backends.new one",
        ["match pattern"],
    ),
    "gate": ('"success"', '"succes"', "measure", "gates[0].measure", ["'success'", "ttft_p50"]),
    "margin": ("margin = 0.1", "margin = -1", "margin", "gates[0].margin", ["greater than"]),
    "margin nan": ("margin = 0.1", "margin = nan", "margin", "gates[0].margin", ["finite"]),
    "margin of 100 points": (
        "margin = 0.1",
        "margin = 1.0",
        "margin",
        "gates[0].margin",
        ["cannot fail", "below 1"],
    ),
    "limit of 0 %": (
        "margin = 0.1",
        "limit = 0",
        "limit",
        "gates[0].limit",
        ["cannot fail", "above 0"],
    ),
    "no bound": ("margin = 0.1", "", "[[gates]]", "gates[0]", ["either a margin"]),
    "two bounds": (
        "margin = 0.1",
        "margin = 0.1\nlimit = 1",
        "[[gates]]",
        "gates[0]",
        ["either a margin"],
    ),
    "margin on cost": (
        '"success"',
        '"cost_per_1000"',
        "measure",
        "gates[0].measure",
        ["give it a limit"],
    ),
    "utilisation": (
        "[backends.new]",
        '[backends.new.price]\ncurrency = "EUR"\nper_hour = 1\nutilisation = [0.8, 0.3]\n'
        'date = 2026-11-01\nsource = "s"\n[backends.new]',
        "[backends.new.price]",
        "backends.new.price",
        ["from the lower share to the higher"],
    ),
    "utilisation of one number": (
        "[backends.new]",
        '[backends.new.price]\ncurrency = "EUR"\nper_hour = 1\nutilisation = 0.5\n'
        'date = 2026-11-01\nsource = "s"\n[backends.new]',
        "utilisation = 0.5",
        "backends.new.price.utilisation",
        ["must be two shares", "[0.3, 0.8]"],
    ),
    "a currency's name": (
        "[backends.new]",
        '[backends.new.price]\ncurrency = "euro"\nper_hour = 1\n'
        'date = 2026-11-01\nsource = "s"\n[backends.new]',
        'currency = "euro"',
        "backends.new.price.currency",
        ["must be three capitals"],
    ),
    "band": (
        "[backends.new]",
        '[backends.new.price]\ncurrency = "EUR"\nper_hour = 1\nband = 25\n'
        'date = 2026-11-01\nsource = "s"\n[backends.new]',
        "band = 25",
        "backends.new.price.band",
        ["less than 1"],
    ),
    "no gate on a number": (
        '"success"',
        '"own_delay_p99"',
        "measure",
        "gates[0].measure",
        ["without an interval"],
    ),
    "second gate": (
        "[replay]",
        '[[gates]]\nname = "success"\nmeasure = "total_p95"\nmargin = 1\n[replay]',
        'name = "success"',
        "gates[1].name",
        ["two gates have this name"],
    ),
    "same gate": (
        "[replay]",
        '[[gates]] # again\nmeasure = "success"\nlimit = 0.5\n[replay]',
        "[[gates]] # again",
        "gates[1].name",
        ["two gates have this name"],
    ),
    "repeats": ("warmup = 0", "repeats = 1", "repeats", "replay.repeats", ["greater than"]),
    "dotted": (
        "[backends.new]",
        "[backends.new]\ntimeouts . gab = 1",
        "timeouts . gab",
        "backends.new.timeouts.gab",
        ["'gap'"],
    ),
    "swap without app": (
        "[[gates]]",
        "[swap.new]\nenvironment = { A = 'b' }\n[[gates]]",
        "[swap.new]",
        "swap",
        ["needs an [app]"],
    ),
    "swap of nobody": (
        "[[gates]]",
        "[app]\npath = '.'\n[swap.nev]\nenvironment = { A = 'b' }\n[[gates]]",
        "[swap.nev]",
        "swap.nev",
        ["not a candidate"],
    ),
    "empty swap": ("[[gates]]", "[swap.new]\n[[gates]]", "[swap.new]", "swap.new", ["needs a"]),
    "no app": ("[[gates]]", "[app]\n[[gates]]", "[app]", "app.path", ["there is no 'app'"]),
    "app outside": (
        "[[gates]]",
        "[app]\npath = '..'\n[[gates]]",
        "path = '..'",
        "app.path",
        ["leaves the scenario's folder"],
    ),
    "requests outside": (
        '"requests.jsonl"',
        '"../requests.jsonl"',
        "requests =",
        "workload.requests",
        ["leaves the scenario's folder"],
    ),
    "requests absolute": (
        '"requests.jsonl"',
        '"/etc/passwd"',
        "requests =",
        "workload.requests",
        ["leaves the scenario's folder"],
    ),
    "no requests": (
        '"requests.jsonl"',
        '"request.jsonl"',
        "requests =",
        "workload.requests",
        ["there is no 'request.jsonl'"],
    ),
    "no meta": (
        '"requests.jsonl"',
        '"requests.jsonl"\nmeta = "m.jsonl"',
        "meta =",
        "workload.meta",
        ["there is no 'm.jsonl'"],
    ),
    "default checker": (
        '"requests.jsonl"',
        '"requests.jsonl"\nchecker = "sam"',
        "checker =",
        "workload.checker",
        ["no such checker"],
    ),
    "adapter": (
        '[backends.new]\nadapter = "scripted"',
        '[backends.new]\nadapter = "skripted"',
        'adapter = "skripted"',
        "backends.new.adapter",
        ["no adapter 'skripted'", "scripted"],
    ),
    "edits": (
        "[backends.new]",
        "[backends.new]\nallow_edits = ['reject']",
        "allow_edits",
        "backends.new.allow_edits",
        ["rename, transform or drop"],
    ),
    "server and endpoint": (
        "[backends.new]",
        "[backends.new]\nendpoint = 'http://127.0.0.1'\nserver = { command = ['x'] }",
        "endpoint",
        "backends.new.endpoint",
        ["needs no endpoint"],
    ),
    "variable": (
        "[backends.new]",
        "[backends.new]\nkey_env = 'EXITDRILL_NOT_SET'",
        "key_env",
        "backends.new.key_env",
        ["EXITDRILL_NOT_SET is not set"],
    ),
    "budget": ("[replay]", "[budget]\n[replay]", "[budget]", "budget", ["at least one of"]),
    "money": ("[replay]", "[budget]\nmoney = 1\n[replay]", "[budget]", "budget", ["go together"]),
    "inf": ("[replay]", "[budget]\nmoney = inf\n[replay]", "money", "budget.money", ["finite"]),
    "nan in options": (
        "[backends.new]",
        "[backends.new]\ntimeouts = { gap = nan }",
        "timeouts",
        "backends.new.timeouts.gap",
        ["finite"],
    ),
    "a text that looks like a table": (
        "[workload]",
        'title = """\n[backends.new]\nmodel = 1\n"""\ngate = 1\n[workload]',
        "gate = 1",
        "gate",
        ["unknown key"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_one_mistake_has_its_line_and_its_key(name: str, tmp_path: Path) -> None:
    old, new, mark, key, parts = MISTAKES[name]
    toml = changed(old, new)
    error = mistake(scene(tmp_path / "s", toml=toml))
    assert (Path(str(error.path)).name, error.key) == ("scenario.toml", key)
    assert error.line == (None if mark is None else line_of(mark, toml))
    assert [part for part in parts if part not in error.message] == []
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("toml", "place", "line"),
    [
        ("a = 1\nb = 2", ["b"], 2),
        ("[a]\n[a.b]\nc = 1", ["a", "b", "c"], 3),
        ("[a.b]\nc = 1", ["a"], 1),
        ("[a.b]\nc = 1", ["a", "b", "d"], 1),
        ("[[a]]\nb = 1\n[[a]]\nb = 2", ["a", 1, "b"], 4),
        ("[[a]]\nb = 1\n[[a]]\nb = 2", ["a", 1, "c"], 3),
        ("x.y.z = 1", ["x", "y", "z"], 1),
        ("q = 1\nx.y.z = 1", ["x", "y", "w"], 2),
        ("[a]\nb = { c = 1 }", ["a", "b", "c"], 2),
        ("'a' = 1\n[ b . 'c' ] # [d]\ne = 1", ["b", "c", "e"], 3),
        ("a = '''\n[b]\nc = 1'''\n[b]\nc = 1", ["b", "c"], 5),
        ('a = "#" # """\n[b]\nc = """x""" # [d]\nd = 1', ["b", "d"], 4),
        ("a = 1", ["b"], None),
    ],
)
def test_lines_of_keys(toml: str, place: list[int | str], line: int | None) -> None:
    assert tomlfile.line_of(toml, place) == line
    assert tomlfile.undotted(tomlfile.dotted(place)) == place


# --- keys are secrets ---------------------------------------------------------------------------

PLACES_OF_KEYS = {
    "key_env": f"[backends.new]\nkey_env = '{KEY}'",
    "key_env in capitals": f"[backends.new]\nkey_env = '{'A1B2' * 8}'",
    "key_env of AWS": "[backends.new]\nkey_env = 'AKIAIOSFODNN7EXAMPLE'",
    "key_env with an end": f'[backends.new]\nkey_env = "{KEY.upper()}\\n"',
    "key": f"[backends.new]\nkey = '{KEY}'",
    "api_key": f"[backends.new]\napi_key = '{KEY}'",
    "options": f"[backends.new]\n# options\nkey_env = ['{KEY}']",
    "without quotes": f"[backends.new]\nkey_env = {KEY}",
    "in a list": f"[backends.new]\nallow_edits = ['{KEY}']",
    "as a number": f"[backends.new]\nconcurrency = '{KEY}'",
}


@pytest.mark.parametrize("name", PLACES_OF_KEYS)
def test_a_key_is_never_repeated(name: str, tmp_path: Path) -> None:
    toml = changed("[backends.new]", PLACES_OF_KEYS[name])
    error = mistake(scene(tmp_path / "s", toml=toml))
    said = f"{error} {error!r} {error.__cause__}"
    assert not [key for key in (KEY, KEY.upper(), "A1B2", "AKIA") if key in said]
    assert error.line == line_of(PLACES_OF_KEYS[name], toml) + PLACES_OF_KEYS[name].count("\n")


def test_a_key_is_not_repeated_to_a_script() -> None:
    with pytest.raises(ValidationError) as caught:
        BackendSpec(adapter="openai", model="m", key_env=KEY)
    assert "NAME of an environment variable" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("value", ["", "a real key"])
def test_variable_of_a_key(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXITDRILL_KEY", value)
    folder = scene(
        tmp_path / "s", toml=changed("[backends.new]", "[backends.new]\nkey_env = 'EXITDRILL_KEY'")
    )
    if value:
        check(load(folder))
    else:
        assert "is not set (or empty)" in mistake(folder).message


# --- paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["requests.jsonl", "meta.jsonl", "app", "patch", "judge.py"])
def test_a_link_out_of_the_scenario(name: str, tmp_path: Path) -> None:
    toml = changed(
        "[[gates]]",
        "[app]\n[swap.new]\npatch = 'patch'\n[checkers.j]\ntype = 'python'\n"
        "path = 'judge.py'\nfunction = 'judge'\n[[gates]]",
    )
    folder = scene(tmp_path / "s", toml=toml)
    (folder / "app").mkdir()
    (folder / "patch").write_text("")
    (folder / "judge.py").write_text("def judge(answer, expected):\n    return True\n")
    check(load(folder))
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    error = mistake(folder)
    assert "leaves the scenario's folder" in error.message
    assert Path(str(error.path)).name == "scenario.toml"


def test_a_link_within_the_scenario(tmp_path: Path) -> None:
    folder = scene(tmp_path / "s")
    (folder / "requests.jsonl").rename(folder / "recorded.jsonl")
    (folder / "requests.jsonl").symlink_to("recorded.jsonl")
    assert check(load(folder)).workload.size == 4


def test_a_link_to_nothing_is_not_no_meta(tmp_path: Path) -> None:
    folder = scene(tmp_path / "s")
    (folder / "meta.jsonl").unlink()
    (folder / "meta.jsonl").symlink_to("gone.jsonl")
    assert "there is no 'meta.jsonl'" in mistake(folder).message


@pytest.mark.parametrize("name", ["requests.jsonl", "meta.jsonl"])
def test_a_directory_in_a_file_s_place(name: str, tmp_path: Path) -> None:
    folder = scene(tmp_path / "s")
    (folder / name).unlink()
    (folder / name).mkdir()
    error = mistake(folder)
    assert isinstance(error, WorkloadError)
    assert "is a directory" in error.message
    assert Path(str(error.path)).name == name


def test_without_meta_nothing_is_expected(tmp_path: Path) -> None:
    folder = scene(tmp_path / "s")
    (folder / "meta.jsonl").unlink()
    assert [case.checker for case in check(load(folder)).workload] == [None] * 4


# --- budgets ------------------------------------------------------------------------------------

NO_LIMIT = lines([{
    "custom_id": "c0", "method": "POST", "url": "/v1/chat/completions",
    "body": {"messages": [{"role": "user", "content": "q0"}]},
}])  # fmt: skip
MONEY = '\n[budget]\nmoney = 5\ncurrency = "EUR"\n'


@pytest.mark.parametrize(
    ("toml", "key", "part"),
    [
        (REMOTE, "budget", "'new' is outside this machine"),
        (REMOTE + MONEY, "backends.new.price", "needs the price"),
        (
            REMOTE + MONEY + PRICE.format(arm="new", currency="USD"),
            "backends.new.price.currency",
            "the budget is in EUR",
        ),
        (
            TOML + MONEY + PRICE.format(arm="old", currency="USD"),
            "backends.old.price.currency",
            "one drill has one currency",
        ),
        (REMOTE + "\n[budget]\nrequests = 0\n", "budget.requests", "greater than 0"),
    ],
)
def test_bad_budgets(toml: str, key: str, part: str, tmp_path: Path) -> None:
    error = mistake(scene(tmp_path / "s", toml=toml))
    assert error.key == key
    assert part in error.message


@pytest.mark.parametrize(
    "budget",
    [
        "\n[budget]\nrequests = 100\n",
        "\n[budget]\ntokens = 100000\n",
        MONEY + PRICE.format(arm="new", currency="EUR"),
    ],
)
def test_good_budgets(budget: str, tmp_path: Path) -> None:
    check(load(scene(tmp_path / "s", toml=REMOTE + budget)))


@pytest.mark.parametrize(("what", "good"), [("requests", True), ("tokens", False)])
def test_a_request_without_a_limit(what: str, good: bool, tmp_path: Path) -> None:
    folder = scene(tmp_path / "s", toml=REMOTE + f"\n[budget]\n{what} = 1000\n")
    (folder / "requests.jsonl").write_text(NO_LIMIT)
    (folder / "meta.jsonl").write_text(lines([meta(0)]))
    if good:
        check(load(folder))
    else:
        assert "case 'c0' sets no max_tokens" in mistake(folder).message


@pytest.mark.parametrize(
    ("prices", "part"),
    [
        ({"per_hour": 1}, None),
        ({"input_per_million": 1, "output_per_million": 1}, None),
        ({"input_per_million": 1}, "needs input_per_million and output_per_million"),
        ({}, "needs input_per_million and output_per_million"),
        ({"per_hour": 1, "input_per_million": 1}, "not both"),
        ({"per_hour": -1}, "greater than or equal to 0"),
        ({"per_hour": float("nan")}, "finite"),
        ({"per_hour": 1e13}, "less than or equal to"),
        ({"per_hour": 1, "band": 0, "utilisation": [0.5, 0.5]}, None),
        ({"per_hour": 1, "band": 0.99, "utilisation": [0.01, 1]}, None),
        ({"per_hour": 1, "band": 1}, "less than 1"),
        ({"per_hour": 1, "band": -0.1}, "greater than or equal to 0"),
        ({"per_hour": 1, "band": float("nan")}, "finite"),
        ({"per_hour": 1, "utilisation": [0, 0.5]}, "greater than 0"),
        ({"per_hour": 1, "utilisation": [0.5, 1.1]}, "less than or equal to 1"),
        ({"per_hour": 1, "utilisation": [0.8, 0.3]}, "from the lower share to the higher"),
        ({"per_hour": 1, "utilisation": [0.5]}, "utilisation"),
        ({"per_hour": 1, "utilisation": 0.5}, "utilisation"),
        (
            {"input_per_million": 1, "output_per_million": 1, "utilisation": [0.3, 0.8]},
            "it needs per_hour",
        ),
    ],
)
def test_prices(prices: dict[str, Any], part: str | None) -> None:
    def price() -> PriceSpec:
        return PriceSpec.model_validate(
            {"currency": "EUR", "date": "2026-11-01", "source": "s"} | prices
        )

    if part is None:
        price()
    else:
        with pytest.raises(ValidationError, match=part):
            price()


def test_the_usual_band_of_a_price() -> None:
    named: dict[str, Any] = {"currency": "EUR", "date": date(2026, 11, 1), "source": "s"}
    hourly = PriceSpec(per_hour=1, **named)
    assert (hourly.band, hourly.utilisation) == (0.25, (0.3, 0.8))
    by_token = PriceSpec(input_per_million=1, output_per_million=1, **named)
    assert (by_token.band, by_token.utilisation) == (0.25, None)
    again = PriceSpec.model_validate(by_token.model_dump(mode="json"))
    assert again == by_token


# --- from Python --------------------------------------------------------------------------------


def python_scenario(
    case: Case | None = None, checker: Any = None, **changes: Any
) -> Callable[[], Drillable]:
    """A scenario written in Python, to be checked."""
    local = changes.pop("local", True)
    backend = BackendSpec(adapter=scripted(lambda _: "a0", local=local), model="m")
    request = Request("chat", {"messages": [{"role": "user", "content": "q0"}]})
    described: dict[str, Any] = {
        "name": "s",
        "incumbent": "old",
        "candidates": ["new"],
        "backends": {"old": backend, "new": backend},
        "workload": CaseList([case or Case("c0", request, checker="same", expected="a0")]),
        "checkers": {"same": checker or CheckerSpec(type="exact")},
        "gates": [GateSpec(measure="success", margin=0.1)],
        **changes,
    }
    return lambda: check(Scenario(**described))


CHAT = Request("chat", {"messages": [{"role": "user", "content": "q0"}]})


@pytest.mark.parametrize(
    ("scenario", "key", "part"),
    [
        (python_scenario(Case("c", CHAT, checker="x")), "checkers", "undeclared 'x'"),
        (python_scenario(Case("c", CHAT, expected="x")), "checkers", "names no checker"),
        (python_scenario(local=False), "budget", "'old' is outside this machine"),
        (python_scenario(candidates=["x"]), "candidates", "no backend 'x'"),
        (
            python_scenario(gates=[GateSpec(measure="x", limit=1)]),
            "gates[0].measure",
            "no measure",
        ),
    ],
)
def test_bad_scenarios_from_python(scenario: Callable[[], Drillable], key: str, part: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario()
    assert (caught.value.key, caught.value.path) == (key, None)
    assert part in caught.value.message


def test_good_scenarios_from_python(tmp_path: Path) -> None:
    drillable = python_scenario(checker=lambda reply, case: reply.text == case.expected)()
    assert drillable.workload.size == 1
    python_scenario(local=False, budget=BudgetSpec(requests=10))()
    assert list(drillable.backends) == ["old", "new"]


def test_a_scenario_is_loaded_from_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(tmp_path / "s")
    monkeypatch.chdir(tmp_path)
    here = load("s")
    monkeypatch.chdir("s")
    there = load(".")
    assert here.root == there.root == (tmp_path / "s").resolve()
    assert here.model_dump() == there.model_dump()
    assert os.fspath(tmp_path) not in str(here.model_dump())
