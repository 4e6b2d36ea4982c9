"""The arms of a drill: servers and backends, started in order and stopped in the reverse."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from exitdrill import progress
from exitdrill.app.log import barred
from exitdrill.backend import Backend, Description
from exitdrill.drillable import make_backend, server_folder
from exitdrill.errors import BackendError, DrillStopped, JournalError, ServerFailed
from exitdrill.journal import Journal
from exitdrill.replay import Arm
from exitdrill.scenario import Scenario
from exitdrill.server import Server, ServerConfig


def record_broken(journal: Journal, arms: Iterable[Arm]) -> None:
    """Say in the journal which arms broke off, or failed before the first case, and why."""
    known = journal.input("arms", {})
    for name, reason in barred(journal).items():
        known.setdefault(name, {})["reason"] = reason
    for arm in arms:
        if arm.broken is not None:
            known[arm.name]["reason"] = arm.broken
    journal.put_inputs({"arms": known})


@asynccontextmanager
async def starting(
    scenario: Scenario, names: Sequence[str], journal: Journal, watcher: progress.Watcher
) -> AsyncIterator[list[Arm]]:
    """The arms that could be started; the journal says of each what it is, or why it is not there.

    Raises `DrillStopped` where the incumbent, or every candidate, cannot be started.
    """
    known = journal.input("arms", {})
    failed = barred(journal)
    arms = []
    async with AsyncExitStack() as stack:
        for name in names:
            if name in failed:
                known[name] = {"reason": failed[name]}
                continue
            watcher.note(f"starting {name} …")
            began = time.monotonic()
            try:
                backend, description = await _start(scenario, name, journal.path.parent, stack)
            except (BackendError, ServerFailed) as error:
                known[name] = {"reason": f"could not be started: {error}"}
                watcher.note(f"{name} could not be started: {error}")
                continue
            before = known.get(name, {}).get("description")
            seconds = known.get(name, {}).get("seconds", time.monotonic() - began)
            known[name] = {"description": _plain(description), "seconds": seconds}
            if before is not None:
                _check_unchanged(name, before, known[name]["description"])
            arms.append(Arm(name, backend, scenario.backends[name]))
        journal.put_inputs({"arms": known})
        _check_started(scenario, known)
        yield arms


@asynccontextmanager
async def starting_one(
    scenario: Scenario, name: str, journal: Journal, before: Mapping[str, Any] | None
) -> AsyncIterator[tuple[Arm, dict[str, Any]]]:
    """One more backend, with its description; ``before`` is what it was when the drill began.

    Raises `BackendError` or `ServerFailed` where it cannot be started.
    """
    async with AsyncExitStack() as stack:
        backend, description = await _start(scenario, name, journal.path.parent, stack)
        known = _plain(description)
        if before is not None:
            _check_unchanged(name, before, known)
        yield Arm(name, backend, scenario.backends[name]), known


def _check_started(scenario: Scenario, known: Mapping[str, Any]) -> None:
    reasons = {name: known[name].get("reason") for name in scenario.arms}
    if reasons[scenario.incumbent]:
        raise DrillStopped(f"the incumbent {scenario.incumbent!r} {reasons[scenario.incumbent]}")
    if all(reasons[name] for name in scenario.candidates):
        first = scenario.candidates[0]
        raise DrillStopped(f"no candidate could be started; {first!r} {reasons[first]}")


def _check_unchanged(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """An arm is one backend: half of its answers must not come from another.

    What is not known this time (a server that did not tell its version in time) is no difference.
    """
    for key in ("model", "revision", "weights_sha256", "server"):
        if None not in (before[key], now[key]) and before[key] != now[key]:
            raise JournalError(
                f"the backend {name!r} is not the one that this drill began with: its {key} was "
                f"{before[key]!r} and is {now[key]!r}; start a new drill"
            )


async def _start(
    scenario: Scenario, name: str, folder: Path, stack: AsyncExitStack
) -> tuple[Backend, Description]:
    spec = scenario.backends[name].server
    endpoint = None
    if spec is not None:
        config = ServerConfig(
            command=tuple(spec.command),
            ready=spec.ready,
            startup_seconds=spec.startup_seconds,
            environment=spec.environment,
        )
        server = Server(
            config, cwd=server_folder(scenario, name), log=folder / f"server-{name}.log"
        )
        stack.push_async_callback(server.stop)
        endpoint = await server.start() + spec.base
    backend = make_backend(scenario, name, endpoint)
    stack.push_async_callback(backend.close)
    return backend, await backend.start()


def _plain(description: Description) -> dict[str, Any]:
    both = {"sampling": dict(description.sampling), "details": dict(description.details)}
    return asdict(replace(description, sampling={}, details={})) | both
