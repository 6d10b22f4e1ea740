"""The plan of a statement: its grid of cells, its additive measures, its output columns.

Everybody derives the plan from the sealed text and the table contract; nobody sends one.  The grid
is the product of the *declared* values of the group keys, each with a slot for NULL where the key
can be NULL and always one for ``__other__``, so it says nothing about which groups a holder has,
and no row is dropped silently.  Cells are numbered row-major, the first key slowest.

Widths: a slot must hold the sum over all holders of ``max_rows`` rows at the declared bounds
(clause M-4), and the noise that they add to it, so nothing can wrap.

What leaks: the plan is a function of the scenario alone.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from sqlglot import exp

from stayput import scenario
from stayput.errors import InvalidInput, SqlError
from stayput.privacy import Noise, noise_of
from stayput.scenario import (
    MAX_JOINED,
    Grade,
    OutputPolicy,
    ParameterValue,
    Statement,
    TableContract,
)
from stayput.sql import evidence as evidences
from stayput.sql.evidence import Evidence, Size
from stayput.sql.formulas import Bins, Formula, PercentileBound, all_terms
from stayput.sql.measures import CountMeasure, Measures, ValueMeasure
from stayput.sql.outputs import PERCENTILE, OutputTranslator, is_percentile
from stayput.sql.reading import Reading, read
from stayput.sql.render import SOURCE, quote_name, render
from stayput.sql.translate import Translator, only, parameter_of, unwrap
from stayput.sql.tree import (
    OTHER,
    And,
    Case,
    Column,
    Expr,
    IsNull,
    Kind,
    Not,
    Number,
    Parameter,
    Text,
    Truth,
    columns_of,
    conjunction,
    substitute,
)

MAX_CELLS = 1_000_000
MAX_KEY_VALUES = 100_000
"""Bounds of the grid: every cell is encrypted by every holder, empty or not."""

MAX_RESULT_BYTES = 2_000_000
"""Largest result table: signed, then proven in a bundle, it is encoded as base64 twice and still a
document (:data:`stayput.documents.MAX_DOCUMENT_BYTES`)."""

MAX_VECTOR_BYTES = 24 * 1024 * 1024
"""Largest vector of a round before encryption, which doubles it: a part travels in one message of
64 MiB (:data:`stayput.rpc.credentials.MAX_MESSAGE_BYTES`)."""

MAX_GUARD_BITS = 16

NUMBER_BYTES = 24
"""What a released number takes in a result table: a double has up to 24 characters."""

WIDTHS = (32, 64, 96, 128, 160)
"""Slot widths of the encryption (:mod:`stayput.crypto.packing`)."""

_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

DimensionValue = int | str | bool


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One group key: its declared values, then NULL if it can be, then ``__other__``.

    ``open`` says whether ``__other__`` can occur at an honest holder.
    """

    label: str
    expr: Expr
    values: tuple[DimensionValue, ...]
    nullable: bool
    open: bool

    @property
    def slots(self) -> int:
        return len(self.values) + self.nullable + 1

    @property
    def kind(self) -> Kind:
        return self.expr.kind

    @property
    def null_slot(self) -> int | None:
        return len(self.values) if self.nullable else None

    @property
    def other_slot(self) -> int:
        return self.slots - 1


@dataclasses.dataclass(frozen=True)
class OutputColumn:
    """One column of the result: a group key (index of its dimension) or a formula."""

    name: str
    key: int | None = None
    formula: Formula | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a statement computes; see module."""

    statement: Statement
    table: str
    max_rows: int
    holders: int
    where: Expr | None
    dimensions: tuple[Dimension, ...]
    counts: tuple[CountMeasure, ...]
    values: tuple[ValueMeasure, ...]
    outputs: tuple[OutputColumn, ...]
    count_width: int
    value_width: int
    key_columns: tuple[str, ...]
    filter_columns: tuple[str, ...]
    measure_columns: tuple[str, ...]
    evidence: Evidence = evidences.NONE
    grades: tuple[tuple[str, Grade], ...] = ()  # of the columns that it reads
    joined: tuple[str, ...] = ()  # tables of a join, in order; ``table`` is then their names
    using: str = ""  # the identifier that they are joined by
    noise: Noise | None = None  # of each measure; with it, round one has noisy counts alone

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        """Once: a plan holds large trees, and is looked up by itself often."""
        return hash((self.statement, self.table, self.holders, self.where, len(self.counts)))

    @property
    def cells(self) -> int:
        return math.prod(dimension.slots for dimension in self.dimensions)

    @property
    def rests(self) -> tuple[tuple[int, int], ...]:
        """(part, whole): pairs of counts whose difference is a group of rows of its own."""
        return tuple(
            (part, whole)
            for part, measure in enumerate(self.counts)
            for whole in measure.complements
        )

    @property
    def bins(self) -> tuple[Bins, ...]:
        """The numbers that are cut into bins, for percentiles."""
        formulas = (output.formula for output in self.outputs)
        return tuple(dict.fromkeys(f.bins for f in formulas if isinstance(f, PercentileBound)))

    @property
    def groups(self) -> int:
        """Groups of rows per cell of which round one says how many holders have any."""
        return len(self.counts) + len(self.rests)

    @property
    def differences(self) -> tuple[tuple[int, int], ...]:
        """(part, whole): pairs of values whose difference is a sum over a rest."""
        return tuple(
            (part, whole)
            for part, one in enumerate(self.values)
            for whole, other in enumerate(self.values)
            if one.expr == other.expr and (one.support, other.support) in self.rests
        )

    @property
    def measures(self) -> int:
        """Counts, then values: what a verdict has a bit for in each cell."""
        return len(self.counts) + len(self.values)

    @property
    def contributions(self) -> int:
        """Sums of which each holder says whether few contributors make up most of its part."""
        return len(self.values) + len(self.differences) if self.evidence.contributions else 0

    @property
    def round_one(self) -> int:
        """Numbers per cell in the vector of round one (:func:`stayput.plans.counts_vector`)."""
        if self.noise is not None:
            return len(self.counts)
        per_group = 1 + bool(self.evidence.unit) + self.evidence.smallest
        return len(self.counts) + per_group * self.groups + self.contributions

    @property
    def rounds(self) -> int:
        return 2 if self.values else 1

    def grade(self, *exprs: Expr | None) -> Grade:
        """The most sensitive grade of the columns in expressions; public if there is none."""
        names = {column.name for expr in exprs if expr is not None for column in columns_of(expr)}
        grades = [grade for name, grade in self.grades if name in names]
        return max(grades, key=lambda grade: grade.value, default=Grade.PUBLIC)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the statement reads, sorted."""
        used = {*self.key_columns, *self.filter_columns, *self.measure_columns}
        used |= {self.evidence.unit, "" if self.noise is None else self.noise.unit} - {""}
        return tuple(sorted(used))

    def node_sql(self) -> str:
        """The SQL of a node with ``:name`` where a parameter will stand: for people to read."""
        return _node_sql(self, {})


@dataclasses.dataclass(frozen=True)
class BoundPlan:
    """A plan with checked parameter values."""

    plan: Plan
    parameters: tuple[tuple[str, ParameterValue], ...]

    def node_sql(self) -> str:
        """The one SQL statement that a node executes.

        Columns: ``key_0…``, ``count_0…``, ``value_0…``; one row per group that has rows.
        """
        return _node_sql(self.plan, self.constants())

    def constants(self) -> dict[str, Expr]:
        """What stands for each parameter."""
        declared = {parameter.name: parameter for parameter in self.plan.statement.parameters}
        constants: dict[str, Expr] = {}
        for name, value in self.parameters:
            if isinstance(value, bool):
                constants[name] = Truth(value)
            elif isinstance(value, str):
                constants[name] = Text(value)
            else:
                constants[name] = Number(value, declared[name].decimals)
        return constants


def plan(
    statement: Statement,
    tables: Sequence[TableContract],
    holders: int,
    policy: OutputPolicy | None = None,
) -> Plan:
    """The plan of a statement over one of ``tables`` at ``holders`` holders.

    Args:
        policy: what cells must satisfy; it decides which evidence nodes compute besides.

    Raises:
        SqlError: the statement is outside the supported grammar; names construct, place, remedy.
    """
    names = [table.name for table in tables]
    names += [column.name for table in tables for column in table.columns]
    names += [parameter.name for parameter in statement.parameters]
    reading = read(statement.sql, names, joins=any(table.vertical for table in tables))
    try:
        return _Planner(reading, statement, tables, holders, policy).plan()
    except RecursionError:
        raise SqlError(
            "the statement nests too deeply", hint="split the condition", line=1, column=1
        ) from None


def bind(plan: Plan, parameters: Mapping[str, ParameterValue]) -> BoundPlan:
    """Check parameter values against their declaration.

    Args:
        parameters: by name; scaled integer, level or truth value.

    Raises:
        InvalidInput: one is missing, unknown, of another type, or out of its range.
    """
    declared = {parameter.name: parameter for parameter in plan.statement.parameters}
    for name in parameters:
        if name not in declared:
            raise InvalidInput(
                f"the statement has no parameter {name!r}",
                hint="it has: " + (", ".join(declared) or "none"),
            )
    for name, parameter in declared.items():
        if name not in parameters:
            raise InvalidInput(f"the parameter {name!r} is missing", hint="give it a value")
        _verify_value(parameter_of(parameter), parameters[name])
    return BoundPlan(plan, tuple((name, parameters[name]) for name in sorted(declared)))


def _verify_value(parameter: Parameter, value: ParameterValue) -> None:
    name = parameter.name
    if parameter.kind is Kind.BOOLEAN:
        if type(value) is not bool:
            raise InvalidInput(f"the parameter {name!r} is no truth value", hint="true or false")
    elif parameter.kind is Kind.LEVEL:
        if type(value) is not str or value not in parameter.levels:
            raise InvalidInput(
                f"the parameter {name!r} is not one of its levels",
                hint="levels are: " + ", ".join(parameter.levels[:20]),
            )
    elif type(value) is not int or not parameter.low <= value <= parameter.high:
        unit = f" in units of 10**-{parameter.scale}" if parameter.scale else ""
        raise InvalidInput(
            f"the parameter {name!r} is out of its range",
            hint=f"give a whole number from {parameter.low} to {parameter.high}{unit}",
        )


class _Planner:
    """One use: reads a statement from FROM to the output columns."""

    def __init__(
        self,
        reading: Reading,
        statement: Statement,
        tables: Sequence[TableContract],
        holders: int,
        policy: OutputPolicy | None,
    ) -> None:
        self._reading = reading
        self._statement = statement
        self._holders = holders
        self._contracts, self._using = self._sources(tables)
        # Everybody is in a join at most once, and known to each of its holders.
        self._max_rows = min(contract.max_rows for contract in self._contracts)
        self._policy = policy
        parameters = {p.name: parameter_of(p) for p in statement.parameters}
        self._scalar = Translator(reading, self._contracts, parameters)
        self._measures = Measures(self._max_rows)
        self._translator = OutputTranslator(reading, self._scalar, self._measures)

    def plan(self) -> Plan:
        select = self._reading.select
        only(self._reading, select, "expressions", "from_", "where", "group", "joins")
        where = select.args.get("where")
        condition = None if where is None else self._scalar.condition(where.this)
        if self._joined:
            self._scalar.assume_present(present_columns(condition))
        keys = self._keys()
        dimensions = [self._dimension(node, expr) for node, expr in keys]
        outputs = self._outputs([expr for _, expr in keys])
        self._verify_grid(dimensions, len(outputs) - len(keys))
        self._verify_parameters_used()
        dimensions = [
            dataclasses.replace(d, label=self._label(i, outputs)) for i, d in enumerate(dimensions)
        ]
        conditions = [c for c in (condition, *self._translator.conditions) if c is not None]
        arguments = self._translator.arguments
        cases = [e for e in arguments if isinstance(e, Case)]
        branch_conditions = [branch.condition for case in cases for branch in case.branches]
        # A CASE measures what it yields; what it looks at to choose rows filters.
        measured = [e for e in arguments if not isinstance(e, Case)]
        measured += [value for case in cases for value in case.values]
        counts, values = self._measures.counts(), tuple(self._measures.values)
        noise = self._noise([1] * len(counts) + [value.expr.size for value in values])
        planned = Plan(
            statement=self._statement,
            table=" JOIN ".join(contract.name for contract in self._contracts),
            max_rows=self._max_rows,
            holders=self._holders,
            where=condition,
            dimensions=tuple(dimensions),
            counts=counts,
            values=values,
            outputs=tuple(outputs),
            count_width=self._width([1], noise),
            value_width=self._width([v.expr.size for v in values], noise, len(counts)),
            key_columns=_names([d.expr for d in dimensions]),
            filter_columns=_names([*conditions, *branch_conditions]),
            measure_columns=_names(measured),
            joined=tuple(contract.name for contract in self._contracts) if self._joined else (),
            using=self._using,
        )
        self._verify_unit(planned)
        planned = dataclasses.replace(planned, evidence=self._evidence(), noise=noise)
        grades = tuple((c, self._grade(c)) for c in planned.columns)
        planned = dataclasses.replace(planned, grades=grades)
        self._verify_vectors(planned)
        return planned

    @property
    def _joined(self) -> bool:
        return len(self._contracts) > 1

    def _grade(self, name: str) -> Grade:
        if not self._joined:
            return self._contracts[0].column(name).grade
        table, _, column = name.partition(".")
        (contract,) = [contract for contract in self._contracts if contract.name == table]
        return contract.column(column).grade

    def _noise(self, contributions: list[int]) -> Noise | None:
        """The noise of all measures; each bounds what one row adds, at most, in absolute value."""
        if self._policy is None or self._policy.privacy is None:
            return None
        if self._joined:
            raise SqlError(
                "noise is not supported over joins",
                hint="leave out privacy, or ask one table that all holders have",
            )
        if self._policy.privacy.unit not in ("", self._contracts[0].unit):
            raise SqlError(
                f"{self._contracts[0].name}: its unit is not {self._policy.privacy.unit}, whose "
                "presence the noise hides",
                hint="write unit: of the table contract there, or unit: row",
            )
        try:
            return noise_of(self._policy.privacy, [max(most, 1) for most in contributions])
        except ValueError as error:
            raise SqlError(
                str(error), hint="declare tighter min/max, fewer decimals, or a larger epsilon"
            ) from None

    def _evidence(self) -> Evidence:
        # Of a join nodes see no rows together: there is nothing that they could find besides.
        # And evidence is exact: beside noise none leaves a node.
        if self._policy is None or self._policy.privacy is not None or self._joined:
            return evidences.NONE
        (contract,) = self._contracts
        return Evidence(
            unit=contract.unit,
            units_apart=contract.units_apart,
            smallest=self._policy.min_count_per_holder > 0,
            contributions=self._policy.dominance is not None,
        )

    def _verify_unit(self, planned: Plan) -> None:
        unit = "" if self._joined else self._contracts[0].unit
        if unit in planned.columns:
            self._reading.refuse(
                self._reading.select,
                f"{unit} says whom a row is about, so no statement uses it",
                "the software counts people with it; ask for columns that describe them",
                unit,
            )

    # --- FROM ---

    def _sources(self, tables: Sequence[TableContract]) -> tuple[tuple[TableContract, ...], str]:
        """The tables that the statement reads, and the identifier by which it joins them."""
        select = self._reading.select
        source = select.args.get("from_")
        declared = {table.name: table for table in tables}
        if source is None:
            hint = "write FROM and one of: " + ", ".join(declared)
            self._reading.refuse(select, "the statement reads no table", hint, "SELECT")
        only(self._reading, source, "this")
        contract = self._table(source, source.this, declared)
        joins = select.args.get("joins") or []
        if not contract.vertical:
            if joins:
                self._refuse_join(joins[0])
            return (contract,), ""
        if not joins:
            others = [t.name for t in tables if t.vertical and t.holders != contract.holders]
            self._reading.refuse(
                source.this,
                f"{contract.name} is known to {contract.holders[0]} alone, so a result over it "
                "would be that holder's own data",
                "join what another holder knows of the same people: "
                f"FROM {contract.name} JOIN {next(iter(others), 'other')} USING "
                f"({_identifier(contract).name})",
                contract.name,
            )
        return self._joined_tables(contract, joins, declared)

    def _refuse_join(self, join: exp.Expression) -> NoReturn:
        self._reading.refuse(
            join,
            "a join is not supported",
            "one statement asks one table; the holders' rows are already taken together",
            ",",
        )

    def _joined_tables(
        self,
        first: TableContract,
        joins: Sequence[exp.Expression],
        declared: Mapping[str, TableContract],
    ) -> tuple[tuple[TableContract, ...], str]:
        using = _identifier(first).name
        hint = f"write FROM {first.name} JOIN other USING ({using})"
        found = [first]
        for join in joins:
            if join.args.get("kind") not in (None, "", "INNER") or not join.args.get("using"):
                self._reading.refuse(join, "tables are joined by an identifier", hint, "JOIN")
            only(self._reading, join, "this", "using", "kind")
            contract = self._table(join, join.this, declared)
            named = [str(node.name).lower() for node in join.args["using"]]
            if not contract.vertical or named != [using] or _identifier(contract).name != using:
                own = contract.identifier.name if contract.identifier else "no identifier"
                self._reading.refuse(
                    join,
                    f"{first.name} and {contract.name} are not joined by their identifiers",
                    f"{hint}; {first.name} has {using}, {contract.name} has {own}",
                    contract.name,
                )
            self._verify_joinable(join, found, contract)
            found.append(contract)
        return tuple(found), using

    def _verify_joinable(
        self, join: exp.Expression, found: Sequence[TableContract], contract: TableContract
    ) -> None:
        for other in found:
            if other.name == contract.name or other.holders == contract.holders:
                self._reading.refuse(
                    join,
                    f"{contract.name} and {other.name} are both at {contract.holders[0]}",
                    "that holder joins them itself: let it offer them as one table",
                    contract.name,
                )
            mine, others = (_identifier(c).identifier for c in (contract, other))
            if mine is None or others is None or not mine.same_people(others):
                self._reading.refuse(
                    join,
                    f"{other.name} and {contract.name} declare different forms of their "
                    "identifiers, so the same person would not be found",
                    "declare the same kind, case and separators in both tables",
                    contract.name,
                )
        if len(found) >= MAX_JOINED:
            self._reading.refuse(
                join, f"a join has at most {MAX_JOINED} tables", "join fewer tables", "JOIN"
            )

    def _table(
        self, source: exp.Expression, table: exp.Expression, declared: Mapping[str, TableContract]
    ) -> TableContract:
        hint = "write FROM and one of: " + ", ".join(declared)
        if type(table) is not exp.Table or type(table.this) is not exp.Identifier:
            self._reading.refuse(source, "FROM names one table of the scenario", hint, "FROM")
        if table.args.get("joins"):
            self._refuse_join(table.args["joins"][0])
        for part, what in (("alias", "a table alias"), ("db", "a qualified table name")):
            if table.args.get(part) is not None:
                self._reading.refuse(table, f"{what} is not supported", hint, table.name)
        only(self._reading, table, "this")
        name = table.name if table.this.args.get("quoted") else table.name.lower()
        if name not in declared:
            self._reading.refuse(
                table, f"the scenario has no table {table.name!r}", hint, table.name
            )
        return declared[name]

    # --- GROUP BY ---

    def _keys(self) -> list[tuple[exp.Expression, Expr]]:
        group = self._reading.select.args.get("group")
        if group is None:
            return []
        only(self._reading, group, "expressions")
        keys: list[tuple[exp.Expression, Expr]] = []
        for node in group.expressions:
            resolved = self._resolve(unwrap(node))
            expr = self._key(resolved)
            if any(expr == other for _, other in keys):
                self._reading.refuse(node, "a group key appears twice", "name it once", "GROUP BY")
            keys.append((resolved, expr))
        return keys

    def _resolve(self, node: exp.Expression) -> exp.Expression:
        """The key that an ordinal or alias stands for; a column goes before an alias, as in SQL."""
        items = self._reading.select.expressions
        if type(node) is exp.Literal:
            text = node.this
            if node.args["is_string"] or not text.isdigit() or not 1 <= int(text) <= len(items):
                self._reading.refuse(
                    node,
                    f"GROUP BY {text} is no position in the SELECT list",
                    f"positions are 1 to {len(items)}",
                    text,
                )
            return _unaliased(items[int(text) - 1])
        if type(node) is exp.Column and not self._scalar.is_column(node):
            for item in items:
                if type(item) is exp.Alias and item.alias.lower() == node.name.lower():
                    return _unaliased(item)
        return node

    def _key(self, node: exp.Expression) -> Expr:
        expr = self._scalar.maybe_case(node)
        if expr is None or isinstance(expr, (Number, Text, Truth, Parameter)):
            self._reading.refuse(
                node, "a group key is not a constant", "group by a column or leave it out"
            )
        if expr.kind is Kind.NUMBER and expr.scale:
            self._reading.refuse(
                node,
                "a decimal is no group key: it has too many values",
                "make bins: GROUP BY CASE WHEN x < 10 THEN 'below 10' ELSE '10 or more' END",
            )
        return expr

    def _dimension(self, node: exp.Expression, expr: Expr) -> Dimension:
        values: tuple[DimensionValue, ...]
        if expr.kind is Kind.BOOLEAN:
            values = (False, True)
        elif expr.kind is Kind.LEVEL:
            values = expr.levels
            if OTHER in values or any(not _is_label(level) for level in values):
                self._reading.refuse(
                    node,
                    "a label is one line of 1 to 200 characters, not __other__",
                    "rename it",
                    "CASE",
                )
        else:
            values = self._integers(node, expr)
        return Dimension("", expr, values, expr.nullable, expr.open)

    def _integers(self, node: exp.Expression, expr: Expr) -> tuple[int, ...]:
        if isinstance(expr, Case) and all(isinstance(v, Number) for v in expr.values):
            return tuple(sorted({value.low for value in expr.values}))
        if expr.high - expr.low >= MAX_KEY_VALUES:
            self._reading.refuse(
                node,
                f"the group key can take {expr.high - expr.low + 1} values; at most "
                f"{MAX_KEY_VALUES} are supported",
                "declare tighter min/max or group by x // 10",
            )
        return tuple(range(expr.low, expr.high + 1))

    def _verify_grid(self, dimensions: list[Dimension], measures: int) -> None:
        cells = math.prod(dimension.slots for dimension in dimensions)
        if cells > MAX_CELLS:
            self._reading.refuse(
                self._reading.select.args["group"],
                f"the statement has {cells} cells; at most {MAX_CELLS} are supported",
                "declare tighter min/max, group by x // 10, or use fewer keys",
                "GROUP BY",
            )
        width = sum(_text_bytes(d) for d in dimensions) + measures * (NUMBER_BYTES + 4)
        if cells * width > MAX_RESULT_BYTES:
            self._reading.refuse(
                self._reading.select.args["group"],
                f"the result can take {cells * width} bytes; at most {MAX_RESULT_BYTES} are "
                "supported",
                "ask for fewer keys or fewer output columns per statement",
                "GROUP BY",
            )

    def _verify_vectors(self, planned: Plan) -> None:
        """What a holder sends in each round fits a message."""
        vectors = (
            (planned.cells * planned.round_one, planned.count_width),
            (planned.cells * len(planned.values), planned.value_width),
        )
        largest = max(count * (width + MAX_GUARD_BITS) // 8 for count, width in vectors)
        if largest > MAX_VECTOR_BYTES:
            self._reading.refuse(
                self._reading.select,
                f"{planned.cells} cells with {planned.round_one} counts and flags and "
                f"{len(planned.values)} sums each are {largest} bytes; at most {MAX_VECTOR_BYTES} "
                "are supported",
                "ask for fewer keys, branches or output columns per statement",
                "SELECT",
            )

    # --- SELECT list ---

    def _outputs(self, keys: list[Expr]) -> list[OutputColumn]:
        outputs: list[OutputColumn] = []
        seen: set[str] = set()
        items = self._reading.select.expressions
        given = {item.alias.lower() for item in items if type(item) is exp.Alias}
        for index, item in enumerate(self._reading.select.expressions):
            node = _unaliased(item)
            key = self._key_of(node, keys)
            name = self._name(item, node, index)
            if type(item) is not exp.Alias:
                name = _unused(name, seen | given)
            found = self._of_item(name, node, key)
            for output in found:
                if output.name.lower() in seen:
                    self._reading.refuse(
                        item.args.get("alias") or item,
                        f"two output columns are called {output.name}",
                        "give each its own AS name",
                        output.name,
                    )
                seen.add(output.name.lower())
            outputs += found
        for index in range(len(keys)):
            if all(output.key != index for output in outputs):
                self._reading.refuse(
                    self._reading.select.args["group"],
                    "a group key is missing in the SELECT list",
                    "select every key, so that each row says which cell it is",
                    "GROUP BY",
                )
        if all(output.formula is None for output in outputs):
            self._reading.refuse(
                self._reading.select,
                "the SELECT list has no aggregate",
                "results are aggregates per group: add COUNT(*), SUM(x), AVG(x) …",
                "SELECT",
            )
        return outputs

    def _of_item(self, name: str, node: exp.Expression, key: int | None) -> list[OutputColumn]:
        """The output columns of an item: one, or the two ends of a percentile."""
        if key is not None:
            return [OutputColumn(name, key=key)]
        found = self._translator.outputs(node)
        for ending, formula in found:
            if isinstance(formula, PercentileBound):
                self._verify_percentile(node, name + ending)
            if not all_terms(formula):
                self._reading.refuse(
                    node, "a constant is no output", "select group keys and aggregates"
                )
        return [OutputColumn(name + ending, formula=formula) for ending, formula in found]

    def _verify_percentile(self, node: exp.Expression, name: str) -> None:
        if not _ALIAS.fullmatch(name):
            self._reading.refuse(node, f"{name!r} is too long a column name", "shorten it", name)
        if self._joined:
            self._reading.refuse(
                node,
                "percentiles over a join are not supported",
                "a join has counts and sums; ask the holder of the number for its own percentiles",
                PERCENTILE,
            )
        if self._policy is not None and self._policy.privacy is not None:
            self._reading.refuse(
                node,
                "percentiles with noise are not supported: no interval would be certain",
                "count per bin: GROUP BY CASE WHEN x < 10 THEN 'below 10' … END",
                PERCENTILE,
            )

    def _key_of(self, node: exp.Expression, keys: list[Expr]) -> int | None:
        """The index of the group key that an item of the SELECT list is."""
        if not keys or node.find(exp.AggFunc, exp.Anonymous) or type(node) is exp.Round:
            return None
        if type(node) is exp.Column and not self._scalar.is_column(node):
            return None
        if type(node) in (exp.Column, exp.Case, exp.Mod, exp.IntDiv) or any(
            type(found) is exp.Column for found in node.walk()
        ):
            expr = self._scalar.maybe_case(node)
            for index, key in enumerate(keys):
                if key == expr:
                    return index
        return None

    def _name(self, item: exp.Expression, node: exp.Expression, index: int) -> str:
        if type(item) is exp.Alias:
            only(self._reading, item, "this", "alias")
            name: str = item.alias
            if not _ALIAS.fullmatch(name):
                self._reading.refuse(
                    item.args.get("alias") or item,
                    f"{name!r} is no column name",
                    "use letters, digits, underscores",
                    name,
                )
            return name
        if type(node) is exp.Column and type(node.this) is exp.Identifier:
            return str(node.name).lower()
        found = node.this if type(node) is exp.Filter else node
        if is_percentile(found):
            first = found.expressions[0] if found.expressions else None
            return f"percentile_{first.name.lower()}" if type(first) is exp.Column else "percentile"
        if isinstance(found, exp.AggFunc):
            inner = found.args.get("this")
            suffix = f"_{inner.name.lower()}" if type(inner) is exp.Column else ""
            if _ALIAS.fullmatch(found.key + suffix):
                return f"{found.key}{suffix}"
        return f"column_{index + 1}"

    def _label(self, index: int, outputs: list[OutputColumn]) -> str:
        return next(output.name for output in outputs if output.key == index)

    # --- the whole ---

    def _verify_parameters_used(self) -> None:
        for parameter in self._statement.parameters:
            if parameter.name not in self._scalar.used_parameters:
                raise SqlError(
                    f"the parameter {parameter.name!r} is declared but not used",
                    hint=f"write :{parameter.name} in the statement, or drop it",
                    construct=parameter.name,
                )

    def _width(self, sizes: list[int], noise: Noise | None, first: int = 0) -> int:
        """Of slots for measures from the ``first`` on, to each of which a row adds such a size."""
        parts = [max(size, 1) * self._max_rows for size in sizes or [1]]
        if noise is not None:
            parts = [part + noise.tail(first + i) for i, part in enumerate(parts[: len(sizes)])]
        bound = max(parts, default=1) * (1 if self._joined else self._holders)
        for width in WIDTHS:
            if bound < 2 ** (width - 1):
                return width
        raise SqlError(
            "a sum over all holders can become too large for any slot",
            hint="declare tighter min/max, fewer decimals or a smaller max_rows",
        )


def _identifier(contract: TableContract) -> scenario.Column:
    if contract.identifier is None:
        raise AssertionError("unreachable: only vertical tables are joined")
    return contract.identifier


def present_columns(condition: Expr | None) -> tuple[Column, ...]:
    """The columns that are not NULL wherever the condition holds, as far as it says so itself."""
    items = condition.items if isinstance(condition, And) else (condition,)
    found = (None if item is None else _missing(item) for item in items)
    return tuple(column for column in found if column is not None)


def _unused(name: str, taken: set[str]) -> str:
    """A derived name, with a number if it is taken."""
    number, found = 1, name
    while found.lower() in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _unaliased(item: exp.Expression) -> exp.Expression:
    return unwrap(item.this if type(item) is exp.Alias else item)


def _text_bytes(dimension: Dimension) -> int:
    """Bytes of the longest key text in a result table, with quotes, comma and state."""
    if dimension.kind is Kind.NUMBER:
        return max(len(str(dimension.values[i])) for i in (0, -1)) + 4
    return max(len(str(value).encode()) for value in dimension.values) + 4


def _is_label(text: str) -> bool:
    return 0 < len(text) <= 200 and "\n" not in text and "\t" not in text


def _names(exprs: Sequence[Expr]) -> tuple[str, ...]:
    found: set[Column] = set()
    for expr in exprs:
        found |= columns_of(expr)
    return tuple(sorted(column.name for column in found))


def _missing(condition: Expr) -> Column | None:
    """The column of ``column IS NOT NULL``."""
    if isinstance(condition, Not) and isinstance(condition.operand, IsNull):
        operand = condition.operand.operand
        return operand if isinstance(operand, Column) else None
    return None


def _count_sql(condition: Expr | None, text: Callable[[Expr], str]) -> str:
    if condition is None:
        return "COUNT(*)"
    column = _missing(condition)
    if column is not None:
        return f"COUNT({render(column)})"  # the same, and engines are faster at it
    return f"COUNT(*) FILTER (WHERE {text(condition)})"


def _sum_sql(expr: Expr, condition: Expr | None, text: Callable[[Expr], str]) -> str:
    # SUM leaves out rows where its argument is NULL by itself.  An empty sum is NULL; the partial
    # of an empty group is zero.
    items = condition.items if isinstance(condition, And) else (condition,)
    implied = columns_of(expr)
    kept = [item for item in items if item is not None and _missing(item) not in implied]
    rest = conjunction(tuple(kept))
    filtered = "" if rest is None else f" FILTER (WHERE {text(rest)})"
    return f"COALESCE(SUM({text(expr)}){filtered}, 0)"


def _node_sql(planned: Plan, constants: dict[str, Expr]) -> str:
    def text(expr: Expr) -> str:
        return render(substitute(expr, constants) if constants else expr)

    keys = [f"{text(d.expr)} AS key_{i}" for i, d in enumerate(planned.dimensions)]
    counts = [_count_sql(count.condition, text) for count in planned.counts]
    values = [
        _sum_sql(value.expr, planned.counts[value.support].condition, text)
        for value in planned.values
    ]
    sizes = _sizes(planned, text)
    if planned.evidence.unit:
        return _unit_sql(planned, keys, counts, values, sizes, text)
    items = [*keys, *_named("count", counts), *_named("value", values)]
    return _select([*items, *evidences.size_columns(sizes)], planned, len(keys), text)


def _select(
    items: list[str], planned: Plan, keys: int, text: Callable[[Expr], str], indent: str = ""
) -> str:
    source = [f"FROM {quote_name(SOURCE)}"]
    if planned.where is not None:
        source.append(f"WHERE {text(planned.where)}")
    if planned.noise is not None and planned.noise.unit:
        source = _bounded(planned, planned.noise, source)
    lines = ["SELECT " + f",\n{indent}       ".join(items), *source]
    return f"\n{indent}".join(lines + _grouped(keys))


def _bounded(planned: Plan, noise: Noise, source: list[str]) -> list[str]:
    """Of the rows that count, the first few of each unit (clause D-2).

    In the order of the columns that are read, so that which rows of a unit enter depends on its own
    rows alone: then all that one unit changes is these rows.
    """
    columns = [quote_name(name) for name in planned.columns]
    others = ", ".join(name for name in columns if name != quote_name(noise.unit)) or "1"
    place = f'ROW_NUMBER() OVER (PARTITION BY {quote_name(noise.unit)} ORDER BY {others}) AS "_row"'
    inner = [f"    SELECT {', '.join([*columns, place])}", *(f"    {line}" for line in source)]
    return ["FROM (", *inner, '  ) AS "_rows"', f'WHERE "_row" <= {noise.max_rows}']


def _grouped(keys: int) -> list[str]:
    return ["GROUP BY " + ", ".join(str(i + 1) for i in range(keys))] if keys else []


def _named(name: str, items: list[str]) -> list[str]:
    return [f"{item} AS {name}_{i}" for i, item in enumerate(items)]


def _unit_sql(
    planned: Plan,
    keys: list[str],
    counts: list[str],
    values: list[str],
    sizes: list[Size],
    text: Callable[[Expr], str],
) -> str:
    """First per unit, then over units."""
    unit = f"{quote_name(planned.evidence.unit)} AS unit"
    inner = [*keys, unit, *_named("rows", counts), *_named("sum", values)]
    inner += evidences.unit_totals(sizes)
    outer = evidences.over_units(len(keys), len(counts), len(values), planned.rests, len(sizes))
    lines = ["SELECT " + ",\n       ".join(outer), "FROM ("]
    lines.append("  " + _select(inner, planned, len(keys) + 1, text, "  "))
    return "\n".join([*lines, ")", *_grouped(len(keys))])


def _sizes(planned: Plan, text: Callable[[Expr], str]) -> list[Size]:
    """The sums of which contributions are looked at: values, then their differences."""
    if not planned.evidence.contributions:
        return []
    conditions = [
        "" if count.condition is None else text(count.condition) for count in planned.counts
    ]
    found = []
    for value in planned.values:
        number = text(value.expr)
        number = number if value.expr.low >= 0 else f"ABS({number})"
        found.append(Size(number, conditions[value.support]))
    for part, whole in planned.differences:
        inside = conditions[planned.values[whole].support]
        left_out = f"NOT COALESCE({conditions[planned.values[part].support]}, FALSE)"
        rows = f"{inside} AND {left_out}" if inside else left_out
        found.append(Size(found[part].number, rows))
    return found
