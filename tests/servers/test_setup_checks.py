"""What can be known to be wrong before a server starts is said, all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from punie_trace.errors import ConfigurationError, ModelError
from punie_trace.servers.kinds import CommandConfig, MlxLmConfig, UrlConfig
from punie_trace.servers.setup_checks import check_setup


def test_a_sound_configuration_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "k")
    assert check_setup(CommandConfig(command=("python3", "{port}"), api_key_env="TEST_KEY")) == []
    assert check_setup(UrlConfig(url="http://127.0.0.1:1")) == []


def test_every_problem_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    problems = check_setup(CommandConfig(command=("no-such-program", "{port}"), api_key_env="TEST_KEY"))
    assert all(isinstance(problem, ConfigurationError) for problem in problems)
    assert [str(problem) for problem in problems] == [
        "api_key_env names TEST_KEY, which is not set; export it and run again",
        "the command 'no-such-program' was not found; check its name and PATH",
    ]


def test_a_program_is_looked_for_on_the_servers_own_path(tmp_path: Path) -> None:
    program = tmp_path / "served"
    program.write_text("#!/bin/sh\n")
    config = CommandConfig(command=("served", "{port}"), environment={"PATH": str(tmp_path)})
    assert "not found" in str(check_setup(config)[0])
    program.chmod(0o755)
    assert check_setup(config) == []


def test_a_file_that_is_no_program_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    (problem,) = check_setup(CommandConfig(command=(str(tmp_path / "data"), "{port}")))
    assert "is not executable; make it so" in str(problem)


def test_a_key_that_no_header_can_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-é")
    (problem,) = check_setup(UrlConfig(url="http://127.0.0.1:1", api_key_env="TEST_KEY"))
    assert "holds characters that no HTTP header can" in str(problem)
    assert "sk-" not in str(problem)


def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "gopher://proxy:70")
    (problem,) = check_setup(UrlConfig(url="http://model.example/v1"))
    assert "the kind 'gopher', which is unknown" in str(problem)


def test_a_model_and_an_adapter_that_are_not_there(tmp_path: Path) -> None:
    (problem,) = check_setup(MlxLmConfig(model_path=str(tmp_path / "none")))
    assert isinstance(problem, ModelError)
