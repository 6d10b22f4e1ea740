"""The audit of all statements of a scenario together, before anybody approves it.

Every statement with every allowed choice of its parameters is a *question*; what it releases is the
count of some regions (:mod:`.regions`), each checked by itself.  Two searches find regions that
follow from released ones without having been checked:

* **pairs**: one region lies inside another, and their difference is nobody's answer;
* **combinations**: a single atom lies in the linear span of all regions over the rationals, even
  where no pair shows it.  (With A, B, C disjoint and one row x: the four answers A+B+x, B+C, A+C, A
  pass every pair, yet Q1 - Q2 + Q3 - 2·Q4 is x.)

Answers that are broken down by more keys are also taken together, since sums over their cells are
the coarser answers; so every common set of keys is searched, the finest first.

It is a matter of the text alone: the same scenario gives the same findings everywhere.  Whether the
isolated rows are few, only data could tell; what cannot be decided from the text is said in
:attr:`StaticAudit.undecided` and never left out silently.

Source: the row-span test is the audit of sum queries by linear algebra (Chin and Özsoyoglu,
"Auditing and inference control in statistical databases", IEEE TSE 1982).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from stayput.differencing.regions import Axes, Box, TooComplex, Universe, intersect, partition
from stayput.scenario import ColumnType, Parameter, ParameterValue
from stayput.sql import BoundPlan, Plan
from stayput.sql.tree import And, Expr, conjunction, substitute, walk
from stayput.sql.tree import Parameter as Placeholder

MAX_CHOICES = 1_000
"""Choices of parameters per statement that are examined; of more, an even selection is."""

MAX_PAIRS = 1_000
"""Regions up to which every pair is compared; beyond, only differences of one atom are found."""

MAX_SPAN = 256
"""Atoms and regions up to which linear combinations are searched."""

MAX_BINS = 1_000
"""Bins of a percentile, times choices of parameters, up to which each is taken as an answer."""

MAX_SLICES = 512
MAX_KEY_SETS = 64
MAX_FINDINGS = 12
"""Findings that are spelled out; all are counted."""

MAX_PER_SEARCH = 50
"""Findings after which one search stops: a reader has seen the pattern by then."""

MAX_FOUND = 200
"""Findings about one table after which further statements are not examined."""

_PART = "a part of "
_PRIME = 2_147_483_629  # below 2**31: a product of two residues fits 64 bits


@dataclasses.dataclass(frozen=True)
class Question:
    """One statement with one choice of its parameters; ``scenario`` is empty for this one's own."""

    statement: str
    arguments: tuple[tuple[str, ParameterValue], ...]
    scenario: str = ""

    def __str__(self) -> str:
        name = f"{self.scenario}: {self.statement}" if self.scenario else self.statement
        given = ", ".join(f"{key}={_word(value)}" for key, value in self.arguments)
        return f"{name}({given})" if given else name


@dataclasses.dataclass(frozen=True)
class Finding:
    """Rows that answers isolate although no answer is about them.

    ``terms`` are the answers with their coefficients, ``isolated`` names the rows, ``keys`` the
    group keys for each cell of which it can be done.
    """

    terms: tuple[tuple[Fraction, str], ...]
    isolated: str
    keys: tuple[str, ...]

    @property
    def pair(self) -> bool:
        """A plain difference of two answers."""
        return [factor for factor, _ in self.terms] == [1, -1]

    def __str__(self) -> str:
        if not self.terms:
            combined = "A combination of many answers"
        else:
            combined = " ".join(_term(f, name, i == 0) for i, (f, name) in enumerate(self.terms))
        cells = f", for each {', '.join(self.keys)}" if self.keys else ""
        return f"{combined} isolates rows with {self.isolated}{cells}"


@dataclasses.dataclass(frozen=True)
class StaticAudit:
    """What the search showed: at least ``found`` isolated regions, the first in ``findings``."""

    questions: int
    found: int
    findings: tuple[Finding, ...]
    undecided: tuple[str, ...]


def audit(plans: Sequence[Plan], held: Mapping[str, Sequence[Plan]] | None = None) -> StaticAudit:
    """Examine all statements together.

    Args:
        plans: of the scenario's statements.
        held: plans of other scenarios of the same data user, by scenario name; they are taken
            together with statements about a table of the same name, and only what needs an answer
            of theirs is found.
    """
    asked = [("", planned) for planned in plans]
    asked += [(name, planned) for name, others in (held or {}).items() for planned in others]
    questions, found = 0, 0
    findings: list[Finding] = []
    undecided: list[str] = []
    for table in dict.fromkeys(planned.table for planned in plans):
        search = _Table(table, [item for item in asked if item[1].table == table])
        search.run()
        if held is not None:
            search.findings = [finding for finding in search.findings if _needs(finding, held)]
        questions += search.questions
        found += len(search.findings)
        findings += search.findings
        undecided += search.undecided
    findings.sort(key=lambda f: (not f.pair, len(f.terms) or 99, -len(f.keys)))
    distinct = tuple(dict.fromkeys(undecided))
    return StaticAudit(questions, found, tuple(findings[:MAX_FINDINGS]), distinct)


def _needs(finding: Finding, held: Iterable[str]) -> bool:
    """Whether an answer of another scenario is in a combination, as far as it is spelled out."""
    names = [name.removeprefix(_PART) for _, name in finding.terms]
    others = tuple(f"{name}: " for name in held)
    return not names or any(name.startswith(others) for name in names)


@dataclasses.dataclass(frozen=True)
class _Answer:
    """A region that a question releases, broken down by ``keys``.

    Where a FILTER chose it, the rest of ``wholes`` is checked as well (their conditions).
    """

    name: str
    condition: Expr | None
    wholes: tuple[Expr | None, ...]
    keys: tuple[Expr, ...]

    @property
    def conditions(self) -> tuple[Expr | None, ...]:
        return (self.condition, *self.wholes)


class _Table:
    """The search among all questions about one table. One use."""

    def __init__(self, table: str, asked: Sequence[tuple[str, Plan]]) -> None:
        self._table = table
        self.undecided: list[str] = []
        self.findings: list[Finding] = []
        self.questions = 0
        self._answers: list[_Answer] = []
        self._labels: dict[Expr, str] = {}
        for scenario, planned in asked:
            self._ask(scenario, planned)

    def _ask(self, scenario: str, planned: Plan) -> None:
        keys = tuple(dimension.expr for dimension in planned.dimensions)
        replaced = _Replaced()
        for dimension in planned.dimensions:
            self._labels.setdefault(dimension.expr, dimension.label)
        choices = list(self._choices(planned))
        bins = {index for found in planned.bins for index in found.counts}
        if len(bins) * len(choices) > MAX_BINS:
            self.undecided.append(
                f"{planned.statement.name}: {len(bins)} bins of its percentiles, with "
                f"{len(choices)} choices of its parameters, were not compared with other answers"
            )
        else:
            bins = set()
        for bound in choices:
            self.questions += 1
            name = str(Question(planned.statement.name, bound.parameters, scenario))
            where = replaced.in_condition(planned.where, bound)
            bound_keys = tuple(replaced.in_expr(key, bound) for key in keys)
            rows = [_both(where, replaced.in_condition(c.condition, bound)) for c in planned.counts]
            for position, (count, condition) in enumerate(zip(planned.counts, rows, strict=True)):
                if position in bins:
                    continue
                label = name if count.condition is None else f"{_PART}{name}"
                wholes = tuple(rows[index] for index in count.complements)
                self._answers.append(_Answer(label, condition, wholes, bound_keys))

    def _choices(self, planned: Plan) -> Iterator[BoundPlan]:
        parameters = planned.statement.parameters
        total = math.prod(_number_of_choices(p) for p in parameters)
        room = MAX_CHOICES
        lists = []
        for position, parameter in enumerate(parameters):
            values, room = _selection(parameter, room, len(parameters) - position)
            lists.append(values)
        examined = math.prod(len(values) for values in lists)
        if examined < total:
            self.undecided.append(
                f"{planned.statement.name} has {total} choices of its parameters; {examined} of "
                "them, spread evenly, were examined"
            )
        for values in itertools.product(*lists):
            given = zip((p.name for p in parameters), values, strict=True)
            yield BoundPlan(planned, tuple(sorted(given)))  # declared values: nothing to verify

    def run(self) -> None:
        """Fill ``findings`` and ``undecided``."""
        conditions = (c for a in self._answers for c in a.conditions if c is not None)
        parts = {id(part): part for c in conditions for part in _parts(c)}
        axes = Axes(parts.values(), {id(k): k for a in self._answers for k in a.keys}.values())
        for name in axes.opaque:
            self.undecided.append(
                f"{self._table}: ({name}) was taken as independent of everything else"
            )
        answers = [found for a in self._answers if (found := self._placed(a, axes)) is not None]
        try:
            self._search(axes, answers)
        except TooComplex as reason:
            self.undecided.append(
                f"{self._table}: all statements together are too many to compare ({reason}); each "
                "was examined by itself"
            )
            self._search_each(axes, answers)

    def _search_each(self, axes: Axes, answers: Sequence[_Placed]) -> None:
        statements: dict[str, list[_Placed]] = {}
        for answer in answers:
            statements.setdefault(answer.statement, []).append(answer)
        for position, (statement, own) in enumerate(statements.items()):
            if len(self.findings) >= MAX_FOUND:
                self.undecided.append(
                    f"{self._table}: {len(self.findings)} ways were found; {statement} and "
                    f"{len(statements) - position - 1} more statements were not examined"
                )
                return
            try:
                self._search(axes, own)
            except TooComplex as reason:
                self.undecided.append(f"{statement} was not examined: {reason}")

    def _placed(self, answer: _Answer, axes: Axes) -> _Placed | None:
        statement = answer.name.removeprefix(_PART).partition("(")[0]
        try:
            boxes = axes.boxes(answer.condition)
            wholes = tuple(axes.boxes(whole) for whole in answer.wholes)
        except TooComplex as reason:
            self.undecided.append(f"{statement} was not examined: {reason}")
            return None
        return _Placed(answer.name, statement, boxes, wholes, answer.keys)

    def _search(self, axes: Axes, answers: Sequence[_Placed]) -> None:
        filtered = {axis for answer in answers for box in answer.every_box for axis, _ in box}
        keys = dict.fromkeys(key for answer in answers for key in answer.keys)
        slices = {key: axes.key_slices(key) for key in keys}
        cut = {  # keys that break down along an axis on which rows are also chosen
            key: tuple(((found[0], mask),) for mask in found[1])
            for key, found in slices.items()
            if found is not None and found[0] in filtered
        }
        boxes = [box for answer in answers for box in answer.every_box]
        universe = Universe(axes, [*boxes, *(box for part in cut.values() for box in part)])
        seen: set[int] = set()
        for shared in _key_sets(answers):
            regions = _Regions(universe)
            for answer in answers:
                if shared <= answer.key_set:
                    self._add(regions, answer, cut)
            labels = tuple(self._labels_of(shared))
            for finding, region in regions.findings(labels):
                if region not in seen:
                    seen.add(region)
                    self.findings.append(finding)
            self.undecided += [f"{self._table}: {text}" for text in regions.undecided]

    def _add(self, regions: _Regions, answer: _Placed, cut: Mapping[Expr, tuple[Box, ...]]) -> None:
        """An answer, and its cells along the keys on whose axes rows are also chosen."""
        own = [cut[key] for key in answer.keys if key in cut]
        if math.prod(len(part) for part in own) > MAX_SLICES:
            regions.undecided[f"the cells of {answer.statement} are too many to compare"] = None
            own = []
        for parts in itertools.product(*own):
            cell: tuple[Box, ...] = ((),)
            for part in parts:
                cell = _within(cell, part)
            regions.add(_within_all(answer.boxes, cell), answer.name)
            for whole in answer.wholes:
                regions.check(_within_all(whole, cell), _within_all(answer.boxes, cell))
        if own:
            regions.add(answer.boxes, answer.name)

    def _labels_of(self, keys: frozenset[Expr]) -> Iterator[str]:
        yield from sorted(self._labels.get(key, "key") for key in keys)


@dataclasses.dataclass(frozen=True)
class _Placed:
    """An answer as boxes."""

    name: str
    statement: str
    boxes: tuple[Box, ...]
    wholes: tuple[tuple[Box, ...], ...]
    keys: tuple[Expr, ...]

    @functools.cached_property
    def key_set(self) -> frozenset[Expr]:
        return frozenset(self.keys)

    @property
    def every_box(self) -> tuple[Box, ...]:
        return self.boxes + tuple(box for whole in self.wholes for box in whole)


_ONE = Fraction(1)
_Terms = tuple[tuple[Fraction, int], ...]


class _Regions:
    """Regions that are released at one set of keys."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._released: dict[int, str] = {}
        self._checked: set[int] = set()
        self.undecided: dict[str, None] = {}

    def add(self, boxes: Iterable[Box], name: str) -> None:
        region = self._universe.region(boxes)
        if region:
            self._released.setdefault(region, name)

    def check(self, whole: Iterable[Box], part: Iterable[Box]) -> None:
        """What a FILTER leaves out is checked as what it takes."""
        self._checked.add(self._universe.region(whole) & ~self._universe.region(part))

    def findings(self, keys: tuple[str, ...]) -> Iterator[tuple[Finding, int]]:
        """At most :data:`MAX_PER_SEARCH` isolated regions, each with its bits."""
        groups = partition(list(self._released), self._universe.size) if self._released else []
        atoms = [group for group, inside in groups if inside]
        isolated: dict[int, None] = {}
        found = itertools.chain(self._pairs(atoms), self._span(atoms, isolated))
        for region, terms in itertools.islice(found, MAX_PER_SEARCH):
            isolated[region] = None
            named = tuple((factor, self._released[r]) for factor, r in terms)
            yield Finding(named, self._universe.words(region), keys), region

    def _covered(self, region: int) -> bool:
        """Whether answers about parts of the region make it up: then nothing new is isolated."""
        rest = region
        for known in itertools.chain(self._released, self._checked):
            if not known & ~region:
                rest &= ~known
                if not rest:
                    return True
        return False

    def _pairs(self, atoms: Sequence[int]) -> Iterator[tuple[int, _Terms]]:
        """Differences of two released regions that nobody checks: single atoms first."""
        single = 0
        for atom in atoms:
            if atom in self._released or atom in self._checked:
                continue
            for region in self._released:
                if region & atom and region & ~atom in self._released:
                    single |= atom
                    yield atom, ((_ONE, region), (-_ONE, region & ~atom))
                    break
        if len(self._released) > MAX_PAIRS:
            self.undecided[
                f"of {len(self._released)} answers only differences of one smallest group were "
                "examined, not every pair"
            ] = None
            return
        seen: set[int] = set()
        for small, large in itertools.combinations(sorted(self._released, key=int.bit_count), 2):
            rest = large & ~small
            if small & ~large or not rest or rest & single or rest in seen:
                continue
            seen.add(rest)
            if not self._covered(rest):
                yield rest, ((_ONE, large), (-_ONE, small))

    def _span(self, atoms: Sequence[int], isolated: Iterable[int]) -> Iterator[tuple[int, _Terms]]:
        """Single atoms in the linear span of the released regions that no pair shows."""
        regions = list(self._released)
        if max(len(atoms), len(regions)) > MAX_SPAN:
            self.undecided[
                f"linear combinations of {len(regions)} answers over {len(atoms)} groups of rows "
                "were not searched"
            ] = None
            return
        done = {*isolated, *self._released, *self._checked}
        wanted = [atom for atom in atoms if atom not in done]
        if not wanted:
            return
        matrix = np.array([[bool(r & a) for a in atoms] for r in regions], dtype=np.int64)
        basis, reached = _row_reduce(matrix)
        for atom in wanted:
            if atoms.index(atom) in reached:
                yield atom, _combination([regions[i] for i in basis], atoms, atom)


# --- linear algebra -------------------------------------------------------------------------------


def _row_reduce(matrix: npt.NDArray[np.int64]) -> tuple[list[int], frozenset[int]]:
    """Rows that form a basis, and the columns whose unit vector lies in the row space, modulo a
    prime (a wrong answer would need a minor divisible by it; terms are computed exactly after)."""
    rows = matrix.copy() % _PRIME
    order = np.arange(len(rows))
    rank, pivots = 0, []
    for column in range(rows.shape[1]):
        candidates = np.flatnonzero(rows[rank:, column])
        if not candidates.size:
            continue
        found = rank + int(candidates[0])
        rows[[rank, found]], order[[rank, found]] = rows[[found, rank]], order[[found, rank]]
        rows[rank] = rows[rank] * pow(int(rows[rank, column]), -1, _PRIME) % _PRIME
        others = np.flatnonzero(rows[:, column])
        others = others[others != rank]
        rows[others] = (rows[others] - rows[others, column, None] * rows[rank] % _PRIME) % _PRIME
        pivots.append(column)
        rank += 1
        if rank == len(rows):
            break
    alone = np.count_nonzero(rows[:rank], axis=1) == 1
    units = frozenset(column for column, single in zip(pivots, alone, strict=True) if single)
    return [int(i) for i in order[:rank]], units


def _combination(regions: Sequence[int], atoms: Sequence[int], target: int) -> _Terms:
    """Coefficients of linearly independent ``regions`` that give ``target``, exactly; empty if they
    are too many for a person to read."""
    size = len(regions)
    if size > 64:
        return ()
    # One equation per atom: the coefficients of the regions that hold it add up to 1 for the
    # target and to 0 elsewhere.
    rows = [
        [Fraction(bool(r & atom)) for r in regions] + [Fraction(atom == target)] for atom in atoms
    ]
    rank = 0
    for column in range(size):
        found = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if found is None:
            continue
        rows[rank], rows[found] = rows[found], rows[rank]
        pivot = rows[rank][column]
        rows[rank] = [value / pivot for value in rows[rank]]
        for i, row in enumerate(rows):
            if i != rank and row[column]:
                factor = row[column]
                rows[i] = [a - factor * b for a, b in zip(row, rows[rank], strict=True)]
        rank += 1
    solved = [(rows[i][size], regions[i]) for i in range(rank)]
    return tuple(sorted((t for t in solved if t[0]), key=lambda t: (t[0] < 0, -abs(t[0]))))


# --- small parts ----------------------------------------------------------------------------------


def _key_sets(answers: Sequence[_Placed]) -> list[frozenset[Expr]]:
    """Sets of keys that some answers share, the finest first."""
    own = list(dict.fromkeys(answer.key_set for answer in answers))
    sets = dict.fromkeys([*own, *(a & b for a, b in itertools.combinations(own, 2)), frozenset()])
    ordered = sorted(sets, key=lambda keys: -len(keys))
    return ordered[: MAX_KEY_SETS - 1] + ordered[MAX_KEY_SETS - 1 :][-1:]


def _within(cell: tuple[Box, ...], part: Box) -> tuple[Box, ...]:
    return tuple(box for c in cell if (box := intersect(c, part)) is not None)


def _within_all(boxes: Sequence[Box], cell: Sequence[Box]) -> tuple[Box, ...]:
    pairs = itertools.product(boxes, cell)
    return tuple(box for a, b in pairs if (box := intersect(a, b)) is not None)


def _parts(condition: Expr) -> tuple[Expr, ...]:
    return condition.items if isinstance(condition, And) else (condition,)


class _Replaced:
    """Expressions with parameters replaced: the same values give the same object, so that what is
    found out about it is found out once."""

    def __init__(self) -> None:
        self._parameters: dict[int, tuple[Expr, tuple[str, ...]]] = {}
        self._made: dict[tuple[int, tuple[ParameterValue, ...]], Expr] = {}

    def in_condition(self, condition: Expr | None, bound: BoundPlan) -> Expr | None:
        """Part by part of a conjunction: few of them change from one choice to the next."""
        if condition is None:
            return None
        parts = tuple(self.in_expr(part, bound) for part in _parts(condition))
        return parts[0] if len(parts) == 1 else And(parts)

    def in_expr(self, expr: Expr, bound: BoundPlan) -> Expr:
        if id(expr) not in self._parameters:
            names = {part.name for part in walk(expr) if isinstance(part, Placeholder)}
            self._parameters[id(expr)] = expr, tuple(sorted(names))
        names_in_it = self._parameters[id(expr)][1]
        values = dict(bound.parameters)
        key = id(expr), tuple(values[name] for name in names_in_it)
        if key not in self._made:
            self._made[key] = substitute(expr, bound.constants()) if names_in_it else expr
        return self._made[key]


def _both(where: Expr | None, chosen: Expr | None) -> Expr | None:
    if where is None or chosen is None:
        return chosen if where is None else where
    return conjunction(tuple(c for c in (where, chosen) if c is not None))


def _number_of_choices(parameter: Parameter) -> int:
    if parameter.minimum is not None and parameter.maximum is not None:
        return parameter.maximum - parameter.minimum + 1
    return len(parameter.levels) or 2


def _selection(parameter: Parameter, room: int, left: int) -> tuple[Sequence[ParameterValue], int]:
    """At most so many values that all parameters together stay within ``room``: neighbours at both
    ends and an even spread between, since differences show between neighbours."""
    share = max(2, int(room ** (1 / left) + 1e-9))
    values: Sequence[ParameterValue]
    if parameter.type is ColumnType.BOOLEAN:
        values = (False, True)
    elif parameter.levels:
        values = parameter.levels
    else:
        values = range(parameter.minimum or 0, (parameter.maximum or 0) + 1)
    if len(values) > share:
        head = share // 2
        step = (len(values) - head) // max(1, share - head)
        chosen = [*range(head), *range(len(values) - 1, head, -step)][:share]
        values = [values[i] for i in sorted(chosen)]
    return values, max(1, room // max(1, len(values)))


def _word(value: ParameterValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _term(factor: Fraction, name: str, first: bool) -> str:
    sign = "- " if factor < 0 else ("" if first else "+ ")
    size = abs(factor)
    return f"{sign}{name}" if size == 1 else f"{sign}{size} x {name}"
