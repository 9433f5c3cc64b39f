"""From an experiment to work: its configurations, which of them share a server process, what may run at once.

Pure but for looking at the sizes of model files and at free memory; nothing is started here. A plan is made once, and
all that a run does follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from punie_trace.agent.asker import AgentSource
from punie_trace.analysis.gates import Gate
from punie_trace.driver.limits import Limits
from punie_trace.driver.load import ONE_WORKER
from punie_trace.driver.schedule import Load
from punie_trace.engine.experiment import Configuration, Experiment
from punie_trace.engine.gates import choose_gates
from punie_trace.engine.loads import levels_of, limits_of, one_by_one
from punie_trace.engine.model_memory import fit_together
from punie_trace.engine.presets import Offer, offer
from punie_trace.engine.quick import two_of
from punie_trace.engine.settings import AgentSettings, LoadSettings
from punie_trace.engine.turn_limits import TurnLimits, turn_limits
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.records import JsonValue, ToolMode
from punie_trace.records import Path as AskPath
from punie_trace.servers.command import request_options, server_key
from punie_trace.servers.config import ServerConfig, node_of, server_config
from punie_trace.servers.forgetting import no_forgetting


@dataclass(frozen=True, slots=True)
class PlannedConfiguration:
    """One configuration with everything filled in that was left open, under one load."""

    name: str
    path: AskPath
    server: ServerConfig
    group: str
    """Configurations of one group are served by one process."""
    agent: AgentSource
    """Whose agent asks."""
    request: dict[str, JsonValue]
    """What is sent with each request, in the request's own words."""
    tools: ToolMode = "calls"
    load: Load = ONE_WORKER
    """What it is put under. A sweep makes one configuration of each level."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run will do. `batches` are the groups that are up at the same time, one batch after another."""

    experiment: Experiment
    configurations: tuple[PlannedConfiguration, ...]
    batches: tuple[tuple[str, ...], ...]
    turn_limits: TurnLimits
    """Those of the model that was configured; another one that answers has its own."""
    limits: Limits = field(default_factory=Limits)
    gates: tuple[Gate, ...] = ()
    """What is checked at the end: gates about configurations that are not measured are left out."""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Configurations that a quick look does not measure."""

    def stages(self, names: Iterable[str]) -> tuple[tuple[tuple[str, ...], Load], ...]:
        """What of `names` is measured at the same time, interleaved, and under which load; one stage after another.

        Under a rate or in a sweep each configuration is alone, and the order turns round from level to level: what the
        machine's drift gives to one it then takes from it.
        """
        measured = [c for c in self.configurations if c.name in set(names)]
        if not one_by_one(self.experiment):
            return ((tuple(c.name for c in measured), measured[0].load),) if measured else ()
        by_load: dict[Load, list[PlannedConfiguration]] = {}
        for configuration in measured:
            by_load.setdefault(configuration.load, []).append(configuration)
        turned = (group[:: -1 if number % 2 else 1] for number, group in enumerate(by_load.values()))
        return tuple(((c.name,), c.load) for group in turned for c in group)

    def of_group(self, group: str) -> tuple[PlannedConfiguration, ...]:
        """The configurations that `group` serves."""
        return tuple(c for c in self.configurations if c.group == group)


def make_plan(experiment: Experiment) -> Plan:
    """The plan for `experiment`. Raises `ConfigurationError` for settings that cannot be, or names that are not there.

    What is wrong with the servers of several configurations is said of all of them at once.
    """
    offered = offer(experiment)
    chosen = _chosen(experiment, offered)
    levels = levels_of(experiment)
    configurations = [
        replace(configuration, name=configuration.name + level.suffix, load=level.load)
        for level in levels
        for configuration in _resolve(experiment, offered, chosen)
    ]
    notes = list(offered.notes)
    by_group = {c.group: c.server for c in configurations}
    names = tuple(by_group)
    together = experiment.together if experiment.together is not None else fit_together(by_group.values())
    if not together and len(names) > 1:
        notes.append(
            "configurations of different servers were measured one after another, not interleaved "
            "(memory would not hold all servers at once, or together = false): drift of the machine can look like a "
            "difference"
        )
    batches = (names,) if together else tuple((name,) for name in names)
    _check_rounds(experiment, configurations, batches)
    gates, gates_left_out = choose_gates(
        experiment.gates,
        [c.name for c in configurations],
        [name + level.suffix for level in levels for name in _default_names(offered)],
    )
    return Plan(
        experiment,
        tuple(configurations),
        batches,
        turn_limits=turn_limits(experiment.agent_settings, shipped=offered.shipped_model),
        limits=limits_of(experiment),
        gates=gates,
        notes=(*notes, *gates_left_out),
        left_out=tuple(name for name in _default_names(offered) if name not in chosen and not experiment.only),
    )


def _default_names(offered: Offer) -> tuple[str, ...]:
    return tuple(name for name in offered.configurations if name not in offered.on_demand)


def _chosen(experiment: Experiment, offered: Offer) -> tuple[str, ...]:
    for name in experiment.only:
        if name not in offered.configurations:
            raise ConfigurationError(f"there is no configuration {name!r}; {nearest(name, offered.configurations)}")
    if experiment.only:
        return tuple(name for name in offered.configurations if name in experiment.only)
    names = _default_names(offered)
    return two_of(names, given=bool(experiment.named)) if experiment.quick else names


def _resolve(experiment: Experiment, offered: Offer, chosen: Sequence[str]) -> list[PlannedConfiguration]:
    named = {one.name: one for one in experiment.named}
    resolved: list[PlannedConfiguration] = []
    agent: AgentSettings = experiment.agent_settings
    wrong: list[str] = []
    groups: dict[str, str] = {}
    for name in chosen:
        try:
            path, source = _asker(experiment, named.get(name))
            server = server_config({**offered.shared, **offered.configurations[name]}, f"configuration {name!r}")
        except ConfigurationError as error:
            wrong.append(str(error))
            continue
        if server.fresh == "forget" and path != "inprocess" and (reason := no_forgetting(server)) is not None:
            wrong.append(f"configuration {name!r}: {reason}")
            continue
        if node_of(server) is not None and experiment.fleet.ray is None:
            wrong.append(f"configuration {name!r}: node places a server on a Ray cluster, and there is none: add --ray")
            continue
        if path == "inprocess" and (server.kind != "mlx_lm" or server.model_path is None):
            wrong.append(f"configuration {name!r}: the path 'inprocess' needs kind 'mlx_lm' and a model_path")
            continue
        key = f"{path == 'inprocess'} {server_key(server)}"
        group = groups.setdefault(key, f"server-{len(groups) + 1}")
        own = named.get(name)
        tools: ToolMode = own.tools if own is not None and own.tools is not None else agent.tools
        tools = offered.tools.get(name, tools)
        resolved.append(PlannedConfiguration(name, path, server, group, source, request_options(server), tools))
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return resolved


def _asker(experiment: Experiment, own: Configuration | None) -> tuple[AskPath, AgentSource]:
    """How a configuration is asked and by whose agent: as it says itself, else as the experiment does."""
    settings = experiment.agent_settings
    source = (own.agent if own is not None and own.agent is not None else settings).source
    path = own.path if own is not None else None
    if path is None and "path" in experiment.model_fields_set:
        path = experiment.path
    if path is None:
        path = "program" if source.program else "agent" if source == AgentSource() else "imported"
    if path == "program" and not source.program:
        raise ConfigurationError('the path \'program\' needs a program: [agent] program = ["name", "{question}"]')
    if path == "imported" and source.reference is None and source.instance is None:
        raise ConfigurationError("the path 'imported' needs an agent: [agent] import = \"package.module:name\"")
    return path, source if path in ("imported", "program") else AgentSource()


def _check_rounds(
    experiment: Experiment, configurations: Sequence[PlannedConfiguration], batches: Sequence[Sequence[str]]
) -> None:
    """Raises `ConfigurationError` where rounds cannot be decided on as `until` and `repeat_contaminated` want it."""
    if experiment.until is not None and len(configurations) < 2:
        raise ConfigurationError(
            f"until = 'decided' compares with a baseline, and {configurations[0].name!r} is all there is: add a "
            "configuration (--draft-model adds some), or leave it out and give --rounds"
        )
    if experiment.until is not None and len(batches) > 1:
        raise ConfigurationError(
            "until = 'decided' looks at all configurations after each round, so that their servers must be up "
            "together: --together says so where memory was not expected to hold them; else narrow them with --only"
        )
    if experiment.repeat_contaminated and len(batches) > 1:
        raise ConfigurationError(
            "--repeat-contaminated asks a round again in all configurations, so that their servers must be up "
            "together: give --together, or narrow them with --only"
        )
    between = {"restart": "starts servers anew between rounds", "forget": "has servers forget between rounds"}
    for one in configurations:
        fresh = one.server.fresh
        if fresh in between and experiment.load != LoadSettings():
            raise ConfigurationError(
                f"configuration {one.name!r}: fresh = {fresh!r} {between[fresh]}, and a load (rate, sweep, duration "
                "and their like) has no rounds: leave one of them out"
            )
        if fresh in between and one.path == "inprocess":
            raise ConfigurationError(
                f"configuration {one.name!r}: fresh = {fresh!r} is about a server, and the path 'inprocess' has none"
            )
    by_rounds = experiment.until is not None or experiment.repeat_contaminated
    if by_rounds and experiment.load != LoadSettings():
        raise ConfigurationError(
            "until = 'decided' and repeat_contaminated go by rounds in a plain closed loop: leave out the settings of "
            "the load (rate, sweep, duration and their like), or these"
        )
