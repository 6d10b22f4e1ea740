"""From a model in a scenario to what each holder stages, and from opened sums to its coefficients.

A model explains a numeric column of one holder by columns of any.  Its design has a constant
(unless left out), each numeric predictor as it is, and for each level of a categorical predictor
but the declared reference a column of ones and zeros (a *dummy*); of a truth value, one for
``true``.  All that is opened is the joint Gram matrix: the sums of products of any two of these
columns over everybody who is in all tables.  It is a matrix of moments
(:mod:`stayput.vertical.moments`); the sums of dummies are counts of people, and checked as such.

Units: coefficients are in units of the target per unit of the column, as declared (yuan per month,
not cents); a ridge penalty stands on the columns in their own units and spares the constant.

Not here: the algebra (:mod:`stayput.vertical.linear`), and the rules for which model may be
released (:mod:`stayput.disclosure.models`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from stayput.disclosure.models import (
    ModelColumn,
    Problem,
    check_categories,
    check_model,
    verify_model,
)
from stayput.errors import SqlError, VerificationError
from stayput.finishing import square_root
from stayput.release import Passes
from stayput.scenario import (
    Column,
    ColumnRole,
    ColumnType,
    Model,
    OutputPolicy,
    Outside,
    TableContract,
)
from stayput.sql import tree
from stayput.sql.translate import column_of
from stayput.sql.tree import Arithmetic, Branch, Case, Comparison, Expr, Number, Operation, Relation
from stayput.table import CellState, CellType, ResultColumn, ResultTable, column, float_text
from stayput.vertical.linear import Fit, fit
from stayput.vertical.moments import Moments, Opened, Recipe, apply, expand
from stayput.vertical.questions import Staged, places, stage, verify_policy

CONSTANT = "constant"
"""Name of the first term of a model that has one."""

COLUMNS = (
    "term",
    "coefficient",
    "standard_error",
    "t",
    "people",
    "residual_freedom",
    "r_squared",
)
"""Columns of the table of a model."""

MAX_TERMS = 48
"""Columns of a design: the Gram matrix has their square, and exact elimination takes its time."""


@dataclasses.dataclass(frozen=True)
class Term:
    """One column of a design.

    ``of`` is the declared column's ``table.name`` (empty: the constant); ``dummy`` says that it is
    1 for people of one level and 0 for the others.
    """

    name: str
    of: str
    expr: Expr
    dummy: bool = False

    @property
    def decimals(self) -> int:
        return self.expr.scale


@dataclasses.dataclass(frozen=True)
class ModelQuestion:
    """What a model computes.

    ``moments`` are as in :class:`stayput.vertical.questions.JoinQuestion`; ``gram`` has a recipe
    for each pair of terms, the target last; the lower triangle is empty.
    """

    model: Model
    terms: tuple[Term, ...]
    target: Term
    staged: tuple[Staged, ...]
    moments: tuple[tuple[tuple[int, int], ...], ...]
    gram: tuple[tuple[Recipe, ...], ...]

    @property
    def columns(self) -> tuple[ModelColumn, ...]:
        """The design as output checking sees it."""
        return tuple(_checked(term) for term in self.terms)

    @property
    def first(self) -> tuple[int, ...]:
        """Moments that are opened first: numbers of people, in all and for each dummy."""
        return (0, *(moment for _, moment in self.people_of_dummies))

    @property
    def people_of_dummies(self) -> tuple[tuple[str, int], ...]:
        """Of each dummy: its name and the moment that counts the people for whom it is 1."""
        found = []
        for index, term in enumerate(self.terms):
            if term.dummy:
                # A dummy is its own square, and its sum is one moment.
                ((_, moment),) = self.gram[index][index]
                found.append((term.name, moment))
        return tuple(found)

    @property
    def cells(self) -> int:
        """A model is one cell: everybody in the join."""
        return 1

    def groups(self) -> Iterator[tuple[int, ...]]:
        """Of this cell: the numbers of the group, one for each table."""
        yield (0,) * len(self.staged)

    def judge(self, first: Sequence[Sequence[int]], policy: OutputPolicy) -> Passes:
        """Whether the model's sums may be opened (1 × 1), from the first moments of its cell."""
        return np.array([[not self.problems(first[0], policy)]])

    def problems(self, first: Sequence[int], policy: OutputPolicy) -> tuple[Problem, ...]:
        """What the first moments alone say against the model."""
        people, *ones = first
        return check_categories(self.columns, people, ones, policy)

    def marked(self, ones: Sequence[int]) -> dict[str, int]:
        """Of each category, how many people are in a level that has a dummy.

        Args:
            ones: of each dummy, how many people it is 1 for.
        """
        found: dict[str, int] = {}
        dummies = (one.category for one in self.columns if one.category)
        for category, number in zip(dummies, ones, strict=True):
            found[category] = found.get(category, 0) + number
        return found

    def verify_people(self, first: Sequence[int], most: int) -> list[int]:
        """The first moments, of at most so many people; returns them.

        Raises:
            VerificationError: no honest parts can give such numbers (clause C-3).
        """
        people, *ones = first
        inside = self.marked(ones).values()
        if (
            not 0 <= people <= most
            or min(ones, default=0) < 0
            or any(number > people for number in inside)
        ):
            raise VerificationError(
                "the opened numbers of people are impossible for tables within their contracts",
                hint="a part is missing, foreign or altered, or a holder's node is broken: order a"
                " new run",
            )
        return [people, *ones]

    def wanted(self, kept: Passes) -> list[tuple[int, ...]]:
        """The moments that are opened then: all others, or none."""
        others = set(range(len(self.moments))) - set(self.first)
        return [tuple(sorted(others)) if kept[0, 0] else ()]

    def table(
        self,
        opened: Sequence[Mapping[int, int]],
        kept: Passes,
        policy: OutputPolicy,
        *,
        synthetic: bool = False,
    ) -> ResultTable:
        """The released table: the model, or a table in which it is withheld.

        Args:
            opened: of the one cell its opened moments, by index.
            kept: what :meth:`judge` gave.

        Raises:
            VerificationError: no honest parts can give such sums.
        """
        (moments,) = opened
        if not kept[0, 0] or judge_model(self, moments, policy):
            return finish_model(self, None, synthetic=synthetic)
        return finish_model(self, moments, synthetic=synthetic)

    def verify_table(self, table: ResultTable) -> ResultTable:
        """A table that this question can have; returns it. Raises VerificationError."""
        return verify_model_table(self, table)

    def matrix(self, opened: Opened) -> list[list[int]]:
        """The Gram matrix, target last, from opened moments."""
        size = len(self.terms) + 1
        found = [[0] * size for _ in range(size)]
        for i in range(size):
            for j in range(i, size):
                found[i][j] = found[j][i] = apply(self.gram[i][j], opened)
        return found


def ask_model(
    model: Model, tables: Sequence[TableContract], policy: OutputPolicy | None = None
) -> ModelQuestion:
    """The question of a model over a join.

    Args:
        policy: what it must satisfy; what cannot be checked over a join is refused.

    Raises:
        SqlError: the model does not fit the tables, or a column's role; says what to do.
    """
    contracts = _joined(model, tables)
    if policy is not None:
        verify_policy(policy, len(contracts), sums=True)
        if policy.rounding:
            raise SqlError(
                "a model tells how many people it is about: rounding would not hide that",
                hint="leave out output.rounding, or give models a scenario of their own",
            )
    target = _target(model, contracts)
    terms = _terms(model, contracts)
    if len(terms) > MAX_TERMS:
        raise SqlError(
            f"{model.name} has {len(terms)} terms; at most {MAX_TERMS} are supported",
            hint="use fewer predictors or coarser levels",
        )
    moments = Moments()
    columns = [*terms, target]
    gram = tuple(
        tuple(moments.recipe(_product(a, b)) if i <= j else () for j, b in enumerate(columns))
        for i, a in enumerate(columns)
    )
    return ModelQuestion(
        model=model,
        terms=tuple(terms),
        target=target,
        staged=tuple(stage(contract, moments.features) for contract in contracts),
        moments=places(moments, model.tables),
        gram=gram,
    )


def _product(a: Term, b: Term) -> dict[tuple[Expr, ...], int]:
    if a.dummy and b.dummy and a.of == b.of:
        # Nobody is in two levels, and a dummy is its own square.
        return expand(a.expr) if a == b else {}
    return expand(Arithmetic(Operation.MULTIPLY, a.expr, b.expr))


def _checked(term: Term) -> ModelColumn:
    return ModelColumn(
        term.name,
        term.expr.low,
        term.expr.high,
        category=term.of if term.dummy else "",
        constant=not term.of,
    )


def judge_model(
    question: ModelQuestion, opened: Opened, policy: OutputPolicy
) -> tuple[Problem, ...]:
    """Every rule that a model fails, from all its moments; empty: it may be released.

    Raises:
        VerificationError: the moments are impossible for data within the declared bounds.
    """
    columns, target = question.columns, _checked(question.target)
    gram = question.matrix(opened)
    verify_model(columns, target, opened[0], gram)
    return check_model(columns, target, opened[0], gram, policy)


# --- the design -----------------------------------------------------------------------------------


def _joined(model: Model, tables: Sequence[TableContract]) -> list[TableContract]:
    declared = {table.name: table for table in tables}
    found: list[TableContract] = []
    for name in model.tables:
        contract = declared.get(name)
        if contract is None:
            raise SqlError(
                f"{model.name}: the scenario has no table {name!r}",
                hint="it has: " + ", ".join(declared),
            )
        rule = None if contract.identifier is None else contract.identifier.identifier
        if contract.identifier is None or rule is None or contract.identifier.name != model.using:
            raise SqlError(
                f"{model.name}: {name} has no identifier {model.using!r}",
                hint="join tables that declare the same column of type identifier",
            )
        for other in found:
            theirs = None if other.identifier is None else other.identifier.identifier
            if theirs is None or not rule.same_people(theirs):
                raise SqlError(
                    f"{model.name}: {other.name} and {name} declare different forms of their "
                    "identifiers, so the same person would not be found",
                    hint="declare the same kind, case and separators in both tables",
                )
            if other.holders == contract.holders:
                raise SqlError(
                    f"{model.name}: {name} and {other.name} are both at {contract.holders[0]}",
                    hint="that holder joins them itself: let it offer them as one table",
                )
        found.append(contract)
    return found


def _declared(
    model: Model, name: str, contracts: Sequence[TableContract]
) -> tuple[TableContract, Column]:
    found = [
        (contract, declared)
        for contract in contracts
        for declared in contract.columns
        if declared.name == name and declared.type is not ColumnType.IDENTIFIER
    ]
    if len(found) > 1:
        raise SqlError(
            f"{model.name}: {name} is a column of {' and of '.join(c.name for c, _ in found)}",
            hint="give the columns different names in their contracts",
        )
    if not found:
        raise SqlError(
            f"{model.name}: no table of the join has a column {name!r}",
            hint="columns are: "
            + ", ".join(
                declared.name
                for contract in contracts
                for declared in contract.columns
                if declared.type is not ColumnType.IDENTIFIER
            ),
        )
    contract, declared = found[0]
    if declared.roles and ColumnRole.MEASURE not in declared.roles:
        words = " or ".join(role.name.lower() for role in declared.roles)
        raise SqlError(
            f"{model.name}: {name} is used as measure, but its role is {words}",
            hint=f"leave it out, or change the role of {contract.name}.{name}",
        )
    if declared.nullable:
        raise SqlError(
            f"{model.name}: {name} may be missing, and a model takes everybody",
            hint=f"let its holder offer a table of the people whose {name} is known",
        )
    return contract, declared


def _target(model: Model, contracts: Sequence[TableContract]) -> Term:
    contract, declared = _declared(model, model.target, contracts)
    if declared.type not in (ColumnType.INTEGER, ColumnType.DECIMAL):
        raise SqlError(
            f"{model.name}: the target {model.target} is no number",
            hint="a linear model explains a number; count categories with GROUP BY",
        )
    return _numeric(contract, declared)


def _numeric(contract: TableContract, declared: Column) -> Term:
    typed = column_of(declared, contract.name)
    return Term(declared.name, typed.name, typed)


def _terms(model: Model, contracts: Sequence[TableContract]) -> list[Term]:
    references = {reference.column: reference.level for reference in model.references}
    terms = [] if model.without_constant else [Term(CONSTANT, "", Number(1))]
    for name in model.predictors:
        contract, declared = _declared(model, name, contracts)
        reference = references.pop(name, None)
        if declared.type in (ColumnType.INTEGER, ColumnType.DECIMAL):
            if reference is not None:
                raise SqlError(
                    f"{model.name}: {name} is a number and has no reference level",
                    hint="a reference belongs to a predictor with levels",
                )
            terms.append(_numeric(contract, declared))
        else:
            terms += _dummies(model, contract, declared, reference)
    if references:
        raise SqlError(
            f"{model.name}: {next(iter(references))} has a reference and is no predictor",
            hint="add it to predictors, or remove the reference",
        )
    return terms


def _dummies(
    model: Model, contract: TableContract, declared: Column, reference: str | None
) -> list[Term]:
    typed = column_of(declared, contract.name)
    if declared.type is ColumnType.BOOLEAN:
        if reference not in (None, "false"):
            raise SqlError(
                f"{model.name}: the reference of {declared.name} is false",
                hint="remove the reference; the coefficient is that of true",
            )
        return [Term(f"{declared.name}=true", typed.name, _indicator(typed), dummy=True)]
    if declared.outside is Outside.OTHER:
        raise SqlError(
            f"{model.name}: {declared.name} has values outside its levels, and they would be "
            "taken for the reference",
            hint="declare outside: refuse, with all levels",
        )
    if reference not in declared.levels:
        raise SqlError(
            f"{model.name}: {declared.name} needs one of its levels as reference"
            + (f", and {reference!r} is none" if reference is not None else ""),
            hint=f"write  reference: {{{declared.name}: {declared.levels[0]}}}",
        )
    return [
        Term(
            f"{declared.name}={level}",
            typed.name,
            _indicator(Comparison(Relation.EQUAL, typed, tree.Text(level))),
            dummy=True,
        )
        for level in declared.levels
        if level != reference
    ]


def _indicator(condition: Expr) -> Case:
    return Case((Branch(condition, Number(1)),), Number(0))


# --- the answer -----------------------------------------------------------------------------------


def solve(question: ModelQuestion, opened: Opened) -> Fit | None:
    """The model in the declared units; ``None`` if its columns are linearly dependent.

    Args:
        opened: the moments over the join, in their order.
    """
    model = question.model
    ridge = Fraction(model.penalty, 10**model.penalty_decimals)
    # Columns are scaled integers: a penalty on a column's own unit grows with the square.
    penalty = [
        Fraction(0) if not term.of else ridge * 100**term.decimals for term in question.terms
    ]
    found = fit(
        opened[0],
        question.matrix(opened),
        constant=not model.without_constant,
        penalty=penalty,
    )
    if found is None:
        return None
    units = [Fraction(10**term.decimals, 10**question.target.decimals) for term in question.terms]
    variances = found.variances
    return dataclasses.replace(
        found,
        coefficients=tuple(b * unit for b, unit in zip(found.coefficients, units, strict=True)),
        variances=None
        if variances is None
        else tuple(v * unit**2 for v, unit in zip(variances, units, strict=True)),
    )


def finish_model(
    question: ModelQuestion, opened: Opened | None, *, synthetic: bool = False
) -> ResultTable:
    """The table of a model: a row for each term, and what is true of the whole in each row.

    Coefficient, standard error and t are real numbers, rounded once; they are NULL where the
    columns are linearly dependent.  Withheld as a whole where ``opened`` is ``None``.
    """
    found = None if opened is None else solve(question, opened)
    terms = len(question.terms)
    coefficients: list[Fraction | None] = [None] * terms
    errors: list[Fraction | None] = [None] * terms
    ratios: list[Fraction | None] = [None] * terms
    if found is not None:
        coefficients = list(found.coefficients)
        if found.variances is not None:
            errors = [square_root(variance) for variance in found.variances]
            ratios = [b / e if e else None for b, e in zip(found.coefficients, errors, strict=True)]
    freedom = None if found is None else found.freedom
    withheld = opened is None

    def real(name: str, values: Sequence[Fraction | None]) -> ResultColumn:
        return column(name, CellType.FLOAT, [_real(value, withheld=withheld) for value in values])

    whole = CellState.WITHHELD if opened is None else str(opened[0])
    explained = None if found is None else found.r_squared
    names = [term.name for term in question.terms]
    term_name, coefficient, error, ratio, people, residual, squared = COLUMNS
    return ResultTable(
        (
            column(term_name, CellType.TEXT, names, key=True),
            real(coefficient, coefficients),
            real(error, errors),
            real(ratio, ratios),
            column(people, CellType.INTEGER, [whole] * terms),
            real(residual, [freedom] * terms),
            real(squared, [explained] * terms),
        ),
        synthetic,
    )


def _real(value: Fraction | None, *, withheld: bool) -> str | CellState:
    if withheld:
        return CellState.WITHHELD
    if value is None:
        return CellState.NULL
    try:
        return float_text(float(value))
    except OverflowError:  # beyond 1e308 there is no double
        return CellState.NULL


def verify_model_table(question: ModelQuestion, table: ResultTable) -> ResultTable:
    """A table that :func:`finish_model` can have given for this model; returns it.

    Raises:
        VerificationError: it cannot.
    """
    expected = finish_model(question, None)

    def bare(found: ResultColumn) -> ResultColumn:
        return dataclasses.replace(found, states="", texts=())

    same = [bare(c) for c in table.columns] == [bare(c) for c in expected.columns]
    if table.synthetic or not same or table.columns[0] != expected.columns[0]:
        raise VerificationError("the table is not that of the model")
    return table
