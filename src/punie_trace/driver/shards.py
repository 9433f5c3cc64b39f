"""One plan for several generators: which arrivals and which queries are whose. Pure functions of (plan, k of n).

A shard is the part of a plan that one generator drives. All shards together are the plan itself, whatever their number:
the same queries under the same numbers, due at the same times, from the same seed.

| load   | a generator takes                                                                                     |
|--------|-------------------------------------------------------------------------------------------------------|
| open   | every nth arrival, and the query that it brings: the rate is divided evenly, and the n streams laid    |
|        | over each other are the one that was asked for                                                        |
| closed | its share of the workers, and every nth question of a round; the round turns that round, so that no   |
|        | generator asks the same questions only                                                                |

A question goes to one generator in all configurations of a round, so that what is compared in pairs was measured by the
same client. Every nth arrival of a Poisson process alone is not Poisson (its gaps are Erlang's, and more even); their
union is, and the union is what a server sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile

from punie_trace.driver.arrivals import due_offsets
from punie_trace.driver.limits import Limits
from punie_trace.driver.schedule import ClosedLoop, Load, OpenLoop, Planned, Shard
from punie_trace.errors import ConfigurationError
from punie_trace.records import Query

PassedOver = Callable[[Planned], None]


def share(total: int, shard: Shard) -> int:
    """The shard's part of `total` things that cannot be divided: those of all shards differ by 1 at most."""
    return total * (shard.index + 1) // shard.of - total * shard.index // shard.of


def shard_load(load: Load, shard: Shard) -> Load:
    """What the shard's generator is put under. Raises `ConfigurationError` where there is not enough for each.

    Of an open loop the whole schedule stays, and the shard stands beside it: which arrivals are its own follows from
    their numbers.
    """
    if isinstance(load, OpenLoop):
        if load.max_in_flight < shard.of:
            raise ConfigurationError(
                f"max_in_flight is {load.max_in_flight} for {shard.of} generators: allow at least one for each"
            )
        return replace(load, max_in_flight=share(load.max_in_flight, shard), shard=shard)
    if load.concurrency < shard.of:
        raise ConfigurationError(
            f"a concurrency of {load.concurrency} cannot be shared by {shard.of} generators: give --concurrency "
            f"{shard.of} or more, a rate (--rate), or fewer generators"
        )
    return replace(load, concurrency=share(load.concurrency, shard))


def shard_limits(limits: Limits) -> Limits:
    """What a single generator may decide by itself: time-outs and the duration, which it counts from the agreed start.

    The number of queries is in its plan already (`shard_planned`); errors and over-saturation are decided over all.
    """
    return replace(limits, queries=None, max_error_ratio=None, stop_when_saturated=False)


def shard_planned(
    planned: Iterable[Planned],
    shard: Shard,
    load: Load,
    queries: Sequence[Query],
    most: int | None = None,
    passed_over: PassedOver | None = None,
) -> Iterator[Planned]:
    """Those of the stage's `planned` queries that are the shard's, in order; the first `most` of all of them count.

    `passed_over` hears each that is another's, in its place: so a generator knows what was asked before. What is passed
    over costs time, about a microsecond each.
    """
    place = {query.name: number for number, query in enumerate(queries)}
    for number, item in enumerate(islice(planned, most)):
        turn = number if isinstance(load, OpenLoop) else place[item.query.name] + item.round
        if turn % shard.of == shard.index:
            yield item
        elif passed_over is not None:
            passed_over(item)


def shard_offsets(load: OpenLoop, seed: int) -> Iterator[int]:
    """When the arrivals of the load's shard are due, in ns after the start, as `arrivals.due_offsets`."""
    return islice(due_offsets(load.arrivals, seed), load.shard.index, None, load.shard.of)


def count_arrivals(planned: Iterable[Planned] | None, load: Load, seed: int, until_ns: int | None) -> int | None:
    """How many queries the shard has to ask; None where no number was fixed beforehand.

    `planned` are the shard's own queries, None where they have no end; `until_ns` ends an open loop, in ns after the
    start. `load` is the shard's.
    """
    by_number = None if planned is None else sum(1 for _ in planned)
    if isinstance(load, ClosedLoop):
        return by_number if until_ns is None else None
    if until_ns is None:
        return by_number
    due = sum(1 for _ in takewhile(lambda offset: offset < until_ns, shard_offsets(load, seed)))
    return due if by_number is None else min(due, by_number)
