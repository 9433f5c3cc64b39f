"""Limits on what is open at once, whatever order it comes and goes in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from punie_trace.serving.admission import Admission, BodyBytes


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=50))
def test_no_more_requests_than_the_limit_are_open(limit: int, comings: list[bool]) -> None:
    admission = Admission(limit)
    for coming in comings:
        if coming:
            room = admission.open < limit
            assert admission.enter() == room
        elif admission.open:
            admission.leave()
        assert 0 <= admission.open <= limit


@given(st.integers(1, 100), st.lists(st.integers(0, 150), max_size=50))
def test_bodies_together_are_no_larger_than_the_limit_unless_one_alone_is(limit: int, sizes: list[int]) -> None:
    bodies, held = BodyBytes(limit), []
    for size in sizes:
        room = not sum(held) or sum(held) + size <= limit
        assert bodies.enter(size) == room
        if room:
            held.append(size)
        elif held:
            bodies.leave(held.pop(0))
