"""Parties that several tests share: real keys, made once per test process.

The checker's key has 2048 bits, the smallest that any part of Stayput accepts.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from stayput.crypto import signing
from stayput.identity import Identity, create_identity, member_card
from stayput.membership import Members, form_member_list, verify_member_list
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


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Party:
    root = tmp_path_factory.mktemp("consortium")
    identities = {
        name: create_identity(
            Path(root / name),
            name,
            role,
            now=NOW - 1000,
            address="127.0.0.1:7443" if role is Role.COORDINATOR else "",
            paillier_bits=2048,
        )
        for name, role in ROLES.items()
    }
    cards = [member_card(identity) for identity in identities.values()]
    listed = form_member_list("testers", cards, identities["hub"].signing_key, NOW - 900)
    return Party(identities, verify_member_list(listed, pinned=None))
