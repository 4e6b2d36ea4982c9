"""The model in the child: loaded, described, ready to be asked."""

from __future__ import annotations

import copy
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils.chat_parsing import ResponseParser

from exitdrill.errors import BackendError, ErrorKind
from exitdrill_adapters import weights
from exitdrill_adapters.transformers import sequence
from exitdrill_adapters.transformers.jobs import Job
from exitdrill_adapters.transformers.prompts import Prompter
from exitdrill_adapters.transformers.sampling import Settings
from exitdrill_adapters.transformers.settings import LocalOptions
from exitdrill_adapters.transformers.text import Decode

_CONTEXT_IF_UNKNOWN = 2048
_NOT_HONOURED = ("typical_p", "epsilon_cutoff", "eta_cutoff", "num_beams", "penalty_alpha")
"""Ways of decoding in a generation_config that a drill does not follow; reported when set."""


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model with what is needed to ask it."""

    net: Any  # a PreTrainedModel, whose methods torch's __getattr__ hides from type checkers
    tokenizer: PreTrainedTokenizerBase
    prompter: Prompter
    defaults: GenerationConfig
    options: LocalOptions

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer."""
        ids = self.defaults.eos_token_id
        if ids is None:
            ids = self.tokenizer.eos_token_id
        return frozenset(ids if isinstance(ids, list) else [] if ids is None else [ids])

    @property
    def pad(self) -> int:
        """What fills the left of shorter prompts; the attention mask hides it."""
        pad = self.tokenizer.pad_token_id
        return pad if isinstance(pad, int) else min(self.ends, default=0)

    @property
    def rotary(self) -> bool:
        """Whether positions are rotations, and not rows of a table that may run out."""
        return getattr(self.net.config.get_text_config(), "rope_parameters", None) is not None

    def config(self, **changes: Any) -> GenerationConfig:
        """The model's own way of generating, changed."""
        config = copy.deepcopy(self.defaults)
        update: Any = config.update  # without annotations in transformers
        update(pad_token_id=self.pad, max_length=None, use_cache=True, **changes)
        return config

    def settings(self, job: Job) -> Settings:
        """How a job's tokens are chosen: as it says, else as the model's makers say."""
        return Settings.of(job.body, self.defaults)

    def sequence(self, job: Job) -> sequence.Sequence:
        """An answer's beginning, or the `BackendError` that it ends in."""
        prompt = self.prompter(job.body)
        parser = None
        if job.body["operation"] == "chat" and self.tokenizer.response_template:
            parser = ResponseParser(
                self.tokenizer.response_template, prefix=prompt.text, tools=job.body.get("tools")
            )
        # The marks around a tool call are special tokens as often as not.
        decode = self._decoder(skip_special_tokens=parser is None)
        return sequence.Sequence(job, prompt, self.ends, decode, parser)

    def facts(self) -> dict[str, Any]:
        """What a report should say of it."""
        versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
        settings = Settings.of({}, self.defaults)
        details: dict[str, Any] = {
            "architecture": (self.net.config.architectures or [type(self.net).__name__])[0],
            **_parameters(self.net),
            "dtype": str(self.net.dtype).removeprefix("torch."),
            "device": str(self.net.device),
            **_machine(self.net.device),
            "attention": getattr(self.net.config, "_attn_implementation", None),
            "batching": self.options.mode,
            "batch_size": self.options.batch_size,
            "threads": torch.get_num_threads(),
            "vocabulary": self.prompter.vocabulary,
            "context": self.prompter.context,
            "versions": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__,
                "python": platform.python_version(),
            },
        }
        if self.options.chat_template_kwargs:
            details["chat_template_kwargs"] = self.options.chat_template_kwargs
        if ignored := [
            name for name in _NOT_HONOURED if getattr(self.defaults, name) not in (None, 1)
        ]:
            details["generation_config_not_followed"] = ignored
        return {
            "server": f"{versions} (in process)",
            "sampling": settings.facts(self.defaults),
            "details": details,
        }

    def _decoder(self, *, skip_special_tokens: bool) -> Decode:
        # Twice per token: the Rust tokenizer itself, where there is one, takes a third of the time.
        if rust := getattr(self.tokenizer, "backend_tokenizer", None):
            return partial(rust.decode, skip_special_tokens=skip_special_tokens)
        decode: Any = self.tokenizer.decode  # says it may return a list, which takes a batch
        return partial(
            decode,
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )


def load(path: Path, options: LocalOptions) -> Model:
    """Load a model's folder. Anything that goes wrong is a `BackendError`."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        return _load(path, options)
    except BackendError:
        raise
    # A folder that somebody else wrote: a config can be wrong in any way.
    except Exception as error:
        kind, text = explain(error)
        raise BackendError(
            "unsupported" if kind == "server" else kind, f"{path} could not be loaded: {text}"
        ) from error


def explain(error: BaseException) -> tuple[ErrorKind, str]:
    """The kind of an exception of torch's or transformers', and what to say of it."""
    text = f"{type(error).__name__}: {error}"
    # torch's allocator on a CPU raises a bare RuntimeError.
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return "crashed", f"not enough memory ({text}): try a smaller model, batch_size or dtype"
    return "server", text


def _load(path: Path, options: LocalOptions) -> Model:
    device = _device(options.device)
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(path, **safe)
    net: Any = AutoModelForCausalLM.from_pretrained(
        path, dtype=_dtype(options.dtype, device), use_safetensors=True, **safe
    )
    net.to(device).eval()
    vocabulary = net.get_input_embeddings().num_embeddings
    limits = [options.max_context, getattr(net.config.get_text_config(), _LIMIT, None)]
    prompter = Prompter(
        tokenizer=tokenizer,
        context=min((one for one in limits if one), default=_CONTEXT_IF_UNKNOWN),
        vocabulary=vocabulary,
        default_max_tokens=net.generation_config.max_new_tokens,
        template_kwargs=options.chat_template_kwargs,
    )
    return Model(net, tokenizer, prompter, net.generation_config, options)


_LIMIT = "max_position_embeddings"


def _device(asked: str) -> torch.device:
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return torch.device(next(name for name, there in has.items() if there))
    if not has[asked]:
        raise BackendError("unsupported", f"this machine's torch has no device {asked!r}")
    return torch.device(asked)


def _dtype(asked: str, device: torch.device) -> Any:
    """A CPU computes halves slowly and less exactly, so there "auto" is float32."""
    if asked != "auto":
        return getattr(torch, asked)
    return torch.float32 if device.type == "cpu" else "auto"


def _parameters(net: Any) -> Mapping[str, Any]:
    sizes = {name: one.numel() for name, one in net.named_parameters()}
    if getattr(net.config, "quantization_config", None):
        return {}  # packed: the files' facts say so
    return weights.counted(sizes, net.config.get_text_config().to_dict())


def _machine(device: torch.device) -> dict[str, str]:
    """What computes: the same weights may answer otherwise on another kind of it."""
    if device.type == "cuda":
        return {"device_name": torch.cuda.get_device_name(device)}
    return {"cpu_capability": torch.backends.cpu.get_cpu_capability()}
