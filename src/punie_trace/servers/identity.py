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

from punie_trace.errors import IdentityError, ServerError, nearest
from punie_trace.models.weights_digest import Digest, weights_digest
from punie_trace.records import Generation, ServerKind
from punie_trace.servers.config import MLX_KINDS
from punie_trace.servers.models import local_folder, weight_files
from punie_trace.servers.readiness import NotYetError

DEFAULT_MODEL = "default_model"
"""The name under which mlx_lm serves the model of its argv. Any other name makes it load that model."""

# 'gpt-4o' may answer as 'gpt-4o-2024-08-06', 'name-0613' or 'name-20250101'; a registry's ':latest' says nothing more.
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}|-\d{8}|-\d{4}|:latest")


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


async def listed_models(client: httpx2.AsyncClient) -> list[str]:
    """The ids that /v1/models lists, in its order. Raises ServerError where there is no such list."""
    try:
        answer = await client.get("models")
        answer.raise_for_status()
        return [str(entry["id"]) for entry in answer.json()["data"]]
    except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
        msg = f"{client.base_url}models does not list models ({type(error).__name__}: {error})"
        raise ServerError(msg) from None


async def only_model(client: httpx2.AsyncClient) -> str:
    """The one model that a foreign server lists.

    Raises ServerError where that is not exactly one, NotYetError where asking again may help.
    """
    try:
        names = await listed_models(client)
    except ServerError as error:
        cause = error.__context__
        if isinstance(cause, httpx2.ConnectError):
            msg = f"it refuses connections ({cause})"
            raise NotYetError(msg) from None
        if isinstance(cause, httpx2.HTTPStatusError) and cause.response.status_code >= 500:
            msg = f"it answered {cause.response.status_code} when asked for its models"
            raise NotYetError(msg) from None
        raise ServerError(f"{error}; set model to the name that the server knows") from None
    if len(names) != 1:
        msg = f"the server lists {len(names)} models; set model to one of: {', '.join(names) or '(it lists none)'}"
        raise ServerError(msg)
    return names[0]


def check_served(resolved: str, listed: Sequence[str]) -> None:
    """mlx_lm lists the hub cache first and the model that it serves last. Raises IdentityError for another one."""
    if not listed or listed[-1] != resolved:
        msg = f"the server serves {listed[-1] if listed else 'no model'}, not {resolved} as it was told"
        raise IdentityError(msg)


def check_answered(requested: str, answered: str | None, kind: ServerKind) -> None:
    """Raises IdentityError where `answered` is another model than `requested`; dated variants count as the same
    for servers that mlx_lm is not."""
    if answered == requested:
        return
    if answered is None:
        raise IdentityError(f"{requested!r} was asked, and the answer does not say which model made it")
    suffix = answered.removeprefix(requested)
    if kind not in MLX_KINDS and suffix != answered and _DATED.fullmatch(suffix):
        return
    raise IdentityError(f"{requested!r} was asked and {answered!r} answered; {nearest(requested, [answered])}")


def check_generation(identity: ServedIdentity, requested: str, names_model: bool, generation: Generation) -> None:
    """Raises IdentityError where `generation` came from another model or server than `identity`.

    A generation that failed before it named a model is not judged; neither is one of a server that never names any
    (`names_model` False). Fingerprints are compared where we started the server: hosted ones change theirs at will.
    """
    failed = generation.error is not None or generation.status not in (None, 200)
    if generation.served_model is not None or (names_model and not failed):
        check_answered(requested, generation.served_model, identity.kind)
    seen = generation.fingerprint
    known = None if identity.kind == "url" else identity.fingerprint
    if seen is not None and known is not None and seen != known:
        msg = f"the server's fingerprint changed from {known!r} to {seen!r}: it was replaced meanwhile"
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


async def own_identity(client: httpx2.AsyncClient, port: int | None) -> dict[str, object]:
    """What a server of ours says of itself. Raises ServerError where it is none."""
    address = client.base_url.copy_with(path="/identity", port=port)
    try:
        answer = await client.get(address)
        answer.raise_for_status()
        said = answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise ServerError(f"{address} does not say who it is ({type(error).__name__}: {error})") from None
    if not isinstance(said, dict) or said.get("kind") != "punie":
        raise IdentityError(f"{address} is not a server of punie-trace")
    return said


def check_digests(known: Digests, said: Mapping[str, object]) -> None:
    """Raises IdentityError where the server holds other weights than the files that it was told to serve."""
    pairs = (("model", known.weights, "weights_digest"), ("draft model", known.draft, "draft_digest"))
    for what, ours, key in pairs:
        if ours is not None and said.get(key) != ours:
            raise IdentityError(
                f"the server holds another {what} than it was told to: digest {said.get(key)}, not {ours}"
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
