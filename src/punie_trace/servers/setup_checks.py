"""What is wrong with a configuration that can be known before any server starts: all of it, not the first thing.

It looks at files, at the environment and at nothing else; it connects to nobody.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from punie_trace.errors import ConfigurationError, ModelError, PunieTraceError
from punie_trace.proxy_routes import route_to
from punie_trace.servers import addresses
from punie_trace.servers.blas import variables_for
from punie_trace.servers.command import build_server_command
from punie_trace.servers.config import ServerConfig, Startable
from punie_trace.servers.keys import api_key
from punie_trace.servers.kinds import CommandConfig, MlxConfig, UrlConfig
from punie_trace.servers.models import check_models


def check_setup(config: ServerConfig) -> list[PunieTraceError]:
    """Every problem, in words that say what to do; [] where it can be started (or, for kind `url`, asked).

    The classes are those that opening the server would raise: ConfigurationError and ModelError, exit code 2.
    """
    return list(_problems(config))


def _problems(config: ServerConfig) -> Iterator[PunieTraceError]:
    checks: list[Callable[[], object]] = [lambda: api_key(config), lambda: check_models(config)]
    if isinstance(config, UrlConfig):
        checks.append(lambda: route_to(addresses.base_url_of(config.url)).certificates())
    else:
        checks.append(lambda: check_program(config))
    if isinstance(config, MlxConfig):
        checks.append(lambda: variables_for({**os.environ, **config.environment}))
    for check in checks:
        try:
            check()
        except (ConfigurationError, ModelError) as error:
            yield error


def check_program(config: Startable) -> None:
    """That the program which serves `config` is there. Raises ConfigurationError."""
    program = build_server_command(config, 1)[0] if isinstance(config, CommandConfig) else ""
    path = config.environment.get("PATH", os.environ.get("PATH"))
    if program and shutil.which(program, path=path) is None:
        there = Path(program).is_file()
        what = "is not executable; make it so, or put the program that runs it in front" if there else "was not found"
        msg = f"the command {program!r} {what}{'' if there else '; check its name and PATH'}"
        raise ConfigurationError(msg)
