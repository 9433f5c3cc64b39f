"""How a request wants to be decoded: its `speculation` field, or mlx_lm's `num_draft_tokens`, or the server's default.

Pure. Whether a drafter can really be used is for the decoder to find out; here is only what the request means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeVar

from punie_trace.errors import nearest
from punie_trace.records import JsonValue
from punie_trace.serving.refusal import RefusedError
from punie_trace.speculative.registry import drafter_names, needs_draft_model, without_draft_model
from punie_trace.speculative.request import MEMORIES, MODES, OFF, Memory, Mode, Speculation

MAX_K: Final = 64
T = TypeVar("T", bound=str)
_KEYS: Final = ("mode", "k", "drafter", "min_acceptance", "tree", "memory")


def requested(body: Mapping[str, JsonValue], default: Speculation, *, has_draft_model: bool) -> Speculation:
    """What `body` asks for; `default` where it does not say. Raises `RefusedError` (400) that names the field.

    `speculation` is a mode, or an object of `mode`, `k`, `drafter`, `min_acceptance`, `tree` and `memory`. mlx_lm's
    `num_draft_tokens` alone means that many in each round, and 0 none. What drafters remember is kept apart by
    `cache_salt`, as prompt caches are.
    """
    salt = body.get("cache_salt")
    meant = _meant(body, default, has_draft_model=has_draft_model)
    return replace(meant, salt=salt) if isinstance(salt, str) and meant.mode != "off" else meant


def _meant(body: Mapping[str, JsonValue], default: Speculation, *, has_draft_model: bool) -> Speculation:
    asked = body.get("speculation")
    if asked is None:
        tokens = body.get("num_draft_tokens")
        if tokens is None or isinstance(tokens, bool) or not isinstance(tokens, int):
            return default
        if tokens == 0 or not (has_draft_model or default.drafter):
            return OFF  # as mlx_lm: without anything that drafts, the number means nothing
        k = _length(tokens, "num_draft_tokens")
        return Speculation("fixed", k, default.drafter or "model", memory=default.memory)
    if isinstance(asked, str):
        asked = {"mode": asked}
    if not isinstance(asked, dict):
        raise RefusedError(400, 'speculation must be a mode like "adaptive", or an object like {"mode": "fixed"}')
    for key in asked:
        if key not in _KEYS:
            raise RefusedError(400, f"speculation has no key {key!r}; {nearest(key, _KEYS)}")
    mode = _one_of(asked.get("mode", default.mode if default.mode != "off" else "adaptive"), MODES, "mode")
    if mode == "off":
        return OFF
    wanted = asked.get("drafter", default.drafter)
    drafter = _default_drafter(mode, has_draft_model) if wanted is None else _one_of(wanted, drafter_names(), "drafter")
    if needs_draft_model(drafter) and not has_draft_model:
        raise RefusedError(
            400,
            f"the drafter {drafter!r} needs a draft model, and this server has none: start it with --draft-model, or "
            f"ask for the drafter {without_draft_model()}",
        )
    k = asked.get("k")
    if k is None:
        k = default.k if mode == "fixed" else None
    elif isinstance(k, bool) or not isinstance(k, int):
        raise RefusedError(400, "speculation.k must be a whole number of tokens")
    else:
        k = _length(k, "speculation.k")
    least = asked.get("min_acceptance", default.min_acceptance)
    if least is not None and (isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1):
        raise RefusedError(400, "speculation.min_acceptance must be between 0 and 1")
    tree = asked.get("tree", default.tree)
    if not isinstance(tree, bool):
        raise RefusedError(400, "speculation.tree must be true or false")
    memory = _one_of(asked.get("memory", default.memory), MEMORIES, "memory")
    return Speculation(mode, k, drafter, least, tree, memory)


def _one_of(value: JsonValue, known: tuple[T, ...], name: str) -> T:
    for one in known:
        if value == one:
            return one
    raise RefusedError(400, f"speculation.{name} is {value!r}; {nearest(str(value), known)}")


def _length(k: int, name: str) -> int:
    if not 1 <= k <= MAX_K:
        raise RefusedError(400, f"{name} must be between 1 and {MAX_K}, not {k}")
    return k


def _default_drafter(mode: Mode, has_draft_model: bool) -> str:
    if not has_draft_model:
        return "suffix"
    return "hybrid" if mode == "adaptive" else "model"


def server_default(
    *, drafter: str | None, adaptive: bool, num_draft_tokens: int, has_draft_model: bool, memory: Memory
) -> Speculation:
    """What requests get that do not say, from the server's flags.

    `--adaptive` chooses each round, up to the longest draft that pays; a drafter or a draft model alone means rounds of
    `--num-draft-tokens`, as in mlx_lm; none of them means plain decoding.
    """
    if adaptive:
        chosen = drafter or _default_drafter("adaptive", has_draft_model)
        return Speculation("adaptive", None, chosen, memory=memory)
    if num_draft_tokens > 0 and (drafter is not None or has_draft_model):
        return Speculation("fixed", num_draft_tokens, drafter or "model", memory=memory)
    return Speculation("off", memory=memory)
