"""One call on its way: asked of the backend, told to the client as it comes, put on the record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from exitdrill.backend import Backend, Edit, Event, Prepared, Request, Timeouts
from exitdrill.errors import BackendError
from exitdrill.exchange import Asking, forbidden, refusal
from exitdrill.gateway.answer import Answer, Told
from exitdrill.gateway.call import Call
from exitdrill.gateway.envelope import Refused, envelope_of
from exitdrill.gateway.sending import Sender
from exitdrill.replay import gather
from exitdrill.scenario import BackendSpec

MOST_CHOICES = 128
CLIENT_GONE = 499
"""The status, on the record, of what nobody waited for."""


@dataclass
class Serving:
    """One call that is a request: `run` it."""

    backend: Backend
    spec: BackendSpec
    timeouts: Timeouts
    record: Callable[[Call], None]
    sender: Sender
    answer: Answer
    prepared: Sequence[Prepared]
    streamed: bool
    call: Call
    """What is known of it beforehand."""
    _asked: list[Asking] = field(init=False)

    def __post_init__(self) -> None:
        received = self.call.received_ns
        self._asked = [Asking(prepared, received) for prepared in self.prepared]

    async def run(self) -> None:
        """Answer the call, and record it whatever comes of it."""
        try:
            await self._ask()
        except BackendError as error:
            await self._fail(error)
        finally:
            self._record()

    async def _ask(self) -> None:
        refused = refusal(self.prepared[0], self.spec.allow_edits)
        if refused is not None:
            for asked in self._asked:
                asked.error = refused
            raise refused
        if len(self._asked) == 1:
            await self._choice(0)
        else:
            await gather([self._choice(number) for number in range(len(self._asked))])
        told = [Told(asked.events, asked.reply) for asked in self._asked if asked.reply]
        if not self.streamed:
            self.sender.whole(self.answer.whole(told))
        elif not self.answer.done:
            await self.sender.send(self.answer.end(told))
            await self.sender.finish()

    async def _choice(self, number: int) -> None:
        asked, answer, sender = self._asked[number], self.answer, self.sender

        async def tell(event: Event) -> None:
            if data := answer.event(event, number):
                await sender.send(data)
                if answer.done:
                    await sender.finish()

        await asked.attempt(
            self.backend, self.timeouts, time.monotonic_ns(), tell if self.streamed else None
        )

    async def _fail(self, error: BackendError) -> None:
        edit = None
        if error.kind == "rejected":
            edit = forbidden(self.prepared[0], self.spec.allow_edits)
        envelope = envelope_of(error, edit)
        if not self.sender.begun:
            self.sender.refuse(envelope)
        elif not self.answer.done and error.kind != "cancelled":
            with contextlib.suppress(BackendError):  # the client has gone as well
                await self.sender.send(self.answer.failed(envelope))
                await self.sender.finish()

    def _record(self) -> None:
        for number, asked in enumerate(self._asked):
            gone = asked.error is not None and asked.error.kind == "cancelled"
            status = CLIENT_GONE if gone else self.sender.status or CLIENT_GONE
            exchange = asked.exchange(self.spec.price)
            self.record(replace(self.call, status=status, exchange=exchange, choice=number))


def prepare(backend: Backend, request: Request, edits: tuple[Edit, ...]) -> list[Prepared]:
    """What the backend is asked, once for each answer that is wanted.

    A backend gives one answer to a request: where several are wanted it is asked several times,
    which is an edit. Raises `Refused` for a number that is none.
    """
    wanted = request.body.get("n")
    if wanted is None or (wanted == 1 and type(wanted) is int):
        return [_with(backend.prepare(request), edits)]
    if type(wanted) is not int or not 1 <= wanted <= MOST_CHOICES:
        message = f"n must be a whole number from 1 to {MOST_CHOICES}"
        raise Refused(400, message, param="n")
    if request.operation == "embedding":
        raise Refused(400, "n does not go with embeddings", param="n")
    each = Edit("transform", "/n", f"asked {wanted} times, for one answer each")
    prepared = _with(backend.prepare(Request(request.operation, _without_n(request.body))), edits)
    return [_with(prepared, (each,))] * wanted


def _without_n(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "n"}


def _with(prepared: Prepared, edits: tuple[Edit, ...]) -> Prepared:
    return replace(prepared, edits=edits + prepared.edits) if edits else prepared
