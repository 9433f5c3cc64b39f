from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from punie_trace.driver.asks import Asks

MEMORIES = st.sampled_from(["server-1 ", "server-1 salt", "server-2 "])


@given(st.lists(st.tuples(MEMORIES, st.sampled_from("abc"))))
def test_each_memory_counts_its_own_questions(entered: list[tuple[str, str]]) -> None:
    asks = Asks()
    for number, (memory, text) in enumerate(entered):
        assert asks.enter(memory, text) == entered[:number].count((memory, text))


def test_a_memory_that_forgets_is_asked_for_the_first_time_again() -> None:
    asks = Asks()
    assert [asks.enter("one", "a"), asks.enter("two", "a"), asks.enter("one", "a")] == [0, 0, 1]
    asks.forget("one")
    assert [asks.enter("one", "a"), asks.enter("two", "a")] == [0, 1]
