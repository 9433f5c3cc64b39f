"""How often `run --until decided` errs where first asks alone count: made-up runs whose truth is known.

Purpose: `stopping` makes up runs in which every round of every query counts. Where servers remember, fewer times do,
and not the same for each comparison; the rule must err in 5 % of runs at most there, too.

Background. What counts is chosen as `analysis.asks` chooses it, verdicts are those of `decide`. Times are as in
`stopping`. Where what is asked again counted as well, its being faster (`--memory`, 3x) would be told as speed; the
column 'all asks' shows what that would do where one configuration remembers and the other does not.

    once            servers remember: each query's first ask counts, and there is one analysis, after three rounds
    warm-up         the same, but the first query was asked by the warm-up
    shared          the configurations compared share a process that the baseline does not: of each query one of them,
                    drawn at random, is asked first
    restart         a new server in each round, which warms up with another query each time: that one misses the round

Output: a line for each case: runs with any wrong verdict, those if all asks counted, comparisons with a true difference
that were found, queries that counted. Exit code 1 where a case errs beyond 5 % by more than three standard errors and
half a point.

    python bench/stopping_first_asks.py [--runs 2000] [--rounds 12] [--memory 3.0] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from stopping import LEAST_ROUNDS, Case, chunks

from punie_trace.analysis.stopping import ALPHA, decide
from punie_trace.runs.header import Look

Counting = Literal["once", "warm-up", "shared", "restart"]
Walls = dict[tuple[str, int], float]
BASELINE: Final = "baseline"


@dataclass(frozen=True, slots=True)
class Made:
    """One made-up run: wall times by configuration, and which of them were first asks."""

    walls: dict[str, Walls]
    first: dict[str, set[tuple[str, int]]]

    def counted(self) -> dict[str, Walls]:
        """Those of first asks."""
        return {name: {k: v for k, v in walls.items() if k in self.first[name]} for name, walls in self.walls.items()}


CASES: Final[tuple[tuple[Counting, Case], ...]] = (
    ("once", Case(5, (1.0,))),
    ("once", Case(17, (1.0,), 0.05)),
    ("once", Case(17, (1.0, 1.0), 0.10)),
    ("once", Case(17, (1.0,), kind="bursts")),
    ("once", Case(17, (1.3,), 0.10)),
    ("once", Case(17, (2.0, 2.5), 0.30)),
    ("warm-up", Case(5, (1.0,), 0.05)),
    ("warm-up", Case(17, (1.0, 1.0), 0.10)),
    ("shared", Case(17, (1.0, 1.0), 0.10)),
    ("shared", Case(17, (1.0, 1.0, 1.0), 0.10)),
    ("shared", Case(40, (1.0, 1.0, 1.0), kind="unequal")),
    ("shared", Case(17, (1.5, 2.0, 2.0), 0.20)),
    ("restart", Case(5, (1.0,), 0.05)),
    ("restart", Case(17, (1.0, 1.0), 0.05)),
    ("restart", Case(5, (1.3,), 0.05)),
)


def made(counting: Counting, logs: np.ndarray, memory: float, random: np.random.Generator) -> Made:
    """A run from logarithms of gains, (comparisons, queries, rounds): the last of its comparisons remembers."""
    many, queries, rounds = logs.shape
    names = [BASELINE, *(f"c{index}" for index in range(many))]
    chosen = random.integers(many, size=queries)
    first: dict[str, set[tuple[str, int]]] = {name: set() for name in names}
    walls: dict[str, Walls] = {name: {} for name in names}
    for q in range(queries):
        for n in range(rounds):
            key = f"q{q}", n + 1
            for index, name in enumerate(names):
                walls[name][key] = (1.0 + q) * (1.0 if name == BASELINE else math.exp(-logs[index - 1, q, n]))
                if counting == "restart":
                    is_first = q != n % queries
                elif counting == "shared" and name != BASELINE:
                    is_first = n == 0 and chosen[q] == index - 1
                else:
                    is_first = n == 0 and not (counting == "warm-up" and q == 0)
                if is_first:
                    first[name].add(key)
                elif name == names[-1]:
                    walls[name][key] /= memory
    return Made(walls, first)


def looks_of(counting: Counting, most: int) -> list[Look]:
    """After each round from the third on; where more rounds tell nothing, the one at which all may be spent."""
    if counting == "restart":
        return [Look(last_round=n, rounds=n, spent=n / most) for n in range(LEAST_ROUNDS, most + 1)]
    return [Look(last_round=LEAST_ROUNDS, rounds=LEAST_ROUNDS, spent=1.0)]


def verdicts(walls: dict[str, Walls], looks: list[Look]) -> dict[str, str]:
    """What is said of each comparison that is decided."""
    others = {name: one for name, one in walls.items() if name != BASELINE}
    return {name: one.verdict for name, one in decide(walls[BASELINE], others, looks).items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=12, help="the budget, where servers are new in each round")
    parser.add_argument("--memory", type=float, default=3.0, help="how many times faster an ask again is")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    slack = 3 * math.sqrt(ALPHA * (1 - ALPHA) / options.runs) + 0.005
    failed = False
    print(f"{options.runs} made-up runs a case")
    print("counting  queries  gains          between  noise     wrong   all asks    found   queries that count")
    for index, (counting, case) in enumerate(CASES):
        random = np.random.default_rng([options.seed, index])
        looks = looks_of(counting, options.rounds)
        truth = {f"c{n}": "faster" for n, gain in enumerate(case.gains) if gain > 1}
        wrong = all_wrong = found = count = 0
        for chunk in chunks(case, options.runs, looks[-1].rounds, options.seed + index):
            for logs in chunk:
                run = made(counting, logs, options.memory, random)
                counted = run.counted()
                said = verdicts(counted, looks)
                wrong += any(truth.get(name) != verdict for name, verdict in said.items())
                found += sum(truth.get(name) == verdict for name, verdict in said.items())
                all_wrong += any(truth.get(name) != verdict for name, verdict in verdicts(run.walls, looks).items())
                count += len({query for query, _ in counted["c0"]})
        rate = wrong / options.runs
        failed |= rate > ALPHA + slack
        share = f"{found / (options.runs * len(truth)):.1%}" if truth else "-"
        print(
            f"{counting:8}  {case.queries:7}  {', '.join(f'{gain:g}' for gain in case.gains):13}  {case.between:7.2f}  "
            f"{case.kind:8}  {rate:5.1%}   {all_wrong / options.runs:8.1%}  {share:>7}   {count / options.runs:5.1f}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
