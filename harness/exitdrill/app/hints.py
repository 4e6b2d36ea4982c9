"""What an app may have died of that the drill knows better: how it runs under it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from exitdrill.app.process import contained

_NO_VARIABLE = re.compile(r"KeyError: ['\"]([A-Za-z_][A-Za-z0-9_]*)['\"]")
_DENIED = re.compile(r"Permission denied|PermissionError|EACCES")


def hint(said: str, given: Collection[str]) -> str:
    """A hint at why an app failed that said this, "" where there is none.

    ``given`` are the names of the variables that it got.
    """
    for name in _NO_VARIABLE.findall(said):
        if name in os.environ and name not in given:
            return (
                f"the app does not get {name} from the drill's environment: name it in app.run.pass"
            )
    if contained() and _DENIED.search(said):
        return (
            "in a drill it may write only to its copy and to HOME and TMPDIR, which the drill "
            "gives it: that may be why it was denied something"
        )
    return ""
