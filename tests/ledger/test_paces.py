"""One pace for all workers: no two turns closer than allowed, whatever the workers' clocks say."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from airflow_provider_klaviyo.api import pace as pure
from airflow_provider_klaviyo.api.pace import Slot
from airflow_provider_klaviyo.emulator import ManualClock
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError
from airflow_provider_klaviyo.ledger.paces import LATE_SECONDS, SECONDS_AT_ONCE, TRIES, LedgerPaces, _Local

REPOSITORY = Path(__file__).resolve().parents[2]
ACCOUNT = "https://a.klaviyo.com AbC123"
# Sums of binary fractions are not exact, nor is the clock of SQLite.
HAIR = 1e-4


class ClockedDatabase(Database):
    """A database whose clock is moved by the test."""

    clock: ManualClock

    def seconds(self, connection: Connection) -> float:
        return self.clock()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def clocked(url: str, clock: ManualClock) -> Iterator[ClockedDatabase]:
    database = ClockedDatabase(create_engine(url))
    database.clock = clock
    yield database
    database.close()


@pytest.fixture
def worker(url: str) -> Iterator[Callable[..., tuple[Database, LedgerPaces]]]:
    """Open the ledger's database once more, as another worker would."""
    with ExitStack() as stack:

        def worker(**arguments: Any) -> tuple[Database, LedgerPaces]:
            # SQLAlchemy 1.4 gives SQLite no longer than this by itself.
            database = Database(create_engine(url, connect_args={"timeout": 60} if url.startswith("sqlite") else {}))
            stack.callback(database.close)
            return database, LedgerPaces(database, **arguments)

        yield worker


def assert_apart(turns: list[float], interval_seconds: float) -> None:
    for earlier, later in pairwise(sorted(turns)):
        assert later - earlier >= interval_seconds - HAIR


def test_the_first_turn_comes_after_a_wait_and_the_others_an_interval_apart(
    clocked: ClockedDatabase, clock: ManualClock
) -> None:
    paces = LedgerPaces(clocked, clock)
    slots = [paces.reserve(ACCOUNT, "profile_deletion", 2.0) for _ in range(4)]
    assert [slot.wait_seconds for slot in slots] == [1.0, 3.0, 5.0, 7.0]
    clock.advance(100)
    assert paces.reserve(ACCOUNT, "profile_deletion", 2.0) == Slot(clock(), 0.0)


def test_accounts_and_endpoints_do_not_wait_for_each_other(clocked: ClockedDatabase, clock: ManualClock) -> None:
    paces = LedgerPaces(clocked, clock)
    for account, endpoint in (("a", "x"), ("a", "y"), ("b", "x")):
        assert paces.reserve(account, endpoint, 2.0).wait_seconds == 1.0
    paces.hold("a", "x", 60)
    assert paces.reserve("a", "x", 2.0).wait_seconds == 60.0
    assert paces.reserve("a", "y", 2.0).wait_seconds == 3.0
    assert paces.reserve("b", "x", 2.0).wait_seconds == 3.0


def test_a_hold_by_one_is_seen_by_the_other(clocked: ClockedDatabase, clock: ManualClock) -> None:
    one, other = LedgerPaces(clocked, clock), LedgerPaces(clocked, clock)
    one.hold(ACCOUNT, "profile_deletion", 30)
    assert other.reserve(ACCOUNT, "profile_deletion", 2.0).wait_seconds == 30.0
    one.hold(ACCOUNT, "profile_deletion", 10)
    assert other.reserve(ACCOUNT, "profile_deletion", 2.0).wait_seconds == 32.0, "a shorter one changes nothing"


def test_a_turn_that_was_taken_before_a_hold_is_void(clocked: ClockedDatabase, clock: ManualClock) -> None:
    one, other = LedgerPaces(clocked, clock), LedgerPaces(clocked, clock)
    one.reserve(ACCOUNT, "profile_deletion", 2.0)
    slot = one.reserve(ACCOUNT, "profile_deletion", 2.0)
    assert slot.wait_seconds == 3.0
    clock.advance(1.5)
    other.hold(ACCOUNT, "profile_deletion", 60)
    clock.advance(1.5)
    again = one.reserve(ACCOUNT, "profile_deletion", 2.0, slot)
    assert again.wait_seconds == pytest.approx(58.5)
    clock.advance(58.5)
    assert one.reserve(ACCOUNT, "profile_deletion", 2.0, again).wait_seconds == pytest.approx(0.0)


def test_turns_at_a_quick_endpoint_that_were_taken_before_a_hold_are_void(
    clocked: ClockedDatabase, clock: ManualClock
) -> None:
    one, other = LedgerPaces(clocked, clock), LedgerPaces(clocked, clock)
    for _ in range(20):
        one.reserve(ACCOUNT, "get_profiles", 0.1)
    clock.advance(3)
    slot = one.reserve(ACCOUNT, "get_profiles", 0.1)
    other.hold(ACCOUNT, "get_profiles", 60)
    clock.advance(SECONDS_AT_ONCE)
    assert one.reserve(ACCOUNT, "get_profiles", 0.1, slot).wait_seconds >= 60 - SECONDS_AT_ONCE - HAIR
    assert one.reserve(ACCOUNT, "get_profiles", 0.1).wait_seconds >= 60 - SECONDS_AT_ONCE - HAIR


def test_a_turn_that_nobody_voided_is_kept(clocked: ClockedDatabase, clock: ManualClock) -> None:
    paces = LedgerPaces(clocked, clock)
    slot = paces.reserve(ACCOUNT, "profile_deletion", 2.0)
    clock.advance(1.0)
    assert paces.reserve(ACCOUNT, "profile_deletion", 2.0, slot) == Slot(slot.at, 0.0)
    clock.advance(1.9)
    assert paces.reserve(ACCOUNT, "profile_deletion", 2.0, slot) == Slot(slot.at, 0.0)


def test_all_who_were_stalled_do_not_go_at_once(clocked: ClockedDatabase, clock: ManualClock) -> None:
    workers = [LedgerPaces(clocked, clock) for _ in range(4)]
    slots = [worker.reserve(ACCOUNT, "profile_deletion", 1.0) for worker in workers]
    clock.advance(60.0)
    after = sorted(
        worker.reserve(ACCOUNT, "profile_deletion", 1.0, slot).at for worker, slot in zip(workers, slots, strict=True)
    )
    assert [round(later - earlier, 6) for earlier, later in pairwise(after)] == [1.0, 1.0, 1.0]


def test_a_clock_that_was_a_day_ahead_stops_nobody(clocked: ClockedDatabase, clock: ManualClock) -> None:
    ahead = ManualClock()
    ahead.advance(86_400.0)
    clocked.clock = ahead
    LedgerPaces(clocked, clock).reserve(ACCOUNT, "profile_deletion", 1.0)
    clocked.clock = clock
    assert LedgerPaces(clocked, clock).reserve(ACCOUNT, "profile_deletion", 1.0).wait_seconds <= 1.0


def test_turns_that_have_passed_are_not_caught_up_with(clocked: ClockedDatabase, clock: ManualClock) -> None:
    paces = LedgerPaces(clocked, clock)
    for _ in range(40):
        clock.advance(paces.reserve(ACCOUNT, "get_profiles", 0.1).wait_seconds)
    clock.advance(0.55)
    called: list[float] = []
    for _ in range(30):
        slot = paces.reserve(ACCOUNT, "get_profiles", 0.1)
        clock.advance(slot.wait_seconds)
        called.append(clock())
    assert called[-1] - called[0] >= 28 * 0.1 - HAIR, "one turn may be used late, by less than its length"


def test_a_quick_endpoint_costs_few_transactions_and_a_single_question_few_turns(
    clocked: ClockedDatabase, clock: ManualClock
) -> None:
    paces = LedgerPaces(clocked, clock)
    for _ in range(1_000):
        clock.advance(paces.reserve(ACCOUNT, "get_profiles", 0.01).wait_seconds)
    with clocked.begin() as connection:
        version = connection.execute(text("SELECT version FROM klaviyo_paces")).scalar_one()
    assert version < 20
    others = [LedgerPaces(clocked, clock) for _ in range(50)]
    start = clock()
    for other in others:
        clock.advance(other.reserve(ACCOUNT, "get_profiles", 0.01).wait_seconds)
    assert clock() - start <= SECONDS_AT_ONCE + 51 * 0.01


Steps = list[tuple[int, str, float]]
steps = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["turn", "turn", "turn", "soon", "wait", "hold"]),
        st.floats(0.0, 5.0).map(lambda seconds: round(seconds, 2)),
    ),
    max_size=25,
)


def test_a_caller_slower_than_a_quick_endpoint_costs_few_transactions_too(
    clocked: ClockedDatabase, clock: ManualClock
) -> None:
    paces = LedgerPaces(clocked, clock)
    for _ in range(200):
        assert paces.reserve(ACCOUNT, "get_profiles", 0.0001).wait_seconds <= 1.0
        clock.advance(0.01)
    with clocked.begin() as connection:
        version = connection.execute(text("SELECT version FROM klaviyo_paces")).scalar_one()
    assert version < 50


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
def test_workers_together_keep_the_pure_pace(url: str) -> None:
    """Workers, whose clocks began at any time, get what one worker alone would have got."""
    database = ClockedDatabase(create_engine(url))

    @settings(max_examples=60)
    @given(steps=steps, interval_seconds=st.sampled_from([0.6, 1.05, 4.2]))
    def law(steps: Steps, interval_seconds: float) -> None:
        with database.begin() as connection:
            connection.execute(text("DELETE FROM klaviyo_paces"))
        clock = database.clock = ManualClock()
        workers = [LedgerPaces(database, lambda o=offset: clock() + o) for offset in (0.0, -1.7e9, 2.0)]  # type: ignore[misc]
        expected: pure.Pace | None = None
        for number, step, seconds in steps:
            if step == "wait":
                clock.advance(seconds)
            elif step == "hold":
                workers[number].hold(ACCOUNT, "endpoint", seconds)
                expected = pure.hold(expected or pure.Pace(clock()), clock() + seconds)
            else:
                longest = seconds if step == "soon" else math.inf
                slot = workers[number].reserve(ACCOUNT, "endpoint", interval_seconds, None, longest)
                before = expected or pure.Pace.starting(clock(), interval_seconds)
                expected, wanted = pure.reserve(before, clock(), interval_seconds, None, longest)
                assert slot.at == pytest.approx(wanted.at, abs=HAIR)
                assert slot.wait_seconds == pytest.approx(wanted.wait_seconds, abs=HAIR)

    law()
    database.close()


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
def test_workers_at_a_quick_endpoint_share_its_turns(url: str) -> None:
    """Whatever they do, no two turns are closer than allowed, and none is used that has long passed or is void."""
    database = ClockedDatabase(create_engine(url))

    @settings(max_examples=60)
    @given(steps=steps, interval_seconds=st.sampled_from([0.05, 0.2, 0.5]))
    def law(steps: Steps, interval_seconds: float) -> None:
        with database.begin() as connection:
            connection.execute(text("DELETE FROM klaviyo_paces"))
        clock = database.clock = ManualClock()
        workers = [LedgerPaces(database, lambda o=offset: clock() + o) for offset in (0.0, -1.7e9, 2.0)]  # type: ignore[misc]
        turns: list[float] = []
        holds: list[tuple[float, float]] = []
        for number, step, seconds in steps:
            if step == "wait":
                clock.advance(seconds)
            elif step == "hold":
                workers[number].hold(ACCOUNT, "endpoint", seconds)
                holds.append((clock(), clock() + seconds))
            else:
                longest = seconds if step == "soon" else math.inf
                slot = workers[number].reserve(ACCOUNT, "endpoint", interval_seconds, None, longest)
                if slot.wait_seconds > longest:
                    continue
                assert slot.at > clock() - max(interval_seconds, LATE_SECONDS) - HAIR
                assert slot.wait_seconds == pytest.approx(max(0.0, slot.at - clock()), abs=HAIR)
                for since, until in holds:
                    assert slot.at >= until - HAIR or clock() < since + SECONDS_AT_ONCE
                turns.append(slot.at)
        assert_apart(turns, interval_seconds)

    law()
    database.close()


def take(paces: LedgerPaces, number: int, interval_seconds: float) -> Iterator[float]:
    """Take turns, each after its wait, as a drain does."""
    for _ in range(number):
        slot = paces.reserve(ACCOUNT, "endpoint", interval_seconds)
        while slot.wait_seconds > 0:
            time.sleep(slot.wait_seconds)
            slot = paces.reserve(ACCOUNT, "endpoint", interval_seconds, slot)
        yield slot.at


@pytest.mark.parametrize("interval_seconds", [0.01, 0.6])
def test_threads_and_clocks_that_disagree_change_nothing(
    worker: Callable[..., tuple[Database, LedgerPaces]],
    monkeypatch: pytest.MonkeyPatch,
    interval_seconds: float,
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + (2.0 if threading.get_ident() % 2 else -2.0))
    turns: list[float] = []
    early: list[float] = []
    failures: list[BaseException] = []

    def work(offset: float) -> None:
        try:
            database, paces = worker(clock=lambda: time.monotonic() + offset)
            number = 1 if interval_seconds > 0.1 else 15
            for at in take(paces, number, interval_seconds):
                with database.begin() as connection:
                    early.append(at - database.seconds(connection))
                turns.append(at)
        except BaseException as error:  # noqa: BLE001 - to be seen by the test
            failures.append(error)

    worker()
    threads = [threading.Thread(target=work, args=(offset,)) for offset in (0.0, 2.0, -2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert_apart(turns, interval_seconds)
    assert max(early) <= 0.005, "by the database's clock, nobody calls before it is his turn"


WORKER = """
import sys, time
from sqlalchemy import create_engine
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.paces import LedgerPaces
url, number, interval = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
database = Database(create_engine(url, connect_args={"timeout": 60} if url.startswith("sqlite") else {}))
paces = LedgerPaces(database)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(number):
    print(paces.reserve("account", "endpoint", interval).at, flush=True)
database.close()
"""


@pytest.mark.parametrize("interval_seconds", [0.005, 0.6])
def test_processes_share_the_turns(url: str, interval_seconds: float) -> None:
    command = [sys.executable, "-c", WORKER, url, "60", str(interval_seconds)]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, env=environment, text=True, **pipes))  # type: ignore[call-overload]
            for _ in range(3)
        ]
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in outputs] == [""] * 3
    turns = [float(line) for output, _ in outputs for line in output.splitlines()]
    assert len(turns) == 180
    assert_apart(turns, interval_seconds)


def test_a_pace_that_cannot_be_read_stops_every_call(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    batches = shop.batches(shop.plan(["jane@example.com"]))
    with shop.open("drainer"), shop.open("planner") as (_, hook):
        shop.run("ALTER TABLE klaviyo_paces RENAME TO elsewhere")
    calls = shop.emulator.calls()
    for use in (lambda: shop.drain(batches), lambda: shop.plan(["joe@example.com"], run="run 2"), hook.get_account):
        with pytest.raises(LedgerUnavailableError, match="klaviyo_paces"):
            use()
    assert shop.emulator.calls() == calls
    shop.run("ALTER TABLE elsewhere RENAME TO klaviyo_paces")
    shop.drain(batches)
    assert len(shop.emulator.deleted) == 1


def test_a_pace_that_others_always_change_first_is_given_up(
    clocked: ClockedDatabase, clock: ManualClock, worker: Callable[..., tuple[Database, LedgerPaces]]
) -> None:
    database, _ = worker()
    others: list[int] = []

    class Late(LedgerPaces):
        """Somebody else is always quicker."""

        def take(self) -> None:
            self._change(ACCOUNT, "endpoint", _Local(), 2.0, self.too_late)

        def too_late(self, pace: pure.Pace, _: float) -> tuple[pure.Pace, list[float]]:
            with database.begin() as connection:
                connection.execute(text("UPDATE klaviyo_paces SET version = version + 1"))
            others.append(1)
            return pure.Pace(pace.next_at + 1), []

    LedgerPaces(clocked, clock).reserve(ACCOUNT, "endpoint", 2.0)
    with pytest.raises(LedgerUnavailableError, match=f"changed by others {TRIES} times in a row"):
        Late(clocked, clock).take()
    assert len(others) == TRIES


def test_the_clock_of_each_database_is_right(worker: Callable[..., tuple[Database, LedgerPaces]]) -> None:
    database, _ = worker()
    with database.begin() as connection:
        first = database.seconds(connection)
        assert abs(first - time.time()) < 1
        time.sleep(0.02)
        assert 0.01 < database.seconds(connection) - first < 1, "it goes on within a transaction"
