"""WHAT happened: spans, from whoever opens them to whoever keeps them.

    provider      tracers on the run's clock, for our own spans and for those of libraries
      |           a span of the OpenTelemetry SDK ends
    codec         becomes a `Span`, once, and is that from here on; `ingest` brings those of our server
      |
    open_spans    the traces that are open: what a query did is read from here (`activity`, `conventions`)
      |
    sinks         span_file, otlp_sender, logfire_sender, metric_sender: each takes `Span`s

All that leaves the machine goes through `otlp_post`. Of a run that is over, `resend` sends the spans and `backfill` the
metrics. Nothing here knows how a ledger is closed or a figure is made.
"""
