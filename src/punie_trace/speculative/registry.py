"""The drafters by name: what a name needs, and what makes the drafter. Loads no mlx and no numpy.

Whoever checks a flag, a configuration or a request asks here which names there are. A drafter of one's own is one file
and one call of `register_drafter`; the module that holds it is imported only when a decoder first needs the drafter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from punie_trace.errors import ConfigurationError, nearest

if TYPE_CHECKING:
    from punie_trace.speculative.drafting import Drafter


@dataclass(frozen=True, slots=True)
class DrafterResources:
    """What a drafter may be made from.

    `draft_model` is an mlx-lm model whose ids were checked against the target's, None where there is none;
    `vocabulary` how many ids may be proposed (None: all the draft model has). Limits are in bytes: `store_limit` for
    texts kept from one request to the next, `cache_limit` for a draft model's caches (None: the drafter's own measure).
    """

    draft_model: Any = None
    vocabulary: int | None = None
    store_limit: int = 1 << 20
    cache_limit: int | None = None


DrafterFactory: TypeAlias = "Callable[[DrafterResources], Drafter]"


@dataclass(frozen=True, slots=True)
class Registration:
    """One name. `factory` makes the drafter: a callable, or where it stands, as 'module:callable'.

    `free` says that proposing costs next to nothing, so that it may be asked in every round.
    """

    name: str
    factory: str | DrafterFactory
    needs_draft_model: bool
    free: bool

    def make(self, resources: DrafterResources) -> Drafter:
        """The drafter. Raises `ConfigurationError` where the factory cannot be found, or makes something else."""
        factory = self.factory
        if isinstance(factory, str):
            module, _, attribute = factory.partition(":")
            try:
                factory = getattr(import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise ConfigurationError(
                    f"the drafter {self.name!r} was registered as made by {self.factory!r}, which cannot be imported "
                    f"({error}); write it as 'module:callable'"
                ) from error
        assert callable(factory)
        drafter = factory(resources)
        if drafter.name != self.name:
            raise ConfigurationError(
                f"what makes the drafter {self.name!r} made one whose name is {drafter.name!r}; register it by its name"
            )
        if self.free and not drafter.free:
            raise ConfigurationError(
                f"the drafter {self.name!r} was registered with free=True, and says of itself that it is not; "
                "register it with free=False"
            )
        return drafter


_REGISTERED: dict[str, Registration] = {}


def register_drafter(
    name: str, factory: str | DrafterFactory, *, needs_draft_model: bool = False, free: bool = True
) -> Registration:
    """Make a drafter known under `name`, to requests, flags and configurations of this process.

    `factory` takes `DrafterResources` and returns a `Drafter`. A name that is registered again is replaced. Raises
    `ConfigurationError` for a name that is empty or holds white space or a colon, and for a text that is not
    'module:callable'.
    """
    if not name or ":" in name or any(character.isspace() for character in name):
        raise ConfigurationError(f"{name!r} cannot name a drafter: give a word without white space and colons")
    if isinstance(factory, str) and not all(factory.partition(":")):
        raise ConfigurationError(f"{factory!r} does not say what makes the drafter {name!r}: write 'module:callable'")
    _REGISTERED[name] = Registration(name, factory, needs_draft_model, free)
    return _REGISTERED[name]


def drafter_names() -> tuple[str, ...]:
    """Every registered name, in the order of registration."""
    return tuple(_REGISTERED)


def registration(name: str) -> Registration:
    """What was registered as `name`. Raises `ConfigurationError` that says which name is nearest."""
    if name not in _REGISTERED:
        raise ConfigurationError(f"there is no drafter {name!r}; {nearest(name, _REGISTERED)}")
    return _REGISTERED[name]


def needs_draft_model(name: str) -> bool:
    """Whether a server needs a draft model for it. Raises `ConfigurationError` for an unknown name."""
    return registration(name).needs_draft_model


def names_without_draft_model() -> tuple[str, ...]:
    """The names that need no draft model, in the order of registration."""
    return tuple(known.name for known in _REGISTERED.values() if not known.needs_draft_model)


def without_draft_model() -> str:
    """The same as a text for messages: "'ngram' or 'suffix'"."""
    return " or ".join(map(repr, names_without_draft_model()))


register_drafter("model", "punie_trace.speculative.make:model_drafter", needs_draft_model=True, free=False)
register_drafter("ngram", "punie_trace.speculative.make:ngram_drafter")
register_drafter("suffix", "punie_trace.speculative.make:suffix_drafter")
register_drafter("hybrid", "punie_trace.speculative.make:hybrid_drafter", needs_draft_model=True, free=False)
