"""The names under which a backend is served."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from exitdrill.gateway.envelope import Refused

PATH = "/v1/models"


class Models:
    """The models of one gateway: an app that asks for another has not been told of the swap.

    With None, whatever is asked for is there.
    """

    def __init__(self, names: Sequence[str] | None) -> None:
        self._any = names is None
        self._names = tuple(names or ())
        self._since = int(time.time())

    def at(self, method: str, path: str) -> dict[str, Any] | None:
        """What ``/v1/models`` and ``/v1/models/NAME`` say; None for other requests.

        Raises `Refused` for a name that is not served.
        """
        if method != "GET" or not (path == PATH or path.startswith(f"{PATH}/")):
            return None
        if path == PATH:
            return {"object": "list", "data": [self._model(name) for name in self._names]}
        name = path.removeprefix(f"{PATH}/")
        self.check({"model": name})
        return self._model(name)

    def check(self, body: Mapping[str, Any]) -> str:
        """The model that a request names. Raises `Refused` where it is not served here."""
        name = body.get("model")
        if not isinstance(name, str) or not name:
            raise Refused(400, "you must provide a model", param="model")
        if name not in self._names and not self._any:
            known = ", ".join(map(repr, self._names))
            message = f"the model {name[:100]!r} is not served here, but {known}"
            raise Refused(404, message, code="model_not_found", param="model")
        return name

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._since, "owned_by": "exitdrill"}
