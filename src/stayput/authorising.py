"""Authorising: what an authority does about a scenario that names it (clause S-8).

An authority, a member with the role auditor, reads the report of the holders for whom it speaks
(:func:`stayput.review.review_report`) and authorises exactly that, refuses, or withdraws later.
Where it has reviewers, so many of them sign first; refusing and withdrawing need nobody.  It stands
in for no holder: without every holder's own approval nothing is sealed.

Each action may be repeated after a crash: what stands in the log is returned.  What leaks: a step
in the log: decision, digests, a reason code, no text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stayput.countersigning import in_order
from stayput.crypto import signing
from stayput.errors import PermissionDenied, RuleViolation
from stayput.identity import Identity
from stayput.link import CoordinatorLink
from stayput.replica import Replica
from stayput.review import Review
from stayput.steps import AuthorityDecision, RefusalReason, ScenarioAuthorised


def authorise(
    review: Review,
    identity: Identity,
    replica: Replica,
    link: CoordinatorLink,
    *,
    countersignatures: Sequence[bytes] = (),
    clock: Callable[[], int],
) -> ScenarioAuthorised:
    """Authorise exactly what was read.

    Args:
        countersignatures: statements of this authority's reviewers, in any order (clause S-7).

    Returns:
        The decision in the log: this one, or the one that was there already.

    Raises:
        PermissionDenied: the scenario does not name this party as an authority.
        RuleViolation: it has decided otherwise, the scenario is closed or expired, or too few
            reviewers have signed.
    """
    said = AuthorityDecision.AUTHORISED
    return _decide(review, identity, replica, link, said, None, clock, countersignatures)


def refuse(
    review: Review,
    identity: Identity,
    replica: Replica,
    link: CoordinatorLink,
    *,
    reason: RefusalReason,
    clock: Callable[[], int],
) -> ScenarioAuthorised:
    """Refuse a scenario, for everybody and for good.

    Returns and raises as :func:`authorise`; who has authorised it withdraws instead.
    """
    return _decide(review, identity, replica, link, AuthorityDecision.REFUSED, reason, clock)


def withdraw(
    review: Review,
    identity: Identity,
    replica: Replica,
    link: CoordinatorLink,
    *,
    reason: RefusalReason,
    clock: Callable[[], int],
) -> ScenarioAuthorised:
    """Take an authorisation back: the scenario is closed for good, its open runs fail.

    Returns and raises as :func:`authorise`.
    """
    return _decide(review, identity, replica, link, AuthorityDecision.WITHDRAWN, reason, clock)


def _decide(
    review: Review,
    identity: Identity,
    replica: Replica,
    link: CoordinatorLink,
    decision: AuthorityDecision,
    reason: RefusalReason | None,
    clock: Callable[[], int],
    countersignatures: Sequence[bytes] = (),
) -> ScenarioAuthorised:
    replica.catch_up(link)
    digest = review.scenario.digest
    if identity.name not in [authority.name for authority in review.scenario.authorities]:
        raise PermissionDenied(
            f"{identity.name} is no authority of this scenario",
            hint="holders approve or refuse: `stayput approve`, `stayput refuse`",
        )
    done = replica.session.scenarios[digest].authorisations.get(identity.name)
    if done is not None and done.decision is decision:
        return done
    if done is not None and decision is AuthorityDecision.REFUSED:
        raise RuleViolation(
            f"{identity.name} has decided already",
            clause="S-8",
            hint="what was authorised is withdrawn: `stayput authority withdraw`",
        )
    step = ScenarioAuthorised(
        scenario=digest,
        authority=identity.name,
        decision=decision,
        report=review.report.digest,
        time=clock(),
        reason=reason,
        countersignatures=in_order(countersignatures),
    )
    entry = signing.sign(step, identity.signing_key)
    replica.session.admit(entry)
    link.authorise_scenario(entry)
    replica.catch_up(link)
    return step
