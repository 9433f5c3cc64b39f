"""Findings about how long generations are: cut off at the limit that was asked for, or longer than that.

What came is compared with what was asked: a server that ignores the limit is timed at other work than the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.observations import Observation
from punie_trace.runs.header import RunHeader


def cut_off_findings(summary: Summary) -> Iterator[str]:
    """One line, however many configurations it is true of and however their counts differ."""
    shared: dict[str, list[str]] = {}
    for name, figures in summary.configurations.items():
        cut = figures.finish_reasons.get("length", 0)
        if cut:
            every = sum(figures.finish_reasons.values())
            shared.setdefault(f"{cut} of {every}", []).append(name)
    if shared:
        counts = "; ".join(f"{count} of {', '.join(names)}" for count, names in shared.items())
        yield (f"generations were cut off at max_tokens, and their times are the limit's: {counts}; raise max_tokens")


def too_long_findings(header: RunHeader, observed: Mapping[str, Sequence[Observation]]) -> Iterator[str]:
    """Generations with more tokens than the limit that was sent with their requests."""
    for name, observations in observed.items():
        record = header.configurations.get(name)
        limit = record.max_tokens if record is not None else None
        if limit is None:
            continue
        tokens = [split.output_tokens or 0 for one in observations for split in one.splits]
        longer = [one for one in tokens if one > limit]
        if longer:
            yield (
                f"{name}: {len(longer)} of {len(tokens)} generations have more than the {limit} tokens that were asked "
                f"for (up to {max(longer)}): the server ignores max_completion_tokens, and its times are those of its "
                "own limit; set it where the server is started"
            )
