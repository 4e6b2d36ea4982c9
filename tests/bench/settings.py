"""What the command line says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How much to run: ``pairs`` of each comparison (None: each benchmark's own number), and the
    two ``cases`` of the benchmark of scale."""

    pairs: int | None = None
    cases: tuple[int, int] | None = None
