"""Reports: whatever a model said or a file holds stays text, in every format."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from tests.harness import report_sample as sample
from tests.harness.report_hostile import HOSTILE, hostile_report, hostile_trials
from tests.harness.report_sample import rendered, write

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


def hostile_page(tmp_path: Path) -> str:
    """The page of a report and cases that are hostile throughout."""
    write(tmp_path, hostile_report(), hostile_trials())
    render(tmp_path)
    return (tmp_path / "report.html").read_text()


def test_html_asks_nobody_and_runs_only_its_own_script(tmp_path: Path) -> None:
    text = hostile_page(tmp_path)
    page = Page(text)
    assert not {"img", "iframe", "link", "object", "embed", "form", "base"} & set(page.tags)
    mild = Page(rendered(tmp_path, "report.html"))
    optional = {"br", "details", "summary"}
    assert set(page.tags) - optional == set(mild.tags) - optional
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


def test_scripts_are_one_of_ours_and_packed_data(tmp_path: Path) -> None:
    text = hostile_page(tmp_path)
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.S)
    assert [attributes for attributes, _ in scripts] == [
        ' class="block" type="application/octet-stream;base64"',
        ' class="index" type="application/octet-stream;base64"',
        "",
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9+/]+=*", data) for _, data in scripts[:2])
    for source in (scripts[-1][1], text.partition("<style>")[2].partition("</style>")[0]):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in text.partition("Content-Security-Policy")[2][:400]
        assert "<!--" not in source
    policy = text.partition('Content-Security-Policy" content="')[2].partition('"')[0]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


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
    assert not {"html_inline", "link_open", "image", "fence", "em_open"} & set(mild)
    folds = {kind for kind in mild if kind.startswith("html_block")}
    assert folds == {
        "html_block <details><summary>Registered before the first call</summary>",
        "html_block <details><summary>What was measured</summary>",
        "html_block </details>",
    }
    for reference in ("@octocat", "#12 ", "GH-12", ":tada:", "!3", "://", "www."):
        assert reference not in comment


def structure(comment: str) -> list[str]:
    """The kinds of a comment's tokens, in order."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(comment)
    inner = [child.type for token in tokens for child in token.children or []]
    blocks = [
        f"html_block {token.content.strip()}" if token.type == "html_block" else token.type
        for token in tokens
    ]
    return blocks + [kind for kind in inner if kind != "text_special"]


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
