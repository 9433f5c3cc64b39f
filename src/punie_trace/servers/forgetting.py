"""Having a server forget what earlier requests taught it, so that asking the same again is asking for the first time.

Only our own server can: `POST /forget` empties its prompt caches and the stores that drafts are made from. For the
others it is said why not, and what would do instead.
"""

from __future__ import annotations

from typing import Final

import anyio
import httpx2

from punie_trace.servers.config import ServerConfig
from punie_trace.servers.kinds import MlxLmConfig, PunieConfig, UrlConfig

FORGET_S: Final = 60.0
"""The longest wait for a request that is being answered, before which its server cannot forget."""
_AGAIN_S: Final = 0.2


def no_forgetting(config: ServerConfig) -> str | None:
    """Why a server of this kind cannot be made to forget, and what would do instead; None where it can."""
    if isinstance(config, PunieConfig):
        return None
    instead = "restart it" if isinstance(config, UrlConfig) else "fresh = 'restart' starts it anew in each round"
    if isinstance(config, MlxLmConfig):
        instead += ", and prompt_cache_size = 0 keeps nothing in the first place"
    else:
        instead += ", and with fresh = 'salt' a server that knows cache_salt (vLLM) keeps each query apart"
    return f"a server of kind {config.kind!r} cannot be made to forget; {instead}"


async def forget(config: ServerConfig, base_url: str) -> str | None:
    """Empty the caches and stores of the server at `base_url`; None where that is done, else why it is not."""
    if (reason := no_forgetting(config)) is not None:
        return reason
    address = f"{base_url.removesuffix('/v1')}/forget"
    timeout = httpx2.Timeout(FORGET_S)
    try:
        with anyio.fail_after(FORGET_S):
            async with httpx2.AsyncClient(trust_env=False, timeout=timeout) as client:
                while True:
                    answer = await client.post(address)
                    if answer.status_code == httpx2.codes.OK:
                        return None
                    if answer.status_code != httpx2.codes.ACCEPTED:
                        return f"the server answered {answer.status_code} to {address}"
                    await anyio.sleep(_AGAIN_S)
    except TimeoutError:
        return f"the server was still answering a request after {FORGET_S:g} s; it forgets once that has ended"
    except httpx2.HTTPError as error:
        return f"{address} could not be asked: {error or type(error).__name__}"
