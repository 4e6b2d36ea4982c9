"""Hand-made trials, arms and pairs: what a measure and a gate see, without a drill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from exitdrill.backend import Reply, Request, ToolCall
from exitdrill.checkers import Checker
from exitdrill.measures import MEASURES
from exitdrill.measures.base import ArmFacts, Pair, TrialView
from exitdrill.records import Exchange, Failure, Trial
from exitdrill.stats import Interval
from exitdrill.workload import Case

COLUMNS = {name for measure in MEASURES for name in measure.columns}
BROKEN = Failure("server", "it broke", 500)
NAN = float("nan")
INF = float("inf")
Column = npt.NDArray[Any] | Sequence[Sequence[float]]


def view(
    reply: Reply | str = "",
    *,
    reference: Reply | str | None = None,
    checker: Checker | None = None,
    expected: Any = None,
    failure: Failure | None = None,
    sent_ns: int = 0,
    money: float | None = None,
) -> TrialView:
    """One completed trial as a column sees it; a text stands for a reply with that text."""
    case = Case("c", Request("chat", {"messages": []}), checker="c", expected=expected)
    exchange = Exchange(failure=failure, sent_ns=sent_ns, money=money)
    trial = Trial("arm", 0, 0, "failed" if failure else "answered", exchange)
    said, base = (
        Reply(text=each) if isinstance(each, str) else each for each in (reply, reference)
    )
    assert said is not None
    return TrialView(trial, case, said, checker, base)


def call(name: str, arguments: str, call_id: str | None = None) -> Reply:
    """A reply that is one tool call."""
    return Reply(tool_calls=(ToolCall(call_id, name, arguments),))


def arm(name: str, columns: Mapping[str, Column], **facts: Any) -> ArmFacts:
    """An arm with these columns; every trial was answered, unless ``answered`` says otherwise."""
    made = {key: np.array(column, dtype=float) for key, column in columns.items()}
    shape = next(iter(made.values())).shape
    nothing = {key: np.full(shape, NAN) for key in COLUMNS}
    return ArmFacts(name, nothing | {"answered": np.ones(shape)} | made, **facts)


def pair(
    incumbent: Mapping[str, Column],
    candidate: Mapping[str, Column],
    confidence: float = 0.9,
    **facts: Any,
) -> Pair:
    """Two arms beside each other; ``facts`` are the candidate's."""
    return Pair(arm("old", incumbent), arm("new", candidate, **facts), confidence)


def successes(n: int, lost: int = 0, gained: int = 0, repeats: int = 2) -> Pair:
    """``n`` cases: so many that only the incumbent, or only the candidate, gets right."""
    old, new = np.ones((n, repeats)), np.ones((n, repeats))
    new[:lost] = 0
    old[lost : lost + gained] = 0
    return pair({"success": old}, {"success": new})


def width(interval: Interval | None) -> float:
    """How wide an interval is."""
    assert interval is not None
    return interval[1] - interval[0]
