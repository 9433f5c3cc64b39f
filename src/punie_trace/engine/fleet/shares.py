"""What of a stage is whose, and how many queries that is: the plan's shards, wired to an experiment. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from punie_trace.agent.asker import AgentSource
from punie_trace.driver.schedule import Load, OpenLoop, Planned, Shard
from punie_trace.driver.shards import PassedOver, count_arrivals, shard_load, shard_planned
from punie_trace.engine.fleet.messages import StageOrder
from punie_trace.engine.loads import planned_of, rounds_of
from punie_trace.engine.plan import Plan
from punie_trace.errors import ConfigurationError
from punie_trace.records import Query


def check_shares(plan: Plan, generators: int) -> None:
    """Raises `ConfigurationError` for a plan that so many generators cannot share."""
    experiment = plan.experiment
    if experiment.until is not None or experiment.repeat_contaminated:
        raise ConfigurationError(
            "until = 'decided' and repeat_contaminated look at all outcomes after each round, which several generators "
            "keep to themselves until the end: leave them out, or ask from one generator"
        )
    for configuration in plan.configurations:
        if (fresh := configuration.server.fresh) in ("restart", "forget"):
            raise ConfigurationError(
                f"configuration {configuration.name!r}: fresh = {fresh!r} goes by rounds that one generator keeps, and "
                "several do not end theirs at the same time: leave it out, or ask from one generator"
            )
    if any(configuration.path == "inprocess" for configuration in plan.configurations):
        raise ConfigurationError(
            "the path 'inprocess' has the model in the process that asks, and several generators would each load it: "
            "ask a server (--path http), or from one generator"
        )
    for configuration in plan.configurations:
        source: AgentSource = configuration.agent
        if source.instance is not None or callable(source.deps):
            raise ConfigurationError(
                "an agent that was given as an object cannot be sent to generators: name it "
                "(agent = {'import': 'package.module:name'})"
            )
        shard_load(configuration.load, Shard(0, generators))


def own_queries(
    plan: Plan, queries: tuple[Query, ...], order: StageOrder, shard: Shard, passed_over: PassedOver | None = None
) -> Iterator[Planned]:
    """The shard's queries of the stage, in order; endless where something else ends it."""
    whole = planned_of(plan.experiment, list(order.names), queries, order.first_seq)
    return shard_planned(whole, shard, order.load, queries, plan.limits.queries, passed_over)


def own_arrivals(
    plan: Plan, queries: tuple[Query, ...], order: StageOrder, shard: Shard, until_ns: int | None = None
) -> int | None:
    """How many queries of the stage are the shard's; None where their number was not fixed beforehand.

    `until_ns` (ns after the start) is when the stage was over before its duration was.
    """
    ends = [round(plan.limits.duration_s * 1e9)] if plan.limits.duration_s is not None else []
    ends += [until_ns] if until_ns is not None and isinstance(order.load, OpenLoop) else []
    finite = plan.limits.queries is not None or rounds_of(plan.experiment) is not None
    planned = own_queries(plan, queries, order, shard) if finite else None
    load: Load = shard_load(order.load, shard)
    return count_arrivals(planned, load, plan.experiment.seed, min(ends, default=None))
