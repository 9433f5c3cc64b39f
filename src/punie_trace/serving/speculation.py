"""How a request wants to be decoded: its `speculation` field, or mlx_lm's `num_draft_tokens`, or the server's default.

Pure. Whether a drafter can really be used is for the decoder to find out; here is only what the request means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeVar

from punie_trace.errors import nearest
from punie_trace.records import JsonValue
from punie_trace.serving.refusal import RefusedError
from punie_trace.speculative.request import OFF, Mode, Speculation

DrafterKind = Literal["model", "ngram", "suffix", "hybrid"]
MODES: Final[tuple[Mode, ...]] = ("off", "fixed", "adaptive")
DRAFTERS: Final[tuple[DrafterKind, ...]] = ("model", "ngram", "suffix", "hybrid")
NEED_A_MODEL: Final = ("model", "hybrid")
MAX_K: Final = 64
T = TypeVar("T", bound=str)
_KEYS: Final = ("mode", "k", "drafter", "min_acceptance", "tree")


def requested(body: Mapping[str, JsonValue], default: Speculation, *, has_draft_model: bool) -> Speculation:
    """What `body` asks for; `default` where it does not say. Raises `RefusedError` (400) that names the field.

    `speculation` is a mode, or an object of `mode`, `k`, `drafter`, `min_acceptance` and `tree`. mlx_lm's
    `num_draft_tokens` alone means that many in each round, and 0 none.
    """
    asked = body.get("speculation")
    if asked is None:
        tokens = body.get("num_draft_tokens")
        if tokens is None or isinstance(tokens, bool) or not isinstance(tokens, int):
            return default
        chosen = OFF if tokens == 0 else Speculation("fixed", tokens, default.drafter)
        return _checked(chosen, "num_draft_tokens", has_draft_model=has_draft_model)
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
    drafter = _default_drafter(has_draft_model) if wanted is None else _one_of(wanted, DRAFTERS, "drafter")
    k = asked.get("k", default.k)
    if k is not None and (isinstance(k, bool) or not isinstance(k, int)):
        raise RefusedError(400, "speculation.k must be a whole number of tokens")
    least = asked.get("min_acceptance", default.min_acceptance)
    if least is not None and (isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1):
        raise RefusedError(400, "speculation.min_acceptance must be between 0 and 1")
    tree = asked.get("tree", default.tree)
    if not isinstance(tree, bool):
        raise RefusedError(400, "speculation.tree must be true or false")
    return _checked(Speculation(mode, k, drafter, least, tree), "speculation.k", has_draft_model=has_draft_model)


def _one_of(value: JsonValue, known: tuple[T, ...], name: str) -> T:
    for one in known:
        if value == one:
            return one
    raise RefusedError(400, f"speculation.{name} is {value!r}; {nearest(str(value), known)}")


def _checked(chosen: Speculation, name: str, *, has_draft_model: bool) -> Speculation:
    if chosen.k is not None and not 1 <= chosen.k <= MAX_K:
        raise RefusedError(400, f"{name} must be between 1 and {MAX_K}, not {chosen.k}")
    if chosen.drafter in NEED_A_MODEL and not has_draft_model:
        raise RefusedError(
            400,
            f"the drafter {chosen.drafter!r} needs a draft model, and this server has none: start it with "
            "--draft-model, or ask for the drafter 'suffix' or 'ngram'",
        )
    return chosen


def _default_drafter(has_draft_model: bool) -> DrafterKind:
    return "model" if has_draft_model else "suffix"


def server_default(
    *, drafter: DrafterKind | None, adaptive: bool, num_draft_tokens: int, has_draft_model: bool
) -> Speculation:
    """What requests get that do not say, from the server's flags.

    `--adaptive` chooses each round, up to the longest draft that pays; a drafter or a draft model alone means rounds of
    `--num-draft-tokens`, as in mlx_lm; none of them means plain decoding.
    """
    if adaptive:
        return Speculation("adaptive", None, drafter or ("hybrid" if has_draft_model else "suffix"))
    if num_draft_tokens > 0 and (drafter is not None or has_draft_model):
        return Speculation("fixed", num_draft_tokens, drafter or "model")
    return OFF
