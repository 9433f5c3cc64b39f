from __future__ import annotations

import asyncio
import os
import signal
import threading

import anyio
import anyio.lowlevel
import pytest

from punie_trace.engine.ending import Ending

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_what_is_watched(number: signal.Signals) -> None:
    ending = Ending()
    reached = False

    async def work() -> None:
        nonlocal reached
        os.kill(os.getpid(), number)
        await anyio.sleep(20)
        reached = True

    await ending.watch(work)
    assert ending.asked
    assert not reached
    assert signal.getsignal(number) is signal.SIG_DFL


async def test_another_thread_ends_what_is_watched() -> None:
    ending = Ending()

    async def work() -> None:
        threading.Thread(target=ending.ask).start()
        await anyio.sleep(20)

    with anyio.fail_after(10):
        await ending.watch(work)
    assert ending.asked


@pytest.mark.parametrize("main_thread", [True, False])
async def test_asked_before_it_begins_nothing_begins(main_thread: bool) -> None:
    ending = Ending()
    ending.ask()
    reached = False

    async def work() -> None:
        nonlocal reached
        await anyio.lowlevel.checkpoint()
        reached = True

    if main_thread:
        await ending.watch(work)
    else:
        await anyio.to_thread.run_sync(lambda: asyncio.run(ending.watch(work)))
    assert not reached


async def test_what_is_done_was_not_ended_and_what_fails_raises() -> None:
    ending = Ending()

    async def done() -> None:
        await anyio.lowlevel.checkpoint()

    async def failing() -> None:
        raise ValueError("no")

    await ending.watch(done)
    with pytest.raises(ExceptionGroup):
        await ending.watch(failing)
    assert not ending.asked
