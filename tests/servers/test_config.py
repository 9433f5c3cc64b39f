from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.errors import ConfigurationError
from punie_trace.servers.config import KINDS, server_config
from punie_trace.servers.kinds import UrlConfig


@pytest.mark.parametrize(
    ("values", "words"),
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
        (
            {"kind": "url", "url": "http://x", "port": 80},
            "kind 'url' does not take port, which 'mlx_lm', 'punie' and 'command' do",
        ),
        ({"kind": "url", "url": "http://x", "kv_bit": 4}, "did you mean 'kv_bits'? Kind 'url' does not take that"),
        (
            {"kind": "url", "url": "http://x", "zzzzzz": 4},
            "unknown key 'zzzzzz'; known: api_key_env, chat_template_args, ",
        ),
        (
            {"kind": "url", "url": "http://x", "allow_tokenizer_mismatch": True},
            "does not take allow_tokenizer_mismatch",
        ),
        ({"kind": "url", "url": "http://x", "served_model": " "}, "served_model: must not be empty"),
        ({"kind": "url", "url": "http://x", "served_model": "a", "check_identity": False}, "keep one of them"),
        ({"kind": "url", "url": "http://x\x1b[2J/v1"}, "holds blanks or control characters"),
        ({"kind": "url", "url": "http://" + "x" * 70_000}, "url has 70007 characters, beginning with 'http://xxx"),
        ({"kind": "command", "command": ["", "{port}"]}, "command: must not be empty"),
        ({"kind": "command", "command": ["x\0", "{port}"]}, "holds a zero byte"),
        ({"kind": "command", "command": ["x", "{port}"], "environment": {"A=B": "1"}}, "no name of an environment"),
        ({"model_path": "m", "environment": {"": "1"}}, "no name of an environment variable"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        server_config(values, where="here")
    assert words in str(caught.value)
    assert str(caught.value).startswith("here: ")


def test_what_a_person_wrote_is_not_repeated_in_full() -> None:
    with pytest.raises(ConfigurationError) as caught:
        server_config({"kind": "url", "url": "http://x/" + "\x1b]52;c;" * 9000})
    assert len(str(caught.value)) < 500
    assert "\x1b" not in str(caught.value)


def test_blanks_around_a_url_are_taken_off() -> None:
    config = server_config({"kind": "url", "url": " http://127.0.0.1:1/v1\n"})
    assert isinstance(config, UrlConfig)
    assert config.url == "http://127.0.0.1:1/v1"


def test_a_setting_left_empty_is_none() -> None:
    assert server_config({"kind": "url", "url": "http://x", "kv_bits": None, "extra_args": []}) == UrlConfig(
        url="http://x"
    )


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


FIELDS = sorted({field for kind in KINDS.values() for field in kind.model_fields})


@given(
    st.sampled_from([{}, {"model_path": "m"}, {"command": ["s", "{port}"]}, {"url": "http://x"}]),
    st.dictionaries(st.sampled_from(FIELDS), st.none() | st.sampled_from(sorted(KINDS)) | st.integers() | st.text()),
)
def test_any_values_make_a_configuration_or_a_configuration_error(
    start: dict[str, object], values: dict[str, object]
) -> None:
    try:
        config = server_config({**start, **values})
    except ConfigurationError:
        return
    assert server_config(config.model_dump()) == config
