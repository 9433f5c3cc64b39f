from __future__ import annotations

from typing import Any

import pytest

from punie_trace.engine.experiment import Experiment
from punie_trace.engine.plan import make_plan
from punie_trace.engine.setup import check_configurations
from punie_trace.errors import ConfigurationError, ModelError


def refused(**configurations: Any) -> Exception:
    with pytest.raises((ConfigurationError, ModelError)) as caught:
        check_configurations(make_plan(Experiment(configurations=configurations)))
    return caught.value


def test_all_that_is_wrong_is_named_at_once_and_with_whom_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEY_THAT_IS_NOT_SET", raising=False)
    command = ["program-that-is-not-there", "--port", "{port}"]
    url = {"kind": "url", "url": "http://127.0.0.1:1/v1"}
    error = refused(
        one={"kind": "command", "command": command},
        two={"kind": "command", "command": command},
        three={**url, "api_key_env": "KEY_THAT_IS_NOT_SET"},
        four={"kind": "mlx_lm", "model_path": "/absent/model"},
        five=url,
    )
    assert type(error) is ConfigurationError
    lines = str(error).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("configurations 'one', 'two': the command 'program-that-is-not-there' was not found")
    assert lines[1].startswith("configuration 'three': ")
    assert "KEY_THAT_IS_NOT_SET" in lines[1]
    assert lines[2].startswith("configuration 'four': model_path '/absent/model' does not exist")


def test_what_concerns_all_of_them_is_said_without_their_names() -> None:
    error = refused(one={"kind": "mlx_lm", "model_path": "/absent"}, two={"kind": "punie", "model_path": "/absent"})
    assert type(error) is ModelError
    assert str(error).startswith("model_path '/absent' does not exist")


def test_what_can_be_started_is_let_pass() -> None:
    check_configurations(make_plan(Experiment(server={"kind": "url", "url": "http://127.0.0.1:1/v1"})))
