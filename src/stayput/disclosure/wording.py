"""The output policy in sentences, for the approval report; reasons in words, for the checker."""

from __future__ import annotations

from collections.abc import Iterator

from stayput.disclosure.verdict import Reason
from stayput.scenario import OutputPolicy, OutputReview, Scenario

_REASONS = {
    Reason.PASSES: "released",
    Reason.FEW_ROWS: "too few rows",
    Reason.FEW_HOLDERS: "too few holders have such rows",
    Reason.FEW_UNITS: "too few people",
    Reason.FEW_AT_A_HOLDER: "some holder has some, but too few",
    Reason.SMALL_REST: "the rows that it leaves out are too few, or of too few holders",
    Reason.CELL: "the cell is withheld as a whole",
    Reason.SUPPORT: "the number of its rows is withheld",
    Reason.DOMINATED: "at some holder few contributors make up most of it",
    Reason.REST_DOMINATED: "at some holder few contributors make up most of what it leaves out",
    Reason.ONE_CATEGORY: "nearly everybody of a group is in one category",
    Reason.FEW_FREEDOM: "too few degrees of freedom",
    Reason.ALL_EQUAL: "every row has the same value",
    Reason.DERIVABLE: "with it, a withheld cell would follow from totals",
    Reason.BIN: "with it, a withheld bin of the same number would follow",
    Reason.ISOLATING: "with other answers it would be about few rows, or of few holders",
    Reason.MANY_PARAMETERS: "too many coefficients for so few people",
    Reason.SMALL_CATEGORY: "few people are in the category, or few are not",
    Reason.SMALL_REFERENCE: "few people are in the level that others are compared with",
    Reason.SMALL_VALUE: "it has two values, and few people have one of them",
    Reason.FOLLOWS: "it follows from the others",
    Reason.PERFECT_FIT: "the fit is perfect",
}


def reason_words(reason: Reason) -> str:
    """Why something is withheld, in a few words."""
    return _REASONS.get(reason) or reason.name.lower().replace("_", " ")


def policy_sentences(scenario: Scenario) -> Iterator[str]:
    """Every rule that a released number keeps, one sentence each; same scenario, same text."""
    policy = scenario.output
    if policy.privacy is not None:
        yield (
            f"at least {policy.min_count} rows, as far as the noise lets see: a count that is by"
            " chance lower is withheld, one that is by chance higher is not;"
        )
        yield from _reviewed(scenario)
        yield "every number has the noise of section 8 in it, and no other rule is evaluated."
        return
    yield (
        f"at least {policy.min_count} rows, of at least {policy.min_holders} of the"
        f" {len(scenario.holders)} holders; what a FILTER or CASE leaves out: none, or as many;"
    )
    for table in scenario.tables:
        if table.unit:
            yield (
                f"of {table.name} also {policy.min_count} different {table.unit}: "
                + (
                    "over all holders, since nobody is known to two of them;"
                    if table.units_apart
                    else "at one holder alone, since somebody may be known to two of them;"
                )
            )
    if policy.min_count_per_holder:
        yield f"each holder has none of them, or {policy.min_count_per_holder} or more;"
    if policy.dominance is None:
        yield "DOMINANCE IS NOT CHECKED: a sum may be nearly all one contributor's;"
    else:
        yield from _dominance(policy)
    if policy.group_percent:
        yield (
            "not everybody of a group is in one category of an internal column, nor"
            f" {policy.group_percent} % of it in one of a sensitive column, and not every value of"
            " a sum is the same;"
        )
    else:
        yield "GROUP DISCLOSURE IS NOT CHECKED: everybody may be in one category;"
    if policy.min_freedom:
        yield (
            f"variances, covariances and correlations have {policy.min_freedom} degrees of freedom"
            " left;"
        )
    if policy.min_difference:
        yield (
            f"what answers tell together, of this scenario and of others about your table, is about"
            f" none or at least {policy.min_difference} rows, also when rows or holders changed in"
            " between; where a table names whom a row is about, also about so many of them;"
        )
    else:
        yield "DIFFERENCES OF ANSWERS ARE NOT CHECKED: they may be about one row;"
    yield (
        "empty cells are shown as 0;"
        if policy.release_zeros
        else "empty cells look like all other withheld ones;"
    )
    yield from _reviewed(scenario)
    yield (
        f"counts are rounded to multiples of {policy.rounding}."
        if policy.rounding
        else "numbers are exact, not rounded."
    )


def _reviewed(scenario: Scenario) -> Iterator[str]:
    """Whether people look at results; with noise, at noisy ones."""
    policy = scenario.output
    if policy.review is None:
        return
    when = "every result" if policy.review is OutputReview.ALWAYS else "a doubtful result"
    people = (
        f"{scenario.deciders} of the checker's people"
        if scenario.deciders > 1
        else "one of the checker's people"
    )
    noisy = ", with its noise," if policy.privacy is not None else ","
    yield f"before {when} is released{noisy} {people} read and clear it;"


def _dominance(policy: OutputPolicy) -> Iterator[str]:
    rule = policy.dominance
    assert rule is not None
    if rule.p_percent:
        yield (
            "at each holder a sum without its two largest contributions is at least"
            f" {rule.p_percent} % of the largest;"
        )
    if rule.top_one_percent:
        yield f"at each holder one contribution is at most {rule.top_one_percent} % of a sum;"
    if rule.top_two_percent:
        yield f"at each holder two contributions are at most {rule.top_two_percent} % of a sum;"
