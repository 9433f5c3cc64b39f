from __future__ import annotations

import json
import sys
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.errors import ConfigurationError
from punie_trace.servers.command import build_server_command, process_part, request_options, server_key
from punie_trace.servers.config import server_config
from punie_trace.servers.kinds import CommandConfig, MlxLmConfig, UrlConfig

START = [sys.executable, "-m", "mlx_lm", "server"]
# Written out again, so that a flag that changes by accident is seen.
FLAGS = {
    "adapter_path": ("--adapter-path", st.text("ab/", min_size=1)),
    "draft_model": ("--draft-model", st.text("ab/", min_size=1)),
    "temp": ("--temp", st.floats(0, 5)),
    "top_p": ("--top-p", st.floats(0, 1)),
    "top_k": ("--top-k", st.integers(0, 100)),
    "min_p": ("--min-p", st.floats(0, 1)),
    "max_tokens": ("--max-tokens", st.integers(1, 9999)),
    "chat_template": ("--chat-template", st.text("ab{% ", min_size=1)),
    "decode_concurrency": ("--decode-concurrency", st.integers(1, 99)),
    "prompt_concurrency": ("--prompt-concurrency", st.integers(1, 99)),
    "prefill_step_size": ("--prefill-step-size", st.integers(1, 9999)),
    "prompt_cache_size": ("--prompt-cache-size", st.integers(0, 99)),
    "prompt_cache_bytes": ("--prompt-cache-bytes", st.integers(1, 10**12)),
    "kv_bits": ("--kv-bits", st.sampled_from([2, 3, 4, 6, 8])),
    "kv_group_size": ("--kv-group-size", st.sampled_from([32, 64])),
    "quantized_kv_start": ("--quantized-kv-start", st.integers(0, 9999)),
    "log_level": ("--log-level", st.sampled_from(["DEBUG", "ERROR"])),
}
REQUEST = {"temp": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "max_tokens": 7}

fields = st.fixed_dictionaries({}, optional={name: values for name, (_, values) in FLAGS.items()})


@given(fields)
def test_a_flag_only_where_a_field_is_set(values: dict[str, object]) -> None:
    argv = build_server_command(server_config({"model_path": "m", **values}), 81)
    assert argv[:6] == [*START, "--model", "m"]
    assert argv[-4:] == ["--host", "127.0.0.1", "--port", "81"]
    middle = argv[6:-4]
    pairs = dict(zip(middle[::2], middle[1::2], strict=True))
    assert pairs == {FLAGS[name][0]: str(value) for name, value in values.items()}


def test_nothing_set_is_nothing_said() -> None:
    argv = build_server_command(MlxLmConfig(model_path="m"), 8080)
    assert argv == [*START, "--model", "m", "--host", "127.0.0.1", "--port", "8080"]


def test_switches_templates_and_extra_arguments() -> None:
    config = MlxLmConfig(
        model_path="m",
        draft_model="d",
        num_draft_tokens=4,
        chat_template="--dashes",
        chat_template_args={"enable_thinking": False},
        trust_remote_code=True,
        use_default_chat_template=True,
        extra_args=("--pipeline",),
    )
    argv = build_server_command(config, 1)
    assert argv[argv.index("--num-draft-tokens") + 1] == "4"
    assert json.loads(argv[argv.index("--chat-template-args") + 1]) == {"enable_thinking": False}
    assert "--chat-template=--dashes" in argv
    assert {"--trust-remote-code", "--use-default-chat-template"} <= set(argv)
    assert argv[-1] == "--pipeline"


@pytest.mark.parametrize("field", sorted(FLAGS))
def test_mlx_lm_knows_the_flag(field: str) -> None:
    """Against the server's own source, so that a new mlx-lm that drops a flag is noticed."""
    assert f'"{FLAGS[field][0]}"' in mlx_lm_server_source()


def mlx_lm_server_source() -> str:
    (file,) = (file for file in metadata.files("mlx-lm") or () if str(file) == "mlx_lm/server.py")
    return file.read_text()


def test_a_command_is_filled_in_and_nothing_else_in_it_changes() -> None:
    config = CommandConfig(command=("s", "--at={host}:{port}", '{"model": 1}', "{model}", "{}"), model_path="p/{port}")
    assert build_server_command(config, 90) == ["s", "--at=127.0.0.1:90", '{"model": 1}', "p/{port}", "{}"]


def test_a_url_has_no_command() -> None:
    with pytest.raises(ConfigurationError, match="already running"):
        build_server_command(UrlConfig(url="http://x"), 1)


def test_request_options_hold_what_is_set() -> None:
    config = MlxLmConfig(
        model_path="m",
        draft_model="d",
        num_draft_tokens=2,
        stop_sequences=("a", "b"),
        chat_template_args={"enable_thinking": False},
        temp=0.5,
        top_p=0.9,
        top_k=4,
        min_p=0.1,
        max_tokens=7,
    )
    assert request_options(config) == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "min_p": 0.1,
        "max_tokens": 7,
        "num_draft_tokens": 2,
        "stop": ["a", "b"],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert request_options(MlxLmConfig(model_path="m")) == {}


@given(fields)
def test_a_shared_process_carries_nothing_that_requests_carry(values: dict[str, object]) -> None:
    config = server_config({"model_path": "m", **values})
    part = process_part(config)
    assert request_options(part) == {}
    assert server_key(part) == server_key(config)


def test_who_shares_a_process() -> None:
    base = MlxLmConfig(model_path="m", draft_model="d")
    same = base.model_copy(update={"num_draft_tokens": 5, "stop_sequences": ("x",), **REQUEST})
    assert server_key(base) == server_key(same)
    for field, value in {"model_path": "n", "draft_model": None, "prompt_cache_size": 0, "port": 7}.items():
        assert server_key(base) != server_key(base.model_copy(update={field: value})), field
    other = base.model_copy(update={"environment": {"A": "1"}})
    assert server_key(base) != server_key(other)


def test_our_server_takes_speculation_with_each_request() -> None:
    values = {"kind": "punie", "model_path": "m", "draft_model": "d", "max_draft_memory": "1GB"}
    adaptive = server_config({**values, "speculation": "adaptive", "min_acceptance": 0.8, "cache_salt": "a"})
    fixed = server_config({**values, "num_draft_tokens": 4, "drafter": "ngram", "tree": True, "memory": "server"})
    plain = server_config(values)
    assert len({server_key(config) for config in (adaptive, fixed, plain)}) == 1
    assert build_server_command(process_part(adaptive), 80) == [
        *(sys.executable, "-m", "punie_trace", "serve", "--otlp", "off", "--max-draft-memory", "1GB"),
        *("--model", "m", "--draft-model", "d", "--host", "127.0.0.1", "--port", "80"),
    ]
    asked = [request_options(config).get("speculation") for config in (adaptive, fixed, plain)]
    assert asked == [
        {"mode": "adaptive", "min_acceptance": 0.8},
        {"mode": "fixed", "k": 4, "drafter": "ngram", "tree": True, "memory": "server"},
        {"mode": "off"},
    ]
    assert request_options(adaptive)["cache_salt"] == "a"
    assert "num_draft_tokens" not in request_options(fixed)
