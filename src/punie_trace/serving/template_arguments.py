"""`chat_template_kwargs`: what a request may hand to the model's chat template. Pure.

A chat template is a program of the model's, and its arguments are data to it: switches, words, lists of documents.
`apply_chat_template` takes its own options by the same way (which template, how to tokenize, padding to a length), and
a request that set those could make the server do anything, so their names are refused.
"""

from __future__ import annotations

from typing import Final

from punie_trace.records import JsonValue
from punie_trace.serving.refusal import RefusedError

MOST_ARGUMENTS: Final = 32
MOST_VALUES: Final = 4096
"""Numbers, texts and switches in all arguments together."""
MOST_CHARACTERS: Final = 1 << 16
MOST_DEPTH: Final = 16
NOT_DATA: Final[dict[str, str]] = {
    "chat_template": "the template is the model's own (the operator's --chat-template)",
    "tools": "send `tools` in the body itself",
    "conversation": "send `messages` in the body itself",
    "messages": "send `messages` in the body itself",
    "add_generation_prompt": "an answer is always asked for",
    "continue_final_message": "an answer is always begun anew",
    "tokenize": "it is the tokenizer's own option",
    "padding": "it is the tokenizer's own option",
    "truncation": "it is the tokenizer's own option",
    "max_length": "it is the tokenizer's own option",
    "return_tensors": "it is the tokenizer's own option",
    "return_dict": "it is the tokenizer's own option",
    "return_assistant_tokens_mask": "it is the tokenizer's own option",
    "tokenizer_kwargs": "it is the tokenizer's own option",
    "add_special_tokens": "it is the tokenizer's own option",
    "sanitize_control_tokens": "it is the tokenizer's own option",
    "self": "it is no argument of a template",
    "raise_exception": "it is a function of the templates",
    "strftime_now": "it is a function of the templates",
    "load_audio_from_video": "the server reads no files for its clients",
}
"""Names that mean something else than data, and what to do instead."""


def check_template_arguments(arguments: dict[str, JsonValue]) -> None:
    """Raises `RefusedError` (400) that names the argument that may not be given, or the bound that is broken."""
    if len(arguments) > MOST_ARGUMENTS:
        raise RefusedError(
            400, f"chat_template_kwargs holds {len(arguments)} arguments, and {MOST_ARGUMENTS} are the most"
        )
    for name in arguments:
        if name in NOT_DATA:
            raise RefusedError(400, f"chat_template_kwargs may not hold {name!r}: {NOT_DATA[name]}")
        if not name.isidentifier() or name.startswith("_") or len(name) > 64:
            raise RefusedError(
                400, f"chat_template_kwargs: {name[:64]!r} cannot name an argument; names are like 'enable_thinking'"
            )
    check_size(arguments, "chat_template_kwargs", values=MOST_VALUES, characters=MOST_CHARACTERS)


def check_size(value: JsonValue, where: str, *, values: int, characters: int, depth: int = MOST_DEPTH) -> None:
    """Raises `RefusedError` (400) where `value` is nested too deeply, or holds too much in all."""
    waiting: list[tuple[JsonValue, int]] = [(value, 0)]
    while waiting:
        one, level = waiting.pop()
        if level > depth:
            raise RefusedError(400, f"{where} is nested more than {depth} levels deep")
        values -= 1
        if isinstance(one, str):
            characters -= len(one)
        elif isinstance(one, dict):
            characters -= sum(map(len, one))
            waiting += [(inner, level + 1) for inner in one.values()]
        elif isinstance(one, list):
            waiting += [(inner, level + 1) for inner in one]
        elif isinstance(one, int) and not -(2**63) <= one < 2**63:
            raise RefusedError(400, f"{where} holds a number of more than 64 bits")
        if values < 0 or characters < 0:
            raise RefusedError(400, f"{where} holds too much; send less, or send it as text of a message")
