"""What speculative decoding did, from the spans of a server that tells it: sums, and the rates that they make.

Rates, as vLLM names them: acceptance = accepted / drafted; mean accepted length = 1 + accepted / rounds, the target's
own token included; K = drafted / rounds. A round in which nothing was drafted is none.

Drafts of one query are right or wrong together, so an interval takes the query as its unit, as all others here do.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from punie_trace.analysis.distributions import student_quantile
from punie_trace.analysis.figure_kinds import Bounded, SpeculationFigures
from punie_trace.spans import names
from punie_trace.spans.server_timings import reported_timings
from punie_trace.spans.span import Span

FEWEST_QUERIES: Final = 5
"""That must have drafted for an interval of a rate; with fewer they cannot tell how much queries differ."""
_CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Drafted:
    """One generation: tokens drafted and of these accepted, rounds that drafted, by whom, and why not (or no more)."""

    drafted: int
    accepted: int
    rounds: int
    drafters: tuple[str, ...]
    fallback: str | None
    mode: str | None = None


def drafted_in(spans: Iterable[Span]) -> tuple[Drafted, ...]:
    """One for each span that carries the counts, or whose answer told them, by their start.

    Rounds are not told in answers: there they are 0, and what needs them is not observable.
    """
    found: list[tuple[int, Drafted]] = []
    for span in spans:
        if _count(span, names.SPECULATION_DRAFTED) is not None:
            found.append((span.start_ns, _drafted(span)))
        elif names.SERVER_TIMINGS in span.attributes:
            reported = reported_timings(span.attributes[names.SERVER_TIMINGS])
            if reported is not None and reported.drafted is not None:
                accepted = min(reported.accepted or 0, reported.drafted)
                found.append((span.start_ns, Drafted(reported.drafted, accepted, 0, (reported.family,), None)))
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


def speculation_figures(by_query: Mapping[str, Sequence[Drafted]]) -> SpeculationFigures | None:
    """Sums and rates over the generations of each query, all rounds; None where no server told of any."""
    drafted = [one for generations in by_query.values() for one in generations]
    if not drafted:
        return None
    tokens, accepted = sum(one.drafted for one in drafted), sum(one.accepted for one in drafted)
    rounds = sum(one.rounds for one in drafted)
    fallbacks = Counter(one.fallback for one in drafted if one.fallback is not None)
    return SpeculationFigures(
        generations=len(drafted),
        rounds=rounds,
        drafted=tokens,
        accepted=accepted,
        acceptance=accepted / tokens if tokens else None,
        mean_length=1 + accepted / rounds if rounds else None,
        mean_k=tokens / rounds if rounds else None,
        drafters=tuple(dict.fromkeys(name for one in drafted for name in one.drafters if one.rounds)),
        fallbacks=dict(fallbacks.most_common()),
        acceptance_interval=_acceptance_interval([_sums(one) for one in by_query.values()]),
        mean_length_interval=_mean_length_interval([_sums(one) for one in by_query.values()]),
    )


def by_query(pairs: Iterable[tuple[str, Iterable[Drafted]]]) -> dict[str, list[Drafted]]:
    """What was drafted for each query, over its rounds."""
    grouped: dict[str, list[Drafted]] = defaultdict(list)
    for query, drafted in pairs:
        grouped[query].extend(drafted)
    return dict(grouped)


def _sums(generations: Sequence[Drafted]) -> tuple[int, int, int]:
    """Tokens drafted, tokens accepted, and rounds of one query."""
    return (
        sum(one.drafted for one in generations),
        sum(one.accepted for one in generations),
        sum(one.rounds for one in generations),
    )


def _acceptance_interval(queries: Sequence[tuple[int, int, int]]) -> Bounded | None:
    """accepted / drafted with Wilson's interval for an effective number of tokens (Dean and Pagano 2015).

    That number is drafted / deff, where deff is the variance between queries (linearised ratio of sums) over that of
    independent tokens, and at least 1; Student's t with one degree of freedom less than there are queries is its z.
    """
    counts = [(accepted, drafted) for drafted, accepted, _ in queries if drafted]
    if not counts:
        return None
    tokens = sum(drafted for _, drafted in counts)
    share = sum(accepted for accepted, _ in counts) / tokens
    if len(counts) < FEWEST_QUERIES:
        return _unbounded(share, len(counts))
    independent = share * (1 - share) / tokens
    effect = _ratio_error(counts) ** 2 / independent if independent > 0 else 1.0
    n = tokens / max(1.0, effect)
    t = student_quantile((1 + _CONFIDENCE) / 2, len(counts) - 1)
    centre = (share + t * t / (2 * n)) / (1 + t * t / n)
    half = t * math.sqrt(share * (1 - share) / n + t * t / (4 * n * n)) / (1 + t * t / n)
    low, high = max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
    return Bounded(value=share, low=low, high=high, confidence=_CONFIDENCE, n=len(counts))


def _mean_length_interval(queries: Sequence[tuple[int, int, int]]) -> Bounded | None:
    """1 + accepted / rounds, with Student's interval of a ratio of sums over queries (linearised)."""
    counts = [(accepted, rounds) for _, accepted, rounds in queries if rounds]
    if not counts:
        return None
    mean = sum(accepted for accepted, _ in counts) / sum(rounds for _, rounds in counts)
    if len(counts) < FEWEST_QUERIES:
        return _unbounded(1 + mean, len(counts))
    half = student_quantile((1 + _CONFIDENCE) / 2, len(counts) - 1) * _ratio_error(counts)
    low, high = 1 + max(0.0, mean - half), 1 + mean + half
    return Bounded(value=1 + mean, low=low, high=high, confidence=_CONFIDENCE, n=len(counts))


def _unbounded(value: float, n: int) -> Bounded:
    return Bounded(value=value, low=None, high=None, confidence=0.0, n=n)


def _ratio_error(counts: Sequence[tuple[int, int]]) -> float:
    """Standard error of a sum over another, of pairs that vary together from query to query (Cochran 1977, 6.4)."""
    n, over = len(counts), sum(below for _, below in counts)
    ratio = sum(above for above, _ in counts) / over
    return math.sqrt(n / (n - 1) * sum((above - ratio * below) ** 2 for above, below in counts)) / over


def _drafted(span: Span) -> Drafted:
    drafter = span.attributes.get(names.SPECULATION_DRAFTER)
    fallback = span.attributes.get(names.SPECULATION_FALLBACK)
    mode = span.attributes.get(names.SPECULATION_MODE)
    return Drafted(
        drafted=_count(span, names.SPECULATION_DRAFTED) or 0,
        accepted=_count(span, names.SPECULATION_ACCEPTED) or 0,
        rounds=_count(span, names.SPECULATION_ROUNDS) or 0,
        drafters=tuple(name for name in str(drafter).split(",") if name) if drafter is not None else (),
        fallback=str(fallback) if fallback is not None else None,
        mode=str(mode) if mode is not None else None,
    )


def _count(span: Span, name: str) -> int | None:
    value = span.attributes.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
