"""What all tests share: asyncio under anyio, and a network that is closed but for loopback."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import settings

from tests.receiver import receiver as receiver

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("punie_trace", deadline=None)
settings.load_profile("punie_trace")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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
