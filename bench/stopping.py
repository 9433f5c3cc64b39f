"""How often `run --until decided` errs, and what it finds: the stopping rule on made-up runs whose truth is known.

Purpose: the rule aims at 5 % of runs at most with any wrong verdict, however many rounds it looks after and however
many configurations are compared. That promise rests on approximations (medians for means, few queries, estimated
spread), so that it is measured here, with the very functions that a run and its report use.

A made-up run: each query has its own time; a configuration's true gain varies from query to query by `between`, and
each time is multiplied by lognormal noise. It is looked at after each round from the third on, of at most 30. 'No
difference' is a gain of 1 on average over queries. The last column is what stopping at the first p < 0.05 would do.

    python bench/stopping.py [--runs 2000] [--most-rounds 30] [--seed 0]

Output: a line for each case: runs with any wrong verdict, share of comparisons with a true difference that was found,
and the mean number of rounds. Exit code 1 where more than 5 % (and three standard errors) are wrong.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from punie_trace.analysis.statistics import paired_ratio, settle
from punie_trace.analysis.stopping import ALPHA, decide
from punie_trace.header import Look

LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """What is true in a made-up run: the gain of each configuration, how queries differ in it, and the noise."""

    queries: int
    gains: tuple[float, ...]
    between: float
    noise: float


@dataclass(frozen=True, slots=True)
class Result:
    """Of `runs` made-up runs of one case."""

    wrong: float
    found: float | None
    rounds: float
    naive_wrong: float | None


CASES = (
    Case(5, (1.0,), 0.0, 0.10),
    Case(5, (1.0,), 0.05, 0.10),
    Case(5, (1.0,) * 4, 0.0, 0.10),
    Case(5, (1.0, 1.0, 1.0, 1.5), 0.05, 0.10),
    Case(20, (1.0,), 0.0, 0.10),
    Case(20, (1.0,) * 4, 0.05, 0.10),
    Case(5, (1.05,), 0.0, 0.10),
    Case(5, (1.1,), 0.05, 0.10),
    Case(5, (1.3,), 0.05, 0.10),
    Case(5, (1.3,) * 4, 0.05, 0.10),
    Case(5, (2.0,) * 4, 0.10, 0.10),
    Case(20, (1.05,), 0.05, 0.10),
    Case(20, (1.1,) * 4, 0.05, 0.10),
)


def simulate(case: Case, runs: int, most_rounds: int, seed: int, *, naive: bool = False) -> Result:
    """The rule on `runs` made-up runs. `naive` also tries what stopping at the first p < 0.05 would have said."""
    looks = [
        Look(last_round=number, rounds=number, spent=number / most_rounds)
        for number in range(LEAST_ROUNDS, most_rounds + 1)
    ]
    wrong = found = naive_wrong = rounds = 0
    for number in range(runs):
        chance = random.Random(seed * 1_000_003 + number)
        baseline, others = _times(case, most_rounds, chance)
        decided = decide(baseline, others, looks, seed=number)
        said = [decided.get(f"c{index}") for index in range(len(case.gains))]
        truth = ["cannot tell" if gain == 1 else "faster" if gain > 1 else "slower" for gain in case.gains]
        wrong += any(one is not None and one.verdict != true for one, true in zip(said, truth, strict=True))
        found += sum(one is not None and one.verdict == true for one, true in zip(said, truth, strict=True))
        rounds += looks[max(one.look if one is not None else len(looks) - 1 for one in said)].rounds
        naive_wrong += naive and _naive(baseline, others, truth, looks, number)
    differing = sum(gain != 1 for gain in case.gains)
    return Result(
        wrong / runs,
        found / (runs * differing) if differing else None,
        rounds / runs,
        naive_wrong / runs if naive else None,
    )


def _times(
    case: Case, rounds: int, chance: random.Random
) -> tuple[dict[tuple[str, int], float], dict[str, dict[tuple[str, int], float]]]:
    keys = [(f"q{query}", number) for query in range(case.queries) for number in range(1, rounds + 1)]
    own = {f"q{query}": chance.lognormvariate(0, 1) for query in range(case.queries)}
    baseline = {key: own[key[0]] * chance.lognormvariate(0, case.noise) for key in keys}
    others = {}
    for index, gain in enumerate(case.gains):
        gains = {query: math.log(gain) + chance.gauss(0, case.between) for query in own}
        others[f"c{index}"] = {
            key: own[key[0]] * math.exp(-gains[key[0]]) * chance.lognormvariate(0, case.noise) for key in keys
        }
    return baseline, others


def _naive(
    baseline: dict[tuple[str, int], float],
    others: dict[str, dict[tuple[str, int], float]],
    truth: Sequence[str],
    looks: Sequence[Look],
    seed: int,
) -> bool:
    """Whether a verdict is wrong that stands at the first look at which one differs from 'cannot tell'."""
    for look in looks:
        before = {key: value for key, value in baseline.items() if key[1] <= look.last_round}
        ratios = [paired_ratio(before, other, seed=seed, resamples=200) for other in others.values()]
        verdicts = [one.verdict for one in settle(ratios)]
        if any(one not in ("cannot tell", true) for one, true in zip(verdicts, truth, strict=True)):
            return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--most-rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{options.runs} made-up runs a case, looks after rounds {LEAST_ROUNDS} to {options.most_rounds}")
    print("queries  gains                between  noise  wrong   found   rounds  uncorrected: wrong")
    worst = 0.0
    for index, case in enumerate(CASES):
        null = all(gain == 1 for gain in case.gains)
        one = simulate(case, options.runs, options.most_rounds, options.seed + index, naive=null)
        worst = max(worst, one.wrong)
        gains = ", ".join(f"{gain:g}" for gain in case.gains)
        found = "-" if one.found is None else f"{one.found:.1%}"
        uncorrected = "" if one.naive_wrong is None else f"{one.naive_wrong:.1%}"
        print(
            f"{case.queries:7}  {gains:19}  {case.between:7.2f}  {case.noise:5.2f}  {one.wrong:5.1%}  {found:>6}  "
            f"{one.rounds:6.1f}  {uncorrected}",
            flush=True,
        )
    allowed = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / options.runs)
    return 1 if worst > allowed else 0


if __name__ == "__main__":
    sys.exit(main())
