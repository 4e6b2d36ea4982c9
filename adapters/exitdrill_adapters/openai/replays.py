"""Answers that were not made now, told by the headers that caches of answers set.

A cache of prompts (of their prefixes, say) is something else: there the answer is made now, and
its time is what a user waits. That is reported as cached tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from exitdrill_adapters.openai.cleaning import Cleaner

_MAX_SOURCE = 100
_HIT = re.compile(
    r"(?<![a-z])(?<!no[-_ ])(?<!not[-_ ])(hit|stale|updating|revalidated|refreshhit)"
    r"(?![a-z]|-for-|\s*[:=]\s*(0|no|false)\b)",
    re.IGNORECASE,
)
"""As a word of its own: "Hit from cloudfront", "TCP_HIT", "MISS, HIT", "SEMANTIC HIT"; not
"NO-HIT", "cache-hit: 0", nor Varnish's "hit-for-pass" and "hit-for-miss", which are misses. What is
STALE or UPDATING was stored, too, and so was what the origin was only asked to confirm
(REVALIDATED, CloudFront's "RefreshHit")."""

_SIGNS: Mapping[str, re.Pattern[str]] = {
    "age": re.compile(r"\A0*[1-9]\d*\Z"),  # RFC 9111, 5.1: not generated for this request
    "cache-status": re.compile(  # RFC 9211, 2.1; not within a quoted string
        r'\A([^"]|"([^"\\]|\\.)*")*?;\s*hit\s*(\Z|[;,]|=\s*\?1)', re.IGNORECASE
    ),
    "x-cache": _HIT,  # CloudFront; Fastly: docs.fastly.com, HTTP headers, X-Cache
    "x-cache-status": _HIT,  # Kong's proxy-cache: developer.konghq.com
    "cf-cache-status": _HIT,  # developers.cloudflare.com/cache/concepts/cache-responses
    "cf-aig-cache-status": _HIT,  # developers.cloudflare.com/ai-gateway/features/caching
    "helicone-cache": _HIT,  # docs.helicone.ai/features/advanced-usage/caching
    "x-portkey-cache-status": _HIT,  # portkey.ai/docs/api-reference/response-schema
    "x-openrouter-cache-status": _HIT,  # OpenRouter's response caching
    "x-litellm-cache-key": re.compile(r"\S"),  # docs.litellm.ai/docs/proxy/caching: on hits only
}


def replayed(headers: Mapping[str, str], cleaner: Cleaner) -> str | None:
    """The header that says that a response comes from a cache of answers, if one does.

    ``headers`` are found whatever their case.
    """
    for name, sign in _SIGNS.items():
        value = headers.get(name)
        if value is not None and sign.search(value[:_MAX_SOURCE]):
            return cleaner.text(f"{name}: {value}", _MAX_SOURCE)
    return None
