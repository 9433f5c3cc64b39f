from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from punie_trace.models.weights_digest import weights_digest


@pytest.mark.parametrize(("limit", "kind"), [(10**9, "whole"), (0, "sampled")])
def test_the_digest_follows_names_sizes_and_content(limit: int, kind: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "other")]
    header = json.dumps({"w": {"dtype": "U8", "shape": [16], "data_offsets": [0, 16]}}).encode()
    for folder in folders:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 16)
    changed = folders[2] / "model.safetensors"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\1")
    first, same, other = (weights_digest([folder / "model.safetensors"], limit) for folder in folders)
    assert first is not None
    assert first.kind == kind
    assert first == same != other
    renamed = folders[0] / "model-1.safetensors"
    (folders[0] / "model.safetensors").rename(renamed)
    assert weights_digest([renamed], limit) != first


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_bytes(file.name.encode() * 100)
    assert weights_digest(files) == weights_digest(files[::-1])


def test_no_weights_have_no_digest() -> None:
    assert weights_digest([]) is None
