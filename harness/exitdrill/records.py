"""What a drill records: calls, attempts, exchanges, trials; and events as compact JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal

from exitdrill import backend
from exitdrill.backend import Edit, Event, Reply, Request, fold
from exitdrill.errors import BackendError, ErrorKind

TrialState = Literal["answered", "failed", "tripped"]
Key = tuple[int, str, int]
"""A trial: (position of its case, arm, repeat)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of an exchange: nanoseconds after the scheduled send, and how it ended.

    ``unpriced``: it failed, and what it cost all the same is not known.
    """

    sent_ns: int
    ended_ns: int
    error: ErrorKind | None = None
    status: int | None = None
    message: str | None = None
    unpriced: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """The error that an exchange ended in."""

    kind: ErrorKind
    message: str
    status: int | None = None

    @classmethod
    def of(cls, error: BackendError) -> Failure:
        """The record of an error."""
        return cls(error.kind, error.message, error.status)


@dataclass(frozen=True)
class Exchange:
    """One request with its answer or its error.

    ``events`` are those of the last attempt; ``sent_ns`` is when that was sent, in nanoseconds
    after the scheduled send time. ``money`` is what the answer cost by its usage, None where that
    is not known; what failed attempts cost nobody knows, and only the budget reckons with it.
    """

    edits: tuple[Edit, ...] = ()
    events: tuple[Event, ...] = ()
    failure: Failure | None = None
    attempts: tuple[Attempt, ...] = ()
    sent_ns: int = 0
    money: float | None = None

    @cached_property
    def reply(self) -> Reply:
        """The whole answer, as far as it came."""
        return fold(self.events)


@dataclass(frozen=True, slots=True)
class Trial:
    """One (arm, case, repeat), completed. ``repeated``: a crash made us ask it again."""

    arm: str
    position: int
    repeat: int
    state: TrialState
    exchange: Exchange
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class AppCall:
    """One model call that an app made in the course of a trial.

    ``to`` is the backend that it went to: of a candidate's trial it may be the incumbent, who did
    not answer. ``received_ns`` is in nanoseconds after the trial began, ``status`` the HTTP status
    that the app saw. ``request`` is None where the call was refused before it was one. A call for
    several answers is several, told apart by ``choice``.
    """

    key: Key
    number: int
    to: str
    path: str
    status: int
    received_ns: int
    choice: int
    request: Request | None
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Spend:
    """What calls used up: their number, tokens in and out, money."""

    calls: int = 0
    tokens: int = 0
    money: float = 0.0


def dump(value: Any) -> str:
    """A value as compact JSON."""
    # ASCII: an answer may hold half a character, which SQLite would not take as text.
    return json.dumps(value, separators=(",", ":"))


_EVENT_TYPES: dict[str, type[Event]] = {
    "s": backend.Started,
    "t": backend.Text,
    "r": backend.Reasoning,
    "c": backend.ToolCallDelta,
    "e": backend.Embedding,
    "u": backend.Usage,
    "o": backend.Opaque,
    "p": backend.Replayed,
    "m": backend.MadeBy,
    "f": backend.Finish,
}
_EVENT_LETTERS = {kind: letter for letter, kind in _EVENT_TYPES.items()}


def _columns_of(kind: type[Event]) -> Callable[[Event], tuple[Any, ...]]:
    names = [field.name for field in fields(kind)]
    # Of a single name it would get the bare value: `at` is in every event, and is dropped again.
    read = attrgetter("at", *names)
    return lambda event: read(event)[1:]


_EVENT_FIELDS = {kind: _columns_of(kind) for kind in _EVENT_LETTERS}


def dump_events(events: Iterable[Event]) -> str:
    """Events as compact JSON: a letter for the type, then the fields in their order."""
    rows = [(_EVENT_LETTERS[type(event)], *_EVENT_FIELDS[type(event)](event)) for event in events]
    return json.dumps(rows, separators=(",", ":"), default=dict)


def load_events(text: str) -> tuple[Event, ...]:
    """The events that `dump_events` wrote."""
    return tuple(_event(letter, fields) for letter, *fields in json.loads(text))


def _event(letter: str, values: list[Any]) -> Event:
    if letter == "e":
        at, index, vector = values
        return backend.Embedding(at, index, tuple(vector))
    return _EVENT_TYPES[letter](*values)


_ATTEMPT = attrgetter(*(field.name for field in fields(Attempt)))


def exchange_columns(exchange: Exchange) -> tuple[Any, ...]:
    """An exchange as the columns of its row: edits, events, error, attempts, sent_ns, money."""
    failure = exchange.failure
    return (
        dump([[edit.action, edit.path, edit.detail] for edit in exchange.edits]),
        dump_events(exchange.events),
        dump([failure.kind, failure.message, failure.status]) if failure else None,
        dump([_ATTEMPT(attempt) for attempt in exchange.attempts]),
        exchange.sent_ns,
        exchange.money,
    )


def call_columns(call: AppCall) -> tuple[Any, ...]:
    """An app's call as the columns of its row, in the order of its fields."""
    request = call.request
    asked = None if request is None else dump([request.operation, dict(request.body)])
    head = (*call.key, call.number, call.to, call.path, call.status, call.received_ns, call.choice)
    return (*head, asked, *exchange_columns(call.exchange))


def call_of(columns: Iterable[Any]) -> AppCall:
    """The call that `call_columns` wrote."""
    position, arm, repeat, number, to, path, status, received, choice, asked, *rest = columns
    request = Request(*json.loads(asked)) if asked else None
    key = (position, arm, repeat)
    exchange = exchange_of(rest)
    return AppCall(key, number, to, path, status, received, choice, request, exchange)


def exchange_of(columns: Iterable[Any]) -> Exchange:
    """The exchange that `exchange_columns` wrote."""
    edits, events, error, attempts, sent_ns, money = columns
    return Exchange(
        edits=tuple(Edit(*row) for row in json.loads(edits)),
        events=load_events(events),
        failure=Failure(*json.loads(error)) if error else None,
        attempts=tuple(Attempt(*row) for row in json.loads(attempts)),
        sent_ns=sent_ns,
        money=money,
    )
