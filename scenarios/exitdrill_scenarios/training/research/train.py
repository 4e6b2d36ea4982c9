"""Train the model of `research_agent` from nothing.

python -m exitdrill_scenarios.training.research.train [--warm DIR --done N] [--out DIR]
"""

# ruff: noqa: S311 (nothing secret is drawn here)

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from exitdrill_scenarios.training import fitting
from exitdrill_scenarios.training.research.books import KINDS, SINGLE
from exitdrill_scenarios.training.research.data import (
    SYSTEM_PROMPT,
    TOOL,
    Inquiry,
    inquiries,
    shown,
    turns,
)
from exitdrill_scenarios.training.research.writing import Noise

NAME = "research-dense"
SHAPE = fitting.Shape(hidden=128, layers=4, inner=320)

ASSISTANT, CALL, END_CALL = "<|assistant|>", "<|call|>", "<|end_call|>"
MARKS = ("<|system|>", "<|tools|>", "<|user|>", "<|tool|>", ASSISTANT, CALL, END_CALL)
# Pieces that never change are one token each, so that a call is little more than what it copies.
# A capitalised word is the same tokens inside a sentence and after a quotation mark.
WORDS = r" ?\p{Ll}+|\p{Lu}\p{Ll}*|\p{L}|\p{N}|\s|[^\s\p{L}\p{N}]"
SKELETON = ('search{"query": "', '"}', "[d")

CHAT_TEMPLATE = """\
{{- '<s>' -}}
{%- if messages and messages[0]['role'] == 'system' -%}
{{- '<|system|>' + messages[0]['content'] -}}
{%- endif -%}
{%- if tools -%}
{{- '<|tools|>' -}}
{%- for tool in tools -%}
{{- tool['function']['name'] + '(' -}}
{{- tool['function']['parameters']['properties'] | join(', ') + ')' -}}
{%- endfor -%}
{%- endif -%}
{%- for message in messages -%}
{%- set text = message['content'] or '' -%}
{%- if message['role'] == 'system' and loop.first -%}
{%- elif message['role'] in ('user', 'tool') -%}
{{- '<|' + message['role'] + '|>' + text -}}
{%- elif message['role'] == 'assistant' -%}
{{- '<|assistant|>' + text -}}
{%- for call in message['tool_calls'] or [] -%}
{%- set arguments = call['function']['arguments'] -%}
{{- '<|call|>' + call['function']['name'] -}}
{{- arguments if arguments is string else arguments | tojson -}}
{{- '<|end_call|>' -}}
{%- endfor -%}
{{- '</s>' -}}
{%- else -%}
{{- raise_exception('Only system (first), user, assistant and tool are supported.') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- endif -%}
"""

# How transformers reads what the model wrote. A call whose arguments are no JSON stays a call, with
# its arguments as they were written: whoever runs the tool can tell the model so.
RESPONSE_TEMPLATE: dict[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": ASSISTANT,
    "fields": {
        "tool_calls": {
            "open_pattern": r"<\|call\|>(?P<name>\w+)",
            "close": END_CALL,
            "repeats": True,
            "content": "json",
            "content_args": {"allow_non_json": True},
            "transform": {
                "type": "function",
                "function": {"name": "{name}", "arguments": "{content}"},
            },
        },
        "content": {"close": fitting.EOS, "content": "text"},
    },
}


@dataclass(frozen=True)
class Stage:
    """One cycle: which questions, how much noise in them, how long, how fast."""

    kinds: tuple[str, ...]
    noise: Noise
    steps: int
    rate: float
    batch: int = 32
    prompted: int = 0
    """So many first steps also learn the prompt, which helps the heads that copy to form."""


STAGES = (
    Stage(SINGLE, Noise(rough=0.2), steps=2000, rate=3e-3, prompted=1000),
    Stage(KINDS, Noise(rough=0.3, made_up=0.4), steps=1500, rate=2e-3, batch=24),
)


def build_tokenizer(samples: int = 12_000) -> PreTrainedTokenizerFast:
    """A tokenizer trained on training inquiries, which tells transformers how to read a call."""
    tokenizer = fitting.build_tokenizer(
        _corpus(samples),
        words=WORDS,
        marks=MARKS,
        skeleton=SKELETON,
        template=CHAT_TEMPLATE,
    )
    tokenizer.response_template = RESPONSE_TEMPLATE
    return tokenizer


def _corpus(samples: int) -> Iterator[str]:
    for inquiry in islice(inquiries("train", fitting.SEED), samples):
        yield f"{SYSTEM_PROMPT}search(query){inquiry.question}"
        yield inquiry.looks[0].query
        for look in inquiry.looks:
            yield shown(look.found)
        # Twice as often as in the conversations, or most of the vocabulary would go to the names.
        yield re.sub(r"\{\w+\}", "", " ".join(inquiry.phrases))


def encode(
    tokenizer: PreTrainedTokenizerFast, batch: Sequence[Inquiry], rng: random.Random
) -> list[fitting.Row]:
    """Each inquiry with all its turns as ids, and where the assistant speaks."""
    systems = (None, "Answer with the tool.", "Find it out and cite the passage.")
    texts = []
    for inquiry in batch:
        system = SYSTEM_PROMPT if rng.random() < 0.9 else rng.choice(systems)
        conversation = turns(inquiry, system)
        texts.append(tokenizer.apply_chat_template(conversation, tools=[TOOL], tokenize=False))
    core = tokenizer.backend_tokenizer
    rows = [one.ids for one in core.encode_batch(texts, add_special_tokens=False)]
    speak, end = core.encode(ASSISTANT + fitting.EOS, add_special_tokens=False).ids
    return [(ids, _spans(ids, speak, end)) for ids in rows]


def _spans(ids: list[int], speak: int, end: int) -> list[tuple[int, int]]:
    starts = [i + 1 for i, token in enumerate(ids) if token == speak]
    return [(start, ids.index(end, start) + 1) for start in starts]


def batches(
    tokenizer: PreTrainedTokenizerFast, source: Iterator[Inquiry], size: int, seed: int
) -> fitting.Batches:
    """Batches without end, sorted within chunks, so that little is padded."""
    rng = random.Random(f"research/batches/{seed}")
    while True:
        rows = encode(tokenizer, list(islice(source, size * 16)), rng)
        rows.sort(key=lambda row: len(row[0]))
        groups = [rows[i : i + size] for i in range(0, len(rows), size)]
        rng.shuffle(groups)
        yield from map(fitting.pad, groups)


def dev_share(tokenizer: PreTrainedTokenizerFast, model: Any, count: int = 240) -> float:
    """Share of dev inquiries whose every turn is right, given the right turns before it."""
    asked = list(islice(inquiries("dev", fitting.SEED), count))
    return fitting.share_right(model, encode(tokenizer, asked, random.Random("dev")))


def fit(tokenizer: PreTrainedTokenizerFast, warm: Path | None, done: int, out: Path) -> None:
    """Train in stages, and export after each; `warm` holds the outcome of the first `done`."""
    torch.manual_seed(fitting.SEED)
    model: Any
    if warm:
        model = AutoModelForCausalLM.from_pretrained(warm, dtype=torch.float32)
    else:
        model = fitting.build_model(SHAPE, tokenizer)
    for number, one in enumerate(STAGES[done:], done):
        seed = fitting.SEED + number
        source = inquiries("train", seed, noise=one.noise, kinds=one.kinds)
        fitting.stage(
            model,
            batches(tokenizer, source, one.batch, seed),
            (one.steps, one.rate),
            prompted=one.prompted,
            dev_share=partial(dev_share, tokenizer),
        )
        fitting.export(model.eval(), tokenizer, out, torch.bfloat16)
        model.to(torch.float32)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the model and export it.")
    parser.add_argument("--warm", type=Path, help="start from the weights in this folder")
    parser.add_argument("--done", type=int, default=0, help="stages that those went through")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=fitting.MODELS / NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    fit(build_tokenizer(), arguments.warm, arguments.done, arguments.out)


if __name__ == "__main__":
    main()
