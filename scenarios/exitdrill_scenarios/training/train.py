"""Train one of the three models from nothing, on generated tickets only, and export it.

python -m exitdrill_scenarios.training.train vendor|open_moe|small
"""

# ruff: noqa: S311, T201 (nothing secret is drawn here; it is a script)

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
)

from .tickets import SYSTEM_PROMPT, Ticket, answer, balanced, messages, tickets

SEED = 20261123
VOCABULARY = 1024
POSITIONS = 1024
MODELS = Path(__file__).resolve().parents[1] / "models"

PAD, BOS, EOS, SYSTEM, USER, ASSISTANT = (
    "<pad>",
    "<s>",
    "</s>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
)
SPECIALS = (PAD, BOS, EOS, SYSTEM, USER, ASSISTANT)
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
    hidden: int
    layers: int
    inner: int
    steps: int
    rough_steps: int
    wide_steps: int
    experts: int = 0
    rate: float = 3e-3
    batch: int = 32
    storage: torch.dtype = torch.float32


RECIPES = {
    "vendor": Recipe(
        "ticket-dense",
        hidden=128,
        layers=4,
        inner=320,
        steps=4000,
        rough_steps=2500,
        wide_steps=2000,
    ),
    "open_moe": Recipe(
        "ticket-moe",
        hidden=128,
        layers=4,
        inner=192,
        steps=4000,
        rough_steps=2500,
        wide_steps=2000,
        experts=4,
        storage=torch.bfloat16,
    ),
    "small": Recipe(
        "ticket-small", hidden=64, layers=3, inner=160, steps=3000, rough_steps=1000, wide_steps=0
    ),
}


# --- tokenizer ------------------------------------------------------------------------------


def build_tokenizer(samples: int = 20_000) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on training tickets and their answers; any text can be encoded."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SKELETON),
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(_corpus(samples), trainer)
    core.add_tokens([AddedToken(piece, normalized=False) for piece in SKELETON])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        extra_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=POSITIONS,
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
) -> list[tuple[list[int], int]]:
    """Each ticket with its answer as ids, and where the answer begins."""
    rows = []
    for ticket in batch:
        prompt = tokenizer.apply_chat_template(
            messages(ticket.text, system_prompt(rng)), tokenize=False, add_generation_prompt=True
        )
        rows.append((prompt, answer(ticket.expected) + EOS))
    core = tokenizer.backend_tokenizer
    prompts = core.encode_batch([prompt for prompt, _ in rows], add_special_tokens=False)
    answers = core.encode_batch([text for _, text in rows], add_special_tokens=False)
    return [(p.ids + a.ids, len(p.ids)) for p, a in zip(prompts, answers, strict=True)]


def batches(
    tokenizer: PreTrainedTokenizerFast, size: int, seed: int, *, rough: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Padded ids, and a mask of the positions whose next token belongs to the answer, without end.

    Sorted within chunks, so that little is padded.
    """
    rng = random.Random(f"batches/{seed}")
    source = tickets("train", seed, rough=rough)
    while True:
        rows = sorted(
            encode(tokenizer, list(islice(source, size * 16)), rng), key=lambda row: len(row[0])
        )
        groups = [rows[i : i + size] for i in range(0, len(rows), size)]
        rng.shuffle(groups)
        yield from (_pad(group) for group in groups)


def _pad(rows: list[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, (row, start) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, start - 1 : len(row) - 1] = True
    return ids, mask


# --- training -------------------------------------------------------------------------------


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The model with fresh weights."""
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": recipe.hidden,
        "intermediate_size": recipe.inner,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.hidden // 32,
        "num_key_value_heads": max(1, recipe.hidden // 64),
        "max_position_embeddings": POSITIONS,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "attention_dropout": 0.0,
    }
    if recipe.experts:
        shape |= {
            "num_local_experts": recipe.experts,
            "num_experts_per_tok": 2,
            "router_aux_loss_coef": 0.01,
        }
        return MixtralForCausalLM(MixtralConfig(**shape))
    return MistralForCausalLM(MistralConfig(**shape))


def loss_of(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, prompt_weight: float
) -> torch.Tensor:
    """Mean loss of the answer, plus a share of the prompt's, plus the router's if there is one."""
    routed = hasattr(model.config, "num_local_experts")
    extra = {"output_router_logits": True} if routed else {}
    output = model.model(input_ids=ids, use_cache=False, **extra)
    hidden = output.last_hidden_state[:, :-1]
    target, mask = ids[:, 1:], mask[:, :-1]
    loss = functional.cross_entropy(model.lm_head(hidden[mask]), target[mask])
    if prompt_weight:
        prompt = ~mask & (target != model.config.pad_token_id)
        loss = loss + prompt_weight * functional.cross_entropy(
            model.lm_head(hidden[prompt]), target[prompt]
        )
    if routed:
        loss = loss + model.config.router_aux_loss_coef * balance_loss(output.router_logits)
    return loss


def balance_loss(router_logits: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The load-balancing loss of the Switch transformer; 1 when all experts share alike."""
    total = torch.zeros(())
    for logits in router_logits:
        shares = torch.softmax(logits.flatten(0, -2), dim=-1)
        chosen = (
            functional.one_hot(shares.topk(2, dim=-1).indices, shares.shape[-1]).sum(1).float() / 2
        )
        total = total + shares.shape[-1] * (chosen.mean(0) * shares.mean(0)).sum()
    return total / len(router_logits)


@torch.no_grad()
def dev_share(model: Any, tokenizer: PreTrainedTokenizerFast, count: int = 360) -> float:
    """Share of dev tickets answered fully right.

    One forward pass tells: greedy decoding is right exactly where each token of the right answer is
    the likeliest after the ones before it.
    """
    right = 0
    rows = encode(tokenizer, balanced("dev", SEED, count), random.Random("dev"))
    for start in range(0, count, 60):
        ids, mask = _pad(rows[start : start + 60])
        guess = model(input_ids=ids, use_cache=False).logits[:, :-1].argmax(-1)
        wrong = (guess != ids[:, 1:]) & mask[:, :-1]
        right += int((~wrong.any(1)).sum())
    return right / count


def optimizer_of(model: Any, rate: float) -> torch.optim.AdamW:
    """AdamW that decays matrices only."""
    weights = [p for p in model.parameters() if p.dim() > 1]
    scales = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": 0.05}, {"params": scales, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def fit(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, warm: Path | None, done: int) -> Any:
    """Train in stages: on tickets as they are, then, at half the rate, on rough and wide ones.

    `warm` is a folder that holds the outcome of the first `done` stages.
    """
    torch.manual_seed(SEED)
    model: Any
    if warm:
        model = AutoModelForCausalLM.from_pretrained(warm, dtype=torch.float32)
    else:
        model = build_model(recipe, tokenizer)
    print(f"{recipe.name}: {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    for rough, steps in enumerate((recipe.steps, recipe.rough_steps, recipe.wide_steps)):
        if rough < done or not steps:
            continue
        source = batches(tokenizer, recipe.batch, SEED + rough, rough=rough)
        rate = recipe.rate / 2 if rough else recipe.rate
        # predicting the prompt too, early on, helps the attention heads that copy to form
        stage(model, tokenizer, source, (steps, rate), prompted=0 if rough else steps // 3)
    return model.eval()


def stage(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    source: Iterator[tuple[torch.Tensor, torch.Tensor]],
    pace: tuple[int, float],
    prompted: int,
) -> None:
    """One cycle of (steps, rate); the first `prompted` steps also learn the prompt."""
    steps, rate = pace
    optimizer = optimizer_of(model.train(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.1
    )
    began, mean = time.perf_counter(), math.nan
    for step, (ids, mask) in enumerate(islice(source, steps), 1):
        loss = loss_of(model, ids, mask, 0.1 if step < prompted else 0.0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean = loss.item() if math.isnan(mean) else 0.95 * mean + 0.05 * loss.item()
        if step % 100 == 0 or step == steps:
            seconds = time.perf_counter() - began
            print(f"step {step} loss {mean:.4f} after {seconds:.0f} s", flush=True)
        if step % 500 == 0 or step == steps:
            print(f"dev {dev_share(model, tokenizer):.3f}", flush=True)


def export(model: Any, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, out: Path) -> None:
    """Write the ordinary folder of a transformers model."""
    model.to(recipe.storage)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=128,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    # Stored small, computed in float32: bfloat16 arithmetic is slow on most CPUs.
    _amend(out / "config.json", {"dtype": "float32"}, ())
    # Names that other versions and engines know; tokenizer.json marks special tokens itself.
    _amend(
        out / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast"},
        ("backend", "extra_special_tokens"),
    )
    for path in out.iterdir():
        path.chmod(0o644)


def _amend(path: Path, change: dict[str, str], drop: tuple[str, ...]) -> None:
    values = json.loads(path.read_text("utf-8")) | change
    kept = {key: value for key, value in sorted(values.items()) if key not in drop}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8", newline="\n")


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
    export(model, tokenizer, recipe, arguments.out or MODELS / recipe.name)


if __name__ == "__main__":
    main()
