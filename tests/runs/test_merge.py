"""Parts into one run: everything in order and on one clock, each query's times as its own host measured them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace import read_run as read_as_user
from punie_trace.analysis.ledger import check_ledger, turn_spans
from punie_trace.runs.header import Clock, ConfigurationRecord, OffsetRecord, PartRecord, RunHeader
from punie_trace.runs.merge import clock_of, goes_on, merge_parts, running
from punie_trace.runs.part_lines import moved_outcomes, moved_spans
from punie_trace.runs.reader import read_run
from punie_trace.runs.stored_header import write_header_file
from punie_trace.runs.writer import RunWriter
from punie_trace.spans import names
from punie_trace.spans.codec import from_line, to_line
from punie_trace.spans.span import Span, SpanEvent, SpanSource
from tests.analysis.test_turns import Talk
from tests.synthetic_run import ANCHOR, ARMS, MS, QUERIES, make_header, make_query

ARM = ARMS["baseline"]
S = 1_000_000_000
OFFSETS = {"ahead-0": (3 * S, 0.0), "behind-1": (-200 * MS, 0.0), "drifting-2": (0, 50e-6)}
EACH = 8


def part(name: str, number: int, *, offset: bool = True, **changes: object) -> PartRecord:
    ahead, drift = OFFSETS.get(name, (0, 0.0))
    record = OffsetRecord(
        at_ns=ANCHOR, offset_ns=ahead, drift=drift, uncertainty_ns=MS, first_ns=ANCHOR, last_ns=ANCHOR + S, readings=9
    )
    return PartRecord(
        name=name,
        host=name,
        generator=number,
        clock=Clock(anchor_wall_ns=ANCHOR + ahead, anchor_monotonic_ns=0),
        offset=record if offset else None,
        status="done",
        arrivals=EACH,
    ).model_copy(update=changes)


def write_part(folder: Path, one: PartRecord, *, first: int = EACH) -> None:
    """Queries of every third place, due one second after another on the run's clock, written by the part's own."""
    chance = random.Random(one.generator)
    theirs = clock_of(one.offset) if one.offset is not None else None
    with RunWriter(folder / "parts" / one.name, make_header()) as writer, writer.spans_path.open("wb") as spans:
        for number in range(first):
            seq = number * 3 + one.generator
            due = ANCHOR + seq * S
            query = QUERIES[seq % len(QUERIES)]
            due = due if theirs is None else theirs.to_theirs(due)
            outcome, rows = make_query(seq, 1, "baseline", ARM, query, due, chance)
            root = rows[-1]
            rows = [*(with_parent(row, root) for row in rows[:-1]), root]
            spans.writelines(map(to_line, rows))
            writer.append_outcome(outcome)


def with_parent(row: Span, root: Span) -> Span:
    source = SpanSource({names.SERVICE_NAME: names.SERVICE}, "punie_trace")
    return Span(
        row.trace_id, row.span_id, root.span_id, row.name, row.kind, row.start_ns, row.end_ns, row.attributes,
        row.events, source=source,
    )  # fmt: skip


def header_with(*parts: PartRecord) -> RunHeader:
    configuration = ConfigurationRecord(path="agent", server=None, kind="url")
    return make_header().model_copy(
        update={"parts": parts, "status": "done", "configurations": {"baseline": configuration}}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run whose three generators had clocks of their own, not merged yet."""
    parts = [part(name, number) for number, name in enumerate(OFFSETS)]
    with RunWriter(tmp_path / "run", header_with(*parts)):
        pass
    for one in parts:
        write_part(tmp_path / "run", one)
    return tmp_path / "run"


def test_outcomes_of_all_parts_are_in_order_on_the_runs_clock(folder: Path) -> None:
    run = read_run(folder)
    assert run.header.merged
    assert [one.seq for one in run.outcomes] == list(range(3 * EACH))
    assert all(abs(one.due_ns - (ANCHOR + one.seq * S)) <= 1 for one in run.outcomes)
    assert {one.name: one.outcomes for one in run.header.parts} == dict.fromkeys(OFFSETS, EACH)
    assert not run.problems


def test_a_ledger_is_as_its_own_host_measured_it(folder: Path) -> None:
    own = {
        one.seq: (one.sent_ns - one.due_ns, one.done_ns - one.sent_ns)
        for name in OFFSETS
        for one in read_run(folder / "parts" / name).outcomes
    }
    run = read_run(folder)
    assert {one.seq: (one.sent_ns - one.due_ns, one.done_ns - one.sent_ns) for one in run.outcomes} == own
    for outcome in run.outcomes:
        rows = run.traces[outcome.trace_id]
        root = rows[-1]
        assert (root.start_ns, root.end_ns) == (outcome.due_ns, outcome.done_ns)
        assert root.attributes[names.SENT_NS] == outcome.sent_ns
        assert all(root.start_ns <= row.start_ns <= row.end_ns <= root.end_ns for row in rows)
        assert all(row.start_ns <= event.time_ns <= row.end_ns for row in rows for event in row.events)
    assert not read_as_user(folder).summary.ledger_errors


def test_spans_of_another_host_say_by_how_much_they_were_moved(folder: Path) -> None:
    run = read_run(folder)
    by_seq = {one.seq: run.traces[one.trace_id] for one in run.outcomes}
    assert by_seq[0][-1].attributes[names.CLOCK_SHIFT] == 3 * S
    assert by_seq[1][-1].attributes[names.CLOCK_SHIFT] == -200 * MS
    assert by_seq[0][0].source.resource[names.CLOCK_UNCERTAINTY] == MS
    ends = [rows[-1].end_ns for rows in run.traces.values()]
    assert all(before <= after for before, after in pairwise(ends))


def test_merging_again_changes_nothing(folder: Path) -> None:
    first = merge_parts(folder, read_run(folder).header)
    files = {name: (folder / name).read_bytes() for name in ("outcomes.jsonl", "spans.jsonl", "conditions.jsonl")}
    assert merge_parts(folder, first) == first
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert not list(folder.glob(".*.tmp"))


def test_a_part_that_was_cut_off_is_read_up_to_there_and_what_is_missing_is_counted(tmp_path: Path) -> None:
    whole = part("whole-0", 0)
    cut = part("cut-1", 1, status="lost", problem="it was ended by SIGKILL")
    never = part("never-2", 2, status="lost", problem="it never came up")
    run = tmp_path / "run"
    with RunWriter(run, header_with(whole, cut, never)):
        pass
    write_part(run, whole)
    write_part(run, cut, first=5)
    for name in ("outcomes.jsonl", "spans.jsonl"):
        file = run / "parts" / "cut-1" / name
        file.write_bytes(file.read_bytes()[:-40])
    found = read_run(run)
    assert len(found.outcomes) == EACH + 4
    assert [one.unaccounted for one in found.header.parts] == [None, EACH - 4, EACH]
    assert any(
        "cut-1 was lost (it was ended by SIGKILL); 4 of its 8 queries have no outcome" in finding
        for finding in found.header.findings
    )
    assert read_as_user(run).summary.configurations["baseline"].outcomes == EACH + 4


def test_a_part_whose_clock_was_not_compared_is_merged_and_said_to_be(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunWriter(run, header_with(part("alone-0", 0, offset=False))):
        pass
    write_part(run, part("alone-0", 0, offset=False))
    found = read_run(run)
    assert len(found.outcomes) == EACH
    assert any("could not be compared" in finding for finding in found.header.findings)


def test_while_the_runner_lives_a_reader_leaves_the_parts_alone(folder: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from punie_trace.runs.merge import running\n"
        "with running(Path(sys.argv[1])):\n    print('locked', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "locked\n"
        assert goes_on(folder)
        found = read_run(folder)
        assert (found.outcomes, found.header.merged) == ((), False)
        assert any("goes on" in problem for problem in found.problems)
        runner.kill()
    assert not goes_on(folder)
    assert len(read_run(folder).outcomes) == 3 * EACH


def test_a_lock_is_given_back(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    assert not goes_on(tmp_path)


HOSTILE = '"due_ns":1,"sent_ns":2,"done_ns":3 "startTimeUnixNano":"5" \\ "key":"punie.sent_ns","value":{"intValue":"7"'


@settings(max_examples=50, deadline=None)
@given(st.integers(-(10**10), 10**10), st.text())
def test_what_a_model_or_a_tool_wrote_is_never_taken_for_a_time(shift: int, text: str) -> None:
    text += HOSTILE
    event = SpanEvent("first_chunk", ANCHOR + 5, {"startTimeUnixNano": text})
    source = SpanSource({"service.name": text}, "x")
    child = Span("a" * 32, "b" * 16, "c" * 16, text, "CLIENT", ANCHOR + 1, ANCHOR + 7, {"text": text}, (event,))
    root = Span(
        "a" * 32, "c" * 16, None, text, "INTERNAL", ANCHOR, ANCHOR + 9, {text: text, names.SENT_NS: ANCHOR},
        source=source,
    )  # fmt: skip
    (moved,) = moved_spans([to_line(child), to_line(root)], lambda _: shift, 5)
    (back,), (end,) = (from_line(line) for line in moved.lines)
    assert moved.at_ns == ANCHOR + 9 + shift
    (unmoved,) = from_line(to_line(child))
    assert (back.name, back.attributes) == (unmoved.name, unmoved.attributes)
    assert [one.time_ns for one in back.events] == [ANCHOR + 5 + shift]
    assert (end.start_ns, end.end_ns, end.attributes[names.SENT_NS]) == (
        ANCHOR + shift,
        ANCHOR + 9 + shift,
        ANCHOR + shift,
    )
    assert end.attributes.get(names.CLOCK_SHIFT, 0) == -shift


def test_arguments_that_look_like_times_are_left_alone() -> None:
    line = json.dumps(
        {
            "seq": 0, "round": 1, "configuration": HOSTILE, "query": "q", "path": "http", "due_ns": 10, "sent_ns": 11,
            "done_ns": 12, "answer": HOSTILE, "tool_calls": [{"due_ns": 1, "sent_ns": 2, "done_ns": 3}],
        },
        separators=(",", ":"),
    ).encode() + b"\n"  # fmt: skip
    (moved,) = moved_outcomes([line], lambda due: due)
    values = json.loads(moved.lines[0])
    assert (values["due_ns"], values["sent_ns"], values["done_ns"]) == (20, 21, 22)
    assert values["tool_calls"] == [{"due_ns": 1, "sent_ns": 2, "done_ns": 3}]
    assert values["configuration"] == values["answer"] == HOSTILE


def test_a_sessions_turns_are_moved_with_it_and_its_arguments_are_not() -> None:
    like = [{"due_ns": 1, "sent_ns": 2, "done_ns": 3}]
    turn = {"due_ns": 10, "sent_ns": 11, "done_ns": 12, "answer": HOSTILE}
    line = json.dumps(
        {"due_ns": 10, "sent_ns": 11, "done_ns": 40, "tool_calls": [{"turns": like}], "turns": [turn]},
        separators=(",", ":"),
    ).encode() + b"\n"  # fmt: skip
    (moved,) = moved_outcomes([line], lambda due: 5)
    values = json.loads(moved.lines[0])
    assert (values["due_ns"], values["done_ns"]) == (15, 45)
    assert values["turns"] == [{"due_ns": 15, "sent_ns": 16, "done_ns": 17, "answer": HOSTILE}]
    assert values["tool_calls"] == [{"turns": like}]


def test_the_ledgers_of_moved_turns_close() -> None:
    *below, root = Talk().turn(10, 100, 0).turn(20, 200, 90).whole()
    below = [replace(span, parent_id=root.span_id) for span in below]
    (moved,) = moved_spans([to_line(span) for span in (*below, root)], lambda _: 7, None)
    back = [span for line in moved.lines for span in from_line(line)]
    assert check_ledger(back) == check_ledger([*below, root])
    assert [span.attributes[names.TURN_SENT_NS] for span in turn_spans(back)] == [
        int(str(span.attributes[names.TURN_SENT_NS])) + 7 for span in turn_spans(below)
    ]


def test_a_header_file_is_replaced_whole(tmp_path: Path) -> None:
    write_header_file(tmp_path, {"a": 1})
    write_header_file(tmp_path, {"a": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
