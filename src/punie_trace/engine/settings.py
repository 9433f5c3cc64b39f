"""The tables of an experiment: settings of the agent, of the load, and what a query must meet. Values, and no more.

All of them refuse unknown keys with the nearest known one, and raise `ConfigurationError` for what cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from punie_trace.agent.asker import AgentSource
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.records import ToolMode


class Settings(BaseModel):
    """Frozen settings whose unknown keys are errors of the package's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    if not TYPE_CHECKING:  # for a type checker the fields are the arguments

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise ConfigurationError(explain(error, type(self))) from error


class AgentChoice(Settings):
    """Whose agent asks: nothing for the built-in one, an object of yours, or a program."""

    import_path: str | None = Field(
        default=None,
        validation_alias=AliasChoices("import", "import_path"),
        serialization_alias="import",
        min_length=1,
        description="an agent, a factory of one, or a function that asks: 'package.module:name' or 'path/file.py:name'",
    )
    instance: Any = Field(default=None, exclude=True, description="the same as an object, in Python")
    deps: Any = Field(default=None, description="what makes the agent's dependencies: a name, or the callable itself")
    program: Sequence[str] = Field(default=(), description="a program's argv; {question} stands for the question")
    next_program: Sequence[str] = Field(
        default=(),
        validation_alias=AliasChoices("continue", "next_program"),
        serialization_alias="continue",
        description="the argv of a session's turns after the first, where the program goes on by itself",
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="set for the program; {base_url}, {model} and {api_key} are filled in"
    )

    files: dict[str, str] = Field(
        default_factory=dict,
        description="written for the program into a folder of each query's own, {files}; {base_url} and others are "
        "filled in",
    )
    answer: str | None = Field(
        default=None, description="the file that holds the program's answer; if absent, what it prints"
    )
    workspace: Literal["shared", "copy"] = Field(
        default="shared", description="copy: the program works in a copy of the workspace, a new one for each query"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        given = [
            name
            for name, value in (("import", self.import_path), ("instance", self.instance), ("program", self.program))
            if value
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} name two agents: give one of them")
        if not self.program:
            for name in ("next_program", "environment", "files", "answer", "workspace"):
                if name in self.model_fields_set:
                    name = type(self).model_fields[name].serialization_alias or name
                    raise ValueError(f"{name} is set for a program, and there is none: add program, or leave it out")
        if self.deps is not None and not (self.import_path or self.instance):
            raise ValueError("deps are those of an imported agent, and there is none: add import, or leave it out")
        return self

    @property
    def source(self) -> AgentSource:
        """The same as an asker takes it."""
        return AgentSource(
            reference=self.import_path,
            instance=self.instance,
            deps=self.deps,
            program=tuple(self.program),
            next_program=tuple(self.next_program),
            environment=self.environment,
            files=self.files,
            answer=self.answer,
            copies_workspace=self.workspace == "copy",
        )


class AgentSettings(AgentChoice):
    """Whose agent asks, and its limits. Times in seconds, lengths in characters and tokens."""

    tools: ToolMode = Field(
        default="calls",
        description="calls: the model calls tools one by one; code: it writes Python that calls them, which runs in a "
        "sandbox (punie-trace[code])",
    )
    query_timeout_s: float = Field(default=300.0, gt=0, description="the longest that one query may take")
    max_tokens: int = Field(default=1024, ge=1, description="the most tokens that one generation may have")
    max_requests: int = Field(default=8, ge=1, description="the most generations that one query may have")
    tool_output_chars: int = Field(default=8000, ge=200, description="the longest result that a tool gives the model")


class LoadSettings(Settings):
    """When queries are asked, and what ends it. Without any of it: the rounds, in a closed loop. Times in seconds."""

    rate: float | str | None = Field(
        default=None, description="queries a second, whether or not the server keeps up: 2, or 1..8, or 1,2,4"
    )
    arrivals: Literal["constant", "poisson", "gamma", "ramp", "steps", "replay"] | None = None
    burstiness: float | None = Field(default=None, description="shape of the gaps: 1 is Poisson, less is burstier")
    replay: Path | None = Field(default=None, description="arrivals to repeat: a run's folder, or a file of seconds")
    think_time_s: float = Field(default=0.0, description="between an answer and the worker's next query")
    duration_s: float | None = Field(default=None, description="how long queries are sent, for each configuration")
    queries: int | None = Field(default=None, ge=1, description="the most queries, for each configuration")
    sweep: str | None = Field(default=None, description="one load after another: concurrency=1,2,4 or rate=1,2,4")
    max_in_flight: int = Field(default=512, ge=1, le=16384, description="the most that a rate may have in flight")
    drop_after_s: float | None = Field(default=None, description="drop a query that could not be sent for so long")
    cool_down_s: float | None = Field(
        default=None,
        description="how long what is in flight when the time is over may go on; if absent, to its timeout",
    )
    max_error_ratio: float | None = Field(default=None, ge=0, lt=1, description="end where a larger share fails")
    stop_when_saturated: bool = Field(default=True, description="end where latency keeps growing at a steady rate")


class FleetSettings(Settings):
    """Several load generators, on this machine or on a Ray cluster. Without any of it this process asks by itself."""

    generators: int | None = Field(
        default=None, ge=1, le=4096, description="how many; if absent, one here, or one on each node of a cluster"
    )
    ray: str | None = Field(
        default=None,
        min_length=1,
        description="a Ray cluster: its address, host:port, or auto for the one of this host",
    )
    place: Literal["nodes", "here"] = Field(
        default="nodes", description="here: generators stay on this machine, and the cluster only has servers"
    )
    join_timeout_s: float = Field(
        default=120.0, gt=0, description="the longest that a generator may take to come up, and to get ready"
    )
    silence_timeout_s: float = Field(
        default=20.0, gt=0, description="a generator that gives no sign of life for so long is given up"
    )
    runtime_env: dict[str, Any] = Field(
        default_factory=dict, description="Ray's runtime_env: what your agent needs on the nodes, in Ray's own words"
    )

    @property
    def in_use(self) -> bool:
        """Whether generators of their own ask, and not this process."""
        return self.ray is not None or (self.generators or 1) > 1


class Objectives(Settings):
    """What a query must meet to count as good, besides being right. Times in seconds; absent: nothing is asked."""

    wall_s: float | None = Field(default=None, gt=0, description="the longest from due to done")
    ttft_s: float | None = Field(default=None, gt=0, description="the longest from request to first output, if seen")


def table(name: str, model: type[Settings]) -> BeforeValidator:
    """Reads a table of a file, so that what is wrong in it is named with its place."""

    def read(value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        try:
            return model(**value)
        except ConfigurationError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ConfigurationError(explain(error.__cause__, model, name)) from error.__cause__
            raise

    return BeforeValidator(read)


def explain(error: ValidationError, model: type[BaseModel], table: str = "") -> str:
    """Each thing that is wrong: where (below `table`), what, and the nearest key for an unknown one."""
    lines: list[str] = []
    for problem in error.errors(include_url=False):
        location = [*([table] if table else []), *(str(part) for part in problem["loc"])]
        where = ".".join(location)
        if problem["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key; {nearest(location[-1], _keys(model))}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {message}" if where else message)
    return "; ".join(lines)


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys of a table, as they are written."""
    return [field.serialization_alias or name for name, field in model.model_fields.items()]
