"""The models of the server: mlx_lm's provider for the target, and the draft model beside it.

The draft is kept out of mlx_lm's own hands: given one, it would add the draft's cache to every prompt cache, switch
batching off for everybody, and decode with a K that never changes.
"""

from __future__ import annotations

import argparse
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
from mlx import nn
from mlx_lm import load
from mlx_lm.tokenizer_utils import TokenizerWrapper

from punie_trace.serving.decoders import DraftingDecoder
from punie_trace.serving.decoding import Decoder, PlainDecoder
from punie_trace.serving.mlx_lm_adapter import DEFAULT_MODEL, ModelDescription, ModelHolder, ModelKey
from punie_trace.serving.refusal import RefusedError
from punie_trace.speculative.request import Speculation

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What other threads may know of the model that is loaded.

    `context_length`: the most tokens of prompt and answer together, None where the model's configuration does not say;
    `longest_token` in characters; `sees` where it takes images.
    """

    key: ModelKey
    tokenizer: TokenizerWrapper
    context_length: int | None
    vocabulary: int | None
    longest_token: int
    sees: bool


class ServedModels(ModelHolder):
    """mlx_lm's provider, whose draft model is ours. To be loaded and used in the thread that generates.

    `allowed` names the models, draft models and adapters beside the command line's that requests may ask for; '*' is
    any.
    """

    def __init__(
        self, cli_args: argparse.Namespace, max_draft_memory: int | None = None, allowed: Sequence[str] = ()
    ) -> None:
        super().__init__(cli_args)
        self.allowed = frozenset(allowed)
        self.loaded = threading.Event()
        """Set while a model is ready to answer."""
        self.draft: nn.Module | None = None
        self.draft_tokenizer: TokenizerWrapper | None = None
        self.current: LoadedModel | None = None
        """The model that is loaded. Replaced as a whole, so that any thread may read it."""
        self.max_draft_memory = max_draft_memory
        self._drafting: DraftingDecoder | None = None

    def reset(self) -> None:
        """Let go of everything that is loaded."""
        super().reset()
        self.loaded.clear()
        self.current = None
        self.draft = self.draft_tokenizer = None
        self._drafting = None

    @property
    def target(self) -> tuple[nn.Module, TokenizerWrapper]:
        """The model that is loaded, and its tokenizer. Raises `TypeError` where there is none."""
        if self.model is None or self.tokenizer is None:
            raise TypeError("no model is loaded")
        return self.model, self.tokenizer

    def resolve(self, asked: ModelDescription) -> ModelDescription:
        """The names under which mlx_lm loads what a request asks for. Raises `RefusedError` (404).

        All names of the command line's model become one, so that none of them has it loaded again.
        """
        args = self.cli_args
        if asked.model in (DEFAULT_MODEL, args.model, _resolved(args.model)):
            model = DEFAULT_MODEL
        else:
            model = self._other("model", asked.model, _resolved(args.model) or DEFAULT_MODEL)
        own = asked.draft in (DEFAULT_MODEL, args.draft_model, _resolved(args.draft_model))
        draft = DEFAULT_MODEL if own else self._other("draft_model", asked.draft, DEFAULT_MODEL)
        adapter = asked.adapter
        if adapter in (None, args.adapter_path, _resolved(args.adapter_path)):
            adapter = None
        else:
            if model == DEFAULT_MODEL:
                model = args.model  # under its other name mlx_lm takes the command line's adapter
            adapter = self._other("adapters", adapter, "no other")
        return ModelDescription(model, draft, adapter)  # ty: ignore[invalid-argument-type]  # adapter may be None

    def key_of(self, model: ModelDescription) -> ModelKey:
        """What `LoadedModel.key` is once `model` is loaded."""
        args = self.cli_args
        draft = args.draft_model if model.draft == DEFAULT_MODEL else model.draft
        if model.model == DEFAULT_MODEL:
            return args.model, args.adapter_path, draft
        return model.model, model.adapter, draft

    def _other(self, field: str, name: str, served: str) -> str:
        """`name`, where the operator lets requests load it, before the model that is loaded is let go for it."""
        if not self.allowed & {name, "*"}:
            raise RefusedError(
                404,
                f"there is no model {name[:200]!r} here ({field}): this server serves {served!r}, and loads no other "
                "one unless it is started with --allow-model NAME",
            )
        if not (_HUB_ID.fullmatch(name) or _is_folder(name)):
            raise RefusedError(404, f"there is no model {name[:200]!r}: it is neither a folder nor a hub id ({field})")
        return name

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

    def forget(self) -> None:
        """Empty what drafters learned of earlier requests; what was measured of costs and acceptance stays."""
        if self._drafting is not None:
            self._drafting.forget()

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

    def model_loaded(self, key: ModelKey) -> None:
        """Load the draft model beside the target, and read the target's limits."""
        if key[2] is not None:
            self.draft, self.draft_tokenizer = load(key[2])[:2]
        arguments = getattr(self.model, "args", None)
        _, tokenizer = self.target
        self.current = LoadedModel(
            key=key,
            tokenizer=tokenizer,
            context_length=_positive(_argument(arguments, "max_position_embeddings")),
            vocabulary=_positive(_argument(arguments, "vocab_size")),
            longest_token=max(map(len, tokenizer.get_vocab()), default=1),
            sees=self.processor is not None,
        )
        self.loaded.set()


def _argument(arguments: Any, name: str) -> Any:
    """A field of a model's arguments; multimodal ones keep the language model's in `text_config`."""
    found = getattr(arguments, name, None)
    if found is None and isinstance(inner := getattr(arguments, "text_config", None), dict):
        found = inner.get(name)
    return found


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _resolved(model: str | None) -> str | None:
    """The folder of a model as `/v1/models` lists it; other names as they are."""
    if model is None:
        return None
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def _is_folder(name: str) -> bool:
    """Whether it is a folder with a model or an adapter in it. A name with a zero byte in it is none."""
    try:
        return any((Path(name) / file).is_file() for file in ("config.json", "adapter_config.json"))
    except (OSError, ValueError):
        return False
