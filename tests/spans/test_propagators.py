from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.errors import ConfigurationError
from punie_trace.spans.propagators import VARIABLE, check_propagators


@given(st.lists(st.sampled_from(["tracecontext", "baggage", " baggage ", "none"]), max_size=4))
def test_what_is_installed_is_nothing_to_say(names: list[str]) -> None:
    check_propagators({VARIABLE: ",".join(names)})


def test_what_is_not_is_named_with_what_to_set_and_to_install() -> None:
    with pytest.raises(ConfigurationError, match="names 'b3', which is not installed") as refused:
        check_propagators({VARIABLE: "tracecontext, b3"})
    assert f"set {VARIABLE}=tracecontext for this command" in str(refused.value)
    assert "install opentelemetry-propagator-b3" in str(refused.value)


@pytest.mark.parametrize("value", ["", "b3", "tracecontext,", "none,b3", "b3,none", "NONE"])
def test_it_refuses_just_what_opentelemetry_refuses(value: str) -> None:
    environ = os.environ | {VARIABLE: value}
    code = "import opentelemetry.propagate"
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, timeout=60, check=False)
    try:
        check_propagators(environ)
    except ConfigurationError:
        assert done.returncode == 1
    else:
        assert done.returncode == 0
