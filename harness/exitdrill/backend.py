"""The one interface between the engine and whatever answers a request.

An adapter is a callable ``(BackendConfig) -> Backend``, found through the entry-point group
``exitdrill.adapters``. A backend answers a request as a stream of timed events; whole replies,
times to first token and token counts are folded from the events by `fold`, once, for all
adapters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

from exitdrill.errors import AdapterError

Operation = Literal["chat", "completion", "embedding", "app"]
"""What can be asked. Of an app ("app") only its input; no adapter has that."""
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error", "other"]
EditAction = Literal["rename", "transform", "drop", "reject"]
UsageSource = Literal["reported", "recounted"]

ENTRY_POINTS = "exitdrill.adapters"
EMPTY: Mapping[str, Any] = MappingProxyType({})
MOST_TOKENS = 10**9
"""More than any exchange can have; a usage beyond it counts as not reported."""


@dataclass(frozen=True, slots=True)
class Request:
    """One recorded request: an operation with its OpenAI-shaped body (not to be mutated)."""

    operation: Operation
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Edit:
    """What an adapter had to do to a request so that its backend takes it.

    ``path`` is a JSON pointer into the request's body, ``detail`` says what was done and why.
    A ``rename`` keeps the meaning; a ``transform`` or ``drop`` may not; ``reject`` says that the
    backend cannot honour the request at all.
    """

    action: EditAction
    path: str
    detail: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as its backend will get it: the body for the wire, and the edits that led there."""

    request: Request
    body: Mapping[str, Any]
    edits: tuple[Edit, ...] = ()


# --- events: every ``at`` is in nanoseconds since the backend's ``stream`` was entered ----------


@dataclass(frozen=True, slots=True)
class Started:
    """Work on the request began; until here it was queued. Only backends that know send it."""

    at: int


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer; ``tokens`` where the backend knows how many it holds."""

    at: int
    text: str
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of the reasoning that precedes an answer."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call; ``id`` and ``name`` come once, ``arguments`` as pieces of JSON."""

    at: int
    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Embedding:
    """One vector of an embedding operation."""

    at: int
    index: int
    vector: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of the exchange, reported by the server or recounted by the adapter.

    ``cached_tokens`` is the part of ``input_tokens`` that the server took from its cache.
    """

    at: int
    input_tokens: int
    output_tokens: int
    source: UsageSource = "reported"
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Opaque:
    """What only the vendor understands (signatures, content blocks), kept as it came."""

    at: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer is whole. ``raw`` is the backend's own word for the reason.

    A stream that ends without it was cut off: `fold` says so.
    """

    at: int
    reason: FinishReason
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """This answer was not made now: it comes from a cache or a recording, and is never timed.

    ``source`` says how that is known (``"x-cache: HIT"``).
    """

    at: int
    source: str


@dataclass(frozen=True, slots=True)
class MadeBy:
    """Who made this answer, in the server's own words (``model``, ``system_fingerprint``, …).

    A vendor may change that behind one name.
    """

    at: int
    names: Mapping[str, str]


Event = (
    Started
    | Text
    | Reasoning
    | ToolCallDelta
    | Embedding
    | Usage
    | Opaque
    | Replayed
    | MadeBy
    | Finish
)


# --- the backend --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, for a whole request, and for the gap between two events."""

    connect: float = 10.0
    request: float = 120.0
    gap: float = 60.0


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """What a scenario says of one backend.

    ``key_env`` is the *name* of the environment variable that holds the key. ``root`` is the
    scenario's folder; a relative path among the ``options`` starts there. ``options`` belong to
    the adapter, which validates them.
    """

    name: str
    adapter: str
    model: str
    endpoint: str | None = None
    key_env: str | None = None
    timeouts: Timeouts = Timeouts()
    root: Path = Path()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Description:
    """What an adapter could find out about its backend; None or empty means not known.

    ``details`` takes what else matters for repeating the drill (dtype, device, batch mode, …).
    """

    adapter: str
    model: str
    revision: str | None = None
    weights_sha256: str | None = None
    server: str | None = None
    endpoint_host: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    details: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


@runtime_checkable
class Backend(Protocol):
    """Something that answers requests. Only `stream` matters; the rest is its frame.

    It may have an attribute ``samples`` (bool): whether it draws its answer at random where a
    request names no temperature. Without it, it is taken to, and is asked more often. It may have
    an attribute ``endpoint`` (str | None): the URL that it will really call, known before `start`,
    so that no judge is at the endpoint of an arm. Without it, the scenario's own is compared.
    """

    @property
    def operations(self) -> frozenset[Operation]:
        """What it can do at all."""

    @property
    def local(self) -> bool:
        """Whether it stays on this machine (in process, or on loopback): free to call."""

    def prepare(self, request: Request) -> Prepared:
        """The request as this backend takes it. Pure: no call, no clock, never raises for a
        request that cannot be honoured (that is a ``reject`` edit)."""

    async def start(self) -> Description:
        """Make ready (load weights, open connections) and say what is there.

        Raises `BackendError` where that fails.
        """

    def stream(self, prepared: Prepared) -> AsyncIterator[Event]:
        """Answer one request. Raises `BackendError`, also after some events. Makes one attempt:
        the engine owns retries. Closing the iterator cancels the request."""

    async def close(self) -> None:
        """Let go of everything; safe to call twice, and after a failed `start`."""


Adapter = Callable[[BackendConfig], Backend]
"""Makes a backend. Cheap and without side effects: validates the options, or raises
`ScenarioError`; nothing is loaded or called before `Backend.start`."""


def find_adapter(name: str) -> Adapter:
    """The adapter of that name. Raises `AdapterError` where there is none, or it cannot load."""
    from difflib import get_close_matches
    from importlib.metadata import entry_points

    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        nearest = get_close_matches(name, found, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        known = ", ".join(sorted(found)) or "none"
        raise AdapterError(f"there is no adapter {name!r}; {hint}installed are {known}")
    try:
        adapter: Adapter = found[name].load()
    except ImportError as error:
        raise AdapterError(f"the adapter {name!r} cannot be loaded: {error}") from error
    return adapter


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """An installed adapter, as `exitdrill backends` lists it; ``problem`` where it cannot load."""

    name: str
    about: str
    variants: tuple[str, ...] = ()
    problem: str | None = None


def adapters() -> list[AdapterInfo]:
    """The installed adapters: the first line of each one's docstring, and its ``variants``."""
    from importlib.metadata import entry_points

    names = sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)})
    return [_info(name) for name in names]


def _info(name: str) -> AdapterInfo:
    try:
        adapter = find_adapter(name)
    except AdapterError as error:
        return AdapterInfo(name, "", problem=str(error))
    about = (adapter.__doc__ or "").strip().partition("\n")[0]
    # A stranger's callable need not have it.
    return AdapterInfo(name, about, tuple(getattr(adapter, "variants", ())))


# --- folding ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole tool call; ``arguments`` is the JSON text as the model wrote it."""

    id: str | None
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, folded from events. Times are nanoseconds since `Backend.stream` began.

    ``first_at`` is the first event with content (text, reasoning or a tool call); ``last_at`` the
    last one with content, or the finish (usage that is sent later is nobody's waiting time);
    ``started_at`` the end of queueing, where the backend knows.
    ``finish`` is None when the stream ended without saying why. Tokens are those that were
    reported, or else recounted; ``recounted_…`` those that the backend's own tokenizer counts, be
    they reported or not. ``replayed`` says how it is known that the answer is not a fresh one,
    ``made_by`` who made it.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()
    finish: FinishReason | None = None
    finish_raw: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    usage_source: UsageSource | None = None
    recounted_input_tokens: int | None = None
    recounted_output_tokens: int | None = None
    replayed: str | None = None
    made_by: Mapping[str, str] | None = None
    started_at: int | None = None
    first_at: int | None = None
    last_at: int | None = None


@dataclass(slots=True)
class _Call:
    id: str | None = None
    name: str = ""
    arguments: list[str] = field(default_factory=list)


def fold(events: Iterable[Event]) -> Reply:
    """The whole answer that a stream of events adds up to."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: dict[int, _Call] = {}
    vectors: dict[int, tuple[float, ...]] = {}
    usages: dict[UsageSource, Usage] = {}
    finish: Finish | None = None
    replayed: str | None = None
    made_by: Mapping[str, str] | None = None
    started = first = last = None
    for event in events:
        content = True
        match event:
            case Text():
                text.append(event.text)
                content = bool(event.text)
            case Reasoning():
                reasoning.append(event.text)
                content = bool(event.text)
            case ToolCallDelta():
                _add_delta(calls.setdefault(event.index, _Call()), event)
            case Embedding():
                vectors[event.index] = event.vector
            case _:
                content = False
        if content:
            first, last = event.at if first is None else first, event.at
            continue
        match event:
            case Usage() if _possible(event):
                usages[event.source] = event
            case Replayed():
                replayed = event.source
            case MadeBy():
                made_by = event.names
            case Finish():
                finish, last = event, event.at
            case Started():
                started = event.at
    counted = usages.get("recounted")
    usage = usages.get("reported", counted)  # what is reported is what is billed
    return Reply(
        text="".join(text),
        reasoning="".join(reasoning),
        tool_calls=tuple(
            ToolCall(call.id, call.name, "".join(call.arguments))
            for _, call in sorted(calls.items())
        ),
        vectors=tuple(vector for _, vector in sorted(vectors.items())),
        finish=finish.reason if finish else None,
        finish_raw=finish.raw if finish else None,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else 0,
        usage_source=usage.source if usage else None,
        recounted_input_tokens=counted.input_tokens if counted else None,
        recounted_output_tokens=counted.output_tokens if counted else None,
        replayed=replayed,
        made_by=made_by,
        started_at=started,
        first_at=first,
        last_at=last,
    )


def _possible(usage: Usage) -> bool:
    # A server may claim anything; what no answer can have used must not move the budget.
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    return all(0 <= count <= MOST_TOKENS for count in counts)


def _add_delta(call: _Call, delta: ToolCallDelta) -> None:
    call.id = delta.id or call.id
    call.name = delta.name or call.name
    call.arguments.append(delta.arguments)
