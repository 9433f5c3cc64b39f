"""Findings about the client's own part: where it was in the way, ran out of sockets, or waited for nothing.

What a server is not to blame for must not look like its doing. Each finding is a sentence with a figure and with what
to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.observations import Observation
from punie_trace.descriptors import OURS


def client_findings(summary: Summary) -> Iterator[str]:
    """Where the client itself was in the way, held queries back, or cut them off."""
    for name, figures in summary.configurations.items():
        client = figures.client
        if client is None:
            continue
        if client.bottleneck is not None:
            yield (
                f"{name}: the client itself was in the way ({client.bottleneck}): figures marked \u2020 may show it "
                "and not the server; use a lower rate or concurrency, the path 'http', or another machine"
            )
        if client.held:
            yield (
                f"{name}: {queries(client.held)} waited because {client.most_in_flight} were in flight, as many as "
                "may be: the server did not keep up, and the wait is in client_queue"
            )
        if client.cut:
            yield f"{name}: {queries(client.cut)} cut off at the end of the cool-down, and counted as timeouts"


def descriptor_findings(observed: Mapping[str, Sequence[Observation]]) -> Iterator[str]:
    """Queries that failed because this process could open no more files or sockets."""
    for name, observations in observed.items():
        ours = sum(OURS in (one.outcome.error or "") for one in observations)
        if ours:
            yield (
                f"{name}: {queries(ours)} failed because this process could open no more files and sockets: that is no "
                "error of the server's; raise the limit (ulimit -n), or lower the concurrency or the rate"
            )


def left_open_findings(observed: Mapping[str, Sequence[Observation]]) -> Iterator[str]:
    """Streams that did not end after their finish reason: the wait for their end is in the times."""
    for name, observations in observed.items():
        splits = [split for one in observations for split in one.splits]
        left = [split.transfer_ns or 0 for split in splits if split.left_open]
        if left:
            yield (
                f"{name}: the server left {len(left)} of {len(splits)} streams open after their finish reason; the "
                f"wait for their end ({sum(left) / 1e6 / len(left):.0f} ms each, then it went on) is part of its times"
            )


def queries(count: int) -> str:
    """'1 query' or '3 queries'."""
    return "1 query" if count == 1 else f"{count} queries"
