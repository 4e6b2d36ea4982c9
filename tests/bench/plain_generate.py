"""What whoever has no drill would write: ``generate`` of transformers, padded batches by length.

    python plain_generate.py MODEL REQUESTS.JSONL CASES THREADS

Loads the model, answers once to warm up, and then for each line on standard input (``batched`` or
``single``) answers all cases so, and prints {"seconds", "tokens", "answers"}. Timed is what a user
waits for: templates, tokens, generation, texts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

BATCH = {"batched": 32, "single": 1}


class Plain:
    """A loaded model."""

    def __init__(self, folder: str, bodies: Sequence[dict[str, Any]]) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )
        self._bodies = bodies

    def answers(self, batch: int) -> tuple[int, dict[int, str]]:
        """How many tokens were generated, and the text of each answer."""
        prompts = [self._prompt(body) for body in self._bodies]
        order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
        tokens, texts = 0, dict[int, str]()
        for first in range(0, len(order), batch):
            members = order[first : first + batch]
            outputs = self._generate([prompts[number] for number in members])
            for number, output in zip(members, outputs, strict=True):
                tokens += len(output)
                texts[number] = self._tokenizer.decode(output, skip_special_tokens=True)
        return tokens, texts

    def _prompt(self, body: dict[str, Any]) -> list[int]:
        text = self._tokenizer.apply_chat_template(
            body["messages"], add_generation_prompt=True, tokenize=False
        )
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _generate(self, prompts: Sequence[list[int]]) -> Iterator[list[int]]:
        """The new tokens of each prompt, up to and with its end."""
        longest, pad = max(map(len, prompts)), self._tokenizer.pad_token_id
        ids = [[pad] * (longest - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        with torch.inference_mode():
            outputs = self._model.generate(
                torch.tensor(ids),
                attention_mask=torch.tensor(mask),
                max_new_tokens=self._bodies[0]["max_tokens"],
                do_sample=False,
            )
        end = self._model.generation_config.eos_token_id
        for output in outputs[:, longest:].tolist():
            yield output[: output.index(end) + 1] if end in output else output


def main(model: str, requests: str, cases: str, threads: str) -> None:
    """Answer as each line of standard input says."""
    torch.set_num_threads(int(threads))
    with Path(requests).open() as file:
        bodies = [json.loads(line)["body"] for line in islice(file, int(cases))]
    plain = Plain(model, bodies)
    plain.answers(BATCH["batched"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        start = time.perf_counter()
        tokens, texts = plain.answers(BATCH[line.strip()])
        seconds = time.perf_counter() - start
        answers = [texts[number] for number in range(len(bodies))]
        sys.stdout.write(
            json.dumps({"seconds": seconds, "tokens": tokens, "answers": answers}) + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
