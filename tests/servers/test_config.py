from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.errors import ConfigurationError
from punie_trace.servers.config import ServerConfig, server_config


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_path": "m", "tempp": 1}, "unknown key 'tempp'; did you mean 'temp'?"),
        ({}, "needs model_path"),
        ({"kind": "mlx"}, "did you mean 'mlx_lm'?"),
        ({"kind": "punie"}, "kind 'punie' needs model_path"),
        ({"kind": "puni", "model_path": "m"}, "did you mean 'punie'?"),
        ({"kind": "punie", "model_path": "m", "drafter": "hybrid"}, "'hybrid' needs draft_model"),
        ({"kind": "punie", "model_path": "m", "drafter": "guess"}, "drafter: "),
        ({"kind": "punie", "model_path": "m", "min_acceptance": 2}, "min_acceptance: "),
        ({"model_path": "m", "speculation": "adaptive"}, "does not take speculation"),
        ({"model_path": "m", "cache_salt": "x"}, "does not take cache_salt"),
        ({"kind": 3}, "unknown server kind 3"),
        ({"model_path": "m", "num_draft_tokens": 2}, "set draft_model or leave num_draft_tokens out"),
        ({"model_path": "m", "draft_model": "d", "num_draft_tokens": 0}, "num_draft_tokens: Input should be greater"),
        ({"model_path": " "}, "model_path: must not be empty"),
        ({"model_path": "m", "port": 0}, "port: "),
        ({"model_path": "m", "top_p": 1.5}, "top_p: "),
        ({"model_path": "m", "temp": -1}, "temp: "),
        ({"model_path": "m", "host": "http://x"}, "must be a bare name"),
        ({"model_path": "m", "stop_sequences": [""]}, "empty stop sequence"),
        ({"model_path": "m", "url": "http://x"}, "does not take url"),
        ({"kind": "command"}, "needs command"),
        ({"kind": "command", "command": ["x"]}, "must hold {port}"),
        ({"kind": "command", "command": ["x", "{prot}"]}, "did you mean 'port'?"),
        ({"kind": "command", "command": ["x", "{port}", "{model}"]}, "model_path is not set"),
        ({"kind": "command", "command": ["x", "{port}"], "kv_bits": 4}, "does not take kv_bits"),
        ({"kind": "url"}, "needs url"),
        ({"kind": "url", "url": "localhost:80"}, "must start with http://"),
        ({"kind": "url", "url": "http://[::1"}, "does not parse"),
        ({"kind": "url", "url": "http://u:secret@x/v1"}, "must not hold a user name or password"),
        ({"kind": "url", "url": "http://x/v1?a=1"}, "query"),
        ({"kind": "url", "url": "http://x", "port": 80}, "does not take port"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        server_config(values, where="here")
    assert said in str(caught.value)
    assert str(caught.value).startswith("here: ")


def test_all_mistakes_come_in_one_message() -> None:
    with pytest.raises(ConfigurationError, match=r"min_p.*prot|prot.*min_p"):
        server_config({"model_path": "m", "min_p": 2, "prot": 1})


@pytest.mark.parametrize("value", ["sk-0123456789abcdef", "a key"])
def test_a_key_in_place_of_its_variables_name_is_not_repeated(value: str) -> None:
    with pytest.raises(ConfigurationError, match="not the key") as caught:
        server_config({"kind": "url", "url": "http://x", "api_key_env": value})
    assert value not in str(caught.value)


def test_a_secret_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        server_config({"kind": "url", "url": "http://u:secret@x/v1"})
    assert "secret" not in str(caught.value)


@given(st.dictionaries(st.sampled_from(sorted(ServerConfig.model_fields)), st.none() | st.integers() | st.text()))
def test_any_values_make_a_configuration_or_a_configuration_error(values: dict[str, object]) -> None:
    try:
        config = server_config(values)
    except ConfigurationError:
        return
    assert ServerConfig.model_validate(config.model_dump()) == config
