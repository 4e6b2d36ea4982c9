"""Whether a scenario's app can be run: every mistake is an error that names its place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from exitdrill.app.copies import USUAL
from exitdrill.app.places import FILLED, PLACE, WORD
from exitdrill.environment import looks_secret
from exitdrill.errors import ScenarioError
from exitdrill.keyshapes import is_key, password_in_url
from exitdrill.scenario import AppRunSpec, Scenario
from exitdrill.workload import Case, Workload


def check_app_run(scenario: Scenario, workload: Workload) -> None:
    """Raises `ScenarioError`."""
    run = scenario.app_run
    _check_inputs(run, workload)
    for key, environment in _environments(scenario):
        _check_environment(environment, key, run is not None)
    if run is None:
        return
    _check_passed(scenario, run)
    _check_port(run)
    _check_words(scenario, run)
    if run.function is not None:
        _check_module(scenario, run.function)
    if scenario.replay.arrivals == "open" and run.serve is not None and not run.header:
        raise ScenarioError(
            "open arrivals need several cases at once, and an app that is served takes one at a "
            "time unless it passes the header X-Exitdrill-Trial on (app.run.header)",
            key="replay.arrivals",
        )


def _check_inputs(run: AppRunSpec | None, workload: Workload) -> None:
    if run is not None:
        without = next((case for case in workload if case.input is None), None)
        if without is not None:
            raise ScenarioError(
                f"case {without.id!r} has no input for the app: give it one in the workload's "
                'meta (input), or as a request to "/app"',
                key="app.run",
            )
        return
    alone = next(_without_request(workload), None)
    if alone is not None:
        raise ScenarioError(
            f"case {alone.id!r} is an input for an app, but nothing says how to run the app: give "
            "[app.run]",
            key="app",
        )


def _without_request(workload: Workload) -> Iterator[Case]:
    return (case for case in workload if case.request.operation == "app")


def _environments(scenario: Scenario) -> Iterator[tuple[str, Mapping[str, str]]]:
    if scenario.app_run is not None:
        yield "app.run.environment", scenario.app_run.environment
    for name, swap in scenario.swap.items():
        yield f"swap.{name}.environment", swap.environment


def _check_environment(environment: Mapping[str, str], key: str, runs: bool) -> None:
    """What stands in the scenario is written to the plan, so no key may stand there."""
    for name, value in environment.items():
        place = f"{key}.{name}"
        if looks_secret(name) and not (runs and PLACE.fullmatch(value)):
            raise ScenarioError(_secret("looks like a secret", name, runs), key=place)
        if password_in_url(value):
            raise ScenarioError(_secret("holds a password", name, runs), key=place)
        if is_key(value):
            raise ScenarioError(_secret("holds a key", name, runs), key=place)


def _secret(what: str, name: str, runs: bool) -> str:
    if not runs:
        return f"{what}, and the plan would hold it"
    own = f'set {name} in your own environment and name it: app.run.pass = ["{name}"]'
    remedy = "leave it out: the drill gives the app its own" if name in USUAL else own
    return f"{what}, and the plan would hold it; {remedy}, or give it as {{incumbent.key}}"


def _check_words(scenario: Scenario, run: AppRunSpec) -> None:
    """No word in braces stays as it is: the app would get it so."""
    served = ["host", "port"] if run.serve is not None else []
    commands = {"command": run.command, "serve": run.serve, "test": run.test}
    commands |= {"install": run.install}
    for name, words in [*commands.items(), ("python", [run.python])]:
        known = ["python", *served] if name == "serve" else ["python"]
        for text in words or ():
            _check_text(scenario, text, known, f"app.run.{name}")
    for key, environment in _environments(scenario):
        for name, value in environment.items():
            _check_text(scenario, value, [*FILLED, *served], f"{key}.{name}")


def _check_text(scenario: Scenario, text: str, known: Sequence[str], key: str) -> None:
    unknown = next((found[1] for found in WORD.finditer(text) if found[1] not in known), None)
    if unknown is None:
        return
    said = ", ".join(f"{{{each}}}" for each in known)
    raise ScenarioError(
        f"{{{unknown}}} is not known here; {_meant(scenario, unknown, known)}there are {said} "
        "(braces with a blank inside stay as they are)",
        key=key,
    )


def _meant(scenario: Scenario, unknown: str, known: Sequence[str]) -> str:
    """A hint at what a word in braces may have been meant for."""
    if unknown == "input":
        return "an app gets the input on its standard input, or by POST; "
    if unknown in ("host", "port"):
        return "it goes with serve; "
    if unknown in FILLED:
        return "give it in app.run.environment; "
    first, _, rest = unknown.partition(".")
    role = "incumbent" if first == scenario.incumbent else "candidate"
    meant = f"{role}.{rest}" if first in scenario.arms else unknown
    nearest = get_close_matches(meant, known, n=1, cutoff=0.7)
    return f"did you mean {{{nearest[0]}}}? " if nearest else ""


def _check_port(run: AppRunSpec) -> None:
    told = [*(run.serve or ()), *run.environment.values()]
    if run.serve is not None and not any("{port}" in text for text in told):
        raise ScenarioError(
            "has to tell the app where to listen: put {port}, which the drill chooses, into the "
            "command or into app.run.environment",
            key="app.run.serve",
        )


def _check_passed(scenario: Scenario, run: AppRunSpec) -> None:
    """What the app gets of the drill's environment is there, and leads it past no gateway."""
    keys = {scenario.backends[name].key_env: name for name in scenario.called}
    for name in run.pass_:
        problem = None
        if name in USUAL:
            problem = f"the drill itself gives the app {name}, that of its gateway"
        elif name in keys:
            problem = (
                f"{name} holds the key of the backend {keys[name]!r}: the drill's gateway has it, "
                "and with it the app could go past the gateway, uncounted"
            )
        elif name in run.environment:
            problem = f"{name} is set in app.run.environment as well: leave out one of them"
        elif name not in os.environ:
            problem = f"the environment variable {name} is not set; the app is to get it"
        if problem:
            raise ScenarioError(problem, key="app.run.pass")


def _check_module(scenario: Scenario, function: str) -> None:
    assert scenario.app is not None
    app = (scenario.root / scenario.app.path).resolve()
    module = (app / function.partition(":")[0]).resolve()
    if not module.is_relative_to(app) or not module.is_file():
        raise ScenarioError("there is no such file in the app's folder", key="app.run.function")
