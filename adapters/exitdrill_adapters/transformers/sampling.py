"""How the next token is chosen: greedily, or drawn with a generator of each request's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

if TYPE_CHECKING:
    from transformers import GenerationConfig


SAMPLING_KEYS = (
    "temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"
)  # fmt: skip
"""What a generation_config may say about sampling."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What must be equal within a batch. A temperature of 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0

    @classmethod
    def of(cls, body: Mapping[str, Any], defaults: GenerationConfig) -> Settings:
        """A request's settings over the model's own."""
        own = (defaults.temperature or 1.0) if defaults.do_sample else 0.0
        temperature = body.get("temperature", own)
        if not temperature:
            return cls()
        return cls(
            temperature=temperature,
            top_p=body.get("top_p", defaults.top_p or 1.0),
            top_k=body.get("top_k", defaults.top_k or 0),
            min_p=defaults.min_p or 0.0,
        )

    def facts(self, defaults: GenerationConfig) -> dict[str, Any]:
        """The decoding in force where a request says nothing."""
        samples = bool(self.temperature)
        facts: dict[str, Any] = {"do_sample": samples, "temperature": self.temperature}
        if samples:
            facts |= {"top_p": self.top_p, "top_k": self.top_k, "min_p": self.min_p}
            facts["seed"] = "each request's own; random where it has none"
        if defaults.repetition_penalty not in (None, 1.0):
            facts["repetition_penalty"] = defaults.repetition_penalty
        if defaults.max_new_tokens:
            facts["max_tokens"] = defaults.max_new_tokens
        return facts

    def processors(self, seeds: Sequence[int | None], device: torch.device) -> LogitsProcessorList:
        """What turns a batch's scores into its choices; empty when greedy."""
        chain = LogitsProcessorList()
        if not self.temperature:
            return chain
        if self.temperature != 1.0:
            chain.append(TemperatureLogitsWarper(self.temperature))
        if self.top_k:
            chain.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1.0:
            chain.append(TopPLogitsWarper(self.top_p))
        if self.min_p:
            chain.append(MinPLogitsWarper(self.min_p))
        chain.append(_Draw([_generator(seed, device) for seed in seeds]))
        return chain


class _Draw(LogitsProcessor):
    """Draws one token per row and leaves nothing else to choose.

    A row draws from a generator of its own, so that a seeded request gets the same answer
    whoever shares its batch; torch's own sampling has one generator for all rows.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._generators = generators

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        # The largest of p / Exp(1) is a draw from p (exponential races).
        noise = torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        chosen = (scores.softmax(dim=-1) / noise).argmax(dim=-1, keepdim=True)
        result = torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)
        assert isinstance(result, torch.Tensor)
        return result  # type: ignore[return-value]  # transformers annotates legacy tensor classes


def _generator(seed: int | None, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device=device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
