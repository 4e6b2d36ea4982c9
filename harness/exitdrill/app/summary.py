"""What a report says of an app that was run: how, the steps of its exit, and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exitdrill.journal import Journal
from exitdrill.measures.change import change_counts, class_of
from exitdrill.measures.unified_diff import FileChange, parse_diff
from exitdrill.swap import ENVIRONMENT_FILE

Json = dict[str, Any]
NOTHING: Mapping[str, Any] = {}
MOST_PLACES = 3
"""In the code, that are named."""
MOST_LINES, LONGEST_LINE = 12, 300
"""Of a hunk, that are shown."""
PROVISION, CHECKS = "provision the candidate", "all checks"


def failure(journal: Journal, name: str) -> str | None:
    """Why a candidate's exit failed before its first case; None where it did not."""
    known: str | None = _known(journal).get("arms", {}).get(name, {}).get("failure")
    return known


def strays_left(journal: Journal, name: str) -> int:
    """How many calls of a candidate's app, in no trial, went to the incumbent."""
    return int(_known(journal).get("arms", {}).get(name, NOTHING).get("strays_left", 0))


def obstacles(journal: Journal, plan: Mapping[str, Any], name: str) -> list[str]:
    """What keeps the app's own tests from saying anything."""
    arms = _known(journal).get("arms", {})
    before, after = (
        arms.get(arm, {}).get("tests") or {"passed": True} for arm in (plan["incumbent"], name)
    )
    if before["passed"] or after["passed"]:
        return []
    said = f": {before['brief']}" if before.get("brief") else ""
    return [f"the app's own tests fail after the swap, and failed before it as well{said}"]


def smallest(journal: Journal, name: str) -> Json | None:
    """What of a candidate's swap no check needs; None where that was not looked for."""
    record = _known(journal).get("arms", {}).get(name, {}).get("smallest")
    if record is None:
        return None
    hunks, runs = record["hunks"] or [], record["runs"]
    status, note = record["status"], record["note"]
    if status == "under_way":
        status, note = "stopped", "the drill ended meanwhile"
    out, why = record["not_needed"], _why_needed(runs, record["not_needed"])
    changes = list(parse_diff(journal.input("swaps", {}).get(name, {}).get("diff") or ""))
    shown = [
        hunk | {"text": _lines_of(hunk, changes), "why": why.get(number)}
        for number, hunk in enumerate(hunks)
    ]
    classes = journal.input("classes", {})
    return {
        "status": status,
        "note": note,
        "hunks": None if record["hunks"] is None else len(hunks),
        "not_needed": [shown[number] for number in out],
        "needed": [shown[number] for number in why],
        "tests_changed": sum(class_of(each.path, classes) == "test" for each in changes),
        "minimal": record["minimal"],
        "tests": record["tests"],
        "cases": record["cases"],
        "runs": len(runs),
        "seconds": sum(run["seconds"] for run in runs),
    }


def _why_needed(runs: Sequence[Json], out: Sequence[int]) -> dict[int, str]:
    """Of each hunk that could not be left out: the check that failed when that was tried last."""
    failed = {
        number: run["why"]
        for run in runs
        if run["why"] is not None
        for number in run["without"]
        if number not in out and set(run["without"]) - {number} <= set(out)
    }
    return dict(sorted(failed.items()))


def _lines_of(hunk: Json, changes: Sequence[FileChange]) -> list[str]:
    """The lines of a hunk as the recorded diff has them: masked, and bounded."""
    path = ENVIRONMENT_FILE if hunk["change"] == "variable" else hunk["path"]
    lines = next((each.lines for each in changes if each.path == path), ())
    if hunk["change"] == "variable":
        lines = tuple(each for each in lines if each.text.partition("=")[0] == hunk["path"])
    elif hunk["new"] is not None:
        ends = {"-": hunk["old"], "+": hunk["new"]}
        lines = tuple(each for each in lines if _is_in(each.number, *ends[each.mark]))
    rest = [f"… {len(lines) - MOST_LINES:,} more"] if len(lines) > MOST_LINES else []
    return [f"{each.mark}{each.text[:LONGEST_LINE]}" for each in lines[:MOST_LINES]] + rest


def _is_in(number: int, first: int, count: int) -> bool:
    return first <= number < first + count


def exit_seconds(journal: Journal, plan: Mapping[str, Any], name: str) -> float | None:
    """How long a candidate's exit took; None for the incumbent, and where it was not completed: a
    call was left behind, say, or no model of the candidate's was asked."""
    if plan.get("app") is None or name == plan["incumbent"] or failure(journal, name):
        return None
    asked = plan["workload"]["asked"] * plan["replay"]["repeats"][name]
    done, _ = journal.progress().get(name, (0, 0))
    if done < asked and name not in journal.input("stops", {}):
        return None
    if not journal.has_left(name) or strays_left(journal, name):
        return None
    seconds: float | None = _arm(journal, _known(journal), name, False)["seconds"]
    return seconds


def section(journal: Journal, plan: Mapping[str, Any], measured: Mapping[str, Json]) -> Json | None:
    """The report's ``app``; None where the app was not run.

    ``measured`` is what is known of each arm's trials, beside its steps.
    """
    run, known = plan["app"], _known(journal)
    if run is None:
        return None
    how = next(way for way in ("command", "function", "serve") if run[way] is not None)
    said = run[how] if isinstance(run[how], str) else " ".join(run[how])
    names = [plan["incumbent"], *plan["candidates"]]
    return {
        "how": how,
        "command": said,
        "contained": known.get("contained"),
        "install": _words(run.get("install")),
        "test": _words(run["test"]),
        "arms": [
            _arm(journal, known, name, name == plan["incumbent"]) | measured[name] for name in names
        ],
        "way_back": known.get("way_back"),
    }


def not_tested(journal: Journal, plan: Mapping[str, Any]) -> Iterator[str]:
    """What the drill says nothing about, as far as the app is concerned."""
    if plan["app"] is None:
        yield "The app was not run: its recorded requests were replayed."
        yield "The way back, the time that an exit takes, and the contract's terms."
        return
    known = _known(journal)
    if known.get("contained") is False:
        yield "Whether the app writes elsewhere: the app was not contained."
    yield _past_the_drill(plan["app"].get("connect"))
    yield from _hosts_in_code(journal, plan)
    yield _after_its_answer(plan["app"])
    if not all(arm.get("kept", True) for arm in known.get("arms", NOTHING).values()):
        yield (
            "Whether a run of the app depends on an earlier one: its copy is too large to be put "
            "back as it was after each."
        )
    back = known.get("way_back")
    if back is None or back["failure"] is not None:
        yield "The way back."
    yield from _not_installed(journal, plan)
    if plan["app"]["test"] is None:
        yield "The app's own tests: the scenario names none."
    yield "How long people take for an exit, and the contract's terms."


def _past_the_drill(ports: Sequence[int] | None) -> str:
    if ports is None:
        return (
            "Calls that do not go through the drill's base URL (an address that stands in the app, "
            "a model of its own): they can be neither seen nor stopped."
        )
    others = f", and over TCP to {', '.join(map(str, ports))}" if ports else ""
    return (
        "Models that the app reaches past the drill without TCP (one of its own, one over UDP or a "
        f"socket of this machine){others}: they can be neither seen nor stopped."
    )


def _after_its_answer(run: Mapping[str, Any]) -> str:
    """What an app does when it has answered."""
    if run["serve"] is None:
        return "What the app does after its answer: it is ended when it has ended its output."
    if run["header"]:
        return "What the app does after its answer: calls that come then are refused, and counted."
    return (
        "Whose a call is that the app makes after its answer: in the next trial it counts as that "
        "one's (only with `header = true` can it be told), between two it is refused, and counted."
    )


def _hosts_in_code(journal: Journal, plan: Mapping[str, Any]) -> Iterator[str]:
    """Vendors' hosts that stand in the code of a swapped app: it may still go there."""
    for name in plan["candidates"]:
        code = journal.input("swaps", {}).get(name, {}).get("code") or NOTHING
        sites = (code.get("sites_after") or NOTHING).get("found") or ()
        places = [f"{site['path']}:{site['line']}" for site in sites if site["kind"] == "host"]
        if places:
            more = f" and {len(places) - MOST_PLACES:,} more" if len(places) > MOST_PLACES else ""
            yield (
                f"Whether the app still calls a vendor's host that stands in its code after "
                f"{name}'s swap: {', '.join(places[:MOST_PLACES])}{more}."
            )


def _words(command: list[str] | None) -> str | None:
    return None if command is None else " ".join(command)


def _not_installed(journal: Journal, plan: Mapping[str, Any]) -> Iterator[str]:
    if plan["app"].get("install") is not None:
        return
    classes = journal.input("classes", {})
    for name in plan["candidates"]:
        diff = journal.input("swaps", {}).get(name, {}).get("diff")
        if diff and change_counts(diff, classes).files["dependency"]:
            yield (
                f"What {name}'s swap does to what the app depends on: dependencies changed by the "
                "swap were not installed (app.run.install says how)."
            )


def _arm(journal: Journal, known: Mapping[str, Any], name: str, incumbent: bool) -> Json:
    """One arm's steps. Those that all arms take are no part of an exit, but are shown."""
    arm = known.get("arms", {}).get(name, NOTHING)
    steps = list(arm.get("steps", ()))
    started = journal.input("arms", {}).get(name, {}).get("seconds")
    busy = journal.busy().get(name)
    if not incumbent and started is not None:
        steps.insert(0, {"step": PROVISION, "seconds": started})
    if busy is not None:
        steps.append({"step": CHECKS, "seconds": busy.seconds})
    return {
        "name": name,
        "tests": arm.get("tests"),
        "failure": arm.get("failure"),
        "strays": arm.get("strays", 0),
        "strays_left": arm.get("strays_left", 0),
        "floods": arm.get("floods", 0),
        "steps": steps,
        "smallest": smallest(journal, name),
        "seconds": sum(step["seconds"] for step in steps) if steps else None,
    }


def _known(journal: Journal) -> Mapping[str, Any]:
    known: Mapping[str, Any] = journal.input("app", NOTHING)
    return known
