"""A federation among whose parties messages are dropped, repeated, delayed and reordered, and whose
processes die at any moment.

* Messages: :class:`ChaosLink` loses a request, loses a reply, sends twice, or keeps a request back
  to deliver it much later, as a retransmitting network does.
* Deaths: every transaction of every store may be the last thing a process did, just before or just
  after it reached the disk (:func:`deadly_disk`).  Who died is built again from its folder.

All randomness comes from one seed, so a failure is a reproduction.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stayput.coordinator import Coordinator
from stayput.errors import StayputError, Unavailable
from stayput.federation import Federation, LocalLink
from stayput.store.database import Database


class Death(BaseException):
    """The process is gone."""


class Weather:
    """How bad it is, and the dice."""

    def __init__(self, seed: int, *, loss: float = 0.12, death: float = 0.02) -> None:
        self.dice = random.Random(seed)
        self.loss = loss
        self.death = death
        self.late: list[Callable[[], object]] = []
        self.deaths = 0

    def calm(self) -> None:
        self.loss = self.death = 0.0

    def dies(self) -> bool:
        if self.dice.random() < self.death:
            self.deaths += 1
            return True
        return False


@contextlib.contextmanager
def deadly_disk(weather: Weather, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every transaction may be the last: before it begins, or after it is on disk."""
    original = Database.transaction

    @contextlib.contextmanager
    def transaction(self: Database) -> Iterator[Any]:
        if weather.dies():
            raise Death
        with original(self) as connection:
            yield connection
        if weather.dies():
            raise Death

    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", transaction)
        yield


class ChaosLink:
    """A link through bad weather; a coordinator that dies in a call is gone for the caller."""

    def __init__(self, federation: ChaosFederation, inner: LocalLink) -> None:
        self._federation = federation
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            return self._send(lambda: method(*arguments, **named))

        return call

    def _send(self, message: Callable[[], Any]) -> Any:
        weather = self._federation.weather
        roll = weather.dice.random()
        if roll < weather.loss:
            if weather.dice.random() < 0.5:
                weather.late.append(message)
            raise Unavailable("lost on the way")
        if roll < 2 * weather.loss:
            self._arrive(message)
        answer = self._arrive(message)
        if roll > 1 - weather.loss:
            raise Unavailable("the answer was lost")
        return answer

    def _arrive(self, message: Callable[[], Any]) -> Any:
        try:
            return message()
        except Death:
            self._federation.revive_coordinator()
            raise Unavailable("the coordinator died") from None


class ChaosFederation(Federation):
    """A federation whose links are :class:`ChaosLink` and whose parties come back from the dead."""

    weather: Weather

    def __init__(self, weather: Weather, *arguments: Any, **named: Any) -> None:
        self.weather = weather
        super().__init__(*arguments, **named)

    def link(self, name: str) -> Any:
        inner = super().link(name)
        assert isinstance(inner, LocalLink)
        return ChaosLink(self, inner)

    def revive_coordinator(self) -> Coordinator:
        while True:
            try:
                return self.start_coordinator()
            except Death:
                continue

    def alive(self, revive: Callable[[], object], act: Callable[[], object]) -> None:
        """Let a party act; if it dies, build it again from its folder."""
        try:
            act()
        except Unavailable:
            pass
        except Death:
            self._again(revive)

    def _again(self, revive: Callable[[], object]) -> None:
        while True:
            try:
                revive()
                return
            except Death:
                continue

    def some_moment(self) -> None:
        """One party does something, or an old message arrives."""
        dice = self.weather.dice
        choice = dice.randrange(len(self.holders) + 3)
        if choice < len(self.holders):
            name = self.holders[choice]
            self.alive(lambda: self._revive_node(name), self.nodes[name].work)
        elif choice == len(self.holders):
            self.alive(self._revive_checker, self.checker.work)
        elif choice == len(self.holders) + 1 and self.weather.late:
            message = self.weather.late.pop(dice.randrange(len(self.weather.late)))
            with contextlib.suppress(StayputError):
                try:
                    message()
                except Death:
                    self.revive_coordinator()
        else:
            self.alive(self.revive_coordinator, self.coordinator.tick)

    def _revive_node(self, name: str) -> None:
        self.nodes[name] = self.start_node(name)

    def _revive_checker(self) -> None:
        self.checker = self.start_checker()

    def revive_client(self) -> None:
        self._again(self._start_client_again)

    def _start_client_again(self) -> None:
        self.client = self.start_client()
