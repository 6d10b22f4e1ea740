"""The figures of :mod:`bench_paillier` as tables: Markdown that reads well in a terminal, too."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from paillier_lines import BATCH, BY_HAND

PHE = "phe, EncryptedNumber as documented"
DEFAULT = "ours, 384-bit exponent (default)"
SHORT = "ours, 256-bit exponent"
DJN = "ours, half the modulus (DJN)"
SUBGROUP = "ours, subgroup key"

Figures = dict[str, Any]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table with aligned columns, the first ``left`` of them to the left."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(4, *(len(line[i]) for line in lines)) for i in range(len(heads))]

    def show(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([show(lines[0]), show(rule), *map(show, lines[1:])])


def number(x: float | None) -> str:
    """Three figures, or whole numbers."""
    if x is None:
        return "–"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def times(figures: Figures, one: str, other: str, operation: str = "encrypt") -> float | None:
    """How many times as fast, as the median over rounds; None if one did not take part."""
    lines = {row["scheme"]: row["rounds"] for row in figures["lines"]}
    if one not in lines or other not in lines:
        return None
    pairs = zip(lines[one][operation], lines[other][operation], strict=True)
    return statistics.median(a / b for a, b in pairs)


def rate(figures: Figures, scheme: str, operation: str) -> float | None:
    """Values per CPU-second."""
    for row in figures["lines"]:
        if row["scheme"] == scheme:
            found: float | None = row.get(operation)
            return found
    return None


# --- tables ---------------------------------------------------------------------------------------


def side_by_side(figures: Figures) -> str:
    """All schemes, medians."""
    rows = []
    for row in figures["lines"]:
        name = row["scheme"]
        rows.append(
            (
                name,
                row["assumption"],
                number(row["encrypt"]),
                number(times(figures, name, PHE)),
                number(row["add"]),
                number(row["decrypt"]),
                number(times(figures, name, PHE, "decrypt")),
                number(row.get("decrypt blinded")),
                number(row["bytes"]),
            )
        )
    heads = (
        "values per CPU-second",
        "rests on",
        "encrypt",
        "× phe",
        "add",
        "decrypt",
        "× phe",
        "blinded",
        "bytes/value",
    )
    return table(heads, rows, left=2)


def summary(figures: Figures) -> str:
    """The few lines of the README."""
    rows = []
    for name in (DEFAULT, DJN, SUBGROUP, BY_HAND, BATCH, PHE, "tenseal BFV"):
        line = next((row for row in figures["lines"] if row["scheme"] == name), None)
        if line is not None:
            rows.append(
                (
                    f"{name} ({line['assumption']})" if name == "tenseal BFV" else name,
                    number(line["encrypt"]),
                    number(times(figures, name, PHE)),
                    number(line["add"]),
                    number(line["decrypt"]),
                    number(line["bytes"]),
                )
            )
    return table(("", "encrypt", "× phe", "add", "decrypt", "bytes/value"), rows)


def floors(figures: Figures) -> str:
    """Each operation of ours beside the multiplications that it cannot do without."""
    rows = [
        (
            one["operation"],
            one["least"],
            one["rest"],
            f"{one['floor_us']:,.0f}",
            f"{one['spent_us']:,.0f}",
            f"{one['floor_us'] / one['spent_us']:.0%}",
        )
        for one in figures["floors"]
    ]
    heads = ("one ciphertext", "at the least", "the rest is", "µs", "took, µs", "reached")
    return table(heads, rows, left=3)


def around(figures: Figures) -> str:
    """What comes with encrypted sums besides."""
    rows = [(name, f"{1e9 / rate:,.1f}") for name, rate in figures["around"].items()]
    rows += [
        (f"a term x·E(y) of a scalar product, x of {bits} bits", f"{1e9 / rate:,.0f}")
        for bits, rate in figures["scalars"].items()
    ]
    return table(("64-bit values, default key", "ns per value"), rows)


def sums(figures: Figures) -> str:
    """Whole sums, party by party."""
    keys = ("holder_cpu_s", "coordinator_cpu_s", "checker_cpu_s", "checker_wall_s")
    rows = [
        (
            f"{one['cells']:,}",
            f"{one['holders']}",
            one["key"],
            *(f"{one[key]:,.2f}" for key in keys),
            f"{1e6 * one['holder_cpu_s'] / one['cells']:.2f}",
            f"{1e6 * one['checker_cpu_s'] / one['cells']:.0f}",
            f"{one['peak_mb']:.0f}",
        )
        for one in figures["sums"]
    ]
    heads = (
        "cells",
        "holders",
        "key",
        "each holder, CPU-s",
        "coordinator",
        "checker",
        "its wall, s",
        "holder, µs/cell",
        "checker, µs/cell",
        "peak MB",
    )
    return table(heads, rows, left=0)


def many(figures: Figures) -> str:
    """Memory does not grow with holders."""
    rows = [
        (f"{m['holders']:,}", f"{m['cells']:,}", f"{m['add_cpu_s']:.2f}", f"{m['peak_mb']:.0f}")
        for m in figures["many"]
    ]
    return table(("holders", "cells", "adding, CPU-s", "peak MB"), rows, left=0)


def goals(figures: Figures) -> str:
    """What the engine is to reach on an idle machine of two cores, and what this run reached."""
    both = figures.get("cores", {})
    ordinary = [one for one in figures.get("sums", ()) if one["key"] == "ordinary"]
    per_cell = [one["holder_cpu_s"] / one["cells"] for one in ordinary]
    sizes = sorted(one["peak_mb"] for one in ordinary)
    peaks = [one["peak_mb"] for one in figures.get("many", ())]
    lines: list[tuple[str, str, float, float | None]] = [
        ("encrypt, 384 bits, values/s", "≥", 100_000, rate(figures, DEFAULT, "encrypt")),
        ("encrypt, 256 bits", "≥", 150_000, rate(figures, SHORT, "encrypt")),
        ("encrypt, DJN's length", "≥", 25_000, rate(figures, DJN, "encrypt")),
        ("add", "≥", 5_000_000, rate(figures, DEFAULT, "add")),
        ("decrypt, ordinary key, blinded", "≥", 5_000, rate(figures, DEFAULT, "decrypt blinded")),
        ("the same in constant time", "≥", 5_000, rate(figures, DEFAULT, "decrypt")),
        ("decrypt, subgroup key, blinded", "≥", 25_000,
         rate(figures, SUBGROUP, "decrypt blinded")),
        ("the same in constant time", "≥", 25_000, rate(figures, SUBGROUP, "decrypt")),
        ("bytes per value", "≤", 18.4, rate(figures, DEFAULT, "bytes")),
        ("default : phe", "≥", 2_800, times(figures, DEFAULT, PHE)),
        ("DJN : HEU packed by hand, same assumption", "≥", 1.2, times(figures, DJN, BY_HAND)),
        ("DJN : HEU's batch encoder, same assumption", "≥", 20, times(figures, DJN, BATCH)),
        ("default : HEU packed by hand, which rests on less", "≥", 4.5,
         times(figures, DEFAULT, BY_HAND)),
        ("two cores : one, encrypt", "≥", 1.8, both.get("encrypt_gain_by_cpu")),
        ("peak MB of the largest sum", "≤", 1000, sizes[-1] if sizes else None),
        ("holder's time per cell, largest : smallest sum", "≤", 1.2,
         per_cell[-1] / per_cell[0] if per_cell else None),
        ("peak MB, most : fewest holders", "≤", 1.05, peaks[-1] / peaks[0] if peaks else None),
    ]  # fmt: skip
    rows = []
    for name, sign, goal, got in lines:
        met = None if got is None else (got >= goal if sign == "≥" else got <= goal)
        word = {None: "not measured", True: "yes", False: "no"}[met]
        rows.append((name, f"{sign} {number(goal)}", number(got), word))
    return table(("goals, for 3072 bits and an idle machine", "goal", "this run", "reached"), rows)


def cores(figures: Figures) -> str:
    """One sentence or two on the second core."""
    c = figures["cores"]
    return (
        f"Two processes encrypt {c['encrypt_gain']:.2f} × as fast as one by the clock (best round "
        f"{c['encrypt_gain_best']:.2f}) and {c['encrypt_gain_by_cpu']:.2f} × by CPU time, which is "
        f"the gain on two idle cores. Opening kept {c['decrypt_cores_used']:.2f} cores busy (best "
        f"round {c['decrypt_cores_used_best']:.2f})."
    )


def machine(figures: Figures) -> str:
    """Where and when, as far as figures depend on it."""
    m = figures["machine"]
    return (
        f"{m['bits']} bits, 64-bit values, {m['rounds']} rounds. {m['processor']}, "
        f"{m['cores']} cores, load {m['load_before']:.1f} to {m['load_after']:.1f}; Python "
        f"{m['python']}, gmpy2 {m['gmpy2']}, GMP {m['gmp']}. GMP multiplies modulo n² in "
        f"{m['multiplication_us']:.1f} µs (fastest {m['multiplication_us_best']:.1f})."
    )


def everything(figures: Figures) -> str:
    """All of it, as one Markdown text."""
    parts = [machine(figures), side_by_side(figures), floors(figures), around(figures)]
    if "cores" in figures:
        parts.append(cores(figures))
    if figures.get("sums"):
        parts += [sums(figures), many(figures)]
    return "\n\n".join([*parts, goals(figures)])


BLOCKS = {
    "summary": lambda figures: f"{summary(figures)}\n\n{machine(figures)}",
    "everything": everything,
}


def fill_in(path: Path, figures: Figures) -> None:
    """Replace what stands between ``<!-- bench: NAME -->`` and ``<!-- /bench -->`` in a document.

    Raises:
        ValueError: the document has no such place.
    """
    text = path.read_text(encoding="utf-8")
    places = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- /bench -->)", re.DOTALL)
    text, count = places.subn(
        lambda found: f"{found[1]}{BLOCKS[found[2]](figures)}\n{found[3]}", text
    )
    if not count:
        raise ValueError(f"{path} has no place for figures: <!-- bench: summary -->")
    path.write_text(text, encoding="utf-8")
