"""``python -m exitdrill`` is the command ``exitdrill``."""

from exitdrill.cli import main

main()
