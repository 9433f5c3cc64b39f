"""One small question to a server: a completion of one token, or its list of models. And what a bad answer means.

Every read has a limit of size and time. `NotYetError` says that asking again may help, `ServerError` that it will not.
Who asks again, and how often, is `readiness`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Final

import httpx2

from punie_trace.errors import ServerError
from punie_trace.http_clients import TooLongError, read_within
from punie_trace.outside_text import one_line
from punie_trace.records import JsonValue

MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_MODELS: Final = 20
_LATER: Final = frozenset({408, 425, 429, 502, 503, 504})
"""Asked too early or too often. Other 5xx may be a server that is still loading, or one that is broken."""
_TLS_SAYS: Final = ("certificate", "ssl", "tls")


class NotYetError(Exception):
    """The server gives no completion yet. `str(error)` says what it does, fit to be shown."""

    refused = False
    """Whether nothing accepts connections there."""
    broken = False
    """Whether it answers, and only with errors that a healthy server does not give while it loads."""


class RefusedError(NotYetError):
    """Nothing accepts connections."""

    refused = True


class BrokenError(NotYetError):
    """It answers with an error that usually stays."""

    broken = True


@dataclass(frozen=True, slots=True)
class FirstToken:
    """What the first completion tells of who answered."""

    model: str | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class SmallAnswer:
    """A whole answer: status, headers, body."""

    status: int
    headers: httpx2.Headers
    body: bytes

    @property
    def text(self) -> str:
        """The beginning of the body on one line, fit to be shown."""
        return one_line(self.body[:20_000].decode("utf-8", "replace"))

    def json(self) -> JsonValue:
        """The body read as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


async def small_answer(
    client: httpx2.AsyncClient, method: str, path: str, *, limit_s: float, content: JsonValue = None
) -> SmallAnswer:
    """Send one request and read its whole answer. Raises NotYetError, or ServerError where asking again cannot help."""
    deadline = time.monotonic() + limit_s
    try:
        async with client.stream(method, path, json=content) as response:
            body = await read_within(response, MOST_BYTES, deadline)
            return SmallAnswer(response.status_code, response.headers, body)
    except httpx2.ProxyError as error:
        raise ServerError(f"the proxy does not let the request through ({_words(error)}); see `doctor`") from None
    except httpx2.ConnectError as error:
        raise _not_connected(client.base_url, error) from None
    except TooLongError:
        raise ServerError(f"its answer is longer than {MOST_BYTES} bytes; {_NO_SERVER}") from None
    except TimeoutError:
        raise NotYetError(f"its answer goes on for more than {limit_s:g} s") from None
    except httpx2.DecodingError as error:
        raise ServerError(f"{_words(error)}; {_NO_SERVER}") from None
    except httpx2.TimeoutException:
        raise NotYetError("it did not answer") from None
    except httpx2.RemoteProtocolError as error:
        if client.base_url.scheme == "http" and "illegal status line" in str(error).lower():
            raise ServerError("it does not speak HTTP; if it wants TLS, write https:// in place of http://") from None
        raise NotYetError(f"the connection broke ({_words(error)})") from None
    except httpx2.HTTPError as error:
        raise NotYetError(f"the connection broke ({_words(error)})") from None


async def first_token(client: httpx2.AsyncClient, model: str, *, limit_s: float) -> FirstToken:
    """Ask for one token. Raises NotYetError where asking again may help, ServerError where it will not.

    Servers differ in how they want the limit written, and some take no temperature: what one refuses is left out.
    """
    answers: list[SmallAnswer] = []
    for options in _FORMS:
        body: JsonValue = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": False, **options}
        answers.append(await small_answer(client, "POST", "chat/completions", limit_s=limit_s, content=body))
        if answers[-1].status not in (400, 422) or not _about_options(answers[-1]):
            break
    # Where all forms were refused, the first refusal is the one about the common form.
    answer = answers[0] if len(answers) == len(_FORMS) and answers[-1].status != 200 else answers[-1]
    _check_status(answer, f"to a one-token completion for model {one_line(model, 100)!r}")
    content = answer.json()
    choices = content.get("choices") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(choices, list) or not choices:
        if isinstance(content, dict) and content.get("error"):
            raise BrokenError(f"it answered with an error: {answer.text}")
        raise ServerError(f"what answers {client.base_url} is no OpenAI-compatible server: {_page(answer)}")
    found = (content.get(name) for name in ("model", "system_fingerprint"))
    return FirstToken(*(value if isinstance(value, str) and value else None for value in found))


async def listed_models(client: httpx2.AsyncClient, *, limit_s: float) -> list[str]:
    """The ids that /v1/models lists, in its order. Raises NotYetError, or ServerError where there is no such list."""
    answer = await small_answer(client, "GET", "models", limit_s=limit_s)
    _check_status(answer, "when asked for its models", "; or set model to the name that the server knows")
    content = answer.json()
    entries = content.get("data") if isinstance(content, dict) else None
    if entries is None and isinstance(content, dict) and "data" in content:
        return []
    if not isinstance(entries, list):
        msg = f"{client.base_url}models does not list models ({_page(answer)}); set model to the name that it knows"
        raise ServerError(msg)
    ids = (entry.get("id") for entry in entries if isinstance(entry, dict))
    return [one for one in ids if isinstance(one, str)]


def only_model(listed: list[str], answers_as: str | None) -> str:
    """The one model that a foreign server lists, or of several the one that answers are to come from, if it is listed.

    Raises ServerError where there is no such one.
    """
    if len(listed) == 1:
        return listed[0]
    if answers_as in listed:
        return answers_as
    shown = ", ".join(one_line(name, 80) for name in listed[:_MOST_MODELS])
    more = f" and {len(listed) - _MOST_MODELS} others" if len(listed) > _MOST_MODELS else ""
    raise ServerError(
        f"the server lists {len(listed)} models; set model (or --served-model) to one of: "
        f"{shown or '(it lists none)'}{more}"
    )


_FORMS: Final[tuple[dict[str, JsonValue], ...]] = (
    {"max_tokens": 1, "temperature": 0},
    {"max_completion_tokens": 1, "temperature": 0},
    {"max_completion_tokens": 1},
    {"max_tokens": 1},
)
_NO_SERVER: Final = "check that the address is that of an OpenAI-compatible server"


def _about_options(answer: SmallAnswer) -> bool:
    text = answer.body[:20_000].decode("utf-8", "replace").lower()
    return any(word in text for word in ("max_tokens", "max_completion_tokens", "temperature"))


def _check_status(answer: SmallAnswer, to_what: str, or_else: str = "") -> None:
    status = answer.status
    if status == 200:
        return
    if 300 <= status < 400:
        where = one_line(answer.headers.get("location", "somewhere else"), 200)
        raise ServerError(
            f"it redirects {to_what} ({status}, to {where}): a login or a proxy stands in between, or the address is "
            "another; correct the url"
        )
    words = f"it answered {status} {to_what}: {_page(answer)}"
    if status in _LATER:
        raise NotYetError(words)
    if status >= 500:
        raise BrokenError(words)
    raise ServerError(f"{words}. {_advice(status)}{'' if status in (401, 403, 407) else or_else}")


def _advice(status: int) -> str:
    if status in {401, 403}:
        return "Name the environment variable that holds the key in api_key_env (or --api-key-env)"
    if status == 407:
        return "The proxy wants a user name and a password; see `doctor`"
    if status == 404:
        return "Check the url and the model's name"
    return "Check the model and its options"


def _page(answer: SmallAnswer) -> str:
    """What came, in words where it is a web page."""
    text = answer.text
    if "html" in answer.headers.get("content-type", "") or text[:15].lower().startswith(("<!doctype", "<html")):
        return f"a web page, as of a login or a proxy ({one_line(text, 120)})"
    return text or "an empty answer"


def _not_connected(base_url: httpx2.URL, error: httpx2.ConnectError) -> Exception:
    words = _words(error)
    lower = words.lower()
    if base_url.scheme == "https" and ("wrong version number" in lower or "record layer" in lower):
        return ServerError("it speaks no TLS; write http:// in place of https://")
    if any(word in lower for word in _TLS_SAYS):
        return ServerError(f"TLS failed ({words}); SSL_CERT_FILE names a file with the authority to trust")
    if (
        "name or service not known" in lower
        or "nodename" in lower
        or "name resolution" in lower
        or "getaddrinfo" in lower
    ):
        return ServerError(f"there is no host {base_url.host!r} ({words}); correct the url")
    return RefusedError(f"it refuses connections ({words})")


def _words(error: BaseException) -> str:
    return one_line(str(error), 200) or type(error).__name__
