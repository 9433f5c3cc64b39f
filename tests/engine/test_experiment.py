from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from punie_trace.agent.asker import AgentSource
from punie_trace.engine.experiment import Configuration, Experiment
from punie_trace.engine.plan import make_plan
from punie_trace.engine.settings import AgentSettings
from punie_trace.errors import ConfigurationError


def written(folder: Path, text: str) -> Path:
    file = folder / "punie-trace.toml"
    file.write_text(text)
    return file


def test_without_any_setting_it_is_the_default_run() -> None:
    for default in (Experiment(), Experiment.merged(None, {})):
        assert (default.suite, default.rounds, default.path, default.concurrency) == ("discrimination", 3, "agent", 1)


def test_settings_come_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, 'rounds = 7\nsuite = "a"\n[agent]\nmax_tokens = 9\n[server]\ntemp = 0.5\n')
    experiment = Experiment.from_file(
        file, rounds=2, suite=None, agent={"query_timeout_s": 5.0}, server={"model_path": "m", "url": None}
    )
    assert (experiment.rounds, experiment.suite) == (2, "a")
    assert (experiment.agent.max_tokens, experiment.agent.query_timeout_s) == (9, 5.0)
    assert experiment.server == {"temp": 0.5, "model_path": "m"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("round = 2\n", "round: unknown key; did you mean 'rounds'?"),
        ("[agent]\nmax_token = 2\n", "agent.max_token: unknown key; did you mean 'max_tokens'?"),
        ("rounds = 0\n", "rounds: Input should be greater than or equal to 1"),
        ('path = "telepathy"\n', "path: Input should be 'agent', 'imported', 'program', 'http' or 'inprocess'"),
        ("rounds = \n", "is not valid TOML"),
        ("configurations = 3\n", "a mapping of names to settings"),
        ("[configurations]\nfast = 3\n", "fast: a configuration is a table of settings"),
        ("x = " + "[" * 5000, "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        Experiment.from_file(file)
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    assert Experiment.from_file(written(tmp_path, "\ufeffrounds = 7\n")).rounds == 7


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no configuration file"):
        Experiment.from_file(tmp_path / "absent.toml")
    with pytest.raises(ConfigurationError, match="cannot read"):
        Experiment.from_file(tmp_path)


def test_configurations_are_given_as_a_list_or_as_a_mapping() -> None:
    listed = Experiment(configurations=[Configuration("a", path="http"), Configuration("b", kind="punie")])
    mapped = Experiment(configurations={"a": {"path": "http"}, "b": {"kind": "punie"}})
    assert listed.named == mapped.named
    assert [(one.name, one.path, one.server) for one in listed.named] == [
        ("a", "http", {}),
        ("b", None, {"kind": "punie"}),
    ]


@pytest.mark.parametrize(
    ("configurations", "says"),
    [
        ({"a": {"path": "htp"}}, "configuration 'a': there is no path 'htp'; did you mean 'http'"),
        ({"a": {"tools": "cod"}}, "configuration 'a': there is no tools 'cod'; did you mean 'code'"),
        ([Configuration("a"), Configuration("a")], "two configurations are called 'a'"),
        (["a"], "'a' is no Configuration"),
        ("a", "give a list of configurations"),
        ({"a": Configuration("b")}, "give a list of configurations"),
    ],
)
def test_configurations_that_cannot_be_are_refused(configurations: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Experiment(configurations=configurations)


def test_errors_are_the_packages_own_wherever_a_setting_is_wrong() -> None:
    wrong: dict[str, Any] = {"max_token": 1}
    with pytest.raises(ConfigurationError, match="did you mean 'max_tokens'"):
        AgentSettings(**wrong)
    with pytest.raises(ConfigurationError, match="name"):
        Configuration("")


def test_one_word_stands_for_a_list_of_one() -> None:
    words: dict[str, Any] = {"gates": "accuracy == 1", "only": "baseline"}
    experiment = Experiment(**words)
    assert (experiment.gates, experiment.only) == (("accuracy == 1",), ("baseline",))


def test_it_says_whether_a_model_computes_in_this_process() -> None:
    assert not Experiment().computes_here
    assert Experiment(path="inprocess").computes_here
    assert Experiment(configurations=[Configuration("here", path="inprocess")]).computes_here


URL = {"kind": "url", "url": "http://127.0.0.1:1/v1"}


def asked(**settings: Any) -> dict[str, tuple[str, AgentSource]]:
    """Path and agent of each planned configuration."""
    return {c.name: (c.path, c.agent) for c in make_plan(Experiment(server=URL, **settings)).configurations}


def test_the_built_in_agent_asks_where_none_is_given() -> None:
    assert asked() == {"baseline": ("agent", AgentSource())}


def test_an_agent_is_imported_given_as_an_object_or_is_a_program() -> None:
    def ask(question: str, endpoint: object) -> str:
        return question

    imported = asked(agent={"import": "mine.agents:helper", "deps": "mine.agents:deps"})
    assert imported == {"baseline": ("imported", AgentSource("mine.agents:helper", deps="mine.agents:deps"))}
    assert asked(agent=ask) == {"baseline": ("imported", AgentSource(instance=ask))}
    program = asked(agent={"program": ["helper", "{question}"], "environment": {"LLM_URL": "{base_url}"}})
    source = AgentSource(program=("helper", "{question}"), environment={"LLM_URL": "{base_url}"})
    assert program == {"baseline": ("program", source)}
    assert source.shown == "helper"
    assert AgentSource(instance=ask).shown == "builtins.function"


def test_a_configuration_may_have_an_agent_of_its_own_and_the_built_in_one_beside() -> None:
    both = asked(
        agent={"import": "mine:one"},
        configurations=[
            Configuration("one"),
            Configuration("two", agent={"import": "mine:two"}),
            Configuration("built-in", path="agent"),
            Configuration("bare", path="http"),
        ],
    )
    assert {name: (path, source.reference) for name, (path, source) in both.items()} == {
        "one": ("imported", "mine:one"),
        "two": ("imported", "mine:two"),
        "built-in": ("agent", None),
        "bare": ("http", None),
    }


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ({"import": "a:b", "program": ["c"]}, "import and program name two agents"),
        ({"environment": {"A": "b"}}, "there is none: add program"),
        ({"deps": "a:b"}, "there is none: add import"),
        ({"imports": "a:b"}, "unknown key; did you mean 'import'"),
        ("a:b", "give an agent, or a table"),
        ({"import": ""}, "import"),
    ],
)
def test_an_agent_that_cannot_be_is_refused(agent: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Experiment(agent=agent)


@pytest.mark.parametrize("path", ["imported", "program"])
def test_a_path_that_needs_an_agent_says_so(path: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"the path '{path}' needs"):
        asked(path=path)
