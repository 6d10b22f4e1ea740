"""Synthetic residents: three registers of one invented city, for the demonstration of joins.

Nobody in them exists.  Resident numbers have the form and the check character of GB 11643, but
begin with 99, which is no administrative division, so no number is anybody's.  Nothing was fitted
to real registers: one latent capacity per person (standard normal), an age and a district drive all
columns, so that they are correlated between registers as such columns are.

* ``housing`` (a housing provident fund): district, age band, months of deposits, monthly deposit,
  score E;
* ``social`` (social insurance): contribution base, months of the last 36, sector, score F;
* ``property`` (a property registry): value, mortgages, right holder, scores A to D.

Each register knows another part of the city, employed people are more often in ``housing`` and
``social``, wealthy ones in ``property``; and each writes numbers in its own way (``x`` and ``X``,
spaces, full-width digits), as registers do.

The caller hands in the generator of random numbers: a demonstration seeds it, so that the same
table comes out every time.  It is for invented people only, and never for keys or masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stayput.synthetic import SYNTHETIC_MARK

DISTRICTS = ("Harbour", "Hills", "North", "Old Town", "Riverside")
AGE_BANDS = ("18-29", "30-39", "40-49", "50-59", "60+")
SECTORS = ("private", "public", "self-employed")

_CHECK = "10X98765432"
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)

Numbers = npt.NDArray[Any]


def registers(people: int, rng: np.random.Generator) -> dict[str, pa.Table]:
    """The three registers of a city of so many people, by table name.

    Args:
        people: 1 to 1,000,000.
        rng: where the randomness comes from.

    Raises:
        ValueError: too few or too many people.
    """
    if not 1 <= people <= 1_000_000:
        raise ValueError("a city has 1 to 1,000,000 people")
    capacity = rng.normal(0, 1, people)
    age = rng.integers(18, 80, people)
    district = rng.choice(len(DISTRICTS), people, p=[0.015, 0.1, 0.2, 0.285, 0.4])
    numbers = [_resident(order, int(a)) for order, a in enumerate(age)]
    lift = np.array([0.1, 0.5, -0.2, 0.0, 0.05])[district]
    income = np.exp(8.7 + 0.45 * capacity + 0.25 * lift - ((age - 45) / 60.0) ** 2)
    employed = rng.random(people) < 0.92 - 0.35 * (age >= 62)
    made = {
        "housing": _housing(rng, income, age, district),
        "social": _social(rng, income, capacity),
        "property": _property(rng, income, age, capacity),
    }
    owners = rng.random(people) < 1 / (1 + np.exp(-(1.2 + 0.8 * capacity)))
    known = {
        "housing": employed & (rng.random(people) < 0.9),
        "social": (employed & (rng.random(people) < 0.95)) | (rng.random(people) < 0.3),
        "property": owners,
    }
    write: dict[str, Callable[[str], str]] = {
        "housing": str,
        "social": str.lower,
        "property": _spaced,
    }
    found = {}
    for name, columns in made.items():
        rows = rng.permutation(np.flatnonzero(known[name]))
        arrays = [pa.array([write[name](numbers[row]) for row in rows], pa.string())]
        arrays += [array.take(pa.array(rows)) for array in columns.values()]
        table = pa.table(arrays, names=["resident", *columns])
        found[name] = table.replace_schema_metadata({SYNTHETIC_MARK: b"true"})
    return found


def _resident(order: int, age: int) -> str:
    """A resident number of nobody: region 99, a day of birth, the running number, its check."""
    region = 990_000 + order // 1_000
    body = f"{region:06}{2025 - age:04}{1 + order % 12:02}{1 + order % 28:02}{order % 1_000:03}"
    weighed = sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True))
    return body + _CHECK[weighed % 11]


def _spaced(number: str) -> str:
    """As one register writes them: in groups, every other one in full width."""
    text = f"{number[:6]} {number[6:14]} {number[14:]}"
    if int(number[13]) % 2:
        return text
    return "".join(chr(ord(c) + 0xFEE0) if c != " " else "\u3000" for c in text)


def _housing(
    rng: np.random.Generator, income: Numbers, age: Numbers, district: Numbers
) -> dict[str, pa.Array]:
    people = len(income)
    months = np.clip(rng.normal((age - 20) * 6, 40, people), 0, 480).astype(np.int64)
    deposit = np.clip(income * 0.12 * rng.normal(1, 0.15, people), 50, 6_000)
    score = _score(20 + months / 8 + deposit / 60 + rng.normal(0, 6, people))
    band = np.digitize(age, [30, 40, 50, 60])
    return {
        "district": _levels(DISTRICTS, district),
        "age_band": _levels(AGE_BANDS, band),
        "months": pa.array(months),
        "deposit": _cents(deposit),
        "score_e": pa.array(score),
    }


def _social(rng: np.random.Generator, income: Numbers, capacity: Numbers) -> dict[str, pa.Array]:
    people = len(income)
    base = np.clip(income * rng.normal(1, 0.1, people), 2_000, 40_000).astype(np.int64)
    months = np.clip(rng.normal(31 + 2 * capacity, 5, people), 0, 36).astype(np.int64)
    sector = np.where(rng.random(people) < 0.25, 1, np.where(rng.random(people) < 0.15, 2, 0))
    score = _score(15 + base / 400 + months + rng.normal(0, 6, people))
    return {
        "contribution_base": pa.array(base),
        "months_36": pa.array(months),
        "sector": _levels(SECTORS, sector),
        "score_f": pa.array(score),
    }


def _property(
    rng: np.random.Generator, income: Numbers, age: Numbers, capacity: Numbers
) -> dict[str, pa.Array]:
    people = len(income)
    value = np.clip(income * 220 * np.exp(rng.normal(0, 0.4, people)), 100_000, 20_000_000)
    mortgaged = rng.random(people) < np.clip(0.75 - (age - 30) / 60, 0.02, 0.9)
    holder = rng.random(people) < 0.7
    return {
        "property_value": pa.array(value.astype(np.int64)),
        "mortgaged": pa.array(mortgaged),
        "score_a": pa.array(_score(value / 60_000 + rng.normal(20, 8, people))),
        "score_b": pa.array(_score(35 + 12 * capacity + rng.normal(0, 12, people))),
        "score_c": pa.array(_score(80 - 35 * mortgaged + rng.normal(0, 8, people))),
        "score_d": pa.array(_score(30 + 40 * holder + rng.normal(0, 8, people))),
    }


def _score(values: Numbers) -> Numbers:
    return np.clip(values, 0, 100).astype(np.int64)


def _levels(levels: tuple[str, ...], chosen: Numbers) -> pa.Array:
    return pa.array(levels, pa.string()).take(pa.array(chosen))


def _cents(values: Numbers) -> pa.Array:
    """Amounts as decimals of two places, exactly."""
    cents = np.round(values * 100).astype(np.int64)
    words = np.zeros((len(cents), 2), dtype="<i8")
    words[:, 0] = cents
    kind = pa.decimal128(38, 2)
    return pa.Array.from_buffers(kind, len(cents), [None, pa.py_buffer(words.tobytes())])
