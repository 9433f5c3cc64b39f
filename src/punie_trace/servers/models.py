"""Whether the models that a configuration names are there and fit each other, before any server is started.

Reads files only: no mlx, no network. Hub ids are looked for in the local hub cache, and otherwise left to the server.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from punie_trace.errors import ModelError
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.kinds import MlxConfig

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = "model*.safetensors"  # the pattern that mlx_lm loads
_LFS_POINTER = b"version https://git-lfs"
_HEADER_LIMIT = 100_000_000  # safetensors' own limit on its header, bytes
_SHOWN = 5


def check_models(config: ServerConfig) -> tuple[str, ...]:
    """Notes on what could not be checked. Raises ModelError, saying what is wrong and what to do.

    Checked: folders, weight files, the adapter, and that draft and target have the same tokens by id.
    """
    if not isinstance(config, MlxConfig):
        return ()
    notes: list[str] = []
    target = _folder("model_path", config.model_path, notes)
    if config.adapter_path is not None:
        _check_adapter(Path(config.adapter_path).expanduser())
    if config.draft_model is not None:
        draft = _folder("draft_model", config.draft_model, notes)
        if target is not None and draft is not None and not config.allow_tokenizer_mismatch:
            notes += _check_tokenizers(target, draft)
    return tuple(notes)


def local_folder(name: str) -> Path | None:
    """The folder that holds the model `name`: itself, or its snapshot in the hub cache; None where neither is there."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    return _cached_snapshot(name) if is_hub_id(name) else None


def is_hub_id(name: str) -> bool:
    """Whether `name` can only be meant for the hub: 'org/name', and no such path or parent folder here."""
    return bool(_HUB_ID.fullmatch(name)) and not Path(name).exists() and not Path(name).parent.is_dir()


def weight_files(folder: Path) -> list[Path]:
    """The weight files that mlx_lm loads from `folder`, sorted by name."""
    return sorted(folder.glob(_WEIGHTS))


def _folder(field: str, name: str, notes: list[str]) -> Path | None:
    if is_hub_id(name):
        snapshot = _cached_snapshot(name)
        if snapshot is None:
            notes.append(f"{field} {name!r} is not in the local hub cache: the server will try to download it")
        return snapshot
    path = Path(name).expanduser()
    if not path.exists():
        msg = f"{field} {name!r} does not exist; give the folder of an MLX model, or a hub id like 'org/name'"
        raise ModelError(msg)
    if not path.is_dir():
        raise ModelError(f"{field} {name!r} is a file; give the folder that holds config.json and the weights")
    if not (path / "config.json").is_file():
        raise ModelError(f"{field} {name!r} holds no config.json, so it is no model; give the folder that does")
    weights = weight_files(path)
    if not weights:
        others = "; it holds other weights, convert them with 'mlx_lm convert'" if _other_weights(path) else ""
        msg = f"{field} {name!r} holds no weights ({_WEIGHTS}){others or '; download or convert the model again'}"
        raise ModelError(msg)
    for file in weights:
        _check_weights(field, file)
    return path.resolve()


def _other_weights(path: Path) -> bool:
    return any(file.suffix in {".bin", ".pt", ".pth", ".gguf", ".npz", ".safetensors"} for file in path.iterdir())


def _check_weights(field: str, file: Path) -> None:
    """A safetensors file is 8 bytes of header length, a JSON header, and exactly the bytes that the header names."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        if (start + opened.read(len(_LFS_POINTER) - 8)) == _LFS_POINTER:
            raise ModelError(f"{field}: {file} is a git-lfs pointer, not the weights; run 'git lfs pull' in its folder")
        length = int.from_bytes(start, "little")
        broken = f"{field}: {file} is not whole; download or convert the model again"
        if len(start) < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise ModelError(broken)
        opened.seek(8)
        try:
            header = json.loads(opened.read(length))
            end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise ModelError(broken) from None
        if size < 8 + length + end:
            raise ModelError(broken)


def _check_adapter(path: Path) -> None:
    missing = [name for name in ("adapter_config.json", "adapters.safetensors") if not (path / name).is_file()]
    if missing:
        msg = f"adapter_path '{path}' holds no {' and no '.join(missing)}; give the folder that 'mlx_lm lora' wrote"
        raise ModelError(msg)


def _cached_snapshot(name: str) -> Path | None:
    # Imported late: it costs a tenth of a second, and only hub ids need it.
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _check_tokenizers(target: Path, draft: Path) -> list[str]:
    ours, theirs = (_tokens(folder / "tokenizer.json") for folder in (target, draft))
    if ours is None or theirs is None:
        without = target if ours is None else draft
        return [f"'{without}' has no readable tokenizer.json: whether draft and target share their tokens is not known"]
    differing = sorted(number for number in ours.keys() | theirs.keys() if ours.get(number) != theirs.get(number))
    if not differing:
        return []
    shown = ", ".join(f"{n}: {ours.get(n)!r} against {theirs.get(n)!r}" for n in differing[:_SHOWN])
    raise ModelError(
        f"draft_model '{draft}' has another tokenizer than model_path '{target}': {len(differing)} ids differ "
        f"({shown}{', ...' if len(differing) > _SHOWN else ''}; target first, None where an id is missing). "
        "Give a draft of the same family, or set allow_tokenizer_mismatch to measure it anyway "
        "(output stays the target's, fewer drafted tokens are accepted)"
    )


def _tokens(file: Path) -> dict[int, str] | None:
    """id -> token of a `tokenizer.json`, added tokens included; None where it cannot be read."""
    try:
        status = file.stat()
        return _read_tokens(file, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@lru_cache(maxsize=8)
def _read_tokens(file: Path, _mtime_ns: int, _size: int) -> dict[int, str]:
    content = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    # BPE, WordPiece and WordLevel map token to id; Unigram lists [token, score] by id.
    if isinstance(vocabulary, dict):
        tokens = {number: token for token, number in vocabulary.items()}
    else:
        tokens = {number: entry[0] for number, entry in enumerate(vocabulary)}
    return tokens | {added["id"]: added["content"] for added in content.get("added_tokens") or ()}
