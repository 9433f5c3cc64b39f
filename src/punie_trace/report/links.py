"""Addresses that lead from a run into Jaeger and Grafana: the slowest query, one query twice, the dashboards.

Pure: whether anything answers at an address is for the caller to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from punie_trace.records import Outcome, Verdict
from punie_trace.report.units import duration
from punie_trace.runs.header import RunHeader

_NS_PER_MS: Final = 1_000_000
_MARGIN_MS: Final = 60_000  # so that the first and the last value do not lie on the edge of a graph


@dataclass(frozen=True, slots=True)
class Link:
    """An address and what it shows."""

    shows: str
    url: str


def trace_links(header: RunHeader, outcomes: Sequence[Outcome], jaeger: str) -> list[Link]:
    """Into Jaeger, whose interface is at `jaeger`; none where no query was asked."""
    if not outcomes:
        return []
    slowest = max(outcomes, key=lambda one: one.wall_ns)
    links = [Link(f"the slowest query ({_described(slowest)})", f"{jaeger}/trace/{slowest.trace_id}")]
    pair = _widest_pair(header, outcomes)
    if pair is not None:
        one, other = pair
        shows = f"the same query twice ({_described(one)}; {other.configuration} {_seconds(other)})"
        links.append(Link(shows, f"{jaeger}/trace/{one.trace_id}...{other.trace_id}"))
    return links


def dashboard_links(header: RunHeader, outcomes: Sequence[Outcome], grafana: str) -> list[Link]:
    """Into Grafana, which is at `grafana`, with this run and its time selected; none where no query was asked."""
    if not outcomes:
        return []
    begin = min(outcome.due_ns for outcome in outcomes) // _NS_PER_MS - _MARGIN_MS
    end = max(outcome.done_ns for outcome in outcomes) // _NS_PER_MS + _MARGIN_MS
    chosen = urlencode({"var-run": header.id, "from": begin, "to": end}, quote_via=quote)
    return [
        Link("configurations side by side", f"{grafana}/d/punie-compare?{chosen}"),
        Link("the run as it went on", f"{grafana}/d/punie-run?{chosen}"),
    ]


def _widest_pair(header: RunHeader, outcomes: Sequence[Outcome]) -> tuple[Outcome, Outcome] | None:
    """The same query in the same round, of the baseline and of the configuration that differs most from it in time."""
    answered = [one for one in outcomes if one.verdict not in (Verdict.ERROR, Verdict.TIMEOUT)]
    reference = {(one.query, one.round): one for one in answered if one.configuration == header.baseline_name}
    pairs = [
        (reference[one.query, one.round], one)
        for one in answered
        if one.configuration != header.baseline_name and (one.query, one.round) in reference
    ]
    return max(pairs, key=lambda pair: abs(pair[0].wall_ns - pair[1].wall_ns), default=None)


def _described(outcome: Outcome) -> str:
    return f"{outcome.query}: {outcome.configuration} {_seconds(outcome)}"


def _seconds(outcome: Outcome) -> str:
    return duration(outcome.wall_ns / _NS_PER_MS)
