"""Train one of the three models from nothing, on generated tickets only, and export it.

python -m exitdrill_scenarios.training.train vendor|open_moe|small
"""

# ruff: noqa: S311, T201 (nothing secret is drawn here; it is a script)

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from . import fitting
from .fitting import EOS, MODELS, Shape
from .tickets import SYSTEM_PROMPT, Ticket, answer, balanced, messages, tickets

SEED = fitting.SEED
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
# Pieces of the answer that never change are one token each: an answer of ~100 characters is then
# ~25 tokens, nearly all of them copied from the ticket.
SKELETON = ('{"customer": "', '", "topic": "', '", "priority": "', '", "reference": "', '"}')
# A capitalised word never takes its space with it, so that a name is the same tokens inside a
# sentence and right after a quotation mark; digits stand alone.
WORDS = r" ?\p{Ll}+|\p{Lu}\p{Ll}*| ?\p{L}|\p{N}|\s|[^\s\p{L}\p{N}]"

CHAT_TEMPLATE = """\
{{- '<s>' -}}
{%- for message in messages -%}
{%- if message['content'] is string -%}
{%- set text = message['content'] -%}
{%- else -%}
{%- set text = message['content'] | map(attribute='text') | join('') -%}
{%- endif -%}
{%- if message['role'] in ('system', 'user') -%}
{{- '<|' + message['role'] + '|>' + text -}}
{%- elif message['role'] == 'assistant' -%}
{{- '<|assistant|>' + text + '</s>' -}}
{%- else -%}
{{- raise_exception('Only the roles system, user and assistant are supported.') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- endif -%}
"""


@dataclass(frozen=True)
class Recipe:
    """What makes one model differ from the others; the data are the same."""

    name: str
    shape: Shape
    steps: int
    rough_steps: int
    wide_steps: int
    rate: float = 3e-3
    batch: int = 32
    storage: torch.dtype = torch.float32


RECIPES = {
    "vendor": Recipe(
        "ticket-dense",
        Shape(hidden=128, layers=4, inner=320),
        steps=4000,
        rough_steps=2500,
        wide_steps=2000,
    ),
    "open_moe": Recipe(
        "ticket-moe",
        Shape(hidden=128, layers=4, inner=192, experts=4),
        steps=4000,
        rough_steps=2500,
        wide_steps=2000,
        storage=torch.bfloat16,
    ),
    "small": Recipe(
        "ticket-small",
        Shape(hidden=64, layers=3, inner=160),
        steps=3000,
        rough_steps=1000,
        wide_steps=0,
    ),
}


# --- tokenizer ------------------------------------------------------------------------------


def build_tokenizer(samples: int = 20_000) -> PreTrainedTokenizerFast:
    """A tokenizer trained on training tickets and their answers."""
    return fitting.build_tokenizer(
        _corpus(samples),
        words=WORDS,
        marks=(SYSTEM, USER, ASSISTANT),
        skeleton=SKELETON,
        template=CHAT_TEMPLATE,
    )


def _corpus(samples: int) -> Iterator[str]:
    yield SYSTEM_PROMPT
    for ticket in islice(tickets("train", SEED), samples):
        yield ticket.text
        yield " ".join(ticket.expected.values())


# --- batches --------------------------------------------------------------------------------


def system_prompt(rng: random.Random) -> str | None:
    """Mostly the prompt of the workload; at times another or none, so that it is not fixed."""
    others = (
        None,
        "Read the ticket and answer with one JSON object: customer, topic, priority, reference.",
        "You are a support assistant. Return the customer, topic, priority and reference as JSON.",
    )
    return SYSTEM_PROMPT if rng.random() < 0.9 else rng.choice(others)


def encode(
    tokenizer: PreTrainedTokenizerFast, batch: list[Ticket], rng: random.Random
) -> list[fitting.Row]:
    """Each ticket with its answer as ids, and where the answer stands."""
    rows = []
    for ticket in batch:
        prompt = tokenizer.apply_chat_template(
            messages(ticket.text, system_prompt(rng)), tokenize=False, add_generation_prompt=True
        )
        rows.append((prompt, answer(ticket.expected) + EOS))
    core = tokenizer.backend_tokenizer
    prompts = core.encode_batch([prompt for prompt, _ in rows], add_special_tokens=False)
    answers = core.encode_batch([text for _, text in rows], add_special_tokens=False)
    pairs = ((p.ids, a.ids) for p, a in zip(prompts, answers, strict=True))
    return [(p + a, [(len(p), len(p) + len(a))]) for p, a in pairs]


def batches(
    tokenizer: PreTrainedTokenizerFast, size: int, seed: int, *, rough: int = 0
) -> fitting.Batches:
    """Batches without end, sorted within chunks, so that little is padded."""
    rng = random.Random(f"batches/{seed}")
    source = tickets("train", seed, rough=rough)
    while True:
        rows = sorted(
            encode(tokenizer, list(islice(source, size * 16)), rng), key=lambda row: len(row[0])
        )
        groups = [rows[i : i + size] for i in range(0, len(rows), size)]
        rng.shuffle(groups)
        yield from map(fitting.pad, groups)


# --- training -------------------------------------------------------------------------------


def dev_share(tokenizer: PreTrainedTokenizerFast, model: Any, count: int = 360) -> float:
    """Share of dev tickets answered fully right."""
    rows = encode(tokenizer, balanced("dev", SEED, count), random.Random("dev"))
    return fitting.share_right(model, rows)


def fit(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, warm: Path | None, done: int) -> Any:
    """Train in stages: on tickets as they are, then, at half the rate, on rough and wide ones.

    `warm` is a folder that holds the outcome of the first `done` stages.
    """
    torch.manual_seed(SEED)
    model: Any
    if warm:
        model = AutoModelForCausalLM.from_pretrained(warm, dtype=torch.float32)
    else:
        model = fitting.build_model(recipe.shape, tokenizer)
    print(f"{recipe.name}: {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    for rough, steps in enumerate((recipe.steps, recipe.rough_steps, recipe.wide_steps)):
        if rough < done or not steps:
            continue
        source = batches(tokenizer, recipe.batch, SEED + rough, rough=rough)
        rate = recipe.rate / 2 if rough else recipe.rate
        # predicting the prompt too, early on, helps the attention heads that copy to form
        fitting.stage(
            model,
            source,
            (steps, rate),
            prompted=0 if rough else steps // 3,
            dev_share=partial(dev_share, tokenizer),
        )
    return model.eval()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train one model and export it.")
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--warm", type=Path, help="start from the weights in this folder")
    parser.add_argument("--done", type=int, default=0, help="stages that those went through")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="default: the shipped folder of the model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = RECIPES[arguments.recipe]
    tokenizer = build_tokenizer()
    model = fit(recipe, tokenizer, arguments.warm, arguments.done)
    fitting.export(model, tokenizer, arguments.out or MODELS / recipe.name, recipe.storage)


if __name__ == "__main__":
    main()
