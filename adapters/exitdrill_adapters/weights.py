"""What a folder of weights says of itself, found without loading it: neither torch nor a GPU.

A folder is one in transformers' format: ``config.json`` beside ``*.safetensors``. The format of
the latter (https://github.com/huggingface/safetensors, "Format"): eight bytes, little-endian, with
the length of a JSON header, which names each tensor with its type, its shape and its place.

Whatever a file claims is bounded: files are as long as they were when they were opened, headers and
configurations no longer than `MAX_JSON`, and what does not fit together is not counted.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

MAX_JSON = 16 * 1024 * 1024
"""Bytes of a configuration, or of the header of one file: some 100,000 tensors."""

_MAX_TEXT = 100
_LARGEST = 2**53
_BLOCK = 1 << 20
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_USED = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_k", "moe_top_k")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model")
_PACKED = "packed: the weights are quantised, and their elements are not parameters"


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model in transformers' format, its weights as safetensors."""
    try:
        return (folder / "config.json").is_file() and bool(_weights(folder))
    except (OSError, ValueError):  # a name that is too long, or no name
        return False


def size(folder: Path) -> int:
    """Bytes of all safetensors files in a folder. Raises `OSError`."""
    return sum(file.stat().st_size for file in _weights(folder))


def sha256(folder: Path) -> str:
    """The hash over the safetensors files, in the order of their names. Raises `OSError`."""
    files = _weights(folder)
    if not files:  # the hash of nothing would pass for one of weights
        raise FileNotFoundError(errno.ENOENT, "no safetensors", str(folder))
    return _sha256(files)


def facts(folder: Path) -> dict[str, Any]:
    """What the files say of the model, as far as it can be read. Reads: not for an event loop.

    ``architecture``, ``parameters``, ``parameters_active`` and the experts (see `counted`),
    ``stored_dtype``, ``context`` (tokens), ``tokenizer_sha256``, ``chat_template_sha256``.
    """
    config = _object(folder / "config.json")
    text = _text_config(config)
    architectures = config.get("architectures")
    if not isinstance(architectures, list):
        architectures = []
    found = {
        "architecture": _word(next(iter(architectures), None)),
        **_stored(folder, config, text),
        "context": _whole(text.get("max_position_embeddings")),
        "tokenizer_sha256": _tokenizer(folder),
        "chat_template_sha256": _template(folder),
    }
    return {name: value for name, value in found.items() if value is not None}


def generation(folder: Path) -> dict[str, Any]:
    """The plain values of a folder's ``generation_config.json``: how its makers sample."""
    config = _object(folder / "generation_config.json")
    plain = {name: _plain(value) for name, value in list(config.items())[:50]}
    return {name[:_MAX_TEXT]: value for name, value in plain.items() if value is not None}


def counted(sizes: Mapping[str, int], config: Mapping[str, Any]) -> dict[str, Any]:
    """The number of parameters, from the elements of each tensor by name.

    ``parameters_active`` are those that one token uses: of a mixture of experts the experts that it
    is routed to, and everything that is no expert (shared experts, routers, attention, embeddings).
    None where a model has experts, but not under a name that says so.
    """
    total = sum(sizes.values())
    experts = _first(config, _EXPERTS)
    used = _first(config, _USED)
    if not experts or not used or used > experts:
        return {"parameters": total, "parameters_active": None if experts else total}
    routed = sum(count for name, count in sizes.items() if ".experts." in name)
    active = total - routed + routed * used // experts if routed else None
    return {
        "parameters": total,
        "parameters_active": active,
        "experts": experts,
        "experts_active": used,
    }


# --- the weights --------------------------------------------------------------------------------


def _weights(folder: Path) -> list[Path]:
    # Regular files only: a pipe or a device that bears such a name has no end.
    return [file for file in sorted(folder.glob("*.safetensors")) if file.is_file()]


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        left = file.stat().st_size
        with file.open("rb") as stream:
            while left > 0 and (block := stream.read(min(_BLOCK, left))):
                left -= len(block)
                digest.update(block)
    return digest.hexdigest()


def _stored(folder: Path, config: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    sizes: dict[str, int] = {}
    types: Counter[str] = Counter()
    try:
        for file in _loaded(folder):
            for name, kind, count in _tensors(file):
                sizes[name] = count
                types[kind] += count
    except (OSError, ValueError) as error:
        # Not an OSError's own words: they hold the path.
        why = error.strerror if isinstance(error, OSError) else error
        return {"parameters_note": f"not counted: {why}"[:_MAX_TEXT]}
    dtype = {"stored_dtype": types.most_common(1)[0][0] if types else None}
    if config.get("quantization_config"):
        return dtype | {"parameters_note": _PACKED}
    return dtype | counted(sizes, text)


def _loaded(folder: Path) -> list[Path]:
    """The files that transformers would load: others may hold the same weights once more."""
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    index = _object(folder / "model.safetensors.index.json").get("weight_map")
    named = set(index.values()) if isinstance(index, dict) and _all_text(index) else set()
    files = _weights(folder)
    return [file for file in files if file.name in named] or files


def _all_text(index: Mapping[str, Any]) -> bool:
    return all(isinstance(name, str) for name in index.values())


def _tensors(file: Path) -> Iterator[tuple[str, str, int]]:
    """Name, type and number of elements of each tensor. Raises `ValueError`."""
    limit = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(MAX_JSON, limit - 8):
            raise ValueError(f"{file.name[:40]}: a header of {length} bytes")
        header = from_json(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{file.name[:40]}: a header that is no object")
    for name, tensor in header.items():
        if name != "__metadata__":
            yield name, *_tensor(file, tensor, limit)


def _tensor(file: Path, tensor: Any, limit: int) -> tuple[str, int]:
    shape = tensor.get("shape") if isinstance(tensor, dict) else None
    if not isinstance(shape, list) or len(shape) > 16 or not all(map(_is_whole, shape)):
        raise ValueError(f"{file.name[:40]}: a tensor without a shape")
    count = math.prod(shape)
    if count > limit * 8:  # not even one bit for each
        raise ValueError(f"{file.name[:40]}: a tensor that is larger than its file")
    return str(tensor.get("dtype"))[:20], count


# --- the files beside them ----------------------------------------------------------------------


def _tokenizer(folder: Path) -> str | None:
    found = next((folder / name for name in _TOKENIZERS if (folder / name).is_file()), None)
    return None if found is None else _of_file(found)


def _of_file(file: Path) -> str | None:
    try:
        return _sha256([file])
    except OSError:
        return None


def _template(folder: Path) -> str | None:
    """The hash of the chat template: a file, or in older folders a part of the configuration."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _of_file(file)
    inline = _object(folder / "tokenizer_config.json").get("chat_template")
    if not inline:
        return None
    text = inline if isinstance(inline, str) else json.dumps(inline, sort_keys=True)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _object(file: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is none, or one that is too long or too deep."""
    try:
        if not file.is_file():
            return {}
        with file.open("rb") as stream:
            data = stream.read(MAX_JSON + 1)
        value = from_json(data) if len(data) <= MAX_JSON else None
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part about the language model, where a model also sees or hears."""
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := _whole(config.get(name)))), None)


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _whole(value: Any) -> int | None:
    return value if _is_whole(value) else None


def _word(value: Any) -> str | None:
    return value[:_MAX_TEXT] if isinstance(value, str) else None


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST else None
    return _word(value)
