"""The decoder emits what mlx-lm emits, and leaves a true cache, whatever is drafted and wherever it stops."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache, trim_prompt_cache

from punie_trace.errors import ConfigurationError, ModelError
from punie_trace.speculative import (
    AdaptiveController,
    Draft,
    DraftToken,
    FixedController,
    HybridDrafter,
    ModelDrafter,
    Monitor,
    NgramDrafter,
    Speculation,
    SpeculativeDecoder,
    SuffixDrafter,
    TemperatureSampler,
)
from punie_trace.speculative.controller import PLAIN
from tests.speculative.tiny import END, check_cache, near, reference, tiny_model, tiny_tokenizer

TARGET = tiny_model(1)
DRAFT = near(TARGET, 2, 0.02)
STRANGER = tiny_model(3, layers=1)
TOKENIZER = tiny_tokenizer()
PROMPT = [5, 9, 13, 5, 9, 13, 5, 9, 2, 40, 41, 42, 5, 9]
N = 40


def repeating(tokens: mx.array, logits: mx.array) -> mx.array:
    """A processor that pushes the text into loops, so that copied drafts have something to copy."""
    return logits + 6.0 * (mx.arange(logits.shape[-1]) == (tokens[-3] if len(tokens) > 3 else 0))


class Counting:
    """A processor with a state of its own: it forbids an answer's n-th token to be n."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        self.calls += 1
        return logits - 1e9 * (mx.arange(logits.shape[-1]) == self.calls)


def drafters():
    return {
        "model": ModelDrafter(DRAFT),
        "stranger": ModelDrafter(STRANGER),
        "ngram": NgramDrafter(),
        "suffix": SuffixDrafter(),
        "hybrid": HybridDrafter(SuffixDrafter(), ModelDrafter(DRAFT)),
    }


def run(decoder: SpeculativeDecoder, prompt=PROMPT, stop: int | None = None, **options: Any) -> list[int]:
    tokens: list[int] = []
    options = {"max_tokens": N, **options}
    stream: Any = decoder.stream_generate(prompt, **options)
    for response in stream:
        tokens.append(response.token)
        if len(tokens) == stop:
            break
    stream.close()
    return tokens


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("name", drafters())
def test_greedy_output_is_that_of_mlx_lm(name: str, tree: bool) -> None:
    wanted = reference(TARGET, TOKENIZER, PROMPT, N)
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, drafters()[name])
    for speculation in [Speculation("fixed", k=k, tree=tree) for k in (0, 1, 2, 3, 5, 8)] + [Speculation(tree=tree)]:
        cache = make_prompt_cache(TARGET)
        tokens = run(decoder, speculation=speculation, prompt_cache=cache)
        assert tokens == wanted, speculation
        check_cache(TARGET, cache, PROMPT + tokens[:-1])
    record = decoder.last_generation
    assert record is not None
    assert sum(r.emitted for r in record.rounds) >= record.emitted == len(wanted)


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("name", ["model", "hybrid"])
def test_it_can_be_stopped_at_any_token(name: str, tree: bool) -> None:
    wanted = reference(TARGET, TOKENIZER, PROMPT, N)
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, drafters()[name])
    for stop in range(1, 14):
        cache = make_prompt_cache(TARGET)
        tokens = run(decoder, stop=stop, speculation=Speculation("fixed", k=5, tree=tree), prompt_cache=cache)
        assert tokens == wanted[:stop]
        check_cache(TARGET, cache, PROMPT + tokens[:-1])


@pytest.mark.parametrize("name", drafters())
def test_logits_processors_are_called_as_in_plain_decoding(name: str) -> None:
    wanted = reference(TARGET, TOKENIZER, PROMPT, N, logits_processors=[repeating, Counting()])
    assert len(set(wanted)) < len(wanted) - 5
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, drafters()[name])
    for speculation in (Speculation("fixed", k=4), Speculation("fixed", k=4, tree=True), Speculation()):
        counting = Counting()
        tokens = run(decoder, speculation=speculation, logits_processors=[repeating, counting])
        assert tokens == wanted
        assert counting.calls - len(tokens) in (0, 1)  # one may be under way, as in mlx-lm


def test_copied_drafts_are_accepted_where_text_repeats() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, SuffixDrafter())
    run(decoder, speculation=Speculation("fixed", k=4), logits_processors=[repeating])
    record = decoder.last_generation
    assert record is not None
    assert record.accepted > 5
    assert record.by_drafter() == {"suffix": (record.drafted, record.accepted)}
    first = record.drafted
    run(decoder, speculation=Speculation("fixed", k=4), logits_processors=[repeating])
    again = decoder.last_generation
    assert again is not None
    assert first
    assert (again.acceptance or 0) > 0.9  # it has seen the whole answer before


@pytest.mark.parametrize("name", ["model", "suffix", "hybrid"])
def test_turns_of_a_conversation_continue_as_a_fresh_prefill_would(name: str) -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, drafters()[name])
    cache = make_prompt_cache(TARGET)
    text: list[int] = []
    for turn, stop in enumerate((None, 7, None, 1)):
        rest = [11 + turn, 12, 13]
        read = [*text[len(text) - (len(text) - cache[0].offset) :], *rest]
        text += rest
        wanted = reference(TARGET, TOKENIZER, text, N)[:stop]
        tokens = run(decoder, read, stop=stop, prompt_cache=cache, speculation=Speculation("fixed", k=3))
        assert tokens == wanted
        text += tokens
        check_cache(TARGET, cache, text[:-1])
    if name == "model":
        assert decoder.last_generation is not None


def test_a_draft_model_sees_the_cached_part_of_the_text() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(TARGET))
    cache = make_prompt_cache(TARGET)
    run(decoder, PROMPT, prompt_cache=cache, max_tokens=4, speculation=Speculation("fixed", k=3))
    trim_prompt_cache(cache, cache[0].offset - 10)
    run(decoder, [1, 2, 3], prompt_cache=cache, speculation=Speculation("fixed", k=3))
    record = decoder.last_generation
    assert record is not None
    assert record.acceptance == 1.0  # a copy of the target agrees only if it has read the same text
    assert (record.prompt_tokens, record.cached_tokens) == (13, 10)


def test_sampling_is_that_of_the_target_when_the_draft_is_the_target() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(TARGET), seed=1)
    run(decoder, sampler=TemperatureSampler(0.9), speculation=Speculation("fixed", k=4))
    record = decoder.last_generation
    assert record is not None
    assert record.acceptance == 1.0


@pytest.mark.parametrize("known", [True, False])
def test_sampled_tokens_follow_the_targets_distribution(known: bool) -> None:
    """The second token of an answer, over many short answers: a draft that is wrong must not show."""
    small, draft, tokens = (
        tiny_model(4, vocabulary=6),
        tiny_model(5, vocabulary=6, layers=1),
        tiny_tokenizer(list("abcdef")),
    )
    sampler = TemperatureSampler(1.5)
    decoder = SpeculativeDecoder(small, tokens, ModelDrafter(draft), seed=3)
    mx.random.seed(3)
    counts = [0] * 6
    n = 300
    for _ in range(n):
        got = run(
            decoder,
            [1, 2, 3],
            max_tokens=2,
            sampler=sampler if known else lambda logprobs: sampler(logprobs),
            speculation=Speculation("fixed", k=1),
        )
        if len(got) > 1:
            counts[got[1]] += 1
    first = sampler.probabilities(small(mx.array([[1, 2, 3]]))[:, -1])[0]
    chance = [0.0] * 6
    for token in range(5):
        after = sampler.probabilities(small(mx.array([[1, 2, 3, token]]))[:, -1])[0]
        for following in range(6):
            chance[following] += float(first[token]) * float(after[following])
    statistic = sum((c - n * p) ** 2 / (n * p) for c, p in zip(counts, chance, strict=True))
    assert statistic < 35  # five degrees of freedom: one in a million


def test_many_orders_of_sampling_options_are_accepted() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT), seed=1)
    for sampler in (
        TemperatureSampler(0.7, top_p=0.9),
        TemperatureSampler(0.7, min_p=0.1),
        TemperatureSampler(2, top_k=3),
    ):
        assert run(decoder, sampler=sampler)
    with pytest.raises(ConfigurationError, match="above 0"):
        TemperatureSampler(0.0)
    with pytest.raises(ConfigurationError, match="top_p 2"):
        TemperatureSampler(1.0, top_p=2)


def test_the_end_of_text_inside_a_draft_ends_the_answer() -> None:
    wanted = reference(TARGET, TOKENIZER, PROMPT, N)
    ending = tiny_tokenizer()
    ending.eos_token_ids = {wanted[6]}
    plain = reference(TARGET, ending, PROMPT, N)
    cache = make_prompt_cache(TARGET)
    decoder = SpeculativeDecoder(TARGET, ending, ModelDrafter(DRAFT))
    stream = decoder.stream_generate(PROMPT, max_tokens=N, prompt_cache=cache, speculation=Speculation("fixed", k=5))
    responses = list(stream)
    assert [r.token for r in responses] == plain
    assert [r.finish_reason for r in responses][-1] == "stop"
    check_cache(TARGET, cache, PROMPT + plain[:-1])


def test_responses_are_those_of_mlx_lm() -> None:
    from mlx_lm.generate import stream_generate

    wanted = list(stream_generate(TARGET, TOKENIZER, PROMPT, max_tokens=12))
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    got = list(decoder.stream_generate(PROMPT, max_tokens=12, speculation=Speculation("fixed", k=3)))
    assert [r.text for r in got] == [r.text for r in wanted]
    assert [r.finish_reason for r in got] == [r.finish_reason for r in wanted]
    assert [r.generation_tokens for r in got] == [r.generation_tokens for r in wanted]
    assert got[-1].prompt_tokens == wanted[-1].prompt_tokens
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.logprobs.shape == theirs.logprobs.shape
        assert float(mx.max(mx.abs(ours.logprobs - theirs.logprobs))) < 1e-3


def test_progress_is_reported_as_mlx_lm_does() -> None:
    from mlx_lm.generate import stream_generate

    theirs: list[tuple[int, int]] = []
    ours: list[tuple[int, int]] = []
    options: Any = {"max_tokens": 2, "prefill_step_size": 4}
    list(stream_generate(TARGET, TOKENIZER, PROMPT, prompt_progress_callback=lambda *at: theirs.append(at), **options))
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    list(decoder.stream_generate(PROMPT, prompt_progress_callback=lambda *at: ours.append(at), **options))
    assert ours == theirs


# What can go wrong


class Raising:
    """A drafter that works until it does not."""

    name = "ngram"
    free = True
    nbytes = 0

    def __init__(self, where: str) -> None:
        self.where = where

    def members(self):
        return (self,)

    def use_memory(self, memory, salt=""):
        pass

    def forget(self, salt=None):
        pass

    def prepare(self, context):
        pass

    def lag(self, context):
        return 0

    def room(self, context):
        return 100

    def _at(self, name: str):
        if self.where == name:
            raise RuntimeError("<script>no</script>")

    def begin(self, context):
        self._at("begin")

    def commit(self, emitted):
        self._at("commit")

    def end(self, context, prompt_length):
        self._at("end")

    def propose(self, context, k, *, after=(), sampler=None, alternatives=False):
        self._at("propose")
        return Draft(tuple(DraftToken(1, self.name, 0.5, 3 + at) for at in range(k)))


@pytest.mark.parametrize("where", ["begin", "propose", "commit", "end"])
def test_a_drafter_that_raises_ends_drafting_and_nothing_else(where: str) -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, Raising(where))
    cache = make_prompt_cache(TARGET)
    tokens = run(decoder, speculation=Speculation("fixed", k=2), prompt_cache=cache)
    assert tokens == reference(TARGET, TOKENIZER, PROMPT, N)
    check_cache(TARGET, cache, PROMPT + tokens[:-1])
    record = decoder.last_generation
    assert record is not None
    assert record.fallback == "drafter error: RuntimeError: <script>no</script>"
    assert run(decoder, speculation=Speculation("off")) == tokens


def test_a_draft_model_of_no_numbers_is_left_alone() -> None:
    broken = tiny_model(6)
    broken.model.norm.weight = mx.full(broken.model.norm.weight.shape, float("nan"))
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(broken))
    assert run(decoder, speculation=Speculation("fixed", k=2)) == reference(TARGET, TOKENIZER, PROMPT, N)
    record = decoder.last_generation
    assert record is not None
    assert "not numbers" in (record.fallback or "")


def test_a_target_of_no_numbers_is_a_clear_error_and_the_next_request_is_unharmed() -> None:
    def poison(tokens: mx.array, logits: mx.array) -> mx.array:
        return logits * float("nan") if len(tokens) > len(PROMPT) + 3 else logits

    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    cache = make_prompt_cache(TARGET)
    stream = decoder.stream_generate(PROMPT, logits_processors=[poison], prompt_cache=cache)
    tokens = [next(stream).token for _ in range(4)]
    with pytest.raises(ModelError, match="not numbers"):
        next(stream)
    check_cache(TARGET, cache, PROMPT + tokens[:-1])
    assert run(decoder) == reference(TARGET, TOKENIZER, PROMPT, N)


def rotating() -> list:
    return [RotatingKVCache(max_size=24, keep=4) for _ in TARGET.layers]


def quantized() -> list:
    wide = [KVCache() for _ in range(2)]
    return [layer.to_quantized(group_size=32, bits=8) for layer in wide]


def test_a_rotating_cache_is_decoded_plainly() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    cache = rotating()
    tokens = run(decoder, prompt_cache=cache)
    assert tokens == reference(TARGET, TOKENIZER, PROMPT, N, prompt_cache=rotating())
    assert cache[0].offset == len(PROMPT) + len(tokens) - 1
    record = decoder.last_generation
    assert record is not None
    assert record.fallback is not None
    assert record.fallback.startswith("cache: its cache rotates")
    assert record.drafted == 0


def test_a_quantized_cache_is_decoded_plainly() -> None:
    wide = tiny_model(7, width=32)
    for layer in wide.layers:
        assert layer.self_attn is not None
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    stream = decoder.stream_generate(PROMPT, prompt_cache=quantized())
    with pytest.raises(ValueError, match="group"):  # heads of 8 are too narrow to quantize: mlx's own error, untouched
        next(iter(stream))
    record = decoder.last_generation
    assert record is not None
    assert "quantized" in (record.fallback or "")
    assert run(decoder) == reference(TARGET, TOKENIZER, PROMPT, N)


def test_a_drafter_over_its_memory_is_left_alone() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT), draft_memory_limit=1000)
    assert run(decoder) == reference(TARGET, TOKENIZER, PROMPT, N)
    record = decoder.last_generation
    assert record is not None
    assert (record.fallback or "").startswith("memory limit: ")


def test_two_generations_at_once_do_not_disturb_each_other() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, HybridDrafter(SuffixDrafter(), ModelDrafter(DRAFT)))
    other = [30, 31, 32, 33]
    first = decoder.stream_generate(PROMPT, max_tokens=N, speculation=Speculation("fixed", k=3))
    tokens = [next(first).token for _ in range(5)]
    assert run(decoder, other) == reference(TARGET, TOKENIZER, other, N)
    record = decoder.last_generation
    assert record is not None
    assert (record.fallback or "").startswith("busy")
    tokens += [response.token for response in first]
    assert tokens == reference(TARGET, TOKENIZER, PROMPT, N)
    run(decoder, other, speculation=Speculation("fixed", k=3))
    assert decoder.last_generation is not None
    assert decoder.last_generation.drafted > 0


def test_an_iterator_that_is_dropped_frees_the_drafter() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    for _ in decoder.stream_generate(PROMPT, speculation=Speculation("fixed", k=3)):
        break
    decoder.stream_generate(PROMPT)  # never begun
    run(decoder, speculation=Speculation("fixed", k=3))
    assert decoder.last_generation is not None
    assert decoder.last_generation.fallback is None


def test_a_context_that_runs_out_stops_the_drafts() -> None:
    short = tiny_model(1)
    short.args.max_position_embeddings = len(PROMPT) + 6
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(short))
    assert run(decoder, speculation=Speculation("fixed", k=4)) == reference(TARGET, TOKENIZER, PROMPT, N)
    record = decoder.last_generation
    assert record is not None
    assert record.rounds[0].drafted > 0
    assert record.rounds[-1].drafted == 0
    decoder = SpeculativeDecoder(short, TOKENIZER, NgramDrafter())
    assert run(decoder, speculation=Speculation("fixed", k=4)) == reference(TARGET, TOKENIZER, PROMPT, N)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_tokens(n: int) -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    cache = make_prompt_cache(TARGET)
    tokens = run(decoder, max_tokens=n, speculation=Speculation("fixed", k=8), prompt_cache=cache)
    assert tokens == reference(TARGET, TOKENIZER, PROMPT, n)
    check_cache(TARGET, cache, PROMPT + tokens[:-1])


def test_no_limit_goes_on_to_the_end_of_text() -> None:
    def end_soon(tokens: mx.array, logits: mx.array) -> mx.array:
        return logits + 1e9 * (mx.arange(logits.shape[-1]) == END) if len(tokens) > 30 else logits

    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT))
    assert run(decoder, max_tokens=-1, logits_processors=[end_soon])[-1] == END


def test_what_cannot_be_asked_is_refused_at_once() -> None:
    decoder = SpeculativeDecoder(TARGET, TOKENIZER)
    with pytest.raises(ConfigurationError, match="no tokens"):
        decoder.stream_generate([])
    with pytest.raises(ConfigurationError, match="max_tokens is 0"):
        decoder.stream_generate(PROMPT, max_tokens=0)
    with pytest.raises(ConfigurationError, match="no draft model"):
        decoder.stream_generate(PROMPT, speculation=Speculation(drafter="model"))
    with pytest.raises(ConfigurationError, match="no drafter"):
        decoder.stream_generate(PROMPT, speculation=Speculation())
    with pytest.raises(ConfigurationError, match="cached_tokens names 2"):
        decoder.stream_generate(PROMPT, cached_tokens=[1, 2])
    with pytest.raises(ConfigurationError, match="did you mean 'fixed'"):
        Speculation("fixd")  # ty: ignore[invalid-argument-type]
    with pytest.raises(ConfigurationError, match="k is"):
        Speculation("fixed", k=-1)
    assert run(decoder, speculation=Speculation("fixed", k=2, drafter="ngram")) == reference(
        TARGET, TOKENIZER, PROMPT, N
    )


def test_the_monitor_adds_up() -> None:
    monitor = Monitor()
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT), monitor=monitor)
    run(decoder, speculation=Speculation("off"))
    run(decoder, speculation=Speculation("fixed", k=3))
    record, seen = decoder.last_generation, monitor.snapshot()
    assert record is not None
    assert seen.generations == 2
    assert seen.emitted == 2 * N
    assert (seen.drafted, seen.accepted) == (record.drafted, record.accepted)
    assert seen.by_position == record.by_position()
    assert seen.lengths[0] >= N
    assert seen.drafter_bytes > 0
    assert seen.cache_bytes > 0
    assert seen.speedup_probed is not None
    assert seen.speedup_estimated is not None
    assert seen.acceptance == record.acceptance
    assert all(r.draft_ns >= 0 and r.verify_ns > 0 and r.rest_ns >= 0 for r in record.rounds)


def test_a_draft_is_made_even_if_a_plain_step_is_under_way_when_it_is_decided() -> None:
    class Once(FixedController):
        calls = 0

        def decide(self, offers, min_acceptance=None):
            self.calls += 1
            return super().decide(offers) if self.calls == 6 else PLAIN

    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT), controller=Once(3))
    assert run(decoder) == reference(TARGET, TOKENIZER, PROMPT, N)
    record = decoder.last_generation
    assert record is not None
    assert [r.drafted for r in record.rounds[6:9]] == [0, 3, 0]  # the first round asks nobody


def test_a_controller_of_ones_own() -> None:
    controller = AdaptiveController(longest=2)
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, ModelDrafter(DRAFT), controller=controller)
    run(decoder)
    run(decoder)
    record = decoder.last_generation
    assert record is not None
    assert max(r.drafted for r in record.rounds) <= 2
    assert controller.plain_cost() is not None


def test_the_first_token_comes_before_anything_is_drafted_or_read_by_the_draft_model() -> None:
    drafter = ModelDrafter(DRAFT)
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, drafter, controller=AdaptiveController())
    tried = 0
    for _ in range(3):  # from the second on the controller knows costs, and might draft at once
        drafter.forget()
        stream = decoder.stream_generate(PROMPT, max_tokens=N)
        next(stream)
        assert drafter.lag([*PROMPT, 0]) == len(PROMPT)  # nothing of the prompt is read
        assert len(list(stream)) == N - 1
        record = decoder.last_generation
        assert record is not None
        assert (record.rounds[0].drafter, record.rounds[0].rows) == ("", 1)
        tried += sum(r.computed for r in record.rounds)
    assert tried > 0
