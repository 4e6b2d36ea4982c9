"""What the journal knows of an exit that an app makes, beside its trials and its calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from exitdrill.app.confine import landlock_version
from exitdrill.journal import Journal

REHEARSAL = -3
"""The position that a candidate's first runs have in the journal: they are no trials."""
INPUT = "app"
"""The name of the record in the journal."""


@dataclass
class Log:
    """What the journal knows of the exit: each arm's steps, what was found, and the way back."""

    journal: Journal
    arms: dict[str, dict[str, Any]] = field(init=False)
    back: dict[str, Any] | None = field(init=False)

    def __post_init__(self) -> None:
        known = self.journal.input(INPUT, {})
        self.arms, self.back = known.get("arms", {}), known.get("way_back")

    def of(self, name: str) -> dict[str, Any]:
        """One arm's record: ``steps``, ``tests`` and ``failure``."""
        return self.arms.setdefault(
            name, {"steps": [], "tests": None, "failure": None, "strays": 0, "floods": 0}
        )

    def put(self) -> None:
        """Write it."""
        known = {"contained": landlock_version() > 0, "arms": self.arms, "way_back": self.back}
        self.journal.put_inputs({INPUT: known})


def barred(journal: Journal) -> dict[str, str]:
    """Which candidates are not to be asked, and why: the exit failed before the first case."""
    found = {
        name: f"the swap cannot be applied: {swap['error']}"
        for name, swap in journal.input("swaps", {}).items()
        if "error" in swap
    }
    arms = journal.input(INPUT, {}).get("arms", {})
    return found | {name: arm["failure"] for name, arm in arms.items() if arm["failure"]}
