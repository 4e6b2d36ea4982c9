"""The recorded requests: read, validated, and handed on one case at a time.

``requests.jsonl`` is the OpenAI Batch input format; ``meta.jsonl`` adds what that cannot say,
joined on ``custom_id``. Both are untrusted data. Neither is held in memory: a workload of
100,000 cases costs its ids and a few offsets.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, BinaryIO, Protocol

from exitdrill import strictjson
from exitdrill.backend import Operation, Request
from exitdrill.errors import WorkloadError

NO_META = -1
OPERATIONS: Mapping[str, Operation] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completion",
    "/v1/embeddings": "embedding",
    "/app": "app",
}
REQUEST_KEYS = ("custom_id", "method", "url", "body")
META_KEYS = ("custom_id", "checker", "expected", "session", "turn", "arrival", "tags", "input")
OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")
MOST_TOKENS = 1_000_000_000
TAG = "tag:"
LATEST_ARRIVAL = 366 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded request, with what is expected of its answer.

    ``arrival`` is in seconds after the first case; ``checker`` names a checker that the scenario
    declares. ``expected`` is None where nothing is expected. ``input`` is what the app gets, where
    the app itself is run: any JSON but null; that of a request "app" by default. Raises
    `WorkloadError` where both say something else.
    """

    id: str
    request: Request
    checker: str | None = None
    expected: Any = None
    session: str | None = None
    turn: int | None = None
    arrival: float | None = None
    tags: tuple[str, ...] = ()
    input: Any = None

    def __post_init__(self) -> None:
        if self.request.operation == "app" and isinstance(self.request.body, Mapping):
            own = self.request.body.get("input")
            if self.input is not None and self.input != own:
                raise WorkloadError(
                    f"the case {_short(self.id)} has one input in its request to /app and another "
                    "one in its meta: leave that one out",
                    key="input",
                )
            object.__setattr__(self, "input", own)

    @property
    def run(self) -> Request:
        """What is asked where the app is run, instead of the recorded request."""
        return Request("app", {"input": self.input})

    def meta(self) -> dict[str, Any]:
        """What ``meta.jsonl`` says of the case, without what it leaves open."""
        known = {
            "checker": self.checker,
            "expected": self.expected,
            "session": self.session,
            "turn": self.turn,
            "arrival": self.arrival,
            "tags": list(self.tags) or None,
            "input": self.input if self.request.operation != "app" else None,
        }
        return {key: value for key, value in known.items() if value is not None}

    @classmethod
    def of(
        cls, case_id: str, operation: Operation, body: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> Case:
        """The case that `meta` came from."""
        return cls(
            id=case_id,
            request=Request(operation, body),
            checker=meta.get("checker"),
            expected=meta.get("expected"),
            session=meta.get("session"),
            turn=meta.get("turn"),
            arrival=meta.get("arrival"),
            tags=tuple(meta.get("tags") or ()),
            input=meta.get("input"),
        )


def fingerprint(request: Request) -> bytes:
    """The same for requests that ask the same."""
    same = strictjson.canonical([request.operation, dict(request.body)])
    return hashlib.sha256(same.encode()).digest()


def clusters_of(case: Case, by: str, *, runs_app: bool = False) -> list[str]:
    """The names of the clusters that a case is in; the first one counts, none: it is alone.

    Where the app is run its input is what is asked.
    """
    if by == "session":
        return [] if case.session is None else [case.session]
    if by == "request":
        return [fingerprint(case.run if runs_app else case.request).hex()]
    prefix = by.removeprefix(TAG) + ":"
    return [tag for tag in case.tags if tag.startswith(prefix)]


def cluster_of(case: Case, by: str, *, runs_app: bool = False) -> str | None:
    """The name of a case's cluster; None where it is alone."""
    return next(iter(clusters_of(case, by, runs_app=runs_app)), None)


class Workload(Protocol):
    """A source of cases that can be read any number of times."""

    @property
    def size(self) -> int:
        """How many cases there are."""

    @property
    def sha256(self) -> str:
        """The hash of everything that the cases say."""

    def __iter__(self) -> Iterator[Case]: ...


@dataclass(frozen=True)
class CaseList:
    """A workload written in Python.

    Raises `WorkloadError` where two cases have one id, or there is none.
    """

    cases: Sequence[Case]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cases", tuple(self.cases))  # it may be a generator
        if not self.cases:
            raise WorkloadError("the workload is empty: a drill needs at least one case")
        seen: set[str] = set()
        for case in self.cases:
            if case.id in seen:
                raise WorkloadError(f"two cases have the id {case.id!r}", key="id")
            seen.add(case.id)
            problem = body_problem(case.request.operation, case.request.body)
            if problem:
                raise WorkloadError(f"case {case.id!r}: {problem}", key="body")
            if not _is_plain(case):
                message = f"case {case.id!r} holds something that JSON cannot say, such as NaN"
                raise WorkloadError(message)

    @property
    def size(self) -> int:
        return len(self.cases)

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for case in self.cases:
            row = [case.id, case.request.operation, dict(case.request.body), case.meta()]
            digest.update(strictjson.canonical(row).encode() + b"\n")
        return digest.hexdigest()

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)


@dataclass(frozen=True)
class WorkloadFiles:
    """A workload in files, validated by `open_workload`."""

    requests: Path
    meta: Path | None
    size: int
    sha256: str
    default_checker: str | None = None
    _meta_offsets: Sequence[int] = field(default=(), repr=False)
    """Where the meta line of each request begins, in bytes; `NO_META` where it has none."""

    def __iter__(self) -> Iterator[Case]:
        if self.meta is None:
            yield from self._cases(lambda _: {})
            return
        with self.meta.open("rb") as file:
            yield from self._cases(lambda position: _meta_at(file, self._meta_offsets[position]))

    def _cases(self, meta_of: Callable[[int], Mapping[str, Any]]) -> Iterator[Case]:
        for position, (_, row) in enumerate(_rows(self.requests)):
            meta = dict(meta_of(position))
            if "expected" in meta and meta.get("checker") is None:
                meta["checker"] = self.default_checker
            yield Case.of(row["custom_id"], OPERATIONS[row["url"]], row["body"], meta)


def _meta_at(file: BinaryIO, offset: int) -> Mapping[str, Any]:
    if offset == NO_META:
        return {}
    file.seek(offset)
    row: Mapping[str, Any] = strictjson.loads(file.readline().decode())
    return row


def open_workload(
    requests: Path,
    meta: Path | None,
    checkers: Collection[str],
    default_checker: str | None = None,
) -> WorkloadFiles:
    """The workload in two files, every line of both validated.

    ``checkers`` are the names that a case may use. Raises `WorkloadError` with file, line and key
    for the first thing that is wrong.
    """
    ids: dict[str, int] = {}
    digest = hashlib.sha256()
    for line, row in _rows(requests, digest.update):
        _check_request(requests, line, row, ids)
        ids[row["custom_id"]] = len(ids)
    if not ids:
        raise WorkloadError("the workload is empty: it needs at least one request", path=requests)
    offsets: Sequence[int] = ()
    if meta is not None:
        digest.update(b"\0meta\0")
        offsets = _check_meta(meta, ids, checkers, default_checker, digest.update)
        if all(offset == NO_META for offset in offsets):
            raise WorkloadError("is empty; leave the file out if nothing is expected", path=meta)
    if default_checker is not None:
        digest.update(b"\0checker\0" + default_checker.encode())
    return WorkloadFiles(requests, meta, len(ids), digest.hexdigest(), default_checker, offsets)


def output_limit(body: Mapping[str, Any]) -> int | None:
    """The most tokens that an answer to this body may have, or None where it sets no limit."""
    limits = [body[key] for key in OUTPUT_LIMITS if isinstance(body.get(key), int)]
    return min(limits) if limits else None


def body_problem(operation: Operation, body: Any) -> str | None:
    """What keeps a body from being a request of this operation, or None."""
    if not isinstance(body, Mapping):
        return "body must be an object"
    if operation == "chat":
        return _chat_problem(body)
    if operation == "app":
        return None if _is_input(body) else 'body must be {"input": …}, and no input is null'
    key = "prompt" if operation == "completion" else "input"
    if not isinstance(body.get(key), str | list) or not body[key]:
        return f"body.{key} must be a text or a list"
    return _limit_problem(body)


def _is_input(body: Mapping[str, Any]) -> bool:
    return body.keys() == {"input"} and body["input"] is not None


def _chat_problem(body: Mapping[str, Any]) -> str | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "body is not a chat request: body.messages must be a list with at least one message"
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            return f"body.messages[{number}] must be an object with a role"
        if not isinstance(message.get("content"), str | list | None):
            return f"body.messages[{number}].content must be a text, a list of parts or null"
    return _limit_problem(body)


def _limit_problem(body: Mapping[str, Any]) -> str | None:
    for key in OUTPUT_LIMITS:
        value = body.get(key)
        if value is not None and not (_is_a(int, value) and 1 <= value <= MOST_TOKENS):
            return f"body.{key} must be a whole number from 1 to {MOST_TOKENS:,}"
    return None


def _is_a(kind: type | UnionType, value: object) -> bool:
    """As `isinstance`, except that true is not a number."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_plain(case: Case) -> bool:
    """Whether all of a case can be written as JSON, and read again."""
    row = [case.id, dict(case.request.body), case.meta()]
    try:
        strictjson.loads(json.dumps(row))
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _check_request(path: Path, line: int, row: Mapping[str, Any], ids: Collection[str]) -> None:
    def fail(key: str, message: str) -> WorkloadError:
        return WorkloadError(message, path=path, line=line, key=key)

    _check_keys(path, line, row, REQUEST_KEYS)
    for key in REQUEST_KEYS:
        if key not in row:
            raise fail(key, f"missing; a line is {{{', '.join(REQUEST_KEYS)}}}")
    _check_id(path, line, row)
    if row["custom_id"] in ids:
        raise fail("custom_id", f"{_short(row['custom_id'])} stands in an earlier line already")
    if row["method"] != "POST":
        raise fail("method", 'must be "POST"')
    url = row["url"]
    if not isinstance(url, str) or url not in OPERATIONS:
        raise fail("url", f"must be one of {', '.join(OPERATIONS)}")
    problem = body_problem(OPERATIONS[url], row["body"])
    if problem:
        raise fail("body", problem)


def _check_meta(
    path: Path,
    ids: Mapping[str, int],
    checkers: Collection[str],
    default_checker: str | None,
    feed: Callable[[bytes], None],
) -> Sequence[int]:
    offsets = array("q", [NO_META]) * len(ids)
    for line, row, offset in _rows_with_offsets(path, feed):
        _check_keys(path, line, row, META_KEYS)
        _check_id(path, line, row)
        case_id = row["custom_id"]
        problem = _meta_problem(row, ids, checkers, default_checker)
        if problem is None and offsets[ids[case_id]] != NO_META:
            problem = ("custom_id", f"{_short(case_id)} stands in an earlier line already")
        if problem:
            raise WorkloadError(problem[1], path=path, line=line, key=problem[0])
        offsets[ids[case_id]] = offset
    return offsets


def _meta_problem(
    row: Mapping[str, Any],
    ids: Collection[str],
    checkers: Collection[str],
    default_checker: str | None,
) -> tuple[str, str] | None:
    case_id = row["custom_id"]
    if case_id not in ids:
        return "custom_id", f"there is no request {_short(case_id)}{_nearest(case_id, ids)}"
    checker = row.get("checker")
    if checker is not None and (not isinstance(checker, str) or checker not in checkers):
        return (
            "checker",
            f"the scenario declares no checker {_short(checker)}{_nearest(checker, checkers)}",
        )
    if checker is None and default_checker is None and "expected" in row:
        return "checker", "missing: something is expected, but nothing says how to check it"
    for key, kind, what in (
        ("session", str, "a text"),
        ("turn", int, "a whole number"),
        ("arrival", int | float, "seconds"),
        ("tags", list, "a list of texts"),
    ):
        if row.get(key) is not None and not _is_a(kind, row[key]):
            return key, f"must be {what}"
    if "input" in row and row["input"] is None:
        return "input", "must not be null; leave it out where the app gets none"
    if not 0 <= (row.get("arrival") or 0) <= LATEST_ARRIVAL:
        return "arrival", "must be at least 0 seconds, and at most a year"
    if not all(isinstance(tag, str) for tag in row.get("tags") or ()):
        return "tags", "must be a list of texts"
    return None


def _check_keys(path: Path, line: int, row: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in row:
        if key not in known:
            message = f"unknown key{_nearest(key, known)}; known are {', '.join(known)}"
            raise WorkloadError(message, path=path, line=line, key=_short(key))


def _check_id(path: Path, line: int, row: Mapping[str, Any]) -> None:
    case_id = row.get("custom_id")
    if not isinstance(case_id, str) or not case_id:
        raise WorkloadError(
            "must be a text of at least one character", path=path, line=line, key="custom_id"
        )


def _nearest(word: object, known: Collection[str]) -> str:
    if len(known) > 5_000:  # a comparison with each would take seconds
        return ""
    matches = get_close_matches(str(word)[:200], known, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _rows(
    path: Path, feed: Callable[[bytes], None] | None = None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, row, _ in _rows_with_offsets(path, feed):
        yield line, row


def _rows_with_offsets(
    path: Path, feed: Callable[[bytes], None] | None = None
) -> Iterator[tuple[int, Mapping[str, Any], int]]:
    """Each object of a JSON Lines file, with its line (from 1) and its offset in bytes."""
    try:
        file = path.open("rb")
    except IsADirectoryError:
        raise WorkloadError(
            "is a directory; a file of JSON lines belongs here", path=path
        ) from None
    except OSError as error:
        raise WorkloadError(f"cannot be read: {error.strerror}", path=path) from None
    offset = 0
    with file:
        for line, raw in enumerate(file, start=1):
            if feed:
                feed(raw)
            if raw.strip():
                yield line, _row(path, line, raw), offset
            offset += len(raw)


def _row(path: Path, line: int, raw: bytes) -> Mapping[str, Any]:
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise WorkloadError(
            "begins with a byte order mark; save it as UTF-8 without BOM", path=path, line=line
        )
    try:
        row = strictjson.loads(raw.decode())
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 (byte {error.start + 1} of the line); convert the file to UTF-8"
        raise WorkloadError(message, path=path, line=line) from None
    except strictjson.StrictJSONError as error:
        raise WorkloadError(str(error), path=path, line=line) from None
    if not isinstance(row, dict):
        raise WorkloadError("each line must be a JSON object", path=path, line=line)
    return row
