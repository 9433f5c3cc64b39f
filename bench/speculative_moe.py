"""V(m) of a small mixture of experts with random weights, and what the controller makes of it.

Each row of a pass may want other experts, so verifying m tokens costs more than reading the weights once. A drafter
that knows the answer, and says it right with a given chance, shows where drafting still wins and where the controller
backs off.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence

import mlx.core as mx
from mlx_lm import load
from mlx_lm.generate import stream_generate
from mlx_lm.models import qwen3_moe
from pass_times import pass_time

from punie_trace.models import shipped_model
from punie_trace.speculative import AdaptiveController, Draft, DraftToken, FreeDrafter, Speculation, SpeculativeDecoder


class Knowing(FreeDrafter):
    """Proposes the known answer, each token wrong with a chance of 1 - `right`, at no cost."""

    name = "knowing"

    def __init__(self, answer: Sequence[int], right: float) -> None:
        self.answer, self.right, self._random, self._at = list(answer), right, random.Random(0), 0

    def begin(self, context):
        self._at = 0

    def room(self, context):
        return len(self.answer)

    def commit(self, emitted):
        self._at += len(emitted)

    def propose(self, context, k, *, after=(), sampler=None, alternatives=False):
        true = self.answer[self._at : self._at + min(k, 12)]
        ids = [token if self._random.random() < self.right else token ^ 1 for token in true]
        return Draft(tuple([DraftToken(one, self.name, self.right, 8 + at) for at, one in enumerate(ids)]))


def measure_moe(tokens: int = 200) -> None:
    """Print V(m), and for several chances the choices and the speed against plain decoding."""
    mx.random.seed(0)
    model = qwen3_moe.Model(
        qwen3_moe.ModelArgs(
            model_type="qwen3_moe",
            hidden_size=256,
            num_hidden_layers=4,
            intermediate_size=512,
            num_attention_heads=8,
            num_key_value_heads=4,
            num_experts=32,
            num_experts_per_tok=4,
            decoder_sparse_step=1,
            mlp_only_layers=[],
            moe_intermediate_size=384,
            rms_norm_eps=1e-6,
            vocab_size=1024,
            head_dim=32,
            rope_theta=1e6,
            tie_word_embeddings=False,
            max_position_embeddings=4096,
            norm_topk_prob=True,
        )
    )
    mx.eval(model.parameters())
    tokenizer = load(str(shipped_model()[0]))[1]
    rows = (1, 2, 3, 4, 6, 8, 12)
    cost = {m: pass_time(model, m, 100, 15) for m in rows}
    print("V(m) in ms:", "  ".join(f"{m}: {cost[m]:.1f} ({cost[m] / cost[1]:.2f})" for m in rows))
    prompt = list(range(3, 40))
    answer = [r.token for r in stream_generate(model, tokenizer, prompt, max_tokens=tokens)]
    for right in (0.0, 0.3, 0.6, 0.8, 0.95):
        decoder = SpeculativeDecoder(
            model,
            tokenizer,
            Knowing(answer, right),
            controller=AdaptiveController(),
        )
        ratios, lengths = [], Counter()
        for turn in range(5):  # the first warms up
            times = {}
            for asked in random.Random(turn).sample([Speculation("off"), Speculation()], 2):
                begun = time.perf_counter()
                stream = decoder.stream_generate(prompt, max_tokens=tokens, speculation=asked)
                assert [response.token for response in stream] == answer
                times[asked.mode] = time.perf_counter() - begun
                if turn and asked.mode == "adaptive" and decoder.last_generation is not None:
                    lengths.update(decoder.last_generation.lengths())
            if turn:
                ratios.append(times["off"] / times["adaptive"])
        share = "  ".join(f"{k}: {n}" for k, n in sorted(lengths.items()))
        print(f"right {right:.0%}: {sorted(ratios)[len(ratios) // 2]:.2f}x plain; drafted a round {share}")
