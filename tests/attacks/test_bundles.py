"""Bundles that look like a proof: what a coordinator or a data user may put in front of a reader."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from attacks.lying import World

from stayput import documents
from stayput.audit import verify_release
from stayput.errors import VerificationError
from stayput.release import ProvenEntry, ReleaseBundle
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint


def released(world: World) -> ReleaseBundle:
    run = world.order()
    world.settle()
    return documents.parse(ReleaseBundle, world.client.wait_for(run, timeout=0).bundle)


def test_a_member_list_of_the_coordinators_own_further_down_the_log(
    world: World, tmp_path: Path
) -> None:
    """The coordinator invents a consortium whose checker and holders are its own, runs everything
    there by itself, and hangs that log behind one entry of the real one, which it does not show.
    Every signature and every proof in the bundle holds.
    """
    invented = World(tmp_path / "invented")
    found = released(invented)
    log = [world.members.envelope, *invented.client.replica.entries]
    tree = merkle.Tree(merkle.leaf_hash(entry) for entry in log)
    checkpoint = Checkpoint(world.members.log_origin, len(log), tree.root())
    forged = dataclasses.replace(
        found,
        checkpoint=sign_checkpoint(checkpoint, world.identities["hub"].signing_key),
        entries=tuple(
            ProvenEntry(index, entry, tree.inclusion_proof(index))
            for index, entry in enumerate(log)
            if index
        ),
    )
    with pytest.raises(VerificationError, match="member list"):
        verify_release(documents.encode(forged), world.members)
    invented.close()
