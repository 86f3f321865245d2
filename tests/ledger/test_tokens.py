"""The tokens of an OAuth installation: refreshed by one, for all, and never lost on the way; at the emulator."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.credentials import OAuthApp
from airflow_provider_klaviyo.api.errors import (
    KlaviyoConnectionError,
    KlaviyoServerError,
    KlaviyoStoppedError,
    KlaviyoTokenError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.oauth import Tokens, refresh
from airflow_provider_klaviyo.api.pace import Slot
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.api.tokens import AccessToken, Busy, Lease, TokenKeeper
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerSetupError
from airflow_provider_klaviyo.ledger.tokens import LEASE_SECONDS, UNUSED_SECONDS, LedgerTokens

REPOSITORY = Path(__file__).resolve().parents[2]
PROCESSES = 10
HOUR = 3_600.0


@dataclass
class Clock:
    """Time that stands still until it is moved on, or back."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class AtOnce:
    """A pace at which every turn is now."""

    def reserve(
        self,
        account: str,
        endpoint: str,
        interval_seconds: float,
        slot: Slot | None = None,
        longest_seconds: float = math.inf,
    ) -> Slot:
        return Slot(0, 0)

    def hold(self, account: str, endpoint: str, seconds: float) -> None:
        pass


class ClockedDatabase(Database):
    """A database whose clock is moved by the test."""

    clock: Clock

    def seconds(self, connection: Any) -> float:
        return self.clock()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def klaviyo() -> Iterator[Emulator]:
    with Emulator(limit_factor=1_000) as emulator:
        yield emulator


@pytest.fixture
def database(url: str, clock: Clock) -> Iterator[Callable[[], ClockedDatabase]]:
    """Open the database once more, with the clock of the test."""
    with ExitStack() as stack:

        def database() -> ClockedDatabase:
            options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
            opened = ClockedDatabase(create_engine(url, hide_parameters=True, **options))
            opened.clock = clock
            stack.callback(opened.close)
            return opened

        yield database


def app_of(installation: Any, **changes: Any) -> OAuthApp:
    return OAuthApp(
        **{
            "client_id": installation.client_id,
            "client_secret": installation.client_secret,
            "refresh_token": installation.refresh_token,
            **changes,
        }
    )


def refresher(emulator: Emulator, app: OAuthApp) -> Callable[[str], Tokens]:
    """Return what exchanges a refresh token at the emulator."""

    def refreshed(refresh_token: str) -> Tokens:
        with KlaviyoClient(Settings(oauth=app, base_url=emulator.url), paces=AtOnce()) as client:
            return client.run(refresh(app, refresh_token))

    return refreshed


@pytest.fixture
def worker(
    klaviyo: Emulator, database: Callable[[], ClockedDatabase], clock: Clock
) -> Iterator[Callable[..., TokenKeeper]]:
    """Make the keeper of one more worker, whose own clock is the database's."""
    with ExitStack() as stack:

        def worker(app: OAuthApp, refreshed: Callable[[str], Tokens] | None = None, **options: Any) -> TokenKeeper:
            store = LedgerTokens(database(), app)
            keeper = TokenKeeper(store, refreshed or refresher(klaviyo, app), clock=clock, **options)
            stack.callback(keeper.close)
            return keeper

        yield worker


def token_of(keeper: TokenKeeper) -> str:
    return keeper.held() or keeper.obtain().result(60)


def status(emulator: Emulator, token: str) -> int:
    headers = {"authorization": f"Bearer {token}", "revision": "2026-07-15"}
    return httpx.get(f"{emulator.url}/api/accounts", headers=headers, trust_env=False).status_code


def refreshed(emulator: Emulator) -> tuple[int, int]:
    """Return how many refreshes there were, and how many with a refresh token that was not good any more."""
    return emulator.calls("oauth_token", 200), emulator.calls("oauth_token", 400)


Worker = Callable[..., TokenKeeper]


def test_the_next_process_uses_the_token_there_is(klaviyo: Emulator, worker: Worker) -> None:
    app = app_of(klaviyo.add_installation())
    first, second = (token_of(worker(app)) for _ in range(2))
    assert first == second
    assert status(klaviyo, second) == 200
    assert refreshed(klaviyo) == (1, 0)


def test_what_rotated_is_there_for_the_next_process(klaviyo: Emulator, worker: Worker, clock: Clock) -> None:
    app = app_of(klaviyo.add_installation())
    seen = set()
    for _ in range(3):
        seen.add(token_of(worker(app)))
        clock.advance(HOUR)
    assert len(seen) == 3
    assert refreshed(klaviyo) == (3, 0)
    assert klaviyo.installations[0].refresh_token != app.refresh_token


@pytest.mark.parametrize(("expires_in", "renewed_at"), [(3600, 3300), (60, 54), (36_000, 35_700)])
def test_a_token_is_replaced_in_time(
    klaviyo: Emulator, worker: Worker, clock: Clock, expires_in: int, renewed_at: int
) -> None:
    app = app_of(klaviyo.add_installation(expires_in=expires_in))
    keeper, other = worker(app), worker(app)
    first = token_of(keeper)
    clock.advance(renewed_at - 1)
    assert token_of(keeper) == token_of(other) == first
    clock.advance(1.5)
    assert keeper.held() is None
    second = token_of(keeper)
    assert second != first
    assert token_of(other) == second
    assert refreshed(klaviyo) == (2, 0)


def test_threads_that_want_it_at_once_are_given_the_same(klaviyo: Emulator, worker: Worker) -> None:
    keeper = worker(app_of(klaviyo.add_installation()))
    with ThreadPoolExecutor(20) as pool:
        tokens = set(pool.map(lambda _: token_of(keeper), range(100)))
    assert len(tokens) == 1
    assert refreshed(klaviyo) == (1, 0)


def test_workers_that_want_it_at_once_refresh_once(klaviyo: Emulator, worker: Worker, clock: Clock) -> None:
    app = app_of(klaviyo.add_installation())
    keepers = [worker(app) for _ in range(PROCESSES)]
    for round_number in range(1, 4):
        with ThreadPoolExecutor(PROCESSES) as pool:
            tokens = set(pool.map(token_of, keepers))
        assert len(tokens) == 1
        assert status(klaviyo, tokens.pop()) == 200
        assert refreshed(klaviyo) == (round_number, 0)
        clock.advance(HOUR)


# Imports once, and forks ten workers that begin together.
PROGRAM = """
import os, sys
from sqlalchemy import create_engine
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.credentials import OAuthApp
from airflow_provider_klaviyo.api.oauth import refresh
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.api.tokens import TokenKeeper
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.tokens import LedgerTokens

url, base_url, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
client_id, client_secret, refresh_token = sys.stdin.readline().split()
app = OAuthApp(client_id=client_id, client_secret=client_secret, refresh_token=refresh_token)

def exchanged(token):
    with KlaviyoClient(Settings(oauth=app, base_url=base_url)) as client:
        return client.run(refresh(app, token))

def work():
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    keeper = TokenKeeper(LedgerTokens(Database(create_engine(url, **options)), app), exchanged)
    os.write(1, b"ready\\n")
    os.read(begin, 1)
    os.write(1, f"{keeper.obtain().result(60)}\\n".encode())
    keeper.close()

begin, start = os.pipe()
for _ in range(processes):
    if os.fork() == 0:
        os.close(start)
        work()
        os._exit(0)
os.close(begin)
sys.stdin.readline()
os.close(start)
sys.exit(any(os.wait()[1] for _ in range(processes)))
"""


@pytest.mark.parametrize("is_new", [True, False])
def test_ten_processes_that_find_it_expired_together_refresh_once(klaviyo: Emulator, url: str, is_new: bool) -> None:
    installation = klaviyo.add_installation()
    app = app_of(installation)
    database = Database(create_engine(url))
    if not is_new:
        with closing(TokenKeeper(LedgerTokens(database, app), refresher(klaviyo, app))) as keeper:
            token_of(keeper)
            with database.begin() as connection:
                connection.execute(text("UPDATE klaviyo_tokens SET renew_at = 0, expires_at = 0"))
        klaviyo.expire_access_tokens(installation)
    klaviyo.reset_counts()
    command = [sys.executable, "-c", PROGRAM, url, klaviyo.url, str(PROCESSES)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env={"PYTHONPATH": str(REPOSITORY)}, text=True, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{app.client_id} {app.client_secret} {app.refresh_token}\n")
        process.stdin.flush()
        ready = [process.stdout.readline() for _ in range(PROCESSES)]
        output, error = process.communicate("go\n", timeout=120)
    database.close()
    assert (process.returncode, error) == (0, "")
    assert ready == ["ready\n"] * PROCESSES
    tokens = output.splitlines()
    assert (len(tokens), len(set(tokens))) == (PROCESSES, 1)
    assert refreshed(klaviyo) == (1, 0), "the emulator is the judge"
    assert status(klaviyo, tokens[0]) == 200


HOLDER = """
import sys
from sqlalchemy import create_engine
from airflow_provider_klaviyo.api.credentials import OAuthApp
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.tokens import LedgerTokens

client_id, client_secret, refresh_token = sys.stdin.readline().split()
app = OAuthApp(client_id=client_id, client_secret=client_secret, refresh_token=refresh_token)
print(LedgerTokens(Database(create_engine(sys.argv[1])), app).take(None), flush=True)
sys.stdin.read()
"""


def test_after_a_holder_that_was_killed_the_next_one_takes_over(
    klaviyo: Emulator, url: str, database: Callable[[], ClockedDatabase], worker: Worker, clock: Clock
) -> None:
    app = app_of(klaviyo.add_installation())
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", HOLDER, url]
    with subprocess.Popen(command, env={"PYTHONPATH": str(REPOSITORY)}, text=True, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{app.client_id} {app.client_secret} {app.refresh_token}\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("Lease(generation=0, number=1")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    store = LedgerTokens(database(), app)
    with store._database.begin() as connection:
        clock.now = Database.seconds(store._database, connection)
    assert store.take(None) == Busy()
    clock.advance(LEASE_SECONDS - 5)
    assert store.take(None) == Busy(), "it might still be alive"
    clock.advance(6)
    assert status(klaviyo, token_of(worker(app))) == 200
    assert refreshed(klaviyo) == (1, 0)


def test_a_holder_so_slow_that_its_lease_has_ended_loses_no_token(
    klaviyo: Emulator, database: Callable[[], ClockedDatabase], worker: Worker, clock: Clock
) -> None:
    app = app_of(klaviyo.add_installation())
    slow = LedgerTokens(database(), app)
    lease = slow.take(None)
    assert isinstance(lease, Lease)
    clock.advance(LEASE_SECONDS + 1)
    kept: list[bool] = []

    def late(refresh_token: str) -> Tokens:
        """Refresh when the slow one just has, and find the refresh token taken."""
        if not kept:
            kept.append(slow.keep(lease, refresher(klaviyo, app)(lease.refresh_token)))
        return refresher(klaviyo, app)(refresh_token)

    token = token_of(worker(app, late))
    assert kept == [True]
    assert status(klaviyo, token) == 200
    assert refreshed(klaviyo) == (1, 1), "nobody is told that the refresh token is dead"
    clock.advance(HOUR)
    assert status(klaviyo, token_of(worker(app))) == 200
    assert refreshed(klaviyo) == (2, 1)


def test_a_newer_pair_is_not_overwritten(database: Callable[[], ClockedDatabase], clock: Clock) -> None:
    app = OAuthApp(client_id="app", client_secret="secret", refresh_token="first")
    slow, quick = LedgerTokens(database(), app), LedgerTokens(database(), app)
    late = slow.take(None)
    clock.advance(LEASE_SECONDS + 1)
    in_time = quick.take(None)
    assert isinstance(late, Lease)
    assert isinstance(in_time, Lease)
    assert quick.keep(in_time, Tokens("newer", "next", HOUR))
    assert not slow.keep(late, Tokens("older", "next", HOUR))
    assert not slow.give_back(late, 1)
    found = slow.take(None)
    assert isinstance(found, AccessToken)
    assert found.token == "newer"


def test_a_refused_token_is_replaced_once_for_all(klaviyo: Emulator, worker: Worker) -> None:
    installation = klaviyo.add_installation()
    app = app_of(installation)
    keepers = [worker(app) for _ in range(3)]
    (first,) = {token_of(keeper) for keeper in keepers}
    klaviyo.expire_access_tokens(installation)
    for keeper in keepers:
        keeper.refuse(first)
    (second,) = {token_of(keeper) for keeper in keepers}
    keepers[0].refuse(first)
    assert keepers[0].held() == second, "it was replaced already"
    assert status(klaviyo, second) == 200
    assert refreshed(klaviyo) == (2, 0)


def test_a_token_that_is_still_good_is_used_while_there_is_no_new_one(
    klaviyo: Emulator, worker: Worker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(klaviyo.add_installation())
    keeper, other = worker(app), worker(app)
    first = token_of(keeper)
    clock.advance(HOUR - 200)
    klaviyo.fault("server_error_html", endpoint="oauth_token", status=503)
    assert token_of(keeper) == token_of(other) == first
    assert "is not replaced yet, and goes on being used: Klaviyo answered 503 to POST /oauth/token" in caplog.text
    calls = klaviyo.calls("oauth_token")
    clock.advance(9)
    assert token_of(keeper) == first
    assert klaviyo.calls("oauth_token") == calls, "it is not tried again at once"
    clock.advance(200)
    with pytest.raises(KlaviyoServerError):
        token_of(keeper)
    klaviyo.clear_faults()
    clock.advance(2)
    assert status(klaviyo, token_of(other)) == 200


def test_nobody_refreshes_before_klaviyo_said(klaviyo: Emulator, worker: Worker, clock: Clock) -> None:
    app = app_of(klaviyo.add_installation())
    klaviyo.fault("throttled", endpoint="oauth_token", times=1, retry_after=30)
    with pytest.raises(KlaviyoUnavailableError) as caught:
        token_of(worker(app))
    assert caught.value.retry_after_seconds == 30
    waiting = worker(app)
    future = waiting.obtain()
    waiting.stop()
    with pytest.raises(KlaviyoStoppedError):
        future.result(60)
    assert klaviyo.calls("oauth_token") == 1
    clock.advance(31)
    assert status(klaviyo, token_of(worker(app))) == 200


def test_a_lost_answer_is_a_passing_error_and_then_the_token_is_dead(
    klaviyo: Emulator, worker: Worker, clock: Clock
) -> None:
    app = app_of(klaviyo.add_installation())
    keeper = worker(app)
    klaviyo.fault("connection_dropped_after", endpoint="oauth_token", times=1)
    with pytest.raises(KlaviyoConnectionError):
        token_of(keeper)
    clock.advance(2)
    with pytest.raises(KlaviyoTokenError, match="or was replaced by one that is kept elsewhere or never arrived"):
        token_of(keeper)


def test_a_new_refresh_token_in_the_connection_begins_anew_and_wins(
    klaviyo: Emulator, worker: Worker, database: Callable[[], ClockedDatabase], clock: Clock
) -> None:
    installation = klaviyo.add_installation()
    app = app_of(installation)
    token_of(worker(app))
    klaviyo.revoke_installation(installation)
    clock.advance(HOUR)
    with pytest.raises(KlaviyoTokenError):
        token_of(worker(app))
    fresh = app_of(klaviyo.add_installation(klaviyo.add_account(), client_id=app.client_id))
    assert status(klaviyo, token_of(worker(fresh))) == 200
    assert installations(database()) == {app.digest, fresh.digest}
    clock.advance(UNUSED_SECONDS + 1)
    other = app_of(klaviyo.add_installation())
    token_of(worker(other))
    assert installations(database()) == {fresh.digest, other.digest}, "what nobody uses is not kept for ever"


def installations(database: Database) -> set[str]:
    with database.begin() as connection:
        return set(connection.execute(text("SELECT installation FROM klaviyo_tokens")).scalars())


def test_a_pair_that_cannot_be_stored_is_not_used_and_not_lost(
    klaviyo: Emulator, database: Callable[[], ClockedDatabase], clock: Clock
) -> None:
    app = app_of(klaviyo.add_installation())
    store = LedgerTokens(database(), app)
    really_keep, downs = store.keep, iter([True, True])

    def keep(lease: Lease, tokens: Tokens) -> bool:
        if next(downs, False):
            raise KlaviyoUnavailableError("the store is down, for a test")
        return really_keep(lease, tokens)

    store.keep = keep  # type: ignore[method-assign]
    with closing(TokenKeeper(store, refresher(klaviyo, app), clock=clock)) as keeper:
        for _ in range(2):
            with pytest.raises(KlaviyoUnavailableError, match="for a test"):
                token_of(keeper)
            assert keeper.held() is None
        assert status(klaviyo, token_of(keeper)) == 200
    clock.advance(HOUR)
    with closing(TokenKeeper(LedgerTokens(database(), app), refresher(klaviyo, app))) as keeper:
        assert status(klaviyo, token_of(keeper)) == 200
    assert refreshed(klaviyo) == (2, 0)


def test_who_closes_waits_until_what_has_come_is_stored(
    klaviyo: Emulator, worker: Worker, database: Callable[[], ClockedDatabase], clock: Clock
) -> None:
    app = app_of(klaviyo.add_installation())
    is_asked, may_answer = threading.Event(), threading.Event()

    def slowly(refresh_token: str) -> Tokens:
        is_asked.set()
        assert may_answer.wait(60)
        return refresher(klaviyo, app)(refresh_token)

    leaving = TokenKeeper(LedgerTokens(database(), app), slowly, clock=clock)
    future = leaving.obtain()
    assert is_asked.wait(60)
    closing_thread = threading.Thread(target=leaving.close)
    closing_thread.start()
    may_answer.set()
    closing_thread.join(60)
    assert future.done(), "it is waited for"
    assert token_of(worker(app)) == future.result(0)
    assert refreshed(klaviyo) == (1, 0)


def test_each_token_is_told_before_it_is_used(klaviyo: Emulator, worker: Worker) -> None:
    app = app_of(klaviyo.add_installation())
    first: list[str] = []
    second: list[str] = []
    assert token_of(worker(app, received=first.append)) in first
    assert klaviyo.installations[0].refresh_token in first
    assert second == []
    assert token_of(worker(app, received=second.append)) in second


def test_what_is_stored_is_worth_nothing_without_the_connection(
    klaviyo: Emulator, worker: Worker, database: Callable[[], ClockedDatabase]
) -> None:
    app = app_of(klaviyo.add_installation())
    token = token_of(worker(app))
    opened = database()
    with opened.begin() as connection:
        (row,) = connection.execute(text("SELECT * FROM klaviyo_tokens")).mappings()
        stored = str(dict(row))
        for secret in (token, app.client_secret, app.refresh_token, klaviyo.installations[0].refresh_token):
            assert secret not in stored
        connection.execute(text("UPDATE klaviyo_tokens SET installation = :other"), {"other": other_of(app).digest})
    for use in (lambda: LedgerTokens(opened, other_of(app)).take(None), lambda: damage(opened, app)):
        with pytest.raises(
            LedgerSetupError, match="put the new refresh token into the Klaviyo connection's field"
        ) as no:
            use()
        assert token not in f"{no.value!r} {no.value.__cause__!r} {no.value.__context__!r}"


def other_of(app: OAuthApp) -> OAuthApp:
    return replace(app, refresh_token=app.refresh_token[::-1])


def damage(database: Database, app: OAuthApp) -> None:
    statement = text("UPDATE klaviyo_tokens SET installation = :own, sealed = 'canary'")
    with database.begin() as connection:
        connection.execute(statement, {"own": app.digest})
    LedgerTokens(database, app).take(None)


def test_a_clock_that_was_far_ahead_keeps_nobody_waiting(database: Callable[[], ClockedDatabase], clock: Clock) -> None:
    store = LedgerTokens(database(), OAuthApp(client_id="app", client_secret="secret", refresh_token="first"))
    clock.advance(10 * HOUR)
    assert isinstance(store.take(None), Lease)
    clock.now -= 9 * HOUR
    assert isinstance(store.take(None), Lease)


def test_reprs_show_no_token() -> None:
    shown = (
        AccessToken("canary", 1),
        Lease("canary", 0, 1, AccessToken("canary", 1)),
        Tokens("canary", "canary", 1),
        OAuthApp(client_id="app", client_secret="canary", refresh_token="canary"),
    )
    assert "canary" not in repr(shown)


class Klaviyo:
    """A token endpoint whose refresh tokens are good for one use."""

    def __init__(self) -> None:
        self.number = 0

    def refresh(self, refresh_token: str) -> Tokens:
        assert refresh_token == f"refresh-{self.number}", "used before"
        self.number += 1
        return Tokens(f"access-{self.number}", f"refresh-{self.number}", HOUR)


steps = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["work", "work", "die", "wait", "sleep"])), max_size=60)


def test_no_refresh_token_is_used_twice_whoever_is_killed_before_it_is_sent(
    database: Callable[[], ClockedDatabase], clock: Clock
) -> None:
    """Workers take a lease, and then refresh and keep, in any order; whoever does not within a lease is gone."""
    opened, app = database(), OAuthApp(client_id="app", client_secret="secret", refresh_token="refresh-0")
    store = LedgerTokens(opened, app)

    @given(steps)
    def law(happens: list[tuple[int, str]]) -> None:
        with opened.begin() as connection:
            connection.execute(text("DELETE FROM klaviyo_tokens"))
        klaviyo, at_work = Klaviyo(), dict[int, tuple[Lease, float]]()
        for worker, step in happens:
            if step == "die":
                at_work.pop(worker, None)
            elif step != "work":
                clock.advance(LEASE_SECONDS / 4 if step == "wait" else HOUR)
                at_work = {one: held for one, held in at_work.items() if clock() < held[1] + LEASE_SECONDS}
            elif worker in at_work:
                lease, _ = at_work.pop(worker)
                assert store.keep(lease, klaviyo.refresh(lease.refresh_token))
            elif isinstance(found := store.take(None), Lease):
                at_work[worker] = found, clock()
            elif isinstance(found, AccessToken):
                assert found.token == f"access-{klaviyo.number}"
        assert len(at_work) <= 1

    law()
