"""What several generators cannot do is said before anything is started, with what to do."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from punie_trace import ConfigurationError, Experiment
from punie_trace.cli.main import app
from punie_trace.driver.schedule import Shard
from punie_trace.engine.fleet.messages import StageOrder
from punie_trace.engine.fleet.shares import check_shares, own_arrivals, own_queries
from punie_trace.engine.plan import make_plan
from punie_trace.records import Query

URL = {"kind": "url", "url": "http://127.0.0.1:9/v1"}
OURS = {"kind": "punie", "model_path": "some/target"}
QUERIES = tuple(Query(f"q{number}", f"Question {number}?") for number in range(5))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"server": URL}, "give --concurrency 2 or more"),
        ({"concurrency": 2, "server": URL, "repeat_contaminated": True}, "ask from one generator"),
        ({"concurrency": 2, "server": OURS | {"fresh": "restart"}}, "fresh = 'restart' goes by rounds"),
        ({"concurrency": 2, "server": OURS | {"fresh": "forget"}}, "fresh = 'forget' goes by rounds"),
        ({"concurrency": 2, "server": URL, "agent": {"instance": object()}}, "cannot be sent to generators"),
    ],
)
def test_what_cannot_be_shared_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        check_shares(make_plan(Experiment(**settings)), 2)


def test_the_command_line_refuses_it_in_one_line(tmp_path: Path) -> None:
    arguments = ["run", "--url", URL["url"], "--out", str(tmp_path / "run"), "--generators", "3", "--concurrency", "2"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 2
    assert "cannot be shared by 3 generators" in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_message_says_what_to_install(tmp_path: Path) -> None:
    arguments = ["run", "--url", URL["url"], "--out", str(tmp_path / "run"), "--ray", "auto", "--rate", "2"]
    result = CliRunner().invoke(app, [*arguments, "--queries", "4"], catch_exceptions=False)
    assert result.exit_code == 2
    assert "pip install 'punie-trace[ray]'" in result.output


def test_what_is_whose_adds_up_to_the_stage() -> None:
    plan = make_plan(Experiment(server=URL, rounds=2, load={"rate": 5.0, "arrivals": "constant"}))
    (configuration,) = plan.configurations
    order = StageOrder((configuration.name,), configuration.load, 100, {})
    each = [list(own_queries(plan, QUERIES, order, Shard(index, 3))) for index in range(3)]
    assert sorted(one.seq for own in each for one in own) == list(range(100, 110))
    assert [own_arrivals(plan, QUERIES, order, Shard(index, 3)) for index in range(3)] == [4, 3, 3]
    # Ended after one second: five arrivals were due, at 0, 0.2, 0.4, 0.6 and 0.8 s.
    early = [own_arrivals(plan, QUERIES, order, Shard(index, 3), 1_000_000_000) for index in range(3)]
    assert early == [2, 2, 1]
