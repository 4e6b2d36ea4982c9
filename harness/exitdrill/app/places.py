"""The places in an app's environment for where its models are: ``{incumbent.url}`` and the like."""

from __future__ import annotations

import re
from typing import Literal

Role = Literal["incumbent", "candidate"]
PLACE = re.compile(r"\{(incumbent|candidate)\.(\w+)\}")
KNOWN = ("url", "key", "model")
FILLED = [f"{role}.{what}" for role in ("incumbent", "candidate") for what in KNOWN]
"""All that may stand in braces in an environment."""
WORD = re.compile(r"(?<!\$)\{([A-Za-z_]\w*(?:\.\w+)?)\}")
"""A word in braces, which would be left as it is if it were not known. JSON has none, and what a
shell or JavaScript fills in has a ``$`` before it."""


def names_candidate(value: str) -> bool:
    """Whether a value names the candidate: there is none before the swap."""
    return any(found[1] == "candidate" for found in PLACE.finditer(value))
