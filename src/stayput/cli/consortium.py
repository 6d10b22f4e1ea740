"""Commands that set a party up, keep its keys fresh, and end a log.

init, card, consortium form, join, members, start, rotate; log freeze, log checkpoint.
"""

from __future__ import annotations

import enum
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stayput.cli.opening import grouped, members_from, opened, parse_fingerprint, recording
from stayput.cli.terminal import (
    DEFAULT_HOME,
    AsJson,
    Home,
    ask_passphrase,
    choose_passphrase,
    confirm,
    counting,
    put,
    put_json,
    put_table,
    read_file,
    say,
    write_file,
)
from stayput.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from stayput.membership import Members
    from stayput.steps import Member


class RoleName(enum.StrEnum):
    """Roles as they are typed."""

    HOLDER = "holder"
    COORDINATOR = "coordinator"
    CHECKER = "checker"
    USER = "user"
    AUDITOR = "auditor"


class KeyKind(enum.StrEnum):
    """Kinds of Paillier keys as they are typed."""

    SAFE = "safe-primes"
    SUBGROUP = "subgroup"


class FreezeWord(enum.StrEnum):
    """Reasons for the end of a log as they are typed."""

    KEY_COMPROMISED = "key-compromised"
    LOG_DAMAGED = "log-damaged"
    MEMBERS_CHANGE = "members-change"
    KEYS_EXPIRE = "keys-expire"
    CONSORTIUM_ENDS = "consortium-ends"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(card)
    group = typer.Typer(help="Form a consortium (the coordinator).", rich_markup_mode=None)
    group.command("form")(form)
    app.add_typer(group, name="consortium")
    app.command()(join)
    app.command()(members)
    app.command()(start)
    app.command()(rotate)


def register_log(group: typer.Typer) -> None:
    """Add the commands about the end of a log to the group of the log's commands."""
    group.command("checkpoint")(checkpoint)
    group.command("freeze")(freeze)


def init(
    name: Annotated[str, typer.Argument(help="Name of the party: small letters, digits, hyphens.")],
    role: Annotated[RoleName, typer.Option(help="What the party is.")],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the coordinator listens.")
    ] = "",
    paillier: Annotated[
        KeyKind | None,
        typer.Option(help="Kind of the checker's key; a subgroup key opens faster: crypto.md."),
    ] = None,
    lock: Annotated[
        bool, typer.Option("--lock", help="Lock the checker's key file with a passphrase.")
    ] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Draw the keys of a new party; private parts never leave its folder."""
    from stayput.identity import create_identity
    from stayput.steps import Role

    chosen = Role[role.name]
    if chosen is Role.COORDINATOR and not listen:
        raise InvalidInput(
            "a coordinator listens on an address", hint="add --listen HOST:PORT, such as :7443"
        )
    if chosen is not Role.CHECKER and (paillier or lock):
        raise InvalidInput(
            f"a {role} has no Paillier key", hint="--paillier and --lock are for a checker"
        )
    passphrase = choose_passphrase("passphrase of the Paillier key") if lock else None
    if chosen is Role.CHECKER:
        say("drawing a Paillier key of 3072 bits, some seconds, luck decides how many ...")
    create_identity(
        home,
        name,
        chosen,
        address=listen,
        now=int(time.time()),
        subgroup=paillier is KeyKind.SUBGROUP,
        passphrase=passphrase,
        progress=counting("numbers tested"),
    )
    say(f"{name} is a {role} now; its keys are in {home}, for nobody else to read")
    say(f"next: hand {home / 'card.json'} to the coordinator")
    put(str(home / "card.json"))


def card(home: Home = DEFAULT_HOME) -> None:
    """Print this party's card: what it hands to the coordinator."""
    from stayput.identity import load_identity, member_card

    put(member_card(load_identity(home)).decode("ascii"))


def form(
    consortium: Annotated[str, typer.Argument(help="Name of the consortium.")],
    cards: Annotated[list[Path], typer.Argument(help="The cards of all other parties.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    successor_of: Annotated[
        Path | None,
        typer.Option(help="Last checkpoint of the log that this one continues: `log checkpoint`."),
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Sign the list of all members, the coordinator's own card included."""
    from stayput.identity import load_identity, member_card
    from stayput.membership import form_member_list, verify_member_list
    from stayput.steps import Role

    identity = load_identity(home)
    if identity.role is not Role.COORDINATOR:
        raise ConfigurationError(
            f"{identity.name} is a {identity.role.name.lower()}; the coordinator forms the list",
            hint="use --home with the coordinator's folder",
        )
    given = [read_file(path).strip() for path in cards]
    own = member_card(identity)
    data = form_member_list(
        consortium,
        [*(card for card in given if card != own), own],
        identity.signing_key,
        int(time.time()),
        predecessor=read_file(successor_of) if successor_of is not None else b"",
    )
    write_file(output, data)
    listed = verify_member_list(data, pinned=None)
    _put_members(listed)
    say(f"next: hand {output} to every member, you too; each joins with")
    say(f"  stayput join {output.name} --coordinator {identity.address}")


def join(
    file: Annotated[Path, typer.Argument(help="The member list, from the coordinator.")],
    coordinator: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the coordinator listens.")
    ] = "",
    fingerprint: Annotated[
        str, typer.Option(metavar="HEX", help="What the list's fingerprint has to be.")
    ] = "",
    predecessor: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Home in which you are in the log that this continues."
        ),
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Read the member list, compare its fingerprint with the others, and pin it."""
    from stayput.identity import load_identity, save_members
    from stayput.membership import verify_member_list

    identity = load_identity(home)
    address = coordinator or identity.address
    if not address:
        raise InvalidInput(
            "where does the coordinator listen?", hint="ask it, and add --coordinator HOST:PORT"
        )
    expected = parse_fingerprint(fingerprint) if fingerprint else None
    data = read_file(file)
    listed = verify_member_list(data, pinned=expected)
    _put_members(listed)
    _compare_predecessor(listed, predecessor)
    if expected is None:
        say("Compare the fingerprint with the other members, by telephone: a list that only you")
        say("were given could name others in their place.")
        if not confirm("Do the others read the same fingerprint?"):
            raise ConfigurationError(
                "not joined: the fingerprint is not confirmed",
                hint=f"compare it, then add --fingerprint {listed.digest.hex()}",
            )
    save_members(home, data, coordinator=address, expected=listed.digest)
    say(f"{identity.name} has joined {listed.consortium}")


def members(
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
    file: Annotated[Path | None, typer.Option(help="Another list than the pinned one.")] = None,
) -> None:
    """Print the member list and its fingerprint."""
    _put_members(members_from(home, file, ""), as_json=as_json)


def start(home: Home = DEFAULT_HOME) -> None:
    """Run this party's daemon (coordinator, checker, or a holder's node) until it is stopped."""
    from stayput.rpc.tls import require_tls13

    require_tls13()
    from stayput.daemon import run_daemon

    def report(message: str) -> None:
        say(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {message}")

    run_daemon(home, report, lambda: ask_passphrase("passphrase of the Paillier key"))
    report("stopped")


def rotate(home: Home = DEFAULT_HOME) -> None:
    """Give this party new keys, or finish doing so; its daemon is stopped meanwhile."""
    from stayput.rpc.tls import require_tls13

    require_tls13()
    from stayput.crypto.signing import fingerprint
    from stayput.daemon import clock, connected, exclusively
    from stayput.identity import load_identity, pending_rotation
    from stayput.rotation import rotate as rotate_keys
    from stayput.steps import Role

    identity = load_identity(home, lambda: ask_passphrase("passphrase of the Paillier key"))
    with exclusively(home), recording(home):
        pending = pending_rotation(identity) is not None
        if pending:
            say("going on with a rotation that was interrupted")
        elif identity.role is Role.CHECKER:
            say("drawing a Paillier key, some seconds, luck decides how many ...")
        rotated = rotate_keys(identity, connected, clock, progress=counting("numbers tested"))
    say(f"the log knows {rotated.name} by its new keys; the old private keys are erased")
    say("next: start the daemon again, if this party has one, and back up the home folder")
    put(fingerprint(rotated.signing_key.public))


def checkpoint(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Write the newest checkpoint of the log, verified, with its cosignatures."""
    from stayput.succession import last_checkpoint

    with opened(home) as (_, replica, link):
        note, found = last_checkpoint(replica, link)
    write_file(output, note)
    names = ", ".join(sorted(found.times)) or "nobody yet"
    say(f"cosigned by {names}")
    put(f"size {found.checkpoint.size}, root {found.checkpoint.root.hex()}")


def freeze(
    reason: Annotated[FreezeWord, typer.Option(help="Why the log ends.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the last checkpoint.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """End the log, for everybody and for good (the coordinator, its daemon stopped)."""
    from stayput.daemon import exclusively, opened_coordinator
    from stayput.identity import load_identity, load_members
    from stayput.steps import FreezeReason, Role

    identity, listed = load_identity(home), load_members(home)
    if identity.role is not Role.COORDINATOR:
        raise ConfigurationError(
            f"{identity.name} is a {identity.role.name.lower()}; the coordinator freezes the log",
            hint="use --home with the coordinator's folder",
        )
    question = f"End the log of {listed.consortium}, with all runs that are open, for good?"
    if not (yes or confirm(question)):
        raise ConfigurationError(
            "nothing was signed", hint="answer the question on a terminal, or add --yes"
        )
    with exclusively(home), opened_coordinator(home, identity, listed) as core:
        index = core.freeze(FreezeReason[reason.name])
        page = core.read_log(listed.coordinator, index)
    if output is not None:
        write_file(output, page.checkpoint)
    say("next: start the coordinator again, so that every member sees and cosigns the end;")
    say("then `stayput log checkpoint -o FILE` has the cosignatures for a successor")
    put(f"the log of {listed.consortium} is frozen: {index + 1} entries")


def _compare_predecessor(listed: Members, folder: Path | None) -> None:
    """Say what is known of the log that a list continues, verified where we were in that."""
    if folder is None:
        if listed.predecessor is not None:
            say(f"This log continues {listed.predecessor.origin}. If you were a member of that,")
            say("add --predecessor FOLDER, the home folder in which you were.")
        return
    import contextlib

    from stayput.identity import load_members
    from stayput.replica import Replica
    from stayput.store.journal import Journal, MemoryMirror
    from stayput.succession import verify_continuation

    old = load_members(folder)
    with contextlib.closing(Journal(folder / "journal.db")) as journal:
        replica = Replica(old, MemoryMirror(*journal.load()))
    found = verify_continuation(listed, replica)
    ended = found.frozen.name if found.frozen is not None else "not frozen: ask why"
    put(f"Continues {found.checkpoint.origin} after {found.checkpoint.size} entries ({ended})")
    say(f"its last checkpoint is cosigned by {', '.join(found.cosigners) or 'nobody'}")
    if found.left_behind:
        say(f"You hold {found.left_behind} entries after that. They are NOT continued: read them")
        say("(`stayput log show`) and ask the others before you join.")


def _opens_with(member: Member) -> str:
    """Length and kind of a checker's Paillier key; nothing of others."""
    from stayput.crypto.paillier import parse_public_key

    if not member.paillier_modulus:
        return ""
    key = parse_public_key(member.paillier_modulus)
    kind = KeyKind.SAFE if key.subgroup is None else KeyKind.SUBGROUP
    return f"{key.bits} bits, {kind.value}"


def _put_members(listed: Members, *, as_json: bool = False) -> None:
    from stayput.crypto.signing import fingerprint

    if as_json:
        put_json(
            {
                "consortium": listed.consortium,
                "fingerprint": listed.digest.hex(),
                "members": [
                    {
                        "name": member.name,
                        "role": member.role.name.lower(),
                        "key": fingerprint(member.signing_key),
                        "opens_sums_with": _opens_with(member),
                    }
                    for member in listed
                ],
            }
        )
        return
    put(f"Consortium {listed.consortium}, {len(listed)} members")
    put_table(
        ("name", "role", "key", "opens sums with"),
        [(m.name, m.role.name.lower(), fingerprint(m.signing_key), _opens_with(m)) for m in listed],
    )
    put(f"Fingerprint  {grouped(listed.digest)}")
