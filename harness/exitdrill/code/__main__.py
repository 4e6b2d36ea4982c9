"""``python -m exitdrill.code BEFORE AFTER``: what changed between two versions of an app."""

import sys

from exitdrill.code.apart import main

sys.exit(main())
