"""What the trainings of the small models share: tokenizer, architecture, loss, cycle, export."""

# ruff: noqa: T201 (it serves scripts)

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import (
    GenerationConfig,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
)

SEED = 20261123
VOCABULARY = 1024
POSITIONS = 1024
MODELS = Path(__file__).resolve().parents[1] / "models"

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
Row = tuple[list[int], Sequence[tuple[int, int]]]
"""A conversation as ids, and from where to where the assistant speaks."""
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
"""Padded ids, and a mask of the positions whose next token is the assistant's, without end."""


@dataclass(frozen=True)
class Shape:
    """What makes the architecture of one model."""

    hidden: int
    layers: int
    inner: int
    experts: int = 0


def build_tokenizer(
    corpus: Iterable[str],
    *,
    words: str,
    marks: Sequence[str],
    skeleton: Sequence[str],
    template: str,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE; any text can be encoded.

    `words` is the pattern within which pieces are merged, `marks` are the special tokens of the
    template, `skeleton` the constant pieces that are one token each.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(skeleton),
        special_tokens=[PAD, BOS, EOS, *marks],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(corpus, trainer)
    core.add_tokens([AddedToken(piece, normalized=False) for piece in skeleton])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        extra_special_tokens=list(marks),
        chat_template=template,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=POSITIONS,
    )


def pad(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of one batch, and where the next token is one to be learnt."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, (row, spans) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        for start, end in spans:
            mask[i, start - 1 : end - 1] = True
    return ids, mask


def build_model(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The model with fresh weights."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.hidden // 32,
        "num_key_value_heads": max(1, shape.hidden // 64),
        "max_position_embeddings": POSITIONS,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "attention_dropout": 0.0,
    }
    if shape.experts:
        settings |= {
            "num_local_experts": shape.experts,
            "num_experts_per_tok": 2,
            "router_aux_loss_coef": 0.01,
        }
        return MixtralForCausalLM(MixtralConfig(**settings))
    return MistralForCausalLM(MistralConfig(**settings))


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
def share_right(model: Any, rows: Sequence[Row], size: int = 60) -> float:
    """Share of rows in which the assistant says everything right.

    One forward pass tells: greedy decoding is right exactly where each token of the right answer is
    the likeliest after the ones before it.
    """
    right = 0
    for start in range(0, len(rows), size):
        ids, mask = pad(rows[start : start + size])
        guess = model(input_ids=ids, use_cache=False).logits[:, :-1].argmax(-1)
        wrong = (guess != ids[:, 1:]) & mask[:, :-1]
        right += int((~wrong.any(1)).sum())
    return right / len(rows)


def optimizer_of(model: Any, rate: float) -> torch.optim.AdamW:
    """AdamW that decays matrices only."""
    weights = [p for p in model.parameters() if p.dim() > 1]
    scales = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": 0.05}, {"params": scales, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def stage(
    model: Any,
    source: Batches,
    pace: tuple[int, float],
    *,
    prompted: int,
    dev_share: Callable[[Any], float],
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
            print(f"dev {dev_share(model):.3f}", flush=True)


def export(model: Any, tokenizer: PreTrainedTokenizerFast, out: Path, storage: torch.dtype) -> None:
    """Write the ordinary folder of a transformers model."""
    model.to(storage)
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
