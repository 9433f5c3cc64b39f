"""What a request may hold: every field that could hurt is checked here, once, before anything else sees it. Pure.

A mistake of one request, made in the thread that generates, would be everybody's: so shapes, ranges and sizes are
checked first. `RefusedError` names the field and says what is wrong with it.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Final, NoReturn

from punie_trace.records import JsonValue
from punie_trace.serving.messages import Body, check_messages, check_tools, kind_of
from punie_trace.serving.refusal import RefusedError
from punie_trace.serving.template_arguments import check_template_arguments

CHAT_PATHS: Final = ("/v1/chat/completions", "/chat/completions")
TEXT_PATHS: Final = ("/v1/completions",)
MAX_STOPS: Final = 64
MOST_STOP_CHARACTERS: Final = 4096
"""Of all stop texts together: they are tokenized, and made into an automaton, in the thread that generates."""
MAX_SEED: Final = 2**63 - 1
MOST_BIASES: Final = 1024
MOST_ROLES: Final = 16
MOST_SALT: Final = 256
_INT32: Final = 2**31 - 1
_WINDOW: Final = 1_000_000
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""Without one in the bytes, no text of the body can hold half of a surrogate pair."""


@dataclass(frozen=True, slots=True)
class _Range:
    """What a number may be; `whole` ones have no fraction."""

    least: float
    most: float
    whole: bool = False

    def check(self, name: str, value: JsonValue) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RefusedError(400, f"{name} must be a number, not {kind_of(value)}")
        if self.whole and not isinstance(value, int):
            raise RefusedError(400, f"{name} must be a whole number, without a fraction or an exponent")
        if value < self.least:
            raise RefusedError(400, f"{name} must be at least {self.least:g}")
        if not value <= self.most:
            raise RefusedError(400, f"{name} must be at most {self.most:g}")


_NUMBERS: Final[dict[str, _Range]] = {
    "max_tokens": _Range(1, _INT32, whole=True),
    "max_completion_tokens": _Range(1, _INT32, whole=True),
    "temperature": _Range(0, 100),
    "top_p": _Range(0, 1),
    "top_k": _Range(0, _INT32, whole=True),
    "min_p": _Range(0, 1),
    "repetition_penalty": _Range(0, 1000),
    "repetition_context_size": _Range(0, _WINDOW, whole=True),
    "presence_penalty": _Range(-1000, 1000),
    "presence_context_size": _Range(0, _WINDOW, whole=True),
    "frequency_penalty": _Range(-1000, 1000),
    "frequency_context_size": _Range(0, _WINDOW, whole=True),
    "xtc_probability": _Range(0, 1),
    "xtc_threshold": _Range(0, 1),
    "top_logprobs": _Range(-1, 11, whole=True),
    "num_draft_tokens": _Range(0, _INT32, whole=True),
}


def parse_body(raw: bytes) -> Body:
    """The JSON object in `raw`. Raises `RefusedError` (400) for anything else."""
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the body is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise RefusedError(400, "the body is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError is one, and so is a number of ten thousand digits
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise RefusedError(400, f"the body must be a JSON object, not {kind_of(body)}")
    if _ESCAPED_SURROGATE.search(raw):
        _encodable(body)
    return body


def check_body(body: Body, path: str) -> Body:
    """`body` as the server takes it. Raises `RefusedError` (400) that names the field.

    Fields that are null are taken for absent, as OpenAI's clients mean them.
    """
    checked: Body = {key: value for key, value in body.items() if value is not None}
    for name, allowed in _NUMBERS.items():
        if name in checked:
            allowed.check(name, checked[name])
    _one_answer(checked)
    if not 0 <= _integer(checked.get("seed", 0), "seed") <= MAX_SEED:
        raise RefusedError(400, f"seed must be between 0 and {MAX_SEED}")
    for name in ("xtc_probability", "xtc_threshold"):  # mlx_lm takes no integer for these
        if isinstance(value := checked.get(name), int):
            checked[name] = float(value)
    _names(checked)
    _stream(checked)
    _stops(checked)
    _bias(checked.get("logit_bias"))
    _template(checked)
    if path in CHAT_PATHS:
        checked["messages"] = check_messages(checked.get("messages"))
        check_tools(checked)
    else:
        prompt = checked.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise RefusedError(400, f"prompt must be a text that is not empty, not {kind_of(prompt)}")
    return checked


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _encodable(value: JsonValue) -> None:
    """Half of a surrogate pair is legal JSON and no text: tokenizers fail on it."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise RefusedError(400, "the body holds half of a surrogate pair, which is no text") from None
    except RecursionError:
        raise RefusedError(400, "the body is nested too deeply") from None


def _integer(value: JsonValue, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(400, f"{name} must be a whole number, not {kind_of(value)}")
    return value


def _names(body: Body) -> None:
    for name in ("model", "draft_model", "adapters"):
        if name in body and (not isinstance(body[name], str) or not body[name]):
            raise RefusedError(400, f"{name} must be a name, not {kind_of(body[name])}")
    salt = body.get("cache_salt", "")
    if not isinstance(salt, str) or len(salt) > MOST_SALT:
        raise RefusedError(400, f"cache_salt must be a text of at most {MOST_SALT} characters")
    if not isinstance(body.get("timings", False), bool):
        raise RefusedError(400, "timings must be true or false")


def _stream(body: Body) -> None:
    options = body.get("stream_options")
    if options is None:
        return
    if not isinstance(options, dict) or not isinstance(options.get("include_usage", False), bool):
        raise RefusedError(400, 'stream_options must be an object like {"include_usage": true}')
    body["stream_options"] = {**options, "include_usage": options.get("include_usage", False)}


def _stops(body: Body) -> None:
    if "stop" not in body:
        return
    stops = body["stop"]
    stops = [stops] if isinstance(stops, str) else stops
    texts = [one for one in stops if isinstance(one, str) and one] if isinstance(stops, list) else []
    if not isinstance(stops, list) or len(texts) != len(stops):
        raise RefusedError(400, "stop must be a text or a list of texts, none of them empty")
    if len(stops) > MAX_STOPS:
        raise RefusedError(400, f"stop holds {len(stops)} texts, and {MAX_STOPS} are the most")
    if sum(map(len, texts)) > MOST_STOP_CHARACTERS:
        raise RefusedError(400, f"stop holds more than {MOST_STOP_CHARACTERS} characters in all")
    body["stop"] = stops


def _template(body: Body) -> None:
    arguments = body.get("chat_template_kwargs", {})
    if not isinstance(arguments, dict):
        raise RefusedError(400, f"chat_template_kwargs must be an object, not {kind_of(arguments)}")
    check_template_arguments(arguments)
    mapping = body.get("role_mapping", {})
    if not isinstance(mapping, dict):
        raise RefusedError(400, f"role_mapping must be an object, not {kind_of(mapping)}")
    if not all(isinstance(value, str) and len(value) <= 1024 for value in mapping.values()):
        raise RefusedError(400, "role_mapping must map roles to texts of at most 1024 characters")
    if len(mapping) > MOST_ROLES:
        raise RefusedError(400, f"role_mapping holds {len(mapping)} roles, and {MOST_ROLES} are the most")


def _bias(bias: JsonValue) -> None:
    if bias is None:
        return
    if not isinstance(bias, dict):
        raise RefusedError(400, f"logit_bias must be an object, not {kind_of(bias)}")
    if len(bias) > MOST_BIASES:
        raise RefusedError(400, f"logit_bias names {len(bias)} tokens, and {MOST_BIASES} are the most")
    for token, value in bias.items():
        if not re.fullmatch(r"[+-]?[0-9]{1,10}", token):
            raise RefusedError(400, f"logit_bias must be a dict of int to float, and {token[:20]!r} is no token's id")
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            raise RefusedError(400, f"logit_bias must be a dict of int to float: the value of {token} is none")


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _one_answer(body: Body) -> None:
    for name in ("n", "best_of"):
        if (count := body.get(name, 1)) != 1 or isinstance(count, bool):
            shown = str(count) if isinstance(count, int | float) and abs(count) < 1e6 else kind_of(count)
            raise RefusedError(
                400, f"{name} is {shown}, and this server gives one answer to a request: ask several times"
            )
