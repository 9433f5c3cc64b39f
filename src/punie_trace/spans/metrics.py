"""The metrics of one run: instruments with explicit buckets, fed with what each query measured when it is over.

It records and collects; who sends what was collected is `metric_sender` (while a run goes on) or `backfill` (later,
from the folder). The values are cumulative from the start of the run, so that the last one tells all, and each carries
its query's trace id as an exemplar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from punie_trace.runs.header import RunHeader
from punie_trace.spans import names
from punie_trace.spans.measurements import Measurement
from punie_trace.spans.provider import run_resource

OPERATION_BUCKETS: Final = tuple(0.01 * 2**step for step in range(16))
"""Seconds: the conventions' 0.01 to 81.92, and twice as far again and again for prefill on one's own machine."""
TOOL_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, *OPERATION_BUCKETS)
"""Seconds: tools that read a file take less than the conventions' first bucket."""
CHUNK_BUCKETS: Final = tuple(0.0005 * 2**step for step in range(14))
"""Seconds, 0.0005 to 4.096: a token of a small model on one's own machine takes about a millisecond."""
CALL_BUCKETS: Final = tuple(2**step for step in range(8))
"""Calls, as in the conventions: 1 to 128."""
QUERY_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, *(0.01 * 2 ** (step / 4) for step in range(61)))
"""Seconds, a factor of 1.19 apart from 0.01 to 327.68: in the conventions' buckets, which double, two configurations
that differ by a third would often look the same."""
TOKEN_BUCKETS: Final = tuple(4**step for step in range(14))
"""Tokens, as in the conventions: 1 to 67,108,864."""

HISTOGRAMS: Final = (
    (names.METRIC_OPERATION_DURATION, "s", OPERATION_BUCKETS, "One generation, from request to last byte"),
    (names.METRIC_TIME_TO_FIRST_CHUNK, "s", OPERATION_BUCKETS, "From request to the first chunk with output"),
    (names.METRIC_TOKEN_USAGE, "{token}", TOKEN_BUCKETS, "Tokens of one generation"),
    (names.METRIC_TOOL_DURATION, "s", TOOL_BUCKETS, "One execution of a tool"),
    (names.METRIC_AGENT_DURATION, "s", OPERATION_BUCKETS, "One run of the agent"),
    (names.METRIC_AGENT_INFERENCE_CALLS, "{inference_call}", CALL_BUCKETS, "Generations of one run of the agent"),
    (names.METRIC_AGENT_TOOL_CALLS, "{tool_call}", CALL_BUCKETS, "Executions of tools in one run of the agent"),
    (names.METRIC_TIME_PER_OUTPUT_CHUNK, "s", CHUNK_BUCKETS, "Mean time between the chunks of one generation"),
    (names.METRIC_QUERY_DURATION, "s", QUERY_BUCKETS, "A query's time in one line of its ledger; 'wall' is all of it"),
    (names.METRIC_TURN_DURATION, "s", QUERY_BUCKETS, "One turn of a session, from due to done"),
)
COUNTERS: Final = (
    (names.METRIC_QUERY_OUTCOMES, "{query}", "Queries by what became of them"),
    (names.METRIC_CACHED_TOKENS, "{token}", "Input tokens that came from the server's prompt cache"),
    (names.METRIC_DRAFTED, "{token}", "Tokens that a draft proposed"),
    (names.METRIC_ACCEPTED, "{token}", "Drafted tokens that the model accepted"),
    (names.METRIC_ROUNDS, "{round}", "Rounds of draft and verify"),
)
GAUGES: Final = (
    (names.METRIC_MEMORY_PEAK, "By", "Largest reading in the process of the server"),
    (names.METRIC_DRAFT_TOKENS, "{token}", "Tokens to draft a round, as asked for"),
    (names.METRIC_ENERGY_PER_RIGHT, "J", "Energy of the whole machine for each right answer"),
    (names.METRIC_ENERGY_PER_TOKENS, "J", "Energy of the whole machine for 1,000 output tokens"),
    (names.METRIC_GPU_UTILIZATION, "1", "Mean use of the GPUs while its queries ran, 0 to 1"),
)

Record = Callable[[float, dict[str, str], Context], None]


@dataclass(frozen=True, slots=True)
class GaugeValue:
    """A figure of a configuration that only the whole run tells; `metric` is one of `GAUGES`, `value` in its unit."""

    metric: str
    configuration: str
    path: str
    value: float


class RunMetrics:
    """The meter provider of one run. Safe to use from several threads; no global provider is set."""

    def __init__(self, run_id: str) -> None:
        self._reader = InMemoryMetricReader()
        # What the environment could set otherwise is set here, as for spans.
        self._provider = MeterProvider(
            metric_readers=[self._reader],
            resource=run_resource(run_id),
            exemplar_filter=TraceBasedExemplarFilter(),
            shutdown_on_exit=False,
        )
        self._instruments = _instruments(self._provider.get_meter(names.SERVICE))
        self.recorded = 0
        """Measurements so far; it grows where there is something new to send."""

    def record(self, measurements: Iterable[Measurement]) -> None:
        """Take up what one query measured: about 10 us a measurement, and a query has some fifteen."""
        contexts: dict[str, Context] = {}
        for one in measurements:
            context = contexts.get(one.span_id)
            if context is None:
                context = contexts[one.span_id] = _context(one.trace_id, one.span_id)
            self._instruments[one.metric](one.value, dict(one.labels), context)
            self.recorded += 1

    def record_header(self, header: RunHeader) -> None:
        """Take up what only the run's header tells: each configuration's peak memory and length of drafts."""
        for name, configuration in header.configurations.items():
            labels = {names.CONFIGURATION: name, names.PATH: configuration.path}
            server = header.servers.get(configuration.server or "")
            known = {
                names.METRIC_MEMORY_PEAK: server.memory_peak_bytes if server is not None else None,
                names.METRIC_DRAFT_TOKENS: configuration.num_draft_tokens,
            }
            for metric, value in known.items():
                if value is not None:
                    self._instruments[metric](value, labels, Context())
                    self.recorded += 1

    def record_gauges(self, values: Iterable[GaugeValue]) -> None:
        """Take up figures of the whole run."""
        for one in values:
            labels = {names.CONFIGURATION: one.configuration, names.PATH: one.path}
            self._instruments[one.metric](one.value, labels, Context())
            self.recorded += 1

    def collect(self) -> MetricsData | None:
        """All values up to now, with the exemplars since the last time; None where nothing was recorded yet."""
        return self._reader.get_metrics_data()


def _instruments(meter: Meter) -> dict[str, Record]:
    recorders: dict[str, Record] = {}
    for name, unit, buckets, description in HISTOGRAMS:
        histogram = meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=buckets)
        recorders[name] = histogram.record
    for name, unit, description in COUNTERS:
        recorders[name] = meter.create_counter(name, unit, description).add
    for name, unit, description in GAUGES:
        recorders[name] = meter.create_gauge(name, unit, description).set
    return recorders


def _context(trace_id: str, span_id: str) -> Context:
    """A context in which that span is current: a measurement's exemplar names the span of its context."""
    span = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(span), Context())
