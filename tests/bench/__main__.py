"""The benchmarks: ``python tests/bench [NAME…]``. See the README beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder: its modules are tests.bench.…
    from tests.bench.cli import main

    sys.exit(main())
