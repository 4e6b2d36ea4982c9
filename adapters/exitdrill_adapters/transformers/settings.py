"""The adapter's options, as a scenario writes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Batching = Literal["auto", "static", "continuous"]


class LocalOptions(BaseModel):
    """Options of a local model.

    ``batching``: "auto" is static; "continuous" suits open-loop arrivals and costs throughput on
    a CPU. ``max_context`` caps prompt and answer together, in tokens, below the model's own limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batching: Batching = "auto"
    batch_size: int = Field(default=32, ge=1, le=4096)
    threads: int | None = Field(default=None, ge=1, le=1024)
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    max_context: int | None = Field(default=None, ge=2)

    @property
    def mode(self) -> Literal["static", "continuous"]:
        """The batching in force."""
        return "continuous" if self.batching == "continuous" else "static"
