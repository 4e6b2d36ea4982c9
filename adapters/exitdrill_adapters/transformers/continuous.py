"""Continuous batching: transformers' own manager lets requests join and leave at every step."""

from __future__ import annotations

import math
import threading
from typing import Any

import torch
from transformers import ContinuousBatchingConfig
from transformers.generation.continuous_batching import ContinuousBatchingManager

from exitdrill.backend import Started
from exitdrill.errors import BackendError
from exitdrill_adapters.transformers import wire
from exitdrill_adapters.transformers.jobs import Inbox, Job, Send
from exitdrill_adapters.transformers.model import Model, explain
from exitdrill_adapters.transformers.sequence import Sequence as Answer
from exitdrill_adapters.transformers.static import step

_PAGE = 256
_BATCH_TOKENS = 256
_CPU_CACHE_BYTES = 1 << 30
"""On a GPU transformers sizes the cache itself; on a CPU it would take 60 % of all memory."""


class ContinuousBatches:
    """Feeds jobs to the manager and hands its tokens on.

    The manager computes in a thread of its own; its outputs join the jobs in one queue, so that
    one thread does all the tokenising.
    """

    def __init__(self, model: Model, inbox: Inbox, send: Send) -> None:
        self._model = model
        self._inbox = inbox
        self._send = send
        self._answers: dict[str, Answer] = {}
        self._manager = _manager(model)

    def warm_up(self) -> None:
        """Let the manager allocate its cache now, not under the first request."""
        self._manager.warmup()

    def run(self) -> None:
        """Until the inbox is closed."""
        self._manager.start()
        pump = threading.Thread(target=self._pump, name="pump", daemon=True)
        pump.start()
        try:
            while (item := self._inbox.queue.get()) is not None:
                if isinstance(item, Job):
                    self._add(item)
                else:
                    self._take(item)
        finally:
            self._manager.stop(block=True, timeout=2.0, hard_stop=True)
            pump.join(1.0)

    def _pump(self) -> None:
        # To the last output: a manager that fails says so for each request before it ends.
        while True:
            output = self._manager.get_result(timeout=0.1)
            if output is not None:
                self._inbox.queue.put(output)
            elif not self._manager.is_running():
                return

    def _add(self, job: Job) -> None:
        try:
            answer = self._model.sequence(job)
            if self._manager.background_thread_status.fatal_error is not None:
                raise self._manager.background_thread_status.fatal_error
        except BackendError as error:
            self._send([wire.error_message(job.id, error.kind, error.message)])
            return
        # Nothing that one request holds may cost the others their answers.
        except Exception as error:
            self._send([wire.error_message(job.id, *explain(error))])
            return
        self._answers[str(job.id)] = answer
        self._manager.add_request(
            answer.prompt.ids,
            request_id=str(job.id),
            max_new_tokens=answer.prompt.room,
            streaming=True,
            record_timestamps=True,
            eos_token_id=sorted(self._model.ends),
        )

    def _take(self, output: Any) -> None:
        answer = self._answers.get(output.request_id)
        if answer is None:
            return
        if output.error is not None:
            self._send([wire.error_message(answer.job.id, "server", output.error)])
            self._forget(answer)
            return
        self._advance(answer, output)
        if answer.done or self._inbox.dropped(answer.job):
            if not output.is_finished():
                self._manager.cancel_request(output.request_id)
            self._forget(answer)

    def _advance(self, answer: Answer, output: Any) -> None:
        messages: list[dict[str, Any]] = []
        if not answer.output:
            began = _nanoseconds(output.lifespan[0]) - answer.job.received
            messages.append(wire.event_message(answer.job.id, Started(max(began, 0))))
        # An output holds all tokens so far; its last times belong to its last tokens.
        new = output.generated_tokens[answer.output :]
        times = output.timestamps[-len(new) :] if new else []
        for token, time in zip(new, times, strict=True):
            if not answer.done:
                messages += step(answer, token, _nanoseconds(time))
        self._send(messages)

    def _forget(self, answer: Answer) -> None:
        del self._answers[str(answer.job.id)]
        self._inbox.forget(answer.job)


def _nanoseconds(seconds: float) -> int:
    """perf_counter() as perf_counter_ns(): the manager stamps with the one, we with the other."""
    return int(seconds * 1e9)


def _manager(model: Model) -> ContinuousBatchingManager:
    settings = ContinuousBatchingConfig(
        page_size=_PAGE,
        max_requests_per_batch=model.options.batch_size,
        num_blocks=_blocks(model) if model.net.device.type == "cpu" else None,
        max_batch_tokens=_BATCH_TOKENS if model.net.device.type == "cpu" else None,
    )
    manager = model.net.init_continuous_batching(
        generation_config=model.config(max_new_tokens=None), continuous_batching_config=settings
    )
    assert isinstance(manager, ContinuousBatchingManager)
    return manager


def _blocks(model: Model) -> int:
    """Enough cache for a whole batch, within bounds, and always for one whole request."""
    config = model.net.config.get_text_config()
    heads: int = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width: int = (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    size = torch.finfo(model.net.dtype).bits // 8
    block: int = 2 * _PAGE * config.num_hidden_layers * heads * width * size
    each = math.ceil(model.prompter.context / _PAGE) + 1
    return max(each + 1, min(each * model.options.batch_size, _CPU_CACHE_BYTES // block))
