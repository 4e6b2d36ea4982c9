"""Clients that others wrote, against the gateway: ``python tests/clients [NAME…]``.

A gateway before a scripted backend is started here; each client is a process of its own that is
told where by environment variables, as an app is, and fails with its first wrong answer. What
arrived is compared with what each says it did. What is not installed is skipped, with its reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder: its modules are tests.clients.…
    from tests.clients.runner import main

    sys.exit(main())
