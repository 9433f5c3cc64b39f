from __future__ import annotations

import anyio
import pytest

from punie_trace.records import Generation
from punie_trace.spans.generation_log import GenerationLog, current_generations, finished_generations

pytestmark = pytest.mark.anyio


class Request:
    """An open request that enters itself when its query is over."""

    def __init__(self, log: GenerationLog) -> None:
        self.log = log
        self.index = log.begin(self)

    def abandon(self) -> None:
        self.log.append(Generation(self.index, self.index), self.index)


def test_requests_are_numbered_as_they_begin_and_kept_as_they_finish() -> None:
    log = GenerationLog()
    first, second = Request(log), Request(log)
    log.append(Generation(7, 8))
    assert Request(log).index == 3
    second.abandon()
    assert [g.sent_ns for g in log.finished] == [7, 1]
    log.abandon_open()
    assert [g.sent_ns for g in log.finished] == [7, 1, first.index, 3]
    log.abandon_open()
    assert len(log.finished) == 4


async def test_tasks_and_threads_find_the_log_of_their_query() -> None:
    assert finished_generations() == ()

    def append(number: int) -> None:
        log = current_generations.get()
        assert log is not None
        log.append(Generation(number, number))

    async def in_a_thread() -> None:
        await anyio.to_thread.run_sync(append, 1)

    token = current_generations.set(GenerationLog())
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(in_a_thread)
        append(2)
        assert [g.sent_ns for g in finished_generations()] == [1, 2]
    finally:
        current_generations.reset(token)
