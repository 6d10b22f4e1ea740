"""Parties that several tests share: names, roles, a moment in time."""

from __future__ import annotations

import dataclasses

from stayput.crypto import signing
from stayput.identity import Identity
from stayput.membership import Members
from stayput.steps import Role

NOW = 1_790_000_000
"""Some moment in 2026; tests never look at the clock of the machine."""

ROLES = {
    "hub": Role.COORDINATOR,
    "office": Role.CHECKER,
    "asker": Role.USER,
    "rival": Role.USER,
    "north": Role.HOLDER,
    "south": Role.HOLDER,
    "west": Role.HOLDER,
    "eve": Role.HOLDER,
    "reviewer": Role.AUDITOR,
}


@dataclasses.dataclass(frozen=True)
class Party:
    """The identities of a consortium and its verified member list."""

    identities: dict[str, Identity]
    members: Members

    def sign(self, doc: object, name: str) -> bytes:
        """The envelope of a document, signed by that party."""
        return signing.sign(doc, self.identities[name].signing_key)
