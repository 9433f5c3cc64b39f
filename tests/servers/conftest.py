"""Fixtures for servers: fakes that run as programs, and a tiny real model."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from punie_trace.servers.kinds import CommandConfig
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.testing import Reply, Script, Text

OK = Reply(steps=(Text(text="ok"),))
QUICK = ServerTimeouts(ready_s=20, poll_s=0.02, stop_s=5, request_s=5, connect_s=0.2)


@pytest.fixture
def quick() -> ServerTimeouts:
    return QUICK


@pytest.fixture
def fake_program(tmp_path: Path) -> Callable[..., CommandConfig]:
    """Makes the configuration of a fake server that runs as a program of its own."""

    def make(script: Script | None = None, **fields: object) -> CommandConfig:
        file = tmp_path / f"script-{len(list(tmp_path.glob('script-*')))}.json"
        file.write_text((script or Script(replies=(OK,))).model_dump_json())
        command = (sys.executable, "-m", "punie_trace.testing", "--port", "{port}", "--script", str(file))
        # logfire's pydantic plugin takes half a second to load, which a fake has no use for.
        environment = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
        return CommandConfig.model_validate({"command": command, "environment": environment, **fields})

    return make


def safetensors(payload: bytes = b"\0" * 16) -> bytes:
    """A valid weights file with one tensor of bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(payload)], "data_offsets": [0, len(payload)]}}).encode()
    return struct.pack("<Q", len(header)) + header + payload


@pytest.fixture
def model_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder that looks like a model; `vocab` and `added` go into its tokenizer.json."""

    def make(
        name: str,
        vocab: dict[str, int] | None = None,
        added: dict[str, int] | None = None,
        weights: bytes | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(safetensors() if weights is None else weights)
        tokens = [{"id": number, "content": content} for content, number in (added or {}).items()]
        (folder / "tokenizer.json").write_text(
            json.dumps({"model": {"type": "BPE", "vocab": vocab or {"a": 0, "b": 1}}, "added_tokens": tokens})
        )
        return folder

    return make
