"""Evidence that a log was forked: what a party has kept, as one file to show to the others.

A log that signs two trees of which neither is part of the other has lied to somebody, and each of
the two notes is its own signature on that.  The file is JSON for people and programs alike, with
the keys of the pinned member list beside the notes, so that anybody can verify the signatures with
any tool for C2SP signed notes; who does not take the keys from here compares them.

Not here: noticing it (:mod:`stayput.replica`), what follows from it (:mod:`stayput.witness`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stayput.membership import Members
from stayput.store.journal import Evidence, Kept

MEANINGS = {
    Evidence.FORK: "the log signed a tree that does not extend the one held, or breaks the rules",
    Evidence.SHRUNK: "the log showed an older tree as its newest",
    Evidence.COSIGNED: "a member cosigned a tree that the log has not signed here",
}
"""What each kind of evidence shows, in words."""


def evidence_file(kept: Sequence[Kept], members: Members) -> bytes:
    """The bytes of the file: every note as the text that was signed, with its signature lines."""
    listed: dict[str, Any] = {
        "consortium": members.consortium,
        "member_list": members.digest.hex(),
        "log_key": members.log_verifier.vkey,
        "cosigner_keys": [verifier.vkey for verifier in members.cosigners()],
        "evidence": [
            {
                "kind": one.kind.value,
                "shows": MEANINGS[one.kind],
                "note": one.note.decode("utf-8"),
                "held": one.held.decode("utf-8"),
            }
            for one in kept
        ],
    }
    return (json.dumps(listed, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
