"""What becomes of a `ServerConfig`: the argv of its process, the body of its requests, and who can share a process.

Pure. The argv carries a flag only where a field is set. Sampling options, stop sequences, template arguments and the
number of draft tokens go with each request, so that one process can serve several configurations without their
defaults mixing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from punie_trace.errors import ConfigurationError
from punie_trace.records import JsonValue
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.kinds import CommandConfig, PunieConfig, UrlConfig

# field -> flag of `mlx_lm server` (mlx-lm 0.32.2), in the order in which they are written.
_VALUE_FLAGS: Mapping[str, str] = {
    "model_path": "--model",
    "adapter_path": "--adapter-path",
    "draft_model": "--draft-model",
    "num_draft_tokens": "--num-draft-tokens",
    "temp": "--temp",
    "top_p": "--top-p",
    "top_k": "--top-k",
    "min_p": "--min-p",
    "max_tokens": "--max-tokens",
    "chat_template": "--chat-template",
    "decode_concurrency": "--decode-concurrency",
    "prompt_concurrency": "--prompt-concurrency",
    "prefill_step_size": "--prefill-step-size",
    "prompt_cache_size": "--prompt-cache-size",
    "prompt_cache_bytes": "--prompt-cache-bytes",
    "kv_bits": "--kv-bits",
    "kv_group_size": "--kv-group-size",
    "quantized_kv_start": "--quantized-kv-start",
    "log_level": "--log-level",
}
_SWITCHES: Mapping[str, str] = {
    "use_default_chat_template": "--use-default-chat-template",
    "trust_remote_code": "--trust-remote-code",
}
# field -> key of the request body; OpenAI's names first, then what mlx_lm (and most local servers) add to them.
_REQUEST_KEYS: Mapping[str, str] = {
    "temp": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_tokens",
    "top_k": "top_k",
    "min_p": "min_p",
    "num_draft_tokens": "num_draft_tokens",
}
# field -> key of the request's `speculation`, which only our own server knows
_SPECULATION_KEYS: Mapping[str, str] = {
    "speculation": "mode",
    "num_draft_tokens": "k",
    "drafter": "drafter",
    "min_acceptance": "min_acceptance",
    "tree": "tree",
    "memory": "memory",
}
_NOT_OF_THE_PROCESS = (
    *_REQUEST_KEYS,
    *_SPECULATION_KEYS,
    "stop_sequences",
    "chat_template_args",
    "allow_tokenizer_mismatch",
    "cache_salt",
)


def build_server_command(config: ServerConfig, port: int) -> list[str]:
    """The argv that serves `config` on `port`. Raises ConfigurationError for kind `url`, which starts nothing."""
    if isinstance(config, UrlConfig):
        msg = f"{config.url} is already running: kind 'url' has no command; use kind 'command' to have it started"
        raise ConfigurationError(msg)
    if isinstance(config, CommandConfig):
        filled = {"{port}": str(port), "{host}": config.host, "{model}": config.model_path or ""}
        return [_fill(item, filled) for item in config.command]
    argv = [sys.executable, "-m", "mlx_lm", "server"]
    if isinstance(config, PunieConfig):
        # Its spans are fetched by whoever measures; sent by both they would be there twice.
        argv = [sys.executable, "-m", "punie_trace", "serve", "--otlp", "off"]
        if config.max_draft_memory is not None:
            argv += _flag("--max-draft-memory", config.max_draft_memory)
    for field, flag in _VALUE_FLAGS.items():
        value = getattr(config, field)
        if value is not None:
            argv += _flag(flag, str(value))
    if config.chat_template_args is not None:
        argv += ["--chat-template-args", json.dumps(config.chat_template_args, ensure_ascii=False)]
    argv += [flag for field, flag in _SWITCHES.items() if getattr(config, field)]
    return [*argv, "--host", config.host, "--port", str(port), *config.extra_args]


def process_part(config: ServerConfig) -> ServerConfig:
    """`config` without what each request carries: what a shared process is started with, so its defaults stay stock."""
    of_requests = (*_NOT_OF_THE_PROCESS, "fresh") if is_salted(config) else _NOT_OF_THE_PROCESS
    kept = {name: getattr(config, name) for name in config.model_fields_set if name not in of_requests}
    return type(config).model_validate(kept)


def request_options(config: ServerConfig) -> dict[str, JsonValue]:
    """What every request body of `config` must carry beyond model, messages and tools; only fields that are set."""
    options: dict[str, JsonValue] = {
        key: value for field, key in _REQUEST_KEYS.items() if (value := getattr(config, field, None)) is not None
    }
    if isinstance(config, PunieConfig):
        options.pop("num_draft_tokens", None)
        options["speculation"] = _speculation(config)
        if config.cache_salt is not None:
            options["cache_salt"] = config.cache_salt
    if config.stop_sequences:
        options["stop"] = list(config.stop_sequences)
    if config.chat_template_args is not None:
        options["chat_template_kwargs"] = json.loads(json.dumps(config.chat_template_args))
    return options


def _speculation(config: PunieConfig) -> dict[str, JsonValue]:
    """The whole of it, so that no request takes a default of the process."""
    asked: dict[str, JsonValue] = {
        key: value
        for field, key in _SPECULATION_KEYS.items()
        if (value := getattr(config, field, None)) not in (None, False)
    }
    drafts = config.num_draft_tokens is not None or config.drafter is not None
    return {"mode": "fixed" if drafts else "off", **asked}


def is_salted(config: ServerConfig) -> bool:
    """Whether each query of `config` brings a cache salt of its own."""
    return config.fresh == "salt"


def server_key(config: ServerConfig) -> str:
    """Equal for configurations that one process can serve: a server group. Holds no secret."""
    return json.dumps(process_part(config).model_dump(mode="json"), sort_keys=True)


def _flag(flag: str, value: str) -> list[str]:
    # argparse takes a separate value that starts with '-' for another flag.
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def _fill(item: str, filled: Mapping[str, str]) -> str:
    # Not str.format: a command may hold other braces, such as JSON.
    for placeholder, value in filled.items():
        item = item.replace(placeholder, value)
    return item
