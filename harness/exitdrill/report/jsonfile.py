"""JSON as files hold it: damaged, nested, or with numbers that are none. All is a `UsageError`."""

from __future__ import annotations

import json
from math import isinf
from pathlib import Path
from typing import Any, NoReturn

from exitdrill.errors import UsageError


def read(path: Path) -> bytes:
    """A whole file. Raises `UsageError`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError("no such file; is this the folder of a drill?", path=path) from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path=path) from None


def parse(raw: bytes, path: Path, line: int | None) -> Any:
    """One JSON text. Raises `UsageError` with the place of a mistake.

    Lone surrogates may pass: a model can write them, and `clean` shows them.
    """
    try:
        return json.loads(
            raw.decode(), parse_constant=_refuse_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        message = f"damaged, not JSON: {error.msg} at column {error.colno}"
        raise UsageError(message, path=path, line=line or error.lineno) from None
    except UnicodeDecodeError as error:
        at = line or raw.count(b"\n", 0, error.start) + 1
        raise UsageError("damaged, not UTF-8", path=path, line=at) from None
    except RecursionError:
        raise UsageError("damaged, nested too deeply", path=path, line=line) from None
    except ValueError as error:
        raise UsageError(f"damaged, {error}", path=path, line=line) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; what was not measured is null")


def _float(digits: str) -> float:
    number = float(digits)
    if isinf(number):  # also an integer too large to be drawn or divided
        raise ValueError(f"{digits[:40]} is beyond what a number can be")
    return number


def _int(digits: str) -> int:
    _float(digits)
    return int(digits)
