"""An embedding model in a folder on this machine: what it makes of texts, and what it is.

It is loaded by sentence-transformers (the extra ``embedding``), from local files, on the CPU. No
code of the folder is run, and its weights are safetensors, which hold numbers only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from exitdrill.errors import AdapterError, ScenarioError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGE = "sentence_transformers"
KEPT = 256
"""Texts whose embeddings are kept."""
BATCH = 16
LONGEST_PROBLEM = 300
_BLOCK = 1 << 20

Vector = npt.NDArray[np.float64]


class EmbeddingProblem(ScenarioError):
    """The model could not be loaded, or could not embed a text."""


class Embedder:
    """The model in a folder, loaded when it is first needed; ``sha256`` is that of its weights.

    Raises `ScenarioError` where a folder holds no weights that are safe to load, and `AdapterError`
    where the extra is not installed.
    """

    def __init__(self, folder: Path) -> None:
        _check(folder)
        self.sha256 = _sha256(_weights(folder))
        self._folder = folder
        self._model: SentenceTransformer | None = None
        self._problem: EmbeddingProblem | None = None
        self._kept: OrderedDict[str, Vector] = OrderedDict()

    def load(self) -> SentenceTransformer:
        """Load the model, and try it. Raises `EmbeddingProblem`, the second time at once."""
        if self._problem is not None:
            raise self._problem
        if self._model is None:
            try:
                model = _loaded(self._folder)
                _encode(model, ["a text"])
            except Exception as error:
                self._problem = self._failure("the model cannot be loaded", error)
                raise self._problem from error
            self._model = model
        return self._model

    def similarity(self, wanted: str, found: str) -> float:
        """The cosine of the embeddings of two texts, 0 to 1; less than 0 is 0.

        NaN where the model gives no direction. To six digits: the last ones of a vector depend on
        what else was embedded with it. Raises `EmbeddingProblem`.
        """
        self.prepare((wanted, found))
        one, other = self._kept[wanted], self._kept[found]
        norms = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
        cosine = float(one @ other) / norms if norms else float("nan")
        return round(min(max(cosine, 0.0), 1.0), 6) if np.isfinite(cosine) else float("nan")

    def prepare(self, texts: Iterable[str]) -> None:
        """Embed the first texts that are not embedded yet, together. Raises `EmbeddingProblem`."""
        wanted = list(islice(dict.fromkeys(texts), KEPT // 2))
        missing = [text for text in wanted if text not in self._kept]
        if missing:
            model = self.load()
            try:
                self._kept.update(zip(missing, _encode(model, missing), strict=True))
            except Exception as error:
                raise self._failure("the model cannot embed a text", error) from error
        for text in wanted:
            self._kept.move_to_end(text)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _failure(self, what: str, error: Exception) -> EmbeddingProblem:
        # The library's own words may hold the folder's whole path.
        said = str(error).replace(str(self._folder), self._folder.name)
        message = f"{what}: {type(error).__name__}: {said}"[:LONGEST_PROBLEM]
        return EmbeddingProblem(message, key="embedding.model")


def _check(folder: Path) -> None:
    """What can be seen without an import."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise AdapterError("needs sentence-transformers: pip install 'exitdrill[embedding]'")
    if not folder.is_dir():
        raise ScenarioError("is no folder; give the one that holds the model")
    pickled = [file for file in folder.rglob("pytorch_model*.bin") if not _safe_beside(file)]
    if pickled or not _weights(folder):
        raise ScenarioError(
            "holds no *.safetensors"
            + (f" beside {pickled[0].relative_to(folder)}" if pickled else "")
            + "; weights in another format are not loaded"
        )


def _weights(folder: Path) -> list[Path]:
    """The safetensors files of a model and of its modules, by their paths."""
    # Regular files only: a pipe or a device that bears such a name has no end.
    return [file for file in sorted(folder.rglob("*.safetensors")) if file.is_file()]


def _sha256(files: Sequence[Path]) -> str:
    """The hash over all files, one after the other: of one file what ``sha256sum`` says of it."""
    digest = hashlib.sha256()
    try:
        for file in files:
            for block in _blocks(file):
                digest.update(block)
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def _safe_beside(file: Path) -> bool:
    return any(each.is_file() for each in file.parent.glob("*.safetensors"))


def _loaded(folder: Path) -> SentenceTransformer:
    with _quiet():
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            str(folder),
            device="cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": "float32"},
        )


def _encode(model: SentenceTransformer, texts: Sequence[str]) -> list[Vector]:
    # What is no valid Unicode (half of a surrogate pair) is no text to a tokenizer.
    valid = [text.encode(errors="replace").decode() for text in texts]
    vectors = model.encode(valid, batch_size=BATCH, show_progress_bar=False)
    return [np.asarray(vector, dtype=np.float64) for vector in vectors]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' progress bars and hints: they would stand in the drill's output."""
    from transformers.utils import logging as theirs

    names = ("sentence_transformers", "transformers")
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    theirs.disable_progress_bar()  # type: ignore[no-untyped-call]
    for logger, _ in before:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        theirs.enable_progress_bar()  # type: ignore[no-untyped-call]
        for logger, level in before:
            logger.setLevel(level)
