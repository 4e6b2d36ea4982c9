"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from exitdrill.errors import StorageFailed


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A text file (UTF-8, ``\\n``) that takes the place of the old one once it is whole.

    Raises `StorageFailed` where it cannot be written; the old file then stands as it was.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        raise StorageFailed(f"{path} could not be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
