"""What drafting takes and gives at long contexts: V(m), copies out of the prompt, their look-up time and memory.

Purpose: an agent's context is full of tool results; is verifying still cheap there, and are they still found?

Background. The context is source text of a code base that nobody saw (`fresh`), as long as is asked for, in the shipped
tokenizer. For V(m) the caches are filled with random keys and values of that length: the time of a pass depends on
shapes alone, and reading 32,000 tokens on a CPU takes minutes. For copies, a span of the context is taken for the
answer that quotes it: from near its beginning, its middle and its end. Each free drafter is asked again and again
behind what was emitted so far, 32 tokens at most each time; no model runs. The shipped model was trained for 8,192
positions, so that the times of longer contexts are those of a model of its shape.

Output: for each length V(1) and V(m) / V(1); for each drafter the time to take the context in, its memory, and for each
span rounds, accepted of drafted tokens, and the time of a look-up (medians); memory of the draft model, its cache and
the store against that of the target and its cache.

    python bench/long_context.py [--lengths 4000,16000,32000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

import mlx.core as mx
import mlx.nn as nn
from mlx_lm import load
from mlx_lm.models.cache import make_prompt_cache, trim_prompt_cache
from padded import weights_of

from punie_trace.models import shipped_model
from punie_trace.servers.blas import variables_for
from punie_trace.speculative import NgramDrafter, SuffixDrafter
from punie_trace.suite.fresh.questions import make_fresh

ROWS = (1, 2, 4, 8, 16, 33)
QUOTED = 200  # tokens
SHOWN = 12  # of them that are there before the first draft
LONGEST = 32
PLACES = {"beginning": 0.1, "middle": 0.5, "end": 0.9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="4000,16000,32000", help="tokens of the context")
    parser.add_argument("--repeats", type=int, default=5, help="passes of each number of rows")
    args = parser.parse_args()
    if "LD_PRELOAD" in (added := variables_for(os.environ)):
        os.environ.update(added)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    (model, tokenizer), (draft, _) = (load(str(folder))[:2] for folder in shipped_model())
    lengths = [int(length) for length in args.lengths.split(",")]
    text = source(tokenizer, max(lengths) + 1)
    for length in lengths:
        context = text[:length]
        cost = pass_times(model, length, args.repeats)
        print(
            f"\n{length} tokens: V(1) = {cost[1]:.1f} ms; V(m) / V(1): "
            + "  ".join(f"{m}: {cost[m] / cost[1]:.2f}" for m in ROWS[1:])
        )
        stores = [copies(drafter, context) for drafter in (SuffixDrafter(), NgramDrafter())]
        target, small = (weights_of(one) + cache_bytes(one, length) for one in (model, draft))
        print(
            f"  memory: target and its cache {target / 1e6:.0f} MB; draft model and its cache {small / 1e6:.1f} MB, "
            f"store {stores[0] / 1e6:.1f} MB: {(small + stores[0]) / target:.1%} of the target's"
        )


def source(tokenizer, count: int) -> list[int]:
    """At least so many tokens of Python that nobody saw."""
    tokens: list[int] = []
    seed = 7_000
    while len(tokens) < count:
        for path, text in make_fresh(40, seed).files.items():
            tokens += tokenizer.encode(f"# {path}\n{text}\n")
        seed += 1
    return tokens


def pass_times(model: nn.Module, length: int, repeats: int) -> dict[int, float]:
    """Lower quartiles in ms of passes of m rows behind `length` tokens."""
    cache = filled(model, length)
    tokens = mx.random.randint(0, 1000, (1, max(ROWS)), mx.uint32, key=mx.random.key(0))
    times: dict[int, list[float]] = {m: [] for m in ROWS}
    for turn in range(repeats + 1):
        for m in ROWS:
            begun = time.perf_counter()
            mx.eval(mx.argmax(model(tokens[:, :m], cache=cache), axis=-1))
            if turn:  # the first pass of a shape pays for what later ones find done
                times[m].append(1e3 * (time.perf_counter() - begun))
            trim_prompt_cache(cache, m)
    return {m: sorted(seen)[len(seen) // 4] for m, seen in times.items()}


def filled(model: nn.Module, length: int) -> list:
    """Caches of so many tokens, with keys and values of no meaning."""
    cache = make_prompt_cache(model)
    model(mx.array([[0]]), cache=cache)  # it shows their shapes
    for entry in cache:
        keys, values = (
            mx.random.normal((*each.shape[:2], length - 1, each.shape[3])).astype(each.dtype)
            for each in (entry.keys, entry.values)
        )
        entry.update_and_fetch(keys, values)
    mx.eval([entry.state for entry in cache])
    return cache


def cache_bytes(model: nn.Module, length: int) -> int:
    """Of keys and values of so many tokens."""
    cache = make_prompt_cache(model)
    model(mx.array([[0]]), cache=cache)
    return sum(
        length * each.shape[1] * each.shape[3] * each.dtype.size
        for entry in cache
        for each in (entry.keys, entry.values)
    )


def copies(drafter: SuffixDrafter | NgramDrafter, context: list[int]) -> int:
    """Print what a drafter finds in the context, and return the bytes that it holds of it."""
    begun = time.perf_counter()
    drafter.begin(context)
    drafter.propose(context, 1)
    taken = 1e3 * (time.perf_counter() - begun)
    held = drafter.nbytes
    found = [f"{place}: {quote(drafter, context, int(share * len(context)))}" for place, share in PLACES.items()]
    print(
        f"  {drafter.name}: takes it in in {taken:.0f} ms, holds {held / 1e6:.2f} MB; quotes from " + "; ".join(found)
    )
    return held


def quote(drafter: SuffixDrafter | NgramDrafter, context: list[int], at: int) -> str:
    """How an answer that quotes the context from `at` on is drafted."""
    answer = context[at : at + QUOTED]
    text = [*context, *answer[:SHOWN]]
    drafter.begin(context)
    drafter.commit(answer[:SHOWN])
    rounds = drafted = accepted = 0
    times = []
    while len(text) < len(context) + len(answer):
        left = answer[len(text) - len(context) :]
        begun = time.perf_counter()
        draft = drafter.propose(text, LONGEST)
        times.append(1e3 * (time.perf_counter() - begun))
        right = 0
        while right < min(len(draft.tokens), len(left)) and draft.tokens[right].id == left[right]:
            right += 1
        emitted = left[: right + 1]
        text += emitted
        drafter.commit(emitted)
        rounds, drafted, accepted = rounds + 1, drafted + len(draft.tokens), accepted + right
    drafter.end(text, len(context))
    drafter.forget()
    look_up = statistics.median(times)
    return f"{len(answer) - SHOWN} tokens in {rounds} rounds, {accepted} of {drafted} right, a look-up {look_up:.2f} ms"


if __name__ == "__main__":
    main()
