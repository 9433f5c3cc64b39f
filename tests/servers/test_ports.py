from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from punie_trace.servers import ports


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def test_free_ports_are_free_and_never_the_same() -> None:
    found = [ports.free_port("127.0.0.1") for _ in range(20)]
    assert len(set(found)) == 20
    assert not any(ports.in_use("127.0.0.1", port) for port in found)


def test_a_listener_is_seen_and_named(listening: int) -> None:
    assert ports.in_use("127.0.0.1", listening)
    assert ports.accepts("127.0.0.1", listening)
    assert str(os.getpid()) in str(ports.owner(listening))


def test_a_port_that_is_bound_and_not_yet_listening_is_in_use() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert ports.in_use("127.0.0.1", sock.getsockname()[1])


def test_which_process_listens(listening: int) -> None:
    us, parent = psutil.Process(), psutil.Process(os.getppid())
    assert ports.listener([parent, us], listening) == us
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert ports.listener([us], other.getsockname()[1]) == us
    assert ports.listener([us], ports.free_port("127.0.0.1")) is None


def test_what_the_system_hides_is_not_guessed(listening: int) -> None:
    class Hidden(psutil.Process):
        def net_connections(self, kind: str = "inet") -> list[object]:
            raise psutil.AccessDenied(self.pid)

    with pytest.raises(psutil.AccessDenied):
        ports.listener([Hidden()], listening)
    assert ports.listener([Hidden(), psutil.Process()], listening) == psutil.Process()


def test_a_host_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError, match=r"[Cc]annot assign|not available"):
        ports.free_port("192.0.2.1")


@pytest.mark.parametrize(("host", "address"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("localhost", "localhost")])
def test_where_to_reach_a_bound_host(host: str, address: str) -> None:
    assert ports.reachable(host) == address
