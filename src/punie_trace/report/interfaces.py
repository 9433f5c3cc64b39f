"""Which of Jaeger's and Grafana's interfaces answer beside the endpoints of a run, and links into them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console

from punie_trace.report.links import Link, dashboard_links, trace_links
from punie_trace.runs.reader import RunRecord
from punie_trace.spans.otlp_endpoint import port_is_open

JAEGER_PORT: Final = 16686
GRAFANA_PORT: Final = 3000
_PROBE_S: Final = 0.3


def deep_links(run: RunRecord, *, spans_at: Iterable[str] = (), metrics_at: str | None = None) -> list[Link]:
    """Links into what answers on its usual port of a host that spans or metrics went to."""
    links: list[Link] = []
    for endpoint in spans_at:
        jaeger = beside(endpoint, JAEGER_PORT)
        if jaeger is not None:
            links += trace_links(run.header, run.outcomes, jaeger)
            break
    grafana = beside(metrics_at, GRAFANA_PORT) if metrics_at is not None else None
    if grafana is not None:
        links += dashboard_links(run.header, run.outcomes, grafana)
    return links


def show_links(links: Iterable[Link], console: Console) -> None:
    """Print each on a line of its own, unbroken, so that a terminal can open it."""
    for link in links:
        console.print(f"{link.shows}:\n  {link.url}", markup=False, highlight=False, soft_wrap=True)


def beside(endpoint: str, port: int) -> str | None:
    """The address of what answers on `port` of an endpoint's host; None where nothing does."""
    host = urlsplit(endpoint).hostname
    if host is None:
        return None
    shown = "localhost" if host == "127.0.0.1" else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}" if port_is_open(f"http://{shown}:{port}", _PROBE_S) else None
