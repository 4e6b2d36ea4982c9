"""A model's folder, looked at without loading anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exitdrill.backend import BackendConfig
from exitdrill.errors import ScenarioError
from exitdrill_adapters import weights

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What the adapter has to know of a model before it runs.

    ``samples``: whether its ``generation_config.json`` samples where a request says nothing;
    ``template``: the text of its chat templates, empty where it has none.
    """

    path: Path
    samples: bool
    template: str

    @property
    def takes_tools(self) -> bool:
        """Whether the chat template mentions tools at all."""
        return "tools" in self.template

    def read(self) -> tuple[str, dict[str, Any]]:
        """The hash of the weights, and what else the files say. Slow; raises `OSError`."""
        return weights.sha256(self.path), weights.facts(self.path)


def find(config: BackendConfig) -> ModelFolder:
    """The folder that a scenario names, or a `ScenarioError` that says what is wrong with it."""
    key = f"backends.{config.name}.model"
    path = _resolve(config, key)
    if not path.is_dir():
        raise ScenarioError(
            f"there is no such directory; 'model' is a directory with a model in transformers' "
            f"format, relative to the scenario ({config.root.resolve()}) or absolute",
            path=path,
            key=key,
        )
    if not (path / "config.json").is_file():
        raise ScenarioError(
            "no config.json: this is not a model in transformers' format", path=path, key=key
        )
    _require_safetensors(path, key)
    return ModelFolder(path, _samples(path, key), _template(path, key))


def _resolve(config: BackendConfig, key: str) -> Path:
    root = config.root.resolve()
    path = (root / config.model).resolve()
    if not Path(config.model).is_absolute() and not path.is_relative_to(root):
        raise ScenarioError(
            f"{config.model!r} leaves the scenario's folder; give an absolute path instead", key=key
        )
    return path


def _require_safetensors(path: Path, key: str) -> None:
    if any(path.glob("*.safetensors")):
        return
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    found = (
        f"only pickled ones ({pickles[0]}), which can run code when loaded" if pickles else "none"
    )
    raise ScenarioError(
        f"needs weights as *.safetensors, found {found}; "
        "save the model with save_pretrained(…) of transformers 5",
        path=path,
        key=key,
    )


def _samples(path: Path, key: str) -> bool:
    return bool(_json(path / "generation_config.json", key).get("do_sample", False))


def _template(path: Path, key: str) -> str:
    files = [path / "chat_template.jinja", *sorted(path.glob("additional_chat_templates/*.jinja"))]
    texts = [file.read_text("utf-8", "replace") for file in files if file.is_file()]
    inline = _json(path / "tokenizer_config.json", key).get("chat_template")
    if inline:
        # A string, or a list of named ones: only searched, so its JSON text will do.
        texts.append(json.dumps(inline))
    return "\n".join(texts)


def _json(file: Path, key: str) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ScenarioError(f"is not valid JSON: {error}", path=file, key=key) from error
    return value if isinstance(value, dict) else {}
