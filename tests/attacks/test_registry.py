"""Every attack of the list, in memory; and that the list notices an attack that succeeds."""

from __future__ import annotations

import pytest
from attacks.court import Court, in_memory
from attacks.disclosure_attacks import everywhere
from attacks.registry import Attack, Leak, load, require, undetectable

ALWAYS = {
    "9, 10, 11 people",
    "50,000 + 49,000 of 100,000",
    "everybody of a group in one category",
    "MIN, MAX and quantiles of rows",
    "a lying node: five people more than it has",
    "a column of ones and zeros with a single one, in a model",
}
"""One of each kind; what the others try is tried elsewhere, too, and all are in `make attacks`."""


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(a, id=a.name, marks=[] if a.name in ALWAYS else [pytest.mark.long])
        for a in load()
        if a.carry_out.__module__ != "attacks.noise_attacks"  # they are tests themselves
    ],
)
def test_attack(one: Attack) -> None:
    with in_memory() as court:
        outcome = one.carry_out(court)
    assert outcome.stopped
    assert outcome.answered


def test_some_attacks_are_always_tried() -> None:
    assert {a.name for a in load()} >= ALWAYS


def test_an_attack_that_succeeds_is_told() -> None:
    def naive(court: Court) -> None:
        sql = "SELECT COUNT(*) AS pets FROM pets"
        answer = court.question(sql, everywhere(20))
        require(answer.row["pets"] is None, "sixty people are released")

    with in_memory() as court, pytest.raises(Leak, match="sixty"):
        naive(court)


def test_a_caveat_that_is_not_there() -> None:
    with pytest.raises(Leak, match="does not say"):
        undetectable("Stayput stops everything")
