from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.trace import Link, SpanKind, StatusCode

from punie_trace.errors import RunFolderError
from punie_trace.spans.clock import Clock
from punie_trace.spans.codec import from_line
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.span import Span
from punie_trace.spans.span_file import SpanFile

if TYPE_CHECKING:
    from tests.spans.conftest import Traced


def read(path: Path) -> list[Span]:
    return [row for line in path.read_text().splitlines() for row in from_line(line)]


def test_what_is_written_is_what_ended(traced: Traced, tmp_path: Path) -> None:
    file = SpanFile(tmp_path / "spans.jsonl")
    traced.provider.add_sink(file)
    tracer = traced.provider.get_tracer("lib", "2")
    with tracer.start_as_current_span("outer") as outer:
        inner = tracer.start_span("inner", kind=SpanKind.CLIENT, links=[Link(outer.get_span_context())])
        inner.set_attributes({"text": "größer\n", "numbers": [1, 2], "flag": True, "share": 0.5})
        inner.add_event("first", {"n": 1}, timestamp=7)
        inner.set_status(StatusCode.ERROR, "went wrong")
        inner.end()
    assert file.written == 2
    first, second = read(file.path)
    kept = traced.kept.one("inner")
    assert kept.context is not None
    assert kept.parent is not None
    assert first.trace_id == f"{kept.context.trace_id:032x}"
    assert first.span_id == f"{kept.context.span_id:016x}"
    assert first.parent_id == f"{kept.parent.span_id:016x}" == second.span_id
    assert (first.start_ns, first.end_ns) == (kept.start_time, kept.end_time)
    assert (first.name, first.kind, first.error) == ("inner", "CLIENT", "went wrong")
    assert first.attributes == {"text": "größer\n", "numbers": (1, 2), "flag": True, "share": 0.5}
    assert [(event.name, event.time_ns, event.attributes) for event in first.events] == [("first", 7, {"n": 1})]
    assert second.parent_id is None
    line = file.path.read_text().splitlines()[0]
    assert '"service.name"' in line
    assert '"scope":{"name":"lib","version":"2"}' in line
    assert f'"links":[{{"traceId":"{first.trace_id}","spanId":"{second.span_id}"}}]' in line


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="--out"):
        SpanFile(tmp_path / "none" / "spans.jsonl")


def test_an_existing_file_is_continued(traced: Traced, tmp_path: Path) -> None:
    for name in ("a", "b"):
        file = SpanFile(tmp_path / "spans.jsonl")
        provider = make_tracer_provider(traced.clock, "run", [file])
        provider.get_tracer("t").start_span(name).end()
        provider.shutdown()
    assert [row.name for row in read(file.path)] == ["a", "b"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_remembered_and_raised_to_the_owner(traced: Traced) -> None:
    file = SpanFile(Path("/dev/full"))
    traced.provider.add_sink(file)
    file.check()
    for _ in range(3):
        traced.provider.get_tracer("t").start_span("s").end()
    assert (file.written, file.lost) == (0, 3)
    with pytest.raises(RunFolderError, match=r"3 span\(s\) could not be written to /dev/full: No space left"):
        file.check()


def test_a_line_that_the_disk_cut_short_spoils_no_other(traced: Traced, tmp_path: Path) -> None:
    file = SpanFile(tmp_path / "spans.jsonl")
    traced.provider.add_sink(file)
    tracer = traced.provider.get_tracer("t")
    tracer.start_span("whole").end()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.path.stat().st_size + 40, limits[1]))
    try:
        tracer.start_span("cut").end()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    tracer.start_span("after").end()
    lines = file.path.read_text().splitlines()
    assert len(lines) == 3
    assert [row.name for line in (lines[0], lines[2]) for row in from_line(line)] == ["whole", "after"]
    assert len(lines[1]) == 40
    assert (file.written, file.lost) == (2, 1)
    with pytest.raises(RunFolderError):
        file.check()


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    file = SpanFile(tmp_path / "spans.jsonl")
    tracer = make_tracer_provider(Clock.start(), "run", [file]).get_tracer("t")

    def work() -> None:
        for _ in range(100):
            tracer.start_span("s", attributes={"text": "x" * 500}).end()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(file.path)) == file.written == 400


def test_spans_after_the_end_are_counted(traced: Traced, tmp_path: Path) -> None:
    file = SpanFile(tmp_path / "spans.jsonl")
    traced.provider.add_sink(file)
    file.close()
    file.close()
    traced.provider.get_tracer("t").start_span("late").end()
    assert (file.written, file.lost) == (0, 1)


def test_what_ended_survives_a_kill(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from punie_trace.spans.clock import Clock\n"
        "from punie_trace.spans.provider import make_tracer_provider\n"
        "from punie_trace.spans.span_file import SpanFile\n"
        "tracer = make_tracer_provider(Clock.start(), 'r', [SpanFile(Path(sys.argv[1]))]).get_tracer('t')\n"
        "open_ = tracer.start_span('open')\n"
        "for n in range(20): tracer.start_span(f'ended {n}').end()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "spans.jsonl"
    done = subprocess.run([sys.executable, "-c", script, os.fspath(path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert [row.name for row in read(path)] == [f"ended {n}" for n in range(20)]
