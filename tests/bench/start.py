"""How soon ``exitdrill --help`` answers, beside the imports that it cannot do without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench import process
from tests.bench.process import BenchmarkError
from tests.bench.settings import Settings
from tests.bench.table import Row, paired

TITLE = "start: exitdrill --help, beside python -c 'import click, rich'"
PAIRS = 15


def rows(settings: Settings) -> Iterator[Row]:
    """Wall and CPU time of both."""
    command = Path(sys.executable).with_name("exitdrill")
    if not command.is_file():
        raise BenchmarkError(f"there is no {command}")
    mine, theirs = process.alternate(
        settings.pairs or PAIRS,
        lambda: process.run([command, "--help"]),
        lambda: process.run([sys.executable, "-c", "import click, rich"]),
    )
    walls = [each.wall for each in mine], [each.wall for each in theirs]
    cpus = [each.cpu for each in mine], [each.cpu for each in theirs]
    yield paired("wall time", *walls, most=1.3)
    yield paired("CPU time", *cpus)
