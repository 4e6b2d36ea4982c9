"""Measures that an installed package brings."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

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


SHOUTED = Measure(
    "shouted", "in capitals", "share", "drift", "lower", share_row("shouted"), shouted
)
SECOND = replace(SHOUTED, name="shouted_too", column_name="shouted")
BROKEN_COLUMN = replace(
    SHOUTED, name="broken", column=broken, row=share_row("broken"), label="broken"
)
BROKEN_ROW = replace(SHOUTED, name="broken_row", row=broken_row)
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
    facts = Pair(arm("old", {"shouted": [[1]]}), arm("new", {"shouted": [[1]]}), 0.9)
    assert found.row(facts) == Row(note="not measured: broken_row raised KeyError: 'nothing'")


def test_what_a_column_raises_does_not_cost_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = offered(monkeypatch, "BROKEN_COLUMN", "SHOUTED", "BROKEN_ROW")
    for place in ("measures.BY_NAME", "measures.facts.BY_NAME", "results.BY_NAME"):
        monkeypatch.setattr(f"exitdrill.{place}", registry)
    found = drill(tmp_path / "d", 4, old=scripted(right), new=scripted(right))
    row = found.row("new", "broken")
    assert (row["candidate"], row["n"]) == (None, 0)
    assert row["note"].startswith("not measured")
    assert row["note"].endswith("broken raised ZeroDivisionError: by nothing")
    assert found.row("new", "shouted")["candidate"] == 0
    assert "broken_row raised KeyError" in found.row("new", "broken_row")["note"]
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
