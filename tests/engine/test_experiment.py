from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from punie_trace.engine.experiment import AgentSettings, Configuration, Experiment
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
        ('path = "telepathy"\n', "path: Input should be 'agent', 'http' or 'inprocess'"),
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
