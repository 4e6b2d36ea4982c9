"""Which environment variables hold secrets: those go neither to a server nor into a record."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SECRET = re.compile(
    r"(^|_)(KEYS?|TOKENS?|PASS|CREDENTIALS?|AUTH|PAT)(_|$)"
    r"|._PWD$"  # MYSQL_PWD; PWD itself is a folder
    r"|SECRET|PASSWORD|PASSWD|PASSPHRASE|APIKEY",
    re.IGNORECASE,
)


def looks_secret(name: str) -> bool:
    """Whether a variable's name says that its value is a secret.

    It does when one of its words is KEY, TOKEN, SECRET, PASSWORD or the like: OPENAI_API_KEY,
    AWS_ACCESS_KEY_ID, HF_TOKEN, SSH_AUTH_SOCK; not TOKENIZERS_PARALLELISM.
    """
    return _SECRET.search(name) is not None


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables whose names do not look secret."""
    return {name: value for name, value in environment.items() if not looks_secret(name)}
