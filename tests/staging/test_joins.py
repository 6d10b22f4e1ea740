"""Joins between real staging processes: exact sums, and nothing but what may leave."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from registers import RegisterStager
from staging import joins
from staging.joins import ALL, Joining, city, plan_of, question_of, scenario
from vertical import plain

from stayput import documents
from stayput.crypto.paillier import PrivateKey, PublicKey, encrypt
from stayput.engines.source import SourceSpec
from stayput.errors import PermissionDenied, RuleViolation, StagingError, VerificationError
from stayput.scenario import Duplicates
from stayput.staging import JoinStaging, SourceRefused, StagingFailed, StagingPool, destruction
from stayput.staging.join_messages import PlanMessage, Progressed, Said
from stayput.staging.join_service import beside_mb
from stayput.staging.messages import Code
from stayput.steps import DeletionCheck, Outcome
from stayput.vertical.models import ask_model
from stayput.vertical.plan import JoinPlan
from stayput.vertical.questions import JoinQuestion

THREE = f"""
    SELECT district, COUNT(*) AS n, SUM(deposit) AS d, SUM(contribution_base) AS b,
           SUM(property_value) AS v, SUM(deposit * property_value) AS dv
    FROM {ALL} GROUP BY district"""
TWO = """
    SELECT district, sector, COUNT(*) AS n, SUM(deposit) AS d, SUM(score_f) AS f
    FROM housing JOIN social USING (resident) GROUP BY district, sector"""

PASSED = {
    DeletionCheck.PROCESS_REAPED,
    DeletionCheck.NO_FILES_LEFT,
    DeletionCheck.NO_OPEN_DESCRIPTORS,
    DeletionCheck.NO_CORE_DUMP,
    DeletionCheck.NO_MOUNT_LEFT,
    DeletionCheck.CONFINED_BY_LANDLOCK,
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StagingPool]:
    with StagingPool(tmp_path_factory.mktemp("pool"), memory_limit_mb=300, warm=False) as pool:
        yield pool


@functools.cache
def _key() -> PrivateKey:
    return PrivateKey.generate(2048)


@pytest.fixture
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many runs one makes its own key, which takes a second."""
    key = _key()
    monkeypatch.setattr(PrivateKey, "generate", lambda bits: key)
    p, q = key.primes()
    _patched(
        monkeypatch,
        "from stayput.crypto.paillier import PrivateKey\n"
        f"PrivateKey.generate = lambda bits: PrivateKey({p}, {q})\n",
    )


@contextlib.contextmanager
def staged(
    pool: StagingPool,
    folder: Path,
    question: JoinQuestion,
    found: JoinPlan,
    rows: dict[str, pa.Table] | None = None,
) -> Iterator[Joining]:
    """A process for each holder; afterwards each is gone, and says so."""
    sources = {
        one.table: joins.write(folder, one.table, (rows or city())[one.table])
        for one in question.staged
    }
    stagings: dict[str, JoinStaging] = {}
    try:
        for holder, request in joins.requests(question, found, sources).items():
            stagings[holder] = pool.open_join(request)
        yield Joining(found, stagings)
    finally:
        for staging in stagings.values():
            facts = staging.close()
            assert facts.outcome is Outcome.DESTROYED
            assert set(facts.passed) == PASSED
            assert staging.close() == facts
        assert {path.name for path in folder.iterdir()} == {
            Path(source.path).name for source in sources.values()
        }


def pooled(question: JoinQuestion, sql: str) -> set[tuple[object, ...]]:
    """What DuckDB says on the tables side by side, whose identifiers we normalise ourselves."""
    connection = duckdb.connect()
    for one in question.staged:
        rows = city()[one.table]
        plain = pa.array([joins.normalised(text) for text in rows["resident"].to_pylist()])
        connection.register(one.table, rows.set_column(0, "resident", plain))
    return set(connection.execute(sql).fetchall())


@pytest.mark.parametrize(("sql", "pad_to"), [(THREE, 0), (TWO, 160)], ids=["three", "two"])
def test_shares_add_up_to_the_pooled_answer(
    pool: StagingPool, tmp_path: Path, sql: str, pad_to: int, request: pytest.FixtureRequest
) -> None:
    if pad_to:
        request.getfixturevalue("one_key")
    question = question_of(sql)
    found = plan_of(question, pad_to=pad_to)
    with staged(pool, tmp_path, question, found) as joining:
        matching = joining.blind()
        if pad_to:
            assert {matching.size(name) for name in found.holders} == {pad_to}
        joining.exchange()
        joining.combine()
        sums = joining.sums()
    policy = dataclasses.replace(scenario().output, min_count=3)
    kept = question.judge([[row[0]] for row in sums], policy)
    table = question.table(joins.opened(sums), kept, policy)
    expected = pooled(question, sql)
    n = [output.name for output in question.plan.outputs].index("n")
    assert sorted(row[0] for row in sums if row[0]) == sorted(row[n] for row in expected)
    assert {row for row in table.rows() if row[n] and row[n] >= 3} == {
        row for row in expected if row[n] >= 3
    }
    _no_canaries(joining.passed)


def _no_canaries(passed: list[bytes]) -> None:
    assert passed
    for message in passed:
        for table in city().values():
            for number in table["resident"].to_pylist():
                assert number.encode() not in message
                assert joins.normalised(number).encode() not in message


@pytest.mark.usefixtures("one_key")
def test_in_this_process_it_gives_the_same(tmp_path: Path) -> None:
    """Tests of runs stage so; the model has moments of every two of three holders."""
    question = ask_model(scenario().models[0], scenario().tables)
    found = plan_of(question)
    sources = {one.table: SourceSpec(f"/nowhere/{one.table}", "parquet") for one in question.staged}
    asked = joins.requests(question, found, sources)
    stager = RegisterStager(city())
    sums = Joining(found, {name: stager.open_join(one) for name, one in asked.items()}).all()
    contracts = {table.name: table for table in scenario().tables}
    right = plain.moments(question.staged, question.moments, contracts, city())
    assert sums == [right[(0, 0, 0)]]


# --- attacks --------------------------------------------------------------------------------------


@pytest.fixture
def alone(pool: StagingPool, tmp_path: Path) -> Iterator[tuple[JoinStaging, JoinPlan]]:
    """One process, of the housing fund, in a join of two."""
    question = question_of(TWO)
    found = plan_of(question)
    source = joins.write(tmp_path, "housing", city()["housing"])
    (asked, _) = joins.requests(question, found, {"housing": source, "social": source}).values()
    staging = pool.open_join(asked)
    yield staging, found
    assert staging.close().outcome is Outcome.DESTROYED


@pytest.mark.usefixtures("one_key")
def test_everything_comes_once_and_in_order(pool: StagingPool, tmp_path: Path) -> None:
    question = question_of(TWO)
    found = plan_of(question)
    (pair,) = found.pairs
    with staged(pool, tmp_path, question, found) as joining:
        owner = joining.stagings[found.holders[pair.owner]]
        combiner = joining.stagings[found.holders[pair.combiner]]
        with pytest.raises(RuleViolation):
            owner.encrypt(0, 0)  # nothing was read
        with pytest.raises(RuleViolation):
            combiner.shares()
        joining.blind()
        for staging in (owner, combiner):
            with pytest.raises(RuleViolation, match="once"):
                staging.first()
        with pytest.raises(PermissionDenied):
            combiner.run_key()
        assert owner.run_key() == owner.run_key()
        for wrong in (1, -1, 2**31 - 1):
            with pytest.raises(RuleViolation):
                owner.encrypt(0, wrong)
            with pytest.raises(PermissionDenied):
                owner.encrypt(wrong, 0)
        with pytest.raises(PermissionDenied):
            combiner.encrypt(0, 0)
        with pytest.raises(RuleViolation):
            owner.open(0, b"")  # before its rows were encrypted
        joining.exchange()
        with pytest.raises(RuleViolation):
            owner.encrypt(0, 0)
        key, (handed,) = joining.keys[0], joining.handed[0]
        with pytest.raises(PermissionDenied):
            owner.combine(0, key, 0, handed)
        with pytest.raises(RuleViolation):
            combiner.combine(0, key, 1, handed)
        with pytest.raises(RuleViolation):
            combiner.finish(0, key)
        # Foreign bytes leave no trace: the honest ones are combined afterwards.
        other = another_key(key)
        width = other.ciphertext_bytes
        for modulus, data in (
            (key, handed[:-1]),
            (key, b""),
            (key, handed + handed[:width]),
            (key, bytes(len(handed))),
            (key, b"\xff" * len(handed)),
            (key, handed[:-width] + (int.from_bytes(key, "big") * 3).to_bytes(width, "big")),
            (b"", handed),
            (key[:-1], handed),
            ((2**2047 + 1).to_bytes(256, "big"), handed),
        ):
            with pytest.raises(VerificationError):
                combiner.combine(0, modulus, 0, data)
        combiner.combine(0, key, 0, handed)
        with pytest.raises(RuleViolation):
            combiner.combine(0, key, 0, handed)
        with pytest.raises(VerificationError):
            combiner.finish(0, other.modulus.to_bytes(256, "big"))
        with pytest.raises(RuleViolation):
            combiner.shares()
        returned = combiner.finish(0, key)
        with pytest.raises(RuleViolation):
            combiner.finish(0, key)
        public = PublicKey(int.from_bytes(key, "big"))
        wrong_shape = encrypt(public, [public.modulus - 1] * (len(returned) // width))
        for foreign in (returned[:-1], b"", returned + returned[:width], wrong_shape):
            with pytest.raises(VerificationError):
                owner.open(0, foreign)
        with pytest.raises(RuleViolation):
            owner.shares()
        owner.open(0, returned)
        owner.open(0, returned)
        with pytest.raises(RuleViolation):
            owner.open(0, returned[::-1])
        sums = joining.sums()
        assert sums == joining.sums()
    assert sum(row[0] for row in sums) == joining.matching.joined


def another_key(modulus: bytes) -> PublicKey:
    """A number that is no worse a modulus than the true one, as far as anybody can tell."""
    for number in itertools.count(int.from_bytes(modulus, "big") + 2, 2):
        with contextlib.suppress(VerificationError):
            return PublicKey(number)
    raise AssertionError


def test_foreign_sets_are_not_raised(alone: tuple[JoinStaging, JoinPlan]) -> None:
    staging, found = alone
    mine = staging.first()
    (other,) = set(found.holders) - {mine.owner}
    good = dataclasses.replace(mine, owner=other, raised_by=(other,))
    with pytest.raises(VerificationError):
        staging.further(good, bytes(32))
    for foreign, error in (
        (dataclasses.replace(good, run=b"q" * 16), PermissionDenied),
        (dataclasses.replace(good, owner="somebody"), PermissionDenied),
        (dataclasses.replace(good, raised_by=()), PermissionDenied),
        (dataclasses.replace(good, raised_by=(other, mine.owner)), PermissionDenied),
        (mine, PermissionDenied),  # of two holders the owner does not raise again
        (dataclasses.replace(good, points=bytes(32)), VerificationError),  # the identity
        (dataclasses.replace(good, points=b"\xff" * 64), VerificationError),
        (dataclasses.replace(good, points=good.points[:-1]), VerificationError),
        (dataclasses.replace(good, points=good.points[:32] * 2), VerificationError),
    ):
        with pytest.raises(error):
            staging.further(foreign, foreign.digest)
    raised = staging.further(good, good.digest)
    assert staging.further(good, good.digest) == raised
    second = dataclasses.replace(good, points=good.points[:-32])
    with pytest.raises(RuleViolation):
        staging.further(second, second.digest)


def test_from_inside_it_can_reach_nothing(alone: tuple[JoinStaging, JoinPlan]) -> None:
    staging, _ = alone
    staging.first()
    proc = Path(f"/proc/{staging._process.pid}")  # type: ignore[attr-defined]
    status = dict(
        line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line
    )
    assert (status["NoNewPrivs"], status["Seccomp"], status["CoreDumping"]) == ("1", "2", "0")
    targets = {os.readlink(fd) for fd in (proc / "fd").iterdir()}
    assert all(target.startswith("pipe:") or target == "/dev/null" for target in targets), targets
    variables = {entry.partition(b"=")[0] for entry in (proc / "environ").read_bytes().split(b"\0")}
    assert variables == {b"MALLOC_ARENA_MAX", b"OPENBLAS_NUM_THREADS", b"TMPDIR", b""}
    limits = (proc / "limits").read_text()
    for name in ("Max core file size", "Max file size"):
        (line,) = [line for line in limits.splitlines() if line.startswith(name)]
        assert line.split()[-3:-1] == ["0", "0"]


ATTEMPTS = (
    "open('/etc/passwd').read()",
    "open('{source}.other').read()",
    "open('{folder}/new', 'w')",
    "open('/tmp/new', 'w')",
    "open('/proc/1/cmdline').read()",
    "os.kill(os.getppid(), 0)",
    "os.fork()",
    "os.execv('/bin/true', ['true'])",
    "socket.socket()",
    "ctypes.CDLL('{source}.other')",
)


def test_code_that_takes_it_over_gets_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's code runs in the confined process, in place of a raising."""
    source = tmp_path / "housing.parquet"
    Path(f"{source}.other").write_text("x")
    _patched(
        monkeypatch,
        "import ctypes, os, socket, stayput.staging.join_work as work\n"
        "def further(self, received, signed, progress=None):\n"
        "    try:\n"
        "        exec(received.owner)\n"
        "    except (PermissionError, OSError):\n"
        "        raise work.VerificationError('refused')\n"
        "    return received\n"
        "work.JoinWork.further = further\n",
    )
    with _housing(tmp_path) as staging:
        mine = staging.first()
        for attempt in ATTEMPTS:
            code = attempt.format(source=source, folder=tmp_path)
            with pytest.raises(VerificationError):
                staging.further(dataclasses.replace(mine, owner=code), bytes(32))
        allowed = dataclasses.replace(mine, owner=f"open({str(source)!r}).close()")
        assert staging.further(allowed, bytes(32)).points == mine.points, "the source it may read"
    assert not (tmp_path / "new").exists()


def _patched(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Make processes of joins run this once they are hardened."""
    from stayput.staging import process as process_module

    boot = process_module._JOIN_BOOT.replace(
        "main(parent)",
        "from stayput.staging import confinement; confinement.harden = lambda p, "
        f"h=confinement.harden: (h(p), exec({code!r}, {{}})); main(parent)",
    )
    monkeypatch.setattr(process_module, "_JOIN_BOOT", boot)


def test_a_killed_process_is_a_failure_with_a_receipt(
    alone: tuple[JoinStaging, JoinPlan],
) -> None:
    staging, _ = alone
    os.kill(staging._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(StagingFailed, match="died") as failed:
        staging.first()
    assert failed.value.code is Code.DIED
    assert set(failed.value.receipt.passed) == PASSED
    with pytest.raises(StagingFailed) as again:
        staging.run_key()
    assert again.value.receipt == failed.value.receipt == staging.close()


def test_closing_from_elsewhere_ends_a_call(alone: tuple[JoinStaging, JoinPlan]) -> None:
    staging, _ = alone
    process = staging._process  # type: ignore[attr-defined]
    os.kill(process.pid, signal.SIGSTOP)  # it will never answer
    closer = threading.Timer(0.3, staging.close)
    closer.start()
    with pytest.raises(StagingFailed) as failed:
        staging.first()
    closer.join()
    assert failed.value.code is Code.CANCELLED
    assert set(failed.value.receipt.passed) == PASSED


def test_silence_and_the_end_of_the_pool(tmp_path: Path) -> None:
    question = question_of(TWO)
    source = joins.write(tmp_path, "housing", city()["housing"])
    found = plan_of(question)
    (one, two) = joins.requests(question, found, {"housing": source, "social": source}).values()
    with StagingPool(tmp_path / "work", warm=False) as pool:
        silent, waiting = pool.open_join(one), pool.open_join(two)
        silent._silence = 0.2  # type: ignore[attr-defined]
        os.kill(silent._process.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
        with pytest.raises(StagingFailed) as failed:
            silent.first()
        assert failed.value.code is Code.TIMED_OUT
        assert set(failed.value.receipt.passed) == PASSED
        with pytest.raises(StagingError, match="being staged already"):
            pool.open_join(two)
    assert set(waiting.close().passed) == PASSED
    with pytest.raises(StagingFailed):
        waiting.run_key()


def test_whoever_hears_of_progress_can_stop_it(
    alone: tuple[JoinStaging, JoinPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    staging, _ = alone

    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert 0 <= done <= total
        raise Enough

    words = iter([Said(progress=Progressed(1, 2))])
    process = staging._process  # type: ignore[attr-defined]
    monkeypatch.setattr(process, "_said", lambda silence: next(words))
    with pytest.raises(Enough):
        staging.first(stop)
    with pytest.raises(StagingFailed):
        staging.run_key()


@pytest.mark.parametrize("done", [[1, 1], [3]], ids=str)
def test_a_process_that_tells_of_impossible_work_is_not_listened_to(
    alone: tuple[JoinStaging, JoinPlan], monkeypatch: pytest.MonkeyPatch, done: list[int]
) -> None:
    staging, _ = alone
    words = iter([Said(progress=Progressed(one, 2)) for one in done])
    process = staging._process  # type: ignore[attr-defined]
    monkeypatch.setattr(process, "_said", lambda silence: next(words))
    with pytest.raises(StagingFailed) as failed:
        staging.first()
    assert failed.value.code is Code.MISSPOKE


# --- sources that do not fit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("misfit", "'resident' of housing.csv has 2 rows whose value is no resident number"),
        ("twice", "1 row about a person who is in an earlier row; the contract refuses"),
        ("null", "'resident' of housing.csv has 1 row without a value"),
        ("bounds", "'deposit' of housing.csv has 1 row outside 0.00 … 6000.00"),
        ("missing", "column 'district' is missing in housing.csv"),
    ],
)
def test_a_source_that_does_not_fit_is_told_without_values(
    pool: StagingPool, tmp_path: Path, change: str, sentence: str
) -> None:
    columns = {
        name: [None if v is None else str(v) for v in city()["housing"][name].to_pylist()]
        for name in city()["housing"].column_names
    }
    canary = columns["resident"][3]
    if change == "misfit":
        columns["resident"][3] = canary[:-1] + ("0" if canary[-1] != "0" else "1")
        columns["resident"][4] = "7f3a9c51e0"
    elif change == "twice":
        columns["resident"][5] = columns["resident"][3]
    elif change == "null":
        columns["resident"][3] = None
    elif change == "bounds":
        columns["deposit"][3] = "6000.01"
    else:
        del columns["district"]
    source = joins.write(tmp_path, "housing", pa.table(columns), "csv")
    question = question_of(TWO)
    found = plan_of(question)
    (asked, _) = joins.requests(question, found, {"housing": source, "social": source}).values()
    staging = pool.open_join(asked)
    with pytest.raises(SourceRefused) as refused:
        staging.first()
    assert sentence in refused.value.message
    text = f"{refused.value.message} {refused.value.hint}"
    assert canary not in text
    assert canary[:-1] not in text
    assert "7f3a9c51e0" not in text
    assert refused.value.receipt == staging.close()
    assert set(refused.value.receipt.passed) == PASSED


@pytest.mark.usefixtures("one_key")
def test_equal_rows_count_once_where_that_is_declared(pool: StagingPool, tmp_path: Path) -> None:
    question = question_of(TWO)
    found = joins.ruled(plan_of(question), duplicates=Duplicates.COLLAPSE)
    doubled = dict(city())
    doubled["social"] = pa.concat_tables([city()["social"], city()["social"].slice(0, 7)])
    with staged(pool, tmp_path, question, found, doubled) as joining:
        assert joining.blind().size("social-insurance") == len(city()["social"])
        joining.exchange()
        joining.combine()
        sums = joining.sums()
    assert sorted(row[0] for row in sums if row[0]) == sorted(
        row[2] for row in pooled(question, TWO)
    )


def test_rows_of_one_person_that_do_not_agree(pool: StagingPool, tmp_path: Path) -> None:
    question = question_of(TWO)
    found = joins.ruled(plan_of(question), duplicates=Duplicates.COLLAPSE)
    columns = city()["housing"].to_pydict()
    columns["resident"][1] = columns["resident"][0]
    columns["deposit"] = [*columns["deposit"]]
    source = joins.write(tmp_path, "housing", pa.table(columns))
    (asked, _) = joins.requests(question, found, {"housing": source, "social": source}).values()
    staging = pool.open_join(asked)
    with pytest.raises(SourceRefused, match=r"1 row about a person .* with other values"):
        staging.first()
    assert staging.close().outcome is Outcome.DESTROYED


@pytest.mark.usefixtures("one_key")
def test_an_empty_table_has_nobody_in_common(pool: StagingPool, tmp_path: Path) -> None:
    question = question_of(TWO)
    found = plan_of(question)
    (pair,) = found.pairs
    empty = found.tables[pair.combiner].table
    rows = {**city(), empty: city()[empty].slice(0, 0)}
    with staged(pool, tmp_path, question, found, rows) as joining:
        sums = joining.all()
    assert {number for row in sums for number in row} == {0}


def test_a_plan_crosses_the_pipe_as_it_is() -> None:
    for sql in (TWO, THREE):
        found = plan_of(question_of(sql), pad_to=2**33)
        wide = dataclasses.replace(
            found,
            tables=(dataclasses.replace(found.tables[0], bounds=(10**36, 0)), *found.tables[1:]),
        )
        for one in (found, wide):
            data = documents.encode(PlanMessage.of(one))
            assert documents.parse(PlanMessage, data).plan() == one


# --- many chunks, foreign words, a node that is gone ----------------------------------------------

SMALL = (
    "import stayput.vertical.rows as rows, stayput.vertical.combining as combining\n"
    "rows.CHUNK_ROWS, combining._PIECE_ROWS = 32, 8\n"
)


@pytest.mark.usefixtures("one_key")
def test_chunks_come_in_order_and_a_refused_one_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _patched(monkeypatch, SMALL)
    monkeypatch.setattr("stayput.vertical.rows.CHUNK_ROWS", 32)
    question = question_of(TWO)
    found = plan_of(question)
    (pair,) = found.pairs
    (tmp_path / "rows").mkdir()
    with (
        StagingPool(tmp_path / "work", warm=False) as pool,
        staged(pool, tmp_path / "rows", question, found) as joining,
    ):
        joining.blind()
        owner = joining.stagings[found.holders[pair.owner]]
        combiner = joining.stagings[found.holders[pair.combiner]]
        with pytest.raises(RuleViolation):
            owner.encrypt(0, 1)
        joining.exchange()
        key, handed = joining.keys[0], joining.handed[0]
        assert len(handed) >= 3
        width = len(key) * 2
        with pytest.raises(RuleViolation):
            combiner.combine(0, key, 1, handed[1])
        # Ciphertexts of three pieces are good, the last is none.
        with pytest.raises(VerificationError):
            combiner.combine(0, key, 0, handed[0][:-width] + bytes(width))
        combiner.combine(0, key, 0, handed[0])
        with pytest.raises(VerificationError):
            combiner.combine(0, key, 1, handed[1][:-width] + bytes(width))
        with pytest.raises(RuleViolation):
            combiner.combine(0, key, 2, handed[2])
        with pytest.raises(RuleViolation):
            combiner.finish(0, key)
        for number, data in enumerate(handed[1:], start=1):
            combiner.combine(0, key, number, data)
        returned = combiner.finish(0, key)
        owner.open(0, returned)
        sums = joining.sums()
    expected = pooled(question, TWO)
    assert sorted(row[0] for row in sums if row[0]) == sorted(row[2] for row in expected)


@pytest.mark.parametrize(
    "words",
    [
        "Said(answer=10**9), b''",
        "Said(answer=10**9), bytes(2**26)",
        "Said(answer=3), b''",
        "Said(answer=2**40), b'abc'",
    ],
)
def test_a_process_that_misspeaks_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """The file of a holder has taken over its process, which now talks to the node."""
    _patched(
        monkeypatch,
        "import stayput.staging.join_service as service\n"
        "from stayput.staging.join_messages import Said\n"
        f"service._answer = lambda *a: ({words})\n",
    )
    with _housing(tmp_path) as staging:
        staging._silence = 2.0  # type: ignore[attr-defined]
        with pytest.raises(StagingFailed) as failed:
            staging.run_key()
        assert failed.value.code in (Code.MISSPOKE, Code.TIMED_OUT)
        assert staging.close() == failed.value.receipt


@contextlib.contextmanager
def _housing(folder: Path) -> Iterator[JoinStaging]:
    question = question_of(TWO)
    source = joins.write(folder, "housing", city()["housing"])
    sources = {"housing": source, "social": source}
    (asked, _) = joins.requests(question, plan_of(question), sources).values()
    with StagingPool(folder / "work", warm=False) as pool:
        staging = pool.open_join(asked)
        yield staging
        assert staging.close().outcome is Outcome.DESTROYED


def test_it_ends_with_its_node_in_the_midst_of_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _patched(
        monkeypatch,
        "import time, stayput.staging.join_work as work\n"
        "work.JoinWork.run_key = lambda self: time.sleep(600)\n",
    )
    with _housing(tmp_path) as staging:
        process = staging._process  # type: ignore[attr-defined]
        null = os.open(os.devnull, os.O_WRONLY)
        closer = threading.Timer(0.5, os.dup2, [null, process._process.stdin.fileno()])
        closer.start()
        with pytest.raises(StagingFailed) as failed:
            staging.run_key()
        closer.join()
        os.close(null)
        assert failed.value.code is Code.DIED


def test_what_a_killed_node_left_is_swept(tmp_path: Path) -> None:
    with _housing(tmp_path) as staging:
        process = staging._process  # type: ignore[attr-defined]
        (swept,) = destruction.sweep(tmp_path / "work")  # as the next node does at its start
        assert swept.killed
        assert set(swept.receipt.passed) >= {DeletionCheck.PROCESS_REAPED, DeletionCheck.LATE_SWEEP}
        assert not process.alive()


def test_memory_is_capped_whatever_contracts_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = plan_of(question_of(TWO))
    me = found.holders[0]
    boundless = dataclasses.replace(found.tables[0], max_rows=10**9)
    wide = dataclasses.replace(found, tables=(boundless, *found.tables[1:]))
    assert beside_mb(found, me, 1024) < beside_mb(wide, me, 1024) <= 3 * 1024
    _patched(
        monkeypatch,
        "import stayput.staging.join_work as work\n"
        "work.JoinWork.run_key = lambda self: bytes(6 * 2**30)\n",
    )
    with _housing(tmp_path) as staging:
        with pytest.raises(StagingFailed) as failed:
            staging.run_key()
        assert failed.value.code is Code.OUT_OF_MEMORY
