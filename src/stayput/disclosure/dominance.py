"""Dominance: may somebody who knows one contribution estimate another too well from a sum?

Evaluated by every node on its own rows, before encryption; only a flag leaves it.  For a cell and a
sum, let X be the total of the absolute contributions, x1 and x2 the two largest.

* p% rule (Handbook on SDC, ch. 4, there preferred): unsafe if X - x1 - x2 < p/100 · x1: the second
  largest contributor, who subtracts itself from X, is within p percent of x1.
* (1, k) and (2, k) rules (ABS DataLab: 50 and 67 percent; acro 1.0.2: two make up 90): unsafe if
  x1 > k/100 · X, or x1 + x2 > k/100 · X.

**If every node's part keeps a rule, so does the pooled sum**, and the sum over any subset of the
nodes, also when one unit contributes at several.  Write X_i, a_i, b_i for total, largest and second
largest at node i; u_i ≤ a_i for what unit u adds there, and u_i + v_i ≤ a_i + b_i for two distinct
units u and v.  With u and v the two largest of the pool:

* X - u - v = Σ (X_i - u_i - v_i) ≥ Σ (X_i - a_i - b_i) ≥ p/100 · Σ a_i ≥ p/100 · u;
* u = Σ u_i ≤ Σ a_i ≤ k/100 · Σ X_i = k/100 · X, and in the same way u + v ≤ k/100 · X.

Sums over several nodes of absolute values are used throughout (ABS does the same for negative
values), since cancellation would hide contributions.  A node without such rows, or whose rows add
nothing but zeros, keeps every rule.  The converse is false: [100] at one node and [60, 60, 60] at
another are safe together, but the other one subtracts its own part and reads 100; so the local rule
is not merely a stand-in.

**Why there is no pooled rule from encrypted power sums** (x1 + x2 ≤ √(2·Σx²), which would keep
cells in which some holder has few rows): to evaluate it, somebody has to open Σ|x| and Σx² of cells
that may then fail, and for a cell with one or two contributors these two numbers *are* the values.
Promise 3 says that nobody opens them (docs/adr/0011-no-pooled-dominance.md).

What leaks: the number of holders that raise a flag, to the checker.  The thresholds stand in the
scenario, which only its parties read.
"""

from __future__ import annotations

from stayput.scenario import Dominance


def dominated(total: int, largest: int, second: int, rule: Dominance) -> bool:
    """Whether few contributors make up too much of a sum of absolute contributions (see module).

    Args:
        total: X, the sum of all absolute contributions.
        largest: the largest of them; 0 if there is none.
        second: the second largest; 0 if there is none.
        rule: the thresholds; 0 switches a rule off.
    """
    if rule.p_percent and 100 * (total - largest - second) < rule.p_percent * largest:
        return True
    if rule.top_one_percent and 100 * largest > rule.top_one_percent * total:
        return True
    return bool(rule.top_two_percent and 100 * (largest + second) > rule.top_two_percent * total)
