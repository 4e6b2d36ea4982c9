"""The places in an app's code that are coupled to a vendor, by the rules of `vendors`.

A place is an import of a vendor's package, a call of it (or of a client made by it), one of its
errors that is caught, another use of one of its names, a parameter for one host alone, or a text
that is a vendor's endpoint, model or environment variable. What an import statement brings is one
place, and so is a chain of calls. What stands in configuration is none: that is where it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from exitdrill.code.parsing import NOT_READ, Unparsable
from exitdrill.code.sightings import Sighting, python_sightings
from exitdrill.code.sightings_tree import tree_sightings
from exitdrill.code.sources import Source
from exitdrill.code.vendors import RULES, Rule

MOST_SITES = 20_000
LONGEST_TEXT = 10_000
"""Characters of one text that are looked at."""
LONGEST_SHOWN = 80
BY_CLOUD = "aws"
"""Its SDK serves for everything it sells; that models are meant is said by other sites."""


@dataclass(frozen=True, slots=True)
class Site:
    """One place: ``kind`` is that of the sighting, or of the rule for a text; ``line`` from 1."""

    path: str
    line: int
    kind: str
    vendor: str
    what: str
    reason: str


@dataclass(frozen=True)
class Sites:
    """The places of one version of an app; why a file was not measured."""

    found: tuple[Site, ...] = ()
    not_measured: Mapping[str, str] = field(default_factory=dict)


class TooManySites(ValueError):
    """There are more places than are counted."""


Seen = dict[Source, list[Sighting]]
"""What counts of each file, found once for the two versions of one that did not change."""


def vendor_sites(sources: Mapping[str, Source], known: Seen | None = None) -> Sites:
    """All places in the code of an app. ``known`` is what another version's files said, and learns
    what these say. Raises `TooManySites`."""
    known = {} if known is None else known
    problems: dict[str, str] = {}
    seen: list[tuple[str, Sighting]] = []
    for path in sorted(sources):
        source = sources[path]
        try:
            if source not in known:
                known[source] = [each for each in sightings(source) if _may_count(each)]
            seen += [(path, each) for each in known[source]]
        except Unparsable as problem:
            problems[path] = str(problem)
        if len(seen) > MOST_SITES * 10:
            raise TooManySites(f"the app has more than {MOST_SITES:,} places")
    found = sorted(_sites(seen), key=lambda site: (site.path, site.line))
    if len(found) > MOST_SITES:
        raise TooManySites(f"the app has more than {MOST_SITES:,} places")
    return Sites(tuple(found), problems)


def sightings(source: Source) -> Iterator[Sighting]:
    """What a file says. Raises `Unparsable`."""
    if source.language == "python":
        return python_sightings(source)
    if source.language == "plain":
        return _lines(source)
    return tree_sightings(source)


def _lines(source: Source) -> Iterator[Sighting]:
    """The words of a file without modules, comments left out."""
    if source.data is None:
        raise Unparsable(source.problem or NOT_READ)
    for number, line in enumerate(source.data.decode("utf-8", "replace").split("\n"), start=1):
        if line.lstrip().startswith(("#", "//", "--", "<!--")):
            continue
        words = re.split(r"[\s\"'`=<>,;()]+", line[:LONGEST_TEXT])
        for column, word in enumerate(words):
            yield Sighting("text", word, number, column)


# --- matching -----------------------------------------------------------------------------------

_MODULES = {rule.pattern: rule for rule in reversed(RULES) if rule.kind == "module"}
_BEGINNINGS = {name[:-1]: rule for name, rule in _MODULES.items() if name.endswith("*")}
_METHODS = {rule.pattern: rule for rule in reversed(RULES) if rule.kind == "method"}
_PARAMETERS = {rule.pattern: rule for rule in reversed(RULES) if rule.kind == "parameter"}
_TEXTS = [rule for rule in RULES if rule.kind in {"host", "model", "variable"}]
_ANY_TEXT = re.compile("|".join(f"(?:{rule.pattern})" for rule in _TEXTS))
_PART = re.compile(r"[./]")


def _may_count(sighting: Sighting) -> bool:
    if sighting.kind == "text":
        return _ANY_TEXT.search(sighting.what, 0, LONGEST_TEXT) is not None
    if sighting.kind == "parameter":
        return _parameter_rule(sighting.what) is not None
    return _module_rule(sighting.what) is not None or (
        sighting.kind == "call" and _method_rule(sighting.what) is not None
    )


def _module_rule(what: str) -> Rule | None:
    """The rule with the longest name that is a beginning of this one."""
    ends = [match.start() for match in _PART.finditer(what)]
    for end in [len(what), *reversed(ends)]:
        if rule := _MODULES.get(what[:end]):
            return rule
    return next((rule for start, rule in _BEGINNINGS.items() if what.startswith(start)), None)


def _method_rule(what: str) -> Rule | None:
    parts = what.split(".")
    for length in range(min(len(parts) - 1, 4), 0, -1):
        if rule := _METHODS.get(".".join(parts[-length:])):
            return rule
    return None


def _parameter_rule(what: str) -> Rule | None:
    return _PARAMETERS.get(what.partition(" ")[0])


def _sites(seen: Iterable[tuple[str, Sighting]]) -> Iterator[Site]:
    """Places of modules and texts first: they say whose methods may be meant."""
    waiting: list[tuple[str, Sighting, Rule]] = []
    vendors: dict[str, None] = {}
    done: set[tuple[str, int, int, str, str]] = set()
    for path, sighting in seen:
        for rule in _rules(sighting):
            if rule.kind in {"method", "parameter"}:
                waiting.append((path, sighting, rule))
                continue
            if rule.kind == "module" or rule.vendor == BY_CLOUD:
                vendors[rule.vendor] = None
            kind = sighting.kind if rule.kind == "module" else rule.kind
            key = (path, sighting.line, sighting.column, kind, rule.vendor)
            if key not in done:
                done.add(key)
                yield _site(path, sighting, kind, rule.vendor, rule)
    for path, sighting, rule in waiting:
        meant = next((name for name in rule.vendor.split() if name in vendors), None)
        if meant is not None:
            yield _site(path, sighting, sighting.kind, meant, rule)


def _rules(sighting: Sighting) -> Iterator[Rule]:
    if sighting.kind == "text":
        text = sighting.what[:LONGEST_TEXT]
        yield from (rule for rule in _TEXTS if rule.regex.search(text))
        return
    if sighting.kind == "parameter":
        rule = _parameter_rule(sighting.what)
    else:
        rule = _module_rule(sighting.what)
    if rule is None and sighting.kind == "call":
        rule = _method_rule(sighting.what)
    if rule is not None:
        yield rule


def _site(path: str, sighting: Sighting, kind: str, vendor: str, rule: Rule) -> Site:
    what = sighting.what.strip()
    if sighting.kind == "text" and (match := rule.regex.search(what)):
        what = match[0]
    return Site(path, sighting.line, kind, vendor, what[:LONGEST_SHOWN], rule.reason)
