"""Parties that several tests share: real keys, made once per test process.

The checker's key has 2048 bits, the smallest that any part of Stayput accepts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from parties import NOW, ROLES, Party

from stayput.identity import create_identity, member_card
from stayput.membership import form_member_list, verify_member_list
from stayput.steps import Role


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
