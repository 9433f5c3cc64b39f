"""What goes wrong with one server costs its own configurations, whatever it is."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from punie_trace import Configuration, Experiment, UnexpectedError, Verdict, measure, read_run
from punie_trace.engine import bring_up
from punie_trace.engine.progress import Event, PhaseStarted, ServerChanged
from punie_trace.engine.tracing import Tracing
from punie_trace.engine.unexpected import TRACEBACK_FILE
from punie_trace.servers.server import Server, open_server
from punie_trace.testing import Reply, Script, Text


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[..., Experiment]:
    suite = tmp_path / "small.json"
    suite.write_text(json.dumps({"cases": [{"inputs": "What is REST?", "metadata": {"expected": "direct"}}]}))

    def made(*names: str, together: bool) -> Experiment:
        configurations = []
        for name in names:
            script = tmp_path / f"{name}.json"
            script.write_text(Script(replies=(Reply(steps=(Text(text=name),)),)).model_dump_json())
            command = [sys.executable, "-m", "punie_trace.testing", "--port", "{port}", "--script", str(script)]
            configurations.append(Configuration(name, kind="command", command=command))
        return Experiment(
            suite=str(suite), rounds=1, warm_up=0, path="http", together=together, configurations=configurations
        )

    return made


def broken_for(name: str, monkeypatch: pytest.MonkeyPatch, *, at_its_end: bool = False) -> None:
    """The server of that configuration fails in a way that nobody expects, at its start or at its end."""

    @asynccontextmanager
    async def opened(config: Any, **rest: Any) -> AsyncGenerator[Server]:
        broken = any(f"{name}.json" in item for item in config.command)
        if broken and not at_its_end:
            raise TypeError("a list was given")
        async with open_server(config, **rest) as server:
            yield server
        if broken:
            raise TypeError("a list was given")

    monkeypatch.setattr(bring_up, "open_server", opened)


@pytest.mark.parametrize("together", [True, False])
def test_a_server_that_fails_unexpectedly_costs_its_own_configuration(
    experiment: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    broken_for("first", monkeypatch)
    run = measure(experiment("first", "second", together=together), out=tmp_path / "run", otlp="off")
    assert [one.configuration for one in run.outcomes] == ["second"]
    assert "unexpected: TypeError: a list was given" in run.failures["first"]
    assert (run.status, run.exit_code) == ("done", 4)
    assert "raise TypeError" in (run.folder / TRACEBACK_FILE).read_text()


def test_servers_start_side_by_side_and_are_shown_in_the_order_that_was_given(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    heard: list[Event] = []
    run = measure(experiment("z", "a", "m", together=True), out=tmp_path / "run", otlp="off", progress=heard.append)
    states = [event.state for event in heard if isinstance(event, ServerChanged)]
    assert states.index("ready") > max(at for at, state in enumerate(states) if state == "starting")
    assert next(event.text for event in heard if isinstance(event, PhaseStarted)) == "starting z, a, m"
    assert run.header.names == ("z", "a", "m")
    assert list(run.header.servers) == ["server-1", "server-2", "server-3"]
    assert {one.answer for one in run.outcomes} == {"z", "a", "m"}


def test_what_fails_at_the_end_of_one_batch_leaves_the_next_to_be_measured(
    experiment: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_for("first", monkeypatch, at_its_end=True)
    run = measure(experiment("first", "second", together=False), out=tmp_path / "run", otlp="off")
    assert [one.configuration for one in run.outcomes] == ["first", "second"]
    assert "TypeError" in run.failures["first"]


def test_what_nobody_expected_ends_a_run_in_order_and_in_words(
    experiment: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_for("only", monkeypatch, at_its_end=True)
    run = measure(experiment("only", together=True), out=tmp_path / "run", otlp="off")
    assert (run.status, run.exit_code, len(run.outcomes)) == ("ended-early", 4, 1)
    assert isinstance(run.error, UnexpectedError)


@pytest.mark.parametrize("method", ["__init__", "close"])
def test_whatever_fails_the_header_says_how_the_run_ended(
    experiment: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a propagator that is not installed")

    monkeypatch.setattr(Tracing, method, broken)
    if method == "__init__":
        with pytest.raises(ValueError, match="propagator"):
            measure(experiment("only", together=True), out=tmp_path / "run", otlp="off")
        assert read_run(tmp_path / "run").status == "ended-early"
        return
    run = measure(experiment("only", together=True), out=tmp_path / "run", otlp="off")
    assert (run.status, len(run.outcomes)) == ("done", 1)
    assert isinstance(run.error, UnexpectedError)


def test_a_run_whose_every_query_failed_is_not_a_good_one(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    made = experiment("only", "other", together=True)
    (tmp_path / "only.json").write_text(Script(replies=(Reply(status=500, error="out of cheese"),)).model_dump_json())
    run = measure(made, out=tmp_path / "run", otlp="off")
    assert {one.configuration: one.verdict for one in run.outcomes} == {
        "only": Verdict.ERROR,
        "other": Verdict.CORRECT,
    }
    assert (run.status, run.without_an_answer, run.exit_code) == ("done", ("only",), 4)
