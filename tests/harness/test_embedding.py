"""Embedding similarity by a tiny model that the test makes: no network, no code of its folder."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.harness.drills import Log, case_lines, scenario
from tests.harness.facts_of import BROKEN, NAN, call, pair, view

import exitdrill
from exitdrill.backend import Reply
from exitdrill.drillable import check
from exitdrill.embedder import KEPT, Embedder, EmbeddingProblem
from exitdrill.errors import AdapterError, ScenarioError
from exitdrill.measures import BY_NAME, sequential_problem
from exitdrill.measures.base import TrialView
from exitdrill.measures.embedding import LONGEST, NAME, texts_of
from exitdrill.scenario import EmbeddingSpec, GateSpec, Scenario

torch = pytest.importorskip("torch", reason="needs exitdrill[embedding]")
transformers = pytest.importorskip("transformers", reason="needs exitdrill[embedding]")
pytest.importorskip("sentence_transformers", reason="needs exitdrill[embedding]")

SPECIAL = ["[UNK]", "[PAD]", "[CLS]", "[SEP]"]
WORDS = [*SPECIAL, "the", "refund", "is", "on", "its", "way", "no", "money", "back", "two"]
OWN_CODE = b'[{"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}]'


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT of random weights and a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def embedder(model: Path) -> Embedder:
    """The model, loaded once."""
    made = Embedder(model)
    made.load()
    return made


# --- the model ----------------------------------------------------------------------------------


def test_a_similarity_is_the_cosine_of_the_means(embedder: Embedder, model: Path) -> None:
    bert = transformers.BertModel.from_pretrained(model).eval()
    words = [[WORDS.index(word) for word in text.split()] for text in ("the refund", "no money")]
    with torch.no_grad():
        one, other = (bert(torch.tensor([ids])).last_hidden_state[0].mean(0) for ids in words)
    expected = float(torch.nn.functional.cosine_similarity(one, other, dim=0))
    assert 0 < expected < 1
    assert embedder.similarity("the refund", "no money") == pytest.approx(expected, abs=2e-6)


def test_a_similarity_goes_both_ways_and_does_not_depend_on_what_else_is_embedded(
    embedder: Embedder, model: Path
) -> None:
    alone = embedder.similarity("the refund is", "no")
    fresh = Embedder(model)
    fresh.prepare(["the refund is", "no", "money back on its way two two two two"])
    assert fresh.similarity("no", "the refund is") == alone


@pytest.mark.parametrize("text", ["\ud83d half a pair", "\x00", "x" * LONGEST, "日本語 😀"])
def test_whatever_a_model_says_has_a_similarity(text: str, embedder: Embedder) -> None:
    assert 0 <= embedder.similarity("the refund", text) <= 1


def test_a_text_that_a_model_has_no_word_for_at_all_is_a_problem_of_its_own(
    embedder: Embedder,
) -> None:
    with pytest.raises(EmbeddingProblem, match="the model cannot embed a text"):
        embedder.similarity("the refund", " \n")
    assert embedder.similarity("the refund", "the refund is") > 0


def test_what_is_kept_is_bounded(embedder: Embedder) -> None:
    expected = embedder.similarity("the", "no")
    embedder.prepare(f"the {number}" for number in range(2 * KEPT))
    for number in range(KEPT):
        embedder.similarity("the", f"q {number}")
    assert len(embedder._kept) == KEPT
    assert embedder.similarity("the", "no") == expected


def test_a_model_without_direction_measures_nothing(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "nan"
    shutil.copytree(model, folder)
    bert = transformers.BertModel.from_pretrained(folder)
    for weights in bert.parameters():
        weights.data.fill_(math.nan)
    bert.save_pretrained(folder)
    assert math.isnan(Embedder(folder).similarity("the", "no"))


# --- the column ---------------------------------------------------------------------------------


def letters(wanted: str, found: str) -> float:
    """Stands in for a model: the share of the first one's letters that the second one has."""
    return len(set(wanted) & set(found)) / len(set(wanted))


@pytest.mark.parametrize(
    ("answer", "reference", "failed", "expected"),
    [
        ("ab", "abcd", False, 0.5),
        ("abcd", "abcd", False, 1),
        ("\n abcd", "abcd", False, 1),  # not computed
        ("", "abcd", False, 0),
        (" ", "abcd", False, 0),
        ("abcd", "abcd", True, 0),
        ("ab", '{"a": 1}', False, NAN),  # JSON: its fields are compared
        ("ab", "", False, NAN),
        ("ab", None, False, NAN),
        (call("f", "{}"), "abcd", False, 0),
        ("ab" + "x" * LONGEST + "cd", "abcd", False, 0.5),  # only the beginning counts
    ],
)
def test_free_texts_are_compared(
    answer: Reply | str, reference: str | None, failed: bool, expected: float
) -> None:
    trial = view(answer, reference=reference, failure=BROKEN if failed else None)
    column = BY_NAME.columns[NAME]
    assert column(replace(trial, embed=letters)) == pytest.approx(expected, nan_ok=True)
    assert math.isnan(column(trial))  # no model


def test_the_same_text_is_never_embedded() -> None:
    def never(wanted: str, found: str) -> float:
        raise AssertionError(wanted, found)

    trial = replace(view("abc", reference="abc"), embed=never)
    assert BY_NAME.columns[NAME](trial) == 1
    assert list(texts_of([trial])) == []


def test_the_texts_of_a_case_are_embedded_at_once() -> None:
    views: list[TrialView] = [
        view("a", reference="b"),
        view("b", reference="b"),
        view("c", reference="b"),
        view("d", reference='{"a": 1}'),
        view("e", reference="b", failure=BROKEN),
    ]
    assert list(dict.fromkeys(texts_of(views))) == ["b", "a", "c"]


def test_the_row_is_a_mean_between_0_and_1() -> None:
    row = BY_NAME[NAME].row(
        pair({NAME: np.full((30, 2), 0.9)}, {NAME: np.full((30, 2), 0.7)}, confidence=0.9)
    )
    assert (row.incumbent, row.candidate) == pytest.approx((0.9, 0.7))
    assert row.estimate == pytest.approx(-0.2)
    assert row.noise == pytest.approx(0.1)
    assert row.note
    assert row.note.startswith("cosine of embeddings")


def test_it_cannot_be_judged_while_a_drill_runs() -> None:
    assert sequential_problem(GateSpec(measure=NAME, margin=0.1)) is not None


# --- the scenario -------------------------------------------------------------------------------


def prose(text: str) -> Callable[[Any], str]:
    """An answer that is always the same."""
    return lambda _: text


def drill_with(model: Path, say: str, name: str = "tiny", **more: Any) -> tuple[Scenario, Log]:
    """A scenario in the folder above the model; the incumbent promises a refund."""
    log = Log()
    old, new = log.adapter(prose("the refund is on its way")), log.adapter(prose(say))
    made = scenario(6, {"repeats": 2}, old=old, new=new)
    update = {"embedding": EmbeddingSpec(model=name), "root": model.parent, **more}
    return made.model_copy(update=update), log


def row_of(report: dict[str, Any]) -> dict[str, Any]:
    """The row of the measure."""
    rows: list[dict[str, Any]] = report["candidates"][0]["drift"]
    return next(row for row in rows if row["name"] == NAME)


def test_a_drill_measures_it_and_its_plan_registers_the_weights(
    model: Path, embedder: Embedder, tmp_path: Path
) -> None:
    gates = [GateSpec(measure=NAME, margin=0.5)]
    made, _ = drill_with(model, "no money back", gates=gates)
    result = exitdrill.run(made, out=tmp_path / "drill")
    expected = embedder.similarity("the refund is on its way", "no money back")
    row = row_of(result.report)
    assert (row["incumbent"], row["n"]) == (1, 6)
    assert row["candidate"] == pytest.approx(expected, abs=2e-6)
    assert result.report["candidates"][0]["gates"][0]["estimate"] == pytest.approx(expected - 1)
    plan = json.loads((tmp_path / "drill" / "plan.json").read_text())
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    assert plan["embedding"] == {"model": "tiny", "sha256": digest}
    assert NAME in json.dumps(case_lines(tmp_path / "drill")[0])


def test_without_a_model_nothing_is_measured_and_no_gate_is_taken(tmp_path: Path) -> None:
    log = Log()
    made = scenario(3, old=log.adapter(prose("a b")), new=log.adapter(prose("a c")))
    result = exitdrill.run(made, out=tmp_path / "drill")
    row = row_of(result.report)
    assert row["note"] == "not measured: the scenario names no embedding model"
    assert (row["incumbent"], row["candidate"], row["estimate"]) == (None, None, None)
    plan = json.loads((tmp_path / "drill" / "plan.json").read_text())
    assert plan["embedding"] is None
    gated = made.model_copy(update={"gates": [GateSpec(measure=NAME, margin=0.1)]})
    with pytest.raises(ScenarioError, match="names no embedding model") as raised:
        check(gated)
    assert raised.value.key == "gates[0].measure"


def test_a_model_among_those_that_come_with_the_package(model: Path) -> None:
    made, _ = drill_with(model, "no", name="{models}/none-of-this-name")
    with pytest.raises(ScenarioError, match="none-of-this-name") as raised:
        check(made)
    assert raised.value.key == "embedding.model"


@pytest.mark.parametrize(
    ("gone", "written", "said"),
    [
        ("model.safetensors", {}, r"holds no \*\.safetensors"),
        (
            "",
            {"1_Dense/pytorch_model.bin": b"a pickle"},
            r"holds no \*\.safetensors beside 1_Dense/pytorch_model\.bin",
        ),
        (".", {}, "there is no 'tiny'"),
        (".", {".": b"a file"}, "is no folder"),
        ("", {"model.safetensors": b"\x08" * 9}, "cannot be loaded"),
        ("", {"config.json": b"{}"}, "cannot be loaded"),
        ("", {"modules.json": OWN_CODE, "evil.py": b"raise SystemExit"}, "cannot be loaded"),
    ],
)
def test_what_cannot_be_a_model_is_refused_before_any_call(
    gone: str, written: dict[str, bytes], said: str, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "scenario" / "tiny"
    shutil.copytree(model, folder)
    if gone == ".":
        shutil.rmtree(folder)
    elif gone:
        (folder / gone).unlink()
    for name, content in written.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    made, log = drill_with(folder, "no")
    with pytest.raises(ScenarioError, match=said) as raised:
        exitdrill.run(made, out=tmp_path / "drill")
    assert raised.value.key == "embedding.model"
    assert str(tmp_path) not in raised.value.message
    assert not log.calls
    assert not (tmp_path / "drill").exists()


def test_a_folder_elsewhere_is_refused(model: Path) -> None:
    made, _ = drill_with(model / "inner", "no", name="../../tiny")
    with pytest.raises(ScenarioError, match="leaves the scenario's folder"):
        check(made)


def test_without_the_package_the_extra_is_named(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = drill_with(model, "no")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(AdapterError, match=r"pip install 'exitdrill\[embedding\]'") as raised:
        check(made)
    assert raised.value.key == "embedding.model"


def test_other_weights_are_another_plan(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scenario" / "tiny"
    shutil.copytree(model, folder)
    made, _ = drill_with(folder, "no")
    exitdrill.run(made, out=tmp_path / "drill")
    torch.manual_seed(1)
    config = transformers.BertConfig.from_pretrained(folder)
    transformers.BertModel(config).save_pretrained(folder)
    with pytest.raises(exitdrill.UsageError, match=r"embedding\.sha256"):
        exitdrill.run(made, resume=tmp_path / "drill")


def test_a_model_that_fails_later_costs_no_more_than_its_own_numbers(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Embedder, wanted: str, found: str) -> float:
        raise EmbeddingProblem("the model cannot embed a text", key="embedding.model")

    monkeypatch.setattr(Embedder, "similarity", fails)
    gates = [GateSpec(measure=NAME, margin=0.5)]
    made, _ = drill_with(model, "no money back", gates=gates)
    report = exitdrill.run(made, out=tmp_path / "drill").report
    row = row_of(report)
    assert row["candidate"] is None
    assert "the model cannot embed a text" in row["note"]
    gate = report["candidates"][0]["gates"][0]
    assert gate["status"] == "open"
    assert "the model cannot embed a text" in gate["reason"]


def test_nothing_is_imported_before_it_is_needed(model: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom exitdrill.embedder import Embedder\n"
        f"Embedder(Path({str(model)!r}))\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'sentence_transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
