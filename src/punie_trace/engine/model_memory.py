"""Whether the servers of a run are expected to fit into this machine's free memory at the same time.

It looks at the sizes of weight files and at free memory, and loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from punie_trace.servers.config import ServerConfig

MEMORY_SHARE: Final = 0.6
"""Of the free memory that all servers at once may be expected to take."""
_FREE_IF_HIDDEN: Final = 2**30
"""Bytes that are taken to be free where the system does not tell."""
MEMORY_FACTOR: Final = 1.5
"""A server's expected need over the bytes of its weights."""


def fit_together(servers: Iterable[ServerConfig]) -> bool:
    """Whether all servers may be up at once: their weights, with room to work, within the free memory."""
    need = sum(
        _weight_bytes(path)
        for server in servers
        for path in (server.model_path, server.draft_model)
        if path is not None
    )
    try:
        free = psutil.virtual_memory().available
    except (OSError, psutil.Error):
        free = _FREE_IF_HIDDEN
    return need * MEMORY_FACTOR <= free * MEMORY_SHARE


def _weight_bytes(model: str) -> int:
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _cached(model)
    return sum(f.stat().st_size for f in folder.glob("*.safetensors")) if folder.is_dir() else 0


def _cached(model: str) -> Path:
    """Where the Hugging Face cache keeps `model`, as huggingface_hub lays it out; a folder that is not there if not."""
    from huggingface_hub.constants import HF_HUB_CACHE

    snapshots = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*")) if snapshots.is_dir() else []
    return found[-1] if found else snapshots
