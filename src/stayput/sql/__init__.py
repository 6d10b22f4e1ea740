"""Statements: from the sealed SQL text to a plan, and from a plan to the SQL that a node runs.

The grammar::

    SELECT keys, aggregates FROM table [WHERE condition] [GROUP BY keys]

Everything else is refused with the construct, its line and column, and what to use instead
(:class:`stayput.errors.SqlError`).  Only SQL written from our own typed tree is ever executed.

Not here: execution (:mod:`stayput.engines`), sums (:mod:`stayput.partials`), the final numbers
(:mod:`stayput.finishing`).
"""

from stayput.errors import SqlError
from stayput.sql.measures import CountMeasure, ValueMeasure
from stayput.sql.plan import BoundPlan, Dimension, OutputColumn, Plan, bind, plan
from stayput.sql.render import SOURCE
from stayput.sql.tree import OTHER

__all__ = [
    "OTHER",
    "SOURCE",
    "BoundPlan",
    "CountMeasure",
    "Dimension",
    "OutputColumn",
    "Plan",
    "SqlError",
    "ValueMeasure",
    "bind",
    "plan",
]
