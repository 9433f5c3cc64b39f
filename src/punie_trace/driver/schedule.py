"""Which query is asked when, in which configuration: pure, no clock, one seeded generator for all.

A load is one of two kinds. In a closed loop a query is due when a worker is free for it and has thought, so its
schedule is an order. In an open loop queries are due when `arrivals` says, whether or not the server keeps up.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Final, TypeAlias

from punie_trace.driver.arrivals import Arrivals
from punie_trace.records import Query


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of a plan that generator `index` (from 0) `of` so many drives; see `shards`."""

    index: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.of:
            raise ValueError(f"there is no generator {self.index} of {self.of}: they count from 0")


WHOLE: Final = Shard(0, 1)


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """`concurrency` workers; each asks its next query `think_s` seconds after its last one was answered."""

    concurrency: int = 1
    think_s: float = 0.0


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Queries are asked when they are due, up to `max_in_flight` at once; the others wait in the client's queue.

    One that has waited for `drop_after_s` seconds is dropped, counted, and never asked; None never drops.
    """

    arrivals: Arrivals
    max_in_flight: int = 512
    drop_after_s: float | None = None
    shard: Shard = WHOLE
    """Which of the arrivals are this generator's."""


Load: TypeAlias = ClosedLoop | OpenLoop


@dataclass(frozen=True, slots=True)
class Planned:
    """One query to be asked: its place in the run from 0, its round from 1 (0 for warm-up)."""

    seq: int
    round: int
    configuration: str
    query: Query


def plan_rounds(
    configurations: Sequence[str],
    queries: Sequence[Query],
    rounds: int,
    seed: int,
    first_seq: int = 0,
    spread: int | None = None,
) -> list[Planned]:
    """Every query once in every configuration, in a random order, `rounds` times over.

    A round is a randomized complete block design: the queries in a random order, each of them at once in all
    configurations, and these in a random order too. So drift of the machine falls on all configurations alike, what is
    compared in pairs was asked within seconds, and the first pair is known after the first query. The same seed gives
    the same order. Queries that are asked once are spread evenly over the first `spread`
    rounds, all of them unless told. Raises `ValueError` for fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"a run has at least one round, not {rounds}")
    endless = plan_endless(configurations, queries, seed, first_seq, min(spread or rounds, rounds))
    return list(takewhile(lambda one: one.round <= rounds, endless))


def plan_endless(
    configurations: Sequence[str], queries: Sequence[Query], seed: int, first_seq: int = 0, spread: int | None = None
) -> Iterator[Planned]:
    """The rounds of `plan_rounds`, one after another without end; only the one that is asked is held.

    Without `spread` every round asks every query.
    """
    if not configurations or not queries:
        return
    generator = random.Random(seed)
    new = {query.name: number for number, query in enumerate(query for query in queries if query.once)}
    if spread is None or len(new) == len(queries):
        new = {}
    seq = first_seq
    for number in count(1):
        asked = [q for q in queries if q.name not in new or new[q.name] % (spread or 1) == number - 1]
        for query in generator.sample(asked, len(asked)):
            for configuration in generator.sample(configurations, len(configurations)):
                yield Planned(seq, number, configuration, query)
                seq += 1


def plan_warm_up(configurations: Sequence[str], queries: Sequence[Query], each: int) -> list[Planned]:
    """The first `each` queries once in every configuration, in order; they are asked and not counted."""
    pairs = [(configuration, query) for query in queries[:each] for configuration in configurations]
    return [Planned(-len(pairs) + i, 0, configuration, query) for i, (configuration, query) in enumerate(pairs)]
