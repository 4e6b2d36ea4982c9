"""What a scenario says of how its app is run, and every mistake in it with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.harness.apps import (
    BY_COMMAND,
    COMMAND,
    SERVER,
    app_scenario,
    inputs,
    program,
    row_of,
)
from tests.harness.drills import Log

from exitdrill.app.copies import copy_of, environment_of, swap_of
from exitdrill.backend import Request
from exitdrill.drill import run
from exitdrill.drillable import check
from exitdrill.errors import UsageError
from exitdrill.judge.question import question_of
from exitdrill.plan import make_plan
from exitdrill.planning import lines
from exitdrill.scenario import Scenario, load
from exitdrill.workload import Case, CaseList

HEAD = """
incumbent = "old"
candidates = ["new"]
[backends.old]
adapter = "scripted"
model = "m"
options = { default = "x" }
[backends.new]
adapter = "scripted"
model = "n"
options = { default = "x" }
[workload]
meta = "meta.jsonl"
"""
RUN = """
[app.run]
command = ["{python}", "main.py"]
"""
ROW = {"custom_id": "c", "method": "POST", "url": "/app", "body": {"input": "q"}}
CHAT = {"messages": [{"role": "user", "content": "q"}], "max_tokens": 5}
RECORDED = ROW | {"url": "/v1/chat/completions", "body": CHAT}


def written(folder: Path, run: str = RUN, row: object = ROW, meta: object = None) -> Path:
    program(folder, {"main.py": COMMAND, "server.py": SERVER})
    meta = {"custom_id": "c", "tags": ["t"]} if meta is None else meta
    (folder / "scenario.toml").write_text(HEAD + run)
    (folder / "requests.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "meta.jsonl").write_text(json.dumps(meta) + "\n")
    return folder


def loaded(folder: Path, **more: object) -> Scenario:
    return load(written(folder, **more))  # type: ignore[arg-type]  # as the test says


@pytest.mark.parametrize("value", ["a text", 0, False, [1, {"a": None}], {"text": "ä"}])
def test_an_input_is_any_json_but_null(value: object, tmp_path: Path) -> None:
    alone = check(loaded(tmp_path / "alone", row=ROW | {"body": {"input": value}}))
    beside = check(loaded(tmp_path / "b", row=RECORDED, meta={"custom_id": "c", "input": value}))
    for drillable in (alone, beside):
        (case,) = drillable.workload
        assert (case.input, case.run.operation, case.run.body) == (value, "app", {"input": value})
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if case.request.operation == "app":
            assert question_of(case) == said, "what a judge is told"
    assert next(iter(beside.workload)).request.operation == "chat"


MISTAKES = {
    "an unknown key": (RUN + "tests = []\n", "app.run.tests", "did you mean 'test'"),
    "no way": ("[app.run]\ntimeout_seconds = 3\n", "app.run", "exactly one of command"),
    "two ways": (RUN + 'function = "main.py:f"\n', "app.run", "exactly one of command"),
    "no function": ('[app.run]\nfunction = "main"\n', "app.run.function", "a file of the app's"),
    "no such file": ('[app.run]\nfunction = "x.py:f"\n', "app.run.function", "no such file"),
    "a file outside": ('[app.run]\nfunction = "../x.py:f"\n', "app.run.function", "no such file"),
    "no path": ('[app.run]\nserve = ["x"]\n', "app.run", "needs a path"),
    "of a server": (RUN + 'ready = "/"\n', "app.run", "ready goes with serve only"),
    "python of a command": (RUN + 'python = "x"\n', "app.run", "with function only"),
    "a backend's name": (
        RUN + 'environment = { MODEL = "{old.model}" }\n',
        "app.run.environment.MODEL",
        "did you mean {incumbent.model}?",
    ),
    "the input in a command": (
        '[app.run]\ncommand = ["x", "{input}"]\n',
        "app.run.command",
        "an app gets the input on its standard input",
    ),
    "a port in a command": (
        '[app.run]\ncommand = ["x", "--port={port}"]\n',
        "app.run.command",
        "it goes with serve; there are {python}",
    ),
    "a port of nothing served": (
        RUN + 'environment = { PORT = "{port}" }\n',
        "app.run.environment.PORT",
        "it goes with serve; there are {incumbent.url}, ",
    ),
    "a model in a command": (
        '[app.run]\ncommand = ["x", "{incumbent.model}"]\n',
        "app.run.command",
        "give it in app.run.environment",
    ),
    "a word in the tests": (
        RUN + 'test = ["{pyhton}", "-m", "pytest"]\n',
        "app.run.test",
        "did you mean {python}?",
    ),
    "a stream's time": (
        RUN + '[[gates]]\nmeasure = "ttft_p50"\nmargin = 1\n',
        "gates[0].measure",
        "comes in one piece; total_p95 is",
    ),
    "no port": (
        '[app.run]\nserve = ["x", "port"]\npath = "/"\n',
        "app.run.serve",
        "put {port}",
    ),
    "several at once": (
        '[app.run]\nserve = ["x"]\npath = "/"\nconcurrency = 2\n',
        "app.run",
        "header = true",
    ),
    "open arrivals": (
        '[app.run]\nserve = ["x", "{port}"]\npath = "/"\n[replay]\narrivals = "open"\n',
        "replay.arrivals",
        "one at a time",
    ),
    "a key": (
        RUN + 'environment = { VENDOR_API_KEY = "sk-0123456789" }\n',
        "app.run.environment.VENDOR_API_KEY",
        "looks like a secret",
    ),
    "a key in a plain name": (
        RUN + '[swap.new]\nenvironment = { VENDOR = "sk-live-0123456789abcdef" }\n',
        "swap.new.environment.VENDOR",
        'app.run.pass = ["VENDOR"]',
    ),
    "the drill's own key": (
        RUN + 'environment = { OPENAI_API_KEY = "x" }\n',
        "app.run.environment.OPENAI_API_KEY",
        "leave it out: the drill gives the app its own",
    ),
    "a password in a URL": (
        RUN + 'environment = { DATABASE_URL = "postgres://u:hunter2pw@db/x" }\n',
        "app.run.environment.DATABASE_URL",
        'app.run.pass = ["DATABASE_URL"]',
    ),
    "a value for a name": (RUN + 'pass = ["A=b"]\n', "app.run.pass", "the NAMES of"),
    "nothing to pass": (RUN + 'pass = ["NOWHERE_SET"]\n', "app.run.pass", "NOWHERE_SET is not set"),
    "the drill's own": (RUN + 'pass = ["OPENAI_API_KEY"]\n', "app.run.pass", "of its gateway"),
    "set and passed": (
        RUN + 'pass = ["PATH"]\nenvironment = { PATH = "/x" }\n',
        "app.run.pass",
        "leave out one",
    ),
    "a place": (
        RUN + 'environment = { URL = "{incumbent.uri}" }\n',
        "app.run.environment.URL",
        "did you mean {incumbent.url}?",
    ),
    "a place in a swap": (
        RUN + '[swap.new]\nenvironment = { URL = "{candidate.ky}/x" }\n',
        "swap.new.environment.URL",
        "did you mean {candidate.key}?",
    ),
    "a gate without a run": (
        '[[gates]]\nmeasure = "model_calls"\nlimit = 3\n',
        "gates[0].measure",
        "give [app.run]",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_has_its_place(what: str, tmp_path: Path) -> None:
    run, key, said = MISTAKES[what]
    row = RECORDED if "gate" in what else ROW
    with pytest.raises(UsageError) as caught:
        check(loaded(tmp_path, run=run, row=row))
    assert (caught.value.key, caught.value.path) == (key, tmp_path / "scenario.toml")
    assert said in caught.value.message
    assert caught.value.line is not None


def test_braces_that_are_no_words_stay(tmp_path: Path) -> None:
    words = """["sh", "-c", 'echo ${HOME} {"a": 1} {} { print } {1}']"""
    table = """environment = { A = '{"a": {"b": 1}}', B = "${HOME}", C = "{incumbent.url}/x" }"""
    check(loaded(tmp_path, run=f"[app.run]\ncommand = {words}\n{table}\n"))


ROWS: dict[str, tuple[object, object, str, str]] = {
    "null": (ROW | {"body": {"input": None}}, None, "body", "no input is null"),
    "more": (ROW | {"body": {"input": 1, "model": "m"}}, None, "body", 'must be {"input"'),
    "null in meta": (RECORDED, {"custom_id": "c", "input": None}, "input", "must not be null"),
    "two": (ROW, {"custom_id": "c", "input": "r"}, "input", "case 'c' has one input in"),
    "none": (RECORDED, None, "app.run", "case 'c' has no input"),
}


@pytest.mark.parametrize("what", ROWS)
def test_every_case_needs_an_input(what: str, tmp_path: Path) -> None:
    row, meta, key, said = ROWS[what]
    with pytest.raises(UsageError) as caught:
        check(loaded(tmp_path, row=row, meta=meta))
    assert caught.value.key == key
    assert said in caught.value.message


def test_an_input_without_a_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"give \[app.run\]"):
        check(loaded(tmp_path, run=""))


def test_the_plan_fixes_how_the_app_is_run_and_the_app_itself(tmp_path: Path) -> None:
    folder = written(tmp_path)
    plan = make_plan(check(load(folder)))
    assert plan.document["app"]["command"] == ["{python}", "main.py"]
    assert plan.document["backends"]["old"]["concurrency"] == 1
    assert "a call still goes to the incumbent" in plan.document["vetoes"]
    said = "\n".join(lines(check(load(folder)), plan))
    assert "How many calls the app makes in a run, and what they cost, is not known" in said
    (folder / "app" / "main.py").write_text("print('another')\n")
    assert make_plan(check(load(folder))).sha256 != plan.sha256
    (folder / "app" / "node_modules").mkdir()
    (folder / "app" / "node_modules" / "x.js").write_text("")
    edited = make_plan(check(load(folder))).sha256
    (folder / "app" / "node_modules" / "x.js").write_text("//")
    assert make_plan(check(load(folder))).sha256 == edited, "installed packages are not the app's"


SERVED = '[app.run]\nserve = ["x", "{port}"]\npath = "/"\nheader = true\nconcurrency = 3\n'


@pytest.mark.parametrize(("backend", "at_once"), [(1, 1), (2, 2), (9, 3)])
def test_an_app_asks_a_backend_no_more_at_once_than_that_takes(
    backend: int, at_once: int, tmp_path: Path
) -> None:
    scenario = loaded(tmp_path, run=SERVED)
    old = scenario.backends["old"].model_copy(update={"concurrency": backend})
    backends = {**scenario.backends, "old": old}
    plan = make_plan(check(scenario.model_copy(update={"backends": backends})))
    assert plan.document["backends"]["old"]["concurrency"] == at_once
    assert plan.document["backends"]["new"]["concurrency"] == 3


ENVIRONMENTS = [
    # the app's own, the swap's, on the incumbent, what the swap changes
    ({}, {}, {"OPENAI_BASE_URL": "{incumbent.url}"}, {"OPENAI_BASE_URL": "{candidate.url}"}),
    ({"A": "{incumbent.url}"}, {}, {"A": "{incumbent.url}"}, {}),
    ({"A": "{candidate.url}"}, {}, {}, {"A": "{candidate.url}"}),
    ({"A": "1"}, {"A": "{candidate.model}"}, {"A": "1"}, {"A": "{candidate.model}"}),
    (
        {"OPENAI_BASE_URL": "{incumbent.url}"},
        {},
        {"OPENAI_BASE_URL": "{incumbent.url}"},
        {},
    ),
]


@pytest.mark.parametrize(("own", "swapped", "before", "changed"), ENVIRONMENTS)
def test_the_environment_of_both_arms(
    own: dict[str, str],
    swapped: dict[str, str],
    before: dict[str, str],
    changed: dict[str, str],
    tmp_path: Path,
) -> None:
    table = "".join(f'{name} = "{value}"\n' for name, value in own.items())
    run = f"{RUN}[app.run.environment]\n{table}"
    if swapped:
        run += "[swap.new.environment]\n" + "".join(f'{k} = "{v}"\n' for k, v in swapped.items())
    scenario = loaded(tmp_path, run=run)
    usual = {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
    assert shown(environment_of(scenario.app_run), usual - before.keys()) == before
    assert shown(swap_of(scenario, "new").environment, usual - changed.keys()) == changed


def shown(environment: object, without: set[str]) -> dict[str, str]:
    assert isinstance(environment, dict)
    return {name: value for name, value in environment.items() if name not in without}


def test_what_is_installed_is_linked_into_the_copy(tmp_path: Path) -> None:
    scenario = loaded(tmp_path / "s")
    app = tmp_path / "s" / "app"
    for folder in ("node_modules", "web/node_modules", ".venv", ".git"):
        (app / folder).mkdir(parents=True)
        (app / folder / "there").write_text("")
    (app / ".venv" / "pyvenv.cfg").write_text("")
    copy = copy_of(scenario, "new", tmp_path).path
    assert (copy / "node_modules").readlink() == app / "node_modules"
    assert (copy / ".venv" / "there").exists()
    assert not (copy / ".git").exists()
    assert not (copy / "web").is_symlink()


RECORDED_TWICE = {"messages": [{"role": "user", "content": "what the app said to its model"}]}
INPUTS = ["q1", "q1", {"a": 1, "b": 2}, {"b": 2, "a": 1}, "q2"]


@pytest.mark.parametrize("beside_a_request", [True, False])
def test_cases_with_one_input_are_the_same_request(beside_a_request: bool, tmp_path: Path) -> None:
    program(tmp_path, {"main.py": "print('x')"})
    cases = [
        Case(f"c{n}", Request("chat", RECORDED_TWICE | {"seed": n}), tags=(f"x:{n}",), input=value)
        if beside_a_request
        else Case(f"c{n}", Request("app", {"input": value}), tags=(f"x:{n}",))
        for n, value in enumerate(INPUTS)
    ]
    log = Log()
    scenario = app_scenario(
        tmp_path, BY_COMMAND, CaseList(cases), old=log.adapter(), new=log.adapter()
    ).model_copy(update={"clusters": "request", "gates": []})
    plan = make_plan(check(scenario)).document["clusters"]
    assert (plan["count"], plan["largest"]) == (3, 2)
    by_tag = scenario.model_copy(update={"clusters": "tag:x"})
    result = run(by_tag, out=tmp_path / "drill")
    assert any("only 3 distinct requests" in each for each in result.report["not_tested"])
    replayed = scenario.model_copy(update={"app": None})
    if beside_a_request:
        assert make_plan(check(replayed)).document["clusters"]["count"] == len(INPUTS)


def test_what_is_measured_knows_the_same_clusters(tmp_path: Path) -> None:
    program(tmp_path, {"main.py": COMMAND})
    log = Log()
    workload = inputs(*(f"q{n % 3}" for n in range(6)))
    scenario = app_scenario(
        tmp_path, BY_COMMAND, workload, old=log.adapter(), new=log.adapter()
    ).model_copy(update={"clusters": "request"})
    result = run(scenario, out=tmp_path / "drill")
    note = row_of(result, "drift", "success")["note"]
    assert "3 clusters" in note
