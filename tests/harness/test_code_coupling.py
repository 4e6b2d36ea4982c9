"""Places coupled to a vendor, in every language that is read, and what only looks alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.harness.code_folders import folder, sources

from exitdrill.code.coupling import Sites, TooManySites, vendor_sites
from exitdrill.code.sources import Source, read_sources
from exitdrill.code.vendors import RULES

PYTHON = '''\
"""Needs OPENAI_API_KEY, and asks https://api.openai.com for gpt-4o."""
import os, openai
from openai import (
    OpenAI as Client, RateLimitError)
from google import genai
from . import openai_helper

client = openai.OpenAI(api_key=os.environ["OPENAI_API_KEY"], base_url="https://api.openai.com/v1")


class Asker:
    def __init__(self, given: openai.OpenAI):
        self.client = Client()  # OPENAI_BASE_URL
        self.given = given

    def ask(self, other):
        try:
            with openai.AsyncOpenAI() as inner:
                inner.responses.create(model="gpt-4o")
            return self.client.chat.completions.create(model=f"gpt-4.1")
        except (RateLimitError, openai.APIError):
            pass
        other.clients[0].chat.completions.create()
        return openai.OpenAI().models.list(), isinstance(other, openai.Stream)
'''
JAVASCRIPT = """\
import OpenAI, { APIError as Oops } from 'openai';
import * as anthropic from "@anthropic-ai/sdk";
const { GoogleGenAI: Google } = require('@google/genai');
const mistral = await import('@mistralai/mistralai'); // OPENAI_API_KEY
const client = new OpenAI({ apiKey: process.env.OPENAI_API_KEY });
const url = `https://api.openai.com/v1/${x}`;
this.other = new anthropic.Anthropic();
await this.other.messages.create({ model: "claude-3-5-sonnet-latest" });
const answer = await client.chat.completions.create({});
if (e instanceof OpenAI.APIError) { throw new Oops(); }
export { z } from 'cohere-ai';
new Google();
"""
TYPESCRIPT = """\
import OpenAI from "openai";
type Answer = OpenAI.Chat.ChatCompletion;
function ask(client: OpenAI, x: string): Answer {
  return client.responses.create({ model: x });
}
"""
GO = """\
package main
import (
  "fmt"
  "github.com/openai/openai-go/v2"
  claude "github.com/anthropics/anthropic-sdk-go"
)
func main() {
  client := openai.NewClient()
  client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "gpt-4o"})
  var e *openai.Error
  fmt.Println(os.Getenv("ANTHROPIC_API_KEY"))
  claude.NewClient()
}
func other(s *Server) { s.client.Messages.New(ctx) }
"""
JAVA = """\
import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.errors.OpenAIException;
class Asker {
  OpenAIClient field;
  void ask(OpenAIClient client) {
    try {
      client.chat().completions().create(p);
      OpenAIClient made = OpenAIOkHttpClient.fromEnv();
      new Model("gpt-4o");
    } catch (OpenAIException e) {}
  }
}
"""
SHELL = """\
#!/bin/sh
# OPENAI_API_KEY
curl https://api.openai.com/v1 -H "Authorization: Bearer $OPENAI_API_KEY" -d '{"model":"gpt-4o"}'
"""


def found(path: str, text: str) -> Sites:
    return vendor_sites(sources({path: text}))


def shown(sites: Sites) -> list[tuple[int, str, str]]:
    """Line, kind and vendor of every place, in the order of the lines."""
    return sorted((site.line, site.kind, site.vendor) for site in sites.found)


def of(lines: str) -> list[tuple[int, str, str]]:
    """What is expected: "3 import openai, call openai" in each line."""
    expected = []
    for line in lines.strip().splitlines():
        number, rest = line.strip().split(" ", 1)
        for each in rest.split(", "):
            kind, vendor = each.split(" ")
            expected.append((int(number), kind, vendor))
    return sorted(expected)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "a.py",
            PYTHON,
            """
            2 import openai
            3 import openai
            5 import google
            8 call openai, variable openai, host openai
            12 name openai
            13 call openai
            18 call openai
            19 call openai, model openai
            20 call openai, model openai
            21 exception openai, exception openai
            23 call openai
            24 call openai, name openai
            """,
        ),
        (
            "a.js",
            JAVASCRIPT,
            """
            1 import openai
            2 import anthropic
            3 import google
            4 import mistral
            5 call openai, variable openai
            6 host openai
            7 call anthropic
            8 call anthropic, model anthropic
            9 call openai
            10 exception openai, call openai
            11 import cohere
            12 call google
            """,
        ),
        (
            "a.ts",
            TYPESCRIPT,
            """
            1 import openai
            2 name openai
            3 name openai
            4 call openai
            """,
        ),
        (
            "a.go",
            GO,
            """
            4 import openai
            5 import anthropic
            8 call openai
            9 call openai, name openai, model openai
            10 name openai
            11 variable anthropic
            12 call anthropic
            14 call anthropic
            """,
        ),
        (
            "A.java",
            JAVA,
            """
            1 import openai
            2 import openai
            3 import openai
            5 name openai
            6 name openai
            8 call openai
            9 name openai, call openai
            10 model openai
            11 exception openai
            """,
        ),
        ("ask.sh", SHELL, "3 host openai, variable openai, model openai"),
    ],
)
def test_places_of_a_file(path: str, text: str, expected: str) -> None:
    assert shown(found(path, text)) == of(expected)


@pytest.mark.parametrize(
    "text",
    [
        "import openai_helper, anthropics, coherence, boto3\nopenai_helper.ask()\n",
        "from . import openai\nfrom .openai import OpenAI\n",
        "twilio.messages.create(body='hello')\n",  # the name of a method alone is not enough
        "pipeline.chat.completions.create()\n",
        "a.converse(); a.invoke_model()\n",
        "s = 'we compared it with gpt-4o and claude'\n",
        "s = 'not-gpt-4o', 'MY_OPENAI_KEY', 'api.openai.community'\n",
        "# import openai\n'''https://api.openai.com'''\n",
        "def f():\n    'gpt-4o'\n",
        "model = settings.model\n",
        "gpt = 'mistral-7b', 'llama-3.1-8b-instruct', 'mixtral-8x7b'\n",
    ],
)
def test_what_only_looks_alike(text: str) -> None:
    assert found("a.py", text).found == ()


def test_a_method_counts_where_the_app_imports_the_sdk_elsewhere() -> None:
    files = {
        "llm.py": "import anthropic\n",
        "ask.py": "def f(c): c.messages.create()\n",
        "sms.py": "def f(c): c.chat.completions.create()\n",
    }
    sites = vendor_sites(sources(files)).found
    assert [(site.path, site.vendor) for site in sites] == [
        ("ask.py", "anthropic"),
        ("llm.py", "anthropic"),
    ]


def test_bedrock_is_known_by_what_boto3_is_asked_for() -> None:
    text = "import boto3\nc = boto3.client('bedrock-runtime')\nc.converse(modelId='x')\n"
    assert shown(found("a.py", text)) == of("2 host aws\n3 call aws")


def test_imports_by_name() -> None:
    text = "import importlib\nimportlib.import_module('openai')\n__import__('cohere')\n"
    assert shown(found("a.py", text)) == of("2 import openai\n3 import cohere")


@pytest.mark.parametrize(
    ("name", "text", "measured"),
    [
        ("bin/ask", "#!/usr/bin/env python3\nimport openai\n", 1),
        ("ask", "#!/usr/bin/python3.12 -u\nimport openai\n", 1),
        ("ask", "#!/usr/bin/env -S node --x\nrequire('openai')\n", 1),
        ("ask", "#!/bin/sh\ncurl https://api.openai.com\n", 1),
        ("ask", "#!/usr/bin/perl\nuse OpenAI;\n", None),
        ("LICENSE", "import openai\n", 0),
        ("empty", "", 0),
        ("notes.txt", "#!/usr/bin/python\nimport openai\n", 0),
    ],
)
def test_scripts_are_known_by_their_first_line(
    tmp_path: Path, name: str, text: str, measured: int | None
) -> None:
    sites = vendor_sites(read_sources(folder(tmp_path / "app", {name: text})))
    assert len(sites.found) == (measured or 0)
    assert list(sites.not_measured) == ([name] if measured is None else [])


def test_another_name_for_a_class() -> None:
    text = "import openai\nMaker = openai.OpenAI\nMaker().models.list()\n"
    assert shown(found("a.py", text)) == of("1 import openai\n2 name openai\n3 call openai")


def test_the_longest_name_of_a_module_decides() -> None:
    text = "import anthropic\nanthropic.AnthropicBedrock()\nanthropic.Anthropic()\n"
    assert shown(found("a.py", text)) == of("1 import anthropic\n2 call aws\n3 call anthropic")


def test_what_is_said_of_a_place() -> None:
    (site,) = found("a.py", "base = 'https://api.openai.com/v1'\n").found
    assert (site.path, site.line, site.what) == ("a.py", 1, "api.openai.com")
    assert "endpoint" in site.reason


@pytest.mark.parametrize(
    ("path", "text"),
    [("a.rb", "require 'openai'"), ("a.py", "import ("), ("a.js", "import ("), ("a.cs", "")],
)
def test_what_cannot_be_read_is_not_measured(path: str, text: str) -> None:
    sites = found(path, text)
    assert sites.found == ()
    assert list(sites.not_measured) == [path]


def test_hostile_files_take_little_time() -> None:
    files = {
        "a.py": "import openai\n" + "x = openai" + ".a" * 50 + "\n" + "f()()()()()\n" * 1_000,
        "b.py": "s = '" + "gpt-" * 200_000 + "'\n",
        "c.js": "let a = '" + "OPENAI_" * 100_000 + "';\n" + "f(" * 5_000 + ")" * 5_000,
        "d.sh": "api.openai.com " * 50_000,
        "e.js": "a" + ".b" * 100_000 + ";" + "x.y()" + ".z()" * 20_000,
    }
    assert len(vendor_sites(sources(files)).found) < 1_000


def test_more_places_than_are_counted() -> None:
    text = "import openai\n" + "openai.OpenAI()\n" * 25_000
    with pytest.raises(TooManySites, match="more than 20,000 places"):
        found("a.py", text)


def test_every_rule_has_a_reason_and_a_pattern_that_can_match() -> None:
    for rule in RULES:
        assert rule.reason
        if rule.kind in {"host", "model", "variable"}:
            assert not re.search(rule.pattern, ""), rule
    patterns = [(rule.kind, rule.pattern) for rule in RULES]
    assert len(set(patterns)) == len(patterns)


@pytest.mark.parametrize(
    ("vendor", "text"),
    [
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("openai", "gpt-5"),
        ("openai", "o3-mini"),
        ("openai", "text-embedding-3-small"),
        ("anthropic", "claude-sonnet-4-20250514"),
        ("anthropic", "us.anthropic.claude-3-haiku-20240307-v1:0"),
        ("google", "gemini-2.5-pro"),
        ("mistral", "mistral-large-latest"),
        ("cohere", "command-r-plus"),
        ("azure", "https://mine.openai.azure.com/"),
        ("azure", "AZURE_OPENAI_ENDPOINT"),
        ("aws", "bedrock-runtime.eu-west-1.amazonaws.com"),
        ("google", "GEMINI_API_KEY"),
    ],
)
def test_texts_of_vendors(vendor: str, text: str) -> None:
    source = Source("a.py", "python", f"x = {text!r}\n".encode())
    assert {site.vendor for site in vendor_sites({"a.py": source}).found} == {vendor}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('c.chat.completions.create(extra_body={"top_k": 1, name: 2})', ["extra_body top_k"]),
        ("c.chat.completions.create(model=m, extra_body=more)", ["extra_body"]),
        ("c.chat.completions.create(model=m, extra_headers=more, **extra_body)", []),
    ],
)
def test_a_parameter_for_one_host_alone(line: str, what: list[str]) -> None:
    sites = found("a.py", f"import openai\nc = openai.OpenAI()\n{line}\n")
    assert [site.what for site in sites.found if site.kind == "parameter"] == what
    assert [site.vendor for site in sites.found] == ["openai"] * (3 + len(what))


def test_such_a_parameter_counts_only_beside_the_vendors_sdk() -> None:
    assert found("a.py", "import requests\nrequests.post(url, extra_body={})\n").found == ()
