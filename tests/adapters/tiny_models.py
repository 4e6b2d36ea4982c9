"""Tiny models made on the spot: random ones, and one that says what it was told to say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

TEMPLATE = (
    "{% if bare %}{{ messages[-1].content }}{% else %}"
    "{% for m in messages %}{% if m.role == 'broken' or m.content == 'break' %}"
    "{{ raise_exception('cannot take ' + m.role) }}{% endif %}"
    "{% if m.role != 'developer' %}<|{{ m.role }}|>{{ m.content }}\n{% endif %}{% endfor %}"
    "{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}{% endif %}"
)

RESPONSE_TEMPLATE: Mapping[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|assistant|>",
    "fields": {
        "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
        "tool_calls": {
            "open": "[CALL]",
            "close": "[/CALL]",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"content": "text"},
    },
}

_SPECIAL = ("<s>", "</s>", "<pad>")
_CORPUS = "the quick brown fox jumps over the lazy dog and hello world again and again "


def tokenizer(
    texts: Sequence[str] = (), merges: int = 0, added: Sequence[str] = (), template: str = TEMPLATE
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer; ``added`` tokens stand for themselves, and are not special."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + len(_SPECIAL) + merges,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    inner.add_tokens([AddedToken(token, normalized=False, special=False) for token in added])
    fast: Any = PreTrainedTokenizerFast  # its constructor has no annotations
    made: PreTrainedTokenizerFast = fast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    made.chat_template = template
    return made


def random_model(path: Path, kind: str = "mistral", *, template: str = TEMPLATE) -> Path:
    """A model that babbles: its answers depend on all of the prompt."""
    made = tokenizer([_CORPUS] * 4, merges=61, template=template)
    settings: dict[str, Any] = {
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.25,
        "bos_token_id": made.bos_token_id,
        "eos_token_id": made.eos_token_id,
        "pad_token_id": made.pad_token_id,
    }
    torch.manual_seed(7)
    net: PreTrainedModel
    if kind == "mixtral":
        config = MixtralConfig(**settings, num_local_experts=4, num_experts_per_tok=2)
        net = MixtralForCausalLM(config)
    elif kind == "gpt2":
        net = GPT2LMHeadModel(
            GPT2Config(vocab_size=320, n_positions=512, n_embd=64, n_layer=1, n_head=2)
        )
    else:
        net = MistralForCausalLM(MistralConfig(**settings))
    _save(net, made, path)
    return path


def chain_model(path: Path, chains: Mapping[str, Sequence[str]], **generation: Any) -> Path:
    """A model in which each token has one successor.

    A chain is said when its name, written ``<go:NAME>``, ends the prompt. Its items are single
    bytes or tokens of their own; no item may be in two chains with different successors.
    """
    words = sorted({item for chain in chains.values() for item in chain if len(item) > 1})
    made = tokenizer(added=[*(f"<go:{name}>" for name in chains), *words])
    size = len(made) + -len(made) % 4  # two heads of an even width
    config = MistralConfig(
        vocab_size=size, hidden_size=size, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=96,
        bos_token_id=made.bos_token_id, eos_token_id=made.eos_token_id,
        pad_token_id=made.pad_token_id,
    )  # fmt: skip
    net = MistralForCausalLM(config)
    with torch.no_grad():
        layer = net.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        net.model.embed_tokens.weight.copy_(torch.eye(size))
        net.lm_head.weight.zero_()
        for name, chain in chains.items():
            ids = [made.convert_tokens_to_ids(f"<go:{name}>"), *_ids(made, chain)]
            for token, after in zip(ids, [*ids[1:], made.eos_token_id], strict=True):
                assert net.lm_head.weight[:, token].sum() in (0, net.lm_head.weight[after, token])
                net.lm_head.weight[after, token] = 1
    for key, value in generation.items():
        setattr(net.generation_config, key, value)
    _save(net, made, path)
    return path


def _ids(made: PreTrainedTokenizerFast, chain: Sequence[str]) -> list[int]:
    return [one for item in chain for one in made.encode(item, add_special_tokens=False)]


def _save(net: PreTrainedModel, made: PreTrainedTokenizerFast, path: Path) -> None:
    net.save_pretrained(path)
    made.save_pretrained(path)


def add_response_template(path: Path) -> None:
    """As a model's author would: a key in tokenizer_config.json."""
    file = path / "tokenizer_config.json"
    config = json.loads(file.read_text()) | {"response_template": dict(RESPONSE_TEMPLATE)}
    file.write_text(json.dumps(config))
