"""Apps as folders and as sources, for the tests of what changes in code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exitdrill.code.sources import Source, language_of

Files = Mapping[str, str | bytes]


def folder(root: Path, files: Files) -> Path:
    """A folder that holds these files and nothing else."""
    root.mkdir(parents=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def sources(files: Files) -> dict[str, Source]:
    """The same without a folder; what is no code is left out."""
    found = {}
    for path, content in files.items():
        language = language_of(path)
        if language is not None:
            data = content.encode() if isinstance(content, str) else content
            found[path] = Source(path, language, data)
    return found
