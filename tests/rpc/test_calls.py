"""Every call arrives as it was made, waits for news where it should, and is counted."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from rpc.loopback import ROLES, Consortium, Running, running

from stayput.errors import (
    ConfigurationError,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from stayput.link import MAX_PIECE_BYTES, Item, ItemKind, digest_notes
from stayput.rpc import methods as adapter
from stayput.rpc import wire
from stayput.rpc.credentials import MAX_MESSAGE_BYTES
from stayput.rpc.wire import Direction
from stayput.steps import Role, Round
from stayput.v1 import services_pb2 as pb

SET, ROWS = Item(ItemKind.SET, "north", 3), Item(ItemKind.ROWS, number=2)

CALLS: dict[str, tuple[str, tuple[Any, ...], Any]] = {
    "LogService/ReadTile": ("read_tile", ("tile/0/000",), b"32 bytes"),
    "LogService/RotateKeys": ("rotate_keys", (b"s",), int),
    "LogService/SubmitCosignatures": ("submit_cosignatures", ((b"note", b"other"),), None),
    "ScenarioService/ProposeScenario": ("propose_scenario", (b"s", b"doc"), int),
    "ScenarioService/GetScenario": ("get_scenario", (b"digest",), b"the scenario"),
    "ScenarioService/ReviewScenario": ("review_scenario", (b"s",), int),
    "ScenarioService/RevokeScenario": ("revoke_scenario", (b"s",), int),
    "RunService/OrderRun": ("order_run", (b"s", b"order"), int),
    "RunService/GetRunOrder": ("get_run_order", (b"run",), b"the order"),
    "RunService/SubmitReceipt": ("submit_receipt", (b"s",), int),
    "RunService/SubmitContribution": ("submit_contribution", (b"s", b"c", b"\0\xff" * 900), int),
    "RunService/GetContribution": ("get_contribution", (b"run", Round.VALUES, "north"), b"the sum"),
    "RunService/SubmitVerdict": ("submit_verdict", (b"s", b"verdict"), int),
    "RunService/GetVerdict": ("get_verdict", (b"run",), b"the verdict"),
    "ScenarioService/AuthoriseScenario": ("authorise_scenario", (b"s",), int),
    "RunService/HoldResult": ("hold_result", (b"s",), int),
    "RunService/ExamineResult": ("examine_result", (b"s",), int),
    "RunService/SubmitRelease": ("submit_release", (b"s",), int),
    "RunService/DeliverResult": ("deliver_result", (b"run", b"sealed"), None),
    "RunService/FetchResult": ("fetch_result", (b"run",), b"the result"),
    "RunService/FailRun": ("fail_run", (b"s",), int),
    "JoinService/PutPiece": ("put_piece", (b"run", ROWS, 7, b"\0\xff" * 900), None),
    "JoinService/CountPieces": ("count_pieces", (b"run", SET), 1),
    "JoinService/GetPiece": ("get_piece", (b"run", ROWS, 2**20), b"the piece"),
    "JoinService/SubmitJoinStep": ("submit_join_step", (b"s",), int),
}


def test_tables_name_every_method_of_the_schema() -> None:
    declared = {
        f"{service.name}/{method.name}"
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert set(adapter.METHODS) == declared == {*CALLS, "LogService/ReadLog"}
    assert set(wire.KINDS) == declared


@pytest.mark.parametrize("method", sorted(CALLS))
def test_a_call_arrives_whole_under_the_callers_name(server: Running, method: str) -> None:
    call, arguments, expected = CALLS[method]
    for name, role in ROLES.items():
        with server.link(name) as link:
            server.core.calls.clear()
            if role in adapter.METHODS[method].roles:
                answer = getattr(link, call)(*arguments)
                assert server.core.calls == [(call, name, arguments)]
                assert answer == (2**40 + 1 if expected is int else expected)
            else:
                with pytest.raises(PermissionDenied) as refused:
                    getattr(link, call)(*arguments)
                assert refused.value.message == PermissionDenied.public
                assert server.core.calls == []


def test_every_method_has_a_caller() -> None:
    for name, method in adapter.METHODS.items():
        assert method.roles - {Role.COORDINATOR}, name


# --- the log ------------------------------------------------------------------------------------


def test_the_log_is_read_by_every_member(server: Running) -> None:
    server.core.log += [b"entry 1", b""]
    for name in ROLES:
        with server.link(name) as link:
            page = link.read_log(1, 0)
            assert (page.start, page.entries, page.checkpoint) == (
                1,
                (b"entry 1", b""),
                b"checkpoint",
            )
    with server.link("north") as link, pytest.raises(NotFound):
        link.read_log(9, 0)


def test_reading_waits_for_news_and_not_longer(server: Running) -> None:
    with server.link("north") as link:
        begin = time.monotonic()
        assert link.read_log(1, 300).entries == ()
        assert 0.29 <= time.monotonic() - begin < 5

        timer = threading.Timer(0.2, server.core.append, (b"news",))
        timer.start()
        begin = time.monotonic()
        assert link.read_log(1, 30_000).entries == (b"news",)
        assert time.monotonic() - begin < 5
        timer.join()


def test_a_cosignature_is_news_for_who_does_not_know_it(server: Running) -> None:
    with server.link("north") as link:
        server.core.cosigned = (b"note 1", b"note 2")
        begin = time.monotonic()
        page = link.read_log(1, 30_000)  # it came before we asked: nobody has to wait
        assert page.entries == ()
        assert page.cosigned == (b"note 1", b"note 2")
        assert time.monotonic() - begin < 5

        begin = time.monotonic()
        assert link.read_log(1, 300, page.cosigned_digest).cosigned == page.cosigned
        assert 0.29 <= time.monotonic() - begin < 5

        timer = threading.Timer(0.2, server.core.cosign, (b"note 3",))
        timer.start()
        begin = time.monotonic()
        assert link.read_log(1, 30_000, page.cosigned_digest).cosigned == (b"note 3",)
        assert time.monotonic() - begin < 5
        timer.join()
        server.core.cosigned = ()


def test_a_digest_of_notes_names_each_list_by_another_name() -> None:
    lists = [(), (b"",), (b"", b""), (b"ab",), (b"a", b"b"), (b"b", b"a")]
    assert len({digest_notes(notes) for notes in lists}) == len(lists)


def test_many_notes_at_once_are_refused(server: Running) -> None:
    with server.link("north") as link:
        link.submit_cosignatures((b"note",) * adapter.MAX_NOTES)
        with pytest.raises(InvalidInput):
            link.submit_cosignatures((b"note",) * (adapter.MAX_NOTES + 1))


def test_many_wait_at_the_same_time_and_all_are_told(server: Running) -> None:
    """More waiting calls than threads: a waiting call holds none."""
    seen: list[tuple[bytes, ...]] = []

    def wait() -> None:
        with server.link("north") as link:
            seen.append(link.read_log(1, 30_000).entries)

    threads = [threading.Thread(target=wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 20
    while len(server.core.calls) < 20 and time.monotonic() < until:
        time.sleep(0.01)
    server.core.append(b"news")
    for thread in threads:
        thread.join(20)
    assert seen == [(b"news",)] * 20


# --- malformed and too large --------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x07"])
@pytest.mark.parametrize("method", ["RunService/FailRun", "RunService/SubmitContribution"])
def test_what_is_no_message_is_malformed(server: Running, method: str, data: bytes) -> None:
    with server.link("north") as link:
        with pytest.raises(InvalidInput) as refused:
            link._line.call(method, data, 5.0)
        assert refused.value.message == InvalidInput.public
    assert server.core.calls == []


@pytest.mark.parametrize("turn", [0, 3, 2**31])
def test_an_unknown_round_is_malformed(server: Running, turn: int) -> None:
    request = pb.GetContributionRequest(run=b"run", round=turn).SerializeToString()
    with server.link("office") as link, pytest.raises(InvalidInput):
        link._line.call("RunService/GetContribution", request, 5.0)
    assert server.core.calls == []


def test_an_unknown_method_is_another_version(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(wire.KINDS, "RunService/ReadEverything", ("wish", "everything"))
    with server.link("north") as link, pytest.raises(ConfigurationError, match="does not know"):
        link._line.call("RunService/ReadEverything", b"", 5.0)


def test_what_is_too_large_is_refused(server: Running) -> None:
    with server.link("north") as link:
        with pytest.raises(InvalidInput, match="larger"):
            link.submit_contribution(b"s", b"c", bytes(MAX_MESSAGE_BYTES))
        assert link.submit_contribution(b"s", b"c", bytes(8 * 1024 * 1024)) > 0


def test_a_piece_has_its_bound_and_one_of_four_kinds(server: Running) -> None:
    with server.link("north") as link:
        link.put_piece(b"run", ROWS, 0, bytes(MAX_PIECE_BYTES))
        server.core.calls.clear()
        with pytest.raises(InvalidInput):
            link.put_piece(b"run", ROWS, 0, bytes(MAX_PIECE_BYTES + 1))
        for kind in (0, 5):
            item = pb.JoinItem(kind=kind)
            request = pb.CountPiecesRequest(run=b"run", item=item).SerializeToString()
            with pytest.raises(InvalidInput):
                link._line.call("JoinService/CountPieces", request, 5.0)
    assert server.core.calls == []


# --- nobody there -------------------------------------------------------------------------------


def test_an_absent_coordinator_is_unavailable_after_some_patience(parties: Consortium) -> None:
    with running(parties) as server:
        link = server.link("north", patience=0.5)
        assert link.read_log(0, 0).entries
    begin = time.monotonic()
    with pytest.raises(Unavailable) as refused:
        link.read_log(0, 0)
    assert time.monotonic() - begin < 5
    assert refused.value.message == "The coordinator cannot be reached."
    assert "running" in refused.value.hint
    link.close()
    with pytest.raises(Unavailable, match="closed"):
        link.read_log(0, 0)


def test_the_link_outlives_a_restart_of_the_coordinator(parties: Consortium) -> None:
    with running(parties) as first:
        link = first.link("north", patience=20.0)
        assert link.read_log(0, 0).entries == (b"entry 0",)
        address = first.address
    answers: list[tuple[bytes, ...]] = []
    asking = threading.Thread(target=lambda: answers.append(link.read_log(0, 0).entries))
    asking.start()
    time.sleep(0.3)
    with running(parties, address=address):
        asking.join(20)
    link.close()
    assert answers == [(b"entry 0",)]


def test_stopping_ends_those_who_wait(parties: Consortium) -> None:
    answers: list[tuple[bytes, ...]] = []
    with running(parties) as server:
        link = server.link("north")
        asking = threading.Thread(target=lambda: answers.append(link.read_log(1, 30_000).entries))
        asking.start()
        while not server.core.calls:
            time.sleep(0.01)
        begin = time.monotonic()
    asking.join(20)
    link.close()
    assert answers == [()]
    assert time.monotonic() - begin < 10


def test_a_taken_port_is_said(server: Running, parties: Consortium) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen"):  # noqa: SIM117
        with running(parties, address=server.address):
            pass


# --- the record ---------------------------------------------------------------------------------


def test_both_ends_count_the_bytes_that_crossed(parties: Consortium) -> None:
    seen: list[tuple[str, Direction, bytes]] = []
    mine = wire.WireRecord()
    mine.observe(lambda method, direction, data: seen.append((method, direction, data)))
    with running(parties) as server, server.link("north", record=mine) as link:
        link.submit_contribution(b"step", b"context", b"cipher" * 1000)
        link.submit_contribution(b"step", b"context", b"cipher")
        link.get_scenario(b"digest")
        theirs = server.record.traffic()

    method = "RunService/SubmitContribution"
    sent = [
        pb.SubmitContributionRequest(step=b"step", context=b"context", ciphertexts=text)
        for text in (b"cipher" * 1000, b"cipher")
    ]
    expected = [message.SerializeToString() for message in sent]
    assert [data for m, d, data in seen if (m, d) == (method, Direction.SENT)] == expected

    total = sum(map(len, expected))
    one = next(t for t in mine.traffic() if (t.method, t.direction) == (method, Direction.SENT))
    assert (one.messages, one.bytes) == (2, total)
    assert one.kind == "signed step and encrypted part"
    other = {Direction.SENT: Direction.RECEIVED, Direction.RECEIVED: Direction.SENT}
    mirrored = {(t.method, other[t.direction], t.kind, t.messages, t.bytes) for t in theirs}
    assert mirrored == {
        (t.method, t.direction, t.kind, t.messages, t.bytes) for t in mine.traffic()
    }


def test_the_snapshot_of_the_process_is_json() -> None:
    wire.PROCESS.request("LogService/ReadLog", Direction.SENT, b"12345")
    (line,) = [
        line
        for line in wire.snapshot()
        if (line["method"], line["direction"]) == ("LogService/ReadLog", "sent")
    ]
    assert line["kind"] == "log position"
    assert line["bytes"] >= 5


def test_an_observer_can_leave() -> None:
    seen: list[bytes] = []

    def observer(method: str, direction: Direction, data: bytes) -> None:
        seen.append(data)

    record = wire.WireRecord()
    record.observe(observer)
    record.request("RunService/FailRun", Direction.SENT, b"1")
    record.unobserve(observer)
    record.request("RunService/FailRun", Direction.SENT, b"2")
    assert seen == [b"1"]
