"""Reports: report.json and cases.jsonl in, files for people and for other programs out.

A renderer is a function from `Document` to text. A new one is a module and a line in `RENDERERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from exitdrill.errors import UsageError
from exitdrill.files import replacing
from exitdrill.report import html, junit, markdown
from exitdrill.report.document import SCHEMA_VERSION, Document, load, schema, validate

__all__ = ["RENDERERS", "SCHEMA_VERSION", "Document", "load", "render", "schema", "validate"]

RENDERERS: Mapping[str, Callable[[Document], str]] = {
    "report.html": html.render,
    "report.md": markdown.render,
    "junit.xml": junit.render,
}
"""File name -> what writes it."""


def render(folder: Path) -> list[Path]:
    """Write every report of a drill's folder, and say which files they are.

    Raises `UsageError` where report.json or cases.jsonl cannot be used, `StorageFailed` where a
    report cannot be written. Nothing is written before everything is rendered, and a file is
    replaced whole or not at all.
    """
    if not folder.is_dir():
        raise UsageError("no such folder", path=folder)
    document = load(folder)
    texts = {folder / name: renderer(document) for name, renderer in RENDERERS.items()}
    for path, text in texts.items():
        with replacing(path) as file:
            file.write(text)
    return list(texts)
