"""Rotation: one party's way from its present keys to the next ones, whatever interrupts it.

In this order, so that a kill between any two steps leaves a party that can go on:

1. The next keys are drawn, and the step ``KeysRotated`` signed: its card by the new signing key,
   the step by the present one.  This party's own replay admits it.
2. Keys and step are on disk beside the present keys, the step last.
3. The step goes to the coordinator.  The same bytes again get the same answer.
4. With the *new* keys the log is fetched and verified: the step is in it, so the coordinator and
   everybody else know this party by the new keys from now on.
5. The home folder changes to the new keys, in one rename; then the old private keys are erased.

Before 2 nothing has happened.  After it :func:`rotate` goes on with the same keys and the same
step.  After 3 the old certificate may be refused: that is how :func:`finish_rotation`, at every
start of a daemon or command, notices that only 4 and 5 are left.  Step 4 is not skipped, since a
coordinator that only says so must not make a party throw its keys away.

A change of reviewers goes the same way, with the keys as they are (:func:`change_reviewers`).

What is sealed at rest under a key of :meth:`~stayput.identity.Identity.derive_key` stays readable;
parts of runs do not have to, because a party in an open run does not rotate (clause K-3).

Not here: what a rotation must be to be admitted (:mod:`stayput.session`,
:meth:`stayput.membership.Members.rotated`), files (:mod:`stayput.identity`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from stayput.countersigning import in_order
from stayput.crypto import signing
from stayput.crypto.cores import Progress
from stayput.errors import ConfigurationError, PermissionDenied, VerificationError
from stayput.identity import (
    Identity,
    begin_rotation,
    complete_rotation,
    draw_next,
    erase_former_keys,
    member_card,
    pending_rotation,
)
from stayput.link import CoordinatorLink
from stayput.replica import Replica
from stayput.steps import KeysRotated

Connect = Callable[[Identity], AbstractContextManager[tuple[Replica, CoordinatorLink]]]
"""A link with these keys, and a verified replica that has caught up over it."""


def rotate(
    identity: Identity,
    connect: Connect,
    clock: Callable[[], int],
    *,
    progress: Progress | None = None,
) -> Identity:
    """Give this party new keys, or finish doing so.

    Args:
        identity: the present keys; no daemon of this home folder is running.
        connect: the way to the coordinator.
        clock: Unix seconds.
        progress: for a checker, while its Paillier key is drawn.

    Returns:
        The identity with the new keys, which are in the log and in the home folder.

    Raises:
        ConfigurationError: a coordinator, a locked Paillier key, or damaged files.
        RuleViolation: it takes part in an open run; the new keys wait, call again.
        Unavailable: the coordinator cannot be reached; the new keys wait, call again.
        VerificationError: the log does not stand, or does not have the step.
    """
    erase_former_keys(identity)
    pending = pending_rotation(identity)
    if pending is None:
        with connect(identity) as (replica, _):
            replica.session.require_idle(identity.name)  # before minutes of drawing
            following = draw_next(identity, now=clock(), progress=progress)
            announced = KeysRotated(identity.name, member_card(following), clock())
            step = _announce(identity, following, replica, announced)
    else:
        following, step = pending
    return _complete(identity, following, connect, step)


def change_reviewers(
    identity: Identity,
    following: Identity,
    countersignatures: Sequence[bytes],
    connect: Connect,
    clock: Callable[[], int],
) -> Identity:
    """Give this party other reviewers; its keys stay.

    Args:
        following: from :func:`stayput.identity.next_reviewers`.
        countersignatures: statements of the present reviewers about that card, in any order; as
            many as the present quorum says, none where there are no reviewers yet (clause K-7).

    Returns and raises as :func:`rotate`, which goes on with it after an interruption.
    """
    erase_former_keys(identity)
    if pending_rotation(identity) is not None:
        raise ConfigurationError(
            "a rotation is under way already", hint="`stayput rotate` finishes it"
        )
    with connect(identity) as (replica, _):
        card, signed = member_card(following), in_order(countersignatures)
        announced = KeysRotated(identity.name, card, clock(), signed)
        step = _announce(identity, following, replica, announced)
    return _complete(identity, following, connect, step)


def _announce(
    identity: Identity, following: Identity, replica: Replica, announced: KeysRotated
) -> bytes:
    """The signed step, on disk beside the next keys."""
    step = signing.sign(announced, identity.signing_key)
    replica.session.admit(step)  # before anything is written
    begin_rotation(following, step)
    return step


def _complete(identity: Identity, following: Identity, connect: Connect, step: bytes) -> Identity:
    if not _is_known(identity, following, connect, step):
        raise VerificationError(
            "the coordinator took the new keys, but its log does not have them",
            hint="the new keys are kept: compare the log with other members, then rotate again",
        )
    return complete_rotation(following)


def finish_rotation(identity: Identity, connect: Connect) -> Identity:
    """The identity that the log knows: the new keys, if a rotation was interrupted after the
    coordinator took it, else the present ones.

    A rotation that the log does not have yet stays where it is: :func:`rotate` goes on with it.

    Raises:
        Unavailable: there is an interrupted rotation, and the coordinator cannot be reached.
        VerificationError: the log does not stand.
        PermissionDenied: the log knows neither of the keys.
    """
    erase_former_keys(identity)
    pending = pending_rotation(identity)
    if pending is None or not _is_known(identity, pending[0], connect):
        return identity
    return complete_rotation(pending[0])


def _is_known(
    identity: Identity, following: Identity, connect: Connect, step: bytes | None = None
) -> bool:
    """Whether the log has the new keys, as far as whoever they let in can verify.

    Args:
        step: is submitted first if the log does not have it.
    """
    try:
        with connect(identity) as (replica, link):
            if replica.members.get(following.name) != following.member:
                if step is None:
                    return False
                replica.session.admit(step)  # its refusal says why; over the wire is a constant
                link.rotate_keys(step)
    except PermissionDenied:
        pass  # the present keys are not let in any more: look with the new ones
    with connect(following) as (replica, _):
        return replica.members.get(following.name) == following.member
