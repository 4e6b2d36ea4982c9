"""Scripted answers: a backend that says what it was told to say. For tests, demos and trials.

In ``scenario.toml`` the answers come from a file of JSON lines, found by the last thing that the
user said::

    [backends.old]
    adapter = "scripted"
    model = "script"
    options = { answers = "answers.jsonl", default = "I do not know." }

    {"user": "What is 2 + 2?", "text": "4", "first_after": 0.05}
    {"user": "Overload me", "error": {"kind": "overloaded", "message": "busy", "status": 503}}

From Python, `scripted` makes an adapter of any function.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from exitdrill import strictjson
from exitdrill.backend import (
    Adapter,
    BackendConfig,
    Description,
    Edit,
    Event,
    Finish,
    FinishReason,
    MadeBy,
    Operation,
    Prepared,
    Replayed,
    Request,
    Text,
    ToolCallDelta,
    Usage,
)
from exitdrill.errors import BackendError, ErrorKind, ScenarioError
from exitdrill_adapters.options import parse_options


class Error(BaseModel):
    """The error that an answer consists of."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ErrorKind
    message: str = "scripted"
    status: int | None = None
    retry_after: float | None = None


class Answer(BaseModel):
    """What to say, and when: times in seconds. ``chunks`` is in how many pieces the text comes.

    An ``error`` comes after ``first_after``, and after the text where there is one. ``replayed``
    says that the answer pretends to come from a cache, and which; else it is timed as any other.
    ``made_by`` is the model that claims to have made it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: str = ""
    tool_calls: tuple[tuple[str, str], ...] = ()
    finish: FinishReason = "stop"
    chunks: int = 1
    first_after: float = 0.0
    gap: float = 0.0
    error: Error | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    replayed: str | None = None
    made_by: str | None = None


class _Line(Answer):
    user: str


class Options(BaseModel):
    """The adapter's options."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    answers: str | None = None
    default: str | None = None


Script = Callable[[Request], Answer]


def scripted(
    answer: Callable[[Request], Answer | str],
    *,
    edit: Callable[[Request], tuple[Edit, ...]] = lambda _: (),
    local: bool = True,
) -> Adapter:
    """An adapter whose backend answers each request with what a function returns.

    ``edit`` says which edits the backend claims to make; ``local=False`` makes it one that is
    outside this machine, as far as the budget is concerned.
    """

    def script(request: Request) -> Answer:
        found = answer(request)
        return Answer(text=found) if isinstance(found, str) else found

    def adapter(config: BackendConfig) -> ScriptedBackend:
        return ScriptedBackend(config, script, edit, local=local)

    return adapter


@dataclass(frozen=True)
class _Answers:
    """Answers from a file, by the last thing that the user said."""

    by_user: Mapping[str, Answer]
    default: str | None

    def __call__(self, request: Request) -> Answer:
        said = last_user_text(request.body)
        found = self.by_user.get(said)
        if found is not None:
            return found
        if self.default is not None:
            return Answer(text=self.default)
        nearest = get_close_matches(said, self.by_user, n=1, cutoff=0)
        hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
        error = Error(kind="bad_parameter", message=f"no answer is scripted for {said!r}{hint}")
        return Answer(error=error)


class ScriptedBackend:
    """A backend that answers from a script."""

    operations: frozenset[Operation] = frozenset({"chat", "completion"})
    samples = False

    def __init__(
        self,
        config: BackendConfig,
        script: Script | None = None,
        edit: Callable[[Request], tuple[Edit, ...]] = lambda _: (),
        *,
        local: bool = True,
    ) -> None:
        self.local = local
        self._config = config
        self._edit = edit
        self._script = script or _script_of(config)

    def prepare(self, request: Request) -> Prepared:
        """The request as it is, with the edits that the script claims."""
        return Prepared(request, request.body, self._edit(request))

    async def start(self) -> Description:
        """Nothing to make ready."""
        return Description(adapter="scripted", model=self._config.model)

    async def stream(self, prepared: Prepared) -> AsyncIterator[Event]:
        """The scripted answer, in its pieces, at its times."""
        began = time.monotonic_ns()

        def at() -> int:
            return time.monotonic_ns() - began

        answer = self._script(prepared.request)
        await asyncio.sleep(answer.first_after)
        if answer.replayed is not None:
            yield Replayed(at(), answer.replayed)
        for number, piece in enumerate(_pieces(answer.text, answer.chunks)):
            if number and answer.gap:
                await asyncio.sleep(answer.gap)
            yield Text(at(), piece)
        for index, (name, arguments) in enumerate(answer.tool_calls):
            yield ToolCallDelta(at(), index, f"call_{index}", name, arguments)
        if answer.error is not None:
            error = answer.error
            raise BackendError(
                error.kind, error.message, status=error.status, retry_after=error.retry_after
            )
        if answer.input_tokens is not None and answer.output_tokens is not None:
            yield Usage(at(), answer.input_tokens, answer.output_tokens)
        if answer.made_by is not None:
            yield MadeBy(at(), {"model": answer.made_by})
        yield Finish(at(), answer.finish)

    async def close(self) -> None:
        """Nothing to let go of."""


def last_user_text(body: Mapping[str, Any]) -> str:
    """The last thing that the user said, or the prompt of a completion."""
    for message in reversed(body.get("messages", [])):
        if message["role"] == "user":
            return str(message.get("content"))
    return str(body.get("prompt", ""))


def _pieces(text: str, count: int) -> list[str]:
    size = max(1, -(-len(text) // max(count, 1)))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _script_of(config: BackendConfig) -> Script:
    options = parse_options(config, Options)
    if options.answers is None and options.default is None:
        raise ScenarioError("needs answers or a default", key=f"backends.{config.name}.options")
    by_user: dict[str, Answer] = {}
    if options.answers is not None:
        by_user = _read(config.root, options.answers, f"backends.{config.name}.options.answers")
    return _Answers(by_user, options.default)


def _read(root: Path, name: str, key: str) -> dict[str, Answer]:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise ScenarioError(f"there is no file {name!r} in the scenario's folder", key=key)
    answers: dict[str, Answer] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found = _Line.model_validate(strictjson.loads(line))
        except (strictjson.StrictJSONError, ValidationError) as error:
            message = str(error).splitlines()[0]
            raise ScenarioError(f"not an answer: {message}", path=path, line=number) from None
        answers[found.user] = found
    return answers
