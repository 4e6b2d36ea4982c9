"""What an exit needs, place by place: from the recorded swap into every report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from tests.harness.report_hostile import HOSTILE
from tests.harness.report_sample import rendered, report

from exitdrill.code.comparison import CodeChange
from exitdrill.code.coupling import Site, Sites
from exitdrill.code.modules import Modules
from exitdrill.measures.base import ArmFacts
from exitdrill.measures.exit_needs import MOST_CHARACTERS, MOST_LINES, MOST_PLACES, exit_needs
from exitdrill.report.markdown import HARD_CAP
from exitdrill.report.needs import needs

REFUSED = "/generation_config"


def site(path: str, line: int, kind: str = "call", what: str = "openai.OpenAI") -> Site:
    return Site(path, line, kind, "openai", what, "the vendor's own SDK")


PARAMETER = site("vendor.py", 60, "parameter", "extra_body generation_config")
TWICE = (site("a.py", 3), site("a.py", 9))
BEFORE = (*TWICE, PARAMETER, site("tests/test_a.py", 1))


def found(
    before: tuple[Site, ...],
    after: tuple[Site, ...],
    *,
    refused: tuple[str, ...] = (),
    calls_left: bool = False,
    diff: str = "",
    modules: Modules | None = None,
) -> dict[str, Any]:
    code = CodeChange(sites_before=Sites(before), sites_after=Sites(after), modules=modules)
    needed = exit_needs(ArmFacts("open", {}, diff=diff, code=code), refused, calls_left)
    assert needed is not None
    return needed


def states(places: dict[str, Any]) -> list[tuple[str, int | None, int | None, str]]:
    return [
        (each["path"], each["before"], each["after"], each["state"]) for each in places["shown"]
    ]


def test_each_place_is_gone_stays_or_came() -> None:
    after = (site("a.py", 2), site("b.py", 7, "import", "litellm"), site("tests/test_a.py", 1))
    places = found(BEFORE, after)["places"]
    assert states(places) == [
        ("a.py", 9, None, "gone"),
        ("vendor.py", 60, None, "gone"),
        ("b.py", None, 7, "came"),
        ("a.py", 3, 2, "stays"),
        ("tests/test_a.py", 1, 1, "stays"),
    ]
    assert (places["before"], places["after"]) == (3, 2)
    assert (places["tests_before"], places["tests_after"]) == (1, 1)


@pytest.mark.parametrize(
    ("refused", "after", "said"),
    [
        (REFUSED, BEFORE, "refused: generation_config: vendor.py:60"),
        (
            "/generation_config/max_new_tokens",
            BEFORE,
            "refused: generation_config: vendor.py:60",
        ),
        (
            REFUSED,
            TWICE,
            "refused: generation_config: no place in the code was found that names it",
        ),
        (
            "/generation",
            BEFORE,
            "refused: generation: no place in the code was found that names it",
        ),
    ],
)
def test_a_refused_parameter_has_its_place(
    refused: str, after: tuple[Site, ...], said: str
) -> None:
    assert sentences(found(BEFORE, after, refused=(refused, refused))) == [said]


def sentences(needed: dict[str, Any]) -> list[str]:
    told = needs({"exit_needs": needed, "change": []})
    assert told is not None
    return told.first


def test_a_missed_call_names_the_places_that_the_swap_left() -> None:
    assert found(BEFORE, BEFORE)["calling"] is None
    (said,) = sentences(found(BEFORE, BEFORE[1:], calls_left=True))
    assert said.endswith("that a call can come from: a.py:9 call openai.OpenAI")
    (said,) = sentences(found((PARAMETER,), (PARAMETER,), calls_left=True))
    assert said.endswith("none was found")


def test_what_is_not_shown_is_counted() -> None:
    many = tuple(site("a.py", line) for line in range(1, MOST_PLACES + 4))
    needed = found(many, many, diff="x\n" * (MOST_LINES + 5))
    assert (len(needed["places"]["shown"]), needed["places"]["left_out"]) == (MOST_PLACES, 3)
    assert (len(needed["diff"]["shown"]), needed["diff"]["left_out"]) == (MOST_LINES, 5)
    long = found((), (), diff=("x" * 999 + "\n") * 100)["diff"]
    assert (len(long["shown"]), long["left_out"]) == (MOST_CHARACTERS // 1_000, 80)


def test_what_was_not_measured_is_no_number() -> None:
    assert exit_needs(ArmFacts("open", {}), (), calls_left=True) is None
    code = CodeChange(problem="there is too much of it")
    needed = exit_needs(ArmFacts("open", {}, diff="", code=code), (REFUSED,), calls_left=True)
    assert needed is not None
    assert (needed["places"]["before"], needed["calling"]) == (None, None)
    told = needs({"exit_needs": needed, "change": []})
    assert told is not None
    assert told.said == [
        "Places coupled to a vendor: not measured: there is too much of it",
        "Modules changed: not measured: there is too much of it",
    ]


def with_needs(needed: dict[str, Any]) -> dict[str, Any]:
    data = report()
    data["candidates"][0]["exit_needs"] = needed
    return data


def test_every_report_says_it(tmp_path: Path) -> None:
    modules = Modules(touched=("vendor.py", "tests/test_a.py"), affected=("server.py",))
    diff = "--- a/s.toml\n+++ b/s.toml\n@@ -1 +1 @@\n-max_new_tokens = 64\n+max_tokens = 64\n"
    needed = found(BEFORE, BEFORE, refused=(REFUSED,), diff=diff, modules=modules)
    for name in ("report.html", "report.md"):
        said = rendered(tmp_path, name, with_needs(needed)).replace("\\_", "_")
        for each in (
            "generation_config: vendor.py:60",
            "-max_new_tokens = 64",
            "server.py",
            "a.py:9",
        ):
            assert each in said
        assert "Modules changed: vendor.py." in said


def test_a_hostile_patch_stays_a_patch(tmp_path: Path) -> None:
    bad = ["`````", "</details>", "<details>", "# heading", *HOSTILE]
    needed = found((), (), diff="\n".join(f"{mark}{each}" for each in bad for mark in ("", "+")))
    data = with_needs(needed)
    tokens = MarkdownIt("commonmark").parse(rendered(tmp_path, "report.md", data))
    (fence,) = [token for token in tokens if token.type == "fence"]
    assert "# heading" in fence.content
    assert "+</details>" in fence.content
    html = rendered(tmp_path, "report.html", data)
    assert "<img src=x" not in html
    assert "+&lt;/details&gt;" in html


def test_a_comment_is_not_cut_within_a_patch(tmp_path: Path) -> None:
    data = report()
    lines = ["<details>", *["x" * 990] * 19]
    first = data["candidates"][0]
    first["exit_needs"] = found((), (), diff="\n".join(lines))
    data["candidates"] = [first | {"name": f"c{number}"} for number in range(6)]
    comment = rendered(tmp_path, "report.md", data)
    assert len(comment) <= HARD_CAP
    tokens = MarkdownIt("commonmark").parse(comment)
    assert all(token.content.endswith("x\n") for token in tokens if token.type == "fence")
    assert tokens[-2].content.startswith("**Cut here:**")
    outside = "".join(token.content for token in tokens if token.type == "html_block")
    assert outside.count("<details>") == outside.count("</details>")
