"""An answer in the words of one endpoint, sans IO: events in, bytes of a stream out; or in one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from exitdrill.backend import Event, Finish, Opaque, Reply
from exitdrill.gateway.envelope import Envelope
from exitdrill.records import dump

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a gateway speaks where servers differ.

    ``reasoning`` is the field that holds it. ``raw_finish``: the backend's own word for why an
    answer ended goes out as it came (it is a server's); else one of OpenAI's.
    """

    reasoning: str = "reasoning_content"
    raw_finish: bool = False

    def finish(self, event: Finish) -> str:
        """The ``finish_reason``."""
        if event.raw and (self.raw_finish or event.reason == "other"):
            return event.raw
        # The legacy word, of an answer to a request that speaks of functions.
        return "function_call" if event.raw == "function_call" else _word(event.reason)


def _word(reason: str) -> str:
    return "stop" if reason in ("other", "error") else reason


@dataclass(frozen=True, slots=True)
class About:
    """What stands in every answer: its id, seconds since the epoch, the model that was asked for.

    ``body`` is the request's, ``choices`` how many answers it gets.
    """

    id: str
    created: int
    model: str
    body: Mapping[str, Any]
    choices: int = 1
    manner: Manner = Manner()


@dataclass(frozen=True, slots=True)
class Told:
    """One whole answer: its events, and what they add up to."""

    events: Sequence[Event]
    reply: Reply


class Answer(Protocol):
    """One answer in the making. ``done`` when a client has everything that it waits for."""

    done: bool

    def event(self, event: Event, choice: int) -> bytes:
        """What goes out for an event; nothing for most that are not content."""

    def end(self, told: Sequence[Told]) -> bytes:
        """What goes out after the last event; not called when it is ``done`` before."""

    def failed(self, envelope: Envelope) -> bytes:
        """What goes out for an error in the middle."""

    def whole(self, told: Sequence[Told]) -> Mapping[str, Any]:
        """The answer in one piece, for who asked for no stream."""


def usage_of(told: Iterable[Told]) -> dict[str, Any] | None:
    """The tokens of all choices together; None where nobody counted those of one."""
    given = made = cached = 0
    for each in told:
        if each.reply.input_tokens is None or each.reply.output_tokens is None:
            return None
        given += each.reply.input_tokens
        made += each.reply.output_tokens
        cached += each.reply.cached_tokens
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def signature(about: About, told: Sequence[Told]) -> dict[str, Any]:
    """Who answered, in the backend's own words where it has any."""
    names = told[0].reply.made_by or {}
    known = {name: names[name] for name in ("system_fingerprint", "service_tier") if name in names}
    return {"model": names.get("model", about.model), **known}


def opaque_of(events: Iterable[Event]) -> dict[str, Any]:
    """Vendor data over all events: texts and lists are appended, of other values the last stays."""
    pieces: dict[str, list[Any]] = {}
    for event in events:
        if isinstance(event, Opaque):
            for name, value in event.data.items():
                pieces.setdefault(name, []).append(value)
    return {name: _joined(values) for name, values in pieces.items()}


def _joined(values: list[Any]) -> Any:
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return [each for value in values for each in value]
    if all(isinstance(value, Mapping) for value in values):
        names = dict.fromkeys(name for value in values for name in value)
        return {name: _joined(_all_of(values, name)) for name in names}
    return values[-1]


def _all_of(values: list[Any], name: str) -> list[Any]:
    found = [value[name] for value in values if name in value]
    return [each for each in found if each is not None] or [None]


def sse(document: Mapping[str, Any]) -> bytes:
    """A JSON document as one event of a stream."""
    return f"data: {dump(document)}\n\n".encode()
