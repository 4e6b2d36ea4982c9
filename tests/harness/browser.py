"""The system's Chromium, for tests that look at a page; skipped where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser. Skips the test, with the reason, where that cannot be."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: no test in a real browser"
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium on PATH ({', '.join(NAMES)}): no test in a real browser")
    root = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*ARGUMENTS, *root])
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that was opened, what its console said, and what it asked for."""

    page: Page
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def visit(browser: Browser, path: Path, **settings: Any) -> Iterator[Visit]:
    """Open a file; ``settings`` are those of a new browser context (viewport, color_scheme, …)."""
    context = browser.new_context(**settings)
    made = Visit(context.new_page())
    made.page.on("console", lambda message: made.console.append(message.text))
    made.page.on("pageerror", lambda error: made.console.append(str(error)))
    made.page.on("dialog", lambda dialog: made.console.append(f"dialog: {dialog.message}"))
    made.page.on("request", lambda request: made.requests.append(request.url))
    made.page.goto(path.as_uri())
    yield made
    context.close()


def picture(source: Path, target: Path, height: int = 1180) -> None:
    """A PNG of the top of a report, for a README."""
    settings: dict[str, Any] = {"viewport": {"width": 1280, "height": height}}
    with chromium() as browser, visit(browser, source.resolve(), **settings) as made:
        made.page.screenshot(path=target)


def violations(page: Page) -> list[str]:
    """What axe finds against accessibility, as ``rule: element``."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in found
        for node in violation["nodes"]
    ]


if __name__ == "__main__":
    try:
        picture(Path(sys.argv[1]), Path(sys.argv[2]))
    except pytest.skip.Exception as reason:
        sys.exit(f"no picture: {reason}")
