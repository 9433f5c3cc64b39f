"""Findings about the user's agent itself: what it asked past its endpoint or did not ask for, what its program left.

Pure, from the figures of a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from punie_trace.analysis.figures import Summary

_MOST_NAMES: Final = 5


def agent_findings(summary: Summary) -> Iterator[str]:
    """One sentence for each configuration and kind; none where there is nothing to know."""
    for name, figures in summary.configurations.items():
        hosts, left = figures.requests_elsewhere, figures.left_processes
        if hosts:
            yield (
                f"{name}: {_count(hosts, 'request', 's')} for tokens did not go through its endpoint "
                f"({_listed(hosts)}): they are in no figure of generations, and their time is in the tool or the "
                "framework that waited"
            )
        if figures.uncounted_generations and figures.path == "imported":
            yield (
                f"{name}: the server told no token counts of {figures.uncounted_generations} of "
                f"{sum(figures.finish_reasons.values())} generations, so that its tokens and times per token are not "
                "observable: nothing is added to what an agent asks, and one that streams has to ask for them by "
                "stream_options={'include_usage': True} (ModelSettings(include_usage=True) in the OpenAI Agents SDK, "
                "stream_usage=True in LangChain)"
            )
        if left:
            yield (
                f"{name}: its program left {_count(left, 'process', 'es')} running ({_listed(left)}), which were ended "
                "after it: what they did is in no figure, and what they had still to do was not done"
            )


def _count(found: Mapping[str, int], one: str, more: str) -> str:
    total = sum(found.values())
    return f"{total} {one}{more if total > 1 else ''}"


def _listed(found: Mapping[str, int]) -> str:
    """The first few, each with how often it was seen, and how many more there are."""
    listed = ", ".join(f"{name} {count}" for name, count in list(found.items())[:_MOST_NAMES])
    more = len(found) - _MOST_NAMES
    return listed + (f" and {more} more" if more > 0 else "")
