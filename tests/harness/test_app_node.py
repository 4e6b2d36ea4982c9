"""An app that is not Python, with the official SDK for Node, is drilled the same way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.harness.apps import calls_of, drilled, program, row_of
from tests.harness.drills import case_lines

MODULES = Path(__file__).parents[2] / "build" / "clients" / "node" / "node_modules"
MAIN = """
"use strict";
const { readFileSync } = require("node:fs");
const OpenAI = require("openai");

async function main() {
  const content = readFileSync(0, "utf-8");
  const messages = [{ role: "user", content }];
  const client = new OpenAI();
  const stream = await client.chat.completions.create(
    { model: "m", messages, max_tokens: 20, stream: true });
  for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");
}

main();
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(
    not (MODULES / "openai").is_dir(), reason="no SDK for Node: make test-clients installs it"
)
def test_an_app_in_node(tmp_path: Path) -> None:
    folder = program(tmp_path, {"main.js": MAIN})
    (folder / "app" / "node_modules").symlink_to(MODULES)
    result = drilled(folder, {"command": ["node", "main.js"]})
    assert {line["answer"] for line in case_lines(result.folder)} == {"a0", "a1"}
    assert all(call["body"]["stream"] for call in calls_of(result.folder))
    assert row_of(result, "drift", "model_calls")["candidate"] == 1
