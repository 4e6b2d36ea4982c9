"""What a script may import: one sorted list, locked here."""

from __future__ import annotations

import subprocess
import sys

import pytest

import exitdrill

NAMES = [
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


def test_all_is_locked_and_sorted() -> None:
    assert exitdrill.__all__ == NAMES == sorted(NAMES)
    assert dir(exitdrill) == sorted([*NAMES, "__version__"])


@pytest.mark.parametrize("name", NAMES)
def test_each_name_can_be_imported(name: str) -> None:
    found = getattr(exitdrill, name)
    assert getattr(found, "__name__", name) == name


def test_a_stranger_s_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Scenari'"):
        exitdrill.Scenari  # noqa: B018


def test_importing_costs_nothing() -> None:
    program = "import exitdrill, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        encoding="utf-8",
        timeout=60,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert [name for name in done.stdout.split() if name.startswith("exitdrill.")] == []
    assert loaded & {"aiohttp", "click", "numpy", "pydantic", "rich", "scipy"} == set()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({}, "wrong"),
        ({"path": "f.toml"}, "f.toml: wrong"),
        ({"path": "f.toml", "line": 3}, "f.toml:3: wrong"),
        ({"path": "f.toml", "line": 3, "key": "a.b"}, "f.toml:3: a.b: wrong"),
        ({"line": 3}, "line 3: wrong"),
        ({"key": "--out"}, "--out: wrong"),
    ],
)
def test_an_error_says_where(place: dict[str, object], text: str) -> None:
    assert str(exitdrill.UsageError("wrong", **place)) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "status", "text", "transient"),
    [
        ("rate_limit", 429, "rate_limit (HTTP 429): m", True),
        ("auth", 401, "auth (HTTP 401): m", False),
        ("crashed", None, "crashed: m", False),
    ],
)
def test_backend_errors(kind: str, status: int | None, text: str, transient: bool) -> None:
    error = exitdrill.BackendError(kind, "m", status=status)  # type: ignore[arg-type]
    assert (str(error), error.transient) == (text, transient)
