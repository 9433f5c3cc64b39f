# ruff: noqa: E501  (tables of templates read better with one entry a line)
"""Pieces of synthetic Python: docstrings, literals, statements, functions, and how a module is put together.

Everything follows from the `random.Random` given. Which pieces a file of a framework has is `codebase`'s concern.
"""

from __future__ import annotations

import random

from punie_trace.suite.fresh.names import (
    ADJECTIVES,
    FIELDS,
    VERBS,
    camel,
    class_name,
    function_name,
    made_up_word,
    noun,
)
from punie_trace.suite.fresh.names import plural as plural_of

R = random.Random


def docstring(rng: R, indent: str, subject: str) -> str:
    """A docstring line, or nothing as often."""
    if rng.random() < 0.5:
        return ""
    words = rng.choice(
        (
            f"{camel(subject)} {rng.choice(FIELDS).replace('_', ' ')} for the {noun(rng, 0.1)}.",
            f"{camel(rng.choice(VERBS))} the {rng.choice(ADJECTIVES)} {subject}.",
            f"Return the {rng.choice(ADJECTIVES)} {plural_of(subject)} of a {noun(rng, 0.1)}.",
        )
    )
    return f'{indent}"""{words}"""\n'


def literal(rng: R) -> str:
    """A literal value."""
    return rng.choice(
        (str(rng.randint(0, 999)), f'"{noun(rng)}"', "None", "True", "False", f"{rng.randint(0, 9)}.{rng.randint(0, 99)}",
         f"[{rng.randint(1, 9)}, {rng.randint(10, 99)}]", "{}", f'"{made_up_word(rng)}-{rng.randint(1, 99)}"')
    )  # fmt: skip


def statements(rng: R, indent: str, owner: str, count: int) -> str:
    """`count` plausible statements, then a return."""
    lines: list[str] = []
    for _ in range(count):
        a, b, f, g = noun(rng), noun(rng), rng.choice(FIELDS), rng.choice(FIELDS)
        call = function_name(rng)
        lines.append(
            rng.choice(
                (
                    f"{a} = {owner}.{f}",
                    f"{a} = {call}({owner}, {f}={literal(rng)})",
                    f"if {owner}.{f} is None:\n{indent}    return {literal(rng)}",
                    f'if not {owner}.{f}:\n{indent}    raise {class_name(rng, "Error")}("no {f.replace("_", " ")}")',
                    f"for {a} in {owner}.{plural_of(b)}:\n{indent}    {call}({a}.{f})",
                    f"{owner}.{f} = {literal(rng)}",
                    f'logger.info("{rng.choice(VERBS)} {a} %s", {owner}.{g})',
                    f"{f} = sum(x.{g} for x in {owner}.{plural_of(a)})",
                    f"{a} = {camel(a)}.objects.filter({f}={literal(rng)}).first()",
                    f'{owner}.save(update_fields=["{f}", "{g}"])',
                    f"with {call}() as {a}:\n{indent}    {a}.{rng.choice(VERBS)}({f})",
                    f'{a} = {{"{f}": {literal(rng)}, "{g}": {owner}.{g}}}',
                    f"try:\n{indent}    {call}({owner})\n{indent}except {class_name(rng, 'Error')}:\n{indent}    {a} = None",
                )
            )
        )
    lines.append(rng.choice((f"return {owner}", f"return {noun(rng)}", f"return {owner}.{rng.choice(FIELDS)}",
                            f"return {function_name(rng)}({owner})", f"return {literal(rng)}")))  # fmt: skip
    return "".join(f"{indent}{line}\n" for line in lines)


def function(rng: R, subject: str, indent: str = "", method: bool = False, prefix: str = "def") -> str:
    """One function or method."""
    name = function_name(rng) if rng.random() < 0.6 else f"{rng.choice(VERBS)}_{subject}"
    arguments = [noun(rng)] if rng.random() < 0.8 or not method else []
    if rng.random() < 0.4:
        arguments.append(f"{rng.choice(FIELDS)}={literal(rng)}")
    if rng.random() < 0.25:
        arguments[:1] = [f"{noun(rng)}: {rng.choice(('int', 'str', camel(subject), 'dict', 'float | None'))}"]
    owner = "self" if method else (arguments[0].split(":")[0].split("=")[0] if arguments else "settings")
    returns = rng.choice(("", "", "", " -> None", " -> int", " -> str", f" -> {camel(subject)}"))
    given = ", ".join((["self"] if method else []) + arguments)
    inner = indent + "    "
    body = statements(rng, inner, owner, rng.choice((0, 1, 1, 2, 2, 3, 5)))
    return f"{indent}{prefix} {name}({given}){returns}:\n{docstring(rng, inner, subject)}{body}"


def some_methods(rng: R, subject: str, low: int, high: int, prefix: str = "def") -> str:
    """Between `low` and `high` methods."""
    return "".join("\n" + function(rng, subject, "    ", True, prefix) for _ in range(rng.randint(low, high)))


def module(rng: R, imports: list[str], parts: list[str]) -> str:
    """The text of a module: imports, perhaps a docstring, and its parts."""
    head = "".join(line + "\n" for line in rng.sample(imports, rng.randint(min(1, len(imports)), len(imports))))
    opening = f'"""{camel(noun(rng))} {noun(rng, 0.1)} {rng.choice(("helpers", "code", "rules", "parts"))}."""\n\n'
    return (opening if rng.random() < 0.3 else "") + head + "\n\n" + "\n\n".join(parts)
