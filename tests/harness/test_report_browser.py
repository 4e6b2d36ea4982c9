"""report.html in a real browser: what it shows, asks for, lets run, and how it is worked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness import report_sample as sample
from tests.harness.browser import Visit, chromium, violations, visit
from tests.harness.report_hostile import HOSTILE, hostile_report, hostile_trials

from exitdrill.report import render
from exitdrill.report.text import visible

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CASES = 120
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this module."""
    with chromium() as running:
        yield running


def written(folder: Path, data: Any = None, rows: Any = None) -> Path:
    """A rendered report.html."""
    render(sample.write(folder, data, sample.trials(CASES) if rows is None else rows))
    return folder / "report.html"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's page, with a table of cases."""
    return written(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def opened(browser: Browser, page_file: Path) -> Iterator[Visit]:
    """The sample's page, opened once."""
    with visit(browser, page_file) as made:
        ready(made.page)
        yield made


@pytest.fixture
def seen(opened: Visit, page_file: Path) -> Iterator[Visit]:
    """The opened page as it was at first; a test may not make it say or ask anything."""
    opened.page.emulate_media(media="screen")
    opened.page.click("#cases-reset")
    pick(opened.page, candidate=sample.ARMS[1])
    yield opened
    assert opened.console == []
    assert opened.requests == [page_file.as_uri()]


def ready(page: Page) -> None:
    """Wait for the table of cases."""
    page.wait_for_selector("html[data-cases=ready]", timeout=30_000)


def status(page: Page) -> str:
    """How many cases there are, as it is announced."""
    return page.locator("#cases-status").inner_text()


def announced(page: Page, hits: int) -> None:
    """Wait until so many cases are announced."""
    from playwright.sync_api import expect

    expect(page.locator("#cases-status")).to_have_text(f"{hits} of {CASES} cases")


def shown(page: Page) -> list[str]:
    """The cases on the page of the table."""
    return page.locator("button.opener").all_inner_texts()


def pick(page: Page, **choices: str) -> None:
    """Choose in the selects of the table, by the beginning of an option."""
    for name, label in choices.items():
        options = page.locator(f"#cases-{name} option").all_inner_texts()
        page.locator(f"#cases-{name}").select_option(
            label=next(each for each in options if each.startswith(label))
        )


# --- what it shows ------------------------------------------------------------------------------


def test_table_takes_the_place_of_the_static_selection(seen: Visit) -> None:
    page = seen.page
    assert status(page) == f"{CASES} of {CASES} cases"
    assert not page.locator("#static-cases").is_visible()
    assert len(shown(page)) == 50
    assert shown(page)[:2] == ["ticket-0000", "ticket-0005"]  # the lost ones come first
    assert page.locator("#cases-place").inner_text() == f"1 to 50 of {CASES}"
    page.click("#cases-last")
    assert page.locator("#cases-place").inner_text() == f"101 to {CASES} of {CASES}"
    assert page.locator("#cases-next").get_attribute("aria-disabled") == "true"


def test_the_last_page_keeps_the_focus(seen: Visit) -> None:
    page = seen.page
    page.focus("#cases-last")
    for _ in range(2):  # a second time, it does nothing
        page.keyboard.press("Enter")
        assert page.locator("#cases-place").inner_text() == f"101 to {CASES} of {CASES}"
        assert page.evaluate("document.activeElement.id") == "cases-last"
    page.click("#cases-first")


def test_the_chosen_candidate_decides_the_order(browser: Browser, tmp_path: Path) -> None:
    """Another candidate's losses do not come before the chosen one's."""
    rows = list(sample.trials(8))
    for row in rows:
        if row["arm"] == "other-vendor" and row["case"] == "ticket-0006":
            row["measures"] = row["measures"] | {"success": 0.0}
    with visit(browser, written(tmp_path, rows=rows)) as made:
        ready(made.page)
        assert shown(made.page)[:3] == ["ticket-0000", "ticket-0005", "ticket-0006"]
        pick(made.page, candidate="other-vendor")
        assert shown(made.page)[:3] == ["ticket-0006", "ticket-0000", "ticket-0005"]
        pick(made.page, candidate="gpu-host")
        assert shown(made.page)[0] == "ticket-0004"  # not answered


def test_without_scripts_the_selection_stands(browser: Browser, page_file: Path) -> None:
    with visit(browser, page_file, java_script_enabled=False) as made:
        assert made.page.locator("#static-cases").is_visible()
        assert not made.page.locator("#cases-browser").is_visible()
        assert made.page.locator("#static-cases article").count() == 1
        links = made.page.locator("a.to-cases")
        assert links.count() > 1
        assert not any(link.is_visible() for link in links.all())


def test_without_cases_jsonl_there_is_no_script(browser: Browser, tmp_path: Path) -> None:
    folder = sample.write(tmp_path)
    (folder / "cases.jsonl").unlink()
    render(folder)
    assert "<script" not in (folder / "report.html").read_text()
    with visit(browser, folder / "report.html") as made:
        assert "there is no table of all cases" in made.page.locator("#static-cases").inner_text()
        assert made.page.locator("a.to-cases").count() == 0
        assert made.console == []


def test_print_says_what_was_chosen(seen: Visit) -> None:
    page = seen.page
    page.fill("#cases-search", "blue")
    announced(page, 30)
    page.emulate_media(media="print")
    assert not page.locator(".filters").is_visible()
    assert "Printed are cases 1 to 30 of 30" in page.locator("#cases-printed").inner_text()
    assert page.locator("#cases-printed").is_visible()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("light", {}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": PHONE}),
    ],
)
def test_accessible(browser: Browser, page_file: Path, name: str, settings: dict[str, Any]) -> None:
    with visit(browser, page_file, **settings) as made:
        page = made.page
        ready(page)
        page.locator("button.opener").first.click()
        page.wait_for_selector("#cases-detail h3")
        page.evaluate(
            "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
        )
        assert violations(page) == []
        width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, "nothing may stick out of the page"
        assert made.console == []


@pytest.mark.parametrize("settings", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}])
def test_all_that_may_be_said_is_accessible(
    browser: Browser, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with visit(browser, written(tmp_path, sample.every_cause()), **settings) as made:
        ready(made.page)
        assert violations(made.page) == []
        assert made.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        warning = made.page.locator(".banner .warning").first
        assert "gates[0].margin, alpha" in warning.inner_text()
        first = made.page.locator(".banner p:nth-child(3)")
        assert first.inner_text() == sample.FAILS_ITSELF


def test_why_a_gate_is_open_makes_its_table_no_wider(browser: Browser, tmp_path: Path) -> None:
    with visit(browser, written(tmp_path, sample.every_cause()), viewport=PHONE) as made:
        tables = made.page.locator("table.gates")
        widths = tables.evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
        assert widths[2] <= widths[0]


# --- the table ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "flags", "expected"),
    [
        ("mistral-local", ["lost"], 24),
        ("mistral-local", ["changed"], 24),
        ("mistral-local", ["failed", "changed"], 24),
        ("mistral-local", ["slower"], 0),
        ("other-vendor", ["slower"], CASES),
        ("other-vendor", ["form only"], CASES),
        ("other-vendor", ["edited"], 40),
        ("other-vendor", ["edited", "slower"], 40),
        ("gpu-host", ["failed"], 1),
    ],
)
def test_filters(seen: Visit, candidate: str, flags: list[str], expected: int) -> None:
    page = seen.page
    pick(page, candidate=candidate)
    for flag in flags:
        page.get_by_role("button", name=re.compile(f"^{flag} ")).click()
    assert status(page) == f"{expected} of {CASES} cases"
    pressed = page.locator("#cases-flags [aria-pressed=true]")
    assert pressed.count() == len(flags)
    page.click("#cases-reset")
    assert status(page) == f"{CASES} of {CASES} cases"


def test_search_tags_and_changes(seen: Visit) -> None:
    page = seen.page
    pick(page, tag="parcel")
    assert status(page) == f"30 of {CASES} cases"
    pick(page, change="another value of category")
    assert status(page) == f"6 of {CASES} cases"
    pick(page, tag="any", change="any")
    page.fill("#cases-search", "PARCEL 0013")
    announced(page, 1)
    assert shown(page) == ["ticket-0013"]
    page.fill("#cases-search", "billing")
    announced(page, 0)
    assert page.locator("#cases-empty").is_visible()
    page.check("#cases-deep")
    announced(page, 24)


def test_a_change_leads_to_its_cases(seen: Visit) -> None:
    page = seen.page
    link = page.locator("a.to-cases", has_text="in a code fence")
    assert link.inner_text().startswith(f"show {CASES} cases")
    assert not page.locator("a.to-cases", has_text="order is missing").is_visible()  # in none
    link.click()
    assert page.url.endswith("#cases")
    assert page.locator("#cases-candidate option:checked").inner_text() == "other-vendor"
    assert page.locator("#cases-change option:checked").inner_text().startswith("in a code fence")
    assert status(page) == f"{CASES} of {CASES} cases"


def test_a_rare_change_leads_to_its_cases_too(browser: Browser, tmp_path: Path) -> None:
    """Of more changes than a list holds, the last one."""
    data = sample.report()
    labels = [f"key{number}: added" for number in range(600)]
    groups = [sample.group("field_added", None, label, (2, 0.0, 0, 0)) for label in labels]
    data["candidates"][0]["changes"]["groups"] = groups
    rows = [sample.trial(0, "vendor"), *(sample.trial(0, "mistral-local") for _ in labels)]
    for row, label in zip(rows[1:], labels, strict=True):
        row |= {"changes": [sample.change("field_added", label)]}
    rows += [sample.trial(1, arm) for arm in sample.ARMS[:2]]
    with visit(browser, written(tmp_path, data, rows)) as made:
        page = made.page
        ready(page)
        options = page.locator("#cases-change option").all_inner_texts()
        assert len(options) == 502
        assert options[-1] == "100 rarer ones are not listed"
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        page.locator("a.to-cases", has_text="key599:").click()
        assert page.locator("#cases-change option:checked").inner_text() == "key599: added (1)"
        assert status(page) == "1 of 2 cases"
        assert made.console == []


def test_no_link_shows_every_case(browser: Browser, tmp_path: Path) -> None:
    """Groups that differ in their label alone, and one of rare changes together."""
    data = sample.report()
    labels = ("no answer: auth", "no answer: timeout", "error: elsewhere")
    groups = [sample.group("error", None, label, (2, 0.0, 0, 0)) for label in labels]
    data["candidates"][0]["changes"]["groups"] = groups
    rows = list(sample.trials(6))
    for row in rows:
        if row["arm"] == "mistral-local":
            late = row["case"] in {"ticket-0001", "ticket-0002"}
            row["changes"] = [sample.change("error", labels[late])]
    with visit(browser, written(tmp_path, data, rows)) as made:
        page = made.page
        ready(page)
        for label, cases in zip(labels[:2], (4, 2), strict=True):
            page.locator("a.to-cases", has_text=label).click()
            assert status(page) == f"{cases} of 6 cases"
            assert (
                page.locator("#cases-rows td[data-label='What changed']").all_inner_texts()
                == [label] * cases
            )
        assert page.locator("a.to-cases", has_text=labels[2]).count() == 0


def test_sorting(seen: Visit) -> None:
    page = seen.page
    header = page.locator("th[data-key=after]")
    button = header.get_by_role("button")
    assert header.get_attribute("aria-sort") == "none"
    for order, first in (
        ("ascending", "ticket-0000"),
        ("descending", "ticket-0004"),
        ("none", "ticket-0000"),
    ):
        button.click()
        assert header.get_attribute("aria-sort") == order
        assert shown(page)[0] == first
    page.locator("th[data-key=number] button").click()
    assert shown(page)[:3] == ["ticket-0000", "ticket-0001", "ticket-0002"]


def test_the_calls_of_an_app_stand_in_its_case(browser: Browser, tmp_path: Path) -> None:
    data, rows = sample.report(), list(sample.trials(2))
    for row in rows:
        call = {"to": row["arm"], "path": "/v1/chat/completions", "status": 200, "error": None}
        row["calls"] = [call, {**call, "to": "vendor"}] if row["case"] == rows[0]["case"] else []
    with visit(browser, written(tmp_path, data, rows)) as made:
        page = made.page
        ready(page)
        outcomes = page.locator("#cases-rows td[data-label='Outcome']").all_inner_texts()
        assert [text for text in outcomes if "calls the incumbent" in text] == outcomes[:1]
        page.locator("button.opener").first.click()
        page.wait_for_selector("#cases-detail h3")
        said = page.locator("#cases-detail").inner_text()
        assert "STILL CALLS vendor · /v1/chat/completions · 200" in said, "it is unfolded"
        assert said.startswith("Input")
        assert "ended by" not in said


def test_a_case_is_opened_side_by_side(seen: Visit) -> None:
    page = seen.page
    page.locator("button.opener").first.click()
    page.wait_for_selector("#cases-detail h3")
    assert page.locator("#cases-detail mark").all_inner_texts() == ["invoice", "billing"]
    boxes = page.locator("#cases-detail section.answer")
    assert boxes.nth(0).locator("h4").inner_text() == "vendor (incumbent)"
    assert "✗ wrong · 900 ms · ended by stop" in boxes.nth(1).inner_text()
    left, right = (boxes.nth(side).bounding_box() for side in (0, 1))
    assert left
    assert right
    assert left["y"] == right["y"]
    page.get_by_role("button", name="ticket-0005").click()
    page.wait_for_selector("#cases-detail h3")
    assert page.locator("#cases-detail").count() == 1


def test_marked_text_keeps_no_case_from_opening(seen: Visit) -> None:
    page = seen.page
    mark = """(place) => {
        getSelection().removeAllRanges();
        getSelection().selectAllChildren(document.querySelector(place));
    }"""
    openers = page.locator("button.opener")
    page.evaluate(mark, "h1")
    openers.nth(0).focus()
    page.keyboard.press("Enter")
    assert openers.nth(0).get_attribute("aria-expanded") == "true"
    # A click where text was marked would unmark it: what matters is what is marked when it ends.
    click = "(row) => row.querySelector('.head').click()"
    row = page.locator("#cases-rows tr[data-row]")
    page.evaluate(mark, "h1")
    row.nth(1).evaluate(click)
    assert openers.nth(1).get_attribute("aria-expanded") == "true"
    page.evaluate(mark, "#cases-rows tr[data-row='1'] .head")
    openers.nth(2).evaluate("(each) => each.click()")
    assert openers.nth(2).get_attribute("aria-expanded") == "true"
    row.nth(1).evaluate("(each) => getSelection().selectAllChildren(each)")
    row.nth(1).evaluate(click)
    assert openers.nth(1).get_attribute("aria-expanded") == "false"
    page.evaluate("getSelection().removeAllRanges()")


def test_answers_that_are_the_same_fill_the_width(seen: Visit) -> None:
    page = seen.page
    page.get_by_role("button", name="ticket-0001").click()
    page.wait_for_selector("#cases-detail h3")
    assert "The same, to the letter." in page.locator("#cases-detail").inner_text()
    boxes = page.locator("#cases-detail section.answer")
    cell, right = page.locator("#cases-detail td").bounding_box(), boxes.nth(1).bounding_box()
    assert cell
    assert right
    assert right["x"] + right["width"] > cell["x"] + cell["width"] - 30


def test_keyboard(seen: Visit) -> None:
    page = seen.page
    focused = "document.activeElement.innerText"
    page.locator("button.opener").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == shown(page)[2]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_selector("#cases-detail h3")
    opener = page.locator("button.opener").nth(1)
    assert opener.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Tab")  # into the opened case
    assert page.evaluate("document.activeElement.closest('#cases-detail') !== null")
    page.keyboard.press("Escape")
    assert page.locator("#cases-detail").count() == 0
    assert page.evaluate(focused) == shown(page)[1]
    page.keyboard.press("End")
    assert page.evaluate(focused) == shown(page)[-1]
    page.keyboard.press("Home")
    assert page.evaluate(focused) == shown(page)[0]


# --- hostile ------------------------------------------------------------------------------------


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    data = hostile_report()
    names = [
        sample.ARMS[0],
        *(f"{name} {bad}" for name, bad in zip(sample.ARMS[1:], HOSTILE, strict=False)),
    ]
    data["incumbent"]["name"] = names[0]
    for candidate, name in zip(data["candidates"], names[1:], strict=True):
        candidate["name"] = name
    renamed = dict(zip(sample.ARMS, names, strict=True))
    rows = [row | {"arm": renamed[row["arm"]]} for row in hostile_trials()]
    with visit(browser, written(tmp_path, data, rows)) as made:
        page = made.page
        ready(page)
        assert status(page) == f"{len(HOSTILE)} of {len(HOSTILE)} cases"
        tags = (
            "[...document.querySelectorAll('img, iframe, svg[onload], a[href^=javascript]')].length"
        )
        for number, hostile in enumerate(HOSTILE):
            page.locator("button.opener").nth(number).click()
            page.wait_for_selector("#cases-detail h3")
            text = page.locator("#cases-detail").inner_text()
            assert " ".join(visible(hostile).split()) in " ".join(text.split())
            assert page.evaluate(tags) == 0
        assert page.locator("#cases-detail [onmouseover], #cases-detail a").count() == 0
        assert page.locator("body script").count() == 3
        assert made.console == []
        assert made.requests == [page.url]


def test_ten_megabytes_on_one_line(browser: Browser, tmp_path: Path) -> None:
    long = {"vendor": "a b " * 2_500_000, "mistral-local": "b a " * 2_500_000}
    rows = [
        sample.trial(number, arm) | {key: text, "changes": []}
        for number, key in enumerate(("answer", "prompt", "reasoning"))
        for arm, text in long.items()
    ]
    rows += [sample.trial(3, arm) | {"answer": "\u202e" * 1_700_000} for arm in long]
    path = written(tmp_path, rows=rows)
    assert path.stat().st_size < 300_000
    with visit(browser, path) as made:
        page = made.page
        ready(page)
        for number in range(4):
            page.locator("button.opener").nth(number).click()
            page.wait_for_selector("#cases-detail h3")
            assert len(page.locator("#cases-detail").inner_text()) < 80_000
        assert made.console == []


# --- many ---------------------------------------------------------------------------------------


def many(count: int) -> Iterator[dict[str, Any]]:
    """Two arms of so many cases; one in fifty is lost."""
    for number in range(count):
        for arm in ("vendor", "mistral-local"):
            lost = arm == "mistral-local" and number % 50 == 0
            answer = f"Answer {number} about parcel {number * 7919 % 10_007}."
            changes = [{"kind": "wording", "where": None, "form": False}] if lost else []
            yield sample.trial(number, arm) | {
                "answer": f"No. {answer}" if lost else answer,
                "changes": changes,
                "measures": {"success": float(not lost), "total": 1.0},
            }


def test_ten_thousand_cases_open_and_the_rest_is_counted(browser: Browser, tmp_path: Path) -> None:
    path = written(tmp_path, rows=many(10_100))
    assert path.stat().st_size < 25_000_000
    with visit(browser, path) as made:
        page = made.page
        ready(page)
        assert status(page) == "10,000 of 10,000 cases"
        assert "100 are left out" in page.locator("#cases-held").inner_text()
        assert len(shown(page)) == 50
        page.get_by_role("button", name=re.compile("^lost ")).click()
        assert status(page) == "202 of 10,000 cases"  # also those at the end of the file
        page.click("#cases-reset")
        page.click("#cases-last")
        page.locator("button.opener").last.click()
        page.wait_for_selector("#cases-detail h3")
        assert "Answer" in page.locator("#cases-detail").inner_text()
        assert made.console == []
