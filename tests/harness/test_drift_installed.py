"""Measures that an installed package brings."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.harness.facts_of import arm, view
from tests.harness.test_results import drill, right

from exitdrill import measures
from exitdrill.errors import UsageError
from exitdrill.measures import MEASURES
from exitdrill.measures.base import Measure, Pair, Row, TrialView
from exitdrill.measures.registry import Registry
from exitdrill.measures.shares import share_row
from exitdrill_adapters.scripted import scripted


def shouted(trial: TrialView) -> float:
    """1 for an answer in capitals."""
    return float(trial.reply.text.isupper())


def broken(_: TrialView) -> float:
    """Never a number."""
    raise ZeroDivisionError("by nothing")


def broken_row(_: Pair) -> Row:
    """Never a row."""
    raise KeyError("nothing")


def leaving(_: TrialView | Pair) -> Any:
    """Ends the program, if it is let."""
    raise SystemExit(0)


SHOUTED = Measure(
    "shouted", "in capitals", "share", "drift", "lower", share_row("shouted"), shouted
)
SECOND = replace(SHOUTED, name="shouted_too", column_name="shouted")
BROKEN_COLUMN = replace(
    SHOUTED, name="broken", column=broken, row=share_row("broken"), label="broken"
)
BROKEN_ROW = replace(SHOUTED, name="broken_row", row=broken_row)
LEAVING = replace(BROKEN_COLUMN, name="leaving", column=leaving, row=share_row("leaving"))
LEAVING_ROW = replace(SHOUTED, name="leaving_row", row=leaving)
NOTHING: Any = None
NO_ROW = replace(SHOUTED, name="no_row", row=lambda _: NOTHING)
OF_SUCCESS = replace(SHOUTED, name="mine", column_name="success")
OTHER_NEEDS = replace(SHOUTED, needs={"total": shouted})
NOWHERE = replace(SHOUTED, section="elsewhere")  # type: ignore[arg-type]  # that is the point
NO_MEASURE = "no measure"


def offered(monkeypatch: pytest.MonkeyPatch, *names: str) -> Registry:
    """A registry where these names of this module are installed."""
    here = sys.modules[__name__]
    entries = [
        EntryPoint(name, f"{__name__}:{name}", "exitdrill.measures") for name in reversed(names)
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    monkeypatch.setattr(EntryPoint, "load", lambda entry: getattr(here, entry.attr))
    return Registry(MEASURES)


SEVERAL = [SHOUTED, SECOND]


def test_an_entry_is_a_measure_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    one = offered(monkeypatch, "SHOUTED")
    assert list(one) == [*(each.name for each in MEASURES), "shouted"]
    assert one.columns["shouted"](view("HO")) == 1
    assert one.installed == {"shouted"}
    assert list(offered(monkeypatch, "SEVERAL"))[-2:] == ["shouted", "shouted_too"]
    assert list(offered(monkeypatch, "SHOUTED", "BROKEN_ROW"))[-2:] == ["broken_row", "shouted"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["SHOUTED", "SEVERAL"], "there are two measures of the name 'shouted'"),
        (["OF_SUCCESS"], "the measure 'mine' has a column 'success', as another measure has"),
        (["OTHER_NEEDS"], "the measure 'shouted' has a column 'total', as another measure has"),
        (["NOWHERE"], "is no Measure of the sections drift, latency, cost, change"),
        (["NO_MEASURE"], "is no Measure"),
        (["shouted"], "is no Measure"),
        (["missing"], "cannot be loaded: AttributeError"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    names: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as caught:
        len(offered(monkeypatch, *names))
    assert problem in str(caught.value)


def test_what_a_row_raises_is_said_in_its_note(monkeypatch: pytest.MonkeyPatch) -> None:
    found = offered(monkeypatch, "BROKEN_ROW")["broken_row"]
    assert found.row(A_PAIR) == Row(note="not measured: broken_row raised KeyError: 'nothing'")


A_PAIR = Pair(arm("old", {"shouted": [[1]]}), arm("new", {"shouted": [[1]]}), 0.9)


def returned(row: Any, monkeypatch: pytest.MonkeyPatch) -> Row:
    """What becomes of this row of an installed measure."""
    monkeypatch.setattr(sys.modules[__name__], "NO_ROW", replace(SHOUTED, row=lambda _: row))
    return offered(monkeypatch, "NO_ROW")["shouted"].row(A_PAIR)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (None, "NoneType, not a Row"),
        ({"candidate": 1}, "dict, not a Row"),
        (Row(candidate="high"), "'high' as a number"),  # type: ignore[arg-type]
        (Row(noise=1j), "1j as a number"),  # type: ignore[arg-type]
        (Row(n=float("nan")), "nan as n"),  # type: ignore[arg-type]
        (Row(n=-1), "-1 as n"),
        (Row(n="1"), "'1' as a number"),  # type: ignore[arg-type]
        (Row(interval=(1,)), "(1,) as an interval"),  # type: ignore[arg-type]
        (Row(own=5), "5 as an interval"),  # type: ignore[arg-type]
        (Row(estimate=10**400), "int too large"),
    ],
)
def test_what_is_no_row_is_not_measured(
    row: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = returned(row, monkeypatch).note
    assert note is not None
    assert note.startswith(f"not measured: shouted returned {problem}")


def test_a_row_becomes_one_of_plain_numbers_and_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: Any = np.float32(0.5), np.int64(3), np.array([0.0, 1.0]), np.float64("nan")
    half, three, ends, nan = numbers
    odd: Any = Row(half, nan, -half, ends, (nan, 1.0), three, math.inf, 5, 7)  # type: ignore[arg-type]
    found = returned(odd, monkeypatch)
    assert found == Row(0.5, None, -0.5, (0.0, 1.0), None, 3, math.inf, "5", "7")
    assert [type(each) for each in (found.incumbent, found.n, found.note)] == [float, int, str]
    json.dumps(asdict(found))


def test_what_a_column_raises_does_not_cost_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = ("BROKEN_COLUMN", "SHOUTED", "BROKEN_ROW", "LEAVING", "LEAVING_ROW", "NO_ROW")
    registry = offered(monkeypatch, *names)
    for place in ("measures.BY_NAME", "measures.facts.BY_NAME", "results.BY_NAME"):
        monkeypatch.setattr(f"exitdrill.{place}", registry)
    found = drill(tmp_path / "d", 4, old=scripted(right), new=scripted(right))
    row = found.row("new", "broken")
    assert (row["candidate"], row["n"]) == (None, 0)
    assert row["note"].startswith("not measured")
    assert row["note"].endswith("broken raised ZeroDivisionError: by nothing")
    assert found.row("new", "shouted")["candidate"] == 0
    assert "broken_row raised KeyError" in found.row("new", "broken_row")["note"]
    assert found.row("new", "leaving")["note"].endswith("raised RuntimeError: SystemExit: 0")
    assert "leaving_row raised SystemExit: 0" in found.row("new", "leaving_row")["note"]
    assert "no_row returned NoneType" in found.row("new", "no_row")["note"]
    assert found.row("new", "success")["candidate"] == 1


def test_entry_points_are_read_when_measures_are_needed(tmp_path: Path) -> None:
    code = (
        "import importlib.metadata\n"
        "import exitdrill.cli, exitdrill.measures, exitdrill.measures.facts\n"
        "importlib.metadata.entry_points = None\n"
        "try: len(exitdrill.measures.BY_NAME)\n"
        "except TypeError: print('read now')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "read now\n"


def test_the_table_has_no_name_twice() -> None:
    registry: Any = Registry(MEASURES)
    assert len({each.name for each in MEASURES}) == len(MEASURES) <= len(registry)
    assert set(measures.BY_NAME) >= {each.name for each in MEASURES}
