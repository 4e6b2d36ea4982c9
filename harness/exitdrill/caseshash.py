"""The hash of the cases that are asked: what a plan registers, and what a journal has to hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


class CasesHash:
    """Takes cases one by one. Their order counts: what was answered belongs to a place in it."""

    def __init__(self) -> None:
        self._digests: list[bytes] = []

    def add(self, case_id: str, operation: str, body: str, meta: str) -> None:
        """A case, with its body and what is said of it as compact JSON (`records.dump`)."""
        parts = [part.encode() for part in (case_id, operation, body, meta)]
        lengths = ",".join(str(len(part)) for part in parts).encode()
        self._digests.append(hashlib.sha256(lengths + b":" + b"".join(parts)).digest())

    def hexdigest(self, places: Sequence[int] | None = None) -> str:
        """The SHA-256 over those of all cases; ``places`` says where each of them stands, where
        they came in another order."""
        digests = self._digests
        if places is not None:
            digests = [b""] * len(places)
            for place, digest in zip(places, self._digests, strict=True):
                digests[place] = digest
        return hashlib.sha256(b"".join(digests)).hexdigest()
