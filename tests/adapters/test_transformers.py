"""The transformers adapter on tiny models that are made on the spot."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from transformers.utils.chat_parsing import ResponseParser

from exitdrill.backend import (
    Backend,
    BackendConfig,
    Event,
    Finish,
    Reasoning,
    Reply,
    Request,
    Started,
    Text,
    Usage,
    fold,
)
from exitdrill.errors import BackendError
from exitdrill_adapters import weights
from exitdrill_adapters.transformers import model
from exitdrill_adapters.transformers.backend import TransformersBackend
from exitdrill_adapters.transformers.continuous import ContinuousBatches
from exitdrill_adapters.transformers.jobs import Inbox, Job
from exitdrill_adapters.transformers.model import Model
from exitdrill_adapters.transformers.prompts import Prompt, Prompter
from exitdrill_adapters.transformers.sequence import Sequence as Answer
from exitdrill_adapters.transformers.settings import LocalOptions
from exitdrill_adapters.transformers.static import StaticBatches

from . import tiny_models

EXPERT = 3 * 64 * 96
"""Parameters of one expert of the tiny mixture: up, gate and down."""
ATTENTION = 2 * 64 * 64 + 2 * 64 * 32
PARAMETERS = 2 * 320 * 64 + 64 + 2 * (ATTENTION + 4 * 64 + 2 * 64)
"""All others: into and out of the vocabulary, a norm; per layer attention, router, two norms."""

session = pytest.mark.asyncio(loop_scope="session")

WORDS = (
    "the lazy dog",
    "hello world",
    "fox",
    "again and again and again",
    "jumps over",
    "q",
    "ab c",
)
CHAINS = {
    "letters": list("abcdef"),
    "unicode": ["x", "é", "😀", "y"],
    "half": ["z", "€"],
    "call": ["<think>", "hm", "</think>", "Sure", "[CALL]",
             '{"name": "add", "arguments": {"n": 1}}', "[/CALL]"],
    # [CALL]{ is a token of its own: [CALL] has another successor.
    "cut": ["Well", "[CALL]{", '"name": "mul", ', '"arguments": ', "{}}"],
}  # fmt: skip


def backend(path: Path, **options: Any) -> TransformersBackend:
    options.setdefault("threads", 1)
    return TransformersBackend(BackendConfig("tiny", "transformers", str(path), options=options))


@asynccontextmanager
async def running(path: Path, **options: Any) -> AsyncIterator[TransformersBackend]:
    made = backend(path, **options)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def events(made: Backend, body: dict[str, Any], operation: Any = "completion") -> list[Event]:
    prepared = made.prepare(Request(operation, body))
    return [event async for event in made.stream(prepared)]


async def answer(made: Backend, body: dict[str, Any], operation: Any = "completion") -> Reply:
    return fold(await events(made, body, operation))


async def answers(made: Backend, bodies: Sequence[dict[str, Any]]) -> list[Reply]:
    return list(await asyncio.gather(*(answer(made, body) for body in bodies)))


def chat(text: str, **body: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 8, **body}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = build(root / name, name)
        return made[name]

    return make


def build(path: Path, name: str) -> Path:
    if name != "chains":
        return tiny_models.random_model(path, name)
    tiny_models.chain_model(path, CHAINS)
    tiny_models.add_response_template(path)
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mistral(folder: Callable[[str], Path]) -> AsyncIterator[TransformersBackend]:
    async with running(folder("mistral")) as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mixtral(folder: Callable[[str], Path]) -> AsyncIterator[TransformersBackend]:
    async with running(folder("mixtral"), batch_size=4) as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chains(folder: Callable[[str], Path]) -> AsyncIterator[TransformersBackend]:
    async with running(folder("chains")) as made:
        yield made


# --- the numbers are right ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mistral", "mixtral"])
@session
async def test_a_batch_answers_as_plain_generate_does_one_by_one(
    name: str,
    folder: Callable[[str], Path],
    mistral: TransformersBackend,
    mixtral: TransformersBackend,
) -> None:
    made = mistral if name == "mistral" else mixtral
    bodies = [{"prompt": word, "max_tokens": 12 + i} for i, word in enumerate(WORDS)]
    together = await answers(made, bodies)
    expected = list(plain(folder(name), bodies))
    assert [(reply.text, reply.output_tokens) for reply in together] == expected
    assert len({reply.text for reply in together}) > len(WORDS) // 2


def plain(path: Path, bodies: Sequence[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """What transformers itself says, one prompt after the other."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    net: Any = AutoModelForCausalLM.from_pretrained(path)
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    for body in bodies:
        inputs = tokenizer(body["prompt"], return_tensors="pt")
        ids = net.generate(**inputs, max_new_tokens=body["max_tokens"], do_sample=False)
        new = ids[0, inputs["input_ids"].shape[1] :]
        yield tokenizer.decode(new, skip_special_tokens=True), len(new)


@session
async def test_events_come_in_order_and_their_tokens_add_up(mistral: TransformersBackend) -> None:
    entered = time.perf_counter_ns()
    seen = await events(mistral, chat("hello", max_tokens=20), "chat")
    took = time.perf_counter_ns() - entered
    times = [event.at for event in seen]
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < took
    assert isinstance(seen[0], Started)
    usage, finish = seen[-2:]
    assert isinstance(usage, Usage)
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.raw) == ("length", "max_tokens")
    texts = [event for event in seen if isinstance(event, Text)]
    assert sum(event.tokens or 0 for event in texts) == usage.output_tokens == 20
    assert len({event.at for event in texts}) == len(texts)


@session
async def test_a_short_answer_does_not_wait_for_a_long_one(mistral: TransformersBackend) -> None:
    short, long = await answers(
        mistral, [{"prompt": "fox", "max_tokens": 2}, {"prompt": "dog", "max_tokens": 200}]
    )
    assert short.started_at is not None
    assert short.last_at is not None
    assert long.last_at is not None
    assert short.last_at < long.last_at / 3


@session
async def test_input_tokens_are_counted_without_padding(mistral: TransformersBackend) -> None:
    bodies = [{"prompt": prompt, "max_tokens": 1} for prompt in ("0", "01", "0123456789")]
    assert [reply.input_tokens for reply in await answers(mistral, bodies)] == [1, 2, 10]


@session
async def test_description(mixtral: TransformersBackend) -> None:
    description = await mixtral.start()
    assert description.model == "mixtral"
    assert description.server is not None
    assert description.server.startswith("transformers ")
    assert len(description.weights_sha256 or "") == 64
    assert description.sampling == {"do_sample": False, "temperature": 0.0}
    details = description.details
    assert {
        "architecture": "MixtralForCausalLM",
        "parameters": PARAMETERS + 2 * 4 * EXPERT,
        "parameters_active": PARAMETERS + 2 * 2 * EXPERT,
        "experts": 4,
        "experts_active": 2,
        "batching": "static",
        "batch_size": 4,
        "device": "cpu",
        "dtype": "float32",
        "attention": "sdpa",
        "context": 512,
    }.items() <= details.items()
    assert details["versions"].keys() == {"torch", "transformers", "tokenizers", "python"}
    assert len(details["tokenizer_sha256"]) == len(details["chat_template_sha256"]) == 64
    assert details["threads"] >= 1
    json.dumps(dict(details))
    assert mixtral.local
    assert mixtral.operations == {"chat", "completion"}


@pytest.mark.parametrize("name", ["mistral", "mixtral", "gpt2"])
def test_files_and_modules_count_the_same(folder: Callable[[str], Path], name: str) -> None:
    """So what is known of a served model can be set beside one that runs in process."""
    stored = weights.facts(folder(name))
    loaded = model.load(folder(name), LocalOptions()).facts()["details"]
    for fact in ("architecture", "parameters", "parameters_active"):
        assert stored[fact] == loaded[fact]


def test_sampling_that_is_in_force(folder: Callable[[str], Path]) -> None:
    loaded = model.load(folder("mistral"), LocalOptions())
    defaults: Any = loaded.defaults  # without annotations in transformers
    defaults.update(do_sample=True, temperature=0.7, top_k=20, max_new_tokens=9)
    assert loaded.facts()["sampling"] == {
        "do_sample": True, "temperature": 0.7, "top_p": 1.0, "top_k": 20, "min_p": 0.0,
        "seed": "each request's own; random where it has none", "max_tokens": 9,
    }  # fmt: skip


@session
async def test_what_is_reported_is_what_the_tokenizer_counts(mistral: TransformersBackend) -> None:
    [reply] = await answers(mistral, [{"prompt": "0123", "max_tokens": 3}])
    assert (reply.input_tokens, reply.output_tokens, reply.usage_source) == (4, 3, "reported")
    assert (reply.recounted_input_tokens, reply.recounted_output_tokens) == (4, 3)


# --- text -----------------------------------------------------------------------------------------


@session
async def test_a_sequence_ends_at_its_end_token(chains: TransformersBackend) -> None:
    reply = await answer(chains, {"prompt": "<go:letters>"})
    assert (reply.text, reply.finish, reply.finish_raw) == ("abcdef", "stop", "eos")
    assert reply.recounted_output_tokens == (reply.output_tokens or 0) - 1  # the end mark
    assert reply.output_tokens == 7


@pytest.mark.parametrize(
    ("stop", "text"),
    [("cd", "ab"), (["de", "bcd"], "a"), ("cdx", "abcdef"), (["f"], "abcde"), ("abc", "")],
)
@session
async def test_stop_strings_over_several_tokens(
    chains: TransformersBackend, stop: Any, text: str
) -> None:
    reply = await answer(chains, {"prompt": "<go:letters>", "stop": stop})
    assert (reply.text, reply.finish) == (text, "stop")


@session
async def test_no_half_characters(chains: TransformersBackend) -> None:
    seen = await events(chains, {"prompt": "<go:unicode>"})
    texts = [(event.text, event.tokens) for event in seen if isinstance(event, Text)]
    assert texts == [("x", 1), ("é", 2), ("😀", 4), ("y", 1)]


@session
async def test_a_character_that_is_cut_off_ends_as_the_tokenizer_has_it(
    chains: TransformersBackend,
) -> None:
    reply = await answer(chains, {"prompt": "<go:half>", "max_tokens": 3})
    assert reply.text == "z\N{REPLACEMENT CHARACTER}"
    assert reply.finish == "length"


# --- structured answers ---------------------------------------------------------------------------


@session
async def test_a_tool_call(chains: TransformersBackend) -> None:
    seen = await events(chains, chat("<go:call>", chat_template_kwargs=BARE, max_tokens=99), "chat")
    reply = fold(seen)
    assert any(isinstance(event, Reasoning) for event in seen)
    assert (reply.reasoning, reply.text, reply.finish) == ("hm", "Sure", "tool_calls")
    (call,) = reply.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("add", {"n": 1})
    assert call.id is not None
    assert len(call.id) == 9


@session
async def test_a_tool_call_that_is_cut_off_is_text(chains: TransformersBackend) -> None:
    reply = await answer(chains, chat("<go:cut>", chat_template_kwargs=BARE, max_tokens=3), "chat")
    assert (reply.text, reply.finish) == ('Well{"name": "mul", ', "length")
    assert reply.tool_calls == ()


BARE = {"bare": True}


# --- sampling -------------------------------------------------------------------------------------


@session
async def test_a_seed_repeats_an_answer_whoever_shares_the_batch(
    mistral: TransformersBackend,
) -> None:
    body = {"prompt": "hello", "max_tokens": 16, "temperature": 1.0, "top_p": 0.95, "seed": 11}
    alone = await answer(mistral, body)
    others = [body | {"prompt": word, "seed": i} for i, word in enumerate(WORDS)]
    crowd = await answers(mistral, [*others, body])
    assert crowd[-1].text == alone.text
    assert len({reply.text for reply in crowd}) == len(crowd)
    assert (await answer(mistral, body | {"seed": 12})).text != alone.text


@session
async def test_top_k_of_one_is_greedy(mistral: TransformersBackend) -> None:
    body = {"prompt": "hello", "max_tokens": 8}
    greedy = await answer(mistral, body)
    picked = await answer(mistral, body | {"temperature": 2.0, "top_k": 1})
    assert picked.text == greedy.text


# --- one bad request ------------------------------------------------------------------------------


@session
async def test_bad_requests_spoil_nobody_elses_answer(mistral: TransformersBackend) -> None:
    good = {"prompt": "hello", "max_tokens": 4}
    expected = await answer(mistral, good)
    lone = "\ud800 \u2028 \x00 \r\n"
    results = await asyncio.gather(
        answer(mistral, good),
        answer(mistral, {"prompt": "a b " * 600}),
        answer(mistral, {"prompt": [1, 99999]}),
        answer(mistral, {"prompt": ""}),
        answer(mistral, chat("break"), "chat"),
        answer(mistral, {"messages": [{"role": "developer", "content": "Be brief."}]}, "chat"),
        answer(mistral, {"prompt": lone, "max_tokens": 2}),
        answer(mistral, good),
        return_exceptions=True,
    )
    kinds = [one.kind if isinstance(one, BackendError) else None for one in results]
    assert kinds[:6] == [
        None, "context_overflow", "bad_parameter", "bad_parameter", "template", "template",
    ]  # fmt: skip
    assert "cannot take user" in str(results[4])
    assert "leaves out message 0 (role 'developer')" in str(results[5])
    assert isinstance(results[0], Reply)
    assert isinstance(results[-1], Reply)
    assert results[0].text == results[-1].text == expected.text


@session
async def test_the_context_ends_an_answer_and_says_so(chains: TransformersBackend) -> None:
    reply = await answer(chains, {"prompt": "g" * 90 + "<go:letters>", "max_tokens": 50})
    assert reply.finish_raw == "context"
    assert reply.finish == "length"
    assert reply.output_tokens == 5


@session
async def test_a_message_of_megabytes(mistral: TransformersBackend) -> None:
    with pytest.raises(BackendError, match="context_overflow"):
        await answer(mistral, {"prompt": "é\n" * 500_000})


@session
async def test_cancelling_stops_the_work(mistral: TransformersBackend) -> None:
    prepared = mistral.prepare(Request("completion", {"prompt": "fox", "max_tokens": 500}))
    async with aclosing(mistral.stream(prepared)) as stream:  # type: ignore[type-var]
        async for event in stream:
            if isinstance(event, Text):
                break
    # Were it still at work, this one would wait for hundreds of steps.
    after = await answer(mistral, {"prompt": "fox", "max_tokens": 1})
    long = await answer(mistral, {"prompt": "fox", "max_tokens": 500})
    assert after.started_at is not None
    assert long.last_at is not None
    assert after.started_at < long.last_at / 4


@session
async def test_a_model_without_a_chat_template() -> None:
    made = tiny_models.tokenizer(template="")
    prompter = Prompter(made, 96, 300, None, {})
    assert prompter({"operation": "completion", "prompt": "ab"}).room == 94
    with pytest.raises(BackendError, match=r"template: the model has no chat template"):
        prompter({"operation": "chat", **chat("hello")})


# --- the process ----------------------------------------------------------------------------------


@session
async def test_a_noisy_child_that_is_killed_in_mid_request(
    folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NOISE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    # Neither does a file of the user's that has torch's name.
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "torch.py").write_text("raise SystemExit('the wrong torch')")
    monkeypatch.chdir(tmp_path / "cwd")
    async with running(folder("mistral"), max_context=400, dtype="bfloat16") as made:
        description = await made.start()
        assert description.details["context"] == 400
        assert description.details["dtype"] == "bfloat16"
        reply = await answer(made, {"prompt": "fox"})
        assert (reply.finish_raw, reply.output_tokens) == ("context", 398)
        stream = made.stream(made.prepare(Request("completion", {"prompt": "fox"})))
        while not isinstance(await anext(stream), Text):
            pass
        assert made._child is not None
        os.kill(made._child.pid, signal.SIGKILL)
        with pytest.raises(BackendError, match=r"crashed.*signal 9.*memory.*said last: .*stray"):
            async for _ in stream:
                pass
        with pytest.raises(BackendError, match="crashed"):
            await answer(made, {"prompt": "fox"})
        await made.close()
        await made.close()


NOISE = """
import sys, threading, time
def noise():
    time.sleep(1)  # first the child takes its pipes
    while True:
        print("{stray", flush=True)
        print('{"id": 1}', file=sys.stderr, flush=True)
        time.sleep(0.002)
if "exitdrill_adapters.transformers.worker" in sys.orig_argv:
    threading.Thread(target=noise, daemon=True).start()
"""


PARENT = """
import asyncio, sys
from exitdrill.backend import BackendConfig, Request
from exitdrill_adapters.transformers import model
from exitdrill_adapters.transformers.jobs import Inbox, Job
from exitdrill_adapters.transformers.model import Model
from exitdrill_adapters.transformers.prompts import Prompter
from exitdrill_adapters.transformers.settings import LocalOptions
from exitdrill_adapters.transformers.static import StaticBatches
from exitdrill_adapters.transformers.backend import TransformersBackend

async def main():
    made = TransformersBackend(BackendConfig("t", "transformers", sys.argv[1]))
    await made.start()
    prepared = made.prepare(Request("completion", {"prompt": "fox", "max_tokens": 500}))
    async for _ in made.stream(prepared):
        print(made._child.pid, flush=True)

asyncio.run(main())
"""


def test_the_child_dies_with_its_parent(folder: Callable[[str], Path]) -> None:
    command = [sys.executable, "-c", PARENT, str(folder("mistral"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@session
async def test_weights_that_do_not_load(folder: Callable[[str], Path], tmp_path: Path) -> None:
    for file in folder("mistral").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    made = backend(tmp_path)
    with pytest.raises(BackendError, match=r"unsupported: .* could not be loaded: Safetensor"):
        await made.start()
    await made.close()


def test_a_worker_ends_when_its_pipe_closes() -> None:
    command = [sys.executable, "-P", "-m", "exitdrill_adapters.transformers.worker"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")


# --- in this process: what can hardly be provoked in another --------------------------------------


def run_once(loaded: Model, bodies: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """One batch; the messages of each request."""
    inbox, sent = Inbox(-1), list[dict[str, Any]]()
    for number, body in enumerate(bodies):
        inbox.queue.put(Job(number, 0, {"operation": "completion", **body}))
    batches = StaticBatches(loaded, inbox, sent.extend)
    batches._gather()
    batches._answer(batches._choose())
    return {i: [one for one in sent if one["r"] == i] for i in range(len(bodies))}


def test_a_batch_that_fails_is_tried_one_by_one(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = model.load(folder("mistral"), LocalOptions(threads=1))
    generate = loaded.net.generate

    def fails(inputs: Any, **others: Any) -> Any:
        if len(inputs) > 1 or inputs[0, 0] == 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return generate(inputs=inputs, **others)

    monkeypatch.setattr(loaded.net, "generate", fails)
    sent = run_once(loaded, [{"prompt": [one], "max_tokens": 2} for one in (3, 4, 5)])
    assert [messages[-1]["e"] for messages in sent.values()] == ["error", "Finish", "Finish"]
    assert sent[0][-1]["kind"] == "crashed"
    assert "not enough memory" in sent[0][-1]["message"]


def test_a_manager_that_fails_fails_every_request(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = model.load(folder("mistral"), LocalOptions(threads=1, batching="continuous"))
    inbox, sent = Inbox(-1), queue.Queue[dict[str, Any]]()

    def send(messages: list[dict[str, Any]]) -> None:
        for message in messages:
            sent.put(message)

    batches = ContinuousBatches(loaded, inbox, send)
    batches.warm_up()

    def fail() -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(batches._manager, "_generation_step", fail)
    thread = threading.Thread(target=batches.run)
    thread.start()
    for number in (1, 2):
        job = Job(number, 0, {"operation": "completion", "prompt": [5], "max_tokens": 2})
        inbox.queue.put(job)
        message = sent.get(timeout=20)
        assert (message["r"], message["e"], message["kind"]) == (number, "error", "server")
        assert "no such kernel" in message["message"]
    inbox.queue.put(None)
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("said", "text", "calls", "finish", "raw"),
    [
        ("plain", "plain", 0, "stop", "eos"),
        ('[CALL]{"name": "f"}[/CALL][CALL]{"name": "g"}[/CALL]', "", 2, "tool_calls", "eos"),
        ("Hm [CALL]{bad}[/CALL] and", "Hm {bad}[/CALL] and", 0, "stop", "malformed_tool_call"),
        ("Hm [CALL]{bad", "Hm {bad", 0, "stop", "malformed_tool_call"),
        ("[CALL]3[/CALL]", "", 0, "stop", "eos"),
        ("a<think>b</think>cSTO", "acSTO", 0, "stop", "eos"),
        ("aSTOPb", "a", 0, "stop", "stop_string"),
    ],
)
def test_structured_answers(said: str, text: str, calls: int, finish: str, raw: str) -> None:
    parser = ResponseParser(dict(tiny_models.RESPONSE_TEMPLATE), prefix="<|assistant|>")
    job = Job(1, 0, {"stop": ["STOP"]})
    end = 0
    made = Answer(
        job,
        Prompt([9], "", 99, False),
        frozenset({end}),
        lambda ids: "".join(map(chr, ids)),
        parser,
    )
    seen: list[Event] = []
    for token in [*map(ord, said), end]:
        if not made.done:
            seen += made.push(token, 1)
    reply = fold(seen)
    assert (reply.text, len(reply.tool_calls)) == (text, calls)
    assert (reply.finish, reply.finish_raw) == (finish, raw)


def test_positions_from_a_table_are_not_overrun(tmp_path: Path) -> None:
    tiny_models.random_model(tmp_path, "gpt2")
    loaded = model.load(tmp_path, LocalOptions(threads=1))
    assert not loaded.rotary
    sent = run_once(loaded, [{"prompt": [5] * 500}, {"prompt": [6]}, {"prompt": [7] * 500}])
    assert [[one["e"] for one in messages][-1:] for messages in sent.values()] == [
        ["Finish"], [], ["Finish"],
    ]  # fmt: skip


# --- continuous batching --------------------------------------------------------------------------


@session
async def test_continuous_batching(
    folder: Callable[[str], Path], mixtral: TransformersBackend
) -> None:
    bodies = [{"prompt": word, "max_tokens": 10 + i} for i, word in enumerate(WORDS)]
    expected = await answers(mixtral, bodies)
    async with running(folder("mixtral"), batching="continuous", batch_size=4) as made:
        assert (await made.start()).details["batching"] == "continuous"
        replies = await answers(made, bodies)
        assert [one.text for one in replies] == [one.text for one in expected]
        assert [one.output_tokens for one in replies] == [one.output_tokens for one in expected]
        seen = await events(made, bodies[0])
        times = [event.at for event in seen]
        assert times == sorted(times)
        stop = expected[1].text[3:5]
        stopped = await answer(made, bodies[1] | {"stop": stop})
        assert stopped.text == expected[1].text[: expected[1].text.index(stop)]
        assert stopped.finish_raw == "stop_string"
        with pytest.raises(BackendError, match="context_overflow"):
            await answer(made, {"prompt": "a b " * 600})
        stream = made.stream(
            made.prepare(Request("completion", {"prompt": "q", "max_tokens": 400}))
        )
        while not isinstance(await anext(stream), Text):
            pass
        await stream.aclose()  # type: ignore[attr-defined]
        assert (await answer(made, bodies[0])).text == expected[0].text
