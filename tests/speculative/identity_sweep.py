"""Token identity on the shipped pair: every way to draft against `mlx_lm.stream_generate`, over the shipped suites.

Run as a program, since rows are multiplied by another kernel than single ones only with the BLAS that servers get, and
that has to be in front when a process starts. Prints one JSON object a case, and asserts nothing: see `test_identity`.

The reference reads each prompt afresh. Ours goes on from a copy of that cache, cut back to all but the prompt's last
tokens, so that a case costs its decoding; a few cases read the prompt themselves.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm import load
from mlx_lm.generate import stream_generate
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.sample_utils import make_logits_processors
from mlx_lm.tokenizer_utils import TokenizerWrapper

from punie_trace.agent.definitions import build_tools, openai_definitions
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.models import shipped_model
from punie_trace.speculative import Speculation, SpeculativeDecoder, make_drafter
from punie_trace.suite.load import load_suite, sample_workspace

DRAFTERS: tuple[Any, ...] = ("model", "ngram", "suffix", "hybrid")
LENGTHS: tuple[int | None, ...] = (1, 2, 3, 5, 8, None)  # None: adaptive
MOST = 40
LONGEST_PROMPT = 1200
SAMPLED = 16  # queries of the longer suite
UNREAD = 4  # tokens of a prompt that ours reads for itself


@dataclass(frozen=True, slots=True)
class Case:
    """What was asked, and how it went.

    `departed` is the index of the first token that differs from the reference, and `gap` by how much the reference
    preferred its own there, in log-probability. `error` is the largest difference of log-probabilities over the tokens
    up to there, `cache_error` that of keys and values; None where the cache has another length than it should.
    """

    group: str
    prompt: str
    drafter: str
    k: int | None
    tree: bool
    processors: str
    stop: str
    tokens: int
    drafted: int
    accepted: int
    departed: int | None
    gap: float
    error: float
    cache_error: float | None
    fallback: str | None


@dataclass(frozen=True, slots=True)
class Reference:
    """What mlx-lm says to a prompt: tokens, their log-probabilities (n, V), and the cache that it leaves."""

    name: str
    prompt: list[int]
    processors: str
    plain: tuple[int, ...]
    tokens: list[int]
    logprobs: mx.array
    cache: list[Any]

    def margin(self) -> float:
        """The least distance between the best and the second best token."""
        best = mx.topk(self.logprobs, 2, axis=-1)
        return float(mx.min(mx.max(best, axis=-1) - mx.min(best, axis=-1)))


class Pair:
    """The shipped models in single precision, with the suites' prompts as the agent sends them."""

    def __init__(self) -> None:
        target, draft = shipped_model()
        self.model, self.tokenizer = load(str(target))[:2]
        self.draft, self.draft_tokenizer = load(str(draft))[:2]
        self.toolbox = Toolbox(Workspace(sample_workspace()))
        self.definitions = openai_definitions(build_tools(self.toolbox.functions().values()))

    def decoder(self, kind: Any = "hybrid") -> SpeculativeDecoder:
        """One that has learnt nothing yet."""
        drafter = make_drafter(
            kind, target_tokenizer=self.tokenizer, draft_model=self.draft, draft_tokenizer=self.draft_tokenizer
        )
        return SpeculativeDecoder(self.model, self.tokenizer, drafter)

    def prompts(self, suite: str, *, answered: bool) -> Iterator[tuple[str, list[int]]]:
        """Names and tokens: the question of each query, and where `answered` what follows its first tool call."""
        for query in load_suite(suite).queries:
            messages: list[dict[str, Any]] = [
                {"role": "system", "content": SYSTEM_PROMPT},
                {"role": "user", "content": query.text},
            ]
            tokens = self.rendered(messages)
            yield query.name, tokens
            if not answered or query.expected == "direct":
                continue
            call = self.first_call(tokens)
            result = str(self.toolbox.functions()[call["name"]](**call["arguments"]))
            messages.append(
                {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]}
            )
            messages.append({"role": "tool", "content": result})
            yield f"{query.name}, answered", self.rendered(messages)[:LONGEST_PROMPT]

    def rendered(self, messages: list[dict[str, Any]]) -> list[int]:
        """The tokens of a conversation with the agent's tools."""
        return self.tokenizer.apply_chat_template(
            messages, tools=self.definitions, add_generation_prompt=True, tokenize=True
        )

    def first_call(self, tokens: list[int]) -> dict[str, Any]:
        """The tool call that the model writes."""
        text = "".join(made.text for made in stream_generate(self.model, self.tokenizer, tokens, max_tokens=96))
        written = text.split(self.tokenizer.tool_call_start)[1].split(self.tokenizer.tool_call_end)[0]
        return json.loads(written)


def processors(name: str, tokens: Sequence[int]) -> list[Any]:
    """Fresh logits processors. The bias forbids some of what would be said, so that it matters."""
    if name == "penalty":
        return make_logits_processors(repetition_penalty=1.3, repetition_context_size=24)
    if name == "bias":
        return make_logits_processors(logit_bias=dict.fromkeys(tokens[3:12:4], -12.0))
    if name == "both":
        return [*processors("bias", tokens), *processors("penalty", tokens)]
    return []


def refer(
    model: nn.Module,
    tokenizer: TokenizerWrapper,
    name: str,
    prompt: list[int],
    applied: str = "",
    plain: Sequence[int] = (),
) -> Reference:
    """What mlx-lm generates, with a cache of its own. `plain` is what it said without processors."""
    cache = make_prompt_cache(model)
    applying = processors(applied, plain)
    made = list(
        stream_generate(model, tokenizer, prompt, max_tokens=MOST, prompt_cache=cache, logits_processors=applying)
    )
    tokens = [one.token for one in made]
    return Reference(name, prompt, applied, tuple(plain), tokens, mx.stack([one.logprobs for one in made]), cache)


def attempt(
    decoder: SpeculativeDecoder,
    wanted: Reference,
    speculation: Speculation,
    *,
    group: str,
    stop: int | None = None,
    where: str = "",
    fresh: bool = False,
) -> Case:
    """One generation of ours, ended after `stop` tokens, held against the reference."""
    cache, read = make_prompt_cache(decoder.model), 0
    if not fresh:
        cache, read = copy.deepcopy(wanted.cache), len(wanted.prompt) - UNREAD
        for layer in cache:
            layer.trim(layer.offset - read)
    stream = decoder.stream_generate(
        wanted.prompt[read:],
        max_tokens=MOST,
        prompt_cache=cache,
        cached_tokens=wanted.prompt[:read],
        logits_processors=processors(wanted.processors, wanted.plain),
        speculation=speculation,
    )
    made = list(itertools.islice(stream, stop))
    stream.close()  # ty: ignore[missing-attribute]
    record = decoder.last_generation
    assert record is not None
    tokens = [one.token for one in made]
    expected = wanted.tokens[:stop]
    departed = next((i for i, (a, b) in enumerate(zip(tokens, expected, strict=False)) if a != b), None)
    if departed is None and len(tokens) != len(expected):
        departed = min(len(tokens), len(expected))
    rows = len(expected) if departed is None else min(departed + 1, len(tokens), len(expected))
    theirs = wanted.logprobs[:rows]
    error = mx.max(mx.abs(mx.stack([one.logprobs for one in made[:rows]]) - theirs)).item() if rows else 0.0
    gap = 0.0
    if departed is not None:
        alike = departed < min(len(tokens), len(expected))
        gap = float(theirs[-1, expected[departed]] - theirs[-1, tokens[departed]]) if alike else float("inf")
    return Case(
        group,
        wanted.name,
        speculation.drafter or "",
        None if speculation.mode == "adaptive" else speculation.k,
        speculation.tree,
        wanted.processors,
        where,
        len(tokens),
        record.drafted,
        record.accepted,
        departed,
        gap,
        float(error),  # ty: ignore[invalid-argument-type]
        difference(cache, wanted.cache, len(wanted.prompt) + len(tokens) - 1) if departed is None else 0.0,
        record.fallback,
    )


def difference(ours: list[Any], theirs: list[Any], length: int) -> float | None:
    """The largest difference of keys and values over `length` tokens; None where ours does not hold just that many."""
    largest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        if one.offset != length or other.offset < length:
            return None
        for mine, yours in zip(one.keys_and_values(), other.keys_and_values(), strict=True):
            if mine.shape[2] != length:
                return None
            largest = max(largest, float(mx.max(mx.abs(mine - yours[..., :length, :]))))
    return largest


def ways() -> list[Speculation]:
    """Every drafter, length and form of draft."""
    return [
        Speculation("adaptive" if k is None else "fixed", k, drafter, None, tree)
        for tree in (False, True)
        for k in LENGTHS
        for drafter in DRAFTERS
    ]


def drafts(decoder: SpeculativeDecoder) -> list[tuple[int, int]]:
    """Where each draft of the last generation began among its tokens, and how many of its tokens were accepted."""
    record = decoder.last_generation
    assert record is not None
    found, at = [], 0
    for one in record.rounds:
        if one.drafted:
            found.append((at, one.accepted))
        at += one.emitted
    return found


def cases(pair: Pair, *, whole: bool = False) -> Iterator[Case]:
    """Every query of both suites, every way, kind of processor and place to stop, though not all with all of them.

    `whole` crosses them all: many minutes.
    """
    order, plain = random.Random(0), itertools.count()
    for number, (name, prompt) in enumerate(pair.prompts("discrimination", answered=True)):
        wanted = refer(pair.model, pair.tokenizer, name, prompt)
        yield margin_of(wanted)
        decoder = pair.decoder()
        every = ways()
        order.shuffle(every)  # so that what a drafter has seen before differs
        answered = name.endswith("answered")
        some = every if whole else every[:6] if answered else ways()[next(plain) % 4 :: 4]  # a drafter for each
        for at, way in enumerate(some):
            yield attempt(decoder, wanted, way, group="ways", fresh=at < 1)
        for applied in ("penalty", "bias", "both"):
            processed = refer(pair.model, pair.tokenizer, name, prompt, applied, wanted.tokens)
            yield margin_of(processed)
            for way in every if whole else every[6 + number :: 48]:
                yield attempt(decoder, processed, way, group="processors")
        yield from stopped(pair, wanted, DRAFTERS if whole else DRAFTERS[number % 4 :][:1], order)
    decoder, turn = pair.decoder(), itertools.cycle(ways())
    forty = list(pair.prompts("discrimination-40", answered=False))
    for number, (name, prompt) in enumerate(forty if whole else order.sample(forty, SAMPLED)):
        wanted = refer(pair.model, pair.tokenizer, name, prompt, ("", "penalty")[number % 2])
        yield margin_of(wanted)
        for way in ways() if whole else itertools.islice(turn, 0, 7, 7):
            yield attempt(decoder, wanted, way, group="forty")


def stopped(pair: Pair, wanted: Reference, drafters: Sequence[Any], order: random.Random) -> Iterator[Case]:
    """The reader goes away at the first token of a draft, inside it, at its last token, and at the target's own."""
    for drafter in drafters:
        way = Speculation("fixed", order.choice((3, 5, 8)), drafter, None, order.random() < 0.5)
        decoder = pair.decoder()
        for _ in range(1 + (drafter == "suffix")):  # one with a store has seen the answer then
            attempt(decoder, wanted, way, group="")
        long = [(at, accepted) for at, accepted in drafts(decoder) if accepted > 2]
        if not long:
            continue
        at, accepted = order.choice(long)
        places = {"first": 1, "inside": accepted // 2 + 1, "last": accepted, "own": accepted + 1}
        for where, more in places.items():
            yield attempt(decoder, wanted, way, group="stops", stop=at + more, where=where)


def margin_of(wanted: Reference) -> Case:
    """A line for the reference itself: `gap` is its least margin between best and second best."""
    said, margin, tokens = wanted.processors, wanted.margin(), len(wanted.tokens)
    return Case("reference", wanted.name, "", None, False, said, "", tokens, 0, 0, None, margin, 0.0, 0.0, None)


if __name__ == "__main__":
    for found in cases(Pair(), whole="--whole" in sys.argv):
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
