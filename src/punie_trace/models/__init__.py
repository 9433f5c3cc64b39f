"""Where the shipped demo models lie, ready to be served on this machine.

They are packaged in half precision. On a Mac they are used as they are. Elsewhere half-precision products are very
slow on a CPU, so the weights are expanded to single precision once, into a cache folder named after their digest.
Nothing is loaded or run here, and mlx is not imported; how the weights were made stands in `recipes`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from punie_trace.errors import ModelError
from punie_trace.models.weights_digest import weights_digest

SHIPPED_NAME = "punie-trace-shipped"
"""What the shipped model is called where it is served by name, as from a GGUF file: a name that begins so is it."""
CACHE_VARIABLE = "PUNIE_TRACE_CACHE"
_HERE = Path(__file__).resolve().parent
_REMEDY = "reinstall punie-trace, or name other models with --model and --draft-model"


def shipped_model() -> tuple[Path, Path]:
    """The folders of the shipped target and of its draft, each with config.json, weights and tokenizer.

    The first call on a machine other than a Mac writes 23 MB to the cache (`$PUNIE_TRACE_CACHE`, else
    `$XDG_CACHE_HOME/punie-trace`, else `~/.cache/punie-trace`); later calls find them there. Safe when several
    processes call it at once. Raises `ModelError` where the packaged weights are absent or damaged, or the cache
    cannot be written.
    """
    return ready(_HERE / "target"), ready(_HERE / "draft")


def is_shipped(name: str | None, digest: str | None) -> bool:
    """Whether a model is the shipped target, by the digest of its weights or by the name that it is served under."""
    if name is not None and name.replace("\\", "/").rpartition("/")[2].lower().startswith(SHIPPED_NAME):
        return True
    return digest is not None and digest in _shipped_digests()


def _shipped_digests() -> frozenset[str]:
    """Of the weights as they are packaged, and as they are served here where they have been."""
    try:
        packaged = _HERE / "target"
        return _digests(tuple(one for one in (packaged, _served_from(packaged)) if one.is_dir()))
    except OSError:
        return frozenset()


@lru_cache(maxsize=4)
def _digests(folders: tuple[Path, ...]) -> frozenset[str]:
    found = [weights_digest(folder.glob("model*.safetensors")) for folder in folders]
    return frozenset(one.hex for one in found if one is not None)


def ready(packaged: Path, *, platform: str = sys.platform) -> Path:
    """The folder from which the packaged model is best served on `platform`; see `shipped_model`."""
    weights = packaged / "model.safetensors"
    if not weights.is_file() or not (packaged / "config.json").is_file():
        raise ModelError(f"there is no packaged model in {str(packaged)!r}; {_REMEDY}")
    if platform == "darwin":
        return packaged
    wanted = _served_from(packaged)
    if wanted.is_dir():
        return wanted
    try:
        return _expanded(packaged, wanted)
    except OSError as error:
        raise ModelError(
            f"cannot write the shipped model to {str(wanted)!r}: {error.strerror or error}; "
            f"make room there, or set {CACHE_VARIABLE} to a folder that can be written"
        ) from error


def _served_from(packaged: Path) -> Path:
    """Where the single-precision copy of a packaged model lies, or is to lie."""
    files = sorted(p for p in packaged.iterdir() if p.is_file())
    as_they_are = tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return cache_folder() / "models" / _digest(as_they_are)[:16] / packaged.name


@lru_cache(maxsize=16)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Of names and contents. Sizes and times are told so that a changed file is read again, and no other."""
    digest = hashlib.sha256()
    for file, _, _ in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where expanded models are kept."""
    if set_ := os.environ.get(CACHE_VARIABLE):
        return Path(set_)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "punie-trace"


def _expanded(packaged: Path, wanted: Path) -> Path:
    """Write a single-precision copy beside `wanted`, then rename it: whoever comes first wins, and nobody sees half."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save_file

    wanted.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{wanted.name}.", dir=wanted.parent))
    try:
        for file in packaged.iterdir():
            if file.is_file() and file.suffix in {".json", ".jinja"} and file.name != "config.json":
                shutil.copyfile(file, part / file.name)
        try:
            config = json.loads((packaged / "config.json").read_text(encoding="utf-8"))
            weights = load_file(packaged / "model.safetensors")
        except (ValueError, SafetensorError) as error:
            raise ModelError(f"the packaged model in {str(packaged)!r} is damaged ({error}); {_REMEDY}") from error
        single = {name: value.astype(np.float32) for name, value in weights.items()}
        save_file(single, part / "model.safetensors", metadata={"format": "mlx"})
        config["torch_dtype"] = "float32"
        (part / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        part.chmod(0o755)
        try:
            part.replace(wanted)
        except OSError:
            if not wanted.is_dir():  # not another process that was faster
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return wanted
