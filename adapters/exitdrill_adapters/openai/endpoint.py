"""Where an OpenAI-compatible backend is: its base URL, whether that is this machine, and the way.

Proxies: an endpoint elsewhere is reached through ``HTTPS_PROXY`` or ``HTTP_PROXY`` unless
``NO_PROXY`` exempts it, as users of every other client expect; loopback never is. (aiohttp's own
``trust_env`` stays off: it would also read passwords from ~/.netrc.)
"""

from __future__ import annotations

import ipaddress
import urllib.request

from yarl import URL

from exitdrill.backend import BackendConfig
from exitdrill.errors import ScenarioError
from exitdrill_adapters.openai.vendors import Vendor

_EXAMPLE = "http://127.0.0.1:8000/v1"
_OPERATIONS = ("/chat/completions", "/completions", "/embeddings")


def base_url(config: BackendConfig, vendor: Vendor) -> URL:
    """The base URL of a backend: the scenario's, else the vendor's own.

    Raises `ScenarioError` where there is none, or where it is not a bare base URL.
    """
    key = f"backends.{config.name}.endpoint"
    text = config.endpoint or vendor.endpoint
    if not text:
        raise ScenarioError(
            f"is missing; write the server's base URL, such as endpoint = {_EXAMPLE!r}",
            key=key,
        )
    try:
        url = URL(text)
    except ValueError:
        raise ScenarioError("is not a URL", key=key) from None
    mistake = _mistake(url)
    if mistake:
        # Without the URL itself: it may hold a password.
        raise ScenarioError(mistake, key=key)
    return url.with_path(url.path.rstrip("/"))


def _mistake(url: URL) -> str | None:
    if url.user is not None or url.password is not None:
        return "holds credentials; name the variable that holds the key in key_env instead"
    if url.scheme not in ("http", "https") or not url.host:
        return f"must begin with http:// or https:// and name a host, such as {_EXAMPLE!r}"
    if url.query_string or url.fragment:
        return "is a base URL: leave out what follows the path (? or #)"
    for operation in _OPERATIONS:
        if url.path.rstrip("/").endswith(operation):
            return f"is a base URL: leave out {operation!r}"
    return None


def is_local(url: URL) -> bool:
    """Whether the host is this machine's loopback."""
    host = (url.host or "").rstrip(".").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: URL) -> URL | None:
    """The proxy on the way to ``url``, by the environment."""
    if is_local(url) or urllib.request.proxy_bypass(url.host or ""):
        return None
    proxies = urllib.request.getproxies_environment()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy:
        return None
    return URL(proxy if "://" in proxy else f"http://{proxy}")
