"""The models of the server: mlx_lm's provider for the target, and the draft model beside it.

The draft is kept out of mlx_lm's own hands: given one, it would add the draft's cache to every prompt cache, switch
batching off for everybody, and decode with a K that never changes.
"""

from __future__ import annotations

import argparse
import re
import threading
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
from mlx import nn
from mlx_lm import load
from mlx_lm.tokenizer_utils import TokenizerWrapper

from punie_trace.serving.decoders import DraftingDecoder
from punie_trace.serving.decoding import Decoder, PlainDecoder
from punie_trace.serving.mlx_lm_adapter import DEFAULT_MODEL, ModelHolder
from punie_trace.serving.refusal import RefusedError
from punie_trace.speculative.request import Speculation

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class ServedModels(ModelHolder):
    """mlx_lm's provider, whose draft model is ours. To be loaded and used in the thread that generates."""

    def __init__(self, cli_args: argparse.Namespace, max_draft_memory: int | None = None) -> None:
        super().__init__(cli_args)
        self.loaded = threading.Event()
        """Set while a model is ready to answer."""
        self.draft: nn.Module | None = None
        self.draft_tokenizer: TokenizerWrapper | None = None
        self.context_length: int | None = None
        """The most tokens of prompt and answer together, as the model's own configuration says; None if it does not."""
        self.vocabulary: int | None = None
        self.max_draft_memory = max_draft_memory
        self._drafting: DraftingDecoder | None = None

    def reset(self) -> None:
        """Let go of everything that is loaded."""
        super().reset()
        self.loaded.clear()
        self.draft = self.draft_tokenizer = None
        self._drafting = None

    @property
    def target(self) -> tuple[nn.Module, TokenizerWrapper]:
        """The model that is loaded, and its tokenizer. Raises `TypeError` where there is none."""
        if self.model is None or self.tokenizer is None:
            raise TypeError("no model is loaded")
        return self.model, self.tokenizer

    def check_name(self, model: str) -> None:
        """Raises `RefusedError` (404) where `model` can be no model, before the one that is loaded is let go for it."""
        if model == DEFAULT_MODEL or model == self.cli_args.model or _HUB_ID.fullmatch(model):
            return
        if not (Path(model) / "config.json").is_file():
            raise RefusedError(
                404,
                f"there is no model {model!r}; ask for {DEFAULT_MODEL!r}, or for a folder or hub id that can be loaded",
            )

    def decoder(self, speculation: Speculation) -> Decoder:
        """The decoder for `speculation`: plain where that is off, or where there can be no other."""
        if speculation.mode == "off" or (speculation.mode == "fixed" and speculation.k == 0):
            return self._plain_decoder(None)
        if self.cli_args.kv_bits is not None:
            return self._plain_decoder("cache: the prompt cache is quantized (--kv-bits)")
        if self._drafting is None:
            self._drafting = DraftingDecoder(*self.target, self.draft, self.draft_tokenizer, self.max_draft_memory)
        reason = self._drafting.without_model
        if reason is not None and speculation.drafter == "model":
            return self._plain_decoder(reason)
        return self._drafting

    def _plain_decoder(self, reason: str | None) -> PlainDecoder:
        args = self.cli_args
        model, tokenizer = self.target
        stream = mx.default_stream(mx.default_device())
        return PlainDecoder(
            model,
            tokenizer,
            stream,
            args.kv_bits,
            args.kv_group_size,
            args.quantized_kv_start,
            reason,
        )

    def model_loaded(self, draft_model: str | None) -> None:
        """Load the draft model beside the target, and read the target's limits."""
        if draft_model is not None:
            self.draft, self.draft_tokenizer = load(draft_model)[:2]
        arguments = getattr(self.model, "args", None)
        self.context_length = _positive(_argument(arguments, "max_position_embeddings"))
        self.vocabulary = _positive(_argument(arguments, "vocab_size"))
        self.loaded.set()


def _argument(arguments: Any, name: str) -> Any:
    """A field of a model's arguments; multimodal ones keep the language model's in `text_config`."""
    found = getattr(arguments, name, None)
    if found is None and isinstance(inner := getattr(arguments, "text_config", None), dict):
        found = inner.get(name)
    return found


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
