"""One class for each kind of server: what a person may write about it, checked without disk, network or mlx.

A setting that stands in a class is one that the kind knows. Whether a model is really there is asked by `models`, what
becomes of the fields by `command`; plain values become one of these classes by `config`.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from punie_trace.errors import nearest
from punie_trace.servers.addresses import check_host, check_url
from punie_trace.speculative.registry import drafter_names, needs_draft_model, without_draft_model

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_PLACEHOLDERS = frozenset({"port", "host", "model"})
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Config(BaseModel):
    """What every kind takes: what goes with each request. A field left at None takes the server's own default."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    num_draft_tokens: Positive | None = None
    """Tokens drafted per round; goes with each request, so configurations that differ in it share one process."""
    temp: Annotated[float, Field(ge=0)] | None = None
    top_p: Share | None = None
    top_k: Natural | None = None
    min_p: Share | None = None
    max_tokens: Positive | None = None
    stop_sequences: tuple[str, ...] = ()
    """Sent with each request: mlx_lm has no flag for them."""
    chat_template_args: dict[str, JsonValue] | None = None
    fresh: Literal["restart", "forget", "salt"] | None = None
    """restart: a new process in each round, so that no round profits from what an earlier one taught the server.
    forget: the process stays and forgets between rounds (kind punie). salt: each query brings a `cache_salt` of its
    own, so that a server that knows it (vLLM) answers none from another's prompt."""

    @field_validator("stop_sequences")
    @classmethod
    def _stops_are_not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            msg = "an empty stop sequence would end every answer at once; remove it"
            raise ValueError(msg)
        return value

    @field_validator("model_path", "adapter_path", "draft_model", "model", "served_model", check_fields=False)
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            msg = "must not be empty; leave the field out instead"
            raise ValueError(msg)
        return value


class StartedConfig(_Config):
    """A server that we start and end."""

    node: Annotated[str, Field(min_length=1)] | None = None
    """On a Ray cluster: the node to run on, by a resource that it has, or a label 'key=value'. None: this machine."""
    host: str = "127.0.0.1"
    """Where it listens; on a node, that node's address if not given."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """None takes a free one."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Set for the server's process, over ours."""

    @field_validator("host")
    @classmethod
    def _bare_host(cls, value: str) -> str:
        return check_host(value)

    @field_validator("environment")
    @classmethod
    def _names_of_variables(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not name or "=" in name or "\0" in name:
                msg = f"{name!r} is no name of an environment variable; it must not be empty or hold '='"
                raise ValueError(msg)
            if "\0" in text:
                msg = f"the value of {name} holds a zero byte, which no environment can"
                raise ValueError(msg)
        return value


class MlxConfig(StartedConfig):
    """A server that serves an MLX model of this machine, with mlx_lm's flags."""

    model_path: str
    """A local folder or a hub id ('org/name')."""
    adapter_path: str | None = None
    draft_model: str | None = None
    allow_tokenizer_mismatch: bool = False
    """Measure a draft whose ids differ from the target's anyway. The output stays the target's; fewer drafts fit."""

    chat_template: str | None = None
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

    api_key_env: ClassVar[None] = None
    model: ClassVar[None] = None
    served_model: ClassVar[None] = None
    check_identity: ClassVar[bool] = True

    @field_validator("fresh")
    @classmethod
    def _knows_other_ways(cls, value: str | None) -> str | None:
        if value == "salt":
            msg = (
                "mlx_lm reads no salt; fresh = 'restart', or prompt_cache_size = 0, keeps queries apart (punie: memory)"
            )
            raise ValueError(msg)
        return value


class MlxLmConfig(MlxConfig):
    """The stock `mlx_lm server`, started by us."""

    kind: Literal["mlx_lm"] = "mlx_lm"

    speculation: ClassVar[None] = None
    drafter: ClassVar[None] = None

    @model_validator(mode="after")
    def _drafts_have_a_model(self) -> Self:
        if self.num_draft_tokens is not None and self.draft_model is None:
            msg = "num_draft_tokens is set but draft_model is not; set draft_model or leave num_draft_tokens out"
            raise ValueError(msg)
        return self


class PunieConfig(MlxConfig):
    """Our own server, started by us."""

    kind: Literal["punie"] = "punie"

    speculation: Literal["off", "fixed", "adaptive"] | None = None
    """How each request is decoded; goes with the request, so that one process serves all of them."""
    drafter: str | None = None
    """What drafts. None takes what the server finds best for its draft model, or for none."""
    min_acceptance: Share | None = None
    """With `adaptive`: keep accepted / drafted above this, even where drafting more would be faster."""
    tree: bool = False
    """Draft trees instead of single continuations, where the model allows it."""
    memory: Literal["request", "conversation", "server"] | None = None
    """What drafts may know of earlier requests: nothing, those that this one goes on from (the server's default), or
    all of the same `cache_salt`."""
    max_draft_memory: str | None = None
    """The most that drafting may take, like '500MB'; beyond it decoding falls back to plain."""
    cache_salt: str | None = None
    """Prompt caches and stores are shared only by requests of one salt, so that no configuration warms another's. In a
    run that asks one question at a time it is the configuration's name unless set."""

    @field_validator("drafter")
    @classmethod
    def _known_drafter(cls, value: str | None) -> str | None:
        if value is not None and value not in drafter_names():
            msg = f"unknown drafter {value!r}; {nearest(value, drafter_names())}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _drafts_have_a_drafter(self) -> Self:
        if self.num_draft_tokens is not None and self.draft_model is None and self.drafter is None:
            msg = "num_draft_tokens is set but draft_model is not; set draft_model or leave num_draft_tokens out"
            raise ValueError(msg)
        if self.drafter is not None and needs_draft_model(self.drafter) and self.draft_model is None:
            msg = f"drafter {self.drafter!r} needs draft_model; {without_draft_model()} needs none"
            raise ValueError(msg)
        return self


class ForeignConfig(_Config):
    """What a server that is neither mlx_lm's nor ours is asked for; how it serves was configured where it stands."""

    model: str | None = None
    """The model name to send; None takes the only one that the server lists."""
    served_model: str | None = None
    """The name that its answers give, where that is another one: a gateway's alias, a path, a quantized variant."""
    check_identity: bool = True
    """False: measure whatever answers. The report says so."""
    api_key_env: str | None = None
    """The NAME of the environment variable that holds the key, never the key."""

    draft_model: ClassVar[None] = None
    adapter_path: ClassVar[None] = None
    speculation: ClassVar[None] = None
    drafter: ClassVar[None] = None

    @field_validator("api_key_env")
    @classmethod
    def _a_name_not_a_key(cls, value: str | None) -> str | None:
        if value is not None and not _ENVIRONMENT_NAME.fullmatch(value):
            # The value is not repeated: it may be the key itself.
            msg = "api_key_env must be the name of an environment variable (letters, digits and _), not the key"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _one_answer_to_who_answers(self) -> Self:
        if self.served_model is not None and not self.check_identity:
            msg = "served_model says which name to expect, and check_identity = false to expect none; keep one of them"
            raise ValueError(msg)
        return self


class CommandConfig(StartedConfig, ForeignConfig):
    """Any other server, started by us."""

    kind: Literal["command"] = "command"

    command: tuple[str, ...]
    """The argv; `{port}`, `{host}` and `{model}` are filled in, no shell is involved."""
    model_path: str | None = None
    """What `{model}` stands for."""

    @field_validator("command")
    @classmethod
    def _known_placeholders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not value[0].strip():
            msg = 'must not be empty; write the argv, like ["my-server", "--port", "{port}"]'
            raise ValueError(msg)
        for item in value:
            if "\0" in item:
                msg = f"{item!r} holds a zero byte, which no argument can"
                raise ValueError(msg)
            for name in _PLACEHOLDER.findall(item):
                if name and name not in _PLACEHOLDERS:
                    msg = f"command holds {{{name}}}; {nearest(name, _PLACEHOLDERS)}"
                    raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _placeholders_are_filled(self) -> Self:
        if self.port is None and not any("{port}" in item for item in self.command):
            msg = "command must hold {port} where the server takes its port, or port must say which one it uses"
            raise ValueError(msg)
        if self.model_path is None and any("{model}" in item for item in self.command):
            msg = "command holds {model} but model_path is not set; set model_path"
            raise ValueError(msg)
        return self


class UrlConfig(ForeignConfig):
    """A server that is already running. We start and end nothing."""

    kind: Literal["url"] = "url"

    url: str
    """Its address, with or without '/v1'."""

    model_path: ClassVar[None] = None

    @field_validator("fresh")
    @classmethod
    def _not_ours_to_restart(cls, value: str | None) -> str | None:
        if value == "restart":
            msg = "a server that runs already is not ours to restart; fresh = 'salt' is for one that knows cache_salt"
            raise ValueError(msg)
        return value

    @field_validator("url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        return check_url(value)
