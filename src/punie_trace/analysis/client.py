"""Whether the client itself was the bottleneck, and of which figures: from what it measured of itself in the run.

Pure. The rule is a judgement and stands here in full. A figure is marked where the client's own delay, at its 99th
percentile, is more than a tenth of the figure's median: then a tail or a difference of that size may be the client's.
Without regard to that, a client that was busy for 90 % of the time answers late, and one that did not send what was due
did not offer the load that it was asked to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from punie_trace.analysis.figure_kinds import Observed, WallFigures
from punie_trace.analysis.figures import ClientFigures
from punie_trace.header import ClientRecord, RunHeader, unique

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
    """The client's own part in the figures of configuration `name`; None where no stage with it has ended."""
    records = [record for record in header.client if name in record.configurations]
    if not records:
        return None
    lag = max(record.lag.p99_ns for record in records) / NS_PER_MS
    late = max(record.late.p99_ns for record in records) / NS_PER_MS
    busy = max(record.loop_cpu_share for record in records)
    dropped, cut = sum(record.dropped for record in records), sum(record.cut for record in records)
    said: dict[str, tuple[str, ...]] = {}
    if busy > BUSY and path != "inprocess":  # in process the model computes here, and is what is measured
        said[f"its sending thread computed for {busy:.0%} of the time"] = (WALL, TTFT, QUEUE)
    if _readings(records) >= LEAST_READINGS:
        if ttft.value and lag > SHARE * ttft.value:
            said[f"its event loop ran up to {lag:.1f} ms late (p99)"] = (TTFT,)
        if wall is not None and lag > SHARE * wall.median:
            said[f"its event loop ran up to {lag:.1f} ms late (p99)"] = (WALL, TTFT)
    sent = sum(record.late.n for record in records)
    if wall is not None and sent >= LEAST_READINGS and late > SHARE * wall.median:
        said[f"it sent up to {late:.1f} ms late (p99) with nothing else in the way"] = (WALL, QUEUE)
    if dropped:
        due = dropped + sum(record.sent for record in records)
        said[f"{dropped} of {due} queries that were due were never sent"] = (WALL, QUEUE)
    return ClientFigures(
        lag_ms_median=max(record.lag.median_ns for record in records) / NS_PER_MS,
        lag_ms_p99=lag,
        late_ms_median=max(record.late.median_ns for record in records) / NS_PER_MS,
        late_ms_p99=late,
        cpu_share=max(record.cpu_share for record in records),
        loop_cpu_share=busy,
        dropped=dropped,
        held=sum(record.held for record in records),
        cut=cut,
        most_in_flight=max(record.most_in_flight for record in records),
        sent_per_s=sum(record.sent for record in records) / (sum(record.seconds for record in records) or 1.0),
        ended=unique(record.ended for record in records),
        bottleneck="; ".join(said) or None,
        affected=unique(figure for figures in said.values() for figure in figures),
    )


def _readings(records: Sequence[ClientRecord]) -> int:
    return sum(record.lag.n for record in records)
