"""One execution of a scenario: plan, replay, measure, judge, report."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import itertools
import json
import os
import signal
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exitdrill import progress
from exitdrill.app.copies import environment_of, swap_of
from exitdrill.app.folders import work_folder
from exitdrill.app.log import Log, barred
from exitdrill.app.parts import pending, runs_more
from exitdrill.arms import record_broken, starting
from exitdrill.budget import Budget
from exitdrill.drillable import Drillable, check, inside
from exitdrill.environment import looks_secret
from exitdrill.errors import (
    DrillStopped,
    JournalError,
    NoCandidateLeft,
    ScenarioError,
    StorageFailed,
    UsageError,
)
from exitdrill.journal import NOT_BEGUN, Journal
from exitdrill.judge.asking import ask_judge
from exitdrill.keyshapes import mask, mask_diff, mask_json
from exitdrill.monitor import Monitor
from exitdrill.plan import (
    Plan,
    check_same,
    edited_file,
    make_plan,
    most,
    places,
    warnings,
    write_plan,
)
from exitdrill.replay import Replay
from exitdrill.report import REPORT, render
from exitdrill.results import write_results
from exitdrill.scenario import Scenario
from exitdrill.sentences import count_of
from exitdrill.swap import SwapFailed, apply

EXIT_CODES = {"ready": 0, "not_ready": 1, "inconclusive": 3}
NOT_COMPLETED = 4
JOURNAL = "journal.sqlite"
Swaps = dict[str, dict[str, Any]]
"""By candidate: ``{"diff": …, "code": …}`` (the second a `CodeChange` as JSON), or
``{"error": …}``."""


@dataclass(frozen=True)
class Result:
    """What came of a drill. ``report`` is the content of ``report.json`` in ``folder``."""

    folder: Path
    report: dict[str, Any] = field(repr=False)

    @property
    def verdict(self) -> str:
        """``ready``, ``not_ready`` or ``inconclusive``."""
        return str(self.report["verdict"]["status"])

    @property
    def completed(self) -> bool:
        """Whether everything that was planned could be done."""
        return bool(self.report["drill"]["completed"])

    @property
    def exit_code(self) -> int:
        """What the command ends with."""
        return EXIT_CODES[self.verdict] if self.completed else NOT_COMPLETED


def run(
    scenario: Scenario,
    *,
    out: Path | str | None = None,
    resume: Path | str | None = None,
    candidates: Sequence[str] = (),
    limit: int | None = None,
    sequential: bool = False,
    watcher: progress.Watcher | None = None,
) -> Result:
    """Execute a scenario.

    ``out`` is the folder of the drill (new, or empty), ``resume`` that of one to be continued;
    ``candidates`` restricts the drill to some, ``limit`` to the first so many cases. With
    ``sequential`` it ends as soon as every gate is decided (a resumed one is what it was). Raises
    `UsageError` for what is wrong with the input, before any call; `KeyboardInterrupt` with
    everything that was measured in the journal.
    """
    watcher = watcher or progress.Silent()
    if limit is not None and limit < 1:
        raise UsageError(f"a limit of {limit} cases leaves nothing to ask")
    if out is not None and resume is not None:
        raise UsageError("--out begins a drill and --resume continues one: give one of them")
    if resume is not None:
        return _resume(scenario, Path(resume), candidates, limit, sequential, watcher)
    drillable = check(chosen(scenario, candidates))
    secrets = _secrets(drillable.scenario)
    plan = make_plan(drillable, limit, sequential=sequential).without(secrets)
    _load_embedder(drillable)
    swaps = apply_swaps(drillable.scenario)
    folder = _new_folder(scenario, out)
    with _terminable(), _at_work(folder), Journal.create(folder / JOURNAL) as journal:
        journal.hide(secrets)
        write_plan(plan, folder)
        _begin(journal, drillable, plan, swaps)
        return _execute(drillable, plan, journal, watcher)


def _resume(
    scenario: Scenario,
    folder: Path,
    candidates: Sequence[str],
    limit: int | None,
    sequential: bool,
    watcher: progress.Watcher,
) -> Result:
    """Continue a drill, by default with the candidates and the limit that it had.

    The plan stays the one that was registered. The budget may be another, because it decides
    nothing and a spent one must not cost what was paid for; gates that were edited since are not
    judged, and the verdict says that they were edited.
    """
    with _terminable(), _at_work(folder), Journal.reopen(folder / JOURNAL) as journal:
        if not journal.input("begun"):
            raise JournalError(NOT_BEGUN, path=journal.path)
        recorded = _registered(journal)
        drillable = check(chosen(scenario, candidates or recorded["candidates"]))
        if sequential and recorded["mode"] != "sequential":
            raise UsageError(
                "this drill was begun without --sequential, and goes on as it began: leave the "
                "option out, or start a new drill",
                path=folder,
            )
        asked = limit or recorded["workload"]["asked"]
        secrets = _secrets(scenario)
        now = make_plan(drillable, asked, sequential=recorded["mode"] == "sequential")
        edited = check_same(now.without(secrets), recorded)
        plan = Plan(recorded, now.census, now.judging)
        journal.check_cases(
            recorded["workload"]["cases_sha256"], drillable.workload, asked, places(plan)
        )
        journal.hide(secrets)
        news = _note_edits(journal, plan, edited, watcher)
        whole = None if news else _whole(journal)
        if whole is not None:
            watcher.note(f"folder: {folder}")
            watcher.note("this drill is complete: nobody is asked, and its verdict stands")
            write_plan(plan, folder)  # it may be gone
            render(folder, check=False)
            return Result(folder, whole)
        _load_embedder(drillable)
        write_plan(plan, folder)  # once more: it may be gone, or edited
        journal.put_inputs({"budget": now.document["budget"]})
        journal.lose_intents()
        journal.forget_tripped()
        return _execute(drillable, plan, journal, watcher)


def _execute(
    drillable: Drillable, plan: Plan, journal: Journal, watcher: progress.Watcher
) -> Result:
    folder = journal.path.parent
    stopped, none_left, before = None, False, _made(journal)
    announce(drillable, plan, watcher)
    watcher.note(f"folder: {folder}")
    try:
        asyncio.run(_ask(drillable, plan, journal, watcher))
        _tell(journal, watcher)
    except StorageFailed:
        raise  # what cannot be written cannot be reported either
    except DrillStopped as stop:
        stopped, none_left = str(stop), isinstance(stop, NoCandidateLeft)
        _tell(journal, watcher)
        watcher.note(f"stopped: {stop}")
    finally:
        watcher.end()
    known = journal.input("ended") if _made(journal) == before else None  # nobody was asked
    ended = {"stopped": stopped, "none_left": none_left, "ended": known or _now()}
    journal.put_inputs(ended | {"report_sha256": None})
    report = write_results(journal, drillable.checkers, folder, drillable.embedder)
    journal.put_inputs({"report_sha256": _sha256(folder / REPORT)})
    render(folder, check=False)  # that we write what the schema says is for the tests to see
    return Result(folder, report)


def _tell(journal: Journal, watcher: progress.Watcher) -> None:
    """What the journal holds: also of an earlier run, and of calls that belong to no trial."""
    failed = {arm: count for arm, (_, count) in journal.progress().items()}
    watcher.known(failed, journal.spend())


def _made(journal: Journal) -> tuple[int, int]:
    """How many calls were made, and how many of them are not known to have come back."""
    return journal.spend().calls, journal.lost_calls()


def _whole(journal: Journal) -> dict[str, Any] | None:
    """The report of a drill in which nothing is left to be done; None where something is.

    An arm that broke off is tried again; one whose swap failed is not.
    """
    path = journal.path.with_name(REPORT)
    judge = journal.input("judge", {}).get("status", "complete")
    if journal.input("stopped") is not None or judge not in {"complete", "not_asked"}:
        return None
    if not path.is_file() or _sha256(path) != journal.input("report_sha256"):
        return None
    report: dict[str, Any] = json.loads(path.read_bytes())
    swaps = journal.input("swaps", {})
    arms = [report["incumbent"], *report["candidates"]]
    asked = [arm for arm in arms if "error" not in swaps.get(arm["name"], {})]
    return report if all(arm["status"] == "complete" for arm in asked) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_embedder(drillable: Drillable) -> None:
    """A model that cannot be loaded must show before anything is paid for."""
    if drillable.embedder is not None:
        drillable.embedder.load()


def _registered(journal: Journal) -> dict[str, Any]:
    """The plan in a journal. Raises `JournalError` where it is not the one that was registered."""
    recorded = journal.input("plan")
    if isinstance(recorded, dict) and Plan(recorded).sha256 == journal.input("plan_sha256"):
        return recorded
    raise JournalError(
        "the plan in it was edited after it had been registered: its hash is another. Nothing can "
        "be judged by it; start a new drill",
        path=journal.path,
    )


def _note_edits(
    journal: Journal, plan: Plan, edited: Sequence[str], watcher: progress.Watcher
) -> bool:
    """Keep on the record that what decides was edited after the first call. Returns whether that
    is news."""
    found = [f"the scenario ({', '.join(edited)})"] if edited else []
    found += [each for each in [edited_file(plan, journal.path.parent)] if each]
    if not found:
        return False
    watcher.note(f"note: edited since the plan was registered: {'; '.join(found)}")
    known = journal.input("edited", [])
    edits = list(dict.fromkeys([*known, *found]))
    if edits == known:
        return False
    journal.put_inputs({"edited": edits})
    return True


def _secrets(scenario: Scenario) -> list[str]:
    """The keys that the scenario names, what an app is passed, and whatever else the environment
    holds of that kind: an adapter may know its vendor's variable by itself."""
    named = {backend.key_env for backend in scenario.backends.values()}
    named |= set(scenario.app_run.pass_ if scenario.app_run else ())
    return [value for name, value in os.environ.items() if name in named or looks_secret(name)]


def chosen(scenario: Scenario, candidates: Sequence[str]) -> Scenario:
    """The scenario with only these of its candidates. Raises `ScenarioError` for a stranger."""
    if not candidates:
        return scenario
    for name in candidates:
        if name not in scenario.candidates:
            known = ", ".join(scenario.candidates)
            raise ScenarioError(
                f"there is no candidate {name!r}; there are {known}", key="--candidate"
            )
    kept = [name for name in scenario.candidates if name in candidates]
    swap = {name: spec for name, spec in scenario.swap.items() if name in kept}
    return scenario.model_copy(update={"candidates": kept, "swap": swap})


def announce(drillable: Drillable, plan: Plan, watcher: progress.Watcher) -> None:
    """Say what is about to be asked, and what it can cost, before the first call."""
    budget = drillable.scenario.budget
    watcher.note(
        f"{plan.document['scenario']}: {count_of(plan.document['workload']['asked'], 'case')}, "
        f"{count_of(len(plan.arms), 'arm')}, {_expected(drillable, plan)}"
    )
    for line in runs_more(drillable.scenario, plan.document["workload"]["asked"]):
        watcher.note(line)
    if budget is not None:
        limits = budget.model_dump(exclude_none=True)
        watcher.note("budget: " + ", ".join(f"{key} {value}" for key, value in limits.items()))
    for warning in warnings(drillable, plan):
        watcher.note(f"note: {warning}")
    watcher.note(f"plan registered: sha256 {plan.sha256}")


def _expected(drillable: Drillable, plan: Plan) -> str:
    """What a drill will ask at most, as far as that is known."""
    spend = most(plan)
    if plan.document["app"] is not None:
        runs = count_of(spend.calls, "run")
        return f"{runs} of the app; how many calls it makes is not known beforehand"
    currency = _currency(drillable.scenario)
    money = f", at most {spend.money:.4f} {currency} and" if currency else ","
    tokens = count_of(spend.tokens, "token")
    return f"{count_of(spend.calls, 'call')}{money} at most {tokens} (retries come on top)"


def _currency(scenario: Scenario) -> str | None:
    prices = (scenario.backends[name].price for name in scenario.called)
    currencies = {price.currency for price in prices if price and price.per_hour is None}
    return currencies.pop() if len(currencies) == 1 else None


# --- the folder and its journal -----------------------------------------------------------------


def _begin(journal: Journal, drillable: Drillable, plan: Plan, swaps: Swaps) -> None:
    app, runs_app = drillable.scenario.app, drillable.scenario.app_run is not None
    asked = plan.document["workload"]["asked"]
    journal.put_cases(drillable.workload, asked, places(plan), runs_app=runs_app)
    journal.put_inputs(
        {
            "id": uuid.uuid4().hex,
            "started": _now(),
            "plan": plan.document,
            "plan_sha256": plan.sha256,
            "swaps": swaps,
            "classes": app.classes if app else {},
            "begun": True,  # together with the rest: a kill before here leaves nothing to resume
        }
    )


def _new_folder(scenario: Scenario, out: Path | str | None) -> Path:
    folder = Path(out) if out is not None else _free_folder(scenario.name)
    if folder.is_file():
        raise ScenarioError(
            "is a file; a folder for the drill belongs here", path=folder, key="--out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScenarioError(f"cannot be made: {error.strerror}", path=folder, key="--out") from None
    if (folder / JOURNAL).exists():
        raise ScenarioError(
            "holds a drill already; continue it with --resume, or choose another folder",
            path=folder,
            key="--out",
        )
    if any(folder.iterdir()):
        raise ScenarioError(
            "holds other files; choose a new or an empty folder", path=folder, key="--out"
        )
    return folder


def _free_folder(name: str) -> Path:
    """The default place of a drill: by its time, and by a number where a second has several."""
    first = Path("reports") / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    later = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    return next(folder for folder in itertools.chain([first], later) if not folder.exists())


def apply_swaps(scenario: Scenario) -> Swaps:
    """Each candidate's swap, applied to a copy of the app: what it changes, or why it failed.

    What looks like a secret is masked: all of it is recorded.
    """
    from exitdrill.code.apart import compare_apart

    swaps: Swaps = {}
    if scenario.app is None:
        return swaps
    app = inside(scenario.root, scenario.app.path, "app.path")
    before = environment_of(scenario.app_run)
    for name in scenario.candidates if scenario.app_run else scenario.swap:
        with work_folder() as workdir:
            try:
                done = apply(app, swap_of(scenario, name), workdir, environment=before)
                code = compare_apart(app, done.path).to_json()
                swaps[name] = {"diff": mask_diff(done.diff), "code": mask_json(code)}
            except SwapFailed as error:
                swaps[name] = {"error": mask(error.message)}
    return swaps


# --- the replay ---------------------------------------------------------------------------------


async def _ask(
    drillable: Drillable, plan: Plan, journal: Journal, watcher: progress.Watcher
) -> None:
    await _replay(drillable, plan, journal, watcher)
    await ask_judge(drillable, plan, journal, watcher, _currency(drillable.scenario))


async def _replay(
    drillable: Drillable, plan: Plan, journal: Journal, watcher: progress.Watcher
) -> None:
    from exitdrill.app.exiting import go_back, running
    from exitdrill.app.smallest import find_smallest

    scenario = drillable.scenario
    completed = {arm: count for arm, (count, _) in journal.progress().items()}
    wanted = _wanted(scenario, plan, journal, completed)
    if not wanted:
        return
    budget = Budget(scenario.budget, journal.spend())
    looks = Monitor(journal, plan.document, drillable.checkers) if plan.sequential else None
    async with AsyncExitStack() as stack:
        arms = await stack.enter_async_context(starting(scenario, wanted, journal, watcher))
        stack.callback(lambda: record_broken(journal, arms))
        if scenario.app_run is not None:
            ready = running(scenario, arms, journal, budget, watcher, drillable.checkers)
            arms = await stack.enter_async_context(ready)
            if barred(journal).keys() >= set(scenario.candidates):
                return
        totals = {arm.name: plan.trials_of(arm.name) for arm in arms}
        watcher.begin(totals, completed, _currency(scenario))
        _tell(journal, watcher)
        await Replay(plan, journal, arms, budget, watcher, looks).run()
        if scenario.app_run is not None:
            await go_back(scenario, arms[0], journal, budget, drillable.checkers)
            with budget.withheld(plan.judging):
                await find_smallest(
                    scenario, arms[1:], journal, budget, watcher, drillable.checkers
                )


def _wanted(
    scenario: Scenario, plan: Plan, journal: Journal, completed: Mapping[str, int]
) -> list[str]:
    """The arms that still have to be asked, and the incumbent that an app has to go back to."""
    unfinished = [arm for arm in plan.arms if completed.get(arm, 0) < plan.trials_of(arm)]
    failed = barred(journal).keys()
    if {*journal.input("stops", {}), *failed} >= set(scenario.candidates):
        unfinished = []
    if scenario.app_run is None or failed >= set(scenario.candidates):
        return unfinished
    unfinished += pending(scenario, journal)
    back = Log(journal).back is None
    return list(dict.fromkeys([scenario.incumbent, *unfinished])) if back or unfinished else []


# --- one drill at a time; time and signals ------------------------------------------------------


@contextmanager
def _at_work(folder: Path) -> Iterator[None]:
    """Alone in a folder; whoever interrupts is told which one to resume."""
    with _alone(folder):
        try:
            yield
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"--resume {folder} continues")
            raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others from the folder: two drills in one would ask, and pay, twice.

    The lock is the operating system's, and goes with the process, however that ends.
    """
    if not folder.is_dir():
        raise JournalError("there is no journal here", path=folder / JOURNAL)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError("another exitdrill is at work here", path=folder) from None
        yield
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the drill as Ctrl-C does: servers are stopped, the journal is closed."""

    def interrupt(signum: int, frame: object) -> None:
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a script's background job
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals are its owner's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
