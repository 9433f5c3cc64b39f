"""Times over many: the mean ledger, means of what was seen of generations, and medians of the time to first token.

Pure. Of these like is held to like: a generation that answers and one that calls a tool are told apart, as some servers
stream a call's name at once, others hold the call back until it is whole, and a median over both would compare
different turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from punie_trace.analysis.figure_kinds import LedgerFigures, Observed
from punie_trace.analysis.observations import Observation
from punie_trace.analysis.split import GenerationSplit
from punie_trace.records import Ledger
from punie_trace.runs.header import unique

NS_PER_MS: Final = 1e6
_WARM: Final = 0.5
"""Share of its input from the prompt cache from which on a generation counts as warm."""


def why_not(splits: Sequence[GenerationSplit], phase: str) -> str:
    """Why a phase was not seen, in all the words that there are for it."""
    reasons = unique(one.not_observable[phase] for one in splits if phase in one.not_observable)
    return "; ".join(reasons) or "the server reported no token counts" if splits else "no generation was recorded"


def mean_observed(values_ns: Sequence[float | None], reason: str) -> Observed:
    """The mean in ms over the cases where it was seen."""
    seen = [value / NS_PER_MS for value in values_ns if value is not None]
    return Observed(
        value=sum(seen) / len(seen) if seen else None,
        n=len(seen),
        of=len(values_ns),
        not_observable=None if seen else reason,
    )


def mean_ledger(ledgers: Sequence[Ledger]) -> LedgerFigures | None:
    """The mean of each line, in ms; they add up as the ledgers do. None where there is no ledger."""
    if not ledgers:
        return None
    per_ms = NS_PER_MS * len(ledgers)
    return LedgerFigures(
        wall=sum(one.wall_ns for one in ledgers) / per_ms,
        client_queue=sum(one.client_queue_ns for one in ledgers) / per_ms,
        generation=sum(one.generation_ns for one in ledgers) / per_ms,
        tool=sum(one.tool_ns for one in ledgers) / per_ms,
        framework=sum(one.framework_ns for one in ledgers) / per_ms,
        tool_work=sum(one.tool_work_ns for one in ledgers) / per_ms,
        sandbox=sum(one.sandbox_ns for one in ledgers) / per_ms,
        hidden=sum(one.hidden_tool_ns for one in ledgers) / per_ms,
    )


def time_to_first_token(answered: Sequence[Observation], *, calls: bool) -> Observed:
    """The median over the answered whose first turn calls a tool, or does not, and streams what it makes.

    A turn that another follows has called a tool, whatever its server gave as the reason for its end.
    """
    seen_at_all = [one.splits for one in answered if one.splits]
    first = [splits[0] for splits in seen_at_all if (len(splits) > 1 or splits[0].calls_tool) is calls]
    bare = len(answered) - len(seen_at_all)  # without spans nobody knows which kind they were
    seen = [split.first_chunk_ns / NS_PER_MS for split in first if split.first_chunk_ns is not None]
    if not seen:
        none = f"no first turn was seen to {'call a tool' if calls else 'answer'}"
        why = why_not(first, "first_chunk") if first else none
        return Observed(value=None, n=0, of=len(first) + bare, not_observable=why)
    return Observed(value=median(seen), n=len(seen), of=len(first) + bare)


def time_to_first_token_by_cache(splits: Sequence[GenerationSplit], *, warm: bool) -> Observed:
    """The median over generations that stream, of whose input at least half was (or was not) in the prompt cache."""
    known = [one for one in splits if one.cached_share is not None]
    if not known:
        return Observed(value=None, n=0, of=len(splits), not_observable="the server reports no cached tokens")
    chosen = [one for one in known if ((one.cached_share or 0.0) >= _WARM) is warm]
    seen = [one.first_chunk_ns / NS_PER_MS for one in chosen if one.first_chunk_ns is not None]
    if not seen:
        why = why_not(chosen, "first_chunk") if chosen else f"no generation was {'warm' if warm else 'cold'}"
        return Observed(value=None, n=0, of=len(chosen), not_observable=why)
    return Observed(value=median(seen), n=len(seen), of=len(chosen))
