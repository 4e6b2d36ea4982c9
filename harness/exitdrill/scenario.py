"""What a user writes: the scenario, from ``scenario.toml`` or from Python, validated.

Nothing here calls, starts or loads anything; what passes `load` and `check` can be planned.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from exitdrill import builtin, tomlfile
from exitdrill.backend import Backend, BackendConfig
from exitdrill.errors import ScenarioError
from exitdrill.gitref import ref_problem
from exitdrill.workload import CaseList

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
VARIABLE = re.compile(r"^[A-Z_][A-Z0-9_]*$")
ONE_LINE = r"^[^\x00-\x1f\x7f]+$"
SECRET = re.compile(r"^(AKIA|ASIA)[A-Z0-9]{12,}$|^[A-Z0-9]{24,}$")
Name = Annotated[str, Field(pattern=NAME)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Utilisation = Annotated[float, Field(gt=0, le=1)]
Repeats = Annotated[int, Field(ge=2, le=20)]
USUAL_UTILISATION = (0.3, 0.8)
"""The share of a month in which a server of one's own has work to do: from poor to good."""
CURRENCY = 'three capitals, as in "EUR"'
USUAL_BAND = 0.25
"""By which share a price may be off."""


class Model(BaseModel):
    """Strict: an unknown key is an error, a value is not mutated."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # it may be a key that somebody put in the wrong place
    )


class PriceSpec(Model):
    """What a backend costs: per million tokens, or per hour over the measured throughput.

    For the volume from which one is cheaper than the other: ``band`` is the share by which the
    price may be off, ``utilisation`` (per hour only) says what share of a month a server works,
    at the least and at the most.
    """

    currency: str = Field(pattern="^[A-Z]{3}$", description=CURRENCY)
    input_per_million: Price | None = None
    output_per_million: Price | None = None
    cached_per_million: Price | None = None
    per_hour: Price | None = None
    band: float = Field(default=USUAL_BAND, ge=0, lt=1)
    utilisation: tuple[Utilisation, Utilisation] | None = Field(
        default=None, description="two shares from 0 to 1, the lower one first, as in [0.3, 0.8]"
    )
    date: date
    source: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("per_hour") is not None:
            return {"utilisation": USUAL_UTILISATION} | given
        return given

    @model_validator(mode="after")
    def _one_way(self) -> PriceSpec:
        per_token = (self.input_per_million, self.output_per_million)
        if self.per_hour is None and None in per_token:
            raise ValueError("needs input_per_million and output_per_million, or per_hour")
        if self.per_hour is not None and any(price is not None for price in per_token):
            raise ValueError("is either per million tokens or per_hour, not both")
        if self.per_hour is None and self.utilisation is not None:
            raise ValueError("utilisation is that of a server by the hour: it needs per_hour")
        if self.utilisation is not None and self.utilisation[0] > self.utilisation[1]:
            raise ValueError("utilisation goes from the lower share to the higher one")
        return self


class ServerSpec(Model):
    """A server command that the drill starts, awaits and stops.

    ``{host}``, ``{port}``, ``{python}`` are filled into the command, ``{models}`` into ``cwd``.
    """

    command: list[str] = Field(min_length=1)
    ready: str = Field(default="/health", pattern="^/")
    base: str = Field(default="/v1", pattern="^(/.*)?$")
    startup_seconds: PositiveFloat = 120
    environment: dict[str, str] = {}
    cwd: str | None = None


class TimeoutSpec(Model):
    """Seconds: to connect, for a whole request, and between two events of a stream."""

    connect: PositiveFloat = 10
    request: PositiveFloat = 120
    gap: PositiveFloat = 60


class BackendSpec(Model):
    """A backend that the workload may run on. ``key_env`` is the *name* of a variable."""

    adapter: str | Callable[[BackendConfig], InstanceOf[Backend]]
    model: str = Field(min_length=1)
    endpoint: str | None = None
    key_env: str | None = None
    server: ServerSpec | None = None
    concurrency: PositiveInt = 8
    price: PriceSpec | None = None
    allow_edits: list[str] = ["rename"]
    repeats: Repeats | None = None
    timeouts: TimeoutSpec = TimeoutSpec()
    options: dict[str, Any] = {}

    @field_validator("key_env")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and (not VARIABLE.fullmatch(value) or SECRET.match(value)):
            raise ValueError(
                "must be the NAME of an environment variable (capitals, digits, _), not a key; "
                "if this was a real key, treat it as leaked"
            )
        return value

    @field_validator("allow_edits")
    @classmethod
    def _are_actions(cls, value: list[str]) -> list[str]:
        for rule in value:
            if not re.match(r"^(rename|transform|drop)(:/.*)?$", rule):
                raise ValueError(
                    'each is rename, transform or drop, or one of them with a path ("drop:/seed")'
                )
        return value

    @property
    def adapter_name(self) -> str:
        """The adapter's name, as the plan and the report show it."""
        if isinstance(self.adapter, str):
            return self.adapter
        name = getattr(self.adapter, "__qualname__", type(self.adapter).__qualname__)
        return f"{self.adapter.__module__}:{name}"


class WorkloadSpec(Model):
    """The files of the workload, and the checker of cases that name none."""

    requests: str = "requests.jsonl"
    meta: str | None = None
    checker: str | None = None


class CheckerSpec(Model):
    """A checker that cases may name: its type, and the settings of that type."""

    type: Literal["exact", "contains", "regex", "json_schema", "json_fields", "python"]
    strip: bool | None = None
    ignore_case: bool | None = None
    pattern: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    fields: list[str] | None = None
    fences: bool | None = None
    path: str | None = None
    function: str | None = None


class AppRunSpec(Model):
    """How the app is run on a case: by exactly one of ``command``, ``function`` and ``serve``.

    A ``command`` gets the case's input on its standard input, and its standard output is the
    answer. A ``function`` (``module.py:name``) gets it as its argument, in a process of its own by
    the app's own ``python``, and returns the answer. What ``serve`` starts gets it by POST to
    ``path``: one case at a time, or ``concurrency`` of them where the app passes the header
    ``X-Exitdrill-Trial`` on to its model calls (``header``); in any case no more at once than the
    backend's own ``concurrency``.

    What is served is up once it answers ``ready`` with a status of 2xx; without ``ready``, once it
    answers anything below 500.

    ``{python}`` is filled into commands, ``{host}`` and ``{port}`` where something is served, there
    into the ``environment`` too. Its values may also hold ``{incumbent.url}``, ``{incumbent.key}``
    and ``{incumbent.model}``, and the same of ``{candidate.…}``; what names the candidate is not
    set as long as there is none. ``test`` is the app's own test command.

    ``pass`` names variables of the drill's environment that the app gets as they are; their values
    are secrets: read when it runs, and never written.

    ``install`` makes what the app depends on, in the copy, after the swap and before the tests:
    nothing that was installed before is linked into the copy then.

    With ``connect`` the app may connect over TCP to the drill's gateways and to these ports only,
    wherever they are. That takes Landlock (Linux 6.7); where it cannot be had nothing is run.
    """

    command: list[str] | None = Field(default=None, min_length=1)
    function: str | None = Field(
        default=None,
        pattern=r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$",
        description='a file of the app\'s and a function in it, as in "main.py:answer"',
    )
    python: str = "{python}"
    serve: list[str] | None = Field(default=None, min_length=1)
    path: str = Field(default="/", pattern="^/")
    ready: str | None = Field(default=None, pattern="^/")
    startup_seconds: PositiveFloat = 60
    header: bool = False
    timeout_seconds: PositiveFloat = 120
    concurrency: PositiveInt = 1
    environment: dict[str, str] = {}
    pass_: list[str] = Field(default=[], alias="pass")
    connect: list[Annotated[int, Field(ge=1, le=65535)]] | None = None
    test: list[str] | None = Field(default=None, min_length=1)
    test_seconds: PositiveFloat = 600
    install: list[str] | None = Field(default=None, min_length=1)
    install_seconds: PositiveFloat = 600

    @field_validator("pass_")
    @classmethod
    def _are_names(cls, value: list[str]) -> list[str]:
        if not all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in value):
            raise ValueError("must be the NAMES of environment variables, without their values")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> AppRunSpec:
        if [self.command, self.function, self.serve].count(None) != 2:
            raise ValueError("needs exactly one of command, function and serve")
        if self.function is None and "python" in self.model_fields_set:
            raise ValueError("python goes with function only")
        served = {"path", "ready", "startup_seconds", "header"} & self.model_fields_set
        if self.serve is None and served:
            raise ValueError(f"{min(served)} goes with serve only")
        if self.install is None and "install_seconds" in self.model_fields_set:
            raise ValueError("install_seconds goes with install only")
        if self.serve is not None and "path" not in self.model_fields_set:
            raise ValueError("serve needs a path that the input is posted to")
        if self.serve is not None and self.concurrency > 1 and not self.header:
            raise ValueError(
                "an app that is served takes one case at a time, unless it passes the header "
                "X-Exitdrill-Trial on to its model calls (header = true)"
            )
        return self


class AppSpec(Model):
    """The app under drill; ``classes`` overrides how its files are classed for counting.

    With ``run`` the app itself is run on each case, instead of its recorded requests.
    """

    path: str = "app"
    classes: dict[str, list[str]] = {}
    run: AppRunSpec | None = None


class SwapSpec(Model):
    """What has to be changed in the app for a candidate. ``ref`` is a git ref of the repository
    that holds the app's folder."""

    ref: str | None = None
    overlay: str | None = None
    patch: str | None = None
    environment: dict[str, str] = {}

    @field_validator("ref")
    @classmethod
    def _is_a_ref(cls, value: str | None) -> str | None:
        if value is not None and (problem := ref_problem(value)):
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _changes_something(self) -> SwapSpec:
        if not (self.ref or self.overlay or self.patch or self.environment):
            raise ValueError("needs a ref, an overlay, a patch or an environment")
        return self


class GateSpec(Model):
    """A measure with a margin against the incumbent, or with a limit of its own."""

    measure: str
    name: str | None = Field(
        default=None, max_length=80, pattern=ONE_LINE, description="a line of text"
    )
    margin: NotNegative | None = None
    limit: NotNegative | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> GateSpec:
        if (self.margin is None) == (self.limit is None):
            raise ValueError("needs either a margin (against the incumbent) or a limit (absolute)")
        return self

    @property
    def title(self) -> str:
        """What the gate is called."""
        return self.name or self.measure


class BudgetSpec(Model):
    """The most that a drill may use; a backend outside this machine must have one."""

    requests: PositiveInt | None = None
    tokens: PositiveInt | None = None
    money: NotNegative | None = None
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$", description=CURRENCY)

    @model_validator(mode="after")
    def _bounds_something(self) -> BudgetSpec:
        if self.requests is None and self.tokens is None and self.money is None:
            raise ValueError("needs at least one of requests, tokens, money")
        if (self.money is None) != (self.currency is None):
            raise ValueError("money and currency go together")
        return self


class JudgeSpec(Model):
    """Who compares free texts: a backend that is neither incumbent nor candidate.

    ``labels`` is a file of pairs that a person has judged; ``max_tokens`` bounds what the judge may
    say, its reasoning included.
    """

    backend: Name
    labels: str | None = None
    max_tokens: int = Field(default=8, ge=1, le=100_000)


class EmbeddingSpec(Model):
    """A model that says how near two texts are in meaning: its folder, in the scenario's, or in
    ``{models}``; its weights as safetensors."""

    model: str = Field(min_length=1)


class ReplaySpec(Model):
    """How the workload is replayed.

    ``repeats``: how often each case is asked of each backend, where that does not say it itself; by
    default 3 times where the answers are drawn at random, else twice.
    """

    repeats: Repeats | None = None
    block: PositiveInt | None = None
    seed: int = 0
    warmup: int = Field(default=1, ge=0, le=100)
    arrivals: Literal["closed", "open"] = "closed"
    attempts: int = Field(default=4, ge=1, le=10)
    breaker: PositiveInt = 8


class Scenario(Model):
    """A workload, the backends it may run on, the app, the swap, the gates.

    ``alpha`` is the error that a verdict may have, ``power`` the chance with which a candidate that
    is as good shall be found ready; ``discordance`` the share of cases that are expected to be
    right on one side only (it says how many cases are needed, and decides nothing); ``clusters``
    which cases are no independent ones: those of a session, the same request, or those with the
    same tag that begins so (``tag:template`` for ``template:refund``).

    ``root`` is the folder that paths are relative to, and that they may not leave; ``source`` the
    file that the scenario was read from.
    """

    name: Name
    title: str = ""
    incumbent: Name
    candidates: list[Name] = Field(min_length=1)
    backends: dict[Name, BackendSpec]
    workload: WorkloadSpec | InstanceOf[CaseList] = WorkloadSpec()
    checkers: dict[Name, CheckerSpec | Callable[..., bool]] = {}
    app: AppSpec | None = None
    swap: dict[Name, SwapSpec] = {}
    gates: list[GateSpec] = []
    alpha: float = Field(
        default=0.05, ge=1e-6, lt=0.5, description="a share below 0.5, as in 0.05 for 5 %"
    )
    power: float = Field(
        default=0.8, ge=0.5, lt=1, description="a share from 0.5 to below 1, as in 0.8 for 80 %"
    )
    discordance: float = Field(
        default=0.1, gt=0, le=1, description="a share up to 1, as in 0.1 for 10 %"
    )
    clusters: str | None = Field(
        default=None,
        pattern=r"^(session|request|tag:.{1,64})$",
        description='"session", "request", or "tag:" with what the tags begin with',
    )
    judge: JudgeSpec | None = Field(
        default=None, description='a table: [judge], with backend = "the name of one"'
    )
    embedding: EmbeddingSpec | None = None
    budget: BudgetSpec | None = None
    replay: ReplaySpec = ReplaySpec()
    root: Path = Field(default=Path(), exclude=True)
    source: Path | None = Field(default=None, exclude=True)

    @property
    def arms(self) -> list[str]:
        """The names of the backends in the drill, the incumbent first."""
        return [self.incumbent, *self.candidates]

    @property
    def app_run(self) -> AppRunSpec | None:
        """How the app is run; None where its recorded requests are replayed."""
        return None if self.app is None else self.app.run

    def concurrency(self, arm: str) -> int:
        """How many cases an arm is asked at once: no more than its backend takes, nor its app."""
        backend = self.backends[arm].concurrency
        return min(backend, self.app_run.concurrency) if self.app_run else backend

    @property
    def called(self) -> list[str]:
        """The names of the backends that a drill calls: its arms, and the judge."""
        return self.arms if self.judge is None else [*self.arms, self.judge.backend]


def load(folder: Path | str) -> Scenario:
    """The scenario in a folder, or the built-in one of that name.

    Raises `ScenarioError`.
    """
    path = Path(folder)
    known = builtin.scenarios()
    # os.path: unlike pathlib's, it says of a name that is too long that it is not there.
    if not os.path.exists(path) and str(folder) in known:
        path = known[str(folder)]
    if not os.path.exists(path):
        names = ", ".join(known) or "none"
        raise ScenarioError(
            f"no such folder, and no built-in scenario of that name ({names})", path=path
        )
    file = path / builtin.FILE if path.is_dir() else path
    text, content = tomlfile.read_toml(file)
    for key in ("root", "source"):
        if key in content:
            raise ScenarioError(
                tomlfile.unknown_key(key, tomlfile.keys_of(Scenario)),
                path=file,
                line=tomlfile.line_of(text, [key]),
                key=key,
            )
    root = file.resolve().parent
    content.setdefault("name", _name_of(root))
    scenario = tomlfile.validate(Scenario, content, file, text)
    return scenario.model_copy(update={"root": root, "source": file})


def _name_of(folder: Path) -> str:
    letters = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", folder.name))
    return re.sub(r"[^A-Za-z0-9_-]", "-", letters).strip("-_")[:64] or "drill"
