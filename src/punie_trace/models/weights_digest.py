"""Which weights a folder holds, as one digest: two runs with the same digest measured the same model.

Small models are hashed whole. Beyond `WHOLE_BYTES` in all, a digest of the headers, the sizes and evenly spaced blocks
is taken instead, and says so: it tells models and fine-tunes apart, but does not prove every byte. Both ends use it: a
server of ours says what it serves, and whoever started it checks that against the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

WHOLE_BYTES = 4_000_000_000
_BLOCK = 1 << 20
_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class Digest:
    """`hex` is a SHA-256 over names, sizes and content; `kind` says whether all of the content went in."""

    hex: str
    kind: Literal["whole", "sampled"]


def weights_digest(files: Iterable[Path], whole_bytes: int = WHOLE_BYTES) -> Digest | None:
    """The digest of `files` by name, or None for none. Kept in memory by path, time and size. Raises OSError."""
    key = tuple((file, (status := file.stat()).st_mtime_ns, status.st_size) for file in sorted(files))
    return _digest(key, whole_bytes) if key else None


@lru_cache(maxsize=16)
def _digest(key: tuple[tuple[Path, int, int], ...], whole_bytes: int) -> Digest:
    whole = sum(size for _, _, size in key) <= whole_bytes
    total = hashlib.sha256()
    for file, _, size in key:
        total.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as opened:
            if whole:
                while block := opened.read(_BLOCK):
                    total.update(block)
            else:
                header = 8 + int.from_bytes(opened.read(8), "little")  # safetensors: length, then the JSON header
                opened.seek(0)
                total.update(opened.read(min(header, size)))
                for sample in range(_SAMPLES):
                    opened.seek(header + (size - header) * sample // _SAMPLES)
                    total.update(opened.read(_BLOCK >> 4))
    return Digest(total.hexdigest(), "whole" if whole else "sampled")
