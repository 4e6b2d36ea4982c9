"""An app that is not Python, with the official SDK for Node, is drilled the same way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.harness.apps import app_scenario, calls_of, inputs, program, row_of, says
from tests.harness.drills import Log, case_lines

from exitdrill.backend import Request
from exitdrill.drill import Result, run
from exitdrill.scenario import GateSpec
from exitdrill_adapters.scripted import Answer

MODULES = Path(__file__).parents[2] / "build" / "clients" / "node" / "node_modules"
MAIN = """\
"use strict";
const { readFileSync } = require("node:fs");
const OpenAI = require("openai");

const tools = [{ type: "function", function: {
  name: "lookup", parameters: { type: "object", properties: { of: { type: "string" } } } } }];

async function main() {
  const client = new OpenAI();
  const messages = [{ role: "user", content: readFileSync(0, "utf-8") }];
  for (let turn = 0; turn < 3; turn += 1) {
    const stream = client.chat.completions.stream(
      { model: "m", messages, tools, max_tokens: 20 });
    const { message } = (await stream.finalChatCompletion()).choices[0];
    if (!message.tool_calls?.length) return process.stdout.write(message.content);
    messages.push({ role: "assistant", tool_calls: message.tool_calls });
    for (const call of message.tool_calls) {
      const { of } = JSON.parse(call.function.arguments);
      messages.push({ role: "tool", tool_call_id: call.id, content: `found ${of}` });
    }
  }
}

main();
"""
CONFIGURED = {"environment": {"REGION": "home"}}
PATCHED = {"patch": "exit.patch"}
PATCH = """\
--- a/main.js
+++ b/main.js
@@ -10,5 +10,5 @@
   for (let turn = 0; turn < 3; turn += 1) {
     const stream = client.chat.completions.stream(
-      { model: "m", messages, tools, max_tokens: 20 });
+      { model: "m", messages, tools, max_tokens: 24 });
     const { message } = (await stream.finalChatCompletion()).choices[0];
     if (!message.tool_calls?.length) return process.stdout.write(message.content);
"""

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (MODULES / "openai").is_dir(), reason="no SDK for Node: make test installs it"
    ),
]


def agent(request: Request) -> Answer:
    """Looks up what it is asked, and answers with what was found."""
    last = request.body["messages"][-1]
    if last["role"] == "tool":
        return says(last["content"].replace("found q", "a"))
    return says("", ("lookup", json.dumps({"of": last["content"]})))


def drilled(tmp_path: Path, swap: Mapping[str, Any]) -> Result:
    folder = program(tmp_path, {"main.js": MAIN})
    (folder / "exit.patch").write_text(PATCH)
    (folder / "app" / "node_modules").symlink_to(MODULES)
    log = Log()
    old, new = log.adapter(agent), log.adapter(agent)
    scenario = app_scenario(
        folder, {"command": ["node", "main.js"]}, inputs("q0", "q1"), swap, old=old, new=new
    )
    gate = GateSpec(name="by configuration only", measure="non_configuration_lines", limit=0)
    return run(scenario.model_copy(update={"gates": [gate]}), out=folder / "drill")


@pytest.mark.parametrize(
    ("swap", "verdict", "lines", "nodes"),
    [(CONFIGURED, "ready", 0, 0), (PATCHED, "not_ready", 2, 1)],
    ids=["by configuration only", "by a patch"],
)
def test_an_app_in_node(
    swap: dict[str, Any], verdict: str, lines: int, nodes: int, tmp_path: Path
) -> None:
    result = drilled(tmp_path, swap)
    assert {line["answer"] for line in case_lines(result.folder)} == {"a0", "a1"}
    calls = calls_of(result.folder)
    assert [call["number"] for call in calls] == [0, 1] * (len(calls) // 2)
    assert all(call["body"]["stream"] for call in calls)
    assert {call["body"]["max_tokens"] for call in calls if call["arm"] == "new"} == {
        24 if lines else 20
    }
    assert row_of(result, "drift", "model_calls")["candidate"] == 2
    assert row_of(result, "change", "code_lines")["candidate"] == lines
    assert row_of(result, "change", "ast_nodes")["candidate"] == nodes
    assert result.verdict == verdict, result.report["verdict"]
