"""What the gateway adds to the time to first token: a client through it, and without it.

Three processes: the server, the gateway, a client that does the least (`first_tokens`). The client
runs A B A B …, through the gateway and without it; the ratio is that of the medians of a pair.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from tests.bench import process
from tests.bench.process import HERE, Ran
from tests.bench.settings import Settings
from tests.bench.table import Row, paired

TITLE = "gateway: the time to first token through it, beside the server's; 20 tokens, after 50 ms"
PAIRS = 5
MOST = 1.1
"""The aim, at 16 at once: at most so many times the server's own."""
SCENES = (
    ("20 ms apart", "0.02", ((16, 128),)),
    ("in one go", "0", ((1, 40), (16, 480), (64, 960))),
)
"""How the tokens of an answer follow each other: in words, in seconds; at how many requests at
once, and how many in all."""


def rows(settings: Settings) -> Iterator[Row]:
    """p50 and p95 for each pace, at so many requests at once."""
    for pace, gap, sizes in SCENES:
        with (
            process.serving("--gap", gap) as url,
            process.beside("gateway_process.py", url) as said,
        ):
            gateway, key = said.split()
            for at_once, requests in sizes:
                yield from _compared(
                    f"{at_once} at once, tokens {pace}",
                    settings.pairs or PAIRS,
                    [gateway, key, requests, at_once],
                    [url, "none", requests, at_once],
                )


def _compared(
    where: str, pairs: int, ours: Sequence[object], reference: Sequence[object]
) -> Iterator[Row]:
    sides = process.alternate(pairs, lambda: _client(ours), lambda: _client(reference))
    through, straight = ([_seconds(ran) for ran in side] for side in sides)
    most = MOST if where.startswith("16 ") else None
    for number, name in enumerate(("p50", "p95")):
        yield paired(
            f"{where}: {name}",
            [each[number] for each in through],
            [each[number] for each in straight],
            most=most if name == "p50" else None,
        )


def _client(arguments: Sequence[object]) -> Ran:
    return process.run([sys.executable, HERE / "first_tokens.py", *map(str, arguments)])


def _seconds(ran: Ran) -> list[float]:
    return [float(word) for word in ran.said.split()]
