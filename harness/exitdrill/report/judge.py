"""What the judge said, in plain sentences; nothing about markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exitdrill.report.units import quantity
from exitdrill.sentences import count_of

NO_LABELS = (
    "No labels were given, so whether the judge judges as you would is not known: read its "
    "preferences as those of another model."
)
LABELS_NOT_ASKED = (
    "The labels were not asked, so whether the judge judges as you would is not known."
)


def sentences(data: Mapping[str, Any]) -> list[str] | None:
    """What the report says of its judge; None where the drill had none."""
    judge = data.get("judge")
    return None if judge is None else list(_sentences(judge, data["incumbent"]["name"]))


def _sentences(judge: Mapping[str, Any], incumbent: str) -> Iterator[str]:
    if judge["reason"] is not None:
        yield f"What {judge['name']} prefers is not measured: {judge['reason']}."
    if judge["status"] == "complete":
        yield (
            f"{judge['name']} (model {judge['description']['model']}) compared free texts: the "
            f"first answer of {incumbent} to each case with that of each candidate, in both orders."
        )
        for each in judge["candidates"]:
            yield from _candidate(each, incumbent)
        yield _itself(judge["incumbent"])
    if judge.get("failed_calls"):
        failed, calls = judge["failed_calls"], judge["calls"]
        yield (
            f"Of its {count_of(calls, 'call')} {failed:,} failed, the first with "
            f"{judge['first_error']}; a pair is not judged where a call failed."
        )
    yield _labels(judge)


def _candidate(counts: Mapping[str, Any], incumbent: str) -> Iterator[str]:
    total = sum(counts[key] for key in ("wins", "ties", "losses", "inconsistent", "unreadable"))
    name = counts["name"]
    if not total:
        yield f"{name}: no case was answered in free text by both."
        return
    yield (
        f"{name}: preferred to {incumbent} in {counts['wins']:,} of {count_of(total, 'pair')}, "
        f"{incumbent} preferred to it in {counts['losses']:,}, ties {counts['ties']:,}; in "
        f"{counts['inconsistent']:,} the two orders did not agree (counted as ties), and "
        f"{counts['unreadable']:,} could not be read (not measured)."
    )
    unasked = []
    if counts["same"]:
        unasked.append(f"{counts['same']:,} were the same text (ties)")
    if counts["failed"]:
        unasked.append(f"{counts['failed']:,} had an error in its place (lost)")
    if unasked:
        yield f"{name}: the judge was not asked about pairs of which {' and '.join(unasked)}."


def _itself(counts: Mapping[str, Any]) -> str:
    total = sum(counts[key] for key in ("wins", "ties", "losses", "inconsistent"))
    name = counts["name"]
    if not total:
        return f"{name} against itself was not judged, so the judge's own noise is not known."
    preferred = counts["wins"] + counts["losses"]
    return (
        f"{name} against itself: one of two of its own answers was preferred in {preferred:,} of "
        f"{count_of(total, 'pair')}."
    )


def _labels(judge: Mapping[str, Any]) -> str:
    found = judge["labels"]
    if found is None:
        return LABELS_NOT_ASKED if judge.get("labels_given") else NO_LABELS
    share = quantity("share", [found["agreement"]])
    kappa = "not known" if found["kappa"] is None else f"{found['kappa']:.2f}"
    said = (
        f"Of {count_of(found['n'], 'labelled pair')} it judged "
        f"{share.value(found['agreement'])} as they are labelled (95 % interval "
        f"{share.range(found['interval'])}; Cohen's kappa {kappa})."
    )
    if found.get("unreadable") == found["n"]:
        return (
            f"Not one of {count_of(found['n'], 'labelled pair')} could be read, so whether the "
            "judge judges as you would is not known."
        )
    if found["consistent_agreement"] is None:
        return f"{said} In none of them did its two orders agree."
    return (
        f"{said} Of the {found['consistent_n']:,} in which its two orders agreed, "
        f"{share.value(found['consistent_agreement'])}."
    )
