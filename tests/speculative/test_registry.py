"""Drafters by name: another one is a registration away, and asking for the names loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from punie_trace.errors import ConfigurationError
from punie_trace.servers.config import server_config
from punie_trace.speculative import NgramDrafter, Speculation, SpeculativeDecoder, registry
from punie_trace.speculative.registry import (
    DrafterResources,
    drafter_names,
    names_without_draft_model,
    needs_draft_model,
    register_drafter,
    registration,
)
from tests.speculative.tiny import reference, tiny_model, tiny_tokenizer


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = dict(registry._REGISTERED)
    yield
    registry._REGISTERED.clear()
    registry._REGISTERED.update(before)


def test_the_names_need_no_mlx_and_no_numpy() -> None:
    code = (
        "import sys\nfrom punie_trace.speculative.registry import drafter_names, needs_draft_model\n"
        "print(*(f'{name}:{needs_draft_model(name)}' for name in drafter_names()))\n"
        "print(sorted({'mlx', 'numpy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["model:True ngram:False suffix:False hybrid:True", "[]"]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'suffix'"):
        needs_draft_model("sufix")


@pytest.mark.parametrize("name", ["", "two words", "a:b"])
def test_a_name_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a drafter"):
        register_drafter(name, lambda _: NgramDrafter())


@pytest.mark.parametrize("factory", ["module", "module:", ":callable"])
def test_a_factory_that_does_not_say_where_it_is_is_refused(factory: str) -> None:
    with pytest.raises(ConfigurationError, match="write 'module:callable'"):
        register_drafter("mine", factory)


@pytest.mark.parametrize("factory", ["no_such_module:thing", "punie_trace.errors:no_such_name"])
def test_a_factory_that_is_not_there_is_named_when_it_is_needed(factory: str) -> None:
    register_drafter("mine", factory)
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        registration("mine").make(DrafterResources())


def test_a_drafter_that_was_registered_as_free_and_is_not_is_refused() -> None:
    class Costly(NgramDrafter):
        name = "costly"
        free = False

    register_drafter("costly", lambda _: Costly())
    with pytest.raises(ConfigurationError, match="register it with free=False"):
        registration("costly").make(DrafterResources())
    register_drafter("other", lambda _: Costly())
    with pytest.raises(ConfigurationError, match="whose name is 'costly'"):
        registration("other").make(DrafterResources())


def test_configurations_and_requests_know_a_registered_drafter() -> None:
    register_drafter("mine", "punie_trace.speculative.make:ngram_drafter")
    assert "mine" in drafter_names()
    assert "mine" in names_without_draft_model()
    assert server_config({"kind": "punie", "model_path": "m", "drafter": "mine"}).drafter == "mine"
    with pytest.raises(ConfigurationError, match="did you mean 'mine'"):
        server_config({"kind": "punie", "model_path": "m", "drafter": "mined"})
    assert Speculation("fixed", 3, "mine").drafter == "mine"


def test_a_drafter_from_elsewhere_is_one_class_and_one_line() -> None:
    """It repeats the last token, which this target does not; the answer is the target's all the same."""
    register_drafter("echo", "tests.speculative.echo_drafter:EchoDrafter")
    target, tokenizer, prompt = tiny_model(1), tiny_tokenizer(), [5, 9, 13, 5, 9]
    decoder = SpeculativeDecoder(target, tokenizer)
    stream = decoder.stream_generate(prompt, max_tokens=12, speculation=Speculation("fixed", 2, "echo"))
    assert [response.token for response in stream] == reference(target, tokenizer, prompt, 12)
    record = decoder.last_generation
    assert record is not None
    assert record.fallback is None
    assert record.drafted > 0
    assert set(record.by_drafter()) == {"echo"}
