"""What is wrong with the set-up of a run, of all its configurations at once, before any server is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from punie_trace.descriptors import needed, raise_limit
from punie_trace.driver.schedule import ClosedLoop
from punie_trace.engine.askers import check_sessions, check_source
from punie_trace.engine.plan import Plan, PlannedConfiguration
from punie_trace.errors import ConfigurationError, PunieTraceError
from punie_trace.servers.config import node_of
from punie_trace.servers.setup_checks import check_setup


def check_configurations(plan: Plan, *, sessions: bool = False) -> None:
    """Raises one error with all that is wrong with the servers, models and agents of the configurations.

    With `sessions`, agents that can only be asked single questions are wrong too.

    It is of the kind of what is wrong, or `ConfigurationError` where there are several kinds.
    """
    found: dict[str, list[str]] = {}
    kinds: set[type[PunieTraceError]] = set()
    for configuration in plan.configurations:
        for problem in _problems(configuration, sessions):
            found.setdefault(str(problem), []).append(configuration.name)
            kinds.add(type(problem))
    if found:
        kind = kinds.pop() if len(kinds) == 1 else ConfigurationError
        raise kind("\n".join(_line(message, names, plan) for message, names in found.items()))
    _check_descriptors(plan)


def _check_descriptors(plan: Plan) -> None:
    """Raises where this process may not open as many sockets as the load needs, once its limit was raised."""
    allowed = raise_limit()
    most = max((c.load.concurrency for c in plan.configurations if isinstance(c.load, ClosedLoop)), default=1)
    wanted = needed(most, len({c.group for c in plan.configurations}))
    if allowed < wanted:
        lower = ", or lower the concurrency" if most > 1 else ""
        raise ConfigurationError(
            f"concurrency {most} needs about {wanted} open files and sockets, and this process may have {allowed}: "
            f"raise the limit (ulimit -n {wanted}){lower}"
        )


def _problems(configuration: PlannedConfiguration, sessions: bool) -> Iterator[PunieTraceError]:
    try:
        check_source(configuration.path, configuration.agent, configuration.tools)
        if sessions:
            check_sessions(configuration.path, configuration.agent)
    except PunieTraceError as error:
        yield error
    if node_of(configuration.server) is None:  # what is on a node is seen there
        yield from check_setup(configuration.server)


def _line(message: str, names: Sequence[str], plan: Plan) -> str:
    """The message, with whom it is about where that is not everybody."""
    if len(names) == len(plan.configurations):
        return message
    return f"configuration{'' if len(names) == 1 else 's'} {', '.join(map(repr, names))}: {message}"
