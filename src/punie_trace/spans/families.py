"""What is answer, reasoning and call in a chat completion: one definition for all paths, and what each server does.

* **Answer** is text that is meant for the user: `content` (a string, or blocks of type 'text'), or a refusal.
* **Reasoning** is what the model wrote for itself: the keys below, blocks of type 'thinking', and text of `content`
  between the tags below. Where only the closing tag comes, all before it is reasoning: the chat template had opened it.
* **Call** is an entry of `tool_calls` that has a name. A call that stands as text in the answer is one that the server
  did not parse; within reasoning it is no call at all.

`FAMILIES` says which server writes what. The reader takes any of it from any server, as proxies pass on what others
wrote. Pure; it raises nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from punie_trace.records import JsonValue


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of server and where it departs from OpenAI's own streams. Empty fields: it does not."""

    name: str
    reasoning_keys: tuple[str, ...] = ()
    """Keys of a delta that hold reasoning."""
    thinking_tags: tuple[tuple[str, str], ...] = ()
    """(opening, closing) around reasoning within `content`."""
    call_marks: tuple[str, ...] = ()
    """What a call begins with that was left in the text."""
    oddities: str = ""


_THINK: Final = ("<think>", "</think>")

FAMILIES: Final = (
    Family("mlx_lm", ("reasoning",), (_THINK,), ("<tool_call>",), "a call comes whole; keepalive comments in prefill"),
    Family("llama.cpp", ("reasoning_content",), (_THINK,), ("<tool_call>",), "`timings` in the last chunk; arguments "
           "may be an object; the connection closes after each stream"),
    Family("vLLM", ("reasoning", "reasoning_content"), (_THINK,), ("<tool_call>",), "with no parser set, calls and "
           "thinking stay in `content`"),
    Family("SGLang", ("reasoning_content",), (_THINK,), ("<tool_call>",), "id and name again with every piece"),
    Family("Ollama", ("reasoning", "thinking"), (_THINK,), (), "calls without `index`, or all with index 0"),
    Family("LM Studio", ("reasoning_content", "reasoning"), (_THINK,), ("[TOOL_REQUEST]",), "calls with an empty id"),
    Family("transformers serve", (), (_THINK,), ("<tool_call>",), "no [DONE] after the finish reason"),
    Family("Mistral", (), (("[THINK]", "[/THINK]"),), ("[TOOL_CALLS]",), "`content` is a list of typed blocks"),
    Family("Cohere", (), (("<|START_THINKING|>", "<|END_THINKING|>"),), ("<|START_ACTION|>",), "content as blocks"),
    Family("Kimi", ("reasoning_content",), (("◁think▷", "◁/think▷"),), ("<|tool_calls_section_begin|>",)),
    Family("Seed", (), (("<seed:think>", "</seed:think>"),), ("<seed:tool_call>",)),
    Family("DeepSeek", ("reasoning_content",), (_THINK,), ("<｜tool▁calls▁begin｜>",)),  # noqa: RUF001 - as it writes
    Family("Gemini", (), (("<thought>", "</thought>"),), (), "several calls at once without `index`"),
    Family("OpenRouter", ("reasoning", "reasoning_details"), (), (), "errors beside choices, comments while it waits"),
    Family("Azure OpenAI", (), (), (), "an opening chunk without choices, `delta` null, refusals"),
)  # fmt: skip

REASONING_KEYS: Final = tuple(dict.fromkeys(key for family in FAMILIES for key in family.reasoning_keys))
THINKING_TAGS: Final = tuple(dict.fromkeys(tags for family in FAMILIES for tags in family.thinking_tags))
CALL_MARKS: Final = tuple(dict.fromkeys(mark for family in FAMILIES for mark in family.call_marks))
_DEEPEST_BLOCKS: Final = 8


def family_rows() -> list[tuple[str, ...]]:
    """The table as cells, its head first, for documents."""
    head = (
        "who",
        "reasoning under a key",
        "reasoning within the text",
        "a call left in the text begins with",
        "besides",
    )
    rows = [
        (
            one.name,
            _quoted(one.reasoning_keys),
            _quoted(f"{opening}…{closing}" for opening, closing in one.thinking_tags),
            _quoted(one.call_marks),
            one.oddities,
        )
        for one in FAMILIES
    ]
    return [head, *rows]


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"`{word.replace('|', chr(92) + '|')}`" for word in words)


def split_reasoning(content: str) -> tuple[str, str]:
    """(reasoning, answer) of a whole `content`. Text without tags is all answer, as it stands."""
    if "<" not in content and "[" not in content and "◁" not in content:
        return "", content
    for opening, closing in THINKING_TAGS:
        before, found, after = content.partition(closing)
        if found:
            thought = before.lstrip().removeprefix(opening)
            more, answer = split_reasoning(after)
            return "\n".join(filter(None, (thought.strip(), more))), answer.lstrip()
        if content.lstrip().startswith(opening):  # it was cut off while it thought
            return content.lstrip().removeprefix(opening).strip(), ""
    return "", content


def answer_of(content: str) -> str:
    """The answer in a whole `content`."""
    return split_reasoning(content)[1]


def unparsed_mark(answer: str) -> str | None:
    """The beginning of a call that stands as text in an answer; None where there is none."""
    return next((mark for mark in CALL_MARKS if mark in answer), None)


def texts_of(value: JsonValue, depth: int = 0) -> tuple[str, str]:
    """(answer, reasoning) in the value of `content`: a string, blocks, or what else a server put there."""
    if isinstance(value, str):
        return value, ""
    if isinstance(value, bool) or value is None or depth > _DEEPEST_BLOCKS:
        return "", ""
    if isinstance(value, int | float):
        return str(value), ""
    if isinstance(value, list):
        parts = [texts_of(one, depth + 1) for one in value]
        return "".join(answer for answer, _ in parts), "".join(reasoning for _, reasoning in parts)
    if value.get("type") in ("thinking", "reasoning", "reasoning.text", "reasoning.summary"):
        inner = value.get("thinking") or value.get("text") or value.get("reasoning") or value.get("summary")
        return "", "".join(texts_of(inner, depth + 1))
    return texts_of(value.get("text"), depth + 1)


def reasoning_of(delta: dict[str, JsonValue]) -> str:
    """The reasoning that stands under a key of its own."""
    for key in REASONING_KEYS:
        if (value := delta.get(key)) and (text := "".join(texts_of(value))):
            return text
    return ""
