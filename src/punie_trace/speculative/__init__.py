"""Speculative decoding on mlx-lm's models: draft cheaply, verify in one pass, emit exactly what the target would have.

A small public API, usable without the rest of this package. Importing it loads no mlx; naming something that runs does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from punie_trace.speculative.adaptive import AdaptiveController
    from punie_trace.speculative.controller import Controller, FixedController
    from punie_trace.speculative.decoder import SpeculativeDecoder
    from punie_trace.speculative.drafting import Draft, Drafter, DraftToken, FreeDrafter, GoesAhead
    from punie_trace.speculative.hybrid import HybridDrafter
    from punie_trace.speculative.make import check_same_ids, make_drafter
    from punie_trace.speculative.model_drafter import ModelDrafter
    from punie_trace.speculative.monitor import Monitor, MonitorSnapshot
    from punie_trace.speculative.ngram import NgramDrafter
    from punie_trace.speculative.registry import DrafterResources, drafter_names, needs_draft_model, register_drafter
    from punie_trace.speculative.request import Speculation
    from punie_trace.speculative.rounds import GenerationRecord, RoundRecord
    from punie_trace.speculative.sampling import TemperatureSampler
    from punie_trace.speculative.suffix import SuffixDrafter

_HOME = {
    "AdaptiveController": "adaptive",
    "Controller": "controller",
    "Draft": "drafting",
    "DraftToken": "drafting",
    "Drafter": "drafting",
    "DrafterResources": "registry",
    "FixedController": "controller",
    "FreeDrafter": "drafting",
    "GenerationRecord": "rounds",
    "GoesAhead": "drafting",
    "HybridDrafter": "hybrid",
    "ModelDrafter": "model_drafter",
    "Monitor": "monitor",
    "MonitorSnapshot": "monitor",
    "NgramDrafter": "ngram",
    "RoundRecord": "rounds",
    "Speculation": "request",
    "SpeculativeDecoder": "decoder",
    "SuffixDrafter": "suffix",
    "TemperatureSampler": "sampling",
    "check_same_ids": "make",
    "drafter_names": "registry",
    "make_drafter": "make",
    "needs_draft_model": "registry",
    "register_drafter": "registry",
}

__all__ = [
    "AdaptiveController",
    "Controller",
    "Draft",
    "DraftToken",
    "Drafter",
    "DrafterResources",
    "FixedController",
    "FreeDrafter",
    "GenerationRecord",
    "GoesAhead",
    "HybridDrafter",
    "ModelDrafter",
    "Monitor",
    "MonitorSnapshot",
    "NgramDrafter",
    "RoundRecord",
    "Speculation",
    "SpeculativeDecoder",
    "SuffixDrafter",
    "TemperatureSampler",
    "check_same_ids",
    "drafter_names",
    "make_drafter",
    "needs_draft_model",
    "register_drafter",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
