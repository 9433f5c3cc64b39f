from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from punie_trace.report import interfaces
from punie_trace.report.interfaces import deep_links, show_links
from punie_trace.runs.reader import read_run
from tests.synthetic_run import write_run


@pytest.fixture
def open_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_links_lead_only_to_what_answers(tmp_path: Path, open_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_run(write_run(tmp_path / "run", rounds=1))
    at = {"spans_at": ["http://127.0.0.1:4318/v1/traces"], "metrics_at": "http://127.0.0.1:9090/api"}
    monkeypatch.setattr(interfaces, "JAEGER_PORT", open_port)
    monkeypatch.setattr(interfaces, "GRAFANA_PORT", 1)
    links = deep_links(run, **at)
    assert len(links) == 2
    assert all(link.url.startswith(f"http://localhost:{open_port}/trace/") for link in links)
    monkeypatch.setattr(interfaces, "JAEGER_PORT", 1)
    monkeypatch.setattr(interfaces, "GRAFANA_PORT", open_port)
    assert [link.url.split("?")[0].rpartition("/")[2] for link in deep_links(run, **at)] == [
        "punie-compare",
        "punie-run",
    ]
    assert deep_links(run) == []
    assert deep_links(run, spans_at=["Logfire"]) == []


def test_an_address_is_never_broken_by_the_width_of_the_terminal(tmp_path: Path, open_port: int) -> None:
    from punie_trace.report.links import Link

    written = io.StringIO()
    link = Link("a long way", f"http://localhost:{open_port}/trace/{'a' * 200}")
    show_links([link], Console(file=written, width=40))
    assert link.url in written.getvalue()
