"""Whether a scenario's app can be run: every mistake is an error that names its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from exitdrill.app.places import KNOWN, PLACE
from exitdrill.environment import looks_secret
from exitdrill.errors import ScenarioError
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
            raise ScenarioError("looks like a secret, and the plan would hold it", key=place)
        for found in PLACE.finditer(value) if runs else ():
            if found[2] not in KNOWN:
                nearest = get_close_matches(found[2], KNOWN, n=1)
                hint = f"did you mean {nearest[0]!r}? " if nearest else ""
                known = ", ".join(f"{{{found[1]}.{what}}}" for what in KNOWN)
                raise ScenarioError(f"{found[0]} is not known; {hint}there are {known}", key=place)


def _check_module(scenario: Scenario, function: str) -> None:
    assert scenario.app is not None
    app = (scenario.root / scenario.app.path).resolve()
    module = (app / function.partition(":")[0]).resolve()
    if not module.is_relative_to(app) or not module.is_file():
        raise ScenarioError("there is no such file in the app's folder", key="app.run.function")
