"""A quick look: two configurations, a few questions, one round, so that there is an answer within half a minute.

It chooses what is asked and of whom; what that cannot tell is said by the report (`analysis.quick`). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from punie_trace.records import Query

QUESTIONS: Final = 5
"""How many questions a quick look asks. One of them is also the warm-up's."""


def two_of(names: Sequence[str], *, given: bool) -> tuple[str, ...]:
    """The configurations of a quick look: the first, which the other is compared with, and one more.

    Of those that were `given` the first two. Of those that a model allows the last, which adapts: it takes the least
    time, and a large difference needs the fewest questions.
    """
    return tuple(names[:2]) if given else tuple(dict.fromkeys((names[0], names[-1])))


def few_of(queries: Sequence[Query], most: int = QUESTIONS) -> tuple[Query, ...]:
    """At most so many of the queries, in their order: turn by turn one that wants a tool and one that wants none.

    Of each of these, one of every category comes before a second of any. The first is one that wants no tool, if there
    is one: the warm-up asks it, which costs the least, and it is no first ask afterwards.
    """
    by_expected: dict[object, dict[object, list[Query]]] = {}
    for query in queries:
        by_expected.setdefault(query.expected, {}).setdefault(query.category, []).append(query)
    turns = in_turn([in_turn(list(categories.values())) for categories in by_expected.values()])
    taken = {query.name for query in turns[:most]}
    few = [query for query in queries if query.name in taken]
    return tuple(sorted(few, key=lambda query: query is not short_of(few)))


def short_of(queries: Sequence[Query]) -> Query | None:
    """The first of those that want no tool; None where each may want one."""
    return next((query for query in queries if query.expected == "direct"), None)


def in_turn(groups: Sequence[Sequence[Query]]) -> list[Query]:
    """The first of each group, then the second of each that has one, and so on."""
    return [one for turn in zip_longest(*groups) for one in turn if one is not None]
