"""What there is to be judged, and what a judge said of it; read from the journal, nobody is called.

A pair is two answers in free text to one case: the first one of the incumbent, and the first one of
a candidate. Where a case has any such pair, the incumbent's first two answers are a pair as well,
so that it is known how far the judge tells apart what is the same (A/A).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from exitdrill.backend import Reply
from exitdrill.journal import Journal
from exitdrill.judge.question import LABELS, Outcome, Word, arm_of, combined, kappa, read
from exitdrill.measures.answers import answer_of
from exitdrill.records import Trial
from exitdrill.sentences import level
from exitdrill.stats import proportion_interval

Json = dict[str, Any]
Words = tuple[Word | None, ...]
CONFIDENCE = 0.95
LONGEST_ERROR = 300
"""Characters of an error that are repeated."""
MOST_INCONSISTENT = 0.5
"""The share of pairs in which a judge's two orders may contradict each other."""


@dataclass(frozen=True)
class Sides:
    """A pair: the texts of the incumbent's answer and of the other; None for an error in its
    place."""

    left: str
    right: str | None

    @property
    def settled(self) -> Outcome | None:
        """What is known of the pair without asking anybody."""
        if self.right is None:
            return "failed"
        return "same" if self.left.strip() == self.right.strip() else None


def pairs_of(trials: Sequence[Trial], incumbent: str) -> dict[str, Sides]:
    """The pairs of one case, by the arm that stands beside the incumbent's first answer.

    ``trials`` are those of the case; under the incumbent's own name stands its second answer. There
    are none where its first is no free text.
    """
    answers = {(each.arm, each.repeat): each for each in trials}
    left = _text(answers.get((incumbent, 0)))
    if not left:
        return {}
    candidates = [(arm, each) for (arm, repeat), each in answers.items() if repeat == 0]
    found = {arm: _sides(left, each) for arm, each in candidates if arm != incumbent}
    pairs = {arm: sides for arm, sides in found.items() if sides is not None}
    itself = _text(answers.get((incumbent, 1)))
    return pairs | {incumbent: Sides(left, itself)} if pairs and itself is not None else pairs


def is_text(trials: Sequence[Trial], incumbent: str) -> bool:
    """Whether the incumbent's first answer to a case is free text."""
    first = (each for each in trials if (each.arm, each.repeat) == (incumbent, 0))
    return bool(_text(next(first, None)))


def _sides(left: str, trial: Trial) -> Sides | None:
    """The pair with this trial's answer; None where that cannot be judged."""
    if trial.exchange.failure is not None:
        return Sides(left, None)
    text = _text(trial)
    return None if text is None else Sides(left, text)


def _text(trial: Trial | None) -> str | None:
    """The free text of an answer, white space aside; None where it is no such."""
    if trial is None or trial.exchange.failure is not None:
        return None
    reply: Reply = trial.exchange.reply
    if reply.tool_calls or reply.vectors or answer_of(reply.text).json is not None:
        return None
    return reply.text.strip()


@dataclass
class Judgements:
    """What a judge said: by arm and case, a word per order. `of_case` counts what comes of it.

    ``failures`` is how many of its ``calls`` failed, ``error`` the first of them. ``reason`` says
    why the judge counts for nothing; None where it judged all that it had to.
    """

    plan: Mapping[str, Any]
    words: Mapping[str, Mapping[int, Words]]
    known: Mapping[str, Any]
    labels: Sequence[Word]
    stopped: str | None
    calls: int = 0
    failures: int = 0
    error: str | None = None
    counts: dict[str, Counter[Outcome]] = field(default_factory=lambda: defaultdict(Counter))

    @classmethod
    def of(cls, journal: Journal, plan: Mapping[str, Any]) -> Judgements | None:
        """Those of a drill; None where it has no judge."""
        if plan.get("judge") is None:
            return None
        words: defaultdict[str, dict[int, Words]] = defaultdict(dict)
        calls, failed, error = 0, 0, None
        for trial in journal.judgements():
            failure = trial.exchange.failure
            calls, failed = calls + 1, failed + (failure is not None)
            if failure is not None and error is None:
                error = f"{failure.kind}: {failure.message}"[:LONGEST_ERROR]
            said = None if failure else read(trial.exchange.reply.text)
            before = words[trial.arm].get(trial.position, ())
            if len(before) == trial.repeat:  # else the order before is missing
                words[trial.arm][trial.position] = (*before, said)
        known, labels = journal.input("judge", {}), journal.input("judge_labels", [])
        return cls(plan, words, known, labels, journal.input("stopped"), calls, failed, error)

    @property
    def reason(self) -> str | None:
        """Why the judge counts for nothing."""
        if not self.known:
            return self.stopped or "the judge was not asked"
        reason: str | None = self.known["reason"]
        return reason or self._worthless

    @cached_property
    def _worthless(self) -> str | None:
        """Why nothing can be learnt from what it said."""
        arms = [self.words.get(arm_of(name), {}) for name in self.plan["candidates"]]
        said = [combined(words) for arm in arms for words in arm.values() if len(words) == 2]
        return self._unread(said) or self._fickle(said) or self._ignorant()

    def _unread(self, said: Sequence[Outcome]) -> str | None:
        """A judge of whom not one pair could be read."""
        if not said or any(outcome != "unreadable" for outcome in said):
            return None
        if self.failures:
            return (
                f"{self.failures:,} of the {self.calls:,} calls of the judge failed, the first "
                f"with {self.error}; not one pair was judged in both orders"
            )
        return (
            f"of {len(said):,} pairs not one could be read: the judge does not say FIRST, SECOND "
            "or TIE, as it is told to"
        )

    def _ignorant(self) -> str | None:
        """A judge who agrees with the labels no better than by chance, by Cohen's kappa."""
        found = self.agreement
        if found is None or found["kappa"] is None or found["kappa"] > 0:
            return None
        return f"{self.agreeing}: no better than chance"

    @property
    def agreeing(self) -> str | None:
        """How far it agrees with the labels, in few words; None where it was not asked."""
        found = self.agreement
        if found is None:
            return None
        kappa = "not known" if found["kappa"] is None else f"{found['kappa']:.2f}"
        share = level("share", found["agreement"])
        return f"the judge agrees with {share} of {found['n']:,} given labels (kappa {kappa})"

    @staticmethod
    def _fickle(said: Sequence[Outcome]) -> str | None:
        """A judge who mostly goes by the place of an answer: its ties would let anybody pass."""
        count = said.count("inconsistent")
        if count <= MOST_INCONSISTENT * len(said):
            return None
        return (
            f"the judge's two orders did not agree in {count:,} of {len(said):,} pairs: it goes by "
            "where an answer stands, not by what it says"
        )

    def of_case(self, trials: Sequence[Trial]) -> Mapping[tuple[str, int], Outcome]:
        """By arm and repeat: what comes of the pairs of one case. Nothing where the judge counts
        for nothing."""
        incumbent = self.plan["incumbent"]
        found: dict[tuple[str, int], Outcome] = {}
        for arm, sides in pairs_of(trials, incumbent).items():
            outcome = sides.settled or self._said(arm, trials[0].position)
            if outcome is not None:
                self.counts[arm][outcome] += 1
                found[arm, int(arm == incumbent)] = outcome
        if self.reason is not None:
            return {}
        # Where its answer could be judged, what was not judged of a candidate's is missed.
        return found | ({(incumbent, 0): "same"} if is_text(trials, incumbent) else {})

    def _said(self, arm: str, position: int) -> Outcome | None:
        words = self.words.get(arm_of(arm), {}).get(position, ())
        return combined(words) if len(words) == 2 else None

    def report(self) -> Json:
        """What report.json says of the judge, once every case was seen."""
        judge = self.plan["judge"]
        backend = judge["backend"]
        nothing = dict.fromkeys(("revision", "weights_sha256", "server", "endpoint_host"))
        planned = {"adapter": backend["adapter"], "model": backend["model"], **nothing}
        pairs = sum(self._asked(counts) for counts in self.counts.values())
        return {
            "name": judge["name"],
            "description": self.known.get("description")
            or {**planned, "sampling": {}, "details": {}},
            "status": self.known.get("status", "not_asked"),
            "reason": self.reason,
            "asked": pairs,
            "candidates": [self._counted(name) for name in self.plan["candidates"]],
            "incumbent": self._counted(self.plan["incumbent"]),
            "labels": self.agreement,
            "labels_given": judge["labels"],
            "calls": self.calls,
            "failed_calls": self.failures,
            "first_error": self.error,
        }

    def _counted(self, name: str) -> Json:
        """What came of an arm's pairs; ties hold those of the same text, losses those by error."""
        counts = self.counts[name]
        return {
            "name": name,
            "asked": self._asked(counts),
            "wins": counts["win"],
            "ties": counts["tie"] + counts["same"],
            "losses": counts["loss"] + counts["failed"],
            "inconsistent": counts["inconsistent"],
            "unreadable": counts["unreadable"],
            "same": counts["same"],
            "failed": counts["failed"],
        }

    @staticmethod
    def _asked(counts: Counter[Outcome]) -> int:
        return counts.total() - counts["same"] - counts["failed"]

    @cached_property
    def agreement(self) -> Json | None:
        """How far the judge agrees with a person, in the pairs that a person has judged.

        None where there are no labels, or not one was asked. An inconsistent judgement is a tie, as
        everywhere; an unreadable one agrees with nothing.
        """
        said = self.words.get(LABELS, {})
        pairs = [(label, _choice(said.get(n, ()))) for n, label in enumerate(self.labels)]
        asked = [(label, choice) for label, choice in pairs if choice is not None]
        if not asked:
            return None
        agreeing = sum(label == _word(choice) for label, choice in asked)
        consistent = [each for each in asked if each[1] not in ("inconsistent", "unreadable")]
        same = sum(label == choice for label, choice in consistent)
        readable = [(label, _word(choice)) for label, choice in asked if choice != "unreadable"]
        n = len(asked)
        return {
            "n": n,
            "agreement": agreeing / n,
            "interval": list(proportion_interval(agreeing, n, CONFIDENCE)),
            "consistent_n": len(consistent),
            "consistent_agreement": same / len(consistent) if consistent else None,
            "kappa": kappa(readable),
            "unreadable": n - len(readable),
        }


def _choice(words: Words) -> str | None:
    """Which of two labelled answers is preferred; None where that was not asked in both orders."""
    if len(words) < 2:
        return None
    outcome = combined(words)
    return {"win": "second", "loss": "first"}.get(outcome, outcome)


def _word(choice: str) -> str:
    return "tie" if choice == "inconsistent" else choice
