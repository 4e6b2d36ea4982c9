"""The record of a call: an exchange, in whose name, and how it went out."""

from __future__ import annotations

from dataclasses import dataclass

from exitdrill.backend import Request
from exitdrill.records import Exchange


@dataclass(frozen=True, slots=True)
class Call:
    """One call that came to a gateway.

    ``owner`` is None where it came through nobody's door; ``id`` is what ``x-request-id`` said.
    ``received_ns``, on the monotonic clock, is when all of the request was there: the times of the
    exchange count from it. ``status`` went out with the answer; 499 where nobody waited for it. The
    exchange of a call that was refused is a failure without an attempt; it has no request where it
    was none yet. A call for several answers is several, told apart by ``choice``.
    """

    owner: str | None
    id: str
    path: str
    received_ns: int
    status: int
    request: Request | None
    exchange: Exchange
    choice: int = 0
