"""Who answers: which model, which weights, which process. Read once when a server is ready, checked at every answer.

A server that lists or echoes another model than the one asked for is an error, never a warning: its figures would be
printed under the wrong name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

import httpx2

from punie_trace.errors import IdentityError, ServerError
from punie_trace.models.weights_digest import Digest, weights_digest
from punie_trace.outside_text import one_line
from punie_trace.records import Generation, JsonValue, ServerKind
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.kinds import MlxConfig
from punie_trace.servers.models import local_folder, weight_files
from punie_trace.servers.probe import FirstToken, NotYetError, small_answer

DEFAULT_MODEL = "default_model"
"""The name under which mlx_lm serves the model of its argv. Any other name makes it load that model."""

# 'gpt-4o' may answer as 'gpt-4o-2024-08-06', 'name-0613' or 'name-20250101'; 'name' as 'name-Q4_K_M.gguf', 'name:4bit'.
_VARIANT = re.compile(
    r"(?:[-_:.@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}"
    r"|(?:i?q\d|tq\d|ud-i?q\d)[\w]*|[fb]?f?(?:16|32)|bf16|fp(?:4|8|16|32)|mxfp4|nvfp4|int[48]|w\da\d+|[2-8]-?bit"
    r"|gguf|ggml|mlx|awq|gptq(?:-int[48])?|exl[23]|bnb|nf4|dwq))+"
)


@dataclass(frozen=True, slots=True)
class ServedIdentity:
    """What a server said and showed of itself when it was ready. None where it could not be observed."""

    kind: ServerKind
    model: str
    """As resolved: the folder, the hub id, or the name that a foreign server reports."""
    weights_digest: str | None = None
    digest_kind: Literal["whole", "sampled"] | None = None
    draft_model: str | None = None
    draft_digest: str | None = None
    fingerprint: str | None = None
    version: str | None = None
    pid: int | None = None
    port: int | None = None
    blas: str | None = None
    device: str | None = None


def check_served(resolved: str, listed: Sequence[str]) -> None:
    """mlx_lm lists the hub cache first and the model that it serves last. Raises IdentityError for another one."""
    if not listed or listed[-1] != resolved:
        msg = f"the server serves {listed[-1] if listed else 'no model'}, not {resolved} as it was started to"
        raise IdentityError(msg)


def identified(
    config: ServerConfig, requested: str, first: FirstToken, listed: Sequence[str] | None
) -> tuple[Expected, str | None]:
    """Which name answers must give, from what the first one gave; and a note on what could not be made sure.

    `listed` are the names that a foreign server lists, None where it was not asked or does not tell. A server that
    lists the name it was asked for and answers under another serves an alias: that other name is then to be expected.
    Raises IdentityError where another model answers.
    """
    answered = first.model
    if isinstance(config, MlxConfig):
        if answered != requested:
            raise IdentityError(_other(requested, answered))
        return Expected((requested,), strict=True), None
    if not config.check_identity:
        return Expected((), strict=False), "which model answers was not checked (check_identity = false)"
    if answered is None:
        return Expected((requested, *_given(config.served_model)), strict=False), (
            f"the server does not name the model that answers; {requested!r} was asked for"
        )
    if config.served_model is not None:
        if not same_model(config.served_model, answered):
            raise IdentityError(f"{_other(config.served_model, answered)} (served_model says which name to expect)")
        return Expected((config.served_model, answered), strict=False), None
    if same_model(requested, answered):
        return Expected((requested, answered), strict=False), None
    if listed is not None and requested in listed and answered not in listed:
        return Expected((answered,), strict=False), (
            f"the server answers {requested!r} under the name {answered!r}, which was taken for an alias; "
            f"served_model = {answered!r} says so for good"
        )
    raise IdentityError(f"{_other(requested, answered)}. {_WAYS_ON}")


@dataclass(frozen=True, slots=True)
class Expected:
    """The names under which the right model answers; none where anything may. `strict`: each answer must give one."""

    names: tuple[str, ...]
    strict: bool

    def check(self, answered: str | None, requested: str) -> None:
        """Raises IdentityError where `answered` is another model."""
        if answered is None:
            if self.strict:
                raise IdentityError(f"{requested!r} was asked, and the answer does not say which model made it")
            return
        if not self.names or answered in self.names:
            return
        if self.strict or not any(same_model(name, answered) for name in self.names):
            raise IdentityError(_other(requested, answered) + ("" if self.strict else f". {_WAYS_ON}"))


_WAYS_ON = (
    "Ask for another model with model (or --served-model), say with served_model which name its answers give, or "
    "measure whatever answers with check_identity = false"
)


def same_model(asked: str, answered: str) -> bool:
    """Whether two names mean the same model: they differ in a path or organisation before it, a revision ('@main'), a
    registry's tag (':latest'), a date, or the file's kind and quantization behind it."""
    ours, theirs = (_plain(name) for name in (asked, answered))
    if ours == theirs:
        return True
    longer, shorter = (ours, theirs) if len(ours) > len(theirs) else (theirs, ours)
    if longer.endswith(f"/{shorter}"):
        return True
    if "/" in ours and "/" in theirs and ours.rpartition("/")[0] != theirs.rpartition("/")[0]:
        return False
    base, other = (name.rpartition("/")[2] for name in (shorter, longer))
    base, other = sorted((base, other), key=len)
    return other.startswith(base) and bool(_VARIANT.fullmatch(other[len(base) :]))


def _plain(name: str) -> str:
    name = name.strip().replace("\\", "/").rstrip("/").lower()
    name = re.sub(r"@[\w.-]+$", "", name)
    return name.removesuffix(":latest").removesuffix(".gguf")


def _other(expected: str, answered: str | None) -> str:
    if answered is None:
        return f"{expected!r} was asked, and the answer does not say which model made it"
    return f"{expected!r} was asked and {one_line(answered, 120)!r} answered"


def _given(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def check_generation(identity: ServedIdentity, requested: str, expected: Expected, generation: Generation) -> None:
    """Raises IdentityError where `generation` came from another model or server than `identity`.

    A generation that failed before it named a model is not judged. Fingerprints are compared where we started the
    server: hosted ones change theirs at will.
    """
    failed = generation.error is not None or generation.status not in (None, 200)
    if generation.served_model is not None or not failed:
        expected.check(generation.served_model, requested)
    seen = generation.fingerprint
    known = None if identity.kind == "url" else identity.fingerprint
    if seen is not None and known is not None and seen != known:
        msg = f"the server's fingerprint changed from {known!r} to {one_line(seen)!r}: it was replaced meanwhile"
        raise IdentityError(msg)


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of target and draft; None where there are no weights on this disk."""

    weights: str | None
    kind: Literal["whole", "sampled"] | None
    draft: str | None


def digests(model: str, draft: str | None) -> Digests:
    """The digests of what lies on this disk. Reads it: seconds for gigabytes."""
    ours, theirs = (_digest(name) for name in (model, draft))
    return Digests(ours.hex if ours else None, ours.kind if ours else None, theirs.hex if theirs else None)


def _digest(name: str | None) -> Digest | None:
    folder = local_folder(name) if name else None
    try:
        return weights_digest(weight_files(folder)) if folder else None
    except OSError:
        return None


async def own_identity(client: httpx2.AsyncClient, port: int | None, limit_s: float) -> dict[str, JsonValue]:
    """What a server of ours tells of itself. Raises ServerError where it is none."""
    address = str(client.base_url.copy_with(path="/identity", port=port))
    try:
        answer = await small_answer(client, "GET", address, limit_s=limit_s)
    except NotYetError as error:
        raise ServerError(f"{address} does not say who it is: {error}") from None
    content = answer.json()
    if answer.status != 200 or not isinstance(content, dict) or content.get("kind") != "punie":
        raise IdentityError(f"{address} is not a server of punie-trace ({answer.status}: {answer.text})")
    return content


def check_digests(known: Digests, identity: Mapping[str, object]) -> None:
    """Raises IdentityError where the server holds other weights than the files that it was started to serve."""
    pairs = (("model", known.weights, "weights_digest"), ("draft model", known.draft, "draft_digest"))
    for what, ours, key in pairs:
        if ours is not None and identity.get(key) != ours:
            raise IdentityError(
                f"the server holds another {what} than it was started with: digest {identity.get(key)}, not {ours}"
            )


def mlx_lm_version() -> str | None:
    """The installed mlx-lm, which is the one that `sys.executable -m mlx_lm` runs; it is not imported."""
    try:
        return metadata.version("mlx-lm")
    except metadata.PackageNotFoundError:
        return None


def device_of(fingerprint: str | None, platform_name: str) -> str | None:
    """The device in mlx_lm's fingerprint, '{mlx-lm}-{mlx}-{platform}-{device}' (mlx_lm/server.py)."""
    if fingerprint is None or f"-{platform_name}-" not in fingerprint:
        return None
    return fingerprint.rpartition(f"-{platform_name}-")[2] or None
