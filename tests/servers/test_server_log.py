"""A server's log is bounded, and its end stays readable."""

from __future__ import annotations

import time
from pathlib import Path

from punie_trace.servers.server_log import LogLimit, log_tail, older_part


def test_a_log_within_its_limit_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "s.log"
    log.write_bytes(b"x" * 100)
    LogLimit(log, most=100, kept=10).check()
    assert log.read_bytes() == b"x" * 100
    assert not older_part(log).exists()


def test_a_log_beyond_its_limit_keeps_its_end(tmp_path: Path) -> None:
    log = tmp_path / "s.log"
    with log.open("ab") as server:
        server.write(b"begin" + b"x" * 200 + b"the end\n")
        server.flush()
        limit = LogLimit(log, most=100, kept=8)
        limit.check()
        server.write(b"goes on\n")  # in append mode, as servers are started
        server.flush()
    assert older_part(log).read_bytes() == b"the end\n"
    assert log.read_text() == "[punie-trace: the log had 213 bytes; the end of them is in s.log.1]\ngoes on\n"
    assert log_tail(log).endswith("goes on")
    assert limit.cut_bytes == 213


def test_a_flood_is_kept_within_bounds_while_it_comes(tmp_path: Path) -> None:
    log = tmp_path / "s.log"
    limit = LogLimit(log, most=1_000_000, kept=1000)
    log.touch()
    limit.start()
    with log.open("ab") as server:
        for _ in range(60):
            server.write(b"y" * 100_000)
            server.flush()
            time.sleep(0.02)
    limit.stop()
    assert limit.cut_bytes > 0
    assert log.stat().st_size < 3_000_000
    assert older_part(log).stat().st_size == 1000
