"""The controller on a made-up machine: near the best fixed length where drafting wins, near plain where it loses."""

from __future__ import annotations

import pytest

from punie_trace.speculative.adaptive import AdaptiveController
from punie_trace.speculative.controller import FixedController, Offer
from tests.speculative.simulated import World


def flat(m: int) -> float:
    return 10 + 0.3 * (m - 1)


def steep(m: int) -> float:
    """A mixture of experts: every row loads more of them."""
    return 10 + 6.0 * (m - 1)


def knee(m: int) -> float:
    return 10 + 0.2 * (m - 1) if m <= 8 else 12 + 4 * (m - 8)


def best_fixed(**world: object) -> tuple[float, int]:
    """Tokens a millisecond, and the length."""
    rates = [(World(**world).run(FixedController(k), 1500).rate(), k) for k in (0, 1, 2, 3, 5, 7, 10, 14)]  # ty: ignore
    return max(rates)


@pytest.mark.parametrize("verify", [flat, knee])
@pytest.mark.parametrize("acceptance", [0.5, 0.75, 0.92])
def test_a_model_is_drafted_with_at_least_as_well_as_at_the_best_fixed_length(verify, acceptance: float) -> None:
    best, _ = best_fixed(verify=verify, acceptance=acceptance)
    controller = AdaptiveController()
    world = World(verify, acceptance).run(controller, 300)
    world.forget()
    assert world.run(controller, 1500).rate() > 0.97 * best


def test_copies_are_taken_as_far_as_they_hold() -> None:
    best, k = best_fixed(verify=flat, text=0.6, copied=0.9, model=False)
    controller = AdaptiveController()
    world = World(flat, text=0.6, copied=0.9, model=False).run(controller, 300)
    world.forget()
    assert world.run(controller, 1500).rate() > 0.95 * best
    assert k > 3


@pytest.mark.parametrize("text", [0.0, 0.5])
@pytest.mark.parametrize("verify", [flat, steep])
def test_drafts_that_are_never_right_cost_next_to_nothing(verify, text: float) -> None:
    world = World(verify, acceptance=0.0, text=text, copied=0.0, noisy=False)
    controller = AdaptiveController()
    plain = 1 / verify(1)
    assert world.run(controller, 400).rate() > 0.95 * plain
    world.forget()
    assert world.run(controller, 2000).rate() > 0.98 * plain


def test_no_draft_is_much_longer_than_what_was_timed() -> None:
    controller = AdaptiveController()
    world = World(steep, text=1.0, copied=0.95, model=False, noisy=False)
    longest = 1
    for _ in range(200):
        world.run(controller, 1)
        assert world.lengths[-1] <= 2 * longest + 1
        longest = max(longest, 1 + world.lengths[-1])
    assert longest > 4


def dear(m: int) -> float:
    return 10 + 3.0 * (m - 1)


@pytest.mark.parametrize("seed", range(200, 206))
def test_a_new_server_loses_little_in_one_answer_of_copies_that_are_never_right(seed: int) -> None:
    world, controller = World(dear, text=0.8, model=False, noisy=False, seed=seed), AdaptiveController()
    while world.tokens < 100:
        world.run(controller, 1)
    assert world.rate() * dear(1) > 0.94


def test_it_backs_off_where_verification_costs_more_than_it_wins() -> None:
    controller = AdaptiveController()
    world = World(steep, acceptance=0.45, noisy=False).run(controller, 500)
    world.forget()
    world.run(controller, 1000)
    assert world.rate() > 0.98 / steep(1)
    assert sum(n > 0 for n in world.lengths) < 100


def test_it_notices_that_drafting_has_begun_to_pay() -> None:
    controller = AdaptiveController()
    World(flat, acceptance=0.0).run(controller, 1500)
    world = World(flat, acceptance=0.9).run(controller, 1500)
    world.forget()
    best, _ = best_fixed(verify=flat, acceptance=0.9)
    assert world.run(controller, 1000).rate() > 0.9 * best


def test_it_notices_that_drafting_no_longer_pays() -> None:
    controller = AdaptiveController()
    World(flat, acceptance=0.9).run(controller, 1000)
    world = World(flat, acceptance=0.0).run(controller, 1000)
    assert world.rate() > 0.93 / flat(1) / 1.1  # one round in ten is noisy, and counts in both


def test_another_objective_is_kept_to() -> None:
    controller = AdaptiveController()
    World(flat, acceptance=0.75).run(controller, 300, 0.85)
    world = World(flat, acceptance=0.75, seed=2).run(controller, 1500, 0.85)
    assert world.accepted / world.drafted > 0.82
    freely = World(flat, acceptance=0.75, seed=2).run(AdaptiveController(), 1500)
    assert freely.accepted / freely.drafted < world.accepted / world.drafted


def test_nothing_is_decided_without_offers_or_before_anything_was_measured() -> None:
    controller = AdaptiveController()
    assert controller.decide([Offer(drafter="model", limit=8)]).at is None
    World(flat, acceptance=0.9).run(controller, 20)
    assert controller.decide([]).at is None


def test_no_draft_is_longer_than_its_limit() -> None:
    controller = AdaptiveController(longest=5)
    world = World(flat, acceptance=0.99, text=0.5, copied=0.99).run(controller, 400)
    assert max(world.lengths) == 5


def test_a_long_text_to_read_first_counts() -> None:
    controller = AdaptiveController()
    World(flat, acceptance=0.55, step=2.0).run(controller, 400)
    near = controller.decide([Offer(drafter="model", limit=8, lag=0)])
    far = controller.decide([Offer(drafter="model", limit=8, lag=500_000)])
    assert near.at == 0
    assert far.at is None


def test_a_fixed_controller_is_fixed() -> None:
    controller = FixedController(3)
    short = Offer(drafter="suffix", free=True, limit=9, matches=(2,))
    long = Offer(drafter="suffix", free=True, limit=2, matches=(6, 7))
    model = Offer(drafter="model", limit=60)
    assert (controller.decide([short, model]).at, controller.decide([long, model]).at) == (1, 0)
    assert controller.decide([long, model]).k == 2
    assert controller.decide([short]).at == 0
    assert controller.decide([]).at is None
