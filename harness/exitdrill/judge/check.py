"""Whether a scenario's judge may judge, and the labels that it is compared with.

Nothing is called; what is only known once a backend has started (the hash of its weights) is looked
at by `judge.asking`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exitdrill import builtin, strictjson, tomlfile
from exitdrill.backend import Backend
from exitdrill.errors import ScenarioError
from exitdrill.measures import BY_NAME
from exitdrill.scenario import BackendSpec, Scenario, ServerSpec

MEASURE = "judge_preference"
MOST_LABELS = 10_000
PORTS = {"http": 80, "https": 443}
LOOPBACK = "127.0.0.1"


class Label(BaseModel):
    """Two answers to a question, and which one a person finds better."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    question: str
    first: str = Field(min_length=1)
    second: str = Field(min_length=1)
    label: Literal["first", "second", "tie"]


@dataclass(frozen=True)
class Labels:
    """What a file of labels holds."""

    rows: tuple[Label, ...]
    sha256: str


def check_judge(scenario: Scenario) -> None:
    """Raises `ScenarioError` where the judge is one of those that it judges, or a gate would rest
    on it alone."""
    _check_gates(scenario)
    if scenario.judge is None:
        return
    name = scenario.judge.backend
    if name not in scenario.backends:
        hint = tomlfile.unknown_key(name, list(scenario.backends))
        message = hint.replace("unknown key", f"no backend {name!r}")
        raise ScenarioError(message, key="judge.backend")
    for arm in scenario.arms:
        same = "that is what it would judge" if arm == name else _likeness(scenario, name, arm)
        _refuse(scenario, arm, same)


def check_place(scenario: Scenario, backends: Mapping[str, Backend]) -> None:
    """Raises `ScenarioError` where the judge is at an arm's endpoint, whatever model it names.

    ``backends`` are those that the scenario calls, as they were made: each knows where it will
    call.
    """
    if scenario.judge is None:
        return
    name = scenario.judge.backend
    ours = _place(_endpoint(scenario, backends, name))
    for arm in scenario.arms:
        if ours is not None and ours == _place(_endpoint(scenario, backends, arm)):
            _refuse(
                scenario,
                arm,
                "it is at the same endpoint, where one model may answer under any name; "
                "a judge needs an endpoint of its own",
            )


def read_labels(path: Path) -> Labels:
    """The labels in a file of JSON lines. Raises `ScenarioError` with file and line."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}", path=path) from None
    rows = tuple(_rows(path, raw))
    if not rows:
        raise ScenarioError("is empty; leave the file out if there are no labels", path=path)
    return Labels(rows, hashlib.sha256(raw).hexdigest())


def _check_gates(scenario: Scenario) -> None:
    judged = [number for number, gate in enumerate(scenario.gates) if gate.measure == MEASURE]
    if not judged:
        return
    if not any(BY_NAME[gate.measure].content for gate in scenario.gates):
        raise ScenarioError(
            "a judge is a model with tastes of its own, and never the only gate on what the "
            "answers say: add one that no model judges, such as success, or same_content",
            key=f"gates[{judged[0]}].measure",
        )


def _refuse(scenario: Scenario, arm: str, why: str | None) -> None:
    """Raise `ScenarioError` where there is a reason why the judge may not judge an arm."""
    if why is None or scenario.judge is None:
        return
    role = "incumbent" if arm == scenario.incumbent else "candidate"
    message = f"{scenario.judge.backend!r} is no judge of the {role} {arm!r}: {why}"
    raise ScenarioError(message, key="judge.backend")


def _likeness(scenario: Scenario, judge: str, arm: str) -> str | None:
    """By what the judge is an arm under another name; None where nothing says so."""
    ours, theirs = scenario.backends[judge], scenario.backends[arm]
    if ours.model == theirs.model:
        return "it is the same model"
    places = [_folder(scenario, spec) for spec in (ours, theirs)]
    if places[0] is not None and places[0] == places[1]:
        return "it is the same folder of weights"
    if ours.server is not None and _started_by(ours.server) == _started_by(theirs.server):
        return "its server is started by the same command"
    return None


def _folder(scenario: Scenario, spec: BackendSpec) -> Path | None:
    """Where the model's weights lie, if its name is a path."""
    path = scenario.root / spec.model.replace("{models}", builtin.models())
    try:
        return path.resolve() if path.exists() else None
    except (OSError, ValueError):  # too long for a path, or no text for one
        return None


def _started_by(server: ServerSpec | None) -> tuple[Any, ...] | None:
    """What says which model a server serves."""
    return None if server is None else (server.command, server.cwd, server.environment)


def _endpoint(scenario: Scenario, backends: Mapping[str, Backend], name: str) -> str | None:
    """Where a backend will call; None where that is not known, or a server's port is not yet."""
    spec = scenario.backends[name]
    if spec.server is not None:
        return None  # each server gets a port of its own
    told = getattr(backends[name], "endpoint", None)
    return told if isinstance(told, str) else spec.endpoint


def _place(endpoint: str | None) -> tuple[str | None, int | None, str] | None:
    """Host, port and path of an endpoint, however it is written."""
    if endpoint is None:
        return None
    try:
        url = urlsplit(endpoint)
        port = url.port or PORTS.get(url.scheme)
    except ValueError:
        return endpoint, None, ""
    path = "/".join(part for part in url.path.split("/") if part)
    return _host(url.hostname or ""), port, path


def _host(name: str) -> str:
    """One name for this machine, and one for each other address. No name is looked up."""
    name = name.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return LOOPBACK
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(name))  # 127.1 is an address as well
        except (OSError, ValueError):
            return name
    address = getattr(address, "ipv4_mapped", None) or address
    return LOOPBACK if address.is_loopback or address.is_unspecified else str(address)


def _rows(path: Path, raw: bytes) -> Iterator[Label]:
    number = 0
    for line, text in enumerate(raw.split(b"\n"), start=1):
        if not text.strip():
            continue
        number += 1
        if number > MOST_LABELS:
            message = f"holds more than {MOST_LABELS:,} labels, each of them two calls"
            raise ScenarioError(message, path=path, line=line)
        yield _row(path, line, text)


def _row(path: Path, line: int, raw: bytes) -> Label:
    try:
        row = strictjson.loads(raw.decode())
    except UnicodeDecodeError:
        raise ScenarioError("is not UTF-8; convert it", path=path, line=line) from None
    except strictjson.StrictJSONError as error:
        raise ScenarioError(str(error), path=path, line=line) from None
    try:
        return Label.model_validate(row)
    except ValidationError as error:
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        place = [str(part)[:80] for part in first["loc"]]
        message = "each line must be a JSON object"
        if place:
            message = tomlfile.explain(Label, first["type"], first["msg"], place)
        key = tomlfile.dotted(place) or None
        raise ScenarioError(message, path=path, line=line, key=key) from None
