"""From a statement over a join to what each holder stages and which moments are computed.

A statement is planned as any other (:mod:`stayput.sql`): a grid of cells, sums, output columns.
Here its sums become moments over features (:mod:`stayput.vertical.moments`), and each holder gets
one SQL statement over its own table: identifier, number of the group, features, for every row that
fulfils the conditions on its own columns.

What additive encryption cannot do is refused here, with the nearest thing that works: more than
two holders' numbers for one person in one sum (group keys count), conditions or keys made of two
holders' columns, rows that an aggregate chooses for itself.

Pure; everybody derives the same from the sealed text.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from stayput.disclosure import (
    OpenedCounts,
    check_counts,
    check_values,
    passes,
    verify_values,
)
from stayput.errors import SqlError, VerificationError
from stayput.finishing import finish, verify_table
from stayput.release import Passes
from stayput.scenario import OutputPolicy, TableContract
from stayput.sql import BoundPlan, Dimension, Plan
from stayput.sql.formulas import all_terms
from stayput.sql.render import SOURCE, quote_name, render
from stayput.sql.tree import (
    And,
    Arithmetic,
    Branch,
    Case,
    Column,
    Comparison,
    Expr,
    IsNull,
    Kind,
    Number,
    Operation,
    Parameter,
    Relation,
    Text,
    columns_of,
    replace_leaves,
    substitute,
    walk,
)
from stayput.table import ResultTable
from stayput.vertical.moments import (
    Feature,
    Moments,
    Opened,
    Recipe,
    TooManyHolders,
    apply,
    expand,
    merged,
)

IDENTIFIER = "identifier"
GROUP = "group_number"
FEATURE = "feature_"
"""Columns of what a holder stages: text, then whole numbers."""

MAX_FEATURES = 256
"""Features of one holder: each takes a slot of every row's ciphertexts."""


@dataclasses.dataclass(frozen=True)
class Staged:
    """What one holder computes from its own table, row by row.

    ``groups`` is the number of values of its part of the group key (1 without keys); ``bounds`` are
    the largest values of the features.
    """

    table: str
    holder: str
    columns: tuple[str, ...]  # declared columns that it reads, the identifier first
    sql: str
    groups: int
    bounds: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class JoinQuestion:
    """What a statement over a join computes.

    ``moments`` name features by (position of the table, position among its features); the first
    moment is the count.
    """

    plan: Plan
    staged: tuple[Staged, ...]
    keys: tuple[int, ...]  # position of the table of each group key
    moments: tuple[tuple[tuple[int, int], ...], ...]
    recipes: tuple[Recipe, ...]  # of each value of the plan

    def groups(self) -> Iterator[tuple[int, ...]]:
        """Of each cell of the plan, in order: the numbers of the group, one for each table."""
        ranges = (range(dimension.slots) for dimension in self.plan.dimensions)
        for places in itertools.product(*ranges):
            numbers = [0] * len(self.staged)
            for dimension, table, place in zip(
                self.plan.dimensions, self.keys, places, strict=True
            ):
                numbers[table] = numbers[table] * dimension.slots + place
            yield tuple(numbers)

    def values(self, opened: Opened) -> list[int]:
        """The plan's values of one cell, from its opened moments."""
        return [apply(recipe, opened) for recipe in self.recipes]

    @property
    def cells(self) -> int:
        """Cells of the plan; moments are opened for each of them."""
        return self.plan.cells

    @property
    def first(self) -> tuple[int, ...]:
        """Moments that are opened first, in every cell: the number of people."""
        return (0,)

    def judge(self, first: Sequence[Sequence[int]], policy: OutputPolicy) -> Passes:
        """Which measures of the plan may be opened, from the first moments of every cell.

        Raises:
            VerificationError: no honest parts can give such numbers.
        """
        counts = self.opened_counts([row[0] for row in first], policy)
        return passes(check_counts(self.plan, counts, policy))

    def wanted(self, kept: Passes) -> list[tuple[int, ...]]:
        """The moments of each cell that are opened then: those of sums that pass, no others."""
        start = len(self.plan.counts)
        return [
            tuple(
                sorted(
                    {
                        index
                        for recipe, wanted in zip(self.recipes, row[start:], strict=True)
                        if wanted
                        for _, index in recipe
                    }
                    - set(self.first)
                )
            )
            for row in kept.tolist()
        ]

    def table(
        self,
        opened: Sequence[Mapping[int, int]],
        kept: Passes,
        policy: OutputPolicy,
        *,
        synthetic: bool = False,
    ) -> ResultTable:
        """The released table.

        Args:
            opened: of each cell its opened moments, by index.
            kept: what :meth:`judge` gave.

        Raises:
            VerificationError: no honest parts can give such sums.
        """
        counts = [[moments[0]] for moments in opened]
        values = self.sums(opened, kept)
        verify_values(self.plan, counts, values)
        late = passes(check_values(self.plan, counts, values, policy))
        return finish(
            self.plan,
            counts,
            values,
            (kept & late).tolist(),
            rounding=policy.rounding,
            synthetic=synthetic,
        )

    def sums(self, opened: Sequence[Opened], kept: Passes) -> list[list[int | None]]:
        """The values of the plan, cells × values, from opened moments; ``None``: not to be opened.

        Args:
            opened: of each cell its opened moments, by index.
            kept: what :meth:`judge` gave.
        """
        start = len(self.plan.counts)
        return [
            [
                apply(recipe, moments) if wanted else None
                for recipe, wanted in zip(self.recipes, row[start:], strict=True)
            ]
            for moments, row in zip(opened, kept.tolist(), strict=True)
        ]

    def verify_table(self, table: ResultTable) -> ResultTable:
        """A table that this question can have; returns it. Raises VerificationError."""
        return verify_table(self.plan, table)

    def opened_counts(self, people: Sequence[int], policy: OutputPolicy) -> OpenedCounts:
        """What output checking is told of the cells, given the number of people in each.

        Everybody in a join is known to all its holders, so each has all people of a cell.

        Raises:
            VerificationError: no honest parts can give such numbers (clause C-3).
        """
        if min(people) < 0 or sum(people) > self.plan.max_rows:
            raise VerificationError(
                "the opened numbers of people are impossible for tables within their contracts",
                hint="a part is missing, foreign or altered, or a holder's node is broken: order a"
                " new run",
            )
        least = policy.min_count_per_holder
        return OpenedCounts(
            counts=[[number] for number in people],
            holders=[[len(self.staged) if number else 0] for number in people],
            small=[[int(0 < number < least)] for number in people] if least else None,
        )


def ask(
    planned: Plan | BoundPlan, tables: Sequence[TableContract], policy: OutputPolicy | None = None
) -> JoinQuestion:
    """The question of a statement over a join; of a bound plan with its parameters' values.

    Args:
        policy: what cells must satisfy; what cannot be checked over a join is refused.

    Raises:
        SqlError: additive encryption cannot compute it; says what it can.
    """
    bound = isinstance(planned, BoundPlan)
    plan = planned.plan if isinstance(planned, BoundPlan) else planned
    constants = planned.constants() if isinstance(planned, BoundPlan) else {}
    _verify_aggregates(plan)
    if policy is not None:
        verify_policy(policy, len(plan.joined), sums=bool(plan.values))
    contracts = [_contract(name, tables) for name in plan.joined]
    where = _conditions(plan)
    keys = [_table_of_key(dimension) for dimension in plan.dimensions]
    if len(set(keys)) > 2:
        raise _refusal(
            f"group keys are of at most two holders, not of {', '.join(sorted(set(keys)))}",
            "ask for the cells of each two in a statement of its own",
        )
    moments = Moments(keys)
    recipes = tuple(_recipe(plan, index, moments, set(keys)) for index in range(len(plan.values)))
    staged = tuple(
        stage(
            contract,
            moments.features,
            [d for d, key in zip(plan.dimensions, keys, strict=True) if key == contract.name],
            where.get(contract.name, ()),
            constants if bound else {},
        )
        for contract in contracts
    )
    return JoinQuestion(
        plan=plan,
        staged=staged,
        keys=tuple(plan.joined.index(key) for key in keys),
        moments=places(moments, plan.joined),
        recipes=recipes,
    )


def places(moments: Moments, tables: Sequence[str]) -> tuple[tuple[tuple[int, int], ...], ...]:
    """The moments, each feature by the position of its table and its position there."""
    numbers: dict[int, tuple[int, int]] = {}
    counted = dict.fromkeys(tables, 0)
    for index, feature in enumerate(moments.features):
        numbers[index] = (tables.index(feature.table), counted[feature.table])
        counted[feature.table] += 1
    return tuple(tuple(sorted(numbers[index] for index in moment)) for moment in moments.moments)


def stage(
    contract: TableContract,
    features: Iterable[Feature],
    dimensions: Sequence[Dimension] = (),
    where: Sequence[Expr] = (),
    constants: Mapping[str, Expr] | None = None,
) -> Staged:
    """What the holder of a table computes for the features that are its own."""
    identifier = contract.identifier
    assert identifier is not None  # only vertical tables are joined
    own = [feature for feature in features if feature.table == contract.name]
    if len(own) > MAX_FEATURES:
        raise _refusal(
            f"{contract.name} would give {len(own)} numbers of each person; at most "
            f"{MAX_FEATURES} are supported",
            "ask for fewer output columns, or fewer levels",
        )
    group: Expr = Number(0)
    for dimension in dimensions:
        wider = Arithmetic(Operation.MULTIPLY, group, Number(dimension.slots))
        group = Arithmetic(Operation.ADD, wider, _slot(dimension))
    numbers = [_shifted(feature) for feature in own]

    def text(expr: Expr) -> str:
        return render(_of_the_table(substitute(expr, dict(constants)) if constants else expr))

    items = [
        f"{quote_name(identifier.name)} AS {IDENTIFIER}",
        f"{text(group)} AS {GROUP}",
        *(f"{text(number)} AS {FEATURE}{i}" for i, number in enumerate(numbers)),
    ]
    lines = ["SELECT " + ",\n       ".join(items), f"FROM {quote_name(SOURCE)}"]
    if where:
        lines.append("WHERE " + " AND ".join(text(condition) for condition in where))
    read = {column.name for expr in (group, *numbers, *where) for column in columns_of(expr)}
    return Staged(
        table=contract.name,
        holder=contract.holders[0],
        columns=(identifier.name, *sorted(name.partition(".")[2] for name in read)),
        sql="\n".join(lines),
        groups=math.prod(dimension.slots for dimension in dimensions),
        bounds=tuple(feature.largest for feature in own),
    )


def _shifted(feature: Feature) -> Expr:
    if not feature.shift:
        return feature.expr
    return Arithmetic(Operation.SUBTRACT, feature.expr, Number(feature.shift, feature.expr.scale))


def _of_the_table(expr: Expr) -> Expr:
    """With the names that the columns have at their holder."""

    def own(leaf: Expr) -> Expr:
        if not isinstance(leaf, Column):
            return leaf
        return dataclasses.replace(leaf, name=leaf.name.partition(".")[2], table="")

    return replace_leaves(expr, own)


def _slot(dimension: Dimension) -> Expr:
    """The number of a key's value among its slots, as an expression."""
    expr = dimension.expr
    branches = []
    if dimension.null_slot is not None:
        branches.append(Branch(IsNull(expr), Number(dimension.null_slot)))
    if dimension.kind is Kind.BOOLEAN:
        branches.append(Branch(expr, Number(1)))
        return Case(tuple(branches), Number(0))
    values = dimension.values
    if dimension.kind is Kind.NUMBER and values == tuple(range(expr.low, expr.high + 1)):
        inside = And(
            (
                Comparison(Relation.AT_LEAST, expr, Number(expr.low)),
                Comparison(Relation.AT_MOST, expr, Number(expr.high)),
            )
        )
        offset = Arithmetic(Operation.SUBTRACT, expr, Number(expr.low))
        branches.append(Branch(inside, offset))
    else:
        for place, value in enumerate(values):
            constant = Text(value) if isinstance(value, str) else Number(int(value))
            branches.append(Branch(Comparison(Relation.EQUAL, expr, constant), Number(place)))
    return Case(tuple(branches), Number(dimension.other_slot))


# --- what is refused ------------------------------------------------------------------------------


def _refusal(message: str, hint: str, construct: str = "") -> SqlError:
    return SqlError(message, hint=hint, construct=construct)


def verify_policy(policy: OutputPolicy, holders: int, *, sums: bool) -> None:
    """The output policy can be checked over a join of so many holders.

    Raises:
        SqlError: a rule of it cannot.
    """
    if policy.min_holders > holders:
        raise _refusal(
            f"{holders} holders are joined, but min_holders is {policy.min_holders}: nothing would "
            "be released",
            f"join more tables, or write  output: {{min_holders: {holders}}}",
        )
    if policy.min_difference:
        raise _refusal(
            "which people two answers over a join do not share cannot be told: nobody sees who is"
            " in a cell",
            "write  output: {min_difference: none}  and ask no two questions whose cells differ in"
            " few people; or give joins a scenario of their own",
        )
    if sums and policy.dominance is not None:
        raise _refusal(
            "whether few people make up most of a sum over a join cannot be checked: nobody sees "
            "what each of them adds",
            "write  output: {dominance: none}  and declare max for columns so that one person "
            "cannot stand out, or ask for counts only",
        )


def _contract(name: str, tables: Sequence[TableContract]) -> TableContract:
    return next(table for table in tables if table.name == name)


def _verify_aggregates(plan: Plan) -> None:
    """Every output counts or adds up all people of its cell."""
    for count in plan.counts:
        if count.condition is None:
            continue
        columns = sorted(columns_of(count.condition), key=lambda column: column.name)
        name = columns[0].name if columns else "the aggregate"
        missing = [column.name for column in columns if column.nullable]
        if missing:
            raise _refusal(
                f"{missing[0]} may be missing, and an aggregate over a join takes everybody",
                f"add WHERE {missing[0]} IS NOT NULL, which leaves those people out of the join",
                missing[0],
            )
        raise _refusal(
            f"an aggregate over a join takes everybody in its cell: {name} would choose some",
            f"put the condition into WHERE, or make {name} a group key and read the cells",
            name,
        )


def _conditions(plan: Plan) -> dict[str, tuple[Expr, ...]]:
    """The conditions of WHERE by table: each holder leaves out rows of its own accord."""
    items = plan.where.items if isinstance(plan.where, And) else (plan.where,)
    found: dict[str, tuple[Expr, ...]] = {}
    for item in items:
        if item is None:
            continue
        tables = sorted({column.table for column in columns_of(item)})
        if len(tables) > 1:
            raise _refusal(
                f"a condition compares what {' and '.join(tables)} know: nobody sees both",
                "give each table conditions on its own columns and join them with AND, or make "
                "the columns group keys and read the cells",
                "WHERE",
            )
        if not tables:
            raise _refusal("a condition has no column", "drop it", "WHERE")
        found[tables[0]] = (*found.get(tables[0], ()), item)
    return found


def _table_of_key(dimension: Dimension) -> str:
    tables = sorted({column.table for column in columns_of(dimension.expr)})
    if len(tables) == 1:
        return tables[0]
    raise _refusal(
        f"the group key {dimension.label} is made of columns of {' and '.join(tables)}: nobody "
        "sees them together, and encrypted numbers cannot be compared",
        "group by each holder's own bands (of two holders) and read the cells, or ask for the "
        "mean of the sum per group: AVG(a + b + c)",
        dimension.label,
    )


def _recipe(plan: Plan, index: int, moments: Moments, keys: set[str]) -> Recipe:
    value = plan.values[index]
    if any(isinstance(node, Parameter) for node in walk(value.expr)):
        raise _refusal(
            f"{_output_of(plan, index)} has a parameter inside an aggregate over a join",
            "use parameters in WHERE or in group keys, and scale the released value",
            _output_of(plan, index),
        )
    try:
        return moments.recipe(merged(expand(value.expr), value.expr.scale))
    except TooManyHolders as error:
        name = _output_of(plan, index)
        if len(keys) == 2:
            hint = (
                "group by columns of one holder (any holder's sums work there), or add up columns "
                f"of {' and '.join(sorted(keys))} only"
            )
        elif keys:
            hint = (
                f"leave out the group keys, or multiply columns of {next(iter(keys))} with one "
                "other holder's"
            )
        else:
            hint = "products are of two holders' columns; sums may be of any number"
        raise _refusal(
            f"{name} needs a product of what {', '.join(error.tables)} know of one person "
            "(group keys count): encrypted numbers are multiplied once",
            hint,
            name,
        ) from None


def _output_of(plan: Plan, index: int) -> str:
    for output in plan.outputs:
        if output.formula is not None and any(
            term.index == index and not term.counted for term in all_terms(output.formula)
        ):
            return output.name
    return "a sum"
