from __future__ import annotations

from pathlib import Path

import pytest

from punie_trace.engine.config import ask_path, read_config
from punie_trace.errors import ConfigurationError


def written(folder: Path, text: str) -> Path:
    file = folder / "punie-trace.toml"
    file.write_text(text)
    return file


def test_no_file_and_no_flags_is_the_default_run() -> None:
    config = read_config(None, {})
    assert (config.suite, config.rounds, config.path, config.concurrency) == ("discrimination", 3, "agent", 1)


def test_flags_come_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, 'rounds = 7\nsuite = "a"\n[agent]\nmax_tokens = 9\n[server]\ntemp = 0.5\n')
    config = read_config(
        file, {"rounds": 2, "suite": None}, agent={"query_timeout_s": 5.0}, server={"model_path": "m", "url": None}
    )
    assert (config.rounds, config.suite) == (2, "a")
    assert (config.agent.max_tokens, config.agent.query_timeout_s) == (9, 5.0)
    assert config.server == {"temp": 0.5, "model_path": "m"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("round = 2\n", "round: unknown key; did you mean 'rounds'?"),
        ("[agent]\nmax_token = 2\n", "agent.max_token: unknown key; did you mean 'max_tokens'?"),
        ("rounds = 0\n", "rounds: Input should be greater than or equal to 1"),
        ('path = "telepathy"\n', "path: Input should be 'agent', 'http' or 'inprocess'"),
        ("rounds = \n", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_config(file, {})
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no configuration file"):
        read_config(tmp_path / "absent.toml", {})
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_config(tmp_path, {})


def test_a_configuration_may_have_its_own_path() -> None:
    assert ask_path("a", {"path": "http"}, "agent") == "http"
    assert ask_path("a", {}, "agent") == "agent"
    with pytest.raises(ConfigurationError, match="no path 'htp'; did you mean 'http'"):
        ask_path("a", {"path": "htp"}, "agent")
