"""What ties code to a vendor: one table of rules, each with its reason.

A rule names a vendor and a pattern; its kind says what the pattern is compared with:

- ``module``: the dotted name of what is imported, called or named, by its beginning. One that ends
  with ``*`` stands for all packages of that beginning.
- ``method``: the last names of what is called, as in ``client.chat.completions.create``. It counts
  only in an app that imports an SDK of one of the rule's vendors: other libraries have methods of
  such names too.
- ``parameter``: the name of an argument. It counts where a method does, and is seen in Python only.
- ``host``, ``model``, ``variable``: a regular expression for a text: the host of an endpoint, the
  name of a model, the name of an environment variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

RuleKind = Literal["module", "method", "parameter", "host", "model", "variable"]


@dataclass(frozen=True)
class Rule:
    """One way of being tied to a vendor. ``vendor`` may be several, divided by blanks: whichever of
    them the app imports is meant."""

    vendor: str
    kind: RuleKind
    pattern: str
    reason: str

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern of a text."""
        return re.compile(self.pattern)


_SDK = "the vendor's own SDK: its client, its types and its errors are not another vendor's"
_PLUGIN = "a framework's plug-in for one vendor"
_CLOUD = "the client of one cloud's model service"
_API = "a method of the vendor's API; another's has another name, other arguments, another answer"
_EXTRA = "parameters that the SDK does not know: what one host takes, another refuses or ignores"
_HOST = "the vendor's endpoint stands in the code instead of in the configuration"
_MODEL = "the name of a model that the vendor alone serves stands in the code"
_OPEN = "the vendor's name for a model; other hosts call the same weights otherwise"
_VARIABLE = "an environment variable that the vendor's SDK, or its documentation, names"

_MODULES: tuple[tuple[str, str, str], ...] = (
    # Python
    ("openai", "openai", _SDK),
    ("anthropic", "anthropic", _SDK),
    ("google", "google.genai google.generativeai google.ai.generativelanguage vertexai", _SDK),
    ("google", "google.cloud.aiplatform", _CLOUD),
    ("mistral", "mistralai", _SDK),
    ("cohere", "cohere", _SDK),
    ("groq", "groq", _SDK),
    ("together", "together", _SDK),
    ("fireworks", "fireworks", _SDK),
    ("replicate", "replicate", _SDK),
    ("cerebras", "cerebras.cloud", _SDK),
    ("ai21", "ai21", _SDK),
    ("xai", "xai_sdk", _SDK),
    ("ibm", "ibm_watsonx_ai", _CLOUD),
    ("azure", "azure.ai azure.openai", _CLOUD),
    ("aws", "anthropic.AnthropicBedrock anthropic.AsyncAnthropicBedrock", _CLOUD),
    ("openai", "langchain_openai llama_index.llms.openai llama_index.embeddings.openai", _PLUGIN),
    ("anthropic", "langchain_anthropic llama_index.llms.anthropic", _PLUGIN),
    ("google", "langchain_google_genai langchain_google_vertexai", _PLUGIN),
    ("mistral", "langchain_mistralai llama_index.llms.mistralai", _PLUGIN),
    ("cohere", "langchain_cohere llama_index.llms.cohere", _PLUGIN),
    ("aws", "langchain_aws llama_index.llms.bedrock", _PLUGIN),
    ("groq", "langchain_groq", _PLUGIN),
    # JavaScript and TypeScript (some names are those of Python)
    ("anthropic", "@anthropic-ai/sdk", _SDK),
    ("anthropic", "@anthropic-ai/bedrock-sdk @anthropic-ai/vertex-sdk", _CLOUD),
    ("google", "@google/genai @google/generative-ai", _SDK),
    ("google", "@google-cloud/vertexai @google-cloud/aiplatform", _CLOUD),
    ("mistral", "@mistralai/mistralai", _SDK),
    ("cohere", "cohere-ai", _SDK),
    ("groq", "groq-sdk", _SDK),
    ("together", "together-ai", _SDK),
    ("aws", "@aws-sdk/client-bedrock*", _CLOUD),
    ("azure", "@azure/openai @azure-rest/ai-inference", _CLOUD),
    ("openai", "@langchain/openai @ai-sdk/openai @openai/agents", _PLUGIN),
    ("anthropic", "@langchain/anthropic @ai-sdk/anthropic", _PLUGIN),
    ("google", "@langchain/google-genai @langchain/google-vertexai @ai-sdk/google", _PLUGIN),
    ("mistral", "@langchain/mistralai @ai-sdk/mistral", _PLUGIN),
    ("aws", "@langchain/aws @ai-sdk/amazon-bedrock", _PLUGIN),
    # Go
    ("openai", "github.com/openai/openai-go github.com/sashabaranov/go-openai", _SDK),
    ("anthropic", "github.com/anthropics/anthropic-sdk-go", _SDK),
    ("google", "google.golang.org/genai github.com/google/generative-ai-go", _SDK),
    ("google", "cloud.google.com/go/vertexai", _CLOUD),
    ("cohere", "github.com/cohere-ai/cohere-go", _SDK),
    ("aws", "github.com/aws/aws-sdk-go-v2/service/bedrock*", _CLOUD),
    ("azure", "github.com/Azure/azure-sdk-for-go/sdk/ai", _CLOUD),
    # Java
    ("openai", "com.openai com.theokanning.openai", _SDK),
    ("anthropic", "com.anthropic", _SDK),
    ("google", "com.google.genai com.google.cloud.vertexai", _SDK),
    ("cohere", "com.cohere", _SDK),
    ("aws", "software.amazon.awssdk.services.bedrock*", _CLOUD),
    ("azure", "com.azure.ai", _CLOUD),
    ("openai", "dev.langchain4j.model.openai org.springframework.ai.openai", _PLUGIN),
    ("anthropic", "dev.langchain4j.model.anthropic org.springframework.ai.anthropic", _PLUGIN),
    ("mistral", "dev.langchain4j.model.mistralai org.springframework.ai.mistralai", _PLUGIN),
)

_OPENAI_LIKE = "openai azure groq together fireworks cerebras"
_RULES: tuple[tuple[str, RuleKind, str, str], ...] = (
    (_OPENAI_LIKE, "method", "chat.completions.create", _API),
    (_OPENAI_LIKE, "method", "chat.completions.parse", _API),
    (_OPENAI_LIKE, "method", "chat.completions.stream", _API),
    (_OPENAI_LIKE, "method", "chat.completions.with_raw_response.create", _API),
    (_OPENAI_LIKE, "method", "Chat.Completions.New", _API),
    (_OPENAI_LIKE, "method", "chat.completions.createStreaming", _API),
    (_OPENAI_LIKE, "method", "embeddings.create", _API),
    ("openai azure", "method", "responses.create", _API),
    ("openai azure", "method", "responses.parse", _API),
    ("openai azure", "method", "responses.stream", _API),
    ("openai azure", "method", "Responses.New", _API),
    (_OPENAI_LIKE, "parameter", "extra_body", _EXTRA),
    ("openai azure", "method", "beta.threads.create", "a conversation that the vendor keeps"),
    ("openai azure", "method", "beta.assistants.create", "a setting that the vendor keeps"),
    ("openai azure", "method", "vector_stores.create", "documents that the vendor keeps"),
    ("openai azure", "method", "vectorStores.create", "documents that the vendor keeps"),
    ("openai azure", "method", "fine_tuning.jobs.create", "weights that the vendor keeps"),
    ("openai azure", "method", "fineTuning.jobs.create", "weights that the vendor keeps"),
    ("openai azure mistral", "method", "files.create", "files that the vendor keeps"),
    ("anthropic", "method", "messages.create", _API),
    ("anthropic", "method", "messages.stream", _API),
    ("anthropic", "method", "Messages.New", _API),
    ("google", "method", "models.generate_content", _API),
    ("google", "method", "models.generateContent", _API),
    ("google", "method", "Models.GenerateContent", _API),
    ("google", "method", "generate_content", _API),
    ("google", "method", "generateContent", _API),
    ("mistral", "method", "chat.complete", _API),
    ("mistral", "method", "chat.stream", _API),
    # boto3 is imported by name of the service: the text "bedrock-runtime" says it, see below.
    ("aws", "method", "invoke_model", _API),
    ("aws", "method", "invoke_model_with_response_stream", _API),
    ("aws", "method", "converse_stream", _API),
    ("aws", "method", "converse", _API),
    ("openai", "host", r"\bapi\.openai\.com\b", _HOST),
    ("anthropic", "host", r"\bapi\.anthropic\.com\b", _HOST),
    ("google", "host", r"\bgenerativelanguage\.googleapis\.com\b", _HOST),
    ("google", "host", r"\baiplatform\.googleapis\.com\b", _HOST),
    ("mistral", "host", r"\b(api|codestral)\.mistral\.ai\b", _HOST),
    ("cohere", "host", r"\bapi\.cohere\.(com|ai)\b", _HOST),
    ("groq", "host", r"\bapi\.groq\.com\b", _HOST),
    ("together", "host", r"\bapi\.together\.(xyz|ai)\b", _HOST),
    ("fireworks", "host", r"\bapi\.fireworks\.ai\b", _HOST),
    ("replicate", "host", r"\bapi\.replicate\.com\b", _HOST),
    ("deepseek", "host", r"\bapi\.deepseek\.com\b", _HOST),
    ("xai", "host", r"\bapi\.x\.ai\b", _HOST),
    ("openrouter", "host", r"\bopenrouter\.ai\b", _HOST),
    ("cerebras", "host", r"\bapi\.cerebras\.ai\b", _HOST),
    ("azure", "host", r"\.openai\.azure\.com\b|\.services\.ai\.azure\.com\b", _HOST),
    ("azure", "host", r"\bmodels\.inference\.ai\.azure\.com\b", _HOST),
    ("aws", "host", r"\bbedrock[a-z-]*\.[a-z0-9-]+\.amazonaws\.com\b", _HOST),
    ("aws", "host", r"^bedrock(-agent)?(-runtime)?$", "the service that boto3 is asked for"),
    ("huggingface", "host", r"\b(api-inference|router)\.huggingface\.co\b", _HOST),
    ("openai", "model", r"^(openai/)?(gpt-[345]|chatgpt-)[\w.:-]*$", _MODEL),
    ("openai", "model", r"^(openai/)?o[134](-(mini|pro|preview|deep-research))?(-\d[\d-]*)?$",
     _MODEL),
    ("openai", "model", r"^text-embedding-(3-(small|large)|ada-\d+)$", _MODEL),
    ("openai", "model", r"^(text-|code-)?davinci-\d+$|^(whisper|tts|dall-e)-\d[\w-]*$", _MODEL),
    ("anthropic", "model", r"^(anthropic/|(\w+\.)?anthropic\.)?claude-[\w.:@-]+$", _MODEL),
    ("google", "model", r"^(google/|models/)?gemini-[\w.:-]+$", _MODEL),
    ("google", "model", r"^(models/)?(text|gemini)-embedding-\d+$", _MODEL),
    ("mistral", "model", r"^(mistral|codestral|pixtral|ministral|magistral|devstral)-[a-z]+-"
     r"(latest|\d{4})$", _OPEN),
    ("mistral", "model", r"^open-mi[sx]tral-[\w.-]+$|^mistral-embed$", _OPEN),
    ("cohere", "model", r"^command-(a|r|light|nightly)[\w.-]*$", _MODEL),
    ("cohere", "model", r"^(embed|rerank)-(english|multilingual|v)[\w.-]*$", _MODEL),
    ("groq", "model", r"^llama-?3[\w.-]*-(versatile|instant|8192)$", _OPEN),
    ("xai", "model", r"^grok-\d[\w.-]*$", _MODEL),
    ("deepseek", "model", r"^deepseek-(chat|reasoner)$", _OPEN),
    ("aws", "model", r"^(us\.|eu\.|apac\.)?(amazon|meta|mistral|cohere|ai21)\.[\w.-]+-v\d[\w:]*$",
     _OPEN),
    ("openai", "variable", r"\bOPENAI_[A-Z_]+\b", _VARIABLE),
    ("azure", "variable", r"\bAZURE_OPENAI_[A-Z_]+\b|\bAZURE_AI_[A-Z_]+\b", _VARIABLE),
    ("anthropic", "variable", r"\bANTHROPIC_[A-Z_]+\b", _VARIABLE),
    ("google", "variable", r"\b(GEMINI|GOOGLE)_API_KEY\b|\bVERTEX(AI)?_[A-Z_]+\b", _VARIABLE),
    ("mistral", "variable", r"\bMISTRAL_API_KEY\b", _VARIABLE),
    ("cohere", "variable", r"\b(COHERE|CO)_API_KEY\b", _VARIABLE),
    ("groq", "variable", r"\bGROQ_API_KEY\b", _VARIABLE),
    ("together", "variable", r"\bTOGETHER_API_KEY\b", _VARIABLE),
    ("fireworks", "variable", r"\bFIREWORKS_API_KEY\b", _VARIABLE),
    ("replicate", "variable", r"\bREPLICATE_API_TOKEN\b", _VARIABLE),
    ("deepseek", "variable", r"\bDEEPSEEK_API_KEY\b", _VARIABLE),
    ("xai", "variable", r"\bXAI_API_KEY\b", _VARIABLE),
    ("openrouter", "variable", r"\bOPENROUTER_API_KEY\b", _VARIABLE),
    ("cerebras", "variable", r"\bCEREBRAS_API_KEY\b", _VARIABLE),
    ("aws", "variable", r"\bAWS_BEARER_TOKEN_BEDROCK\b|\bBEDROCK_[A-Z_]+\b", _VARIABLE),
)  # fmt: skip


def _all() -> Iterator[Rule]:
    for vendor, patterns, reason in _MODULES:
        for pattern in patterns.split():
            yield Rule(vendor, "module", pattern, reason)
    for row in _RULES:
        yield Rule(*row)


RULES: tuple[Rule, ...] = tuple(_all())
"""All rules. Of several that fit the first counts, but of modules the one with the longest name."""
