"""The hash of the cases that are asked: what a plan registers, and what a journal has to hold."""

from __future__ import annotations

import hashlib


class CasesHash:
    """Takes cases one by one, in any order: a drill that is looked at shuffles them."""

    def __init__(self) -> None:
        self._digests: list[bytes] = []

    def add(self, case_id: str, operation: str, body: str, meta: str) -> None:
        """A case, with its body and what is said of it as compact JSON (`records.dump`)."""
        parts = [part.encode() for part in (case_id, operation, body, meta)]
        lengths = ",".join(str(len(part)) for part in parts).encode()
        self._digests.append(hashlib.sha256(lengths + b":" + b"".join(parts)).digest())

    def hexdigest(self) -> str:
        """The SHA-256 over those of all cases, in their order by size."""
        return hashlib.sha256(b"".join(sorted(self._digests))).hexdigest()
