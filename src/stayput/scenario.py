"""The scenario: one reviewed question, as an immutable document whose digest is its identity.

The classes here are what everybody signs, stores and computes from.  Reading the YAML a person
writes, with its line numbers and hints, is :mod:`stayput.scenario_file`; the SQL inside is
understood by :mod:`stayput.sql`.  Invariants checked on construction: names are slugs or
identifiers, bounds are ordered, references resolve, free text shows as what it is (no control
character, no character that is invisible or turns the direction of writing).  Nothing here does
I/O.

Numbers: bounds of a ``DECIMAL`` column are integers in units of ``10**-decimals`` (a column in
cents has ``decimals=2`` and bounds in cents); every column travels through the protocol as such
scaled integers.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping

from stayput import documents
from stayput.documents import Int64, document

SLUG = re.compile(r"[a-z][a-z0-9-]{0,62}")
"""Names of parties and scenarios."""

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""Names of tables, columns, statements and parameters: also plain SQL identifiers."""

MAX_LEVELS = 10_000
MAX_HOLDERS = 65_536  # guard bits for 2**16 parts (docs/protocol.md, clause M-3)
MAX_DECIMALS = 9
MAX_NUMBER = 10**18
"""Largest absolute scaled bound: fits the 64-bit integers of every local engine."""

MAX_LINE = 200  # title, unit, level: what a report shows in one place
MAX_TEXT = 4_000  # purpose and descriptions: what a person reads before signing
MAX_SQL = 20_000
END_OF_TIME = 253_402_300_800  # the year 10000, which no calendar library writes

_SEPARATORS = re.compile(r"[ -/:-@\[-`{-~]*")

RUN_KEY_BITS = (2048, 3072, 4096)
"""Paillier keys that holders make for one vertical run."""

MAX_JOINED = 16
"""Tables of one join; tokens are blinded once by each holder."""

UNSHOWABLE = re.compile(
    # Fixed ranges instead of Unicode categories: what one party accepts must not depend on the
    # Unicode tables of its Python.  C0 and C1 controls (terminal escapes), soft hyphen, zero-width
    # characters and joiners, line and paragraph separators, bidirectional controls
    # (CVE-2021-42574), variation and tag characters, annotation marks, surrogates, noncharacters.
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""Characters that a terminal does not show as what they are; a line break is not among them."""


class ColumnType(enum.Enum):
    LEVEL = 1  # one of a declared list of texts
    INTEGER = 2
    DECIMAL = 3  # fixed point, ``decimals`` places
    BOOLEAN = 4
    IDENTIFIER = 5  # whom a row is about: joins tables of several holders, is never shown


class IdentifierKind(enum.Enum):
    """Which identifiers a column holds (:mod:`stayput.vertical.identifiers` has their rules)."""

    TEXT = 1  # any text or whole number
    CN_RESIDENT = 2  # 18 characters, GB 11643-1999
    CN_ORGANISATION = 3  # unified social credit code, GB 32100-2015
    LUHN = 4  # digits, the last one a Luhn check digit (ISO/IEC 7812-1)
    IBAN = 5  # ISO 13616
    LEI = 6  # ISO 17442


class Duplicates(enum.Enum):
    """What happens when two rows of a table have the same identifier."""

    REFUSE = 1  # the run is refused
    COLLAPSE = 2  # rows that agree in every column used are one; others refuse the run


@dataclasses.dataclass(frozen=True)
class IdentifierRule:
    """How identifiers are brought into one form before they are blinded.

    ``separators`` are left out wherever they stand; ``any_case``: capitals and small letters are
    the same.  Kinds other than text have both rules built in.
    """

    kind: IdentifierKind
    duplicates: Duplicates = Duplicates.REFUSE
    any_case: bool = False
    separators: str = ""

    def __post_init__(self) -> None:
        _require(
            self.kind is IdentifierKind.TEXT or not (self.any_case or self.separators),
            "case and separators are declared for kind text only",
        )
        _require(
            _SEPARATORS.fullmatch(self.separators)
            and list(self.separators) == sorted(set(self.separators)),
            "separators are ASCII punctuation or a space, in order, each once",
        )

    def same_people(self, other: IdentifierRule) -> bool:
        """Whether equal people get equal identifiers under both rules."""
        return dataclasses.replace(self, duplicates=other.duplicates) == other


class Outside(enum.Enum):
    """What happens to a value outside its declared bounds or levels."""

    REFUSE = 1  # the run is refused; the holder is told which column
    CLIP = 2  # numbers only: moved to the nearer bound
    OTHER = 3  # levels only: counted in the ``__other__`` cell


class Grade(enum.Enum):
    """How sensitive a column is; printed in the approval report, ordered."""

    PUBLIC = 1
    INTERNAL = 2
    SENSITIVE = 3


class ColumnRole(enum.Enum):
    """What a statement does with a column."""

    KEY = 1  # results are broken down by it
    MEASURE = 2  # it is counted, added up, averaged…
    FILTER = 3  # it decides which rows count


@dataclasses.dataclass(frozen=True)
class Column:
    """One declared column of a table contract.

    ``minimum`` and ``maximum`` are scaled integers (``INTEGER``: plain, ``DECIMAL``: times
    ``10**decimals``); ``levels`` are for ``LEVEL`` only.  ``roles`` limits what statements may do
    with the column; empty means anything (:func:`stayput.approval.verify_roles`).
    """

    name: str
    type: ColumnType
    grade: Grade
    outside: Outside
    unit: str = ""
    decimals: int = 0
    minimum: Int64 | None = None
    maximum: Int64 | None = None
    levels: tuple[str, ...] = ()
    nullable: bool = False
    description: str = ""
    roles: tuple[ColumnRole, ...] = ()
    identifier: IdentifierRule | None = None

    def __post_init__(self) -> None:
        _require(IDENTIFIER.fullmatch(self.name), f"{self.name!r} is no column name")
        identifier = self.type is ColumnType.IDENTIFIER
        _require(
            identifier == (self.identifier is not None),
            f"{self.name}: identifiers, and only identifiers, say how they are compared",
        )
        _require(
            not identifier or not (self.roles or self.nullable or self.unit),
            f"{self.name}: an identifier is never missing, and has no role and no unit",
        )
        _require(
            list(self.roles) == sorted(set(self.roles), key=lambda role: role.value),
            f"{self.name}: roles are in order, each once",
        )
        _require_line(self.unit, f"{self.name}: unit")
        _require_text(self.description, f"{self.name}: description")
        numeric = self.type in (ColumnType.INTEGER, ColumnType.DECIMAL)
        _require(
            numeric == (self.minimum is not None and self.maximum is not None)
            and (self.minimum is None) == (self.maximum is None),
            f"{self.name}: numbers, and only numbers, have min and max",
        )
        _require_bounds(self.name, self.minimum, self.maximum)
        _require(
            self.type is ColumnType.DECIMAL or self.decimals == 0,
            f"{self.name}: only a decimal column has decimals",
        )
        _require(0 <= self.decimals <= MAX_DECIMALS, f"{self.name}: decimals are 0 to 9")
        level = self.type is ColumnType.LEVEL
        _require(level == bool(self.levels), f"{self.name}: levels, and only levels, list levels")
        _require_levels(self.name, self.levels)
        allowed = {Outside.REFUSE}
        if numeric:
            allowed.add(Outside.CLIP)
        if level:
            allowed.add(Outside.OTHER)
        _require(self.outside in allowed, f"{self.name}: cannot {self.outside.name.lower()}")


@dataclasses.dataclass(frozen=True)
class TableContract:
    """What every holder's table of this name looks like."""

    name: str
    holders: tuple[str, ...]
    columns: tuple[Column, ...]
    max_rows: Int64  # per holder; with the bounds it excludes overflow (clause M-4)
    unit: str = ""  # column that says whom a row is about; empty: every row is somebody else
    units_apart: bool = False  # nobody is known to two holders
    pad_to: Int64 = 0  # vertical: how many blinded identifiers are sent, whatever the rows

    def __post_init__(self) -> None:
        _require(IDENTIFIER.fullmatch(self.name), f"{self.name!r} is no table name")
        _require(bool(self.columns), f"{self.name}: a table has columns")
        _distinct([column.name for column in self.columns], f"{self.name}: column")
        _distinct(self.holders, f"{self.name}: holder")
        _require(1 <= self.max_rows <= 2**40, f"{self.name}: max_rows is 1 to 2**40")
        identifiers = [c.name for c in self.columns if c.type is ColumnType.IDENTIFIER]
        _require(len(identifiers) <= 1, f"{self.name}: a table has one identifier at most")
        _require(
            not identifiers or (len(self.holders) == 1 and not self.unit),
            f"{self.name}: a table with an identifier is at one holder, and the identifier is its "
            "unit",
        )
        _require(
            self.pad_to == 0 or (identifiers and self.max_rows <= self.pad_to <= 2**40),
            f"{self.name}: pad_to is at least max_rows, and for tables with an identifier",
        )
        _require(self.unit or not self.units_apart, f"{self.name}: no unit is declared")
        if self.unit:
            _require(
                self.unit in [column.name for column in self.columns],
                f"{self.name}: the unit is no declared column",
            )
            unit = self.column(self.unit)
            # Clipping would make one of many, and NULL is nobody.
            _require(
                unit.type is ColumnType.INTEGER
                and unit.outside is Outside.REFUSE
                and not unit.nullable,
                f"{self.name}: the unit is an integer that is never missing nor clipped",
            )

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def identifier(self) -> Column | None:
        """The column that says whom a row is about; only a vertical table has one."""
        found = [c for c in self.columns if c.type is ColumnType.IDENTIFIER]
        return found[0] if found else None

    @property
    def vertical(self) -> bool:
        """One holder knows these columns of people whom other holders know as well."""
        return self.identifier is not None


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A typed parameter of a statement and the values it may take."""

    name: str
    type: ColumnType
    decimals: int = 0
    minimum: Int64 | None = None
    maximum: Int64 | None = None
    levels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(IDENTIFIER.fullmatch(self.name), f"{self.name!r} is no parameter name")
        _require(
            self.type is not ColumnType.IDENTIFIER, f"{self.name}: a parameter is no identifier"
        )
        numeric = self.type in (ColumnType.INTEGER, ColumnType.DECIMAL)
        _require(
            (self.minimum is not None) == numeric and (self.maximum is not None) == numeric,
            f"{self.name}: numbers, and only numbers, have min and max",
        )
        level = self.type is ColumnType.LEVEL
        _require(level == bool(self.levels), f"{self.name}: levels, and only levels, list levels")
        _require(
            self.type is ColumnType.DECIMAL or self.decimals == 0,
            f"{self.name}: only a decimal parameter has decimals",
        )
        _require(0 <= self.decimals <= MAX_DECIMALS, f"{self.name}: decimals are 0 to 9")
        _require_levels(self.name, self.levels)
        _require_bounds(self.name, self.minimum, self.maximum)


@dataclasses.dataclass(frozen=True)
class Statement:
    """One named SQL query, exactly as reviewed."""

    name: str
    sql: str
    parameters: tuple[Parameter, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        _require(IDENTIFIER.fullmatch(self.name), f"{self.name!r} is no statement name")
        _require(bool(self.sql.strip()), f"{self.name}: the SQL is empty")
        _require(len(self.sql) <= MAX_SQL, f"{self.name}: the SQL is longer than {MAX_SQL}")
        _require_showable(self.sql.replace("\t", " "), f"{self.name}: the SQL")
        _require_text(self.description, f"{self.name}: description")
        _distinct([parameter.name for parameter in self.parameters], f"{self.name}: parameter")


class ModelKind(enum.Enum):
    """How the coefficients of a model are found."""

    OLS = 1  # ordinary least squares
    RIDGE = 2  # least squares plus ``penalty`` times the squares of all slopes


@dataclasses.dataclass(frozen=True)
class Reference:
    """The level of a categorical predictor that the others are compared with."""

    column: str
    level: str


@dataclasses.dataclass(frozen=True)
class Model:
    """One named linear model over a join of vertical tables, exactly as reviewed.

    ``penalty`` is a scaled integer in units of ``10**-penalty_decimals``; it stands on the sums of
    squares of the columns in their own units, and never on the constant.
    """

    name: str
    kind: ModelKind
    tables: tuple[str, ...]
    using: str
    target: str
    predictors: tuple[str, ...]
    references: tuple[Reference, ...] = ()
    penalty: Int64 = 0
    penalty_decimals: int = 0
    without_constant: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        _require(IDENTIFIER.fullmatch(self.name), f"{self.name!r} is no model name")
        _distinct(self.tables, f"{self.name}: table")
        _require(2 <= len(self.tables) <= MAX_JOINED, f"{self.name}: a model joins 2 to 16 tables")
        _require(bool(self.predictors), f"{self.name}: a model has predictors")
        _distinct([self.target, *self.predictors], f"{self.name}: column")
        _distinct([r.column for r in self.references], f"{self.name}: reference of")
        _require(
            (self.kind is ModelKind.RIDGE) == (self.penalty > 0),
            f"{self.name}: ridge, and only ridge, has a penalty above 0",
        )
        _require(0 <= self.penalty <= MAX_NUMBER, f"{self.name}: the penalty is at most 10**18")
        _require(0 <= self.penalty_decimals <= MAX_DECIMALS, f"{self.name}: decimals are 0 to 9")
        _require_text(self.description, f"{self.name}: description")


@dataclasses.dataclass(frozen=True)
class Dominance:
    """How much of a sum few contributors may make up (:func:`stayput.disclosure.dominated`).

    Percentages; 0 switches a rule off, and at least one is on.
    """

    p_percent: int = 0  # a sum without its two largest is at least so much of the largest
    top_one_percent: int = 0  # the largest is at most so much of the sum
    top_two_percent: int = 0  # the two largest are

    def __post_init__(self) -> None:
        _require(0 <= self.p_percent <= 1_000, "p_percent is 0 to 1000")
        _require(0 <= self.top_one_percent < 100, "top_one_percent is 0 to 99")
        _require(0 <= self.top_two_percent < 100, "top_two_percent is 0 to 99")
        _require(
            self.p_percent or self.top_one_percent or self.top_two_percent,
            "dominance has at least one rule",
        )


class NoiseMechanism(enum.Enum):
    """The distribution of the noise that every holder adds to each of its sums."""

    GEOMETRIC = 1  # two-sided geometric, also called discrete Laplace
    GAUSSIAN = 2  # discrete Gaussian


BUDGET_UNIT = 10**9
"""``epsilon`` and ``rho`` are integers in units of one by this."""

DELTA_UNIT = 10**18
"""``delta`` is an integer in units of one by this."""

MIN_EPSILON, MAX_EPSILON = 10**5, 10 * BUDGET_UNIT  # 0.0001: less is noise alone; e**10 is 22,026
MIN_RHO, MAX_RHO = 1_000, 10 * BUDGET_UNIT  # 0.000001; 10 is an epsilon of 34 at a delta of 1e-6
MAX_DELTA = DELTA_UNIT // 10**5  # above one by the number of people a mechanism may publish one
MAX_ROWS_PER_UNIT = 10**6


@dataclasses.dataclass(frozen=True)
class Privacy:
    """Differential privacy of every run: which noise each holder adds, and what a run costs.

    Exactly one of three costs is given, the others are 0: ``epsilon`` (pure; geometric noise),
    ``rho`` (zCDP; Gaussian noise), or ``epsilon`` with ``delta`` (Gaussian noise).  ``epsilon`` and
    ``rho`` are in units of 1 / :data:`BUDGET_UNIT`, ``delta`` in units of 1 / :data:`DELTA_UNIT`.

    ``unit`` is whose presence is hidden: one row if empty, else all rows of one value of this
    column, of which at most ``max_rows_per_unit`` enter (:mod:`stayput.privacy`).
    """

    mechanism: NoiseMechanism
    epsilon: Int64 = 0
    delta: Int64 = 0
    rho: Int64 = 0
    unit: str = ""
    max_rows_per_unit: int = 1

    def __post_init__(self) -> None:
        given = (self.epsilon != 0, self.delta != 0, self.rho != 0)
        if self.mechanism is NoiseMechanism.GEOMETRIC:
            _require(given == (True, False, False), "geometric noise has an epsilon, and only that")
        else:
            _require(
                given in ((False, False, True), (True, True, False)),
                "gaussian noise has a rho, or an epsilon and a delta",
            )
        _require(
            not self.epsilon or MIN_EPSILON <= self.epsilon <= MAX_EPSILON,
            "epsilon is 0.0001 to 10",
        )
        _require(not self.rho or MIN_RHO <= self.rho <= MAX_RHO, "rho is 0.000001 to 10")
        _require(0 <= self.delta <= MAX_DELTA, "delta is 1e-18 to 1e-5")
        _require(
            1 <= self.max_rows_per_unit <= (MAX_ROWS_PER_UNIT if self.unit else 1),
            "max_rows_per_unit is 1 to 1000000, and 1 where the unit is a row",
        )


class OutputReview(enum.Enum):
    """When persons at the checker decide about a result before it is released (clause R-8)."""

    DOUBTFUL = 1  # when a rule leaves a doubt (:func:`stayput.disclosure.doubts`)
    ALWAYS = 2


class AuthorisationMode(enum.Enum):
    """Who has to authorise a scenario besides its holders (clause S-8); none: *dispersed*."""

    CENTRALISED = 1  # one authority for all holders, such as a data bureau
    SECTORAL = 2  # for each holder the authority of its sector


@dataclasses.dataclass(frozen=True)
class Authority:
    """A party, an auditor of the consortium, that authorises the scenario for some holders."""

    name: str
    holders: tuple[str, ...]

    def __post_init__(self) -> None:
        _require(SLUG.fullmatch(self.name), f"{self.name!r} is no name of a party")
        _distinct(self.holders, f"{self.name}: holder")
        _require(bool(self.holders), f"{self.name}: an authority is of some holder")


@dataclasses.dataclass(frozen=True)
class OutputPolicy:
    """What a released cell must satisfy; :mod:`stayput.disclosure` has the rules.

    A rule whose number is 0 is off.  With noise (``privacy``) nodes send noisy sums and nothing
    else, no exact flag either, so rules that need one are off, and so are those that noise is there
    to replace; ``min_count`` is compared with noisy counts.
    """

    min_count: int
    min_holders: int
    dominance: Dominance | None = None
    min_count_per_holder: int = 0  # each holder has none or so many
    group_percent: int = 0  # a group of which so much is in one category is withheld
    release_zeros: bool = False  # an empty cell is released as 0
    min_freedom: int = 0  # residual degrees of freedom of a variance or correlation
    rounding: int = 0  # counts are rounded to its multiples, after all checks
    privacy: Privacy | None = None
    min_difference: int = 0  # answers differ in none of the rows, or in so many
    review: OutputReview | None = None  # whether persons decide before a release
    review_below: int = 0  # a released count below this leaves a doubt

    def __post_init__(self) -> None:
        _require(self.min_count >= 1, "min_count is at least 1")
        # A cell of one holder would be that holder's partial (promise 2).
        _require(self.min_holders >= 2, "min_holders is at least 2")
        _require(self.min_count_per_holder >= 0, "min_count_per_holder is at least 0")
        _require(
            self.group_percent == 0 or 50 < self.group_percent <= 100, "group_percent is 51 to 100"
        )
        _require(self.min_freedom >= 0, "min_freedom is at least 0")
        _require(0 <= self.rounding <= 1_000, "rounding is 0 to 1000")
        exact = (
            self.min_count_per_holder,
            self.group_percent,
            self.release_zeros,
            self.min_freedom,
            self.rounding,
            self.min_difference,
        )
        _require(
            self.privacy is None or (self.dominance is None and not any(exact)),
            "with noise min_count is the only rule about cells",
        )
        _require(self.min_difference >= 0, "min_difference is at least 0")
        _require(
            self.review_below == 0
            or (self.review is OutputReview.DOUBTFUL and self.review_below > self.min_count),
            "review_below is above min_count, and for results that are reviewed when doubtful",
        )


@dataclasses.dataclass(frozen=True)
class Limits:
    """How often, until when (Unix seconds, exclusive)."""

    runs: int
    valid_until: Int64

    def __post_init__(self) -> None:
        _require(1 <= self.runs <= 100_000, "runs is 1 to 100000")
        _require(0 < self.valid_until < END_OF_TIME, "valid_until is missing or out of range")


@document("stayput.v1.Scenario")
@dataclasses.dataclass(frozen=True)
class Scenario:
    """One reviewed question.

    ``nonce`` (16 random bytes, drawn when proposed) makes the digest in the log unguessable.
    """

    name: str
    title: str
    purpose: str
    data_user: str
    checker: str
    holders: tuple[str, ...]
    tables: tuple[TableContract, ...]
    statements: tuple[Statement, ...]
    output: OutputPolicy
    limits: Limits
    nonce: bytes
    models: tuple[Model, ...] = ()
    proven: bool = False  # every encrypted part carries a proof of knowledge (M-7)
    run_key_bits: int = 0  # Paillier keys of vertical runs; 0 where no table is vertical
    authorisation: AuthorisationMode | None = None
    authorities: tuple[Authority, ...] = ()  # in order of name
    replaces: bytes | None = None  # digest of the scenario that this is a new version of

    def __post_init__(self) -> None:
        for name in (self.name, self.data_user, self.checker, *self.holders):
            _require(SLUG.fullmatch(name), f"{name!r} is no name: small letters, digits, hyphens")
        _require(bool(self.title.strip()), "the title is empty")
        _require(bool(self.purpose.strip()), "the purpose is empty")
        _require_line(self.title, "the title")
        _require_text(self.purpose, "the purpose")
        _distinct(self.holders, "holder")
        _require(2 <= len(self.holders) <= MAX_HOLDERS, "a scenario has at least 2 holders")
        _require(
            self.output.min_holders <= len(self.holders), "min_holders exceeds the holders named"
        )
        _require(
            len({self.data_user, self.checker, *self.holders}) == len(self.holders) + 2,
            "data user, checker and holders are different parties",
        )
        _distinct([table.name for table in self.tables], "table")
        names = [statement.name for statement in self.statements]
        _distinct(names + [model.name for model in self.models], "statement")
        _require(
            bool(self.tables) and bool(self.statements or self.models),
            "a scenario has tables, and statements or models",
        )
        for table in self.tables:
            if table.vertical:
                _require(
                    set(table.holders) <= set(self.holders),
                    f"{table.name}: 'at' names no holder of the scenario",
                )
                continue
            # Horizontal computation: the participants of a run are exactly the scenario's holders.
            _require(
                sorted(table.holders) == sorted(self.holders),
                f"{table.name}: 'at' names every holder of the scenario, and nobody else",
            )
        _require(
            self.run_key_bits in RUN_KEY_BITS
            if any(table.vertical for table in self.tables)
            else self.run_key_bits == 0,
            "run keys have 2048, 3072 or 4096 bits, and are for joins only",
        )
        self._require_noise_fits()
        _require(len(self.nonce) == 16, "the nonce has 16 bytes")
        _require(self.replaces is None or len(self.replaces) == 32, "a digest has 32 bytes")
        self._require_authorities()

    def _require_authorities(self) -> None:
        names = [authority.name for authority in self.authorities]
        _require(names == sorted(set(names)), "authorities stand in order, each once")
        _require(
            not {self.data_user, self.checker, *self.holders} & set(names),
            "an authority has no other part in the scenario",
        )
        served = sorted(h for authority in self.authorities for h in authority.holders)
        if self.authorisation is None:
            _require(not names, "without a mode of authorisation there is no authority")
        else:
            _require(
                served == sorted(self.holders), "each holder of the scenario has one authority"
            )
        if self.authorisation is AuthorisationMode.CENTRALISED:
            _require(len(names) == 1, "centralised authorisation is by one authority")

    def _require_noise_fits(self) -> None:
        privacy = self.output.privacy
        if privacy is None:
            return
        _require(
            not self.models and not any(table.vertical for table in self.tables),
            "noise is for statements about tables that all holders have, not for joins and models",
        )
        for table in self.tables:
            _require(
                not privacy.unit or table.unit == privacy.unit,
                f"{table.name}: its unit is not {privacy.unit}, whose presence the noise hides",
            )

    def table(self, name: str) -> TableContract:
        """The table contract of that name. Raises KeyError."""
        return {table.name: table for table in self.tables}[name]

    def statement(self, name: str) -> Statement:
        """The statement of that name. Raises KeyError."""
        return {statement.name: statement for statement in self.statements}[name]

    @property
    def deciders(self) -> int:
        """How many persons have to clear a held result: two where a column is sensitive."""
        if self.output.review is None:
            return 0
        grades = {column.grade for table in self.tables for column in table.columns}
        return 2 if Grade.SENSITIVE in grades else 1

    @property
    def digest(self) -> bytes:
        """The identity of the scenario (clause S-1)."""
        return documents.digest(self)


ParameterValue = int | str | bool
"""A value given to a parameter: scaled integer, level, or truth value."""

ParameterValues = Mapping[str, ParameterValue]


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _distinct(names: list[str] | tuple[str, ...], kind: str) -> None:
    seen = set()
    for name in names:
        _require(name not in seen, f"{kind} {name!r} appears twice")
        seen.add(name)


def _require_bounds(name: str, minimum: int | None, maximum: int | None) -> None:
    if minimum is None or maximum is None:
        return
    _require(minimum <= maximum, f"{name}: min is above max")
    _require(
        max(abs(minimum), abs(maximum)) <= MAX_NUMBER, f"{name}: bounds are at most 10**18 in size"
    )


def _require_levels(name: str, levels: tuple[str, ...]) -> None:
    _require(len(levels) <= MAX_LEVELS, f"{name}: more than {MAX_LEVELS} levels")
    _require(len(set(levels)) == len(levels), f"{name}: a level is listed twice")
    _require("__other__" not in levels, f"{name}: __other__ is reserved")
    for level in levels:
        _require_line(level, f"{name}: level")


def _require_line(text: str, what: str) -> None:
    _require("\n" not in text, f"{what} is one line")
    _require(len(text) <= MAX_LINE, f"{what} is longer than {MAX_LINE} characters")
    _require_showable(text, what)


def _require_text(text: str, what: str) -> None:
    _require(len(text) <= MAX_TEXT, f"{what} is longer than {MAX_TEXT} characters")
    _require_showable(text, what)


def _require_showable(text: str, what: str) -> None:
    """What a person signs must show as what it is (trojan text, terminal escapes)."""
    found = UNSHOWABLE.search(text)
    if found is not None:
        raise ValueError(f"{what} has the character U+{ord(found[0]):04X}, which does not show")
