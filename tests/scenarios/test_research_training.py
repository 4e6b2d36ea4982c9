"""The questions of `research_agent`, its workload on disk, and its shipped model."""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from exitdrill_scenarios.training.research import data as D
from exitdrill_scenarios.training.research import workload
from exitdrill_scenarios.training.research.books import DOUBLE, SINGLE, SPLITS
from exitdrill_scenarios.training.research.world import SEEDS, lost, world
from exitdrill_scenarios.training.research.writing import Noise

pytest.importorskip("torch", reason="the model needs the extra `local`")
transformers = pytest.importorskip("transformers", reason="the model needs the extra `local`")

from exitdrill_scenarios.training import fitting  # noqa: E402 (imports what may be missing)
from exitdrill_scenarios.training.research import evaluate, train  # noqa: E402

MODEL = fitting.MODELS / train.NAME
PREFIX = "<s><|user|>Who?<|assistant|>"


@cache
def seen() -> list[D.Inquiry]:
    """The first inquiries of each stage of the training, from its own seeds."""
    return [
        inquiry
        for number, stage in enumerate(train.STAGES)
        for inquiry in islice(
            D.inquiries("train", fitting.SEED + number, noise=stage.noise, kinds=stage.kinds), 1000
        )
    ]


@cache
def tokenizer() -> Any:
    return transformers.AutoTokenizer.from_pretrained(MODEL, local_files_only=True)


# --- the questions ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_inquiries() -> None:
    first, again, other = (list(islice(D.inquiries("train", seed), 40)) for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize(
    ("one", "two"), [("train", "workload"), ("train", "dev"), ("dev", "workload")]
)
def test_no_phrase_and_no_name_is_shared(one: str, two: str) -> None:
    assert D.overlap(one, two) == {"phrases": set(), "names": set()}


def test_what_is_shared_would_be_found() -> None:
    assert all(D.overlap("workload", "workload").values())


def test_nothing_of_the_workload_occurs_in_written_training_inquiries() -> None:
    names = {name.casefold() for name in SPLITS["workload"].names()}
    asked = {inquiry.question for inquiry in world("workload").inquiries}
    for inquiry in seen():
        assert not names & {part.casefold() for name in inquiry.names for part in name.split()}
        assert inquiry.question not in asked


@pytest.mark.parametrize("split", ["train", *SEEDS])
def test_each_step_can_be_read_from_what_was_found_before(split: str) -> None:
    inquiries = seen()[::20] if split == "train" else world(split).inquiries
    for inquiry in inquiries:
        read = inquiry.question
        for look in inquiry.looks:
            assert look.query.rpartition(" ")[0] in read, inquiry
            read += D.shown(look.found)
        learnt, _, source = inquiry.answer.partition(" [")
        texts = {f"{passage.id}]": passage.text for passage in inquiry.looks[-1].found}
        assert learnt in texts[source]
        assert len(inquiry.looks) == 1 + (inquiry.kind in DOUBLE)


# --- the workload -------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SEEDS)
def test_the_right_searches_find_the_answer(split: str) -> None:
    assert list(lost(world(split))) == []


def test_the_workload_is_balanced() -> None:
    counted = Counter(inquiry.kind for inquiry in world("workload").inquiries)
    assert counted == dict.fromkeys(SINGLE, 12) | dict.fromkeys(DOUBLE, 20)
    questions = [inquiry.question for inquiry in world("workload").inquiries]
    assert len(set(questions)) == len(questions) == 120


def test_the_files_on_disk_are_what_the_generator_writes() -> None:
    for name, text in workload.files().items():
        assert (workload.FOLDER / name).read_bytes() == text.encode("utf-8"), name


def test_the_app_asks_as_the_model_was_taught() -> None:
    app = workload.FOLDER / "app"
    assert json.loads((app / "tools.json").read_text("utf-8")) == [D.TOOL]
    assert (app / "prompt.txt").read_text("utf-8").strip() == D.SYSTEM_PROMPT


# --- what is learnt, and how it is read -----------------------------------------------------------


def test_only_what_the_assistant_says_is_learnt() -> None:
    inquiries = seen()[-20:]
    for inquiry, (ids, spans) in zip(
        inquiries, train.encode(tokenizer(), inquiries, random.Random(1)), strict=True
    ):
        said = [tokenizer().decode(ids[start:end]) for start, end in spans]
        calls = [
            f'<|call|>search{{"query": "{look.query}"}}<|end_call|></s>' for look in inquiry.looks
        ]
        assert said == [*calls, f"{inquiry.answer}</s>"]


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("Ilse Brandt [d40]</s>", {"content": "Ilse Brandt [d40]"}),
        (
            '<|call|>search{"query": "Ilse Brandt born"}<|end_call|></s>',
            {"tool_calls": [call("search", {"query": "Ilse Brandt born"})]},
        ),
        (
            'Let me see. <|call|>search{"query": "a"}<|end_call|><|call|>other{}<|end_call|></s>',
            {
                "content": "Let me see.",
                "tool_calls": [call("search", {"query": "a"}), call("other", {})],
            },
        ),
        ("<|call|>search Halden<|end_call|></s>", {"tool_calls": [call("search", "Halden")]}),
        ('<|call|>search{"query": "Hal', {"tool_calls": [call("search", '{"query": "Hal')]}),
    ],
)
def test_transformers_reads_calls_and_answers(said: str, read: dict[str, Any]) -> None:
    found = tokenizer().parse_response(said, prefix=PREFIX, tools=[D.TOOL])
    assert found == {"role": "assistant", **read}


@pytest.mark.parametrize("arguments", ['{"query": "Ünna [d1]"}', {"query": "Ünna [d1]"}])
def test_the_template_shows_tools_calls_and_what_was_found(arguments: object) -> None:
    conversation = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": None, "tool_calls": [call("search", arguments)]},
        {"role": "tool", "content": "T", "tool_call_id": "1"},
    ]
    text = tokenizer().apply_chat_template(
        conversation, tools=[D.TOOL], tokenize=False, add_generation_prompt=True
    )
    assert text == (
        "<s><|system|>S<|tools|>search(query)<|user|>U<|assistant|>"
        '<|call|>search{"query": "Ünna [d1]"}<|end_call|></s><|tool|>T<|assistant|>'
    )


def test_the_template_refuses_a_role_that_it_does_not_know() -> None:
    with pytest.raises(Exception, match="Only system"):
        tokenizer().apply_chat_template([{"role": "critic", "content": "x"}], tokenize=False)


def test_a_training_of_a_few_steps_leaves_a_folder_that_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "SHAPE", fitting.Shape(hidden=32, layers=1, inner=32))
    monkeypatch.setattr(train, "STAGES", (train.Stage(SINGLE, Noise(), steps=2, rate=1e-3),))
    monkeypatch.setattr(train, "dev_share", lambda *_: 0.0)
    train.fit(train.build_tokenizer(200), None, 0, tmp_path)
    local = evaluate.Local(tmp_path)
    reply = local.reply([{"role": "user", "content": "Who leads it?"}], [D.TOOL], None)
    assert reply.content is not None or reply.tool_calls
    assert local.tokenizer.response_template == train.RESPONSE_TEMPLATE


# --- the shipped model ----------------------------------------------------------------------------


def test_the_models_folder_is_small_and_holds_no_code_and_no_pickle() -> None:
    files = {path.name: path.stat().st_size for path in MODEL.iterdir()}
    assert set(files) == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(files.values()) <= 2_000_000


def test_the_model_loads_as_what_it_claims_to_be() -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, local_files_only=True)
    assert type(model).__name__ == "MistralForCausalLM"
    assert {str(p.dtype) for p in model.parameters()} == {"torch.float32"}
    assert model.generation_config.do_sample is False
    assert model.generation_config.eos_token_id == model.config.eos_token_id is not None


def test_the_model_calls_the_tool_and_cites_what_it_found() -> None:
    found = evaluate.outcomes(MODEL, "workload", most=16)
    assert {each.inquiry.kind in DOUBLE for each in found} == {True, False}
    assert sum(each.right for each in found) >= 0.7 * len(found), [
        (each.answer, each.inquiry.answer) for each in found if not each.right
    ]
    assert all(len(each.queries) == len(each.calls) for each in found)
