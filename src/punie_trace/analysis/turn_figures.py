"""Figures by turn of sessions: how context, cached tokens and times go on from the first turn to the last. Pure.

They are of first asks, or of servers that forget, where there are any: what a server remembers of the whole session
from an earlier round would hide what it keeps from one turn to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from punie_trace.analysis.figure_kinds import Bounded, Figures, LedgerFigures, Observed, Rounded
from punie_trace.analysis.generation_times import mean_ledger
from punie_trace.analysis.observations import Observation
from punie_trace.analysis.statistics import ratio_interval
from punie_trace.analysis.turns import TurnObservation
from punie_trace.records import Verdict

NS_PER_MS: Final = 1e6
_NOT_SEEN: Final = "no first chunk of such a turn was seen: the server held it back, or sent none"


class TurnFigures(Figures):
    """The turn of that number in all sessions that came so far, in one configuration. Times in ms."""

    number: int
    sessions: int
    """How many sessions have an answer to it."""
    judged: int
    """Of how many sessions something says what is right in it."""
    right: int
    """In how many of these it is right, in more than half of the rounds."""
    first_asks: bool
    """Whether the figures below are of first asks alone; else there were none, and they are of all."""
    wall_ms: Rounded | None
    """Median over sessions of each one's median over rounds."""
    ledger_ms: LedgerFigures | None
    """Means over the turns that were answered."""
    prompt_tokens: Rounded | None
    """Mean, of the turn's first request: the length of the context. None where the server did not always say."""
    cached_tokens: Rounded | None
    """Mean, of these in the server's cache."""
    ttft_ms: Observed
    """Median, of turns whose first generation answers."""
    ttft_call_ms: Observed
    """Median, of turns whose first generation calls a tool."""


class TurnComparison(Figures):
    """The turn of that number against the baseline's, paired by session and round: how many times as fast."""

    number: int
    speed: Bounded
    """Of its wall time."""
    ttft: Bounded | None
    """Of its time to first token, over the pairs in which both were seen to do the same first; None without any."""


def turn_figures(observations: Sequence[Observation]) -> tuple[TurnFigures, ...]:
    """The figures of each turn, from the first; () where nothing was a session."""
    sessions = [one for one in observations if one.turns]
    most = max((len(one.turns) for one in sessions), default=0)
    return tuple(_of_turn(number, sessions) for number in range(1, most + 1))


def compare_turns(before: Sequence[Observation], after: Sequence[Observation]) -> tuple[TurnComparison, ...]:
    """Each turn that was answered in both, of first asks as the comparison of whole queries is."""
    ours, theirs = _by_number(before), _by_number(after)
    found = []
    for number in sorted(ours.keys() & theirs.keys()):
        pairs = {key: (ours[number][key], theirs[number][key]) for key in ours[number].keys() & theirs[number].keys()}
        walls = {key: (max(a.outcome.wall_ns, 1), max(b.outcome.wall_ns, 1)) for key, (a, b) in pairs.items()}
        firsts = {
            key: (a.first_chunk_ns, b.first_chunk_ns)
            for key, (a, b) in pairs.items()
            if a.first_chunk_ns and b.first_chunk_ns and a.calls_first is b.calls_first
        }
        if walls:
            ttft = _ratio(firsts) if firsts else None
            found.append(TurnComparison(number=number, speed=_ratio(walls), ttft=ttft))
    return tuple(found)


def _by_number(observations: Iterable[Observation]) -> dict[int, dict[tuple[str, int], TurnObservation]]:
    """The answered turns that tell of speed, by their number, then by query and round."""
    found: dict[int, dict[tuple[str, int], TurnObservation]] = {}
    for one in observations:
        for turn in one.turns if one.ask.tells_speed else ():
            if turn.answered:
                found.setdefault(turn.number, {})[one.outcome.query, one.outcome.round] = turn
    return found


def _ratio(times: Mapping[tuple[str, int], tuple[int, int]]) -> Bounded:
    """Times are (baseline's, other's) in ns."""
    before = {key: float(pair[0]) for key, pair in times.items()}
    ratio = ratio_interval(before, {key: float(pair[1]) for key, pair in times.items()})
    return Bounded(value=ratio.value, low=ratio.low, high=ratio.high, confidence=ratio.confidence, n=ratio.n)


def _of_turn(number: int, sessions: Sequence[Observation]) -> TurnFigures:
    came = [(one, one.turns[number - 1]) for one in sessions if len(one.turns) >= number]
    answered = [(one, turn) for one, turn in came if turn.answered]
    first = [(one, turn) for one, turn in answered if one.ask.tells_speed]
    counted = first or answered
    turns = [turn for _, turn in counted]
    right = _right((one.outcome.query, turn.outcome.verdict) for one, turn in came)
    return TurnFigures(
        number=number,
        sessions=len({one.outcome.query for one, _ in answered}),
        judged=len(right),
        right=sum(right.values()),
        first_asks=bool(first),
        wall_ms=_middle(counted),
        ledger_ms=mean_ledger([turn.ledger for turn in turns if turn.ledger is not None]),
        prompt_tokens=_mean([turn.prompt_tokens for turn in turns]),
        cached_tokens=_mean([turn.cached_tokens for turn in turns]),
        ttft_ms=_first_token([turn for turn in turns if not turn.calls_first]),
        ttft_call_ms=_first_token([turn for turn in turns if turn.calls_first]),
    )


def _right(verdicts: Iterable[tuple[str, Verdict]]) -> dict[str, bool]:
    """Each session in which the turn was judged: whether it was right in more than half of the rounds."""
    by_query: dict[str, list[bool]] = {}
    for query, verdict in verdicts:
        if verdict is not Verdict.NOT_JUDGED:
            by_query.setdefault(query, []).append(verdict is Verdict.CORRECT)
    return {query: 2 * sum(right) > len(right) for query, right in by_query.items()}


def _middle(turns: Sequence[tuple[Observation, TurnObservation]]) -> float | None:
    walls: dict[str, list[int]] = {}
    for one, turn in turns:
        walls.setdefault(one.outcome.query, []).append(turn.outcome.wall_ns)
    return median(median(each) for each in walls.values()) / NS_PER_MS if walls else None


def _mean(counts: Sequence[int | None]) -> float | None:
    """None where one is not known: a mean of the others would be taken for that of all."""
    known = [count for count in counts if count is not None]
    return sum(known) / len(known) if known and len(known) == len(counts) else None


def _first_token(turns: Sequence[TurnObservation]) -> Observed:
    seen = [turn.first_chunk_ns / NS_PER_MS for turn in turns if turn.first_chunk_ns is not None]
    if not seen:
        return Observed(value=None, n=0, of=len(turns), not_observable=_NOT_SEEN if turns else "there was no such turn")
    return Observed(value=median(seen), n=len(seen), of=len(turns))
