"""What output checking costs: auditing the text before approval, comparing answers at run time.

* Text: 100 statements with 1,000 choices of their parameters each, audited together.
* Run time: a table like that of the demonstration (204 cells), compared with earlier answers at one
  holder and at the checker.  The floor in the same process is what the run costs anyway: its own
  query, and encrypting and opening its counts at 3072 bits.
* Rows: the snapshot of a table of ten million rows, and comparing with it after a change.

All figures are seconds of processor time, so that other work on the machine does not show.  At the
end stands what one and several earlier answers add to a run, beside what it costs without any.

    python bench/bench_output_checking.py [--rows 112000] [--million 10] [--answers 10] [--json]
"""

from __future__ import annotations

import argparse
import json
import resource
import secrets
import time
from collections.abc import Callable, Sequence

import duckdb
import numpy as np

from stayput import encryption
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.paillier import PrivateKey
from stayput.differencing import audit
from stayput.differencing.overlap import Overlap
from stayput.disclosure.isolating import Judged, Pair, isolating
from stayput.encryption import Addition, Context
from stayput.engines.snapshots import Lineage, Sharing, compare, take
from stayput.scenario import Column, ColumnType, Grade, Outside, Parameter, Statement, TableContract
from stayput.sql import SOURCE, BoundPlan, Plan, bind, plan
from stayput.steps import Round

CARRIERS = tuple(f"C{i:02}" for i in range(16))
KEY = bytes(32)
LEAST = 10


def column(name: str, kind: ColumnType, **rest: object) -> Column:
    return Column(name, kind, Grade.PUBLIC, Outside.REFUSE, **rest)  # type: ignore[arg-type]


FLIGHTS = TableContract(
    "flights",
    ("ewr", "jfk", "lga"),
    (
        column("carrier", ColumnType.LEVEL, levels=CARRIERS),
        column("month", ColumnType.INTEGER, minimum=1, maximum=12),
        column("day", ColumnType.INTEGER, minimum=1, maximum=1_000),
        column("delay", ColumnType.INTEGER, minimum=-100, maximum=1_500, nullable=True),
    ),
    20_000_000,
)
TABLE = "SELECT carrier, month, COUNT(*) AS flights, AVG(delay) AS mean FROM flights"


def planned(name: str, sql: str, *parameters: Parameter) -> Plan:
    return plan(Statement(name, sql, parameters), (FLIGHTS,), 3)


def timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def text() -> dict[str, float]:
    """Seconds of the audit of 100 statements with 1,000 choices each."""
    day = Parameter("until", ColumnType.INTEGER, minimum=1, maximum=1_000)
    plans = [
        planned(
            f"s{i}",
            f"SELECT carrier, COUNT(*) AS n FROM flights WHERE day <= :until AND delay > {i} "
            "GROUP BY carrier",
            day,
        )
        for i in range(100)
    ]
    found: list[int] = []
    seconds = timed(lambda: found.append(audit(plans).questions))
    return {"questions": found[0], "audit_seconds": seconds}


def filled(rows: int) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 2, "temp_directory": ""})
    connection.execute(
        f"CREATE TABLE {SOURCE} AS SELECT 'C' || lpad((hash(i) % 16)::VARCHAR, 2, '0') AS carrier, "
        "(hash(i + 1) % 12 + 1)::BIGINT AS month, (hash(i + 2) % 1000 + 1)::BIGINT AS day, "
        f"(hash(i + 3) % 300)::BIGINT - 50 AS delay FROM range({rows}) r(i)"
    )
    return connection


def question(until: int) -> BoundPlan:
    sql = f"{TABLE} WHERE day <= {until} GROUP BY carrier, month"
    return bind(planned("delays", sql), {})


def sharing(overlap: Overlap) -> Sharing:
    return Sharing(
        overlap.sql(),
        overlap.sql_by_row(),
        len(overlap.dimensions),
        len(overlap.pairs),
        overlap.old.plan.columns,
    )


def at_a_holder(rows: int, answers: int) -> dict[str, float]:
    """Seconds of the run's own query, of comparing with earlier answers, of a snapshot."""
    connection = filled(rows)

    def run(sql: str) -> list[tuple[int | str | bool | None, ...]]:
        return connection.execute(sql).fetchall()

    new = question(900)
    tasks = tuple(sharing(Overlap(new, question(100 + 10 * i))) for i in range(answers))
    lineage = Lineage(KEY, tasks, new.plan.columns, take=True)
    run(new.node_sql())
    own = timed(lambda: run(new.node_sql()))
    shared = timed(lambda: compare(connection, lineage, [b""] * answers, run))
    kept: list[bytes] = []
    snapshot = timed(lambda: kept.append(take(connection, lineage)))
    connection.execute(f"UPDATE {SOURCE} SET delay = delay + 1 WHERE day = 7 AND carrier = 'C03'")
    one = Lineage(KEY, (sharing(Overlap(new, new)),), new.plan.columns, take=False)
    changed = timed(lambda: compare(connection, one, kept, run))
    return {
        "rows": rows,
        "own_query_seconds": own,
        "one_earlier_answer_seconds": shared / answers,
        "snapshot_seconds": snapshot,
        "snapshot_bytes": len(kept[0]),
        "after_a_change_seconds": changed,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def on_the_way(answers: int) -> dict[str, float]:
    """Seconds of encrypting and opening round one, without and with what earlier answers add."""
    key = PrivateKey.generate(3072)
    new = question(900)
    own = new.plan.cells * new.plan.round_one
    overlap = Overlap(new, question(100))
    more = answers * (overlap.shared + -(-overlap.flags // 15))  # 15 flags of 3 holders in a number
    people = ("ewr", "jfk", "lga")
    agreement = {name: AgreementKey.generate() for name in people}
    public = {name: found.public for name, found in agreement.items()}
    figures: dict[str, float] = {"own_numbers": own, "numbers_of_one_answer": more / answers}
    for label, count in (("without", own), ("with", own + more)):
        context = Context(
            secrets.token_bytes(16),
            secrets.token_bytes(32),
            Round.COUNTS,
            people,
            key.public.key_id,
            32,
            count,
            secrets.token_bytes(32),
        )
        addition = Addition(context, key.public)
        encrypting = 0.0
        for name in people:
            started = time.process_time()
            part = encryption.encrypt(
                [1] * count,
                context,
                me=name,
                key=agreement[name],
                agreement_keys=public,
                checker=key.public,
            )
            encrypting += time.process_time() - started
            addition.add(name, part.ciphertexts)
        total = addition.sum()
        figures[f"encrypting_{label}_seconds"] = encrypting / len(people)
        started = time.process_time()
        encryption.open(total, key)
        figures[f"opening_{label}_seconds"] = time.process_time() - started
    return figures


def at_the_checker(answers: int) -> dict[str, float]:
    """Seconds of the rule itself."""
    connection = filled(336_000)

    def judged(index: int, bound: BoundPlan) -> Judged:
        counts = np.zeros((bound.plan.cells, len(bound.plan.counts)), dtype=object)
        counts[:] = 0
        for row in connection.execute(bound.node_sql()).fetchall():
            cell = CARRIERS.index(row[0]) * bound.plan.dimensions[1].slots + int(row[1]) - 1
            counts[cell] = row[2 : 2 + counts.shape[1]]
        return Judged(bytes([index]), bound, counts, np.asarray(counts >= LEAST, dtype=np.bool_))

    bounds = [question(100 + 20 * i) for i in range(answers + 1)]
    everybody = [judged(i, bound) for i, bound in enumerate(bounds)]
    pairs = {}
    for i, later in enumerate(everybody):
        for earlier in everybody[:i]:
            overlap = Overlap(later.bound, earlier.bound)
            shared = np.zeros((overlap.cells, len(overlap.pairs)), dtype=object)
            for row in connection.execute(overlap.sql()).fetchall():
                cell = CARRIERS.index(row[0]) * overlap.dimensions[1].slots + int(row[1]) - 1
                shared[cell] = row[2:]
            holders = np.full((overlap.common_cells, len(overlap.pairs)), 3)
            pairs[later.run, earlier.run] = Pair(overlap, shared, holders)
    found: list[int] = []
    seconds = timed(
        lambda: found.append(
            int(isolating(everybody[-1], everybody[:-1], pairs, least=10, min_holders=3).sum())
        )
    )
    return {"answers": answers, "rule_seconds": seconds, "withheld": found[0]}


def beside(holder: dict[str, float], numbers: Sequence[int]) -> dict[str, float]:
    """Seconds that earlier answers add at one holder and at the checker, and without any."""
    found = {}
    for number in numbers:
        way, rule = on_the_way(number), at_the_checker(number)["rule_seconds"]
        rows = number * holder["one_earlier_answer_seconds"]
        encrypting = way["encrypting_with_seconds"] - way["encrypting_without_seconds"]
        opening = way["opening_with_seconds"] - way["opening_without_seconds"]
        found["checker_with_none"] = way["opening_without_seconds"]
        found["holder_with_none"] = holder["own_query_seconds"] + way["encrypting_without_seconds"]
        found[f"holder_more_with_{number}"] = rows + encrypting
        found[f"checker_more_with_{number}"] = opening + rule
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=112_000, help="rows of one holder")
    parser.add_argument("--million", type=int, default=10, help="million rows of a large holder")
    parser.add_argument("--answers", type=int, default=10, help="earlier answers")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    figures = {
        "text": text(),
        "holder": at_a_holder(options.rows, options.answers),
        "way": on_the_way(options.answers),
        "checker": at_the_checker(options.answers),
    }
    if options.million:
        figures["large_holder"] = at_a_holder(options.million * 10**6, 2)
    figures["beside"] = beside(figures["holder"], (1, options.answers))
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for part, found in figures.items():
        print(part)
        for name, number in found.items():
            print(f"  {name:32} {number:,.4f}" if number % 1 else f"  {name:32} {int(number):,}")


if __name__ == "__main__":
    main()
