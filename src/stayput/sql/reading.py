"""Reads the text of a statement: bounds it, looks at every token, and parses one SELECT.

Two gates, one behind the other.  Here every *token* must be on a list, so that nothing the parser
would silently drop (``FOR UPDATE``, comments) or rewrite (``INTO``) gets as far as a tree; what is
refused here is named with its exact place.  Behind it, :mod:`stayput.sql.translate` accepts exact
tree node types only.  Neither executes anything, and the text is not used again afterwards.

The dialect is DuckDB's, always.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import NoReturn

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType  # type: ignore[attr-defined]

from stayput.errors import SqlError

DIALECT = "duckdb"

MAX_CHARACTERS = 10_000
"""Longest statement: a person is to read it before signing."""

MAX_NESTING = 40
"""Open parentheses and CASEs at any place. The parser recurses; at some 600 it overflows."""

MAX_TOKENS = 4_000

_ALLOWED = frozenset(
    {
        *(TokenType.SELECT, TokenType.FROM, TokenType.WHERE, TokenType.GROUP_BY, TokenType.ALIAS),
        *(TokenType.AND, TokenType.OR, TokenType.NOT, TokenType.IN, TokenType.BETWEEN),
        *(TokenType.IS, TokenType.NULL, TokenType.TRUE, TokenType.FALSE, TokenType.FILTER),
        *(TokenType.CASE, TokenType.WHEN, TokenType.THEN, TokenType.ELSE, TokenType.END),
        *(TokenType.L_PAREN, TokenType.R_PAREN, TokenType.COMMA, TokenType.DOT, TokenType.COLON),
        *(TokenType.PLUS, TokenType.DASH, TokenType.STAR, TokenType.SLASH, TokenType.DIV),
        *(TokenType.MOD, TokenType.EQ, TokenType.NEQ, TokenType.LT, TokenType.LTE),
        *(TokenType.GT, TokenType.GTE, TokenType.VAR, TokenType.IDENTIFIER),
        *(TokenType.NUMBER, TokenType.STRING),
    }
)

_JOINING = frozenset((TokenType.JOIN, TokenType.INNER, TokenType.USING))
"""Also allowed where the scenario has tables to join."""

AGGREGATES = (
    "COUNT",
    "SUM",
    "AVG",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "COVAR_POP",
    "COVAR_SAMP",
    "CORR",
)
FUNCTIONS = (*AGGREGATES, "APPROX_PERCENTILE", "ROUND", "NULLIF")

_JOIN = "one statement asks one table; the holders' rows are already taken together"
_JOIN_BY = (
    "people are joined whom every table knows: FROM one JOIN other USING (person), with the "
    "identifier that both tables declare"
)
_SET = "write two statements; each has its own result"
_ROWS = "results are aggregates per group: use COUNT, SUM, AVG … with GROUP BY"
_BINS = (
    "an extreme is one person's value: ask for APPROX_PERCENTILE(x, 0.05, 10) and "
    "APPROX_PERCENTILE(x, 0.95, 10), from a count per bin of width 10, or count per bin with "
    "GROUP BY CASE WHEN x < 10 THEN 'below 10' WHEN x < 100 THEN '10 to 99' ELSE '100 or more' END"
)
_PERCENTILE = (
    "a percentile is one person's value: write APPROX_PERCENTILE(x, 0.5, 10) for an interval in "
    "which the median lies, from a count per bin of width 10"
)
_NO_CAST = "types come from the table contract; write constants as 3, 2.5, 'text' or TRUE"
_ROUND = "every cell of the declared grid is shown, in declared order; sort the released table"
_PREDICATES = "use =, <>, <, <=, >, >=, BETWEEN, IN, IS NULL with AND, OR, NOT"

_TOKEN_HINTS = {
    "HAVING": "the output policy decides which cells are released; drop the clause",
    "LIMIT": _ROUND,
    "OFFSET": _ROUND,
    "FETCH": _ROUND,
    "ORDER BY": _ROUND,
    "QUALIFY": "window functions are not supported; aggregate per group",
    "WINDOW": "window functions are not supported; aggregate per group",
    "OVER": "window functions are not supported; aggregate per group",
    "PARTITION": "window functions are not supported; aggregate per group",
    "PARTITION BY": "window functions are not supported; aggregate per group",
    "DISTINCT": "count rows with COUNT(*), or make the column a group key and read the cells",
    "UNION": _SET,
    "INTERSECT": _SET,
    "EXCEPT": _SET,
    "JOIN": _JOIN,
    "LEFT": _JOIN,
    "RIGHT": _JOIN,
    "INNER": _JOIN,
    "CROSS": _JOIN,
    "FULL": _JOIN,
    "NATURAL": _JOIN,
    "USING": _JOIN,
    "LATERAL": _JOIN,
    "WITH": "write the conditions into WHERE, FILTER or CASE; the statement is one SELECT",
    "INTO": "a statement only reads; the result goes to the data user",
    "FOR": "a statement only reads; there is nothing to lock",
    "ALL": "name each group key in GROUP BY",
    "EXISTS": "subqueries are not supported; write the conditions into WHERE",
    "ANY": "subqueries are not supported; write IN with a list of constants",
    "SOME": "subqueries are not supported; write IN with a list of constants",
    "LIKE": "levels are declared: write IN with the levels that are meant",
    "ILIKE": "levels are declared: write IN with the levels that are meant",
    "GLOB": "levels are declared: write IN with the levels that are meant",
    "::": _NO_CAST,
    "INTERVAL": "dates are not supported yet; declare an integer column such as day or month",
    ";": "a statement of a scenario is one SELECT; drop the semicolon",
    "!": "write NOT",
    "||": "texts are declared levels; build labels with CASE WHEN … THEN 'label'",
    "^": "write the power as a product: x * x",
    "**": "write the power as a product: x * x",
    "?": "name the parameter, for example :first, and declare it in the scenario",
    "$": "name the parameter, for example :first, and declare it in the scenario",
    "@": "name the parameter, for example :first, and declare it in the scenario",
    "ROLLUP": "ask for the margin in a statement of its own",
    "CUBE": "ask for the margin in a statement of its own",
    "GROUPING SETS": "ask for the margin in a statement of its own",
    "PIVOT": "use GROUP BY; pivot the released table",
    "VALUES": "the statement reads a table of the scenario: FROM name",
    "TABLESAMPLE": "the statement reads the whole table",
    "<=>": _PREDICATES,
}

_JOIN_HINTS = dict.fromkeys(
    ("LEFT", "RIGHT", "OUTER", "CROSS", "FULL", "NATURAL", "LATERAL", "ON", "ASOF", "SEMI", "ANTI"),
    _JOIN_BY,
)
"""Instead of the hints above where the scenario has tables to join."""

_FUNCTION_HINTS = {
    **dict.fromkeys(("MIN", "MAX", "ARG_MIN", "ARG_MAX", "GREATEST", "LEAST", "MODE"), _BINS),
    **dict.fromkeys(
        (
            *("MEDIAN", "QUANTILE", "QUANTILE_CONT", "QUANTILE_DISC", "PERCENTILE_CONT"),
            *("PERCENTILE_DISC", "PERCENTILE", "APPROX_QUANTILE", "MAD"),
        ),
        _PERCENTILE,
    ),
    "HISTOGRAM": "count per bin with GROUP BY CASE WHEN x < 10 THEN 'below 10' … END",
    **dict.fromkeys(
        ("LIST", "ARRAY_AGG", "STRING_AGG", "GROUP_CONCAT", "FIRST", "LAST", "ANY_VALUE"), _ROWS
    ),
    **dict.fromkeys(("CAST", "TRY_CAST", "CONVERT"), _NO_CAST),
    **dict.fromkeys(
        ("FLOOR", "CEIL", "CEILING", "TRUNC"),
        "group integers with // (x // 10), decimals with CASE WHEN x < … THEN 'label' END",
    ),
    "MOD": "write x % 7",
    "IF": "write CASE WHEN … THEN … ELSE … END",
    "IIF": "write CASE WHEN … THEN … ELSE … END",
    "COALESCE": "write CASE WHEN x IS NULL THEN … ELSE x END",
    "IFNULL": "write CASE WHEN x IS NULL THEN … ELSE x END",
    "COUNT_IF": "write COUNT(*) FILTER (WHERE …)",
    "COUNTIF": "write COUNT(*) FILTER (WHERE …)",
    "SUM_IF": "write SUM(x) FILTER (WHERE …)",
    "MEAN": "write AVG(x)",
    "STDEV": "write STDDEV_SAMP(x)",
    "POWER": "write the power as a product: x * x",
    "POW": "write the power as a product: x * x",
    "SQRT": "use STDDEV_POP or STDDEV_SAMP, or take the root of the released value",
    "ABS": "write CASE WHEN x < 0 THEN -x ELSE x END",
}


_KEYWORDS = ("SELECT", "CASE", "GROUP BY")
"""Constructs that begin with a keyword, before the first name inside them."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """A parsed statement with what is needed to point into its text."""

    sql: str
    tokens: tuple[Token, ...]
    select: exp.Select

    def refuse(
        self, node: exp.Expression, message: str, hint: str, construct: str = ""
    ) -> NoReturn:
        """Raise the SqlError that points at ``node``."""
        start = self._place(node, construct)
        raise error_at(self.sql, start, message, hint, construct or node.key.upper())

    def _place(self, node: exp.Expression, construct: str) -> int:
        """Offset of the construct: the parser marks names and functions, but no keywords."""
        found = _start_of(node)
        same = [t.start for t in self.tokens if t.text.upper() == construct.upper()]
        if type(node) is exp.Placeholder and same:
            return same[0] - 1  # its colon
        if found is None:
            return same[0] if same else 0
        if construct in _KEYWORDS:
            return max((start for start in same if start <= found), default=found)
        return found


def error_at(sql: str, start: int, message: str, hint: str, construct: str) -> SqlError:
    """An SqlError for the character at offset ``start``."""
    before = sql[:start]
    line = before.count("\n") + 1
    column = start - (before.rfind("\n") + 1) + 1
    return SqlError(message, hint=hint, line=line, column=column, construct=construct)


def read(sql: str, names: Sequence[str], *, joins: bool = False) -> Reading:
    """Parse a statement whose every token is on the list.

    Args:
        sql: text of the statement, untrusted.
        names: declared table, column and parameter names; they may be keywords elsewhere.
        joins: whether JOIN … USING is on the list.

    Raises:
        SqlError: too long, too deep, a token or function outside the grammar, not one SELECT.
    """
    if len(sql) > MAX_CHARACTERS:
        raise error_at(
            sql,
            MAX_CHARACTERS,
            f"a statement has at most {MAX_CHARACTERS} characters",
            "split the question into several statements",
            "length",
        )
    tokens = _tokens(sql)
    _verify_shape(sql, tokens)
    _verify_tokens(sql, tokens, frozenset(names), joins)
    return Reading(sql, tuple(tokens), _parse(sql))


def _tokens(sql: str) -> list[Token]:
    try:
        tokens = sqlglot.tokenize(sql, dialect=DIALECT)
    except TokenError:
        raise error_at(
            sql, 0, "the text cannot be read as SQL", "close every quote", "quote"
        ) from None
    for place in re.finditer(r"--|/\*", sql):
        inside = any(
            token.start <= place.start() <= token.end
            for token in tokens
            if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER)
        )
        if not inside:
            raise error_at(
                sql,
                place.start(),
                "a statement has no comments: what is signed is what runs",
                "move the explanation into the statement's description",
                "comment",
            )
    if not tokens:
        raise error_at(sql, 0, "the statement is empty", "write SELECT … FROM …", "statement")
    return tokens


def _verify_shape(sql: str, tokens: list[Token]) -> None:
    if len(tokens) > MAX_TOKENS:
        raise error_at(
            sql,
            tokens[MAX_TOKENS].start,
            f"a statement has at most {MAX_TOKENS} words and signs",
            "split the question into several statements",
            "length",
        )
    depth = 0
    signs = 0  # NOT NOT NOT … and - - - … nest without a parenthesis
    for token in tokens:
        kind = token.token_type
        if kind in (TokenType.L_PAREN, TokenType.CASE):
            depth += 1
        elif kind in (TokenType.R_PAREN, TokenType.END):
            depth = max(0, depth - 1)
        signs = signs + 1 if kind in (TokenType.NOT, TokenType.DASH, TokenType.PLUS) else 0
        if depth > MAX_NESTING or signs > MAX_NESTING:
            raise error_at(
                sql,
                token.start,
                f"the statement nests deeper than {MAX_NESTING} levels",
                "remove parentheses that are not needed, or split the condition",
                token.text,
            )


def _verify_tokens(sql: str, tokens: list[Token], names: frozenset[str], joins: bool) -> None:
    first = tokens[0]
    if first.token_type is not TokenType.SELECT and first.text.upper() not in _TOKEN_HINTS:
        raise error_at(
            sql,
            first.start,
            f"a statement begins with SELECT, not {first.text!r}",
            "write SELECT keys, aggregates FROM table WHERE … GROUP BY keys",
            first.text,
        )
    padded: list[Token | None] = [*tokens[1:], None]
    selects = 0
    for index, (token, following) in enumerate(zip(tokens, padded, strict=True)):
        before = tokens[index - 1] if index else None
        calls = following is not None and following.token_type is TokenType.L_PAREN
        if not joins or token.token_type not in _JOINING:
            _verify_token(sql, token, before, calls, names, joins)
        selects += token.token_type is TokenType.SELECT
        if selects > 1:
            raise error_at(
                sql,
                token.start,
                "subqueries are not supported",
                "write the conditions into WHERE, FILTER or CASE",
                "SELECT",
            )


def _verify_token(
    sql: str,
    token: Token,
    before: Token | None,
    calls: bool,
    names: frozenset[str],
    joins: bool,
) -> None:
    kind, text = token.token_type, token.text
    upper = text.upper()
    raw = sql[token.start : token.end + 1]
    if kind is TokenType.VAR and calls:
        if upper not in FUNCTIONS:
            raise _no_function(sql, token)
        return
    if kind in (TokenType.VAR, TokenType.IDENTIFIER):
        if not text.isascii():
            raise error_at(
                sql,
                token.start,
                f"the name {text!r} is not plain ASCII",
                "names are small letters, digits and underscores",
                text,
            )
        return
    if kind is TokenType.NUMBER and not re.fullmatch(r"[0-9]+(\.[0-9]*)?", raw):
        raise error_at(sql, token.start, f"{raw!r} is no plain number", "write 1000 or 2.5", raw)
    if kind in _ALLOWED and raw != "!":  # to some engines ! is a factorial
        return
    parameter = before is not None and before.token_type is TokenType.COLON
    if not calls and (text.lower() in names or (parameter and raw.isidentifier())):
        return
    if calls and raw.isidentifier() and upper not in _TOKEN_HINTS:
        raise _no_function(sql, token)
    raise error_at(
        sql,
        token.start,
        f"{upper} is not supported",
        (_JOIN_HINTS.get(upper) if joins else None)
        or _TOKEN_HINTS.get(
            upper, "write SELECT keys, aggregates FROM table WHERE … GROUP BY keys"
        ),
        upper,
    )


def _no_function(sql: str, token: Token) -> SqlError:
    name = token.text.upper()
    return error_at(
        sql,
        token.start,
        f"the function {name} is not supported",
        _FUNCTION_HINTS.get(name, "functions are: " + ", ".join(FUNCTIONS)),
        name,
    )


def _parse(sql: str) -> exp.Select:
    try:
        parsed = sqlglot.parse(sql, dialect=DIALECT)
    except ParseError as error:
        raise _parse_error(sql, error) from None
    except RecursionError:
        raise error_at(
            sql, 0, "the statement nests too deeply", "split the condition", "statement"
        ) from None
    if len(parsed) != 1 or type(parsed[0]) is not exp.Select:
        raise error_at(sql, 0, "a statement is one SELECT", "write SELECT … FROM …", "statement")
    return parsed[0]


def _parse_error(sql: str, error: ParseError) -> SqlError:
    # Only the place is taken over: the parser's own text is written for programmers.
    found = error.errors[0] if error.errors else {}
    line, end = found.get("line") or 1, found.get("col") or 1
    highlight = str(found.get("highlight") or "")
    return SqlError(
        f"the statement cannot be read at {highlight!r}" if highlight else "the SQL is incomplete",
        hint="write SELECT keys, aggregates FROM table WHERE … GROUP BY keys",
        line=line,
        column=max(1, end - len(highlight) + 1),
        construct=highlight,
    )


def _start_of(node: exp.Expression) -> int | None:
    starts = [n.meta["start"] for n in node.walk() if "start" in n.meta]
    return min(starts) if starts else None
