"""The places in an app's environment for where its models are: ``{incumbent.url}`` and the like."""

from __future__ import annotations

import re
from typing import Literal

Role = Literal["incumbent", "candidate"]
PLACE = re.compile(r"\{(incumbent|candidate)\.(\w+)\}")
KNOWN = ("url", "key", "model")


def names_candidate(value: str) -> bool:
    """Whether a value names the candidate: there is none before the swap."""
    return any(found[1] == "candidate" for found in PLACE.finditer(value))
