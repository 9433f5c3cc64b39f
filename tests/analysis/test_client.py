"""When the client is said to have been the bottleneck, and of which figures."""

from __future__ import annotations

from typing import Any

import pytest

from punie_trace.analysis.client import client_figures
from punie_trace.analysis.figure_kinds import ClientFigures, Observed, WallFigures
from punie_trace.runs.header import ClientRecord, RunHeader, SpreadRecord

MS = 1_000_000


def spread(p99_ms: float, n: int = 100) -> SpreadRecord:
    p99 = round(p99_ms * MS)
    return SpreadRecord(n=n, median_ns=p99 // 2, p99_ns=p99, max_ns=p99)


def figures(path: str = "http", lag_ms: float = 0.1, late_ms: float = 0.1, n: int = 100, **more: Any) -> ClientFigures:
    values: dict[str, Any] = {"cpu_share": 0.2, "loop_cpu_share": 0.2, "ended": "over", **more}
    record = ClientRecord(
        configurations=("a",),
        load="open",
        seconds=10.0,
        sent=100,
        lag=spread(lag_ms, n),
        late=spread(late_ms, n),
        **values,
    )
    header = RunHeader.model_construct(client=(record,))
    wall = WallFigures.model_construct(median=100.0, p95=130.0)
    found = client_figures("a", header, path, wall, Observed(value=20.0, n=1, of=1))
    assert found is not None
    return found


def test_a_client_that_is_on_time_marks_nothing() -> None:
    found = figures()
    assert found.bottleneck is None
    assert found.affected == ()
    assert found.sent_per_s == 10.0


@pytest.mark.parametrize(
    ("what", "affected", "says"),
    [
        ({"lag_ms": 5.0}, ("ttft_ms",), "event loop ran 2.5 ms late at the median, 5.0 ms at p99"),
        ({"lag_ms": 15.0}, ("wall_ms", "ttft_ms"), "event loop ran 7.5 ms late at the median, 15.0 ms at p99"),
        ({"late_ms": 15.0}, ("wall_ms", "ledger_ms.client_queue"), "sent 7.5 ms late at the median, 15.0 ms at p99"),
        ({"loop_cpu_share": 0.97}, ("wall_ms", "ttft_ms", "ledger_ms.client_queue"), "computed for 97% of the time"),
        ({"dropped": 25}, ("wall_ms", "ledger_ms.client_queue"), "25 of 125 queries that were due were never sent"),
    ],
)
def test_what_it_was_late_with_is_marked(what: dict[str, Any], affected: tuple[str, ...], says: str) -> None:
    found = figures(**what)
    assert found.affected == affected
    assert says in (found.bottleneck or "")


def test_a_tail_that_moves_no_median_marks_none() -> None:
    # One reading in a hundred is 3 ms late: more than a tenth of the 20 ms to first token, less than one of the p95.
    assert figures(lag_ms=3.0).affected == ()


def test_a_few_readings_say_nothing() -> None:
    assert figures(lag_ms=15.0, late_ms=15.0, n=19).bottleneck is None


def test_in_process_the_model_may_compute_here() -> None:
    assert figures(path="inprocess", loop_cpu_share=0.99).bottleneck is None


def test_a_run_without_a_record_says_nothing() -> None:
    header = RunHeader.model_construct(client=())
    assert client_figures("a", header, "http", None, Observed(value=None, n=0, of=0)) is None


def test_what_generators_sent_beside_each_other_adds_up() -> None:
    record = ClientRecord(
        configurations=("a",), load="open", seconds=10.0, sent=100, lag=spread(0.1), late=spread(0.1), cpu_share=0.2,
        loop_cpu_share=0.2, ended="over", most_in_flight=3,
    )  # fmt: skip
    parts = tuple(record.model_copy(update={"generator": name}) for name in ("one", "other"))
    header = RunHeader.model_construct(client=parts)
    found = client_figures("a", header, "http", None, Observed(value=None, n=0, of=0))
    assert found is not None
    assert (found.sent_per_s, found.most_in_flight) == (20.0, 6)
