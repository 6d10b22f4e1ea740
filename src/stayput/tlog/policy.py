"""Trust policies (C2SP tlog-policy): which logs and cosigners a reader trusts, and how many.

A policy comes to the reader on its own, never from inside what it judges.  It verifies a checkpoint
(:meth:`Policy.verify`); whether the policy itself is strong enough is asked apart:
:func:`verify_unsplittable`, and :func:`verify_all` for checkpoints that release something.

Names of witnesses and groups are opaque octets to the format.  Here they are texts in which an
octet that is no UTF-8 stands as a lone surrogate, so that two names are equal only if all their
octets are.

Stricter than the format in two points: no key is both a log and a witness (a log is no witness of
itself), and there are limits on size.

**When can a policy be split?**  A split view is one log (with a dishonest log key) showing two
histories to two readers, each with a checkpoint that satisfies the policy.  An honest witness
cosigns one history only.  So it is possible exactly if there are two sets of witnesses, both enough
for the policy, whose common members are all dishonest.  A policy is accepted only if both hold:

* *One dishonest witness is never enough*: any two sufficient sets have at least two common members.
  For k of n: 2k - n >= 2.
* *Nobody who can be done without can split*: any three sufficient sets have a common member.
  Reason: whoever the policy can do without is not missed while it is dishonest; if the rest is
  still a sufficient set H, and A and B are the sets shown to the two readers, then the split works
  exactly if A, B and H have no common member.  For k of n: 3k > 2n, that is k >= 1 + floor(2n/3).

In nested groups every name is a member once, so the witnesses form a tree and both numbers follow
from the leaves up (:func:`_fewest_common`).  "2 of 3" fails both: the log and one witness split it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from stayput.errors import DocumentError, VerificationError
from stayput.tlog.checkpoint import CosignedCheckpoint, verify_cosigned
from stayput.tlog.cosignature import CosignatureVerifier, parse_cosigner_vkey
from stayput.tlog.note import NoteVerifier, parse_decimal, parse_vkey, verify_note

NONE: Final = "none"
"""The predefined quorum that asks for no cosignature."""

MAX_POLICY_BYTES: Final = 256 * 1024
"""Room for the largest number of entries with long names and comments."""

MAX_ENTRIES: Final = 256
"""Logs, witnesses or groups of one policy; the specification asks for 32 of each at least."""

_GROUP_OF_ALL: Final = "all-cosigners"


@dataclasses.dataclass(frozen=True)
class Log:
    """A log that is trusted to sign under its origin; ``url`` is empty when not given."""

    verifier: NoteVerifier
    url: str = ""


@dataclasses.dataclass(frozen=True)
class Witness:
    """A cosigner under its name inside the policy; ``url`` is empty when not given."""

    name: str
    verifier: CosignatureVerifier
    url: str = ""


@dataclasses.dataclass(frozen=True)
class Group:
    """A group that witnesses a checkpoint if ``threshold`` of its members do."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Policy:
    """Trusted logs, trusted witnesses, and the rule how many must have cosigned.

    Args:
        logs: any one of them must have signed.
        witnesses: distinct keys under distinct names.
        groups: each after the witnesses and groups that it names.
        quorum: name of a witness or group, or :data:`NONE`.

    Raises:
        DocumentError: a rule of the format is broken, such as a name or key that stands twice.
    """

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str

    def __post_init__(self) -> None:
        if max(len(self.logs), len(self.witnesses), len(self.groups)) > MAX_ENTRIES:
            raise DocumentError(f"a policy has at most {MAX_ENTRIES} logs, witnesses or groups")
        keys = [log.verifier.public for log in self.logs]
        keys += [witness.verifier.public for witness in self.witnesses]
        if len(set(keys)) != len(keys):
            raise DocumentError(
                "a key stands twice in the policy",
                hint="Each log and each witness has its own key; remove the second line.",
            )
        defined: set[str] = set()
        listed: set[str] = set()
        for witness in self.witnesses:
            _define(witness.name, defined)
        for group in self.groups:
            for member in group.members:
                _require_defined(member, defined)
                if member in listed:
                    raise DocumentError(f"{_show(member)} is a member of groups more than once")
                listed.add(member)
            if not 1 <= group.threshold <= len(group.members):
                raise DocumentError(
                    f"group {_show(group.name)}: the threshold is 1 to the number of members"
                )
            _define(group.name, defined)
        if self.quorum != NONE:
            _require_defined(self.quorum, defined)

    def encode(self) -> bytes:
        """The policy as a file, without comments: logs, witnesses, groups, quorum."""
        lines = [["log", log.verifier.vkey, log.url] for log in self.logs]
        lines += [["witness", w.name, w.verifier.vkey, w.url] for w in self.witnesses]
        lines += [["group", g.name, _threshold_word(g), *g.members] for g in self.groups]
        lines.append(["quorum", self.quorum])
        text = "".join(" ".join(item for item in line if item) + "\n" for line in lines)
        return text.encode("utf-8", "surrogateescape")

    def is_satisfied(self, keys: Iterable[bytes]) -> bool:
        """Whether cosignatures by these public keys reach the quorum."""
        signed = frozenset(keys)
        satisfied = {w.name: w.verifier.public in signed for w in self.witnesses}
        for group in self.groups:  # each after its members
            count = sum(satisfied[member] for member in group.members)
            satisfied[group.name] = count >= group.threshold
        return self.quorum == NONE or satisfied[self.quorum]

    def verify(self, note: bytes, origin: str) -> CosignedCheckpoint:
        """Verify a checkpoint of the log ``origin`` under this policy.

        1. A log of the policy with this origin as key name has signed it.
        2. Every line by a witness of the policy holds; lines by others are ignored.
        3. The witnesses that cosigned reach the quorum.

        Raises:
            DocumentError: not a signed checkpoint.
            VerificationError: step 1, 2 or 3.
        """
        known = [log.verifier for log in self.logs if log.verifier.name == origin]
        if not known:
            raise VerificationError(
                f"the policy does not name the log {origin}",
                hint="Use the policy of this consortium, or add a line log with its vkey.",
            )
        signed = verify_note(note, known).signatures  # two keys of one log: while it changes them
        signer = next(log for log in known if (log.name, log.key_id) in signed)
        cosigners = [witness.verifier for witness in self.witnesses]
        cosigned = verify_cosigned(note, origin, signer, cosigners)
        if not self.is_satisfied(cosigned.keys):
            missing = ", ".join(_show(w.name) for w in self._without(cosigned.keys))
            quorum = _show(self.quorum)
            raise VerificationError(
                f"the cosignatures do not reach the quorum {quorum}; missing: {missing}",
                hint="Ask for the checkpoint again once the missing witnesses have cosigned it.",
            )
        return cosigned

    def _without(self, keys: frozenset[bytes]) -> list[Witness]:
        return [witness for witness in self.witnesses if witness.verifier.public not in keys]


def all_of(logs: Iterable[str], cosigners: Iterable[str]) -> Policy:
    """The policy that every one of these cosigners must have signed.

    Args:
        logs: vkeys of the log, type 0x01.
        cosigners: vkeys of the cosigners, type 0x04; their key names become their names in the
            policy, with the key id after them where two keys have one name.

    Raises:
        DocumentError: no cosigner, a malformed vkey, or a key that stands twice.
    """
    verifiers = [parse_cosigner_vkey(vkey) for vkey in cosigners]
    if not verifiers:
        raise DocumentError("a policy of all has at least one cosigner")
    names = [verifier.name for verifier in verifiers]
    witnesses = tuple(
        Witness(v.name if names.count(v.name) == 1 else f"{v.name}/{v.key_id.hex()}", v)
        for v in verifiers
    )
    group = Group(_GROUP_OF_ALL, len(witnesses), tuple(witness.name for witness in witnesses))
    return Policy(tuple(Log(parse_vkey(vkey)) for vkey in logs), witnesses, (group,), group.name)


def parse_policy(data: bytes) -> Policy:
    """Parse an untrusted policy file.

    Raises:
        DocumentError: a rule of the format is broken; the message names the line.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise DocumentError(f"a policy has at most {MAX_POLICY_BYTES} bytes")
    if any((octet < 0x20 and octet not in b"\t\n") or octet == 0x7F for octet in data):
        raise DocumentError("a policy has no control characters but tab and newline")
    if not data.endswith(b"\n"):
        raise DocumentError("every line of a policy ends in a newline")
    logs: list[Log] = []
    witnesses: list[Witness] = []
    groups: list[Group] = []
    quorum: list[str] = []
    defined: set[str] = set()
    for number, line in enumerate(data[:-1].split(b"\n"), 1):
        # "sequences of ASCII space and tab characters only": bytes.split() would take more.
        items = [item for item in line.replace(b"\t", b" ").split(b" ") if item]
        if not items or items[0].startswith(b"#"):
            continue
        keyword, *rest = (item.decode("utf-8", "surrogateescape") for item in items)
        try:
            if keyword == "log":
                logs.append(_parse_log(rest))
            elif keyword == "witness":
                witnesses.append(_parse_witness(rest))
                _define(witnesses[-1].name, defined)
            elif keyword == "group":
                groups.append(_parse_group(rest, defined))
            elif keyword == "quorum":
                quorum.append(_parse_quorum(rest, defined))
            else:
                raise DocumentError("a line starts with log, witness, group or quorum")
        except DocumentError as error:
            raise DocumentError(f"policy, line {number}: {error}", hint=error.hint) from None
    if len(quorum) != 1:
        raise DocumentError(
            f"a policy has exactly one quorum line, this one has {len(quorum)}",
            hint="Write one line: quorum NAME, after the line that defines the name.",
        )
    return Policy(tuple(logs), tuple(witnesses), tuple(groups), quorum[0])


# --- is a policy strong enough? -------------------------------------------------------------------


def verify_unsplittable(policy: Policy) -> Policy:
    """Refuse a policy under which a log could show two histories; the rule is in the module's text.

    Returns:
        The policy.

    Raises:
        VerificationError: no cosignature is demanded, or the log can split the policy together
            with one witness, or with witnesses that the policy can do without.
    """
    if policy.quorum == NONE:
        raise VerificationError(
            "the policy demands no cosignature: the log alone can show two histories",
            hint="Demand all holders' cosignatures: group NAME all …, quorum NAME.",
        )
    pairs, triples = _fewest_common(policy, 2), _fewest_common(policy, 3)
    if pairs[policy.quorum] < 2 or triples[policy.quorum] < 1:
        fewest = pairs[policy.quorum]
        conspirators = "the log alone"
        if fewest:
            conspirators = f"the log and {fewest} witness{'es' if fewest > 1 else ''}"
        raise VerificationError(
            f"the policy can be split: {conspirators} can show two histories",
            hint=_remedy(policy, triples),
        )
    return policy


def verify_all(policy: Policy, cosigners: Sequence[CosignatureVerifier]) -> Policy:
    """Refuse a policy that can be satisfied without one of these cosigners.

    For checkpoints that release something: every participating holder must have cosigned.

    Returns:
        The policy.

    Raises:
        VerificationError: no cosigner is given, one is not in the policy under that name and key,
            or one is not needed.
    """
    if not cosigners:
        raise VerificationError("no cosigner is given that the policy would have to demand")
    known = {witness.verifier for witness in policy.witnesses}
    everyone = frozenset(verifier.public for verifier in known)
    for cosigner in cosigners:
        if cosigner not in known or policy.is_satisfied(everyone - {cosigner.public}):
            raise VerificationError(
                f"the policy does not demand the cosignature of {cosigner.name}",
                hint="Put every participating holder into a group with the threshold all.",
            )
    return policy


def _fewest_common(policy: Policy, sides: int) -> Mapping[str, int]:
    """By name: the fewest witnesses that must stand on all ``sides`` for each side to be enough.

    A witness on fewer than all sides costs nothing, and so does a member group on fewer than all
    sides.  Let b of the n members stand on all s sides and each other member on s - 1: then the
    sides together have s·b + (s-1)(n-b) places, and each side needs k, so b >= s·k - (s-1)·n; that
    many suffice, because the n - b omissions can be spread so that no side omits more than n - k.
    The cheapest b members are taken.
    """
    fewest = {witness.name: 1 for witness in policy.witnesses}
    for group in policy.groups:
        everywhere = sides * group.threshold - (sides - 1) * len(group.members)
        costs = sorted(fewest[member] for member in group.members)
        fewest[group.name] = sum(costs[: max(0, everywhere)])
    return fewest


def _remedy(policy: Policy, triples: Mapping[str, int]) -> str:
    """What to write instead: the first group on the way to the quorum that is too weak."""
    groups = {group.name: group for group in policy.groups}
    names = [policy.quorum]
    for name in names:  # grows: from the quorum down through the groups that can be split
        group = groups.get(name)
        if group is None:
            continue
        count = len(group.members)
        needed = 1 + 2 * count // 3
        if group.threshold < needed:
            return f"Group {_show(name)} needs at least {needed} of its {count} members."
        names += [member for member in group.members if triples[member] == 0]
    return "Demand at least two witnesses of different organisations: group NAME all …."


# --- lines ----------------------------------------------------------------------------------------


def _parse_log(items: Sequence[str]) -> Log:
    if len(items) not in (1, 2):
        raise DocumentError("expected: log VKEY [URL]")
    return Log(parse_vkey(items[0]), *items[1:])


def _parse_witness(items: Sequence[str]) -> Witness:
    if len(items) not in (2, 3):
        raise DocumentError("expected: witness NAME VKEY [URL]")
    return Witness(items[0], parse_cosigner_vkey(items[1]), *items[2:])


def _parse_group(items: Sequence[str], defined: set[str]) -> Group:
    if len(items) < 3:
        raise DocumentError("expected: group NAME all|any|NUMBER NAME…")
    name, word, *members = items
    if word == "all":
        threshold = len(members)
    elif word == "any":
        threshold = 1
    else:
        threshold = parse_decimal(word, len(members))
    for member in members:  # "names of groups and witnesses defined on preceding lines"
        _require_defined(member, defined)
    _define(name, defined)
    return Group(name, threshold, tuple(members))


def _parse_quorum(items: Sequence[str], defined: set[str]) -> str:
    if len(items) != 1:
        raise DocumentError("expected: quorum NAME")
    if items[0] != NONE:
        _require_defined(items[0], defined)
    return items[0]


def _define(name: str, defined: set[str]) -> None:
    if name == NONE or name in defined:
        raise DocumentError(f"the name {_show(name)} is taken")
    defined.add(name)


def _require_defined(name: str, defined: set[str]) -> None:
    if name not in defined:
        raise DocumentError(
            f"{_show(name)} is not defined on a line before",
            hint="Define witnesses first, then groups, then the quorum.",
        )


def _threshold_word(group: Group) -> str:
    if group.threshold == len(group.members):
        return "all"
    return "any" if group.threshold == 1 else str(group.threshold)


def _show(name: str) -> str:
    """A name for a message: octets that are no UTF-8 as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
