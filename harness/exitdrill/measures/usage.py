"""What a trial used, as columns: tokens as reported and as counted, and whether it was made now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from exitdrill.budget import reported
from exitdrill.measures.base import NAN, ArmFacts, Array, Column, Pair, TrialView
from exitdrill.sentences import count_of

OWN_MEMORY = "the app made no model call, though another run of the same case did"
"""How it is known that an app's answer is not a fresh one."""
MARKS = 4
"""Tokens of an answer, and of each of its tool calls, that need not be seen: its end, marks."""


def input_tokens(view: TrialView) -> float:
    """Tokens of the request as reported; NaN where they are not, and of an error."""
    return _reported(view)[0]


def output_tokens(view: TrialView) -> float:
    """Tokens of the answer as reported; NaN where they are not, and of an error."""
    return _reported(view)[1]


def counted_input_tokens(view: TrialView) -> float:
    """Tokens of the request by its backend's own tokenizer; NaN where it has none."""
    return _number(view, view.reply.recounted_input_tokens)


def counted_output_tokens(view: TrialView) -> float:
    """Tokens of the answer by its backend's own tokenizer; NaN where it has none."""
    return _number(view, view.reply.recounted_output_tokens)


def most_tokens(view: TrialView) -> float:
    """The most output tokens that can have arrived: a token of the text holds at least one byte.

    Of an app's calls it shows what it likes: no bound is known.
    """
    if view.app:
        return math.inf
    reply = view.reply
    calls = reply.tool_calls
    texts = [reply.text, reply.reasoning, *(call.name + call.arguments for call in calls)]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return float(size + MARKS * (1 + len(calls)))


def generated_tokens(view: TrialView) -> float:
    """One value of `generated`."""
    counted, tokens = counted_output_tokens(view), output_tokens(view)
    if not math.isnan(counted):
        return counted
    return NAN if tokens > most_tokens(view) else tokens


def replayed(view: TrialView) -> float:
    """1 for an answer from a cache or a recording, else 0."""
    return float(view.reply.replayed is not None)


def remembered(view: TrialView) -> bool:
    """Whether an app answered from a memory of its own: what that took is no measure of a model."""
    return view.app and view.reply.replayed is not None


def _reported(view: TrialView) -> tuple[float, float]:
    if view.failed or remembered(view):
        return NAN, NAN
    if view.app and not view.calls:  # nobody was asked: that is known
        return 0.0, 0.0
    found = reported(view.reply)
    return (NAN, NAN) if found is None else (float(found[0]), float(found[1]))


def _number(view: TrialView, count: int | None) -> float:
    return NAN if count is None or view.failed else float(count)


REPLAYED: Mapping[str, Column] = {"replayed": replayed}
GENERATED: Mapping[str, Column] = {
    "output_tokens": output_tokens,
    "counted_output_tokens": counted_output_tokens,
    "most_tokens": most_tokens,
}
"""The columns that `generated` reads."""


def generated(arm: ArmFacts) -> Array:
    """Output tokens per trial for a rate: by the backend's own tokenizer where there is one.

    It counts what was seen to arrive; what a server reports may hold tokens that it never sent (of
    reasoning), and it is the server that is measured. NaN where more are reported than can have
    arrived.
    """
    billed, counted, most = (arm.columns[name] for name in GENERATED)
    believed = np.where(billed > most, np.nan, billed)
    tokens: Array = np.where(np.isnan(counted), believed, counted)
    return tokens


def more_than_arrived(pair: Pair) -> Iterator[str]:
    """For each arm with answers of more tokens than can have arrived, how many."""
    for who, arm in (("incumbent", pair.incumbent), ("candidate", pair.candidate)):
        too_many = ~np.isnan(arm.columns["output_tokens"]) & np.isnan(generated(arm))
        if count := int(too_many.sum()):
            yield (
                f"{who}: {count:,} {'answer' if count == 1 else 'answers'} with more tokens "
                "reported than can have arrived (reasoning that stayed hidden?): how many did is "
                "not known"
            )


def token_source(arm: ArmFacts, measured: npt.NDArray[np.bool_]) -> str:
    """Whose count `generated` is, over the trials where the mask ``measured`` is true."""
    n = int(measured.sum())
    counted = int((measured & ~np.isnan(arm.columns["counted_output_tokens"])).sum())
    if not counted:
        return "tokens as reported"
    if counted == n:
        return "tokens by its own tokenizer"
    return f"tokens by its own tokenizer for {counted:,} of {n:,} answers, else as reported"


def replays(arm: ArmFacts) -> int:
    """How many answers of an arm came from a cache or a recording."""
    return int(np.nansum(arm.columns["replayed"]))


def came_from_a_cache(arm: ArmFacts) -> str:
    """``12 answers came from a cache or a recording``; those of an app from its own memory."""
    said = f"{count_of(replays(arm), 'answer')} came from"
    return f"{said} the app's own memory" if arm.runs_app else f"{said} a cache or a recording"


def not_timed(pair: Pair) -> Iterator[str]:
    """For each arm with replayed answers, how many; they are no measure of any server's speed."""
    for who, arm in (("incumbent", pair.incumbent), ("candidate", pair.candidate)):
        count = replays(arm)
        verb = "is" if count == 1 else "are"
        if count:
            yield f"{who}: {came_from_a_cache(arm)} and {verb} not timed"
