"""What is known of each OpenAI-compatible vendor: one row each.

A row says how its vendor differs; the code that acts on a difference never asks for a name. The
defaults are conservative: what is not known to be honoured is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from exitdrill.backend import Operation


@dataclass(frozen=True, slots=True)
class Limit:
    """A parameter that a server does not honour, except at the values that it ``accepts``."""

    why: str
    accepts: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one operation.

    ``honours`` is every name that has its effect; None: no list is known, everything is sent.
    ``rename`` maps a name in the body to the server's own; ``limits`` are the exceptions.
    """

    honours: frozenset[str] | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _ignored(words: str, why: str) -> dict[str, Limit]:
    return dict.fromkeys(words.split(), Limit(why))


_CHAT = _names(
    "messages max_tokens temperature top_p stop seed presence_penalty frequency_penalty"
    " tools tool_choice response_format"
)
_COMPLETION = _names(
    "prompt max_tokens temperature top_p stop seed presence_penalty frequency_penalty"
)
SAMPLING = _names(
    "do_sample temperature top_p top_k min_p typical_p seed presence_penalty frequency_penalty"
    " repetition_penalty repeat_penalty max_tokens max_completion_tokens random_seed"
)
"""Parameters that say how the next token is chosen, or how many there may be."""
_EMBEDDING = _names("input dimensions encoding_format")
_CAP = {"max_completion_tokens": "max_tokens"}


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that a server says of itself, where it is documented.

    ``path`` begins where ``/v1`` does. ``keeps`` maps a name in the record to where it stands in
    the JSON that is answered: a pointer (RFC 6901) in which ``{model}`` is the entry of a list that
    names our model. The names ``version`` and ``revision`` are the server's and the model's own;
    what begins with ``sampling/`` is in force where a request says nothing; of a ``…_file`` only
    the last part of its path is kept, of a ``…_sha256`` the hash of the text.
    """

    path: str
    keeps: Mapping[str, str]
    posts_model: bool = False
    """Asked by a POST of ``{"model": …}``, not by a GET."""


def _under(prefix: str, place: str, words: str) -> dict[str, str]:
    return {f"{prefix}{word}": f"{place}/{word}" for word in words.split()}


GENERIC_OPERATIONS: Mapping[Operation, Parameters] = MappingProxyType(
    {
        "chat": Parameters(_CHAT, rename=_CAP),
        "completion": Parameters(_COMPLETION),
        "embedding": Parameters(_EMBEDDING),
    }
)


@dataclass(frozen=True, slots=True)
class Vendor:
    """One row: where an OpenAI-compatible server differs."""

    name: str
    endpoint: str | None = None
    key_env: str | None = None
    """The name of the variable that holds a key; used with the row's own endpoint only."""
    operations: Mapping[Operation, Parameters] = field(default_factory=lambda: GENERIC_OPERATIONS)
    probe: str = "models"
    """What `start` asks for, relative to the endpoint (with a slash: to where ``/v1`` begins)."""

    asks: tuple[Ask, ...] = ()
    """What else `start` asks for; of two answers to one question the first one counts."""
    version_header: str | None = None
    """The header of every response that holds the server's version."""
    generation_config: bool = False
    """Takes what a request leaves open from the model's ``generation_config.json``."""

    forwards: bool = False
    """Hands requests on to other servers: not local, nor free, even on loopback."""

    # --- requests
    developer_role: bool = False
    """Knows the developer role; elsewhere it becomes system."""
    late_system: Literal["keep", "hoist"] = "keep"
    """A system message after the conversation began: kept there, or moved to the front."""
    tool_call_id_length: int | None = None
    """Takes only tool-call ids of exactly so many letters and digits."""
    empty_arguments: bool = True
    """Takes ``""`` for the arguments of a tool call in the history."""
    content_beside_tool_calls: bool = True
    """Uses the content of an assistant's message that also holds tool calls."""
    content_parts: frozenset[str] | None = None
    """The types of content parts that it is known not to lose; None: all."""
    stream_usage: bool = False
    """Takes ``stream_options: {include_usage: true}``."""

    # --- answers
    reasoning: tuple[str, ...] = ("reasoning_content", "reasoning")
    """Fields of a delta that hold reasoning; the first that is not empty counts."""
    think_tags: bool = False
    """Reasoning may stand in the text, between ``<think>`` tags at its beginning."""
    keeps_stop: bool = False
    """Leaves the stop string in the answer; the adapter cuts it off."""
    notes: tuple[str, ...] = ()
    """What else is known, for the record."""

    def quirks(self) -> list[str]:
        """What a reader of the report should know of this vendor."""
        found = [
            (not self.developer_role, "developer messages are sent as system"),
            (self.late_system == "hoist", "late system messages are moved to the front"),
            (self.tool_call_id_length is not None, "tool-call ids are rewritten"),
            (self.keeps_stop, "stop strings are cut off by the adapter"),
            (self.think_tags, "leading <think> tags are read as reasoning"),
            (not self.stream_usage, "usage is not asked for"),
        ]
        return [text for applies, text in found if applies] + list(self.notes)


_GREEDY = "is decoded greedily whatever it says, unless the model's own configuration samples"
_IGNORED = "is accepted and ignored"
_TRANSFORMERS = {
    "temperature": Limit(_GREEDY, accepts=(0,)),
    "top_p": Limit(_GREEDY, accepts=(1,)),
    "frequency_penalty": Limit("would become a repetition penalty, which is something else"),
}

_LLAMA_CPP = (  # llama.cpp: tools/server/README.md, "GET /props" and "GET /v1/models"
    Ask(
        "/props",
        {
            "version": "/build_info",
            "model_file": "/model_path",
            "slots": "/total_slots",
            "context": "/default_generation_settings/n_ctx",
            "chat_template_sha256": "/chat_template",
            **_under(
                "sampling/",
                "/default_generation_settings/params",
                "temperature dynatemp_range top_k top_p min_p typical_p xtc_probability"
                " repeat_penalty repeat_last_n presence_penalty frequency_penalty dry_multiplier"
                " mirostat seed max_tokens",
            ),
        },
    ),
    Ask(
        "/v1/models",  # one entry, whatever the model is called
        {
            "parameters": "/data/0/meta/n_params",
            "weights_bytes": "/data/0/meta/size",
            "context_trained": "/data/0/meta/n_ctx_train",
            "vocabulary": "/data/0/meta/n_vocab",
        },
    ),
)
_OLLAMA = (  # docs.ollama.com/api: /api/version, /api/tags, /api/show
    Ask("/api/version", {"version": "/version"}),
    Ask("/api/tags", {"revision": "/models/{model}/digest"}),
    Ask(
        "/api/show",
        {
            **_under("", "/details", "format family parameter_size quantization_level"),
            "architecture": "/model_info/general.architecture",
            "parameters": "/model_info/general.parameter_count",
            "sampling/parameters": "/parameters",
            "chat_template_sha256": "/template",
        },
        posts_model=True,
    ),
)
_LITELLM = (  # docs.litellm.ai/docs/proxy/health; before 2026 the first one held the second's
    Ask("/health/readiness/details", {"version": "/litellm_version"}),
    Ask("/health/readiness", {"version": "/litellm_version"}),
)

_ROWS = (
    Vendor("generic"),
    Vendor(
        "openai",
        endpoint="https://api.openai.com/v1",
        key_env="OPENAI_API_KEY",
        version_header="openai-version",  # API reference, "Debugging requests": of the REST API
        operations={
            "chat": Parameters(
                (_CHAT - {"max_tokens"})
                | _names(
                    "max_completion_tokens n logprobs top_logprobs logit_bias parallel_tool_calls"
                    " functions function_call modalities audio prediction reasoning_effort"
                    " verbosity service_tier store metadata user prompt_cache_key"
                    " prompt_cache_retention safety_identifier web_search_options"
                ),
                rename={"max_tokens": "max_completion_tokens"},
            ),
            "completion": Parameters(
                _COMPLETION | _names("n best_of echo logprobs logit_bias suffix user")
            ),
            "embedding": Parameters(_EMBEDDING | {"user"}),
        },
        developer_role=True,
        stream_usage=True,
        reasoning=(),
        notes=("reasoning is not shown; its tokens are counted as output",),
    ),
    Vendor(
        "mistral",
        endpoint="https://api.mistral.ai/v1",
        key_env="MISTRAL_API_KEY",
        operations={
            "chat": Parameters(
                (_CHAT - {"seed"})
                | _names(
                    "random_seed n metadata prediction parallel_tool_calls prompt_mode"
                    " reasoning_effort safe_prompt prompt_cache_key guardrails"
                ),
                rename=_CAP | {"seed": "random_seed"},
            ),
            "embedding": Parameters(
                _names("input encoding_format output_dimension output_dtype metadata"),
                rename={"dimensions": "output_dimension"},
            ),
        },
        late_system="hoist",
        tool_call_id_length=9,
        notes=(
            "unknown parameters are refused with 422",
            "reports usage in the last chunk, unasked",
            "reasoning comes as content parts",
        ),
    ),
    Vendor(
        "vllm",
        operations={
            "chat": Parameters(
                _CHAT
                | _names(
                    "n logprobs top_logprobs logit_bias parallel_tool_calls reasoning_effort"
                    " include_reasoning thinking_token_budget top_k min_p repetition_penalty"
                    " length_penalty stop_token_ids include_stop_str_in_output ignore_eos"
                    " min_tokens skip_special_tokens spaces_between_special_tokens"
                    " truncate_prompt_tokens prompt_logprobs allowed_token_ids bad_words echo"
                    " add_generation_prompt continue_final_message add_special_tokens documents"
                    " chat_template chat_template_kwargs mm_processor_kwargs structured_outputs"
                    " priority"
                ),
                rename=_CAP,
                limits=_ignored(
                    "guided_json guided_regex guided_choice guided_grammar",
                    "was removed in vLLM 0.12 (use response_format or structured_outputs)",
                )
                | {"user": Limit(_IGNORED)},
            ),
            "completion": Parameters(
                _COMPLETION
                | _names(
                    "n echo logprobs logit_bias top_k min_p repetition_penalty length_penalty"
                    " stop_token_ids include_stop_str_in_output ignore_eos min_tokens"
                    " skip_special_tokens response_format structured_outputs priority"
                ),
                limits={"user": Limit(_IGNORED)},
            ),
            "embedding": Parameters(_EMBEDDING | _names("truncate_prompt_tokens priority")),
        },
        # vllm: tests/entrypoints/openai/test_basic.py, test_show_version
        asks=(Ask("/version", {"version": "/version"}),),
        generation_config=True,
        stream_usage=True,
        reasoning=("reasoning", "reasoning_content"),
        think_tags=True,
        notes=("takes sampling defaults from the model's generation_config.json",),
    ),
    Vendor(
        "llama_cpp",
        operations={
            "chat": Parameters(
                _CHAT
                | _names(
                    "logprobs top_logprobs logit_bias parallel_tool_calls top_k min_p typical_p"
                    " repeat_penalty repeat_last_n mirostat mirostat_tau mirostat_eta grammar"
                    " json_schema samplers cache_prompt id_slot ignore_eos n_probs"
                    " chat_template_kwargs reasoning_format thinking_budget_tokens"
                ),
                rename=_CAP,
                limits={
                    "tool_choice": Limit(
                        "names a tool, which is taken for 'auto'",
                        accepts=("auto", "none", "required"),
                    )
                },
            ),
            "completion": Parameters(
                _COMPLETION
                | _names("logprobs logit_bias top_k min_p typical_p repeat_penalty grammar"),
            ),
            "embedding": Parameters(_names("input encoding_format")),
        },
        asks=_LLAMA_CPP,
        stream_usage=True,
        reasoning=("reasoning_content",),
        think_tags=True,
        notes=("one model; the model's name in a request is not checked",),
    ),
    Vendor(
        "ollama",
        endpoint="http://127.0.0.1:11434/v1",
        operations={
            "chat": Parameters(
                (_CHAT - {"tool_choice"}) | _names("logprobs top_logprobs reasoning_effort"),
                rename=_CAP,
                limits=_ignored("tool_choice logit_bias user n", _IGNORED),
            ),
            "completion": Parameters(
                _COMPLETION | {"suffix"},
                limits=_ignored("best_of echo logit_bias user n", _IGNORED),
            ),
            "embedding": Parameters(_EMBEDDING),
        },
        asks=_OLLAMA,
        stream_usage=True,
        reasoning=("reasoning",),
        think_tags=True,
        notes=("a prompt longer than num_ctx is truncated without a word",),
    ),
    Vendor(
        "transformers_serve",
        operations={
            "chat": Parameters(
                _names(
                    "messages max_tokens max_completion_tokens temperature top_p stop seed"
                    " logit_bias tools chat_template_kwargs generation_config"
                ),
                limits=_TRANSFORMERS
                | _ignored(
                    "n logprobs top_logprobs response_format presence_penalty tool_choice"
                    " parallel_tool_calls reasoning_effort user store metadata",
                    _IGNORED,
                ),
            ),
            "completion": Parameters(
                _names("prompt max_tokens temperature top_p stop seed generation_config"),
                limits=_TRANSFORMERS
                | _ignored("n best_of echo logprobs presence_penalty logit_bias user", _IGNORED)
                | {"suffix": Limit("would be pasted behind the answer, not filled in before")},
            ),
        },
        probe="/health",  # its list of models is that of the whole cache; it tells no version
        generation_config=True,
        empty_arguments=False,
        content_beside_tool_calls=False,
        content_parts=frozenset({"text"}),
        reasoning=("reasoning_content",),
        think_tags=True,
        keeps_stop=True,
        notes=(
            "no [DONE]; reports usage in the last chunk, unasked",
            "one request at a time unless continuous batching is on",
            "with continuous batching the first request's sampling settings pin all later ones",
            "without max_tokens, a default below 1024 is raised to 1024",
            "a truncated tool call is dropped without a word",
            "seed is global to the server",
        ),
    ),
    Vendor(
        "litellm",
        endpoint="http://127.0.0.1:4000/v1",
        operations={"chat": Parameters(), "completion": Parameters(), "embedding": Parameters()},
        asks=_LITELLM,
        version_header="x-litellm-version",  # docs.litellm.ai/docs/proxy/response_headers
        forwards=True,
        developer_role=True,
        stream_usage=True,
        notes=(
            "a gateway: may drop parameters without a word (drop_params)",
            "maps finish reasons that report an error to 'stop'",
        ),
    ),
)

VENDORS: Mapping[str, Vendor] = MappingProxyType({row.name: row for row in _ROWS})
