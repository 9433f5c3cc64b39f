"""One way of serving, as the user wrote it: which server, which model, which options.

Pure values with checks that need no disk, no network and no mlx. Whether a model is really there is asked by `models`,
what becomes of the fields by `command`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from punie_trace.errors import ConfigurationError, nearest
from punie_trace.speculative.registry import drafter_names, needs_draft_model, without_draft_model

ConfiguredKind = Literal["mlx_lm", "punie", "command", "url"]
KINDS: tuple[ConfiguredKind, ...] = ("mlx_lm", "punie", "command", "url")
MLX_KINDS: tuple[ConfiguredKind, ...] = ("mlx_lm", "punie")
"""Kinds that serve an MLX model of this machine, with mlx_lm's flags."""

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_PLACEHOLDERS = frozenset({"port", "host", "model"})
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What only the argv of mlx_lm and of ours knows; a `command` or `url` server was configured where it was started.
_MLX_LM_ONLY = (
    "adapter_path",
    "draft_model",
    "chat_template",
    "use_default_chat_template",
    "decode_concurrency",
    "prompt_concurrency",
    "prefill_step_size",
    "prompt_cache_size",
    "prompt_cache_bytes",
    "kv_bits",
    "kv_group_size",
    "quantized_kv_start",
    "trust_remote_code",
    "log_level",
    "extra_args",
)
_PUNIE_ONLY = ("speculation", "drafter", "min_acceptance", "tree", "max_draft_memory", "cache_salt")
_STARTED_ONLY = ("port", "environment")

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class ServerConfig(BaseModel):
    """One server and what is asked of it. A field left at None takes the server's own default.

    Kinds: `mlx_lm` (stock, started by us), `punie` (ours, started by us), `command` (any argv with `{port}`, started by
    us), `url` (already running).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    kind: ConfiguredKind = "mlx_lm"
    model_path: str | None = None
    """A local folder or a hub id ('org/name'); for `command` what `{model}` stands for."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """None takes a free one."""

    adapter_path: str | None = None
    draft_model: str | None = None
    num_draft_tokens: Positive | None = None
    """Tokens drafted per round; goes with each request, so configurations that differ in it share one process."""
    speculation: Literal["off", "fixed", "adaptive"] | None = None
    """Kind `punie`: how each request is decoded; goes with the request, so that one process serves all of them."""
    drafter: str | None = None
    """Kind `punie`: what drafts. None takes what the server finds best for its draft model, or for none."""
    min_acceptance: Share | None = None
    """Kind `punie`, adaptive: keep accepted / drafted above this, even where drafting more would be faster."""
    tree: bool = False
    """Kind `punie`: draft trees instead of single continuations, where the model allows it."""
    max_draft_memory: str | None = None
    """Kind `punie`: the most that drafting may take, like '500MB'; beyond it decoding goes on plain."""
    cache_salt: str | None = None
    """Kind `punie`: prompt caches are shared only by requests of one salt, so that no configuration warms another's."""
    allow_tokenizer_mismatch: bool = False
    """Measure a draft whose ids differ from the target's anyway. The output stays the target's; fewer drafts fit."""

    temp: Annotated[float, Field(ge=0)] | None = None
    top_p: Share | None = None
    top_k: Natural | None = None
    min_p: Share | None = None
    max_tokens: Positive | None = None
    stop_sequences: tuple[str, ...] = ()
    """Sent with each request: mlx_lm has no flag for them."""

    chat_template: str | None = None
    chat_template_args: dict[str, JsonValue] | None = None
    use_default_chat_template: bool = False

    decode_concurrency: Positive | None = None
    prompt_concurrency: Positive | None = None
    prefill_step_size: Positive | None = None
    prompt_cache_size: Natural | None = None
    """How many distinct KV caches the server keeps; 0 keeps none."""
    prompt_cache_bytes: Positive | None = None
    kv_bits: Literal[2, 3, 4, 6, 8] | None = None
    kv_group_size: Positive | None = None
    quantized_kv_start: Natural | None = None
    trust_remote_code: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] | None = None
    extra_args: tuple[str, ...] = ()
    """Appended to mlx_lm's argv as they are."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Set for the server's process, over ours."""

    command: tuple[str, ...] = ()
    """For kind `command`: the argv; `{port}`, `{host}` and `{model}` are filled in, no shell is involved."""
    url: str | None = None
    """For kind `url`: the server's address, with or without '/v1'."""
    model: str | None = None
    """The model name to send to a `command` or `url` server; None takes the only one that it lists."""
    api_key_env: str | None = None
    """The NAME of the environment variable that holds the key, never the key."""

    @field_validator("kind", mode="before")
    @classmethod
    def _known_kind(cls, value: object) -> object:
        if value not in KINDS:
            msg = f"unknown server kind {value!r}; {nearest(str(value), KINDS)} Kinds are: {', '.join(KINDS)}"
            raise ValueError(msg)
        return value

    @field_validator("host")
    @classmethod
    def _bare_host(cls, value: str) -> str:
        if not value or "/" in value or any(c.isspace() for c in value):
            msg = f"host {value!r} must be a bare name or address such as 127.0.0.1; a full address goes into url"
            raise ValueError(msg)
        return value

    @field_validator("model_path", "adapter_path", "draft_model", "model")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            msg = "must not be empty; leave the field out instead"
            raise ValueError(msg)
        return value

    @field_validator("stop_sequences")
    @classmethod
    def _stops_say_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            msg = "an empty stop sequence would end every answer at once; remove it"
            raise ValueError(msg)
        return value

    @field_validator("command")
    @classmethod
    def _known_placeholders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            for name in _PLACEHOLDER.findall(item):
                if name and name not in _PLACEHOLDERS:
                    msg = f"command holds {{{name}}}; {nearest(name, _PLACEHOLDERS)}"
                    raise ValueError(msg)
        return value

    @field_validator("drafter")
    @classmethod
    def _known_drafter(cls, value: str | None) -> str | None:
        if value is not None and value not in drafter_names():
            msg = f"unknown drafter {value!r}; {nearest(value, drafter_names())}"
            raise ValueError(msg)
        return value

    @field_validator("url")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError as error:
            msg = f"url does not parse ({error}); write it like http://127.0.0.1:8080/v1"
            raise ValueError(msg) from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"url {value!r} must start with http:// or https:// and name a host, like http://127.0.0.1:8080/v1"
            raise ValueError(msg)
        if parts.username or parts.password:
            msg = "url must not hold a user name or password; put the key into a variable that api_key_env names"
            raise ValueError(msg)
        if parts.query or parts.fragment:
            msg = "url must not hold a query or fragment; write only the base address, like http://127.0.0.1:8080/v1"
            raise ValueError(msg)
        return value

    @field_validator("api_key_env")
    @classmethod
    def _a_name_not_a_key(cls, value: str | None) -> str | None:
        if value is not None and not _ENVIRONMENT_NAME.fullmatch(value):
            # The value is not repeated: it may be the key itself.
            msg = "api_key_env must be the name of an environment variable (letters, digits and _), not the key"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind in MLX_KINDS:
            if self.model_path is None:
                msg = f"kind {self.kind!r} needs model_path: a folder with an MLX model, or a hub id like 'org/name'"
                raise ValueError(msg)
            if self.num_draft_tokens is not None and self.draft_model is None and self.drafter is None:
                msg = "num_draft_tokens is set but draft_model is not; set draft_model or leave num_draft_tokens out"
                raise ValueError(msg)
            if self.drafter is not None and needs_draft_model(self.drafter) and self.draft_model is None:
                msg = f"drafter {self.drafter!r} needs draft_model; {without_draft_model()} needs none"
                raise ValueError(msg)
            self._refuse(("command", "url", "model", "api_key_env"))
        else:
            self._refuse(_MLX_LM_ONLY)
        if self.kind != "punie":
            self._refuse(_PUNIE_ONLY)
        if self.kind == "command":
            if not self.command:
                msg = 'kind \'command\' needs command: the argv, like ["my-server", "--port", "{port}"]'
                raise ValueError(msg)
            if self.port is None and not any("{port}" in item for item in self.command):
                msg = "command must hold {port} where the server takes its port, or port must say which one it uses"
                raise ValueError(msg)
            if self.model_path is None and any("{model}" in item for item in self.command):
                msg = "command holds {model} but model_path is not set; set model_path"
                raise ValueError(msg)
            self._refuse(("url",))
        if self.kind == "url":
            if self.url is None:
                msg = "kind 'url' needs url: the server's address, like http://127.0.0.1:8080/v1"
                raise ValueError(msg)
            self._refuse(("command", "model_path", *_STARTED_ONLY))
        return self

    def _refuse(self, fields: tuple[str, ...]) -> None:
        unused = [name for name in fields if getattr(self, name) not in (None, (), {}, False)]
        if unused:
            msg = f"kind {self.kind!r} does not take {', '.join(unused)}; remove {'it' if len(unused) == 1 else 'them'}"
            raise ValueError(msg)


def server_config(values: Mapping[str, object], where: str = "") -> ServerConfig:
    """A `ServerConfig` from plain values, with every mistake in one message.

    `where` says where they were written ('configuration "fast" in punie.toml'). Raises ConfigurationError.
    """
    try:
        return ServerConfig.model_validate(dict(values))
    except ValidationError as error:
        lines = []
        for found in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in found["loc"])
            if found["type"] == "extra_forbidden":
                lines.append(f"unknown key {name!r}; {nearest(name, ServerConfig.model_fields)}")
            else:
                text = found["msg"].removeprefix("Value error, ")
                lines.append(f"{name}: {text}" if name else text)
        raise ConfigurationError(f"{where}: {'; '.join(lines)}" if where else "; ".join(lines)) from None
