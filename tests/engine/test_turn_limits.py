from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from punie_trace import measure
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.settings import AgentSettings
from punie_trace.engine.turn_limits import TurnLimits, answers_shipped, turn_limits
from punie_trace.models import SHIPPED_NAME, shipped_model
from punie_trace.servers.config import ServerConfig, server_config
from punie_trace.servers.identity import ServedIdentity
from punie_trace.testing import Reply, Script, Text, scripted_server


def test_the_shipped_model_has_limits_of_its_own_and_what_is_given_counts_for_any() -> None:
    assert turn_limits(AgentSettings(), shipped=True) == TurnLimits(600, 480)
    assert turn_limits(AgentSettings(), shipped=False) == TurnLimits(8000, 1024)
    assert turn_limits(AgentSettings(max_tokens=7), shipped=True) == TurnLimits(600, 7)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model in a folder of another name."""
    return Path(shutil.copytree(shipped_model()[0], tmp_path_factory.mktemp("elsewhere") / "renamed"))


URL = server_config({"kind": "url", "url": "http://127.0.0.1:1"})


def command(*words: str, **settings: str) -> ServerConfig:
    return server_config({"kind": "command", "command": [sys.executable, "{port}", *words], **settings})


def test_it_is_known_by_its_weights_wherever_they_lie_and_by_its_name(copied: Path) -> None:
    here = str(copied)
    assert answers_shipped(server_config({"kind": "mlx_lm", "model_path": here}), None)
    assert answers_shipped(command("--model", here, "--served-model-name", "x"), ServedIdentity("command", "x"))
    assert answers_shipped(command("{model}", model_path=here), ServedIdentity("command", "renamed"))
    for name in (here, f"{SHIPPED_NAME}-f32.gguf", f"/models/{SHIPPED_NAME}", f"{SHIPPED_NAME}@main"):
        assert answers_shipped(URL, ServedIdentity("url", name)), name


def test_another_model_is_not_taken_for_it(copied: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(copied, tmp_path / "other"))
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    for name in (str(other), "qwen3-4b", "org/punie-trace", str(tmp_path / "absent"), "default_model"):
        assert not answers_shipped(URL, ServedIdentity("url", name)), name
    assert not answers_shipped(command("--model", str(other)), ServedIdentity("command", "x"))


def test_a_server_at_an_address_that_serves_it_is_asked_within_its_limits(tmp_path: Path) -> None:
    script = Script(models=(f"{SHIPPED_NAME}-f32.gguf",), replies=(Reply(steps=(Text(text="yes"),)),))
    with scripted_server(script) as server:
        experiment = Experiment(server={"kind": "url", "url": server.base_url}, rounds=1, warm_up=0, path="http")
        run = measure(experiment, out=tmp_path / "run", otlp="off", otlp_metrics="off")
        asked = {request.body["max_completion_tokens"] for request in server.requests if request.body.get("tools")}
    assert asked == {480}
    record = run.header.configurations["baseline"]
    assert (record.max_tokens, record.tool_output_chars) == (480, 600)
    assert any("the shipped model is what answers" in note for note in run.header.notes)
