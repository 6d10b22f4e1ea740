"""The approval report: what one holder reads, and whose digest it signs.

A deterministic text about one scenario for one holder: who asks and why, which SQL runs on *this
holder's* node, the role and grade of each of its columns, what leaves, thresholds, how often, until
when, what is different from an earlier version, and typed warnings.  Same scenario, same holder,
same text, byte for byte: no clock, no data, no randomness; what it says of the earlier version
follows from that one's sealed text, of how long it is valid from the proposal in the log.  The text
is for a terminal: plain characters, no colours.  An authority reads what the holders read for whom
it speaks (:func:`authority_report`).

Not here: signing (the holder's own command does that) and judging the scenario: warnings name what
a reader should weigh, the reader decides.

Nothing in a scenario can pass itself off as the report: what its author wrote stands quoted behind
a bar, wrapped here so that no terminal wraps it, and cannot contain control or invisible characters
(:data:`stayput.scenario.UNSHOWABLE`).
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from stayput import documents
from stayput.differencing import audit
from stayput.disclosure import defaults
from stayput.disclosure.wording import policy_sentences
from stayput.errors import PermissionDenied, RuleViolation, SqlError, VerificationError
from stayput.finishing import noise_error
from stayput.privacy import PICO, USUAL_DELTA, epsilon_of, run_cost
from stayput.scenario import (
    BUDGET_UNIT,
    DELTA_UNIT,
    Authority,
    Column,
    ColumnRole,
    ColumnType,
    Grade,
    NoiseMechanism,
    Outside,
    Parameter,
    Privacy,
    Scenario,
    TableContract,
)
from stayput.sql import Plan, plan
from stayput.sql.formulas import Formula, Mean, Total
from stayput.steps import Waiver
from stayput.versions import Difference, differences, loosened, lowered_grades
from stayput.vertical.models import ModelQuestion, ask_model
from stayput.vertical.plan import plan_join
from stayput.vertical.questions import JoinQuestion, ask
from stayput.vertical.wording import (
    identifier_words,
    join_sentences,
    model_sentences,
    of_this_holder,
)

WIDTH = 96
"""Columns of the report; longer quoted lines are wrapped with a mark."""

USUAL_MIN_COUNT = defaults.MIN_COUNT
USUAL_MIN_HOLDERS = defaults.MIN_HOLDERS
MANY_CELLS = 1_000  # more than a person looks through before release
MUCH_EPSILON = 10  # e**10 is 22,026: hardly a promise any more
MANY_RUNS = 100  # several a week for a year: more a service than a question
LONG_DAYS = 400  # a year, and some weeks to begin it: later, people and purposes have changed
DAY_SECONDS = 86_400


class ApprovalWarning(enum.Enum):
    """What a holder should weigh before it approves; each comes with its parameters."""

    TWO_HOLDERS_ONLY = 1
    MIN_HOLDERS_TWO = 2
    MIN_COUNT_LOW = 3
    SENSITIVE_COLUMN_USED = 4
    MANY_CELLS = 5
    MANY_RUNS = 6
    PARAMETRISED_FILTER = 7
    FILTERED_COUNTS = 8
    SEVERAL_STATEMENTS = 9
    CLIPPED_VALUES = 10
    UNUSED_COLUMN = 11
    NO_DOMINANCE_RULE = 12
    NO_GROUP_RULE = 13
    ZEROS_RELEASED = 14
    PEOPLE_JOINED = 15
    SIZE_SHOWN = 16
    SENSITIVE_COLUMN_MODELLED = 17
    NOISE_COSTS_MUCH = 18
    NOISE_HIDES_ROWS_ONLY = 19
    NOISE_OF_ONE_HOLDER = 20
    NOISE_DROWNS = 21
    RUN_MAY_BE_REFUSED = 22
    NO_DIFFERENCE_RULE = 23
    RELEASED_UNSEEN = 24
    VALID_LONG = 25
    NEW_VERSION = 26
    VERSION_UNKNOWN = 27
    PROTECTION_LOWERED = 28
    GRADE_LOWERED = 29


_SENTENCES: Mapping[ApprovalWarning, str] = {
    ApprovalWarning.TWO_HOLDERS_ONLY: (
        "Only two holders take part: from every released sum the other one can subtract its own"
        " part and is left with yours."
    ),
    ApprovalWarning.MIN_HOLDERS_TWO: (
        "A cell of two holders may be released: each of the two can subtract its own part and is"
        " left with the other's."
    ),
    ApprovalWarning.MIN_COUNT_LOW: (
        "Cells of {min_count} rows may be released; usual is at least {usual}."
    ),
    ApprovalWarning.SENSITIVE_COLUMN_USED: (
        "The sensitive column {column} is used as {role} in {statement}."
    ),
    ApprovalWarning.MANY_CELLS: (
        "{statement} breaks the result down into {cells} cells: many will hold few people."
    ),
    ApprovalWarning.MANY_RUNS: (
        "{runs} runs are allowed: results of many runs over changing data can be compared."
    ),
    ApprovalWarning.PARAMETRISED_FILTER: (
        "The asker chooses the parameters of {statement} at each run ({combinations} combinations):"
        " the difference of two answers may describe few people."
    ),
    ApprovalWarning.FILTERED_COUNTS: (
        "{statement} counts parts of a cell: with the whole it gives away the rest as well (the"
        " rest is checked like the part)."
    ),
    ApprovalWarning.SEVERAL_STATEMENTS: (
        "{statements} statements ask the same table {table}: their answers can be combined, see"
        " section 6."
    ),
    ApprovalWarning.CLIPPED_VALUES: (
        "Values of {column} outside {low} to {high} are moved to the bound without a message."
    ),
    ApprovalWarning.NO_DOMINANCE_RULE: (
        "Dominance is not checked: a sum of which one contributor makes up 99 % may be released."
    ),
    ApprovalWarning.NO_GROUP_RULE: (
        "Group disclosure is not checked: that everybody of a group is in one category may be"
        " released."
    ),
    ApprovalWarning.ZEROS_RELEASED: (
        "Empty cells are shown as 0: that nobody is in a category is released."
    ),
    ApprovalWarning.PEOPLE_JOINED: (
        "{asked} finds the people whom {holders} all know, and describes them together: check that"
        " your people may be joined for this purpose."
    ),
    ApprovalWarning.SIZE_SHOWN: (
        "How many people are in {table} becomes known to the coordinator and to the other holders"
        " of a join; pad_to in the scenario would hide it."
    ),
    ApprovalWarning.SENSITIVE_COLUMN_MODELLED: (
        "The sensitive column {column} is part of the model {model}."
    ),
    ApprovalWarning.NOISE_COSTS_MUCH: (
        "All {runs} runs together cost an epsilon of {epsilon} at a delta of {delta}: who knows"
        " everything else may then tell for nearly sure whether somebody is in your data."
    ),
    ApprovalWarning.NOISE_HIDES_ROWS_ONLY: (
        "The noise hides one row, but rows of {table} are about a {unit}: somebody with ten rows is"
        " protected ten times less."
    ),
    ApprovalWarning.NOISE_OF_ONE_HOLDER: (
        "Each holder's noise hides somebody in that holder's own data: somebody known to all"
        " {holders} holders may be charged up to {holders} times the cost of a run."
    ),
    ApprovalWarning.NOISE_DROWNS: (
        "In {statement} the noise of a count is within ±{error}, more than the {min_count} rows of"
        " a cell that may be released: small cells say nothing."
    ),
    ApprovalWarning.RUN_MAY_BE_REFUSED: (
        "Values outside what is declared stop a run, which everybody sees: noise does not hide"
        " that. Moving them to the bound, or to __other__, would. So it is with {columns}."
    ),
    ApprovalWarning.NO_DIFFERENCE_RULE: (
        "Answers are not compared with each other when they are given: the difference of two may be"
        " about one row."
    ),
    ApprovalWarning.RELEASED_UNSEEN: (
        "No person sees results about the sensitive columns {columns} before they are released:"
        " the scenario asks for no review."
    ),
    ApprovalWarning.VALID_LONG: (
        "It is valid for {days} days after it was proposed: by then other people may be in the"
        " data, and other reasons behind the question."
    ),
    ApprovalWarning.NEW_VERSION: (
        "It is a new version of a scenario that you know: {differences} are different, see section"
        " {section}."
    ),
    ApprovalWarning.VERSION_UNKNOWN: (
        "It is a new version of a scenario in which you had no part: what is different cannot be"
        " shown to you. Read it as a new one."
    ),
    ApprovalWarning.PROTECTION_LOWERED: ("Less is asked for than in the earlier version: {rules}."),
    ApprovalWarning.GRADE_LOWERED: (
        "The column {column} was declared {before} in the earlier version, and is {now} now: what"
        " depends on its grade (your ceiling, review by persons) protects it less."
    ),
    ApprovalWarning.UNUSED_COLUMN: (
        "No statement uses the column {column}: there is no need to declare it."
    ),
}


@dataclasses.dataclass(frozen=True)
class TypedWarning:
    """One warning and what it is about."""

    kind: ApprovalWarning
    parameters: tuple[tuple[str, str | int], ...] = ()

    @property
    def sentence(self) -> str:
        """The warning for a person."""
        return _SENTENCES[self.kind].format(**dict(self.parameters))


@dataclasses.dataclass(frozen=True)
class ApprovalReport:
    """The text that ``reader``, a holder or an authority, reads; what it decides signs
    :attr:`digest`."""

    scenario: bytes
    nonce: bytes
    reader: str
    text: str
    warnings: tuple[TypedWarning, ...]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the scenario's nonce and exactly the text that was read.

        It stands in the log, where others could guess at the text but for the nonce.
        """
        return documents.digest_bytes(
            "stayput.v1.ApprovalReport", self.nonce + self.text.encode("utf-8")
        )


def approval_report(
    scenario: Scenario,
    holder: str,
    *,
    earlier: Scenario | None = None,
    proposed: int | None = None,
) -> ApprovalReport:
    """The report about ``scenario`` for ``holder``.

    Args:
        earlier: the scenario that it replaces, if the holder had a part in that one.
        proposed: when it was proposed, Unix seconds, as the log says; without it nothing is said
            of how long it is valid.

    Raises:
        PermissionDenied: the holder is not in the scenario.
        SqlError: a statement is outside the supported grammar, or uses a column against its role.
        VerificationError: ``earlier`` is not what it replaces.
    """
    if holder not in scenario.holders:
        raise PermissionDenied(f"{holder} is not a holder in {scenario.name}")
    if earlier is not None and earlier.digest != scenario.replaces:
        raise VerificationError("this is not the scenario that it is a new version of")
    plans = verify_roles(scenario)
    models = _models_of(scenario)
    changed = () if earlier is None else differences(earlier, scenario)
    warnings = (
        *_version_warnings(scenario, earlier, changed),
        *_warnings(scenario, plans, models, holder),
        *_validity_warnings(scenario, proposed),
    )
    lines: list[str] = []
    for section in (
        _head(scenario, holder),
        _who(scenario, holder, earlier),
        _warned(warnings),
        _limits(scenario),
        _columns(scenario, plans, models, holder),
        _statements(scenario, plans, models, holder),
        _together(plans),
        _released(scenario),
        _noise(scenario, plans),
        _changed(scenario, earlier, changed),
        _if_approved(scenario, holder, earlier),
    ):
        lines += [*section, ""] if section else []
    text = "\n".join(line.rstrip() for line in lines)
    return ApprovalReport(scenario.digest, scenario.nonce, holder, text, warnings)


def authority_report(
    scenario: Scenario,
    authority: str,
    *,
    earlier: Scenario | None = None,
    proposed: int | None = None,
) -> ApprovalReport:
    """The report about ``scenario`` for one of its authorities: what the holders read for whom it
    speaks, one report for all that have the same tables.

    Raises:
        PermissionDenied: it is no authority of the scenario.
        SqlError, VerificationError: see :func:`approval_report`; ``earlier`` is what the authority
            knows of it.
    """
    served = {one.name: one.holders for one in scenario.authorities}.get(authority)
    if served is None:
        raise PermissionDenied(f"{authority} is no authority of {scenario.name}")
    groups: dict[tuple[str, ...], list[str]] = {}
    for holder in served:
        tables = tuple(table.name for table in scenario.tables if holder in table.holders)
        groups.setdefault(tables, []).append(holder)
    reports = [
        (approval_report(scenario, first, earlier=earlier, proposed=proposed), rest)
        for first, *rest in groups.values()
    ]
    lines = _authority_head(scenario, authority, served)
    for report, rest in reports:
        lines += _wrapped(f"What follows is the report for {report.reader}. " + _alike(rest), "")
        lines += ["", report.text]
    warnings = dict.fromkeys(warning for report, _ in reports for warning in report.warnings)
    return ApprovalReport(
        scenario.digest, scenario.nonce, authority, "\n".join(lines), tuple(warnings)
    )


def _authority_head(scenario: Scenario, authority: str, served: Sequence[str]) -> list[str]:
    assert scenario.authorisation is not None  # it has an authority
    mode = scenario.authorisation.name.lower()
    title = f"AUTHORISATION REPORT FOR {authority}"
    return [
        title,
        "=" * len(title),
        "",
        *_pairs(
            [
                ("Scenario", scenario.name),
                ("Digest", scenario.digest.hex()),
                ("You speak", f"{mode}, for {', '.join(served)}"),
            ]
        ),
        "",
        *_wrapped(
            "You are asked to authorise the scenario besides its holders. You stand in for none of"
            " them: each decides for itself, and it is sealed only when all of them and every"
            " authority have agreed. If you refuse, it is over for everybody; if you withdraw"
            " later, it is closed for good and its open runs fail.",
            "",
        ),
        *_wrapped(
            f"You sign, with the key of {authority}, the digest of the scenario above and the"
            " digest of exactly this text, to its end.",
            "",
        ),
        "",
    ]


def _alike(holders: Sequence[str]) -> str:
    if not holders:
        return "You speak for nobody else with these tables."
    verb = "reads" if len(holders) == 1 else "read"
    return f"{', '.join(holders)} {verb} the same, but for the name."


def required_waivers(scenario: Scenario) -> tuple[Waiver, ...]:
    """The default protections that an approval of this scenario gives up explicitly."""
    return (Waiver.TWO_HOLDERS,) if scenario.output.min_holders < USUAL_MIN_HOLDERS else ()


# --- roles ----------------------------------------------------------------------------------------


def column_roles(planned: Plan) -> dict[str, tuple[ColumnRole, ...]]:
    """What a statement does with each column that it reads, by name."""
    used = (
        (ColumnRole.KEY, planned.key_columns),
        (ColumnRole.MEASURE, planned.measure_columns),
        (ColumnRole.FILTER, planned.filter_columns),
    )
    return {name: tuple(role for role, names in used if name in names) for name in planned.columns}


def declared_column(
    planned: Plan, name: str, tables: Sequence[TableContract]
) -> tuple[TableContract, Column]:
    """The declaration of a column that a plan reads; in a join its name is qualified."""
    table, column = name.split(".", 1) if planned.joined else (planned.table, name)
    contract = next(contract for contract in tables if contract.name == table)
    return contract, contract.column(column)


def role_violations(planned: Plan, tables: Sequence[TableContract]) -> list[tuple[str, str]]:
    """(column, what is wrong) wherever a statement does more with a column than its role allows."""
    wrong = []
    for name, roles in column_roles(planned).items():
        allowed = declared_column(planned, name, tables)[1].roles
        for role in roles:
            if allowed and role not in allowed:
                words = " or ".join(r.name.lower() for r in allowed)
                wrong.append(
                    (name, f"{name} is used as {role.name.lower()}, but its role is {words}")
                )
    return wrong


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """Section ``[ceiling]`` of ``stayput.toml``: how sensitive a column of this holder's may be,
    whatever a scenario asks, to be used as…"""

    key: Grade = Grade.SENSITIVE
    """…a group key: results are broken down by it."""

    measure: Grade = Grade.SENSITIVE
    """…a measure: it is counted, added up, averaged, or part of a model."""

    filter: Grade = Grade.SENSITIVE
    """…a filter: it decides which rows count."""


NO_CEILING = Ceiling()
"""Every grade in every role."""


def verify_ceiling(scenario: Scenario, holder: str, ceiling: Ceiling) -> Scenario:
    """A scenario that uses this holder's columns no further than it allows; returns it.

    Raises:
        RuleViolation: a column is used as what its grade forbids; says all of them.
        SqlError: as :func:`verify_roles`.
    """
    above: list[str] = []
    for planned in verify_roles(scenario):
        for name, roles in column_roles(planned).items():
            contract, column = declared_column(planned, name, scenario.tables)
            if holder in contract.holders:
                above += _above(planned.statement.name, column, roles, ceiling)
    for model in scenario.models:
        for table in scenario.tables:
            if holder in table.holders and table.name in model.tables:
                used = {model.target, *model.predictors}
                for column in table.columns:
                    if column.name in used or f"{table.name}.{column.name}" in used:
                        above += _above(model.name, column, (ColumnRole.MEASURE,), ceiling)
    if above:
        raise RuleViolation(
            "the scenario goes above this holder's ceiling: " + "; ".join(above),
            clause="S-6",
            hint="refuse it, or agree on [ceiling] in stayput.toml first",
        )
    return scenario


def _above(
    asking: str, column: Column, roles: Iterable[ColumnRole], ceiling: Ceiling
) -> Iterator[str]:
    for role in roles:
        highest: Grade = getattr(ceiling, role.name.lower())
        if column.grade.value > highest.value:
            yield (
                f"{asking} uses {column.name} ({column.grade.name.lower()}) as a"
                f" {role.name.lower()}, at most {highest.name.lower()} is allowed"
            )


def verify_roles(scenario: Scenario) -> tuple[Plan, ...]:
    """Every statement, and every model, keeps to the declared roles of the columns.

    Returns:
        The plans of the statements, in order.

    Raises:
        SqlError: a statement is outside the supported grammar, a model does not fit its tables, or
            one of them does not keep to the roles.
    """
    plans = tuple(
        plan(s, scenario.tables, len(scenario.holders), scenario.output)
        for s in scenario.statements
    )
    for planned in plans:
        for name, message in role_violations(planned, scenario.tables):
            raise SqlError(f"{planned.statement.name}: {message}", construct=name)
        if planned.joined:
            question = ask(planned, scenario.tables, scenario.output)
            plan_join(question, scenario.tables, scenario.run_key_bits)
    for model in scenario.models:
        modelled = ask_model(model, scenario.tables, scenario.output)
        plan_join(modelled, scenario.tables, scenario.run_key_bits)
    return plans


def _models_of(scenario: Scenario) -> tuple[ModelQuestion, ...]:
    return tuple(ask_model(m, scenario.tables, scenario.output) for m in scenario.models)


def _all_roles(
    scenario: Scenario, plans: Sequence[Plan], models: Sequence[ModelQuestion]
) -> dict[tuple[str, str], str]:
    """Roles over all statements and models in words, by (table, column) if it is used."""
    found: dict[tuple[str, str], set[ColumnRole]] = {}
    for planned in plans:
        for name, roles in column_roles(planned).items():
            table, column = declared_column(planned, name, scenario.tables)
            found.setdefault((table.name, column.name), set()).update(roles)
        for name in planned.joined:
            found[name, planned.using] = set()
    for model in models:
        for table_name, column_name in _modelled(model):
            found.setdefault((table_name, column_name), set()).add(ColumnRole.MEASURE)
        for name in model.model.tables:
            found[name, model.model.using] = set()
    return {key: _role_words(roles) for key, roles in found.items()}


# --- warnings -------------------------------------------------------------------------------------


def _modelled(model: ModelQuestion) -> list[tuple[str, str]]:
    """(table, column) of everything in a model, each once."""
    names = dict.fromkeys(term.of for term in (model.target, *model.terms) if term.of)
    return [(table, column) for table, _, column in (name.partition(".") for name in names)]


def _warnings(
    scenario: Scenario, plans: Sequence[Plan], models: Sequence[ModelQuestion], holder: str
) -> Iterator[TypedWarning]:
    if len(scenario.holders) == 2:
        yield TypedWarning(ApprovalWarning.TWO_HOLDERS_ONLY)
    elif scenario.output.min_holders < USUAL_MIN_HOLDERS:
        yield TypedWarning(ApprovalWarning.MIN_HOLDERS_TWO)
    if scenario.output.min_count < USUAL_MIN_COUNT:
        yield _warning(
            ApprovalWarning.MIN_COUNT_LOW,
            min_count=scenario.output.min_count,
            usual=USUAL_MIN_COUNT,
        )
    yield from _policy_warnings(scenario)
    yield from _noise_warnings(scenario, plans)
    for planned in plans:
        yield from _statement_warnings(planned, scenario.tables)
    yield from _join_warnings(scenario, plans, models, holder)
    roles = _all_roles(scenario, plans, models)
    for name, asking in collections.Counter(planned.table for planned in plans).items():
        if asking > 1:
            yield _warning(ApprovalWarning.SEVERAL_STATEMENTS, statements=asking, table=name)
    yield from _unseen_warnings(scenario, roles)
    for table in scenario.tables:
        yield from _column_warnings(table, roles)
    if scenario.limits.runs > MANY_RUNS:
        yield _warning(ApprovalWarning.MANY_RUNS, runs=scenario.limits.runs)


def _join_warnings(
    scenario: Scenario, plans: Sequence[Plan], models: Sequence[ModelQuestion], holder: str
) -> Iterator[TypedWarning]:
    """What a join means to this holder; other holders have their own report."""
    own = [table for table in scenario.tables if table.vertical and holder in table.holders]
    asked = [(planned.statement.name, planned.joined) for planned in plans]
    asked += [(model.model.name, model.model.tables) for model in models]
    for name, joined in asked:
        if any(table.name in joined for table in own):
            holders = ", ".join(scenario.table(table).holders[0] for table in joined)
            yield _warning(ApprovalWarning.PEOPLE_JOINED, asked=name, holders=holders)
    for table in own:
        if not table.pad_to:
            yield _warning(ApprovalWarning.SIZE_SHOWN, table=table.name)
    for model in models:
        for table_name, column in _modelled(model):
            if scenario.table(table_name).column(column).grade is Grade.SENSITIVE:
                yield _warning(
                    ApprovalWarning.SENSITIVE_COLUMN_MODELLED,
                    column=f"{table_name}.{column}",
                    model=model.model.name,
                )


def _policy_warnings(scenario: Scenario) -> Iterator[TypedWarning]:
    if scenario.output.privacy is not None:
        return  # noise stands in for these rules
    if scenario.output.dominance is None:
        yield TypedWarning(ApprovalWarning.NO_DOMINANCE_RULE)
    if not scenario.output.group_percent:
        yield TypedWarning(ApprovalWarning.NO_GROUP_RULE)
    if scenario.output.release_zeros:
        yield TypedWarning(ApprovalWarning.ZEROS_RELEASED)
    if not scenario.output.min_difference and any(not table.vertical for table in scenario.tables):
        yield TypedWarning(ApprovalWarning.NO_DIFFERENCE_RULE)


def _version_warnings(
    scenario: Scenario, earlier: Scenario | None, changed: Sequence[Difference]
) -> Iterator[TypedWarning]:
    if scenario.replaces is None:
        return
    if earlier is None:
        yield TypedWarning(ApprovalWarning.VERSION_UNKNOWN)
        return
    yield _warning(
        ApprovalWarning.NEW_VERSION,
        differences=f"{len(changed)} thing{'s' if len(changed) != 1 else ''}",
        section=_changes_number(scenario),
    )
    less = loosened(earlier, scenario)
    if less:
        yield _warning(ApprovalWarning.PROTECTION_LOWERED, rules="; ".join(less))
    for column, before, now in lowered_grades(earlier, scenario):
        yield _warning(ApprovalWarning.GRADE_LOWERED, column=column, before=before, now=now)


def _validity_warnings(scenario: Scenario, proposed: int | None) -> Iterator[TypedWarning]:
    days = 0 if proposed is None else (scenario.limits.valid_until - proposed) // DAY_SECONDS
    if days > LONG_DAYS:
        yield _warning(ApprovalWarning.VALID_LONG, days=days)


def _unseen_warnings(
    scenario: Scenario, roles: Mapping[tuple[str, str], str]
) -> Iterator[TypedWarning]:
    """Results about sensitive columns that no person sees before they are out."""
    names = [
        f"{table.name}.{column.name}"
        for table in scenario.tables
        for column in table.columns
        if column.grade is Grade.SENSITIVE and (table.name, column.name) in roles
    ]
    if names and scenario.output.review is None and scenario.output.privacy is None:
        yield _warning(ApprovalWarning.RELEASED_UNSEEN, columns=", ".join(names))


def _noise_warnings(scenario: Scenario, plans: Sequence[Plan]) -> Iterator[TypedWarning]:
    privacy = scenario.output.privacy
    if privacy is None:
        return
    runs = scenario.limits.runs
    epsilon = _epsilon(privacy, runs)
    if epsilon > MUCH_EPSILON:
        yield _warning(
            ApprovalWarning.NOISE_COSTS_MUCH,
            runs=runs,
            epsilon=str(epsilon),
            delta=str(USUAL_DELTA),
        )
    for table in scenario.tables:
        if table.unit and not privacy.unit:
            yield _warning(ApprovalWarning.NOISE_HIDES_ROWS_ONLY, table=table.name, unit=table.unit)
    stopping = _may_stop_a_run(scenario, plans)
    if stopping:
        yield _warning(ApprovalWarning.RUN_MAY_BE_REFUSED, columns=", ".join(stopping))
    if not all(table.units_apart for table in scenario.tables):
        yield _warning(ApprovalWarning.NOISE_OF_ONE_HOLDER, holders=len(scenario.holders))
    for planned in plans:
        assert planned.noise is not None  # the scenario asks for it
        error = math.ceil(planned.noise.error([(1, 0)], planned.holders))
        if error > scenario.output.min_count:
            yield _warning(
                ApprovalWarning.NOISE_DROWNS,
                statement=planned.statement.name,
                error=error,
                min_count=scenario.output.min_count,
            )


def _may_stop_a_run(scenario: Scenario, plans: Sequence[Plan]) -> list[str]:
    """The columns whose values may end a run of a statement for all to see."""
    read = {(planned.table, name) for planned in plans for name in planned.columns}
    return [
        f"{table.name}.{column.name}"
        for table in scenario.tables
        for column in table.columns
        if (table.name, column.name) in read
        and column.name != table.unit  # always so
        and column.outside is Outside.REFUSE
        and column.type is not ColumnType.BOOLEAN
    ]


def _statement_warnings(planned: Plan, tables: Sequence[TableContract]) -> Iterator[TypedWarning]:
    statement = planned.statement
    for name, roles in column_roles(planned).items():
        table, column = declared_column(planned, name, tables)
        if column.grade is Grade.SENSITIVE:
            yield _warning(
                ApprovalWarning.SENSITIVE_COLUMN_USED,
                column=f"{table.name}.{column.name}",
                role=_role_words(roles),
                statement=statement.name,
            )
    if planned.cells > MANY_CELLS:
        yield _warning(ApprovalWarning.MANY_CELLS, statement=statement.name, cells=planned.cells)
    if statement.parameters:
        yield _warning(
            ApprovalWarning.PARAMETRISED_FILTER,
            statement=statement.name,
            combinations=math.prod(_choices(p) for p in statement.parameters),
        )
    if any(count.filtered for count in planned.counts):
        yield _warning(ApprovalWarning.FILTERED_COUNTS, statement=statement.name)


def _column_warnings(
    table: TableContract, roles: Mapping[tuple[str, str], str]
) -> Iterator[TypedWarning]:
    for column in table.columns:
        name = f"{table.name}.{column.name}"
        if (table.name, column.name) not in roles:
            yield _warning(ApprovalWarning.UNUSED_COLUMN, column=name)
        elif column.outside is Outside.CLIP:
            low, high = _bounds(column)
            yield _warning(ApprovalWarning.CLIPPED_VALUES, column=name, low=low, high=high)


def _warning(kind: ApprovalWarning, **parameters: str | int) -> TypedWarning:
    return TypedWarning(kind, tuple(sorted(parameters.items())))


def _choices(parameter: Parameter) -> int:
    """How many values a parameter can take."""
    if parameter.minimum is not None and parameter.maximum is not None:
        return parameter.maximum - parameter.minimum + 1
    return len(parameter.levels) or 2


# --- text -----------------------------------------------------------------------------------------


def _head(scenario: Scenario, holder: str) -> list[str]:
    title = f"APPROVAL REPORT FOR {holder}"
    return [
        title,
        "=" * len(title),
        "",
        *_pairs([("Scenario", scenario.name), ("Digest", scenario.digest.hex())]),
        "",
        "Lines with a bar | are words of the scenario, that is, of whoever asks, or SQL from it.",
        "All other lines were written by the software on your side.",
    ]


def _who(scenario: Scenario, holder: str, earlier: Scenario | None) -> list[str]:
    holders = ", ".join(f"{h} (you)" if h == holder else h for h in scenario.holders)
    return [
        "1. WHO ASKS, AND WHY",
        *_pairs(
            [
                ("Data user", f"{scenario.data_user}, who alone receives the results"),
                ("Checker", f"{scenario.checker}, who opens sums over all holders, nobody's part"),
                ("Holders", holders),
                *_authorities(scenario),
                *_predecessor(scenario, earlier),
            ]
        ),
        "   Title",
        *_quoted(scenario.title),
        "   Purpose",
        *_quoted(scenario.purpose),
    ]


def _authorities(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Who has to agree besides the holders."""
    for authority in scenario.authorities:
        yield (
            "Authority",
            f"{authority.name}, who has to authorise it as well, for {_for(authority, scenario)}",
        )


def _for(authority: Authority, scenario: Scenario) -> str:
    everybody = sorted(authority.holders) == sorted(scenario.holders)
    return "all holders" if everybody else ", ".join(authority.holders)


def _predecessor(scenario: Scenario, earlier: Scenario | None) -> Iterator[tuple[str, str]]:
    if scenario.replaces is None:
        return
    known = (
        "in which you had no part"
        if earlier is None
        else f"{earlier.name}, compared in section {_changes_number(scenario)}"
    )
    yield "Version of", f"{scenario.replaces.hex()}, {known}"


def _warned(warnings: tuple[TypedWarning, ...]) -> list[str]:
    lines = [f"2. WARNINGS: {len(warnings) or 'none'}"]
    for warning in warnings:
        lines.append(f"   ! {warning.kind.name}")
        lines += _wrapped(warning.sentence, "     ")
    return lines


def _limits(scenario: Scenario) -> list[str]:
    last = datetime.datetime.fromtimestamp(scenario.limits.valid_until - 1, datetime.UTC)
    runs = f"{scenario.limits.runs} runs in total over all statements; your node counts by itself"
    return [
        "3. HOW OFTEN, UNTIL WHEN",
        *_pairs([("Runs", runs), ("Valid until", f"{last:%Y-%m-%d %H:%M:%S} UTC, inclusive")]),
        "   You can take an approval back at any time, from the next step on.",
    ]


def _columns(
    scenario: Scenario, plans: Sequence[Plan], models: Sequence[ModelQuestion], holder: str
) -> list[str]:
    lines = ["4. YOUR COLUMNS"]
    roles = _all_roles(scenario, plans, models)
    if all(holder not in table.holders for table in scenario.tables):
        lines.append("   None: no table of the scenario is at your side.")
    for table in scenario.tables:
        if holder not in table.holders:
            continue
        lines.append(f"   Table {table.name}, at most {table.max_rows} rows")
        rows = [("column", "grade", "used as", "values", "outside these")]
        for column in table.columns:
            rows.append(
                (
                    column.name,
                    column.grade.name.lower(),
                    _used_as(column, roles.get((table.name, column.name))),
                    _values(column) + (", or missing" if column.nullable else ""),
                    _OUTSIDE[column.outside],
                )
            )
        lines += _table(rows)
        lines.append("   Units, descriptions and levels as declared")
        for column in table.columns:
            lines += _declared(column)
    for table in scenario.tables:
        if holder not in table.holders:
            used = [c.name for c in table.columns if (table.name, c.name) in roles]
            lines += _wrapped(
                f"Not yours: {table.name}, at {table.holders[0]}, of which {', '.join(used)} are"
                " used.",
                "   ",
            )
    return lines


def _used_as(column: Column, roles: str | None) -> str:
    if roles is None:
        return "not used"
    return "joins people" if column.identifier is not None else roles


def _declared(column: Column) -> list[str]:
    """The asker's own words about a column."""
    lines = []
    if column.unit or column.description:
        words = ": ".join(text for text in (column.unit, column.description) if text)
        lines += _quoted(f"{column.name}: {words}")
    if column.levels:
        lines += _quoted(f"{column.name}: {_shown_levels(column.levels)}")
    return lines


_OUTSIDE = {
    Outside.REFUSE: "run is refused",
    Outside.CLIP: "moved to the bound",
    Outside.OTHER: "counted in the cell __other__",
}


def _statements(
    scenario: Scenario, plans: Sequence[Plan], models: Sequence[ModelQuestion], holder: str
) -> list[str]:
    lines = ["5. WHAT RUNS ON YOUR NODE, AND WHAT LEAVES IT"]
    for number, planned in enumerate(plans, 1):
        lines += _statement(scenario, planned, number, holder)
    for number, model in enumerate(models, len(plans) + 1):
        lines += _model(scenario, model, number, holder)
    return lines


def _model(scenario: Scenario, model: ModelQuestion, number: int, holder: str) -> list[str]:
    lines = [f"   5.{number} {model.model.name}, a model over {' JOIN '.join(model.model.tables)}"]
    if model.model.description:
        lines += ["   Description", *_quoted(model.model.description)]
    for sentence in model_sentences(model):
        lines += _quoted(sentence)
    lines += _joined(scenario, model, holder)
    if of_this_holder(model.staged, holder) is not None:
        size = len(model.terms) + 1
        lines += _wrapped(
            f"- opened by the checker, over all people of the join: their number, and that of each"
            f" category; then, if these pass, the sums of products of any two of the {size} columns"
            " of the model.",
            "     ",
        )
        lines += _wrapped(
            "Released as a whole, or not at all: not if few people are left for so many"
            " coefficients, if few are in a category or in none of them, if one column follows from"
            " the others, or if the fit is perfect.",
            "   ",
        )
    return lines


def _joined(scenario: Scenario, question: JoinQuestion | ModelQuestion, holder: str) -> list[str]:
    """The part of one holder in a join."""
    own = of_this_holder(question.staged, holder)
    if own is None:
        return ["   None of your tables is joined: nothing runs on your node."]
    lines = _wrapped(
        f"What your node runs over your rows of {own.table}: numbers are integers in their last"
        " declared decimal.",
        "   ",
    )
    lines += _quoted(own.sql)
    lines.append("   Leaves your node:")
    for sentence in join_sentences(scenario, question, own):
        lines += _wrapped(f"- {sentence}", "     ")
    return lines


def _statement(scenario: Scenario, planned: Plan, number: int, holder: str) -> list[str]:
    statement = planned.statement
    lines = [f"   5.{number} {statement.name}, over the table {planned.table}"]
    if statement.description:
        lines += ["   Description", *_quoted(statement.description)]
    lines += ["   The SQL as reviewed", *_quoted(statement.sql)]
    for parameter in statement.parameters:
        lines.append(f"   Parameter :{parameter.name}, chosen at each run: {_kind(parameter)}")
        if parameter.levels:
            lines += _quoted(_shown_levels(parameter.levels))
    if planned.joined:
        question = ask(planned, scenario.tables, scenario.output)
        lines += _joined(scenario, question, holder)
        if of_this_holder(question.staged, holder) is not None:
            number = len(question.moments) - len(question.first)
            sums = f" and, where it passes, sums over them ({number} a cell)" if number else ""
            lines += _wrapped(
                f"- opened by the checker: the number of people in each cell ({planned.cells} in"
                f" all){sums}.",
                "     ",
            )
        return lines
    lines += _wrapped(
        "What your node runs over your rows: made from the SQL above, on your side; numbers are"
        " integers in their last declared decimal.",
        "   ",
    )
    lines += _quoted(planned.node_sql())
    n = len(scenario.holders)
    lines.append(f"   Leaves your node, encrypted so that only the sum over all {n} holders opens:")
    if planned.noise is not None:
        lines += _wrapped(
            f"- {planned.cells} cells with {len(planned.counts)} counts of rows each, with your"
            " noise in every one of them, and nothing else about the rows;",
            "     ",
        )
        if planned.values:
            lines += _wrapped(
                f"- then, for cells whose noisy count passes the check, {len(planned.values)} sums"
                " each, with your noise.",
                "     ",
            )
        return lines
    lines += _wrapped(
        f"- {planned.cells} cells with {len(planned.counts)} counts of rows each, and for each"
        " count, and for what a narrowed one leaves out, whether you have any such row"
        + _evidence(planned)
        + ";",
        "     ",
    )
    if scenario.proven:
        lines += _wrapped(
            "- with every part a proof, in your name, that you know what is in it;", "     "
        )
    if planned.values:
        lines += _wrapped(
            f"- then, for cells that pass the check only, {len(planned.values)} sums each.", "     "
        )
    else:
        lines.append("     - no other sums.")
    return lines


def _evidence(planned: Plan) -> str:
    """What else round one carries, in words."""
    found = ""
    if planned.evidence.unit:
        number = "the number of" if planned.evidence.units_apart else "whether you have enough"
        found += f", {number} different {planned.evidence.unit}"
    if planned.evidence.smallest:
        found += ", whether you have few"
    if planned.contributions:
        found += "; for each sum, whether one or two contributions make up most of yours"
    return found


def _together(plans: Sequence[Plan]) -> list[str]:
    """What the answers give away together, as far as the text alone can tell."""
    shown = audit(plans)
    lines = [
        "6. WHAT ANSWERS GIVE AWAY TOGETHER",
        *_wrapped(
            f"All {shown.questions} questions that the statements and their parameters allow were"
            " compared with each other, without looking at data. A group of rows that follows from"
            " answers about others is not checked by any rule below, however few its rows are.",
            "   ",
        ),
    ]
    if any(planned.noise is not None for planned in plans):
        lines += _wrapped(
            "Each answer has noise of its own in it, so a difference of two has the noise of both:"
            " see section 8.",
            "   ",
        )
    if not shown.found:
        lines += _wrapped("No such group was found.", "   ")
    if len({planned.table for planned in plans if planned.joined}) > 1:
        lines += _wrapped(
            "Joins of different tables are about different people, and were not compared: who is"
            " in one join and not in the other may be few.",
            "   ",
        )
    if len(shown.findings) < shown.found:
        lines += _wrapped(f"At least {shown.found} such groups were found; the first are:", "   ")
    for sentence in (*map(str, shown.findings), *(f"Not decided: {u}" for u in shown.undecided)):
        lines += _quoted(sentence)
    return lines


def _released(scenario: Scenario) -> list[str]:
    rules = []
    for sentence in policy_sentences(scenario):
        first, *rest = _wrapped(sentence, "     ")
        rules += [f"   - {first.lstrip()}", *rest]
    return [
        "7. WHAT IS RELEASED, AND WHAT YOU DO NOT GIVE",
        *_wrapped(
            f"To {scenario.data_user}, and only after the checker's examination: per cell the"
            " outputs of the SQL above, if they keep every rule below. All others are withheld: the"
            " checker sees their counts, and their other sums are never sent.",
            "   ",
        ),
        *rules,
        *_wrapped(
            "Not given to anybody: a row, a value of a row, or your own sums. Rows are staged in"
            " one process, destroyed after each run, and your node signs a deletion receipt."
            + (
                " Encrypted rows and blinded identifiers, which the coordinator has while a join"
                " runs, it erases before anything is released, with a receipt of its own."
                if any(table.vertical for table in scenario.tables)
                else ""
            ),
            "   ",
        ),
    ]


def _noise(scenario: Scenario, plans: Sequence[Plan]) -> list[str]:
    """What the noise costs and what it does to the numbers, before anybody computes one."""
    privacy = scenario.output.privacy
    if privacy is None:
        return []
    kind = privacy.mechanism.name.lower()
    who = (
        "one row"
        if not privacy.unit
        else f"one {privacy.unit}, with at most {privacy.max_rows_per_unit} rows (your node leaves"
        " out the others)"
    )
    runs, cost = scenario.limits.runs, run_cost(privacy)
    once, often = (_epsilon(privacy, n) for n in (1, runs))
    lines = [
        "8. NOISE, AND WHAT IT COSTS",
        *_wrapped(
            f"Your node adds {kind} noise to each number before it encrypts it, and so does every"
            f" other. Whoever sees the results, and knows everything but {who}, is by them hardly"
            " surer whether it is in your data. This does not depend on what the others do.",
            "   ",
        ),
        *_pairs(
            [
                ("Declared", _declared_cost(privacy)),
                (
                    "One run",
                    f"rho {_plain_rho(cost)}: an epsilon of {once} at a delta of {USUAL_DELTA}",
                ),
                (
                    f"All {runs}",
                    f"rho {_plain_rho(runs * cost)}: an epsilon of {often} at that delta",
                ),
            ]
        ),
        *_wrapped(
            "An epsilon of 1 means that no answer becomes more than 2.7 times as likely because of"
            " one such person or row; of 0.1, 1.1 times; of 5, 148 times. Your node charges every"
            " run to your own budget, over all scenarios and askers, and refuses when it is used"
            " up.",
            "   ",
        ),
        f"   What the noise of all {len(scenario.holders)} holders does to a number:",
        *_wrapped("in 95 of 100 cells it is off by no more than", "   "),
    ]
    rows = [("statement", "output", "within")]
    for planned in plans:
        for output in planned.outputs:
            if output.formula is not None:
                rows.append((planned.statement.name, output.name, _within(planned, output.formula)))
    return [*lines, *_table(rows)]


def _within(planned: Plan, formula: Formula) -> str:
    """How far the noise moves an output, as far as that can be told without numbers."""
    error = noise_error(planned, formula)
    if error is not None:
        return f"±{_unscaled(error, formula.places or 0)}"
    if isinstance(formula, Mean):
        total = Total(formula.rows, formula.first, formula.decimals)
        error = noise_error(planned, total)
        if error is not None:
            return f"about ±{_unscaled(error, formula.decimals)} divided by the number of rows"
    return "depends on the numbers"


def _epsilon(privacy: Privacy, runs: int) -> Decimal:
    """What runs cost together, at the usual delta: of pure costs their sum, if that is less."""
    found = epsilon_of(runs * run_cost(privacy), USUAL_DELTA)
    pure = privacy.mechanism is NoiseMechanism.GEOMETRIC
    return min(found, Decimal(runs * privacy.epsilon) / BUDGET_UNIT) if pure else found


def _declared_cost(privacy: Privacy) -> str:
    """The cost of a run as the scenario says it."""
    parts = {
        "epsilon": Decimal(privacy.epsilon) / BUDGET_UNIT,
        "delta": Decimal(privacy.delta) / DELTA_UNIT,
        "rho": Decimal(privacy.rho) / BUDGET_UNIT,
    }
    return ", ".join(f"{name} {value.normalize():f}" for name, value in parts.items() if value)


def _plain_rho(rho: int) -> str:
    return f"{(Decimal(rho) / PICO).normalize():f}"


def _changes_number(scenario: Scenario) -> int:
    return 8 if scenario.output.privacy is None else 9


def _changed(
    scenario: Scenario, earlier: Scenario | None, changed: Sequence[Difference]
) -> list[str]:
    """What is different from the earlier version, all of it."""
    if earlier is None:
        return []
    lines = [
        f"{_changes_number(scenario)}. WHAT IS DIFFERENT FROM THE EARLIER VERSION",
        *_wrapped(
            "When this version is sealed, the earlier one takes no more runs. An approval of that"
            " one is none of this one. Both were compared field by field; what is not listed is the"
            " same, letter by letter. A line with - stood there, a line with + stands there now;"
            " two lines that look alike differ in spaces or in letters that look alike.",
            "   ",
        ),
    ]
    if not changed:
        lines += _wrapped("Nothing is different.", "   ")
    return lines + difference_lines(changed)


def difference_lines(changed: Sequence[Difference]) -> list[str]:
    """Differences as lines of a report: ours what and where, behind a bar the author's words."""
    lines = []
    for one in changed:
        lines += _wrapped(f"- {one.place}: {one.change.name.lower()}", "   ")
        for line in one.lines():
            lines += _quoted(line)
    return lines


def _if_approved(scenario: Scenario, holder: str, earlier: Scenario | None) -> list[str]:
    number = _changes_number(scenario) + (earlier is not None)
    lines = [
        f"{number}. IF YOU APPROVE",
        *_wrapped(
            f"You sign, with the key of {holder}, the digest of the scenario above and the digest"
            " of exactly this text. A scenario changed by one byte needs another approval.",
            "   ",
        ),
    ]
    for waiver in required_waivers(scenario):
        lines += _wrapped(f"You also have to waive explicitly: {waiver.name}.", "   ")
    return lines


# --- wording --------------------------------------------------------------------------------------


def _role_words(roles: Iterable[ColumnRole]) -> str:
    words = ", ".join(r.name.lower() for r in sorted(roles, key=lambda role: role.value))
    return words or "counts people"


def _values(column: Column) -> str:
    if column.type is ColumnType.LEVEL:
        return f"{len(column.levels)} levels"
    if column.type is ColumnType.BOOLEAN:
        return "true, false"
    if column.identifier is not None:
        return identifier_words(column.identifier)
    low, high = _bounds(column)
    return f"{low} to {high}"


def _bounds(thing: Column | Parameter) -> tuple[str, str]:
    if thing.minimum is None or thing.maximum is None:
        raise AssertionError("unreachable: numbers have bounds, checked on construction")
    return _unscaled(thing.minimum, thing.decimals), _unscaled(thing.maximum, thing.decimals)


def _unscaled(value: int, decimals: int) -> str:
    """A scaled integer as a person writes it: ``-125`` with 2 decimals is ``-1.25``."""
    if decimals == 0:
        return str(value)
    digits = str(abs(value)).rjust(decimals + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def _kind(parameter: Parameter) -> str:
    if parameter.type is ColumnType.LEVEL:
        return f"one of {len(parameter.levels)} levels"
    if parameter.type is ColumnType.BOOLEAN:
        return "true or false"
    low, high = _bounds(parameter)
    return f"{parameter.type.name.lower()}, {low} to {high}"


def _shown_levels(levels: tuple[str, ...]) -> str:
    return ", ".join(json.dumps(level, ensure_ascii=False) for level in levels)


def _pairs(pairs: list[tuple[str, str]]) -> list[str]:
    lines = []
    for label, value in pairs:
        first, *rest = _wrapped(value, " " * 16)
        lines += [f"   {label:<13}" + first.lstrip(), *rest]
    return lines


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _wrapped(text: str, indent: str) -> list[str]:
    """Our own sentences, wrapped between words."""
    lines: list[str] = []
    line = indent
    for word in text.split(" "):
        if len(line) > len(indent) and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = indent
        line += word if line == indent else f" {word}"
    return [*lines, line]


def _quoted(text: str) -> list[str]:
    """Somebody else's text behind a bar, never wider than the report.

    A line that goes on has ``\\`` in place of the bar's space: what a terminal would wrap to the
    left edge could pass for a line of the report.
    """
    lines = []
    for written in text.replace("\t", "    ").split("\n"):
        pieces = list(_pieces(written, WIDTH - 8)) or [""]
        lines += [f"     | {pieces[0]}", *(f"     |\\{piece}" for piece in pieces[1:])]
    return lines


def _pieces(text: str, width: int) -> Iterator[str]:
    """Cut a line to the width, after a space where there is one in the last third."""
    while (end := _fitting(text, width)) < len(text):
        space = text.rfind(" ", end * 2 // 3, end)
        end = end if space < 0 else space + 1
        yield text[:end]
        text = text[end:]
    if text:
        yield text


def _fitting(text: str, width: int) -> int:
    """How many characters fit in ``width`` columns of a terminal."""
    used = 0
    for index, character in enumerate(text):
        # Wide characters take two columns. A fixed boundary instead of Unicode tables, so that
        # every version of Python writes the same report.
        used += 2 if ord(character) >= 0x1100 else 1
        if used > width:
            return index
    return len(text)
