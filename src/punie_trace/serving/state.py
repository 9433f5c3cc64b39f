"""What all requests of one server share: its models, its door, its spans, its metrics, and who it is."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import mlx.core as mx
from opentelemetry.trace import INVALID_TRACE_ID, Tracer

import punie_trace
from punie_trace.models.weights_digest import weights_digest
from punie_trace.records import JsonValue
from punie_trace.serving import mlx_lm_adapter
from punie_trace.serving.access import Access
from punie_trace.serving.admission import BodyBytes
from punie_trace.serving.call import Call
from punie_trace.serving.generator import TracedGenerator
from punie_trace.serving.metrics import ServerMetrics
from punie_trace.serving.server_spans import write_spans
from punie_trace.serving.span_buffer import SpanBuffer
from punie_trace.spans.clock import Clock
from punie_trace.speculative.request import Speculation

KIND = "punie"
MOST_BODY_BYTES = 256 << 20
"""Of all bodies that are being read, or answered."""


@dataclass(slots=True)
class ServerState:
    """Made once, before the first request. Safe to use from the handlers' threads."""

    generator: TracedGenerator
    default: Speculation
    clock: Clock
    tracer: Tracer
    spans: SpanBuffer
    max_body_bytes: int
    access: Access = field(default_factory=Access)
    bodies: BodyBytes = field(init=False)
    metrics: ServerMetrics = field(default_factory=ServerMetrics, init=False)
    fingerprint: str = field(
        default_factory=lambda: f"punie-{punie_trace.__version__}-{mlx_lm_adapter.fingerprint()}", init=False
    )
    _traces: dict[int, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.bodies = BodyBytes(max(MOST_BODY_BYTES, self.max_body_bytes))

    @property
    def model_name(self) -> str:
        """The model of the command line: its folder where it is one, else its name; '' where there is none."""
        return _name(self.generator.cli_args.model)

    @property
    def has_draft_model(self) -> bool:
        """Whether requests may ask for a drafter that is a model."""
        return self.generator.cli_args.draft_model is not None

    def begin(self, call: Call, trace_id: int) -> bool:
        """Let a call in; False where too many are open. One that was let in must be finished."""
        if not self.generator.admission.enter():
            return False
        if trace_id != INVALID_TRACE_ID:
            self._traces[id(call)] = trace_id
            self.spans.opened(trace_id)
        return True

    def finish(self, call: Call) -> None:
        """Count a call that is over, and write its spans."""
        self.generator.admission.leave()
        self.metrics.observe(call)
        trace_id = self._traces.pop(id(call), None)
        try:
            write_spans(call, self.tracer, self.clock)
        finally:
            if trace_id is not None:
                self.spans.closed(trace_id)

    def metrics_text(self) -> str:
        """What `/metrics` shows."""
        generator = self.generator
        waiting = generator.waiting
        opened = max(generator.admission.open, waiting)
        return self.metrics.text(model=self.model_name, open_calls=opened, waiting=waiting, loaded=generator.is_healthy)

    def identity(self) -> dict[str, JsonValue]:
        """What `/identity` says; digests read the weights when they are asked for first."""
        args = self.generator.cli_args
        ours, theirs = _digest(args.model), _digest(args.draft_model)
        return {
            "kind": KIND,
            "version": punie_trace.__version__,
            "mlx_lm": metadata.version("mlx-lm"),
            "mlx": metadata.version("mlx"),
            "device": str(mx.default_device()),
            "platform": platform.platform(),
            "pid": os.getpid(),
            "model": self.model_name or None,
            "weights_digest": ours[0],
            "digest_kind": ours[1],
            "draft_model": _name(args.draft_model) or None,
            "draft_digest": theirs[0],
            "speculation": self.default.mode,
            "drafter": self.default.drafter,
            "loaded": self.generator.is_healthy,
            "system_fingerprint": self.fingerprint,
        }


def _name(model: str | None) -> str:
    if model is None:
        return ""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def _digest(model: str | None) -> tuple[str | None, str | None]:
    folder = _folder(model)
    try:
        found = weights_digest(folder.glob("model*.safetensors")) if folder is not None else None
    except OSError:
        found = None
    return (found.hex, found.kind) if found is not None else (None, None)


def _folder(model: str | None) -> Path | None:
    if model is None:
        return None
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json")
    return Path(found).parent if isinstance(found, str) else None
