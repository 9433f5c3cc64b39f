"""Which query is asked when, in which configuration: pure, no clock, one seeded generator for all.

A closed loop has no due times of its own: a query is due when a worker is free for it. So a schedule here is an order.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from punie_trace.records import Query


@dataclass(frozen=True, slots=True)
class Planned:
    """One query to be asked: its place in the run from 0, its round from 1 (0 for warm-up)."""

    seq: int
    round: int
    configuration: str
    query: Query


def plan_rounds(
    configurations: Sequence[str], queries: Sequence[Query], rounds: int, seed: int, first_seq: int = 0
) -> list[Planned]:
    """Every query once in every configuration, in a random order, `rounds` times over.

    The order within a round is shuffled over both, so that slow drift of the machine falls on all configurations
    alike. The same seed gives the same order. Raises `ValueError` for fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"a run has at least one round, not {rounds}")
    generator = random.Random(seed)
    planned: list[Planned] = []
    for number in range(1, rounds + 1):
        pairs = [(configuration, query) for query in queries for configuration in configurations]
        generator.shuffle(pairs)
        start = first_seq + len(planned)
        planned += [Planned(start + i, number, configuration, query) for i, (configuration, query) in enumerate(pairs)]
    return planned


def plan_warm_up(configurations: Sequence[str], queries: Sequence[Query], each: int) -> list[Planned]:
    """The first `each` queries once in every configuration, in order; they are asked and not counted."""
    pairs = [(configuration, query) for query in queries[:each] for configuration in configurations]
    return [Planned(-len(pairs) + i, 0, configuration, query) for i, (configuration, query) in enumerate(pairs)]
