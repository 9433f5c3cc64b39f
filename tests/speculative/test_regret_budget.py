"""The regret budget: what may be lost, how it comes back, and that nothing comes from nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from punie_trace.speculative.regret_budget import RegretBudget


def empty(budget: RegretBudget) -> None:
    while budget.left > 0:
        budget.drafted_round(1, 5.0)


def plain_rounds_until_drafting(budget: RegretBudget) -> int:
    for count in range(1, 1000):
        budget.plain_round()
        if budget.left > 0:
            return count
    raise AssertionError("it never came back")


def test_where_drafting_never_gained_a_lost_budget_comes_back_at_the_rate_of_the_allowed_loss() -> None:
    budget = RegretBudget(8.0, 0.01)
    empty(budget)
    assert plain_rounds_until_drafting(budget) > 50


def test_one_text_that_misled_the_drafters_costs_few_rounds_where_drafting_has_been_worth_much() -> None:
    budget = RegretBudget(8.0, 0.01)
    for _ in range(50):
        budget.drafted_round(10, 3.0)
    empty(budget)
    assert plain_rounds_until_drafting(budget) < 20


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(1, 20), st.floats(0.5, 3.0))), max_size=400))
def test_what_rounds_lose_that_the_budget_allowed_is_bounded_by_what_others_gained(
    rounds: list[tuple[int, float] | None],
) -> None:
    """A round loses two plain rounds at most here, which is how far below nothing the budget may go."""
    budget = RegretBudget(8.0, 0.01)
    gained = lost = time = 0.0
    for one in rounds:
        if one is None or budget.left <= 0:
            budget.plain_round()
            time += 1
            continue
        gain = budget.drafted_round(*one)
        time += one[1]
        gained += max(0.0, gain)
        lost += max(0.0, -gain)
        assert budget.left <= 8.0
    assert lost <= 8 + 2 + 0.01 * time + 1.05 * gained + 1e-9
