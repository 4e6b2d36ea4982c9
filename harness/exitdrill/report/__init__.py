"""Reports: report.json and cases.jsonl in, files for people and for other programs out.

A renderer writes a `Document` into a text file. A new one is a module and a line in `RENDERERS`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from exitdrill.errors import StorageFailed, UsageError
from exitdrill.files import replacing
from exitdrill.report import html, junit, markdown
from exitdrill.report.document import REPORT, SCHEMA_VERSION, Document, load, schema, validate
from exitdrill.report.registered import JOURNAL

__all__ = [
    "RENDERERS",
    "REPORT",
    "SCHEMA_VERSION",
    "Document",
    "load",
    "render",
    "schema",
    "validate",
]

RENDERERS: Mapping[str, Callable[[Document, TextIO], None]] = {
    "report.html": html.render,
    "report.md": markdown.render,
    "junit.xml": junit.render,
}
"""File name -> what writes it."""


def render(folder: Path, *, check: bool = True) -> list[Path]:
    """Write every report of a drill's folder, and say which files they are.

    ``check`` is whether report.json is held against its schema first, and against the plan that was
    registered: where it does not fit, every verdict that is shown is inconclusive.
    Raises `UsageError` where report.json or cases.jsonl cannot be used, `StorageFailed` where a
    report cannot be written. No file is replaced before all are rendered, and then whole or not
    at all.
    """
    if not folder.is_dir():
        raise UsageError("no such folder", path=folder)
    if not (folder / REPORT).exists() and (folder / JOURNAL).exists():
        raise UsageError(
            "there is no verdict yet: this drill was interrupted, or is under way; "
            f"exitdrill run SCENARIO --resume {shlex.quote(str(folder))} continues it",
            path=folder,
        )
    document = load(folder, check=check)
    paths = [folder / name for name in RENDERERS]
    with ExitStack() as drafts:
        for path, renderer in zip(paths, RENDERERS.values(), strict=True):
            file = drafts.enter_context(replacing(path))
            _write(renderer, document, file, path)
    return paths


def _write(
    renderer: Callable[[Document, TextIO], None], document: Document, file: TextIO, path: Path
) -> None:
    """Render into a draft. A disk that is full is named by the file that it has no room for."""
    try:
        renderer(document, file)
    except OSError as error:
        raise StorageFailed(f"{path} could not be written: {error.strerror}") from error
