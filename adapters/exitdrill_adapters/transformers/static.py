"""Static batches: requests that wait together are answered together."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from time import perf_counter_ns

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from exitdrill.backend import Started
from exitdrill.errors import BackendError
from exitdrill_adapters.transformers import wire
from exitdrill_adapters.transformers.jobs import Inbox, Job, Send
from exitdrill_adapters.transformers.model import Model, explain
from exitdrill_adapters.transformers.sampling import SAMPLING_KEYS, Settings
from exitdrill_adapters.transformers.sequence import Sequence as Answer

_LINGER = 0.003
_LINGER_AT_MOST = 0.020
"""Seconds: requests sent together take a moment to arrive one after the other."""

Key = tuple[Settings, int]


class StaticBatches:
    """Takes jobs, forms batches of equal settings and similar length, and runs them."""

    def __init__(self, model: Model, inbox: Inbox, send: Send) -> None:
        self._model = model
        self._inbox = inbox
        self._send = send
        self._waiting: dict[int, tuple[Key, Answer]] = {}

    def warm_up(self) -> None:
        """Generate two tokens, so that the first request does not pay for what is set up once."""
        body = {"operation": "completion", "prompt": [self._model.pad], "max_tokens": 2}
        # Nobody listens to this id.
        self._generate([self._model.sequence(Job(-1, perf_counter_ns(), body))])

    def run(self) -> None:
        """Until the inbox is closed."""
        while self._gather():
            if batch := self._choose():
                self._answer(batch)

    # --- which ------------------------------------------------------------------------------------

    def _gather(self) -> bool:
        """Take in what has arrived; wait for it when there is nothing to do."""
        if not self._waiting:
            first = self._inbox.queue.get()
            self._take(first)
            give_up = time.monotonic() + _LINGER_AT_MOST
            while time.monotonic() < give_up and self._take_next(_LINGER):
                pass
        while self._take_next(0):
            pass
        return not self._inbox.closing.is_set()

    def _take_next(self, patience: float) -> bool:
        try:
            job = self._inbox.queue.get(block=patience > 0, timeout=patience)
        except queue.Empty:
            return False
        self._take(job)
        return job is not None

    def _take(self, job: Job | None) -> None:
        if job is None:
            return
        try:
            answer = self._model.sequence(job)
        except BackendError as error:
            self._send([wire.error_message(job.id, error.kind, error.message)])
        # Nothing that one request holds may cost the others their answers.
        except Exception as error:
            self._send([wire.error_message(job.id, *explain(error))])
        else:
            self._waiting[job.id] = (self._key(answer), answer)

    def _key(self, answer: Answer) -> Key:
        # A repetition penalty would count the padding: then only prompts of one length go together.
        padded = self._model.defaults.repetition_penalty in (None, 1.0)
        return self._model.settings(answer.job), 0 if padded else len(answer.prompt.ids)

    def _choose(self) -> list[Answer]:
        """The oldest job and those that fit with it best."""
        for _, answer in list(self._waiting.values()):
            if self._inbox.dropped(answer.job):
                self._forget(answer)
        if not self._waiting:
            return []
        key, oldest = next(iter(self._waiting.values()))
        alike = [answer for other, answer in self._waiting.values() if other == key]
        alike.sort(key=lambda answer: len(answer.prompt.ids))
        size = self._model.options.batch_size
        begin = min(alike.index(oldest) // size * size, max(0, len(alike) - size))
        batch = alike[begin : begin + size]
        return batch if self._model.rotary else self._within_context(oldest, batch)

    def _within_context(self, oldest: Answer, batch: list[Answer]) -> list[Answer]:
        """Those that end together before any row's position leaves the model's table.

        A row that is done still moves on until the last one is: harmless where positions are
        rotations, an index error where they are looked up.
        """
        fitting = [oldest]
        for answer in batch:
            rows = [*fitting, answer]
            longest = max(len(row.prompt.ids) for row in rows)
            if longest + max(row.prompt.room for row in rows) <= self._model.prompter.context:
                fitting.append(answer)
        return list({answer.job.id: answer for answer in fitting}.values())

    def _forget(self, answer: Answer) -> None:
        self._waiting.pop(answer.job.id, None)
        self._inbox.forget(answer.job)

    # --- how --------------------------------------------------------------------------------------

    def _answer(self, batch: list[Answer]) -> None:
        now = perf_counter_ns()
        started = [(one.job.id, Started(now - one.job.received)) for one in batch]
        self._send([wire.event_message(*one) for one in started])
        try:
            self._generate(batch)
        # Whatever torch or the model's code may raise.
        except Exception as error:
            self._recover(batch, error)
        for answer in batch:
            self._forget(answer)

    def _recover(self, batch: list[Answer], error: Exception) -> None:
        """A batch that failed before its first token is tried again one by one."""
        for answer in batch:
            if answer.done:
                continue
            reason: Exception | None = error
            if len(batch) > 1 and not answer.output:
                reason = self._alone(answer)
            if reason is not None:
                self._send([wire.error_message(answer.job.id, *explain(reason))])

    def _alone(self, answer: Answer) -> Exception | None:
        try:
            self._generate([answer])
        except Exception as error:
            return error
        return None

    def _generate(self, batch: list[Answer]) -> None:
        model = self._model
        settings = model.settings(batch[0].job)
        config = model.config(
            max_new_tokens=max(answer.prompt.room for answer in batch),
            eos_token_id=sorted(model.ends) or None,
            return_dict_in_generate=False,
            num_return_sequences=1,
            num_beams=1,
            penalty_alpha=None,
            # The draw is among our own processors, so that to generate() every batch is greedy.
            do_sample=False,
            **dict.fromkeys(SAMPLING_KEYS),
        )
        ids, mask = _pad([answer.prompt.ids for answer in batch], model.pad, model.net.device)
        seeds = [answer.job.body.get("seed") for answer in batch]
        with torch.inference_mode():
            model.net.generate(
                inputs=ids,
                attention_mask=mask,
                generation_config=config,
                logits_processor=settings.processors(seeds, model.net.device),
                stopping_criteria=StoppingCriteriaList([_Steps(batch, self._inbox, self._send)]),
            )


class _Steps(StoppingCriteria):
    """Sees every step of a batch as it happens: hands out tokens, says which rows are done.

    It does the work of a streamer too: a streamer sees the same tokens later (on a GPU a whole
    step later), and cannot end a row.
    """

    def __init__(self, batch: Sequence[Answer], inbox: Inbox, send: Send) -> None:
        self._batch = batch
        self._inbox = inbox
        self._send = send

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor | None, **_: object
    ) -> torch.Tensor:
        tokens = input_ids[:, -1].tolist()
        now = perf_counter_ns()
        messages = [
            message
            for answer, token in zip(self._batch, tokens, strict=True)
            if not answer.done
            for message in step(answer, token, now)
        ]
        if messages:
            self._send(messages)
        done = [answer.done or self._inbox.dropped(answer.job) for answer in self._batch]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def step(answer: Answer, token: int, now: int) -> list[dict[str, object]]:
    """The messages of one token of one answer, whatever happens."""
    try:
        return [wire.event_message(answer.job.id, event) for event in answer.push(token, now)]
    # The parser of structured answers runs on what a model wrote.
    except Exception as error:
        answer.done = True
        return [wire.error_message(answer.job.id, *explain(error))]


def _pad(
    prompts: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts of several lengths as one tensor, filled on the left, with its attention mask."""
    longest = max(map(len, prompts))
    ids = [[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
