"""What one configuration takes more or less than another: the parts add up, whatever the figures are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.observations import Ask, Observation
from punie_trace.analysis.work_difference import work_difference
from punie_trace.records import Ledger, Outcome, Verdict

MS = 10**6
amounts = st.integers(0, 10**7)
works = st.tuples(st.integers(1, 9), st.integers(1, 999), st.integers(1, 10**7), amounts, amounts, amounts, amounts)


def observation(
    query: str, work: tuple[int, int, int, int, int, int, int], *, first: bool = True, tokens: bool = True
) -> Observation:
    generations, output, generation, queue, tools, sandbox, framework = work
    wall = generation + queue + tools + sandbox + framework
    ledger = Ledger(wall, queue, generation, tools + sandbox, framework, tools, sandbox_ns=sandbox)
    outcome = Outcome(
        0, 0, "c", query, "agent", 0, queue, wall, Verdict.CORRECT, None, "0" * 32, "", (), generations,
        10 * generations if tokens else None, output if tokens else None, None, None, None,
    )  # fmt: skip
    return Observation(outcome, Ask("a", judgeable=True, before=not first, tells_speed=first), ledger, None, ())


@given(st.lists(st.tuples(works, works), min_size=1, max_size=5))
def test_lines_add_up_to_the_time_and_parts_to_the_generation_line(pairs: list[tuple]) -> None:
    before = [observation(f"q{n}", one) for n, (one, _) in enumerate(pairs)]
    after = [observation(f"q{n}", one) for n, (_, one) in enumerate(pairs)]
    found = work_difference(before, after)
    assert found is not None
    assert found.queries == found.pairs == len(pairs)
    lines = found.client_queue_ms, found.generation_ms, found.tools_ms, found.sandbox_ms, found.framework_ms
    assert math.isclose(sum(lines), found.wall_ms, abs_tol=1e-4)
    parts = found.generation_parts
    assert parts is not None
    total = parts.generations_ms + parts.tokens_ms + parts.token_time_ms
    assert math.isclose(total, found.generation_ms, rel_tol=1e-6, abs_tol=1e-4)


def test_half_the_generations_of_the_same_kind_are_all_of_the_difference() -> None:
    found = work_difference(
        [observation("q", (4, 400, 800 * MS, 0, 0, 0, 0))], [observation("q", (2, 200, 400 * MS, 0, 0, 0, 0))]
    )
    assert found is not None
    assert found.generation_parts is not None
    assert found.generation_parts.generations_ms == pytest.approx(-400)
    assert found.generation_parts.tokens_ms == pytest.approx(0, abs=1e-6)
    assert found.generation_parts.token_time_ms == pytest.approx(0, abs=1e-6)


def test_tokens_that_a_server_does_not_tell_are_no_difference() -> None:
    work = (2, 20, MS, 0, 0, 0, 0)
    found = work_difference([observation("q", work, tokens=False)], [observation("q", work)])
    assert found is not None
    assert (found.output_tokens, found.input_tokens, found.generation_parts) == (None, None, None)
    assert found.generations == 0


def test_what_was_asked_again_is_left_out() -> None:
    work = (2, 20, MS, 0, 0, 0, 0)
    assert work_difference([observation("q", work)], [observation("q", work, first=False)]) is None
