"""What ACRO says of tables and models on pooled plain data; runs in an environment of its own.

ACRO 1.0.2 wants older libraries than Stayput.  Cases come as JSON on standard input, verdicts go as
JSON to standard output; :mod:`test_acro` is on the other side.
"""

import json
import logging
import sys
import warnings

import pandas as pd
import statsmodels.api as sm
from acro import ACRO


def table(acro: ACRO, rows: list, aggregate: str) -> dict:
    """Failed checks of each cell, and the status of the whole."""
    data = pd.DataFrame(rows, columns=["g", "h", "x"])
    before = set(acro.results.results)
    values = {} if aggregate == "count" else {"values": data["x"], "aggfunc": aggregate}
    acro.crosstab(data["g"], data["h"], **values)
    (name,) = set(acro.results.results) - before
    record = acro.results.get(name)
    cells = {}
    for g, line in record.outcome.iterrows():
        for column, words in line.items():
            h = column[-1] if isinstance(column, tuple) else column  # with values: two levels
            failed = [word.strip() for word in str(words).split(";")]
            cells[f"{g}|{h}"] = [w for w in failed if w and w != "ok"]
    return {"status": record.status, "cells": cells}


def model(acro: ACRO, design: list, target: list) -> dict:
    before = set(acro.results.results)
    acro.ols(pd.Series(target), sm.add_constant(pd.DataFrame(design), has_constant="add"))
    (name,) = set(acro.results.results) - before
    return {"status": acro.results.get(name).status, "cells": {}}


def main() -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    acro = ACRO(suppress=False)
    found = []
    for case in json.load(sys.stdin):
        if "design" in case:
            found.append(model(acro, case["design"], case["target"]))
        else:
            found.append(table(acro, case["rows"], case["aggregate"]))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
