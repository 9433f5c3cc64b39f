"""Servers that are new in each round: what they are asked there is asked first, and what goes wrong costs its own."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from punie_trace import Configuration, ConfigurationError, Experiment, measure
from punie_trace.analysis.asks import more_rounds_count
from punie_trace.engine.fresh_servers import turned
from punie_trace.engine.plan import make_plan
from punie_trace.engine.progress import Event, ServerChanged
from punie_trace.records import Query
from punie_trace.servers.server import Server
from punie_trace.testing import Reply, Script, Text
from tests.speculative.tiny_family import save_tiny

QUESTIONS = ("What is REST?", "What is SOAP?")


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[..., Experiment]:
    suite = tmp_path / "two.json"
    cases = [{"name": text, "inputs": text, "metadata": {"expected": "direct"}} for text in QUESTIONS]
    suite.write_text(json.dumps({"cases": cases}))
    script = tmp_path / "script.json"
    script.write_text(Script(replies=(Reply(steps=(Text(text="an answer"),)),)).model_dump_json())
    command = [sys.executable, "-m", "punie_trace.testing", "--port", "{port}", "--script", str(script)]

    def made(**settings: Any) -> Experiment:
        configurations = [
            Configuration("renewed", kind="command", command=command, fresh="restart"),
            Configuration("kept", kind="command", command=command),
        ]
        return Experiment(suite=str(suite), path="http", together=True, configurations=configurations, **settings)

    return made


def test_a_server_that_is_started_anew_in_each_round_is_asked_first_in_each(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    starts: Counter[str] = Counter()

    def listen(event: Event) -> None:
        if isinstance(event, ServerChanged):
            starts[event.group] += event.state == "starting"

    run = measure(experiment(rounds=2, warm_up=1), out=tmp_path / "run", otlp="off", progress=listen)
    assert (run.status, run.failures) == ("done", {})
    assert (run.header.names, run.header.baseline_name) == (("renewed", "kept"), "renewed")
    before = {(one.configuration, one.round, one.query): one.asked_before for one in run.outcomes}
    rest, soap = QUESTIONS
    assert before == {
        ("kept", 1, rest): 1,  # it warmed up
        ("kept", 1, soap): 0,
        ("kept", 2, rest): 2,
        ("kept", 2, soap): 1,
        ("renewed", 1, rest): 1,
        ("renewed", 1, soap): 0,
        ("renewed", 2, rest): 0,
        ("renewed", 2, soap): 1,  # the second round warms up with another question
    }
    groups = {name: str(record.server) for name, record in run.header.configurations.items()}
    assert [starts[groups[name]] for name in ("kept", "renewed")] == [1, 2]
    assert not more_rounds_count(run.header, "kept", "renewed")
    assert more_rounds_count(run.header, "renewed", "renewed")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"load": {"rate": 2, "duration_s": 5}}, "fresh = 'restart' starts servers anew .* has no rounds"),
        ({"load": {"sweep": "concurrency=1,2"}}, "no rounds"),
    ],
)
def test_a_load_without_rounds_is_refused(
    experiment: Callable[..., Experiment], settings: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make_plan(experiment(**settings))


def test_a_server_that_we_do_not_start_cannot_be_started_anew() -> None:
    configurations = [Configuration("theirs", kind="url", url="http://127.0.0.1:9/v1", fresh="restart")]
    with pytest.raises(ConfigurationError, match="a server that runs already is not ours to restart"):
        make_plan(Experiment(configurations=configurations))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "mlx_lm"}, "'mlx_lm' cannot be made to forget; fresh = 'restart' .*, and prompt_cache_size = 0"),
        ({"kind": "url", "url": "http://127.0.0.1:9/v1"}, "'url' cannot be made to forget; restart it, and with fresh"),
        ({"kind": "command", "command": ["serve", "{port}"]}, "'command' cannot be made to forget; fresh = 'restart'"),
    ],
)
def test_what_cannot_be_made_to_forget_is_said_with_what_would_do_instead(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"configuration 'theirs': a server of kind {words}"):
        make_plan(Experiment(configurations=[Configuration("theirs", fresh="forget", **settings)]))


def test_a_server_that_forgets_between_rounds_is_asked_first_in_each(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    model = str(save_tiny("qwen3", tmp_path / "model"))
    ours: dict[str, Any] = {
        "kind": "punie",
        "model_path": model,
        "drafter": "suffix",
        "memory": "server",
        "max_tokens": 8,
    }
    configurations = [Configuration("forgetting", fresh="forget", **ours), Configuration("remembering", **ours)]
    two = experiment(rounds=2, warm_up=1).model_copy(update={"configurations": tuple(configurations)})
    starts: Counter[str] = Counter()

    def listen(event: Event) -> None:
        if isinstance(event, ServerChanged):
            starts[event.group] += event.state == "starting"

    run = measure(two, out=tmp_path / "run", otlp="off", progress=listen)
    assert run.failures == {}
    assert set(starts.values()) == {1}  # neither was started again
    before = {(one.configuration, one.round, one.query): one.asked_before for one in run.outcomes}
    rest = QUESTIONS[0]
    assert [before["remembering", number, query] for number in (1, 2) for query in QUESTIONS] == [1, 0, 2, 1]
    assert [before["forgetting", number, query] for number in (1, 2) for query in QUESTIONS] == [1, 0, 0, 1]
    cached = {(one.configuration, one.query): one.cached_tokens for one in run.outcomes if one.round == 2}
    kept, new = cached["remembering", rest], cached["forgetting", rest]
    assert kept is not None
    assert new is not None
    assert new < kept
    assert more_rounds_count(run.header, "forgetting", "forgetting")
    assert not more_rounds_count(run.header, "forgetting", "remembering")


def test_a_server_that_would_not_forget_is_a_finding_and_its_asks_count_as_asked_again(
    experiment: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(self: Server) -> str:
        return "it would rather not"

    monkeypatch.setattr(Server, "forget", refuses)
    model = str(save_tiny("qwen3", tmp_path / "model"))
    own = Configuration("ours", kind="punie", model_path=model, drafter="suffix", fresh="forget", max_tokens=8)
    two = experiment(rounds=2, warm_up=0).model_copy(update={"configurations": (own,)})
    run = measure(two, out=tmp_path / "run", otlp="off")
    assert Counter(one.asked_before for one in run.outcomes) == {0: 2, 1: 2}
    (finding,) = [one for one in run.header.findings if "did not forget" in one]
    assert finding == "ours did not forget before round 2, so that it counts as asked again: it would rather not"


@pytest.mark.parametrize("kind", ["mlx_lm", "punie"])
def test_a_salt_is_refused_where_there_are_other_ways(kind: str) -> None:
    with pytest.raises(ConfigurationError, match="mlx_lm reads no salt; fresh = 'restart'"):
        make_plan(Experiment(configurations=[Configuration("ours", kind=kind, fresh="salt")]))


def test_each_round_warms_up_with_another_question() -> None:
    queries = [Query(name=name, text=name) for name in "abc"]
    assert ["".join(query.name for query in turned(queries, number)) for number in (1, 2, 3, 4)] == [
        "abc",
        "bca",
        "cab",
        "abc",
    ]


def test_with_a_salt_for_each_query_every_ask_is_a_first_one(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    command = make_plan(experiment()).configurations[0].server.model_dump()["command"]
    configurations = [
        Configuration("salted", kind="command", command=command, fresh="salt"),
        Configuration("plain", kind="command", command=command),
    ]
    salted = experiment(rounds=2, warm_up=0).model_copy(update={"configurations": tuple(configurations)})
    run = measure(salted, out=tmp_path / "run", otlp="off")
    assert run.failures == {}
    assert len({str(record.server) for record in run.header.configurations.values()}) == 1  # one process serves both
    before = Counter((one.configuration, one.asked_before) for one in run.outcomes)
    assert before == {("salted", 0): 4, ("plain", 0): 2, ("plain", 1): 2}
    findings = run.summary.findings
    assert any("salted: its server counts no cached tokens" in finding for finding in findings)
    assert not any("share one server process and its prompt cache" in finding for finding in findings)
