"""Commands that set a party up: init, card, consortium form, join, members, start."""

from __future__ import annotations

import enum
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stayput.cli.opening import grouped, members_from, parse_fingerprint
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
                    }
                    for member in listed
                ],
            }
        )
        return
    put(f"Consortium {listed.consortium}, {len(listed)} members")
    put_table(
        ("name", "role", "key"),
        [(m.name, m.role.name.lower(), fingerprint(m.signing_key)) for m in listed],
    )
    put(f"Fingerprint  {grouped(listed.digest)}")
