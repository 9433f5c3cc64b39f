"""Which asks tell of speed, and which of memory: whether what answered had been asked the same question before.

A server process keeps what it was asked and what it answered (prompt caches, texts to draft from), so a question that
comes again is answered faster for a reason that says nothing of the next one. Speed-ups and verdicts are therefore of
first asks, and of all asks where a server was configured to forget. Warm-up questions count as asked. Requests with
different cache salts do not share what is remembered. Pure: headers and outcomes only.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Final

from punie_trace.analysis.served_by import settings_of
from punie_trace.records import Outcome, Verdict
from punie_trace.runs.header import RunHeader

_FORGETTING: Final = (None, "request", "conversation")
"""Values of `memory` with which a server of ours carries no text from one query to the next; None is its default."""


def forgets(header: RunHeader, configuration: str) -> bool:
    """Whether the server of `configuration` was configured to keep nothing from one query for the next.

    `mlx_lm` keeps prompt caches only, which `prompt_cache_size = 0` switches off; ours keeps texts to draft from too,
    for as long as its `memory` says. Of any other server nothing is known, so that it counts as remembering.
    """
    settings = settings_of(header, configuration)
    record = header.configurations.get(configuration)
    kind = record.kind if record is not None else None
    if settings.get("prompt_cache_size") != 0 or (record is not None and record.path == "inprocess"):
        return False  # within our process mlx_lm's prompt cache is always there
    return kind == "mlx_lm" or (kind == "punie" and settings.get("memory") in _FORGETTING)


def asked_before(header: RunHeader, outcomes: Sequence[Outcome]) -> bytearray:
    """For each of `outcomes`, 1 where its question had been asked of the same memory before, else 0.

    `outcomes` are all of the run, in any order; the order in which they were sent decides. What an outcome says of
    itself goes first: whoever made a server forget has written it there.
    """
    texts = {query.name: query.opening for query in header.suite.queries}
    places = {name: _memory(header, name) for name in {outcome.configuration for outcome in outcomes}}
    warmed_up = _warmed_up(header)
    seen: dict[Hashable, set[str]] = {place: {texts[name] for name in warmed_up} for place in places.values()}
    found = bytearray(len(outcomes))
    for index in sorted(range(len(outcomes)), key=lambda one: outcomes[one].sent_ns):
        outcome = outcomes[index]
        asked = seen[places[outcome.configuration]]
        text = texts.get(outcome.query, outcome.query)
        known = text in asked
        found[index] = known if outcome.asked_before is None else outcome.asked_before > 0
        if not known:
            asked.add(text)
    return found


def counted_walls(
    header: RunHeader, outcomes: Sequence[Outcome], left_out: Collection[int] = ()
) -> dict[str, dict[tuple[str, int], float]]:
    """Wall times in ns of the answered asks that tell of speed, by configuration, then by query and round.

    `left_out` are rounds that count in nothing; what was asked in them was asked all the same.
    """
    before = asked_before(header, outcomes)
    forgetting = {name for name in header.names if forgets(header, name)}
    walls: dict[str, dict[tuple[str, int], float]] = {name: {} for name in header.names}
    for outcome, again in zip(outcomes, before, strict=True):
        counts = not again or outcome.configuration in forgetting
        if counts and outcome.round not in left_out and outcome.verdict not in (Verdict.ERROR, Verdict.TIMEOUT):
            key = outcome.query, outcome.round
            walls.setdefault(outcome.configuration, {})[key] = float(max(outcome.wall_ns, 1))
    return walls


def more_rounds_count(header: RunHeader, baseline: str, other: str) -> bool:
    """Whether another round of the same questions would tell more of a comparison's speed."""
    return all(forgets(header, name) or _is_renewed(header, name) for name in (baseline, other))


def _is_renewed(header: RunHeader, configuration: str) -> bool:
    """Whether what it is asked in another round it is asked first: another process, one that forgot, another salt."""
    return settings_of(header, configuration).get("fresh") in ("restart", "forget", "salt")


def _memory(header: RunHeader, configuration: str) -> Hashable:
    """What is remembered together: a process, or a part of it that a cache salt keeps apart.

    Prompts of another tool mode begin with other tools, so that no prompt cache serves both; a server of ours keeps
    texts as well, wherever they stood.
    """
    record = header.configurations.get(configuration)
    if record is None or record.server is None:
        return configuration, "", ""
    mode = record.tools if record.kind != "punie" else ""
    return record.server, str(settings_of(header, configuration).get("cache_salt") or ""), mode


def _warmed_up(header: RunHeader) -> tuple[str, ...]:
    """The names of the queries that every configuration was asked before the first round: the first of the suite."""
    count = header.configuration.get("warm_up", 0)
    names = [query.name for query in header.suite.queries]
    return tuple(names[:count]) if isinstance(count, int) else ()
