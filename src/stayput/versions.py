"""Versions: what differs between two scenarios, field by field, in words.

Both texts are taken apart into *facts*: a place (``tables``, ``patients``, ``columns``, ``age``,
``grade``) and what stands there.  Things with a name are found again by it, wherever they stand in
a list; everything else is compared as a whole.  Every field of a scenario gives facts, also one
that this module has no words for, so a change cannot be left out: two scenarios have the same facts
exactly if they are the same but for nonce and predecessor.

Not here: whether a change is welcome; but :func:`loosened` and :func:`lowered_grades` name those
that take protection away.  Pure, and the same in every version of Python: the text is signed.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stayput.privacy import run_cost
from stayput.scenario import (
    BUDGET_UNIT,
    DELTA_UNIT,
    IDENTIFIER,
    SLUG,
    UNSHOWABLE,
    OutputPolicy,
    OutputReview,
    Privacy,
    Scenario,
)

Place = tuple[str, ...]

NOT_COMPARED = frozenset({"nonce", "replaces"})
"""Fields of a scenario in which any two versions differ, and which mean nothing else."""


class Change(enum.Enum):
    """What became of something between two versions."""

    ADDED = 1
    REMOVED = 2
    CHANGED = 3
    REORDERED = 4


@dataclasses.dataclass(frozen=True)
class Difference:
    """One difference: where, in our words, and what stood and stands there, in the author's."""

    place: str
    change: Change
    before: str = ""
    after: str = ""

    def lines(self) -> Iterator[str]:
        """Both texts line by line: ``- `` was, ``+ `` is.  Lines that begin or end both alike are
        left out where there are more than one."""
        old = self.before.split("\n") if self.before else []
        new = self.after.split("\n") if self.after else []
        start = end = 0
        while start < min(len(old), len(new)) and old[start] == new[start]:
            start += 1
        while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
            end += 1
        yield from (f"- {line}" for line in old[start : len(old) - end])
        yield from (f"+ {line}" for line in new[start : len(new) - end])


def differences(earlier: Scenario, later: Scenario) -> tuple[Difference, ...]:
    """Everything in which two scenarios differ, in the order of a scenario's parts.

    Nothing else is different: but for nonce and predecessor, scenarios without a difference have
    the same bytes.
    """
    old, new = _taken_apart(earlier), _taken_apart(later)
    order = [field.name for field in dataclasses.fields(Scenario)]
    found: dict[Place, Difference] = {}
    for place in dict.fromkeys((*new.facts, *old.facts)):
        if old.facts.get(place) == new.facts.get(place):
            continue
        lone = next((p for p in _prefixes(place) if (p in old.things) != (p in new.things)), None)
        if lone is None:
            found[place] = _of_fact(place, old.facts, new.facts)
        elif lone in new.things:
            found[lone] = Difference(_words(lone), Change.ADDED, after=new.told(lone))
        else:
            found[lone] = Difference(_words(lone), Change.REMOVED, before=old.told(lone))
    for place, names in new.orders.items():
        before = old.orders.get(place, ())
        if [name for name in before if name in names] != [n for n in names if n in before]:
            shown = (", ".join(map(_shown, order)) for order in (before, names))
            found[(*place, "")] = Difference(_words(place), Change.REORDERED, *shown)
    return tuple(found[place] for place in sorted(found, key=lambda p: order.index(p[0])))


def loosened(earlier: Scenario, later: Scenario) -> tuple[str, ...]:
    """The rules and limits of which the later scenario asks for less, each with both numbers."""
    found = [*_lower(earlier.output, later.output)]
    if earlier.limits.runs < later.limits.runs:
        found.append(f"runs {earlier.limits.runs} to {later.limits.runs}")
    if earlier.limits.valid_until < later.limits.valid_until:
        shown = (_moment(one.limits.valid_until) for one in (earlier, later))
        found.append(f"valid until {' to '.join(shown)}")
    gone = {a.name for a in earlier.authorities} - {a.name for a in later.authorities}
    found += [f"{name} does not have to authorise it any more" for name in sorted(gone)]
    if earlier.proven and not later.proven:
        found.append("no proof that a holder knows its part")
    return tuple(found)


def lowered_grades(earlier: Scenario, later: Scenario) -> tuple[tuple[str, str, str], ...]:
    """(column, grade before, grade now) of columns that are declared less sensitive than before."""
    before = {
        (table.name, column.name): column.grade
        for table in earlier.tables
        for column in table.columns
    }
    return tuple(
        (f"{table.name}.{column.name}", was.name.lower(), column.grade.name.lower())
        for table in later.tables
        for column in table.columns
        if (was := before.get((table.name, column.name))) is not None
        and was.value > column.grade.value
    )


# --- taking apart ---------------------------------------------------------------------------------


@dataclasses.dataclass
class _Parts:
    """``things`` are the places of what may be there or not; ``orders`` the names in a list."""

    facts: dict[Place, str] = dataclasses.field(default_factory=dict)
    things: set[Place] = dataclasses.field(default_factory=set)
    orders: dict[Place, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def told(self, thing: Place) -> str:
        """Everything about one thing, a line or more for each fact."""
        lines = []
        for place, text in self.facts.items():
            if text and place[: len(thing)] == thing:
                rest = place[len(thing) :]
                lines.append(f"{_words(rest)}: {text}" if rest else text)
        return "\n".join(lines)


def _taken_apart(scenario: Scenario) -> _Parts:
    parts = _Parts()
    for field in dataclasses.fields(Scenario):
        if field.name not in NOT_COMPARED:
            _take(parts, (field.name,), getattr(scenario, field.name), scenario)
    return parts


def _take(parts: _Parts, place: Place, value: Any, owner: Any) -> None:
    if value in (None, (), ""):
        return  # not there
    if dataclasses.is_dataclass(value):
        parts.things.add(place)
        key = _key(value)
        for field in dataclasses.fields(value):
            if field.name != key:
                _take(parts, (*place, field.name), getattr(value, field.name), value)
        return
    if isinstance(value, tuple) and dataclasses.is_dataclass(value[0]):
        names = _names(value)
        parts.orders[place] = names
        for name, item in zip(names, value, strict=True):
            parts.facts[*place, name] = ""  # it is there, whatever its fields
            _take(parts, (*place, name), item, value)
        return
    if isinstance(value, tuple):
        between = "\n" if place[-1] == "levels" else ", "  # of many levels only some are new
        parts.facts[place] = between.join(_listed(item) for item in value)
    else:
        parts.facts[place] = _text(place[-1], value, owner)


def _names(items: Sequence[Any]) -> tuple[str, ...]:
    """What each is found again by; by its place, where that says nothing or the same of two."""
    keys = [str(getattr(item, _key(item), "")) for item in items]
    alone = len(set(keys)) == len(keys) and "" not in keys
    return tuple(keys if alone else (f"{key} {i}".strip() for i, key in enumerate(keys, 1)))


def _key(item: Any) -> str:
    """The field by which one of several is found again; they are named, or of a column."""
    names = {field.name for field in dataclasses.fields(item)}
    return next((name for name in ("name", "column") if name in names), "")


def _listed(item: Any) -> str:
    """One of several values: written so that ``a, b`` and the two of them are told apart."""
    if isinstance(item, enum.Enum):
        return item.name.lower()
    return json.dumps(item, ensure_ascii=bool(UNSHOWABLE.search(item)))


def _text(field: str, value: Any, owner: Any) -> str:
    """A value as a person writes it in a scenario file, so that different ones look different."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if field == "valid_until":
        return _moment(value)
    if isinstance(value, int):
        return _unscaled(value, _decimals(field, owner))
    text = str(value)
    return json.dumps(text) if UNSHOWABLE.search(text.replace("\t", " ")) else text


def _decimals(field: str, owner: Any) -> int:
    """How many decimals an integer of a scenario stands for."""
    if isinstance(owner, Privacy) and field in ("epsilon", "rho", "delta"):
        return len(str(DELTA_UNIT if field == "delta" else BUDGET_UNIT)) - 1
    other = {"minimum": "decimals", "maximum": "decimals", "penalty": "penalty_decimals"}.get(field)
    found: int = getattr(owner, other) if other else 0
    return found


def _unscaled(value: int, decimals: int) -> str:
    """A scaled integer with its point: ``-125`` with 2 decimals is ``-1.25``."""
    if not decimals:
        return str(value)
    digits = str(abs(value)).rjust(decimals + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def _moment(seconds: int) -> str:
    """The last second of a validity."""
    last = datetime.datetime.fromtimestamp(seconds - 1, datetime.UTC)
    return f"{last:%Y-%m-%d %H:%M:%S} UTC"


def _prefixes(place: Place) -> Iterator[Place]:
    return (place[:length] for length in range(1, len(place) + 1))


# --- wording --------------------------------------------------------------------------------------

_KINDS = {
    "tables": "table",
    "columns": "column",
    "statements": "statement",
    "parameters": "parameter",
    "models": "model",
    "references": "reference level of",
    "authorities": "authority",
}

_FIELDS = {
    "sql": "SQL",
    "minimum": "min",
    "maximum": "max",
    "run_key_bits": "bits of the keys of a join",
    "proven": "proof of knowledge",
    "level": "",
}


def _of_fact(place: Place, old: Mapping[Place, str], new: Mapping[Place, str]) -> Difference:
    before, after = old.get(place), new.get(place)
    change = Change.ADDED if before is None else Change.REMOVED if after is None else Change.CHANGED
    return Difference(_words(place), change, before or "", after or "")


def _words(place: Place) -> str:
    """Where something stands: ``table patients, column age, grade``."""
    words, rest = [], list(place)
    while rest:
        part = rest.pop(0)
        if part in _KINDS and rest:
            words.append(f"{_KINDS[part]} {_shown(rest.pop(0))}")
        else:
            words.append(_FIELDS.get(part, part.replace("_", " ")))
    return ", ".join(word for word in words if word)


def _shown(name: str) -> str:
    """A name from a scenario that nobody may have checked yet: never more than a name."""
    plain = SLUG.fullmatch(name) or IDENTIFIER.fullmatch(name)
    return name if plain else json.dumps(name)[:200]


def _lower(was: OutputPolicy, now: OutputPolicy) -> Iterator[str]:
    """Rules of which a policy asks for less; without noise or with it, they are other rules."""
    if (was.privacy is None) != (now.privacy is None):
        yield "noise taken away" if now.privacy is None else "rules on exact numbers taken away"
        least: Sequence[str] = ("min_count", "min_holders")
    else:
        least = _AT_LEAST
    for name in least:
        before, after = getattr(was, name), getattr(now, name)
        if after < before:
            yield f"{name} {before} to {after or 'none'}"
    if was.privacy is None and now.privacy is None:
        yield from _lower_exact(was, now)
    if was.privacy is not None and now.privacy is not None:
        if run_cost(was.privacy) < run_cost(now.privacy):
            yield "less noise: a run costs more of your budget"
        if was.privacy.unit and not now.privacy.unit:
            yield "noise that hides one row, no longer everybody"
    if _eyes(now.review) < _eyes(was.review):
        yield f"review {_review(was.review)} to {_review(now.review)}"


_AT_LEAST = (
    "min_count",
    "min_holders",
    "min_count_per_holder",
    "min_freedom",
    "rounding",
    "min_difference",
    "review_below",
)


def _lower_exact(was: OutputPolicy, now: OutputPolicy) -> Iterator[str]:
    for name in ("p_percent", "top_one_percent", "top_two_percent"):
        before, after = (
            0 if policy.dominance is None else getattr(policy.dominance, name)
            for policy in (was, now)
        )
        # p% asks for more the larger it is; the other two the smaller they are, but for 0.
        lax = after < before if name == "p_percent" else before and (not after or after > before)
        if lax:
            yield f"dominance.{name} {before} to {after or 'none'}"
    if was.group_percent and (not now.group_percent or now.group_percent > was.group_percent):
        yield f"group_percent {was.group_percent} to {now.group_percent or 'none'}"
    if now.release_zeros and not was.release_zeros:
        yield "zeros withhold to release"


def _eyes(review: OutputReview | None) -> int:
    return 0 if review is None else review.value


def _review(review: OutputReview | None) -> str:
    return "none" if review is None else review.name.lower()
