"""Code mode: the model writes Python that calls the agent's tools, and the sandbox of `pydantic-ai-harness` runs it.

N calls then take one turn of the model instead of N. The agent's tools become functions behind one tool, `run_code`;
they run where they always do, and only what the model wrote runs in the sandbox: a process of Monty's, an interpreter
of its own for a part of Python, without files, network, environment or clock. Nothing of it is run by this package.

The harness is an extra, since it pins the version of PydanticAI that it was made for. It is loaded only in code mode.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from punie_trace.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic_ai.capabilities import AbstractCapability

_SANDBOX: Final = "pydantic_monty"
_HARNESS: Final = "pydantic_ai_harness.code_mode"
EXTRA: Final = "pip install 'punie-trace[code]'"
SNIPPET_LIMIT_S: Final = 30.0
"""The longest that one piece of code may compute, in seconds; waiting for its tools does not count."""
SNIPPET_MEMORY_BYTES: Final = 256 * 2**20
SNIPPET_CALLS: Final = 100
"""The most tool calls that one piece of code may make."""
ATTEMPTS: Final = 3
"""How often the model may mend code that was refused or stopped before its query ends."""


def check_code_mode() -> None:
    """Raises `ConfigurationError` where the sandbox is not installed, or does not go with what is."""
    for module in (_SANDBOX, _HARNESS):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in (_SANDBOX, _HARNESS.partition(".")[0]):
                raise _unfit(error) from error
            raise ConfigurationError(
                f"tools = 'code' runs the model's code in the sandbox of pydantic-ai-harness, and {missing} is not "
                f"installed: {EXTRA}"
            ) from None
        except ImportError as error:
            raise _unfit(error) from error


def code_capability() -> AbstractCapability[Any]:
    """What puts an agent into code mode for a run. Raises `ConfigurationError` as `check_code_mode` does."""
    check_code_mode()
    return importlib.import_module(_HARNESS).CodeMode(
        max_retries=ATTEMPTS,
        max_tool_calls=SNIPPET_CALLS,
        resource_limits={"max_duration_secs": SNIPPET_LIMIT_S, "max_memory": SNIPPET_MEMORY_BYTES},
    )


def _unfit(error: ImportError) -> ConfigurationError:
    return ConfigurationError(
        f"tools = 'code': pydantic-ai-harness is installed and cannot be loaded ({error}); it goes with one version of "
        f"pydantic-ai-slim only, which {EXTRA} installs"
    )
