"""What had to be changed in the app: files and lines, by class, counted from the recorded diff.

    lines = added + removed

A line that was modified stands in a diff as one removed and one added, so it counts as two. A file
that was only moved, or whose mode or binary content changed, counts as a file and no lines. Blank
lines and comments count: somebody has to read them. Every file belongs to one class, by its
path after the change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal, get_args

from exitdrill.errors import ScenarioError
from exitdrill.measures.base import ArmFacts, Measure, Pair, Row
from exitdrill.measures.unified_diff import FileChange, parse_diff
from exitdrill.sentences import count_of
from exitdrill.swap import ENVIRONMENT_FILE

FileClass = Literal["configuration", "prompt", "code", "schema", "dependency", "test", "other"]
CLASSES: tuple[FileClass, ...] = get_args(FileClass)

Rule = tuple[FileClass, Sequence[str]]

_TABLE: tuple[tuple[FileClass, str], ...] = (
    # The first class that matches counts: a test is a test, whatever it is written in.
    ("test", "tests/* test/* __tests__/* test_*.py *_test.py conftest.py"),
    ("test", "*.test.js *.test.ts *.test.tsx *.spec.js *.spec.ts *_test.go *Test.java"),
    ("dependency", "requirements*.txt constraints*.txt requirements/* pyproject.toml setup.py"),
    ("dependency", "setup.cfg pipfile *.lock environment.yml package.json package-lock.json"),
    ("dependency", "pnpm-lock.yaml go.mod go.sum cargo.toml pom.xml *.gradle gemfile"),
    ("prompt", "prompts/* *prompt*.txt *prompt*.md *prompt*.json *prompt*.yaml *prompt*.yml"),
    ("prompt", "*prompt*.toml *.prompt *.jinja *.jinja2 *.j2 *.mustache"),
    ("schema", "schemas/* schema/* *schema.json *schema.yaml *.proto *.graphql *.avsc *.xsd"),
    ("schema", "openapi.* *.sql"),
    ("configuration", "<environment> .env .env.* *.env *.toml *.yaml *.yml *.ini *.cfg *.conf"),
    ("configuration", "*.json *.properties *.tf *.tfvars dockerfile* *.dockerfile"),
    ("code", "*.py *.pyi *.ipynb *.js *.mjs *.cjs *.jsx *.ts *.tsx *.go *.java *.kt *.scala *.rs"),
    ("code", "*.rb *.php *.cs *.swift *.c *.h *.cc *.cpp *.hpp *.lua *.sh *.bash makefile *.mk"),
    ("code", "*.html *.css *.vue *.svelte"),
)
"""Globs, compared without regard to case with the path and with every tail of it that begins after
a ``/``; ``*`` also matches ``/``. What matches nothing is ``other``."""

RULES: tuple[Rule, ...] = tuple((kind, tuple(globs.split())) for kind, globs in _TABLE)

NAMED = 5
"""Variables that a note names."""
LONGEST_NOTE = 300

NO_CLASSES: Mapping[str, Sequence[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ChangeCounts:
    """Files and lines by class; every class is there, be it with 0. ``unlined`` are the files that
    changed without a line."""

    files: Mapping[FileClass, int]
    lines: Mapping[FileClass, int]
    unlined: Mapping[FileClass, int]
    added: int
    removed: int

    @property
    def total_files(self) -> int:
        """All files that changed."""
        return sum(self.files.values())

    @property
    def total_lines(self) -> int:
        """All lines added and removed."""
        return self.added + self.removed

    @property
    def other_than_configuration(self) -> int:
        """Lines in files of any class but configuration. A file that changed without a line (it
        was moved, or it is binary) counts as one: it is no configuration either."""
        others = [kind for kind in CLASSES if kind != "configuration"]
        return sum(self.lines[kind] + self.unlined[kind] for kind in others)


def change_counts(diff: str, classes: Mapping[str, Sequence[str]] = NO_CLASSES) -> ChangeCounts:
    """Count a unified diff. ``classes`` maps a class to globs that go before the built-in ones."""
    rules = [*_overrides(classes), *RULES]
    files: Counter[FileClass] = Counter()
    lines: Counter[FileClass] = Counter()
    unlined: Counter[FileClass] = Counter()
    changes = list(parse_diff(diff))
    for change in changes:
        kind = _class_of(change.path, rules)
        files[kind] += 1
        lines[kind] += change.added + change.removed
        unlined[kind] += change.added + change.removed == 0
    return ChangeCounts(
        files={kind: files[kind] for kind in CLASSES},
        lines={kind: lines[kind] for kind in CLASSES},
        unlined={kind: unlined[kind] for kind in CLASSES},
        added=sum(change.added for change in changes),
        removed=sum(change.removed for change in changes),
    )


def class_of(path: str, classes: Mapping[str, Sequence[str]] = NO_CLASSES) -> FileClass:
    """The class of a file."""
    return _class_of(path, [*_overrides(classes), *RULES])


def _overrides(classes: Mapping[str, Sequence[str]]) -> Iterator[Rule]:
    by_name = {str(kind): kind for kind in CLASSES}
    for name, globs in classes.items():
        if name not in by_name:
            near = get_close_matches(name, CLASSES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(CLASSES)}"
            raise ScenarioError(f"{name!r} is not a class of files; {hint}", key="app.classes")
        yield by_name[name], globs


def _class_of(path: str, rules: Sequence[Rule]) -> FileClass:
    path = path.lower()
    for kind, globs in rules:
        for pattern in map(str.lower, globs):
            if fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}"):
                return kind
    return "other"


# --- environment variables ----------------------------------------------------------------------


def variables_of(change: FileChange) -> list[str]:
    """The names in the pseudo-file of environment variables; of another file there are none."""
    if change.path != ENVIRONMENT_FILE:
        return []
    return list(dict.fromkeys(line.text.partition("=")[0] for line in change.lines))


def _beside_variables(diff: str) -> str | None:
    """What of the lines is in files, and what in variables; None where no variable changed."""
    changes = list(parse_diff(diff))
    names = [name for change in changes for name in variables_of(change)]
    if not names:
        return None
    files = [change for change in changes if change.path != ENVIRONMENT_FILE]
    lines = sum(change.added + change.removed for change in files)
    set_ = sum(change.added + change.removed for change in changes) - lines
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    in_files = f"{lines:,} in {count_of(len(files), 'file')}, and " if files else ""
    return (
        f"{in_files}{count_of(len(names), 'variable')} ({count_of(set_, 'line')}, counted as one "
        f"file): {', '.join(names[:NAMED])}{more}"
    )[:LONGEST_NOTE]


# --- the rows of a report -----------------------------------------------------------------------


def _row(count: Callable[[ChangeCounts], int], split: bool) -> Callable[[Pair], Row]:
    def row(pair: Pair) -> Row:
        counts = _counts_of(pair.candidate)
        if counts is None:
            return Row(note="not measured: the scenario has no swap for this candidate")
        number = count(counts)
        note = _beside_variables(pair.candidate.diff or "") if split else None
        return Row(candidate=number, estimate=number, note=note)

    return row


def _counts_of(arm: ArmFacts) -> ChangeCounts | None:
    return None if arm.diff is None else change_counts(arm.diff, arm.classes)


def _measure(
    name: str,
    label: str,
    unit: Literal["lines", "files"],
    count: Callable[[ChangeCounts], int],
    split: bool = False,
) -> Measure:
    """``split``: the note says what of it is in environment variables."""
    return Measure(name, label, unit, "change", "lower", _row(count, split))


def _lines_of(kind: FileClass) -> Measure:
    return _measure(f"{kind}_lines", f"{kind}: lines", "lines", lambda counts: counts.lines[kind])


MEASURES = (
    _measure("lines", "lines added and removed", "lines", lambda counts: counts.total_lines, True),
    _measure("files", "files changed", "files", lambda counts: counts.total_files, True),
    *(_lines_of(kind) for kind in CLASSES),
    _measure(
        "non_configuration_lines",
        "lines outside configuration",
        "lines",
        lambda counts: counts.other_than_configuration,
    ),
)
