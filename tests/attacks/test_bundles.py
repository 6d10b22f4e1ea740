"""Bundles that look like a proof: what coordinator, checker or data user may show a reader."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from attacks.lying import NOW, World
from pets import HOLDERS

from stayput import documents
from stayput.audit import verify_release
from stayput.crypto import signing
from stayput.errors import VerificationError
from stayput.release import CheckedResult, ProvenEntry, ReleaseBundle
from stayput.steps import ResultReleased
from stayput.table import CellType, ResultTable, column
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint
from stayput.tlog.cosignature import cosign
from stayput.tlog.note import add_signatures


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


def cosigned(checkpoint: Checkpoint, world: World) -> bytes:
    """Signed by the log and by everybody who cosigns: the whole consortium conspires."""
    note = sign_checkpoint(checkpoint, world.identities["hub"].signing_key)
    lines = []
    for name in HOLDERS:
        identity = world.identities[name]
        assert identity.witness_key is not None
        assert identity.auditor_key is not None
        members, text = world.members, checkpoint.text
        lines += [
            cosign(text, members.witness_name(name), identity.witness_key, NOW),
            cosign(text, members.auditor_name(name), identity.auditor_key, NOW),
        ]
    return add_signatures(note, lines)


def bent(bundle: ReleaseBundle, table: ResultTable, world: World) -> bytes:
    """The bundle of a checker that commits to another table, in a log that its friend signs."""
    result = documents.parse(CheckedResult, bundle.result)
    result = dataclasses.replace(result, table=table)
    log = list(world.client.replica.entries)
    last = next(
        i
        for i, entry in enumerate(log)
        if signing.parse_envelope(entry).type_name == documents.type_name(ResultReleased)
    )
    step = documents.parse(ResultReleased, signing.parse_envelope(log[last]).payload)
    log[last] = world.sign(dataclasses.replace(step, result=documents.digest(result)), "office")
    tree = merkle.Tree(merkle.leaf_hash(entry) for entry in log)
    checkpoint = Checkpoint(world.members.log_origin, len(log), tree.root())
    return documents.encode(
        ReleaseBundle(
            cosigned(checkpoint, world),
            tuple(
                ProvenEntry(proven.index, log[proven.index], tree.inclusion_proof(proven.index))
                for proven in bundle.entries
            ),
            bundle.scenario,
            bundle.order,
            documents.encode(result),
        )
    )


def test_a_table_that_does_not_answer_the_statement(world: World) -> None:
    """A checker is trusted with the verdict, not to answer another question than was approved."""
    bundle = released(world)
    table = documents.parse(CheckedResult, bundle.result).table
    assert verify_release(bent(bundle, table, world), world.members).result.table == table
    first, *others = table.columns
    without_last_row = [
        dataclasses.replace(
            c,
            states=c.states[:-1],
            texts=c.texts[: c.states[:-1].count("v")],
        )
        for c in table.columns
    ]
    extra = column("one_row", CellType.INTEGER, ["7"] * len(table))
    swapped = dataclasses.replace(first, texts=(first.texts[1], first.texts[0], *first.texts[2:]))
    for columns in (
        (first, *others[:-1]),
        (*table.columns, extra),
        tuple(without_last_row),
        (swapped, *others),
        (first, dataclasses.replace(others[0], name="other"), *others[1:]),
    ):
        with pytest.raises(VerificationError, match="of the statement"):
            verify_release(bent(bundle, ResultTable(columns), world), world.members)
    rehearsed = dataclasses.replace(table, synthetic=True)
    with pytest.raises(VerificationError, match="of the statement"):
        verify_release(bent(bundle, rehearsed, world), world.members)
