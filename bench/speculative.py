"""Speculative decoding against plain decoding and against mlx-lm's, in one process, on the same target and prompts.

Purpose: which arm is fastest, by how much, and how near that is to what the measured costs and acceptance allow.

Background. All arms answer the same prompts greedily, one after another in an order shuffled for each prompt; an arm's
time is that of decoding alone, from caches that hold the prompt but its last token (target's and draft's), so that the
prompt's length does not decide. Ratios are paired by prompt and round; printed is their median with a 95 % bootstrap
interval over prompts. Every arm's tokens are compared with those of plain decoding.
Controllers keep what they learnt from one answer to the next; the store of earlier answers is emptied before each
round, since the same prompts come again.

    plain              mlx_lm.stream_generate
    mlx-lm K           mlx_lm.stream_generate with the draft model, K = 1, 2, 3, 5, 7
    fixed K            ours, the draft model, K = 3, 5
    adaptive           ours, the draft model and repeated text (hybrid), as measured
    ngram suffix       ours, adaptive, without a model
    model              ours, adaptive, the model alone
    tree               ours, hybrid, adaptive, with trees
    never              ours, adaptive, a draft model that is never right (workload 'adversarial', against plain)

Workloads: `tool` (the call that a query needs), `quote` (the answer after the tool has returned its result), `prose`
(answers without a tool), `adversarial` (all of them, with a draft that is never right).

Output: V(m) and c; a table for each workload; the theoretical limit, which is emitted V(1) / (sum over rounds of
V(rows) + proposed c V(1)), and how near each of our arms comes; memory; the cost of records; and the aims, met or not.

    uv run python bench/speculative.py [--size 150] [--prompts 24] [--rounds 3] [--dtype bfloat16] [--moe]

In half precision rows that are verified together round otherwise than single ones, so that near ties may be decided
differently: the column 'same' says how often. On Linux it starts itself anew with OpenBLAS in front, where that is
installed.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm import load
from mlx_lm.generate import stream_generate
from mlx_lm.models.cache import make_prompt_cache

sys.path.insert(0, str(Path(__file__).resolve().parent))

from padded import pad, weights_of
from pass_times import PassTimes
from speculative_workloads import Prompt, workloads

from punie_trace.models import shipped_model
from punie_trace.servers.blas import variables_for
from punie_trace.speculative import (
    AdaptiveController,
    Draft,
    HybridDrafter,
    ModelDrafter,
    NgramDrafter,
    RoundRecord,
    Speculation,
    SpeculativeDecoder,
    SuffixDrafter,
)

FIXED = (1, 2, 3, 5, 7)
ROWS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 33)


@dataclass
class Timing:
    """One answer of one arm."""

    seconds: float
    tokens: tuple[int, ...]
    drafted: int = 0
    accepted: int = 0
    rounds: tuple[RoundRecord, ...] = ()


@dataclass
class Arm:
    """A way to decode: what it was asked, and how long that took."""

    name: str
    decoder: SpeculativeDecoder | None = None
    speculation: Speculation | None = None
    k: int = 0
    timings: dict[tuple[str, int, int], Timing] = field(default_factory=dict)


class NeverRight(ModelDrafter):
    """The same draft model at the same cost and as sure of itself, but what it proposes is never right."""

    def propose(self, context, k, *, after=(), sampler=None, alternatives=False):
        draft = super().propose(context, k, after=after, sampler=sampler, alternatives=alternatives)
        wrong = [token._replace(id=0) for token in draft.tokens]  # padding, which no answer holds
        return Draft(tuple(wrong), draft.computed)


def timed(arm: Arm, model: nn.Module, draft: nn.Module, tokenizer, prompt: Prompt, caches: tuple[list, list]) -> Timing:
    """Decode one answer from prefilled caches."""
    target_cache, draft_cache = copy.deepcopy(caches[0]), copy.deepcopy(caches[1])
    last = prompt.tokens[-1:]
    tokens = []
    drafted = 0
    if arm.decoder is not None:
        drafter = arm.decoder.drafter
        if drafter is not None and any(m.name == "model" for m in drafter.members()):
            drafter.begin(prompt.tokens)
            drafter.prepare(prompt.tokens)
        begun = time.perf_counter()
        stream = arm.decoder.stream_generate(
            last,
            max_tokens=prompt.most,
            prompt_cache=target_cache,
            cached_tokens=prompt.tokens[:-1],
            speculation=arm.speculation,
        )
        tokens = [response.token for response in stream]
        seconds = time.perf_counter() - begun
        record = arm.decoder.last_generation
        assert record is not None
        return Timing(seconds, tuple(tokens), record.drafted, record.accepted, record.rounds)
    options: Any = {"prompt_cache": target_cache}
    if arm.k:
        options.update(draft_model=draft, num_draft_tokens=arm.k, prompt_cache=target_cache + draft_cache)
    begun = time.perf_counter()
    for response in stream_generate(model, tokenizer, mx.array(last), max_tokens=prompt.most, **options):
        tokens.append(response.token)
        drafted += response.from_draft
    return Timing(time.perf_counter() - begun, tuple(tokens), 0, drafted)


def forget_answers(arm: Arm) -> None:
    """Empty the store of earlier answers: the same prompts come again, and their answers must not be known already."""
    if arm.decoder is not None and arm.decoder.drafter is not None:
        for drafter in arm.decoder.drafter.members():
            if isinstance(drafter, SuffixDrafter):
                drafter.forget()


def prefilled(model: nn.Module, tokens: list[int]) -> list:
    cache = make_prompt_cache(model)
    model(mx.array([tokens[:-1]]), cache=cache)
    mx.eval([layer.state for layer in cache])
    return cache


def interval(ratios: dict[int, list[float]], seed: int = 0) -> tuple[float, float, float]:
    """The median of paired ratios and its 95 % interval, prompts drawn anew."""
    draw = np.random.default_rng(seed)
    each = [statistics.median(values) for values in ratios.values()]
    medians = [float(np.median(draw.choice(each, len(each)))) for _ in range(2000)]
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(np.median(each)), float(low), float(high)


def paired(over: Arm, under: Arm, kinds: tuple[str, ...]) -> tuple[float, float, float]:
    """How many times faster `under` is than `over`, on these workloads."""
    ratios: dict[int, list[float]] = defaultdict(list)
    for (kind, prompt, turn), timing in under.timings.items():
        if kind in kinds:
            ratios[hash((kind, prompt))].append(over.timings[kind, prompt, turn].seconds / timing.seconds)
    return interval(ratios)


def ratio_text(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f}x [{ratio[1]:.2f}, {ratio[2]:.2f}]"


def arms_for(model: nn.Module, draft: nn.Module, tokenizer) -> list[Arm]:
    def decoder(*drafters) -> SpeculativeDecoder:
        return SpeculativeDecoder(model, tokenizer, HybridDrafter(*drafters), controller=AdaptiveController())

    arms = [Arm("plain")] + [Arm(f"mlx-lm K={k}", k=k) for k in FIXED]
    arms += [Arm(f"fixed K={k}", decoder(ModelDrafter(draft)), Speculation("fixed", k=k)) for k in (3, 5)]
    arms += [
        Arm("model", decoder(ModelDrafter(draft)), Speculation()),
        Arm("ngram", decoder(NgramDrafter()), Speculation()),
        Arm("suffix", decoder(SuffixDrafter()), Speculation()),
        Arm("adaptive", decoder(SuffixDrafter(), ModelDrafter(draft)), Speculation()),
        Arm("tree", decoder(SuffixDrafter(), ModelDrafter(draft)), Speculation(tree=True)),
        Arm("never", decoder(NeverRight(draft)), Speculation()),
    ]
    return arms


def measure(args: argparse.Namespace) -> None:
    target_path, draft_path = shipped_model()
    model, tokenizer = load(str(target_path))[:2]
    draft = load(str(draft_path))[0]
    for one in (model, draft):
        one.set_dtype(getattr(mx, args.dtype))
    prompts = workloads(model, tokenizer, args.prompts, args.most)
    if args.size:
        pad(model, args.size * 1_000_000)
    device = mx.device_info().get("device_name") or mx.default_device()
    print(f"{args.dtype} on {device}")
    print(f"target {weights_of(model) / 1e6:.0f} MB, draft {weights_of(draft) / 1e6:.1f} MB, {len(prompts)} prompts")
    passes, steps = PassTimes(model), PassTimes(draft)
    arms = answered(model, draft, tokenizer, prompts, args.rounds, args.seed, passes, steps)
    cost, step = passes.costs(), steps.costs()[1]
    print("V(m) in ms:", "  ".join(f"{m}: {cost[m]:.2f} ({cost[m] / cost[1]:.2f})" for m in cost))
    print(f"c = {step / cost[1]:.3f} (draft step {step:.2f} ms)")
    report(arms, cost, step, model)


def answered(
    model: nn.Module,
    draft: nn.Module,
    tokenizer,
    prompts: list[Prompt],
    rounds: int,
    seed: int,
    passes: PassTimes,
    steps: PassTimes,
) -> list[Arm]:
    """All arms, with their timings of all prompts in so many rounds; one round before them warms up, uncounted."""
    arms = arms_for(model, draft, tokenizer)
    order = random.Random(seed)
    for turn in range(rounds + 1):
        for arm in arms:
            forget_answers(arm)
        for at, number in enumerate(order.sample(range(len(prompts)), len(prompts))):
            prompt = prompts[number]
            caches = prefilled(model, prompt.tokens), prefilled(draft, prompt.tokens)
            passes.add(ROWS)
            steps.add((1,), 4)
            for arm in order.sample(arms, len(arms)):
                timing = timed(arm, model, draft, tokenizer, prompt, caches)
                if turn:
                    arm.timings[prompt.kind, number, turn] = timing
            print(f"\rround {turn}/{rounds}, prompt {at + 1}/{len(prompts)} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return arms


def report(arms: list[Arm], cost: dict[int, float], step: float, model: nn.Module) -> None:
    named = {arm.name: arm for arm in arms}
    plain = named["plain"]
    kinds = tuple(dict.fromkeys(kind for kind, _, _ in plain.timings))
    for kind in (*kinds, "all"):
        chosen = kinds if kind == "all" else (kind,)
        fixed = max((named[f"mlx-lm K={k}"] for k in FIXED), key=lambda arm: paired(plain, arm, chosen)[0])
        print(f"\n{kind}: best fixed K of mlx-lm is {fixed.name}")
        head = ("arm", "tokens/s", "against plain", "against best fixed", "accepted", "length", "of limit", "same")
        print("{:<12}{:>9}  {:<20}{:<20}{:>9}{:>8}{:>10}{:>9}".format(*head))
        for arm in arms:
            timings = {key: t for key, t in arm.timings.items() if key[0] in chosen}
            seconds, tokens = sum(t.seconds for t in timings.values()), sum(len(t.tokens) for t in timings.values())
            drafted, accepted = sum(t.drafted for t in timings.values()), sum(t.accepted for t in timings.values())
            rounds = [r for t in timings.values() for r in t.rounds]
            same = sum(t.tokens == plain.timings[key].tokens for key, t in timings.items())
            share = "" if not rounds else f"{limit_time(rounds, cost, step) / seconds:.0%}"
            length = f"{1 + accepted / max(1, sum(r.drafted > 0 for r in rounds)):.2f}" if rounds else ""
            print(
                f"{arm.name:<12}{tokens / seconds:>9.1f}  {ratio_text(paired(plain, arm, chosen)):<20}"
                f"{ratio_text(paired(fixed, arm, chosen)):<20}{f'{accepted / drafted:.0%}' if drafted else '':>9}"
                f"{length:>8}{share:>10}{f'{same}/{len(timings)}':>9}"
            )
    aims(named, kinds, cost, step)
    memory(named["adaptive"], model)
    records(named["adaptive"])
    lengths = Counter(r.drafted for t in named["adaptive"].timings.values() for r in t.rounds)
    print("adaptive, drafted tokens a round:", "  ".join(f"{k}: {n}" for k, n in sorted(lengths.items())))


def limit_time(rounds: list[RoundRecord], cost: dict[int, float], step: float) -> float:
    """Seconds that these rounds would take if nothing cost but the forward passes."""
    measured = sorted(cost)
    total = 0.0
    for r in rounds:
        total += float(np.interp(r.rows, measured, [cost[m] for m in measured]))
        total += step * r.computed
    return total / 1e3


def aims(named: dict[str, Arm], kinds: tuple[str, ...], cost: dict[int, float], step: float) -> None:
    plain, ours, never = named["plain"], named["adaptive"], named["never"]

    def best(chosen: tuple[str, ...]) -> Arm:
        return max((named[f"mlx-lm K={k}"] for k in FIXED), key=lambda arm: paired(plain, arm, chosen)[0])

    print("\naims (median of paired ratios, 95 % interval)")
    checks = [
        ("tool: adaptive against plain", paired(plain, ours, ("tool",)), 3.0),
        ("tool: adaptive against the best fixed K", paired(best(("tool",)), ours, ("tool",)), 1.10),
        ("all: adaptive against the best fixed K", paired(best(kinds), ours, kinds), 1.05),
        ("prose: adaptive against the best fixed K", paired(best(("prose",)), ours, ("prose",)), 0.97),
        ("adversarial: never right, against plain", paired(plain, never, kinds), 0.97),
    ]
    for name, ratio, aim in checks:
        print(f"  {'met   ' if ratio[0] >= aim else 'MISSED'} {name}: {ratio_text(ratio)}, aim {aim:.2f}x")
    rounds = [r for t in ours.timings.values() for r in t.rounds]
    share = limit_time(rounds, cost, step) / sum(t.seconds for t in ours.timings.values())
    print(f"  {'met   ' if share >= 0.75 else 'MISSED'} adaptive: {share:.0%} of the theoretical limit, aim 75%")


def memory(arm: Arm, model: nn.Module) -> None:
    assert arm.decoder is not None
    assert arm.decoder.drafter is not None
    held, target = arm.decoder.drafter.nbytes, weights_of(model)
    print(f"memory of draft, its cache and the store: {held / 1e6:.1f} MB, {held / target:.1%} of the target's")


def records(arm: Arm) -> None:
    """What keeping records costs, against the rounds they are of."""
    n = 20_000
    begun = time.perf_counter_ns()
    for _ in range(n):
        RoundRecord(
            drafter="model",
            k=3,
            proposed=3,
            drafted=3,
            accepted=3,
            emitted=4,
            rows=4,
            draft_ns=time.perf_counter_ns(),
            verify_ns=time.perf_counter_ns(),
            rest_ns=time.perf_counter_ns(),
        )
    each = (time.perf_counter_ns() - begun) / n
    usual = statistics.median(r.total_ns for t in arm.timings.values() for r in t.rounds)
    print(f"records: {each / 1e3:.1f} us a round of {usual / 1e6:.1f} ms, {each / usual:.3%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=150, help="weights of the padded target in MB; 0: the shipped one")
    parser.add_argument("--prompts", type=int, default=24, help="prompts in all, over the three workloads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=96, help="tokens of an answer at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of weights, caches and passes"
    )
    parser.add_argument("--moe", action="store_true", help="V(m) and choices for a mixture of experts instead")
    args = parser.parse_args()
    if "LD_PRELOAD" in (added := variables_for(os.environ)):
        os.environ.update(added)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if args.moe:
        from speculative_moe import measure_moe

        measure_moe()
    else:
        measure(args)


if __name__ == "__main__":
    main()
