"""What a phrase book is; the three books (train, dev, workload) are data in modules of their own.

A phrase is text with alternatives in round brackets, `(a|b|)`, and slots in braces, `{name}`.
One phrase stands for all its expansions; `expand` lists them, so that two books can be compared
exhaustively instead of by sampling.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

TOPICS = ("billing", "delivery", "login", "refund", "defect", "cancellation")
PRIORITIES = ("low", "normal", "high")

_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")


@dataclass(frozen=True)
class Book:
    """The phrases of one language in one split.

    Frames carry slots: `intros` and `signoffs` {name}; `refs` {ref}; `both` {name} and {ref};
    `heads` {ref} and {problem}. Wordings carry meaning: `problems` by topic, `priorities` by level.
    `distractors` mention what must not be extracted: {person}, {amount}, {date}, {phone}, {order}.
    """

    greetings: tuple[str, ...]
    intros: tuple[str, ...]
    signoffs: tuple[str, ...]
    refs: tuple[str, ...]
    both: tuple[str, ...]
    heads: tuple[str, ...]
    distractors: tuple[str, ...]
    closings: tuple[str, ...]
    problems: dict[str, tuple[str, ...]]
    priorities: dict[str, tuple[str, ...]]

    def frames(self) -> tuple[str, ...]:
        """All phrases that carry slots or manners, unexpanded."""
        return (
            *self.greetings,
            *self.intros,
            *self.signoffs,
            *self.refs,
            *self.both,
            *self.heads,
            *self.distractors,
            *self.closings,
        )

    def wordings(self) -> tuple[str, ...]:
        """All phrases that carry a topic or a priority, unexpanded."""
        groups = (*self.problems.values(), *self.priorities.values())
        return tuple(itertools.chain.from_iterable(groups))


def split_choices(phrase: str) -> list[tuple[str, ...]]:
    """The phrase as a sequence of alternatives; fixed text is an alternative of one."""
    pieces = _CHOICE.split(phrase)
    # re.split puts the captured alternatives at the odd places
    return [tuple(p.split("|")) if i % 2 else (p,) for i, p in enumerate(pieces)]


def expand(phrase: str) -> list[str]:
    """Every text that the phrase stands for, slots left in place."""
    return ["".join(parts) for parts in itertools.product(*split_choices(phrase))]
