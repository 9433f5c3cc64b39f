"""One way of serving, from plain values: the class of its kind, or one message that holds every mistake in them.

The classes stand in `kinds`. A setting that only other kinds know is refused with their names, an unknown one with the
nearest that there is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeAlias, get_args

from pydantic import BaseModel, ValidationError

from punie_trace.errors import ConfigurationError, nearest
from punie_trace.servers.kinds import CommandConfig, MlxConfig, MlxLmConfig, PunieConfig, UrlConfig

ServerConfig: TypeAlias = MlxLmConfig | PunieConfig | CommandConfig | UrlConfig
"""Any of the classes; `kind` tells which."""

Startable: TypeAlias = MlxLmConfig | PunieConfig | CommandConfig
"""Those that we start and end ourselves."""

KINDS: Mapping[str, type[ServerConfig]] = {str(one.model_fields["kind"].default): one for one in get_args(ServerConfig)}
MLX_KINDS: tuple[str, ...] = tuple(name for name, one in KINDS.items() if issubclass(one, MlxConfig))
"""Kinds that serve an MLX model of this machine, with mlx_lm's flags."""
_DEFAULT_KIND = "mlx_lm"
_NEEDED = {
    "model_path": "needs model_path: a folder with an MLX model, or a hub id like 'org/name'",
    "command": 'needs command: the argv, like ["my-server", "--port", "{port}"]',
    "url": "needs url: the server's address, like http://127.0.0.1:8080/v1",
}

_INSTEAD = {
    ("url", "model_path"): "set model to the name of the model to ask for (--served-model on the command line)",
    ("url", "draft_model"): "a server that already runs has its draft model, or none",
    ("command", "draft_model"): "write it into command, as the server wants it",
}


def server_config(settings: Mapping[str, object], where: str = "") -> ServerConfig:
    """The configuration that plain values make, with every mistake in one message.

    `where` says where they were written ('configuration "fast" in punie.toml'). A value of None counts as left out, and
    so does an empty one of a setting that the kind does not have. Raises ConfigurationError.
    """
    prefix = f"{where}: " if where else ""
    given = {key: value for key, value in settings.items() if value is not None}
    kind = given.get("kind", _DEFAULT_KIND)
    chosen = KINDS.get(kind) if isinstance(kind, str) else None
    if chosen is None:
        raise ConfigurationError(
            f"{prefix}unknown server kind {kind!r}; {nearest(str(kind), KINDS)} Kinds are: {', '.join(KINDS)}"
        )
    given = {key: value for key, value in given.items() if not _means_nothing(chosen, key, value)}
    try:
        return chosen.model_validate(given)
    except ValidationError as error:
        mistakes = (_mistake(found["loc"], found["type"], found["msg"], str(kind)) for found in _errors(error))
        raise ConfigurationError(f"{prefix}{'; '.join(mistakes)}") from None


def settings_of(config: ServerConfig) -> dict[str, object]:
    """What was set, as plain values: `server_config` makes the same of them."""
    return {"kind": config.kind, **{name: getattr(config, name) for name in config.model_fields_set}}


def node_of(config: ServerConfig) -> str | None:
    """The node of a cluster that the server shall run on; None for this machine, or wherever a URL leads."""
    return None if isinstance(config, UrlConfig) else config.node


def _means_nothing(chosen: type[BaseModel], key: str, value: object) -> bool:
    return key not in chosen.model_fields and bool(_kinds_with(key)) and value in ((), [], {}, False)


def _errors(error: ValidationError) -> list[dict[str, object]]:
    return [dict(found) for found in error.errors(include_url=False, include_input=False, include_context=False)]


def _mistake(location: object, type_: object, message: object, kind: str) -> str:
    name = ".".join(str(part) for part in location) if isinstance(location, tuple) else ""
    if type_ == "missing":
        return f"kind {kind!r} {_NEEDED.get(name, f'needs {name}')}"
    if type_ == "extra_forbidden":
        return _unknown(name, kind)
    text = str(message).removeprefix("Value error, ")
    return f"{name}: {text}" if name else text


def _unknown(name: str, kind: str) -> str:
    others = _kinds_with(name)
    if others:
        advice = _INSTEAD.get((kind, name), "remove it, or choose another kind")
        return f"kind {kind!r} does not take {name}, which {_kinds(others)}; {advice}"
    own = list(KINDS[kind].model_fields)
    if _close(name, own):
        return f"unknown key {name!r}; {nearest(name, own)}"
    found = _close(name, [field for one in KINDS.values() for field in one.model_fields])
    if found:
        takers = _kinds(_kinds_with(found))
        return f"unknown key {name!r}; did you mean {found!r}? Kind {kind!r} does not take that, {takers}"
    return f"unknown key {name!r}; {nearest(name, own)}"


def _close(name: str, known: list[str]) -> str:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.5)), "")


def _kinds_with(name: str) -> list[str]:
    return [kind for kind, one in KINDS.items() if name in one.model_fields]


def _kinds(names: list[str]) -> str:
    *first, last = (repr(name) for name in names)
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"{listed} {'does' if len(names) == 1 else 'do'}"
