"""What to measure: the experiment, its configurations and its settings, in Python or in a TOML file.

Values that refuse unknown keys and name the nearest. Nothing is decided here about servers or agents beyond their
settings, and nothing is started: `plan` turns an experiment into work.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from punie_trace.engine.settings import (
    AgentChoice,
    AgentSettings,
    FleetSettings,
    LoadSettings,
    Objectives,
    Settings,
    explain,
    table,
)
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.records import Path as AskPath
from punie_trace.records import ToolMode

PATHS: tuple[str, ...] = get_args(AskPath)
TOOL_MODES: tuple[str, ...] = get_args(ToolMode)
TABLES = ("agent", "fleet", "load", "objectives", "server")
"""Tables of a configuration file whose keys can be given one by one over those of the file."""


def _agent_of_one(value: object) -> object:
    """The agent of one configuration: limits are the experiment's."""
    if value is None or isinstance(value, AgentChoice):
        return value
    if isinstance(value, Mapping):
        return AgentChoice(**{str(key): item for key, item in value.items()})
    return AgentChoice(instance=value)


class Configuration(BaseModel):
    """One way of serving and asking, by name: `Configuration("fast", kind="punie", speculation="adaptive")`.

    `path` is how it is asked, `agent` by whose agent (an object, or a table with `import`, `deps` or `program`), and
    `tools` whether its model calls tools one by one or by code; the experiment's own if None. All other keywords are
    settings of its server, over those of `Experiment.server`: which there are depends on the server's kind, and they
    are checked when the plan is made.
    """

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    name: str = Field(min_length=1)
    path: AskPath | None = None
    agent: Annotated[Any, BeforeValidator(_agent_of_one)] = None
    tools: ToolMode | None = None

    def __init__(
        self,
        name: str,
        *,
        path: AskPath | None = None,
        agent: Any = None,
        tools: ToolMode | None = None,
        **server: Any,
    ) -> None:
        for key, value, known in (("path", path, PATHS), ("tools", tools, TOOL_MODES)):
            if value is not None and value not in known:
                raise ConfigurationError(
                    f"configuration {name!r}: there is no {key} {value!r}; {nearest(str(value), known)}"
                )
        try:
            super().__init__(name=name, path=path, agent=agent, tools=tools, **server)
        except ValidationError as error:
            raise ConfigurationError(f"configuration {name!r}: {explain(error, type(self))}") from error

    @property
    def server(self) -> dict[str, Any]:
        """The settings of its server, as they were given."""
        return dict(self.model_extra or {})


def _configurations(value: object) -> tuple[Configuration, ...]:
    """Configurations from a mapping of names to settings, or from a sequence of them. Names must differ."""
    if isinstance(value, Mapping):
        parsed = []
        for name, own in value.items():
            if isinstance(own, Configuration):
                raise ValueError("give a list of configurations, or a mapping of names to settings")
            if not isinstance(own, Mapping):
                raise ValueError(f"{name}: a configuration is a table of settings, not {own!r}")
            parsed.append(Configuration(str(name), **{str(key): item for key, item in own.items() if key != "name"}))
        return tuple(parsed)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError("give a list of configurations, or a mapping of names to settings")
    listed = tuple(value)
    for one in listed:
        if not isinstance(one, Configuration):
            raise ValueError(f"{one!r} is no Configuration")
    names = [one.name for one in listed]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two configurations are called {name!r}")
    return listed


def _agent(value: object) -> object:
    """An agent that was given as an object becomes the setting that names it."""
    if isinstance(value, (AgentChoice, Mapping)):
        return value
    if value is None or isinstance(value, (str, int, float, bool)):
        raise ValueError('give an agent, or a table of settings, such as import = "package.module:name"')
    return AgentSettings(instance=value)


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class Experiment(Settings):
    """What is asked, of whom, how often. Everything has a default: `Experiment()` is the default run.

    Raises `ConfigurationError` for what cannot be, with the nearest name where one is unknown. A suite, a workspace or
    a model that is not there is found when the experiment is measured, before anything is started.
    """

    suite: str | Path = Field(
        default="discrimination",
        description="a shipped suite's name, fresh:60, both as discrimination+fresh:12, or a pydantic-evals file; if "
        "nothing else says what is asked of whom, discrimination+fresh:12",
    )
    workspace: Annotated[
        Path | str | None, Field(description="the folder that the tools read; the sample if absent")
    ] = None
    allow_secrets: bool = Field(
        default=False,
        description="let the tools read what may hold secrets (.env, .git, private keys): it then stands in the run",
    )
    evaluators: Annotated[Sequence[str], BeforeValidator(_one_or_more)] = Field(
        default=(), description="evaluators of your own that the suite names: 'module:Class', 'file.py:Class', 'module'"
    )
    evaluator_timeout_s: float = Field(default=120.0, gt=0, description="the longest that one evaluator may take")
    quick: bool = Field(
        default=False,
        description="two configurations, 5 questions, and 1 round if rounds is absent",
    )
    rounds: int = Field(
        default=3, ge=1, description="with until: the fewest; 1 if nothing else says what is asked of whom"
    )
    until: Literal["decided"] | None = Field(
        default=None, description="go on until every comparison with the baseline is decided, or the budget is spent"
    )
    max_rounds: int = Field(default=30, ge=1, le=10_000, description="with until: the budget of rounds")
    max_minutes: float | None = Field(default=None, gt=0, description="with until: a budget of time as well")
    repeat_contaminated: bool = Field(default=False, description="ask a round again that something else disturbed")
    warm_up: int = Field(default=1, ge=0, description="queries asked first in each configuration and not counted")
    concurrency: int = Field(default=1, ge=1, le=1024)
    seed: int = Field(default=0, ge=0)
    path: AskPath = "agent"
    together: bool | None = Field(
        default=None,
        description="keep all servers up at once, so that all configurations interleave; if absent, if memory allows",
    )
    ready_timeout_s: float = Field(default=600.0, gt=0, description="the longest that a server may take to get ready")
    stop_timeout_s: float = Field(default=10.0, gt=0, description="how long a server may take to end when told to")
    gates: Annotated[Sequence[str], BeforeValidator(_one_or_more)] = Field(
        default=(), description="what must hold at the end, else the exit code is 1"
    )
    only: Annotated[Sequence[str], BeforeValidator(_one_or_more)] = Field(
        default=(), description="the configurations to measure; if absent, all"
    )
    agent: Annotated[Any, BeforeValidator(_agent), table("agent", AgentSettings)] = Field(
        default=AgentSettings(), description="an agent of your own, as an object; or its settings, and limits"
    )
    load: Annotated[LoadSettings, table("load", LoadSettings)] = LoadSettings()
    fleet: Annotated[FleetSettings, table("fleet", FleetSettings)] = FleetSettings()
    objectives: Annotated[Objectives, table("objectives", Objectives)] = Objectives()
    server: dict[str, Any] = Field(default_factory=dict, description="settings that all configurations share")
    configurations: Annotated[
        Sequence[Configuration] | Mapping[str, Mapping[str, Any]], PlainValidator(_configurations)
    ] = Field(
        default=(),
        exclude=True,  # the run's header has them as they were resolved
        description="ways of serving and asking, by name; if absent, those that the model allows",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_round(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("quick") is True and values.get("rounds") is None:
            return {**values, "rounds": 1}
        return values

    @model_validator(mode="after")
    def _quick(self) -> Self:
        if self.quick and (self.until is not None or self.load != LoadSettings()):
            raise ValueError("a quick look is one round of a few questions: leave out quick, or until and the load")
        if self.quick and self.server.get("memory") == "server" and self.rounds == 1:
            raise ValueError("a quick look asks nothing twice, so it shows nothing of memory: leave out one of the two")
        return self

    @model_validator(mode="after")
    def _budget(self) -> Self:
        if self.until is None and (self.max_minutes is not None or "max_rounds" in self.model_fields_set):
            raise ValueError("max_rounds and max_minutes are a budget for until = 'decided', which is not set")
        if self.until is not None and self.max_rounds < self.rounds:
            raise ValueError(f"max_rounds is {self.max_rounds}, and at least {self.rounds} rounds are asked (rounds)")
        return self

    @classmethod
    def from_file(cls, file: Path | str, **settings: Any) -> Self:
        """The experiment that a TOML file describes, with `settings` over it; tables are merged key by key.

        Raises `ConfigurationError` naming the file, the key and what is wrong with it.
        """
        return cls.merged(Path(file), settings)

    @classmethod
    def merged(cls, file: Path | None, settings: Mapping[str, Any]) -> Self:
        """As `from_file`; without a file all is at its default. None among `settings` means that it was not given."""
        values = _read_toml(file) if file is not None else {}
        for key, value in settings.items():
            if key in TABLES and isinstance(value, Mapping) and isinstance(values.get(key, {}), dict):
                given = {name: item for name, item in value.items() if item is not None}
                if given:
                    values[key] = {**values.get(key, {}), **given}
            elif value is not None:
                values[key] = value
        try:
            return cls(**values)
        except ConfigurationError as error:
            source = str(file) if file is not None else "the settings"
            raise ConfigurationError(f"in {source}: {error}") from error

    @property
    def agent_settings(self) -> AgentSettings:
        """`agent` as settings, whatever it was given as."""
        return self.agent

    @property
    def named(self) -> tuple[Configuration, ...]:
        """The configurations that were given, in order; empty where the model decides."""
        return _configurations(self.configurations)

    @property
    def computes_here(self) -> bool:
        """Whether a model is to run in this process: the path `inprocess`."""
        return "inprocess" in (self.path, *(one.path for one in self.named))


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigurationError(f"there is no configuration file {str(file)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the configuration file {str(file)!r}: {error}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from error
