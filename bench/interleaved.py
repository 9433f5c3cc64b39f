"""What two conversations that take turns cost the draft model: tokens that it reads again, and the time that takes.

Purpose: a draft model has a cache of its own. With room for one text only, conversations that take turns (several
agents at one server, or one agent with a sub-agent) have it read their whole prompt again at each turn.
Background: the target is served from its prompt caches, so its own prefill of a turn is short; so should the draft's
be. Both conversations begin with the same system prompt and tools.
Output: for each turn, tokens of the text, tokens that the draft read ('lag'), its time for them, and the time of the
whole turn; then the means over the turns after the first of each conversation.

    python bench/interleaved.py [--tokens 3000] [--turns 4] [--limit BYTES]
"""

from __future__ import annotations

import argparse
import statistics
import time

import mlx.core as mx
from mlx_lm import load
from mlx_lm.models.cache import make_prompt_cache
from speculative_workloads import workloads

from punie_trace.models import shipped_model
from punie_trace.speculative import ModelDrafter, Speculation, SpeculativeDecoder


class Timed(ModelDrafter):
    """Keeps how far behind it was when it was told to read, and how long that took."""

    lags: list[int]
    seconds: list[float]

    def prepare(self, context) -> None:
        self.lags.append(self.lag(context))
        begun = time.perf_counter()
        super().prepare(context)
        self.seconds.append(time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=3000, help="length of each conversation's first prompt")
    parser.add_argument("--turns", type=int, default=4, help="turns of each conversation")
    parser.add_argument("--conversations", type=int, default=2)
    parser.add_argument("--limit", type=int, default=None, help="bytes for the draft's caches; 0 keeps one text only")
    args = parser.parse_args()
    target, draft = (load(str(folder))[:2] for folder in shipped_model())
    for model, _ in (target, draft):
        model.set_dtype(mx.float32)
    drafter = Timed(draft[0]) if args.limit is None else Timed(draft[0], cache_limit=args.limit)
    drafter.lags, drafter.seconds = [], []
    decoder = SpeculativeDecoder(*target, drafter)
    pieces = [prompt.tokens for prompt in workloads(*target, 12, 16)]
    texts = []
    for number in range(args.conversations):
        body = [token for prompt in pieces[number:] + pieces[:number] for token in prompt[150:]]
        texts.append((pieces[0][:150] + body * (1 + args.tokens // len(body)))[: args.tokens])
    caches = [make_prompt_cache(target[0]) for _ in texts]
    later: list[tuple[int, float, float]] = []
    for turn in range(args.turns):
        for name, (text, cache) in enumerate(zip(texts, caches, strict=True)):
            begun = time.perf_counter()
            stream = decoder.stream_generate(
                text[cache[0].offset :],
                max_tokens=32,
                prompt_cache=cache,
                cached_tokens=text[: cache[0].offset],
                speculation=Speculation("fixed", 3, "model"),
            )
            text += [made.token for made in stream]
            whole = time.perf_counter() - begun
            lag, seconds, held = drafter.lags[-1], drafter.seconds[-1], drafter.nbytes / 1e6
            print(
                f"turn {turn + 1} of {'ABCDEFGH'[name]}: {len(text):5} tokens, the draft read {lag:5} in "
                f"{1e3 * seconds:6.0f} ms, the turn took {1e3 * whole:6.0f} ms; drafter holds {held:.1f} MB"
            )
            text += pieces[turn % len(pieces)][-40:]
            if turn:
                later.append((lag, seconds, whole))
    lags, seconds, wholes = zip(*later, strict=True)
    print(
        f"later turns: {statistics.mean(lags):.0f} tokens read, {1e3 * statistics.median(seconds):.0f} ms of "
        f"{1e3 * statistics.median(wholes):.0f} ms a turn (medians)"
    )


if __name__ == "__main__":
    main()
