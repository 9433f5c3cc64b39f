"""What speculative decoding did, from the spans of a server that tells it: sums, and the rates that they make.

Rates, as vLLM names them: acceptance = accepted / drafted; mean accepted length = 1 + accepted / rounds, the target's
own token included; K = drafted / rounds. A round in which nothing was drafted is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from punie_trace.analysis.figures import SpeculationFigures
from punie_trace.records import SpanRow
from punie_trace.telemetry import names


@dataclass(frozen=True, slots=True)
class Drafted:
    """One generation: tokens drafted and of these accepted, rounds that drafted, by whom, and why not (or no more)."""

    drafted: int
    accepted: int
    rounds: int
    drafters: tuple[str, ...]
    fallback: str | None
    mode: str | None = None


def drafted_in(spans: Iterable[SpanRow]) -> tuple[Drafted, ...]:
    """One for each span that carries the counts, by their start."""
    found = [span for span in spans if _count(span, names.SPECULATION_DRAFTED) is not None]
    return tuple(_drafted(span) for span in sorted(found, key=lambda span: span.start_ns))


def speculation_figures(drafted: Sequence[Drafted]) -> SpeculationFigures | None:
    """Sums and rates over generations; None where no server told of any."""
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
    )


def _drafted(span: SpanRow) -> Drafted:
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


def _count(span: SpanRow, name: str) -> int | None:
    value = span.attributes.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
