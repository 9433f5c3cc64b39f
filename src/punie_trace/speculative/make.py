"""Drafters by name, and the check that a draft model speaks the target's tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import mlx.nn as nn
from mlx_lm.tokenizer_utils import TokenizerWrapper

from punie_trace.errors import ConfigurationError, ModelError
from punie_trace.speculative.drafting import Drafter
from punie_trace.speculative.hybrid import HybridDrafter
from punie_trace.speculative.model_drafter import ModelDrafter, cache_measure, weights_of
from punie_trace.speculative.ngram import NgramDrafter
from punie_trace.speculative.registry import DrafterResources, registration, without_draft_model
from punie_trace.speculative.suffix import SuffixDrafter

_STORE = 1 << 20


class Vocabulary(Protocol):
    """What is asked of a tokenizer."""

    def get_vocab(self) -> Mapping[str, int]:
        """Every token's text and id."""
        ...


def make_drafter(
    name: str,
    *,
    target_tokenizer: Vocabulary | TokenizerWrapper,
    draft_model: nn.Module | None = None,
    draft_tokenizer: Vocabulary | TokenizerWrapper | None = None,
    max_memory: int | None = None,
) -> Drafter:
    """The drafter that is registered as `name`; 'hybrid' is 'suffix', then the model if there is one.

    `max_memory` in bytes bounds the weights of the model, the store of earlier requests (1 MiB unless told less), and
    with what is left the caches of the draft model's texts beside the one in use.
    A draft model comes with its tokenizer, so that its ids can be compared with the target's, token by token; ids that
    only its padded output has are never proposed.

    Raises `ConfigurationError` for a name that is not known or lacks its model, or for a model without its tokenizer,
    and `ModelError` for a draft model that has other ids than the target, cannot be cut back, or is larger than
    `max_memory`.
    """
    registered = registration(name)
    if draft_model is None or not registered.needs_draft_model:
        if registered.needs_draft_model and name != "hybrid":
            raise ConfigurationError(
                f"the drafter {name!r} needs a draft model: name one, or take {without_draft_model()}"
            )
        return registered.make(DrafterResources(store_limit=_STORE if max_memory is None else min(_STORE, max_memory)))
    if draft_tokenizer is None:
        raise ConfigurationError(
            "a draft model needs its tokenizer beside it (draft_tokenizer, the second thing that mlx_lm.load "
            "returns): whether both models mean the same by an id cannot be told otherwise"
        )
    check_same_ids(target_tokenizer, draft_tokenizer)
    weights = weights_of(draft_model)
    if max_memory is not None and weights > max_memory:
        raise ModelError(
            f"the draft model takes {weights / 1e6:.1f} MB, and {max_memory / 1e6:.1f} MB are allowed; "
            f"raise the limit, or take the drafter {without_draft_model()}, which need no model"
        )
    store = _STORE if max_memory is None else min(_STORE, max_memory - weights)
    caches = None
    if max_memory is not None:
        caches = max(0, min(max_memory - weights - (0 if name == "model" else _STORE), cache_measure(draft_model)))
    vocabulary = 1 + max(target_tokenizer.get_vocab().values(), default=-1)
    return registered.make(DrafterResources(draft_model, vocabulary, store, caches))


def model_drafter(resources: DrafterResources) -> ModelDrafter:
    """The draft model alone."""
    return ModelDrafter(resources.draft_model, vocabulary=resources.vocabulary, cache_limit=resources.cache_limit)


def suffix_drafter(resources: DrafterResources) -> SuffixDrafter:
    """Repeated text, of this request and of earlier ones."""
    return SuffixDrafter(store_limit=resources.store_limit)


def ngram_drafter(_: DrafterResources) -> NgramDrafter:
    """Prompt lookup."""
    return NgramDrafter()


def hybrid_drafter(resources: DrafterResources) -> HybridDrafter:
    """Repeated text, then the draft model if there is one."""
    suffix = suffix_drafter(resources)
    return HybridDrafter(suffix, model_drafter(resources)) if resources.draft_model else HybridDrafter(suffix)


def check_same_ids(target: Vocabulary | TokenizerWrapper, draft: Vocabulary | TokenizerWrapper) -> None:
    """Raises `ModelError` unless both tokenizers give every token the same id.

    Equal sizes are not enough: Qwen2.5 and Qwen3 are equally large, and four ids mean something in one only.
    """
    ours, theirs = dict(target.get_vocab()), dict(draft.get_vocab())
    if ours == theirs:
        return
    differing = sorted(
        (identity, text) for text, identity in ours.items() | theirs.items() if ours.get(text) != theirs.get(text)
    )
    _, text = differing[0]
    raise ModelError(
        f"the draft model's tokenizer has other ids than the target's: {len({t for _, t in differing})} tokens "
        f"differ, the first is {text!a} ({ours.get(text, 'absent')} in the target, "
        f"{theirs.get(text, 'absent')} in the draft); take a draft of the same family, or the drafter "
        f"{without_draft_model()}, which need no model"
    )
