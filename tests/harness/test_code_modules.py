"""Which modules a change touches, and which import them."""

from __future__ import annotations

import pytest
from tests.harness.code_folders import sources

from exitdrill.code.modules import affected_modules

APP = {
    "main.py": "import pkg.sub.deep\n",
    "pkg/__init__.py": "",
    "pkg/llm.py": "import openai\n",
    "pkg/mid.py": "from . import llm\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/deep.py": "from ..mid import ask\n",
    "pkg/lonely.py": "import json\n",
    "script/run.py": "import helper\n",
    "script/helper.py": "",
    "late.py": "import importlib\ndef f():\n    importlib.import_module('pkg.llm')\n",
    "circle_a.py": "import circle_b\n",
    "circle_b.py": "import circle_a\n",
    "src/inner/x.py": "",
    "use_src.py": "from inner.x import *\n",
    "by_name.py": "from app.pkg import lonely\n",
}


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        (["pkg/llm.py"], ["late.py", "main.py", "pkg/mid.py", "pkg/sub/deep.py"]),
        (["pkg/llm.py", "main.py"], ["late.py", "pkg/mid.py", "pkg/sub/deep.py"]),
        (["pkg/sub/deep.py"], ["main.py"]),
        (["script/helper.py"], ["script/run.py"]),
        (["circle_a.py"], ["circle_b.py"]),
        (["src/inner/x.py"], ["use_src.py"]),
        (["pkg/lonely.py"], ["by_name.py"]),
        (["main.py"], []),
        (
            ["pkg/__init__.py"],
            ["by_name.py", "late.py", "main.py", "pkg/mid.py", "pkg/sub/deep.py"],
        ),
        ([], []),
    ],
)
def test_who_imports_what_changed(changed: list[str], affected: list[str]) -> None:
    app = sources(APP)
    found = affected_modules(app, app, changed, "app")
    assert list(found.touched) == sorted(changed)
    assert list(found.affected) == affected
    assert (found.uncounted, found.unknown) == ({}, {})


def test_imports_of_before_and_after_count_together() -> None:
    before = sources({"a.py": "", "b.py": "import a\n", "c.py": ""})
    after = sources({"a.py": "x = 1\n", "b.py": "", "c.py": "import a\n"})
    assert affected_modules(before, after, ["a.py"]).affected == ("b.py", "c.py")


def test_other_languages_are_not_followed() -> None:
    app = sources({"a.py": "", "b.js": "", "c.rb": "", "d.sh": ""})
    found = affected_modules(app, app, ["a.py", "b.js", "c.rb", "d.sh"])
    assert found.touched == ("a.py",)
    assert list(found.uncounted) == ["b.js", "c.rb"]


def test_a_file_whose_imports_are_not_known() -> None:
    app = sources({"a.py": "", "b.py": "import (", "deep.py": "x = " + "-" * 50_000 + "1"})
    found = affected_modules(app, app, ["a.py"])
    assert list(found.unknown) == ["b.py", "deep.py"]


def test_hostile_imports() -> None:
    app = sources(
        {
            "a.py": "from ......... import x\nimport " + ".".join("a" * 2_000) + "\n",
            "c.py": "import importlib as i\ni.import_module('..')\n__import__('a..\\0/b')\n",
            "b.py": "from .. import *\nimport a\nf" + "()" * 50 + "\n",
        }
    )
    assert affected_modules(app, app, ["a.py"]).affected == ("b.py", "c.py")
