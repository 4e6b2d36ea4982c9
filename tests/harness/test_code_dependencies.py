"""Dependencies that a change adds, removes or asks for in another version."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from tests.harness.code_folders import Files, folder

from exitdrill.code.dependencies import Dependencies, changed_dependencies
from exitdrill.code.manifests import read_requirements

PYPROJECT = """\
[project]
name = "app"
dependencies = ["OpenAI>=1", "httpx"]
[project.optional-dependencies]
more = ["anthropic"]
[dependency-groups]
dev = ["pytest", {include-group = "x"}]
[tool.poetry.dependencies]
python = "^3.11"
Requests = "^2"
mistralai = {version = "1", extras = ["a"]}
[tool.poetry.group.dev.dependencies]
ruff = "*"
"""
REQUIREMENTS = """\
# what we need
-r other.txt
--index-url https://index.example/simple
openai>=1.0,<2 ; python_version > "3.8"   # the vendor's
Foo_Bar[b,a] == 1.0 \\
    --hash=sha256:abc \\
    --hash=sha256:def
-e git+https://host.example/x.git#egg=editable-thing
direct @ https://host.example/direct-1.0.tar.gz
"""
GO_MOD = """\
module example.com/app

go 1.22

require github.com/openai/openai-go v1.2.0
require (
\tgolang.org/x/net v0.1.0 // indirect
\tgithub.com/b/b/v2 v2.0.0 // a remark
)
replace github.com/b/b => ../b
"""
PACKAGE = '{"dependencies": {"openai": "^4"}, "devDependencies": {"jest": "29"}, "name": "x"}'


def names(root: Path) -> list[str]:
    return [str(package) for package in read_requirements(root).wanted]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"requirements.txt": REQUIREMENTS}, "direct editable-thing foo-bar openai"),
        ({"requirements/dev.txt": "a\n", "dev-requirements.txt": "b\n"}, "a b"),
        ({"requirements-dev.txt": "a\r\nb==1\r\n"}, "a b"),
        ({"pyproject.toml": PYPROJECT}, "anthropic httpx mistralai openai pytest requests ruff"),
        ({"sub/package.json": PACKAGE}, "jest openai"),
        ({"go.mod": GO_MOD}, "github.com/b/b/v2 github.com/openai/openai-go"),
        ({"node_modules/x/package.json": PACKAGE, "main.py": "import openai"}, ""),
        ({}, ""),
    ],
)
def test_what_an_app_depends_on(tmp_path: Path, files: Files, expected: str) -> None:
    root = folder(tmp_path / "app", files)
    assert names(root) == expected.split()
    assert read_requirements(root).not_read == {}


def change(tmp_path: Path, before: Files, after: Files) -> Dependencies:
    return changed_dependencies(folder(tmp_path / "a", before), folder(tmp_path / "b", after))


def test_added_removed_and_changed(tmp_path: Path) -> None:
    found = change(
        tmp_path,
        {"requirements.txt": "openai>=1\nhttpx\nkept==1\n", "package.json": PACKAGE},
        {
            "requirements.txt": "httpx>=0.20\nkept == 1\nmistralai\n",
            "package.json": PACKAGE.replace("openai", "cohere-ai"),
        },
    )
    assert found.added == ("cohere-ai", "mistralai")
    assert found.removed == ("openai", "openai")
    assert found.changed == ("httpx",)
    assert found.not_read == {}


def test_a_requirement_that_moves_to_another_file_is_no_change(tmp_path: Path) -> None:
    found = change(
        tmp_path,
        {"requirements.txt": "Foo.Bar>=1  # x\n"},
        {"pyproject.toml": '[project]\ndependencies = ["foo-bar >= 1"]\n'},
    )
    assert (found.added, found.removed, found.changed) == ((), (), ())


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("requirements.txt", "a b c\n", "holds what is no requirement: 'a b c'"),
        ("requirements.txt", "./vendored\n", "names a place instead of a package"),
        ("requirements.txt", "git+https://host.example/x\n", "names a place"),
        ("pyproject.toml", "[project\n", "is not TOML"),
        ("package.json", "{", "is not JSON"),
        ("package.json", "[]", "is not a JSON object"),
        ("package.json", "[" * 100_000, "is not JSON"),
        ("setup.py", "print(1)", "is a kind of manifest that is not read"),
        ("pom.xml", "<a/>", "is a kind of manifest that is not read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, text: str, why: str) -> None:
    found = change(tmp_path, {}, {name: text})
    assert found.not_read[name].startswith(why)


def test_what_cannot_be_read_but_did_not_change_is_no_problem(tmp_path: Path) -> None:
    files = {"setup.py": "setup()", "requirements.txt": "a b c\n"}
    found = change(tmp_path, files, {**files, "package.json": PACKAGE})
    assert found.not_read == {}
    assert found.added == ("jest", "openai")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "project = 1\ndependency-groups = []\n[tool]\npoetry = 'x'\n"),
        ("pyproject.toml", "[project]\ndependencies = 'openai'\n"),
        ("package.json", '{"dependencies": ["openai"], "devDependencies": null}'),
        ("go.mod", "require (\n" * 1_000),
        ("requirements.txt", "\\\n" * 10_000 + "#" * 100_000),
    ],
)
def test_strange_manifests_hold_nothing(tmp_path: Path, name: str, text: str) -> None:
    root = folder(tmp_path / "app", {name: text})
    assert names(root) == []


# --- what they bring with them ------------------------------------------------------------------

NPM = '{"lockfileVersion": 3, "packages": {"": {}, "node_modules/openai": {}%s}}'
NPM_1 = '{"dependencies": {"openai": {"dependencies": {"inner": {}}}, "jest": {}}}'
UV = '[[package]]\nname = "app"\nsource = {editable = "."}\n[[package]]\nname = "openai"\n'


def test_a_lock_file_says_what_is_brought(tmp_path: Path) -> None:
    extra = ', "node_modules/openai/node_modules/@a/b": {}'
    found = change(
        tmp_path,
        {"package.json": PACKAGE, "package-lock.json": NPM % ""},
        {"package.json": PACKAGE, "package-lock.json": NPM % extra},
    )
    assert (found.added, found.all_added, found.all_removed) == ((), ("@a/b",), ())


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        ({}, {"package.json": PACKAGE, "package-lock.json": NPM_1}, ("inner", "jest", "openai")),
        (
            {},
            {"requirements.txt": "openai\n", "uv.lock": UV + '[[package]]\nname = "Not_Here"\n'},
            ("not-here", "openai"),
        ),
        (
            {},
            {"go.mod": GO_MOD},
            ("github.com/b/b/v2", "github.com/openai/openai-go", "golang.org/x/net"),
        ),
    ],
)
def test_lock_files(tmp_path: Path, before: Files, after: Files, added: tuple[str, ...]) -> None:
    assert change(tmp_path, before, after).all_added == added


def test_the_metadata_of_what_is_installed(tmp_path: Path) -> None:
    after = {"requirements.txt": "jinja2>=3\nnot-needed; python_version<'3'\n"}
    found = change(tmp_path, {"requirements.txt": ""}, after)
    assert found.all_added == ("jinja2", "markupsafe", "not-needed")
    assert found.why_not_known is None


def test_extras_are_followed(tmp_path: Path) -> None:
    plain = change(tmp_path / "1", {}, {"requirements.txt": "httpx\n"}).all_added
    more = change(tmp_path / "2", {}, {"requirements.txt": "httpx[http2]\n"})
    assert plain is not None
    assert "anyio" in plain
    assert more.all_added is None or "h2" in more.all_added


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"requirements.txt": "no-such-package-here\n"}, "and it is not installed"),
        ({"requirements.txt": "jinja2>99\n"}, f"version is installed: {version('jinja2')}"),
        ({"package.json": PACKAGE}, "no lock file says what the node packages need"),
        ({"package.json": PACKAGE, "package-lock.json": "{"}, "package-lock.json is not JSON"),
        ({"go.mod": GO_MOD.replace("1.22", "1.16")}, "no lock file says what the go packages"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\nx = "^1"\n'}, "says what x needs"),
        ({"requirements.txt": "jinja2", "uv.lock": "[["}, "uv.lock is not TOML"),
    ],
)
def test_what_is_not_known(tmp_path: Path, files: Files, why: str) -> None:
    found = change(tmp_path, {}, files)
    assert found.all_added is None
    assert found.all_removed is None
    assert why in str(found.why_not_known)
    assert found.added


def test_the_same_dependencies_bring_the_same(tmp_path: Path) -> None:
    files = {"package.json": PACKAGE, "requirements.txt": "no-such-package-here\n"}
    found = change(tmp_path, files, {**files, "main.py": "x"})
    assert (found.all_added, found.all_removed) == ((), ())
