"""Drafters by name, and the check that a draft model speaks the target's tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import mlx.nn as nn
from mlx_lm.tokenizer_utils import TokenizerWrapper

from punie_trace.errors import ConfigurationError, ModelError, nearest
from punie_trace.speculative.drafting import KINDS, Drafter, Kind
from punie_trace.speculative.hybrid import HybridDrafter
from punie_trace.speculative.model_drafter import ModelDrafter, cache_measure, weights_of
from punie_trace.speculative.ngram import NgramDrafter
from punie_trace.speculative.suffix import SuffixDrafter

_STORE = 1 << 20


class Vocabulary(Protocol):
    """What is asked of a tokenizer."""

    def get_vocab(self) -> Mapping[str, int]:
        """Every token's text and id."""
        ...


def make_drafter(
    kind: Kind | str,
    *,
    target_tokenizer: Vocabulary | TokenizerWrapper,
    draft_model: nn.Module | None = None,
    draft_tokenizer: Vocabulary | TokenizerWrapper | None = None,
    max_memory: int | None = None,
) -> Drafter:
    """A drafter of this kind: 'model', 'ngram', 'suffix', or 'hybrid' (suffix, then the model if there is one).

    `max_memory` in bytes bounds the weights of the model, the store of earlier requests (1 MiB unless told less), and
    with what is left the caches of the draft model's texts beside the one in use.
    A draft model comes with its tokenizer, so that its ids can be compared with the target's, token by token; ids that
    only its padded output has are never proposed.

    Raises `ConfigurationError` for a kind that is not known or lacks its model, or for a model without its tokenizer,
    and `ModelError` for a draft model that has other ids than the target, cannot be cut back, or is larger than
    `max_memory`.
    """
    if kind not in KINDS:
        raise ConfigurationError(f"there is no drafter {kind!r}; {nearest(str(kind), KINDS)}")
    if kind == "model" and draft_model is None:
        raise ConfigurationError("the drafter 'model' needs a draft model: name one, or take 'suffix' or 'ngram'")
    if kind == "ngram":
        return NgramDrafter()
    model: ModelDrafter | None = None
    if kind != "suffix" and draft_model is not None:
        if draft_tokenizer is None:
            raise ConfigurationError(
                "a draft model needs its tokenizer beside it (draft_tokenizer, the second thing that mlx_lm.load "
                "returns): whether both models mean the same by an id cannot be told otherwise"
            )
        check_same_ids(target_tokenizer, draft_tokenizer)
        vocabulary = 1 + max(target_tokenizer.get_vocab().values(), default=-1)
        model = ModelDrafter(draft_model, vocabulary=vocabulary, cache_limit=_for_caches(kind, draft_model, max_memory))
        if max_memory is not None and model.nbytes > max_memory:
            raise ModelError(
                f"the draft model takes {model.nbytes / 1e6:.1f} MB, and {max_memory / 1e6:.1f} MB are allowed; "
                "raise the limit, or take the drafter 'suffix' or 'ngram', which need no model"
            )
        if kind == "model":
            return model
    left = _STORE if max_memory is None else max(0, max_memory - (model.nbytes if model else 0))
    suffix = SuffixDrafter(store_limit=min(_STORE, left))
    if kind == "suffix":
        return suffix
    return HybridDrafter(suffix, model) if model else HybridDrafter(suffix)


def _for_caches(kind: str, draft_model: nn.Module, max_memory: int | None) -> int | None:
    """Bytes for a draft model's caches, None for its own measure; never more than that."""
    if max_memory is None:
        return None
    left = max_memory - weights_of(draft_model) - (_STORE if kind == "hybrid" else 0)
    return max(0, min(left, cache_measure(draft_model)))


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
        f"{theirs.get(text, 'absent')} in the draft); take a draft of the same family, or the drafter 'suffix' or "
        "'ngram', which need no model"
    )
