"""Any OpenAI-compatible endpoint, over aiohttp. A new vendor is a row in `vendors`."""

from exitdrill_adapters.openai.backend import OpenAIBackend

__all__ = ["OpenAIBackend"]
