"""Reports: whatever a model said or a file holds stays text, in every format."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from tests.harness import report_sample as sample
from tests.harness.report_hostile import HOSTILE, hostile_report
from tests.harness.report_sample import rendered

from exitdrill.report import RENDERERS, render
from exitdrill.report.text import LONGEST, visible

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200c-\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_asks_nobody_and_runs_nothing(tmp_path: Path) -> None:
    page = Page(rendered(tmp_path, "report.html", hostile_report()))
    assert not {"script", "img", "iframe", "link", "object", "embed", "form"} & set(page.tags)
    assert set(page.tags) == set(Page(rendered(tmp_path, "report.html")).tags) | {"br"}
    assert {value for name, value in page.attributes if name == "http-equiv"} == {
        "Content-Security-Policy"
    }
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in {"src", "srcset", "action", "style", "data"}
        assert name != "href" or re.fullmatch(r"#[a-z0-9-]+", value or "")
    css = next(text for text in page.text if ":root" in text)
    assert "url(" not in css
    assert "@import" not in css


@pytest.mark.parametrize("hostile", HOSTILE)
def test_html_shows_hostile_text_as_text(tmp_path: Path, hostile: str) -> None:
    page = Page(rendered(tmp_path, "report.html", hostile_report((hostile,))))
    assert any(visible(hostile) in text for text in page.text)


@pytest.mark.parametrize("name", list(RENDERERS))
def test_nothing_unseen_comes_through(tmp_path: Path, name: str) -> None:
    text = rendered(tmp_path, name, hostile_report())
    assert not UNSEEN.search(text)
    assert "⟨U+202E⟩" in text
    assert "⟨U+D800⟩" in text


def test_markdown_injection(tmp_path: Path) -> None:
    """The same structure as without hostile strings: no link, no image, no markup, no new cell."""
    mild = structure(rendered(tmp_path, "report.md", hostile_report(("x",) * len(HOSTILE))))
    comment = rendered(tmp_path, "report.md", hostile_report())
    assert structure(comment) == mild
    assert not {"html_inline", "html_block", "link_open", "image", "fence", "em_open"} & set(mild)
    for reference in ("@octocat", "#12 ", "GH-12", ":tada:", "!3", "://", "www."):
        assert reference not in comment


def structure(comment: str) -> list[str]:
    """The kinds of a comment's tokens, in order."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(comment)
    inner = [child.type for token in tokens for child in token.children or []]
    return [token.type for token in tokens] + [kind for kind in inner if kind != "text_special"]


def test_junit_of_hostile_text_is_xml(tmp_path: Path) -> None:
    root = ET.fromstring(rendered(tmp_path, "junit.xml", hostile_report()))
    assert root[0].get("name") == visible(" ".join(HOSTILE))


def test_ten_megabytes_in_one_line(tmp_path: Path) -> None:
    data = sample.report()
    data["selection"]["shown"][0]["answers"][0]["answer"] = "x" * 10_000_000
    data["selection"]["shown"][0]["expected"] = {"deep": nested(60)}
    data["not_tested"] = ["\x00" * 10_000_000]
    rows = [*sample.trials(), {"arm": "vendor", "answer": "y" * 10_000_000, "status": "answered"}]
    folder = sample.write(tmp_path, data, rows)
    for path in render(folder):
        assert path.stat().st_size < 200_000
    page = (folder / "report.html").read_text()
    assert f"… [{10_000_000 - LONGEST:,} more characters not shown]" in page
    assert "nested deeper than is shown" in page


def nested(depth: int) -> Any:
    """Lists in lists."""
    return [] if depth == 0 else [nested(depth - 1)]
