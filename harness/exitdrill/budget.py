"""The budget: enforced before a call is made, on the most that the call can cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from exitdrill.backend import Reply, Request
from exitdrill.errors import BackendError, BudgetSpent, ErrorKind
from exitdrill.records import Spend
from exitdrill.scenario import BudgetSpec, PriceSpec
from exitdrill.workload import output_limit

FREE: frozenset[ErrorKind] = frozenset(
    {
        "auth",
        "bad_parameter",
        "unsupported",
        "template",
        "context_overflow",
        "rate_limit",
        "overloaded",
        "unreachable",
        "rejected",
        "left_behind",
    }
)
"""Errors that come instead of an answer: nothing was computed, so nothing is charged."""


class Budget:
    """What may still be used up. Not for threads: one event loop owns it."""

    def __init__(self, limits: BudgetSpec | None, spent: Spend) -> None:
        self._limits = limits
        self.spent = spent

    def reserve(self, most: Spend) -> None:
        """Set aside the most that a call can use. Raises `BudgetSpent` where that is too much."""
        after = _add(self.spent, most)
        if self._limits is not None:
            _refuse(self._limits, after)
        self.spent = after

    def settle(self, reserved: Spend, real: Spend) -> None:
        """Replace a reservation by what the call really used."""
        self.spent = Spend(
            self.spent.calls - reserved.calls + real.calls,
            self.spent.tokens - reserved.tokens + real.tokens,
            self.spent.money - reserved.money + real.money,
        )

    @contextmanager
    def withheld(self, amount: Spend) -> Iterator[None]:
        """Leave that much for others; where there is less, nothing is left for what is done."""
        self.spent = _add(self.spent, amount)
        try:
            yield
        finally:
            self.settle(amount, Spend())


def worst_case(request: Request, price: PriceSpec | None) -> Spend:
    """The most that a call can use: a token holds at least one byte, an answer ends at its limit.

    Without a limit in the request, output counts as nothing; a scenario whose budget needs the
    limit refuses such a request beforehand.
    """
    prompt = json.dumps(_prompt(request.body), ensure_ascii=False)
    size = len(prompt.encode("utf-8", "surrogatepass"))
    output = (output_limit(request.body) or 0) * _answers(request.body)
    return Spend(1, size + output, money(price, size, output))


def charge(reply: Reply, reserved: Spend, price: PriceSpec | None) -> Spend:
    """What an answered call used: as reported, or as recounted, or else as reserved."""
    found = usage(reply)
    if found is None:
        return reserved
    return Spend(1, sum(found), _priced(reply, found, price) or 0.0)


def charge_failed(error: BackendError, answered_partly: bool, reserved: Spend) -> Spend:
    """What a failed call used: nothing where it was refused; as reserved where nobody knows."""
    return Spend(1, 0, 0.0) if is_free(error, answered_partly) else reserved


def is_free(error: BackendError, answered_partly: bool) -> bool:
    """Whether a failed call is known to have cost nothing."""
    return error.kind in FREE and not answered_partly


def reply_money(reply: Reply, price: PriceSpec | None) -> float | None:
    """What an answer cost by its reported usage; None without a price per token, or without it.

    What is only recounted is less than what is billed: no template, tools, images or reasoning that
    stayed hidden are in it.
    """
    found = reported(reply)
    return None if found is None else _priced(reply, found, price)


def reported(reply: Reply) -> tuple[int, int] | None:
    """Tokens of the request and of the answer, as they are billed; None where nobody said."""
    return None if reply.usage_source == "recounted" else usage(reply)


def usage(reply: Reply) -> tuple[int, int] | None:
    """Tokens of the request and of the answer, reported or recounted; None where there is no usage.

    No tokens at all for an answer that says something are none.
    """
    if reply.input_tokens is None or reply.output_tokens is None:
        return None
    if not reply.output_tokens and (reply.text or reply.reasoning or reply.tool_calls):
        return None
    return reply.input_tokens, reply.output_tokens


def _priced(reply: Reply, tokens: tuple[int, int], price: PriceSpec | None) -> float | None:
    if price is None or price.input_per_million is None or price.output_per_million is None:
        return None
    given, made = tokens
    cached = min(reply.cached_tokens, given)
    if price.cached_per_million is None:
        cached = 0
    return money(price, given - cached, made) + cached * (price.cached_per_million or 0.0) / 1e6


def money(price: PriceSpec | None, input_tokens: int, output_tokens: int) -> float:
    """The price of so many tokens; nothing where the price is by the hour, or there is none."""
    if price is None or price.input_per_million is None or price.output_per_million is None:
        return 0.0
    return (input_tokens * price.input_per_million + output_tokens * price.output_per_million) / 1e6


def _answers(body: Mapping[str, Any]) -> int:
    """How many answers a request asks for: each may be as long as the limit allows."""
    counts: list[int] = [body[key] for key in ("n", "best_of") if isinstance(body.get(key), int)]
    prompt = body.get("prompt")
    prompts = 1
    if isinstance(prompt, list) and not all(isinstance(part, int) for part in prompt):
        prompts = len(prompt)  # and not the tokens of one
    return max([1, *counts]) * prompts


def _prompt(body: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("messages", "prompt", "input", "tools", "functions", "response_format")
    return {key: body[key] for key in keys if key in body}


def _add(left: Spend, right: Spend) -> Spend:
    return Spend(left.calls + right.calls, left.tokens + right.tokens, left.money + right.money)


def _refuse(limits: BudgetSpec, after: Spend) -> None:
    for what, limit, value in (
        ("requests", limits.requests, after.calls),
        ("tokens", limits.tokens, after.tokens),
        (str(limits.currency), limits.money, after.money),
    ):
        if limit is not None and value > limit * (1 + 1e-9):
            raise BudgetSpent(
                f"the next call could bring the drill to {value:,.6g} {what}, and the budget is "
                f"{limit:,.6g}"
            )
