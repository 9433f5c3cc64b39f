"""The doctor's one real query: of a server that tells much, of one that tells nothing, of one that takes no calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from punie_trace.engine.ask_checks import ask_checks, suite_check
from punie_trace.engine.checks import Check
from punie_trace.engine.experiment import Experiment
from punie_trace.testing import Reply, Rule, Script, Text
from tests.cli.conftest import CALL, FOUND, SUITE

CALLS = Script(rules=(Rule(turn=0, reply=CALL), Rule(turn=1, reply=FOUND)))


@pytest.fixture
def suite(tmp_path: Path) -> str:
    file = tmp_path / "small.json"
    file.write_text(json.dumps(SUITE))
    return str(file)


def asked(tmp_path: Path, suite: str, script: Script, **settings: object) -> dict[str, Check]:
    file = tmp_path / "script.json"
    file.write_text(script.model_dump_json())
    command = [sys.executable, "-m", "punie_trace.testing", "--port", "{port}", "--script", str(file)]
    given = {"suite": suite, "server": {"kind": "command", "command": command}, **settings}
    return {check.name: check for check in ask_checks(Experiment.merged(None, given))}


def test_a_real_query_shows_a_call_and_what_the_server_tells(tmp_path: Path, suite: str) -> None:
    checks = asked(tmp_path, suite, CALLS)
    assert {name: check.state for name, check in checks.items()} == {
        "agent": "ok", "server": "ok", "generation": "ok", "tool call": "ok", "usage": "ok", "cached tokens": "note",
        "timings": "ok", "acceptance": "note",
    }  # fmt: skip
    assert checks["tool call"].found == "find_definition(name='IsLibrarian')"
    assert checks["generation"].found.startswith("2 generations in ")
    assert "tokens in" in checks["usage"].found
    assert "decode" in checks["timings"].found
    assert "not told" in checks["cached tokens"].found


def test_a_model_that_does_not_call_is_said_with_what_to_do(tmp_path: Path, suite: str) -> None:
    call = asked(tmp_path, suite, Script(rules=(Rule(reply=Reply(steps=(Text(text="In some file."),))),)))["tool call"]
    assert call.state == "note"
    assert call.found == "none; it answered 'In some file.'"
    assert call.do is not None
    assert "--enable-auto-tool-choice" in call.do


def test_what_fails_is_bad_with_the_reason_and_ends_the_asking(tmp_path: Path, suite: str) -> None:
    refused = asked(tmp_path, suite, Script(rules=(Rule(contains="Librarian", reply=Reply(status=500, error="no")),)))
    assert [(check.name, check.state) for check in refused.values()][-1] == ("generation", "bad")
    assert "500" in refused["generation"].found
    nobody = {"kind": "url", "url": "http://127.0.0.1:1/v1"}
    (agent, server) = ask_checks(Experiment(suite=suite, server=nobody, ready_timeout_s=1))
    assert (agent.state, server.name, server.state) == ("ok", "server", "bad")
    assert "127.0.0.1:1" in (server.do or "")
    (theirs,) = ask_checks(
        Experiment.merged(None, {"suite": suite, "server": nobody, "agent": {"import": "nowhere:it"}})
    )
    assert (theirs.name, theirs.state) == ("agent", "bad")


def test_the_suite_is_read_and_what_it_cannot_judge_is_said(tmp_path: Path, suite: str) -> None:
    assert suite_check(Experiment(suite=suite)) == Check(
        "suite", "ok", "small: 2 questions, what is right is known of 2"
    )
    file = tmp_path / "open.json"
    file.write_text(json.dumps({"cases": [{"inputs": "What is REST?"}]}))
    opened = suite_check(Experiment(suite=str(file)))
    assert (opened.state, "known of 0" in opened.found) == ("note", True)
    assert suite_check(Experiment(suite="discriminatoin")).state == "bad"
