"""What all tests share: asyncio under anyio, and a network that is closed but for loopback."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

# As the command line has it, for all that tests start: logfire's plug-in for pydantic takes half a second each time.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "logfire-plugin")

import pytest
from hypothesis import settings

from tests.receiver import receiver as receiver

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("punie_trace", deadline=None)
settings.load_profile("punie_trace")


TESTS = Path(__file__).parent
LONGEST = (
    "speculative/test_identity.py",
    "test_main_path.py",
    "examples/test_agents.py",
    "examples/test_library.py",
    "engine/fleet/test_fleet.py",
    "serving/test_conversations.py",
    "serving/test_hostile_clients.py",
    "report/test_page_in_chromium.py",
    "speculative/test_decoder.py",
    "agent/test_any_stream.py",
    "recipes/test_trainer.py",
    "cli/test_interrupted.py",
)
"""Files that take longest. They come first, so that none is begun when the other process has nothing left to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, all others as they were."""
    rank = {TESTS / name: at for at, name in enumerate(LONGEST)}
    if gone := [path for path in rank if not path.is_file()]:
        raise pytest.UsageError(f"tests/conftest.py, LONGEST: {gone[0]} is not there; take it out")
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


_EXAMPLES = "examples of a property"
_examples: list[str] = []


@pytest.fixture
def count_example(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """To be called once in each example of a property test: the log then ends with how many there were."""
    count = 0

    def one_more() -> None:
        nonlocal count
        count += 1

    yield one_more
    request.node.user_properties.append((_EXAMPLES, count))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Where all reports come together, those of other processes included."""
    if report.when == "teardown":
        _examples.extend(
            f"{report.nodeid}: {value} examples" for key, value in report.user_properties if key == _EXAMPLES
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many examples were run of those properties that say so."""
    for line in sorted(_examples):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection to another machine is an error, so that no test comes to depend on one."""
    connect = socket.socket.connect
    connect_ex = socket.socket.connect_ex

    def check(address: object) -> None:
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            raise AssertionError(f"a test tried to connect to {address[0]}")

    def guarded_connect(self: socket.socket, address: tuple[str, int] | str) -> None:
        check(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: tuple[str, int] | str) -> int:
        check(address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
