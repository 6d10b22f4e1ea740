"""Scenario files: the YAML a person writes, read strictly, explained well.

``parse_scenario_file`` turns the text into a :class:`~stayput.scenario.Scenario`;
``check_scenario_file`` collects *all* mistakes with line, column, dotted path and a hint.  YAML is
taken for its readability only: one document, no anchors, aliases, tags or repeated keys, and only
plain spellings (``true``, ``12``, ``0.5``, ``2027-06-30``), so that what a lawyer reads is what is
computed: ``NO`` is not quietly *false*, ``010`` not 8, ``1:30`` not 90.  Numbers are taken from the
text exactly, never through floats.

What is left out in the file is written out in the document: ``outside: refuse``, ``max_rows``
10**9 (or ``pad_to``), run keys of 3072 bits where tables are joined, and the rules of
:mod:`stayput.disclosure.defaults`.  Not here: what a scenario means, and
whether a holder should approve it (:mod:`stayput.approval`).  No I/O; no randomness: the nonce is
handed in.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import enum
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from stayput.approval import declared_column, role_violations
from stayput.disclosure import defaults
from stayput.errors import InvalidInput, NotFound, ScenarioError, SqlError
from stayput.scenario import (
    IDENTIFIER,
    MAX_DECIMALS,
    MAX_DELTA,
    MAX_EPSILON,
    MAX_LEVELS,
    MAX_LINE,
    MAX_NUMBER,
    MAX_RHO,
    MAX_ROWS_PER_UNIT,
    MAX_SQL,
    MAX_TEXT,
    MIN_EPSILON,
    MIN_RHO,
    RUN_KEY_BITS,
    SLUG,
    UNSHOWABLE,
    AuthorisationMode,
    Authority,
    Column,
    ColumnRole,
    ColumnType,
    Dominance,
    Duplicates,
    Grade,
    IdentifierKind,
    IdentifierRule,
    Limits,
    Model,
    ModelKind,
    NoiseMechanism,
    OutputPolicy,
    OutputReview,
    Outside,
    Parameter,
    Privacy,
    Reference,
    Scenario,
    Statement,
    TableContract,
)
from stayput.sql import plan
from stayput.strict_yaml import (
    compose,
    describe_node,
    join,
    mistake,
    number_hint,
    shown,
    trap,
)
from stayput.vertical.models import ask_model
from stayput.vertical.plan import plan_join
from stayput.vertical.questions import ask

DEFAULT_MAX_ROWS = 10**9

DEFAULT_RUN_KEY_BITS = 3072
"""As strong as the checker's key by default; 2048 is about three times as fast."""

_OF_PRIVACY = (
    "epsilon", "delta", "rho", "budget", "noise", "mechanism", "differential_privacy", "dp",
)  # fmt: skip
"""Words that belong elsewhere: they get a better answer than "unknown"."""

_SCENARIO_KEYS = (
    "scenario", "title", "purpose", "data_user", "checker", "holders", "limits", "tables",
    "join", "statements", "models", "output", "privacy", "encryption", "authorisation", "replaces",
)  # fmt: skip
_COLUMN_KEYS = (
    "type", "unit", "decimals", "min", "max", "outside", "levels", "grade", "nullable", "role",
    "description", "kind", "case", "separators", "duplicates",
)  # fmt: skip
_IDENTIFIER_KEYS = ("kind", "case", "separators", "duplicates")
_MODEL_KEYS = (
    "kind", "join", "using", "target", "predictors", "reference", "penalty", "constant",
    "description",
)  # fmt: skip
_OUTPUT_KEYS = (
    "min_count", "min_holders", "dominance", "min_count_per_holder", "group_percent", "zeros",
    "min_freedom", "rounding", "min_difference", "review", "review_below",
)  # fmt: skip
_PRIVACY_KEYS = ("mechanism", "epsilon", "delta", "rho", "unit", "max_rows_per_unit")
_DOMINANCE_KEYS = ("p_percent", "top_one_percent", "top_two_percent")
_PARAMETER_KEYS = ("type", "min", "max", "levels", "decimals")

_VERSION = re.compile(r"[a-z][a-z0-9-]{0,62}|[0-9a-f]{6,64}")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,18}))?")
_POWER_OF_TEN = re.compile(r"([1-9])e-(1[0-8]|[1-9])")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

Earlier = Callable[[str], bytes]
"""The digest of the scenario that a name, or the first digits of a digest, means."""

NO_SCENARIO = bytes(32)
"""Stands for an earlier version as long as nobody has looked which one is meant: the digest of no
scenario, so that what names it cannot be proposed (clause S-9)."""

E = TypeVar("E", bound=enum.Enum)
T = TypeVar("T")


def parse_scenario_file(text: str, *, nonce: bytes, earlier: Earlier | None = None) -> Scenario:
    """Read a scenario file.

    Args:
        text: the whole file.
        nonce: 16 fresh random bytes; they make the digest unguessable.
        earlier: looks up the scenario that it replaces; without it, that is :data:`NO_SCENARIO`.

    Raises:
        ScenarioError: the first mistake in the file; :func:`check_scenario_file` lists all.
    """
    reader = _Reader(text, earlier)
    scenario = reader.scenario(nonce)
    if reader.errors:
        raise _first(reader.errors)
    return _given(scenario)


def check_scenario_file(text: str) -> list[ScenarioError]:
    """All mistakes in a scenario file, in the order of the lines; empty when it can be proposed."""
    reader = _Reader(text)
    reader.scenario(bytes(16))
    return _in_order(reader.errors)


def parse_tables(text: str) -> tuple[TableContract, ...]:
    """Read a file that has only ``tables:``, such as a drafted table contract.

    Raises:
        ScenarioError: the first mistake.
    """
    reader = _Reader(text)
    tables = reader.tables_alone()
    if reader.errors:
        raise _first(reader.errors)
    return _given(tables)


def _in_order(errors: list[ScenarioError]) -> list[ScenarioError]:
    return sorted(errors, key=lambda error: (error.line, error.column))


def _first(errors: list[ScenarioError]) -> ScenarioError:
    """The first mistake, with its place in the sentence, for readers who see only the sentence."""
    first = _in_order(errors)[0]
    more = f" (and {len(errors) - 1} more; `stayput scenario check` lists them)"
    return ScenarioError(
        f"line {first.line}, {first.where}: {first.message}" + (more if errors[1:] else ""),
        hint=first.hint,
        line=first.line,
        column=first.column,
        where=first.where,
    )


class _Reader:
    """Walks the node tree once and collects mistakes; every ``None`` it returns has one."""

    def __init__(self, text: str, earlier: Earlier | None = None) -> None:
        self._earlier = earlier
        self.errors: list[ScenarioError] = []
        self._lines = _LINE_BREAK.split(text)
        self._sql_nodes: dict[str, ScalarNode] = {}  # by statement
        self._model_nodes: dict[str, Node] = {}
        self._only_joins = False  # nobody sees contributions, so that dominance is no usual rule
        try:
            self._root: Node | None = compose(text)
        except ScenarioError as error:
            self._root = None
            self.errors.append(error)

    # --- the parts of a scenario ------------------------------------------------------------------

    def scenario(self, nonce: bytes) -> Scenario | None:
        """The whole file."""
        if self._root is None:
            return None
        return self._attempt(lambda node, _: self._scenario(node, nonce), self._root, "")

    def _scenario(self, root: Node, nonce: bytes) -> Scenario | None:
        optional = (
            "output", "join", "statements", "models", "privacy", "encryption", "authorisation",
            "replaces",
        )  # fmt: skip
        fields = self._mapping(
            root, "", _SCENARIO_KEYS, [key for key in _SCENARIO_KEYS if key not in optional]
        )
        if "statements" not in fields and "models" not in fields:
            self._wrong(root, "", "statements is missing", _missing_hint("statements"))
        name = self._of(fields, "scenario", self._slug)
        title = self._of(fields, "title", self._line)
        purpose = self._of(fields, "purpose", self._text)
        user = self._of(fields, "data_user", self._slug)
        checker = self._of(fields, "checker", self._slug)
        holders = self._of(fields, "holders", self._holders)
        self._different_parties(fields, user, checker, holders)
        dispersed: tuple[AuthorisationMode | None, tuple[Authority, ...]] = (None, ())
        authorised = self._optional(
            fields, "authorisation", lambda n, w: self._authorisation(n, w, holders), "", dispersed
        )
        for authority in () if authorised is None else authorised[1]:
            if authority.name in (user, checker, *(holders or ())):
                self._wrong(
                    fields["authorisation"],
                    "authorisation",
                    f"{authority.name} is no authority: an authority has no other part",
                    "name a member with the role auditor",
                )
        first: tuple[bytes | None] = (None,)
        version = self._optional(fields, "replaces", self._replaces, "", first)
        limits = self._of(fields, "limits", self._limits)
        tables = self._of(fields, "tables", lambda n, w: self._tables(n, w, holders))
        no_statement: tuple[Statement, ...] = ()
        no_model: tuple[Model, ...] = ()
        statements = self._optional(fields, "statements", self._statements, "", no_statement)
        models = self._optional(fields, "models", self._models, "", no_model)
        key_bits = self._run_key_bits(fields, tables)
        proven = self._optional(fields, "encryption", self._encryption, "", False)
        self._only_joins = bool(tables) and all(table.vertical for table in tables or ())
        exact: tuple[Privacy | None] = (None,)
        noise = self._optional(fields, "privacy", self._privacy, "", exact)
        if "output" in fields:
            output = self._of(fields, "output", lambda n, w: self._output(n, w, holders, noise))
        else:
            output = self._default_output(fields, holders, noise)
        if tables and statements and holders:
            self._check_sql(statements, tables, len(holders), output, key_bits)
        if tables and models:
            self._check_models(models, tables, output, key_bits)
        if self.errors:
            return None
        return self._make(
            root,
            "",
            lambda: Scenario(
                name=_given(name),
                title=_given(title),
                purpose=_given(purpose),
                data_user=_given(user),
                checker=_given(checker),
                holders=_given(holders),
                tables=_given(tables),
                statements=_given(statements),
                output=_given(output),
                limits=_given(limits),
                nonce=nonce,
                models=_given(models),
                proven=_given(proven),
                run_key_bits=_given(key_bits),
                authorisation=_given(authorised)[0],
                authorities=_given(authorised)[1],
                replaces=_given(version)[0],
            ),
        )

    def _authorisation(
        self, node: Node, where: str, holders: tuple[str, ...] | None
    ) -> tuple[AuthorisationMode | None, tuple[Authority, ...]] | None:
        """Who has to authorise the scenario besides its holders (clause S-8)."""
        if isinstance(node, ScalarNode) and node.value == "dispersed":
            return (None, ())
        hint = (
            "write dispersed, {centralised: AUTHORITY} or {sectoral: {AUTHORITY: [holders]}}:"
            " authorities are members with the role auditor"
        )
        if not isinstance(node, MappingNode) or len(node.value) != 1:
            raise mistake(node, where, "authorisation has one mode", hint)
        fields = self._mapping(node, where, ["centralised", "sectoral"], [])
        if "centralised" in fields:
            name = self._of(fields, "centralised", self._slug, where)
            if name is None or holders is None:
                return None
            return AuthorisationMode.CENTRALISED, (Authority(name, holders),)
        found = self._of(fields, "sectoral", lambda n, w: self._sectors(n, w, holders), where)
        return None if found is None else (AuthorisationMode.SECTORAL, found)

    def _sectors(
        self, node: Node, where: str, holders: tuple[str, ...] | None
    ) -> tuple[Authority, ...] | None:
        """Authorities with the holders for whom each speaks; together all of them, each once."""
        before = len(self.errors)
        found: dict[str, tuple[str, ...]] = {}
        for key, value in self._pairs(node, where):
            at = join(where, key.value)
            name = self._attempt(self._slug, key, at)
            served = self._attempt(self._holders, value, at)
            if name is not None and served is not None:
                found[name] = served
        if holders is None or len(self.errors) > before:
            return None
        everybody = [holder for served in found.values() for holder in served]
        for holder in dict.fromkeys((*holders, *everybody)):
            if holder not in holders:
                self._wrong(node, where, f"{holder} is no holder of the scenario")
            elif everybody.count(holder) != 1:
                word = "no authority" if holder not in everybody else "two authorities"
                hint = "name each holder under the authority of its sector, once"
                self._wrong(node, where, f"{holder} has {word}", hint)
        if len(self.errors) > before:
            return None
        return tuple(Authority(name, found[name]) for name in sorted(found))

    def _replaces(self, node: Node, where: str) -> tuple[bytes | None] | None:
        """The scenario that this is a new version of (clause S-9); in a tuple, like the policy."""
        text = self._scalar(node, where)
        if not _VERSION.fullmatch(text):
            hint = "the name of the earlier version, or its digest as `scenario list` shows it"
            raise mistake(node, where, f"{shown(text)} names no scenario", hint)
        if self._earlier is None:
            return (bytes.fromhex(text) if len(text) == 64 else NO_SCENARIO,)
        try:
            return (self._earlier(text),)
        except (NotFound, InvalidInput) as error:
            raise mistake(node, where, error.message, error.hint) from None

    def _encryption(self, node: Node, where: str) -> bool | None:
        fields = self._mapping(node, where, ["proof_of_knowledge"], [])
        return self._optional(fields, "proof_of_knowledge", self._truth, where, False)

    def _run_key_bits(
        self, fields: Mapping[str, Node], tables: tuple[TableContract, ...] | None
    ) -> int | None:
        vertical = any(table.vertical for table in tables or ())
        if "join" not in fields:
            return DEFAULT_RUN_KEY_BITS if vertical else 0
        if tables is not None and not vertical:
            self._wrong(
                fields["join"],
                "join",
                "no table has an identifier to join by",
                "give the people a column of type identifier in each table, or remove join",
            )
        return self._of(fields, "join", self._join)

    def _join(self, node: Node, where: str) -> int | None:
        fields = self._mapping(node, where, ["key_bits"], [])
        bits = self._optional(
            fields,
            "key_bits",
            lambda n, w: self._integer(n, w, 1, 10**6),
            where,
            DEFAULT_RUN_KEY_BITS,
        )
        if bits is not None and bits not in RUN_KEY_BITS:
            raise mistake(
                fields["key_bits"],
                f"{where}.key_bits",
                f"{bits} is no size of a run key",
                "write 2048, 3072 or 4096",
            )
        return bits

    def tables_alone(self) -> tuple[TableContract, ...] | None:
        """A file of table contracts."""
        if self._root is None:
            return None
        return self._attempt(self._tables_alone, self._root, "")

    def _tables_alone(self, root: Node, where: str) -> tuple[TableContract, ...] | None:
        fields = self._mapping(root, where, ["tables"], ["tables"])
        return self._of(fields, "tables", lambda n, w: self._tables(n, w, None))

    def _holders(self, node: Node, where: str) -> tuple[str, ...] | None:
        items = self._sequence(node, where, self._slug)
        return None if items is None else self._distinct(node, where, items, "holder")

    def _different_parties(
        self,
        fields: Mapping[str, Node],
        user: str | None,
        checker: str | None,
        holders: tuple[str, ...] | None,
    ) -> None:
        hint = (
            "data user, checker and holders are different parties: nobody checks its own question"
        )
        if checker is not None and (checker == user or checker in (holders or ())):
            self._wrong(fields["checker"], "checker", f"{checker} has another role here", hint)
        if user is not None and user in (holders or ()):
            self._wrong(fields["data_user"], "data_user", f"{user} is also a holder", hint)
        if holders is not None and len(holders) < 2:
            self._wrong(
                fields["holders"],
                "holders",
                "a scenario has at least 2 holders",
                "the sum of one holder would be that holder's part",
            )

    def _limits(self, node: Node, where: str) -> Limits | None:
        keys = ["runs", "valid_until"]
        fields = self._mapping(node, where, keys, keys)
        runs = self._of(fields, "runs", lambda n, w: self._integer(n, w, 1, 100_000), where)
        until = self._of(fields, "valid_until", self._end_of_day, where)
        if runs is None or until is None:
            return None
        return self._make(node, where, lambda: Limits(runs=runs, valid_until=until))

    def _output(
        self,
        node: Node,
        where: str,
        holders: tuple[str, ...] | None,
        noise: tuple[Privacy | None] | None,
    ) -> OutputPolicy | None:
        before = len(self.errors)
        fields = self._mapping(node, where, _OUTPUT_KEYS, [])
        if noise != (None,):
            return self._noisy_output(node, fields, where, holders, noise)

        def number(key: str, low: int, high: int, default: int) -> int:
            found = self._optional(
                fields, key, lambda n, w: self._number_or_none(n, w, low, high), where, default
            )
            return default if found is None else found

        count = number("min_count", 1, 10**6, defaults.MIN_COUNT)
        least = self._optional(
            fields, "min_holders", self._min_holders, where, defaults.MIN_HOLDERS
        )
        usual: tuple[Dominance | None] = (None if self._only_joins else defaults.DOMINANCE,)
        dominance = self._optional(fields, "dominance", self._dominance, where, usual)
        zeros = self._optional(fields, "zeros", self._zeros, where, defaults.RELEASE_ZEROS)
        freedom = number("min_freedom", 1, 10**6, defaults.MIN_FREEDOM)
        group = number("group_percent", 51, 100, defaults.GROUP_PERCENT)
        few = number("min_count_per_holder", 2, 10**6, defaults.MIN_COUNT_PER_HOLDER)
        rounding = number("rounding", 2, 1_000, defaults.ROUNDING)
        usually = 0 if self._only_joins else defaults.MIN_DIFFERENCE
        difference = number("min_difference", 2, 10**6, usually)
        automatic: tuple[OutputReview | None] = (None,)
        review = self._optional(fields, "review", self._review, where, automatic)
        below = number("review_below", 2, 10**6, 0)
        if least is not None:
            place = fields.get("min_holders", node)
            self._enough_holders(place, f"{where}.min_holders", least, holders)
        if len(self.errors) > before:
            return None
        return self._make(
            node,
            where,
            lambda: OutputPolicy(
                min_count=count,
                min_holders=_given(least),
                dominance=_given(dominance)[0],
                min_count_per_holder=few,
                group_percent=group,
                release_zeros=_given(zeros),
                min_freedom=freedom,
                rounding=rounding,
                min_difference=difference,
                review=_given(review)[0],
                review_below=below,
            ),
        )

    def _noisy_output(
        self,
        node: Node,
        fields: Mapping[str, Node],
        where: str,
        holders: tuple[str, ...] | None,
        noise: tuple[Privacy | None] | None,
    ) -> OutputPolicy | None:
        """A policy with noise: what needs an exact number cannot be promised.  People may look at
        results, since what they see is the noisy table."""
        for key in fields:
            if key not in ("min_count", "min_holders", "review", "review_below"):
                self._wrong(
                    fields[key],
                    join(where, key),
                    f"{key} is not evaluated where holders add noise",
                    "leave it out: noise takes its place, and min_count is compared with the noisy "
                    "count",
                )
        usual = defaults.MIN_COUNT
        count = self._optional(
            fields, "min_count", lambda n, w: self._number_or_none(n, w, 1, 10**6), where, usual
        )
        least = self._optional(
            fields, "min_holders", self._min_holders, where, defaults.MIN_HOLDERS
        )
        if least is not None:
            place = fields.get("min_holders", node)
            self._enough_holders(place, f"{where}.min_holders", least, holders)
        automatic: tuple[OutputReview | None] = (None,)
        review = self._optional(fields, "review", self._review, where, automatic)
        below = self._optional(
            fields, "review_below", lambda n, w: self._number_or_none(n, w, 2, 10**6), where, 0
        )
        if self.errors or noise is None:
            return None
        return self._make(
            node,
            where,
            lambda: OutputPolicy(
                _given(count),
                _given(least),
                privacy=noise[0],
                review=_given(review)[0],
                review_below=_given(below),
            ),
        )

    def _privacy(self, node: Node, where: str) -> tuple[Privacy | None] | None:
        """In a tuple, since a scenario without noise is no mistake."""
        before = len(self.errors)
        fields = self._mapping(node, where, _PRIVACY_KEYS, ["mechanism"])
        mechanism = self._of(
            fields, "mechanism", lambda n, w: self._word(n, w, NoiseMechanism), where
        )
        costs = {
            "epsilon": (9, MIN_EPSILON, MAX_EPSILON),
            "rho": (9, MIN_RHO, MAX_RHO),
            "delta": (18, 1, MAX_DELTA),
        }
        given = {
            key: self._of(fields, key, self._cost(*costs[key]), where)
            for key in costs
            if key in fields
        }
        wanted = _COSTS.get(mechanism, ())
        if mechanism is not None and tuple(given) not in wanted:
            words = " or ".join(" and ".join(keys) for keys in wanted)
            self._wrong(
                node,
                where,
                f"{mechanism.name.lower()} noise is declared by {words}",
                "such as  privacy: {mechanism: gaussian, rho: 0.05}",
            )
        unit = self._optional(fields, "unit", self._line, where, "row")
        most = self._optional(
            fields,
            "max_rows_per_unit",
            lambda n, w: self._integer(n, w, 1, MAX_ROWS_PER_UNIT),
            where,
            1,
        )
        if len(self.errors) > before or mechanism is None or unit is None or most is None:
            return None
        if unit != "row" and "max_rows_per_unit" not in fields:
            hint = "how many rows of one of them may enter: the noise grows with it"
            raise mistake(node, where, "max_rows_per_unit is missing", hint)
        return self._make(
            node,
            where,
            lambda: (
                Privacy(
                    mechanism=mechanism,
                    epsilon=_given(given.get("epsilon", 0)),
                    delta=_given(given.get("delta", 0)),
                    rho=_given(given.get("rho", 0)),
                    unit="" if unit == "row" else unit,
                    max_rows_per_unit=most,
                ),
            ),
        )

    def _cost(self, places: int, low: int, high: int) -> Callable[[Node, str], int]:
        """A cost in units of ``10**-places``, within bounds that leave noise and promise intact."""

        def read(node: Node, where: str) -> int:
            text = self._number(node, where, "a number")
            power = _POWER_OF_TEN.fullmatch(text)
            if power is not None and int(power[2]) <= places:
                value = int(f"{power[1]}{'0' * (places - int(power[2]))}")
            else:
                value = self._scaled(node, where, places)
            if not low <= value <= high:
                least, most = (_plain(bound, places) for bound in (low, high))
                raise mistake(
                    node,
                    where,
                    f"{text} is outside {least} to {most}",
                    "more noise than that drowns every number, less hides nobody",
                )
            return value

        return read

    def _number_or_none(self, node: Node, where: str, low: int, high: int) -> int:
        """A number, or ``none`` for a rule that can be switched off."""
        if isinstance(node, ScalarNode) and node.value == "none":
            if where.endswith("min_count"):
                raise mistake(node, where, "min_count cannot be switched off", "write a number")
            return 0
        return self._integer(node, where, low, high)

    def _dominance(self, node: Node, where: str) -> tuple[Dominance | None] | None:
        """In a tuple, since a policy without the rule is no mistake."""
        if isinstance(node, ScalarNode) and node.value == "none":
            return (None,)
        before = len(self.errors)
        fields = self._mapping(node, where, _DOMINANCE_KEYS, [])
        share = self._optional(fields, "p_percent", self._percent_of(1_000), where, 0)
        one = self._optional(fields, "top_one_percent", self._percent_of(99), where, 0)
        two = self._optional(fields, "top_two_percent", self._percent_of(99), where, 0)
        if len(self.errors) > before:
            return None
        if not fields:
            hint = "write dominance: {p_percent: 10}, or dominance: none"
            raise mistake(node, where, "dominance has no rule", hint)
        return (Dominance(_given(share), _given(one), _given(two)),)

    def _percent_of(self, most: int) -> Callable[[Node, str], int]:
        return lambda node, where: self._integer(node, where, 1, most)

    def _review(self, node: Node, where: str) -> tuple[OutputReview | None] | None:
        """In a tuple, since a policy without review is no mistake."""
        words = {"none": None, "doubtful": OutputReview.DOUBTFUL, "always": OutputReview.ALWAYS}
        if isinstance(node, ScalarNode) and node.value in words:
            return (words[node.value],)
        raise mistake(node, where, "review is none, doubtful or always", "write review: doubtful")

    def _zeros(self, node: Node, where: str) -> bool:
        if isinstance(node, ScalarNode) and node.value in ("withhold", "release"):
            return bool(node.value == "release")
        raise mistake(node, where, "zeros is withhold or release", "write zeros: withhold")

    def _default_output(
        self,
        fields: Mapping[str, Node],
        holders: tuple[str, ...] | None,
        noise: tuple[Privacy | None] | None,
    ) -> OutputPolicy | None:
        if holders is not None:
            place = fields["holders"]
            self._enough_holders(place, "output.min_holders", defaults.MIN_HOLDERS, holders)
        if noise is None:
            return None
        if noise[0] is not None:
            return defaults.noisy_policy(noise[0])
        policy = defaults.policy()
        if self._only_joins:  # what joins cannot check
            return dataclasses.replace(policy, dominance=None, min_difference=0)
        return policy

    def _enough_holders(
        self, node: Node, where: str, least: int, holders: tuple[str, ...] | None
    ) -> None:
        if holders is None or len(holders) < 2 or least <= len(holders):
            return
        waiver = "; each holder then has to waive the default of 3" if len(holders) == 2 else ""
        self._wrong(
            node,
            where,
            f"min_holders is {least}, but only {len(holders)} holders take part",
            f"write  output: {{min_holders: {len(holders)}}}{waiver}",
        )

    def _min_holders(self, node: Node, where: str) -> int:
        value = self._integer(node, where, 1, 65_536)
        if value == 1:
            raise mistake(
                node,
                where,
                "min_holders is at least 2",
                "a cell of one holder would be that holder's part",
            )
        return value

    def _tables(
        self, node: Node, where: str, holders: tuple[str, ...] | None
    ) -> tuple[TableContract, ...] | None:
        return self._named(node, where, "table", lambda n, w, k: self._table(n, w, k, holders))

    def _table(
        self, node: Node, where: str, name: str, holders: tuple[str, ...] | None
    ) -> TableContract | None:
        keys = ["at", "max_rows", "pad_to", "unit", "units_apart", "columns"]
        fields = self._mapping(node, where, keys, ["at", "columns"])
        at = self._of(fields, "at", self._holders, where)
        columns = self._of(
            fields, "columns", lambda n, w: self._named(n, w, "column", self._column), where
        )
        vertical = "columns" in fields and _has_identifier(fields["columns"])
        if vertical and at is not None:
            self._at_one_holder(fields["at"], f"{where}.at", at, holders)
        elif at is not None and holders is not None and sorted(at) != sorted(holders):
            stray = sorted(set(at) ^ set(holders))
            self._wrong(
                fields["at"],
                f"{where}.at",
                f"'at' and the holders of the scenario differ: {', '.join(stray)}",
                "a table is at every holder of the scenario, and at nobody else; what one holder "
                "alone knows of people has a column of type identifier",
            )
        padded = self._optional(
            fields, "pad_to", lambda n, w: self._integer(n, w, 1, 2**40), where, 0
        )
        usual = padded or DEFAULT_MAX_ROWS
        rows = self._optional(
            fields, "max_rows", lambda n, w: self._integer(n, w, 1, 2**40), where, usual
        )
        unit = self._optional(fields, "unit", self._line, where, "")
        apart = self._optional(fields, "units_apart", self._truth, where, False)
        if at is None or rows is None or columns is None or unit is None or apart is None:
            return None
        if padded is None or (vertical and len(at) > 1):
            return None
        return self._make(
            node, where, lambda: TableContract(name, at, columns, rows, unit, apart, padded)
        )

    def _at_one_holder(
        self, node: Node, where: str, at: tuple[str, ...], holders: tuple[str, ...] | None
    ) -> None:
        hint = (
            "each holder declares what it knows of the people in a table of its own, and the SQL "
            "joins them: FROM one JOIN other USING (person)"
        )
        if len(at) > 1:
            self._wrong(node, where, "a table with an identifier is at one holder", hint)
        for name in sorted(set(at) - set(holders or at)):
            self._wrong(node, where, f"{name} is no holder of the scenario", "add it to holders")

    def _column(self, node: Node, where: str, name: str) -> Column | None:
        before = len(self.errors)
        fields = self._mapping(node, where, _COLUMN_KEYS, ["type", "grade"])
        kind, decimals, low, high, levels = self._domain(node, fields, where)
        grade = self._of(fields, "grade", lambda n, w: self._word(n, w, Grade), where)
        outside = self._optional(
            fields, "outside", lambda n, w: self._word(n, w, Outside), where, Outside.REFUSE
        )
        if "outside" in fields:
            self._outside_fits(fields["outside"], f"{where}.outside", kind, outside)
        unit = self._optional(fields, "unit", self._line, where, "")
        about = self._optional(fields, "description", self._text, where, "")
        null = self._optional(fields, "nullable", self._truth, where, False)
        rule = self._identifier_rule(fields, where, kind)
        anything: tuple[ColumnRole, ...] = ()
        roles = self._optional(fields, "role", self._roles, where, anything)
        if len(self.errors) > before or kind is None:
            return None
        return self._make(
            node,
            where,
            lambda: Column(
                name=name,
                type=kind,
                grade=_given(grade),
                outside=_given(outside),
                unit=_given(unit),
                decimals=decimals,
                minimum=low,
                maximum=high,
                levels=levels,
                nullable=_given(null),
                description=_given(about),
                roles=_given(roles),
                identifier=rule,
            ),
        )

    def _identifier_rule(
        self, fields: Mapping[str, Node], where: str, kind: ColumnType | None
    ) -> IdentifierRule | None:
        """How identifiers are brought into one form; ``None`` for other columns."""
        if kind is not ColumnType.IDENTIFIER:
            for key in _IDENTIFIER_KEYS:
                if kind is not None and key in fields:
                    hint = "only type identifier has it"
                    word = kind.name.lower()
                    self._wrong(fields[key], f"{where}.{key}", f"type {word} has no {key}", hint)
            return None
        for key in ("unit", "role", "nullable", "outside"):
            if key in fields:
                self._wrong(
                    fields[key],
                    f"{where}.{key}",
                    f"type identifier has no {key}",
                    "an identifier only joins; what does not fit its kind refuses the run",
                )
        form = self._optional(
            fields, "kind", lambda n, w: self._word(n, w, IdentifierKind), where,
            IdentifierKind.TEXT,
        )  # fmt: skip
        twice = self._optional(
            fields, "duplicates", lambda n, w: self._word(n, w, Duplicates), where,
            Duplicates.REFUSE,
        )  # fmt: skip
        any_case = self._optional(fields, "case", self._any_case, where, False)
        left_out = self._optional(fields, "separators", self._separators, where, "")
        if form is None or twice is None or any_case is None or left_out is None:
            return None
        for key in ("case", "separators"):
            if form is not IdentifierKind.TEXT and key in fields:
                self._wrong(
                    fields[key],
                    f"{where}.{key}",
                    f"kind {form.name.lower()} has no {key}",
                    "it is read in capitals, without spaces and hyphens",
                )
                return None
        return IdentifierRule(form, twice, any_case, left_out)

    def _any_case(self, node: Node, where: str) -> bool:
        if isinstance(node, ScalarNode) and node.value in ("keep", "ignore"):
            return bool(node.value == "ignore")
        raise mistake(node, where, "case is keep or ignore", "write case: ignore")

    def _separators(self, node: Node, where: str) -> str:
        text = self._scalar(node, where)
        found = "".join(sorted(set(text)))
        self._make(node, where, lambda: IdentifierRule(IdentifierKind.TEXT, separators=found))
        return found

    def _outside_fits(
        self, node: Node, where: str, kind: ColumnType | None, outside: Outside | None
    ) -> None:
        if outside is Outside.CLIP and kind in (ColumnType.LEVEL, ColumnType.BOOLEAN):
            self._wrong(
                node, where, "only numbers can be clipped", "use refuse, or other for levels"
            )
        if outside is Outside.OTHER and kind not in (ColumnType.LEVEL, None):
            self._wrong(
                node, where, "only levels have an __other__ cell", "use refuse, or clip for numbers"
            )

    def _roles(self, node: Node, where: str) -> tuple[ColumnRole, ...] | None:
        if isinstance(node, ScalarNode):
            return (self._word(node, where, ColumnRole),)
        items = self._sequence(node, where, lambda n, w: self._word(n, w, ColumnRole))
        if items is None:
            return None
        return tuple(sorted(set(items), key=lambda role: role.value))

    def _statements(self, node: Node, where: str) -> tuple[Statement, ...] | None:
        return self._named(node, where, "statement", self._statement)

    def _statement(self, node: Node, where: str, name: str) -> Statement | None:
        fields = self._mapping(node, where, ["sql", "parameters", "description"], ["sql"])
        sql = self._of(fields, "sql", self._sql, where)
        node_of_sql = fields.get("sql")
        if isinstance(node_of_sql, ScalarNode):
            self._sql_nodes[name] = node_of_sql
        about = self._optional(fields, "description", self._text, where, "")
        none: tuple[Parameter, ...] = ()
        parameters = self._optional(fields, "parameters", self._parameters, where, none)
        if sql is None or about is None or parameters is None:
            return None
        return self._make(node, where, lambda: Statement(name, sql, parameters, about))

    def _models(self, node: Node, where: str) -> tuple[Model, ...] | None:
        return self._named(node, where, "model", self._model)

    def _model(self, node: Node, where: str, name: str) -> Model | None:
        before = len(self.errors)
        fields = self._mapping(
            node, where, _MODEL_KEYS, ["kind", "join", "using", "target", "predictors"]
        )
        kind = self._of(fields, "kind", lambda n, w: self._word(n, w, ModelKind), where)
        column: Callable[[Node, str], str] = lambda n, w: self._identifier(n, w, "column")  # noqa: E731
        tables = self._of(
            fields,
            "join",
            lambda n, w: self._sequence(n, w, lambda i, v: self._identifier(i, v, "table")),
            where,
        )
        using = self._of(fields, "using", column, where)
        target = self._of(fields, "target", column, where)
        predictors = self._of(
            fields, "predictors", lambda n, w: self._sequence(n, w, column), where
        )
        none: tuple[Reference, ...] = ()
        references = self._optional(fields, "reference", self._references, where, none)
        penalty = self._optional(fields, "penalty", self._penalty, where, (0, 0))
        constant = self._optional(fields, "constant", self._truth, where, True)
        about = self._optional(fields, "description", self._text, where, "")
        if len(self.errors) > before:
            return None
        self._model_nodes[name] = node
        value, decimals = _given(penalty)
        return self._make(
            node,
            where,
            lambda: Model(
                name=name,
                kind=_given(kind),
                tables=_given(tables),
                using=_given(using),
                target=_given(target),
                predictors=_given(predictors),
                references=_given(references),
                penalty=value,
                penalty_decimals=decimals,
                without_constant=not _given(constant),
                description=_given(about),
            ),
        )

    def _references(self, node: Node, where: str) -> tuple[Reference, ...] | None:
        found = []
        for key, value in self._pairs(node, where):
            at = join(where, key.value)
            column = self._attempt(lambda n, w: self._identifier(n, w, "column"), key, at)
            level = self._attempt(self._line, value, at)
            if column is not None and level is not None:
                found.append(Reference(column, level))
        return tuple(found)

    def _penalty(self, node: Node, where: str) -> tuple[int, int]:
        """A number with the decimals that it is written with."""
        _, _, part = self._number(node, where, "a number").partition(".")
        decimals = min(len(part), MAX_DECIMALS)
        return self._scaled(node, where, decimals), decimals

    def _parameters(self, node: Node, where: str) -> tuple[Parameter, ...] | None:
        return self._named(node, where, "parameter", self._parameter)

    def _parameter(self, node: Node, where: str, name: str) -> Parameter | None:
        before = len(self.errors)
        fields = self._mapping(node, where, _PARAMETER_KEYS, ["type"])
        kind, decimals, low, high, levels = self._domain(node, fields, where)
        if len(self.errors) > before or kind is None:
            return None
        return self._make(node, where, lambda: Parameter(name, kind, decimals, low, high, levels))

    def _domain(
        self, node: Node, fields: Mapping[str, Node], where: str
    ) -> tuple[ColumnType | None, int, int | None, int | None, tuple[str, ...]]:
        """Type, decimals, scaled bounds and levels of a column or parameter."""
        kind = self._of(fields, "type", lambda n, w: self._word(n, w, ColumnType), where)
        if kind is ColumnType.IDENTIFIER and where.rpartition(".")[0].endswith(".parameters"):
            self._wrong(
                fields["type"],
                f"{where}.type",
                "a parameter is no identifier",
                "nobody is looked up: results are aggregates over everybody who is joined",
            )
            return None, 0, None, None, ()
        if kind is None:
            return None, 0, None, None, ()
        allowed = {
            ColumnType.LEVEL: ["levels"],
            ColumnType.INTEGER: ["min", "max"],
            ColumnType.DECIMAL: ["decimals", "min", "max"],
            ColumnType.BOOLEAN: [],
            ColumnType.IDENTIFIER: [],
        }[kind]
        word = kind.name.lower()
        for key in ("decimals", "min", "max", "levels"):
            if key in fields and key not in allowed:
                self._wrong(
                    fields[key], f"{where}.{key}", f"type {word} has no {key}", _misplaced_hint(key)
                )
            if key not in fields and key in allowed:
                self._wrong(node, where, f"{key} is missing", _missing_hint(key))
        decimals = 0
        if "decimals" in fields and "decimals" in allowed:
            found = self._of(
                fields, "decimals", lambda n, w: self._integer(n, w, 0, MAX_DECIMALS), where
            )
            if found is None:
                return kind, 0, None, None, ()
            decimals = found
        low = high = None
        if "min" in fields and "min" in allowed:
            low = self._of(fields, "min", lambda n, w: self._scaled(n, w, decimals), where)
        if "max" in fields and "max" in allowed:
            high = self._of(fields, "max", lambda n, w: self._scaled(n, w, decimals), where)
        if low is not None and high is not None and low > high:
            self._wrong(fields["min"], f"{where}.min", "min is above max", "swap the two")
        levels: tuple[str, ...] | None = ()
        if "levels" in fields and "levels" in allowed:
            levels = self._of(fields, "levels", self._levels, where)
        return kind, decimals, low, high, levels or ()

    def _levels(self, node: Node, where: str) -> tuple[str, ...] | None:
        items = self._sequence(node, where, self._line)
        if items is None:
            return None
        if len(items) > MAX_LEVELS:
            raise mistake(
                node,
                where,
                f"more than {MAX_LEVELS} levels",
                "a list this long is an identifier: group it",
            )
        if "__other__" in items:
            raise mistake(
                node,
                where,
                "__other__ is reserved",
                "write outside: other to collect all other values there",
            )
        return self._distinct(node, where, items, "level")

    # --- SQL --------------------------------------------------------------------------------------

    def _check_sql(
        self,
        statements: tuple[Statement, ...],
        tables: tuple[TableContract, ...],
        holders: int,
        output: OutputPolicy | None,
        key_bits: int | None,
    ) -> None:
        """Plan every statement; positions inside the SQL become positions in the file."""
        for statement in statements:
            sql = self._sql_nodes[statement.name]
            where = f"statements.{statement.name}.sql"
            try:
                planned = plan(statement, tables, holders, output)
                if planned.joined:
                    question = ask(planned, tables, output)
                    plan_join(question, tables, key_bits or DEFAULT_RUN_KEY_BITS)
            except SqlError as error:
                line, column = self._sql_position(sql, error.line, error.column)
                self.errors.append(
                    ScenarioError(
                        error.message, hint=error.hint, line=line, column=column, where=where
                    )
                )
                continue
            except InvalidInput as error:  # it takes more than the protocol has
                self._wrong(sql, where, error.message, error.hint)
                continue
            for column_name, message in role_violations(planned, tables):
                contract, column_declared = declared_column(planned, column_name, tables)
                self._wrong(
                    sql,
                    where,
                    message,
                    f"change the statement, or the role of {contract.name}.{column_declared.name}",
                )

    def _check_models(
        self,
        models: tuple[Model, ...],
        tables: tuple[TableContract, ...],
        output: OutputPolicy | None,
        key_bits: int | None,
    ) -> None:
        for model in models:
            try:
                question = ask_model(model, tables, output)
                plan_join(question, tables, key_bits or DEFAULT_RUN_KEY_BITS)
            except InvalidInput as error:
                node, where = self._model_nodes[model.name], f"models.{model.name}"
                self._wrong(node, where, error.message, error.hint)

    def _sql_position(self, node: ScalarNode, line: int, column: int) -> tuple[int, int]:
        """Line and column in the file of a place in the SQL (both 1-based; 0: unknown)."""
        mark = node.start_mark
        start = (mark.line + 1, mark.column + 1)
        if line < 1:
            return start
        if node.style == "|":
            # The raw lines are the value's lines plus one constant indentation.
            for offset, written in enumerate(node.value.split("\n")):
                if written.strip():
                    raw = self._lines[mark.line + 1 + offset]
                    indent = len(raw) - len(written)
                    return mark.line + 1 + line, indent + max(column, 1)
        if node.style in (None, '"', "'") and node.start_mark.line == node.end_mark.line:
            quote = 0 if node.style is None else 1
            return mark.line + 1, mark.column + quote + max(column, 1)
        return start

    def _sql(self, node: Node, where: str) -> str:
        text = self._scalar(node, where)
        text = text.rstrip()
        if not text:
            raise mistake(node, where, "the SQL is empty")
        return self._showable(node, where, text, MAX_SQL)

    # --- shapes -----------------------------------------------------------------------------------

    def _mapping(
        self, node: Node, where: str, allowed: Sequence[str], required: Sequence[str]
    ) -> dict[str, Node]:
        """The values of a mapping by key; unknown, repeated and missing keys are mistakes."""
        pairs = self._pairs(node, where)
        fields: dict[str, Node] = {}
        for key, value in pairs:
            if key.value in allowed:
                fields[key.value] = value
            else:
                self._unknown(key, where, allowed, fields)
        missing = [key for key in required if key not in fields]
        for name in missing:
            self._wrong(node, where, f"{name} is missing", _missing_hint(name))
        return fields

    def _pairs(self, node: Node, where: str) -> list[tuple[ScalarNode, Node]]:
        if not isinstance(node, MappingNode):
            raise mistake(
                node,
                where,
                f"expected keys and values, found {describe_node(node)}",
                "write  key: value  lines, indented by two spaces",
            )
        pairs = []
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._wrong(key, where, "a key is a plain word")
            elif key.value in seen:
                self._wrong(
                    key,
                    join(where, key.value),
                    f"{shown(key.value)} appears twice",
                    f"the first one is in line {seen[key.value]}",
                )
            else:
                seen[key.value] = key.start_mark.line + 1
                pairs.append((key, value))
        return pairs

    def _unknown(
        self, key: ScalarNode, where: str, allowed: Sequence[str], found: Mapping[str, Node]
    ) -> None:
        name = key.value
        if name in _OF_PRIVACY:
            hint = "noise is declared in  privacy: {mechanism: gaussian, rho: 0.05}"
            self._wrong(key, join(where, name), f"{shown(name)} has another place", hint)
            return
        free = [candidate for candidate in allowed if candidate not in found]
        near = difflib.get_close_matches(name.lower().replace("-", "_"), free, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else "known here: " + ", ".join(allowed)
        self._wrong(key, join(where, name), f"unknown key {shown(name)}", hint)

    def _named(
        self, node: Node, where: str, kind: str, read: Callable[[Node, str, str], T | None]
    ) -> tuple[T, ...] | None:
        """A mapping from names (plain SQL identifiers) to things of one kind."""
        pairs = self._pairs(node, where)
        if not pairs:
            raise mistake(node, where, f"there is no {kind}")
        items: list[T | None] = []
        for key, value in pairs:
            at = join(where, key.value)
            name = self._attempt(lambda n, w: self._identifier(n, w, kind), key, at)
            # A bad name does not hide the mistakes below it.
            item = self._attempt(functools.partial(_with_name, read, name or "unnamed"), value, at)
            items.append(None if name is None else item)
        complete = [item for item in items if item is not None]
        return tuple(complete) if len(complete) == len(items) else None

    def _sequence(
        self, node: Node, where: str, read: Callable[[Node, str], T | None]
    ) -> tuple[T, ...] | None:
        if not isinstance(node, SequenceNode):
            raise mistake(
                node,
                where,
                f"expected a list, found {describe_node(node)}",
                "write it as [one, two]",
            )
        if not node.value:
            raise mistake(node, where, "the list is empty")
        items = [self._attempt(read, item, f"{where}[{i}]") for i, item in enumerate(node.value)]
        complete = [item for item in items if item is not None]
        return tuple(complete) if len(complete) == len(items) else None

    def _distinct(
        self, node: Node, where: str, items: tuple[str, ...], kind: str
    ) -> tuple[str, ...]:
        twice = next((item for i, item in enumerate(items) if item in items[:i]), None)
        if twice is None:
            return items
        at = [child for child in node.value if child.value == twice][1]
        raise mistake(at, where, f"{kind} {shown(twice)} is listed twice")

    # --- scalars ----------------------------------------------------------------------------------

    def _scalar(self, node: Node, where: str) -> str:
        """Text; what YAML would take for something else is a mistake with a hint."""
        if not isinstance(node, ScalarNode):
            raise mistake(node, where, f"expected a text, found {describe_node(node)}")
        misread = trap(node)
        if misread is not None:
            raise mistake(node, where, *misread)
        return str(node.value)

    def _line(self, node: Node, where: str) -> str:
        text = self._scalar(node, where)
        text = text.strip()
        if not text or "\n" in text:
            raise mistake(node, where, "expected one line of text")
        return self._showable(node, where, text, MAX_LINE)

    def _text(self, node: Node, where: str) -> str:
        text = self._scalar(node, where)
        if not text.strip():
            raise mistake(node, where, "the text is empty")
        return self._showable(node, where, text.strip(), MAX_TEXT)

    def _showable(self, node: Node, where: str, text: str, limit: int) -> str:
        if len(text) > limit:
            raise mistake(node, where, f"the text has more than {limit} characters")
        found = UNSHOWABLE.search(text.replace("\t", " "))
        if found is None and ("\t" not in text or where.endswith(".sql")):
            return text
        code = ord(found[0]) if found else 9
        raise mistake(
            node,
            where,
            f"the text has the character U+{code:04X}",
            "it does not show as what it is: remove it",
        )

    def _slug(self, node: Node, where: str) -> str:
        text = self._scalar(node, where)
        if SLUG.fullmatch(text):
            return text
        near = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
        raise mistake(
            node,
            where,
            f"{shown(text)} is no name",
            "small letters, digits and hyphens, a letter first"
            + (f", such as {near}" if SLUG.fullmatch(near) else ""),
        )

    def _identifier(self, node: Node, where: str, kind: str) -> str:
        text = self._scalar(node, where)
        if IDENTIFIER.fullmatch(text):
            return text
        near = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
        raise mistake(
            node,
            where,
            f"{shown(text)} is no name of a {kind}",
            "small letters, digits and underscores, a letter first"
            + (f", such as {near}" if IDENTIFIER.fullmatch(near) else ""),
        )

    def _word(self, node: Node, where: str, kind: type[E]) -> E:
        words = [member.name.lower() for member in kind]
        if not isinstance(node, ScalarNode):
            raise mistake(
                node,
                where,
                f"expected a word, found {describe_node(node)}",
                "one of " + ", ".join(words),
            )
        if node.value in words:
            return kind[node.value.upper()]
        near = _SYNONYMS.get(node.value.lower(), "")
        if near not in words:
            near = next(iter(difflib.get_close_matches(node.value.lower(), words, 1, 0.5)), "")
        hint = "one of " + ", ".join(words) + (f"; did you mean {near}?" if near else "")
        if node.value.lower() in _UNSUPPORTED_TYPES and kind is ColumnType:
            hint = _UNSUPPORTED_TYPES[node.value.lower()]
        raise mistake(node, where, f"{shown(node.value)} is not known here", hint)

    def _truth(self, node: Node, where: str) -> bool:
        if isinstance(node, ScalarNode) and node.style is None and node.value in ("true", "false"):
            return bool(node.value == "true")
        raise mistake(node, where, "expected true or false", "write it without quotes")

    def _number(self, node: Node, where: str, what: str) -> str:
        if not isinstance(node, ScalarNode):
            raise mistake(node, where, f"expected {what}, found {describe_node(node)}")
        if node.style is not None:
            raise mistake(node, where, f"expected {what}, found a quoted text", "remove the quotes")
        return str(node.value)

    def _integer(self, node: Node, where: str, low: int, high: int) -> int:
        text = self._number(node, where, "a whole number")
        if not _INTEGER.fullmatch(text):
            raise mistake(
                node, where, f"expected a whole number, found {shown(text)}", number_hint(text)
            )
        if not low <= int(text) <= high:
            raise mistake(node, where, f"{text} is outside {low} to {high}")
        return int(text)

    def _scaled(self, node: Node, where: str, decimals: int) -> int:
        """A number as an integer in units of ``10**-decimals``, exactly."""
        text = self._number(node, where, "a number")
        match = _DECIMAL.fullmatch(text)
        if match is None:
            raise mistake(node, where, f"expected a number, found {shown(text)}", number_hint(text))
        sign, whole, part = match[1], match[2], match[3] or ""
        if len(part) > decimals:
            raise mistake(
                node,
                where,
                f"{text} has {len(part)} decimals, but {decimals} are declared",
                "declare more decimals, or round outwards"
                if decimals
                else "use type decimal with decimals, or a whole number",
            )
        value = int(whole + part.ljust(decimals, "0"))
        if value > MAX_NUMBER:
            raise mistake(
                node,
                where,
                f"{text} is too large",
                "at most 10**18 in units of the last decimal: use a coarser unit",
            )
        return -value if sign else value

    def _end_of_day(self, node: Node, where: str) -> int:
        """The first second after a day, UTC: ``valid_until`` includes its day."""
        if not isinstance(node, ScalarNode):
            raise mistake(
                node, where, f"expected a date, found {describe_node(node)}", "such as 2027-06-30"
            )
        match = _DATE.fullmatch(node.value)
        if match is None:
            hint = "write year-month-day, such as 2027-06-30; it means the end of that day, UTC"
            raise mistake(node, where, f"{shown(node.value)} is no date", hint)
        try:
            day = datetime.date(int(match[1]), int(match[2]), int(match[3]))
            after = day + datetime.timedelta(days=1)
        except (ValueError, OverflowError):
            raise mistake(node, where, f"{node.value} is not in the calendar") from None
        seconds = (after - datetime.date(1970, 1, 1)).days * 86_400
        if seconds <= 0:
            raise mistake(node, where, f"{node.value} is long over")
        return seconds

    # --- mistakes ---------------------------------------------------------------------------------

    def _wrong(self, node: Node, where: str, message: str, hint: str = "") -> None:
        self.errors.append(mistake(node, where, message, hint))

    def _attempt(self, read: Callable[[Node, str], T], node: Node, where: str) -> T | None:
        """Read one thing; note its mistake, so that the rest of the file is still read."""
        try:
            return read(node, where)
        except ScenarioError as error:
            self.errors.append(error)
            return None

    def _of(
        self,
        fields: Mapping[str, Node],
        key: str,
        read: Callable[[Node, str], T],
        where: str = "",
    ) -> T | None:
        """Read one field; a missing one has been reported with its mapping."""
        if key not in fields:
            return None
        return self._attempt(read, fields[key], join(where, key))

    def _optional(
        self,
        fields: Mapping[str, Node],
        key: str,
        read: Callable[[Node, str], T | None],
        where: str,
        default: T,
    ) -> T | None:
        """Read one field that may be left out."""
        return self._of(fields, key, read, where) if key in fields else default

    def _make(self, node: Node, where: str, make: Callable[[], T]) -> T:
        """Construct; what the class itself refuses is a mistake at ``node``."""
        try:
            return make()
        except ValueError as error:
            raise mistake(node, where, str(error)) from None


def _has_identifier(columns: Node) -> bool:
    """Whether a table is meant to be vertical, even if some column has a mistake."""
    found = columns.value if isinstance(columns, MappingNode) else []
    return any(
        getattr(key, "value", "") == "type" and getattr(word, "value", "") == "identifier"
        for _, column in found
        if isinstance(column, MappingNode)
        for key, word in column.value
    )


def _with_name(read: Callable[[Node, str, str], T], name: str, node: Node, where: str) -> T:
    return read(node, where, name)


def _given(value: T | None) -> T:
    if value is None:
        raise AssertionError("unreachable: whatever is missing has been reported as a mistake")
    return value


def _missing_hint(key: str) -> str:
    return _MISSING.get(key, "")


def _misplaced_hint(key: str) -> str:
    return {
        "decimals": "only type decimal has decimals",
        "levels": "only type level lists levels",
    }.get(key, "only numbers have min and max")


_COSTS: Mapping[NoiseMechanism | None, Sequence[tuple[str, ...]]] = {
    NoiseMechanism.GEOMETRIC: (("epsilon",),),
    NoiseMechanism.GAUSSIAN: (("rho",), ("epsilon", "delta")),
}
"""What declares the cost of a run, in the order of the keys above."""


def _plain(value: int, places: int) -> str:
    """A scaled integer in digits, without an exponent."""
    whole, part = divmod(value, 10**places)
    return f"{whole}.{part:0{places}d}".rstrip("0").rstrip(".")


_SYNONYMS = {
    "int": "integer", "bigint": "integer", "number": "decimal", "numeric": "decimal",
    "float": "decimal", "double": "decimal", "real": "decimal", "bool": "boolean",
    "enum": "level", "category": "level", "levels": "level", "error": "refuse",
    "reject": "refuse", "clamp": "clip", "secret": "sensitive", "private": "sensitive",
    "confidential": "sensitive", "open": "public", "group": "key", "value": "measure",
    "where": "filter", "laplace": "geometric", "discrete_laplace": "geometric",
    "discrete_gaussian": "gaussian", "normal": "gaussian", "id": "identifier",
    "linear": "ols", "lm": "ols", "regression": "ols",
}  # fmt: skip

_TEXT_HINT = (
    "free text cannot be computed with: use type level and list the levels, or leave the column out"
)
_DATE_HINT = (
    "dates are not supported yet: give a year, month or number of days as an integer column"
)
_UNSUPPORTED_TYPES = {
    "text": _TEXT_HINT, "string": _TEXT_HINT, "str": _TEXT_HINT, "varchar": _TEXT_HINT,
    "char": _TEXT_HINT, "date": _DATE_HINT, "timestamp": _DATE_HINT, "datetime": _DATE_HINT,
    "time": _DATE_HINT,
}  # fmt: skip

_MISSING = {
    "scenario": "its short name, such as  scenario: nyc-delays",
    "title": "one line that a reader recognises the question by",
    "purpose": "say why the holders should answer: this is what they approve",
    "data_user": "the party that asks and receives the result",
    "checker": "the party that does the output checking",
    "holders": "the parties that have the data, such as  holders: [a, b, c]",
    "limits": "such as  limits: {runs: 24, valid_until: 2027-06-30}",
    "runs": "how many times statements may run in total, such as  runs: 24",
    "valid_until": "the last day, such as  valid_until: 2027-06-30",
    "tables": "the table contracts; `stayput source describe FILE` drafts one",
    "statements": "the SQL to be reviewed, each under a name",
    "at": "the holders that have the table, such as  at: [a, b, c]",
    "columns": "name: {type: integer, min: 0, max: 10, grade: internal}",
    "type": "one of level, integer, decimal, boolean, identifier",
    "grade": "one of public, internal, sensitive: how much care the column needs",
    "mechanism": "geometric or gaussian; see docs/protocol.md",
    "sql": "the statement, after  sql: |",
    "join": "the tables that know the same people, such as  join: [housing, social]",
    "using": "the identifier they have in common, such as  using: resident",
    "target": "the column that the model explains",
    "predictors": "the columns that explain it, such as  predictors: [base, months]",
    "kind": "ols or ridge",
    "key_bits": "2048, 3072 or 4096",
    "min": "every number declares min and max: they bound what one row contributes",
    "max": "every number declares min and max: they bound what one row contributes",
    "decimals": "digits after the point that count, such as  decimals: 2",
    "levels": "the values that may occur, such as  levels: [A, B]",
}
