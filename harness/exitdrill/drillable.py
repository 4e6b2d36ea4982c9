"""From a scenario to what can be drilled: everything that it names, found and validated.

Nothing is called, started or loaded; every mistake is an error that names its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exitdrill import builtin, checkers, tomlfile
from exitdrill.app.check import check_app_run
from exitdrill.backend import Backend, BackendConfig, Timeouts, find_adapter
from exitdrill.embedder import Embedder
from exitdrill.environment import looks_secret
from exitdrill.errors import AdapterError, ScenarioError
from exitdrill.gitref import find_ref
from exitdrill.judge.check import MEASURE as JUDGED
from exitdrill.judge.check import Labels, check_judge, check_place, read_labels
from exitdrill.measures import BY_NAME, embedding, gate_problem
from exitdrill.scenario import BudgetSpec, CheckerSpec, Scenario
from exitdrill.workload import Case, CaseList, Workload, open_workload, output_limit

_IN_PIECES = ("ttft_", "tpot_", "queued_")
"""What the measures of a stream's times begin with."""


@dataclass(frozen=True)
class Drillable:
    """A scenario whose every part was found and understood."""

    scenario: Scenario
    workload: Workload
    checkers: Mapping[str, checkers.Checker]
    checker_hashes: Mapping[str, str]
    backends: Mapping[str, Backend]
    labels: Labels | None = None
    embedder: Embedder | None = None


def check(scenario: Scenario) -> Drillable:
    """Everything that the scenario names, found and validated; nothing is called.

    Raises `ScenarioError`, `WorkloadError` or `AdapterError`; each names its place.
    """
    with located(scenario):
        return _check(scenario)


@contextmanager
def located(scenario: Scenario) -> Iterator[None]:
    """Say of an error in a scenario where in its file that is."""
    try:
        yield
    except (ScenarioError, AdapterError) as error:
        if error.path is None and error.key and scenario.source is not None:
            text, _ = tomlfile.read_toml(scenario.source)
            error.path = scenario.source
            error.line = tomlfile.line_of(text, tomlfile.undotted(error.key))
        raise


def _check(scenario: Scenario) -> Drillable:
    _check_names(scenario)
    _check_gates(scenario)
    check_judge(scenario)
    built = {name: _checker(scenario, name, spec) for name, spec in scenario.checkers.items()}
    hashes = {name: _checker_hash(scenario, name) for name in scenario.checkers}
    workload = _workload(scenario)
    backends = {name: make_backend(scenario, name) for name in scenario.called}
    check_place(scenario, backends)
    for name in scenario.called:
        _check_key(scenario, name)
        _check_server(scenario, name)
    _check_budget(scenario, backends, workload)
    _check_app(scenario)
    check_app_run(scenario, workload)
    labels, embedder = _labels(scenario, backends), _embedder(scenario)
    return Drillable(scenario, workload, built, hashes, backends, labels, embedder)


def make_backend(scenario: Scenario, arm: str, endpoint: str | None = None) -> Backend:
    """The backend of an arm; ``endpoint`` is where its server was started, once it was.

    Raises `ScenarioError` or `AdapterError`.
    """
    spec = scenario.backends[arm]
    if spec.server and spec.endpoint:
        raise ScenarioError(
            "a backend with a server needs no endpoint", key=f"backends.{arm}.endpoint"
        )
    if spec.server and endpoint is None:
        endpoint = f"http://127.0.0.1:1{spec.server.base}"  # for checking only; never called
    config = BackendConfig(
        name=arm,
        adapter=spec.adapter_name,
        model=spec.model.replace("{models}", builtin.models()),
        endpoint=endpoint or spec.endpoint,
        key_env=spec.key_env,
        timeouts=Timeouts(**spec.timeouts.model_dump()),
        root=scenario.root,
        options=spec.options,
    )
    adapter = spec.adapter
    if isinstance(adapter, str):
        try:
            adapter = find_adapter(adapter)
        except AdapterError as error:
            error.key = f"backends.{arm}.adapter"
            raise
    return adapter(config)


def inside(root: Path, value: str, key: str) -> Path:
    """A path of the scenario. Raises `ScenarioError` where it is missing or leaves the folder."""
    path = (root / value).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ScenarioError("leaves the scenario's folder; what a drill uses stays inside", key=key)
    if not path.exists():
        raise ScenarioError(f"there is no {value!r} in the scenario's folder", key=key)
    return path


def _check_names(scenario: Scenario) -> None:
    for key, names in (("incumbent", [scenario.incumbent]), ("candidates", scenario.candidates)):
        for name in names:
            if name not in scenario.backends:
                hint = tomlfile.unknown_key(name, list(scenario.backends))
                raise ScenarioError(hint.replace("unknown key", f"no backend {name!r}"), key=key)
    if len(set(scenario.arms)) < len(scenario.arms):
        raise ScenarioError(
            "each backend may stand once among incumbent and candidates; to drill one against "
            "itself, describe it under two names",
            key="candidates",
        )
    for name in scenario.swap:
        if name not in scenario.candidates:
            raise ScenarioError(f"{name!r} is not a candidate", key=f"swap.{name}")
    if scenario.swap and scenario.app is None:
        raise ScenarioError("a swap needs an [app] to change", key="swap")


def _check_gates(scenario: Scenario) -> None:
    len(BY_NAME)  # loads the installed measures: what is wrong with one must not show after paying
    titles = [gate.title for gate in scenario.gates]
    for number, gate in enumerate(scenario.gates):
        problem = gate_problem(gate)
        if gate.measure == embedding.NAME and scenario.embedding is None:
            problem = problem or f"{embedding.NO_MODEL}: give one as [embedding] model"
        if gate.measure == JUDGED and scenario.judge is None:
            problem = problem or "nobody judges: give a [judge] with a backend"
        if gate.measure in BY_NAME and BY_NAME[gate.measure].of_app and not scenario.app_run:
            problem = problem or "it is of an app that is run: give [app.run]"
        if scenario.app_run and gate.measure.startswith(_IN_PIECES):
            problem = problem or (
                "is never measured: the answer of an app comes in one piece; total_p95 is the "
                "time that the app takes, call_seconds that of its model calls"
            )
        if problem:
            bound = "margin" if gate.limit is None else "limit"
            place = bound if problem.startswith(("is a share", "cannot fail")) else "measure"
            raise ScenarioError(problem, key=f"gates[{number}].{place}")
        if titles.index(gate.title) < number:
            raise ScenarioError("two gates have this name", key=f"gates[{number}].name")


def _labels(scenario: Scenario, backends: Mapping[str, Backend]) -> Labels | None:
    """What the judge is compared with, if anything."""
    judge = scenario.judge
    if judge is None:
        return None
    if "chat" not in backends[judge.backend].operations:
        raise ScenarioError("a judge has to take chat requests", key="judge.backend")
    if judge.labels is None:
        return None
    return read_labels(inside(scenario.root, judge.labels, "judge.labels"))


def _embedder(scenario: Scenario) -> Embedder | None:
    """The embedding model, found and hashed, not loaded."""
    if scenario.embedding is None:
        return None
    key = "embedding.model"
    try:
        return Embedder(_or_models(scenario, scenario.embedding.model, key))
    except (ScenarioError, AdapterError) as error:
        error.key = key
        raise


def _checker(
    scenario: Scenario, name: str, spec: CheckerSpec | Callable[..., bool]
) -> checkers.Checker:
    if not isinstance(spec, CheckerSpec):
        return checkers.guarded(spec, name)
    key = f"checkers.{name}"
    settings = _settings(scenario, name, spec)
    known = checkers.settings_of(spec.type)
    for setting in settings:
        if setting not in known:
            message = (
                f"a checker of type {spec.type!r} has no such setting; it has {', '.join(known)}"
            )
            raise ScenarioError(message, key=f"{key}.{setting}")
    try:
        return checkers.KINDS[spec.type](**settings)
    except TypeError:
        raise ScenarioError(f"needs {' and '.join(known)}", key=key) from None
    except ScenarioError as error:
        error.key = key
        raise


def _settings(scenario: Scenario, name: str, spec: CheckerSpec) -> dict[str, Any]:
    settings = spec.model_dump(mode="json", exclude_none=True, exclude={"type"}, by_alias=True)
    if "path" in settings:
        settings["path"] = inside(scenario.root, settings["path"], f"checkers.{name}.path")
    return settings


def _checker_hash(scenario: Scenario, name: str) -> str:
    spec = scenario.checkers[name]
    if isinstance(spec, CheckerSpec):
        return checkers.fingerprint(spec.type, _settings(scenario, name, spec))
    return checkers.fingerprint_of_function(spec)


def _workload(scenario: Scenario) -> Workload:
    spec = scenario.workload
    if isinstance(spec, CaseList):
        for case in spec.cases:
            _check_case(scenario, case)
        return spec
    if spec.checker is not None and spec.checker not in scenario.checkers:
        raise ScenarioError("no such checker is declared", key="workload.checker")
    requests = inside(scenario.root, spec.requests, "workload.requests")
    meta_name = spec.meta or "meta.jsonl"
    if spec.meta is None and not os.path.lexists(scenario.root / meta_name):
        return open_workload(requests, None, scenario.checkers.keys(), spec.checker)
    meta = inside(scenario.root, meta_name, "workload.meta")
    return open_workload(requests, meta, scenario.checkers.keys(), spec.checker)


def _check_case(scenario: Scenario, case: Case) -> None:
    if case.checker is not None and case.checker not in scenario.checkers:
        raise ScenarioError(
            f"case {case.id!r} names the undeclared {case.checker!r}", key="checkers"
        )
    if case.checker is None and case.expected is not None:
        raise ScenarioError(
            f"case {case.id!r} expects something but names no checker", key="checkers"
        )


def _check_key(scenario: Scenario, arm: str) -> None:
    variable = scenario.backends[arm].key_env
    if variable is not None and not os.environ.get(variable):
        raise ScenarioError(
            f"the environment variable {variable} is not set (or empty); it must hold the key",
            key=f"backends.{arm}.key_env",
        )


def _check_server(scenario: Scenario, arm: str) -> None:
    server = scenario.backends[arm].server
    if server is None:
        return
    for name in server.environment:
        _refuse_secret(name, f"backends.{arm}.server.environment.{name}")
    server_folder(scenario, arm)


def _refuse_secret(name: str, key: str) -> None:
    """What stands in the scenario is written to the plan, so no key may stand there."""
    if looks_secret(name):
        raise ScenarioError("looks like a secret, and the plan would hold it", key=key)


def server_folder(scenario: Scenario, arm: str) -> Path:
    """The folder that an arm's server runs in: the scenario's, one in it, or ``{models}``.

    Raises `ScenarioError` where there is none.
    """
    server = scenario.backends[arm].server
    if server is None or server.cwd is None:
        return scenario.root
    return _or_models(scenario, server.cwd, f"backends.{arm}.server.cwd")


def _or_models(scenario: Scenario, value: str, key: str) -> Path:
    """A path inside the scenario's folder, or inside ``{models}``. Raises `ScenarioError`."""
    if not value.startswith("{models}"):
        return inside(scenario.root, value, key)
    models = Path(builtin.models())
    return inside(models, value.removeprefix("{models}").lstrip("/"), key)


def _check_budget(scenario: Scenario, backends: Mapping[str, Backend], workload: Workload) -> None:
    remote = [name for name in scenario.called if not backends[name].local]
    budget = scenario.budget
    if remote and budget is None:
        raise ScenarioError(
            f"{remote[0]!r} is outside this machine, so the drill needs a [budget] "
            "(requests, tokens or money)",
            key="budget",
        )
    if budget is None:
        return
    if budget.money is not None:
        _check_money(scenario, remote, budget)
    # What an app that is run asks for is looked at when it asks.
    if scenario.app_run is None and (budget.money is not None or budget.tokens is not None):
        case = next(_unbounded(workload), None)
        if case is not None:
            raise ScenarioError(
                f"case {case.id!r} sets no max_tokens, so a budget of tokens or money cannot be "
                "kept; set it in each request, or bound the drill by requests",
                key="budget",
            )


def _check_money(scenario: Scenario, remote: list[str], budget: BudgetSpec) -> None:
    for arm in scenario.called:
        price = scenario.backends[arm].price
        if price is None and arm in remote:
            raise ScenarioError(
                "a budget in money needs the price of each backend outside this machine",
                key=f"backends.{arm}.price",
            )
        if price is not None and price.currency != budget.currency:
            raise ScenarioError(
                f"the budget is in {budget.currency}; one drill has one currency",
                key=f"backends.{arm}.price.currency",
            )


def _unbounded(workload: Workload) -> Iterator[Case]:
    return (
        case
        for case in workload
        if case.request.operation != "embedding" and output_limit(case.request.body) is None
    )


def _check_app(scenario: Scenario) -> None:
    if scenario.app is not None:
        inside(scenario.root, scenario.app.path, "app.path")
    for name, swap in scenario.swap.items():
        for key, value in (("patch", swap.patch), ("overlay", swap.overlay)):
            if value is not None:
                inside(scenario.root, value, f"swap.{name}.{key}")
        commit_of(scenario, name)


def commit_of(scenario: Scenario, name: str) -> str | None:
    """The commit that a swap's ref stands for now; None where it has no ref.

    Raises `ScenarioError` where there is no such ref.
    """
    ref = scenario.swap[name].ref
    if ref is None or scenario.app is None:
        return None
    app = inside(scenario.root, scenario.app.path, "app.path")
    try:
        return find_ref(app, ref).commit
    except ScenarioError as error:
        raise ScenarioError(error.message, key=f"swap.{name}.ref") from None
