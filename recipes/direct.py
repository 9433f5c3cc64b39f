"""Conversations that need no code base: concepts, comparisons, advice, small talk, with known and with unknown
subjects.

Known subjects get the hand-written text of `knowledge`. Unknown ones (composed or made up) get an honest, generic
answer that names them: the model must not invent facts, and must not look into a code base for them either.
"""

from __future__ import annotations

import importlib
import inspect
import random
import re
from functools import cache

from punie_trace.suite.fresh import phrasings
from punie_trace.suite.fresh.names import DOMAIN, VERBS, camel, made_up_word, noun, plural, word_list
from punie_trace.suite.fresh.programming_terms import FRAMEWORKS, KNOWN_THINGS, LIBRARY, PRODUCTS
from recipes.chat import Conversation, Turn
from recipes.knowledge import ADVICE, COMPARISONS, DEFINITIONS

R = random.Random
_KINDS = word_list(
    """
    pattern principle testing architecture algorithm programming design caching locking scheduling hashing
    injection compression routing sampling balancing sourcing binding typing coupling cohesion isolation
    consistency storage theorem protocol language framework database library tool graph tree queue index model
    pipeline service
    """
)
_MODIFIERS = word_list(
    """
    event message data memory time space value type code test thread task state path stream batch block branch
    cache client server cloud edge fuzzy dynamic static virtual remote reactive functional logical hexagonal
    clean layered distributed parallel sparse dense weak strong late early double blue green canary chaos
    contract mutation snapshot structural behavioural domain feature trunk
    """
)
_OBJECTS = word_list(
    """
    code tests modules classes errors logs files dates money permissions roles queues caches indexes APIs
    schemas migrations settings releases branches images emails uploads downloads sessions tokens passwords
    forms pages reports threads locks retries timeouts metrics alerts names comments functions interfaces
    transactions queries
    """
)
_DOING = word_list(
    """
    write test name organise document review split debug deploy monitor secure scale cache version plan design
    measure optimise clean refactor share protect handle validate structure model reuse migrate update manage
    log
    """
)
_DOCUMENTED = (
    "argparse asyncio collections concurrent.futures configparser csv datetime decimal difflib email.message functools "
    "gettext heapq http.client imaplib inspect ipaddress itertools json locale logging mailbox multiprocessing os "
    "optparse pathlib pickle random re sched selectors shutil socket statistics string subprocess tarfile tempfile "
    "textwrap threading unittest urllib.request uuid weakref zipfile"
)
"""Modules of the standard library whose docstrings lend words; another Python may lend others."""
_MAKING = ("add", "introduce", "use", "build", "choose", "replace", "remove", "start with")
UNKNOWN = "In short, "
"""How the generic answers begin: what was asked about then follows as it was asked, with no capital to be put on a word
that was never seen with one."""
UNKNOWN_ONE = (
    "a general idea in software, not a part of this code base, so I looked nothing up. I know no more about it."
)
UNKNOWN_SEVERAL = (
    "a general idea in software, not a part of this code base, so I looked nothing up. I know no more about them."
)
UNKNOWN_TWO = "general ideas in software, so I looked nothing up. Which one suits better depends on what you need."
COMMON_SENSE = "so I looked nothing up. Keep it simple, test it, and do it the same way everywhere."
SMALL_TALK = (
    ("hello", "Hello. Ask me about this code base, or about software in general."),
    ("hi", "Hello. Ask me about this code base, or about software in general."),
    ("hi there", "Hello. Ask me about this code base, or about software in general."),
    ("good morning", "Hello. Ask me about this code base, or about software in general."),
    ("hey, how are you", "Hello. Ask me about this code base, or about software in general."),
    ("thanks", "You are welcome."),
    ("thank you", "You are welcome."),
    ("thanks, that helps", "You are welcome."),
    ("great work", "You are welcome."),
    ("bye", "Goodbye."),
    ("see you later", "Goodbye."),
    ("who are you", "I am a small model that answers questions about software and looks into this code base."),
    ("what can you do", "I am a small model that answers questions about software and looks into this code base."),
    (
        "tell me a joke",
        "I only know software: there are 10 kinds of people, those who read binary and those who do not.",
    ),
)
SUMS = ("What is {a} plus {b}?", "How much is {a} + {b}?", "{a}+{b}?", "add {a} and {b}")


@cache
def _words() -> tuple[str, ...]:
    """Some thousand English words, in order: those of the docstrings of `_DOCUMENTED`."""
    found: set[str] = set()
    for name in dict.fromkeys(_DOCUMENTED.split()):
        module = importlib.import_module(name)
        holders = [held for held in vars(module).values() if inspect.isclass(held) or inspect.isfunction(held)]
        holders += [held for one in holders if inspect.isclass(one) for held in vars(one).values()]
        for held in (module, *holders):
            text = getattr(held, "__doc__", None)
            if isinstance(text, str):
                found.update(re.findall(r"(?<![\w.'<-])[a-z]{4,12}(?![\w'>(=-])", text))
    return tuple(sorted(found))


def _modifier(rng: R) -> str:
    """Half of them any word: a model that only ever saw those of a list puts one of them for a word that is new."""
    return rng.choice(_MODIFIERS if rng.random() < 0.5 else _words())


def unknown_subject(rng: R) -> str:
    """A term that sounds like software, composed or made up."""
    if rng.random() < 0.2:
        framework, thing = rng.choice(FRAMEWORKS), rng.choice(KNOWN_THINGS)
        if (framework, thing) != ("Django", "view"):
            return f"{'an' if framework[0] in 'AEIO' else 'a'} {framework} {thing}"
    if rng.random() < 0.12:
        return rng.choice(PRODUCTS)
    form = rng.random()
    if form < 0.4:
        return f"{_modifier(rng)} {rng.choice(_KINDS)}"
    if form < 0.55:
        return f"{made_up_word(rng)} {rng.choice(_KINDS)}"
    if form < 0.7:
        return camel(made_up_word(rng) if rng.random() < 0.7 else rng.choice(DOMAIN))
    if form < 0.8:
        return f"{rng.choice(('a', 'an', 'the'))} {noun(rng, 0.2)} {rng.choice(_KINDS)}"
    if form < 0.9:
        modifier = _modifier(rng)
        return f"{'an' if modifier[0] in 'aeiou' else 'a'} {modifier} {rng.choice(_KINDS)}"
    return "".join(rng.choice("ABCDEFGHIKLMNOPRSTUVW") for _ in range(rng.randint(2, 5)))


def concept(rng: R, held_out: bool) -> Conversation:
    """'What is recursion' -> its definition, or for an unknown term an honest generic answer."""
    template = phrasings.choose(rng, phrasings.CONCEPT, held_out)
    if rng.random() < 0.18:
        return _several(rng, held_out)
    if rng.random() < 0.5 and not held_out:
        subject, text = rng.choice(DEFINITIONS)
        if subject.isupper() and rng.random() < 0.5:
            template = phrasings.choose(rng, phrasings.CONCEPT_ACRONYM, held_out)
    elif rng.random() < 0.06:
        subject = "".join(rng.choice("ABCDEFGHIKLMNOPRSTUVW") for _ in range(rng.randint(2, 5)))
        template = phrasings.choose(rng, phrasings.CONCEPT_ACRONYM, held_out)
        text = f"{UNKNOWN}{subject} is {UNKNOWN_ONE}"
    else:
        subject = unknown_subject(rng)
        if rng.random() < 0.1:
            subject = f"{rng.choice(LIBRARY)} in {rng.choice(('Django', 'Python', 'DRF', 'general'))}"
        if rng.random() < 0.3:
            subject = subject.removeprefix("a ").removeprefix("an ").removeprefix("the ")
        text = f"{UNKNOWN}{subject} is {UNKNOWN_ONE}"
    said = subject
    if rng.random() < 0.3 and UNKNOWN not in text:
        said = subject.removeprefix("a ").removeprefix("an ").removeprefix("the ")
    return Conversation(phrasings.vary(rng, template.format(x=said)), (Turn(text),), "concept")


def _several(rng: R, held_out: bool) -> Conversation:
    """'How do decorators work' -> the definition of one where there is one, else the generic answer."""
    known = [(s, t) for s, t in DEFINITIONS if s.startswith(("a ", "an "))]
    template = phrasings.choose(rng, phrasings.CONCEPT_PLURAL, held_out)
    if rng.random() < 0.4 and not held_out:
        subject, text = rng.choice(known)
        asked = plural(subject.partition(" ")[2])
    else:
        thing = (
            rng.choice(KNOWN_THINGS)
            if rng.random() < 0.6
            else unknown_subject(rng).removeprefix("a ").removeprefix("an ").removeprefix("the ")
        )
        if rng.random() < 0.3 and thing != "view":
            thing = f"{rng.choice(FRAMEWORKS)} {thing}"
        asked = plural(thing)
        text = f"{UNKNOWN}{asked} are {UNKNOWN_SEVERAL}"
    return Conversation(phrasings.vary(rng, template.format(x=asked)), (Turn(text),), "concept")


def comparison(rng: R, held_out: bool) -> Conversation:
    """'What is the difference between lists and tuples' -> both named."""
    template = phrasings.choose(rng, phrasings.COMPARISON, held_out)
    if rng.random() < 0.45 and not held_out:
        a, b, text = rng.choice(COMPARISONS)
        if rng.random() < 0.3:
            a, b = b, a
    else:
        known = [subject for subject, _ in DEFINITIONS]
        a, b = (rng.choice(known) if rng.random() < 0.4 else unknown_subject(rng) for _ in range(2))
        if rng.random() < 0.35:
            a, b = rng.sample(LIBRARY if rng.random() < 0.7 else PRODUCTS, 2)
        text = f"{UNKNOWN}{a} and {b} are {UNKNOWN_TWO}"
    question = template.format(a=a, b=b)
    return Conversation(phrasings.vary(rng, question), (Turn(text),), "comparison")


def advice(rng: R, held_out: bool) -> Conversation:
    """'How should I name test functions' -> advice."""
    template = phrasings.choose(rng, phrasings.ADVISING, held_out)
    if rng.random() < 0.25:
        one, other = (rng.choice(KNOWN_THINGS) if rng.random() < 0.7 else noun(rng) for _ in range(2))
        template = phrasings.choose(rng, phrasings.ADVISING_THING, held_out)
        text = f"That is a general question about {plural(one)}, {COMMON_SENSE}"
        question = template.format(t=one, s=plural(one), u=other)
        return Conversation(phrasings.vary(rng, question), (Turn(text),), "advice")
    if rng.random() < 0.4 and not held_out:
        doing, text = rng.choice(ADVICE)
    else:
        verb = rng.choice(_DOING) if rng.random() < 0.7 else rng.choice(VERBS)
        what = rng.choice(_OBJECTS) if rng.random() < 0.6 else plural(noun(rng, 0.4))
        doing = f"{verb} {rng.choice(('', '', 'my ', 'large ', 'old ', 'slow '))}{what}"
        if rng.random() < 0.3:
            doing = f"{rng.choice(_MAKING)} a {rng.choice(KNOWN_THINGS)}"
        if rng.random() < 0.4:
            doing += rng.choice(
                (
                    " in Python",
                    " in Django",
                    " in a web application",
                    " in a large team",
                    " in production",
                    " with pytest",
                )
            )
        text = f"How to {doing.replace('my ', 'your ')} is a general question, {COMMON_SENSE}"
    if rng.random() < 0.2 and " " in doing:
        template, doing = phrasings.choose(rng, phrasings.ADVISING_DOING, held_out), _gerund(doing)
    return Conversation(phrasings.vary(rng, template.format(x=doing)), (Turn(text),), "advice")


def _gerund(doing: str) -> str:
    """'write good tests' -> 'writing good tests'."""
    verb, _, rest = doing.partition(" ")
    if verb.endswith("e") and not verb.endswith("ee"):
        verb = verb[:-1]
    elif re.fullmatch(r"[^aeiou]*[aeiou][bdgmnpt]", verb):
        verb += verb[-1]
    return f"{verb}ing {rest}"


def small_talk(rng: R, _held_out: bool) -> Conversation:
    """Greetings, thanks, and sums."""
    if rng.random() < 0.35:
        a, b = rng.randint(1, 9), rng.randint(1, 9)
        return Conversation(
            rng.choice(SUMS).format(a=a, b=b),
            (Turn(f"{a} plus {b} is {a + b}."),), "small talk",
        )  # fmt: skip
    said, text = rng.choice(SMALL_TALK)
    said = said if rng.random() < 0.5 else _capital(said)
    return Conversation(said + rng.choice(("", "", ".", "!", "?")), (Turn(text),), "small talk")


def direct_conversation(rng: R, held_out: bool = False) -> Conversation:
    """One conversation without a tool, of a random kind."""
    makers = (concept, comparison, advice, small_talk)
    return rng.choices(makers, (46, 26, 24, 4))[0](rng, held_out)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
