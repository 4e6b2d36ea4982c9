"""How often a drill errs: thousands of drills of backends whose truth is known.

``python tests/calibration [--drills N] [--whole N] [--write]``. Each world of `worlds` is drilled
many times at the margin and with truly equal backends, from fixed seeds, on the short way (see
`paths`); the first ones of each also on the whole way, and both must say the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder: its modules are tests.calibration.…
    from tests.calibration.table import main

    sys.exit(main())
