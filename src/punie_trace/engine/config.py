"""What a run is asked to do: a TOML file and flags, read into models that refuse unknown keys and name the nearest.

This module decides nothing about servers or agents beyond their settings; `plan` turns the result into work.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from punie_trace.errors import ConfigurationError, nearest
from punie_trace.records import Path as AskPath

PATHS: tuple[str, ...] = get_args(AskPath)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentConfig(_Strict):
    """Limits of the agent. Times in seconds, lengths in characters and tokens."""

    query_timeout_s: float = Field(default=300.0, gt=0, description="the longest that one query may take")
    max_tokens: int = Field(default=1024, ge=1, description="the most tokens that one generation may have")
    max_requests: int = Field(default=8, ge=1, description="the most generations that one query may have")
    tool_output_chars: int = Field(default=8000, ge=200, description="the longest result that a tool gives the model")


class LoadConfig(_Strict):
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


class Objectives(_Strict):
    """What a query must meet to count as good, besides being right. Times in seconds; absent: nothing is asked."""

    wall_s: float | None = Field(default=None, gt=0, description="the longest from due to done")
    ttft_s: float | None = Field(default=None, gt=0, description="the longest from request to first output, if seen")


class RunConfig(_Strict):
    """The whole of a configuration file. Everything has a default: an empty file is the default run."""

    suite: str = Field(default="discrimination", description="a shipped suite's name, or a pydantic-evals file")
    workspace: Path | None = Field(default=None, description="the folder that the tools read; the sample if absent")
    rounds: int = Field(default=3, ge=1, description="with until: the fewest")
    until: Literal["decided"] | None = Field(
        default=None, description="go on until every comparison with the baseline is decided, or the budget is spent"
    )
    max_rounds: int = Field(default=30, ge=1, le=10_000, description="with until: the budget of rounds")
    max_minutes: float | None = Field(default=None, gt=0, description="with until: a budget of time as well")
    repeat_contaminated: bool = Field(default=False, description="ask a round again that something else disturbed")
    warm_up: int = Field(default=1, ge=0, description="queries asked first in each configuration and not counted")
    concurrency: int = Field(default=1, ge=1, le=1024)
    seed: int = Field(default=0, ge=0)
    path: Literal["agent", "http", "inprocess"] = "agent"
    together: bool | None = Field(
        default=None,
        description="keep all servers up at once, so that all configurations interleave; if absent, if memory allows",
    )
    ready_timeout_s: float = Field(default=600.0, gt=0, description="the longest that a server may take to get ready")
    stop_timeout_s: float = Field(default=10.0, gt=0, description="how long a server may take to end when told to")
    gates: tuple[str, ...] = Field(default=(), description="what must hold at the end, else the exit code is 1")
    agent: AgentConfig = AgentConfig()
    load: LoadConfig = LoadConfig()
    objectives: Objectives = Objectives()
    server: dict[str, Any] = Field(default_factory=dict, description="settings that all configurations share")
    configurations: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _budget(self) -> Self:
        if self.until is None and (self.max_minutes is not None or "max_rounds" in self.model_fields_set):
            raise ValueError("max_rounds and max_minutes are a budget for until = 'decided', which is not set")
        if self.until is not None and self.max_rounds < self.rounds:
            raise ValueError(f"max_rounds is {self.max_rounds}, and at least {self.rounds} rounds are asked (rounds)")
        return self


def read_config(
    file: Path | None,
    overrides: Mapping[str, object],
    *,
    agent: Mapping[str, object] | None = None,
    load: Mapping[str, object] | None = None,
    server: Mapping[str, object] | None = None,
) -> RunConfig:
    """The configuration in `file` (all defaults if None) with flags on top: for the whole, agent, load and server.

    A None among the flags means that it was not given.

    Raises `ConfigurationError` naming the file, the key and what is wrong with it.
    """
    data: dict[str, Any] = {}
    source = "the flags"
    if file is not None:
        source = str(file)
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(f"there is no configuration file {source!r}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read the configuration file {source!r}: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{source} is not valid TOML: {error}") from error
    data.update(_given(overrides))
    for table, given in (("agent", agent), ("load", load), ("server", server)):
        flags = _given(given or {})
        if flags and isinstance(data.get(table, {}), dict):
            data[table] = {**data.get(table, {}), **flags}
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, source, RunConfig)) from error


def ask_path(name: str, own: Mapping[str, Any], default: AskPath) -> AskPath:
    """The path of configuration `name`, which its own settings may change."""
    path = own.get("path", default)
    if path not in PATHS:
        raise ConfigurationError(f"configuration {name!r}: there is no path {path!r}; {nearest(str(path), PATHS)}")
    return path


def _given(flags: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in flags.items() if value is not None}


def _explain(error: ValidationError, source: str, model: type[BaseModel]) -> str:
    """Each thing that is wrong on a line of its own: where, what, and the nearest key for an unknown one."""
    lines: list[str] = []
    for problem in error.errors(include_url=False):
        location = [str(part) for part in problem["loc"]]
        where = ".".join(location)
        if problem["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key; {nearest(location[-1], _keys(model, location[:-1]))}")
        else:
            lines.append(f"{where}: {problem['msg']}" if where else problem["msg"].removeprefix("Value error, "))
    return f"in {source}: " + "; ".join(lines)


def _keys(model: type[BaseModel], outer: list[str]) -> list[str]:
    for part in outer:
        field = model.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return list(model.model_fields)
