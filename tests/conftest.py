"""What all tests share: Ctrl-C reaches the programs that they start."""

from __future__ import annotations

import signal

# A job in a shell's background ignores it, and would hand that on to its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
