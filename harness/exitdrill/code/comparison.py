"""What a swap changes in an app's code: everything that is counted, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from exitdrill.code.coupling import Seen, Sites, TooManySites, vendor_sites
from exitdrill.code.dependencies import Dependencies, changed_dependencies
from exitdrill.code.modules import Modules, affected_modules
from exitdrill.code.nodes import Nodes, changed_nodes
from exitdrill.code.sources import TooMuch, read_sources


@dataclass(frozen=True)
class CodeChange:
    """An app before and after, compared. A part is None where it could not be measured at all;
    ``problem`` says why."""

    nodes: Nodes | None = None
    sites_before: Sites | None = None
    sites_after: Sites | None = None
    modules: Modules | None = None
    dependencies: Dependencies | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What stands in the journal."""
        shown: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return shown

    @classmethod
    def from_json(cls, found: Any) -> CodeChange:
        """What stood in a journal; one of another version is not measured."""
        try:
            return _ADAPTER.validate_python(found)
        except ValidationError:
            return cls(problem="it was recorded by another version of exitdrill")


_ADAPTER = TypeAdapter(CodeChange)


def compare(before: Path, after: Path) -> CodeChange:
    """Compare two versions of an app, in their folders. Nothing of the app is imported or run."""
    dependencies = changed_dependencies(before, after)
    try:
        old, new = read_sources(before), read_sources(after)
        nodes = changed_nodes(old, new)
        known: Seen = {}
        return CodeChange(
            nodes=nodes,
            sites_before=vendor_sites(old, known),
            sites_after=vendor_sites(new, known),
            modules=affected_modules(old, new, nodes.touched, before.resolve().name),
            dependencies=dependencies,
        )
    except (TooMuch, TooManySites) as problem:
        return CodeChange(dependencies=dependencies, problem=str(problem))
