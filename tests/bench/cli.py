"""Runs benchmarks by name, prints their tables, and keeps them where that is asked for."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence

from tests.bench import table
from tests.bench.process import BenchmarkError
from tests.bench.settings import Settings

USUAL = ("start", "replay", "ttft", "gateway", "local", "scale")
OPTIONAL = ("peers",)


def main() -> int:
    """The command. Ends with 1 where a benchmark could not be run; a missed aim is no error."""
    given = _parse(sys.argv[1:])
    # So that servers and folders go, as they do at Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    settings = Settings(given.pairs, tuple(given.cases) if given.cases else None)
    failed = [name for name in given.names or USUAL if not _run(name, settings, given.write)]
    return 1 if failed else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/bench", description=__doc__)
    known = (*USUAL, *OPTIONAL)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} [all but peers]"
    )
    parser.add_argument("--write", action="store_true", help="keep the tables in the README")
    parser.add_argument("--pairs", type=int, metavar="N", help="pairs of each comparison")
    parser.add_argument(
        "--cases", type=int, nargs=2, metavar="N", help="the two sizes of the benchmark of scale"
    )
    given = parser.parse_args(arguments)
    for name in given.names:
        if name not in known:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(known)}")
    return given


def _run(name: str, settings: Settings, keep: bool) -> bool:
    benchmark = importlib.import_module(f"tests.bench.{name}")
    try:
        rows = list(benchmark.rows(settings))
    except BenchmarkError as error:
        sys.stderr.write(f"{name} could not be run: {error}\n")
        return False
    table.show(benchmark.TITLE, rows)
    if keep:
        words = " ".join(["python tests/bench", name, *_without_names(sys.argv[1:])])
        table.write(name, rows, words)
    return True


def _without_names(arguments: Sequence[str]) -> list[str]:
    known = {*USUAL, *OPTIONAL, "--write"}
    return [each for each in arguments if each not in known]
