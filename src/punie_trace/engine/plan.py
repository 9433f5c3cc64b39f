"""From a configuration to work: which configurations there are, which can share a server process, what may run at once.

Pure but for looking at the sizes of model files and at free memory; nothing is started here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from punie_trace.driver.limits import Limits
from punie_trace.driver.load import ONE_WORKER
from punie_trace.driver.schedule import Load
from punie_trace.engine.config import LoadConfig, RunConfig, ask_path
from punie_trace.engine.load_config import levels_of, limits_of, one_by_one
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.records import JsonValue
from punie_trace.records import Path as AskPath
from punie_trace.servers.command import request_options, server_key
from punie_trace.servers.config import ServerConfig, server_config
from punie_trace.speculative.registry import names_without_draft_model

DRAFT_LENGTHS = (2, 3, 5)
ON_DEMAND = (*names_without_draft_model(), "plain")  # measured where --only names them
SHIPPED_TOOL_OUTPUT_CHARS = 600  # what the shipped model saw in training
SHIPPED_MAX_TOKENS = 480  # above its longest answers in training; where it loses its way, it is not left to run on
MEMORY_SHARE = 0.6  # of the free memory that all servers at once may be expected to take
MEMORY_FACTOR = 1.5  # a server's expected need over the bytes of its weights


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way of serving, ready to be asked."""

    name: str
    path: AskPath
    server: ServerConfig
    group: str
    """Configurations of one group are served by one process."""
    request: dict[str, JsonValue]
    load: Load = ONE_WORKER
    """What it is put under. A sweep makes one configuration of each level."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run will do. `batches` are the groups that are up at the same time, one batch after another."""

    config: RunConfig
    configurations: tuple[Configuration, ...]
    batches: tuple[tuple[str, ...], ...]
    tool_output_chars: int
    max_tokens: int
    limits: Limits = field(default_factory=Limits)
    notes: tuple[str, ...] = ()

    def stages(self, names: Iterable[str]) -> tuple[tuple[tuple[str, ...], Load], ...]:
        """What of `names` is measured at the same time, interleaved, and under which load; one stage after another.

        Under a rate or in a sweep each configuration is alone, and the order turns round from level to level: what the
        machine's drift gives to one it then takes from it.
        """
        measured = [c for c in self.configurations if c.name in set(names)]
        if not one_by_one(self.config):
            return ((tuple(c.name for c in measured), measured[0].load),) if measured else ()
        by_load: dict[Load, list[Configuration]] = {}
        for configuration in measured:
            by_load.setdefault(configuration.load, []).append(configuration)
        turned = (group[:: -1 if number % 2 else 1] for number, group in enumerate(by_load.values()))
        return tuple(((c.name,), c.load) for group in turned for c in group)

    def of_group(self, group: str) -> tuple[Configuration, ...]:
        """The configurations that `group` serves."""
        return tuple(c for c in self.configurations if c.group == group)


def make_plan(config: RunConfig, only: Sequence[str] = ()) -> Plan:
    """The plan for `config`, narrowed to the configurations named in `only` where there are any.

    Raises `ConfigurationError` for settings that cannot be, or names that are not there.
    """
    shared, chosen, notes, shipped = _presets(config)
    for name in only:
        if name not in chosen:
            raise ConfigurationError(f"there is no configuration {name!r}; {nearest(name, chosen)}")
    if not only and not config.configurations:
        chosen = {name: settings for name, settings in chosen.items() if name not in ON_DEMAND}
    if only:
        chosen = {name: settings for name, settings in chosen.items() if name in only}
    levels = levels_of(config)
    configurations: list[Configuration] = []
    groups: dict[str, str] = {}
    for name, own in chosen.items():
        settings = {**shared, **{key: value for key, value in own.items() if key != "path"}}
        server = server_config(settings, f"configuration {name!r}")
        path = ask_path(name, own, config.path)
        if path == "inprocess" and (server.kind != "mlx_lm" or server.model_path is None):
            raise ConfigurationError(
                f"configuration {name!r}: the path 'inprocess' needs kind 'mlx_lm' and a model_path"
            )
        key = f"{path == 'inprocess'} {server_key(server)}"
        group = groups.setdefault(key, f"server-{len(groups) + 1}")
        configurations.append(Configuration(name, path, server, group, request_options(server)))
    configurations = [
        replace(configuration, name=configuration.name + level.suffix, load=level.load)
        for level in levels
        for configuration in configurations
    ]
    names = tuple(dict.fromkeys(c.group for c in configurations))
    together = config.together if config.together is not None else _fits(configurations)
    if not together and len(names) > 1:
        notes.append(
            "configurations of different servers were measured one after another, not interleaved "
            "(memory would not hold all servers at once, or together = false): drift of the machine can look like a "
            "difference"
        )
    given = config.agent.model_fields_set if shipped else {"tool_output_chars", "max_tokens"}
    chars = config.agent.tool_output_chars if "tool_output_chars" in given else SHIPPED_TOOL_OUTPUT_CHARS
    most = config.agent.max_tokens if "max_tokens" in given else SHIPPED_MAX_TOKENS
    batches = (names,) if together else tuple((name,) for name in names)
    if config.until is not None:
        _check_until(configurations, batches)
    if config.repeat_contaminated and len(batches) > 1:
        raise ConfigurationError(
            "--repeat-contaminated asks a round again in all configurations, so that their servers must be up "
            "together: give --together, or narrow them with --only"
        )
    if (config.until is not None or config.repeat_contaminated) and config.load != LoadConfig():
        raise ConfigurationError(
            "until = 'decided' and repeat_contaminated go by rounds in a plain closed loop: leave out the settings of "
            "the load (rate, sweep, duration and their like), or these"
        )
    return Plan(config, tuple(configurations), batches, chars, most, limits_of(config), tuple(notes))


def _check_until(configurations: Sequence[Configuration], batches: Sequence[Sequence[str]]) -> None:
    if len(configurations) < 2:
        raise ConfigurationError(
            f"until = 'decided' compares with a baseline, and {configurations[0].name!r} is all there is: add a "
            "configuration (--draft-model adds some), or leave it out and give --rounds"
        )
    if len(batches) > 1:
        raise ConfigurationError(
            "until = 'decided' looks at all configurations after each round, so that their servers must be up "
            "together: --together says so where memory was not expected to hold them; else narrow them with --only"
        )


def _presets(config: RunConfig) -> tuple[dict[str, Any], dict[str, dict[str, Any]], list[str], bool]:
    """Shared settings, configurations, notes, and whether the shipped model is what is measured."""
    shared = dict(config.server)
    notes: list[str] = []
    external = shared.get("kind", "mlx_lm") in ("url", "command")
    own_models = any(
        "model_path" in own or own.get("kind", "mlx_lm") in ("url", "command") for own in config.configurations.values()
    )
    shipped = not external and "model_path" not in shared and not own_models
    draft = shared.pop("draft_model", None)
    if shipped:
        from punie_trace.models import shipped_model

        target, small = shipped_model()
        shared["model_path"] = str(target)
        draft = draft or str(small)
    if config.configurations:
        chosen = {name: dict(own) for name, own in config.configurations.items()}
        for own in chosen.values():
            if draft and "num_draft_tokens" in own and "draft_model" not in own:
                own["draft_model"] = draft
        return shared, chosen, notes, shipped
    chosen = {"baseline": {}}
    if draft and not external:
        if config.concurrency > 1 and config.path != "inprocess":
            chosen["baseline-serial"] = {"decode_concurrency": 1, "prompt_concurrency": 1}
            notes.append(
                "a draft model switches mlx_lm's batching off, so above concurrency 1 'baseline-serial' (one request "
                "at a time) is the fair partner of the speculative configurations"
            )
        for length in DRAFT_LENGTHS:
            chosen[f"speculative-{length}"] = {"draft_model": str(draft), "num_draft_tokens": length}
    elif not external:
        notes.append("no draft model was given: 'adaptive' drafts from what was said alone; --draft-model gives more")
    if not external and config.path != "inprocess":
        chosen |= _served_by_us(str(draft) if draft else None, config.concurrency)
    return shared, chosen, notes, shipped


def _served_by_us(draft: str | None, concurrency: int) -> dict[str, dict[str, Any]]:
    """The configurations of our own server, one process for all of them; those of `ON_DEMAND` are for `--only`."""
    common: dict[str, Any] = {"kind": "punie", **({"draft_model": draft} if draft else {})}
    chosen: dict[str, dict[str, Any]] = {
        "adaptive": {"speculation": "adaptive", "drafter": "hybrid" if draft else "suffix"},
        **{name: {"speculation": "adaptive", "drafter": name} for name in names_without_draft_model()},
        "plain": {"speculation": "off"},
    }
    # Each warms its own prompt cache, as it would in a process of its own; a batch, which is for more than one request
    # at once, knows no salts.
    salted = concurrency == 1
    return {name: {**common, **own, **({"cache_salt": name} if salted else {})} for name, own in chosen.items()}


def _fits(configurations: Sequence[Configuration]) -> bool:
    """Whether all servers may be up at once: their weights, with room to work, within the free memory."""
    by_group = {c.group: c.server for c in configurations}
    need = sum(
        _weight_bytes(path)
        for server in by_group.values()
        for path in (server.model_path, server.draft_model)
        if path is not None
    )
    return need * MEMORY_FACTOR <= psutil.virtual_memory().available * MEMORY_SHARE


def _weight_bytes(model: str) -> int:
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _cached(model)
    return sum(f.stat().st_size for f in folder.glob("*.safetensors")) if folder.is_dir() else 0


def _cached(model: str) -> Path:
    """Where the Hugging Face cache keeps `model`, as huggingface_hub lays it out; a folder that is not there if not."""
    from huggingface_hub.constants import HF_HUB_CACHE

    snapshots = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*")) if snapshots.is_dir() else []
    return found[-1] if found else snapshots
