"""Reversibility exit drills of language-model workloads.

    import exitdrill

    result = exitdrill.run(exitdrill.load("my_scenario"))
    print(result.verdict, result.folder)

Names are imported when they are first used, so that ``import exitdrill`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exitdrill.backend import (
        Backend,
        BackendConfig,
        Description,
        Edit,
        Event,
        Prepared,
        Reply,
        Request,
    )
    from exitdrill.drill import Result, run
    from exitdrill.drillable import check
    from exitdrill.errors import (
        AdapterError,
        BackendError,
        BudgetSpent,
        DrillStopped,
        ExitdrillError,
        JournalError,
        ScenarioError,
        ServerFailed,
        StorageFailed,
        UsageError,
        WorkloadError,
    )
    from exitdrill.report import render
    from exitdrill.scenario import (
        AppRunSpec,
        AppSpec,
        BackendSpec,
        BudgetSpec,
        CheckerSpec,
        GateSpec,
        PriceSpec,
        ReplaySpec,
        Scenario,
        ServerSpec,
        SwapSpec,
        TimeoutSpec,
        WorkloadSpec,
        load,
    )
    from exitdrill.workload import Case, CaseList

__version__ = "0.1.0"

__all__ = [
    "AdapterError",
    "AppRunSpec",
    "AppSpec",
    "Backend",
    "BackendConfig",
    "BackendError",
    "BackendSpec",
    "BudgetSpec",
    "BudgetSpent",
    "Case",
    "CaseList",
    "CheckerSpec",
    "Description",
    "DrillStopped",
    "Edit",
    "Event",
    "ExitdrillError",
    "GateSpec",
    "JournalError",
    "Prepared",
    "PriceSpec",
    "ReplaySpec",
    "Reply",
    "Request",
    "Result",
    "Scenario",
    "ScenarioError",
    "ServerFailed",
    "ServerSpec",
    "StorageFailed",
    "SwapSpec",
    "TimeoutSpec",
    "UsageError",
    "WorkloadError",
    "WorkloadSpec",
    "check",
    "load",
    "render",
    "run",
]

_HOMES = {
    "backend": "Backend BackendConfig Description Edit Event Prepared Reply Request",
    "drill": "Result run",
    "drillable": "check",
    "errors": "AdapterError BackendError BudgetSpent DrillStopped ExitdrillError JournalError "
    "ScenarioError ServerFailed StorageFailed UsageError WorkloadError",
    "report": "render",
    "scenario": "AppRunSpec AppSpec BackendSpec BudgetSpec CheckerSpec GateSpec PriceSpec "
    "ReplaySpec Scenario ServerSpec SwapSpec TimeoutSpec WorkloadSpec load",
    "workload": "Case CaseList",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
