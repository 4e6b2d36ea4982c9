"""What comes with the package: the built-in scenarios and the models that they run on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FILE = "scenario.toml"


def folder() -> Path | None:
    """Where the built-in scenarios are installed, or None where they are not."""
    spec = importlib.util.find_spec("exitdrill_scenarios")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def scenarios() -> dict[str, Path]:
    """The folders of the built-in scenarios, by name."""
    root = folder()
    return (
        {}
        if root is None
        else {path.parent.name: path.parent for path in sorted(root.glob(f"*/{FILE}"))}
    )


def models() -> str:
    """What ``{models}`` stands for in a scenario: the folder of the models that come with us."""
    root = folder()
    return str(root / "models") if root else "{models}"
