"""The attacks, as a list that anybody extends and anybody runs (``make attacks``).

An attack is a function that takes a fresh court, tries to learn what it may not, raises
:class:`Leak` if it does, and otherwise says what was tried, what was answered and what stopped it.
What nothing can stop is an attack, too: it says in which words docs/caveats.md names it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from attacks.court import Court

CAVEATS = Path(__file__).parents[2] / "docs" / "caveats.md"


class Leak(AssertionError):
    """The attack succeeded."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an attack that did not succeed came to."""

    tried: str
    answered: str
    stopped: str


@dataclasses.dataclass(frozen=True)
class Attack:
    """One line of the table; ``in_memory``: it needs a party that is not ours to run."""

    name: str
    carry_out: Callable[[Court], Outcome]
    in_memory: bool = False


ATTACKS: dict[str, Attack] = {}


def attack(name: str, *, in_memory: bool = False) -> Callable[..., Callable[[Court], Outcome]]:
    """Adds a function to the list under this name."""

    def add(function: Callable[[Court], Outcome]) -> Callable[[Court], Outcome]:
        assert name not in ATTACKS, f"two attacks are called {name!r}"
        ATTACKS[name] = Attack(name, function, in_memory)
        return function

    return add


def require(condition: object, what: str) -> None:
    """Raises Leak unless the condition holds."""
    if not condition:
        raise Leak(what)


def undetectable(words: str) -> str:
    """For what cannot be stopped: the caveat that names it, which has to be there."""
    require(words in _caveats(), f"docs/caveats.md does not say: {words}")
    return f"undetectable; named in docs/caveats.md: “{words} …”"


@functools.cache
def _caveats() -> str:
    return " ".join(CAVEATS.read_text("utf-8").replace("**", "").split())


def load() -> Iterator[Attack]:
    """All attacks, in the order of their modules."""
    from attacks import differencing_attacks, disclosure_attacks, noise_attacks  # noqa: F401

    yield from ATTACKS.values()
