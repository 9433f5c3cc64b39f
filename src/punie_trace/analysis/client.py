"""Whether the client itself was the bottleneck, and of which figures: from what it measured of itself in the run.

Pure. The rule is a judgement and stands here in full. A figure is marked where the client's own delay is more than a
tenth of it, like held against like: what half of the readings exceed against a median, what one in a hundred exceeds
against a 95th percentile. Time to first token is told as a median, and one reading in a hundred that is late moves no
median: of a small model that answers in 20 ms such a reading would mark every run on a machine with anything else to
do, and say nothing of the figure it marks. A wall time is told as both, and in its tail the client's tail may be.
Without regard to that, a client that was busy for 90 % of the time answers late, and one that did not send what was due
did not offer the load that it was asked to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from punie_trace.analysis.figure_kinds import ClientFigures, Observed, WallFigures
from punie_trace.runs.header import ClientRecord, RunHeader, SpreadRecord, unique

NS_PER_MS: Final = 1e6
BUSY: Final = 0.9
"""Share of the time that the sending thread computes, above which it cannot be on time."""
SHARE: Final = 0.1
LEAST_READINGS: Final = 20
"""A 99th percentile of fewer readings is their largest, which says little."""

WALL: Final = "wall_ms"
TTFT: Final = "ttft_ms"
QUEUE: Final = "ledger_ms.client_queue"


def client_figures(
    name: str, header: RunHeader, path: str | None, wall: WallFigures | None, ttft: Observed
) -> ClientFigures | None:
    """The client's own part in the figures of configuration `name`; None where no stage with it has ended.

    Of several generators the worst delay and the busiest count, and what they sent is added up.
    """
    records = [record for record in header.client if name in record.configurations]
    if not records:
        return None
    lag, lag_tail = _milliseconds([record.lag for record in records])
    late, late_tail = _milliseconds([record.late for record in records])
    # Generators send beside each other: their rates add up, where those of one client's stages do not.
    each = [[one for one in records if one.generator == name] for name in {record.generator for record in records}]
    busy = max(record.loop_cpu_share for record in records)
    dropped, cut = sum(record.dropped for record in records), sum(record.cut for record in records)
    reasons: dict[str, tuple[str, ...]] = {}
    if busy > BUSY and path != "inprocess":  # in process the model computes here, and is what is measured
        reasons[f"its sending thread computed for {busy:.0%} of the time"] = (WALL, TTFT, QUEUE)
    if _readings(records) >= LEAST_READINGS:
        marked = _material(wall, lag, lag_tail) + ((TTFT,) if ttft.value and lag > SHARE * ttft.value else ())
        if marked:
            reasons[f"its event loop ran {lag:.1f} ms late at the median, {lag_tail:.1f} ms at p99"] = marked
    sent = sum(record.late.n for record in records)
    if sent >= LEAST_READINGS and _material(wall, late, late_tail):
        how = f"{late:.1f} ms late at the median, {late_tail:.1f} ms at p99"
        reasons[f"it sent {how}, with nothing else in the way"] = (WALL, QUEUE)
    if dropped:
        due = dropped + sum(record.sent for record in records)
        reasons[f"{dropped} of {due} queries that were due were never sent"] = (WALL, QUEUE)
    return ClientFigures(
        lag_ms_median=lag,
        lag_ms_p99=lag_tail,
        late_ms_median=late,
        late_ms_p99=late_tail,
        cpu_share=max(record.cpu_share for record in records),
        loop_cpu_share=busy,
        dropped=dropped,
        held=sum(record.held for record in records),
        cut=cut,
        most_in_flight=sum(max(record.most_in_flight for record in own) for own in each),
        sent_per_s=sum(
            sum(record.sent for record in own) / (sum(record.seconds for record in own) or 1.0) for own in each
        ),
        ended=unique(record.ended for record in records),
        bottleneck="; ".join(reasons) or None,
        affected=unique(figure for figures in reasons.values() for figure in figures),
    )


def _milliseconds(spreads: Sequence[SpreadRecord]) -> tuple[float, float]:
    """Median and 99th percentile of the worst stage."""
    return max(one.median_ns for one in spreads) / NS_PER_MS, max(one.p99_ns for one in spreads) / NS_PER_MS


def _material(wall: WallFigures | None, median: float, tail: float) -> tuple[str, ...]:
    """Wall time, where a delay with this median and 99th percentile in ms may show in its median or its p95."""
    if wall is None:
        return ()
    return (WALL,) if median > SHARE * wall.median or tail > SHARE * wall.p95 else ()


def _readings(records: Sequence[ClientRecord]) -> int:
    return sum(record.lag.n for record in records)
