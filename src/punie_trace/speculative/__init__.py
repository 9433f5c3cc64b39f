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
    from punie_trace.speculative.drafting import Drafter, Proposal
    from punie_trace.speculative.hybrid import HybridDrafter
    from punie_trace.speculative.make import check_same_ids, make_drafter
    from punie_trace.speculative.model_drafter import ModelDrafter
    from punie_trace.speculative.monitor import Monitor, MonitorSnapshot
    from punie_trace.speculative.ngram import NgramDrafter
    from punie_trace.speculative.request import Speculation
    from punie_trace.speculative.rounds import GenerationRecord, RoundRecord
    from punie_trace.speculative.sampling import TemperatureSampler
    from punie_trace.speculative.suffix import SuffixDrafter

_HOME = {
    "AdaptiveController": "adaptive",
    "Controller": "controller",
    "Drafter": "drafting",
    "FixedController": "controller",
    "GenerationRecord": "rounds",
    "HybridDrafter": "hybrid",
    "ModelDrafter": "model_drafter",
    "Monitor": "monitor",
    "MonitorSnapshot": "monitor",
    "NgramDrafter": "ngram",
    "Proposal": "drafting",
    "RoundRecord": "rounds",
    "Speculation": "request",
    "SpeculativeDecoder": "decoder",
    "SuffixDrafter": "suffix",
    "TemperatureSampler": "sampling",
    "check_same_ids": "make",
    "make_drafter": "make",
}

__all__ = [
    "AdaptiveController",
    "Controller",
    "Drafter",
    "FixedController",
    "GenerationRecord",
    "HybridDrafter",
    "ModelDrafter",
    "Monitor",
    "MonitorSnapshot",
    "NgramDrafter",
    "Proposal",
    "RoundRecord",
    "Speculation",
    "SpeculativeDecoder",
    "SuffixDrafter",
    "TemperatureSampler",
    "check_same_ids",
    "make_drafter",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
