"""Calls one function of an app: its input comes as JSON, its answer goes to standard output.

    python runner.py MODULE NAME    (in the app's folder)

It runs with the app's own Python, be that an old one, and imports nothing but the standard library.
What the app prints goes to standard error: the answer is what the function returns, a text as it
is, anything else as JSON; None is no answer.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys


def main() -> None:
    """Call the function."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [os.getcwd(), *(place for place in sys.path if place != here)]
    module, name = sys.argv[1:]
    answers = os.dup(1)
    os.dup2(2, 1)
    given = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    answer = getattr(importlib.import_module(module), name)(given)
    if inspect.isawaitable(answer):
        answer = asyncio.run(_awaited(answer))
    if answer is None:  # most often a "return" was forgotten; an app can hardly mean it
        sys.exit("the function returned None, which is no answer")
    text = answer if isinstance(answer, str) else json.dumps(answer)
    with os.fdopen(answers, "wb") as file:
        file.write(text.encode("utf-8", "replace"))


async def _awaited(answer: object) -> object:
    return await answer  # type: ignore[misc]  # it is awaitable


if __name__ == "__main__":
    main()
