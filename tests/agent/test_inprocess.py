"""The thread that owns a model in this process: its end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from punie_trace.agent.inprocess import InprocessModel
from punie_trace.agent.options import AskOptions
from punie_trace.agent.turns import Message
from punie_trace.errors import ModelError
from punie_trace.spans.clock import Clock
from tests.tiny_model import make_model

pytestmark = pytest.mark.anyio


class Streams:
    """In which threads streams of mlx were let go of."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def clear(self) -> None:
        self.threads.append(threading.current_thread().name)

    def cleared(self) -> bool:
        until = time.monotonic() + 20
        while not self.threads and time.monotonic() < until:
            time.sleep(0.01)
        return [name.startswith("mlx_") for name in self.threads] == [True]


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    streams = Streams()
    monkeypatch.setattr("mlx.core.clear_streams", streams.clear)
    return streams


async def test_its_thread_lets_go_of_its_streams_and_begins_nothing_more(streams: Streams, tmp_path: Path) -> None:
    model = InprocessModel(str(make_model(tmp_path / "model", layers=1)))
    question: list[Message] = [{"role": "user", "content": "x"}]
    _, generation = await model.generate(question, [], AskOptions("m", max_tokens=2), Clock.start())
    assert generation.output_tokens == 2
    assert not streams.threads
    model.close()
    assert streams.cleared()
    with pytest.raises(RuntimeError):
        await model.generate(question, [], AskOptions("m"), Clock.start())


def test_a_model_that_cannot_be_loaded_leaves_no_thread(streams: Streams, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot load"):
        InprocessModel(str(tmp_path))
    assert streams.cleared()
