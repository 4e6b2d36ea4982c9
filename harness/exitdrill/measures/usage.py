"""What a trial used, as columns: tokens as reported and as counted, and whether it was made now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from exitdrill.measures.base import NAN, ArmFacts, Array, Column, Pair, TrialView


def input_tokens(view: TrialView) -> float:
    """Tokens of the request: as reported, or else as its backend's own tokenizer counts them."""
    return _number(view.reply.input_tokens)


def output_tokens(view: TrialView) -> float:
    """Tokens of the answer: as reported, or else as its backend's own tokenizer counts them."""
    return _number(view.reply.output_tokens)


def counted_input_tokens(view: TrialView) -> float:
    """Tokens of the request by its backend's own tokenizer; NaN where it has none."""
    return _number(view.reply.recounted_input_tokens)


def counted_output_tokens(view: TrialView) -> float:
    """Tokens of the answer by its backend's own tokenizer; NaN where it has none."""
    return _number(view.reply.recounted_output_tokens)


def usage_reported(view: TrialView) -> float:
    """1 where the usage was reported, 0 where it was only recounted, NaN where there is none."""
    source = view.reply.usage_source
    return NAN if source is None else float(source == "reported")


def replayed(view: TrialView) -> float:
    """1 for an answer from a cache or a recording, else 0."""
    return float(view.reply.replayed is not None)


def _number(count: int | None) -> float:
    return NAN if count is None else float(count)


REPLAYED: Mapping[str, Column] = {"replayed": replayed}
GENERATED: Mapping[str, Column] = {
    "output_tokens": output_tokens,
    "counted_output_tokens": counted_output_tokens,
}
"""The columns that `generated` reads."""


def generated(arm: ArmFacts) -> Array:
    """Output tokens per trial for a rate: by the backend's own tokenizer where there is one.

    It counts what was seen to arrive; what a server reports may hold tokens that it never sent,
    and it is the server that is measured.
    """
    counted = arm.columns["counted_output_tokens"]
    tokens: Array = np.where(np.isnan(counted), arm.columns["output_tokens"], counted)
    return tokens


def token_source(arm: ArmFacts, measured: Array) -> str:
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


def came_from_a_cache(count: int) -> str:
    """``12 answers came from a cache or a recording``."""
    return f"{count:,} {'answer' if count == 1 else 'answers'} came from a cache or a recording"


def not_timed(pair: Pair) -> Iterator[str]:
    """For each arm with replayed answers, how many; they are no measure of any server's speed."""
    for who, arm in (("incumbent", pair.incumbent), ("candidate", pair.candidate)):
        count = replays(arm)
        verb = "is" if count == 1 else "are"
        if count:
            yield f"{who}: {came_from_a_cache(count)} and {verb} not timed"
