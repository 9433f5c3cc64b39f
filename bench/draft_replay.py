"""Replays recorded answers (`draft_traces`) through our drafting, at given costs: how many rounds, and what they lost.

Purpose: choose rules by counting where nothing can be timed. Background: the controller, the drafters that copy and the
rounds are the real ones; only the two models are looked up, and a pass of m rows takes V(m), a draft token c, both in
plain steps. What the controller hears is disturbed as on a busy host (`--noise`), what is added up is not.
Output: for each arm steps of plain decoding over steps taken, by category and for the first questions of a new server;
and where the rounds of `adaptive` lost: too long (rows verified in vain), too short (the draft would have gone on
rightly), drafting (time of the draft model), plain (rounds without a draft where one would have been right).

    python bench/draft_replay.py TRACES.json [--costs shipped|padded] [--noise 0.1]
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from punie_trace.speculative.adaptive import AdaptiveController
from punie_trace.speculative.controller import Controller, FixedController
from punie_trace.speculative.draft_caches import common_prefix
from punie_trace.speculative.drafting import EMPTY, Draft, Drafter, DraftToken, FreeDrafter
from punie_trace.speculative.drafting_session import DraftingPlan, DraftingSession
from punie_trace.speculative.ngram import NgramDrafter
from punie_trace.speculative.request import Speculation
from punie_trace.speculative.rounds import RoundRecord
from punie_trace.speculative.suffix import SuffixDrafter
from punie_trace.speculative.text import GeneratedText, Marks, PromptText

MS = 1_000_000
PLAIN_MS = 8.0
FIXED = (2, 3, 5, 7, 10)
FIRST = 3  # questions of a new server


@dataclass(frozen=True)
class Costs:
    """In plain steps: passes of m rows, a draft token, a token read by the draft, what a round takes besides."""

    rows: tuple[int, ...]
    passes: tuple[float, ...]
    draft: float
    reading: float
    rest: float

    def verify(self, m: int) -> float:
        if m > self.rows[-1]:
            return self.passes[-1] + (m - self.rows[-1]) * (self.passes[-1] - self.passes[-2]) / (
                self.rows[-1] - self.rows[-2]
            )
        return float(np.interp(m, self.rows, self.passes))


COSTS = {
    "shipped": Costs((1, 2, 4, 8, 16, 24, 33), (1.0, 1.17, 1.42, 1.70, 2.25, 2.9, 3.7), 0.25, 1 / 60, 0.04),
    "padded": Costs((1, 2, 4, 8, 16, 24, 33), (1.0, 1.2, 1.46, 1.81, 2.56, 3.4, 4.28), 0.07, 1 / 200, 0.01),
    "moe": Costs((1, 2, 4, 8, 16, 33), (1.0, 1.49, 2.05, 3.23, 5.0, 8.0), 0.05, 1 / 200, 0.01),
}


class RecordedModel(FreeDrafter):
    """The draft model as it was recorded."""

    name = "model"
    free = False

    def __init__(self) -> None:
        self.generation: dict[str, Any] = {}
        self.read: list[int] = []
        self.agreed = 0

    def begin(self, context) -> None:
        self.agreed = min(common_prefix(self.read, list(context)), len(context) - 1)

    def prepare(self, context) -> None:
        self.agreed = len(context) - 1

    def lag(self, context) -> int:
        return max(0, len(context) - 1 - self.agreed)

    def room(self, context) -> int:
        return 1 << 30

    def end(self, context, prompt_length) -> None:
        self.read = list(context[: self.agreed])

    def propose(self, context, k, *, after=(), sampler=None, alternatives=False) -> Draft:
        self.agreed = len(context)
        g = self.generation
        answer, said, sure = g["answer"], g["said"], g["sure"]
        begin = len(context) - len(g["prompt"])
        ids: list[int] = [*after]
        tokens = []
        while len(tokens) < k:
            at = begin + len(ids)
            wrong = next((i for i, one in enumerate(ids) if begin + i >= len(answer) or one != answer[begin + i]), None)
            if wrong is None and at < len(answer):
                one, chance = said[at], sure[at]
            else:
                rows = g["behind"].get(str(begin + wrong), []) if wrong is not None else []
                off = len(ids) - (wrong or 0) - 1
                own = wrong is not None and begin + wrong < len(said) and ids[wrong] == said[begin + wrong]
                one, chance = rows[off] if own and off < len(rows) else (-7, 0.6)
            tokens.append(DraftToken(one, self.name, chance))
            ids.append(one)
        return Draft(tuple(tokens), len(tokens)) if tokens else EMPTY


@dataclass
class Arm:
    """A way to decode, with what it took: steps by question and category."""

    name: str
    controller: Controller | None
    drafters: tuple[Drafter, ...] = ()
    fixed: int = 0
    k: int = 0
    steps: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    reading: float = 0.0
    tokens: int = 0
    rounds: int = 0
    drafted: int = 0
    accepted: int = 0
    lost: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    worst: list[tuple[float, int, str]] = field(default_factory=list)


def stock(arm: Arm, generation: dict[str, Any], costs: Costs) -> float:
    """mlx_lm's own: K tokens of the model in each round."""
    answer, said = generation["answer"], generation["said"]
    at, steps = 0, 0.0
    while at < len(answer):
        k = min(arm.fixed, len(answer) - at)
        right = 0
        while right < k and said[at + right] == answer[at + right]:
            right += 1
        steps += costs.verify(k + 1) + costs.draft * k + costs.rest
        at += right + 1
        arm.rounds += 1
        arm.drafted += k
        arm.accepted += right
    arm.reading += costs.reading * len(generation["prompt"])
    return steps


def ours(arm: Arm, generation: dict[str, Any], costs: Costs, marks: Marks, noise) -> float:
    """Our rounds, with the real controller and copies."""
    prompt, answer = generation["prompt"], generation["answer"]
    model = next((d for d in arm.drafters if isinstance(d, RecordedModel)), None)
    if model is not None:
        model.generation = generation
    text = GeneratedText(PromptText(tokens=prompt), marks)
    assert arm.controller is not None
    asked = Speculation("fixed", k=arm.k) if arm.k else Speculation(memory="conversation")
    plan = DraftingPlan(asked=asked, controller=arm.controller, drafters=arm.drafters)
    session = DraftingSession(plan, text, None)
    session.begin()
    steps = 0.0
    at, ahead, plain_before = 0, False, False

    def ns(value: float) -> int:
        return int(value * PLAIN_MS * MS * noise())

    def plain(pipelined: bool, vain=None) -> float:
        nonlocal at, plain_before
        took = 1.0 if pipelined else 1.0 + costs.rest
        spent = 0.0
        if vain is None:
            record = RoundRecord(rows=1, verify_ns=ns(took), rest_ns=0)
        else:
            spent = costs.draft * vain.draft.computed
            spent += costs.reading * (vain.lag if vain.draft.computed and vain.lag > 16 else 0)
            record = RoundRecord(
                drafter=vain.drafter,
                k=vain.k,
                proposed=vain.proposed,
                lag=vain.lag,
                draft_ns=ns(spent),
                verify_ns=ns(took),
                computed=vain.draft.computed,
            )
            arm.lost["drafting"] += spent
        text.append(answer[at])
        at += 1
        plain_before = True
        session.observe(vain.draft if vain else None, 0, record)
        return took + spent

    while at < len(answer):
        session.commit()
        arm.rounds += 1
        if session.first_token_waits and not at:
            steps += plain(False)
            before = model.lag(text.tokens) if model is not None else 0
            session.prepare()
            arm.reading += costs.reading * max(0, before - (model.lag(text.tokens) if model is not None else 0))
            continue
        choice = session.choose(480 - at - 1)
        if choice.drafts and ahead:
            session.postpone(choice)
            ahead = False
            steps += plain(True)
            continue
        if not choice.drafts:
            right = model is not None and at and generation["said"][at] == answer[at]
            was = ahead
            ahead = plain_before
            arm.lost["plain"] += bool(right)
            steps += plain(was)
            continue
        drafted = session.draft(choice)
        if not drafted.draft.tokens:
            ahead = False
            steps += plain(False, drafted)
            continue
        draft = drafted.draft
        right = 0
        left = answer[at:]
        while right < min(len(draft.tokens), len(left)) and draft.tokens[right].id == left[right]:
            right += 1
        emitted = min(right + 1, len(left))
        took = costs.verify(1 + len(draft.tokens)) + costs.rest
        reading = costs.reading * drafted.lag if draft.computed and drafted.lag > 16 else 0.0
        drafting = costs.draft * draft.computed + reading
        record = RoundRecord(
            drafter=draft.origin,
            k=drafted.k,
            proposed=drafted.proposed,
            drafted=len(draft.tokens),
            accepted=min(right, emitted),
            emitted=emitted,
            rows=1 + len(draft.tokens),
            lag=drafted.lag,
            draft_ns=ns(drafting),
            verify_ns=ns(took),
            rest_ns=0,
            computed=draft.computed,
            origins=draft.origins,
        )
        arm.lost["too long"] += costs.verify(1 + len(draft.tokens)) - costs.verify(1 + min(right, emitted))
        arm.lost["drafting"] += drafting
        if right == len(draft.tokens) and emitted == right + 1 and at + emitted < len(answer):
            arm.lost["too short"] += float(model is not None and generation["said"][at + right] == answer[at + right])
        for one in left[:emitted]:
            text.append(one)
        at += emitted
        plain_before = False
        arm.drafted += len(draft.tokens)
        arm.accepted += record.accepted
        session.observe(draft, right, record)
        steps += took + drafting
    session.end()
    return steps


def arms_for() -> list[Arm]:
    def adaptive(*drafters, name: str) -> Arm:
        return Arm(name, AdaptiveController(), drafters)

    arms = [Arm(f"mlx-lm K={k}", None, fixed=k) for k in FIXED]
    arms += [Arm(f"fixed K={k}", FixedController(k), (RecordedModel(),), k=k) for k in (5, 7)]
    return [
        *arms,
        adaptive(NgramDrafter(), name="ngram"),
        adaptive(SuffixDrafter(), name="suffix"),
        adaptive(RecordedModel(), name="model"),
        adaptive(SuffixDrafter(), RecordedModel(), name="adaptive"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path, nargs="+")
    parser.add_argument("--costs", choices=sorted(COSTS), default="shipped")
    parser.add_argument("--noise", type=float, default=0.15, help="share of rounds that take up to three times as long")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    generations: list[dict[str, Any]] = []
    for path in args.traces:
        base = 1000 * len({g["question"] // 1000 for g in generations})
        generations += [g | {"question": g["question"] + base} for g in json.loads(path.read_text())["generations"]]
    costs = COSTS[args.costs]
    marks = marks_of()
    arms = arms_for()
    chance = random.Random(args.seed)
    plain: dict[int, float] = defaultdict(float)
    category = {g["question"]: g["category"] for g in generations}
    for g in generations:
        plain[g["question"]] += len(g["answer"])

    def noise() -> float:
        usual = chance.uniform(1.0, 1.1) if args.noise else 1.0
        return usual * (chance.uniform(1.2, 3.0) if chance.random() < args.noise else 1.0)

    for arm in arms:
        for g in generations:
            took = stock(arm, g, costs) if arm.fixed else ours(arm, g, costs, marks, noise)
            arm.steps[g["question"]] += took
            arm.tokens += len(g["answer"])
    kinds = sorted(set(category.values()))
    first = sorted(category)[:FIRST]
    print(f"{len(category)} questions, {len(generations)} generations, {sum(plain.values()):.0f} tokens; {args.costs}")
    print(f"{'':<13}{'all':>6}{'read':>6}" + "".join(f"{kind:>12}" for kind in kinds) + f"{'first':>8}{'least':>7}"
          + "  rounds drafted accepted   too long, too short, drafting, plain")  # fmt: skip
    for arm in arms:

        def ratio(chosen, arm=arm) -> float:
            return sum(plain[q] for q in chosen) / sum(arm.steps[q] for q in chosen)

        row = f"{arm.name:<13}{ratio(category):6.2f}{arm.reading / sum(plain.values()):6.2f}"
        row += "".join(f"{ratio([q for q in category if category[q] == kind]):12.2f}" for kind in kinds)
        row += f"{ratio(first):8.2f}{min(plain[q] / arm.steps[q] for q in category):7.2f}"
        row += f"  {arm.rounds:6} {arm.drafted:6} {arm.accepted / max(1, arm.drafted):7.0%}   "
        total = sum(arm.steps.values())
        row += ", ".join(f"{arm.lost[key] / total:.0%}" for key in ("too long", "too short", "drafting", "plain"))
        print(row)


def marks_of() -> Marks:
    """Those of the shipped tokenizer."""
    from mlx_lm.utils import load_tokenizer

    from punie_trace.models import shipped_model

    tokenizer = load_tokenizer(shipped_model()[0])
    return Marks(tuple(tokenizer.tool_call_start_tokens), tuple(tokenizer.tool_call_end_tokens))


if __name__ == "__main__":
    main()
