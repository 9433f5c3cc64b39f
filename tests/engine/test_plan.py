from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from punie_trace.engine.experiment import Experiment
from punie_trace.engine.plan import PlannedConfiguration, make_plan
from punie_trace.errors import ConfigurationError
from punie_trace.servers.kinds import MlxLmConfig


def config(**settings: Any) -> Experiment:
    return Experiment(**settings)


MODEL: Mapping[str, str] = {"model_path": "some/target", "draft_model": "some/draft"}


def test_a_draft_model_brings_speculative_configurations_that_share_one_process() -> None:
    names = ["baseline", "speculative-2", "speculative-3", "speculative-5", "adaptive"]
    plan = make_plan(config(server=MODEL, only=names))
    groups = {c.name: c.group for c in plan.configurations}
    assert list(groups) == names
    assert groups["baseline"] != groups["speculative-2"]
    assert groups["speculative-2"] == groups["speculative-3"] == groups["speculative-5"]
    assert [c.request.get("num_draft_tokens") for c in plan.configurations] == [None, 2, 3, 5, None]
    assert plan.configurations[0].server.draft_model is None


def test_by_default_each_configuration_has_a_server_of_its_own_so_that_all_its_first_asks_count() -> None:
    groups = {c.name: c.group for c in make_plan(config(server=MODEL)).configurations}
    assert list(groups) == ["baseline", "speculative-3", "adaptive"]
    assert len(set(groups.values())) == 3


def test_without_a_draft_there_is_the_baseline_and_a_note() -> None:
    plan = make_plan(config(server={"model_path": "some/target"}))
    assert [c.name for c in plan.configurations] == ["baseline", "adaptive"]
    assert plan.configurations[1].request["speculation"] == {"mode": "adaptive", "drafter": "suffix"}
    assert "--draft-model" in plan.notes[0]


def test_our_server_serves_its_configurations_in_one_process() -> None:
    names = ["adaptive", "ngram", "suffix", "plain"]
    plan = make_plan(config(server=MODEL, only=names))
    assert [c.name for c in plan.configurations] == names
    assert {c.server.kind for c in plan.configurations} == {"punie"}
    assert len({c.group for c in plan.configurations}) == 1
    assert [c.request["cache_salt"] for c in plan.configurations] == names
    assert all(
        "cache_salt" not in c.request for c in make_plan(config(server=MODEL, concurrency=4, only=names)).configurations
    )


def test_a_configuration_of_ours_among_the_users_own() -> None:
    plan = make_plan(config(server=MODEL, configurations={"plain": {}, "quick": {"kind": "punie", "drafter": "ngram"}}))
    assert [c.server.kind for c in plan.configurations] == ["mlx_lm", "punie"]
    assert plan.configurations[1].request["speculation"] == {"mode": "fixed", "drafter": "ngram"}


def test_the_users_own_configurations_of_our_server_have_caches_and_stores_of_their_own() -> None:
    own = {
        "one": {"kind": "punie", "drafter": "ngram"},
        "two": {"kind": "punie", "drafter": "suffix"},
        "salted": {"kind": "punie", "drafter": "suffix", "cache_salt": "mine"},
        "theirs": {},
    }
    plan = make_plan(config(server=MODEL, configurations=own))
    assert [c.request.get("cache_salt") for c in plan.configurations] == ["one", "two", "mine", None]
    assert len({c.group for c in plan.configurations}) == 2
    batched = make_plan(config(server=MODEL, configurations=own, concurrency=4)).configurations
    assert [c.request.get("cache_salt") for c in batched] == [None, None, "mine", None]
    for load in ({"rate": 2.0, "duration_s": 5}, {"sweep": "concurrency=1,2"}):  # what batches has no salt
        loaded = make_plan(config(server=MODEL, configurations={"one": own["one"]}, load=load)).configurations
        assert all("cache_salt" not in c.request for c in loaded)
    shared = make_plan(config(server={**MODEL, "kind": "punie"}, configurations={"all": {}})).configurations
    assert shared[0].request["cache_salt"] == "all"
    presets = make_plan(config(server={**MODEL, "kind": "punie"})).configurations
    assert all(c.request["cache_salt"] == c.name for c in presets)


def remembers(configuration: PlannedConfiguration) -> Any:
    speculation = configuration.request.get("speculation")
    return speculation.get("memory") if isinstance(speculation, dict) else None


def test_memory_is_a_setting_of_our_servers_among_the_presets() -> None:
    names = ["baseline", "adaptive", "suffix", "code-adaptive"]
    chosen = make_plan(config(server={**MODEL, "memory": "server"}, only=names)).configurations
    assert [c.server.kind for c in chosen] == ["mlx_lm", "punie", "punie", "punie"]
    assert [remembers(c) for c in chosen] == [None, "server", "server", "server"]
    with pytest.raises(ConfigurationError, match=r"memory = 'server' is a setting of our own server"):
        make_plan(config(server={**MODEL, "memory": "server"}, path="inprocess"))
    own = {"theirs": {}, "ours": {"kind": "punie"}, "told": {"kind": "punie", "memory": "request"}}
    named = make_plan(config(server={**MODEL, "memory": "server"}, configurations=own)).configurations
    assert [remembers(c) for c in named] == [None, "server", "request"]
    with pytest.raises(ConfigurationError, match="no configuration here is one"):
        make_plan(config(server={**MODEL, "memory": "server"}, configurations={"theirs": {}}))
    with pytest.raises(ConfigurationError, match="memory"):
        make_plan(config(server={**MODEL, "memory": "always"}))
    url = {"kind": "url", "url": "http://127.0.0.1:1/v1", "memory": "server"}
    with pytest.raises(ConfigurationError, match="memory"):
        make_plan(config(server=url))


def test_above_concurrency_one_a_serial_baseline_stands_beside() -> None:
    plan = make_plan(config(server=MODEL, concurrency=4))
    serial = next(c for c in plan.configurations if c.name == "baseline-serial")
    assert isinstance(serial.server, MlxLmConfig)
    assert serial.server.decode_concurrency == 1
    assert any("batching" in note for note in plan.notes)


def test_a_url_is_the_baseline_alone() -> None:
    plan = make_plan(config(server={"kind": "url", "url": "http://127.0.0.1:1/v1"}))
    (only,) = plan.configurations
    assert (only.name, only.server.kind) == ("baseline", "url")
    assert plan.notes == ()


def test_configurations_take_the_shared_draft_where_they_name_a_number() -> None:
    plan = make_plan(config(server=MODEL, configurations={"plain": {}, "four": {"num_draft_tokens": 4}}))
    assert [c.server.draft_model for c in plan.configurations] == [None, "some/draft"]


def test_a_path_of_its_own_shares_the_server() -> None:
    plan = make_plan(config(server=MODEL, configurations={"agent": {}, "http": {"path": "http"}}))
    assert [c.path for c in plan.configurations] == ["agent", "http"]
    assert len({c.group for c in plan.configurations}) == 1


def test_inprocess_is_a_group_of_its_own() -> None:
    plan = make_plan(config(server=MODEL, configurations={"agent": {}, "here": {"path": "inprocess"}}))
    assert len({c.group for c in plan.configurations}) == 2
    with pytest.raises(ConfigurationError, match="needs kind 'mlx_lm'"):
        make_plan(config(server={"kind": "url", "url": "http://127.0.0.1:1/v1"}, path="inprocess"))


def test_only_narrows_and_names_the_nearest() -> None:
    assert [c.name for c in make_plan(config(server=MODEL, only=["speculative-3"])).configurations] == ["speculative-3"]
    with pytest.raises(ConfigurationError, match="did you mean 'speculative-3'"):
        make_plan(config(server=MODEL, only=["speculative3"]))


def test_unknown_server_settings_name_configuration_and_nearest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_plan(config(server=MODEL, configurations={"fast": {"num_draft_token": 3}}))
    assert "'fast'" in str(caught.value)
    assert "num_draft_tokens" in str(caught.value)


def test_servers_are_up_together_where_memory_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    server = {"model_path": str(tmp_path), "draft_model": str(tmp_path)}
    assert len(make_plan(config(server=server)).batches) == 1

    class Little:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    apart = make_plan(config(server=server))
    assert apart.batches == (("server-1",), ("server-2",), ("server-3",))
    assert any("one after another" in note for note in apart.notes)
    assert len(make_plan(config(server=server, together=True)).batches) == 1


def test_tool_results_are_short_for_the_shipped_model_only() -> None:
    assert make_plan(config(server=MODEL)).turn_limits.tool_output_chars == 8000
    assert make_plan(config(server=MODEL, agent={"tool_output_chars": 300})).turn_limits.tool_output_chars == 300


def test_the_tool_mode_is_a_configurations_own_or_the_experiments() -> None:
    named = config(
        server=MODEL, agent={"tools": "code"}, configurations={"calls": {"tools": "calls"}, "as-the-rest": {}}
    )
    assert {c.name: c.tools for c in make_plan(named).configurations} == {"calls": "calls", "as-the-rest": "code"}


def test_code_mode_is_there_by_name_beside_what_it_is_compared_with() -> None:
    names = ["baseline", "speculative-3", "code", "code-speculative-3"]
    plan = make_plan(config(server=MODEL, only=names))
    assert {c.name: c.tools for c in plan.configurations} == dict(
        zip(names, ("calls", "calls", "code", "code"), strict=True)
    )
    groups = {c.name: c.group for c in plan.configurations}
    assert groups["code"] == groups["baseline"]
    assert groups["code-speculative-3"] == groups["speculative-3"]
    assert {"code", "code-speculative-3"} & {c.name for c in make_plan(config(server=MODEL)).configurations} == set()
    ours = make_plan(config(server=MODEL, only=["adaptive", "code-adaptive"])).configurations
    assert [one.tools for one in ours] == ["calls", "code"]
    assert ours[0].group == ours[1].group, "one process"
    assert [one.server.model_dump()["cache_salt"] for one in ours] == ["adaptive", "code-adaptive"]
    url = config(server={"kind": "url", "url": "http://127.0.0.1:1/v1"}, only=["baseline", "code"])
    assert [c.tools for c in make_plan(url).configurations] == ["calls", "code"]


def test_a_node_needs_a_cluster() -> None:
    server = {"kind": "command", "command": ["serve", "{port}"], "node": "gpu"}
    with pytest.raises(ConfigurationError, match="add --ray"):
        make_plan(Experiment(server=server))
    assert make_plan(Experiment(server=server, fleet={"ray": "auto"})).configurations[0].server.kind == "command"
