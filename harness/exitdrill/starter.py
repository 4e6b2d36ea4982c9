"""``exitdrill init``: a commented scenario to begin with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from exitdrill.errors import UsageError
from exitdrill.files import replacing

TEMPLATE = files("exitdrill") / "template"
NAMES = ("scenario.toml", "requests.jsonl", "meta.jsonl")


def write_starter(folder: Path) -> list[Path]:
    """Write the starter scenario; returns its files.

    Raises `UsageError` rather than overwrite anything.
    """
    for name in NAMES:
        if (folder / name).exists():
            raise UsageError("is there already, and is not overwritten", path=folder / name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", path=folder) from None
    for name in NAMES:
        with replacing(folder / name) as file:
            file.write((TEMPLATE / name).read_text(encoding="utf-8"))
    return [folder / name for name in NAMES]
